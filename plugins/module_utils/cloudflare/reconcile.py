# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All zones in one go: look them up, list, diff, and, when every zone is in order, apply one batch per changed zone.

Requests for Z zones: ⌈zones of the account / 50⌉ (none with ids) + Z lists + one batch per changed zone.
"""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, List, Mapping, Sequence, Tuple, TypeVar

from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare import wire
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.client import (
    STALE_CODES,
    Client,
    RefusalError,
    UnclearError,
)
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.zones import (
    ZoneInfo,
    explain_refusal,
    find_zones,
    list_records,
    read_zone,
    record_quota,
)
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError, Problem
from ansible_collections.mailstead.stack.plugins.module_utils.dns import engine
from ansible_collections.mailstead.stack.plugins.module_utils.dns.guards import Collector, check_targets, check_wants
from ansible_collections.mailstead.stack.plugins.module_utils.dns.records import Change, Have, Options, Want, ZoneDiff
from ansible_collections.mailstead.stack.plugins.module_utils.plan.model import ForeignPolicy

WORKERS = 8
#: How often a zone is read again after a write whose outcome is unclear or that came too late.
ROUNDS = 4
#: Below this share of the likely quota nobody needs to ask for the real one.
QUOTA_SHARE = 0.9

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class ZoneTask:
    """A zone to bring in line: name in canonical form, id optional, the full wanted set, the zone's foreign policy."""

    name: str
    wants: Tuple[Want, ...]
    id: str = ""
    foreign: ForeignPolicy = field(default_factory=ForeignPolicy)


@dataclass
class ZoneResult:
    """What became of a zone. written: changes that are in effect; empty in check mode."""

    task: ZoneTask
    info: ZoneInfo
    diff: ZoneDiff
    written: Tuple[Change, ...] = ()
    notes: List[str] = field(default_factory=list)


class ApplyError(MailsteadError):
    """Some zone could not be written although all were in order; results tell which ones were."""

    def __init__(self, problems: Sequence[Problem], results: Sequence[ZoneResult]) -> None:
        super().__init__(problems)
        self.results = tuple(results)


def reconcile(client: Client, tasks: Sequence[ZoneTask], options: Options, check: bool = False) -> List[ZoneResult]:
    """Bring the zones in line with what is wanted (or, with check, only work out what that takes).

    Raises MailsteadError with the problems of all zones before anything is written, ApplyError when writing failed.
    """
    try:
        infos, problems = find_zones(client, [(t.name, t.id) for t in tasks], "zones")
    except MailsteadError as error:
        # Mistakes in the wanted records are told in the same breath.
        wrong = [p for t in tasks for p in check_wants(t.name, t.wants, _options(options, t))[1]]
        raise MailsteadError(_unique([*error.problems, *wrong])) from error
    for task in tasks:
        if task.name not in infos:
            problems += check_wants(task.name, task.wants, _options(options, task))[1]
    pairs = [(task, infos[task.name]) for task in tasks if task.name in infos]
    with ThreadPoolExecutor(max_workers=max(1, min(WORKERS, len(tasks)))) as pool:
        results, failed = _gather(pool, lambda pair: _examine(client, *pair, options), pairs)
        problems += [*failed, *(p for r in results for p in r.diff.problems)]
        problems += check_targets([r.diff for r in results], options)
        if problems:
            raise MailsteadError(_unique(problems))
        if not check:
            _apply_all(pool, client, [r for r in results if r.diff.changes], options, results)
    return results


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


def _options(options: Options, task: ZoneTask) -> Options:
    return options.for_zone(foreign=task.foreign)


# -- reading ---------------------------------------------------------------------------------------------------------


def _examine(client: Client, task: ZoneTask, info: ZoneInfo, options: Options) -> ZoneResult:
    records = list_records(client, info, task.name)
    notes: List[str] = []
    if not records and task.id:
        # Nothing in the zone shows whether the id is the right one: a wrong one would fill somebody's zone with our names.
        try:
            info = read_zone(client, info, task.name)
        except MailsteadError as error:
            # A token for DNS alone may not ask; then the id has to be believed.
            if any(p.code != "MS-CF-001" for p in error.problems):
                raise
            notes.append(f"the zone is empty and the token may not read its name: taking {task.id} on trust")
    result = ZoneResult(task, info, engine.diff(task.name, task.wants, records, _options(options, task)), notes=notes)
    if info.status and info.status not in ("active", "pending", "initializing"):
        result.notes.append(f"the zone is {info.status!r} at Cloudflare: its name servers may not be asked")
    elif info.status in ("pending", "initializing"):
        result.notes.append("the zone is not active yet: the registrar does not point to Cloudflare's name servers")
    full = _quota_problem(client, result, options)
    if full:
        result.diff = dataclasses.replace(result.diff, problems=(*result.diff.problems, *full))
    return result


