"""The filters: each is documented, returns plain types, and says what was wrong in the user's terms."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleFilterError
from ansible_collections.mailstead.stack.plugins.filter import dns as dns_filters
from ansible_collections.mailstead.stack.plugins.filter import plan as filters
from ansible_collections.mailstead.stack.plugins.module_utils.intent.read import read_intent
from ansible_collections.mailstead.stack.plugins.module_utils.plan.build import build_plan
from ansible_collections.mailstead.stack.plugins.module_utils.plan.model import to_data

from tests.unit.examples import DOMAIN_A, HOSTS, OPERATOR, plan_a, raw

FOLDER = Path(__file__).parents[3] / "plugins/filter"
PLAN: dict[str, Any] = to_data(plan_a())
RFC2136 = {
    "provider": "rfc2136",
    "server": "ns.example.org",
    "zone": "1.18.198.in-addr.arpa",
    "key_name": "k",
    "secret": "hush",
}


def plan_with_ptr() -> dict[str, Any]:
    host = {**HOSTS["vps1"], "mail_host": {**HOSTS["vps1"]["mail_host"], "ptr": RFC2136}}
    data: dict[str, Any] = to_data(build_plan(read_intent(raw(hosts={**HOSTS, "vps1": host}))))
    return data


def test_every_filter_is_documented_and_nothing_else_is() -> None:
    prefix = filters.__name__.rpartition(".")[0]
    offered: set[str] = set()
    for path in FOLDER.glob("*.py"):
        offered |= set(importlib.import_module(f"{prefix}.{path.stem}").FilterModule().filters())
    assert {p.stem for p in FOLDER.glob("*.yml")} == offered
    for path in FOLDER.glob("*.yml"):
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert data["DOCUMENTATION"]["name"] == path.stem
        assert data["DOCUMENTATION"]["short_description"] and data["RETURN"]["_value"]["description"]


def test_zones_wanted_through_a_phase() -> None:
    zones = filters.zones_wanted(PLAN, {}, "identity")
    assert [z["name"] for z in zones] == ["example.com"]
    assert json.loads(json.dumps(zones)) == zones
    assert {"name", "type", "content", "ttl", "phase", "role", "reason"} == set(zones[0]["records"][0])
    # The full set goes to the reconciler, or it would take away what a later phase has published.
    assert {r["type"] for r in zones[0]["records"]} >= {"MX", "SRV", "TXT", "A"}


def test_the_hosts_of_the_zones_and_what_opens_them() -> None:
    own = {"provider": "rfc2136", "server": "ns.example.net", "key_name": "k", "secret": "hush"}
    domains = [{**DOMAIN_A, "name": f"example.{top}", "accounts": ["me"]} for top in ("com", "net", "org")]
    dns = [{"provider": "cloudflare", "token": "hush"}, {**own, "zones": ["example.net", "example.org"]}]
    plan: dict[str, Any] = to_data(build_plan(read_intent(raw(domains=domains, operator={**OPERATOR, "dns": dns}))))
    cloudflare = {"provider": "cloudflare", "secret": "mail_operator.dns[0].token", "zones": ["example.com"]}
    ours = {
        "provider": "rfc2136",
        "secret": "mail_operator.dns[1].secret",
        "server": "ns.example.net",
        "port": 53,
        "key_name": "k",
        "key_algorithm": "hmac-sha256",
        "zones": ["example.net", "example.org"],
    }
    assert dns_filters.dns_hosts(plan) == [cloudflare, ours]
    assert dns_filters.dns_hosts(plan, "rfc2136") == [ours]
    assert dns_filters.dns_secret_refs(plan) == ["mail_operator.dns[0].token", "mail_operator.dns[1].secret"]
    assert dns_filters.dns_secret_refs(PLAN) == ["mail_operator.dns.token"]
    assert [z["provider"] for z in filters.zones_wanted(plan, {}, "identity")] == ["cloudflare", "rfc2136", "rfc2136"]


def test_the_inventory_says_what_becomes_of_others_records() -> None:
    zones = filters.zones_wanted(PLAN, {}, "identity")
    (zone,) = dns_filters.foreign_policies(zones, {"Example.com.": {"mx": "replace"}, "example.org": {"mx": "merge"}})
    assert zone == {**zones[0], "foreign": {**zones[0]["foreign"], "mx": "replace"}}
    assert zones[0]["foreign"]["mx"] == "fail" and dns_filters.foreign_policies(zones, {}) == zones


def test_zones_wanted_names_what_is_missing() -> None:
    with pytest.raises(AnsibleFilterError, match=r"\[MS-PLAN-001\].*example\.com"):
        filters.zones_wanted(PLAN, {}, "keys")
    with pytest.raises(AnsibleFilterError, match=r"\[MS-PLAN-002\] never"):
        filters.zones_wanted(PLAN, {}, "never")


def test_dkim_wanted_is_for_its_home_alone() -> None:
    assert filters.dkim_wanted(PLAN, "home") == [
        {"domain": "example.com", "algorithm": "rsa-2048", "selector": "%Y%m"},
        {"domain": "example.com", "algorithm": "ed25519", "selector": "%Y%m"},
    ]
    assert filters.dkim_wanted(PLAN, "vps1") == []


def answer(validated: bool) -> dict[str, Any]:
    return {"observations": [{"data": {"answers": {"example.com SOA": {"ad": validated}}}}]}


@pytest.mark.parametrize(("validated", "signed"), [(True, ["example.com"]), (False, [])])
def test_dns_facts_come_from_what_the_hosts_reported(validated: bool, signed: list[str]) -> None:
    key = {"domain": "example.com", "algorithm": "rsa-2048", "selector": "202611r", "txt": "v=DKIM1; p=QUJD"}
    hostvars = {
        "home": {"dkim_result": {"keys": [key]}, "tls_result": {"spki_sha256": "ab" * 32}},
        "vps1": {"dns_signed": answer(validated)},
    }
    facts = filters.dns_facts(PLAN, hostvars)
    assert facts == {"dkim": [key], "spki": {"mail.example.com": "ab" * 32}, "signed": signed}


def test_dns_facts_of_hosts_that_reported_nothing() -> None:
    assert filters.dns_facts(PLAN, {"home": {}, "vps1": {}}) == {"dkim": [], "spki": {}, "signed": []}


def test_reverse_records_carry_their_secret_only_when_asked() -> None:
    plan = plan_with_ptr()
    reference = "hosts.vps1.mail_host.ptr.secret"
    assert filters.ptr_secret_refs(plan) == [reference]
    wanted = filters.ptr_wanted(plan, {reference: "hush"})[0]
    assert wanted["secret"] == "hush" and "secret" not in wanted["options"]
    assert (wanted["address"], wanted["name"]) == ("198.18.1.10", "mail.example.com")
    assert filters.ptr_secret_refs(PLAN) == [] and filters.ptr_wanted(PLAN, {})[0]["secret"] is None


def test_the_ends_of_the_tunnel() -> None:
    assert filters.tunnel_ends(PLAN) == [
        {"host": "vps1", "name": "mail.example.com", "addresses": ["198.18.1.10", "127.0.0.1"]}
    ]
    assert filters.tunnel_server(PLAN, "vps1", "/d")["bindPort"] == 7000
    assert filters.tunnel_home(PLAN, "home", "vps1", "/d", "s")["user"] == "home"
    assert filters.tunnel_relay(PLAN, "vps1", "/d", "s")["user"] == "vps1"


def test_the_plan_for_people() -> None:
    text = filters.plan_text(PLAN)
    assert "Domain example.com" in text and "198.18.1.10 → mail.example.com by manual" in text
    assert "Why" not in text and "[default]" in filters.plan_text(PLAN, explain=True)
