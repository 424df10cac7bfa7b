# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a domain whose mailboxes are at a provider."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError
from ansible_collections.mailstead.stack.plugins.module_utils.intent.read import read_intent
from ansible_collections.mailstead.stack.plugins.module_utils.plan.build import build_plan
from ansible_collections.mailstead.stack.plugins.module_utils.plan.model import MailPlan, from_data, to_data
from ansible_collections.mailstead.stack.plugins.module_utils.plan.show import show_plan
from ansible_collections.mailstead.stack.plugins.plugin_utils.profiles import profiles

from tests.unit.examples import DKIM_VALUE, DOMAIN_A, DOMAIN_B, DOMAIN_C, plan_a, raw

OWN = {**DOMAIN_C, "also_send_via": ["stalwart", "cloudflare_email_sending"], "accounts": ["app"]}


def plan(*domains: dict[str, Any]) -> MailPlan:
    """Without hosts where no domain needs one."""
    hosts: dict[str, Any] | None = None if any(d["name"] == DOMAIN_A["name"] for d in domains) else {}
    return build_plan(read_intent(raw(list(domains), hosts=hosts), profiles=profiles()))


def table(of: MailPlan) -> dict[tuple[str, str], list[str]]:
    out: dict[tuple[str, str], list[str]] = {}
    for zone in of.zones:
        for record in zone.records:
            out.setdefault((record.name, record.type), []).append(record.content)
    return out


def test_example_c_is_the_providers_record_set() -> None:
    of = plan(DOMAIN_C)
    assert (of.domains, of.homes, of.edges, of.routing) == ((), (), (), ())
    assert table(of) == {
        ("example.cn", "MX"): ["10 mxbiz2.qq.com", "5 mxbiz1.qq.com"],
        ("example.cn", "TXT"): ["v=spf1 include:spf.mail.qq.com ~all"],
        ("lokg123._domainkey.example.cn", "TXT"): [DKIM_VALUE],
        ("_dmarc.example.cn", "TXT"): [
            "v=DMARC1; p=quarantine; np=reject; adkim=s; aspf=r; rua=mailto:dmarc@example.cn"
        ],
        ("_smtp._tls.example.cn", "TXT"): ["v=TLSRPTv1; rua=mailto:dmarc@example.cn"],
        ("mail.example.cn", "CNAME"): ["exmail.qq.com"],
    }
    (hosted,) = of.hosted
    assert hosted.mx == ("5 mxbiz1.qq.com", "10 mxbiz2.qq.com")
    assert hosted.selectors == ("lokg123._domainkey.example.cn",)
    assert [s.provider for s in hosted.senders] == ["tencent_exmail", "cloudflare_email_sending"]


def test_mail_is_invited_last() -> None:
    (zone,) = plan(DOMAIN_C).zones
    phases = {r.role: r.phase for r in zone.records}
    assert phases["mx"] == "delivery" and phases["spf"] == phases["dmarc"] == "policy"
    assert phases["dkim-tencent_exmail"] == "keys"


def test_our_own_server_beside_it_costs_no_look_up() -> None:
    of = plan(DOMAIN_A, OWN)
    mine = {key: value for key, value in table(of).items() if key[0].endswith("example.cn")}
    assert mine[("example.cn", "TXT")] == ["v=spf1 ip4:198.18.1.10 include:spf.mail.qq.com ~all"]
    assert ("<%Y%mr>._domainkey.example.cn", "TXT") in mine and ("_submissions._tcp.example.cn", "SRV") in mine
    assert of.edges[0].sender_domains == ("example.cn", "example.com")
    assert [s.provider for s in of.hosted[0].senders] == ["stalwart", "tencent_exmail", "cloudflare_email_sending"]
    before = table(plan_a())
    assert {k: v for k, v in table(of).items() if k in before} == before


