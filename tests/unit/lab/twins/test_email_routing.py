# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Email Routing's switch: what enabling writes and locks, what unlocking leaves linked, what disabling takes away."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key

from lab.twins.cloudflare import Fault, Twin, TwinConfig
from lab.twins.cloudflare.config import ConfigError
from lab.twins.cloudflare.email.records import made_up_key
from lab.twins.cloudflare.errors import ApiError
from lab.twins.cloudflare.state import PublishError
from lab.twins.cloudflare.store import FileStore
from tests.unit.lab.twins.conftest import TOKEN, codes
from tests.unit.lab.twins.mail import MailApi, catch_all, literal, mail

SPF = '"v=spf1 include:_spf.mx.cloudflare.net ~all"'
DKIM = "cf2024-1._domainkey"
OWN_SPF = "v=spf1 ip4:198.18.1.10 -all"


def test_a_fresh_zone_is_unconfigured_and_drops() -> None:
    api = mail()
    settings = api.ok("GET", "{z}/email/routing")
    assert (settings["enabled"], settings["status"], settings["name"]) == (False, "unconfigured", "example.com")
    blank = api.ok("GET", "{z}/email/routing/rules/catch_all")
    assert (blank["enabled"], blank["actions"], blank["name"]) == (False, [{"type": "drop"}], "")


@pytest.mark.parametrize("body", [None, b"", {}, b"{}"])
def test_enabling_adds_and_locks_the_records(body: Any) -> None:
    api = mail()
    needed = api.ok("GET", "{z}/email/routing/dns")
    settings = api.ok("POST", "{z}/email/routing/dns", body)
    assert (settings["enabled"], settings["status"]) == (True, "ready")
    mx = api.of("MX")
    assert [r["content"] for r in mx] == [f"route{n}.mx.cloudflare.net" for n in (1, 2, 3)]
    assert [r["priority"] for r in mx] == [r["priority"] for r in needed if r["type"] == "MX"]
    assert [r["content"] for r in api.of("TXT")] == [SPF]
    assert len(api.of("TXT", DKIM)) == 1
    assert all(r["meta"] == {"email_routing": True, "read_only": True} for r in api.list())
    assert codes(api.create("MX", "@", "mail.example.com", priority=10)) == [890190]
    assert codes(api.one("PATCH", api.of("TXT")[0], {"content": OWN_SPF})) == [1046]
    assert codes(api.one("DELETE", api.of("TXT", DKIM)[0])) == [1046]


def test_preferences_are_the_zones_own() -> None:
    api, other = mail(), MailApi(mail().twin, zone="example.org")
    found = [
        [r["priority"] for r in each.ok("GET", "{z}/email/routing/dns") if "priority" in r] for each in (api, other)
    ]
    assert found[0] != found[1] and all(len(set(each)) == 3 and min(each) > 0 for each in found)


def test_listing_and_report_show_the_same_needs() -> None:
    api = mail()
    listed = api.ok("GET", "{z}/email/routing/dns")
    api.twin.reconfigure_email(dns_shape="report")
    report = api.ok("GET", "{z}/email/routing/dns")
    assert report["record"] == listed and listed[0]["content"] == "route1.mx.cloudflare.net."
    assert [e["code"] for e in report["errors"]] == ["mx.missing"] * 3 + ["spf.missing", "dkim.missing"]
    assert [e["missing"] for e in report["errors"]] == listed
    api.routing("POST", "/dns")
    assert api.ok("GET", "{z}/email/routing/dns") == {"record": listed, "errors": []}


def test_settings_change_only_what_they_hold() -> None:
    api = mail()
    changed = api.ok("PATCH", "{z}/email/routing", {"support_subaddress": True, "enabled": True})
    assert (changed["support_subaddress"], changed["enabled"]) == (True, False)
    assert api.ok("PUT", "{z}/email/routing", {"skip_wizard": True})["skip_wizard"] is True
    assert codes(api.routing("PATCH", "", {"status": "ready"})) == [2007]
    assert codes(api.routing("PATCH", "", {"skip_wizard": "yes"})) == [2007]
    api.routing("POST", "/dns")
    assert api.ok("PATCH", "{z}/email/routing", {"enabled": False})["enabled"] is True


