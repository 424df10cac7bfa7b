"""The plan of example A, and what must hold for every plan."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError
from ansible_collections.mailstead.stack.plugins.module_utils.intent.names import is_within
from ansible_collections.mailstead.stack.plugins.module_utils.intent.read import read_intent
from ansible_collections.mailstead.stack.plugins.module_utils.plan.build import build_plan, sts_policy
from ansible_collections.mailstead.stack.plugins.module_utils.plan.model import MailPlan, from_data, to_data
from ansible_collections.mailstead.stack.plugins.module_utils.plan.phases import PHASES
from ansible_collections.mailstead.stack.plugins.module_utils.plan.resolve import Facts, facts_from, resolve
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.examples import DOMAIN_A, HOSTS, OPERATOR, plan_a, raw

DKIM = (
    {
        "domain": "example.com",
        "algorithm": "rsa-2048",
        "selector": "202611r",
        "txt": "v=DKIM1; k=rsa; h=sha256; p=QUJD",
    },
    {
        "domain": "example.com",
        "algorithm": "ed25519",
        "selector": "202611e",
        "txt": "v=DKIM1; k=ed25519; h=sha256; p=QUJD",
    },
)


def table(plan: MailPlan) -> set[tuple[str, str, str]]:
    return {(r.name, r.type, r.content) for z in plan.zones for r in z.records}


def test_the_record_set_of_example_a() -> None:
    found = table(plan_a())
    assert ("mail.example.com", "A", "198.18.1.10") in found
    assert ("example.com", "MX", "10 mail.example.com") in found
    assert ("example.com", "TXT", "v=spf1 ip4:198.18.1.10 -all") in found
    assert ("mail.example.com", "TXT", "v=spf1 a -all") in found
    assert (
        "_dmarc.example.com",
        "TXT",
        "v=DMARC1; p=reject; np=reject; adkim=s; aspf=r; rua=mailto:postmaster@example.com",
    ) in found
    assert ("_submissions._tcp.example.com", "SRV", "0 1 465 mail.example.com") in found
    assert ("mail.example.com", "CAA", '0 issue "letsencrypt.org; validationmethods=http-01"') in found
    assert {"mta-sts.example.com", "autoconfig.example.com", "_mta-sts.example.com", "_smtp._tls.example.com"} <= {
        n for n, _, _ in found
    }


def test_the_edge_and_the_home_of_example_a() -> None:
    plan = plan_a()
    edge, home = plan.edges[0], plan.homes[0]
    assert edge.ports == (25, 80, 443, 465, 993)
    assert edge.relay_name != edge.mail_name and edge.relay_name.endswith(".example.com")
    assert home.certificate_names == (
        "mail.example.com",
        "mta-sts.example.com",
        "autoconfig.example.com",
        "autodiscover.example.com",
    )
    assert [(p.address, p.name, p.provider) for p in plan.ptr] == [("198.18.1.10", "mail.example.com", "manual")]


def test_a_plan_survives_json() -> None:
    plan = plan_a()
    assert from_data(MailPlan, json.loads(json.dumps(to_data(plan)))) == plan


def test_no_secret_value_is_in_a_plan() -> None:
    plan = build_plan(
        read_intent(raw(operator={**OPERATOR, "dns": {"provider": "cloudflare", "token": "hunter2hunter2"}}))
    )
    assert "hunter2hunter2" not in json.dumps(to_data(plan))
    assert plan.canaries[0].secret == "mail_operator.canaries[0].imap.secret"
    assert plan.domains[0].accounts[0].secret == "generated:rekord@example.com"


def test_sts_id_changes_exactly_with_the_policy() -> None:
    enforce, testing = plan_a(), build_plan(read_intent(raw(domains=[{**DOMAIN_A, "mta_sts": "testing"}])))
    again = build_plan(read_intent(raw(domains=[{**DOMAIN_A, "dmarc": "none"}])))
    assert enforce.domains[0].mta_sts_id == again.domains[0].mta_sts_id != testing.domains[0].mta_sts_id
    assert sts_policy("enforce", ["mail.example.com"], 604800).splitlines() == [
        "version: STSv1",
        "mode: enforce",
        "mx: mail.example.com",
        "max_age: 604800",
    ]


def test_defaults_say_why() -> None:
    plan = build_plan(read_intent(raw(domains=[{"name": "example.com", "provider": "stalwart", "accounts": ["me"]}])))
    for decision in plan.decisions:
        assert decision.reason and decision.source in ("given", "default", "derived")
    policy = next(d for d in plan.decisions if d.key == "dmarc.policy")
    assert (policy.value, policy.source) == ("reject", "default") and "auto" in policy.reason
    given_policy = next(d for d in plan_a().decisions if d.key == "dmarc.policy")
    assert given_policy.source == "given"


def test_somebody_reads_postmasters_mail() -> None:
    domain = {
        "name": "example.com",
        "provider": "stalwart",
        "accounts": ["me", {"address": "you", "aliases": ["abuse"]}],
    }
    plan = build_plan(read_intent(raw(domains=[domain])))
    assert [a.aliases for a in plan.domains[0].accounts] == [("postmaster@example.com",), ("abuse@example.com",)]
    assert any(d.key == "aliases of me@example.com" and d.source == "default" for d in plan.decisions)
    assert plan_a().domains[0].accounts[0].aliases == ("postmaster@example.com", "abuse@example.com")


def test_facts_fill_what_is_deferred_and_nothing_else() -> None:
    plan = plan_a()
    facts = Facts(dkim=DKIM, spki={"mail.example.com": "ab" * 32}, signed=("example.com",))
    records = resolve(plan, facts)[0].records
    assert all(r.deferred is None for r in records)
    names = {r.name: r.content for r in records}
    assert names["202611r._domainkey.example.com"] == DKIM[0]["txt"]
    assert names["_25._tcp.mail.example.com"] == "3 1 1 " + "ab" * 32


def test_a_missing_key_is_an_error_not_a_missing_record() -> None:
    with pytest.raises(MailsteadError) as caught:
        resolve(plan_a(), facts_from({}), "keys")
    assert [p.code for p in caught.value.problems] == ["MS-PLAN-001", "MS-PLAN-001"]
    assert resolve(plan_a(), facts_from({}), "identity")


def test_tlsa_only_in_signed_zones() -> None:
    records = resolve(plan_a(), Facts(dkim=DKIM, spki={"mail.example.com": "ab" * 32}))[0].records
    assert not [r for r in records if r.type == "TLSA"]


NAMES = st.sampled_from(["example.com", "example.org", "family.example.net", "xn--bcher-kva.example"])


@st.composite
def inventories(draw: st.DrawFn) -> Any:
    names = draw(st.lists(NAMES, min_size=1, max_size=4, unique=True))
    mode = draw(st.sampled_from(["off", "testing", "enforce"]))
    domains = []
    for name in names:
        domains.append(
            {
                "name": name,
                "provider": "stalwart",
                "mta_sts": mode,
                "dane": draw(st.sampled_from(["auto", "off"])),
                "dkim": {"keys": draw(st.sampled_from([["rsa-2048"], ["rsa-2048", "ed25519"]]))},
                "accounts": draw(
                    st.lists(st.sampled_from(["a", "b", "postmaster"]), min_size=1, max_size=3, unique=True)
                ),
            }
        )
    host = {**HOSTS["vps1"], "mail_host": {**HOSTS["vps1"]["mail_host"], "name": f"mail.{names[0]}"}}
    if draw(st.booleans()):
        host["mail_host"]["ipv6"] = "2001:2:0:2::10"
    return raw(domains=domains, hosts={**HOSTS, "vps1": host})


@settings(max_examples=60, deadline=None)
@given(inventories())
def test_what_holds_for_every_plan(inventory: Any) -> None:
    plan = build_plan(read_intent(inventory))
    assert plan == build_plan(read_intent(inventory))
    seen: set[tuple[str, str]] = set()
    for zone in plan.zones:
        order = [PHASES.index(r.phase) for r in zone.records]
        assert order == sorted(order)
        for record in zone.records:
            assert is_within(record.name, zone.name)
            assert record.reason and record.role and len(f"mailstead:mailstead:{record.role}") <= 100
            if record.type == "CNAME":
                assert [r for r in zone.records if r.name == record.name] == [record]
        spf = [r.name for r in zone.records if r.content.startswith("v=spf1")]
        assert len(spf) == len(set(spf))
        for record in zone.records:
            if record.type == "MX":
                seen.add((record.name, record.content))
    assert {n for n, _ in seen} == {d.name for d in plan.domains}


def test_every_zone_knows_its_host_and_no_secret() -> None:
    own = {"provider": "rfc2136", "server": "ns.example.net", "port": 5353, "key_name": "k", "secret": "hunter2hunter2"}
    domains = [DOMAIN_A, {**DOMAIN_A, "name": "example.org", "accounts": ["me"]}]
    dns = [{"provider": "cloudflare", "token": "hunter2hunter2"}, {**own, "zones": ["example.org"]}]
    plan = build_plan(read_intent(raw(domains=domains, operator={**OPERATOR, "dns": dns})))
    assert "hunter2" not in json.dumps(to_data(plan))
    first, second = plan.zones
    assert (first.provider, first.options) == ("cloudflare", (("token", "mail_operator.dns[0].token"),))
    assert (second.provider, dict(second.options)) == (
        "rfc2136",
        {"server": "ns.example.net", "port": "5353", "key_name": "k", "secret": "mail_operator.dns[1].secret"},
    )
    assert from_data(MailPlan, json.loads(json.dumps(to_data(plan)))) == plan
    said = {(d.subject, d.value, d.source) for d in plan.decisions if d.key == "dns"}
    assert said == {("example.com", "cloudflare", "default"), ("example.org", "rfc2136", "given")}
