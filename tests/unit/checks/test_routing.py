# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Domains without a home: every check of a healthy one passes, breaks where it should, and none lies for want of a server."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.checks import report
from ansible_collections.mailstead.stack.plugins.module_utils.checks.catalogue import BY_ID, CHECKS
from ansible_collections.mailstead.stack.plugins.module_utils.checks.finding import Finding, exit_code
from ansible_collections.mailstead.stack.plugins.module_utils.checks.view import secret_references
from ansible_collections.mailstead.stack.plugins.module_utils.intent.read import read_intent
from ansible_collections.mailstead.stack.plugins.module_utils.plan.build import build_plan
from ansible_collections.mailstead.stack.plugins.module_utils.plan.model import MailPlan, RulePlan
from ansible_collections.mailstead.stack.plugins.module_utils.plan.resolve import Facts, RoutingFacts, kept
from ansible_collections.mailstead.stack.plugins.plugin_utils.profiles import profiles

from tests.unit.checks.world import NOW, World, facts, verdicts
from tests.unit.examples import DOMAIN_A, DOMAIN_B, HOSTS, raw

ME = "example.me"
WITNESS = "canary@strict.example.org"
SPF = "v=spf1 include:_spf.mx.cloudflare.net ~all"
MX = tuple(f"{p} route{n}.mx.cloudflare.net" for n, p in ((1, 87), (2, 42), (3, 94)))
SENT, BOX = f"mail.routed/{ME}", f"mail.routed.mailbox/{ME}"
DOMAIN = {
    **DOMAIN_B,
    "inbound": {**DOMAIN_B["inbound"], "addresses": {**DOMAIN_B["inbound"]["addresses"], "probe": WITNESS}},
}


def plan(*domains: dict[str, Any], hosts: Any = None) -> MailPlan:
    outside = {"stranger": HOSTS["stranger"]} if hosts is None else hosts
    return build_plan(read_intent(raw(list(domains) or [DOMAIN], hosts=outside), profiles=profiles()))


def told(of: MailPlan) -> RoutingFacts:
    """The service as the plan wants it, every destination confirmed."""
    routed = of.routing[0]
    rules = [*routed.rules, *([routed.catch_all] if routed.catch_all else [])]
    key = next(r.name for r in routed.keeps if r.type == "TXT")
    return RoutingFacts(
        enabled=True,
        status="ready",
        records=(*((ME, "MX", value) for value in MX), (key, "TXT", "v=DKIM1; p=QUJD")),
        rules=tuple(dataclasses.replace(r, enabled=True) for r in rules),
        destinations=dict.fromkeys(routed.destinations, "2026-11-20T10:00:00Z"),
    )


class Routed(World):
    """A world in which the service has written its own records."""

    def __init__(self, of: MailPlan | None = None, known: Facts | None = None) -> None:
        of = of or plan()
        super().__init__(of, known or Facts(routing={ME: told(of)}))

    def records(self, name: str, rtype: str) -> list[str]:
        routed = self.plan.routing[0]
        theirs = [r.content for r in kept(routed, self.facts) if (r.name, r.type) == (name, rtype) and not r.deferred]
        return sorted([*super().records(name, rtype), *theirs])

    def _https(self, args: dict[str, Any], vantage: str) -> dict[str, Any]:
        if ME not in args["url"]:
            return super()._https(args, vantage)
        body = "version: STSv1\r\nmode: enforce\r\nmx: *.mx.cloudflare.net\r\nmax_age: 86400\r\n"
        return {
            "url": args["url"],
            "connect": "open",
            "tls_error": "",
            "status": 200,
            "type": "text/plain",
            "body": body,
        }

    def facts_with(self, **changes: Any) -> None:
        self.facts = Facts(routing={ME: dataclasses.replace(self.facts.routing[ME], **changes)})

    def rule(self, address: str, **changes: Any) -> None:
        rules = self.facts.routing[ME].rules
        self.facts_with(rules=tuple(dataclasses.replace(r, **changes) if r.address == address else r for r in rules))


