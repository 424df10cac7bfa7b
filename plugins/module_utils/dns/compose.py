# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A zone brought in line in several stages: the diffs of all stages worked out in memory, and their sum. Pure."""

from __future__ import annotations

import dataclasses
from typing import Dict, Iterable, List, Optional, Sequence, Tuple, TypeVar

from ansible_collections.mailstead.stack.plugins.module_utils.dns import engine
from ansible_collections.mailstead.stack.plugins.module_utils.dns.guards import Collector, check_deletes
from ansible_collections.mailstead.stack.plugins.module_utils.dns.records import Change, Have, Options, Want, ZoneDiff

T = TypeVar("T")


def plan(
    zone: str, wants: Sequence[Want], have: Sequence[Have], options: Options, phases: Sequence[str]
) -> List[ZoneDiff]:
    """One diff per phase, each of the zone as the one before leaves it; records yet to be made get provisional ids."""
    out: List[ZoneDiff] = []
    known: Sequence[Have] = have
    for number, phase in enumerate(phases):
        diff = engine.diff(zone, wants, known, options.for_zone(through_phase=phase))
        if len(phases) > 1:
            diff = _with_ids(diff, number)
        out.append(diff)
        known = diff.after
    return out


def _with_ids(diff: ZoneDiff, stage: int) -> ZoneDiff:
    """The diff with an id for each record it makes, so that later stages can tell them apart. The provider's differ."""
    changes: List[Change] = []
    named: Dict[int, Have] = {}
    for number, change in enumerate(diff.changes):
        if change.action == "create" and change.after is not None:
            record = dataclasses.replace(change.after, id=f"new {stage}.{number}")
            named[id(change.after)] = record
            changes.append(dataclasses.replace(change, after=record))
        else:
            changes.append(change)
    after = tuple(named.get(id(record), record) for record in diff.after)
    return dataclasses.replace(diff, changes=tuple(changes), after=after)


def total(diffs: Sequence[ZoneDiff], options: Options) -> ZoneDiff:
    """What the stages do altogether, as one diff of the zone as it was. options: for the guard of deletions."""
    if len(diffs) == 1:
        return diffs[0]
    first, last = diffs[0], diffs[-1]
    changes = net(c for d in diffs for c in d.changes)
    found = Collector(first.zone, options)
    owned = sum(1 for h in first.before if h.mark(options.instance) is not None)
    check_deletes(found, list(changes.values()), owned, options)
    late = {c.record.id for c in last.changes}
    return dataclasses.replace(
        last,
        changes=tuple(changes.values()),
        before=first.before,
        after=tuple((changes[r.id].after or r) if r.id in changes else r for r in last.after),
        # What an earlier stage brings in line is in order for the last one, but it did need something.
        satisfied=last.satisfied - sum(1 for key, c in changes.items() if c.phase and key not in late),
        notes=_unique(n for d in diffs for n in d.notes),
        problems=_unique([*(p for d in diffs for p in d.problems), *found.problems]),
    )


def net(changes: Iterable[Change]) -> Dict[str, Change]:
    """Changes made one after another as the fewest with the same effect, by the id the record has; new ones bear none."""
    out: Dict[str, Change] = {}
    for number, change in enumerate(changes):
        key = change.record.id or f"unnamed {number}"
        joined: Optional[Change] = _join(out.pop(key), change) if key in out else change
        if joined is not None:
            out[key] = joined
    return {key: _bare(change) for key, change in out.items()}


def _join(first: Change, second: Change) -> Optional[Change]:
    if second.after is None:
        reason, after = second.reason, None
    else:
        reason, after = "; ".join(_unique([first.reason, second.reason])), second.after
    if first.before is None and after is None:
        return None
    if first.before == after:
        return None
    action = "create" if first.before is None else "delete" if after is None else "update"
    return Change(action, first.before, after, reason, second.phase or first.phase, second.role or first.role)


def _bare(change: Change) -> Change:
    if change.action != "create" or change.after is None:
        return change
    return dataclasses.replace(change, after=dataclasses.replace(change.after, id=""))


def _unique(items: Iterable[T]) -> Tuple[T, ...]:
    return tuple(dict.fromkeys(items))
