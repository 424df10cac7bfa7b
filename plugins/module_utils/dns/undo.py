# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Going back to a saved state of a zone: our records as they were then, everybody else's as they are now. Pure.

Ours of the point come back, ours that are newer go, and what our later applies did to records of others is taken back:
those that were adopted, merged, replaced or deleted are put back without a mark, as they last were in their owner's hands.
What others did themselves stays, and where they have put something in the place of a record, the record stays away.

The result is wanted records for :func:`.engine.diff`, so that every guard applies; nothing here decides about a write.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from typing import Callable, Dict, FrozenSet, List, Optional, Sequence

from ansible_collections.mailstead.stack.plugins.module_utils.dns import halves
from ansible_collections.mailstead.stack.plugins.module_utils.dns.guards import ADDRESS_LIKE
from ansible_collections.mailstead.stack.plugins.module_utils.dns.history import Snapshot
from ansible_collections.mailstead.stack.plugins.module_utils.dns.ledger import Group, group_of
from ansible_collections.mailstead.stack.plugins.module_utils.dns.lineage import Lineage, names_of, trace
from ansible_collections.mailstead.stack.plugins.module_utils.dns.policies import SINGLE_KINDS
from ansible_collections.mailstead.stack.plugins.module_utils.dns.reconcile import Goal
from ansible_collections.mailstead.stack.plugins.module_utils.dns.records import Have, Mark, Want
from ansible_collections.mailstead.stack.plugins.module_utils.plan.phases import ForeignPolicy

#: Both owners' records stand side by side, or in one where there can only be one; nobody's are replaced.
FOREIGN = ForeignPolicy(spf="merge", mx="merge", dmarc="merge", caa="merge", other="merge")
#: Order within the one batch of an undo.
_PHASES = {"A": "address", "AAAA": "address", "CNAME": "address", "TLSA": "certificate", "MX": "delivery"}
_ROLE = "restored"


def undo(point: Snapshot, later: Sequence[Snapshot], live: Sequence[Have]) -> Goal:
    """What is wanted to bring a zone back to a point.

    point: the state to go back to. later: the snapshots after it, oldest first; those of other instances do not matter.
    live: all records of the zone now. An undone undo is a point like any other. The goal holds all that is to stand there
    of ours, and others' records to be put back; it yields records that are wholly ours to replace, whatever their mark
    says, because what is others' in them an undo of ours had put there; its notes say what does not come back, and why.
    """
    chain = [point, *(s for s in later if s.instance == point.instance)]
    lines = trace(chain, live)
    return _Zone(point, lines, live, _yields(lines, point.instance)).result()


def _yields(lines: Sequence[Lineage], instance: str) -> FrozenSet[str]:
    """Ids of records in which nothing is others' but what we put there."""
    theirs = set()
    for line in lines:
        unmarked = line.now is not None and line.now.mark(instance) is None
        if line.start is not None and not line.ours and not (line.left and unmarked):
            theirs.add(id(line.now))
    undone = [line.now for line in lines if line.now is not None and line.left and id(line.now) not in theirs]
    return frozenset(record.id for record in undone if record.id)


