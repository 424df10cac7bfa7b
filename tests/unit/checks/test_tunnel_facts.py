# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the account's twin tells of a tunnel that was made as planned, and of one that somebody has changed by hand."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.mailstead.stack.plugins.filter.submission import tunnels_wanted
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare import tunnel_info
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.tunnel_model import Options, wishes
from ansible_collections.mailstead.stack.plugins.module_utils.plan.model import to_data

from lab.twins.cloudflare.zero_trust.model import Tunnel
from tests.unit.checks.senders import Sender, plan
from tests.unit.cloudflare.support import ZONE
from tests.unit.cloudflare.tunnels import Bench

CHECKS = ("S18", "S19", "S20", "S21")
Change = Callable[[Bench], object]


def rows() -> list[dict[str, Any]]:
    """The arguments of the modules, as the playbooks hand them over."""
    (account,) = tunnels_wanted(to_data(plan()))
    found: list[dict[str, Any]] = account["tunnels"]
    return found


def made() -> Bench:
    """Example D's tunnel, made by a run, with a connector at work."""
    bench = Bench()
    bench.converge(*rows())
    assert bench.works()
    tunnel = one_tunnel(bench)
    for index in range(4):
        assert bench.twin.register(tunnel.id, tunnel.secret, "connector", index)["registered"]
    return bench


def judged(bench: Bench) -> dict[str, str]:
    """Verdicts of the checks that rest on what the account tells."""
    wanted, lives = wishes(rows())
    options = Options("mailstead", bench.time)
    found = tunnel_info.report(bench.client(), wanted, lives, bench.held, options)
    world = Sender()
    world.now = bench.time.timestamp()
    world.facts = dataclasses.replace(world.facts, tunnels=found.facts)
    for secret in bench.secrets.values():
        assert secret not in str(found.facts)
    return {f.id: f.verdict for f in world.judge() if f.id in CHECKS}


def one_tunnel(bench: Bench) -> Tunnel:
    (found,) = bench.twin.trust.tunnels.values()
    return found


def test_a_tunnel_as_it_was_made_passes() -> None:
    assert plan().submissions[0].zone == ZONE
    assert judged(made()) == dict.fromkeys(CHECKS, "pass")


def open_to_all(bench: Bench) -> None:
    (policy,) = bench.twin.trust.policies.values()
    policy.include = [{"everyone": {}}]


def another_rule(bench: Bench) -> None:
    config = one_tunnel(bench).config
    assert config is not None
    config["ingress"].insert(0, {"hostname": f"ssh.{ZONE}", "service": "ssh://localhost:22"})


def unchecked(bench: Bench) -> None:
    config = one_tunnel(bench).config
    assert config is not None
    del config["ingress"][0]["originRequest"]


@pytest.mark.parametrize(
    ("change", "failed"),
    [
        (open_to_all, {"S19"}),
        (lambda b: b.twin.trust.apps.clear(), {"S19"}),
        (another_rule, {"S21"}),
        (unchecked, {"S21"}),
        (lambda b: b.twin.unregister(one_tunnel(b).id), {"S18"}),
        (lambda b: b.pass_time(days=366), {"S20"}),
    ],
    ids=["everybody", "no application", "another rule", "unchecked", "down", "expired"],
)
def test_what_was_changed_by_hand_is_noticed(change: Change, failed: set[str]) -> None:
    bench = made()
    change(bench)
    assert {check for check, verdict in judged(bench).items() if verdict == "fail"} == failed
