# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The checks of a service for applications against a server that was set up as the product does it, whole and with holes.

Always on the stand-in; on the real server too where ``MAILSTEAD_CONTRACT_IMAGE`` names its image.
"""

from __future__ import annotations

import copy
import dataclasses
import socket
import time
from typing import Any

import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.checks.finding import Finding
from ansible_collections.mailstead.stack.plugins.module_utils.checks.judges import judge
from ansible_collections.mailstead.stack.plugins.module_utils.checks.planning import probe_plan
from ansible_collections.mailstead.stack.plugins.module_utils.checks.probes.context import Context, dial
from ansible_collections.mailstead.stack.plugins.module_utils.checks.probes.runner import run
from ansible_collections.mailstead.stack.plugins.module_utils.checks.view import View
from ansible_collections.mailstead.stack.plugins.module_utils.plan.resolve import Facts

from tests.contract.test_submission import NAMES, PASSWORD, RELAY, World, world
from tests.unit.examples import plan_d

__all__ = ["world"]

HOST, APP = "lan-box", "app1"
#: What the server itself decides; the tunnel, the DNS and the receiver are not here.
OF_THE_SERVER = {f"S{n}" for n in (*range(1, 15), 17, 22, 23)}
PORTS = {465: "submissions", 2525: "submissions", 587: "submission"}


@pytest.fixture(autouse=True)
def trusted(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server's certificate is in the trust store of whoever probes."""
    monkeypatch.setenv("SSL_CERT_FILE", str(world.server.etc / "ca.crt"))
    world.fresh()


def findings_of(world: World, run_id: str = "0123456789ab") -> dict[str, Finding]:
    """What the service's own host and a client find, by key."""
    plan = dataclasses.replace(plan_d(), submissions=(world.plan,))
    assert world.plan.probe is not None
    secrets = {world.plan.probe.secret: PASSWORD, "relay": RELAY[1]}

    def dialer(address: str, port: int, timeout: float) -> socket.socket:
        """Names and addresses of the plan lead to where the test's parts listen."""
        if address in NAMES:
            return dial(world.server.near, world.ports[NAMES.index(address)], timeout)
        if port not in PORTS:
            # The real server's own address shows what it listens on; the stand-in has no ports of its own.
            host = world.server.place("submissions")[0]
            if not world.server.real:
                raise ConnectionRefusedError(111, "refused")
            return dial(host, port, timeout)
        return dial(*world.server.place(PORTS[port]), timeout)

    seen = []
    for vantage, probes in probe_plan(View(plan, Facts()), run_id).items():
        if vantage in (HOST, APP):
            mine = [{**p["args"], "id": p["id"], "kind": p["kind"]} for p in probes if p["kind"] in KINDS]
            ctx = Context(vantage, time.monotonic() + 60, dialer=dialer, secrets=secrets, hostname="probe.example.org")
            seen += run(mine, ctx)
    return {f.key: f for f in judge(plan, seen, Facts(), time.time()) if f.id in OF_THE_SERVER}


KINDS = ("smtp", "tls", "submit")


def test_a_service_as_the_product_sets_it_up_passes(world: World) -> None:
    found = findings_of(world)
    assert {f.id for f in found.values()} == OF_THE_SERVER
    assert {k: f"{f.verdict}: {f.observed}" for k, f in found.items() if f.verdict != "pass"} == {}
    # Both ways have handed in one message, and none of the forged ones was taken.
    world.until(lambda: len(world.taken()) >= 2)
    assert {(sender, to) for _host, sender, to in world.taken()} == {
        (world.plan.probe_sender, ("canary@strict.example.org",))
    }


#: Objects, what is changed in each, and the checks that have to notice.
Hole = tuple[dict[str, dict[str, Any]], set[str]]


def always(value: str) -> dict[str, Any]:
    return {"match": [], "else": value}


HOLES: dict[str, Hole] = {
    "any sender": ({"MtaStageMail": {"isSenderAllowed": always("true")}}, {"S7", "S9"}),
    "any From": ({"MtaStageData": {"script": always("false")}}, {"S8"}),
    "logins take mail": ({"MtaStageRcpt": {"script": always("false")}}, {"S13"}),
    "another size": ({"MtaStageData": {"maxMessageSize": always("52428800")}}, {"S14"}),
    "passwords without TLS": ({"MtaStageAuth": {"saslMechanisms": always("[plain, login]")}}, {"S5"}),
    "nobody has to log in": (
        {
            "MtaStageAuth": {"require": always("false")},
            "MtaStageMail": {"isSenderAllowed": always("true")},
            "MtaStageRcpt": {"allowRelaying": always("true")},
        },
        {"S5", "S6", "S7", "S9", "S12"},
    ),
}


@pytest.mark.parametrize("name", list(HOLES))
def test_a_hole_is_found_on_every_way(world: World, name: str) -> None:
    changes, checks = HOLES[name]
    objects = copy.deepcopy([o for o in world.objects if o["type"] in changes])
    assert len(objects) == len(changes)
    for one in objects:
        one["properties"].update(changes[one["type"]])
    world.server.apply(objects)
    try:
        found = findings_of(world, "ba9876543210")
    finally:
        world.server.apply(world.objects)
    failed = {f.id for f in found.values() if f.verdict == "fail"}
    assert failed == checks, {k: f.observed for k, f in found.items() if f.verdict == "fail"}
    ways = {f.scope for f in found.values() if f.verdict == "fail" and f.scope.count("/")}
    assert ways in (set(), {"notify/lan", f"notify/{APP}"})
