# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""E: the zones themselves: delegation, consistency, MX, CAA, DNSSEC, and the clocks that signatures rely on."""

from __future__ import annotations

from typing import Any, Dict, Iterator, List, Mapping, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.checks import addresses, ids
from ansible_collections.mailstead.stack.plugins.module_utils.checks.finding import Finding
from ansible_collections.mailstead.stack.plugins.module_utils.checks.judges.case import Case
from ansible_collections.mailstead.stack.plugins.module_utils.plan.model import DomainPlan, HomePlan
from ansible_collections.mailstead.stack.plugins.module_utils.plan.records import caa_issuer

#: Seconds. Starting a probe run takes some, so a clock that seems late is judged more mildly than one that is early.
CLOCK_EARLY, CLOCK_LATE, CLOCK_WRONG = 2.0, 15.0, 60.0
MIN_TTL, MAX_TTL = 60, 86400


def judge(case: Case) -> Iterator[Finding]:
    for zone in case.view.zones:
        yield _delegation(case, zone)
        yield _consistency(case, zone)
        yield _wildcard(case, zone)
        yield _ttl(case, zone)
        yield _dnssec(case, zone)
    for domain in case.view.taking:
        yield _mx_sane(case, domain)
        yield _mx_ours(case, domain)
    for host in sorted({e.mail_name for e in case.view.plan.edges}):
        yield _proxied(case, host)
    for home in case.view.plan.homes:
        yield from _caa(case, home)
    for service in case.view.submissions:
        if case.view.zone_of(service.server_name):
            yield _caa_for(case, service.server_name, service.acme_directory, "dns-01")
    for host in (*case.view.vantages.home, *case.view.vantages.edge):
        yield _resolver(case, host)
    for host in case.view.vantages.all():
        yield _clock(case, host)


def _servers(case: Case, zone: str) -> List[Mapping[str, Any]]:
    seen = case.seen(ids.zone(zone))
    return list(seen.data.get("servers", ())) if seen and seen.ok else []


def _delegation(case: Case, zone: str) -> Finding:
    probe = ids.zone(zone)
    seen = case.seen(probe)
    expected = "the same name servers at the parent and in the zone, each answering with authority"
    fix = "enter at the registrar exactly the name servers that the DNS provider assigned to the zone"
    if seen is None:
        return case.unknown("E1", zone, case.why_not(seen, probe), expected=expected)
    if not seen.ok:
        if seen.error == "dns" and "not delegated" in seen.message:
            return case.fail("E1", zone, seen.message, expected=expected, fix=fix)
        return case.unknown("E1", zone, case.why_not(seen, probe), expected=expected)
    data = seen.data
    if data.get("parent_error"):
        return case.unknown("E1", zone, str(data["parent_error"]), expected=expected)
    parent, child = set(data["parent_ns"]), set(data["child_ns"])
    evidence = [f"parent {data.get('parent', '')}: {' '.join(sorted(parent))}", f"zone: {' '.join(sorted(child))}"]
    trouble = []
    # A family that this vantage cannot route at all says nothing about the server.
    asked = [s for s in _servers(case, zone) if s.get("error") != "no-route"]
    for server in asked:
        if server.get("error"):
            trouble.append(f"{server['ns']} ({server['address']}) does not answer: {server['error']}")
        elif not server.get("aa"):
            trouble.append(f"{server['ns']} ({server['address']}) has no authority (lame)")
    if parent != child:
        trouble.append("parent and zone name different servers")
    evidence += trouble
    silent = bool(asked) and all(s.get("error") for s in asked)
    if silent:
        return case.unknown("E1", zone, "no name server of the zone answers", expected=expected, evidence=evidence)
    return case.finding(
        "E1",
        zone,
        "fail" if trouble else "pass",
        "; ".join(trouble) or f"{len(child)} name servers",
        expected=expected,
        evidence=evidence,
        fix=fix,
    )


