# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""DNS questions without a cache: to the host's resolver, to one server, or to all servers of a zone."""

from __future__ import annotations

import threading
from typing import Any, Callable, Dict, List, Sequence, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.checks.probes.context import Context, ProbeError, classify

try:
    import dns.exception
    import dns.flags
    import dns.message
    import dns.name
    import dns.query
    import dns.rcode
    import dns.rdatatype
    import dns.resolver
except ImportError:
    HAVE_DNSPYTHON = False
else:
    HAVE_DNSPYTHON = True

TIMEOUT = 3.0
MAX_CNAME = 8


class Answer:
    """An answer: rcode text, values as in ``Record.content``, and what the header said.

    segments: for TXT, the lengths of the character-strings of each value. aa, ad: the flags.
    """

    def __init__(self, rcode: str) -> None:
        self.rcode = rcode
        self.values: List[str] = []
        self.segments: List[List[int]] = []
        self.chain: List[str] = []
        self.ttl = 0
        self.aa = False
        self.ad = False
        self.authority: Dict[str, List[str]] = {}

    @property
    def status(self) -> str:
        """ok, nxdomain, nodata or error, as the SPF evaluator wants it."""
        if self.rcode == "NOERROR":
            return "ok" if self.values else "nodata"
        return "nxdomain" if self.rcode == "NXDOMAIN" else "error"

    def to_data(self) -> Dict[str, Any]:
        data: Dict[str, Any] = {"rcode": self.rcode, "values": sorted(self.values), "ttl": self.ttl, "ad": self.ad}
        if self.chain:
            data["chain"] = self.chain
        if self.segments:
            data["segments"] = self.segments
        return data


def present(rdata: Any) -> str:
    """Rdata in the form of ``Record.content``: lower-case host names without the trailing dot, TXT undivided."""
    kind = dns.rdatatype.to_text(rdata.rdtype)
    if kind == "TXT":
        return b"".join(rdata.strings).decode("utf-8", "backslashreplace")
    text = str(rdata.to_text())
    if kind in ("MX", "SRV", "NS", "CNAME", "PTR"):
        head, _space, host = text.rpartition(" ")
        host = host.lower()
        host = host if host == "." else host.rstrip(".")
        return f"{head} {host}".strip()
    if kind == "TLSA":
        parts = text.split(" ")
        return " ".join([*parts[:3], "".join(parts[3:]).lower()])
    return text.lower() if kind in ("A", "AAAA", "DS") else text


