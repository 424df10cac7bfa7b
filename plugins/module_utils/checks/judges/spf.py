# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""F: SPF of the mail domains, as published and as evaluated for the real egress addresses."""

from __future__ import annotations

from typing import Iterator, List, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.checks import ids
from ansible_collections.mailstead.stack.plugins.module_utils.checks.finding import Finding
from ansible_collections.mailstead.stack.plugins.module_utils.checks.judges.case import Case, Published
from ansible_collections.mailstead.stack.plugins.module_utils.checks.judges.identity import spf_of_name
from ansible_collections.mailstead.stack.plugins.module_utils.checks.judges.receivers import demanded
from ansible_collections.mailstead.stack.plugins.module_utils.checks.view import addresses_of
from ansible_collections.mailstead.stack.plugins.module_utils.dns.spf import (
    MAX_LOOKUPS,
    MAX_VOID,
    Spf,
    SpfError,
    parse,
    spf_records,
)
from ansible_collections.mailstead.stack.plugins.module_utils.plan.model import DomainPlan, MailDomain

MANY_TERMS = 8
LONG_RECORD = 450
_LIGHTEN = "let one of the senders return mail to a name below the domain, or take out an include that nobody needs"
NOT_ONE = "there is not one record to look at"


def judge(case: Case) -> Iterator[Finding]:
    for any_domain in case.view.mail_domains:
        yield from _record(case, any_domain)
        yield _exists(case, any_domain)
    for domain_elsewhere in case.view.sent_elsewhere:
        yield from _counted(case, domain_elsewhere)
    for domain in case.view.plan.domains:
        yield from _evaluated(case, domain)
    for edge in case.view.egress_edges():
        for address in addresses_of(edge):
            yield spf_of_name(case, "F14", edge.relay_name, address)


def planned(case: Case, name: str) -> str:
    return next((r.content for r in case.view.records(name, "TXT") if r.content.startswith("v=spf1")), "")


def _record(case: Case, domain: MailDomain) -> Iterator[Finding]:
    name = domain.name
    found = case.published(name, "TXT")
    needs = (*case.zone_needs(name), *case.unproven_needs(domain))
    want = planned(case, name)
    fix = f'publish exactly one {name} TXT "{want}" (run site.yml)'
    below = (f"F1@{name}",)
    parsed = (*below, f"F2@{name}")
    if not found.known:
        yield case.unknown("F1", name, found.why, requires=needs)
        for check, more in (("F2", below), ("F6", parsed), ("F7", parsed), ("F9", below)):
            yield case.unknown(check, name, found.why, requires=more)
        return
    per_server = [(label, spf_records(values)) for label, values in found.servers]
    wrong = [f"{label}: {len(records)} SPF records" for label, records in per_server if len(records) != 1]
    evidence = tuple(f"{label}: {' | '.join(records) or 'none'}" for label, records in per_server)
    records = spf_records(found.values)
    verdict = "fail" if wrong else "pass"
    observed = "; ".join(wrong) or records[0]
    first = fix if records else f"{fix}. {demanded('SPF')}"
    yield case.finding("F1", name, verdict, observed, expected=want, evidence=evidence, fix=first, requires=needs)
    if len(records) != 1:
        for check, more in (("F2", below), ("F6", parsed), ("F7", parsed), ("F9", below)):
            yield case.unknown(check, name, NOT_ONE, requires=more)
        return
    record, error = _read(records[0])
    yield case.finding(
        "F2",
        name,
        "fail" if error else "pass",
        error or "well formed",
        expected=want,
        evidence=evidence,
        fix=fix,
        requires=below,
    )
    uses_ptr = any(t.name == "ptr" for t in record.terms)
    yield case.finding(
        "F6",
        name,
        "warn" if uses_ptr else "pass",
        "ptr is used" if uses_ptr else "not used",
        evidence=evidence,
        fix=fix,
        requires=parsed,
    )
    ends = record.all
    redirect = record.redirect is not None
    qualifier = ends.qualifier if ends else ""
    verdict = {"+": "fail", "?": "warn", "": "pass" if redirect else "warn"}.get(qualifier, "pass")
    observed = f"{qualifier}all" if ends else ("redirect" if redirect else "no all")
    yield case.finding(
        "F7", name, verdict, observed, expected="-all or ~all", evidence=evidence, fix=fix, requires=parsed
    )
    yield _strings(case, name, found, records[0], below, fix)


def _read(text: str) -> Tuple[Spf, str]:
    try:
        return parse(text), ""
    except SpfError as error:
        return Spf(()), str(error)


def _strings(case: Case, name: str, found: Published, record: str, needs: Tuple[str, ...], fix: str) -> Finding:
    size = len(record.encode())
    lengths: List[int] = next((list(s) for s in found.segments if sum(s) == size), [])
    return case.finding(
        "F9",
        name,
        "warn" if size > LONG_RECORD else "pass",
        f"{size} bytes in {len(lengths) or 1} string(s)",
        expected=f"at most {LONG_RECORD} bytes",
        fix="shorten the record: longer ones do not fit into one UDP answer with their neighbours",
        requires=needs,
    )


