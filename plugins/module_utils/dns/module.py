# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules that keep zones have in common, whoever hosts them: arguments, the run, the waiting, the result.

The options are documented once, in the fragment ``dns_zones``.
"""

from __future__ import annotations

import dataclasses
import functools
import threading
import traceback
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Protocol, Sequence, Set, Tuple

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError, Problem
from ansible_collections.mailstead.stack.plugins.module_utils.dns import rdata
from ansible_collections.mailstead.stack.plugins.module_utils.dns.engine import published
from ansible_collections.mailstead.stack.plugins.module_utils.dns.provider import ZoneProvider
from ansible_collections.mailstead.stack.plugins.module_utils.dns.reconcile import (
    ApplyError,
    ZoneResult,
    ZoneTask,
    reconcile,
)
from ansible_collections.mailstead.stack.plugins.module_utils.dns.records import Have, Options, wants_from_data
from ansible_collections.mailstead.stack.plugins.module_utils.dns.spf_cost import Answer, Fetch, Question, planned_first
from ansible_collections.mailstead.stack.plugins.module_utils.dns.spf_relief import Known
from ansible_collections.mailstead.stack.plugins.module_utils.dns.zone_diff import ansible_diff
from ansible_collections.mailstead.stack.plugins.module_utils.plan.phases import PHASES, ForeignPolicy


class ClosableProvider(ZoneProvider, Protocol):
    """A provider that holds connections."""

    def close(self) -> None: ...


# -- arguments as what a run takes ----------------------------------------------------------------------------------


def options(params: Dict[str, Any], spf_fetch: Optional[Fetch] = None) -> Options:
    """The options of a run from the arguments; spf_fetch: see Options."""
    return Options(
        instance=params["instance"],
        mode=params["mode"],
        through_phase=params["through_phase"],
        allow=tuple(params["allow"]),
        max_delete=params["max_delete"],
        max_delete_percent=params["max_delete_percent"],
        dkim_min_rsa_bits=params["dkim_min_rsa_bits"],
        tags=params.get("tags", False),
        spf_fetch=spf_fetch,
        spf_senders=tuple(
            Known(f"include:{s['include'].lower().rstrip('.')}", s["who"], s["needed"], s["stays"])
            for s in params["spf_senders"]
        ),
    )


def make_tasks(zones: Sequence[Dict[str, Any]], provider: str) -> List[ZoneTask]:
    """The argument ``zones`` as tasks for the host named. Raises MailsteadError with everything that is wrong in it."""
    tasks: List[ZoneTask] = []
    problems: List[Problem] = []
    for zone in zones:
        try:
            name = rdata.name(zone["name"])
        except rdata.RdataError as error:
            problems.append(Problem("MS-DNS-001", f"zones: {zone['name']}", str(error), "Correct the zone's name."))
            continue
        problems += _zone_problems(zone, name, provider, [t.name for t in tasks])
        policies = {
            f.name: zone["foreign"][f.name] for f in dataclasses.fields(ForeignPolicy) if f.name in zone["foreign"]
        }
        wants = tuple(wants_from_data(zone["records"]))
        confirmed = (zone["confirm"] or "").lower().rstrip(".") == name
        tasks.append(ZoneTask(name, wants, zone["id"] or "", ForeignPolicy(**policies), confirmed))
    if problems:
        raise MailsteadError(problems)
    return tasks


def _zone_problems(zone: Dict[str, Any], name: str, provider: str, known: Sequence[str]) -> List[Problem]:
    problems: List[Problem] = []
    if name in known:
        fix = "List each zone once, with all its records."
        problems.append(Problem("MS-DNS-007", f"zone {name}", "the zone is listed twice", fix))
    if zone["provider"] and zone["provider"] != provider:
        fix = f"Give it to the module for zones at {zone['provider']}."
        what = f"the zone is kept at {zone['provider']}, not at {provider}"
        problems.append(Problem("MS-DNS-061", f"zone {name}", what, fix))
    for record in zone["records"]:
        if record["zone"] and record["zone"].lower().rstrip(".") != name:
            what = f"the record says it belongs to the zone {record['zone']}"
            where = f"zone {name}: {record['type']} {record['name']}"
            problems.append(Problem("MS-DNS-002", where, what, "List it under its own zone."))
    return problems


# -- asking the DNS ---------------------------------------------------------------------------------------------------


def _gate() -> Any:
    """The module that asks name servers. Loaded when needed: dnspython takes as long to load as a short run takes."""
    from ansible_collections.mailstead.stack.plugins.module_utils.dns import gate  # noqa: PLC0415

    return gate


class SpfAnswers:
    """What SPF records depend on, asked when the first one is about to be written.

    missing: whether something was to be asked and dnspython is not there to ask it.
    """

    def __init__(self) -> None:
        self._live: Optional[Fetch] = None
        self.missing = False

    def __call__(self, questions: Sequence[Question]) -> Mapping[Question, Answer]:
        try:
            from ansible_collections.mailstead.stack.plugins.module_utils.dns import spf_lookup  # noqa: PLC0415
        except ImportError:
            self.missing = True
            return dict.fromkeys(questions, ("error", ()))
        self._live = self._live or spf_lookup.LiveAnswers()
        return self._live(questions)


def planned(tasks: Sequence[ZoneTask]) -> Iterator[Tuple[str, str, str]]:
    """What the zones of a run will publish, canonical: an SPF record of one may rest on a host in another."""
    for task in tasks:
        for want in task.wants:
            try:
                yield rdata.name(want.name), want.type, rdata.canonical(want.type, want.content)
            except rdata.RdataError:
                continue  # reported where the zone is judged


def tasks_back(tasks: Sequence[ZoneTask], directory: str, taken: str, instance: str) -> List[ZoneTask]:
    """The tasks with what is saved of each zone from a point on. Raises MailsteadError."""
    from ansible_collections.mailstead.stack.plugins.module_utils.dns import history, undo  # noqa: PLC0415

    out: List[ZoneTask] = []
    problems: List[Problem] = []
    for task in tasks:
        try:
            saved = tuple(history.since(directory, task.name, taken))
        except MailsteadError as error:
            problems += error.problems
            continue
        if saved[0].instance != instance:
            what = f"the point {taken} was saved by the instance {saved[0].instance!r}, this run is for {instance!r}"
            problems.append(Problem("MS-DNS-086", f"zone {task.name}", what, f"Give instance: {saved[0].instance}."))
        out.append(dataclasses.replace(task, goal=functools.partial(undo.undo, saved[0], saved[1:])))
    if problems:
        raise MailsteadError(problems)
    return out


# -- waiting for the authoritative servers ---------------------------------------------------------------------------


class Waiting:
    """Waits until every authoritative server shows what was published; records seen once are not asked for again.

    asked: the largest number of servers' addresses that confirmed records.
    """

    def __init__(self, provider: ZoneProvider, deadline: float) -> None:
        self._provider, self._deadline = provider, deadline
        self._seen: Set[Tuple[str, Tuple[str, str, str]]] = set()
        self.asked = 0

    def gate(self, results: Sequence[ZoneResult]) -> None:
        """Between two stages. Raises MailsteadError."""
        try:
            self(results)
        except MailsteadError as error:
            more = "Nothing of the later phases was written."
            raise MailsteadError([dataclasses.replace(p, fix=f"{p.fix} {more}") for p in error.problems]) from error

    def __call__(self, results: Sequence[ZoneResult], roles: Sequence[str] = ()) -> None:
        shown: Dict[str, List[Have]] = {}
        for result in results:
            name = result.task.name
            records = published(result.reached or result.diff, roles)
            shown[name] = [r for r in records if (name, r.key) not in self._seen]
        servers = {r.task.name: self._servers(r) for r in results if shown[r.task.name]}
        gate = _gate()
        self.asked = max(self.asked, gate.wait_published(gate.gates_of(shown, servers), self._deadline))
        self._seen |= {(zone, record.key) for zone, records in shown.items() for record in records}

    def _servers(self, result: ZoneResult) -> Sequence[str]:
        if not result.zone.name_servers:
            result.zone = self._provider.identify(result.zone)
        # A login for DNS alone may not be told; the delegation says the same.
        return result.zone.name_servers or tuple(_gate().name_servers(result.task.name))


# -- a run -----------------------------------------------------------------------------------------------------------


def _history() -> Any:
    """What keeps states of zones. Imported only when it is needed: most runs change nothing."""
    from ansible_collections.mailstead.stack.plugins.module_utils.dns import history  # noqa: PLC0415

    return history


class Snapshots:
    """Saves each zone as it was, all under one name.

    directory: empty to save nothing. point: the name that the tasks of a run agree on, empty for one of its own. taken: the
    name under which they are saved, once one is.
    """

    def __init__(self, directory: str, point: str, provider: str, instance: str, note: str = "") -> None:
        self._directory, self._provider, self._instance, self._note = directory, provider, instance, note
        self._point, self._lock = point, threading.Lock()
        self.taken = ""
        self.paths: List[str] = []

    def check(self) -> None:
        """Raises MailsteadError (MS-DNS-087) for a name that is no time."""
        try:
            if self._point:
                _history().order(self._point)
        except ValueError as error:
            fix = "Give the time at which the run began, in UTC, or leave it out."
            raise MailsteadError.one("MS-DNS-087", "snapshots_point", str(error), fix) from None

    def save(self, result: ZoneResult) -> None:
        """Called before a zone's first write. Raises MailsteadError."""
        with self._lock:
            history = _history()
            self.taken = self.taken or history.moment(self._directory, asked=self._point)
            snapshot = history.Snapshot(
                zone=result.task.name,
                provider=self._provider,
                instance=self._instance,
                taken=self.taken,
                before=result.diff.before,
                changes=result.diff.changes,
                note=self._note,
            )
            self.paths.append(history.save(self._directory, snapshot))

    def report(self) -> Dict[str, Any]:
        """The part of the result that tells where; empty when nothing was saved."""
        return {"snapshots": {"taken": self.taken, "files": sorted(self.paths)}} if self.paths else {}


