# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The SPF record across a switch: kept aside in the zone, merged again afterwards. Pure.

Switching on can replace the domain's SPF record (terraform-provider-cloudflare #6444, 2025-11), switching off takes away
the service's own with everything that was merged into it (cloudflare-docs, pull request 32101). So a record that says more
than the service's is first copied to a name beside the domain, ``_mailstead-spf.<domain>``. The copy is in the zone and not
in a file, so that whoever runs next finds it, from whatever host. It is no SPF record (it does not begin with v=spf1) and
bears no mark, so that no run of the zone modules removes it.
"""

from __future__ import annotations

import dataclasses
from typing import List, Optional, Sequence, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError
from ansible_collections.mailstead.stack.plugins.module_utils.dns import spf
from ansible_collections.mailstead.stack.plugins.module_utils.dns.records import Change, Have
from ansible_collections.mailstead.stack.plugins.module_utils.dns.spf_merge import merge

LABEL = "_mailstead-spf"
_SAVED, _WAS = "saved ", "was: "
#: Characters of a comment on the smallest plan.
_COMMENT = 100


@dataclasses.dataclass(frozen=True)
class Sender:
    """SPF of one domain. service: the text that the service needs; present: the SPF records at the domain; copy: the
    record kept aside, None when there is none."""

    domain: str
    service: str
    present: Tuple[Have, ...]
    copy: Optional[Have] = None

    @classmethod
    def of(cls, domain: str, service: str, records: Sequence[Have]) -> Sender:
        """Raises MailsteadError (MS-ER-017) for records that cannot be read."""
        present = tuple(r for r in records if r.type == "TXT" and r.name == domain and spf.is_spf(r.content))
        name = f"{LABEL}.{domain}"
        copies = [r for r in records if (r.type, r.name) == ("TXT", name) and r.content.startswith(_SAVED)]
        found = cls(domain, service, present, copies[0] if copies else None)
        for text in found.texts:
            try:
                spf.parse(text)
            except spf.SpfError as error:
                fix = "Correct the record first: afterwards it could no longer be told what it was meant to say."
                raise MailsteadError.one("MS-ER-017", f"TXT {domain}", f"{text!r}: {error}", fix) from error
        return found

    @property
    def saved(self) -> str:
        """The text kept aside; nothing when there is none."""
        return self.copy.content[len(_SAVED) :] if self.copy else ""

    @property
    def texts(self) -> List[str]:
        """What has to be preserved, the copy first."""
        return [*([self.saved] if self.copy else []), *(r.content for r in self.present)]

    def alone(self, text: str) -> str:
        """A record without the service's mechanisms."""
        keys = {t.key for t in spf.parse(self.service).mechanisms}
        return str(spf.Spf(tuple(t for t in spf.parse(text).terms if t.key not in keys)))

    def says_more(self, text: str) -> bool:
        """Whether a record says anything that the service's does not."""
        return spf.parse(self.alone(text)).keys() != spf.parse(self.alone(self.service)).keys()

    def serves(self, text: str) -> bool:
        """Whether a record authorises the service."""
        return spf.parse(self.alone(text)) != spf.parse(text)

    @property
    def shared(self) -> bool:
        """Whether one of the records authorises the service beside others."""
        return any(self.serves(r.content) and self.says_more(r.content) for r in self.present)


def put_aside(sender: Sender) -> List[Change]:
    """What keeps the present records from being lost; nothing when they say no more than the copy or the service."""
    texts = [r.content for r in sender.present if sender.says_more(r.content)]
    if not texts:
        return []
    if sender.copy and covers(sender.saved, texts):
        return []
    text = joined([*([sender.saved] if sender.copy else []), *texts])
    origin = next(r for r in sender.present if r.content in texts)
    comment = sender.copy.comment if sender.copy else _cut(origin.comment)
    after = Have(f"{LABEL}.{sender.domain}", "TXT", _SAVED + text, origin.ttl, comment=comment)
    if sender.copy:
        changed = dataclasses.replace(sender.copy, content=after.content)
        return [Change("update", sender.copy, changed, "keeps the SPF record aside")]
    return [Change("create", None, after, "keeps the SPF record aside")]


def _cut(comment: str) -> str:
    # Half a mark is none: without it the record would be taken for somebody else's, which is the safe side.
    return f"{_WAS}{comment}" if comment and len(comment) + len(_WAS) <= _COMMENT else ""


def restored(copy: Have, domain: str, text: str) -> Have:
    """The record that a copy was made of."""
    comment = copy.comment[len(_WAS) :] if copy.comment.startswith(_WAS) else ""
    return Have(domain, "TXT", text, copy.ttl, comment=comment)


def merged_again(sender: Sender) -> List[Change]:
    """While the service is on: one record with the service's mechanisms and everybody else's, the copy removed.

    There has to be a record to go on with: the service's, if no other.
    """
    others = [t for t in sender.texts if sender.says_more(t)]
    text = joined([sender.service, *others])
    # The service's own may vanish when it is switched off: another's is the better one to go on with.
    keep = next((r for r in sender.present if sender.says_more(r.content)), sender.present[0])
    if covers(keep.content, [sender.service, *others]):
        text = keep.content
    comment = keep.comment
    if not comment and sender.copy:
        comment = restored(sender.copy, sender.domain, text).comment
    after = dataclasses.replace(keep, content=text, comment=comment)
    changes = [Change("update", keep, after, "merged with what was there before")] if after != keep else []
    surplus = [Change("delete", r, None, "its terms are in the merged SPF record") for r in sender.present if r != keep]
    return [*changes, *surplus, *removed(sender)]


def removed(sender: Sender) -> List[Change]:
    return [Change("delete", sender.copy, None, "the SPF record stands again")] if sender.copy else []


def joined(texts: Sequence[str]) -> str:
    """All of them in one record."""
    out = texts[0]
    for text in texts[1:]:
        out = merge(out, [text]).text
    return out


def covers(text: str, others: Sequence[str]) -> bool:
    """Whether a record authorises whatever the others do."""
    return all(merge(other, [text]).text == text for other in others)