def _consistency(case: Case, zone: str) -> Finding:
    needs = (f"E1@{zone}",)
    answering = [s for s in _servers(case, zone) if not s.get("error")]
    if not answering:
        return case.unknown("E2", zone, "no authoritative server answered", requires=needs)
    serials = {s.get("serial") for s in answering}
    different = []
    for question in sorted({q for s in answering for q in s.get("answers", {})}):
        seen = {tuple(sorted(s.get("answers", {}).get(question, {}).get("values", ()))) for s in answering}
        if len(seen) > 1:
            different.append(question)
    evidence = [f"{s['ns']} ({s['address']}): serial {s.get('serial')}" for s in answering]
    return case.finding(
        "E2",
        zone,
        "warn" if different else "pass",
        f"answers differ for {', '.join(different)}"
        if different
        else f"serial {', '.join(map(str, sorted(serials, key=str)))}",
        expected="equal answers everywhere",
        evidence=evidence,
        fix="wait until the provider has distributed the change, then verify again",
        requires=needs,
    )


def _wildcard(case: Case, zone: str) -> Finding:
    needs = (f"E1@{zone}",)
    found = [case.published(f"*.{zone}", t) for t in ("A", "MX", "TXT", "CNAME")]
    below = [d.name for d in case.view.hosted if d.zone == zone and d.name != zone]
    found += [case.published(f"*.{name}", "MX") for name in below]
    if not all(f.known for f in found):
        return case.unknown("E6", zone, next(f.why for f in found if not f.known), requires=needs)
    present = [f for f in found if f.values]
    return case.finding(
        "E6",
        zone,
        "warn" if present else "pass",
        "; ".join(f"{f.name} {f.rtype} {' '.join(f.values)}" for f in present) or "none",
        expected="no wildcard",
        evidence=[line for f in present for line in f.evidence()],
        fix="replace the wildcard by the names that are used: it makes every name exist, which defeats DMARC np="
        + (", and mail for names without an MX goes where it says" if any(f.rtype == "MX" for f in present) else ""),
        requires=needs,
    )


def _ttl(case: Case, zone: str) -> Finding:
    needs = (f"E1@{zone}",)
    odd = []
    known = False
    for record in case.view.zones[zone]:
        found = case.published(record.name, record.type)
        known = known or bool(found.values)
        if found.values and not MIN_TTL <= found.ttl <= MAX_TTL:
            odd.append(f"{record.name} {record.type} {found.ttl} s")
    if not known:
        return case.unknown("E8", zone, "no record was seen", requires=needs)
    return case.finding(
        "E8",
        zone,
        "warn" if odd else "pass",
        "; ".join(dict.fromkeys(odd)) or f"all between {MIN_TTL} s and {MAX_TTL} s",
        expected=f"{MIN_TTL} s to {MAX_TTL} s",
        fix="run site.yml: it writes the planned lifetimes",
        requires=needs,
    )


def _dnssec(case: Case, zone: str) -> Finding:
    """Bogus is what a validator refuses and a resolver that does not check still answers."""
    needs = (f"E1@{zone}",)
    seen = case.seen(ids.zone(zone))
    question = f"{zone} SOA"
    answers: Dict[str, Mapping[str, Any]] = {}
    for resolver in case.obs.every(ids.RESOLVER):
        if resolver.ok and question in resolver.data.get("answers", {}):
            answers[resolver.vantage] = resolver.data["answers"][question]
    evidence = [f"{v}: {a['rcode']}{' ad' if a.get('ad') else ''}" for v, a in sorted(answers.items())]
    bogus = [v for v, a in answers.items() if a["rcode"] == "SERVFAIL" and a.get("cd_rcode") == "NOERROR"]
    fix = "compare the DS at the registrar with the zone's DNSKEY; remove the DS before anything else if they differ"
    if bogus:
        observed = f"bogus: {', '.join(sorted(bogus))} gets SERVFAIL, and an answer only without checking"
        return case.fail("E10", zone, observed, expected="validated answers", evidence=evidence, fix=fix)
    if not answers:
        return case.unknown("E10", zone, "no resolver answered", requires=needs)
    if any(a.get("ad") for a in answers.values()):
        return case.passed("E10", zone, "answers validate", evidence=evidence)
    signed = bool(seen and seen.ok and seen.data.get("ds") and seen.data.get("dnskey"))
    if signed:
        observed = "the zone is signed and delegated securely, but no resolver here validates it"
        return case.unknown("E10", zone, observed, evidence=evidence, requires=needs, matters=False)
    observed = "not signed" if not (seen and seen.ok and seen.data.get("dnskey")) else "signed, but no DS at the parent"
    fix = "switch on DNSSEC at the DNS provider and enter the DS at the registrar"
    return case.warn("E10", zone, observed, expected="validated answers", evidence=evidence, fix=fix, requires=needs)


