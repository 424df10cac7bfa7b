# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module cloudflare_email_sending as Ansible runs it, against the API twin on a socket."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from ansible_collections.mailstead.stack.plugins.modules import cloudflare_email_sending

from lab.twins.cloudflare import Twin, TwinConfig
from lab.twins.cloudflare.server import Running
from tests.unit.cloudflare.lost import lose
from tests.unit.cloudflare.support import TOKEN
from tests.unit.modules.documentation import assert_documented
from tests.unit.plugins.modules import Answer, run_module

SCOPES = ["Zone:Read", "DNS:Read", "Email Sending:Edit"]
ZONES = ["example.com", "example.org", "zeta.example.com"]
NARROW = "n" * 40
REPORTING = "v=DMARC1; p=reject; rua=mailto:d@example.com"


class Run:
    def __init__(self, twin: Twin, url: str) -> None:
        self.twin, self.url = twin, url

    def __call__(self, *domains: dict[str, Any] | str, **params: Any) -> Answer:
        listed = [{"name": d} if isinstance(d, str) else d for d in domains]
        given = {"api_token": TOKEN, "base_url": self.url, "domains": listed, **params}
        return run_module(cloudflare_email_sending.main, **given)

    def seed(self, name: str, text: str, zone: str = "example.com", rtype: str = "TXT") -> None:
        self.twin.zone(zone).create({"type": rtype, "name": name, "content": text, "ttl": 300})

    def records(self, zone: str = "example.com") -> list[tuple[str, str, str]]:
        state = self.twin.zone(zone)
        found = [record.to_json(state.zone) for record in state.snapshot().values()]
        return [(r["type"], r["name"], r["content"].strip('"')) for r in found]


@pytest.fixture(name="run")
def fixture_run() -> Iterator[Run]:
    tokens = [{"token": TOKEN, "scopes": SCOPES}, {"token": NARROW, "scopes": SCOPES[:2]}]
    twin = Twin(TwinConfig.from_data({"zones": [{"name": name} for name in ZONES], "tokens": tokens}))
    with Running(twin, ["127.0.0.1:0"]) as server:
        yield Run(twin, server.urls[0] + "/client/v4")


def codes(answer: Answer) -> list[str]:
    assert all(p["where"] and p["what"] and p["fix"] for p in answer.data["problems"])
    return [p["code"] for p in answer.data["problems"]]


def test_the_documentation_is_that_of_the_arguments() -> None:
    assert_documented(cloudflare_email_sending)
    for part in ("DOCUMENTATION", "EXAMPLES", "RETURN"):
        assert yaml.safe_load(getattr(cloudflare_email_sending, part))


def test_check_then_onboard_then_nothing(run: Run) -> None:
    planned = run("Notify.Example.com.", "example.org", check=True)
    assert planned.changed and run.records() == []
    shown = planned.data["domains"][0]
    assert {(r["type"], r["name"]) for r in shown["records"]} == {
        ("MX", "cf-bounce.notify.example.com"),
        ("TXT", "cf-bounce.notify.example.com"),
        ("TXT", "cf-bounce._domainkey.notify.example.com"),
        ("TXT", "_dmarc.notify.example.com"),
    }
    assert "all senders of the domain have to be aligned" in shown["notes"][0]
    done = run("notify.example.com", "example.org")
    assert done.changed and done.data["diff"] == planned.data["diff"]
    first, second = done.data["domains"]
    assert first["return_path"] == "cf-bounce.notify.example.com" and first["dkim_selector"] == "cf-bounce"
    assert first["errors"] == [] and second["dmarc"] == ["v=DMARC1; p=reject;"] and second["zone"] == "example.org"
    assert "was absent and is 'v=DMARC1; p=reject;'" in second["notes"][-1]
    again = run("notify.example.com", "example.org")
    # The zones; for each zone its domains and records; for each domain its state.
    assert not again.changed and again.data["requests"] == 1 + 2 * 2 + 2 and again.data["diff"] == []


def test_the_closest_zone_is_meant_unless_another_is_named(run: Run) -> None:
    run("a.zeta.example.com", {"name": "b.zeta.example.com", "zone": "example.com"})
    assert [e["name"] for e in run.twin.email("zeta.example.com").sending] == ["a.zeta.example.com"]
    assert [e["name"] for e in run.twin.email("example.com").sending] == ["b.zeta.example.com"]


@pytest.mark.parametrize(
    ("present", "wanted", "words"),
    [
        (REPORTING, None, "rua=mailto:d@example.com"),
        ("v=DMARC1; p=none", None, "replaces yours"),
        ("v=DMARC1; p=none", "v=DMARC1; p=none", "replaces yours"),
        ("", REPORTING, "keeps it locked"),
        ("v=DMARC1; p=reject", REPORTING, "keeps it locked"),
    ],
)
def test_another_policy_is_not_put_at_risk(run: Run, present: str, wanted: str | None, words: str) -> None:
    if present:
        run.seed("_dmarc.example.com", f'"{present}"')
    before = run.records()
    refused = run({"name": "example.com", "dmarc": wanted}, "example.org")
    assert codes(refused) == ["MS-ES-001"] and words in refused.message and not refused.changed
    assert run.records() == before and run.records("example.org") == []
    allowed = run({"name": "example.com", "dmarc": wanted}, allow=["dmarc"])
    assert allowed.changed and allowed.data["domains"][0]["dmarc"] == [present or "v=DMARC1; p=reject;"]