def _quota_problem(client: Client, result: ZoneResult, options: Options) -> List[Problem]:
    """The batch would fail as a whole; asking costs a request, so only near the limit and only when records are added."""
    after, before = len(result.diff.after), len(result.diff.before)
    if after <= before or after <= result.info.likely_quota * QUOTA_SHARE:
        return []
    quota = record_quota(client, result.info, result.task.name)
    found = Collector(result.task.name, options)
    if quota is not None and after > quota:
        what = f"the zone would have {after} records (now {before}), its plan allows {quota}"
        found.guard("quota", "*", result.task.name, what, "Remove records that nobody needs, or use a larger plan.")
    return found.problems


# -- writing ---------------------------------------------------------------------------------------------------------


def _apply_all(
    pool: ThreadPoolExecutor, client: Client, changed: Sequence[ZoneResult], options: Options, results: List[ZoneResult]
) -> None:
    _done, problems = _gather(pool, lambda result: _apply(client, result, options), changed)
    if problems:
        raise ApplyError(_unique(problems), results)


def _apply(client: Client, result: ZoneResult, options: Options) -> None:
    """Write a zone's changes. After an unclear or late write the zone is read again: what is there decides."""
    pending = result.diff
    planned = _options(options, result.task)
    why = ""
    for _round in range(ROUNDS):
        if not pending.changes:
            return
        try:
            for batch in wire.batches(pending.changes, result.info.batch_cap):
                _write(client, result, batch)
            return
        except UnclearError as error:
            why = client.clean(str(error))
        except RefusalError as refusal:
            if not refusal.codes & STALE_CODES:
                raise MailsteadError([_refused(client, result, pending.changes, refusal)]) from refusal
            why = refusal.words()
        known = list_records(client, result.info, result.task.name)
        pending = _again(result, known, planned)
    what = f"after {ROUNDS} tries it is not certain what was written: {why}"
    raise MailsteadError.one("MS-CF-010", f"zone {result.task.name}", what, "Run again: the zone is read first.")


def _again(result: ZoneResult, known: Sequence[Have], options: Options) -> ZoneDiff:
    """The diff after a lost answer; changes of ours that turn out to be in effect count as written."""
    pending = engine.diff(result.task.name, result.task.wants, known, options)
    if pending.problems:
        raise MailsteadError(pending.problems)
    here = {(r.key, r.comment, r.ttl, r.proxied) for r in known}
    ids = {r.id for r in known}
    landed = []
    for change in result.diff.changes:
        after = change.after
        if after is None:
            done = change.before is not None and change.before.id not in ids
        else:
            done = (after.key, after.comment, after.ttl, after.proxied) in here
        if done and change not in result.written:
            landed.append(change)
    result.written = (*result.written, *landed)
    return pending


def _write(client: Client, result: ZoneResult, batch: Sequence[Change]) -> None:
    path = f"/zones/{result.info.id}/dns_records/batch"
    body = wire.batch_body(batch)
    answer = client.write(path, body, result.task.name)
    result.written = (*result.written, *(c for c in batch if c not in result.written))
    result.notes += _read_back(answer, body, batch)


def _read_back(answer: Any, body: Mapping[str, List[Dict[str, Any]]], batch: Sequence[Change]) -> List[str]:
    """What the answer says was stored, compared with what was sent: full records come back, so this costs nothing."""
    notes: List[str] = []
    stored: Mapping[str, Any] = answer if isinstance(answer, dict) else {}
    for name in body:
        changes = [c for c in batch if wire.operation(c)[0] == name]
        records = stored.get(name)
        if not isinstance(records, list) or len(records) != len(changes):
            notes.append(f"the answer does not list the {len(changes)} {name}")
            continue
        for change, raw in zip(changes, records):
            if change.after is None:
                continue
            try:
                record = wire.decode(raw)
            except wire.WireError as error:
                notes.append(f"the answer for {change.record.type} {change.record.name} cannot be read: {error}")
                continue
            if record.key != change.after.key:
                notes.append(
                    f"{record.type} {record.name}: stored as {record.content!r}, sent {change.after.content!r}"
                )
    return notes


def _refused(client: Client, result: ZoneResult, changes: Sequence[Change], refusal: RefusalError) -> Problem:
    where = f"zone {result.task.name}"
    pointer = next((e.pointer for e in refusal.errors if e.pointer), "")
    change = wire.change_at(changes, pointer)
    if change is not None:
        where = f"{where}: {change.record.type} {change.record.name} ({change.action} {change.record.content!r})"
    elif len(changes) > 1:
        where = f"{where} (one of {len(changes)} changes; none was applied)"
    return explain_refusal(client, refusal, where)
