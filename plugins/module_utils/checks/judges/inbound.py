# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""C: what the outside world reaches, and whether the server still knows who is calling."""

from __future__ import annotations

from typing import Any, Iterator, List, Mapping, Optional, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.checks import addresses, headers, ids
from ansible_collections.mailstead.stack.plugins.module_utils.checks.finding import Finding
from ansible_collections.mailstead.stack.plugins.module_utils.checks.judges.case import NO_OUTSIDE, Case
from ansible_collections.mailstead.stack.plugins.module_utils.checks.observation import Observation
from ansible_collections.mailstead.stack.plugins.module_utils.checks.planning import CLIENT_PORTS
from ansible_collections.mailstead.stack.plugins.module_utils.checks.view import addresses_of
from ansible_collections.mailstead.stack.plugins.module_utils.plan.model import DomainPlan, EdgePlan

#: Seconds; RFC 5321 §4.5.3.2.1 gives a server five minutes, impatient senders give it far less.
SLOW_BANNER = 15.0


def judge(case: Case) -> Iterator[Finding]:
    for edge, address, seen in case.sessions():
        yield _port25(case, edge, address, seen)
        yield _delay(case, edge, address, seen)
    for edge in case.view.plan.edges:
        yield _client_address(case, edge)
        for address in addresses_of(edge):
            for port in CLIENT_PORTS:
                if port in edge.ports:
                    yield _client_port(case, edge, address, port)
    for domain in case.view.taking:
        yield _postmaster(case, domain)


def transcript(data: Mapping[str, Any], limit: int = 12) -> Tuple[str, ...]:
    return tuple(f"{said} → {heard}" for said, heard in list(data.get("transcript", ()))[:limit])


def _port25(case: Case, edge: EdgePlan, address: str, seen: Optional[Observation]) -> Finding:
    expected = f"{address}:25 greets with 220"
    if not case.watched:
        return case.unknown("C1", address, NO_OUTSIDE, expected=expected, matters=False)
    if seen is None or not seen.ok:
        return case.unknown("C1", address, case.why_not(seen, ids.session(address)), expected=expected)
    data = seen.data
    evidence = (f"from {seen.vantage} to {address}:25", *transcript(data))
    if data["connect"] in ("no-route",):
        why = f"{seen.vantage} has no route in this address family"
        return case.unknown("C1", address, why, expected=expected, matters=False)
    if data["connect"] != "open":
        words = {"timeout": "silently dropped", "refused": "refused", "prohibited": "administratively prohibited"}
        observed = f"port 25 is {words.get(data['connect'], data['connect'])}"
        fix = (
            f"on {edge.host}: check that frps listens on port 25 (systemctl status frps), the firewall and the"
            " provider's security group admit it, and the home's frpc is connected"
        )
        return case.fail("C1", address, observed, expected=expected, evidence=evidence, fix=fix)
    if not data["banner"].startswith("220"):
        observed = data["banner"] or f"connected, then nothing ({data['ended'] or 'no banner'})"
        fix = (
            f"the tunnel takes the connection and no mail server answers: check frpc and the mail server on the home"
            f" of {edge.host}, and that the tunnel sends the PROXY header the server's listener expects"
        )
        return case.fail("C1", address, observed, expected=expected, evidence=evidence, fix=fix)
    return case.passed("C1", address, data["banner"], expected=expected, evidence=evidence[:2])


def _delay(case: Case, edge: EdgePlan, address: str, seen: Optional[Observation]) -> Finding:
    needs = (f"C1@{address}",)
    if seen is None or not seen.ok or not seen.data.get("banner"):
        return case.unknown("C5", address, "no banner was seen", requires=needs, matters=False)
    waited = int(seen.data.get("banner_ms", 0)) / 1000
    return case.finding(
        "C5",
        address,
        "warn" if waited > SLOW_BANNER else "pass",
        f"{waited:.1f} s",
        expected=f"at most {SLOW_BANNER:.0f} s",
        fix="look at the mail server's load and its resolver",
        requires=needs,
    )


def _client_address(case: Case, edge: EdgePlan) -> Finding:
    """From the SMTP session first (a PROXY header read as SMTP shows there), then from the headers of delivered mail."""
    if not edge.homes:
        return case.na("C2", edge.host, "no home is behind it: nobody hands in mail there")
    needs = tuple(f"C1@{a}" for a in addresses_of(edge))
    expected = "the address the sender sent from"
    fix = (
        "let the server's listeners trust exactly the tunnel client's address for PROXY headers, and restart the"
        " server: proxy trust is not reloaded (run site.yml)"
    )
    if not case.watched:
        return case.unknown("C2", edge.host, NO_OUTSIDE, expected=expected, matters=False)
    for one, address, seen in case.sessions():
        if one.host != edge.host or seen is None or not seen.ok:
            continue
        if seen.data.get("banner", "").startswith("220") and not seen.data.get("ehlo"):
            code = seen.data.get("ehlo_code", 0)
            observed = f"the server greets, then answers EHLO with {code or seen.data.get('ended') or 'nothing'}"
            lines = (f"from {seen.vantage} to {address}:25", *transcript(seen.data))
            return case.fail("C2", edge.host, observed, expected=expected, evidence=lines, fix=fix, requires=needs)
    for domain in case.view.plan.domains:
        if edge.host in domain.edges:
            verdict = _from_headers(case, domain, edge, expected, fix, needs)
            if verdict:
                return verdict
    return case.unknown("C2", edge.host, "no stranger's message arrived in which to read it", requires=needs)


