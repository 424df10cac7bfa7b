# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m bench.dns``: measure, print the table, write build/bench/dns.json; fails when a target is missed."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from . import environment, scenarios, table, targets
from .account import LATENCY, TOKEN, Account
from .runners.base import Job, Outcome, Runner, run
from .runners.community import CommunityModule, CommunityPlaybook
from .runners.octodns import Octodns
from .runners.ours import OursModule, OursPlaybook
from .runners.sdk import Sdk
from .scenarios import Scenario
from .score import Row, Score, combine, interrupted, score

RESULT = environment.BUILD / "dns.json"
MOST = 10


@dataclasses.dataclass(frozen=True)
class Plan:
    """How often a runner is measured, by number of zones and scenario; how often among foreign records; whether the
    spellings are tried with the whole set, with its TXT records alone (None), or not at all; what goes wrong meanwhile."""

    runner: Runner
    repeat: dict[int, dict[str, int]]
    foreign: int = 1
    spellings: bool | None = True
    faults: tuple[Callable[[int], Scenario], ...] = ()


def plans() -> list[Plan]:
    """Bounded so that everything takes about six minutes: what is slow is measured once, or with one zone only."""
    often = {"cold": 5, "no-op": 7, "change": 5}
    some = {"cold": 3, "no-op": 3, "change": 3}
    once = {"cold": 1, "no-op": 1, "change": 1}
    both = (scenarios.storm, scenarios.error)
    return [
        Plan(OursModule(), {1: often, MOST: often}, 3, faults=both),
        Plan(OursPlaybook(), {1: often, MOST: some}),
        # It pauses for 300 s after a 429, which nobody waits for here.
        Plan(Octodns(environment.VENV), {1: some, MOST: {**some, "cold": 1}}, faults=(scenarios.error,)),
        Plan(Sdk(environment.VENV), {1: some, MOST: some}, faults=both),
        Plan(CommunityModule(), {1: once}, spellings=None),
        Plan(CommunityPlaybook(), {1: once}, foreign=0, spellings=False),
    ]


class Bench:
    """Runs plans against one account and collects rows."""

    def __init__(self, account: Account, directory: Path) -> None:
        self._account, self._directory = account, directory
        self.rows: list[Row] = []

    def once(self, runner: Runner, scenario: Scenario) -> tuple[Score, Outcome]:
        """One measured run. Preparation and inspection are not in its time and not in its requests."""
        zones = list(scenario.wanted)
        if scenario.start is not None:
            self._account.replace(scenario.start)
        job = Job(self._account.url, TOKEN, scenario.wanted, scenario.foreign)
        commands = runner.commands(job, self._directory)
        before = self._account.records(zones)
        self._account.misbehave(scenario.faults)
        self._account.forget()
        outcome = run(commands, self._directory)
        log = self._account.log()
        self._account.misbehave(())
        after = self._account.records(zones)
        return score(before, after, scenario.wanted, log, scenario.foreign), outcome

    def measure(self, runner: Runner, turns: Sequence[Scenario], note: str = "") -> None:
        """A row of several runs of one scenario."""
        found = [self.once(runner, scenario) for scenario in turns]
        first = turns[0]
        failure = next((o.failure for _, o in found if o.failure), "")
        job = Job(self._account.url, TOKEN, first.wanted, first.foreign)
        notes = "; ".join(n for n in (note, runner.note(job)) if n)
        scores, seconds = [s for s, _ in found], [o.seconds for _, o in found]
        row = combine(runner.name, first.name, first.zones, scores, seconds, notes, failure)
        row = interrupted(row, scores) if first.breaks else row
        self.rows.append(row)
        took = "failed" if row.seconds is None else f"{row.seconds} s"
        print(f"bench: {row.scenario}, zones: {row.zones}, {row.runner}: {took}", file=sys.stderr, flush=True)

    def carry_out(self, plan: Plan) -> None:
        """All scenarios of one runner. Those of one number of zones go on from each other, so their order matters."""
        for zones, repeat in plan.repeat.items():
            self.measure(plan.runner, [scenarios.cold(zones)] * repeat["cold"])
            self.measure(plan.runner, [scenarios.no_op(zones)] * repeat["no-op"])
            self.measure(plan.runner, [scenarios.change(zones, turn) for turn in range(repeat["change"])])
        if plan.foreign:
            self.measure(plan.runner, [scenarios.foreign(1)] * plan.foreign)
        for spelling in scenarios.SPELLINGS if plan.spellings is not False else ():
            scenario = scenarios.spelled(spelling)
            if plan.spellings:
                self.measure(plan.runner, [scenario])
            else:
                self.measure(plan.runner, [scenarios.txt_only(scenario)], "only the TXT records were given")
        for fault in plan.faults:
            self.measure(plan.runner, [fault(1)])
        if MOST not in plan.repeat:
            self.rows += [_left_out(plan.runner, name) for name in ("cold", "no-op", "change")]


def _left_out(runner: Runner, scenario: str) -> Row:
    return Row(runner.name, scenario, MOST, None, None, None, None, f"not measured: {MOST} times its single zone")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.dns", description=__doc__)
    parser.add_argument(
        "--only", default="", help="runners whose name begins so; targets that need others do not count"
    )
    options = parser.parse_args(argv)
    # So that a bench that is stopped stops what it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    environment.prepare()
    chosen = [p for p in plans() if p.runner.name.startswith(options.only)]
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    if load > cores / 2:
        print(
            f"bench: the machine is busy (load {load:.1f} on {cores} cores); times say little",
            file=sys.stderr,
            flush=True,
        )
    started = time.monotonic()
    with tempfile.TemporaryDirectory(dir=environment.BUILD) as name:
        directory = Path(name)
        with Account(scenarios.zone_names(MOST), directory) as account:
            environment.install_community(account.url, directory)
            bench = Bench(account, directory)
            for plan in chosen:
                bench.carry_out(plan)
    found = targets.judge(bench.rows)
    report(bench.rows, found, time.monotonic() - started)
    return 0 if all(v.met or (v.met is None and options.only) for v in found) else 1


def report(rows: Sequence[Row], found: Sequence[targets.Verdict], seconds: float) -> None:
    RESULT.write_text(json.dumps([r.to_json() for r in rows], indent=1) + "\n", encoding="utf-8")
    versions = ", ".join(f"{k} {v}" for k, v in environment.versions().items())
    print(f"{versions}; {LATENCY:.0f} ms added to each request; measured in {seconds:.0f} s\n")
    print(table.render(rows))
    print("\nx ours: seconds in relation to ours of the same kind, playbook with playbook, process with process")
    print(
        f"cloudflare_dns is a copy with its endpoint replaced and, in its favour, {' -> '.join(environment.TOLERANCE)}\n"
    )
    print(table.verdicts(found))


if __name__ == "__main__":
    sys.exit(main())
