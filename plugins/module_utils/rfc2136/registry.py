# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who owns which record of a zone, kept in the zone itself: records in the DNS have no comments.

One TXT record at ``_mailstead.<zone>`` stands for each owned record: the mark, as it would stand in a comment, followed
by the record's type, name below the zone (``@`` for its top), time to live as wanted, and a hash of its data::

    mailstead:mailstead:host A mail 3600 5f2b0c9d1e77

Ownership is of the value that was written: a record at the same place with other data is somebody else's until a policy
says otherwise, because a changed record and one that replaced ours cannot be told apart. Merged SPF and DMARC records are
the exception: their other owner edits them rightly, a name has one of them, and the mark claims no more than our own terms
in it.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from dataclasses import dataclass
from typing import Dict, Iterable, List, Mapping, Optional, Sequence, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.dns import rdata
from ansible_collections.mailstead.stack.plugins.module_utils.dns.policies import kind_of
from ansible_collections.mailstead.stack.plugins.module_utils.dns.records import Have, Mark

LABEL = "_mailstead"
#: Hexadecimal digits of a record's hash (48 bits: a zone has hundreds of records).
DIGITS = 12
#: Kinds of records that two owners may share.
MERGED_KINDS = ("spf", "dmarc")
#: Words after the mark.
_PLACE = 4
_NO_LIMIT = 1 << 16
#: 31 bits (RFC 2181 §8) have ten digits at most.
_TTL = re.compile("[0-9]{1,10}")

#: (type, absolute name) of a record.
Place = Tuple[str, str]


def registry_name(zone: str) -> str:
    return f"{LABEL}.{zone}"


def digest(wire: bytes) -> str:
    """The hash of a record's data in canonical wire form (RFC 4034 §6.2)."""
    return hashlib.sha256(wire).hexdigest()[:DIGITS]


@dataclass(frozen=True)
class Entry:
    """One owned record. name: absolute, canonical; ttl: as wanted, in seconds (the set's may differ); digest: of its data."""

    mark: Mark
    type: str
    name: str
    ttl: int
    digest: str

    @property
    def place(self) -> Place:
        return (self.type, self.name)

    @property
    def key(self) -> Tuple[str, str, str]:
        return (self.type, self.name, self.digest)

    @property
    def comment(self) -> str:
        """The mark as a provider with comments would give it."""
        return self.mark.write(_NO_LIMIT)

    def write(self, zone: str) -> str:
        below = "@" if self.name == zone else self.name[: -len(zone) - 1]
        return f"{self.comment} {self.type} {below} {self.ttl} {self.digest}"

    @classmethod
    def read(cls, text: str, zone: str) -> Optional[Entry]:
        """An entry from its text; None for any other text, which is then somebody else's record."""
        words = text.split(" ")
        if len(words) <= _PLACE:
            return None
        rtype, below, ttl, found = words[-_PLACE:]
        mark = Mark.read(" ".join(words[:-_PLACE]))
        if mark is None or mark.text or not _TTL.fullmatch(ttl) or len(found) != DIGITS:
            return None
        return cls(mark, rtype, zone if below == "@" else f"{below}.{zone}", int(ttl), found)


def entry_of(record: Have, wire: bytes) -> Optional[Entry]:
    """What to note about a record that is about to be written; None for one without a mark. The user's words are not kept."""
    mark = Mark.read(record.comment)
    if mark is None:
        return None
    return Entry(Mark(mark.instance, mark.role, mark.merged), record.type, record.name, record.ttl, digest(wire))


def owners(entries: Iterable[Entry], records: Sequence[Have], digests: Mapping[str, str]) -> Dict[str, Entry]:
    """The entry that speaks for each record, by the record's id; records nobody claims are left out.

    digests: of the records' data, by id.
    """
    exact: Dict[Tuple[str, str, str], Entry] = {}
    merged: Dict[Place, List[Entry]] = defaultdict(list)
    for entry in sorted(entries, key=lambda e: (e.key, e.comment)):
        exact.setdefault(entry.key, entry)
        if entry.mark.merged is not None:
            merged[entry.place].append(entry)
    out: Dict[str, Entry] = {}
    for record in records:
        found = exact.get((record.type, record.name, digests[record.id]))
        if found is not None:
            out[record.id] = found
    for place, claims in merged.items():
        rivals = [
            r for r in records if (r.type, r.name) == place and kind_of(r.name, r.type, r.content) in MERGED_KINDS
        ]
        for entry in claims:
            if len(rivals) == 1 and rivals[0].id not in out and entry not in out.values():
                out[rivals[0].id] = entry
    return out


def shared_ttl(wanted: Sequence[int], others: bool, present: Optional[int]) -> int:
    """The time to live of a set (RFC 2181 §5.2 allows only one).

    wanted: of our records in it; others: whether it holds somebody else's too, whose time to live is not ours to change.
    present: what the set has now, if it exists. Otherwise the least that anybody wants.
    """
    if others and present is not None:
        return present
    return min(wanted)


def texts(strings: Sequence[bytes]) -> str:
    """An entry's text from its character-strings."""
    return rdata.from_bytes(b"".join(strings))
