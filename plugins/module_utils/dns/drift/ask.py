# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes the views of a zone: reads it at its provider and asks the parent and every name server directly.

Needs dnspython. Nothing is ever written, and the host's resolver is asked for name servers only, so that no cache gets to
remember that a record is missing.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Callable, Dict, List, Optional, Sequence, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.checks.probes.context import ProbeError
from ansible_collections.mailstead.stack.plugins.module_utils.checks.probes.dns import delegation
from ansible_collections.mailstead.stack.plugins.module_utils.checks.probes.dnsclient import DnsClient
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError, Problem
from ansible_collections.mailstead.stack.plugins.module_utils.dns import rdata
from ansible_collections.mailstead.stack.plugins.module_utils.dns.drift.servers import differs
from ansible_collections.mailstead.stack.plugins.module_utils.dns.drift.views import (
    NO_ROUTE,
    REFUSED,
    SILENT,
    Answer,
    Delegation,
    Live,
    Question,
    ServerView,
    ZoneView,
    questions,
)
from ansible_collections.mailstead.stack.plugins.module_utils.dns.gate import SilentError, ask_server, name_servers
from ansible_collections.mailstead.stack.plugins.module_utils.dns.provider import Zone, ZoneProvider
from ansible_collections.mailstead.stack.plugins.module_utils.dns.records import Options, Want

TRIES = 2  #: a datagram may be lost
PAUSE = 1.0  #: seconds between two looks at a server that differs
WORKERS = 8
#: Codes that say: the provider has no such zone, when it is looked up (by its name) and when it is read. Others leave that
#: open; read by an id that is another zone's, MS-CF-003 means the id.
NOT_FOUND, NOT_HELD = "MS-CF-003", "MS-DNS-070"


@dataclass(frozen=True)
class Target:
    """A zone to look at. id: the provider's, if given. The other fields are those of :class:`.views.ZoneView`."""

    zone: str
    wants: Tuple[Want, ...]
    unknown: Tuple[Want, ...] = ()
    mistakes: Tuple[Problem, ...] = ()
    id: str = ""
    options: Options = field(default_factory=Options)


@dataclass(frozen=True)
class Host:
    """Who keeps zones. name: for people; provider: None when it cannot be asked at all, for the reasons in problems."""

    name: str
    provider: Optional[ZoneProvider]
    problems: Tuple[Problem, ...] = ()


@dataclass
class Asker:
    """How servers are asked. port: of all of them. grace: seconds for which a server that differs is asked again."""

    client: DnsClient
    port: int = 53
    grace: float = 5.0
    pause: Callable[[float], object] = field(default_factory=lambda: threading.Event().wait)
    clock: Callable[[], float] = time.monotonic

    def ask(self, address: str, question: Question) -> Answer:
        """One answer. Raises SilentError."""
        for attempt in range(1, TRIES + 1):
            try:
                seen = ask_server(address, question, self.port)
                return Answer(frozenset(seen.values), seen.error)
            except SilentError as error:
                if error.final or attempt == TRIES:
                    raise
        raise AssertionError("unreachable")


@dataclass(frozen=True)
class Found:
    """What the provider says of a zone's existence. zone: None when it cannot be had, for the reasons in problems."""

    zone: Optional[Zone] = None
    absent: bool = False
    problems: Tuple[Problem, ...] = ()


def look_at_all(hosts: Sequence[Tuple[Host, Sequence[Target]]], asker: Asker) -> List[ZoneView]:
    """The views of all hosts' zones. One look-up per host serves all of its zones."""
    jobs: List[Tuple[Host, Target, Found]] = []
    for host, targets in hosts:
        found = _find(host, targets)
        jobs += [(host, target, found[target.zone]) for target in targets]
    with ThreadPoolExecutor(max_workers=max(1, min(WORKERS, len(jobs)))) as pool:
        return list(pool.map(lambda job: _look(job[0], job[1], job[2], asker), jobs))


def _look(host: Host, target: Target, found: Found, asker: Asker) -> ZoneView:
    """Everything that can be known of a zone. Never raises for what the outside does: that is part of the view."""
    view = ZoneView(
        target.zone,
        host.name,
        target.wants,
        target.unknown,
        target.mistakes,
        absent=found.absent,
        problems=found.problems,
        options=target.options,
    )
    if host.provider is not None and found.zone is not None:
        view = _read(view, found.zone, host.provider)
    at = _delegation(asker.client, view.zone)
    assigned = view.live.name_servers if view.live is not None else ()
    names = {**dict.fromkeys(assigned, False), **dict.fromkeys(at.ns, True)}
    if not names:
        names = dict.fromkeys(name_servers(view.zone), True)
    servers: List[ServerView] = []
    for name, delegated in sorted(names.items()):
        servers += _addresses(asker.client, name, delegated, not assigned or name in assigned)
    return _settled(dataclasses.replace(view, delegation=at, servers=tuple(servers)), asker)


