# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module cloudflare_email_routing_info as Ansible runs it, against the API twin on a socket."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from ansible_collections.mailstead.stack.plugins.modules import cloudflare_email_routing_info as info

from lab.twins.cloudflare import Twin, TwinConfig
from lab.twins.cloudflare.server import Running
from tests.unit.cloudflare.support import TOKEN
from tests.unit.modules.documentation import assert_documented
from tests.unit.plugins.modules import Answer, run_module

READING = ["Zone:Read", "Zone Settings:Read", "Email Routing Rules:Read", "Email Routing Addresses:Read"]
SCOPES = [*READING, "Analytics:Read", "Account Settings:Read", "Workers Scripts:Edit"]
BLIND, WRITER = "b" * 40, "w" * 40
YOU = "you@mailbox.example"
TODAY = datetime.datetime.now(datetime.timezone.utc).replace(hour=0, minute=0, second=30, microsecond=0)


def at(days_ago: int) -> str:
    return (TODAY - datetime.timedelta(days=days_ago)).strftime("%Y-%m-%dT%H:%M:%SZ")


class Run:
    def __init__(self, twin: Twin, url: str) -> None:
        self.twin, self.url = twin, url

    def __call__(self, **params: Any) -> Answer:
        return run_module(info.main, **{"api_token": TOKEN, "base_url": self.url, **params})


@pytest.fixture(name="run")
def fixture_run() -> Iterator[Run]:
    tokens = [
        {"token": TOKEN, "scopes": SCOPES},
        {"token": BLIND, "scopes": READING},
        {"token": WRITER, "scopes": ["Email Routing Rules:Edit"]},
    ]
    zones = [{"name": "example.org"}, {"name": "example.com"}]
    twin = Twin(TwinConfig.from_data({"zones": zones, "tokens": tokens, "email": {"destinations": [YOU]}}))
    twin.email("example.org").enable()
    with Running(twin, ["127.0.0.1:0"]) as server:
        yield Run(twin, server.urls[0] + "/client/v4")


def codes(answer: Answer) -> list[str]:
    assert all(p["where"] and p["what"] and p["fix"] for p in answer.data["problems"])
    return [p["code"] for p in answer.data["problems"]]


def test_the_documentation_is_that_of_the_arguments() -> None:
    assert_documented(info)
    for part in ("DOCUMENTATION", "EXAMPLES", "RETURN"):
        assert yaml.safe_load(getattr(info, part))


def test_what_is_there(run: Run) -> None:
    run.twin.add_destination("late@mailbox.example", verified=False)
    ours = run.twin.email("example.org").add_rule("hi@example.org", "forward", YOU, name="mailstead:mailstead blog")
    run.twin.email("example.org").add_rule("shop@example.org", "drop", name="by hand")
    answer = run(statistics=False)
    assert not answer.changed and [z["name"] for z in answer.data["zones"]] == ["example.com", "example.org"]
    off, on = answer.data["zones"]
    assert (off["enabled"], on["enabled"], on["status"]) == (False, True, "ready") and "statistics" not in on
    assert on["rules"][0] == {
        "address": "hi@example.org",
        "action": "forward",
        "target": YOU,
        "enabled": True,
        "name": "mailstead:mailstead blog",
        "priority": 0,
        "id": ours["id"],
        "source": "api",
        "owned": True,
    }
    assert [(r["address"], r["owned"]) for r in on["rules"][1:]] == [("shop@example.org", False), ("", False)]
    found = {d["address"]: bool(d["verified"]) for d in answer.data["destinations"]}
    assert found == {YOU: True, "late@mailbox.example": False}
    # Zones, rules, two lists of destinations; settings and catch-all of each zone.
    assert answer.data["requests"] == 1 + 1 + 2 + 2 * 2