def test_foreign_mx_is_refused_or_stays_beside() -> None:
    api = mail(records=[{"type": "MX", "name": "@", "content": "mx.provider.example", "priority": 10}])
    before = api.list()
    refused = api.routing("POST", "/dns")
    assert (refused.status, codes(refused)) == (409, [2008]) and "mx.provider.example" in refused.json["errors"][0][
        "message"
    ]
    assert api.list() == before and api.status() == "unconfigured"
    api.twin.reconfigure_email(foreign_mx="beside")
    api.routing("POST", "/dns")
    assert len(api.of("MX")) == 4 and api.status() == "misconfigured/locked" and api.wrong() == ["mx.foreign"]


@pytest.mark.parametrize(
    ("mode", "texts", "status", "wrong"),
    [
        ("replace", [SPF], "ready", []),
        ("beside", [OWN_SPF, SPF], "misconfigured/locked", ["spf.multiple", "spf.foreign"]),
        ("keep", [OWN_SPF], "misconfigured/locked", ["spf.foreign", "spf.missing"]),
    ],
)
def test_an_spf_record_that_was_there(mode: str, texts: list[str], status: str, wrong: list[str]) -> None:
    verification = {"type": "TXT", "name": "@", "content": "site=1"}
    api = mail({"spf": mode}, records=[{"type": "TXT", "name": "@", "content": OWN_SPF}, verification])
    api.routing("POST", "/dns")
    assert [r["content"] for r in api.of("TXT") if "spf1" in r["content"]] == texts
    assert len(api.of("TXT")) == len(texts) + 1
    assert (api.status(), api.wrong()) == (status, wrong)


def test_a_merged_record_is_right_where_it_is_kept() -> None:
    merged = "v=spf1 ip4:198.18.1.10 include:_spf.mx.cloudflare.net ~all"
    api = mail({"spf": "keep"}, records=[{"type": "TXT", "name": "@", "content": merged}])
    api.routing("POST", "/dns")
    assert (api.status(), [r["content"] for r in api.of("TXT")]) == ("ready", [merged])
    assert api.of("TXT")[0]["meta"] == {}


def test_unlocked_records_can_be_edited_and_still_go_with_the_service() -> None:
    api = mail()
    api.routing("POST", "/dns")
    assert api.ok("PATCH", "{z}/email/routing/dns")["status"] == "unlocked"
    assert api.create("MX", "@", "mail.example.com", priority=5).status == 200
    first, spf = api.of("MX")[0], api.of("TXT")[0]
    assert api.one("PATCH", first, {"name": "moved", "content": "else.example.com"}).status == 200
    assert (
        api.one("PATCH", spf, {"content": "v=spf1 ip4:198.18.1.10 include:_spf.mx.cloudflare.net -all"}).status == 200
    )
    assert api.one("DELETE", api.of("TXT", DKIM)[0]).status == 200
    assert api.status() == "misconfigured"
    gone = api.ok("DELETE", "{z}/email/routing/dns")
    assert sorted(r["name"] for r in gone) == ["example.com"] * 3 + ["moved.example.com"]
    assert [(r["type"], r["content"]) for r in api.list()] == [("MX", "mail.example.com")]
    assert api.status() == "unconfigured"


def test_enabling_again_repairs_and_locks() -> None:
    api = mail()
    api.routing("POST", "/dns")
    api.routing("PATCH", "/dns")
    merged = '"v=spf1 ip4:198.18.1.10 include:_spf.mx.cloudflare.net ~all"'
    api.one("PATCH", api.of("TXT")[0], {"content": merged})
    api.one("DELETE", api.of("MX")[1])
    assert api.wrong() == ["mx.missing"] and api.status() == "misconfigured"
    assert api.ok("POST", "{z}/email/routing/dns")["status"] == "ready"
    assert len(api.of("MX")) == 3 and [r["content"] for r in api.of("TXT")] == [merged]
    assert all(r["meta"]["read_only"] for r in api.list())
    # Enabling what is enabled changes nothing.
    before = api.list()
    api.routing("POST", "/dns")
    assert api.list() == before


