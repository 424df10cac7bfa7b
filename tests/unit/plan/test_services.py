# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Services through which applications send: their plan, their records, what is said of them, what modules are handed."""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import Any

import pytest
from ansible_collections.mailstead.stack.plugins.filter import submission as filters
from ansible_collections.mailstead.stack.plugins.filter.plan import dkim_wanted, dns_facts, zones_wanted
from ansible_collections.mailstead.stack.plugins.filter.routing import routing_part, sending_hosts
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError
from ansible_collections.mailstead.stack.plugins.module_utils.intent import model as intent_model
from ansible_collections.mailstead.stack.plugins.module_utils.plan import submission
from ansible_collections.mailstead.stack.plugins.module_utils.plan.build import NETWORK, build_plan
from ansible_collections.mailstead.stack.plugins.module_utils.plan.model import (
    IngressRule,
    MailPlan,
    Record,
    SubmissionPlan,
    from_data,
    to_data,
)
from ansible_collections.mailstead.stack.plugins.module_utils.plan.resolve import Facts, resolve
from ansible_collections.mailstead.stack.plugins.module_utils.plan.show import show_plan
from ansible_collections.mailstead.stack.plugins.module_utils.providers.model import Port, Submission
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.examples import DOMAIN_A, DOMAINS_D, HOSTS, HOSTS_D, SERVICE_D, intent_d, plan_a, plan_d

SMTP2GO = SERVICE_D["smarthosts"][1]


def service(**changes: Any) -> SubmissionPlan:
    return plan_d(**changes).submissions[0]


def records(plan: MailPlan) -> list[Record]:
    return [r for zone in plan.zones for r in zone.records]


def named(plan: MailPlan, name: str, kind: str) -> list[str]:
    return [r.content for r in records(plan) if (r.name, r.type) == (name, kind)]


def key(domain: str, algorithm: str = "rsa-2048", **more: Any) -> dict[str, Any]:
    """A key as the module reports it."""
    selector = f"notify-202611{'e' if algorithm == 'ed25519' else 'r'}"
    return {"domain": domain, "algorithm": algorithm, "selector": selector, "txt": f"v=DKIM1; p={algorithm}", **more}


KEYS = [key(d, a) for d in ("example.com", "ci.example.com") for a in ("rsa-2048", "ed25519")]


# -- the plan of a service ---------------------------------------------------------------------------------------------


def test_logins_end_in_the_name_of_the_server_and_passwords_are_generated() -> None:
    one = service(
        senders={"billing": {"addresses": "noreply@example.com", "secret": "{{ v }}"}, "ci": "*@ci.example.com"}
    )
    assert [(a.login, a.secret) for a in one.applications] == [
        ("billing@notify.example.com", "mail_submission[0].senders.billing.secret"),
        ("ci@notify.example.com", "generated:ci@notify.example.com"),
    ]
    assert (one.login_domain, one.server_name) == ("notify.example.com", "notify.example.com")


def test_smarthosts_are_where_their_profiles_say() -> None:
    cloudflare, smtp2go = service().smarthosts
    assert (cloudflare.id, cloudflare.host, cloudflare.port, cloudflare.tls) == (
        "1-cloudflare_email_sending", "smtp.mx.cloudflare.net", 465, "implicit",
    )  # fmt: skip
    assert (cloudflare.username, smtp2go.username) == ("api_token", "notify")
    (other,) = service(smarthosts=[{**SMTP2GO, "port": 2525}]).smarthosts
    assert (other.port, other.tls) == (2525, "starttls")
    (postmark,) = service(smarthosts=[{"provider": "postmark", "secret": "{{ s }}"}]).smarthosts
    assert (postmark.username, postmark.port, postmark.tls) == ("{secret}", 587, "starttls")
    ses = {"provider": "amazon_ses", "username": "AKIA", "secret": "{{ s }}", "inputs": {"region": "eu-central-1"}}
    assert service(smarthosts=[ses]).smarthosts[0].host == "email-smtp.eu-central-1.amazonaws.com"


def test_tls_from_the_start_is_chosen_where_it_is_offered() -> None:
    both = Submission("smtp.example.net", (Port(587, "starttls"), Port(465, "implicit")))
    assert submission.chosen_port(both) == Port(465, "implicit")
    assert submission.chosen_port(both, 587) == Port(587, "starttls")


