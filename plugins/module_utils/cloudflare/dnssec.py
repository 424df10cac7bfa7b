# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""DNSSEC of zones: what a zone has, what the wish changes, and the DS in the form registrars ask for.

Cloudflare signs a zone as soon as DNSSEC is enabled and says ``pending`` until the registrar has brought the DS record
into the parent zone; that can take days and is nobody's failure. The dangerous way is the other one: when signatures are
missing while the parent still publishes a DS, the domain disappears for validating resolvers (RFC 4035 §5.2). Cloudflare
documents (DNSSEC states) that it goes on signing a zone whose DNSSEC is disabled, with CDS records that ask the registrar
to remove the DS (RFC 8078), until its DNSSEC records are deleted, which is not done here. That is the one thing that then
keeps the domain alive, so somebody has to want it.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.client import (
    Client,
    RefusalError,
    UnclearError,
)
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.zones import (
    ZoneInfo,
    explain_refusal,
    find_zones,
    read_zone,
    wrong_id,
)
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError, Problem

#: Our names of the flags and the API's.
FLAGS = {
    "multi_signer": "dnssec_multi_signer",
    "presigned": "dnssec_presigned",
    "nsec3": "dnssec_use_nsec3",
}
#: What the API reports (DNSSEC details), and whether DNSSEC is enabled then.
SIGNED = {"active": True, "pending": True, "error": True, "disabled": False, "pending-disabled": False}
#: What a run may be allowed to do although it is dangerous.
GUARDS = {
    "published_ds": "disable DNSSEC although the parent zone still publishes a DS",
    "unknown_ds": "disable DNSSEC although the parent zone cannot be asked for a DS",
}
WRITE_TRIES = 2
WORKERS = 8
PAUSES = (1.0, 2.0, 5.0, 10.0)  #: seconds between looks at zones that are waited for; the last one repeats

#: The DS records a zone's parent publishes, as canonical text; raises ParentUnknownError.
ParentDs = Callable[[str], Sequence[str]]


class ParentUnknownError(Exception):
    """Whether the parent publishes a DS cannot be found out; the text says why."""


@dataclass(frozen=True)
class Key:
    """A zone's key-signing key and its DS. public_key: base64; digest: hexadecimal, upper case."""

    key_tag: int
    algorithm: int
    digest_type: int
    digest: str
    flags: int
    public_key: str

    @property
    def ds(self) -> str:
        """The DS in the order registrars ask for it (RFC 4034 §5.3)."""
        return f"{self.key_tag} {self.algorithm} {self.digest_type} {self.digest}"

    @property
    def dnskey(self) -> str:
        """The key itself, which some registrars want instead (RFC 4034 §2.2); the protocol is always 3."""
        return f"{self.flags} 3 {self.algorithm} {self.public_key}"


@dataclass(frozen=True)
class State:
    """DNSSEC of a zone as the API tells it. status: of SIGNED; flags by our names; key: None while there is none; owner:
    the zone's name in its DS, empty while there is none."""

    status: str
    flags: Mapping[str, bool]
    key: Optional[Key] = None
    owner: str = ""

    @property
    def signed(self) -> bool:
        return SIGNED[self.status]


@dataclass(frozen=True)
class Wanted:
    """What is wanted of a zone. id: empty to have it looked up; flags: only those that are to be set."""

    zone: str
    signed: bool = True
    id: str = ""
    flags: Mapping[str, bool] = dataclasses.field(default_factory=dict)


@dataclass
class Task:
    """One zone of a run. body: what has to be sent, empty when nothing; after: as predicted, later as it is; parent: what
    the parent publishes, None when it was not asked."""

    wanted: Wanted
    zone_id: str
    before: State
    body: Dict[str, Any]
    after: State
    written: bool = False
    parent: Optional[Tuple[str, ...]] = None


# -- pure ------------------------------------------------------------------------------------------------------------


def read_state(raw: Any) -> State:
    """The API's answer. Raises ValueError with what is wrong."""
    if not isinstance(raw, dict):
        raise ValueError("the state of DNSSEC is missing")
    status = raw.get("status")
    if status not in SIGNED:
        raise ValueError(f"the state of DNSSEC is {str(status)[:40]!r}")
    flags = {ours: raw.get(theirs) is True for ours, theirs in FLAGS.items()}
    owner = str(raw.get("ds") or "").partition(" ")[0].rstrip(".").lower()
    return State(status, flags, _key(raw), owner)


def _key(raw: Mapping[str, Any]) -> Optional[Key]:
    fields = ("key_tag", "algorithm", "digest_type", "digest", "public_key")
    if any(raw.get(name) in (None, "") for name in fields):
        return None
    try:
        # Numbers come as numbers or as text, depending on the field.
        return Key(
            key_tag=int(raw["key_tag"]),
            algorithm=int(raw["algorithm"]),
            digest_type=int(raw["digest_type"]),
            digest=str(raw["digest"]).upper(),
            flags=int(raw.get("flags") or 257),
            public_key="".join(str(raw["public_key"]).split()),
        )
    except (TypeError, ValueError):
        raise ValueError("the DS has a number that is none") from None