def test_all_kinds_of_domains_stand_in_one_plan() -> None:
    of = plan(DOMAIN_A, DOMAIN_B, DOMAIN_C)
    assert [len(part) for part in (of.domains, of.routing, of.hosted, of.zones)] == [1, 1, 1, 3]
    assert from_data(MailPlan, json.loads(json.dumps(to_data(of)))) == of


def test_a_provider_whose_sender_is_somebody_else_is_not_in_spf() -> None:
    inbound = {"provider": "tencent_exmail", "inputs": DOMAIN_C["inputs"]}
    rest = {k: v for k, v in DOMAIN_C.items() if k not in ("provider", "inputs", "also_send_via")}
    of = table(plan({**rest, "inbound": inbound, "outbound": {"provider": "cloudflare_email_sending"}}))
    assert of[("example.cn", "TXT")] == ["v=spf1 -all"]
    assert ("lokg123._domainkey.example.cn", "TXT") in of


def test_a_domain_that_goes_wants_nothing_any_more() -> None:
    of = plan({**DOMAIN_C, "state": "absent"})
    assert [z for z in of.zones if z.records] == []
    assert "the mailboxes stay" in show_plan(of)


def test_the_plan_for_people() -> None:
    shown = show_plan(plan(DOMAIN_A, OWN), explain=True)
    for line in (
        "Domain example.cn",
        "  in    mailboxes at Tencent",
        "  web   mail.example.cn",
        "  out   home → vps1 → the Internet, signed with rsa-2048, ed25519",
        "  login app@example.cn",
        "  DMARC p=quarantine",
        "example.cn: dmarc.policy = quarantine  [given]",
    ):
        assert line in shown, line
    assert shown.count("Domain example.cn") == 1


def test_a_plan_needs_the_profile() -> None:
    intent = read_intent(raw([DOMAIN_C], hosts={}), profiles=profiles())
    with pytest.raises(MailsteadError) as caught:
        build_plan(type(intent)(**{**vars(intent), "profiles": ()}))
    assert [p.code for p in caught.value.problems] == ["MS-PLAN-005"]


# -- mail programs are led to one place ----------------------------------------------------------------------------------


def names(of: MailPlan, zone: str) -> list[tuple[str, str]]:
    return [(r.name, r.type) for z in of.zones if z.name == zone for r in z.records if r.type in ("SRV", "CNAME")]


@pytest.mark.parametrize("sender", [p.id for p in profiles() if p.sends and p.client_names])
def test_our_own_server_is_where_its_users_are_led_whoever_else_sends(sender: str) -> None:
    profile = next(p for p in profiles() if p.id == sender)
    values = {i.name: FITTING[i.name] for i in profile.inputs if i.required and i.name in FITTING}
    assert set(values) == {i.name for i in profile.inputs if i.required}, "name a fitting value in FITTING"
    told = {"inputs": values} if values else {}
    of = plan({**DOMAIN_A, "dmarc": {"policy": "auto", "adkim": "r"}, "also_send_via": [{"provider": sender, **told}]})
    alone = plan(DOMAIN_A)
    theirs = {f"{r.name}.example.com" for r in (*profile.return_path, *profile.verification)}
    led = [one for one in names(of, "example.com") if "._domainkey." not in one[0] and one[0] not in theirs]
    assert led == names(alone, "example.com")


#: Values of inputs that profiles require, for planning only.
FITTING = {"dkim_value": DKIM_VALUE, "dkim_selector": "sel1", "region": "com", "tld": "com", "verification": "abc123"}


def test_a_taker_that_leads_mail_programs_leads_them_alone() -> None:
    fastmail = {"name": "example.cn", "provider": "fastmail", "also_send_via": ["stalwart"], "accounts": ["app"]}
    found = [(r.name, r.content) for z in plan(DOMAIN_A, fastmail).zones for r in z.records if r.zone == "example.cn"]
    handing_in = [content for name, content in found if name.startswith("_submission")]
    assert handing_in and all("fastmail.com" in content or content == "0 0 0 ." for content in handing_in)
