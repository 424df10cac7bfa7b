# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module cloudflare_email_routing_rules as Ansible runs it, against the API twin on a socket."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.mailstead.stack.plugins.modules import cloudflare_email_routing_rules

from lab.twins.cloudflare import Twin, TwinConfig
from lab.twins.cloudflare.faults import Fault
from lab.twins.cloudflare.server import Running
from tests.unit.cloudflare.support import TOKEN
from tests.unit.email_routing.world import SCOPES
from tests.unit.modules.documentation import assert_documented
from tests.unit.modules.routing_run import Run, codes

LIMITED = "l" * 40
YOU, NEW = "you@gmail.example", "new@gmail.example"
ME: dict[str, Any] = {
    "name": "example.me",
    "rules": {"hi": YOU, "shop": {"forward": YOU, "tag": "by the sea", "priority": 3}, "old": "drop"},
    "catch_all": YOU,
}


def twin(**email: Any) -> Twin:
    limited = [s for s in SCOPES if not s.startswith("Email Routing Rules")]
    tokens = [{"token": TOKEN, "scopes": SCOPES}, {"token": LIMITED, "scopes": limited}]
    zones = [{"name": "example.me"}, {"name": "example.org"}]
    return Twin(TwinConfig.from_data({"zones": zones, "tokens": tokens, "email": {"destinations": [YOU], **email}}))


