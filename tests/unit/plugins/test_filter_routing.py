# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules of Email Routing get out of a plan, and what the checks get out of their results."""

from __future__ import annotations

import json
from typing import Any

import yaml
from ansible_collections.mailstead.stack.plugins.filter import plan as plan_filters
from ansible_collections.mailstead.stack.plugins.filter import routing as filters
from ansible_collections.mailstead.stack.plugins.module_utils.email_routing.export import to_intent, to_mapping
from ansible_collections.mailstead.stack.plugins.module_utils.email_routing.model import (
    Destination,
    Rule,
    Settings,
    Wanted,
)
from ansible_collections.mailstead.stack.plugins.module_utils.email_routing.rules import Context, diff
from ansible_collections.mailstead.stack.plugins.module_utils.email_routing.words import read_rules, read_value
from ansible_collections.mailstead.stack.plugins.module_utils.intent.read import read_intent
from ansible_collections.mailstead.stack.plugins.module_utils.plan.build import build_plan
from ansible_collections.mailstead.stack.plugins.module_utils.plan.model import to_data
from ansible_collections.mailstead.stack.plugins.module_utils.plan.resolve import facts_from
from ansible_collections.mailstead.stack.plugins.plugin_utils.profiles import profiles
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.examples import DOMAIN_A, DOMAIN_B, DOMAIN_C, plan_b, raw

ME, YOU = "example.me", "you@gmail.com"
SENDING = {"provider": "cloudflare_email_sending"}


def data(**changes: Any) -> dict[str, Any]:
    out: dict[str, Any] = to_data(plan_b(**changes))
    return out


def inbound(**changes: Any) -> dict[str, Any]:
    return {"inbound": {**DOMAIN_B["inbound"], **changes}}


def host(**changes: Any) -> dict[str, Any]:
    (found,) = filters.routing_hosts(data(**changes))
    assert json.loads(json.dumps(found)) == found
    return found


def both() -> dict[str, Any]:
    sub = {**DOMAIN_B, "name": "lists.example.com", "zone": "example.com"}
    sub["inbound"] = {k: v for k, v in DOMAIN_B["inbound"].items() if k != "catch_all"}
    out: dict[str, Any] = to_data(build_plan(read_intent(raw([DOMAIN_A, DOMAIN_B, sub]), profiles=profiles())))
    return out


def test_the_arguments_of_every_module() -> None:
    found = host(**inbound(workers={"alert-handler": {"template": "filter", "settings": {"forward": [YOU]}}}))
    assert (found["secret"], found["zones"], found["destinations"]) == ("mail_operator.dns.token", [ME], [YOU])
    assert found["switch"] == [{"name": ME, "zone": ME, "state": "enabled", "subaddressing": True, "leaving": []}]
    assert found["needs"][-1] == "workers" and "email_sending" in host(outbound=SENDING)["needs"]
    assert found["switch_allow"] == []
    (worker,) = found["workers"]
    assert worker == {"name": "alert-handler", "template": "filter", "vars": {"CONFIG": {"forward": [YOU]}}}
    (rules,) = found["rules"]
    assert rules["rules"] == {
        f"alerts@{ME}": {"worker": "alert-handler"},
        f"hi@{ME}": {"forward": YOU},
        f"old@{ME}": {"drop": True},
    }
    assert rules["catch_all"] == {"forward": YOU}


def test_what_more_a_rule_says() -> None:
    target = {"forward": YOU, "enabled": False, "tag": "shop", "priority": 0}
    rules = host(outbound=SENDING, **inbound(addresses={"hi": target}))["rules"][0]["rules"]
    assert rules == {f"hi@{ME}": target}
    bare = {k: v for k, v in DOMAIN_B["inbound"].items() if k != "catch_all"}
    assert "catch_all" not in host(inbound=bare)["rules"][0]


def test_records_that_are_merged_stay_unlocked() -> None:
    authorised = {**DOMAIN_B["outbound"], "spf_authorize": True}
    assert host(outbound=authorised)["switch"][0]["state"] == "unlocked"


def test_a_domain_that_goes() -> None:
    found = host(state="absent", outbound=SENDING)
    assert found["switch"][0]["state"] == "disabled" and found["switch_allow"] == ["no_mx"]
    assert found["rules"][0]["rules"] == {} and found["destinations"] == []
    (sending,) = filters.sending_hosts(data(state="absent", outbound=SENDING))
    assert sending["sending"][0]["state"] == "absent"


