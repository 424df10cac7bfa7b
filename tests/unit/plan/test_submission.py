# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a domain whose mail a routing service takes and that our own server sends for."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.mailstead.stack.plugins.filter.plan import dkim_wanted, server_objects, sts_policies
from ansible_collections.mailstead.stack.plugins.filter.routing import routing_hosts
from ansible_collections.mailstead.stack.plugins.module_utils.intent.read import read_intent
from ansible_collections.mailstead.stack.plugins.module_utils.plan.build import build_plan
from ansible_collections.mailstead.stack.plugins.module_utils.plan.model import MailPlan, from_data, to_data
from ansible_collections.mailstead.stack.plugins.module_utils.plan.resolve import Facts, resolve
from ansible_collections.mailstead.stack.plugins.module_utils.plan.show import show_plan
from ansible_collections.mailstead.stack.plugins.plugin_utils.profiles import profiles

from tests.unit.examples import DOMAIN_A, DOMAIN_B, DOMAIN_SENT, OPERATOR, plan_a, raw

SPF = "v=spf1 ip4:198.18.1.10 include:_spf.mx.cloudflare.net ~all"
SECRETS = {"generated:rekord@example.com": "x" * 20, "generated:hi@example.me": "y" * 20}


def plan(*domains: dict[str, Any]) -> MailPlan:
    operator = {**OPERATOR, "dns": {**OPERATOR["dns"], "zones": ["example.com"]}}
    return build_plan(read_intent(raw(list(domains), operator=operator), profiles=profiles()))


@pytest.fixture(name="both")
def fixture_both() -> MailPlan:
    return plan(DOMAIN_A, DOMAIN_SENT)


def table(of: MailPlan) -> dict[tuple[str, str], list[str]]:
    out: dict[tuple[str, str], list[str]] = {}
    for zone in of.zones:
        for record in zone.records:
            out.setdefault((record.name, record.type), []).append(record.content)
    return out


def objects(of: MailPlan, kind: str) -> list[dict[str, Any]]:
    found = server_objects(to_data(of), "home", [], SECRETS)
    return [o for o in found if o["type"] == kind]


def test_it_publishes_what_both_sides_need_and_no_mx(both: MailPlan) -> None:
    mine = {key: value for key, value in table(both).items() if key[0].endswith("example.me")}
    assert mine == {
        ("example.me", "TXT"): [SPF],
        ("_dmarc.example.me", "TXT"): [
            "v=DMARC1; p=reject; np=reject; adkim=s; aspf=r; rua=mailto:postmaster@example.me"
        ],
        ("_smtp._tls.example.me", "TXT"): ["v=TLSRPTv1; rua=mailto:postmaster@example.me"],
        ("<%Y%mr>._domainkey.example.me", "TXT"): ["v=DKIM1; k=rsa; h=sha256; p=<public key>"],
        ("<%Y%me>._domainkey.example.me", "TXT"): ["v=DKIM1; k=ed25519; h=sha256; p=<public key>"],
        ("_submissions._tcp.example.me", "SRV"): ["0 1 465 mail.example.com"],
    }


def test_the_other_domains_are_as_they_were_but_for_bounces(both: MailPlan) -> None:
    """What the edge cannot deliver is written in its own name, and forwarded; the name's own policy lets it through."""
    before, after = table(plan_a()), table(both)
    new = {key: value for key, value in after.items() if before.get(key) != value and not key[0].endswith("example.me")}
    assert new == {("_dmarc.relay-vps1.example.com", "TXT"): ["v=DMARC1; p=none"]}
    assert set(before) <= set(after)
    assert both.homes[0].certificate_names == plan_a().homes[0].certificate_names
    assert both.homes[0].mta_sts == plan_a().homes[0].mta_sts


def test_the_home_signs_the_edge_lets_it_out(both: MailPlan) -> None:
    assert both.edges[0].sender_domains == ("example.com", "example.me")
    assert both.homes[0].domains == ("example.com", "example.me")
    wanted = dkim_wanted(to_data(both), "home")
    assert [(w["domain"], w["algorithm"]) for w in wanted if w["domain"] == "example.me"] == [
        ("example.me", "rsa-2048"),
        ("example.me", "ed25519"),
    ]
    assert [p["domain"] for p in sts_policies(to_data(both))] == ["example.com"]


def test_the_servers_own_domain_is_one_whose_mail_it_takes() -> None:
    first = plan({**DOMAIN_SENT, "name": "aaa.example"}, DOMAIN_A)
    assert [d.name for d in first.domains] == ["aaa.example", "example.com"]
    assert first.homes[0].domains == ("example.com", "aaa.example")


def test_a_home_may_do_nothing_but_send() -> None:
    alone = plan(DOMAIN_SENT)
    (home,) = alone.homes
    assert (home.server_name, home.certificate_names) == ("mail.example.com", ("mail.example.com",))
    assert home.mta_sts.mode == "off" and home.mta_sts.mx == ()
    assert objects(alone, "SystemSettings")[0]["properties"]["mailExchangers"] == [
        {"hostname": "mail.example.com", "priority": 10}
    ]
    assert "MX" not in {rtype for _name, rtype in table(alone)}


