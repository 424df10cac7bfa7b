# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Domains of Cloudflare Email Sending: onboarding them, their records, and the DMARC policy that comes and goes with them.

Onboarding writes MX and SPF at ``cf-bounce.<domain>``, a DKIM key, and ``_dmarc.<domain>`` with ``p=reject``. They cannot be
unlocked, and removing the domain deletes them, the DMARC policy included (documentation, "Domain configuration"). Whether
an existing policy is kept (seen in public threads) or replaced (documentation) is not certain, so a domain whose policy is
another one is only onboarded when that is allowed, and what became of the policy is looked up afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.client import (
    Client,
    RefusalError,
    UnclearError,
)
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.workers import each
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.zones import (
    ZoneInfo,
    all_zones,
    explain_refusal,
    list_records,
)
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError, Problem
from ansible_collections.mailstead.stack.plugins.module_utils.dns import rdata
from ansible_collections.mailstead.stack.plugins.module_utils.dns.policies import tags as tag_list
from ansible_collections.mailstead.stack.plugins.module_utils.dns.records import Have

#: What the service writes at _dmarc (documentation).
SERVICE_POLICY = "v=DMARC1; p=reject;"
#: Mail domains of one zone, routing and sending together (documentation, limits).
MAX_DOMAINS = 30
SUPPRESSIONS_PER_PAGE = 1000
WRITE_TRIES = 2
PERMISSION = "Account › Email Sending"
GUARDS = {"dmarc": "onboard or remove although the domain's DMARC policy may change or go"}


@dataclass(frozen=True)
class Wanted:
    """A domain that is to send. dmarc: the policy that is to stand at its _dmarc, empty when nobody said; zone: empty for
    the closest one of the token."""

    domain: str
    present: bool = True
    dmarc: str = ""
    zone: str = ""


@dataclass(frozen=True)
class Entry:
    """An onboarded domain. tag: its id."""

    tag: str
    name: str
    return_path: str = ""
    selector: str = ""


@dataclass(frozen=True)
class Dns:
    """Records the service needs, and what it finds wrong with those that are there, as it tells them."""

    records: Tuple[Mapping[str, Any], ...] = ()
    errors: Tuple[Mapping[str, Any], ...] = ()

    @property
    def beside_dmarc(self) -> bool:
        """Whether something else than the DMARC policy is wrong: that one is ours to judge."""
        return any(not str(e.get("code", "")).startswith("dmarc.") for e in self.errors)


@dataclass
class Task:
    """One domain of a run. action: onboard, repair, remove or none; dmarc: texts of the policies there."""

    wanted: Wanted
    zone: ZoneInfo
    entry: Optional[Entry]
    dns: Dns
    dmarc: Tuple[str, ...]
    action: str = "none"
    reasons: Tuple[str, ...] = ()
    written: bool = False
    notes: List[str] = field(default_factory=list)


# -- pure ------------------------------------------------------------------------------------------------------------


def check(wanted: Sequence[Wanted]) -> List[Problem]:
    """What is wrong with the wishes before anything is asked."""
    problems: List[Problem] = []
    names = [w.domain for w in wanted]
    for name in sorted({n for n in names if names.count(n) > 1}):
        problems.append(Problem("MS-ES-003", f"domain {name}", "it is listed twice", "List each domain once."))
    for want in wanted:
        if want.dmarc and "p" not in tags(want.dmarc):
            what = f"{want.dmarc!r} is no DMARC policy"
            problems.append(Problem("MS-ES-003", f"domain {want.domain}", what, "Write it like v=DMARC1; p=none."))
    return problems


def tags(policy: str) -> Dict[str, str]:
    """Tags of a DMARC policy (RFC 9989 §4.7) in comparable form; empty for what is none."""
    found = dict(tag_list(policy))
    return found if found.pop("v", "").upper() == "DMARC1" else {}


def policies(records: Iterable[Have], domain: str) -> Tuple[str, ...]:
    """What stands at _dmarc of a domain: texts of the policies, or where a CNAME leads."""
    here = [r for r in records if r.name == f"_dmarc.{domain}"]
    texts = [rdata.txt_decode(r.content) for r in here if r.type == "TXT"]
    aliases = [f"CNAME {r.content}" for r in here if r.type == "CNAME"]
    return tuple(sorted([t for t in texts if tags(t)] + aliases))


