# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""R: domains whose mail a routing service takes: switched on, owning the MX, and doing with each address what is declared."""

from __future__ import annotations

from typing import Any, Iterator, List, Mapping, Optional, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.checks import headers, ids
from ansible_collections.mailstead.stack.plugins.module_utils.checks.finding import Finding
from ansible_collections.mailstead.stack.plugins.module_utils.checks.judges.case import NO_OUTSIDE, Case
from ansible_collections.mailstead.stack.plugins.module_utils.checks.judges.dmarc import allowed
from ansible_collections.mailstead.stack.plugins.module_utils.checks.judges.dns import mx_hosts
from ansible_collections.mailstead.stack.plugins.module_utils.checks.judges.spf import authorised
from ansible_collections.mailstead.stack.plugins.module_utils.checks.judges.witness import Errand, arrival
from ansible_collections.mailstead.stack.plugins.module_utils.checks.probes.tls import name_matches
from ansible_collections.mailstead.stack.plugins.module_utils.mta_sts.policy import parse_policy
from ansible_collections.mailstead.stack.plugins.module_utils.plan.model import RoutingPlan, RulePlan
from ansible_collections.mailstead.stack.plugins.module_utils.plan.resolve import RoutingFacts, kept

NOT_READ = "what the service has was not read (playbooks/verify.yml reads it with the zone's token)"
RUN = "run playbooks/email_routing.yml"
NO_ROUTE = "no address of the domain is forwarded to a canary (mail_operator.canaries)"


def judge(case: Case) -> Iterator[Finding]:
    for domain in case.view.routed:
        told = case.view.facts.routing.get(domain.name)
        yield _on(case, domain, told)
        yield _mx(case, domain)
        yield _rules(case, domain, told)
        yield _destinations(case, domain, told)
        yield _key(case, domain)
        yield authorised(case, "R6", domain, RUN)
        yield allowed(case, "R7", domain, RUN)
        yield _roles(case, domain)
        yield _arrives(case, domain)
        yield _policy(case, domain)


def _on(case: Case, domain: RoutingPlan, told: Optional[RoutingFacts]) -> Finding:
    if told is None:
        return case.unknown("R1", domain.name, NOT_READ, expected="enabled and ready")
    # Sub-domains have no status of their own.
    right = told.enabled and told.status in ("ready", "unlocked", "")
    observed = f"{'enabled' if told.enabled else 'disabled'}{', ' + told.status if told.status else ''}"
    verdict = "pass" if right else "fail"
    return case.finding("R1", domain.name, verdict, observed, expected="enabled and ready", fix=RUN)


def _mx(case: Case, domain: RoutingPlan) -> Finding:
    found = case.published(domain.name, "MX")
    needs = (*case.zone_needs(domain.name), f"R1@{domain.name}")
    wanted = [r for r in kept(domain, case.view.facts) if r.type == "MX"]
    hosts = {r.content.rsplit(" ", 1)[-1] for r in wanted}
    expected = ", ".join(r.content for r in wanted)
    if not found.known:
        return case.unknown("R2", domain.name, found.why, expected=expected, requires=needs)
    live = set(mx_hosts(found.values))
    trouble = [f"{h} is not the service's" for h in sorted(live - hosts)]
    trouble += [f"{h} is missing" for h in sorted(hosts - live)]
    assigned = sorted(r.content for r in wanted if r.deferred is None)
    if not trouble and len(assigned) == len(wanted) and assigned != sorted(found.values):
        trouble.append("the preferences are not the assigned ones")
    fix = f"declare the old provider's hosts as leaving in inbound, then {RUN}"
    return case.finding(
        "R2",
        domain.name,
        "fail" if trouble else "pass",
        "; ".join(trouble) or ", ".join(found.values),
        expected=expected,
        evidence=found.evidence(),
        fix=fix,
        requires=needs,
    )


def _rules(case: Case, domain: RoutingPlan, told: Optional[RoutingFacts]) -> Finding:
    needs = (f"R1@{domain.name}",)
    wanted = [*domain.rules, *([domain.catch_all] if domain.catch_all else [])]
    if told is None:
        return case.unknown("R3", domain.name, NOT_READ, requires=needs)
    present = {r.address.lower(): r for r in told.rules}
    trouble: List[str] = []
    waiting: List[str] = []
    for rule in wanted:
        pending = rule.action == "forward" and case.view.awaited(domain, rule.target)
        (waiting if pending else trouble).extend(_difference(rule, present.get(rule.address)))
    verdict = "fail" if trouble else "warn" if waiting else "pass"
    fix = (
        RUN if trouble else "let the owners open the link in Cloudflare's message, then run playbooks/email_routing.yml"
    )
    return case.finding(
        "R3",
        domain.name,
        verdict,
        "; ".join(trouble + waiting) or f"{len(wanted)} rules are in force",
        expected=f"{len(wanted)} rules as declared",
        evidence=[f"{r.address or 'everything else'}: {_effect(r)}" for r in told.rules],
        fix=fix,
        requires=needs,
    )


def _difference(wanted: RulePlan, found: Optional[RulePlan]) -> List[str]:
    name = wanted.address or "everything else"
    if found is None or (found.action, found.target.lower()) != (wanted.action, wanted.target.lower()):
        instead = "there is no rule" if found is None else _effect(found)
        return [f"{name}: {instead} instead of {_effect(wanted)}"]
    if bool(found.enabled) != (wanted.enabled is not False):
        return [f"{name}: {'on' if found.enabled else 'off'}"]
    return []


