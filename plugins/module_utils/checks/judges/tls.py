# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""K: TLS on every port, on every public address."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Iterator, Mapping, Optional, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.checks import ids
from ansible_collections.mailstead.stack.plugins.module_utils.checks.finding import Finding
from ansible_collections.mailstead.stack.plugins.module_utils.checks.judges.case import (
    NO_OUTSIDE,
    Case,
    certificate_evidence,
)
from ansible_collections.mailstead.stack.plugins.module_utils.checks.planning import CLIENT_PORTS
from ansible_collections.mailstead.stack.plugins.module_utils.checks.view import addresses_of
from ansible_collections.mailstead.stack.plugins.module_utils.plan.model import EdgePlan

#: Shares of a certificate's lifetime: lifetimes shrink from year to year, a number of days would not fit for long.
WARN_SHARE, FAIL_SHARE = 1 / 3, 1 / 10
MIN_RSA = 2048
WEAK_HASHES = ("md5", "sha1")


@dataclass(frozen=True)
class Port:
    """One port of one address: what was seen there, and what must hold before its TLS can be judged."""

    edge: EdgePlan
    address: str
    port: int
    tls: Optional[Mapping[str, Any]]
    legacy: Optional[bool]
    why: str
    needs: Tuple[str, ...]
    matters: bool = True

    @property
    def scope(self) -> str:
        return f"{self.address}:{self.port}"


def judge(case: Case) -> Iterator[Finding]:
    for edge, address, seen in case.sessions():
        yield _starttls(case, edge, address)
        tls = seen.data.get("tls") if seen and seen.ok else None
        legacy = seen.data.get("legacy") if seen and seen.ok else None
        needs = (f"K1@{address}:25",)
        why = "no TLS session on port 25 was seen"
        yield from _port(case, Port(edge, address, 25, tls, legacy, why, needs, case.watched))
    for edge in case.view.plan.edges:
        for address in addresses_of(edge):
            for port in CLIENT_PORTS:
                if port not in edge.ports:
                    continue
                seen = case.seen(ids.tls(address, port))
                up = seen is not None and seen.ok and seen.data["connect"] == "open"
                tls = seen.data if up and seen else None
                legacy = tls.get("legacy") if tls else None
                needs = (f"C3@{address}:{port}",)
                matters = not (seen and seen.ok and seen.data["connect"] == "no-route")
                why = "no TLS session was seen"
                yield from _port(case, Port(edge, address, port, tls, legacy, why, needs, matters))


def _starttls(case: Case, edge: EdgePlan, address: str) -> Finding:
    scope = f"{address}:25"
    needs = case.address_needs(edge, address)
    seen = case.seen(ids.session(address))
    expected = "STARTTLS is offered and the handshake succeeds"
    if not case.watched:
        return case.unknown("K1", scope, NO_OUTSIDE, expected=expected, matters=False)
    if seen is None or not seen.ok:
        return case.unknown("K1", scope, case.why_not(seen, ids.session(address)), expected=expected, requires=needs)
    data = seen.data
    if not data["ehlo"]:
        matters = data["connect"] != "no-route"
        return case.unknown("K1", scope, "no EHLO reply", expected=expected, requires=needs, matters=matters)
    offered = "STARTTLS" in data["ehlo"]
    works = bool(data.get("tls"))
    observed = str(data["tls"]["version"]) if works else "offered, but it fails" if offered else "not offered"
    return case.finding(
        "K1",
        scope,
        "pass" if works else "fail",
        observed,
        expected=expected,
        evidence=(f"EHLO: {', '.join(data['ehlo'])}", f"ended: {data['ended'] or 'regularly'}"),
        fix="load a certificate into the mail server (role tls) and reload it",
        requires=needs,
    )


def _port(case: Case, port: Port) -> Iterator[Finding]:
    if port.tls is None:
        for check in ("K2", "K3", "K4", "K5"):
            yield case.unknown(check, port.scope, port.why, requires=port.needs, matters=port.matters)
        return
    yield _certificate(case, port, port.tls)
    yield _expiry(case, port, port.tls)
    yield _versions(case, port, port.tls)
    yield _strength(case, port, port.tls)