@pytest.fixture(name="run", params=[True, False], ids=["catch-all listed", "catch-all apart"])
def fixture_run(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    made = twin(catch_all_listed=request.param)
    made.email("example.me").enable()
    with Running(made, ["127.0.0.1:0"]) as server:
        yield Run(cloudflare_email_routing_rules, made, server.urls[0] + "/client/v4", capsys)


def acts(run: Run, address: str) -> tuple[str, str] | None:
    found = run.twin.email(address.rpartition("@")[2]).effective(address)
    return None if found is None else (found["action"], found["target"])


def apart(run: Run) -> int:
    """Requests that the catch-all costs where the listing does not have it."""
    return 0 if run.twin.products.account.options.catch_all_listed else 1


def test_check_then_write_then_nothing(run: Run) -> None:
    planned = run(check=True, domains=[ME])
    # The zones, the rules, the catch-all where it is not among them, destinations verified and pending.
    assert planned["changed"] and planned["requests"] == 4 + apart(run)
    assert run.twin.email("example.me").rules == []
    done = run(domains=[ME])
    assert done["changed"] and done["diff"] == planned["diff"] and done["requests"] == planned["requests"] + 4
    assert [(c["action"], c["address"]) for c in done["changes"]] == [
        ("update", ""),
        ("create", "hi@example.me"),
        ("create", "old@example.me"),
        ("create", "shop@example.me"),
    ]
    assert all(c["written"] for c in done["changes"]) and not any(c["written"] for c in planned["changes"])
    assert done["diff"][0]["before"] == ""
    assert "shop@example.me: forward to you@gmail.example, priority 3  ; mailstead:mailstead by the sea\\n" in (
        done["diff"][0]["after"].replace("\n", "\\n")
    )
    assert acts(run, "hi@example.me") == ("forward", YOU) and acts(run, "old@example.me") == ("drop", "")
    assert acts(run, "any@example.me") == ("forward", YOU)
    again = run(domains=[ME])
    assert not again["changed"] and again["requests"] == 4 + apart(run) and again["zones"][0]["satisfied"] == 4
    ids = run(
        domains=[{**ME, "zone_id": run.twin.zone("example.me").zone.zone_id}], account_id=run.twin.config.account.id
    )
    assert not ids["changed"] and ids["requests"] == 3 + apart(run)


def test_one_address_is_blocked_with_one_line(run: Run) -> None:
    run(domains=[ME])
    leaked = {**ME, "rules": {**ME["rules"], "shop": "drop"}}
    (change,) = run(domains=[leaked])["changes"]
    assert (change["action"], change["reason"]) == ("update", "was forward to you@gmail.example")
    assert acts(run, "shop@example.me") == ("drop", "")


def test_a_rule_waits_for_a_click_without_failing_and_is_written_after_it(run: Run) -> None:
    run.twin.add_destination(NEW, verified=False)
    domains = [{"name": "example.me", "rules": {"hi": NEW}, "catch_all": NEW}]
    waiting = run(domains=domains)
    assert not waiting["changed"] and waiting["waiting"] == [
        {"address": "hi@example.me", "destination": NEW},
        {"address": "", "destination": NEW},
    ]
    (text,) = waiting["instructions"]
    assert text.startswith(NEW) and "hi@example.me, the catch-all will be forwarded there" in text
    assert text in str(waiting["warnings"])
    run.twin.click(NEW)
    done = run(domains=domains)
    assert done["changed"] and done["waiting"] == [] and acts(run, "hi@example.me") == ("forward", NEW)
    assert not run(domains=domains)["changed"]


def test_what_others_made_stays_unless_adopted(run: Run) -> None:
    email = run.twin.email("example.me")
    email.add_rule("hi@example.me", "drop", "")
    email.add_rule("theirs@example.me", "forward", YOU)
    domains = [{"name": "example.me", "rules": {"hi": YOU}}]
    refused = run(domains=domains)
    assert codes(refused) == ["MS-ER-004"] and refused["changed"] is False and refused["changes"] == []
    assert run(domains=domains, adopt=True)["changes"][0]["reason"] == "adopted and changed"
    assert not run(domains=domains)["changed"] and acts(run, "theirs@example.me") == ("forward", YOU)
    gone = run(domains=[{"name": "example.me"}])
    assert [(c["action"], c["address"]) for c in gone["changes"]] == [("delete", "hi@example.me")]


def test_rules_of_a_sub_domain_do_not_disturb_those_of_the_zone(run: Run) -> None:
    lists = {"name": "lists.example.me", "zone": "example.me", "rules": [{"address": "all", "forward": YOU}]}
    run(domains=[ME])
    done = run(domains=[lists])
    assert [c["address"] for c in done["changes"]] == ["all@lists.example.me"]
    assert not run(domains=[ME, lists])["changed"] and len(run.twin.email("example.me").rules) == 4
    assert codes(run(domains=[{**lists, "catch_all": YOU}])) == ["MS-ER-002"]


def test_a_worker_has_to_exist(run: Run) -> None:
    domains = [{"name": "example.me", "rules": {"alerts": {"worker": "alert-handler"}}}]
    assert codes(run(domains=domains)) == ["MS-ER-009"]


def test_a_loop_is_found_also_through_a_domain_that_is_not_declared(run: Run) -> None:
    run.twin.add_destination("me@example.org", verified=True)
    domains = [{"name": "example.me", "rules": {"hi": "me@example.org"}}]
    run.twin.email("example.org").add_rule("me@example.org", "drop", "")
    # Rules outlive routing: where it is off the mail goes elsewhere.
    assert not run(check=True, domains=domains).get("failed")
    run.twin.email("example.org").enable()
    assert codes(run(domains=domains)) == ["MS-ER-006"]
    assert run(domains=domains, allow=["loop"])["changed"]
    own = [{"name": "example.me", "rules": {"hi": "you@example.me"}}]
    assert codes(run(domains=own)) == ["MS-ER-006"]


@pytest.mark.parametrize("drop", ["drop_after", "drop_before"])
def test_a_lost_answer_is_looked_up_and_nothing_is_written_twice(run: Run, drop: str) -> None:
    run.twin.faults.add(Fault(drop, 1, method="POST", path="/email/routing/rules"))
    done = run(domains=[ME])
    assert done["changed"] and all(c["written"] for c in done["changes"]) and len(done["changes"]) == 4
    assert len(run.twin.email("example.me").rules) == 3 and not run(domains=[ME])["changed"]


def test_an_outcome_that_stays_unclear_is_told(run: Run) -> None:
    run.twin.faults.add(Fault("status", 9, method="POST", path="/email/routing/rules", status=502))
    failed = run(domains=[ME])
    assert codes(failed) == ["MS-ER-013"] and failed["changed"] and failed["changes"][0]["written"]


def test_permissions_are_named(run: Run) -> None:
    limited = run(domains=[ME], token=LIMITED)
    assert codes(limited) == ["MS-ER-020"] and "Zone › Email Routing Rules › Read" in limited["msg"]


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ({"h*": YOU}, "MS-ER-001"),
        ({"hi": "alert-handler"}, "MS-ER-001"),
        ({"hi": 7}, "MS-ER-001"),
        ({"hi": {"forwad": YOU}}, "MS-ER-001"),
        ({"hi": {"zzz": YOU}}, "MS-ER-001"),
        ({"hi": {"forward": YOU, "worker": "x"}}, "MS-ER-001"),
        ({"hi": {"drop": "yes"}}, "MS-ER-001"),
        ({"hi": {"forward": YOU, "enabled": "no"}}, "MS-ER-001"),
        ({"hi": {"forward": YOU, "priority": -1}}, "MS-ER-001"),
        ({"hi@example.org": YOU}, "MS-ER-002"),
        ({"hi": {"forward": "nobody@gmail.example", "enabled": True}}, "MS-ER-007"),
        ({f"a{n}": YOU for n in range(201)}, "MS-ER-008"),
        ("drop", "MS-ER-001"),
        ([{"forward": YOU}], "MS-ER-001"),
        ([{"address": "hi", "forward": YOU}, {"address": "HI", "drop": True}], "MS-ER-003"),
    ],
)
def test_mistakes(run: Run, rules: Any, expected: str) -> None:
    assert codes(run(domains=[{"name": "example.me", "rules": rules}])) == [expected]
    assert run.twin.email("example.me").rules == []


def test_many_rules_take_one_listing_of_fifty_each(run: Run) -> None:
    for n in range(120):
        run.twin.email("example.org").add_rule(f"a{n}@example.org", "drop", "")
    result = run(check=True, domains=[{**ME, "zone_id": run.twin.zone("example.me").zone.zone_id}])
    # The zone's account; 122 or 120 rules; the catch-all; destinations verified and pending.
    assert result["requests"] == 1 + 3 + apart(run) + 2


def test_documentation_and_argument_spec_agree() -> None:
    assert_documented(cloudflare_email_routing_rules)
