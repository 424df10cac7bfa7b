# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What became of each record of a zone from a saved state until now, and by whose hand. Pure.

States are what counts: each apply's snapshot says what the zone really was. What an apply was about to do only decides
whose hand it was where the states alone cannot tell, so an apply that was cut short misleads nobody.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Dict, FrozenSet, List, Optional, Sequence, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.dns.foreign import stripped
from ansible_collections.mailstead.stack.plugins.module_utils.dns.history import Snapshot
from ansible_collections.mailstead.stack.plugins.module_utils.dns.ledger import group_of
from ansible_collections.mailstead.stack.plugins.module_utils.dns.records import Change, Have


@dataclass(frozen=True)
class Lineage:
    """One record through time.

    start: as it was at the point, or as it last was in somebody else's hands; None for one we made unmarked (put back for
    its owner) that was not there at the point. ours: whether start is ours. now: as it is; None when it is gone. gone_by:
    "us" or "others" when it is. left: what of it is not ours is so because we made it so, in an undo. edited: its other
    owner changed their part of it, or all of it while it bore no mark. since: ids and keys of others' records beside it
    when it was last in its owner's hands.
    """

    start: Optional[Have]
    ours: bool
    now: Optional[Have]
    gone_by: str = ""
    left: bool = False
    edited: bool = False
    since: FrozenSet[object] = frozenset()


def trace(chain: Sequence[Snapshot], live: Sequence[Have]) -> List[Lineage]:
    """All records worth knowing about: those of the point (the chain's first state), and later ones of others.

    chain: the point and all later snapshots of our instance, oldest first. live: the zone now.
    """
    instance = chain[0].instance
    first = _State(chain[0].before, instance)
    lines = [Lineage(h, first.mine(h), h, since=first.others) for h in first.records]
    for number, snapshot in enumerate(chain):
        known = chain[number + 1].before if number + 1 < len(chain) else live
        step = _Step(_State(snapshot.before, instance), snapshot.changes, _State(known, instance))
        lines = [step.follow(line) for line in lines]
        lines += step.newcomers(lines)
    return lines


def names_of(record: Have) -> FrozenSet[object]:
    """By what a record is recognised in :attr:`Lineage.since`: its id, and its data where ids come from that."""
    return frozenset((record.id, record.key) if record.id else (record.key,))


def same(one: Have, other: Have) -> bool:
    """Whether a record is as it was left. The time to live may be that of a whole set, so it does not tell."""
    return (one.key, one.comment, one.proxied) == (other.key, other.comment, other.proxied)


class _State:
    def __init__(self, records: Sequence[Have], instance: str) -> None:
        self.records = tuple(records)
        self._instance = instance
        self.by_id = {r.id: r for r in self.records if r.id}
        self.by_key: Dict[Tuple[str, str, str], List[Have]] = {}
        for record in self.records:
            self.by_key.setdefault(record.key, []).append(record)

    @property
    def others(self) -> FrozenSet[object]:
        """Names of the records that are not ours."""
        return frozenset(n for r in self.records if not self.mine(r) for n in names_of(r))

    def mine(self, record: Have) -> bool:
        return record.mark(self._instance) is not None

    def others_part(self, record: Have) -> Optional[str]:
        """Of a record of two owners what is not ours; None for a record of one owner."""
        mark = record.mark(self._instance)
        return None if mark is None or mark.merged is None else stripped(record, mark)


