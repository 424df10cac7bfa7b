# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Routing rules and destinations: what bodies may hold, who may be forwarded to, which rule a recipient meets."""

from __future__ import annotations

from typing import Any

import pytest

from lab.twins.cloudflare import Twin, TwinConfig
from tests.unit.lab.twins.conftest import BASE, TOKEN, codes
from tests.unit.lab.twins.mail import GMAIL, MailApi, catch_all, form, literal, mail

RULES = "{z}/email/routing/rules"
ADDRESSES = "{a}/email/routing/addresses"


def worker(api: MailApi, name: str = "filter") -> str:
    """Upload a script; gives its tag."""
    metadata = '{"main_module": "w.mjs", "compatibility_date": "2026-11-01"}'
    kind, body = form(
        {"metadata": ("application/json", metadata), "w.mjs": ("application/javascript+module", "export")}
    )
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": kind}
    answer = api.twin.handle("PUT", f"{BASE}{api.account}/workers/scripts/{name}", "", headers, body)
    assert answer.status == 200, answer.json
    return str(answer.json["result"]["tag"])


# -- rules -------------------------------------------------------------------------------------------------------------


def test_a_rule_comes_back_as_it_was_written() -> None:
    api = mail()
    made = api.ok("POST", RULES, literal("Hi@example.com", name="mailstead:home hi", priority=3, enabled=False))
    assert made["matchers"] == [{"type": "literal", "field": "to", "value": "Hi@example.com"}]
    assert made["actions"] == [{"type": "forward", "value": [GMAIL]}]
    assert (made["name"], made["priority"], made["enabled"], made["source"]) == ("mailstead:home hi", 3, False, "api")
    assert api.ok("GET", f"{RULES}/{made['id']}") == made
    assert api.twin.email("example.com").rule("hi@example.com") == made
    # A client may send the whole rule back.
    assert api.ok("PUT", f"{RULES}/{made['id']}", {**made, "enabled": True})["enabled"] is True


def test_put_resets_what_is_not_given() -> None:
    api = mail()
    made = api.ok("POST", RULES, literal("a@example.com", name="n", priority=3, enabled=False))
    changed = api.ok("PUT", f"{RULES}/{made['id']}", literal("b@example.com", "drop"))
    assert (changed["name"], changed["priority"], changed["enabled"]) == ("", 0, True)
    assert changed["actions"] == [{"type": "drop"}] and changed["id"] == made["id"]
    assert api.ok("DELETE", f"{RULES}/{made['id']}") == changed
    assert codes(api.at("GET", f"{RULES}/{made['id']}")) == [2022]


TWO = {"type": "drop"}


@pytest.mark.parametrize(
    ("body", "status", "code", "says"),
    [
        ({**literal("a@example.com"), "actions": [TWO, TWO]}, 422, 2007, "only one action per rule"),
        ({**literal("a@example.com"), "actions": []}, 422, 2007, "actions"),
        ({**literal("a@example.com"), "actions": [{"type": "forward"}]}, 422, 2007, "exactly one destination"),
        (
            {**literal("a@example.com"), "actions": [{"type": "forward", "value": [GMAIL, GMAIL]}]},
            422,
            2007,
            "exactly one",
        ),
        ({**literal("a@example.com"), "actions": [{"type": "worker"}]}, 422, 2007, "must specify worker id"),
        ({**literal("a@example.com"), "actions": [{"type": "bounce"}]}, 422, 2007, "forward, worker or drop"),
        ({**literal("a@example.com"), "matchers": []}, 422, 2007, "exactly one matcher"),
        ({**literal("a@example.com"), "matchers": literal("b@example.com")["matchers"] * 2}, 422, 2007, "one matcher"),
        (
            {**literal("a@example.com"), "matchers": [{"type": "regex", "field": "to", "value": ".*"}]},
            422,
            2007,
            "literal",
        ),
        (
            {**literal("a@example.com"), "matchers": [{"type": "literal", "field": "from", "value": "x@example.com"}]},
            422,
            2007,
            "field to",
        ),
        (literal("*@example.com"), 422, 2007, "patterns"),
        (literal("example.com"), 422, 2007, "email address"),
        (literal("a" * 80 + "@example.com"), 422, 2007, "email address"),
        (literal("a@example.net"), 400, 2062, "example.net"),
        (literal("a@example.com", priority=-1), 422, 2007, "priority"),
        (literal("a@example.com", enabled="yes"), 422, 2007, "enabled"),
        (literal("a@example.com", name="x" * 257), 422, 2007, "name"),
        (literal("a@example.com", description="x"), 422, 2007, "description"),
        (literal("a@example.com", source="terraform"), 422, 2007, "source"),
        (literal("a@example.com", source="wrangler"), 422, 2007, "owner_worker_tag"),
        (literal("a@example.com", "worker", "absent"), 404, 2016, "absent"),
        (catch_all(), 409, 2020, "Invalid rule operation"),
        ([], 422, 2007, "object"),
    ],
)
def test_rules_that_are_refused(body: Any, status: int, code: int, says: str) -> None:
    api = mail()
    answer = api.at("POST", RULES, body)
    assert (answer.status, codes(answer)) == (status, [code]) and says in answer.json["errors"][0]["message"]
    assert api.twin.email("example.com").rules == []