@pytest.mark.parametrize(("mode", "left"), [("replace", [SPF]), ("beside", [OWN_SPF, SPF]), ("keep", [OWN_SPF])])
def test_an_spf_record_that_lost_the_services_include(mode: str, left: list[str]) -> None:
    api = mail({"spf": mode})
    api.routing("POST", "/dns")
    api.routing("PATCH", "/dns")
    api.one("PATCH", api.of("TXT")[0], {"content": OWN_SPF})
    api.routing("POST", "/dns")
    assert [r["content"] for r in api.of("TXT")] == left
    api.routing("DELETE", "/dns")
    assert api.list() == []


def test_records_of_the_service_made_by_hand_are_taken_over() -> None:
    api = mail()
    for record in api.ok("GET", "{z}/email/routing/dns"):
        if record["type"] == "MX":
            api.made("MX", "@", record["content"], priority=1)
    api.routing("POST", "/dns")
    assert [r["priority"] for r in api.of("MX")] == [1, 1, 1] and api.status() == "ready"
    api.routing("DELETE", "/dns")
    assert api.list() == []


def test_sub_domains_go_on_and_off_by_name() -> None:
    api = mail()
    api.made("MX", "@", "mail.example.com", priority=10)
    settings = api.ok("POST", "{z}/email/routing/dns", {"name": "lists.example.com"})
    assert (settings["enabled"], settings["status"]) == (True, "misconfigured")
    assert len(api.of("MX", "lists")) == 3 and len(api.of("TXT", f"{DKIM}.lists")) == 1
    assert codes(api.create("MX", "lists", "mail.example.com", priority=1)) == [890190]
    assert api.create("MX", "@", "mail2.example.com", priority=20).status == 200
    needed = api.ok("GET", "{z}/email/routing/dns", query="subdomain=lists.example.com")
    assert needed[0]["name"] == "lists.example.com"
    api.routing("PATCH", "/dns", {"name": "lists.example.com"})
    assert api.twin.email("example.com").domains == {"lists.example.com": False}
    gone = api.ok("DELETE", "{z}/email/routing/dns", {"name": "lists.example.com"})
    assert len(gone) == 5 and len(api.list()) == 2 and api.status() == "unconfigured"


def test_disabling_without_a_name_ends_every_domain_and_clears_twice() -> None:
    api = mail()
    api.routing("POST", "/dns")
    api.routing("POST", "/dns", {"name": "lists.example.com"})
    assert len(api.ok("DELETE", "{z}/email/routing/dns")) == 10
    assert api.ok("DELETE", "{z}/email/routing/dns") == [] and api.list() == []


def test_disabling_clears_locked_records_left_behind() -> None:
    api = mail()
    left = api.made("TXT", DKIM, "v=DKIM1; p=")
    api.ok("POST", "{z}/email/sending/subdomains", {"name": "example.com"})
    api.twin.zone("example.com").set_meta(left["id"], email_routing=True, read_only=True)
    assert [r["name"] for r in api.ok("DELETE", "{z}/email/routing/dns")] == [f"{DKIM}.example.com"]
    assert len(api.list()) == 6


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"name": "example.com"}, 2007),
        ({"name": "@"}, 2007),
        ({"name": "lists.example.org"}, 2062),
        ({"name": 1}, 2007),
        ({"domain": "example.com"}, 2007),
        ([], 2007),
    ],
)
def test_bodies_that_are_refused(body: Any, code: int) -> None:
    api = mail()
    assert codes(api.routing("POST", "/dns", body)) == [code] and api.list() == []


def test_what_is_not_enabled_cannot_be_unlocked_or_disabled_by_name() -> None:
    api = mail()
    assert codes(api.routing("PATCH", "/dns")) == [2034]
    assert codes(api.routing("DELETE", "/dns", {"name": "lists.example.com"})) == [2034]


def test_the_zones_own_name_where_the_service_takes_it() -> None:
    api = mail({"apex_name": "accept"})
    assert api.ok("POST", "{z}/email/routing/dns", {"name": "example.com"})["status"] == "ready"
    assert mail().ok("GET", "{z}/email/routing/dns", query="subdomain=example.com")[0]["type"] == "MX"