class _Step:
    """From one known state to the next, with the apply in between and whatever others did meanwhile."""

    def __init__(self, before: _State, changes: Sequence[Change], after: _State) -> None:
        self._before, self._changes, self._after = before, changes, after
        self._made = [c.after for c in changes if c.after is not None and self._gives(c.before, c.after)]

    def follow(self, line: Lineage) -> Lineage:
        if line.now is None:
            return self._returned(line)
        planned = self._planned(line.now)
        found = self._successor(line.now, planned)
        if found is not None:
            return self._on(line, line.now, planned, found)
        if planned is not None and planned.after is None:
            frozen = line if self._before.mine(line.now) else self._freeze(line)
            return self._returned(dataclasses.replace(frozen, now=None, gone_by="us", left=False))
        return dataclasses.replace(line, now=None, gone_by="others", left=False)

    def _gives(self, was: Optional[Have], becomes: Have) -> bool:
        """Whether a change puts something of others into the zone that was not there: only an undo does."""
        if was is not None and (not self._before.mine(was) or self._before.others_part(was) is not None):
            return False
        return not self._before.mine(becomes) or self._before.others_part(becomes) is not None

    def newcomers(self, lines: Sequence[Lineage]) -> List[Lineage]:
        """Others' records that are new, and those we made unmarked ourselves."""
        reached = {id(line.now) for line in lines}
        out = []
        for record in self._after.records:
            made = any(same(record, m) for m in self._made)
            if id(record) not in reached and (made or not self._after.mine(record)):
                out.append(Lineage(None if made else record, False, record, left=made, since=self._after.others))
        return out

    def _planned(self, record: Have) -> Optional[Change]:
        """What the apply was about to do with a record."""
        for change in self._changes:
            before = change.before
            if before is not None and before.key == record.key and before.id == record.id:
                return change
        return None

    def _successor(self, record: Have, planned: Optional[Change]) -> Optional[Have]:
        """The record in the next state: by id, or by its data where ids are made from the data or it was made anew."""
        if record.id and record.id in self._after.by_id:
            return self._after.by_id[record.id]
        if planned is not None and planned.after is None:
            return None
        expected = record if planned is None or planned.after is None else planned.after
        for key in (expected.key, record.key):
            for found in self._after.by_key.get(key, []):
                if self._is_new(found):
                    return found
        return self._shared(expected)

    def _shared(self, record: Have) -> Optional[Have]:
        """A record of two owners whose data the other one changed, where ids come from the data: a place has only one."""
        if self._before.others_part(record) is not None:
            new = [r for r in self._after.records if self._is_new(r) and group_of(r) == group_of(record)]
            return next((r for r in new if self._after.others_part(r) is not None), None)
        return None

    def _is_new(self, record: Have) -> bool:
        return record.id not in self._before.by_id

    def _returned(self, line: Lineage) -> Lineage:
        """A record that was gone and stands there again with the same data, whoever did it."""
        if line.start is None:
            return line
        for found in self._after.by_key.get(line.start.key, []):
            known = self._before.by_id.get(found.id)
            if known is None or known.key != found.key:
                left = not self._after.mine(found) and any(same(found, m) for m in self._made)
                return dataclasses.replace(line, now=found, gone_by="", left=left)
        return line

    def _on(self, line: Lineage, was: Have, planned: Optional[Change], found: Have) -> Lineage:
        """The record still stands there."""
        after = planned.after if planned is not None else None
        made = after is not None and self._gives(was, after) and same(after, found)
        if self._after.mine(found):
            if not self._before.mine(was):
                line = self._freeze(line)
            part = self._after.others_part(after if after is not None else was)
            here = self._after.others_part(found)
            edited = part is not None and here not in (None, part)
            left = made or (line.left and here is not None and not edited)
            return dataclasses.replace(line, now=found, left=left, edited=line.edited or edited)
        # An apply leaves a record unmarked when it gives it back, or, undoing such an undo, changes it once more.
        expected = after if after is not None else was if line.left and not self._before.mine(was) else None
        left = expected is not None and same(expected, found)
        if line.ours or line.start is None:
            return dataclasses.replace(line, now=found, left=left, edited=line.edited or not left)
        if left and not line.edited and not same(found, line.start):
            # Given back, but not quite as it was: a merge may have made its end laxer.
            return dataclasses.replace(line, now=found, left=True)
        # In its owner's hands: as they have it now is how it would have to come back.
        return dataclasses.replace(line, start=found, now=found, left=False, edited=False)

    def _freeze(self, line: Lineage) -> Lineage:
        """From here on the record is not in its owner's hands."""
        theirs = not line.ours and line.start is not None and not line.left
        start = line.now if theirs else line.start
        return dataclasses.replace(line, start=start, since=self._before.others, edited=line.edited and not theirs)