def _insists(case: Case, edge: EdgePlan) -> bool:
    """Whether a sender would refuse an invalid certificate on port 25: an enforced policy (RFC 8461 §5)."""
    return any(d.mta_sts == "enforce" and edge.host in d.edges for d in case.view.plan.domains)


def _certificate(case: Case, port: Port, tls: Mapping[str, Any]) -> Finding:
    trouble = []
    if not tls.get("chain_ok"):
        trouble.append(f"chain: {tls.get('chain_error') or 'not trusted'}")
    if not tls.get("name_ok"):
        trouble.append(f"does not name {port.edge.mail_name}")
    strict = port.port != 25 or _insists(case, port.edge)
    return case.finding(
        "K2",
        port.scope,
        ("fail" if strict else "warn") if trouble else "pass",
        "; ".join(trouble) or f"valid for {port.edge.mail_name}",
        expected=f"a chain to a trusted root, and the name {port.edge.mail_name}",
        evidence=(certificate_evidence(dict(tls)),),
        fix="renew with certbot (role tls) and reload; serve the full chain",
        requires=(*port.needs, f"K3@{port.scope}"),
    )


def lifetime(tls: Mapping[str, Any], now: float) -> Tuple[str, str]:
    """Verdict on what is left of a certificate's life, and that in words."""
    begin, end = float(tls["not_before"]), float(tls["not_after"])
    share = (end - now) / (end - begin) if end > begin else 0.0
    days = (end - now) / 86400
    verdict = "fail" if share < FAIL_SHARE or now < begin else "warn" if share < WARN_SHARE else "pass"
    observed = f"{days:.1f} days left, {max(share, 0) * 100:.0f} % of its life" if share > 0 else "expired"
    return verdict, "not valid yet" if now < begin else observed


def _expiry(case: Case, port: Port, tls: Mapping[str, Any]) -> Finding:
    verdict, observed = lifetime(tls, case.now)
    return case.finding(
        "K3",
        port.scope,
        verdict,
        observed,
        expected="more than a third of its life left",
        evidence=(certificate_evidence(dict(tls)),),
        fix="run `certbot renew` on the home and see why its timer did not (systemctl status certbot.timer)",
        requires=port.needs,
    )


def _versions(case: Case, port: Port, tls: Mapping[str, Any]) -> Finding:
    version = str(tls.get("version", ""))
    if port.legacy is None:
        observed = f"{version}; whether older ones are refused could not be told"
        return case.unknown("K4", port.scope, observed, requires=port.needs, matters=False)
    verdict = ("warn" if port.port == 25 else "fail") if port.legacy else "pass"
    observed = f"{version}; TLS 1.0 or 1.1 is {'accepted' if port.legacy else 'refused'}"
    return case.finding(
        "K4",
        port.scope,
        verdict,
        observed,
        expected="TLS 1.2 or later only",
        fix="switch TLS 1.0 and 1.1 off in the mail server's listener",
        requires=port.needs,
    )


def _strength(case: Case, port: Port, tls: Mapping[str, Any]) -> Finding:
    trouble = []
    if tls.get("key") == "rsa" and int(tls.get("bits", 0)) < MIN_RSA:
        trouble.append(f"RSA with {tls['bits']} bits")
    if tls.get("signature_hash") in WEAK_HASHES:
        trouble.append(f"signed with {tls['signature_hash']}")
    return case.finding(
        "K5",
        port.scope,
        "fail" if trouble else "pass",
        "; ".join(trouble) or f"{tls.get('key')} {tls.get('bits')}, signed with {tls.get('signature_hash') or 'EdDSA'}",
        expected=f"EC or RSA of {MIN_RSA} bits at least, SHA-2",
        evidence=(certificate_evidence(dict(tls)),),
        fix="request a new certificate with an ECDSA key (role tls)",
        requires=port.needs,
    )