def test_an_alias_for_the_policy_is_a_conflict_too(run: Run) -> None:
    run.seed("_dmarc.example.com", "policy.example.net", rtype="CNAME")
    assert "CNAME policy.example.net" in run("example.com").message


@pytest.mark.parametrize("policy", ["v=DMARC1; p=reject", "v=DMARC1;p=reject;"])
def test_the_same_policy_in_other_words_is_no_conflict(run: Run, policy: str) -> None:
    run.seed("_dmarc.example.com", f'"{policy}"')
    done = run({"name": "example.com", "dmarc": "v=DMARC1; p=reject"})
    assert done.changed and done.data["domains"][0]["notes"] == []


def test_what_became_of_the_policy_is_told(run: Run) -> None:
    run.twin.reconfigure_email(sending_dmarc="replace")
    run.seed("_dmarc.example.com", f'"{REPORTING}"')
    done = run("example.com", allow=["dmarc"])
    assert done.changed and f"was '{REPORTING}' and is 'v=DMARC1; p=reject;'" in done.data["domains"][0]["notes"][0]


def test_removing_takes_the_policy_with_it_only_when_that_is_allowed(run: Run) -> None:
    run("example.com")
    gone = {"name": "example.com", "state": "absent"}
    refused = run(gone)
    assert codes(refused) == ["MS-ES-002"] and len(run.records()) == 6
    done = run(gone, allow=["dmarc"])
    assert done.changed and run.records() == [] and "is absent" in done.data["domains"][0]["notes"][0]
    assert done.data["diff"][0]["after"] == "absent\n" and not run(gone).changed


def test_removing_leaves_a_policy_of_ones_own(run: Run) -> None:
    run.seed("_dmarc.example.com", f'"{REPORTING}"')
    run("example.com", allow=["dmarc"])
    assert run({"name": "example.com", "state": "absent"}).changed
    assert run.records() == [("TXT", "_dmarc.example.com", REPORTING)]


def test_lost_records_are_repaired(run: Run) -> None:
    run("notify.example.com")
    lose(run.twin.zone("example.com"), lambda r: r.type == "MX" and r.name.startswith("cf-bounce."))
    planned = run("notify.example.com", check=True)
    assert planned.data["domains"][0]["action"] == "repair" and "mx.missing" in planned.data["domains"][0]["reasons"]
    done = run("notify.example.com")
    assert done.changed and len(run.records()) == 6 and done.data["domains"][0]["errors"] == []
    assert done.data["diff"] == planned.data["diff"] and not run("notify.example.com").changed


def test_a_policy_of_ones_own_instead_of_the_services_is_left(run: Run) -> None:
    run("notify.example.com")
    lose(run.twin.zone("example.com"), lambda r: r.name.startswith("_dmarc."))
    assert not run("notify.example.com").changed


def test_bad_wishes_are_all_told_before_anything_is_asked(run: Run) -> None:
    answer = run("a..b", "example.com", "EXAMPLE.com", {"name": "example.org", "dmarc": "reject"})
    assert codes(answer) == ["MS-ES-003"] * 3 and answer.data["requests"] == 0
    outside = run("example.net", {"name": "example.com", "zone": "example.org"})
    assert codes(outside) == ["MS-ES-003"] * 2


def test_refusals_are_explained(run: Run) -> None:
    assert codes(run("example.com", api_token=NARROW)) == ["MS-ES-006"]
    run.seed("cf-bounce.example.com", '"v=spf1 -all"')
    run.seed("cf-bounce.example.com", '"v=spf1 ~all"')
    refused = run("example.com", "example.org")
    assert codes(refused) == ["MS-ES-004"] and refused.changed
    assert [d["written"] for d in refused.data["domains"]] == [False, True]
    run.twin.reconfigure_email(sending_entitled=False)
    unpaid = run("a.example.org")
    assert codes(unpaid) == ["MS-ES-006"] and "Workers Paid" in unpaid.message


def test_more_domains_than_the_service_holds(run: Run) -> None:
    many = [f"n{i}.example.com" for i in range(31)]
    refused = run(*many)
    assert codes(refused) == ["MS-ES-007"] and run.twin.email("example.com").sending == []


def test_suppressions(run: Run) -> None:
    run.twin.suppress("gone@example.net", "hard_bounce")
    answer = run(suppressions=True)
    assert [(s["email"], s["reason"]) for s in answer.data["suppressions"]] == [("gone@example.net", "hard_bounce")]
    assert not answer.changed and answer.data["requests"] == 2
    direct = run(suppressions=True, account_id=run.twin.config.account.id)
    assert direct.data["suppressions"] == answer.data["suppressions"] and direct.data["requests"] == 1
