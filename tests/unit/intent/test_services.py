# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Services through which applications send: what is implied, what follows for the domains, and every mistake with its place."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError, Problem
from ansible_collections.mailstead.stack.plugins.module_utils.intent import submission, words_services
from ansible_collections.mailstead.stack.plugins.module_utils.intent.model import Intent, Rate, Service
from ansible_collections.mailstead.stack.plugins.module_utils.intent.read import read_intent
from ansible_collections.mailstead.stack.plugins.plugin_utils.profiles import profiles

from tests.unit.examples import DOMAIN_A, DOMAINS_D, HOSTS, HOSTS_D, OPERATOR, SERVICE_D, intent_d, raw

SMTP2GO = {"provider": "smtp2go", "username": "notify", "secret": "{{ vault_smtp2go }}"}
CLOUDFLARE = SERVICE_D["smarthosts"][0]
TUNNEL = SERVICE_D["expose"]["cloudflare_tunnel"]


def service(**changes: Any) -> Service:
    return intent_d(**changes).services[0]


def read(*services: Any, domains: Any = None, hosts: Any = None, operator: Any = None) -> Intent:
    inventory = raw(
        DOMAINS_D if domains is None else domains,
        hosts=HOSTS_D if hosts is None else hosts,
        operator=operator,
        mail_submission=list(services),
    )
    return read_intent(inventory, profiles=profiles())


def problems(*services: Any, **more: Any) -> tuple[Problem, ...]:
    with pytest.raises(MailsteadError) as caught:
        read(*services, **more)
    return caught.value.problems


def exposed(**changes: Any) -> dict[str, Any]:
    return {"cloudflare_tunnel": {**TUNNEL, **changes}}


# -- what is read and implied ------------------------------------------------------------------------------------------


def test_the_administrators_login_is_nobodys_application() -> None:
    module = Path(submission.__file__).parents[2] / "modules/stalwart_bootstrap.py"
    documentation = re.search(r'DOCUMENTATION = r"""(.*?)"""', module.read_text(encoding="utf-8"), re.DOTALL)
    assert documentation is not None
    options = yaml.safe_load(documentation.group(1))["options"]
    assert options["account"]["default"] in submission.RESERVED


def test_example_d_works_as_it_stands() -> None:
    one = service()
    assert (one.name, one.host, one.lan_name, one.state) == ("notify", "lan-box", "notify.example.com", "present")
    assert [(a.name, a.addresses) for a in one.senders] == [
        ("billing", ("noreply@example.com",)),
        ("ci", ("*@ci.example.com",)),
    ]
    assert (one.limits.per_sender, one.limits.max_size) == (Rate(500, 3600), 10 * 1024**2)
    assert one.tunnel is not None and one.tunnel.management == "remote"
    assert (
        one.tunnel.access.duration == words_services.TOKEN_DURATION
        and one.tunnel.access.overlap == words_services.TOKEN_OVERLAP
    )
    assert [s.secret for s in one.smarthosts] == [f"mail_submission[0].smarthosts[{n}].secret" for n in (0, 1)]


def test_the_only_free_home_is_implied_on_both_sides() -> None:
    hosts = {**HOSTS, **HOSTS_D}
    without = {k: v for k, v in SERVICE_D.items() if k != "host"}
    # A home that is named leaves the other one over.
    home_named = read(without | {"smarthosts": [SMTP2GO]}, domains=[DOMAIN_A, DOMAINS_D[1]], hosts=hosts)
    assert home_named.services[0].host == "lan-box"
    unnamed = {**DOMAIN_A, "inbound": {"provider": "stalwart", "edge": "vps1"}}
    service_named = read({**SERVICE_D, "smarthosts": [SMTP2GO]}, domains=[unnamed, DOMAINS_D[1]], hosts=hosts)
    assert service_named.domains[0].inbound is not None and service_named.domains[0].inbound.host == "home"