def report(provider: ZoneProvider, results: Sequence[ZoneResult], planned: bool = False) -> Dict[str, Any]:
    """The machine-readable part of the result; planned: of what would be done instead of what was."""
    zones = [
        {
            "name": r.task.name,
            "id": r.zone.id,
            "status": r.zone.status,
            "name_servers": list(r.zone.name_servers),
            "changed": bool(r.diff.changes if planned else r.written),
            "satisfied": r.diff.satisfied,
            "satisfied_foreign": r.diff.foreign_satisfied,
            "held": r.diff.held,
            "requests": provider.requests.get(r.task.name, 0),
        }
        for r in results
    ]
    return {
        "changed": any(zone["changed"] for zone in zones),
        "changes": [change for r in results for change in _changes(r)],
        "zones": zones,
        "requests": sum(provider.requests.values()),
    }


def _changes(result: ZoneResult) -> List[Dict[str, Any]]:
    """The planned changes, and after them those that only became necessary during the run."""
    more = [c for c in result.written if c not in result.diff.changes]
    return [
        {"zone": result.task.name, **change.to_data(), "written": change in result.written}
        for change in (*result.diff.changes, *more)
    ]


def run(module: AnsibleModule, provider: ZoneProvider, name: str, snapshots: Snapshots) -> Dict[str, Any]:
    """Keep the zones; name: the provider's in the plan's words. Returns the module's result; raises MailsteadError."""
    params = module.params
    snapshots.check()
    waiting = Waiting(provider, float(params["wait_deadline"]))
    answers = SpfAnswers()
    tasks, stages = make_tasks(params["zones"], name), params["stages"]
    chosen = options(params, planned_first(planned(tasks), answers))
    if params["undo"]:
        tasks = tasks_back(tasks, params["snapshots"], params["undo"], chosen.instance)
        chosen, stages = chosen.for_zone(mode="owned", through_phase=PHASES[-1]), []
    results = reconcile(
        provider,
        tasks,
        chosen,
        module.check_mode,
        stages,
        waiting.gate,
        snapshots.save if params["snapshots"] else None,
    )
    for result in results:
        for note in dict.fromkeys((*result.diff.notes, *result.notes)):
            module.warn(f"zone {result.task.name}: {note}")
    if answers.missing:
        module.warn("dnspython is missing on this host: look-ups inside the includes of SPF records are not counted")
    out: Dict[str, Any] = {}
    if params["wait_authoritative"] and not module.check_mode:
        try:
            waiting(results, params["wait_roles"])
        except MailsteadError as error:
            # What was written before the wait is in effect and has to show in the result.
            raise ApplyError(error.problems, results) from error
        out["servers_asked"] = waiting.asked
    out.update(report(provider, results, module.check_mode))
    out.update(snapshots.report())
    if module._diff:
        out["diff"] = [ansible_diff(r.diff, params["instance"]) for r in results if r.diff.changes]
    return out


def run_module(module: AnsibleModule, connect: Callable[[], ClosableProvider], name: str) -> None:
    """The whole of a module: connect, run, and end it with its result or with everything that is wrong."""
    params = module.params
    if params["wait_authoritative"] or (params["stages"] and not module.check_mode):
        try:
            _gate()
        except ImportError:
            module.fail_json(msg=missing_required_lib("dnspython"), exception=traceback.format_exc())
    note = f"undo to {params['undo']}" if params["undo"] else ""
    snapshots = Snapshots(params["snapshots"] or "", params["snapshots_point"] or "", name, params["instance"], note)
    provider: Optional[ClosableProvider] = None
    try:
        provider = connect()
        result = run(module, provider, name, snapshots)
    except MailsteadError as error:
        applied = list(error.results) if isinstance(error, ApplyError) else []
        done = report(provider, applied) if provider is not None else {}
        module.fail_json(
            msg=str(error),
            problems=[dataclasses.asdict(p) for p in error.problems],
            changed=any(r.written for r in applied),
            changes=[c for c in done.get("changes", []) if c["written"]],
            requests=done.get("requests", 0),
            **snapshots.report(),
        )
    finally:
        if provider is not None:
            provider.close()
    module.exit_json(**result)