def mx_hosts(values: Tuple[str, ...]) -> List[str]:
    return [v.split(" ", 1)[1].strip() for v in values if " " in v]


def _mx_sane(case: Case, domain: DomainPlan) -> Finding:
    found = case.published(domain.name, "MX")
    needs = case.zone_needs(domain.name)
    if not found.known:
        return case.unknown("E3", domain.name, found.why, requires=needs)
    hosts = mx_hosts(found.values)
    trouble = [] if hosts else ["no MX record"]
    if len(set(hosts)) != len(hosts):
        trouble.append("a host stands twice")
    for host in sorted(set(hosts)):
        if host == ".":
            trouble.append("null MX: the domain declares that it takes no mail (RFC 7505)")
        elif addresses.parse(host):
            trouble.append(f"{host} is an address, not a name")
        elif case.view.zone_of(host):
            forward = [case.published(host, t) for t in ("A", "AAAA")]
            if any(f.chain for f in forward):
                trouble.append(f"{host} is an alias")
            seen = [v for f in forward for v in f.values]
            if all(f.known for f in forward) and not seen:
                trouble.append(f"{host} has no address")
            trouble += [f"{host} has the private address {v}" for v in seen if addresses.is_private(v)]
    return case.finding(
        "E3",
        domain.name,
        "fail" if trouble else "pass",
        "; ".join(trouble) or ", ".join(found.values),
        expected=", ".join(f"{10 * n} {h}" for n, h in enumerate(domain.mail_hosts, start=1)),
        evidence=found.evidence(),
        fix="publish the planned MX (run site.yml) and remove what stands beside it",
        requires=needs,
    )


def _mx_ours(case: Case, domain: DomainPlan) -> Finding:
    found = case.published(domain.name, "MX")
    needs = (*case.zone_needs(domain.name), f"E3@{domain.name}")
    if not found.known:
        return case.unknown("E4", domain.name, found.why, requires=needs)
    foreign = sorted(set(mx_hosts(found.values)) - set(domain.mail_hosts))
    missing = sorted(set(domain.mail_hosts) - set(mx_hosts(found.values)))
    trouble = [f"{h} is not ours" for h in foreign] + [f"{h} is missing" for h in missing]
    return case.finding(
        "E4",
        domain.name,
        "fail" if trouble else "pass",
        "; ".join(trouble) or ", ".join(found.values),
        expected=", ".join(domain.mail_hosts),
        evidence=found.evidence(),
        fix="one provider owns the MX: remove the other one's records, then run site.yml",
        requires=needs,
    )


def _proxied(case: Case, host: str) -> Finding:
    found = [case.published(host, t) for t in ("A", "AAAA")]
    needs = case.zone_needs(host)
    if not all(f.known for f in found):
        return case.unknown("E5", host, next(f.why for f in found if not f.known), requires=needs)
    values = [v for f in found for v in f.values]
    caught = [v for v in values if addresses.is_cloudflare(v)]
    return case.finding(
        "E5",
        host,
        "fail" if caught else "pass",
        ", ".join(caught or values) or "no address",
        expected="the edge's own address",
        evidence=[line for f in found for line in f.evidence()],
        fix=f"set {host} to DNS only at Cloudflare (run site.yml)",
        requires=needs,
    )


