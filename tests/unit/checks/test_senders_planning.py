# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A service through which applications send: who looks from where with which secrets, and how the report shows it."""

from __future__ import annotations

import dataclasses

from ansible_collections.mailstead.stack.plugins.module_utils.checks import report
from ansible_collections.mailstead.stack.plugins.module_utils.checks.view import (
    bounce_domains,
    named_secrets,
    secret_references,
)
from ansible_collections.mailstead.stack.plugins.module_utils.plan.resolve import facts_from
from ansible_collections.mailstead.stack.plugins.plugin_utils import report_files

from tests.unit.checks.senders import (
    APP,
    BOX,
    CONTROLLER,
    FORGED,
    FROM,
    HOST,
    LOGIN_1,
    LOGIN_2,
    NONE,
    STARTTLS,
    TLS,
    WITNESS,
    WRONG,
    Sender,
    down,
    plan,
)
from tests.unit.checks.world import NOW


def test_no_host_gets_a_secret_that_is_not_its_own() -> None:
    of = plan()
    probes = Sender().probes
    login = of.submissions[0].probe
    assert login is not None
    assert named_secrets(probes[APP]) == {login.secret}
    assert named_secrets(probes[HOST]) == {login.secret, *(s.secret for s in of.submissions[0].smarthosts)}
    assert named_secrets(probes[CONTROLLER]) == {c.secret for c in of.canaries}
    assert set(secret_references(of)) == set().union(*(named_secrets(p) for p in probes.values()))


def test_every_login_wants_verified_tls() -> None:
    logins = [p for found in Sender().probes.values() for p in found if "auth" in p["args"]]
    assert logins and all(p["args"]["auth"]["strict"] for p in logins)
    assert all(p["args"]["tls"] in ("implicit", "starttls") for p in logins)


def test_what_a_client_does_goes_through_its_tunnel() -> None:
    direct = {TLS, NONE, WRONG, "clock"}
    through = [p["args"] for p in Sender().probes[APP] if p["id"] not in direct]
    ends = {
        (a["submission"]["addresses"][0], a["submission"]["port"])
        if "submission" in a
        else (a["address"], a["port"])
        for a in through
    }  # fmt: skip
    assert ends == {("127.0.0.1", 2525)} and len(through) == 4


def test_what_is_sent_is_what_is_awaited_and_no_token_begins_another() -> None:
    world = Sender()
    sent = {v: p["args"]["token"] for v, found in world.probes.items() for p in found if p["kind"] == "submit"}
    (box,) = [p for p in world.probes[CONTROLLER] if p["id"] == BOX]
    assert box["args"]["tokens"] == sent and set(sent) == {HOST, APP}
    tokens = list(sent.values())
    assert not [t for t in tokens for other in tokens if t != other and t in other]


def test_passwords_are_guessed_from_one_place_only() -> None:
    """Behind the tunnel everybody has one address, which the server might shut out."""
    assert [v for v, found in Sender().probes.items() for p in found if "made_up" in str(p["args"])] == [HOST]


def test_a_message_that_should_be_refused_names_a_witness_or_nobody() -> None:
    (forged,) = [p for p in Sender().probes[HOST] if p["id"] == FORGED]
    sent = {s["label"]: s.get("send") or s["message"] for s in forged["args"]["steps"]}
    assert sent["rcpt"] == f"RCPT TO:<{WITNESS}>" and "From: <somebody-else@example.com>" in sent["header"]
    assert sent["neighbour"] == "MAIL FROM:<noreply@example.com>" and sent["mail"] == f"MAIL FROM:<{FROM}>"
    nobody = dataclasses.replace(plan(), canaries=())
    (forged,) = [p for p in Sender(nobody).probes[HOST] if p["id"] == FORGED]
    assert [s["send"] for s in forged["args"]["steps"] if s["label"] == "rcpt"] == ["RCPT TO:<probe@example.net>"]


def test_bounces_go_where_the_mail_leaves_from() -> None:
    service_ = plan().submissions[0]
    assert bounce_domains(service_) == ("ci.example.com", "example.com")
    assert bounce_domains(dataclasses.replace(service_, webhook="https://x.example/")) == ()
    told_ = tuple(dataclasses.replace(a, return_path="ops@b.example") for a in service_.applications)
    assert bounce_domains(dataclasses.replace(service_, applications=told_, webhook="https://x.example/")) == (
        "b.example",
    )


def test_facts_of_services_come_as_json() -> None:
    known = facts_from({"tunnels": {"notify": {"status": "down"}}, "smarthosts": {"notify": None}})
    assert known.tunnels["notify"]["status"] == "down" and known.smarthosts["notify"] == {}


# -- report ------------------------------------------------------------------------------------------------------------


def test_the_report_names_the_service_and_draws_its_way() -> None:
    world = Sender()
    built = report.build(world.plan, world.judge(), (), NOW)
    assert "notify" in built["subjects"]
    (shown,) = [d for d in built["domains"] if d["name"] == "notify"]
    assert shown["verdict"] == "pass" and shown["inbound"] == []
    assert [s["name"] for s in shown["sending"]] == ["application", "tunnel", "service", "smarthosts", "receiver"]
    down(LOGIN_1, LOGIN_2)(world)
    built = report.build(world.plan, world.judge(), (), NOW)
    (shown,) = [d for d in built["domains"] if d["name"] == "notify"]
    assert {s["name"] for s in shown["sending"] if s["verdict"] == "fail"} == {"smarthosts"}
    assert "From applications to the Internet" in report_files.html(built)


def test_a_service_without_a_login_for_checks_is_looked_at_from_outside_only() -> None:
    """Nor is a port tried that the plan does not open."""
    world = Sender(plan(probe=None, listeners=()))
    kinds = {p["kind"] for found in world.probes.values() for p in found}
    assert "submit" not in kinds and BOX not in {p["id"] for p in world.probes[CONTROLLER]}
    assert STARTTLS not in {p["id"] for p in world.probes[HOST]}
    open_ = {f.id for f in world.judge() if f.verdict == "unknown" and f.matters}
    assert open_ == {"S7", "S8", "S9", "S10", "S13", "S26", "S27", "S28"}