def test_a_forward_needs_a_verified_destination() -> None:
    api = mail()
    api.ok("POST", ADDRESSES, {"email": "new@gmail.example"})
    for body in (literal("a@example.com", target="new@gmail.example"), literal("a@example.com", target="no@x.example")):
        for enabled in (True, False):
            refused = api.at("POST", RULES, {**body, "enabled": enabled})
            assert (refused.status, codes(refused)) == (400, [2054])
    assert codes(api.at("PUT", f"{RULES}/catch_all", catch_all("forward", "new@gmail.example"))) == [2054]
    made = api.ok("POST", RULES, literal("a@example.com"))
    assert codes(api.at("PUT", f"{RULES}/{made['id']}", literal("a@example.com", target="new@gmail.example"))) == [2054]
    api.twin.click("new@gmail.example")
    assert api.ok("POST", RULES, literal("b@example.com", target="NEW@gmail.example"))["enabled"] is True


def test_or_stores_the_rule_disabled_as_older_documentation_says() -> None:
    api = mail({"unverified": "disable"})
    made = api.ok("POST", RULES, literal("a@example.com", target="new@gmail.example", enabled=True))
    assert made["enabled"] is False
    api.twin.add_destination("new@gmail.example", verified=False)
    api.twin.email("example.com").click("new@gmail.example")
    assert api.twin.email("example.com").rules[0]["enabled"] is False
    assert api.ok("PUT", f"{RULES}/{made['id']}", made | {"enabled": True})["enabled"] is True


def test_a_second_rule_for_an_address() -> None:
    api = mail()
    first = api.ok("POST", RULES, literal("a@example.com"))
    assert codes(api.at("POST", RULES, literal("A@example.com", "drop"))) == [2014]
    other = api.ok("POST", RULES, literal("b@example.com"))
    assert codes(api.at("PUT", f"{RULES}/{other['id']}", literal("a@example.com"))) == [2014]
    api.twin.reconfigure_email(duplicates="newest")
    second = api.ok("POST", RULES, literal("a@example.com", "drop"))
    zone = api.twin.email("example.com")
    api.routing("POST", "/dns")
    assert zone.rule("a@example.com") == second != first
    assert (zone.effective("a@example.com") or {})["rule"] == second["id"]


def test_a_domain_has_two_hundred_rules() -> None:
    api = mail()
    for n in range(200):
        api.twin.email("example.com").add_rule(f"r{n}@example.com")
    refused = api.at("POST", RULES, literal("one-more@example.com"))
    assert (refused.status, codes(refused)) == (409, [2021])
    assert api.ok("PUT", f"{RULES}/catch_all", catch_all(enabled=True))["enabled"] is True


def test_listings_have_the_catch_all_last_and_at_most_fifty() -> None:
    api = mail()
    for n in range(60):
        api.twin.email("example.com").add_rule(f"r{n}@example.com", enabled=bool(n % 2), priority=60 - n)
    page = api.at("GET", RULES, query="per_page=50&page=2").json
    assert page["result_info"] == {"page": 2, "per_page": 50, "count": 11, "total_count": 61, "total_pages": 2}
    assert page["result"][-1]["matchers"] == [{"type": "all"}]
    assert [r["matchers"][0]["value"] for r in page["result"][:2]] == ["r9@example.com", "r8@example.com"]
    assert api.at("GET", RULES).json["result_info"]["per_page"] == 20
    assert api.at("GET", RULES, query="per_page=51").status == 400
    assert api.at("GET", RULES, query="zone=x").status == 400
    assert len(api.ok("GET", RULES, query="enabled=true&per_page=50")) == 30
    api.twin.reconfigure_email(catch_all_listed=False)
    assert api.at("GET", RULES).json["result_info"]["total_count"] == 60


