# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mail for a domain without a server, in the running lab after the scenario email_routing has set it up."""

from __future__ import annotations

import re

import pytest

from lab import engine, faults
from lab.topology import ROUTING_EXCHANGES, host
from tests.lab import routing_world as world
from tests.lab.routing_world import GMAIL, MAILBOX, STRANGER, ZONE, Answer

pytestmark = pytest.mark.lab

CANARY = "canary@strict.example.org"


@pytest.fixture(scope="module", autouse=True)
def served() -> None:
    client = engine.connect()
    if client is None or not client.containers.list(filters={"name": host("routing").container}):
        pytest.skip("the lab runs without Email Routing's exchangers (python -m lab up --with routing)")
    assert sorted(world.exchangers(ZONE)) == sorted(ROUTING_EXCHANGES)


def accepted(answer: Answer) -> str:
    assert answer.code == 250, answer
    return answer.token


def refused(answer: Answer, code: int, words: str) -> None:
    assert answer.code == code and re.search(words, answer.text), answer


def test_a_strangers_message_is_in_the_mailbox_and_every_check_passes() -> None:
    delivered = world.arrived(accepted(world.send(f"hi@{ZONE}")))
    assert re.fullmatch(rf"<SRS0=\S{{4}}=\w\w=stranger\.example\.org=visitor@{ZONE}>", str(delivered["Return-Path"]))
    assert delivered["From"] == STRANGER
    found = world.results(delivered)
    assert f"spf=pass smtp.mailfrom={ZONE}" in found or "spf=pass" in found
    # The sender's own signature has survived, and the service has added two.
    for domain in ("stranger.example.org", ZONE, "cloudflare-email.net"):
        assert re.search(rf"dkim=pass[^|]*header\.d={re.escape(domain)}", found), found
    assert "dmarc=pass" in found and "header.from=stranger.example.org" in found
    assert "by cloudflare-email.net (cloudflare)" in str(delivered.get_all("Received"))


def test_a_tag_reaches_the_same_mailbox() -> None:
    world.arrived(accepted(world.send(f"hi+shop@{ZONE}")))


def test_every_other_address_reaches_the_catch_all() -> None:
    world.arrived(accepted(world.send(f"anything.at.all@{ZONE}")))


def test_mail_to_a_dropped_address_is_taken_and_gone() -> None:
    gone = accepted(world.send(f"old@{ZONE}"))
    world.arrived(accepted(world.send(f"hi@{ZONE}")))
    assert world.find(gone) is None


def test_a_worker_decides_about_its_address() -> None:
    world.arrived(accepted(world.send(f"alerts@{ZONE}", words="disk full")))
    refused(world.send(f"alerts@{ZONE}", words="the lottery"), 550, "no lottery, please")
    gone = accepted(world.send(f"alerts@{ZONE}", words="a digest"))
    world.arrived(accepted(world.send(f"hi@{ZONE}")))
    assert world.find(gone) is None


def test_a_disabled_rule_does_not_deliver() -> None:
    with world.without_catch_all(), world.rule(f"off@{ZONE}", "forward", MAILBOX, enabled=False):
        refused(world.send(f"off@{ZONE}"), 550, r"5\.1\.1 Address does not exist")
        world.arrived(accepted(world.send(f"hi@{ZONE}")))


def test_mail_that_proves_nothing_is_refused_also_behind_a_worker() -> None:
    nothing = {"envelope": "somebody@outlook.com", "sign": False}
    refused(world.send(f"hi@{ZONE}", **nothing), 550, "neither SPF nor DKIM")  # type: ignore[arg-type]
    refused(world.send(f"alerts@{ZONE}", **nothing), 550, "")  # type: ignore[arg-type]


def test_a_senders_strict_policy_is_enforced() -> None:
    refused(world.send(f"hi@{ZONE}", author="ceo@strict.example.org"), 550, "DMARC")


def test_the_destinations_refusal_reaches_the_sender_in_the_session() -> None:
    """SPF carries the message to the service but not beyond: behind it nothing is aligned with a sender without DKIM."""
    with faults.record("_dmarc.stranger.example.org", "TXT", '"v=DMARC1; p=reject"'):
        refused(world.send(f"hi@{ZONE}", sign=False), 550, r"5\.7\.1 rejected by DMARC policy")
        world.arrived(accepted(world.send(f"hi@{ZONE}")))


def test_sending_as_the_address_through_a_personal_gmail_fails_dmarc_and_arrives_under_none() -> None:
    """Gmail keeps the account as return path and signs, if at all, for itself: neither is aligned with the domain."""
    delivered = world.arrived(accepted(send_as()), CANARY)
    found = world.results(delivered)
    assert "spf=pass" in found, found
    assert re.search(r"dmarc=fail \(p=none [^)]*\) header\.from=" + re.escape(ZONE), found), found


def test_the_same_mail_is_refused_under_a_policy_that_asks_for_it() -> None:
    with faults.record(f"_dmarc.{ZONE}", "TXT", '"v=DMARC1; p=reject"'):
        refused(send_as(), 550, r"5\.7\.1 rejected by DMARC policy")


def send_as() -> Answer:
    return world.send(CANARY, sender=GMAIL, envelope=MAILBOX, author=f"hi@{ZONE}", sign=False)


def test_what_happened_is_in_the_statistics() -> None:
    accepted(world.send(f"hi@{ZONE}"))
    world.send(f"hi@{ZONE}", envelope="somebody@outlook.com", sign=False)
    query = (
        "query($zone: string!) { viewer { zones(filter: {zoneTag: $zone}) "
        "{ emailRoutingAdaptiveGroups(limit: 100) { count dimensions { action spf status } } } } }"
    )
    answer = world.api("POST", "graphql", {"query": query, "variables": {"zone": world.zone()["id"]}})
    groups = answer["data"]["viewer"]["zones"][0]["emailRoutingAdaptiveGroups"]
    seen = {(g["dimensions"]["action"], g["dimensions"]["status"], g["dimensions"]["spf"]) for g in groups}
    assert {("forward", "forwarded", "pass"), ("forward", "rejected", "none")} <= seen, groups
