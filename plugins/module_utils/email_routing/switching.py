# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Brings domains to their goals: read, work out the way, and go it step by step, reading again after each.

Requests: per zone one for the settings and one for the records, per domain one for what the service needs.
"""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Callable, List, Optional, Sequence, Set, Tuple, TypeVar

from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare import client as cloudflare
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.provider import CloudflareProvider
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError, Problem
from ansible_collections.mailstead.stack.plugins.module_utils.dns import provider as host
from ansible_collections.mailstead.stack.plugins.module_utils.dns.provider import Zone
from ansible_collections.mailstead.stack.plugins.module_utils.dns.records import Change, Have
from ansible_collections.mailstead.stack.plugins.module_utils.email_routing import api, switch
from ansible_collections.mailstead.stack.plugins.module_utils.email_routing.model import Settings
from ansible_collections.mailstead.stack.plugins.module_utils.email_routing.switch import Goal, Observed, Step

WORKERS = 8
T = TypeVar("T")
R = TypeVar("R")
_METHODS = {"enable": "POST", "unlock": "PATCH", "disable": "DELETE"}


@dataclass
class Task:
    """A domain of a run. before: as it was read; way: the steps that takes; after: the domain at their end, first as
    predicted, later as read again. done: the steps made; written: whether anything is in effect."""

    domain: str
    zone: Zone
    goal: Goal
    before: Observed
    way: Tuple[Step, ...]
    after: Observed
    done: List[Step] = field(default_factory=list)
    written: bool = False


@dataclass(frozen=True)
class Wish:
    """What is wanted of a domain, and the zone it is in."""

    domain: str
    zone: Zone
    goal: Goal


#: Called before a domain's first step with its state and the one that is predicted.
BeforeWrite = Callable[[Task, Observed, Observed], None]


class SwitchError(MailsteadError):
    """Something failed after all domains had been found in order; tasks tell what is in effect."""

    def __init__(self, problems: Sequence[Problem], tasks: Sequence[Task]) -> None:
        super().__init__(problems)
        self.tasks = tuple(tasks)


def plan(client: cloudflare.Client, wishes: Sequence[Wish]) -> List[Task]:
    """Read everything and work out every way. Raises MailsteadError with the problems of all domains."""
    zones = list({w.zone.id: w.zone for w in wishes}.values())
    parts, problems = _each(zones, lambda zone: _read_zone(client, zone))
    if problems:
        raise MailsteadError(problems)
    read = dict(zip([z.id for z in zones], parts))

    def one(wish: Wish) -> Task:
        settings, records = read[wish.zone.id]
        before = _observe(client, wish.domain, wish.zone, settings, records)
        steps, after = switch.way(before, wish.goal)
        return Task(wish.domain, wish.zone, wish.goal, before, tuple(steps), after)

    tasks, problems = _each(wishes, one)
    if problems:
        raise MailsteadError(problems)
    return tasks


def apply(client: cloudflare.Client, tasks: Sequence[Task], before_write: Optional[BeforeWrite] = None) -> None:
    """Go the ways, one domain after the other. Raises SwitchError; what the earlier ones did stays in effect."""
    touched: Set[str] = set()
    for task in tasks:
        if not task.way:
            continue
        try:
            run = _Run(client, task)
            if task.zone.id in touched:
                run.look()
            if before_write is not None:
                before_write(task, run.now, switch.way(run.now, task.goal)[1])
            run.go()
        except MailsteadError as error:
            raise SwitchError(error.problems, tasks) from error
        touched.add(task.zone.id)


def _each(items: Sequence[T], work: Callable[[T], R]) -> Tuple[List[R], List[Problem]]:
    """All results in order, and the problems of all items together. One item needs no thread (and no new connection)."""
    results: List[R] = []
    problems: List[Problem] = []
    with ThreadPoolExecutor(max_workers=max(1, min(WORKERS, len(items)))) as pool:
        futures = [pool.submit(work, item) for item in items] if len(items) > 1 else []
        for number, item in enumerate(items):
            try:
                results.append(futures[number].result() if futures else work(item))
            except MailsteadError as error:
                problems += error.problems
    return results, problems


def _read_zone(client: cloudflare.Client, zone: Zone) -> Tuple[Settings, Tuple[Have, ...]]:
    settings = api.read_settings(client, zone.id, f"zone {zone.name}", zone.name)
    return settings, tuple(CloudflareProvider(client).read(zone))


def _observe(
    client: cloudflare.Client, domain: str, zone: Zone, settings: Settings, records: Tuple[Have, ...]
) -> Observed:
    required = api.read_required(client, zone.id, domain, domain == zone.name, zone.name)
    return Observed(zone.name, domain, settings, required, records)


class _Run:
    """The steps of one domain."""

    def __init__(self, client: cloudflare.Client, task: Task) -> None:
        self.client, self.task = client, task
        self.provider = CloudflareProvider(client)
        self.now = task.before

    def go(self) -> None:
        """Raises MailsteadError."""
        done = self.task.done
        unclear = ""
        while len(done) < switch.MAX_STEPS:
            step = switch.next_step(self.now, self.task.goal)
            self.task.after = self.now
            if step is None:
                return
            done.append(step)
            before, unclear = self.now, ""
            try:
                self._make(step)
            except (cloudflare.UnclearError, host.UnclearError) as error:
                # What is in effect decides, not what was answered.
                unclear = str(error)
            self.look()
            self.task.written = self.task.written or self.now != before
        raise switch.unsettled(self.task.domain, done, unclear)

    def look(self) -> None:
        """Read the domain again. Raises MailsteadError."""
        settings, records = _read_zone(self.client, self.task.zone)
        self.now = dataclasses.replace(self.now, settings=settings, records=records)
        self.task.after = self.now

    def _make(self, step: Step) -> None:
        task, zone = self.task, self.task.zone
        if step.changes and not self._write(step.changes):
            return
        if step.kind == "settings":
            api.change_settings(self.client, zone.id, f"zone {zone.name}", step.settings, zone.name)
        elif step.kind in _METHODS:
            apex = task.domain == zone.name
            try:
                api.switch(self.client, zone.id, _METHODS[step.kind], task.domain, apex, zone.name)
            except MailsteadError as error:
                self._put_back(step.changes, error)
        task.written = True

    def _write(self, changes: Sequence[Change]) -> bool:
        """Whether all of it is in effect; not when somebody was quicker."""
        for batch in self.provider.split(changes, self.task.zone):
            try:
                self.provider.write(self.task.zone, batch)
            except host.RefusedError as refused:
                if refused.stale:
                    return False
                raise MailsteadError([refused.problem]) from refused
            self.task.written = True
        return True

    def _put_back(self, changes: Sequence[Change], error: MailsteadError) -> None:
        """The service refused after the old provider's MX had gone: those come back. Raises MailsteadError."""
        gone = [c.before for c in changes if c.before is not None and c.before.type == "MX" and c.after is None]
        problems = list(error.problems)
        if gone:
            back = [Change("create", None, dataclasses.replace(r, id=""), "the service refused") for r in gone]
            hosts = ", ".join(switch.host(r) for r in gone)
            try:
                self.provider.write(self.task.zone, back)
                told = f"; the MX {hosts} are back"
            except (host.RefusedError, host.UnclearError, MailsteadError):
                told = f"; the MX {hosts} could not be put back: the domain has none"
            problems = [dataclasses.replace(p, what=p.what + told) for p in problems]
        raise MailsteadError(problems) from error
