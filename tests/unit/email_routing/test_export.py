# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An existing account as intent, and back without a change."""

from __future__ import annotations

from typing import Any

import yaml
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import Problem
from ansible_collections.mailstead.stack.plugins.module_utils.dns.provider import Limits, Zone
from ansible_collections.mailstead.stack.plugins.module_utils.email_routing import api, keeping, words
from ansible_collections.mailstead.stack.plugins.module_utils.email_routing.export import to_intent, to_mapping
from ansible_collections.mailstead.stack.plugins.module_utils.email_routing.model import (
    Destination,
    Rule,
    RulesDiff,
    Settings,
    Wanted,
)
from ansible_collections.mailstead.stack.plugins.module_utils.email_routing.places import Place
from ansible_collections.mailstead.stack.plugins.module_utils.email_routing.rules import Context, diff
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.cloudflare.support import ZONE as APEX
from tests.unit.email_routing.world import World

ZONE = "example.me"
MINE = "mailstead:mailstead"
YOU, NEW = "You@gmail.example", "new@gmail.example"
DESTINATIONS = [Destination(YOU, "1", "2026-11-01T00:00:00Z"), Destination(NEW, "2")]
UNSET = Rule("", "drop", "", enabled=False, id="catch-all")
ON = Settings(enabled=True, status="ready", subaddressing=True)


def applied(inbounds: list[dict[str, Any]], have: list[Rule]) -> RulesDiff:
    """What applying the exported intent would do."""
    wanted: list[Wanted] = []
    for entry in inbounds:
        found, problems = words.read_rules(entry["name"], entry["inbound"]["addresses"])
        assert not problems
        wanted += found
        if "catch_all" in entry["inbound"]:
            value = words.read_value("", entry["inbound"]["catch_all"], "catch-all")
            assert not isinstance(value, Problem)
            wanted.append(value)
    names = tuple(entry["name"] for entry in inbounds)
    workers = frozenset({"alerts"})
    verified = frozenset({YOU.lower()})
    return diff(wanted, have, Context("mailstead", names, verified=verified, workers=workers))


def test_the_words_of_the_intent() -> None:
    have = [
        Rule("hi@example.me", "forward", YOU, True, "by hand", id="1"),
        Rule("alerts@example.me", "worker", "alerts", True, MINE, id="2"),
        Rule("old@example.me", "drop", "", True, MINE, id="3"),
        Rule("shop@example.me", "forward", YOU, False, f"{MINE} by the sea", id="4"),
        Rule("later@example.me", "forward", NEW, False, MINE, id="5"),
        Rule("all@lists.example.me", "forward", YOU, True, "", id="6"),
        Rule("", "drop", "", True, f"{MINE} nobody else", id="catch-all"),
    ]
    inbounds = to_intent(ZONE, ON, have, DESTINATIONS)
    mapping = yaml.safe_load(yaml.safe_dump(to_mapping(inbounds)))
    assert mapping == [
        {
            "name": ZONE,
            "inbound": {
                "provider": "cloudflare_email_routing",
                "subaddressing": True,
                "addresses": {
                    "alerts": {"worker": "alerts"},
                    "hi": YOU,
                    "later": NEW,
                    "old": "drop",
                    "shop": {"forward": YOU, "enabled": False, "tag": "by the sea"},
                },
                "catch_all": {"drop": True, "tag": "nobody else"},
            },
        },
        {
            "name": "lists.example.me",
            "inbound": {
                "provider": "cloudflare_email_routing",
                "subaddressing": True,
                "addresses": {"all": YOU},
            },
        },
    ]
    found = applied(mapping, have)
    assert (found.changes, found.problems) == ((), ())


def test_what_has_no_words_stays_and_is_noted() -> None:
    have = [
        Rule("w@example.me", "worker", "alerts", True, "", id="1", source="wrangler"),
        Rule("", "several", "", True, "odd", id="2", opaque=True),
        Rule("two@example.me", "drop", "", True, "a", id="3"),
        Rule("TWO@example.me", "forward", YOU, True, "b", id="4"),
        UNSET,
    ]
    (inbound,) = to_intent(ZONE, ON, have, DESTINATIONS)
    assert inbound.addresses == {} and inbound.catch_all is None
    assert len(inbound.notes) == 3 and "wrangler" in inbound.notes[0] and "odd" in inbound.notes[1]
    assert "2 rules, drop and forward to" in inbound.notes[2]
    found = applied(to_mapping([inbound]), have)
    assert (found.changes, found.problems) == ((), ())


EFFECTS = st.sampled_from([("forward", YOU), ("forward", NEW), ("worker", "alerts"), ("drop", "")])


def rule(address: str, effect: tuple[str, str], enabled: bool, name: str, number: int) -> Rule:
    """A rule as the service can have it: none is in force whose destination is not verified."""
    return Rule(address, effect[0], effect[1], enabled and effect[1] != NEW, name, number % 4, f"id {number}")


RULES = st.lists(
    st.builds(
        rule,
        st.sampled_from([f"{n}@{d}" for n in ("hi", "Old", "a.b", "no", "0123") for d in (ZONE, f"lists.{ZONE}")]),
        EFFECTS,
        st.booleans(),
        st.sampled_from([MINE, f"{MINE} by the sea", "by hand", "", "mailstead:other x", f"{MINE} ünï: [cödé] #1"]),
        st.integers(1, 10**6),
    ),
    max_size=6,
    unique_by=lambda r: r.address.lower(),
)
CATCH_ALLS = st.builds(
    rule,
    st.just(""),
    EFFECTS,
    st.booleans(),
    st.sampled_from(["", MINE, f"{MINE} rest", "by hand"]),
    st.just(0),
)


@given(RULES, CATCH_ALLS)
def test_any_account_comes_back_without_a_change(rules: list[Rule], catch_all: Rule) -> None:
    have = [*rules, catch_all]
    mapping = yaml.safe_load(yaml.safe_dump(to_mapping(to_intent(ZONE, ON, have, DESTINATIONS))))
    found = applied(mapping, have)
    assert (found.changes, found.problems) == ((), ())


def test_an_account_at_the_service_comes_back_without_a_change() -> None:
    world = World(destinations=[YOU])
    world.twin.add_destination(NEW, verified=False)
    email = world.twin.email(APEX)
    email.enable()
    email.add_rule(f"hi@{APEX}", "forward", YOU, name="by hand")
    email.add_rule(f"off@{APEX}", "forward", YOU, enabled=False)
    email.add_rule(f"later@{APEX}", "forward", NEW, enabled=False)
    email.add_rule(f"old@{APEX}", "drop", "")
    client, zone = world.client(), world.twin.zone(APEX).zone
    account = world.twin.config.account.id
    rules, _ids = api.list_rules(client, account, {})
    settings = api.read_settings(client, zone.zone_id, APEX)
    mapping = to_mapping(to_intent(APEX, settings, rules, api.list_destinations(client, account)))
    assert len(mapping[0]["inbound"]["addresses"]) == 4
    place = Place(APEX, Zone(zone.zone_id, APEX, Limits(200)), account)
    wanted, problems = words.read_rules(APEX, mapping[0]["inbound"]["addresses"])
    (task,) = keeping.plan(client, [keeping.Wish(place, tuple(wanted))], keeping.Choices())
    assert not problems and task.diff.changes == () and [w.destination for w in task.diff.waiting] == [NEW]