def test_sending_meets_our_own_record_only_with_the_same_policy() -> None:
    (found,) = filters.sending_hosts(data(outbound=SENDING))
    assert found["sending"][0]["dmarc"].startswith("v=DMARC1; p=reject;") and found["sending_allow"] == ["dmarc"]
    assert found["secret"] == "mail_operator.dns.token"
    assert filters.sending_hosts(data(outbound=SENDING, dmarc="none"))[0]["sending_allow"] == []
    assert filters.sending_hosts(data()) == []


def test_a_domain_with_mailboxes_at_a_provider_sends_over_the_same_api() -> None:
    plan = build_plan(read_intent(raw([DOMAIN_C], hosts={}), profiles=profiles()))
    (found,) = filters.sending_hosts(to_data(plan))
    # Quarantine is wanted, and reject would hurt none of its senders.
    assert [d["name"] for d in found["sending"]] == ["example.cn"] and found["sending_allow"] == ["dmarc"]


def test_the_part_that_needs_no_host() -> None:
    part = filters.routing_part(both())
    assert [z["name"] for z in part["zones"]] == [ME] and not part["homes"] and not part["domains"]
    assert plan_filters.zones_wanted(part, {}, "delivery")[0]["name"] == ME
    assert {d["name"] for d in filters.routing_hosts(both())[0]["switch"]} == {ME, "lists.example.com"}


def test_the_part_without_hosts_sets_up_no_sender_whose_policy_it_does_not_publish() -> None:
    plan: dict[str, Any] = to_data(build_plan(read_intent(raw([DOMAIN_B, DOMAIN_C], hosts={}), profiles=profiles())))
    assert len(filters.sending_hosts(plan)) == 1 and filters.sending_hosts(filters.routing_part(plan)) == []


def test_plans_without_routing_ask_for_nothing() -> None:
    plan: dict[str, Any] = to_data(build_plan(read_intent(raw())))
    assert filters.routing_hosts(plan) == [] and filters.routing_part(plan)["zones"] == []


def test_the_zones_whose_delegation_matters() -> None:
    zones = [{"name": n, "name_servers": ["a.example"], "status": "active", "id": "1"} for n in (ME, "example.org")]
    assert filters.delegation_wanted(zones, data()) == [{"name": ME, "name_servers": ["a.example"], "status": "active"}]
    assert filters.delegation_wanted(zones, data(state="absent")) == []


SWITCHED = {
    "domains": [
        {
            "name": ME,
            "enabled": True,
            "status": "ready",
            "steps": [],
            "required": [
                {"name": ME, "type": "MX", "content": "route1.mx.cloudflare.net", "priority": 87},
                {"name": ME, "type": "TXT", "content": "v=spf1 ~all", "priority": None},
            ],
        }
    ]
}
RULED: dict[str, Any] = {"changes": [], "waiting": [], "zones": [{"name": ME}]}
ANNOUNCED = {"destinations": [{"address": "You@gmail.com", "verified": "2026-11-20T10:00:00Z"}]}


def told(switched: Any = SWITCHED, ruled: Any = RULED, announced: Any = ANNOUNCED) -> dict[str, Any]:
    return filters.routing_facts(data(), [switched], [ruled], [announced])


def test_the_facts_when_all_is_well() -> None:
    facts = facts_from({"routing": told()}).routing[ME]
    assert facts.enabled and facts.destinations == {YOU: "2026-11-20T10:00:00Z"}
    assert facts.records == ((ME, "MX", "87 route1.mx.cloudflare.net"), (ME, "TXT", "v=spf1 ~all"))
    assert {r.address for r in facts.rules if r.enabled} == {f"alerts@{ME}", f"hi@{ME}", f"old@{ME}", ""}


def test_a_step_that_would_switch_on_says_that_it_is_off() -> None:
    off = {"domains": [{**SWITCHED["domains"][0], "steps": [{"kind": "enable"}]}]}
    assert told(off)[ME]["enabled"] is False


def test_what_a_run_would_change_is_not_so_yet() -> None:
    before = {"address": f"hi@{ME}", "action": "drop", "target": "", "enabled": True, "id": "1", "name": "x"}
    ruled = {
        **RULED,
        "changes": [
            {"zone": ME, "address": f"hi@{ME}", "before": before},
            {"zone": ME, "address": f"old@{ME}", "before": None},
        ],
        "waiting": [{"address": "", "destination": YOU}],
    }
    rules = {r["address"]: (r["action"], r["enabled"]) for r in told(ruled=ruled)[ME]["rules"]}
    assert rules == {f"alerts@{ME}": ("worker", True), f"hi@{ME}": ("drop", True), "": ("forward", False)}