def test_the_name_is_in_the_zone_of_the_first_sender_unless_it_is_given() -> None:
    assert service(senders={"ci": "*@ci.example.com"}).lan_name == "notify.example.com"
    assert service(lan="smtp-in.example.com").lan_name == "smtp-in.example.com"
    given = service(lan={"name": "a.b.example.com", "address": "192.168.77.10"})
    assert (given.lan_name, given.lan_address) == ("a.b.example.com", "192.168.77.10")


def test_an_application_may_say_more() -> None:
    more = {
        "addresses": ["*@ci.example.com", "Build@CI.Example.com"],
        "smarthosts": ["smtp2go"],
        "limits": {"per_sender": "20/m"},
        "bounces": "ops@ci.example.com",
        "secret": "{{ vault_ci }}",
    }
    one = service(senders={"ci": more})
    (application,) = one.senders
    assert application.addresses == ("*@ci.example.com", "build@ci.example.com")
    assert application.limits.per_sender == Rate(20, 60) and application.limits.max_size == 0
    assert application.secret == "mail_submission[0].senders.ci.secret"
    assert [s.provider for s in one.chosen(application)] == ["smtp2go"]
    assert submission.return_path(one, application) == "ops@ci.example.com"


@pytest.mark.parametrize(
    ("bounces", "wanted"),
    [
        ("postmaster@example.com", ("postmaster@example.com", "", "")),
        ({"webhook": "https://hooks.example.org/mail"}, ("", "https://hooks.example.org/mail", "")),
        (
            {"address": "ops@example.com", "webhook": "https://h.example.org/", "secret": "{{ v }}"},
            ("ops@example.com", "https://h.example.org/", "mail_submission[0].bounces.secret"),
        ),
    ],
)
def test_bounces_go_to_a_mailbox_or_a_program(bounces: Any, wanted: tuple[str, str, str]) -> None:
    senders = {"billing": "noreply@example.com"}
    assert dataclasses.astuple(service(senders=senders, bounces=bounces).bounces) == wanted


def test_bounces_without_a_domain_go_to_the_one_that_is_sent_for() -> None:
    one = service(senders={"ci": {"addresses": "*@ci.example.com", "bounces": "Ops"}}, bounces="ops")
    assert (one.senders[0].bounces, one.bounces.address) == ("ops@ci.example.com", "ops@ci.example.com")


def test_tokens_may_live_for_ever_and_never_be_renewed() -> None:
    access = {"service_tokens": ["app1"], "duration": "forever", "rotate_after": "never"}
    one = service(expose=exposed(access=access))
    assert one.tunnel is not None and (one.tunnel.access.duration, one.tunnel.access.rotate_after) == (0, 0)


def test_a_client_has_the_token_of_its_name_or_the_only_one() -> None:
    def token(tokens: list[str], client: str) -> str:
        tunnel = service(expose=exposed(access={"service_tokens": tokens}), clients=[]).tunnel
        assert tunnel is not None
        return submission.token_of(tunnel, client)

    assert token(["other", "app1"], "app1") == "app1"
    assert token(["everybody"], "app1") == "everybody"
    assert token(["a", "b"], "app1") == ""


# -- what follows for the domains --------------------------------------------------------------------------------------


def test_smarthosts_become_senders_of_the_domains_they_send_for() -> None:
    senders = {"billing": "noreply@example.com", "ci": {"addresses": "*@ci.example.com", "smarthosts": "smtp2go"}}
    intent = intent_d(senders=senders)
    found = {d.name: [(s.provider, s.smarthost) for s in d.senders] for d in intent.domains}
    assert found == {
        "example.com": [
            ("cloudflare_email_sending", "mail_submission[0].smarthosts[0]"),
            ("smtp2go", "mail_submission[0].smarthosts[1]"),
        ],
        "ci.example.com": [("smtp2go", "mail_submission[0].smarthosts[1]")],
    }


