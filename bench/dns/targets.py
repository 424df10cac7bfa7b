# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has to come out. Pure: rows in, verdicts out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from .scenarios import STORM
from .score import Row

#: Requests for Z zones, all of which change: one look-up for up to 50 zones, one list and one batch per zone.
FLOOR: dict[str, Callable[[int], int]] = {
    "cold": lambda zones: 1 + 2 * zones,
    "no-op": lambda zones: 1 + zones,
    "change": lambda zones: 1 + 2 * zones,
    "foreign": lambda zones: 1 + 2 * zones,
    "txt": lambda zones: 1 + zones,
    "429": lambda zones: 1 + 2 * zones + STORM,
    "error": lambda zones: 1 + 2 * zones,
}
OURS = "ours"


@dataclass(frozen=True)
class Verdict:
    """met: None when what it needs was not measured."""

    target: str
    found: str
    met: bool | None


def judge(rows: Sequence[Row]) -> list[Verdict]:
    """Every target, in the order of the table."""
    ours = [r for r in rows if r.runner.startswith(OURS)]
    broken = [r for r in ours if r.scenario == "error"]
    return [
        _faster(rows, "cold", "octodns", "ours (module)", 8, "process against process"),
        _faster(rows, "no-op", "cloudflare_dns (module)", "ours (module)", 15, "process against process"),
        _faster(
            rows, "no-op", "cloudflare_dns (playbook)", "ours (module)", 15, "loop of a playbook against one module"
        ),
        _all("our requests are at the floor", ours, _above_floor),
        _all("nothing lost", [r for r in ours if r.foreign_survived is not None], _lost),
        _all("nothing falsely changed", ours, _changed),
        _all("every zone ends as wanted", [r for r in ours if r not in broken], lambda r: r.note),
        _all("an error leaves the zone as it was", broken, _half_done),
    ]


def _faster(rows: Sequence[Row], scenario: str, slow: str, fast: str, times: float, how: str) -> Verdict:
    target = f"{scenario}, 1 zone: at least {times:g} x faster than {slow} ({how})"
    seconds = {r.runner: r.seconds for r in rows if (r.scenario, r.zones) == (scenario, 1)}
    one, other = seconds.get(slow), seconds.get(fast)
    if not one or not other:
        return Verdict(target, "not measured", None)
    return Verdict(target, f"{one:.2f} s / {other:.2f} s = {one / other:.1f} x", one / other >= times)


def _all(target: str, rows: Iterable[Row], wrong: Callable[[Row], str]) -> Verdict:
    """Met when wrong() has nothing to say of any row."""
    said = [(r, wrong(r)) for r in rows]
    found = [f"{r.scenario}, zones: {r.zones}, {r.runner}: {words}" for r, words in said if words]
    if not said:
        return Verdict(target, "not measured", None)
    more = f"; and {len(found) - 2} more" if len(found) > 2 else ""
    return Verdict(target, "; ".join(found[:2]) + more or f"all of {len(said)} measurements", not found)


def _above_floor(row: Row) -> str:
    floor = FLOOR[row.scenario.split(" ")[0]](row.zones)
    return "" if row.requests == floor else f"{row.requests} instead of {floor}"


def _lost(row: Row) -> str:
    return "" if row.foreign_survived else row.note or "lost"


def _half_done(row: Row) -> str:
    return "" if row.note.startswith("fails") and row.false_changes == 0 else row.note


def _changed(row: Row) -> str:
    return f"{row.false_changes}" if row.false_changes else ""