def conflict(wanted: Wanted, live: Sequence[str]) -> str:
    """Why onboarding may leave another DMARC policy than there should be; empty when it cannot."""
    ours = tags(SERVICE_POLICY)
    different = [text for text in live if tags(text) != ours]
    if different:
        return (
            f"_dmarc.{wanted.domain} has {' and '.join(repr(t) for t in different)}; Cloudflare writes {SERVICE_POLICY!r} "
            "there, and replaces yours or leaves two records that count as none"
        )
    if wanted.dmarc and tags(wanted.dmarc) != ours:
        return f"_dmarc.{wanted.domain} is to be {wanted.dmarc!r}; Cloudflare writes {SERVICE_POLICY!r} there and keeps it locked"
    return ""


def judge(task: Task, allow: Sequence[str]) -> List[Problem]:
    """Decide what has to be done for a domain; a problem when a guard stands in the way."""
    wanted, where = task.wanted, f"domain {task.wanted.domain}"
    if not wanted.present:
        return _judge_removal(task, where, allow)
    if task.entry is not None and not task.dns.beside_dmarc:
        return []
    why = conflict(wanted, task.dmarc)
    if why and "dmarc" not in allow:
        fix = (
            "Onboard a sub-domain for sending, whose policy is its own; or make the policy p=reject without more first; or "
            "accept what Cloudflare makes of it: allow: [dmarc], and look at the note that the run leaves."
        )
        return [Problem("MS-ES-001", where, why, fix)]
    if task.entry is None:
        task.action, task.reasons = "onboard", ("it is not onboarded",)
        if not task.dmarc:
            task.notes.append(
                f"_dmarc.{wanted.domain} becomes {SERVICE_POLICY!r}: all senders of the domain have to be aligned"
            )
    else:
        task.action = "repair"
        task.reasons = tuple(str(e.get("code", "")) for e in task.dns.errors)
    return []


def _judge_removal(task: Task, where: str, allow: Sequence[str]) -> List[Problem]:
    if task.entry is None:
        return []
    service = [text for text in task.dmarc if tags(text) == tags(SERVICE_POLICY)]
    if service and "dmarc" not in allow:
        what = f"its DMARC policy {service[0]!r} goes with it: anybody could then write in the domain's name"
        fix = "Publish a policy of your own right after (cloudflare_zone), and say so: allow: [dmarc]."
        return [Problem("MS-ES-002", where, what, fix)]
    task.action, task.reasons = "remove", ("not wanted",)
    return []


def outcome(task: Task, before: Sequence[str]) -> List[Problem]:
    """What became of the DMARC policy: a note where it changed, a problem where two stand there."""
    name, now = f"_dmarc.{task.wanted.domain}", task.dmarc
    if len(now) > 1:
        what = (
            f"{name} has {len(now)} policies now, which receivers count as none: {' and '.join(repr(t) for t in now)}"
        )
        fix = "Remove your own with cloudflare_zone, or take the domain off Email Sending again."
        return [Problem("MS-ES-001", f"domain {task.wanted.domain}", what, fix)]
    if tuple(before) != now:
        task.notes.append(f"{name} was {_told(before)} and is {_told(now)}")
    return []


def _told(texts: Sequence[str]) -> str:
    return " and ".join(repr(t) for t in texts) or "absent"


def closest(domain: str, zones: Sequence[ZoneInfo]) -> Optional[ZoneInfo]:
    """The zone that a domain lies in."""
    fitting = [z for z in zones if rdata.within(domain, z.name)]
    return max(fitting, key=lambda z: len(z.name)) if fitting else None


# -- with the API ----------------------------------------------------------------------------------------------------


