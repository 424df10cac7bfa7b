# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The endpoints: how many requests they take, and what their refusals become."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.client import ApiError, Client, RefusalError
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.zones import ZoneInfo
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError
from ansible_collections.mailstead.stack.plugins.module_utils.common.http import Answer
from ansible_collections.mailstead.stack.plugins.module_utils.dns.provider import Limits, Zone
from ansible_collections.mailstead.stack.plugins.module_utils.email_routing import api, keeping, places
from ansible_collections.mailstead.stack.plugins.module_utils.email_routing.codes import CODES
from ansible_collections.mailstead.stack.plugins.module_utils.email_routing.model import Destination, Rule

from tests.unit.cloudflare.support import ZONE
from tests.unit.email_routing.world import World

YOU = "you@gmail.example"


def zone_id(world: World) -> str:
    return world.twin.zone(ZONE).zone.zone_id


def account(world: World) -> str:
    return world.twin.config.account.id


def codes(work: Callable[[], Any]) -> list[str]:
    with pytest.raises(MailsteadError) as caught:
        work()
    assert all(p.where and p.what and p.fix for p in caught.value.problems)
    return [p.code for p in caught.value.problems]


class Canned:
    """A transport with one answer to everything."""

    def __init__(self, body: str) -> None:
        self.body = body

    def request(self, *_: Any) -> Answer:
        return Answer(200, {"content-type": "application/json"}, self.body.encode())

    def close(self) -> None:
        return None


def answering(result: str) -> Client:
    return Client("t" * 40, lambda: Canned(f'{{"success": true, "errors": [], "result": {result}}}'))


def test_listings_take_one_request_per_fifty() -> None:
    world = World()
    for n in range(120):
        world.twin.add_destination(f"a{n}@gmail.example", verified=n % 4 != 0)
        world.twin.email(ZONE).add_rule(f"a{n}@{ZONE}", "drop", "")
    client = world.client()
    assert len(api.list_destinations(client, account(world))) == 120
    # 90 are verified, 30 are not.
    assert len(world.requests) == 3
    world.requests.clear()
    found, ids = api.list_rules(client, account(world), {})
    assert len(found) == 121 and len(world.requests) == 3 and ids == {ZONE: zone_id(world)}


def test_the_zones_are_asked_where_the_account_may_not_be() -> None:
    world = World()
    world.twin.email(ZONE).add_rule(f"hi@{ZONE}", "drop", "")
    found, ids = api.list_rules(world.client(), "f" * 32, {ZONE: zone_id(world)})
    assert [r.address for r in found] == [f"hi@{ZONE}", ""] and ids == {ZONE: zone_id(world)}
    assert all(r.zone == ZONE for r in found)


def test_scripts_are_not_looked_up_where_the_token_may_not() -> None:
    world = World()
    assert api.list_workers(world.client(), account(world)) == frozenset()
    assert api.list_workers(world.client(), "f" * 32) is None


def test_the_only_account_of_the_token() -> None:
    world = World()
    assert api.only_account(world.client()) == account(world)
    assert codes(lambda: api.only_account(world.client("x" * 40))) == ["MS-CF-002"]
    for result in ("[]", '[{"account": {}}]', '[{"account": {"id": "a"}}, {"account": {"id": "b"}}]'):
        assert codes(functools.partial(api.only_account, answering(result))) == ["MS-ER-015"]


def test_answers_without_their_shape_are_told() -> None:
    client = answering("{}")
    assert codes(lambda: api.read_settings(client, "z", "zone x")) == ["MS-CF-004"]
    assert codes(lambda: api.list_destinations(answering("[{}]"), "a")) == ["MS-CF-004"]
    assert api.create_destination(client, "a", YOU) == Destination(YOU)


def test_an_account_without_an_id_has_to_be_given() -> None:
    place = places.Place(ZONE, Zone("z", ZONE, Limits(200)))
    assert codes(lambda: places.account_of(answering(f'{{"id": "z", "name": "{ZONE}"}}'), place)) == ["MS-ER-015"]
    assert places.account_of(answering("{}"), dataclasses.replace(place, account="a")) == "a"
    assert ZoneInfo("z", ZONE).account == ""


@pytest.mark.parametrize(
    ("code", "status", "expected"),
    [
        (2054, 400, "MS-ER-007"),
        (2014, 409, "MS-ER-014"),
        (2016, 404, "MS-ER-009"),
        (2007, 422, "MS-ER-014"),
        (2008, 409, "MS-ER-011"),
        (2020, 409, "MS-ER-014"),
        (890190, 400, "MS-CF-009"),
    ],
)
def test_refusals_have_a_code_of_ours_and_the_words_of_cloudflare(code: int, status: int, expected: str) -> None:
    refusal = RefusalError(status, (ApiError(code, "their words"),), "PUT /x")
    problem = api.explain(World().client(), refusal, api.RULES, "rule for hi@example.com")
    assert problem.code == expected and "their words" in problem.what and problem.fix
    assert expected in CODES or expected.startswith("MS-CF")


@pytest.mark.parametrize(
    ("permission", "request_", "words"),
    [
        (api.RULES, "PUT /x", "Zone › Email Routing Rules › Edit"),
        (api.SETTINGS, "GET /x", "Zone › Zone Settings › Read"),
        (api.ADDRESSES, "POST /x", "Account › Email Routing Addresses › Edit"),
    ],
)
def test_a_missing_permission_is_named_as_the_dashboard_does(permission: str, request_: str, words: str) -> None:
    refusal = RefusalError(403, (ApiError(10000, "Authentication error"),), request_)
    problem = api.explain(World().client(), refusal, permission, "x")
    assert problem.code == "MS-ER-020" and words in problem.fix


def test_rules_and_destinations_are_written() -> None:
    world = World()
    client, zone = world.client(), zone_id(world)
    made = api.create_destination(client, account(world), YOU)
    assert not made.verified and [m["to"] for m in world.twin.outbox] == [YOU]
    rule = Rule(f"hi@{ZONE}", "forward", YOU, True, zone=ZONE)
    assert codes(lambda: api.create_rule(client, zone, rule)) == ["MS-ER-007"]
    world.twin.click(YOU)
    api.create_rule(client, zone, rule)
    assert codes(lambda: api.create_rule(client, zone, rule)) == ["MS-ER-014"]
    (there, catch_all) = api.list_zone_rules(client, zone, ZONE)
    api.change_rule(client, zone, dataclasses.replace(there, action="drop", target=""))
    api.change_rule(client, zone, dataclasses.replace(catch_all, enabled=True))
    assert api.read_catch_all(client, zone, ZONE).enabled
    api.delete_rule(client, zone, there)
    api.delete_destination(client, account(world), made)
    assert world.twin.email(ZONE).rules == [] and world.twin.destinations == {}
    assert api.rule_place(catch_all) == f"catch-all of {ZONE}"


def test_the_mark_of_an_instance_is_one_word() -> None:
    assert codes(lambda: keeping.plan(World().client(), [], keeping.Choices("two words"))) == ["MS-ER-022"]
