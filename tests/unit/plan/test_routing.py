"""The plan of example B: rules, records, the policy that its senders allow, and what is left to people."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError
from ansible_collections.mailstead.stack.plugins.module_utils.intent.read import read_intent
from ansible_collections.mailstead.stack.plugins.module_utils.plan.build import build_plan
from ansible_collections.mailstead.stack.plugins.module_utils.plan.model import MailPlan, RulePlan, from_data, to_data
from ansible_collections.mailstead.stack.plugins.module_utils.plan.order import order
from ansible_collections.mailstead.stack.plugins.module_utils.plan.resolve import Facts, facts_from, kept, resolve
from ansible_collections.mailstead.stack.plugins.module_utils.plan.show import show_plan
from ansible_collections.mailstead.stack.plugins.plugin_utils.profiles import profiles

from tests.unit.examples import DOMAIN_A, DOMAIN_B, intent_b, plan_a, plan_b, raw
from tests.unit.providers.keys import RECORD

WORKSPACE = {
    "provider": "google_workspace",
    "inputs": {"dkim_value": RECORD, "verification": "tok3n"},
}
SENDING = {"provider": "cloudflare_email_sending"}
ROUTING_SPF = "v=spf1 include:_spf.mx.cloudflare.net ~all"
TOLD = {
    "example.me": {
        "enabled": True,
        "status": "ready",
        "records": [
            ["example.me", "MX", "87 route1.mx.cloudflare.net"],
            ["example.me", "MX", "42 route2.mx.cloudflare.net"],
            ["example.me", "MX", "94 route3.mx.cloudflare.net"],
            ["cf2024-1._domainkey.example.me", "TXT", "v=DKIM1; p=QUJD"],
        ],
        "rules": [{"address": "hi@example.me", "action": "forward", "target": "you@gmail.com", "enabled": True}],
        "destinations": {"you@gmail.com": None},
    }
}


def inbound(**changes: Any) -> dict[str, Any]:
    return {"inbound": {**DOMAIN_B["inbound"], **changes}}


def table(plan: MailPlan) -> dict[tuple[str, str], list[str]]:
    out: dict[tuple[str, str], list[str]] = {}
    for zone in plan.zones:
        for record in zone.records:
            out.setdefault((record.name, record.type), []).append(record.content)
    return out


def test_example_b_needs_no_host_and_publishes_no_mx() -> None:
    plan = plan_b()
    assert (plan.domains, plan.homes, plan.edges, plan.ptr) == ((), (), (), ())
    assert table(plan) == {
        ("example.me", "TXT"): [ROUTING_SPF],
        ("_dmarc.example.me", "TXT"): [
            "v=DMARC1; p=none; np=reject; adkim=s; aspf=r; rua=mailto:postmaster@example.me"
        ],
        ("_smtp._tls.example.me", "TXT"): ["v=TLSRPTv1; rua=mailto:postmaster@example.me"],
    }


def test_the_rules_of_example_b() -> None:
    routed = plan_b().routing[0]
    assert routed.rules == (
        RulePlan("alerts@example.me", "worker", "alert-handler"),
        RulePlan("hi@example.me", "forward", "you@gmail.com"),
        RulePlan("old@example.me", "drop", ""),
    )
    assert routed.catch_all == RulePlan("", "forward", "you@gmail.com")
    assert routed.destinations == ("you@gmail.com",) and routed.subaddressing and routed.unread == ()


def test_both_kinds_of_domains_stand_in_one_plan() -> None:
    both = build_plan(read_intent(raw([DOMAIN_A, DOMAIN_B]), profiles=profiles()))
    a, b = plan_a(), plan_b()
    assert both.domains == a.domains and both.homes == a.homes and both.edges == a.edges
    assert both.routing == b.routing and both.zones == (*a.zones, *b.zones)
    assert both.decisions == (*a.decisions, *b.decisions)


def test_a_plan_survives_json() -> None:
    plan = plan_b(**inbound(addresses={"hi": {"forward": "you@gmail.com", "enabled": False}}), outbound=SENDING)
    assert from_data(MailPlan, json.loads(json.dumps(to_data(plan)))) == plan
    assert from_data(MailPlan, json.loads(json.dumps(to_data(plan_b())))) == plan_b()


def test_auto_is_the_strictest_that_all_senders_allow_and_says_why() -> None:
    gmail = plan_b()
    assert gmail.routing[0].dmarc.policy == "none"
    assert "neither SPF nor DKIM" in gmail.routing[0].policy_why
    assert "cloudflare_email_sending, mailgun" in gmail.routing[0].policy_why
    decision = next(d for d in gmail.decisions if d.key == "dmarc.policy")
    assert (decision.source, decision.value) == ("derived", "none") and "Gmail signs mail" in decision.reason
    aligned = plan_b(outbound=WORKSPACE, also_send_via=["cloudflare_email_sending"]).routing[0]
    assert aligned.dmarc.policy == "reject" and "google_workspace, cloudflare_email_sending" in aligned.policy_why
    silent = {k: v for k, v in DOMAIN_B.items() if k != "outbound"}
    nobody = build_plan(read_intent(raw([silent], hosts={}), profiles=profiles())).routing[0]
    assert nobody.dmarc.policy == "reject" and "nobody may send" in nobody.policy_why and nobody.senders == ()
    assert plan_b(outbound=SENDING, dmarc="quarantine").routing[0].dmarc.policy == "quarantine"


def test_spf_holds_what_forwarding_and_senders_need() -> None:
    gmail = {**DOMAIN_B["outbound"], "spf_authorize": True}
    both = "v=spf1 include:_spf.mx.cloudflare.net include:_spf.google.com ~all"
    assert table(plan_b(outbound=gmail))["example.me", "TXT"] == [both]
    assert sorted(table(plan_b(outbound=WORKSPACE))["example.me", "TXT"]) == ["google-site-verification=tok3n", both]
    assert table(plan_b(outbound=SENDING))["example.me", "TXT"] == [ROUTING_SPF]


def test_a_senders_key_is_published_and_what_nobody_gave_is_left_out() -> None:
    assert table(plan_b(outbound=WORKSPACE))["google._domainkey.example.me", "TXT"] == [RECORD]
    less = {"provider": "google_workspace", "inputs": {"dkim_value": RECORD}}
    assert not [c for c in table(plan_b(outbound=less))["example.me", "TXT"] if c.startswith("google")]


def test_a_cname_key_is_a_cname() -> None:
    (sending,) = [p for p in profiles() if p.id == "cloudflare_email_sending"]
    key = dataclasses.replace(sending.dkim[0], kind="cname", value="{dashes}.keys.example.net")
    changed = tuple(dataclasses.replace(p, dkim=(key,)) if p is sending else p for p in profiles())
    plan = build_plan(read_intent(raw([{**DOMAIN_B, "outbound": SENDING}], hosts={}), profiles=changed))
    assert table(plan)["cf-bounce._domainkey.example.me", "CNAME"] == ["example-me.keys.example.net"]


def test_a_self_hosted_domain_with_a_further_sender() -> None:
    domain = {**DOMAIN_A, "also_send_via": [WORKSPACE], "dmarc": "auto"}
    plan = build_plan(read_intent(raw([domain]), profiles=profiles()))
    assert "v=spf1 ip4:198.18.1.10 include:_spf.google.com ~all" in table(plan)["example.com", "TXT"]
    assert plan.domains[0].dmarc.policy == "reject"
    gmail = {**domain, "also_send_via": [{"provider": "gmail_personal", "account": "you@gmail.com"}]}
    capped = build_plan(read_intent(raw([gmail]), profiles=profiles()))
    assert capped.domains[0].dmarc.policy == "none"
    assert table(capped)["example.com", "TXT"] == ["v=spf1 ip4:198.18.1.10 -all"]


def test_mta_sts_is_a_worker_and_an_alias_of_the_services_record() -> None:
    plan = plan_b(mta_sts="enforce")
    (worker,) = plan.routing[0].workers
    assert (worker.template, worker.hostnames) == ("mta_sts", ("mta-sts.example.me",))
    assert json.loads(worker.settings) == {"mode": "enforce", "mx": ["*.mx.cloudflare.net"], "max_age": 86400}
    assert table(plan)["_mta-sts.example.me", "CNAME"] == ["_mta-sts.mx.cloudflare.net"]
    assert ("_mta-sts.example.me", "CNAME") not in table(plan_b())


def test_workers_of_the_inventory() -> None:
    settings = {"forward": ["you@gmail.com"]}
    plan = plan_b(**inbound(workers={"alert-handler": {"template": "filter", "settings": settings}}))
    (worker,) = plan.routing[0].workers
    assert (worker.name, worker.template, json.loads(worker.settings)) == ("alert-handler", "filter", settings)


def test_what_the_service_keeps_is_never_invented() -> None:
    plan = plan_b()
    assert {r.name for z in plan.zones for r in z.records} & {"cf2024-1._domainkey.example.me"} == set()
    assert all(r.deferred for r in plan.routing[0].keeps)
    assert kept(plan.routing[0], Facts()) == plan.routing[0].keeps
    told = kept(plan.routing[0], facts_from({"routing": TOLD}))
    assert [r.content for r in told] == [
        "87 route1.mx.cloudflare.net",
        "42 route2.mx.cloudflare.net",
        "94 route3.mx.cloudflare.net",
        "v=DKIM1; p=QUJD",
    ]
    assert not any(r.deferred for r in told)


def test_facts_of_the_service() -> None:
    facts = facts_from({"routing": TOLD}).routing["example.me"]
    assert facts.enabled and facts.status == "ready"
    assert facts.rules == (RulePlan("hi@example.me", "forward", "you@gmail.com", True),)
    assert facts.destinations == {"you@gmail.com": ""}
    assert facts_from({}).routing == {}


def test_the_records_can_be_written_at_once() -> None:
    plan = plan_b()
    assert resolve(plan, Facts()) == plan.zones


def test_a_domain_that_goes_wants_nothing_any_more() -> None:
    plan = plan_b(state="absent", mta_sts="enforce", **inbound(leaving=["mx?.old.example"]))
    routed = plan.routing[0]
    assert routed.state == "absent" and not routed.rules and routed.catch_all is None and not routed.workers
    assert plan.zones[0].records == () and not routed.keeps and not routed.destinations
    assert "is switched off" in show_plan(plan)


def test_the_plan_for_people() -> None:
    shown = show_plan(plan_b(), explain=True)
    for expected in (
        "Domain example.me",
        "hi@example.me     → you@gmail.com",
        "alerts@example.me → Worker alert-handler",
        "old@example.me    → dropped",
        "everything else   → you@gmail.com",
        "Gmail (personal account) with you@gmail.com as hi@example.me",
        "DMARC p=none: Gmail (personal account): Gmail signs mail",
        "<assigned> route1.mx.cloudflare.net",
        "SMTP server: smtp.gmail.com, port 587, secured connection using TLS. Username: you@gmail.com.",
        '"Treat as an alias": off',
        "Inbound first",
        "Checked from the controller",
        "1. announce destinations, switch routing on",
        "example.me: dmarc.policy = none  [derived] auto is the strictest",
    ):
        assert expected in shown, shown
    assert "example.me: subaddressing" not in shown and "\n\n\n" not in shown


def test_more_of_the_plan_for_people() -> None:
    quiet = {"hi": {"forward": "you@gmail.com", "tag": "friends"}, "off": {"worker": "w", "enabled": False}}
    send = {"provider": "cloudflare_email_sending", "send_as": ["hi"]}
    domain = {**DOMAIN_B, "outbound": send, **inbound(addresses=quiet, leaving="*.old.example", subaddressing=False)}
    del domain["inbound"]["catch_all"]
    second = {k: v for k, v in {**DOMAIN_B, "name": "bücher.me"}.items() if k != "outbound"}
    shown = show_plan(build_plan(read_intent(raw([domain, second], hosts={}), profiles=profiles())))
    for expected in (
        "you@gmail.com  # friends",
        "Worker w (off)",
        "everything else is refused",
        "nobody reads postmaster@example.me and abuse@example.me",
        "MX records to *.old.example",
        "out   Cloudflare Email Sending as hi@example.me",
        "username api_token",
        "Domain bücher.me (xn--bcher-kva.me)",
        "out   nobody",
    ):
        assert expected in shown, shown
    assert "\n\n\n" not in shown


def test_whose_mail_nobody_gets() -> None:
    assert plan_b(**inbound(catch_all="drop")).routing[0].unread == ("postmaster@example.me", "abuse@example.me")
    dropped = {"abuse": "drop", "hi": "you@gmail.com"}
    assert plan_b(**inbound(addresses=dropped)).routing[0].unread == ("abuse@example.me",)


def test_switching_routing_on_is_a_step_of_its_own() -> None:
    assert "switch routing on" in order(plan_b())[0] and len(order(plan_b())) == 2
    assert not any("routing" in step for step in order(plan_a()))


def test_a_plan_needs_the_profile_of_its_service() -> None:
    with pytest.raises(MailsteadError) as caught:
        build_plan(dataclasses.replace(intent_b(), profiles=()))
    assert caught.value.problems[0].code == "MS-PLAN-005"