def test_a_sender_that_is_declared_stays_as_it_is() -> None:
    given = {"return_path": "em1", "dkim_selector": "s1"}
    declared = {**DOMAINS_D[0], "also_send_via": [{"provider": "smtp2go", "inputs": given}]}
    (sender,) = [s for s in intent_d([declared, DOMAINS_D[1]]).domains[0].senders if s.provider == "smtp2go"]
    assert sender.smarthost == "" and dict(sender.inputs) == given


def test_a_service_that_goes_leaves_no_sender_and_needs_no_more_than_its_name() -> None:
    intent = read({"name": "notify", "state": "absent", "host": "lan-box"})
    assert [d.senders for d in intent.domains] == [(), ()]


def test_our_own_signature_stands_where_the_providers_key_is_not_known() -> None:
    """A smarthost whose DKIM record is missing does not lower the policy: the mail is signed before it gets there."""
    intent = intent_d(smarthosts=[SMTP2GO])
    policies = {s.provider: p.dmarc.max_policy for d in intent.domains for s, p in intent.sender_profiles(d)}
    assert policies == {"smtp2go": "reject"}
    declared = {**DOMAINS_D[0], "dmarc": {"policy": "reject", "adkim": "s"}}
    assert intent_d([declared, DOMAINS_D[1]], smarthosts=[SMTP2GO])


def test_keys_of_a_domain_whose_mail_others_take_may_be_described_where_a_service_signs() -> None:
    described = {**DOMAINS_D[0], "dkim": {"keys": ["rsa-2048"], "selector": "%Y"}}
    assert intent_d([described, DOMAINS_D[1]]).domains[0].dkim.selector == "%Y"
    with pytest.raises(MailsteadError, match="MS-INT-032"):
        intent_d([described, DOMAINS_D[1]], senders={"ci": "*@ci.example.com"})


# -- mistakes ----------------------------------------------------------------------------------------------------------

GMAIL = {"provider": "gmail_personal", "username": "you@gmail.com", "secret": "{{ vault_gmail }}"}
REJECT = [{**DOMAINS_D[0], "dmarc": "reject"}, DOMAINS_D[1]]
BOTH = {"addresses": ["a@example.com", "*@ci.example.com"]}