def plan(client: Client, wanted: Sequence[Wanted], allow: Sequence[str]) -> Tuple[List[Task], List[Problem]]:
    """Read and judge: the zones, then for each zone its domains and records, then what each domain needs.

    Raises MailsteadError where nothing can be read.
    """
    zones = all_zones(client)
    placed, problems = _place(wanted, zones)
    needed = list({zone.id: zone for _, zone in placed}.values())
    read = each(needed, lambda zone: (list_domains(client, zone), list_records(client, zone, zone.name)))
    known = {zone.id: found for zone, found in zip(needed, read)}

    def task(item: Tuple[Wanted, ZoneInfo]) -> Task:
        want, zone = item
        domains, records = known[zone.id]
        entry = domains.get(want.domain)
        dns = (
            Dns()
            if not want.present
            else read_dns(client, zone, entry)
            if entry
            else preview(client, zone, want.domain)
        )
        return Task(want, zone, entry, dns, policies(records, want.domain))

    tasks = each(placed, task)
    for one in tasks:
        problems += judge(one, allow)
    for zone in needed:
        problems += _count(zone, known[zone.id][0], tasks)
    return tasks, problems


def _place(wanted: Sequence[Wanted], zones: Sequence[ZoneInfo]) -> Tuple[List[Tuple[Wanted, ZoneInfo]], List[Problem]]:
    placed: List[Tuple[Wanted, ZoneInfo]] = []
    problems: List[Problem] = []
    for want in wanted:
        zone = closest(want.domain, [z for z in zones if want.zone in ("", z.name)])
        if zone is None:
            named = (
                f"the zone {want.zone}"
                if want.zone
                else f"any zone of the token ({', '.join(z.name for z in zones[:10])})"
            )
            what, fix = f"it is not in {named}", "Correct the name, or let the token see its zone."
            problems.append(Problem("MS-ES-003", f"domain {want.domain}", what, fix))
        else:
            placed.append((want, zone))
    return placed, problems


def _count(zone: ZoneInfo, domains: Mapping[str, Entry], tasks: Sequence[Task]) -> List[Problem]:
    mine = [t for t in tasks if t.zone.id == zone.id]
    new, gone = (sum(t.action == action for t in mine) for action in ("onboard", "remove"))
    after = len(domains) + new - gone
    if not new or after <= MAX_DOMAINS:
        return []
    what = f"it would have {after} sending domains; the service holds {MAX_DOMAINS} mail domains, those of routing included"
    return [Problem("MS-ES-007", f"zone {zone.name}", what, "Remove domains that send no more (state: absent).")]


def list_domains(client: Client, zone: ZoneInfo) -> Dict[str, Entry]:
    """Onboarded domains of a zone by name. Raises MailsteadError."""
    path = f"/zones/{zone.id}/email/sending/subdomains"
    result = _read(client, path, f"zone {zone.name}", zone.name)
    if not isinstance(result, list):
        raise client.malformed(f"GET {path}", "a list of domains is missing")
    return {entry.name: entry for entry in (_entry(client, path, raw) for raw in result)}


def _entry(client: Client, path: str, raw: Any) -> Entry:
    if not isinstance(raw, dict) or not all(isinstance(raw.get(k), str) and raw[k] for k in ("tag", "name")):
        raise client.malformed(f"GET {path}", "a domain has no tag or no name")
    return Entry(
        raw["tag"], raw["name"].lower(), str(raw.get("return_path_domain") or ""), str(raw.get("dkim_selector") or "")
    )


def read_dns(client: Client, zone: ZoneInfo, entry: Entry) -> Dns:
    """Records of an onboarded domain and what is wrong with them. Raises MailsteadError."""
    path = f"/zones/{zone.id}/email/sending/subdomains/{entry.tag}/dns/status"
    return _dns(_read(client, path, f"domain {entry.name}", zone.name))


def preview(client: Client, zone: ZoneInfo, domain: str) -> Dns:
    """What onboarding would write; nothing where the service does not say. Changes nothing."""
    path = f"/zones/{zone.id}/email/sending/subdomains/preview"
    try:
        return _dns(client.write(path, {"name": domain}, zone.name))
    except (RefusalError, UnclearError):
        return Dns()


def _dns(raw: Any) -> Dns:
    found: Mapping[str, Any] = raw if isinstance(raw, dict) else {}

    def dicts(key: str) -> Tuple[Mapping[str, Any], ...]:
        return tuple(item for item in found.get(key) or () if isinstance(item, dict))

    return Dns(dicts("records"), dicts("errors"))


