# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""I, J: MTA-STS, TLS reports and DANE: what senders must find when they insist on TLS."""

from __future__ import annotations

import re
from typing import Dict, Iterator, List, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.checks import headers, ids
from ansible_collections.mailstead.stack.plugins.module_utils.checks.finding import Finding
from ansible_collections.mailstead.stack.plugins.module_utils.checks.judges.case import Case, first_txt
from ansible_collections.mailstead.stack.plugins.module_utils.checks.judges.dns import mx_hosts
from ansible_collections.mailstead.stack.plugins.module_utils.checks.probes.tls import name_matches
from ansible_collections.mailstead.stack.plugins.module_utils.checks.view import addresses_of
from ansible_collections.mailstead.stack.plugins.module_utils.mta_sts.policy import parse_policy
from ansible_collections.mailstead.stack.plugins.module_utils.plan.model import DomainPlan, EdgePlan, MailDomain

DAY, WEEK, YEAR = 86400, 604800, 31557600
_ID = re.compile(r"^[A-Za-z0-9]{1,32}$")
MTA_STS = ("I1", "I2", "I3", "I4", "I5", "I6")


def judge(case: Case) -> Iterator[Finding]:
    for domain in case.view.taking:
        if domain.mta_sts == "off":
            for check in MTA_STS:
                yield case.na(check, domain.name, "mta_sts is off in the intent")
        else:
            yield _record(case, domain)
            yield from _policy(case, domain)
    for any_domain in case.view.mail_domains:
        yield _reports(case, any_domain)
    for edge in case.view.plan.edges:
        yield from _dane(case, edge)


def _record(case: Case, domain: DomainPlan) -> Finding:
    name = f"_mta-sts.{domain.name}"
    found = case.published(name, "TXT")
    needs = case.zone_needs(name)
    expected = f"v=STSv1; id={domain.mta_sts_id}"
    fix = f'publish exactly one {name} TXT "{expected}" (run site.yml)'
    if not found.known:
        return case.unknown("I1", domain.name, found.why, requires=needs)
    records = first_txt(found.values, "v=stsv1")
    right = len(records) == 1 and bool(_ID.match(headers.tags(records[0]).get("id", "")))
    observed = records[0] if len(records) == 1 else f"{len(records)} records"
    return case.finding(
        "I1",
        domain.name,
        "pass" if right else "fail",
        observed,
        expected=expected,
        evidence=found.evidence(),
        fix=fix,
        requires=needs,
    )


def _policy(case: Case, domain: DomainPlan) -> Iterator[Finding]:
    name = domain.name
    probe = ids.policy(name)
    seen = case.seen(probe)
    needs: Tuple[str, ...] = ()
    for edge in case.view.inbound(domain):
        needs += (f"C2@{edge.host}", *(f"C3@{a}:443" for a in addresses_of(edge)))
    fetched = (f"I2@{name}",)
    expected = "200, text/plain, valid certificate for the name, no redirect"
    fix = f"let the server answer https://mta-sts.{name}/.well-known/mta-sts.txt with a certificate for that name"
    if seen is None or not seen.ok:
        why = case.why_not(seen, probe)
        yield case.unknown("I2", name, why, expected=expected, requires=needs)
        body = ""
    else:
        data = seen.data
        trouble = []
        if data["connect"] != "open":
            trouble.append(f"connection: {data['connect']}")
        elif data["tls_error"]:
            trouble.append(f"certificate: {data['tls_error']}")
        else:
            if data["status"] != 200:
                trouble.append(f"status {data['status']}")
            if data["type"] != "text/plain":
                trouble.append(f"type {data['type']}")
            if data.get("truncated"):
                trouble.append("over 64 KiB")
            if parse_policy(data["body"])[0].get("version") != "STSv1":
                trouble.append("no version: STSv1")
        body = "" if trouble else str(data["body"])
        evidence = (data["url"], *str(data["body"]).splitlines()[:12])
        yield case.finding(
            "I2",
            name,
            "fail" if trouble else "pass",
            "; ".join(trouble) or "served",
            expected=expected,
            evidence=evidence,
            fix=fix,
            requires=needs,
        )
    if not body:
        for check in ("I3", "I4", "I5", "I6"):
            yield case.unknown(check, name, "there is no policy to look at", requires=fetched)
        return
    yield from _content(case, domain, body, fetched)