@pytest.mark.parametrize(
    ("code", "where", "changes"),
    [
        ("MS-INT-001", ".smarthost", {"smarthost": []}),
        ("MS-INT-001", ".expose.cloudflare_tunnel.host", {"expose": exposed(host="x")}),
        ("MS-INT-002", "", {"senders": {}}),
        ("MS-INT-002", "", {"smarthosts": []}),
        ("MS-INT-002", ".senders.a", {"senders": {"a": []}}),
        ("MS-INT-002", ".smarthosts[0]", {"smarthosts": [{"provider": "smtp2go", "username": "x"}]}),
        ("MS-INT-002", ".bounces", {"bounces": {"secret": "{{ s }}"}}),
        ("MS-INT-003", ".name", {"name": "Notify"}),
        ("MS-INT-003", ".senders.a.addresses[0]", {"senders": {"a": ["noreply"]}}),
        ("MS-INT-003", ".senders.a.addresses[0]", {"senders": {"a": ["no*@example.com"]}}),
        ("MS-INT-003", ".senders.a.addresses[0]", {"senders": {"a": ["o'brien@example.com"]}}),
        ("MS-INT-003", ".limits.per_sender", {"limits": {"per_sender": "500"}}),
        ("MS-INT-003", ".limits.per_sender", {"limits": {"per_sender": "0/h"}}),
        ("MS-INT-003", ".limits.per_sender", {"limits": {"per_sender": "1000001/h"}}),
        ("MS-INT-003", ".name", {"name": "notify-"}),
        ("MS-INT-003", ".senders.a_b", {"senders": {"a_b": "a@example.com"}}),
        ("MS-INT-003", ".bounces.webhook", {"bounces": {"webhook": "http://hooks.example.org"}}),
        ("MS-INT-004", ".senders.a", {"senders": {"a": {"addresses": "a@example.com", "smarthosts": "brevo"}}}),
        ("MS-INT-004", ".smarthosts[0].port", {"smarthosts": [{**SMTP2GO, "port": 26}]}),
        ("MS-INT-004", ".smarthosts[0].provider", {"smarthosts": [{**SMTP2GO, "provider": "smtp3go"}]}),
        ("MS-INT-007", ".host", {"host": "lan-bax"}),
        ("MS-INT-007", ".host", {"host": "app1"}),
        ("MS-INT-007", ".clients[0]", {"clients": ["lan-box"]}),
        ("MS-INT-007", ".clients[1]", {"clients": ["app1", "nobody"]}),
        ("MS-INT-007", ".smarthosts[0].edge", {"smarthosts": [{"provider": "edge", "edge": "vps1"}]}),
        ("MS-INT-007", ".smarthosts[0].edge", {"smarthosts": [{"provider": "edge", "edge": "app1"}]}),
        ("MS-INT-008", ".smarthosts[0]", {"smarthosts": [{"provider": "edge"}]}),
        ("MS-INT-048", ".smarthosts[1]", {"smarthosts": ["edge", "edge"]}),
        ("MS-INT-023", ".lan", {"lan": "notify.example.net"}),
        (
            "MS-INT-032",
            ".smarthosts[0].username",
            {"smarthosts": [{"provider": "edge", "edge": "vps1", "username": "x"}]},
        ),
        (
            "MS-INT-042",
            ".smarthosts[0].provider",
            {"smarthosts": [{**SMTP2GO, "provider": "cloudflare_email_routing"}]},
        ),
        ("MS-INT-042", ".smarthosts[0].provider", {"smarthosts": [{**SMTP2GO, "provider": "stalwart"}]}),
        ("MS-INT-043", ".smarthosts[0].inputs", {"smarthosts": [{**SMTP2GO, "inputs": {"return_path": "a b"}}]}),
        (
            "MS-INT-043",
            ".smarthosts[0].inputs",
            {"smarthosts": [{"provider": "amazon_ses", "username": "AKIA", "secret": "{{ s }}"}]},
        ),
        ("MS-INT-048", ".smarthosts[1]", {"smarthosts": [SMTP2GO, SMTP2GO]}),
        ("MS-INT-048", ".senders", {"senders": {"mailstead-probe": "a@example.com"}}),
        ("MS-INT-048", ".senders", {"senders": {"mailstead-admin": "a@example.com"}}),
        ("MS-INT-048", ".lan", {"lan": "example.com"}),
        ("MS-INT-048", ".expose.cloudflare_tunnel.hostname", {"expose": exposed(hostname="notify.example.com")}),
        ("MS-INT-048", ".clients[1]", {"clients": ["app1", "app1"]}),
        (
            "MS-INT-048",
            ".expose.cloudflare_tunnel.access",
            {"expose": exposed(access={"service_tokens": ["app1", "app1"]})},
        ),
        ("MS-INT-050", ".lan.address", {"lan": {"address": "198.51.100.7"}}),
        ("MS-INT-051", ".senders.a", {"senders": {"a": ["a@example.org"]}}),
        ("MS-INT-051", ".senders.a", {"senders": {"a": ["a@sub.example.com"]}}),
        ("MS-INT-003", ".bounces.address", {"bounces": "o'brien@example.com"}),
        (
            "MS-INT-003",
            ".senders.a.bounces",
            {"senders": {"a": {"addresses": "a@example.com", "bounces": "${x}@example.com"}}},
        ),
        ("MS-INT-052", ".bounces", {"bounces": "ops@example.org"}),
        ("MS-INT-052", ".bounces", {"bounces": "postmaster"}),
        (
            "MS-INT-052",
            ".senders.ci",
            {"senders": {"ci": {"addresses": "*@ci.example.com", "bounces": "x@ci.example.com"}}},
        ),
        ("MS-INT-053", ".senders.a", {"senders": {"a": {**BOTH, "bounces": "ops@ci.example.com"}}}),
        (
            "MS-INT-053",
            ".senders.b",
            {"senders": {"a": "*@ci.example.com", "b": {"addresses": "b@ci.example.com", "smarthosts": "smtp2go"}}},
        ),
        ("MS-INT-054", ".smarthosts[0]", {"smarthosts": [{"provider": "smtp2go", "secret": "{{ s }}"}]}),
        ("MS-INT-054", ".smarthosts[0].username", {"smarthosts": [{**CLOUDFLARE, "username": "me"}]}),
        ("MS-INT-055", ".expose.cloudflare_tunnel.hostname", {"expose": exposed(hostname="smtp.example.net")}),
        ("MS-INT-055", ".expose.cloudflare_tunnel.hostname", {"expose": exposed(hostname="ci.example.com")}),
        ("MS-INT-056", ".expose.cloudflare_tunnel.access", {"expose": exposed(access={"service_tokens": []})}),
        (
            "MS-INT-056",
            ".expose.cloudflare_tunnel.access",
            {"expose": exposed(access={"service_tokens": ["app1"], "duration": "100d", "rotate_after": "95d"})},
        ),
        (
            "MS-INT-056",
            ".expose.cloudflare_tunnel.access",
            {"expose": exposed(access={"service_tokens": ["app1"], "rotate_after": "never"})},
        ),
        ("MS-INT-057", ".clients", {"expose": None}),
        ("MS-INT-057", ".clients[0]", {"expose": exposed(access={"service_tokens": ["a", "b"]})}),
    ],
)
def test_mistakes_have_codes_and_places(code: str, where: str, changes: dict[str, Any]) -> None:
    found = problems({**SERVICE_D, **changes})
    assert (code, f"mail_submission[0]{where}") in [(p.code, p.where) for p in found], [str(p) for p in found]
    assert all(p.what and p.fix for p in found)


