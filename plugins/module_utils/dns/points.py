# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The points a run can be undone to, across zones: which there are, what changed at each, which one is meant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, List, Optional, Sequence, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError, Problem
from ansible_collections.mailstead.stack.plugins.module_utils.dns import history, rdata
from ansible_collections.mailstead.stack.plugins.module_utils.dns.history import Point, Snapshot

LAST = "last"
_NAMES = 3
_SIGNS = {"create": "+", "update": "~", "delete": "-"}
_WORDS = {"create": "new", "update": "changed", "delete": "gone"}


@dataclass(frozen=True)
class Entry:
    """One zone at one point. snapshot: None when its file cannot be used; problem then says why."""

    point: Point
    snapshot: Optional[Snapshot]
    problem: str = ""


def by_time(directory: str, zones: Sequence[str] = ()) -> List[Tuple[str, List[Point]]]:
    """The points, the newest first, each with the parts of its zones in order. zones: only these, all when empty."""
    found: Dict[str, List[Point]] = {}
    for zone in canonical(zones) or history.zones(directory):
        for point in history.points(directory, zone):
            found.setdefault(history.run_of(point.taken), []).append(point)
    return sorted(found.items(), key=lambda item: history.order(item[0]), reverse=True)


def canonical(zones: Sequence[str]) -> List[str]:
    """Names of zones in canonical form, each once. Raises MailsteadError (MS-DNS-001)."""
    out: List[str] = []
    problems: List[Problem] = []
    for zone in zones:
        try:
            out.append(rdata.name(zone))
        except rdata.RdataError as error:
            problems.append(Problem("MS-DNS-001", f"zones: {zone}", str(error), "Correct the zone's name."))
    if problems:
        raise MailsteadError(problems)
    return list(dict.fromkeys(out))


def choose(directory: str, to: str, zones: Sequence[str] = ()) -> List[Point]:
    """The point that is meant: the first part for each of its zones.

    to: a time, or ``last``. zones: only these, and all of these; all zones of the run when empty. Raises MailsteadError:
    MS-DNS-085 when nothing is saved, MS-DNS-084 when the point does not exist or not for a zone.
    """
    known = by_time(directory, zones)
    if not known:
        which = " of " + ", ".join(zones) if zones else ""
        fix = "Points are saved by every run that changes records; dns_history says where they are kept."
        raise MailsteadError.one("MS-DNS-085", directory, f"nothing{which} is saved there", fix)
    taken = known[0][0] if to == LAST else to
    parts = dict(known).get(taken, [])
    found = list({p.zone: p for p in reversed(parts)}.values())[::-1]
    missing = [z for z in canonical(zones) if z not in [p.zone for p in found]]
    if not found or missing:
        which = f" of {', '.join(missing)}" if missing else ""
        fix = "The latest points are: " + ", ".join(_named(t, points) for t, points in known[:5]) + "."
        raise MailsteadError.one("MS-DNS-084", "to", f"{taken!r} is no point{which}", fix)
    return found


def left_out(directory: str, chosen: Sequence[Point]) -> List[Tuple[str, str]]:
    """Zones that later runs changed and that are not brought back with these: (zone, the first of those points)."""
    first: Dict[str, str] = {}
    names = {p.zone for p in chosen}
    for taken, points in by_time(directory):
        if history.order(taken) >= history.order(chosen[0].taken):
            first.update({p.zone: taken for p in points if p.zone not in names})
    return sorted(first.items())


def read(point: Point) -> Entry:
    """A point's content for showing; a file that cannot be used is no reason to hide the others."""
    try:
        return Entry(point, history.load(point.path))
    except MailsteadError as error:
        return Entry(point, None, f"[{error.problems[0].code}] {error.problems[0].what}")


def describe(entries: Sequence[Entry]) -> List[str]:
    """Lines for a person, one per zone; the time stands at the first zone of a point."""
    lines: List[str] = []
    width = max((len(e.point.zone) for e in entries), default=0)
    stamp = max((len(history.run_of(e.point.taken)) for e in entries), default=0)
    last = ""
    for entry in entries:
        run = history.run_of(entry.point.taken)
        taken, last = "" if run == last else run, run
        lines.append(f"{taken:<{stamp}}  {entry.point.zone:<{width}}  {_changes(entry)}")
    return lines


def _changes(entry: Entry) -> str:
    if entry.snapshot is None:
        return entry.problem
    changes = entry.snapshot.changes
    number = {a: sum(1 for c in changes if c.action == a) for a in _WORDS}
    names = [f"{_SIGNS[c.action]} {c.record.type} {c.record.name}" for c in changes]
    more = [f"and {len(names) - _NAMES} more"] if len(names) > _NAMES else []
    counts = ", ".join(f"{number[a]} {word}" for a, word in _WORDS.items() if number[a])
    note = f" ({entry.snapshot.note})" if entry.snapshot.note else ""
    return f"{counts}: {', '.join([*names[:_NAMES], *more])}{note}"


def _named(taken: str, points: Sequence[Point]) -> str:
    return f"{taken} ({', '.join(p.zone for p in points[:_NAMES])}{', …' if len(points) > _NAMES else ''})"
