# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the stand-in's queue tells a WebHook, against events recorded from the real server; when it is told, and how often."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.standin.server.delivery import Attempt, Delivery, Outcome
from lab.standin.server.mail_queue import MailQueue
from lab.standin.server.resolver import Resolver
from lab.standin.server.schema import JsonObject
from lab.standin.server.webhooks import EVENTS, WebHooks
from tests.contract import replay, servers

RECORDED = json.loads((replay.RECORDED / "dialogues" / "webhook.json").read_text())
SENDER, RCPT = "noreply@example.com", "x@remote.test"


class Told:
    """Instead of the calls: their bodies. Refuses as many as it is told to."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.refuse = 0

    def __call__(self, hook: JsonObject, body: bytes) -> None:
        if self.refuse:
            self.refuse -= 1
            raise OSError("no")
        self.bodies.append(body)

    def events(self) -> list[dict[str, Any]]:
        return [event for body in self.bodies for event in json.loads(body)["events"]]


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1_795_000_000.0

    def __call__(self) -> float:
        return self.now


class Scripted(Delivery):
    """Delivery with given outcomes, one an attempt."""

    outcomes: list[Outcome]

    def deliver(self, attempt: Attempt) -> dict[str, Outcome]:
        outcome = self.outcomes.pop(0)
        return dict.fromkeys(attempt.recipients, outcome)


class World:
    """A server with one WebHook, whose thread is the test itself."""

    def __init__(self, etc: Path) -> None:
        self.server = servers.InProcess(etc)
        self.set("SpamPyzor", update={"singleton": {"enable": False}})
        intervals = {"0": {"duration": 50}}
        self.set("MtaDeliverySchedule", update={"b": {"retry": {"@type": "Custom", "intervals": intervals}}})
        self.told, self.clock = Told(), Clock()
        self.hooks = WebHooks(self.server.registry, self.told, self.clock)
        self.hooks._closed = True  # no thread: the test calls flush itself
        self.delivery = Scripted(self.server.registry, Resolver(self.server.registry), etc)
        self.queue = MailQueue(self.server.registry, self.delivery, self.hooks)

    def set(self, kind: str, **arguments: Any) -> dict[str, Any]:
        request = {"using": replay.USING, "methodCalls": [[f"x:{kind}/set", arguments, "c0"]]}
        result: dict[str, Any] = self.server.call(request, self.server.admin)[1]["methodResponses"][0][1]
        assert not any(key.startswith("not") for key in result), result
        return result

    def hook(self, **changes: Any) -> None:
        """Make the one WebHook and make it live."""
        body = {"url": "http://hook.test/", "enable": True, "throttle": 1000, "discardAfter": 60_000, **changes}
        self.set("WebHook", create={"w": body})
        assert self.server.registry.reload() is None

    def deliver(self, *outcomes: Outcome, sender: str = SENDER) -> None:
        """Send one message, with these outcomes of its attempts."""
        self.delivery.outcomes = list(outcomes)
        source = "authenticated" if sender else "dsn"
        self.queue.add(self.queue.new_id(), sender, [RCPT], b"Subject: t\r\n\r\nbody\r\n", source, "198.18.0.40", 465)

        async def run() -> None:
            task = asyncio.create_task(self.queue.run())
            while self.delivery.outcomes or self.queue.objects():
                await asyncio.sleep(0.02)
            task.cancel()

        asyncio.run(asyncio.wait_for(run(), 10))
        self.hooks.flush()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    result = World(tmp_path)
    yield result
    result.server.store.close()


NO_LOGIN = "Authentication failed: Code: 535, Enhanced code: 5.7.8, Message: Authentication credentials invalid"
DOWN = Outcome("deferred", "refused", "connection", "smart3.test", event="delivery.connect-error")
REFUSED = Outcome("deferred", NO_LOGIN, "connection", "smart1.test", event="delivery.auth-failed")
HARD = Outcome("failed", "550 5.1.1 no such user", "unexpected-reply", "smart1.test", f"RCPT TO:<{RCPT}>")
TAKEN = Outcome("delivered", "250 2.0.0 taken", "", "smart2.test", "DATA")


def test_events_are_of_the_recorded_form(world: World) -> None:
    world.hook(events={}, eventsPolicy="exclude")
    world.deliver(DOWN, REFUSED, TAKEN)
    world.deliver(HARD, TAKEN)  # the second is the report's
    world.deliver(HARD, sender="")
    world.clock.now += 2
    world.hooks.flush()
    recorded = {event["type"]: event for event in RECORDED["events"]}
    seen = {event["type"]: event for event in world.told.events()}
    assert set(seen) == set(recorded)
    assert EVENTS - {"queue.message-queued"} == set(recorded)
    for kind, event in seen.items():
        assert set(event) == set(recorded[kind])
        assert set(event["data"]) <= set(recorded[kind]["data"]), kind
        for name, value in event["data"].items():
            assert type(value) is type(recorded[kind]["data"][name]), (kind, name)
    assert seen["delivery.auth-failed"]["data"]["causedBy"] == recorded["delivery.auth-failed"]["data"]["causedBy"]
    assert seen["delivery.double-bounce"]["data"]["from"] == "<>"


def test_only_what_was_asked_for(world: World) -> None:
    world.hook(events={"delivery.dsn-perm-fail": True}, eventsPolicy="include")
    world.deliver(HARD, TAKEN)
    assert [event["type"] for event in world.told.events()] == ["delivery.dsn-perm-fail"]
    assert world.told.events()[0]["data"]["details"] == (
        f"Unexpected response for RCPT TO:<{RCPT}>: Code: 550, Enhanced code: 5.1.1, Message: no such user"
    )


def test_a_hook_that_is_switched_off_hears_nothing(world: World) -> None:
    world.hook(enable=False, events={}, eventsPolicy="exclude")
    world.deliver(TAKEN)
    assert world.told.bodies == []


def test_calls_are_gathered(world: World) -> None:
    world.hook(events={"delivery.completed": True}, eventsPolicy="include")
    world.deliver(TAKEN)
    assert len(world.told.bodies) == 1
    world.deliver(TAKEN)
    world.deliver(TAKEN)
    assert len(world.told.bodies) == 1
    world.clock.now += 1
    world.hooks.flush()
    assert [len(json.loads(body)["events"]) for body in world.told.bodies] == [1, 2]


def test_a_call_that_fails_is_made_again_until_its_events_are_too_old(world: World) -> None:
    world.hook(events={"delivery.completed": True}, eventsPolicy="include")
    world.told.refuse = 2
    world.deliver(TAKEN)
    for _ in range(2):
        assert world.told.bodies == []
        world.clock.now += 1
        world.hooks.flush()
    assert len(world.told.events()) == 1
    world.told.refuse = 100
    world.deliver(TAKEN)
    world.clock.now += 61
    world.hooks.flush()
    world.told.refuse = 0
    world.clock.now += 61
    world.hooks.flush()
    assert len(world.told.events()) == 1