def change(wanted: Wanted, state: State) -> Dict[str, Any]:
    """The body that brings the zone to what is wanted; empty when it is there."""
    body: Dict[str, Any] = {}
    if wanted.signed != state.signed:
        body["status"] = "active" if wanted.signed else "disabled"
    for name, value in sorted(wanted.flags.items()):
        if state.flags[name] != value:
            body[FLAGS[name]] = value
    return body


def predicted(state: State, body: Mapping[str, Any]) -> State:
    """The state after the body was sent. The DS of a key that does not exist yet cannot be predicted."""
    disabled = "pending-disabled" if state.status == "active" else "disabled"
    status = {"active": "pending", "disabled": disabled}.get(str(body.get("status")), state.status)
    flags = {ours: bool(body.get(theirs, state.flags[ours])) for ours, theirs in FLAGS.items()}
    return State(status, flags, None if status == "disabled" else state.key, state.owner)


def settings(state: State) -> Dict[str, Any]:
    """What can be wanted, for a difference: the same before a change is made and after."""
    return {"dnssec": "enabled" if state.signed else "disabled", **{n: state.flags[n] for n in FLAGS}}


# -- with the API ----------------------------------------------------------------------------------------------------


def plan(
    client: Client, wishes: Sequence[Wanted], parent_ds: ParentDs, allow: Sequence[str] = ()
) -> Tuple[List[Task], List[str]]:
    """Read every zone and judge the wish. Returns the tasks and what a person should know; raises MailsteadError."""
    zones, problems = find_zones(client, [(w.zone, w.id) for w in wishes])
    found = [w for w in wishes if w.zone in zones]

    def one(wanted: Wanted) -> Task:
        zone_id = zones[wanted.zone].id
        before = read(client, wanted.zone, zone_id)
        body = change(wanted, before)
        if wanted.id and body:
            _identify(client, zones[wanted.zone], before)
        return Task(wanted, zone_id, before, body, predicted(before, body))

    tasks, failed = _each(found, one)
    problems += failed
    ending = [task for task in tasks if task.body.get("status") == "disabled"]
    told, failed = _each(ending, lambda task: _guard(task, parent_ds, allow))
    problems += failed
    notes = [note for found_notes in told for note in found_notes]
    if problems:
        raise MailsteadError(problems)
    return tasks, notes


def _identify(client: Client, zone: ZoneInfo, state: State) -> None:
    """See that an id that was given is the zone's before anything is changed by it. Raises MailsteadError."""
    if state.owner and state.owner != zone.name:
        raise MailsteadError([wrong_id(zone, state.owner)])
    if not state.owner:
        try:
            read_zone(client, zone, zone.name)
        except MailsteadError as error:
            # A token for DNS alone may not read zones; a zone without a DS cannot go dark by being signed.
            if any(p.code != "MS-CF-001" for p in error.problems):
                raise


def read(client: Client, zone: str, zone_id: str) -> State:
    """DNSSEC of a zone. Raises MailsteadError."""
    path = f"/zones/{zone_id}/dnssec"
    try:
        return read_state(client.read(path, label=zone).result)
    except RefusalError as refusal:
        raise MailsteadError([explain_refusal(client, refusal, f"zone {zone}")]) from refusal
    except ValueError as error:
        raise client.malformed(f"GET {path}", str(error)) from error


def apply(client: Client, tasks: Sequence[Task]) -> List[Problem]:
    """Make the changes. Tasks tell afterwards what was written; returns what went wrong, zone by zone."""
    problems = _each([t for t in tasks if t.body], lambda task: _write(client, task))[1]
    for task in tasks:
        if not task.written:
            task.after = task.before
    return problems


def wait(
    client: Client,
    tasks: Sequence[Task],
    deadline: float,
    pause: Optional[Callable[[float], object]] = None,
    clock: Callable[[], float] = time.monotonic,
) -> List[Problem]:
    """Look until every wanted zone is active, at most deadline seconds. Returns a problem for each that is not.

    A zone in the state ``error`` is not waited for: only its registrar can help.
    """
    pause = pause or threading.Event().wait
    end = clock() + deadline
    open_ones = [t for t in tasks if t.wanted.signed and t.after.status == "pending"]
    for attempt in range(1_000_000):
        left = end - clock()
        if not open_ones or left <= 0:
            break
        pause(min(left, PAUSES[min(attempt, len(PAUSES) - 1)]))
        _done, problems = _each(open_ones, lambda task: _look(client, task))
        if problems:
            return problems
        open_ones = [t for t in open_ones if t.after.status == "pending"]
    return [_too_late(task, deadline) for task in open_ones]