def _from_headers(
    case: Case, domain: DomainPlan, edge: EdgePlan, expected: str, fix: str, needs: Tuple[str, ...]
) -> Optional[Finding]:
    sent, got = case.seen(ids.stranger(domain.name)), case.seen(ids.mailbox(domain.name))
    message = (got.data.get("messages", {}) if got else {}).get("genuine")
    if sent is None or not message:
        return None
    source = sent.data.get("results", {}).get("genuine", {}).get("source", "")
    home = case.view.home(domain.home)
    hop = headers.hop_by(message["headers"], [home.server_name, *domain.mail_hosts])
    if hop is None:
        texts = headers.values(message["headers"], "Received")
        return case.unknown("C2", edge.host, "no Received line of our server names a client", evidence=texts)
    evidence = (f"sent from {source}", hop.text)
    inside: List[str] = [home.tunnel_address, home.gateway, home.server_address, *addresses_of(edge)]
    own = addresses.same(hop.address, source)
    # A vantage behind a NAT does not know its public address: then anything public that is not ours will do.
    natted = addresses.is_private(source) and not addresses.is_private(hop.address)
    right = own or (natted and not any(addresses.same(hop.address, a) for a in inside))
    return case.finding(
        "C2",
        edge.host,
        "pass" if right else "fail",
        hop.address,
        expected=f"{expected}: {source}",
        evidence=evidence,
        fix=fix,
        requires=needs,
    )


def _client_port(case: Case, edge: EdgePlan, address: str, port: int) -> Finding:
    probe = ids.tls(address, port)
    scope = f"{address}:{port}"
    seen = case.seen(probe)
    needs = (f"C2@{edge.host}",)
    expected = f"{scope} completes a TLS handshake"
    if seen is None or not seen.ok:
        return case.unknown("C3", scope, case.why_not(seen, probe), expected=expected, requires=needs)
    data = seen.data
    if data["connect"] == "open":
        observed = f"{data.get('version', '')} {data.get('greeting', '')}".strip()
        return case.passed("C3", scope, observed, expected=expected, evidence=(f"from {seen.vantage}",))
    if data["connect"] == "no-route":
        return case.unknown("C3", scope, f"{seen.vantage} has no route in this address family", matters=False)
    words = {"timeout": "silent", "refused": "refused", "tls": "no TLS", "closed": "closed at once"}
    return case.fail(
        "C3",
        scope,
        f"{words.get(data['connect'], data['connect'])}: {data.get('error', '')}",
        expected=expected,
        evidence=(f"from {seen.vantage}",),
        fix=f"check the tunnel's proxy for port {port}, the firewall of {edge.host} and the server's listener",
        requires=needs,
    )


def recipient_reply(case: Case, domain: DomainPlan, label: str) -> Tuple[Optional[Observation], int, str]:
    """The reply to a RCPT of the recipients probe; code 0: there was none."""
    seen = case.seen(ids.recipients(domain.name))
    reply = (seen.data.get("replies", {}) if seen and seen.ok else {}).get(label, {})
    return seen, int(reply.get("code", 0)), str(reply.get("text", ""))


def _postmaster(case: Case, domain: DomainPlan) -> Finding:
    needs = case.inbound_needs(domain)
    expected = f"250 for postmaster@{domain.name} and abuse@{domain.name}"
    if not case.watched:
        return case.unknown("C4", domain.name, NO_OUTSIDE, expected=expected, matters=False)
    replies = {label: recipient_reply(case, domain, label) for label in ("postmaster", "abuse")}
    seen = replies["postmaster"][0]
    if seen is None or not seen.ok or not all(code for _s, code, _t in replies.values()):
        why = case.why_not(seen, ids.recipients(domain.name)) if seen is None or not seen.ok else "the session was cut"
        lines = transcript(seen.data) if seen else ()
        return case.unknown("C4", domain.name, why, expected=expected, evidence=lines, requires=needs)
    refused = [f"{label}: {text}" for label, (_s, code, text) in replies.items() if code >= 400]
    return case.finding(
        "C4",
        domain.name,
        "fail" if refused else "pass",
        "; ".join(refused) or "both are accepted",
        expected=expected,
        evidence=transcript(seen.data),
        fix="give an account the aliases postmaster and abuse in mail_domains",
        requires=needs,
    )