def test_statistics_by_day_rule_and_result(run: Run) -> None:
    mail = run.twin.email("example.org")
    rule = mail.add_rule("hi@example.org", "forward", YOU)["id"]
    passed = {"spf": "pass", "dkim": "pass", "dmarc": "pass", "ruleMatched": rule}
    mail.statistics(
        [
            {"datetime": at(0), "status": "delivered", "action": "forward", **passed, "count": 5},
            {"datetime": at(2), "status": "forwarded", "action": "forward", **passed},
            {
                "datetime": at(2),
                "status": "dropped",
                "action": "drop",
                "ruleMatched": "gone",
                "spf": "fail",
                "count": 2,
            },
            {"datetime": at(2), "status": "rejected", "spf": "fail", "dmarc": "fail"},
            {"datetime": at(1), "status": "deliveryFailed", **passed},
            {"datetime": at(9), "status": "delivered", **passed, "count": 100},
        ]
    )
    answer = run(days=3)
    statistics = answer.data["zones"][1]["statistics"]
    assert statistics["counts"] == {"delivered": 6, "handled": 0, "dropped": 2, "rejected": 1, "failed": 1}
    assert statistics["total"] == 10 and statistics["events"] == [] and statistics["notes"] == []
    assert [(d["date"], d["total"]) for d in statistics["days"]] == [(at(2)[:10], 4), (at(1)[:10], 1), (at(0)[:10], 5)]
    assert [(r["name"], r["total"]) for r in statistics["rules"]] == [
        ("hi@example.org", 7),
        ("a rule that is gone", 2),
        ("no rule", 1),
    ]
    assert [(a["spf"], a["dkim"], a["dmarc"], a["total"]) for a in statistics["authentication"]] == [
        ("pass", "pass", "pass", 7),
        ("fail", "none", "none", 2),
        ("fail", "none", "fail", 1),
    ]
    assert answer.data["zones"][0]["statistics"]["total"] == 0
    # One question for both zones.
    assert run.twin.log.count("POST", "/graphql") == 1
    assert run(days=31).data["zones"][1]["statistics"]["total"] == 110


def test_events_and_leaks(run: Run) -> None:
    mail = run.twin.email("example.org")
    mail.add_rule("shop@example.org", "forward", YOU, name="mailstead:mailstead shop.example")
    mail.statistics(
        [
            {"datetime": at(1), "from": "news@shop.example", "to": "shop@example.org", "subject": "Hello"},
            {"datetime": at(0), "from": "x@spam.example", "to": "shop@example.org", "subject": "Win"},
        ]
    )
    answer = run(names=["example.org"], statistics=False, events=1, leaks=True)
    (zone,) = answer.data["zones"]
    (line,) = zone["leaks"]
    assert "spam.example (1)" in line and "shop: drop" in line and "shop.example (1)" not in line
    (event,) = zone["statistics"]["events"]
    assert (event["from"], event["subject"], event["status"]) == ("x@spam.example", "Win", "delivered")
    quiet = run(names=["example.org"], statistics=False, leaks=True)
    assert "statistics" not in quiet.data["zones"][0] and quiet.data["zones"][0]["leaks"] == [line]


def test_the_audit_log_tells_what_was_changed_about_mail(run: Run) -> None:
    zone = run.twin.zone("example.org").zone.zone_id
    headers = {"Authorization": f"Bearer {WRITER}", "Content-Type": "application/json"}
    body = (
        b'{"actions": [{"type": "drop"}], "matchers": [{"type": "literal", "field": "to", "value": "a@example.org"}],'
        b' "enabled": true, "name": "x"}'
    )
    made = run.twin.handle("POST", f"/client/v4/zones/{zone}/email/routing/rules", {}, headers, body)
    assert made.status == 200, made.json
    (entry,) = run(statistics=False, audit_log=True).data["changes"]
    assert entry["zone"] == "example.org" and entry["request"].startswith("POST") and entry["result"] == "success"
    assert entry["time"] and entry["actor"] and "email" in entry["resource"]


def test_the_account_as_inventory(run: Run) -> None:
    mail = run.twin.email("example.org")
    mail.add_rule("hi@example.org", "forward", YOU)
    mail.add_rule("old@example.org", "drop")
    mail.add_rule(
        "odd@example.org", matchers=[{"type": "literal", "field": "to", "value": "odd@example.org"}], source="wrangler"
    )
    answer = run(statistics=False, inventory=True)
    assert [d["name"] for d in answer.data["mail_domains"]] == ["example.org"]
    inbound = answer.data["mail_domains"][0]["inbound"]
    assert inbound["addresses"] == {"hi": YOU, "old": "drop"}
    (note,) = answer.data["notes"]
    assert "wrangler" in note and note in str(answer.data["warnings"])


def test_refusals_are_explained(run: Run) -> None:
    blind = run(api_token=BLIND)
    assert codes(blind) == ["MS-CF-040"] and "Zone › Analytics › Read" in blind.message
    log = run(api_token=BLIND, statistics=False, audit_log=True)
    assert codes(log) == ["MS-CF-041"] and "Account › Account Settings › Read" in log.message
    assert not run(api_token=BLIND, statistics=False).failed
    assert codes(run(names=["example.net"])) == ["MS-CF-003"]
    for bad in ({"days": 0}, {"days": 32}, {"events": 10_001}, {"events": -1}):
        assert codes(run(**bad)) == ["MS-CF-040"]