def test_a_zone_has_thirty_mail_domains() -> None:
    api = mail()
    for n in range(28):
        api.ok("POST", "{z}/email/routing/dns", {"name": f"d{n}.example.com"})
    api.ok("POST", "{z}/email/sending/subdomains", {"name": "example.com"})
    api.ok("POST", "{z}/email/routing/dns")
    assert api.ok("POST", "{z}/email/routing/dns", {"name": "last.example.com"})["enabled"]
    assert codes(api.routing("POST", "/dns", {"name": "more.example.com"})) == [2025]
    assert codes(api.at("POST", "{z}/email/sending/subdomains", {"name": "more.example.com"})) == [2025]
    assert api.routing("POST", "/dns", {"name": "d0.example.com"}).status == 200


def test_deprecated_endpoints_work_and_are_remembered() -> None:
    api = mail()
    assert api.ok("POST", "{z}/email/routing/enable", {})["status"] == "ready"
    assert api.ok("POST", "{z}/email/routing/unlock", {})["status"] == "unlocked"
    assert api.ok("POST", "{z}/email/routing/disable", {})["status"] == "unconfigured"
    path = f"/zones/{api.zone_id}/email/routing"
    assert api.twin.email("example.com").deprecated == [
        f"POST {path}/{word}" for word in ("enable", "unlock", "disable")
    ]
    api.routing("POST", "/dns")
    assert len(api.twin.email("example.com").deprecated) == 3


def test_tokens_that_do_not_reach_the_records() -> None:
    api = mail({"dns_for_tokens": False})
    assert [codes(api.routing(method, "/dns")) for method in ("GET", "POST", "PATCH", "DELETE")] == [[10000]] * 4
    assert api.ok("POST", "{z}/email/routing/enable", {})["status"] == "ready"


def test_every_part_needs_its_permission() -> None:
    needs = {
        "Zone Settings:Edit": [("POST", "{z}/email/routing/dns"), ("PATCH", "{z}/email/routing")],
        "Zone Settings:Read": [("GET", "{z}/email/routing"), ("GET", "{z}/email/routing/dns")],
        "Email Routing Rules:Read": [("GET", "{z}/email/routing/rules"), ("GET", "{a}/email/routing/rules")],
        "Email Routing Rules:Edit": [("POST", "{z}/email/routing/rules"), ("PUT", "{z}/email/routing/rules/catch_all")],
        "Email Routing Addresses:Read": [("GET", "{a}/email/routing/addresses")],
        "Email Routing Addresses:Edit": [("POST", "{a}/email/routing/addresses")],
        "Workers Scripts:Read": [("GET", "{a}/workers/scripts")],
        "Workers Scripts:Edit": [("DELETE", "{a}/workers/scripts/x")],
        "Email Sending:Read": [("GET", "{z}/email/sending/subdomains"), ("GET", "{a}/email/sending/suppressions")],
        "Email Sending:Edit": [("POST", "{z}/email/sending/subdomains"), ("POST", "{a}/email/sending/suppressions")],
        "Account Settings:Read": [("GET", "{a}/logs/audit"), ("GET", "{a}/audit_logs")],
    }
    for scope, calls in needs.items():
        others = [s for s in needs if not s.startswith(scope.rpartition(":")[0])]
        tokens = [{"token": TOKEN, "scopes": [scope]}, {"token": "o" * 40, "scopes": others}]
        one = Twin(TwinConfig.from_data({"zones": [{"name": "example.com"}], "tokens": tokens}))
        for method, path in calls:
            assert 10000 not in codes(MailApi(one).at(method, path)), path
            assert codes(MailApi(one, "o" * 40).at(method, path)) == [10000], path
            if scope.endswith("Edit"):
                reading = [{"token": TOKEN, "scopes": [scope.replace("Edit", "Read")]}]
                reader = Twin(TwinConfig.from_data({"zones": [{"name": "example.com"}], "tokens": reading}))
                assert codes(MailApi(reader).at(method, path)) == [10000], path


def test_a_lost_answer_leaves_the_records_enabled() -> None:
    api = mail()
    api.twin.faults.add(Fault("drop_after", method="POST", path="/email/routing/dns"))
    with pytest.raises(ConnectionError):
        api.routing("POST", "/dns")
    assert api.status() == "ready"
    api.twin.faults.add(Fault("drop_before", method="DELETE", path="/email/routing/dns"))
    with pytest.raises(ConnectionError):
        api.routing("DELETE", "/dns")
    assert api.status() == "ready"