def test_no_host_is_implied_where_none_is_free() -> None:
    without = {k: v for k, v in SERVICE_D.items() if k != "host"}
    hosts = {"app1": HOSTS_D["app1"]}
    (problem,) = problems(without, hosts=hosts)
    assert (problem.code, problem.where) == ("MS-INT-008", "mail_submission[0].host")


def test_a_home_of_mail_domains_runs_no_service() -> None:
    hosts = {**HOSTS, **HOSTS_D}
    one = {**SERVICE_D, "host": "home", "smarthosts": [SMTP2GO]}
    found = problems(one, domains=[DOMAIN_A, DOMAINS_D[1]], hosts=hosts)
    assert [(p.code, p.where) for p in found] == [("MS-INT-049", "mail_submission[0].host")]


def test_two_services_have_nothing_in_common() -> None:
    found = problems(SERVICE_D, SERVICE_D)
    keys = ("name", "host", "lan", "expose.cloudflare_tunnel.hostname")
    assert {(p.code, p.where) for p in found} == {("MS-INT-048", f"mail_submission[1].{key}") for key in keys}


def test_a_service_has_no_edges_name() -> None:
    hosts = {**HOSTS, **HOSTS_D}
    one = {**SERVICE_D, "lan": "mail.example.com", "smarthosts": [SMTP2GO]}
    found = problems(one, domains=[DOMAIN_A, DOMAINS_D[1]], hosts=hosts)
    assert [(p.code, p.where) for p in found] == [("MS-INT-048", "mail_submission[0].lan")]
    assert "hosts.vps1.mail_host" in found[0].what