def test_keys_are_filled_in_like_any_others(both: MailPlan) -> None:
    keys = [
        {"domain": name, "algorithm": a, "selector": "202611" + a[0], "txt": f"v=DKIM1; k={a}; p=QUJD"}
        for name in ("example.com", "example.me")
        for a in ("rsa-2048", "ed25519")
    ]
    zones = {z.name: z for z in resolve(both, Facts(dkim=tuple(keys)), "keys")}
    assert "202611r._domainkey.example.me" in {r.name for r in zones["example.me"].records}


def test_a_plan_survives_json(both: MailPlan) -> None:
    assert from_data(MailPlan, json.loads(json.dumps(to_data(both)))) == both


def test_spf_of_two_parties_is_not_locked_by_one(both: MailPlan) -> None:
    """Email Routing's own SPF record is read-only while it is locked."""
    (host,) = routing_hosts(to_data(both))
    assert [d["state"] for d in host["switch"]] == ["unlocked"]


def test_gmail_beside_it_still_decides_the_policy() -> None:
    mixed = plan(DOMAIN_A, {**DOMAIN_B, "also_send_via": ["stalwart"], "accounts": ["hi"]})
    assert mixed.routing[0].dmarc.policy == "none" and "stalwart" in mixed.routing[0].policy_why
    assert [s.provider for s in mixed.routing[0].senders] == ["stalwart", "gmail_personal"]


# -- the server --------------------------------------------------------------------------------------------------------


def test_our_users_mail_to_it_leaves_like_all_other_mail(both: MailPlan) -> None:
    """Before the rule for local domains, or it would end in the mailbox of whoever logs in with that address."""
    (strategy,) = objects(both, "MtaOutboundStrategy")
    assert strategy["properties"]["route"] == {
        "match": [
            {"if": "rcpt_domain == 'example.me'", "then": "'edge'"},
            {"if": "is_local_domain(rcpt_domain)", "then": "'local'"},
        ],
        "else": "'edge'",
    }
    domains = {o["match"]["name"]: o["properties"] for o in objects(both, "Domain")}
    assert domains["example.me"]["allowRelaying"] and not domains["example.com"]["allowRelaying"]
    assert domains["example.me"]["subAddressing"] == {"@type": "Disabled"}


def test_strangers_mail_to_it_is_refused(both: MailPlan) -> None:
    (stage,) = objects(both, "MtaStageRcpt")
    assert stage["properties"]["script"] == {
        "match": [{"if": "is_empty(authenticated_as) && (rcpt_domain == 'example.me')", "then": "'taken-elsewhere'"}],
        "else": "false",
    }
    (script,) = [o for o in objects(both, "SieveSystemScript") if o["match"]["name"] == "taken-elsewhere"]
    assert script["properties"]["isActive"] and 'reject "550 5.7.1' in script["properties"]["contents"]


def test_without_such_domains_nothing_of_it_remains() -> None:
    (stage,) = objects(plan(DOMAIN_A), "MtaStageRcpt")
    assert stage["properties"]["script"] == {"match": [], "else": "false"}
    (script,) = [o for o in objects(plan(DOMAIN_A), "SieveSystemScript") if o["match"]["name"] == "taken-elsewhere"]
    assert script["state"] == "absent"


def test_a_domain_that_is_sent_by_others_again_lets_no_stranger_through() -> None:
    """The server keeps it with its mailboxes; it must not relay for it."""
    domains = {o["match"]["name"]: o for o in objects(plan(DOMAIN_A, DOMAIN_B), "Domain")}
    assert domains["example.me"]["properties"] == {"allowRelaying": False} and domains["example.me"]["create"] is False
    gone = {o["match"]["name"]: o for o in objects(plan(DOMAIN_A, {**DOMAIN_SENT, "state": "absent"}), "Domain")}
    assert gone["example.me"]["create"] is False


def test_reports_for_it_do_not_come_here(both: MailPlan) -> None:
    (settings,) = objects(both, "ReportSettings")
    assert all("example.me" not in address for address in settings["properties"]["inboundReportAddresses"])


def test_the_logins_have_no_addresses_but_their_own(both: MailPlan) -> None:
    """No postmaster among them: its mail goes where the domain's rules say."""
    accounts = {o["match"]["name"]: o["properties"]["aliases"] for o in objects(both, "Account")}
    assert accounts["hi"] == []


# -- for people --------------------------------------------------------------------------------------------------------


def test_the_plan_for_people(both: MailPlan) -> None:
    shown = show_plan(both, explain=True)
    assert shown.count("Domain example.me") == 1
    for line in (
        "  in    cloudflare_email_routing, user+detail reaches user",
        "  out   home → vps1 → the Internet, signed with rsa-2048, ed25519",
        "  login hi@example.me",
        "  sends for example.com, example.me",
        "By hand, at your own server (home), to send as example.me",
        "example.me: outbound.egress = vps1  [default]",
        "example.me: dmarc.policy = reject  [derived]",
    ):
        assert line in shown, line
    assert "SMTP server: mail.example.com, port 465" in " ".join(shown.split())


def test_our_own_server_may_be_the_only_sender_and_stand_among_the_further_ones() -> None:
    bare = {k: v for k, v in DOMAIN_SENT.items() if k != "outbound"}
    of = plan(DOMAIN_A, {**bare, "also_send_via": ["stalwart"]})
    assert [d.name for d in of.domains] == ["example.com", "example.me"]
    assert table(of)["example.me", "TXT"] == [SPF]