def test_a_change_that_cannot_be_published_is_not_made() -> None:
    class Broken:
        def publish(self, *_: object) -> None:
            raise PublishError("no")

        def key_of(self, _zone: object) -> None:
            return None

    config = TwinConfig.from_data(
        {"zones": [{"name": "example.com"}], "tokens": [{"token": TOKEN, "scopes": ["Zone Settings:Edit", "DNS:Edit"]}]}
    )
    api = MailApi(Twin(config, publisher=Broken()))
    assert codes(api.routing("POST", "/dns")) == [10001]
    assert api.list() == [] and api.status() == "unconfigured"


def test_everything_survives_a_restart(tmp_path: Any) -> None:
    first = mail()
    config, store = first.twin.config, FileStore(tmp_path)
    first = MailApi(Twin(config, store=store, load=store.load, account_store=store))
    first.routing("POST", "/dns")
    first.routing("PATCH", "/dns")
    first.ok("POST", "{z}/email/routing/rules", literal("a@example.com", name="x"))
    first.ok("PUT", "{z}/email/routing/rules/catch_all", catch_all("forward", enabled=True))
    first.ok("POST", "{a}/email/routing/addresses", {"email": "new@gmail.example"})
    first.ok("POST", "{z}/email/sending/subdomains", {"name": "example.com"})
    first.twin.email("example.com").statistics([{"status": "delivered"}])
    second = MailApi(Twin(config, store=store, load=store.load, account_store=store))
    for path in ("{z}/email/routing", "{z}/email/routing/rules", "{z}/email/sending/subdomains"):
        assert second.ok("GET", path) == first.ok("GET", path)
    assert second.twin.destinations == first.twin.destinations and len(second.twin.outbox) == 1
    assert [e.id for e in second.twin.audit] == [e.id for e in first.twin.audit]
    assert second.twin.zone("example.com").mail.events == first.twin.zone("example.com").mail.events
    assert len(second.ok("DELETE", "{z}/email/routing/dns")) == 5


def test_a_test_can_do_what_the_service_does() -> None:
    api = mail()
    zone = api.twin.email("example.com")
    zone.enable("lists.example.com")
    zone.enable()
    zone.unlock()
    assert zone.domains == {"lists.example.com": True, "example.com": False}
    assert sorted(set(zone.disable("lists.example.com"))) == [f"{DKIM}.lists.example.com", "lists.example.com"]
    with pytest.raises(ApiError, match="2034"):
        zone.unlock("lists.example.com")
    assert zone.worker("none") is None


def test_options_are_checked() -> None:
    with pytest.raises(ConfigError, match=r"config\.email\.spf: 'merge' is none of replace, beside, keep"):
        mail({"spf": "merge"})
    with pytest.raises(ValueError, match="dns_shape"):
        mail().twin.reconfigure_email(dns_shape="table")


def test_a_status_from_outside() -> None:
    api = mail()
    api.routing("POST", "/dns")
    api.twin.email("example.com").set_status("misconfigured")
    assert api.status() == "misconfigured"
    api.twin.email("example.com").set_status("")
    assert api.status() == "ready"


@pytest.mark.parametrize(("state", "status"), [("off", "unconfigured"), ("unlocked", "unlocked"), ("locked", "ready")])
def test_zones_can_start_with_it(state: str, status: str) -> None:
    api = mail(email_routing=state)
    assert api.status() == status and len(api.list()) == (0 if state == "off" else 5)
    zone = api.twin.zone("example.com")
    zone.reconfigure(email_routing="locked")
    assert api.status() == "ready"
    zone.reconfigure(email_routing="off")
    assert api.list() == [] and api.status() == "unconfigured"


def test_dns_serves_a_key_of_the_labs_choice() -> None:
    api = mail({"dkim_public_key": "QUJD"})
    api.routing("POST", "/dns")
    assert api.of("TXT", DKIM)[0]["content"] == '"v=DKIM1; h=sha256; k=rsa; p=QUJD"'


def test_the_made_up_key_is_an_rsa_key() -> None:
    key = load_der_public_key(base64.b64decode(made_up_key("routing", "example.com")))
    assert isinstance(key, RSAPublicKey) and key.key_size == 2048
    assert made_up_key("a") != made_up_key("b")