def authorised(case: Case, check: str, domain: MailDomain, run: str, scope: str = "") -> Finding:
    """Whether the published record holds every term of the plan. run: what publishes it, in words."""
    name = domain.name
    scope = scope or name
    found = case.published(name, "TXT")
    needs = (*case.zone_needs(name), f"F1@{name}")
    wanted = parse(planned(case, name))
    records = spf_records(found.values)
    if not found.known or len(records) != 1:
        return case.unknown(check, scope, found.why or NOT_ONE, expected=str(wanted), requires=needs)
    try:
        live = {t.key for t in parse(records[0]).mechanisms}
    except SpfError as error:
        return case.unknown(check, scope, str(error), requires=(*needs, f"F2@{name}"))
    missing = [str(t) for t in wanted.mechanisms if t.name != "all" and t.key not in live]
    return case.finding(
        check,
        scope,
        "fail" if missing else "pass",
        f"{', '.join(missing)} missing" if missing else records[0],
        expected=str(wanted),
        evidence=found.evidence(),
        fix=f"{run}: it merges the record",
        requires=needs,
    )


def _counted(case: Case, domain: MailDomain) -> Iterator[Finding]:
    """Nothing of ours sends from an address to evaluate for: the dearest evaluation is counted."""
    name = domain.name
    probe = ids.spf_cost(name)
    seen = case.seen(probe)
    needs = (f"F1@{name}", f"F2@{name}")
    why = case.why_not(seen, probe)
    if seen is not None and seen.ok:
        why = NOT_ONE if len(seen.data["records"]) != 1 else str(seen.data["syntax"])
    if seen is None or why:
        for check in ("F3", "F4"):
            yield case.unknown(check, name, why, requires=needs)
        return
    data = seen.data
    terms, voids = int(data["lookups"]), int(data["voids"])
    evidence = [str(data["records"][0]), *(f"{t}: {n} look-ups, {v} void" for t, n, v in data["parts"] if n)]
    broken = "; ".join(str(b) for b in data["broken"])
    failed = ", ".join(str(f) for f in data["failed"])
    least = "at least " if failed else ""
    yield case.finding(
        "F3",
        name,
        "fail" if terms > MAX_LOOKUPS else "unknown" if failed else "warn" if terms >= MANY_TERMS else "pass",
        f"{least}{terms} of {MAX_LOOKUPS} look-ups" + (f"; not looked up: {failed}" if failed else ""),
        expected=f"at most {MAX_LOOKUPS}",
        evidence=evidence,
        fix=_LIGHTEN if terms > MAX_LOOKUPS else f"leave it as it is; before a further sender is added: {_LIGHTEN}",
        requires=needs,
    )
    yield case.finding(
        "F4",
        name,
        "fail" if voids > MAX_VOID or broken else "unknown" if failed else "pass",
        broken or f"{least}{voids} look-ups found nothing",
        expected=f"at most {MAX_VOID}, and a record behind every include",
        evidence=evidence,
        fix="remove the includes and hosts that no longer exist",
        requires=needs,
    )


def _evaluated(case: Case, domain: DomainPlan) -> Iterator[Finding]:
    name = domain.name
    parsed = (f"F1@{name}", f"F2@{name}")
    fix = f'publish {name} TXT "{planned(case, name)}" (run site.yml)'
    for address in case.view.egress_addresses(domain):
        probe = ids.spf(name, address)
        seen = case.seen(probe)
        scope = f"{name}/{address}"
        judged = (*parsed, f"F3@{scope}", f"F4@{scope}")
        if seen is None or not seen.ok:
            why = case.why_not(seen, probe)
            for check, needs in (("F3", parsed), ("F4", parsed), ("F10", judged)):
                yield case.unknown(check, scope, why, requires=needs)
            continue
        data = seen.data
        evidence = (str(data.get("record", "")), *data.get("trace", ()))
        terms, voids = int(data["terms"]), int(data["voids"])
        verdict = "fail" if terms > MAX_LOOKUPS else "warn" if terms >= MANY_TERMS else "pass"
        if data["result"] == "none":
            verdict = "unknown"
        yield case.finding(
            "F3",
            scope,
            verdict,
            f"{terms} terms",
            expected=f"at most {MAX_LOOKUPS}",
            evidence=evidence,
            fix="use ip4 and ip6 for own hosts, and fewer includes",
            requires=parsed,
        )
        verdict = "unknown" if data["result"] == "none" else "fail" if voids > MAX_VOID else "pass"
        yield case.finding(
            "F4",
            scope,
            verdict,
            f"{voids} look-ups found nothing",
            expected=f"at most {MAX_VOID}",
            evidence=evidence,
            fix="remove the includes and hosts that no longer exist",
            requires=parsed,
        )
        result = str(data["result"])
        yield case.finding(
            "F10",
            scope,
            {"pass": "pass", "temperror": "unknown"}.get(result, "fail"),
            f"{result}: {data.get('reason') or data.get('matched') or 'no term matches'}",
            expected=f"pass for mail from {address}",
            evidence=evidence,
            fix=fix,
            requires=judged,
        )


def _exists(case: Case, domain: MailDomain) -> Finding:
    found = [case.published(domain.name, t) for t in ("SOA", "MX", "A")]
    needs = case.zone_needs(domain.name)
    if not all(f.known for f in found):
        return case.unknown("F12", domain.name, next(f.why for f in found if not f.known), requires=needs)
    present = [f.rtype for f in found if f.values]
    return case.finding(
        "F12",
        domain.name,
        "pass" if present else "fail",
        f"answers {', '.join(present)}" if present else "no SOA, MX or A",
        expected="SOA, MX or A",
        fix="publish the domain's MX (run site.yml)",
        requires=needs,
    )
