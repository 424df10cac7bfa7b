# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A: the identity with which mail leaves: address, PTR, EHLO name."""

from __future__ import annotations

from typing import Iterator, List, Optional

from ansible_collections.mailstead.stack.plugins.module_utils.checks import addresses, headers, ids
from ansible_collections.mailstead.stack.plugins.module_utils.checks.finding import Finding
from ansible_collections.mailstead.stack.plugins.module_utils.checks.judges.case import Case
from ansible_collections.mailstead.stack.plugins.module_utils.checks.observation import Observation
from ansible_collections.mailstead.stack.plugins.module_utils.checks.view import addresses_of
from ansible_collections.mailstead.stack.plugins.module_utils.plan.model import EdgePlan, SubmissionPlan


def judge(case: Case) -> Iterator[Finding]:
    for edge in case.view.egress_edges():
        hop = seen_hop(case, edge)
        for address in addresses_of(edge):
            yield from _reverse(case, edge, address, hop)
            yield _resolves(case, edge, address)
            yield spf_of_name(case, "A5", edge.mail_name, address, (f"A4@{edge.mail_name}/{address}",))
        yield _seen(case, edge, hop)


def seen_hop(case: Case, edge: EdgePlan) -> Optional[headers.Hop]:
    """How a canary's receiver saw us: the newest Received line that names one of the edge's hosts as the sender."""
    for domain in case.view.plan.domains:
        if domain.egress != edge.host:
            continue
        for canary in case.view.plan.canaries:
            seen = case.seen(ids.canary(domain.name, canary.address))
            if seen is None or not seen.data.get("arrived"):
                continue
            inside = {edge.relay_name, *(h.server_name for h in case.view.plan.homes)}
            for hop in headers.hops(seen.data.get("headers", ())):
                # The first line that was not written by ourselves, read from the receiver's end.
                if hop.address and hop.by not in inside and not addresses.is_private(hop.address):
                    return hop
    return next(
        (hop for s in case.view.submissions if s.edge == edge.host for hop in _hops_of_service(case, s, edge)), None
    )


def _hops_of_service(case: Case, service: SubmissionPlan, edge: EdgePlan) -> Iterator[headers.Hop]:
    """The same for what a service sends; where others deliver for it too, only what came from the edge says anything."""
    inside = {edge.relay_name, service.server_name}
    alone = all(s.edge for s in service.smarthosts)
    for canary in case.view.plan.canaries:
        seen = case.seen(ids.sender_witness(service.name, canary.address))
        found = seen.data.get("messages", {}) if seen is not None and seen.ok else {}
        for message in (m for m in found.values() if m):
            hops = [h for h in headers.hops(message.get("headers", ())) if h.address and h.by not in inside]
            first = next((h for h in hops if not addresses.is_private(h.address)), None)
            if first and (alone or any(addresses.same(first.address, a) for a in addresses_of(edge))):
                yield first


def _ptr_fix(case: Case, edge: EdgePlan, address: str) -> str:
    provider = next((p.provider for p in case.view.plan.ptr if addresses.same(p.address, address)), "manual")
    where = "in the provider's panel" if provider == "manual" else "by running site.yml again"
    return f"set the reverse record of {address} to {edge.mail_name} {where}"


def _reverse(case: Case, edge: EdgePlan, address: str, hop: Optional[headers.Hop]) -> Iterator[Finding]:
    seen = case.seen(ids.reverse(address))
    fix = _ptr_fix(case, edge, address)
    expected = f"{address} → {edge.mail_name}"
    if seen is None or not seen.ok:
        why = case.why_not(seen, ids.reverse(address))
        for check in ("A1", "A2", "A3", "A6"):
            yield case.unknown(
                check, address, why, expected=expected, requires=() if check == "A1" else (f"A1@{address}",)
            )
        return
    names: List[str] = list(seen.data.get("ptr", ()))
    evidence = (f"{seen.data['name']} PTR {' | '.join(names) or seen.data['rcode']} ({seen.data['via']})",)
    yield _exists(case, address, seen, names, expected, evidence, fix)
    needs = (f"A1@{address}",)
    if not names:
        for check in ("A2", "A3", "A6"):
            yield case.unknown(check, address, "there is no PTR name", expected=expected, requires=needs, fix=fix)
        return
    forward = seen.data.get("forward", {})
    lines = tuple(f"{n} → {', '.join(forward.get(n, ())) or 'no address'}" for n in names)
    confirmed = any(addresses.same(a, address) for n in names for a in forward.get(n, ()))
    yield case.finding(
        "A2",
        address,
        "pass" if confirmed else "fail",
        lines[0],
        expected=f"a name whose addresses contain {address}",
        evidence=evidence + lines,
        fix=f"publish {address} as an address of {names[0]}, or {fix}",
        requires=(*needs, *case.zone_needs(edge.mail_name)),
    )
    yield _helo(case, edge, address, names, hop, evidence, fix)
    generic = [n for n in names if addresses.looks_generic(n)]
    yield case.finding(
        "A6",
        address,
        "warn" if generic else "pass",
        ", ".join(names),
        expected="a name of your own",
        evidence=evidence,
        fix=fix,
        requires=needs,
    )


