# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Applications' mail leaves through an edge of ours: with nothing else behind it, beside a home's, and beside providers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.mailstead.stack.plugins.filter import plan as plan_filters
from ansible_collections.mailstead.stack.plugins.filter import submission as filters
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError
from ansible_collections.mailstead.stack.plugins.module_utils.plan.build import NETWORK
from ansible_collections.mailstead.stack.plugins.module_utils.plan.model import MailPlan, from_data, to_data
from ansible_collections.mailstead.stack.plugins.module_utils.plan.show import show_plan
from ansible_collections.mailstead.stack.plugins.module_utils.plan.submission import ADDED, EDGE_SIZE
from ansible_collections.mailstead.stack.plugins.module_utils.plan.submission_server import submission_objects
from ansible_collections.mailstead.stack.plugins.module_utils.plan.tunnel import (
    edge_config,
    home_config,
    server_config,
    service_config,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.examples import DOMAIN_A, DOMAINS_D, HOSTS, HOSTS_D, SERVICE_D, plan_a, plan_d

SECRET = "the shared key"
CLOUDFLARE, SMTP2GO = SERVICE_D["smarthosts"]
EDGE = {"provider": "edge", "edge": "vps1"}
#: An edge that nothing but the service uses, and one with a home behind it.
ALONE = {**HOSTS_D, "vps1": HOSTS["vps1"]}
SHARED = {**HOSTS_D, **HOSTS}
DOMAINS = ["ci.example.com", "example.com"]
RELAY = "172.29.25.11"


def plan(smarthosts: Any = ("edge",), domains: Any = None, hosts: Any = None, **changes: Any) -> MailPlan:
    return plan_d(domains, hosts or ALONE, smarthosts=list(smarthosts), **changes)


def contents(of: MailPlan, name: str, kind: str) -> list[str]:
    return [r.content for z in of.zones for r in z.records if (r.name, r.type) == (name, kind)]


def spf(of: MailPlan, name: str) -> str:
    (text,) = (t for t in contents(of, name, "TXT") if t.startswith("v=spf1"))
    return text


# -- the plan ------------------------------------------------------------------------------------------------------------


def test_an_edge_is_a_smarthost_at_the_tunnels_end_without_a_login() -> None:
    service = plan().submissions[0]
    (one,) = service.smarthosts
    assert (one.id, one.host, one.port, one.tls) == ("1-edge", RELAY, 2525, "none")
    assert (one.username, one.secret, one.edge, service.edge) == ("", "", "vps1", "vps1")
    assert service.relay_address == RELAY and RELAY not in NETWORK.values()
    assert service.applications[0].max_size == 10 * 1024**2
    larger = plan(limits={"max_size": "200MiB"}).submissions[0]
    assert larger.max_size == EDGE_SIZE - ADDED


def test_what_the_relay_takes_is_what_its_role_says() -> None:
    written = Path("roles/edge_relay/templates/main.cf.j2").read_text(encoding="utf-8")
    assert f"message_size_limit = {EDGE_SIZE}\n" in written


def test_an_edge_that_only_a_service_uses_is_complete() -> None:
    of = plan()
    (edge,) = of.edges
    assert (edge.host, edge.homes, edge.ports, list(edge.sender_domains)) == ("vps1", (), (), DOMAINS)
    assert [(p.address, p.name) for p in of.ptr] == [("198.18.1.10", "mail.example.com")]
    for name in (edge.mail_name, edge.relay_name):
        assert contents(of, name, "A") == ["198.18.1.10"] and contents(of, name, "TXT") == ["v=spf1 a -all"]
    # No server answers there, so nobody needs a certificate for it.
    assert not contents(of, edge.mail_name, "CAA") and of.homes == () and of.domains == ()
    # Its bounces are forwarded by whoever takes the domains' mail.
    assert contents(of, f"_dmarc.{edge.relay_name}", "TXT") == ["v=DMARC1; p=none"]


def test_receivers_are_told_that_the_edge_sends() -> None:
    for name in DOMAINS:
        text = spf(plan(), name)
        assert "ip4:198.18.1.10" in text and "include:_spf.mx.cloudflare.net" in text
        assert "ip4" not in spf(plan([SMTP2GO]), name)
    ipv6 = {**ALONE, "vps1": {**HOSTS["vps1"], "mail_host": {**HOSTS["vps1"]["mail_host"], "ipv6": "2001:2:0:2::10"}}}
    assert "ip6:2001:2:0:2::10" in spf(plan(hosts=ipv6), "example.com")
    chosen = {"a": {"addresses": "a@example.com"}, "ci": {"addresses": "b@ci.example.com", "smarthosts": "smtp2go"}}
    some = plan([SMTP2GO, EDGE], senders=chosen)
    assert "ip4" in spf(some, "example.com") and "ip4" not in spf(some, "ci.example.com")
    assert some.edges[0].sender_domains == ("example.com",)


def test_mailboxes_at_a_provider_are_sent_for_as_well() -> None:
    hosted = {"name": "example.com", "provider": "fastmail"}
    of = plan(domains=[hosted, DOMAINS_D[1]])
    assert "ip4:198.18.1.10" in spf(of, "example.com") and "include:" in spf(of, "example.com")


def test_beside_a_home_the_edge_keeps_all_that_it_has() -> None:
    ci = {"a": {"addresses": "a@ci.example.com"}}
    of = plan(domains=[DOMAIN_A, DOMAINS_D[1]], hosts=SHARED, senders=ci)
    (edge,), (before,) = of.edges, plan_a().edges
    assert (edge.homes, edge.ports) == (before.homes, before.ports)
    assert edge.sender_domains == (*before.sender_domains, "ci.example.com")
    assert spf(of, "example.com") == spf(plan_a(), "example.com")
    assert "ip4:198.18.1.10" in spf(of, "ci.example.com")


def test_another_edge_than_the_homes_is_listed_beside_it() -> None:
    second = {"groups": ["mail_edge"], "mail_host": {"name": "out.example.com", "ipv4": "198.18.1.11", "ptr": "manual"}}
    hosts = {**SHARED, "vps2": second}
    of = plan([{"provider": "edge", "edge": "vps2"}], [DOMAIN_A, DOMAINS_D[1]], hosts)
    assert spf(of, "example.com").startswith("v=spf1 ip4:198.18.1.10 ip4:198.18.1.11 ")
    assert [(e.host, bool(e.ports)) for e in of.edges] == [("vps1", True), ("vps2", False)]
    (why,) = (r.reason for z in of.zones for r in z.records if r.name == "example.com" and r.role == "spf")
    assert "alone" not in why
    # The home's edge lets no service in, and the service's no home.
    assert edge_config(of, "vps1", "/d", SECRET)["proxies"][0]["allowUsers"] == ["home"]
    assert edge_config(of, "vps2", "/d", SECRET)["proxies"][0]["allowUsers"] == ["service-notify"]


def test_a_service_that_goes_needs_no_edge() -> None:
    of = plan(state="absent")
    assert of.edges == () and of.ptr == () and "ip4" not in spf(of, "example.com")
    assert plan_filters.tunnel_clients(to_data(of)) == []


def test_the_policy_may_be_the_strictest_and_says_who_sends() -> None:
    of = plan()
    for routed in of.routing:
        assert routed.dmarc.policy == "reject" and "vps1" in routed.policy_why
        assert [s.title for s in routed.senders] == ["your own edge vps1"]
    text = show_plan(of, explain=True)
    for part in (
        "first through your own edge vps1, 172.29.25.11 port 2525",
        "  opens 7000 to the tunnel",
        "sends for ci.example.com, example.com",
        "no home is behind it",
        "Reverse record 198.18.1.10 → mail.example.com",
    ):
        assert part in text, part
    assert "nobody\n" not in text


# -- the tunnel ----------------------------------------------------------------------------------------------------------


def test_the_service_meets_the_relay_and_opens_nothing() -> None:
    of = plan()
    config = service_config(of, "lan-box", "/etc/mailstead/frpc", SECRET)
    (visitor,) = config["visitors"]
    edge = edge_config(of, "vps1", "/d", SECRET)
    (offered,) = edge["proxies"]
    assert "proxies" not in config
    assert (config["serverAddr"], config["serverPort"]) == ("198.18.1.10", 7000)
    assert config["transport"]["tls"]["serverName"] == "mail.example.com"
    assert visitor["serverName"] == offered["name"] and visitor["serverUser"] == edge["user"] == "vps1"
    assert visitor["secretKey"] == offered["secretKey"] == SECRET
    assert offered["allowUsers"] == [config["user"]] == ["service-notify"]
    assert (visitor["bindAddr"], visitor["bindPort"]) == (RELAY, 2525)


def test_an_edge_without_a_home_lets_nobody_open_a_port() -> None:
    server = server_config(plan(), "vps1", "/d")
    # To frps an empty list means every port, and 0 any number.
    assert server["allowPorts"] == [{"single": server["bindPort"]}] and server["maxPortsPerClient"] == 1


def test_home_and_service_are_let_in_side_by_side() -> None:
    of = plan(domains=[DOMAIN_A, DOMAINS_D[1]], hosts=SHARED)
    offered = edge_config(of, "vps1", "/d", SECRET)["proxies"][0]
    home = home_config(of, "home", "vps1", "/d", SECRET)
    assert offered["allowUsers"] == [home["user"], service_config(of, "lan-box", "/d", SECRET)["user"]]
    assert server_config(of, "vps1", "/d") == server_config(plan_a(), "vps1", "/d")


def test_a_service_without_an_edge_has_no_tunnel_to_one() -> None:
    for of, host in ((plan([SMTP2GO]), "lan-box"), (plan(), "app1")):
        with pytest.raises(MailsteadError, match="MS-PLAN-003"):
            service_config(of, host, "/d", SECRET)


def test_every_end_of_the_tunnel_has_a_certificate() -> None:
    both = to_data(plan(domains=[DOMAIN_A, DOMAINS_D[1]], hosts=SHARED))
    assert plan_filters.tunnel_clients(both) == ["home", "lan-box"]
    assert plan_filters.tunnel_clients(to_data(plan_a())) == ["home"]
    assert plan_filters.tunnel_clients(to_data(plan([SMTP2GO]))) == []
    assert [e["host"] for e in plan_filters.tunnel_ends(to_data(plan()))] == ["vps1"]
    made = plan_filters.tunnel_service(both, "lan-box", "/d", SECRET)
    assert made["user"] == "service-notify" and made == json.loads(json.dumps(made))


# -- the server ----------------------------------------------------------------------------------------------------------


def objects(of: MailPlan) -> list[dict[str, Any]]:
    return submission_objects(of.submissions[0])


def of_type(found: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [o for o in found if o["type"] == kind]


def test_the_server_hands_mail_to_the_tunnel_without_tls_and_to_nobody_else() -> None:
    found = objects(plan([EDGE, SMTP2GO]))
    edge, provider = of_type(found, "MtaRoute")
    assert edge["match"] == {"name": "1-edge"} and "secrets" not in edge
    assert (edge["properties"]["address"], edge["properties"]["port"]) == (RELAY, 2525)
    assert not {"authUsername", "authSecret"} & set(edge["properties"])
    assert provider["secrets"] and provider["properties"]["implicitTls"]
    strategies = {o["match"]["name"]: o["properties"]["startTls"] for o in of_type(found, "MtaTlsStrategy")}
    assert strategies == {"edge-tunnel": "disable", "relay-strict": "require"}
    (outbound,) = of_type(found, "MtaOutboundStrategy")
    assert outbound["properties"]["tls"] == {
        "match": [{"if": f"mx == '{RELAY}'", "then": "'edge-tunnel'"}],
        "else": "'relay-strict'",
    }
    plain = objects(plan([SMTP2GO]))
    assert of_type(plain, "MtaOutboundStrategy")[0]["properties"]["tls"] == {"match": [], "else": "'relay-strict'"}
    assert [o["match"]["name"] for o in of_type(plain, "MtaTlsStrategy")] == ["relay-strict"]


SMARTHOSTS = st.permutations([EDGE, SMTP2GO, CLOUDFLARE]).flatmap(
    lambda found: st.integers(1, 3).map(lambda number: found[:number])
)
INVENTORIES = st.sampled_from([(None, ALONE), ([DOMAIN_A, DOMAINS_D[1]], SHARED)])
CHOSEN = st.sampled_from([(), ("edge",), ("smtp2go",), ("smtp2go", "edge")])


@settings(max_examples=40, deadline=None)
@given(smarthosts=SMARTHOSTS, inventory=INVENTORIES, chosen=CHOSEN, bounces=st.booleans())
def test_what_holds_for_every_order_of_smarthosts(smarthosts: Any, inventory: Any, chosen: Any, bounces: bool) -> None:
    domains, hosts = inventory
    names = [s["provider"] for s in smarthosts]
    if domains and CLOUDFLARE in smarthosts:
        # Email Sending is set up for domains only whose mail Cloudflare takes.
        domains = None
    ci = {"addresses": "*@ci.example.com", "smarthosts": [c for c in chosen if c in names]}
    more = {"bounces": "postmaster@example.com"} if bounces else {}
    # At the queue applications with different smarthosts are told apart by their senders.
    ci.update({"bounces": "ops@ci.example.com"} if bounces else {})
    of = plan(smarthosts, domains, hosts, senders={"billing": "noreply@example.com", "ci": ci}, **more)
    assert from_data(MailPlan, json.loads(json.dumps(to_data(of)))) == of
    service = of.submissions[0]
    assert [s.provider for s in service.smarthosts] == names
    edge = next((e for e in of.edges if e.host == service.edge), None)
    assert (edge is not None) == ("edge" in names)
    ids = {s.id for s in service.smarthosts if s.edge}
    for application in (*service.applications, service.probe):
        assert application is not None
        path = application.return_path.rpartition("@")[2]
        for name in {*application.domains, path} - {""}:
            # Who may hand it to the edge is let in there, and receivers believe it.
            if ids & set(application.smarthosts):
                assert edge is not None and name in edge.sender_domains
                assert f"ip4:{edge.ipv4}" in spf(of, name)
    texts = [r.name for z in of.zones for r in z.records if r.content.startswith("v=spf1")]
    assert len(texts) == len(set(texts))
    wanted = filters.smarthosts_wanted(to_data(of), "lan-box", {s.secret: "x" for s in service.smarthosts})
    assert [w["id"] for w in wanted] == [s.id for s in service.smarthosts if not s.edge]
    assert "" not in filters.submission_secret_refs(to_data(of), "lan-box")
