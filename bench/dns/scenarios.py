# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is measured: how the zones look before, and what is wanted in them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .records import ADDRESS, Body, Record, foreign_records, mail_records, moved, quoted

#: By hand in the dashboard, quoted as documented, and cut elsewhere than anyone would.
SPELLINGS: dict[str, Callable[[str], str]] = {
    "unquoted": str,
    "quoted": quoted,
    "re-chunked": lambda text: quoted(text, 40),
}

Wanted = Mapping[str, Sequence[Record]]
Start = Mapping[str, Sequence[Body]]
Faults = Sequence[Mapping[str, Any]]

#: Requests refused for coming too fast, each for a second.
STORM = 3

#: Which of the 30 writes fails, counted from 0.
BROKEN = 14


@dataclass(frozen=True)
class Scenario:
    """start: the bodies each zone begins with, or None to go on from what the same runner left; wanted: per zone; foreign:
    whether the records at the start are somebody else's; faults: what the twin does meanwhile; breaks: the run has to fail."""

    name: str
    zones: int
    start: Start | None
    wanted: Wanted
    foreign: bool = False
    faults: Faults = ()
    breaks: bool = False


def zone_names(count: int) -> list[str]:
    """Names that no other part of the project uses."""
    return [f"bench{i}.example" for i in range(count)]


def mail_sets(names: Sequence[str], address: str = ADDRESS) -> dict[str, list[Record]]:
    return {name: moved(mail_records(name), address) for name in names}


def cold(zones: int) -> Scenario:
    """Empty zones."""
    names = zone_names(zones)
    return Scenario("cold", zones, {name: [] for name in names}, mail_sets(names))


def no_op(zones: int) -> Scenario:
    """Everything is there already, written by the same runner."""
    return Scenario("no-op", zones, None, mail_sets(zone_names(zones)))


def change(zones: int, turn: int = 0) -> Scenario:
    """The mail host's address moves in every zone; to another one each turn (0 to 200)."""
    return Scenario("change", zones, None, mail_sets(zone_names(zones), f"198.18.1.{20 + turn}"))


def foreign(zones: int) -> Scenario:
    """As cold, among 20 records of somebody else."""
    names = zone_names(zones)
    return Scenario("foreign", zones, {name: foreign_records(name) for name in names}, mail_sets(names), True)


def storm(zones: int) -> Scenario:
    """As cold; every request after the first is at first refused with 429 and Retry-After: 1."""
    fault = {"kind": "status", "status": 429, "times": STORM, "skip": 1, "retry_after": 1.0}
    return dataclasses.replace(cold(zones), name="429", faults=[fault])


def error(zones: int) -> Scenario:
    """As cold, but the fifteenth record is refused, as an operation of a batch or as a request of its own."""
    single = {"kind": "status", "status": 500, "method": "POST", "path": "/dns_records", "skip": BROKEN}
    operation = {"kind": "operation", "operation": BROKEN, "status": 400, "path": "/dns_records/batch"}
    return dataclasses.replace(cold(zones), name="error", faults=[operation, single], breaks=True)


def spelled(spelling: str) -> Scenario:
    """One zone in which everything was made by hand as wanted, its TXT records in the given spelling."""
    (name,) = zone_names(1)
    write = SPELLINGS[spelling]
    records = mail_records(name)
    bodies = [{**r.body(), "content": write(r.content)} if r.type == "TXT" else r.body() for r in records]
    return Scenario(f"txt {spelling}", 1, {name: bodies}, {name: records})


def txt_only(scenario: Scenario) -> Scenario:
    """The same with its TXT records alone, for a runner that takes long for each record."""
    start = {zone: [b for b in bodies if b["type"] == "TXT"] for zone, bodies in (scenario.start or {}).items()}
    wanted = {zone: [r for r in records if r.type == "TXT"] for zone, records in scenario.wanted.items()}
    return dataclasses.replace(scenario, start=start, wanted=wanted)