# -- the provider ----------------------------------------------------------------------------------------------------


def _find(host: Host, targets: Sequence[Target]) -> Dict[str, Found]:
    if host.provider is None:
        return {t.zone: Found(problems=host.problems) for t in targets}
    try:
        zones, problems = host.provider.find([(t.zone, t.id) for t in targets])
    except MailsteadError as error:
        return {t.zone: Found(problems=error.problems) for t in targets}
    out: Dict[str, Found] = {}
    for target in targets:
        zone = zones.get(target.zone)
        mine = tuple(p for p in problems if p.where == f"zone {target.zone}") or tuple(problems)
        out[target.zone] = Found(zone) if zone is not None else Found(absent=_all(mine, NOT_FOUND), problems=mine)
    return out


def _all(problems: Sequence[Problem], code: str) -> bool:
    return all(p.code == code for p in problems)


def _read(view: ZoneView, zone: Zone, provider: ZoneProvider) -> ZoneView:
    try:
        records = tuple(provider.read(zone))
    except MailsteadError as error:
        return dataclasses.replace(view, absent=_all(error.problems, NOT_HELD), problems=error.problems)
    try:
        if not zone.name_servers:
            # Given by id, or known by its records alone.
            zone = provider.identify(zone)
    except MailsteadError as error:
        return dataclasses.replace(view, problems=error.problems)
    # Longer comments than the host is known to take are taken as they are: nobody's words were cut.
    limit = max([zone.limits.comment, *(len(r.comment) for r in records)])
    live = Live(records, zone.status, tuple(rdata.told("NS", n) for n in zone.name_servers), zone.notes)
    return dataclasses.replace(view, live=live, options=view.options.for_zone(comment_limit=limit))


# -- parent and name servers -----------------------------------------------------------------------------------------


def _delegation(client: DnsClient, zone: str) -> Delegation:
    try:
        cut, _servers = client.servers_of(zone)
        if cut != zone:
            return Delegation(cut)
        parent, names, ds = delegation(client, zone)
        return Delegation(zone, parent, frozenset(names), frozenset(rdata.canonical("DS", d) for d in ds))
    except (ProbeError, rdata.RdataError) as error:
        return Delegation("", error=str(error))


def _addresses(client: DnsClient, name: str, delegated: bool, provider: bool) -> List[ServerView]:
    try:
        found = client.addresses([name])
    except ProbeError as error:
        return [ServerView(name, "", delegated, provider, SILENT, f"its address cannot be looked up: {error}")]
    if not found:
        return [ServerView(name, "", delegated, provider, REFUSED, "its name has no address")]
    return [ServerView(name, address, delegated, provider) for _name, address in found]


def _settled(view: ZoneView, asker: Asker) -> ZoneView:
    """Ask all servers; those that differ again for as long as the grace lasts, for a change takes a moment to spread."""
    asked = questions(view.wants, view.live, view.options)
    end = asker.clock() + asker.grace
    again = list(view.servers)
    zone = view.zone
    while again:
        with ThreadPoolExecutor(max_workers=len(again)) as pool:
            fresh = {s.label: s for s in pool.map(lambda server: _ask_all(server, zone, asked, asker), again)}
        view = dataclasses.replace(view, servers=tuple(fresh.get(s.label, s) for s in view.servers))
        again = [s for s in view.servers if differs(view, s)]
        if not again or asker.clock() + PAUSE > end:
            break
        asker.pause(PAUSE)
    return view


def _ask_all(server: ServerView, zone: str, asked: Sequence[Question], asker: Asker) -> ServerView:
    if not server.address:
        return server
    try:
        soa = asker.ask(server.address, (zone, "SOA"))
        if soa.error or not soa.values:
            return dataclasses.replace(server, obstacle=REFUSED, error=soa.error or "it does not know the zone")
        return dataclasses.replace(
            server,
            serial=int(min(soa.values).split()[2]),
            ns=asker.ask(server.address, (zone, "NS")).values,
            keys=asker.ask(server.address, (zone, "DNSKEY")).values,
            answers=_answers(server.address, asked, asker),
        )
    except SilentError as error:
        return dataclasses.replace(server, obstacle=NO_ROUTE if error.final else SILENT, error=str(error))


def _answers(address: str, asked: Sequence[Question], asker: Asker) -> Dict[Question, Answer]:
    """A server that has told its SOA may still be silent to single questions (a rate limit, a lost fragment)."""
    out: Dict[Question, Answer] = {}
    for question in asked:
        try:
            out[question] = asker.ask(address, question)
        except SilentError as error:
            out[question] = Answer(error=str(error), silent=True)
    return out