def _effect(rule: RulePlan) -> str:
    told = {"forward": f"forward to {rule.target}", "worker": f"Worker {rule.target}"}.get(rule.action, rule.action)
    return told + (" (off)" if rule.enabled is False else "")


def _destinations(case: Case, domain: RoutingPlan, told: Optional[RoutingFacts]) -> Finding:
    if told is None:
        return case.unknown("R4", domain.name, NOT_READ, matters=False)
    pending = [d for d in domain.destinations if case.view.awaited(domain, d)]
    return case.finding(
        "R4",
        domain.name,
        "warn" if pending else "pass",
        f"waiting for a click: {', '.join(pending)}" if pending else f"{len(domain.destinations)} confirmed",
        expected="all confirmed",
        fix="open the link in the message that Cloudflare sent there; playbooks/email_routing.yml then enables the rules",
    )


def _key(case: Case, domain: RoutingPlan) -> Finding:
    records = [r for r in kept(domain, case.view.facts) if r.role == "dkim-service"]
    if not records:
        return case.na("R5", domain.name, "the service signs with no key of the domain")
    name = records[0].name
    found = case.published(name, "TXT")
    needs = (*case.zone_needs(name), f"R1@{domain.name}")
    if not found.known:
        return case.unknown("R5", domain.name, found.why, requires=needs)
    good = len(found.values) == 1 and bool(headers.tags(found.values[0]).get("p"))
    return case.finding(
        "R5",
        domain.name,
        "pass" if good else "fail",
        f"{name}: {len(found.values)} record(s)" if not good else f"{name} holds a key",
        expected=f"one key at {name}",
        evidence=found.evidence(),
        fix=RUN,
        requires=needs,
    )


def _roles(case: Case, domain: RoutingPlan) -> Finding:
    nobody = domain.unread
    return case.finding(
        "R8",
        domain.name,
        "warn" if nobody else "pass",
        f"nobody reads {' and '.join(nobody)}" if nobody else "both have a reader",
        fix="add postmaster and abuse to inbound.addresses, or a catch_all",
    )


def _arrives(case: Case, domain: RoutingPlan) -> Finding:
    needs: Tuple[str, ...] = tuple(f"{check}@{domain.name}" for check in ("R1", "R2", "R3"))
    expected = "accepted by the service's host and found in the destination's mailbox"
    route = case.view.canary_route(domain)
    if route is None:
        return case.unknown("R9", domain.name, NO_ROUTE, expected=expected, matters=False)
    if not case.watched:
        return case.unknown("R9", domain.name, NO_OUTSIDE, expected=expected, matters=False)
    address, canary = route
    if case.view.awaited(domain, canary.address):
        return case.na("R9", domain.name, f"waiting for a click: {canary.address}")
    errand = Errand(
        sent=ids.routed(domain.name),
        box=ids.routed_mailbox(domain.name),
        label="routed",
        recipient=address,
        address=canary.address,
        refused="the reply names the cause; the sender needs SPF or DKIM that passes, or the service refuses it",
        lost="look into the destination's spam folder and the service's activity log",
        junk="the message was taken for spam at the destination",
    )
    return arrival(case, "R9", domain.name, errand, expected, needs)


def _policy(case: Case, domain: RoutingPlan) -> Finding:
    """The announcement is an alias of the service's own; the policy is a Worker's answer."""
    if domain.mta_sts == "off":
        return case.na("R10", domain.name, "mta_sts is off in the intent")
    name, probe = f"_mta-sts.{domain.name}", ids.policy(domain.name)
    needs = case.zone_needs(name)
    expected = f"mode {domain.mta_sts}, every MX covered"
    found, seen = case.published(name, "CNAME"), case.seen(probe)
    if not found.known or seen is None or not seen.ok:
        why = case.why_not(seen, probe) if found.known else found.why
        return case.unknown("R10", domain.name, why, expected=expected, requires=needs)
    wanted = [r.content for r in case.view.records(name, "CNAME")]
    trouble = [] if list(found.values) == wanted else [f"{name} is {' '.join(found.values) or 'missing'}"]
    trouble += _served(domain, seen.data)
    return case.finding(
        "R10",
        domain.name,
        "fail" if trouble else "pass",
        "; ".join(trouble) or "announced and served",
        expected=expected,
        evidence=(*found.evidence(), *str(seen.data.get("body", "")).splitlines()[:8]),
        fix=f"{RUN}: it attaches the Worker to mta-sts.{domain.name}; its certificate can take some minutes",
        requires=needs,
    )


def _served(domain: RoutingPlan, data: Mapping[str, Any]) -> List[str]:
    if data["connect"] != "open" or data["tls_error"] or data["status"] != 200:
        return [f"the policy is not served: {data['tls_error'] or data['status'] or data['connect']}"]
    fields, patterns = parse_policy(str(data["body"]))
    hosts = [r.content.rsplit(" ", 1)[-1] for r in domain.keeps if r.type == "MX"]
    trouble = [f"{h} is not covered" for h in hosts if not any(name_matches(p, h) for p in patterns)]
    if fields.get("mode") != domain.mta_sts:
        trouble.append(f"its mode is {fields.get('mode') or 'missing'}")
    return trouble