def test_a_message_is_no_larger_than_what_a_smarthost_takes() -> None:
    taken = service(smarthosts=SERVICE_D["smarthosts"][:1])
    # The signatures come on top.
    assert taken.applications[0].max_size == 5 * 1024**2 - submission.ADDED == taken.max_size
    assert service().applications[0].max_size == 10 * 1024**2


def test_limits_and_bounces_of_an_application_come_before_those_of_the_service() -> None:
    ci = {
        "addresses": "*@ci.example.com",
        "limits": {"per_sender": "20/m", "max_size": "1MiB"},
        "bounces": "Ops@ci.example.com",
        "smarthosts": "smtp2go",
    }
    one = service(senders={"billing": "noreply@example.com", "ci": ci}, bounces="postmaster@example.com")
    billing, own = one.applications
    assert (own.rate, own.per, own.max_size, own.return_path) == (20, 60, 1024**2, "ops@ci.example.com")
    assert (billing.rate, billing.per, billing.max_size) == (500, 3600, 10 * 1024**2)
    assert (billing.return_path, own.smarthosts) == ("postmaster@example.com", ("2-smtp2go",))


def test_the_tunnel_leads_to_the_server_and_to_nothing_else() -> None:
    tunnel = service().tunnel
    assert tunnel is not None
    assert tunnel.ingress == (
        IngressRule("smtp.example.com", f"tcp://{NETWORK['server_address']}:465"),
        IngressRule("", "http_status:404"),
    )
    assert (tunnel.name, tunnel.zone, tunnel.management) == ("mailstead-notify", "example.com", "remote")


def test_each_service_has_a_port_of_its_own_on_a_client() -> None:
    one = intent_d()
    second = dataclasses.replace(
        one.services[0], name="second", position=1, lan_name="second.example.com", host="lan-two"
    )
    intent = dataclasses.replace(one, services=(*one.services, second))
    assert [(s.name, s.clients[0].port) for s in build_plan(intent).submissions] == [("notify", 2525), ("second", 2526)]
    # Nobody's settings change because another service goes.
    going = dataclasses.replace(one.services[0], state="absent")
    intent = dataclasses.replace(one, services=(going, second))
    ports = {s.name: s.clients[0].port for s in build_plan(intent).submissions if s.state == "present"}
    assert ports == {"second": 2526}


def test_nothing_listens_where_strangers_deliver() -> None:
    assert [(li.port, li.public, li.proxied) for li in service().listeners] == [
        (465, True, False),
        (587, True, False),
        (8080, False, False),
    ]


def test_the_login_of_the_checks_sends_as_one_address_that_nobody_was_given() -> None:
    one = service()
    assert one.probe is not None
    assert one.probe.senders == (one.probe_sender,) == ("mailstead-probe@example.com",)
    assert one.probe.login not in {a.login for a in one.applications}


def test_without_a_profile_no_plan_is_made() -> None:
    intent = intent_d()
    with pytest.raises(MailsteadError, match="MS-PLAN-005"):
        bare = dataclasses.replace(intent, profiles=tuple(p for p in intent.profiles if p.id != "smtp2go"))
        submission.submission_plan(bare, bare.services[0], NETWORK, 2525)
    half = dataclasses.replace(intent, domains=intent.domains[:1])
    with pytest.raises(MailsteadError, match="MS-INT-051"):
        submission.submission_plan(half, half.services[0], NETWORK, 2525)
    with pytest.raises(MailsteadError, match="MS-INT-023"):
        submission.zone_of(intent, "notify.example.org")


# -- records -----------------------------------------------------------------------------------------------------------


def test_what_a_service_publishes() -> None:
    plan = plan_d(lan={"address": "192.168.77.10"})
    assert named(plan, "notify.example.com", "A") == ["192.168.77.10"]
    assert '0 issue "letsencrypt.org; validationmethods=dns-01"' in named(plan, "notify.example.com", "CAA")
    deferred = {r.deferred.key: r for r in records(plan) if r.deferred}
    assert set(deferred) == {
        f"{d}/{a}@notify" for d in ("example.com", "ci.example.com") for a in ("rsa-2048", "ed25519")
    }
    assert {r.zone for r in deferred.values()} == {"example.com"}
    assert not named(plan_d(), "notify.example.com", "A")


def test_keys_of_smarthosts_are_published_where_they_are_known() -> None:
    known = {**SMTP2GO, "inputs": {"return_path": "em123", "dkim_selector": "s123"}}
    plan = plan_d(smarthosts=[known])
    for name in ("example.com", "ci.example.com"):
        assert named(plan, f"s123._domainkey.{name}", "CNAME") == ["dkim.smtp2go.net"]
        assert named(plan, f"em123.{name}", "CNAME") == ["return.smtp2go.net"]
    assert not [r for r in records(plan_d(smarthosts=[SMTP2GO])) if "smtp2go" in r.content]


