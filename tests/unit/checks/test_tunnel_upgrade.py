# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The probe at the lab's edge of tunnels, with a connector behind it: who is let in, and what the checks make of it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.checks.probes.upgrade import probe_upgrade

from tests.unit.checks.senders import CONTROLLER, NONE, WRONG, Sender
from tests.unit.checks.servers import LOOPBACK, context
from tests.unit.checks.world import verdicts
from tests.unit.lab.tunnel.worlds import HOSTNAME, TOKEN, World, ingress, world

GOOD = {"client_id": TOKEN[0], "client_secret": TOKEN[1]}


def wrong() -> dict[str, Any]:
    """What the plan makes up."""
    (probe,) = [p["args"] for p in Sender().probes[CONTROLLER] if p["id"] == WRONG]
    return {k: v for k, v in probe.items() if k != "hostname"}


async def ask(lab: World, **token: Any) -> dict[str, Any]:
    """In a thread: the edge answers in this one."""
    args = {"hostname": HOSTNAME, "port": lab.port, "addresses": [LOOPBACK], **token}
    return await asyncio.to_thread(probe_upgrade, args, context())


def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protected: bool, connected: bool = True) -> list[Any]:
    """Answers to no token, a made-up one and the right one."""
    found: list[Any] = []

    async def three(lab: World) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(lab.pem))
        for token in ({}, wrong(), GOOD):
            found.append(await ask(lab, **token))

    async def play() -> None:
        async with world(tmp_path) as lab:
            lab.account.protected = protected
            lab.account.config = ingress(lab.service.port, required=protected)
            if not connected:
                await three(lab)
                return
            async with lab.connected():
                await three(lab)

    asyncio.run(asyncio.wait_for(play(), 30))
    return found


def judged(none: dict[str, Any], made_up: dict[str, Any]) -> tuple[set[str], set[str]]:
    healthy = Sender()
    for probe, data in ((NONE, none), (WRONG, made_up)):
        for seen in healthy.everywhere(probe):
            seen.update(data)
    findings = healthy.judge()
    return verdicts(findings, "S15"), verdicts(findings, "S16")


def test_behind_access_only_a_good_token_opens_anything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    none, made_up, good = asked(tmp_path, monkeypatch, protected=True)
    assert (none["status"], made_up["status"], good["status"]) == (401, 403, 101)
    assert judged(none, made_up) == ({"pass"}, {"pass"})


def test_a_tunnel_without_access_is_open_and_that_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    none, made_up, _good = asked(tmp_path, monkeypatch, protected=False)
    assert (none["status"], made_up["status"]) == (101, 101)
    assert judged(none, made_up) == ({"fail"}, {"fail"})


def test_a_tunnel_that_is_down_proves_nothing_of_its_access(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    none, made_up, _good = asked(tmp_path, monkeypatch, protected=False, connected=False)
    assert none["status"] == 530
    assert judged(none, made_up) == ({"unknown"}, {"unknown"})