def without(address: str) -> Callable[[Routed], None]:
    return lambda w: w.facts_with(rules=tuple(r for r in w.facts.routing[ME].rules if r.address != address))


def pending(w: Routed) -> None:
    w.facts_with(destinations={**w.facts.routing[ME].destinations, "you@gmail.com": ""})
    w.rule(f"hi@{ME}", enabled=False)


Break = Callable[[Routed], object]
CASES: list[tuple[str, str, Break]] = [
    ("R1", "fail", lambda w: w.facts_with(enabled=False, status="unconfigured")),
    ("R1", "fail", lambda w: w.facts_with(status="misconfigured")),
    ("R1", "unknown", lambda w: setattr(w, "facts", Facts())),
    ("R2", "fail", lambda w: w.publish(ME, "MX", *MX, "10 mx01.mail.icloud.com")),
    ("R2", "fail", lambda w: w.publish(ME, "MX", *MX[:2])),
    ("R2", "fail", lambda w: w.publish(ME, "MX", *(v.replace("87 ", "10 ") for v in MX))),
    ("R2", "unknown", lambda w: w.lose(f"dns.zone/{ME}", "timeout")),
    ("R3", "fail", without(f"hi@{ME}")),
    ("R3", "fail", without("")),
    ("R3", "fail", lambda w: w.rule(f"hi@{ME}", target="thief@example.net")),
    ("R3", "fail", lambda w: w.rule(f"alerts@{ME}", enabled=False)),
    ("R3", "warn", pending),
    ("R3", "unknown", lambda w: setattr(w, "facts", Facts())),
    ("R4", "warn", pending),
    ("R4", "unknown", lambda w: setattr(w, "facts", Facts())),
    ("R5", "fail", lambda w: w.publish(f"cf2024-1._domainkey.{ME}", "TXT")),
    ("R5", "fail", lambda w: w.publish(f"cf2024-1._domainkey.{ME}", "TXT", "v=DKIM1; p=")),
    ("R5", "unknown", lambda w: w.lose(f"dns.zone/{ME}", "timeout")),
    ("R6", "fail", lambda w: w.publish(ME, "TXT", "v=spf1 include:_spf.example.net ~all")),
    ("R6", "unknown", lambda w: w.publish(ME, "TXT", "v=spf1 include:")),
    ("R6", "unknown", lambda w: w.publish(ME, "TXT")),
    ("R7", "fail", lambda w: w.publish(f"_dmarc.{ME}", "TXT", "v=DMARC1; p=reject;")),
    ("R7", "pass", lambda w: w.publish(f"_dmarc.{ME}", "TXT", "v=DMARC1; p=odd; np=reject")),
    ("R7", "unknown", lambda w: w.publish(f"_dmarc.{ME}", "TXT")),
    ("R8", "warn", lambda w: setattr(w, "plan", plan({**DOMAIN, "inbound": {**DOMAIN["inbound"], "catch_all": "drop"}}))),
    ("R9", "fail", lambda w: w.data(SENT)["results"]["routed"].update(code=550, text="550 5.7.1 unauthenticated")),
    ("R9", "fail", lambda w: w.data(BOX)["messages"].clear()),
    ("R9", "warn", lambda w: w.data(BOX)["messages"]["routed"].update(folder="Junk")),
    ("R9", "unknown", lambda w: w.lose(SENT)),
    ("R9", "unknown", lambda w: w.lose(BOX, "auth", "refuses the login")),
    ("H1", "fail", lambda w: w.publish(f"_dmarc.{ME}", "TXT")),
    ("F1", "fail", lambda w: w.publish(ME, "TXT", SPF, "v=spf1 -all")),
    ("I7", "warn", lambda w: w.publish(f"_smtp._tls.{ME}", "TXT")),
]  # fmt: skip


def broken(change: Break) -> tuple[Finding, ...]:
    world = Routed()
    change(world)
    return world.judge()