def _exists(
    case: Case, address: str, seen: Observation, names: List[str], expected: str, evidence: tuple[str, ...], fix: str
) -> Finding:
    if names:
        verdict = "pass" if len(names) == 1 else "warn"
        return case.finding(
            "A1", address, verdict, ", ".join(names), expected=expected, evidence=evidence, fix=f"keep one PTR: {fix}"
        )
    if seen.data.get("rcode") not in ("NOERROR", "NXDOMAIN"):
        return case.unknown("A1", address, f"the reverse zone answers {seen.data.get('rcode')}", evidence=evidence)
    return case.fail("A1", address, "no PTR record", expected=expected, evidence=evidence, fix=fix)


def _helo(
    case: Case,
    edge: EdgePlan,
    address: str,
    names: List[str],
    hop: Optional[headers.Hop],
    evidence: tuple[str, ...],
    fix: str,
) -> Finding:
    said = hop.helo if hop else ""
    lines = (*evidence, f"EHLO as a receiver saw it: {said}" if said else "EHLO was not seen by any receiver")
    expected = f"PTR and EHLO are both {edge.mail_name}"
    observed = f"PTR {', '.join(names)}; EHLO {said or 'not seen'}"
    needs = (f"A1@{address}",)
    if said and (said != edge.mail_name or "." not in said or addresses.parse(said)):
        fix = f"set smtp_helo_name of the edge's Postfix to {edge.mail_name} (run site.yml)"
        return case.fail("A3", address, observed, expected=expected, evidence=lines, fix=fix, requires=needs)
    verdict = "pass" if edge.mail_name in names else "warn"
    return case.finding("A3", address, verdict, observed, expected=expected, evidence=lines, fix=fix, requires=needs)


def _resolves(case: Case, edge: EdgePlan, address: str) -> Finding:
    rtype = "AAAA" if addresses.family(address) == "ipv6" else "A"
    found = case.published(edge.mail_name, rtype)
    scope = f"{edge.mail_name}/{address}"
    needs = case.zone_needs(edge.mail_name)
    if not found.known:
        return case.unknown("A4", scope, found.why, requires=needs)
    missing = [label for label, values in found.servers if not any(addresses.same(v, address) for v in values)]
    return case.finding(
        "A4",
        scope,
        "fail" if missing else "pass",
        f"{edge.mail_name} {rtype} {', '.join(found.values) or 'none'}",
        expected=f"{edge.mail_name} {rtype} {address}",
        evidence=found.evidence(),
        fix=f"publish {edge.mail_name} {rtype} {address} without a proxy (run site.yml)",
        requires=needs,
    )


def spf_of_name(case: Case, check_id: str, name: str, address: str, more: tuple[str, ...] = ()) -> Finding:
    """SPF of a host name as MAIL FROM domain of delivery reports and EHLO identity."""
    probe = ids.spf(name, address)
    seen = case.seen(probe)
    scope = f"{name}/{address}"
    needs = (*case.zone_needs(name), *more)
    fix = f'publish {name} TXT "v=spf1 a -all" (run site.yml)'
    if seen is None or not seen.ok:
        return case.unknown(check_id, scope, case.why_not(seen, probe), requires=needs)
    result = str(seen.data["result"])
    verdict = {"pass": "pass", "none": "warn", "temperror": "unknown"}.get(result, "fail")
    return case.finding(
        check_id,
        scope,
        verdict,
        f"{result}: {seen.data.get('reason') or seen.data.get('matched')}",
        expected=f"pass for {address}",
        evidence=(str(seen.data.get("record", "")), *seen.data.get("trace", ())),
        fix=fix,
        requires=needs,
    )


def _seen(case: Case, edge: EdgePlan, hop: Optional[headers.Hop]) -> Finding:
    domains = [d.name for d in case.view.plan.domains if d.egress == edge.host]
    needs = tuple(f"P1@{name}" for name in domains)
    expected = " or ".join(addresses_of(edge))
    if not case.view.plan.canaries:
        return case.unknown("A7", edge.host, "nobody outside says from where our mail comes", matters=False)
    if hop is None and not domains:
        # That a service's mail arrives is a finding of its own; it may have left through another smarthost.
        return case.na("A7", edge.host, "no message of a service came from there")
    if hop is None:
        return case.unknown("A7", edge.host, "no canary arrived whose receiver names the sender", requires=needs)
    right = any(addresses.same(hop.address, a) for a in addresses_of(edge))
    return case.finding(
        "A7",
        edge.host,
        "pass" if right else "fail",
        hop.address,
        expected=expected,
        evidence=(hop.text,),
        fix=f"let mail leave through {edge.host}: check the relay route and Postfix's bind addresses there",
        requires=needs,
    )
