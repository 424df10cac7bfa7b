# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The bookkeeping of one zone's diff: which wanted records are open, which present ones undecided, what will be done."""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import Dict, Iterator, List, Optional, Sequence, Tuple, Union

from ansible_collections.mailstead.stack.plugins.module_utils.dns.guards import Collector
from ansible_collections.mailstead.stack.plugins.module_utils.dns.policies import kind_of
from ansible_collections.mailstead.stack.plugins.module_utils.dns.records import (
    AUTO_TTL,
    Change,
    Have,
    Mark,
    Options,
    Want,
    without_ownership,
    words_of,
)

#: Characters of an old value that a reason repeats.
SHOWN = 60
#: (type, name, kind): records of one group compete for one place.
Group = Tuple[str, str, str]


def group_of(record: Union[Want, Have]) -> Group:
    return (record.type, record.name, kind_of(record.name, record.type, record.content))


def policy_field(rtype: str, kind: str) -> str:
    """The field of ForeignPolicy that governs a record."""
    if kind in ("spf", "dmarc"):
        return kind
    return rtype.lower() if rtype in ("MX", "CAA") else "other"


def ttl_of(want: Want) -> int:
    """The time to live to write: "automatic" is stored as what it stands for, so that comparing stays simple."""
    return AUTO_TTL if want.ttl == 1 else want.ttl


class Ledger:
    """active and later: wanted records of this run and of later phases; open: active ones without a record yet.

    have: the present records, addressed by index; free: indexes nothing has been decided about. found: gathers problems
    and notes, those of the wanted records included.
    """

    def __init__(self, wants: Sequence[Want], have: Sequence[Have], options: Options, found: Collector) -> None:
        self.zone, self.options, self.found = found.zone, options, found
        ordered = sorted(wants, key=lambda w: (w.type, w.name, w.content))
        self.active = [w for w in ordered if options.active(w.phase)]
        self.later = [w for w in ordered if not options.active(w.phase)]
        self.open = list(self.active)
        self.have = tuple(have)
        self.free = set(range(len(self.have)))
        self.changes: List[Change] = []
        self.notes = found.notes
        #: Satisfied by somebody else's record, by mailstead instance; those of nobody's instance under nothing.
        self.kept_by: Counter[str] = Counter()
        self.satisfied = self.foreign_satisfied = self.held = 0
        self._fate: Dict[int, Optional[Have]] = {}

    def mark(self, record: Have) -> Optional[Mark]:
        if record.id in self.options.yields and not record.read_only:
            return Mark(self.options.instance, "", None, record.comment)
        return record.mark(self.options.instance)

    def mine(self, record: Have) -> bool:
        return self.mark(record) is not None

    def undecided(self) -> Iterator[Tuple[int, Have]]:
        for index in sorted(self.free):
            yield index, self.have[index]

    def policy(self, rtype: str, kind: str) -> str:
        """What happens to somebody else's record of this type and kind where ours has to go."""
        if self.options.takes_over:
            return "replace"
        return str(getattr(self.options.foreign, policy_field(rtype, kind)))

    def shaped(self, index: int, want: Want) -> Have:
        """A present record brought in line with a wanted one and marked; its other fields and words are kept.

        The tag is written along with other changes only: for its own sake nothing is touched.
        """
        have = self.have[index]
        if want.bare is not None:
            return dataclasses.replace(want.bare, id=have.id)
        mark = self.mark(have)
        comment = self.options.mark(want.role, None, words_of(have.comment) if mark is None else mark.text)
        proxied = have.proxied and "proxied_host" in self.options.allow
        ttl = have.ttl if proxied else ttl_of(want)
        desired = dataclasses.replace(have, content=want.content, ttl=ttl, proxied=proxied, comment=comment)
        if desired == have:
            return have
        return dataclasses.replace(desired, tags=self.options.tagged(have.tags))

    def given_back(self, index: int, content: str) -> Have:
        """A present record without our mark and tag: from now on somebody else's."""
        have = self.have[index]
        mark = self.mark(have)
        words = have.comment if mark is None else mark.text
        return dataclasses.replace(have, content=content, comment=words, tags=without_ownership(have.tags))

    def close(self, want: Want) -> None:
        """The wanted record has found its place."""
        if want in self.open:
            self.open.remove(want)

    def leave_out(self, want: Want, note: str) -> None:
        """The wanted record is not published after all."""
        self.close(want)
        self.active.remove(want)
        self.notes.append(f"{want.type} {want.name}: left out, {note}")

    def satisfy(self, want: Want, index: int) -> None:
        """Nothing to do: the record says it already."""
        self.close(want)
        self.free.discard(index)
        self.satisfied += 1
        if not self.mine(self.have[index]):
            self.foreign_satisfied += 1
            self.kept_by[self.have[index].owner] += 1

    def create(self, want: Want) -> None:
        self.close(want)
        record = want.bare
        if record is None:
            comment, tags = self.options.mark(want.role), self.options.tagged()
            record = Have(want.name, want.type, want.content, ttl_of(want), comment=comment, tags=tags)
        self.changes.append(Change("create", None, record, want.reason or "not there yet", want.phase, want.role))

    def update(self, index: int, desired: Have, want: Optional[Want], why: str = "") -> None:
        before = self.have[index]
        self.free.discard(index)
        self._fate[index] = desired
        mark = self.mark(before)
        phase, role = ("", mark.role if mark else "")
        if want is not None:
            self.close(want)
            phase, role = want.phase, want.role
        reason = "; ".join(r for r in (why, _differences(before, desired), want.reason if want else "") if r)
        self.changes.append(Change("update", before, desired, reason, phase, role))

    def delete(self, index: int, reason: str) -> None:
        record = self.have[index]
        mark = self.mark(record)
        self.free.discard(index)
        self._fate[index] = None
        self.changes.append(Change("delete", record, None, reason, "", mark.role if mark else ""))

    def after(self) -> Tuple[Have, ...]:
        """The records as they will be."""
        kept = [self._fate.get(i, record) for i, record in enumerate(self.have)]
        created = [c.after for c in self.changes if c.action == "create"]
        return tuple(r for r in [*kept, *created] if r is not None)


def _differences(before: Have, after: Have) -> str:
    words = {
        "content": f"was {_shown(before)}",
        "ttl": f"time to live was {before.ttl}",
        "proxied": "was proxied",
    }
    fields = Change("update", before, after, "").fields()
    return ", ".join(words[f] for f in fields if f in words) or "mark"


def _shown(record: Have) -> str:
    text = repr(record.content) if record.type == "TXT" else record.content
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"