def _read(client: Client, path: str, where: str, label: str) -> Any:
    try:
        return client.read(path, label=label).result
    except RefusalError as refusal:
        raise MailsteadError([explain(client, refusal, where)]) from refusal


def apply(client: Client, tasks: Iterable[Task]) -> List[Problem]:
    """Do what has to be done, domain by domain, and look what became of the DMARC policy. Returns what went wrong."""
    problems: List[Problem] = []
    for task in tasks:
        if task.action == "none":
            continue
        try:
            _write(client, task)
            task.written = True
            problems += _look(client, task)
        except MailsteadError as error:
            problems += error.problems
    return problems


def _write(client: Client, task: Task) -> None:
    """Raises MailsteadError. A write whose outcome is not known is followed by a look, and made again when it was lost."""
    base, last = f"/zones/{task.zone.id}/email/sending/subdomains", ""
    for _attempt in range(WRITE_TRIES):
        try:
            if task.action == "onboard":
                client.write(base, {"name": task.wanted.domain}, task.zone.name)
            elif task.entry is not None and task.action == "repair":
                client.write(f"{base}/{task.entry.tag}/dns", {}, task.zone.name)
            elif task.entry is not None:
                client.remove(f"{base}/{task.entry.tag}", task.zone.name)
            return
        except RefusalError as refusal:
            raise MailsteadError([explain(client, refusal, f"domain {task.wanted.domain}")]) from refusal
        except UnclearError as unclear:
            last = client.clean(str(unclear))
            if _reached(client, task):
                return
    what = f"whether it was changed is not known: {last}"
    raise MailsteadError.one("MS-ES-005", f"domain {task.wanted.domain}", what, "Run again: the state is read first.")


def _reached(client: Client, task: Task) -> bool:
    entry = list_domains(client, task.zone).get(task.wanted.domain)
    if task.action == "repair" and entry is not None:
        return not read_dns(client, task.zone, entry).beside_dmarc
    return (entry is None) == (task.action == "remove")


def _look(client: Client, task: Task) -> List[Problem]:
    """The state after a write, in the task. Raises MailsteadError."""
    before = task.dmarc
    task.entry = list_domains(client, task.zone).get(task.wanted.domain)
    task.dns = read_dns(client, task.zone, task.entry) if task.entry else Dns()
    task.dmarc = policies(list_records(client, task.zone, task.zone.name), task.wanted.domain)
    return outcome(task, before)


def suppressions(client: Client, account: str) -> List[Dict[str, Any]]:
    """Recipients that the account does not write to, each with email, reason, created_at and expires_at.

    Raises MailsteadError.
    """
    path = f"/accounts/{account}/email/sending/suppressions"
    out: List[Dict[str, Any]] = []
    cursor, seen = "", {""}
    while True:
        query: Dict[str, Any] = {"per_page": SUPPRESSIONS_PER_PAGE, **({"cursor": cursor} if cursor else {})}
        try:
            page = client.read(path, query, "suppressions")
        except RefusalError as refusal:
            raise MailsteadError([explain(client, refusal, "suppressions")]) from refusal
        rows = page.result if isinstance(page.result, list) else []
        fields = ("email", "reason", "created_at", "expires_at")
        out += [{name: row.get(name) for name in fields} for row in rows if isinstance(row, dict)]
        cursor = str(page.info.get("next_cursor") or "")
        if cursor in seen:
            return out
        seen.add(cursor)


def explain(client: Client, refusal: RefusalError, where: str) -> Problem:
    problem = explain_refusal(client, refusal, where)
    if problem.code == "MS-CF-001":
        verb = "Read" if refusal.request.startswith("GET ") else "Edit"
        fix = f"Edit the token in the dashboard: add {PERMISSION} › {verb}. Sending takes the plan Workers Paid."
        return Problem("MS-ES-006", where, problem.what, fix)
    if problem.code in ("MS-CF-007", "MS-CF-009"):
        fix = "Read Cloudflare's words; nothing was applied. Two SPF or DMARC records, or foreign MX, have to go first."
        return Problem("MS-ES-004", where, problem.what, fix)
    return problem