def _caa(case: Case, home: HomePlan) -> Iterator[Finding]:
    for host in sorted({e.mail_name for e in case.view.plan.edges if e.host in home.edges}):
        yield _caa_for(case, host, home.acme_directory, home.acme_challenge)


def _caa_for(case: Case, host: str, directory: str, challenge: str) -> Finding:
    issuer = caa_issuer(directory)
    if not issuer:
        return case.na("E9", host, f"the CAA name of {directory} is not known")
    return _caa_of(case, host, issuer, challenge)


def _caa_of(case: Case, host: str, issuer: str, challenge: str) -> Finding:
    zone = case.view.zone_of(host)
    needs = case.zone_needs(host)
    labels = host.split(".")
    # The nearest set above the name counts and hides all others (RFC 8659 §3).
    names = [".".join(labels[i:]) for i in range(len(labels)) if len(labels) - i >= len(zone.split("."))]
    for name in names:
        found = case.published(name, "CAA")
        if not found.known:
            if name in (host, zone):
                return case.unknown("E9", host, found.why, requires=needs)
            continue
        if not found.values:
            continue
        issues = [v.split('"')[1] for v in found.values if v.split(" ")[1].lower() == "issue" and '"' in v]
        allowed = [i for i in issues if i.split(";")[0].strip().lower() == issuer]
        methods = [_methods(i) for i in allowed]
        good = any(not m or challenge in m for m in methods)
        return case.finding(
            "E9",
            host,
            "pass" if good or not issues else "fail",
            "; ".join(found.values),
            expected=f"{issuer} may issue by {challenge}",
            evidence=found.evidence(),
            fix=f'publish {host} CAA 0 issue "{issuer}; validationmethods={challenge}" (run site.yml)',
            requires=needs,
        )
    return case.passed("E9", host, "no CAA: every authority may issue", expected=f"{issuer} may issue")


def _methods(value: str) -> List[str]:
    for part in value.split(";")[1:]:
        key, _eq, methods = part.strip().partition("=")
        if key.strip().lower() == "validationmethods":
            return [m.strip().lower() for m in methods.split(",") if m.strip()]
    return []


def _resolver(case: Case, host: str) -> Finding:
    seen = case.seen(ids.RESOLVER, host)
    expected = "answers for the root carry the AD flag"
    if seen is None or not seen.ok:
        return case.unknown("E11", host, case.why_not(seen, ids.RESOLVER, host), expected=expected)
    answer = seen.data.get("answers", {}).get(". NS", {})
    where = ", ".join(seen.data.get("nameservers", ()))
    return case.finding(
        "E11",
        host,
        "pass" if answer.get("ad") else "fail",
        f"{where}: {answer.get('rcode', 'no answer')}{' with' if answer.get('ad') else ' without'} AD",
        expected=expected,
        fix=f"let {host} use its own unbound (role resolver); check its clock and trust anchor",
    )


def _clock(case: Case, host: str) -> Finding:
    seen = case.seen(ids.CLOCK, host)
    expected = f"within {CLOCK_LATE:.0f} s of the controller"
    if seen is None or not seen.ok or seen.data.get("offset") is None:
        return case.unknown("E12", host, case.why_not(seen, ids.CLOCK, host), expected=expected, matters=False)
    offset = float(seen.data["offset"])
    verdict = "pass"
    if not -CLOCK_WRONG <= offset <= CLOCK_WRONG:
        verdict = "fail"
    elif not -CLOCK_EARLY <= offset <= CLOCK_LATE:
        verdict = "warn"
    return case.finding(
        "E12",
        host,
        verdict,
        f"{offset:+.1f} s, start of the probe included",
        expected=expected,
        fix=f"run a time service on {host} (systemd-timesyncd or chrony)",
    )
