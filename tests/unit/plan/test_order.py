# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The order of publication covers every phase once, in order, and says what each step waits for."""

from __future__ import annotations

import dataclasses

import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError
from ansible_collections.mailstead.stack.plugins.module_utils.plan.model import MailPlan
from ansible_collections.mailstead.stack.plugins.module_utils.plan.order import STEPS, order, stages, sts_policies
from ansible_collections.mailstead.stack.plugins.module_utils.plan.phases import PHASES
from ansible_collections.mailstead.stack.plugins.module_utils.plan.show import show_plan

from tests.unit.examples import plan_a


@pytest.fixture
def plan() -> MailPlan:
    return plan_a()


def test_every_phase_is_published_by_one_step_in_order() -> None:
    assert tuple(phase for step in STEPS for phase in step.phases) == PHASES


@pytest.mark.parametrize(
    ("through", "stops"),
    [
        ("address", []),
        ("identity", ["address"]),
        ("keys", ["address"]),
        ("policy", ["address", "keys"]),
        ("certificate", ["address", "keys"]),
        ("delivery", ["address", "keys", "certificate"]),
    ],
)
def test_a_publication_stops_for_every_gate_before_its_end(through: str, stops: list[str]) -> None:
    assert stages(through) == stops


def test_an_unknown_phase_is_named() -> None:
    with pytest.raises(MailsteadError, match="MS-PLAN-002"):
        stages("soon")


def test_names_come_before_signatures_and_mx_comes_last(plan: MailPlan) -> None:
    lines = order(plan)
    assert [line.split(".")[0] for line in lines] == ["1", "2", "3", "4", "5", "6"]
    text = "\n".join(lines)
    places = [text.index(word) for word in ("addresses", "backwards", "public keys", "signs from now", "SPF", "MX")]
    assert places == sorted(places) and "MX" in lines[-1]
    assert text in show_plan(plan).replace("\n  ", "\n")


def test_steps_that_a_plan_does_not_need_are_not_announced(plan: MailPlan) -> None:
    bare = dataclasses.replace(plan, ptr=(), homes=(), domains=())
    assert not any("backwards" in line or "server, which" in line for line in order(bare))


def test_the_policies_are_those_that_domains_announce(plan: MailPlan) -> None:
    (found,) = sts_policies(plan)
    home = plan.homes[0].mta_sts
    assert found == {
        "domain": "example.com",
        "addresses": [a for a in (plan.edges[0].ipv4, plan.edges[0].ipv6) if a],
        "mode": home.mode,
        "mx": list(home.mx),
        "max_age": home.max_age,
        "zone": "example.com",
        "id": plan.domains[0].mta_sts_id,
    }
    off = dataclasses.replace(plan, domains=tuple(dataclasses.replace(d, mta_sts="off") for d in plan.domains))
    assert sts_policies(off) == []
