# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gate between phases: wait until every authoritative server of a zone shows the published records.

The only part of the record reconciler that needs dnspython. Servers are asked directly, without recursion, so that no
cache gets to remember that a record is missing.
"""

from __future__ import annotations

import errno
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Callable, Dict, Iterable, List, Mapping, Optional, Sequence, Set, Tuple

import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import dns.resolver
import dns.rrset
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError, Problem
from ansible_collections.mailstead.stack.plugins.module_utils.dns import rdata
from ansible_collections.mailstead.stack.plugins.module_utils.dns.records import Have

ASK_TIMEOUT = 2.0  #: seconds for one question
PAUSES = (0.25, 0.5, 1.0, 2.0)  #: seconds between rounds; the last one repeats
#: A server that is silent this often while another address of it answers is taken for unreachable from here.
SILENT_ROUNDS = 2
_NO_ROUTE = {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EACCES, errno.EPERM}

Question = Tuple[str, str]


@dataclass(frozen=True)
class ZoneGate:
    """What must be visible: zone name, its name servers' names, the records."""

    zone: str
    servers: Tuple[str, ...]
    records: Tuple[Have, ...]


@dataclass(frozen=True)
class Seen:
    """What one server answered to one question. values: canonical; error: why there are none (SERVFAIL, not authoritative)."""

    values: frozenset[str] = frozenset()
    error: str = ""


class SilentError(Exception):
    """No answer. final: none can come from here (no route for this address family)."""

    def __init__(self, message: str, final: bool) -> None:
        super().__init__(message)
        self.final = final


#: Asks one address one question. Raises SilentError.
Ask = Callable[[str, Question], Seen]
#: The addresses of a name server; raises OSError when the name does not resolve.
Resolve = Callable[[str], Sequence[str]]


@dataclass
class _Server:
    """One address of one name server, and what is still missing there."""

    zone: str
    name: str
    address: str
    missing: Dict[Question, Set[str]]
    errors: Dict[Question, str] = field(default_factory=dict)
    answered: bool = False
    silent: int = 0
    unreachable: str = ""

    @property
    def done(self) -> bool:
        return not self.missing


def wait_published(
    gates: Iterable[ZoneGate],
    deadline: float,
    ask: Optional[Ask] = None,
    resolve: Optional[Resolve] = None,
    pause: Optional[Callable[[float], object]] = None,
    clock: Callable[[], float] = time.monotonic,
) -> int:
    """Ask until all is visible everywhere. Returns the number of servers' addresses that were asked.

    deadline: seconds from now. Raises MailsteadError that lists what is missing where.
    """
    ask = ask or ask_server
    pause = pause or threading.Event().wait
    end = clock() + deadline
    servers, problems = _servers(gates, resolve or system_addresses)
    if problems:
        raise MailsteadError(problems)
    for attempt in range(1_000_000):
        _round(servers, ask)
        if all(_settled(s, servers) for s in servers):
            break
        left = end - clock()
        if left <= 0:
            break
        pause(min(left, PAUSES[min(attempt, len(PAUSES) - 1)]))
    problems = _judge(servers, deadline)
    if problems:
        raise MailsteadError(problems)
    return sum(1 for s in servers if s.answered)


def _servers(gates: Iterable[ZoneGate], resolve: Resolve) -> Tuple[List[_Server], List[Problem]]:
    out: List[_Server] = []
    problems: List[Problem] = []
    known: Dict[str, Sequence[str]] = {}
    for gate in gates:
        wanted: Dict[Question, Set[str]] = {}
        for record in gate.records:
            wanted.setdefault((record.name, record.type), set()).add(record.content)
        if not wanted:
            continue
        if not gate.servers:
            fix = "The zone is not set up at the provider yet; look at its overview there."
            problems.append(Problem("MS-DNS-041", f"zone {gate.zone}", "it has no name servers", fix))
        for name in gate.servers:
            try:
                addresses = known.setdefault(name, tuple(resolve(name)))
            except OSError as error:
                fix = "Check this host's resolver (/etc/resolv.conf), or publish without wait_authoritative."
                what = f"the address of its name server {name} cannot be found ({error.strerror or error})"
                problems.append(Problem("MS-DNS-041", f"zone {gate.zone}", what, fix))
                continue
            out += [_Server(gate.zone, name, a, {q: set(v) for q, v in wanted.items()}) for a in addresses]
    return out, problems


def _round(servers: Sequence[_Server], ask: Ask) -> None:
    open_ones = [s for s in servers if not s.done and not s.unreachable]
    if not open_ones:
        return
    with ThreadPoolExecutor(max_workers=min(16, len(open_ones))) as pool:
        list(pool.map(lambda server: _ask_missing(server, ask), open_ones))


def _ask_missing(server: _Server, ask: Ask) -> None:
    for question in sorted(server.missing):
        try:
            seen = ask(server.address, question)
        except SilentError as error:
            server.silent += 1
            server.errors = {q: str(error) for q in server.missing}
            if error.final:
                server.unreachable = str(error)
            return
        server.answered = True
        server.errors.pop(question, None)
        if seen.error:
            server.errors[question] = seen.error
            continue
        server.missing[question] -= seen.values
        if not server.missing[question]:
            del server.missing[question]


