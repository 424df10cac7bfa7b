# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The request that is sent before anybody has asked for it: handed out once, and only to whom it belongs."""

from __future__ import annotations

import threading
from collections.abc import Mapping

import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.module import client_of, look_up_ahead
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.zones import find_zones
from ansible_collections.mailstead.stack.plugins.module_utils.common.ahead import Ahead
from ansible_collections.mailstead.stack.plugins.module_utils.common.http import Answer, TransportError

from lab.twins.cloudflare import Twin, TwinConfig
from lab.twins.cloudflare.server import Running
from tests.unit.cloudflare.support import TOKEN, ZONE

QUERY = {"page": "1", "per_page": "50"}


class Slow:
    """A transport whose first answer waits to be let go."""

    def __init__(self, error: bool = False) -> None:
        self.asked: list[str] = []
        self.go = threading.Event()
        self.closed = False
        self.error = error

    def request(
        self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], body: bytes | None
    ) -> Answer:
        self.asked.append(f"{method} {path}")
        assert self.go.wait(10)
        if self.error:
            self.error = False
            raise TransportError("broke off", sent=True)
        return Answer(200, {}, path.encode())

    def close(self) -> None:
        self.closed = True


def test_the_answer_is_handed_out_once() -> None:
    slow = Slow()
    ahead = Ahead(slow, "/zones", QUERY, {})
    slow.go.set()
    assert ahead.request("GET", "/zones", QUERY, {}, None).body == b"/zones" and slow.asked == ["GET /zones"]
    ahead.request("GET", "/zones", QUERY, {}, None)
    assert slow.asked == ["GET /zones"] * 2


def test_another_request_waits_for_its_turn_on_the_connection() -> None:
    slow = Slow()
    ahead = Ahead(slow, "/zones", QUERY, {})
    other = threading.Thread(target=ahead.request, args=("GET", "/zones", {"page": "2"}, {}, None))
    other.start()
    other.join(0.05)
    assert other.is_alive() and slow.asked == ["GET /zones"]
    slow.go.set()
    other.join(10)
    assert slow.asked == ["GET /zones"] * 2


def test_a_failure_is_told_to_whom_it_belongs() -> None:
    slow = Slow(error=True)
    slow.go.set()
    with pytest.raises(TransportError, match="broke off"):
        Ahead(slow, "/zones", QUERY, {}).request("GET", "/zones", QUERY, {}, None)
    slow = Slow(error=True)
    slow.go.set()
    assert Ahead(slow, "/zones", QUERY, {}).request("POST", "/zones", {}, {}, b"").status == 200


def test_nothing_is_left_open() -> None:
    slow = Slow()
    slow.go.set()
    Ahead(slow, "/zones", QUERY, {}).close()
    assert slow.closed and slow.asked == ["GET /zones"]
    ahead = Ahead(slow, "/zones", QUERY, {})
    ahead.request("GET", "/zones", QUERY, {}, None)
    ahead.close()


def test_looking_up_ahead_costs_neither_a_request_nor_a_connection() -> None:
    twin = Twin(TwinConfig.from_data({"zones": [{"name": ZONE}], "tokens": [{"token": TOKEN}]}))
    with Running(twin, ["127.0.0.1:0"]) as running:
        params = {"base_url": f"{running.urls[0]}/client/v4", "timeout": 5, "api_token": TOKEN}
        client = client_of(params, look_up_ahead(params))
        found, problems = find_zones(client, [(ZONE, "")])
        assert (list(found), problems) == ([ZONE], [])
        assert client.read(f"/zones/{found[ZONE].id}").result["name"] == ZONE
        client.close()
    assert (twin.log.count(), twin.log.connections) == (2, 1)


@pytest.mark.parametrize("wrong", [{"base_url": "http://api.example"}, {"api_token": "two words"}])
def test_arguments_that_cannot_be_used_are_reported_by_others(wrong: dict[str, str]) -> None:
    params = {"base_url": "https://127.0.0.1:9", "timeout": 5, "api_token": TOKEN, **wrong}
    assert look_up_ahead(params) is None
