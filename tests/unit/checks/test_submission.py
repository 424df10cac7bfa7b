# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A domain whose mail others take and that our own server sends for: what is proven of it, and what is not asked."""

from __future__ import annotations

import dataclasses

import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.checks import report
from ansible_collections.mailstead.stack.plugins.module_utils.checks.finding import exit_code
from ansible_collections.mailstead.stack.plugins.module_utils.checks.view import View
from ansible_collections.mailstead.stack.plugins.module_utils.intent.read import read_intent
from ansible_collections.mailstead.stack.plugins.module_utils.plan.build import build_plan
from ansible_collections.mailstead.stack.plugins.module_utils.plan.resolve import Facts
from ansible_collections.mailstead.stack.plugins.plugin_utils.profiles import profiles

from tests.unit.checks.test_routing import WITNESS, Routed, told
from tests.unit.checks.world import DOMAIN, HOST, NOW, V4, facts, failed, verdicts
from tests.unit.examples import DOMAIN_A, DOMAIN_SENT, raw

ME = "example.me"
ADDRESSES = {**DOMAIN_SENT["inbound"]["addresses"], "probe": WITNESS}
DOMAIN_ME = {**DOMAIN_SENT, "inbound": {**DOMAIN_SENT["inbound"], "addresses": ADDRESSES}}
PLAN = build_plan(read_intent(raw([DOMAIN_A, DOMAIN_ME]), profiles=profiles()))
ELSEWHERE = f"smtp.elsewhere/{ME}"
#: Of mail that comes in through our own server.
INBOUND = ("C4", "E4", "I1", "L9", "L10", "L11", "M1", "P5")


def known() -> Facts:
    return dataclasses.replace(facts(DOMAIN, ME), routing={ME: told(PLAN)})


class Sent(Routed):
    """Example A's home, which sends for a domain whose mail Email Routing takes."""

    def __init__(self) -> None:
        super().__init__(PLAN, known())


@pytest.fixture(name="world")
def fixture_world() -> Sent:
    return Sent()


def test_everything_about_it_passes(world: Sent) -> None:
    findings = world.judge()
    assert {(f.id, f.scope, f.observed) for f in findings if f.verdict not in ("pass", "na")} == set()
    assert exit_code(findings) == 0
    passed = {f.id for f in findings if f.verdict == "pass" and f.scope.startswith(ME)}
    assert {"F1", "F10", "G6", "H1", "H7", "L13", "L14", "L16", "P1", "P2", "P3", "P4", "R1", "R2", "R3"} <= passed


def test_each_check_is_made_once(world: Sent) -> None:
    keys = [f.key for f in world.judge()]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize("check", INBOUND)
def test_nothing_is_asked_about_mail_that_others_take(world: Sent, check: str) -> None:
    findings = world.judge()
    assert verdicts(findings, check, DOMAIN) and not verdicts(findings, check, ME)


@pytest.mark.parametrize(
    ("code", "verdict"), [(250, "fail"), (550, "pass"), (452, "unknown")], ids=["taken", "refused", "later"]
)
def test_a_strangers_mail_for_it_must_be_refused(world: Sent, code: int, verdict: str) -> None:
    world.data(ELSEWHERE)["replies"]["rcpt"] = {"code": code, "text": f"{code} so"}
    (finding,) = [f for f in world.judge() if f.id == "L16"]
    assert (finding.verdict, finding.scope, finding.observed) == (verdict, ME, f"{code} so")
    assert finding.fix or verdict == "pass" or verdict == "unknown"


def test_what_nobody_saw_is_unknown(world: Sent) -> None:
    world.data(ELSEWHERE)["replies"].pop("rcpt")
    assert verdicts(world.judge(), "L16") == {"unknown"}
    world.lose(ELSEWHERE)
    assert verdicts(world.judge(), "L16") == {"unknown"}


def test_without_somebody_outside_nobody_can_say(world: Sent) -> None:
    plan = dataclasses.replace(PLAN, vantages=())
    assert View(plan, known()).vantages.outside == ()
    world.plan = plan
    (finding,) = [f for f in world.judge() if f.id == "L16"]
    assert (finding.verdict, finding.matters) == ("unknown", False)


def test_its_users_hand_in_mail_at_the_edge_it_leaves_from(world: Sent) -> None:
    probes = {p["id"]: p["args"] for found in world.probes.values() for p in found}
    canary = probes[f"mail.canary/{ME}/canary@strict.example.org"]
    assert (canary["sender"], canary["submission"]["name"]) == (f"hi@{ME}", HOST)
    forged = probes[f"submission.forged/{ME}"]
    assert (forged["address"], forged["auth"]["username"]) == (V4, f"hi@{ME}")
    assert f"mail.mailbox/{ME}" not in probes and f"mail.stranger/{ME}" not in probes


def test_a_wrong_key_is_noticed(world: Sent) -> None:
    world.publish(f"202611r._domainkey.{ME}", "TXT", "v=DKIM1; k=rsa; p=")
    assert failed(world.judge()) & {"G1", "G3", "G5"}


def test_the_report_shows_its_way_out_and_no_way_in(world: Sent) -> None:
    built = report.build(PLAN, world.judge(), (), NOW)
    assert built["subjects"] == [DOMAIN, ME]
    shown = {d["name"]: d for d in built["domains"]}
    assert shown[DOMAIN]["inbound"] and shown[ME]["inbound"] == [] and shown[ME]["outbound"]
    assert shown[ME]["verdict"] == "pass"