def _settled(server: _Server, servers: Sequence[_Server]) -> bool:
    """Whether nothing is to be waited for: all is there, or this address cannot be reached while another of it can."""
    if server.done:
        return True
    given_up = bool(server.unreachable) or (not server.answered and server.silent >= SILENT_ROUNDS)
    return given_up and _heard(server, servers)


def _heard(server: _Server, servers: Sequence[_Server]) -> bool:
    return any(s.answered for s in servers if (s.zone, s.name) == (server.zone, server.name))


def _judge(servers: Sequence[_Server], deadline: float) -> List[Problem]:
    lines: Dict[str, List[str]] = {}
    unheard: Dict[str, Dict[str, str]] = {}
    for server in servers:
        if _settled(server, servers):
            continue
        if not _heard(server, servers):
            unheard.setdefault(server.zone, {})[server.name] = next(iter(server.errors.values()), "no answer")
            continue
        for (name, rtype), values in sorted(server.missing.items()):
            why = server.errors.get((name, rtype), "")
            shown = ", ".join(sorted(v if len(v) <= 60 else v[:57] + "…" for v in values))
            lines.setdefault(server.zone, []).append(
                f"{rtype} {name} ({shown}) on {server.name} [{server.address}]" + (f": {why}" if why else "")
            )
    problems: List[Problem] = []
    for zone, found in sorted(lines.items()):
        more = f" and {len(found) - 12} more" if len(found) > 12 else ""
        what = f"after {deadline:.0f} s still missing: " + "; ".join(found[:12]) + more
        fix = "Run again; when it stays so, compare the zone at the provider with what its name servers answer."
        problems.append(Problem("MS-DNS-040", f"zone {zone}", what, fix))
    for zone, names in sorted(unheard.items()):
        what = "; ".join(f"{name} does not answer ({why})" for name, why in sorted(names.items()))
        fix = (
            "Check that this host may send DNS (UDP and TCP 53) to the Internet, or publish without wait_authoritative."
        )
        problems.append(Problem("MS-DNS-041", f"zone {zone}", what, fix))
    return problems


# -- the real thing --------------------------------------------------------------------------------------------------


def system_addresses(name: str) -> Sequence[str]:
    """The addresses of a name as this system resolves it, both families. Raises OSError."""
    found = socket.getaddrinfo(name, 53, type=socket.SOCK_DGRAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def name_servers(zone: str) -> Tuple[str, ...]:
    """The name servers of a zone as this system's resolver sees them; none when that cannot be found out."""
    try:
        answer = dns.resolver.resolve(zone, "NS", lifetime=5.0)
    except (dns.exception.DNSException, OSError):
        return ()
    return tuple(sorted(item.target.to_text(omit_final_dot=True).lower() for item in answer))


def ask_server(address: str, question: Question, port: int = 53, timeout: float = ASK_TIMEOUT) -> Seen:
    """Ask one server directly over UDP, over TCP when the answer is too long. Raises SilentError."""
    name, rtype = question
    query = dns.message.make_query(name, rtype, use_edns=0, payload=1232)
    query.flags &= ~dns.flags.RD
    try:
        answer, _tcp = dns.query.udp_with_fallback(query, address, timeout=timeout, port=port)
    except dns.exception.Timeout:
        raise SilentError("no answer in time", final=False) from None
    except OSError as error:
        raise SilentError(error.strerror or str(error), final=error.errno in _NO_ROUTE) from error
    except dns.exception.DNSException as error:
        return Seen(error=f"unreadable answer ({type(error).__name__})")
    return read_answer(answer, question)


def read_answer(answer: dns.message.Message, question: Question) -> Seen:
    """The canonical values of a direct answer."""
    name, rtype = question
    if answer.rcode() not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
        return Seen(error=dns.rcode.to_text(answer.rcode()))
    if not answer.flags & dns.flags.AA:
        return Seen(error="the server is not authoritative for the zone")
    wanted = dns.rdatatype.from_text(rtype)
    values: Set[str] = set()
    for rrset in answer.answer:
        if rrset.rdtype == wanted and rrset.name.to_text(omit_final_dot=True).lower() == name:
            values |= set(_values(rrset, rtype))
    return Seen(frozenset(values))


def _values(rrset: dns.rrset.RRset, rtype: str) -> Iterable[str]:
    for item in rrset:
        if rtype == "TXT":
            strings: Sequence[bytes] = getattr(item, "strings", ())
            yield rdata.from_bytes(b"".join(strings))
        else:
            yield rdata.told(rtype, item.to_text())


def gates_of(published: Mapping[str, Sequence[Have]], servers: Mapping[str, Sequence[str]]) -> List[ZoneGate]:
    """Gates from the published records and the name servers, both by zone."""
    return [ZoneGate(z, tuple(servers.get(z, ())), tuple(records)) for z, records in sorted(published.items())]