def test_the_accounts_listing_names_the_zones_and_only_those_of_the_token() -> None:
    zones = [{"name": "example.com"}, {"name": "example.org"}]
    scopes = ["Email Routing Rules:Edit"]
    tokens = [{"token": TOKEN, "scopes": scopes}, {"token": "o" * 40, "scopes": scopes, "zones": ["example.org"]}]
    config = TwinConfig.from_data({"zones": zones, "tokens": tokens, "email": {"catch_all_listed": False}})
    api = MailApi(Twin(config))
    api.ok("POST", RULES, literal("a@example.com", "drop"))
    MailApi(api.twin, zone="example.org").ok("POST", RULES, literal("b@example.org", "drop"))
    found = api.ok("GET", "{a}/email/routing/rules", query="per_page=50&page=1")
    assert [(r["zone"]["name"], r["zone"]["tag"] == api.zone_id) for r in found] == [
        ("example.com", True),
        ("example.org", False),
    ]
    other = MailApi(api.twin, "o" * 40, zone="example.org")
    assert [r["zone"]["name"] for r in other.ok("GET", "{a}/email/routing/rules")] == ["example.org"]


def test_rules_that_today_s_api_would_not_take() -> None:
    api = mail()
    two = literal("a@example.com")["matchers"] + literal("b@example.com")["matchers"]
    made = api.twin.email("example.com").add_rule("", "forward", GMAIL, matchers=two, priority=9)
    assert api.ok("GET", f"{RULES}/{made['id']}")["matchers"] == two
    api.routing("POST", "/dns")
    assert (api.twin.email("example.com").effective("a@example.com") or {})["problem"] == "no-rule"
    assert codes(api.at("GET", RULES, query="enabled=maybe")) == [2007]


def test_a_token_that_may_not_list_the_accounts_rules() -> None:
    api = mail({"account_rules": False})
    assert codes(api.at("GET", "{a}/email/routing/rules")) == [10000] and api.at("GET", RULES).status == 200


def test_the_catch_all_has_one_place() -> None:
    api = mail()
    blank = api.ok("GET", RULES)[0]
    for method, body in (("GET", None), ("PUT", literal("a@example.com")), ("DELETE", None)):
        assert codes(api.at(method, f"{RULES}/{blank['id']}", body)) == [2020]
    assert api.at("DELETE", f"{RULES}/catch_all").status == 405
    assert codes(api.at("PUT", f"{RULES}/catch_all", literal("a@example.com"))) == [2007]
    changed = api.ok("PUT", f"{RULES}/catch_all", catch_all("forward", name="mailstead:home", enabled=True))
    assert changed["id"] == blank["id"] and "priority" not in changed
    assert api.twin.email("example.com").catch_all == changed


def test_rules_of_wrangler_name_their_worker() -> None:
    api = mail()
    tag = worker(api)
    body = literal("a@example.com", "worker", "filter", source="wrangler")
    assert codes(api.at("POST", RULES, {**body, "owner_worker_tag": "x"})) == [2007]
    assert api.ok("POST", RULES, {**body, "owner_worker_tag": tag})["source"] == "wrangler"


# -- what happens to mail ----------------------------------------------------------------------------------------------


