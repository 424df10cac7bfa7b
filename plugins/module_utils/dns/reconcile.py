# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All zones in one go: look them up, read, diff, and, when every zone is in order, write the difference.

Every zone is read once. With stages, what the provider answers to a write is the state from which the next stage starts;
the whole way is worked out and judged in memory before the first write.
"""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Callable, Dict, FrozenSet, List, Optional, Sequence, Set, Tuple, TypeVar

from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError, Problem
from ansible_collections.mailstead.stack.plugins.module_utils.dns import compose, engine
from ansible_collections.mailstead.stack.plugins.module_utils.dns.guards import Collector, check_targets, check_wants
from ansible_collections.mailstead.stack.plugins.module_utils.dns.provider import (
    RefusedError,
    UnclearError,
    Written,
    Zone,
    ZoneProvider,
)
from ansible_collections.mailstead.stack.plugins.module_utils.dns.records import Change, Have, Options, Want, ZoneDiff
from ansible_collections.mailstead.stack.plugins.module_utils.plan.phases import PHASES, ForeignPolicy

WORKERS = 8
#: How often a zone is read again after a write whose outcome is unclear or that came too late.
ROUNDS = 4
#: Below this share of the likely quota nobody needs to ask for the real one.
QUOTA_SHARE = 0.9

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Goal:
    """What is wanted in a zone. yields: see Options; notes: what a person should know about it."""

    wants: Sequence[Want]
    foreign: ForeignPolicy
    yields: FrozenSet[str] = frozenset()
    notes: Tuple[str, ...] = ()


@dataclass(frozen=True)
class ZoneTask:
    """A zone to bring in line: name in canonical form, id optional, the full wanted set, the zone's foreign policy.

    confirmed: whether a person has confirmed, by the zone's name, that all of it is ours (mode zone). goal: works out what
    is wanted from the records that stand there; with it, wants and foreign do not matter.
    """

    name: str
    wants: Tuple[Want, ...]
    id: str = ""
    foreign: ForeignPolicy = field(default_factory=ForeignPolicy)
    confirmed: bool = False
    goal: Optional[Callable[[Sequence[Have]], Goal]] = None


@dataclass
class ZoneResult:
    """What becomes of a zone.

    stages: what each stage is planned to do; diff: all of them together, against the zone as it was read. reached: the
    diff of the stage in effect, None before the first. written: changes in effect, as the fewest with the same effect;
    empty in check mode. records: the zone as last known.
    """

    task: ZoneTask
    zone: Zone
    stages: Tuple[ZoneDiff, ...]
    diff: ZoneDiff
    records: Tuple[Have, ...] = ()
    reached: Optional[ZoneDiff] = None
    written: Tuple[Change, ...] = ()
    notes: List[str] = field(default_factory=list)


#: Called between two stages with all zones: returns when the next may begin, raises MailsteadError when it may not.
Gate = Callable[[Sequence[ZoneResult]], None]
#: Called once for each zone that will change, before its first write.
BeforeWrite = Callable[[ZoneResult], None]


class ApplyError(MailsteadError):
    """Something failed after all zones had been found in order; results tell what is written by then."""

    def __init__(self, problems: Sequence[Problem], results: Sequence[ZoneResult]) -> None:
        super().__init__(problems)
        self.results = tuple(results)


def reconcile(
    provider: ZoneProvider,
    tasks: Sequence[ZoneTask],
    options: Options,
    check: bool = False,
    stages: Sequence[str] = (),
    gate: Optional[Gate] = None,
    before_write: Optional[BeforeWrite] = None,
) -> List[ZoneResult]:
    """Bring the zones in line with what is wanted (or, with check, only work out what that takes).

    stages: phases after which all zones are written and gate is asked, on the way to ``options.through_phase``. The gate
    is asked even where a stage had nothing to write (an earlier run may have ended before it), but not when no later
    stage changes anything. Raises MailsteadError with the problems of all zones and stages before anything is written,
    ApplyError when it fails later.
    """
    phases = stage_phases(stages, options.through_phase)
    zones, problems = _find(provider, tasks, options)
    pairs = [(task, zones[task.name]) for task in tasks if task.name in zones]
    with ThreadPoolExecutor(max_workers=max(1, min(WORKERS, len(tasks)))) as pool:
        results, failed = _gather(pool, lambda pair: _examine(provider, *pair, options, phases), pairs)
        problems += [*failed, *(p for r in results for p in r.diff.problems)]
        for number in range(len(phases)):
            problems += check_targets([r.stages[number] for r in results], options)
        if problems:
            raise MailsteadError(_unique(problems))
        if not check:
            _Run(pool, provider, results, options).apply(phases, gate, before_write)
    return results


def stage_phases(stages: Sequence[str], last: str) -> List[str]:
    """The phases at which a run stops, in order; the last one ends it."""
    end = PHASES.index(last)
    return [p for p in PHASES[:end] if p in stages] + [last]


def _unique(problems: Sequence[Problem]) -> List[Problem]:
    return list(dict.fromkeys(problems))


def _gather(pool: ThreadPoolExecutor, work: Callable[[T], R], items: Sequence[T]) -> Tuple[List[R], List[Problem]]:
    """All results in order, and the problems of all items together. One item needs no thread (and no new connection)."""
    results: List[R] = []
    problems: List[Problem] = []
    futures = [pool.submit(work, item) for item in items] if len(items) > 1 else []
    for number, item in enumerate(items):
        try:
            results.append(futures[number].result() if futures else work(item))
        except MailsteadError as error:
            problems += error.problems
    return results, problems


# -- reading ---------------------------------------------------------------------------------------------------------


def _find(provider: ZoneProvider, tasks: Sequence[ZoneTask], options: Options) -> Tuple[Dict[str, Zone], List[Problem]]:
    """The zones by name; mistakes in the wanted records of those that are missing are told in the same breath."""

    def mistakes(missing: Sequence[ZoneTask]) -> List[Problem]:
        return [p for t in missing for p in check_wants(t.name, t.wants, _options(options, t))[1]]

    try:
        zones, problems = provider.find([(t.name, t.id) for t in tasks])
    except MailsteadError as error:
        raise MailsteadError(_unique([*error.problems, *mistakes(tasks)])) from error
    return zones, [*problems, *mistakes([t for t in tasks if t.name not in zones])]


def _options(options: Options, task: ZoneTask) -> Options:
    return options.for_zone(foreign=task.foreign, confirmed=task.confirmed)


def _zone_options(options: Options, task: ZoneTask, zone: Zone, records: Sequence[Have]) -> Options:
    """What a zone already holds, long comments or tags, it takes, even where its host does not say so."""
    longest = max((len(r.comment) for r in records), default=0)
    return _options(options, task).for_zone(
        comment_limit=max(zone.limits.comment, longest),
        tags=options.tags and (zone.limits.tags or any(r.tags for r in records)),
    )


def _goal(task: ZoneTask, records: Sequence[Have], options: Options) -> Tuple[Sequence[Want], Options, Sequence[str]]:
    """What is wanted in a zone, by which options, and what a person should know about it."""
    if task.goal is None:
        return task.wants, options, ()
    goal = task.goal(records)
    return goal.wants, options.for_zone(foreign=goal.foreign, yields=goal.yields), goal.notes


def _examine(provider: ZoneProvider, task: ZoneTask, zone: Zone, options: Options, phases: Sequence[str]) -> ZoneResult:
    records = provider.read(zone)
    if not records and task.id:
        # Nothing in the zone shows whether the id is the right one: a wrong one would fill somebody's zone with our names.
        zone = provider.identify(zone)
    planned = _zone_options(options, task, zone, records)
    wants, planned, notes = _goal(task, records, planned)
    stages = compose.plan(task.name, wants, records, planned, phases)
    result = ZoneResult(task, zone, tuple(stages), compose.total(stages, planned), tuple(records))
    result.notes += [*zone.notes, *notes]
    full = _quota_problem(provider, result, options)
    if full:
        result.diff = dataclasses.replace(result.diff, problems=(*result.diff.problems, *full))
    return result


def _quota_problem(provider: ZoneProvider, result: ZoneResult, options: Options) -> List[Problem]:
    """The batch would fail as a whole; asking costs a request, so only near the limit and only when records are added."""
    before, likely = len(result.diff.before), result.zone.limits.records
    most = max(len(stage.after) for stage in result.stages)
    if not likely or most <= before or most <= likely * QUOTA_SHARE:
        return []
    quota = provider.quota(result.zone)
    found = Collector(result.task.name, options)
    if quota is not None and most > quota:
        what = f"the zone would have {most} records (now {before}), its plan allows {quota}"
        found.guard("quota", "*", result.task.name, what, "Remove records that nobody needs, or use a larger plan.")
    return found.problems


# -- writing ---------------------------------------------------------------------------------------------------------


class _Run:
    """The writing part of a run over all zones, stage by stage."""

    def __init__(
        self, pool: ThreadPoolExecutor, provider: ZoneProvider, results: Sequence[ZoneResult], options: Options
    ) -> None:
        self.pool, self.results = pool, results
        self.writers = [_Writer(provider, result, options) for result in results]

    def apply(self, phases: Sequence[str], gate: Optional[Gate], before_write: Optional[BeforeWrite]) -> None:
        if before_write is not None:
            self._all(before_write, [r for r in self.results if any(stage.changes for stage in r.stages)])
        for number, phase in enumerate(phases):

            def work(writer: _Writer, number: int = number, phase: str = phase) -> None:
                writer.reach(number, phase)

            self._all(work, self.writers)
            if gate is not None and any(stage.changes for r in self.results for stage in r.stages[number + 1 :]):
                self._all(gate, [self.results])

    def _all(self, work: Callable[[T], R], items: Sequence[T]) -> None:
        _done, problems = _gather(self.pool, work, items)
        if problems:
            raise ApplyError(_unique(problems), self.results)


class _Writer:
    """Writes one zone.

    known: its records, None when an answer did not tell them. done: the changes written, new records with their ids;
    untold: those written whose answer did not tell. fresh: whether the zone is still as the plan supposes.
    """

    def __init__(self, provider: ZoneProvider, result: ZoneResult, options: Options) -> None:
        self.provider, self.result = provider, result
        self.options = _zone_options(options, result.task, result.zone, result.records)
        self.known: Optional[List[Have]] = list(result.records)
        self.done: List[Change] = []
        self.untold: List[Change] = []
        self.fresh = True

    def reach(self, number: int, phase: str) -> None:
        """Bring the zone to a stage. After an unclear or late write it is read again: what is there decides."""
        pending = self.result.stages[number]
        if self.fresh and not pending.changes:
            self.result.reached = pending
            return
        if number:
            pending = self._diff(phase)
        trouble: Optional[Problem] = None
        for _round in range(ROUNDS):
            trouble = self._write(pending)
            if trouble is None:
                break
            pending = self._diff(phase)
        if trouble is not None and pending.changes:
            raise MailsteadError([trouble])
        self.result.reached = pending

    def _write(self, pending: ZoneDiff) -> Optional[Problem]:
        """Write the changes. Returns what cut that short, after reading the zone again; None when all is in effect."""
        batch: Sequence[Change] = ()
        try:
            for batch in self.provider.split(pending.changes, self.result.zone):
                self._took(batch, self.provider.write(self.result.zone, batch))
            return None
        except UnclearError as error:
            what = f"after {ROUNDS} tries it is not certain what was written: {error}"
            trouble = Problem("MS-DNS-060", f"zone {self.result.task.name}", what, "Run again: the zone is read first.")
        except RefusedError as error:
            if not error.stale:
                raise MailsteadError([error.problem]) from error
            trouble = error.problem
        self._read_again(batch)
        return trouble

    def _diff(self, phase: str) -> ZoneDiff:
        task = self.result.task
        if self.known is None:
            self._read_again(())
        wants, options, _notes = _goal(task, self.known or (), self.options)
        diff = engine.diff(task.name, wants, self.known or (), options.for_zone(through_phase=phase))
        if diff.problems:
            raise MailsteadError(diff.problems)
        return diff

    def _took(self, batch: Sequence[Change], answer: Written) -> None:
        """The batch is in effect: so is what it says, and the zone is known to be what the answer tells."""
        self.result.notes += answer.notes
        if answer.records is None:
            self.known = None
            self.untold += batch
        else:
            if self.known is not None:
                self.known = _advanced(self.known, batch, answer.records)
            self.done += [_named(change, record) for change, record in zip(batch, answer.records)]
        self._tell()

    def _read_again(self, doubtful: Sequence[Change]) -> None:
        """Read the zone; what of the doubtful changes turns out to be in effect counts as written."""
        before = {r.id for r in self.known or self.result.records}
        self.known = self.provider.read(self.result.zone)
        self.fresh = False
        self.done += _landed([*self.untold, *doubtful], self.known, before)
        self.untold = []
        self._tell()

    def _tell(self) -> None:
        self.result.written = tuple(compose.net([*self.done, *self.untold]).values())


def _named(change: Change, record: Optional[Have]) -> Change:
    if record is None or change.after is None:
        return change
    return dataclasses.replace(change, after=dataclasses.replace(change.after, id=record.id))


def _advanced(known: Sequence[Have], batch: Sequence[Change], stored: Sequence[Optional[Have]]) -> List[Have]:
    fate = {c.before.id: record for c, record in zip(batch, stored) if c.before is not None}
    kept = [fate.get(h.id, h) for h in known]
    created = [record for c, record in zip(batch, stored) if c.before is None]
    return [record for record in [*kept, *created] if record is not None]


def _landed(changes: Sequence[Change], known: Sequence[Have], before: Set[str]) -> List[Change]:
    """The changes that are in effect. before: ids of the records that were there ahead of them."""
    by_id = {r.id: r for r in known}
    new = [r for r in known if r.id not in before]
    out: List[Change] = []
    for change in changes:
        after = change.after
        if after is None:
            if change.record.id not in by_id:
                out.append(change)
            continue
        # Where records have no identity a changed one has another id.
        candidates = [by_id[after.id]] if after.id in by_id else new
        found = next((r for r in candidates if _same(r, after)), None)
        if found is not None:
            out.append(_named(change, found))
    return out


def _same(one: Have, other: Have) -> bool:
    return (one.key, one.comment, one.ttl, one.proxied) == (other.key, other.comment, other.ttl, other.proxied)