def test_a_tunnel_does_not_take_the_name_of_web_mail() -> None:
    hosted = {"name": "example.com", "provider": "fastmail", "webmail": "smtp"}
    found = problems({**SERVICE_D, "senders": {"a": "a@example.com"}}, domains=[hosted])
    where = "mail_submission[0].expose.cloudflare_tunnel.hostname"
    assert ("MS-INT-048", where) in [(p.code, p.where) for p in found]


def test_gmail_does_not_deliver_for_a_domain_that_asks_for_reject() -> None:
    (problem,) = problems({**SERVICE_D, "smarthosts": [GMAIL]}, domains=REJECT)
    assert (problem.code, problem.where) == ("MS-INT-034", "mail_submission[0].smarthosts[0]")
    assert "example.com asks for" in problem.what and "gmail_personal" in problem.what
    # Where the domain's own word is auto, it follows.
    assert intent_d(smarthosts=[GMAIL])


def test_where_the_domains_own_sender_is_in_the_way_its_policy_is_named() -> None:
    declared = {**REJECT[0], "also_send_via": [{"provider": "gmail_personal", "account": "you@gmail.com"}]}
    found = problems({**SERVICE_D, "smarthosts": [GMAIL]}, domains=[declared, DOMAINS_D[1]])
    assert [(p.code, p.where) for p in found] == [("MS-INT-034", "mail_domains[0].dmarc.policy")]


def test_cloudflare_sends_only_for_domains_that_it_can_be_set_up_for() -> None:
    hosts = {**HOSTS, **HOSTS_D}
    found = problems(SERVICE_D, domains=[DOMAIN_A, DOMAINS_D[1]], hosts=hosts)
    assert [(p.code, p.where) for p in found] == [("MS-INT-010", "mail_submission[0].smarthosts[0]")]


def test_the_only_edge_is_the_one_that_is_meant() -> None:
    hosts = {**HOSTS_D, "vps1": HOSTS["vps1"]}
    assert [
        s.edge for s in read({**SERVICE_D, "smarthosts": ["edge", SMTP2GO]}, hosts=hosts).services[0].smarthosts
    ] == [
        "vps1",
        "",
    ]
    other = {**HOSTS["vps1"], "mail_host": {"name": "m2.example.com", "ipv4": "198.18.1.11", "ptr": "manual"}}
    two = {**hosts, "vps2": other}
    (problem,) = problems({**SERVICE_D, "smarthosts": ["edge"]}, hosts=two)
    assert (problem.code, problem.where) == ("MS-INT-008", "mail_submission[0].smarthosts[0]")
    assert "vps1, vps2" in problem.fix
    assert (
        submission.edge_of(
            read({**SERVICE_D, "smarthosts": [{"provider": "edge", "edge": "vps2"}]}, hosts=two).services[0]
        )
        == "vps2"
    )


def test_a_service_does_not_send_through_its_own_host() -> None:
    both = {**HOSTS_D, "lan-box": {**HOSTS["vps1"], "groups": ["mail_home", "mail_edge"]}}
    (problem,) = problems({**SERVICE_D, "smarthosts": ["edge"]}, hosts=both)
    assert (problem.code, problem.where) == ("MS-INT-010", "mail_submission[0].smarthosts[0]")


def test_an_edge_sends_for_the_domains_of_those_that_chose_it_and_of_where_their_bounces_go() -> None:
    hosts = {**HOSTS_D, "vps1": HOSTS["vps1"]}
    ci = {"addresses": ["*@ci.example.com"], "smarthosts": ["smtp2go"]}

    def relayed(**changes: Any) -> tuple[str, ...]:
        one = {**SERVICE_D, "smarthosts": [SMTP2GO, "edge"], **changes}
        return submission.relayed(read(one, hosts=hosts).services[0])

    assert relayed() == ("ci.example.com", "example.com")
    assert relayed(senders={"billing": "noreply@example.com", "ci": ci}) == ("example.com",)
    # The checks send through all smarthosts, in the name of the first.
    assert relayed(senders={"ci": ci}) == ("ci.example.com",)
    assert relayed(senders={"ci": "a@ci.example.com"}, bounces="postmaster@example.com") == (
        "ci.example.com",
        "example.com",
    )
    assert relayed(smarthosts=[SMTP2GO]) == () == relayed(state="absent")