def broken(task: Task, parent_ds: ParentDs) -> Optional[Problem]:
    """What the state ``error`` means for a zone that is wanted signed; None when it is not in that state."""
    if not task.wanted.signed or task.after.status != "error":
        return None
    try:
        task.parent = tuple(parent_ds(task.wanted.zone))
    except ParentUnknownError as error:
        seen = f"what the parent publishes cannot be found out ({error})"
    else:
        seen = f"the parent publishes {', '.join(task.parent)}" if task.parent else "the parent publishes no DS"
    key = task.after.key
    right = f"exactly this DS record: {key.ds}" if key else "the DS record that the dashboard shows"
    what = f"Cloudflare reports an error: the DS at the registrar does not fit the zone's key; {seen}"
    fix = (
        f"Set {right} at the registrar and remove every other one. As long as only foreign ones are there, validating "
        "resolvers cannot resolve the domain."
    )
    return Problem("MS-CF-022", f"zone {task.wanted.zone}", what, fix)


def _guard(task: Task, parent_ds: ParentDs, allow: Sequence[str]) -> List[str]:
    """Before DNSSEC is disabled: the parent must not publish a DS any more. Returns notes; raises MailsteadError."""
    zone = task.wanted.zone
    try:
        task.parent = tuple(parent_ds(zone))
    except ParentUnknownError as error:
        problem = Problem(
            "MS-CF-021",
            f"zone {zone}",
            f"whether its parent zone still publishes a DS cannot be found out: {error}",
            "Check this host's resolver and its way to DNS servers (UDP and TCP 53). When the DS is certainly gone for "
            "longer than its time to live, allow unknown_ds.",
        )
        return _allowed(problem, "unknown_ds", allow)
    if not task.parent:
        return []
    problem = Problem(
        "MS-CF-020",
        f"zone {zone}",
        f"its parent zone still publishes a DS ({', '.join(task.parent)}): from the moment the signatures end, the domain "
        "is dark for everybody who validates",
        "Remove the DS at the registrar, wait until it is gone and its time to live has passed (a day is usual), then "
        "run again. Where the registrar follows CDS records (RFC 8078), allow published_ds: Cloudflare then asks it to "
        "remove the DS, and goes on signing meanwhile.",
    )
    return _allowed(problem, "published_ds", allow)


def _allowed(problem: Problem, guard: str, allow: Sequence[str]) -> List[str]:
    if guard in allow:
        return [f"{problem.where}: {problem.what}; {guard} is allowed"]
    raise MailsteadError([problem])


def _write(client: Client, task: Task) -> None:
    """Send the body; after an unclear outcome look first, then send again. Raises MailsteadError."""
    zone = task.wanted.zone
    last = ""
    for _try in range(WRITE_TRIES):
        try:
            result = client.write(f"/zones/{task.zone_id}/dnssec", task.body, zone, method="PATCH")
            task.written = True
            task.after = read_state(result)
            return
        except RefusalError as refusal:
            raise MailsteadError([explain_refusal(client, refusal, f"zone {zone}: DNSSEC")]) from refusal
        except ValueError as error:
            raise client.malformed(f"PATCH /zones/{task.zone_id}/dnssec", str(error)) from error
        except UnclearError as error:
            last = client.clean(str(error))
        state = read(client, zone, task.zone_id)
        if not change(task.wanted, state):
            task.written, task.after = True, state
            return
    fix = "Run again: the state is read first."
    raise MailsteadError.one("MS-CF-024", f"zone {zone}: DNSSEC", f"the outcome stays unclear: {last}", fix)


def _look(client: Client, task: Task) -> None:
    task.after = read(client, task.wanted.zone, task.zone_id)


def _too_late(task: Task, deadline: float) -> Problem:
    key = task.after.key
    what = (
        f"after {deadline:.0f} s DNSSEC is still {task.after.status}: Cloudflare does not see the DS in the parent zone"
    )
    shown = f" ({key.ds})" if key else ""
    fix = f"Enter the DS{shown} at the registrar if that was not done; it can take a day until Cloudflare notices. Run again."
    return Problem("MS-CF-023", f"zone {task.wanted.zone}", what, fix)


def _each(items: Sequence[Any], work: Callable[[Any], Any]) -> Tuple[List[Any], List[Problem]]:
    """Run work for every item, several at once. Returns what came out, in order, and all problems."""
    if not items:
        return [], []

    def guarded(item: Any) -> Tuple[Any, Tuple[Problem, ...]]:
        try:
            return work(item), ()
        except MailsteadError as error:
            return None, error.problems

    with ThreadPoolExecutor(max_workers=min(WORKERS, len(items))) as pool:
        done = list(pool.map(guarded, items))
    return [out for out, found in done if not found], [problem for _out, found in done for problem in found]