class _Zone:
    """others: unmarked records that stand there now and stay. shared: places where a record of two owners stands."""

    def __init__(self, point: Snapshot, lines: Sequence[Lineage], live: Sequence[Have], yields: FrozenSet[str]) -> None:
        self._point, self._lines, self._yields = point, lines, yields
        marks = [(r, self._mark(r)) for r in live]
        self._others = [r for r, mark in marks if mark is None and r.id not in yields]
        shared = [r for r, mark in marks if mark is not None and mark.merged is not None]
        self._shared = {group_of(r) for r in shared if r.id not in yields}
        self._wants: List[Want] = []
        self._notes: List[str] = []

    def _mark(self, record: Have) -> Optional[Mark]:
        return record.mark(self._point.instance)

    def result(self) -> Goal:
        own: Dict[Group, List[Lineage]] = defaultdict(list)
        lost: Dict[Group, List[Lineage]] = defaultdict(list)
        for line in self._lines:
            if line.start is not None:
                if line.ours:
                    own[group_of(line.start)].append(line)
                elif self._is_lost(line):
                    lost[group_of(line.start)].append(line)
        for group in sorted({*own, *lost}):
            if group[2] in halves.KINDS:
                self._shared_place(group, own[group], lost[group])
        for group in sorted(lost):
            if group[2] not in halves.KINDS:
                self._put_back(lost[group])
        for group in sorted(own):
            if group[2] not in halves.KINDS:
                for line in own[group]:
                    self._ours(line)
        return Goal(tuple(self._wants), FOREIGN, self._yields, tuple(dict.fromkeys(self._notes)))

    def _is_lost(self, line: Lineage) -> bool:
        """Whether somebody's record is not in their hands any more, by our doing."""
        if line.now is None:
            return line.gone_by == "us"
        return line.left or self._mark(line.now) is not None

    # -- records of one owner ----------------------------------------------------------------------------------------

    def _put_back(self, lines: Sequence[Lineage]) -> None:
        """Others' records; those that come back together do not stand in each other's way."""
        for line in lines:
            record = _start(line)
            if any(other.key == record.key for other in self._others):
                continue
            rival = self._rival(line, self._others, takes_place)
            if rival is None:
                self._exactly(record)
            else:
                self._leave(record, "somebody else's", rival)

    def _ours(self, line: Lineage) -> None:
        record = _start(line)
        restored = [w.bare for w in self._wants if w.bare is not None]
        rival = self._rival(line, [*self._others, *restored], self._excludes)
        if rival is not None:
            self._leave(record, "our", rival)
            return
        self._want(record)
        beside = self._rival(line, self._others, takes_place)
        if beside is not None and beside.key != record.key:
            self._notes.append(f"{_named(record)}: somebody else's {beside.content!r} stays beside ours")

    def _rival(self, line: Lineage, others: Sequence[Have], competes: Callable[[Have, Have], bool]) -> Optional[Have]:
        """Somebody's record that competes with one that is to come back and did not stand beside it before."""
        record = _start(line)
        for other in others:
            if not line.since & names_of(other) and (competes(other, record) or self._excludes(other, record)):
                return other
        return None

    def _excludes(self, other: Have, record: Have) -> bool:
        """Whether two records cannot stand in the DNS together."""
        if other.name != record.name or other.key == record.key:
            return False
        if group_of(other) == group_of(record):
            return record.type == "CNAME" or group_of(record)[2] in SINGLE_KINDS
        if "CNAME" not in (other.type, record.type):
            return False
        # At the top of a zone providers flatten a CNAME: it excludes addresses only.
        return record.name != self._point.zone or {other.type, record.type} <= set(ADDRESS_LIKE)

    # -- records two owners share ------------------------------------------------------------------------------------

    def _shared_place(self, group: Group, own: Sequence[Lineage], lost: Sequence[Lineage]) -> None:
        """An SPF or DMARC place, of which a name has one record whoever it serves."""
        others = [r for r in self._others if group_of(r) == group]
        if not own:
            self._theirs_alone(lost, others)
            return
        for line in own[1:]:
            # Two of ours never were in order: wanting both lets the guard say so.
            self._ours(line)
        line, record = own[0], _start(own[0])
        mark = self._mark(record)
        half = halves.ours(record, mark, alone=not others and group not in self._shared)
        whole = mark is not None and mark.merged is not None and self._whole(line)
        if whole and not others and not lost:
            self._exactly(record)
        elif (whole or lost) and not others and group not in self._shared:
            base = [_start(entry) for entry in lost]
            if whole and mark is not None:
                base.insert(0, dataclasses.replace(record, content=halves.theirs(record, mark), comment=mark.text))
            self._joined(record, half, base)
        elif half:
            # What stands there the engine merges with ours.
            self._want(dataclasses.replace(record, content=half))

    def _whole(self, line: Lineage) -> bool:
        """Whether a shared record is as we left it, so that it may come back as it was with both halves."""
        if line.edited:
            return False
        if line.now is None:
            return line.gone_by == "us"
        return line.left or self._mark(line.now) is not None

    def _theirs_alone(self, lost: Sequence[Lineage], others: Sequence[Have]) -> None:
        edited = any(line.edited for line in lost)
        for record in map(_start, lost):
            if edited:
                what = "has been changed by its owner since: our part is taken out, the rest stays as it is"
                self._notes.append(f"{_named(record)}: the record we had merged with {what}")
            elif others:
                self._leave(record, "somebody else's", others[0])
            else:
                self._exactly(record)

    def _joined(self, record: Have, half: str, base: Sequence[Have]) -> None:
        """Our half and others' records that we had taken out of the zone, as one record."""
        mark = self._mark(record)
        assert mark is not None
        try:
            text, hashes = halves.join(record, half, [r.content for r in base])
        except ValueError as error:
            for other in base:
                self._notes.append(f"{_named(other)}: {other.content!r} is not put back: {error}")
            self._want(dataclasses.replace(record, content=half))
            return
        self._exactly(halves.marked(base[0], text, Mark(mark.instance, mark.role, hashes, base[0].comment)))

    # -- the result --------------------------------------------------------------------------------------------------

    def _want(self, record: Have) -> None:
        mark = self._mark(record)
        self._wants.append(self._as_want(record, mark.role if mark is not None else _ROLE))

    def _exactly(self, record: Have) -> None:
        mark = self._mark(record)
        role = mark.role if mark is not None else _ROLE
        self._wants.append(dataclasses.replace(self._as_want(record, role), bare=dataclasses.replace(record, id="")))

    def _as_want(self, record: Have, role: str) -> Want:
        phase = "keys" if group_of(record)[2] == "dkim" else _PHASES.get(record.type, "policy")
        reason = f"as it was at {self._point.taken}"
        return Want(record.name, record.type, record.content, record.ttl, phase, role or _ROLE, reason)

    def _leave(self, record: Have, whose: str, rival: Have) -> None:
        what = f"{whose} {record.content!r} is not put back: somebody else's {_named(rival)} {rival.content!r} is there now"
        self._notes.append(f"{_named(record)}: {what}")


def takes_place(other: Have, record: Have) -> bool:
    """Whether a record serves for what another did: same name, type and kind. Unrelated texts do not."""
    return group_of(other) == group_of(record) and (record.type != "TXT" or bool(group_of(record)[2]))


def _start(line: Lineage) -> Have:
    assert line.start is not None
    return line.start


def _named(record: Have) -> str:
    return f"{record.type} {record.name}"