def _content(case: Case, domain: DomainPlan, body: str, fetched: Tuple[str, ...]) -> Iterator[Finding]:
    name = domain.name
    fields, patterns = parse_policy(body)
    plan = case.view.home(domain.home).mta_sts
    evidence = tuple(body.splitlines()[:12])
    fix = "run site.yml: it writes the policy and its id from the plan"
    yield _covers(case, domain, patterns, evidence, fetched)
    mode = fields.get("mode", "")
    invalid = _invalid_certificates(case, domain)
    trouble = [f"mode enforce, but {where} has no valid certificate" for where in invalid if mode == "enforce"]
    verdict = (
        "fail" if trouble or mode not in ("enforce", "testing", "none") else "pass" if mode == plan.mode else "warn"
    )
    observed = "; ".join(trouble) or f"mode {mode or 'missing'}"
    # Only a bad certificate would be explained by K2; a wrong mode is this check's own.
    needs = (*fetched, *(f"K2@{w}" for w in invalid)) if trouble else fetched
    yield case.finding(
        "I4", name, verdict, observed, expected=f"mode {plan.mode}", evidence=evidence, fix=fix, requires=needs
    )
    yield _id_of(case, domain, fields, patterns, evidence, fetched, fix)
    age = int(fields["max_age"]) if fields.get("max_age", "").isdigit() else 0
    verdict = "fail" if age < DAY or age > YEAR else "warn" if age < WEEK else "pass"
    yield case.finding(
        "I6",
        name,
        verdict,
        f"max_age {fields.get('max_age', 'missing')}",
        expected=f"max_age {plan.max_age}",
        evidence=evidence,
        fix=fix,
        requires=fetched,
    )


def _covers(
    case: Case, domain: DomainPlan, patterns: List[str], evidence: Tuple[str, ...], fetched: Tuple[str, ...]
) -> Finding:
    found = case.published(domain.name, "MX")
    needs = (*fetched, f"E3@{domain.name}")
    if not found.known:
        return case.unknown("I3", domain.name, found.why, requires=needs)
    hosts = mx_hosts(found.values)
    if not hosts:
        return case.unknown("I3", domain.name, "there is no MX to compare with", requires=needs)
    missing = [h for h in hosts if not any(name_matches(p, h) for p in patterns)]
    surplus = [p for p in patterns if not any(name_matches(p, h) for h in hosts)]
    trouble = [f"{h} is not covered" for h in missing] + [f"{p} is no MX" for p in surplus]
    return case.finding(
        "I3",
        domain.name,
        "fail" if missing else "warn" if surplus else "pass",
        "; ".join(trouble) or ", ".join(patterns),
        expected=", ".join(hosts),
        evidence=(*evidence, *found.evidence()),
        fix="let MX and policy agree (run site.yml)",
        requires=needs,
    )


def _id_of(
    case: Case,
    domain: DomainPlan,
    fields: Dict[str, str],
    patterns: List[str],
    evidence: Tuple[str, ...],
    fetched: Tuple[str, ...],
    fix: str,
) -> Finding:
    """The plan makes the id from the policy's content: the id published must be the one of the policy served."""
    needs = (f"I1@{domain.name}", *fetched)
    records = first_txt(case.published(f"_mta-sts.{domain.name}", "TXT").values, "v=stsv1")
    if len(records) != 1:
        return case.unknown("I5", domain.name, "there is no id to compare", requires=needs)
    published = headers.tags(records[0]).get("id", "")
    plan = case.view.home(domain.home).mta_sts
    as_planned = (
        fields.get("mode") == plan.mode
        and fields.get("max_age") == str(plan.max_age)
        and sorted(patterns) == sorted(plan.mx)
    )
    right = as_planned == (published == domain.mta_sts_id)
    trouble = (
        "the policy changed and its id did not" if not as_planned else "the policy is the planned one, its id is not"
    )
    return case.finding(
        "I5",
        domain.name,
        "pass" if right else "fail",
        f"id={published}" if right else f"id={published}: {trouble}",
        expected=f"id={domain.mta_sts_id}",
        evidence=evidence,
        fix=fix,
        requires=needs,
    )


def _invalid_certificates(case: Case, domain: DomainPlan) -> List[str]:
    """address:25 of those MX whose certificate a sender in enforce mode would refuse."""
    out = []
    for edge, address, seen in case.sessions():
        tls = seen.data.get("tls") if seen and seen.ok else None
        if edge.host in domain.edges and tls and not (tls.get("chain_ok") and tls.get("name_ok")):
            out.append(f"{address}:25")
    return out


