# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The result as a table for people. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from .score import Row
from .targets import Verdict

HEAD = ("scenario", "zones", "runner", "requests", "seconds", "x ours", "foreign", "false", "note")
RIGHT = {1, 3, 4, 5, 7}


def compared_with(row: Row, rows: Sequence[Row]) -> str:
    """How many times as long as ours of the same kind (playbook with playbook, process with process)."""
    kind = "ours (playbook)" if row.runner.endswith("(playbook)") else "ours (module)"
    same = {r.runner: r.seconds for r in rows if (r.scenario, r.zones) == (row.scenario, row.zones)}
    ours = same.get(kind)
    return f"{row.seconds / ours:.1f}" if row.seconds and ours else "-"


def cells(row: Row, rows: Sequence[Row]) -> tuple[str, ...]:
    survived = {None: "-", True: "kept", False: "LOST"}[row.foreign_survived]
    return (
        row.scenario,
        str(row.zones),
        row.runner,
        _number(row.requests),
        "-" if row.seconds is None else f"{row.seconds:.2f}",
        compared_with(row, rows),
        survived,
        _number(row.false_changes),
        row.note,
    )


def _number(value: int | None) -> str:
    return "-" if value is None else str(value)


def render(rows: Sequence[Row]) -> str:
    """All rows, grouped by scenario and number of zones in the order in which they first appear."""
    order = list(dict.fromkeys((r.scenario, r.zones) for r in rows))
    grouped = sorted(rows, key=lambda r: order.index((r.scenario, r.zones)))
    lines = [HEAD, *(cells(r, rows) for r in grouped)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEAD) - 1)]
    return "\n".join(_line(line, widths) for line in lines)


def _line(line: Sequence[str], widths: Sequence[int]) -> str:
    padded = [c.rjust(w) if i in RIGHT else c.ljust(w) for i, (c, w) in enumerate(zip(line, widths, strict=False))]
    return "  ".join([*padded, line[-1]]).rstrip()


def verdicts(found: Sequence[Verdict]) -> str:
    words = {True: "yes", False: "NO", None: "not measured"}
    return "\n".join(f"{words[v.met]:>12}  {v.target}: {v.found}" for v in found)