def test_which_rule_a_recipient_meets() -> None:
    api = mail()
    zone = api.twin.email("example.com")

    def act(recipient: str) -> tuple[str, str, str]:
        found = zone.effective(recipient) or {"action": "", "target": "", "problem": "not served"}
        return (found["action"], found["target"], found["problem"])

    api.ok("POST", RULES, literal("hi@example.com"))
    api.ok("POST", RULES, literal("hi+exact@example.com", "drop"))
    api.ok("POST", RULES, literal("off@example.com", enabled=False))
    assert act("hi@example.com") == ("", "", "not served")
    zone.enable()
    assert act("HI@Example.com") == ("forward", GMAIL, "")
    assert act("hi+list@example.com") == ("reject", "", "no-rule")
    assert act("hi@lists.example.com") == ("", "", "not served")
    api.ok("PATCH", "{z}/email/routing", {"support_subaddress": True})
    assert act("hi+list@example.com") == ("forward", GMAIL, "")
    assert act("hi+exact@example.com") == ("drop", "", "")
    assert act("off@example.com") == ("reject", "", "no-rule")
    worker(api)
    api.ok("PUT", f"{RULES}/catch_all", catch_all("worker", "filter", enabled=True))
    assert act("off@example.com") == ("worker", "filter", "")
    api.twin.rename_worker("filter", "sieve")
    assert act("other@example.com") == ("reject", "filter", "no-worker")
    assert api.twin.worker("filter") is None and api.twin.worker("sieve") is not None
    gmail = api.twin.destinations[GMAIL]
    assert api.ok("PATCH", f"{ADDRESSES}/{gmail.id}", {"status": "unverified"})["verified"] is None
    assert act("hi@example.com") == ("reject", GMAIL, "unverified")


# -- destinations ------------------------------------------------------------------------------------------------------


def test_a_destination_waits_for_a_click() -> None:
    api = mail()
    made = api.ok("POST", ADDRESSES, {"email": "New@gmail.example"})
    assert made["verified"] is None
    assert [(m["to"], m["kind"]) for m in api.twin.outbox] == [("New@gmail.example", "verify-destination")]
    assert [d["email"] for d in api.ok("GET", ADDRESSES)] == [GMAIL]
    assert [d["email"] for d in api.ok("GET", ADDRESSES, query="verified=false")] == ["New@gmail.example"]
    assert api.ok("POST", ADDRESSES, {"email": "new@gmail.example"})["id"] == made["id"] and len(api.twin.outbox) == 2
    api.twin.click("new@gmail.example")
    assert api.ok("GET", f"{ADDRESSES}/{made['id']}")["verified"] is not None
    assert [d["email"] for d in api.ok("GET", ADDRESSES, query="direction=desc")] == ["New@gmail.example", GMAIL]
    api.ok("POST", ADDRESSES, {"email": "new@gmail.example"})
    assert len(api.twin.outbox) == 2
    with pytest.raises(KeyError):
        api.twin.click("nobody@gmail.example")


def test_only_people_verify() -> None:
    api = mail()
    made = api.ok("POST", ADDRESSES, {"email": "new@gmail.example"})
    assert codes(api.at("PATCH", f"{ADDRESSES}/{made['id']}", {"status": "verified"})) == [10000]
    assert codes(api.at("PATCH", f"{ADDRESSES}/{made['id']}", {"status": "waiting"})) == [2007]
    api.twin.click("new@gmail.example")
    assert api.ok("PATCH", f"{ADDRESSES}/{made['id']}", {"status": "verified"})["verified"] is not None


def test_deleting_a_destination_disables_its_rules_without_a_word() -> None:
    api = mail()
    api.ok("POST", RULES, literal("a@example.com", target=GMAIL.upper()))
    api.ok("POST", RULES, literal("b@example.com", "drop"))
    api.ok("PUT", f"{RULES}/catch_all", catch_all("forward", enabled=True))
    gone = api.ok("DELETE", f"{ADDRESSES}/{api.twin.destinations[GMAIL].id}")
    assert gone["email"] == GMAIL
    zone = api.twin.email("example.com")
    assert [r["enabled"] for r in zone.rules] == [False, True] and zone.catch_all["enabled"] is False
    assert codes(api.at("DELETE", f"{ADDRESSES}/{gone['id']}")) == [2023]


def test_an_account_has_two_hundred_destinations() -> None:
    api = mail()
    for n in range(199):
        api.twin.add_destination(f"d{n}@gmail.example")
    refused = api.at("POST", ADDRESSES, {"email": "one-more@gmail.example"})
    assert (refused.status, codes(refused)) == (409, [2024])
    assert api.at("GET", ADDRESSES, query="per_page=50&page=4").json["result_info"]["count"] == 50
    assert api.at("GET", ADDRESSES, query="per_page=100").status == 400
    assert api.at("POST", ADDRESSES, {"email": GMAIL}).status == 200


@pytest.mark.parametrize("body", [{}, {"email": "x"}, {"email": 1}, []])
def test_destinations_that_are_refused(body: Any) -> None:
    assert codes(mail().at("POST", ADDRESSES, body)) == [2007]
    assert codes(mail().at("GET", ADDRESSES, query="verified=maybe")) == [2007]