def test_a_service_that_goes_publishes_nothing_and_is_still_known() -> None:
    plan = plan_d(state="absent")
    assert not [r for r in records(plan) if "notify" in r.name]
    assert plan.submissions[0].state == "absent" and plan.submissions[0].tunnel
    assert "are removed" in show_plan(plan)


def test_a_service_may_go_together_with_a_domain_that_it_sent_for() -> None:
    plan = plan_d(DOMAINS_D[:1], state="absent")
    assert plan.submissions[0].domains == ("ci.example.com", "example.com") and not plan.submissions[0].dkim


def test_facts_of_a_service_fill_its_own_keys_and_no_other() -> None:
    hosts = {**HOSTS, **HOSTS_D}
    plan = plan_d([DOMAIN_A, DOMAINS_D[1]], hosts, smarthosts=[SMTP2GO])
    home = [
        {"domain": "example.com", "algorithm": a, "selector": f"202611{a[0]}", "txt": f"home {a}"}
        for a in ("rsa-2048", "ed25519")
    ]
    ours = [{**k, "service": "notify"} for k in KEYS]
    (zone,) = resolve(plan, Facts(dkim=(*home, *ours), spki={"mail.example.com": "ab"}), "keys")
    found = {r.name: r.content for r in zone.records if r.phase == "keys"}
    assert found == {
        "202611r._domainkey.example.com": "home rsa-2048",
        "202611e._domainkey.example.com": "home ed25519",
        **{f"{k['selector']}._domainkey.{k['domain']}": k["txt"] for k in KEYS},
    }
    with pytest.raises(MailsteadError, match="MS-PLAN-001"):
        resolve(plan, Facts(dkim=tuple(home)), "keys")


DOMAINS = st.sampled_from(["example.com", "ci.example.com"])
LOCAL = st.sampled_from(["*", "noreply", "a", "b.c"])
SENDERS = st.dictionaries(
    st.sampled_from(["billing", "ci", "shop"]),
    st.lists(st.tuples(LOCAL, DOMAINS).map("@".join), min_size=1, max_size=3),
    min_size=1,
)
OWN = [DOMAIN_A, {**DOMAIN_A, "name": "ci.example.com", "accounts": ["build"]}]
INVENTORIES = st.sampled_from(
    [
        (DOMAINS_D, HOSTS_D),
        ([DOMAIN_A, DOMAINS_D[1]], {**HOSTS, **HOSTS_D}),
        (OWN, {**HOSTS, **HOSTS_D}),
    ]
)


@settings(max_examples=30, deadline=None)
@given(senders=SENDERS, inventory=INVENTORIES, twice=st.booleans())
def test_whoever_takes_the_mail_every_record_is_there_once(senders: Any, inventory: Any, twice: bool) -> None:
    domains, hosts = inventory
    smarthosts = [SMTP2GO, {"provider": "brevo", "username": "x", "secret": "{{ s }}"}] if twice else [SMTP2GO]
    plan = plan_d(domains, hosts, senders=senders, smarthosts=smarthosts)
    assert from_data(MailPlan, to_data(plan)) == plan
    found = Counter((r.name, r.type, r.content) for r in records(plan))
    assert set(found.values()) == {1}
    policies = Counter(
        r.name for r in records(plan) if r.type == "TXT" and r.content.startswith(("v=spf1", "v=DMARC1"))
    )
    assert set(policies.values()) == {1}
    signed = {r.deferred.key.rpartition("@")[0] for r in records(plan) if r.deferred and "@" in r.deferred.key}
    sent = {a.rpartition("@")[2] for addresses in senders.values() for a in addresses}
    assert {k.rpartition("/")[0] for k in signed} == sent


# -- what is said ------------------------------------------------------------------------------------------------------


def test_the_plan_says_who_sends_and_why() -> None:
    plan = plan_d(lan={"address": "192.168.77.10"}, bounces={"webhook": "https://hooks.example.org/x"})
    text = show_plan(plan, explain=True)
    for part in (
        "Service notify on lan-box",
        "notify.example.com at 192.168.77.10, ports 465 (TLS), 587 (STARTTLS)",
        "app1: 127.0.0.1:2525 leads there, with the token app1",
        "app   ci, login ci@notify.example.com, sends as *@ci.example.com",
        "500 messages in an hour, 10240 KiB each at most",
        "nobody reads what comes back to *@ci.example.com",
        "first through Cloudflare Email Sending",
        "https://hooks.example.org/x",
        "lead application hosts through the tunnel",
    ):
        assert part in text, part
    # Somebody reads what comes to any address of the other domain.
    assert "comes back to noreply@example.com" not in text