class DnsClient:
    """Threads may share one. Zone cuts are remembered for the life of the object, answers never."""

    def __init__(self, ctx: Context) -> None:
        if not HAVE_DNSPYTHON:
            raise ProbeError("library", "python3-dnspython is missing on this host")
        self._ctx = ctx
        self._port = ctx.dns_port
        self._zones: Dict[str, List[Tuple[str, str]]] = {}
        self._lock = threading.Lock()
        self.nameservers = list(ctx.resolvers) or self._configured()

    def _configured(self) -> List[str]:
        try:
            found = dns.resolver.Resolver(configure=True).nameservers
        except dns.exception.DNSException as error:
            raise ProbeError("dns", f"no name server is configured on this host: {error}") from error
        return [str(getattr(n, "address", n)) for n in found]

    def ask(self, server: str, name: str, rtype: str, recursive: bool, cd: bool = False) -> Answer:
        """One question to one server. Raises ProbeError timeout, refused, no-route, dns."""
        query = dns.message.make_query(name, rtype, use_edns=0, payload=1232, want_dnssec=rtype == "DNSKEY")
        query.flags = dns.flags.RD | dns.flags.AD if recursive else 0
        if cd:
            query.flags |= dns.flags.CD
        failure: BaseException = ProbeError("timeout", f"{server} did not answer")
        for _attempt in (1, 2):
            try:
                reply, _tcp = dns.query.udp_with_fallback(
                    query, server, timeout=self._ctx.left(TIMEOUT), port=self._port
                )
                return self._read(reply, name, rtype)
            except dns.exception.Timeout:
                failure = ProbeError("timeout", f"{server} did not answer in {TIMEOUT:.0f} s")
            except (OSError, EOFError) as error:
                raise ProbeError(classify(error), f"{server}: {error}") from error
            except dns.exception.DNSException as error:
                raise ProbeError("dns", f"{server}: {error}") from error
        raise failure

    def _read(self, reply: Any, name: str, rtype: str) -> Answer:
        out = Answer(dns.rcode.to_text(reply.rcode()))
        out.aa = bool(reply.flags & dns.flags.AA)
        out.ad = bool(reply.flags & dns.flags.AD)
        wanted = dns.rdatatype.from_text(rtype)
        at = dns.name.from_text(name)
        for _hop in range(MAX_CNAME):
            alias = next((r for r in reply.answer if r.name == at and r.rdtype == dns.rdatatype.CNAME), None)
            if alias is None or wanted == dns.rdatatype.CNAME:
                break
            at = alias[0].target
            out.chain.append(at.to_text(omit_final_dot=True).lower())
        for rrset in reply.answer:
            if rrset.name == at and rrset.rdtype == wanted:
                out.ttl = int(rrset.ttl)
                for rdata in rrset:
                    out.values.append(present(rdata))
                    if rtype == "TXT":
                        out.segments.append([len(s) for s in rdata.strings])
        for rrset in reply.authority:
            if rrset.rdtype == dns.rdatatype.NS:
                owner = rrset.name.to_text(omit_final_dot=True).lower()
                out.authority.setdefault(owner, []).extend(present(r) for r in rrset)
        return out

    def recursive(self, name: str, rtype: str, cd: bool = False) -> Answer:
        """Through the host's resolver. Raises ProbeError when no server of it answers."""
        failure: ProbeError = ProbeError("dns", "no name server is configured on this host")
        for server in self.nameservers:
            try:
                return self.ask(server, name, rtype, recursive=True, cd=cd)
            except ProbeError as error:
                if error.klass == "budget":
                    raise
                failure = error
        raise failure

    def servers_of(self, name: str) -> Tuple[str, List[Tuple[str, str]]]:
        """The zone that holds name and its servers as (name, address). Raises ProbeError dns.

        Walks down from the top-level domain and asks each zone's own servers for the next cut. The host's resolver is
        asked for names of name servers only: a question for a name that is about to be published would leave its
        absence in the resolver's cache (RFC 2308).
        """
        labels = name.rstrip(".").lower().split(".")
        zone = labels[-1]
        servers = self._known(zone, lambda: self.recursive(zone, "NS").values)
        for start in range(len(labels) - 2, -1, -1):
            candidate = ".".join(labels[start:])
            with self._lock:
                known = self._zones.get(candidate)
            if known is None:
                hosts, exists = self._cut(servers, candidate)
                if not exists:
                    break
                if not hosts:
                    continue
                known = self._known(candidate, lambda hosts=hosts: hosts)  # type: ignore[misc]
            zone, servers = candidate, known
        return zone, servers

    def _known(self, zone: str, hosts: Callable[[], Sequence[str]]) -> List[Tuple[str, str]]:
        with self._lock:
            known = self._zones.get(zone)
        if known is None:
            names = hosts()
            if not names:
                raise ProbeError("dns", f"{zone} has no name servers")
            known = self.addresses(names)
            with self._lock:
                self._zones[zone] = known
        return known

    def _cut(self, servers: Sequence[Tuple[str, str]], candidate: str) -> Tuple[List[str], bool]:
        """Name servers of candidate as its parent's servers give them (none: no zone cut), and whether it exists."""
        failure = ProbeError("dns", f"no server answers for {candidate}")
        for _host, address in servers:
            try:
                answer = self.ask(address, candidate, "NS", recursive=False)
            except ProbeError as error:
                if error.klass == "budget":
                    raise
                failure = error
                continue
            if answer.rcode not in ("NOERROR", "NXDOMAIN"):
                failure = ProbeError("dns", f"{address} answers {answer.rcode} for {candidate}")
                continue
            if answer.chain:
                return [], True
            return answer.values or answer.authority.get(candidate, []), answer.rcode == "NOERROR"
        raise failure

    def addresses(self, hosts: Sequence[str]) -> List[Tuple[str, str]]:
        out = []
        for host in sorted(hosts):
            for rtype in ("A", "AAAA"):
                out += [(host, value) for value in self.recursive(host, rtype).values]
        return out

    def authoritative(self, name: str, rtype: str) -> Answer:
        """From the first server of the zone that answers with authority, aliases followed across zones."""
        chain: List[str] = []
        target = name
        for _hop in range(MAX_CNAME):
            answer = self._authoritative_once(target, rtype)
            chain += answer.chain
            if answer.values or not answer.chain or rtype == "CNAME":
                answer.chain = chain
                return answer
            target = answer.chain[-1]
        raise ProbeError("dns", f"too many aliases from {name}")

    def _authoritative_once(self, name: str, rtype: str) -> Answer:
        zone, servers = self.servers_of(name)
        failure = ProbeError("dns", f"{zone} has no server with an address")
        for host, address in servers:
            try:
                answer = self.ask(address, name, rtype, recursive=False)
            except ProbeError as error:
                if error.klass == "budget":
                    raise
                failure = error
                continue
            if answer.aa and answer.rcode in ("NOERROR", "NXDOMAIN"):
                return answer
            failure = ProbeError("dns", f"{host} ({address}) answers {answer.rcode} without authority for {zone}")
        raise failure


def client(ctx: Context) -> DnsClient:
    made: DnsClient = ctx.shared("dns", lambda: DnsClient(ctx))
    return made


def spf_lookup(asker: DnsClient) -> Any:
    """The resolver of the SPF evaluator: authoritative answers, so that a change is seen at once."""

    def lookup(name: str, rtype: str) -> Tuple[str, Sequence[str]]:
        try:
            answer = asker.authoritative(name, rtype)
        except ProbeError as error:
            if error.klass == "budget":
                raise
            try:
                answer = asker.recursive(name, rtype)
            except ProbeError:
                return "error", ()
        return answer.status, answer.values

    return lookup