def test_a_domain_of_which_nothing_was_told_is_left_out() -> None:
    assert told({"domains": []}) == {} and told(ruled={**RULED, "zones": []}) == {}
    assert told(announced={})[ME]["destinations"] == {YOU: ""}


def test_the_facts_reach_the_checks() -> None:
    hostvars = {"localhost": {"mailstead_routing_facts": told()}}
    assert plan_filters.dns_facts(data(), hostvars)["routing"] == told()
    assert plan_filters.dns_facts(data(), {"localhost": {}})["routing"] == {}
    assert "routing" not in plan_filters.dns_facts(data(), {})


def test_a_policys_worker_answers_at_its_hostname() -> None:
    (worker,) = host(mta_sts="enforce")["workers"]
    assert worker["hostnames"] == ["mta-sts.example.me"] and worker["template"] == "mta_sts"
    assert worker["vars"]["CONFIG"]["mx"] == ["*.mx.cloudflare.net"]


def test_an_account_as_inventory() -> None:
    inbound_of = {"provider": "cloudflare_email_routing", "subaddressing": False, "addresses": {"hi": YOU}}
    found = [{"name": n, "inbound": inbound_of} for n in (ME, f"lists.{ME}", "off.example")]
    zones = [{"name": ME, "enabled": True}, {"name": "off.example", "enabled": False}]
    domains = filters.routing_inventory(found, zones)
    assert [(d["name"], d.get("zone")) for d in domains] == [(ME, None), (f"lists.{ME}", ME)]
    # What is not known to the service must not turn into a policy that refuses the user's own mail.
    plan = build_plan(read_intent(raw(domains, hosts={}), profiles=profiles()))
    assert {r.dmarc.policy for r in plan.routing} == {"none"}
    assert filters.routing_hosts(to_data(plan))[0]["rules"][1]["rules"] == {f"hi@lists.{ME}": {"forward": YOU}}


TARGETS = [("forward", "a@mail.example"), ("forward", "b@mail.example"), ("worker", "w"), ("drop", "")]


@st.composite
def accounts(draw: st.DrawFn) -> tuple[list[Rule], list[Destination]]:
    """Rules of a zone as somebody made them by hand or a run of ours left them, and which mailboxes have agreed."""
    rules = []
    for number, local in enumerate(draw(st.lists(st.sampled_from(["hi", "a+b", "o'neil", "x_1", ""]), unique=True))):
        action, target = draw(st.sampled_from(TARGETS))
        name = draw(st.sampled_from(["", "by hand", "mailstead:mailstead", "mailstead:mailstead a shop"]))
        address = f"{local}@{ME}" if local else ""
        rules.append(Rule(address, action, target, draw(st.booleans()), name, id=str(number)))
    agreed = draw(st.sets(st.sampled_from(["a@mail.example", "b@mail.example"])))
    return rules, [Destination(a, "1", "2026-11-20T10:00:00Z" if a in agreed else "") for _x, a in TARGETS[:2]]


@settings(max_examples=200, deadline=None)
@given(accounts())
def test_an_imported_account_wants_nothing_written(account: tuple[list[Rule], list[Destination]]) -> None:
    rules, destinations = account
    state = Settings(enabled=True, status="ready", subaddressing=True, wizard_skipped=False)
    found = to_mapping(to_intent(ME, state, rules, destinations))
    written = yaml.safe_load(yaml.safe_dump(filters.routing_inventory(found, [{"name": ME, "enabled": True}])))
    plan = to_data(build_plan(read_intent(raw(written, hosts={}), profiles=profiles())))
    (row,) = filters.routing_hosts(plan)[0]["rules"]
    wanted, problems = read_rules(ME, row["rules"])
    if "catch_all" in row:
        caught = read_value("", row["catch_all"], "catch-all")
        assert isinstance(caught, Wanted)
        wanted.append(caught)
    verified = frozenset(d.address for d in destinations if d.verified)
    context = Context("mailstead", (ME,), frozenset({ME}), verified)
    changes = diff(wanted, rules, context)
    assert not problems and changes.problems == () and changes.changes == ()
