# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run did to the zones, judged from the records before and after and from the twin's log. Pure."""

from __future__ import annotations

import json
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from .records import Body, Record, meaning

Zones = Mapping[str, Sequence[Body]]
Meaning = tuple[str, str, str, int]


@dataclass(frozen=True)
class Score:
    """requests: all of them; writes: operations that took effect, those of batches counted singly; lost: foreign records that
    are gone or not the same byte for byte (None: there were none); touched: records that were right and were changed, removed
    or written again; missing, surplus: records the zones lack or have beyond wanted and foreign ones."""

    requests: int
    writes: int
    lost: int | None
    touched: int
    missing: tuple[str, ...] = ()
    surplus: tuple[str, ...] = ()


@dataclass(frozen=True)
class Row:
    """One line of the table and of dns.json. seconds: median of the repetitions; None: it was not measured, or the
    runner cannot do it."""

    runner: str
    scenario: str
    zones: int
    requests: int | None
    seconds: float | None
    foreign_survived: bool | None
    false_changes: int | None
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        return {key: value for key, value in asdict(self).items() if key != "note" or value}


def writes_of(log: Sequence[Mapping[str, Any]]) -> int:
    """Operations that took effect."""
    done = [e for e in log if e["method"] != "GET" and 200 <= e["status"] < 300]
    return sum(e["operations"] if e["path"].endswith("/batch") else 1 for e in done)


def score(
    before: Zones, after: Zones, wanted: Mapping[str, Sequence[Record]], log: Sequence[Mapping[str, Any]], foreign: bool
) -> Score:
    """Judge one run. foreign: whether what was there before is somebody else's."""
    lost, touched = 0, 0
    missing: list[str] = []
    surplus: list[str] = []
    for zone, records in wanted.items():
        goal = Counter(meaning(r.body()) for r in records)
        was, now = before[zone], after[zone]
        kept = {_bytes(r) for r in now}
        changed = [r for r in was if _bytes(r) not in kept]
        right = [r for r in changed if foreign or meaning(r) in goal]
        touched += len(right)
        lost += len(changed) if foreign else 0
        # A foreign record may say what is wanted: it serves both, once.
        expected = set(goal) | ({meaning(r) for r in was} if foreign else set())
        found = Counter(meaning(r) for r in now)
        missing += [_words(m) for m in expected if not found[m]]
        surplus += [_words(m) for m in (found - Counter(dict.fromkeys(expected, 1))).elements()]
    writes = writes_of(log)
    if _nothing_to_do(before, wanted):
        touched = max(touched, writes)
    return Score(len(log), writes, lost if foreign else None, touched, tuple(sorted(missing)), tuple(sorted(surplus)))


def _nothing_to_do(before: Zones, wanted: Mapping[str, Sequence[Record]]) -> bool:
    return all(
        {meaning(r.body()) for r in records} <= {meaning(b) for b in before[zone]} for zone, records in wanted.items()
    )


def _bytes(record: Body) -> str:
    return json.dumps(record, sort_keys=True)


def _words(found: Meaning) -> str:
    kind, name, text, _ = found
    return f"{kind} {name} {text if len(text) <= 40 else text[:37] + '...'}"


def combine(
    runner: str,
    scenario: str,
    zones: int,
    scores: Sequence[Score],
    seconds: Sequence[float],
    note: str = "",
    failure: str = "",
) -> Row:
    """One row of all repetitions: the median time, the worst of everything else. failure: what stopped one of them; how long
    a failed run takes says nothing."""
    losses = [s.lost for s in scores if s.lost is not None]
    most = max(losses, default=0)
    left = scores[-1]
    notes = [
        note,
        failure and f"fails: {failure}",
        _some("missing", left.missing),
        _some("beside what is wanted", left.surplus),
        f"{most} foreign records lost or altered" if most else "",
    ]
    return Row(
        runner,
        scenario,
        zones,
        max(s.requests for s in scores),
        None if failure else round(statistics.median(seconds), 3),
        not most if losses else None,
        max(s.touched for s in scores),
        "; ".join(n for n in notes if n),
    )


def interrupted(row: Row, scores: Sequence[Score]) -> Row:
    """The row of a run that had to fail: whatever it wrote all the same leaves the zone between before and after."""
    written = max(s.writes for s in scores)
    how = row.note.split("; missing:")[0] if row.seconds is None else "does not fail"
    left = f"{written} records written all the same" if written else "nothing written"
    return replace(row, false_changes=written, note=f"{how}; {left}")


def _some(word: str, items: Sequence[str]) -> str:
    if not items:
        return ""
    return f"{word}: {items[0]}" + (f" and {len(items) - 1} more" if len(items) > 1 else "")