def test_a_healthy_domain_passes_what_concerns_it_and_nothing_is_asked_of_a_server() -> None:
    findings = Routed().judge()
    odd = {f.key: f.observed for f in findings if f.verdict not in ("pass", "na")}
    # Gmail keeps the policy at none; that is said, and why.
    assert set(odd) == {f"H2@{ME}"} and "neither SPF nor DKIM" in odd[f"H2@{ME}"]
    shown = {f.id for f in findings}
    assert shown >= {c.id for c in CHECKS if c.area == "Email Routing"} | {"E1", "E10", "F1", "F12", "H1", "I7"}
    assert not shown & {"A1", "B1", "C1", "E3", "E4", "E9", "G1", "K1", "L1", "P1", "P5", "M1"}
    assert exit_code(findings) == 0


@pytest.mark.parametrize(
    ("check", "verdict", "change"), CASES, ids=[f"{c}-{v}-{n}" for n, (c, v, _b) in enumerate(CASES)]
)
def test_a_check_notices_what_it_is_for(check: str, verdict: str, change: Break) -> None:
    findings = broken(change)
    assert verdict in verdicts(findings, check), [
        f"{f.key} {f.verdict} {f.observed}" for f in findings if f.id == check
    ]
    for finding in findings:
        if finding.verdict in ("fail", "warn"):
            assert finding.fix and finding.observed, finding.key
        needs = {r.partition("@")[0] for r in finding.requires}
        assert needs <= set(BY_ID[finding.id].needs), f"{finding.key} requires more than docs/checks.md says"


def test_every_check_of_routing_gives_its_worst_verdict() -> None:
    shown = {(c, v) for c, v, _b in CASES}
    assert [c.id for c in CHECKS if c.area == "Email Routing" and (c.id, c.severity) not in shown] == ["R10"]


def test_an_open_click_is_no_failure() -> None:
    findings = broken(pending)
    assert exit_code(findings) == 0
    waiting = next(f for f in findings if f.id == "R4")
    assert "waiting for a click: you@gmail.com" in waiting.observed


def test_nothing_is_expected_at_a_witness_who_has_not_clicked() -> None:
    def waiting(w: Routed) -> None:
        w.facts_with(destinations={**w.facts.routing[ME].destinations, WITNESS: ""})
        w.rule(f"probe@{ME}", enabled=False)
        w.data(SENT)["results"]["routed"].update(code=550, text="550 5.1.1 Address does not exist")

    findings = broken(waiting)
    finding = next(f for f in findings if f.id == "R9")
    assert finding.verdict == "na" and WITNESS in finding.observed
    assert exit_code(findings) == 0


def test_a_policy_written_by_another_product_is_found_by_what_it_does() -> None:
    findings = broken(
        lambda w: w.publish(f"_dmarc.{ME}", "TXT", "v=DMARC1; p=reject; np=reject; rua=mailto:a@b.example")
    )
    hurt = next(f for f in findings if f.id == "R7")
    assert hurt.verdict == "fail" and "p=reject, and Gmail (personal account) allows none" in hurt.observed


def test_a_service_that_is_off_explains_what_follows() -> None:
    def off(w: Routed) -> None:
        w.facts_with(enabled=False, status="unconfigured")
        w.publish(ME, "MX")

    findings = broken(off)
    assert [f.key for f in findings if f.verdict == "fail"] == [f"R1@{ME}"]
    assert next(f for f in findings if f.id == "R2").because == (f"R1@{ME}",)


def test_without_a_witness_or_an_outside_it_stays_open() -> None:
    for of in (plan(DOMAIN_B), plan(DOMAIN, hosts={})):
        finding = next(f for f in Routed(of).judge() if f.id == "R9")
        assert finding.verdict == "unknown" and not finding.matters
    assert exit_code(Routed(plan(DOMAIN, hosts={})).judge()) == 0


def test_nothing_is_sent_to_a_witness_who_has_not_confirmed() -> None:
    of = plan()
    waiting = dataclasses.replace(told(of), destinations=dict.fromkeys(of.routing[0].destinations, ""))
    world = Routed(of, Facts(routing={ME: waiting}))
    assert not {SENT, BOX} & {p["id"] for found in world.probes.values() for p in found}
    assert verdicts(world.judge(), "R9") == {"na"} and exit_code(world.judge()) == 0


