# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Follows the delegation of a zone from the root down, asking each zone's own servers. The only part that needs dnspython.

No cache is asked for what is judged: resolvers remember the old name servers for days.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Callable, Dict, List, Optional, Sequence, Tuple

import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import dns.resolver
from ansible_collections.mailstead.stack.plugins.module_utils.delegation.judge import Cut, Seen, Wanted
from ansible_collections.mailstead.stack.plugins.module_utils.dns.gate import Resolve, system_addresses

TIMEOUT = 2.0  #: seconds for one question
#: Addresses of one zone's servers that are tried before it counts as silent.
TRIES = 4

#: Sends one query without recursion to an address. Raises OSError or dns.exception.DNSException.
Send = Callable[[dns.message.Message, str], dns.message.Message]


def send(query: dns.message.Message, address: str) -> dns.message.Message:
    answer, _tcp = dns.query.udp_with_fallback(query, address, timeout=TIMEOUT)
    return answer


def root_servers() -> Sequence[str]:
    """The names of the root's servers as this system's resolver knows them. Raises OSError."""
    try:
        answer = dns.resolver.resolve(".", "NS", lifetime=5.0)
    except dns.exception.DNSException as error:
        raise OSError(f"the resolver does not know the root ({' '.join(str(error).split())[:120]})") from error
    return sorted(item.target.to_text(omit_final_dot=True).lower() for item in answer)


@dataclass
class Walk:
    """deadline: seconds for one zone. The functions are the outside world."""

    deadline: float = 20.0
    send: Send = send
    resolve: Resolve = system_addresses
    roots: Callable[[], Sequence[str]] = root_servers
    clock: Callable[[], float] = time.monotonic
    _known: Dict[str, Sequence[str]] = field(default_factory=dict)

    def look(self, wanted: Wanted) -> Seen:
        """The chain of a zone, and the keys at its assigned servers where a DS makes them matter."""
        end = self.clock() + self.deadline
        chain = self._chain(wanted.zone, end)
        last = chain[-1] if chain else None
        keys: Optional[Tuple[str, ...]] = None
        if last is not None and last.ds and last.zone == wanted.zone:
            keys = self._keys(wanted, end)
        return Seen(tuple(chain), keys)

    def _chain(self, zone: str, end: float) -> List[Cut]:
        labels = zone.split(".")
        chain: List[Cut] = []
        try:
            parent, servers = "the root", list(self.roots())
        except OSError as error:
            return [Cut(zone, "", error=str(error))]
        for depth in range(1, len(labels) + 1):
            name = ".".join(labels[-depth:])
            cut = self._cut(name, parent, servers, end)
            if cut is None:
                continue
            chain.append(cut)
            if cut.error or not cut.exists:
                break
            parent, servers = name, list(cut.name_servers)
        return chain

    def _cut(self, name: str, parent: str, servers: Sequence[str], end: float) -> Optional[Cut]:
        """What a zone's servers say about a name below it; None when the name belongs to the zone itself."""
        reasons: List[str] = []
        for server, address in self._addresses(servers, reasons)[:TRIES]:
            if self.clock() >= end:
                reasons.append("no time left")
                break
            try:
                told = self._ask(name, "NS", address)
                ds = self._ask(name, "DS", address) if told.name_servers else told
            except (OSError, dns.exception.DNSException) as error:
                reasons.append(f"{server} ({address}): {' '.join(str(error).split())[:80] or type(error).__name__}")
                continue
            if told.refused:
                reasons.append(f"{server} ({address}): {told.refused}")
                continue
            if not told.exists:
                return Cut(name, parent, server=server, exists=False)
            if not told.name_servers:
                return None
            return Cut(name, parent, told.name_servers, ds.ds, server)
        why = "; ".join(dict.fromkeys(reasons)) or "it has no name servers"
        return Cut(name, parent, error=f"no server of {parent} answers ({why})")

    def _addresses(self, servers: Sequence[str], reasons: List[str]) -> List[Tuple[str, str]]:
        """An address of every server, then the next of each: one dead server must not take all tries."""
        found: List[List[Tuple[str, str]]] = []
        for server in servers[: TRIES * 2]:
            try:
                if server not in self._known:
                    self._known[server] = tuple(self.resolve(server))
            except OSError as error:
                reasons.append(f"{server}: {error.strerror or error}")
                continue
            found.append([(server, address) for address in self._known[server]])
        longest = max((len(f) for f in found), default=0)
        return [row[i] for i in range(longest) for row in found if i < len(row)]

    def _ask(self, name: str, kind: str, address: str) -> _Told:
        query = dns.message.make_query(name, kind, use_edns=0, want_dnssec=kind == "DS")
        query.flags &= ~dns.flags.RD
        return _read(self.send(query, address), name)

    def _keys(self, wanted: Wanted, end: float) -> Optional[Tuple[str, ...]]:
        for _server, address in self._addresses(wanted.name_servers, [])[:TRIES]:
            if self.clock() >= end:
                break
            query = dns.message.make_query(wanted.zone, "DNSKEY", use_edns=0, payload=1232)
            query.flags &= ~dns.flags.RD
            try:
                answer = self.send(query, address)
            except (OSError, dns.exception.DNSException):
                continue
            if answer.rcode() == dns.rcode.NOERROR and answer.flags & dns.flags.AA:
                return tuple(_values(answer.answer, wanted.zone, dns.rdatatype.DNSKEY))
        return None


@dataclass(frozen=True)
class _Told:
    """One answer about a name. refused: why it says nothing."""

    name_servers: Tuple[str, ...] = ()
    ds: Tuple[str, ...] = ()
    exists: bool = True
    refused: str = ""


def _read(answer: dns.message.Message, name: str) -> _Told:
    if answer.rcode() == dns.rcode.NXDOMAIN:
        return _Told(exists=False)
    if answer.rcode() != dns.rcode.NOERROR:
        return _Told(refused=dns.rcode.to_text(answer.rcode()))
    # A referral stands in the authority section; a server that serves both zones answers.
    both = [*answer.answer, *answer.authority]
    names = [v.rstrip(".").lower() for v in _values(both, name, dns.rdatatype.NS)]
    ds = [v.lower() for v in _values(answer.answer, name, dns.rdatatype.DS)]
    if not names and not ds and not answer.flags & dns.flags.AA:
        return _Told(refused="neither an answer nor a referral")
    return _Told(tuple(sorted(names)), tuple(sorted(ds)))


def _values(section: Sequence[dns.rrset.RRset], name: str, kind: dns.rdatatype.RdataType) -> List[str]:
    return [
        item.to_text()
        for rrset in section
        if rrset.rdtype == kind and rrset.name.to_text(omit_final_dot=True).lower() == name
        for item in rrset
    ]