def test_a_tunnel_needs_a_zone_at_cloudflare() -> None:
    own = {
        "provider": "rfc2136",
        "server": "ns1.example.net",
        "key_name": "k",
        "secret": "{{ s }}",
        "zones": ["example.net"],
    }
    operator = {**OPERATOR, "dns": [OPERATOR["dns"], own]}
    found = problems({**SERVICE_D, "expose": exposed(hostname="smtp.example.net")}, operator=operator)
    assert [(p.code, p.where) for p in found] == [
        ("MS-INT-055", "mail_submission[0].expose.cloudflare_tunnel.hostname")
    ]
    assert "rfc2136" in found[0].what


def test_bounces_to_a_mailbox_of_our_own_server_need_that_mailbox() -> None:
    hosts = {**HOSTS, **HOSTS_D}
    base = {**SERVICE_D, "smarthosts": [SMTP2GO], "senders": {"billing": "noreply@example.com"}}
    for address in ("rekord@example.com", "rekord+bounces@example.com", "abuse@example.com"):
        assert read({**base, "bounces": address}, domains=[DOMAIN_A], hosts=hosts)
    found = problems({**base, "bounces": "nobody@example.com"}, domains=[DOMAIN_A], hosts=hosts)
    assert [(p.code, p.where) for p in found] == [("MS-INT-052", "mail_submission[0].bounces")]


def test_a_domain_that_goes_is_neither_sent_for_nor_read() -> None:
    gone = {**DOMAINS_D[1], "state": "absent"}
    found = problems({**SERVICE_D, "bounces": "ops@ci.example.com"}, domains=[DOMAINS_D[0], gone])
    assert {(p.code, p.where) for p in found} == {
        ("MS-INT-051", "mail_submission[0].senders.ci"),
        ("MS-INT-052", "mail_submission[0].bounces"),
    }


def test_which_mailboxes_a_provider_has_is_not_known_here_and_a_catch_all_takes_everything() -> None:
    senders = {"billing": "noreply@example.com"}
    base = {**SERVICE_D, "smarthosts": [SMTP2GO], "senders": senders, "bounces": "anything@example.com"}
    assert read(base, domains=[{"name": "example.com", "provider": "fastmail"}])
    caught = {**DOMAIN_A, "catch_all": "rekord"}
    assert read(base, domains=[caught], hosts={**HOSTS, **HOSTS_D})


def test_a_mistake_names_file_and_line_of_what_was_written() -> None:
    inventory = raw(DOMAINS_D, hosts=HOSTS_D, mail_submission=[{**SERVICE_D, "clients": ["app1", "nobody"]}])
    marks = {id(inventory.mail_submission[0]["clients"][1]): "domains.yml:7"}
    with pytest.raises(MailsteadError) as caught:
        read_intent(inventory, lambda value: marks.get(id(value), ""), profiles())
    assert [p.where for p in caught.value.problems] == ["mail_submission[0].clients[1] (domains.yml:7)"]


def test_a_tunnel_without_access_is_one_mistake() -> None:
    found = problems({**SERVICE_D, "clients": [], "expose": {"cloudflare_tunnel": {"hostname": "smtp.example.com"}}})
    assert [(p.code, p.where) for p in found] == [("MS-INT-002", "mail_submission[0].expose.cloudflare_tunnel")]


@pytest.mark.parametrize("written", [{}, "notify", 3])
def test_services_are_a_list(written: Any) -> None:
    inventory = dataclasses.replace(raw(DOMAINS_D, hosts=HOSTS_D), mail_submission=written)
    with pytest.raises(MailsteadError, match="MS-INT-003"):
        read_intent(inventory, profiles=profiles())
