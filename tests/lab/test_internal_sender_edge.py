# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The service of inventory/lab_sender sends through an edge of ours, added in the running lab and taken out again.

Needs the lab of the scenario internal_sender. The edge itself, its name and its reverse record stay.
"""

from __future__ import annotations

import re
import uuid
from email.message import Message
from pathlib import Path

import pytest

from lab import engine
from lab.topology import SMARTHOSTS, host
from tests.lab import playbooks
from tests.lab import routing_world as world
from tests.lab import sender_world as here
from tests.lab.sender_world import BOUNCES, CANARY, LAN, TUNNEL_SYSTEMD

pytestmark = pytest.mark.lab

OVERLAY = "tests/lab/own_edge"
EDGE, CLIENT, UNIT = host("vps1").address4(), "mailstead-frpc", "mailstead-relay"
SMTP2GO = SMARTHOSTS["smtp2go"][1]


def converge(*more: str) -> list[tuple[str, str]]:
    """One whole run: each host with the number of its changes."""
    code, shown = here.play("site.yml", more=more)
    assert code == 0, shown[-6000:]
    return re.findall(r"^(\S+)\s+: ok=[1-9]\d*\s+changed=(\d+)", shown, re.MULTILINE)


@pytest.fixture(scope="module", autouse=True)
def served() -> None:
    if engine.connect() is None:
        pytest.fail("the lab does not run (python -m lab up --with …, see molecule/internal_sender/create.yml)")
    converge(OVERLAY)


def sent(author: str, application: str = "billing", way: tuple[str, str, int] = LAN) -> str:
    code, text, token = here.send(author, application=application, way=way)
    assert code == 250, f"{code} {text}"
    return token


def received(delivered: Message) -> list[str]:
    return [str(line) for line in delivered.get_all("Received") or ()]


@pytest.mark.parametrize("way", [LAN, TUNNEL_SYSTEMD], ids=["lan", "tunnel"])
@pytest.mark.parametrize(
    ("application", "author"), [("billing", "noreply@example.com"), ("ci", "build-17@ci.example.com")]
)
def test_what_leaves_through_the_edge_passes_at_the_strict_receiver(
    way: tuple[str, str, int], application: str, author: str
) -> None:
    domain = author.rpartition("@")[2]
    delivered = here.arrived(sent(author, application, way))
    found = world.results(delivered)
    assert "spf=pass" in found, found
    assert re.search(rf"dkim=pass[^|]*header\.d={re.escape(domain)}\b", found), found
    assert re.search(r"dmarc=pass [^|]*header\.from=" + re.escape(domain), found), found
    lines = received(delivered)
    assert f"[{EDGE}]" in lines[0] and "mail.example.com" in lines[0], lines
    # Neither the machine at home nor the way to the edge can be seen.
    assert not re.search(r"\b(192\.168|172\.29)\.", " ".join(lines)), lines


def test_what_a_receiver_refuses_for_good_comes_back_through_the_edge() -> None:
    recipient = f"nobody-{uuid.uuid4().hex}@strict.example.org"
    code, text, token = here.send("noreply@example.com", recipient)
    assert code == 250, f"{code} {text}"
    assert engine.wait_until(lambda: world.holding(token, BOUNCES) is not None, 90, every=1.0), "no bounce"


def test_while_the_edge_is_down_a_provider_gets_it() -> None:
    here.on("vps1", "systemctl", "stop", UNIT)
    try:
        token = sent("noreply@example.com")
        assert engine.wait_until(lambda: world.find(token, CANARY) is not None, 90, every=1.0), "it did not arrive"
        waiting = sent("build@ci.example.com", "ci")
    finally:
        here.on("vps1", "systemctl", "start", UNIT)
    assert SMTP2GO in received(here.arrived(token))[0]
    # Who has no other smarthost waits for it.
    assert engine.wait_until(lambda: world.find(waiting, CANARY) is not None, 120, every=1.0), "it did not arrive later"
    assert f"[{EDGE}]" in received(here.arrived(waiting))[0]


def test_nobody_else_gets_to_the_relay() -> None:
    """The tunnel's end is on the server's own network; from the local network and from outside nothing answers."""
    for address in (host(here.MACHINE).address4(), EDGE):
        assert not here.answers(address, 2525), address
    published = here.on(here.MACHINE, "docker", "inspect", "--format", "{{json .NetworkSettings.Ports}}", CLIENT)
    assert '"HostPort"' not in published, published


def test_a_further_run_changes_nothing() -> None:
    recap = converge(OVERLAY)
    assert {name for name, _changed in recap} >= {"localhost", "lan-box", "vps1", "app1", "app2"}, recap
    assert all(changed == "0" for _name, changed in recap), recap


def test_every_check_passes(tmp_path: Path) -> None:
    report = playbooks.verify(tmp_path, (here.INVENTORY, OVERLAY))
    failed = [f for f in report["findings"] if f["verdict"] in ("fail", "unknown")]
    assert not failed, failed
    passed = {(f["id"], f["scope"]) for f in report["findings"] if f["verdict"] == "pass"}
    assert {("S22", "notify/1-edge"), ("A7", "vps1"), ("A1", EDGE), ("B1", "vps1/ipv4")} <= passed


def test_taken_out_again_it_leaves_nothing_behind_on_the_services_host() -> None:
    converge()
    assert CLIENT not in here.on(here.MACHINE, "docker", "ps", "--all", "--format", "{{.Names}}").split()
    assert here.on(here.MACHINE, "find", "/etc/mailstead", "-maxdepth", "1", "-name", "frpc") == ""
    delivered = here.arrived(sent("noreply@example.com"))
    assert EDGE not in received(delivered)[0]
    assert all(changed == "0" for _name, changed in converge())
