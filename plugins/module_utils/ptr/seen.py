# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the world sees a reverse record, and the way back from the name to the address (FCrDNS; "iprev", RFC 8601 §3).

Servers that are authoritative are asked directly, so that no cache gets to remember what was not there yet. Where none of
them can be reached from here, this system's resolver has the word.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Callable, Dict, Iterable, List, Optional, Sequence, Tuple

import dns.exception
import dns.name
import dns.resolver
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError, Problem
from ansible_collections.mailstead.stack.plugins.module_utils.dns import rdata
from ansible_collections.mailstead.stack.plugins.module_utils.dns.gate import (
    Seen,
    SilentError,
    ask_server,
    name_servers,
    system_addresses,
)
from ansible_collections.mailstead.stack.plugins.module_utils.ptr.model import PtrWanted

#: Seconds between rounds; the last one repeats.
PAUSES = (1.0, 2.0, 5.0, 10.0)
#: How many aliases are followed; RFC 2317 delegations need one.
ALIASES = 4
RESOLVER = "this host's resolver"


@dataclass(frozen=True)
class View:
    """What one place answers. values: canonical; error: why there are none."""

    where: str
    values: frozenset[str] = frozenset()
    error: str = ""


#: What every place that can be asked answers to a question (name, type).
Ask = Callable[[str, str], Sequence[View]]


def wait_confirmed(
    wanted: Sequence[PtrWanted],
    deadline: float,
    ask: Optional[Ask] = None,
    pause: Optional[Callable[[float], object]] = None,
    clock: Callable[[], float] = time.monotonic,
) -> int:
    """Ask until every address leads to its name and back. The number of places asked.

    deadline: seconds from now. Raises MailsteadError that lists what is missing where.
    """
    ask, pause = ask or World().ask, pause or threading.Event().wait
    end = clock() + deadline
    missing: Dict[PtrWanted, List[str]] = {}
    places = 0
    for attempt in range(1_000_000):
        places = 0
        for record in [*missing] or wanted:
            count, missing[record] = _look(record, ask)
            places += count
        missing = {record: lines for record, lines in missing.items() if lines}
        left = end - clock()
        if not missing or left <= 0:
            break
        pause(min(left, PAUSES[min(attempt, len(PAUSES) - 1)]))
    if missing:
        raise MailsteadError(_problem(record, lines, deadline) for record, lines in missing.items())
    return places


def _look(record: PtrWanted, ask: Ask) -> Tuple[int, List[str]]:
    """How many places were asked about a record, and what is missing where."""
    rtype = "AAAA" if ":" in record.address else "A"
    lines: List[str] = []
    count = 0
    for name, kind, value in ((record.reverse, "PTR", record.name), (record.name, rtype, record.address)):
        views = ask(name, kind)
        count += len(views)
        lines += [_line(view, name, kind, value) for view in views if not _shows(view, kind, value)]
    return count, lines


def _shows(view: View, kind: str, value: str) -> bool:
    """A second name beside the wanted one makes receivers pick one of them at random."""
    return view.values == {value} if kind == "PTR" else value in view.values


def _line(view: View, name: str, kind: str, value: str) -> str:
    has = view.error or (", ".join(sorted(view.values)) or "nothing")
    return f"{view.where}: {kind} {name} should be {value}, it has {has}"


def _problem(record: PtrWanted, lines: Sequence[str], deadline: float) -> Problem:
    what = (
        f"after {deadline:.0f} s: " + "; ".join(lines[:8]) + (f" and {len(lines) - 8} more" if len(lines) > 8 else "")
    )
    if any(f"PTR {record.reverse}" in line for line in lines):
        fix = "Reverse zones are renewed at intervals, at some hosters of hours: run again later, then ask the hoster."
    else:
        fix = f"Publish the address record of {record.name}: a reverse record counts only with the way back."
    return Problem("MS-PTR-030", f"reverse record {record.address}", what, fix)


# -- the real thing --------------------------------------------------------------------------------------------------


class World:
    """The DNS as it is. port: of name servers; resolver: this system's."""

    def __init__(self, port: int = 53, resolver: Optional[dns.resolver.Resolver] = None) -> None:
        self._port, self._resolver = port, resolver
        self._servers: Dict[str, List[Tuple[str, str]]] = {}

    def ask(self, name: str, rtype: str) -> List[View]:
        """The views of all reachable authoritative servers; where none is, that of the resolver."""
        views: List[View] = []
        for server, address in self._authorities(name):
            try:
                views.append(self._direct(server, address, name, rtype))
            except SilentError:
                continue
        return views or [self._resolved(name, rtype)]

    def _direct(self, server: str, address: str, name: str, rtype: str) -> View:
        where = f"{server} [{address}]"
        seen = ask_server(address, (name, rtype), self._port)
        if not seen.values and not seen.error:
            alias = ask_server(address, (name, "CNAME"), self._port)
            for target in sorted(alias.values)[:1]:
                return self._followed(where, target, rtype)
        return View(where, seen.values, seen.error)

    def _followed(self, where: str, target: str, rtype: str, left: int = ALIASES) -> View:
        """What stands where an alias leads, by one of the servers there that answers (RFC 2317 §4)."""
        for server, address in self._authorities(target):
            try:
                seen = ask_server(address, (target, rtype), self._port)
                alias = ask_server(address, (target, "CNAME"), self._port) if not seen.values else Seen()
            except SilentError:
                continue
            if alias.values and left > 1:
                return self._followed(where, sorted(alias.values)[0], rtype, left - 1)
            return View(f"{where} by way of {target} at {server}", seen.values, seen.error)
        return View(where, error=f"an alias to {target}, whose name servers do not answer")

    def _authorities(self, name: str) -> List[Tuple[str, str]]:
        """Names and addresses of the servers of the zone that holds a name; none when that cannot be found out."""
        try:
            zone = dns.resolver.zone_for_name(dns.name.from_text(name), resolver=self._resolver, lifetime=5.0)
        except (dns.exception.DNSException, OSError):
            return []
        text = zone.to_text(omit_final_dot=True)
        if text not in self._servers:
            self._servers[text] = [(s, a) for s in name_servers(text) for a in _addresses(s)]
        return self._servers[text]

    def _resolved(self, name: str, rtype: str) -> View:
        resolver = self._resolver or dns.resolver.get_default_resolver()
        try:
            answer = resolver.resolve(name, rtype, lifetime=5.0)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return View(RESOLVER)
        except (dns.exception.DNSException, OSError) as error:
            return View(RESOLVER, error=f"no answer ({type(error).__name__})")
        return View(RESOLVER, frozenset(rdata.told(rtype, item.to_text()) for item in answer))


def _addresses(server: str) -> Iterable[str]:
    try:
        return system_addresses(server)
    except OSError:
        return ()