def test_what_differs_from_the_service_is_said_of_an_application() -> None:
    ci = {"addresses": "*@ci.example.com", "bounces": "ops@ci.example.com", "smarthosts": "smtp2go"}
    text = show_plan(plan_d(senders={"billing": "noreply@example.com", "ci": ci}))
    assert "what comes back goes to ops@ci.example.com" in text and "through 2-smtp2go" in text
    # An address with a rule of its own is read as well.
    text += show_plan(plan_d(senders={"ops": "ops@ci.example.com"}))
    assert "nobody reads what comes back" not in text


def test_a_name_that_the_free_certificate_does_not_cover_is_said() -> None:
    deep = {"cloudflare_tunnel": {**SERVICE_D["expose"]["cloudflare_tunnel"], "hostname": "smtp.in.example.com"}}
    assert "order one for this name" in show_plan(plan_d(expose=deep))
    assert "order one for this name" not in show_plan(plan_d())


def test_every_value_of_a_service_has_a_reason() -> None:
    found = {(d.subject, d.key): d for d in plan_d().decisions if d.subject.startswith("notify")}
    assert found[("notify", "host")].source == "given" and found[("notify", "lan.name")].source == "default"
    assert found[("notify: ci", "limits.per_sender")].source == "given"
    default = {(d.subject, d.key): d for d in plan_d(limits={}).decisions}
    assert default[("notify: ci", "limits.per_sender")].source == "default"
    smaller = {(d.subject, d.key): d for d in plan_d(smarthosts=SERVICE_D["smarthosts"][:1]).decisions}
    assert smaller[("notify: ci", "limits.max_size")].source == "derived"
    assert all(d.reason for d in found.values())


# -- what modules are handed -------------------------------------------------------------------------------------------


def data(**changes: Any) -> dict[str, Any]:
    return to_data(plan_d(**changes))  # type: ignore[no-any-return]


def test_a_host_gets_its_service_and_its_keys() -> None:
    plan = data()
    assert filters.submission_of(plan, "lan-box")["name"] == "notify"
    assert filters.submission_of(plan, "app1") == {}
    assert dkim_wanted(plan, "app1") == [] == dkim_wanted(data(state="absent"), "lan-box")
    assert {(k["domain"], k["algorithm"], k["selector"]) for k in dkim_wanted(plan, "lan-box")} == {
        (d, a, "notify-%Y%m") for d in ("example.com", "ci.example.com") for a in ("rsa-2048", "ed25519")
    }


def test_facts_of_hosts_become_records() -> None:
    plan = data()
    told: dict[str, Any] = {"1-smtp2go": {"suppressed": []}}
    hostvars = {
        "lan-box": {"dkim_result": {"keys": KEYS}, "mailstead_smarthost_facts": {"notify": told}},
        "localhost": {"mailstead_tunnel_facts": {"notify": {"status": "healthy"}}},
    }
    facts = dns_facts(plan, hostvars)
    assert {k["service"] for k in facts["dkim"]} == {"notify"}
    assert facts["smarthosts"] == {"notify": told} and facts["tunnels"] == {"notify": {"status": "healthy"}}
    (zone,) = zones_wanted(plan, facts, "delivery")
    assert {r["name"] for r in zone["records"] if r["phase"] == "keys"} == {
        f"{k['selector']}._domainkey.{k['domain']}" for k in KEYS
    }


def test_the_servers_secrets_are_asked_for_and_filled_in() -> None:
    hook = {"webhook": "https://h.example.org/", "secret": "{{ s }}"}
    plan = data(bounces=hook)
    references = filters.submission_secret_refs(plan, "lan-box")
    assert references == [
        "generated:billing@notify.example.com",
        "generated:ci@notify.example.com",
        "generated:mailstead-probe@notify.example.com",
        "mail_submission[0].bounces.secret",
        "mail_submission[0].smarthosts[0].secret",
        "mail_submission[0].smarthosts[1].secret",
    ]
    values = {reference: f"value of {reference}" for reference in references}
    objects = filters.submission_objects(plan, "lan-box", [{**k, "service": "notify"} for k in KEYS], values)
    assert sum(len(o.get("secrets", {})) for o in objects) == len(references)
    assert len([o for o in objects if o["type"] == "DkimSignature"]) == len(KEYS)
    with pytest.raises(Exception, match="MS-PLAN-004"):
        filters.submission_objects(plan, "lan-box", [], {})
    assert filters.submission_secret_refs(data(state="absent"), "lan-box") == []
    assert filters.submission_secret_refs(plan, "app1") == []


