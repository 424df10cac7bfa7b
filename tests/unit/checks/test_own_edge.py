# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of an edge that a service for applications sends through: it is judged as any edge, and no home is asked for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from tests.unit.checks.senders import BOX, LAN, SERVER, SMARTHOSTS, Sender, plan
from tests.unit.checks.world import RECEIVER, verdicts
from tests.unit.examples import HOSTS, HOSTS_D, plan_d

EDGE, NAME, VPS, RELAY = "198.18.1.10", "mail.example.com", "vps1", "172.29.25.11"
INPUTS = {"return_path": "em123456", "dkim_selector": "s123456"}
PROVIDER = {**SMARTHOSTS[1], "inputs": INPUTS}


class Own(Sender):
    """The service's mail leaves through the edge; hop: who handed it to the receiver."""

    def __init__(self, smarthosts: Iterable[Any] = ("edge",), hop: tuple[str, str] = (NAME, EDGE)) -> None:
        self.hop = hop
        hosts = {**HOSTS_D, "vps1": HOSTS["vps1"], "stranger": HOSTS["stranger"]}
        super().__init__(plan(plan_d(hosts=hosts, smarthosts=list(smarthosts))))

    def _mailbox(self, args: dict[str, Any], vantage: str) -> dict[str, Any]:
        data = super()._mailbox(args, vantage)
        name, address = self.hop
        line = ["Received", f"from {name} ({name} [{address}]) by {RECEIVER} with ESMTPS id 1"]
        for message in data["messages"].values():
            message["headers"] = [line, *message["headers"]]
        return data


def test_an_edge_without_a_home_passes_all_that_is_asked_of_it() -> None:
    world = Own()
    findings = world.judge()
    # R8: the example has no postmaster in one of its domains.
    bad = [(f.id, f.scope, f.observed) for f in findings if f.verdict in ("fail", "warn") and f.id != "R8"]
    assert not bad, bad
    waiting = [(f.id, f.scope, f.observed) for f in findings if f.verdict == "unknown" and f.matters]
    assert not waiting, waiting
    for check in ("A1", "A2", "A3", "A4", "A5", "A7", "F14", "S22"):
        assert verdicts(findings, check) == {"pass"}, check
    assert verdicts(findings, "B1", f"{VPS}/ipv4") == {"pass"}
    assert verdicts(findings, "C2", VPS) == {"na"}
    keys = [f.key for f in findings]
    assert sorted(keys) == sorted(set(keys))


def test_its_relay_is_looked_for_within_the_tunnel_and_without_a_login() -> None:
    world = Own(["edge", PROVIDER])
    (probe,) = (p for p in world.probes["lan-box"] if p["id"] == "smarthost.login/notify/1-edge")
    assert (probe["args"]["address"], probe["args"]["port"], probe["args"]["tls"]) == (RELAY, 2525, "none")
    assert "auth" not in probe["args"]
    world.data(probe["id"]).update(connect="refused", ended="refused", banner="", ehlo=[])
    (finding,) = (f for f in world.judge() if f.id == "S22" and f.scope == "notify/1-edge")
    assert (
        finding.verdict == "warn" and "mailstead-frpc" in finding.fix and "another smarthost works" in finding.observed
    )


def test_port_25_has_to_be_open_at_the_edge_and_the_reverse_record_there() -> None:
    world = Own()
    for row in world.data(_egress(world), VPS)["operators"]:
        row.update(outcome="dropped", banner="", control={"465": "open"})
    assert verdicts(world.judge(), "B1", f"{VPS}/ipv4") == {"fail"}
    world = Own()
    world.data(_reverse(world)).update(ptr=[], forward={})
    assert verdicts(world.judge(), "A1", EDGE) == {"fail"}


def _egress(world: Own) -> str:
    return next(str(p["id"]) for p in world.probes[VPS] if p["kind"] == "egress25" and p["args"]["family"] == "ipv4")


def _reverse(world: Own) -> str:
    return next(str(p["id"]) for p in world.probes["localhost"] if p["kind"] == "reverse")


def test_mail_that_leaves_from_another_address_is_found() -> None:
    world = Own(hop=("home.example.net", "198.18.7.7"))
    findings = world.judge()
    assert verdicts(findings, "A7", VPS) == {"fail"} and verdicts(findings, "A3", EDGE) == {"fail"}


@pytest.mark.parametrize(("hop", "verdict"), [((NAME, EDGE), "pass"), (("smtp2go.example.net", "198.18.0.81"), "na")])
def test_beside_a_provider_a_message_may_have_left_elsewhere(hop: tuple[str, str], verdict: str) -> None:
    findings = Own([PROVIDER, "edge"], hop).judge()
    assert verdicts(findings, "A7", VPS) == {verdict}
    assert verdicts(findings, "A3", EDGE) == {"pass"}


def test_without_the_message_nothing_is_said_of_where_it_came_from() -> None:
    world = Own()
    world.lose(BOX)
    assert verdicts(world.judge(), "A7", VPS) == {"na"}


def test_nothing_is_tried_at_an_edge_that_nothing_comes_in_by() -> None:
    world = Own()
    tried = [
        p["id"]
        for p in world.probes["stranger"]
        if EDGE in str(p["args"]) and p["kind"] in ("smtp", "tls", "forged_proxy")
    ]
    assert not tried, tried
    assert {LAN, SERVER} & {str(p["args"].get("address")) for p in world.probes["lan-box"]}