def _reports(case: Case, domain: MailDomain) -> Finding:
    if not domain.tls_rpt:
        return case.na("I7", domain.name, "tls_rpt is off in the intent")
    name = f"_smtp._tls.{domain.name}"
    found = case.published(name, "TXT")
    needs = case.zone_needs(name)
    if not found.known:
        return case.unknown("I7", domain.name, found.why, requires=needs)
    records = first_txt(found.values, "v=tlsrptv1")
    verdict = "pass"
    if not records:
        verdict = "warn"
    elif len(records) > 1 or not headers.tags(records[0]).get("rua", "").startswith(("mailto:", "https:")):
        verdict = "fail"
    expected = "v=TLSRPTv1; rua=" + ",".join(f"mailto:{a}" for a in domain.tls_rpt)
    return case.finding(
        "I7",
        domain.name,
        verdict,
        " | ".join(records) or "none",
        expected=expected,
        evidence=found.evidence(),
        fix=f'publish exactly one {name} TXT "{expected}" (run site.yml)',
        requires=needs,
    )


def _dane(case: Case, edge: EdgePlan) -> Iterator[Finding]:
    name = f"_25._tcp.{edge.mail_name}"
    host = edge.mail_name
    if not case.view.records(name, "TLSA"):
        for check in ("J1", "J2", "J3"):
            yield case.na(check, host, "no TLSA is planned: DANE is off, or the zone is not signed")
        return
    found = case.published(name, "TLSA")
    needs = case.zone_needs(name)
    zone = case.view.zone_of(name)
    spki = {
        str(seen.data["tls"]["spki_sha256"]): address
        for one, address, seen in case.sessions()
        if one.host == edge.host and seen and seen.ok and seen.data.get("tls")
    }
    live: Tuple[str, ...] = ()
    for address in addresses_of(edge):
        live += (f"C1@{address}", f"C2@{edge.host}", f"K1@{address}:25")
    if not found.known:
        for check in ("J1", "J2", "J3"):
            yield case.unknown(check, host, found.why, requires=needs)
        return
    yield _signed(case, host, name, zone, needs)
    yield _parameters(case, host, found.values, found.evidence(), needs)
    if not spki:
        yield case.unknown(
            "J3", host, "the key on port 25 was not seen from outside", requires=live, matters=case.watched
        )
        return
    hashes = {v.split(" ")[3].lower() for v in found.values if v.startswith("3 1 1 ") and len(v.split(" ")) == 4}
    others = any(not v.startswith("3 1 1 ") for v in found.values)
    unmatched = [f"{a}: {h}" for h, a in sorted(spki.items()) if h not in hashes]
    verdict = "pass" if not unmatched else "unknown" if others and not hashes else "fail"
    fix = f"publish {name} TLSA 3 1 1 {next(iter(spki))} (run site.yml); let renewals keep the key"
    yield case.finding(
        "J3",
        host,
        verdict,
        "; ".join(f"no TLSA matches the key at {u}" for u in unmatched) or "a record matches the live key",
        expected=" or ".join(f"3 1 1 {h}" for h in sorted(spki)),
        evidence=found.evidence(),
        fix=fix,
        requires=(*needs, *live),
    )


def _signed(case: Case, host: str, name: str, zone: str, needs: Tuple[str, ...]) -> Finding:
    requires = (*needs, f"E10@{zone}", f"J3@{host}")
    answers = [
        (o.vantage, o.data["answers"][f"{name} TLSA"])
        for o in case.obs.every(ids.RESOLVER)
        if o.ok and f"{name} TLSA" in o.data.get("answers", {})
    ]
    if not answers:
        return case.unknown("J1", host, "no resolver answered", requires=requires, matters=False)
    validated = [v for v, a in answers if a.get("ad") and a.get("values")]
    evidence = [
        f"{v}: {a['rcode']}{' ad' if a.get('ad') else ''} {len(a.get('values', ()))} records" for v, a in answers
    ]
    return case.finding(
        "J1",
        host,
        "pass" if validated else "warn",
        f"validated at {', '.join(validated)}" if validated else "not validated anywhere",
        expected="validated answers (AD)",
        evidence=evidence,
        fix=f"switch on DNSSEC for {zone}, or dane: off",
        requires=requires,
    )


def _parameters(
    case: Case, host: str, values: Tuple[str, ...], evidence: Tuple[str, ...], needs: Tuple[str, ...]
) -> Finding:
    bad = [v for v in values if v.split(" ")[0] not in ("2", "3")]
    odd = [v for v in values if v not in bad and v.split(" ")[:3] not in (["3", "1", "1"], ["2", "1", "1"])]
    if not values:
        return case.unknown("J2", host, "no TLSA record", evidence=evidence, requires=(*needs, f"J3@{host}"))
    return case.finding(
        "J2",
        host,
        "fail" if bad else "warn" if odd else "pass",
        "; ".join(" ".join(v.split(" ")[:3]) for v in values),
        expected="3 1 1",
        evidence=evidence,
        fix="publish the planned TLSA (run site.yml)",
        requires=needs,
    )