def test_the_probe_goes_to_the_services_hosts_and_is_looked_for_at_the_witness() -> None:
    probes = {p["id"]: (v, p) for v, found in Routed().probes.items() for p in found}
    vantage, sent = probes[SENT]
    assert vantage == "stranger" and sent["args"]["recipient"] == f"probe@{ME}"
    assert sent["args"]["addresses"] == [f"route{n}.mx.cloudflare.net" for n in (1, 2, 3)]
    vantage, box = probes[BOX]
    assert vantage == "localhost" and box["args"]["imap"]["host"] == "mx.strict.example.org"
    assert box["args"]["tokens"]["routed"] == sent["args"]["messages"][0]["token"]
    assert box["args"]["imap"]["secret"] in secret_references(plan())


STS = {**DOMAIN, "mta_sts": "enforce"}
POLICY = f"https.mta-sts/{ME}"


def policed() -> Routed:
    return Routed(plan(STS))


def test_a_policy_that_is_announced_and_served() -> None:
    assert verdicts(policed().judge(), "R10") == {"pass"} and verdicts(Routed().judge(), "R10") == {"na"}


@pytest.mark.parametrize(
    "change",
    [
        lambda w: w.publish(f"_mta-sts.{ME}", "CNAME"),
        lambda w: w.data(POLICY).update(status=404),
        lambda w: w.data(POLICY).update(tls_error="expired"),
        lambda w: w.data(POLICY).update(body="version: STSv1\nmode: testing\nmx: *.mx.cloudflare.net\n"),
        lambda w: w.data(POLICY).update(body="version: STSv1\nmode: enforce\nmx: mail.example.net\n"),
    ],
)
def test_a_policy_that_senders_cannot_follow(change: Break) -> None:
    world = policed()
    change(world)
    assert verdicts(world.judge(), "R10") == {"fail"}


def test_a_policy_that_was_not_looked_for() -> None:
    world = policed()
    world.lose(POLICY)
    assert verdicts(world.judge(), "R10") == {"unknown"}


def test_a_witness_behind_the_catch_all() -> None:
    caught = {**DOMAIN_B, "inbound": {**DOMAIN_B["inbound"], "catch_all": WITNESS}}
    probes = {p["id"]: p for p in Routed(plan(caught)).probes["stranger"]}
    assert probes[SENT]["args"]["recipient"] == f"canary@{ME}"


def test_a_domain_that_goes_is_not_checked() -> None:
    gone = plan({**DOMAIN, "state": "absent"})
    findings = World(gone, Facts()).judge()
    assert not {f.id for f in findings} & {"R1", "H1", "F1"}


def test_both_kinds_of_domains_are_judged_in_one_run() -> None:
    both = plan(DOMAIN_A, DOMAIN, hosts=HOSTS)
    world = Routed(both, dataclasses.replace(facts(), routing={ME: told(both)}))
    findings = world.judge()
    assert {f.scope for f in findings if f.id == "H1"} == {"example.com", ME}
    assert [f.key for f in findings if f.verdict == "fail"] == []


def test_the_report_of_a_plan_without_servers() -> None:
    world = Routed()
    made = report.build(world.plan, world.judge(), ["lab"], NOW)
    assert made["exit_code"] == 0 and "R1" in str(made)
    assert "Email Routing" in report.text(made) or report.text(made)


def test_a_service_without_a_key_of_the_domain() -> None:
    of = plan()
    routed = dataclasses.replace(of.routing[0], keeps=tuple(r for r in of.routing[0].keeps if r.type == "MX"))
    bare = dataclasses.replace(of, routing=(routed,))
    world = World(bare, Facts(routing={ME: RoutingFacts(True, "ready", rules=(RulePlan("x", "drop", ""),))}))
    assert verdicts(world.judge(), "R5") == {"na"}