def test_smarthosts_are_asked_with_what_will_be_sent_through_them() -> None:
    ci = {"addresses": "*@ci.example.com", "bounces": "ops@ci.example.com", "smarthosts": "smtp2go"}
    plan = data(senders={"billing": "noreply@example.com", "ci": ci})
    assert filters.smarthost_secret_refs(plan, "lan-box") == [
        f"mail_submission[0].smarthosts[{n}].secret" for n in (0, 1)
    ]
    secrets = dict.fromkeys(filters.smarthost_secret_refs(plan, "lan-box"), "pass")
    cloudflare, smtp2go = filters.smarthosts_wanted(plan, "lan-box", secrets)
    assert cloudflare["senders"] == ["noreply@example.com"] and cloudflare["max_size"] == 5 * 1024**2
    assert smtp2go["senders"] == ["noreply@example.com", "ops@ci.example.com"] and smtp2go["max_size"] == 10 * 1024**2
    assert (smtp2go["username"], smtp2go["password"], smtp2go["place"]) == (
        "notify",
        "pass",
        "mail_submission[0].smarthosts[1]",
    )
    # Whom it does not write to any more, its API tells.
    assert cloudflare["suppressions"] == {"account_id": ""} and "suppressions" not in smtp2go
    postmark = data(smarthosts=[{"provider": "postmark", "secret": "{{ s }}"}])
    (one,) = filters.smarthosts_wanted(postmark, "lan-box", secrets)
    assert one["username"] == one["password"] == "pass" and one["hint"]


def test_tunnels_are_kept_with_the_token_of_their_zone_unless_they_have_their_own() -> None:
    (one,) = filters.tunnels_wanted(data())
    assert (one["secret"], one["account_id"], one["zones"]) == ("mail_operator.dns.token", "", ["example.com"])
    assert [(t["name"], t["state"], t["hostname"]) for t in one["tunnels"]] == [
        ("mailstead-notify", "present", "smtp.example.com")
    ]
    tunnel = {**SERVICE_D["expose"]["cloudflare_tunnel"], "token": "{{ t }}", "account_id": "0" * 32}
    (own,) = filters.tunnels_wanted(data(expose={"cloudflare_tunnel": tunnel}))
    assert (own["secret"], own["account_id"]) == ("mail_submission[0].expose.cloudflare_tunnel.token", "0" * 32)
    assert filters.tunnels_wanted(data(expose=None, clients=[])) == []
    assert filters.tunnels_wanted(data(state="absent"))[0]["tunnels"][0]["state"] == "absent"


def test_an_application_host_gets_the_services_it_reaches() -> None:
    (one,) = filters.clients_of(data(), "app1")
    assert one == {
        "service": "notify",
        "name": "notify",
        "state": "present",
        "hostname": "smtp.example.com",
        "port": 2525,
        "listen": "127.0.0.1:2525",
        "server_name": "notify.example.com",
        "token": "app1",
        "tunnel": "mailstead-notify",
    }
    assert filters.clients_of(data(), "lan-box") == []


def test_what_needs_a_host_is_left_out_where_nothing_but_routing_is_set_up() -> None:
    part = routing_part(data())
    assert part["submissions"] == [] and part["zones"] == [] and part["routing"]


def test_a_smarthost_at_cloudflare_is_set_up_for_the_domains() -> None:
    (host,) = sending_hosts(data())
    assert [d["name"] for d in host["sending"]] == ["ci.example.com", "example.com"]


def test_a_plan_without_services_is_as_it_was() -> None:
    plan = plan_a()
    assert plan.submissions == () and filters.tunnels_wanted(to_data(plan)) == []
    assert "Service" not in show_plan(plan)


def test_the_words_of_the_intent_know_their_addresses() -> None:
    one = intent_d().services[0]
    assert one.domains == ("ci.example.com", "example.com") and one.path == "mail_submission[0]"
    assert one.chosen(intent_model.Application("x")) == one.smarthosts
