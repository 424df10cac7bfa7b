# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The exchanger and the API twin together: what is set through the API decides where mail goes, and is counted there."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator

import pytest

from lab.email_routing.config import Control
from lab.email_routing.delivery import Answer
from lab.email_routing.exchange import Exchange, Mail
from lab.email_routing.judgement import Client, Judgement
from lab.email_routing.service import Route, ServiceError, TwinAccount
from lab.email_routing.workers.runner import Workers
from lab.twins.cloudflare import Twin, TwinConfig
from lab.twins.cloudflare.server import Running

from .world import MESSAGE, RECIPIENT, SENDER, judged

TOKEN, CONTROL = "t" * 40, "c" * 20
SCOPES = ["Zone:Read", "Zone Settings:Edit", "Email Routing Rules:Edit", "Workers Scripts:Edit", "Analytics:Read"]


@pytest.fixture
def twin() -> Twin:
    made = Twin(
        TwinConfig.from_data(
            {
                "zones": [{"name": "example.me"}],
                "tokens": [{"token": TOKEN, "scopes": SCOPES}],
                "control_token": CONTROL,
                "email": {"destinations": ["you@gmail.com"]},
            }
        )
    )
    made.email("example.me").enable()
    return made


@pytest.fixture
def account(twin: Twin) -> Iterator[TwinAccount]:
    with Running(twin, ["127.0.0.1:0"]) as running:
        yield TwinAccount(Control(running.urls[0], CONTROL))


def rule(twin: Twin, address: str, action: str, target: str = "", **more: object) -> str:
    made: dict[str, str] = twin.email("example.me").add_rule(address, action, target, **more)
    return str(made["id"])


def test_a_rule_is_found_and_its_absence_too(twin: Twin, account: TwinAccount) -> None:
    found = rule(twin, RECIPIENT, "forward", "you@gmail.com")
    assert account.route(RECIPIENT) == Route("example.me", "forward", "you@gmail.com", found)
    assert account.route("nobody@example.me") is None
    assert account.route("hi@example.org") is None


def test_a_disabled_rule_and_an_unverified_destination_refuse_the_recipient(twin: Twin, account: TwinAccount) -> None:
    rule(twin, "off@example.me", "forward", "you@gmail.com", enabled=False)
    rule(twin, "wait@example.me", "forward", "pending@gmail.com")
    assert account.route("off@example.me") is None
    assert account.route("wait@example.me") is None
    assert account.verified("You@gmail.com") and not account.verified("pending@gmail.com")
    twin.add_destination("pending@gmail.com", verified=False)
    assert not account.verified("pending@gmail.com")
    twin.click("pending@gmail.com")
    assert account.verified("pending@gmail.com")
    assert account.route("wait@example.me") is not None


def test_sub_addressing_and_the_catch_all_are_the_twins(twin: Twin, account: TwinAccount) -> None:
    rule(twin, RECIPIENT, "forward", "you@gmail.com")
    assert account.route("hi+shop@example.me") is None
    zone = twin.zone("example.me").zone.zone_id
    path = f"/client/v4/zones/{zone}/email/routing"
    headers = {"Authorization": f"Bearer {TOKEN}"}
    changed = twin.handle("PATCH", path, "", headers, json.dumps({"support_subaddress": True}).encode())
    assert changed.status == 200, changed.json
    found = account.route("hi+shop@example.me")
    assert found is not None and found.target == "you@gmail.com"
    body = {"matchers": [{"type": "all"}], "actions": [{"type": "drop"}], "enabled": True}
    assert twin.handle("PUT", f"{path}/rules/catch_all", "", headers, json.dumps(body).encode()).status == 200
    found = account.route("nobody@example.me")
    assert found is not None and found.action == "drop"


def test_a_rule_to_a_worker_that_is_gone_stays_in_force(twin: Twin, account: TwinAccount) -> None:
    rule(twin, "alerts@example.me", "worker", "alert-handler")
    found = account.route("alerts@example.me")
    assert found is not None and (found.action, found.target) == ("worker", "alert-handler")
    assert account.script("alert-handler") is None


def test_an_uploaded_script_comes_with_modules_and_bindings(twin: Twin, account: TwinAccount) -> None:
    upload(twin, "alert-handler", "export default { async email(message, env) { message.setReject(env.WORDS); } };")
    script = account.script("alert-handler")
    assert script is not None and script.main_module == "index.mjs"
    assert script.modules["index.mjs"].startswith("export default")
    assert {b["name"]: b["text"] for b in script.bindings} == {"WORDS": "no, thank you"}
    assert script.compatibility_date == "2026-11-01"


def upload(twin: Twin, name: str, code: str) -> None:
    metadata = {
        "main_module": "index.mjs",
        "compatibility_date": "2026-11-01",
        "bindings": [{"type": "plain_text", "name": "WORDS", "text": "no, thank you"}],
    }
    parts = [
        ('name="metadata"', "application/json", json.dumps(metadata)),
        ('name="index.mjs"; filename="index.mjs"', "application/javascript+module", code),
    ]
    body = "".join(
        f"--b\r\nContent-Disposition: form-data; {disposition}\r\nContent-Type: {kind}\r\n\r\n{text}\r\n"
        for disposition, kind, text in parts
    )
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "multipart/form-data; boundary=b"}
    path = f"/client/v4/accounts/{twin.config.account.id}/workers/scripts/{name}"
    answer = twin.handle("PUT", path, "", headers, f"{body}--b--\r\n".encode())
    assert answer.status == 200, answer.json


def judge(client: Client, sender: str, message: bytes, verdict: Judgement) -> Judgement:
    return verdict


def test_a_message_is_forwarded_and_counted(twin: Twin, account: TwinAccount) -> None:
    rule(twin, RECIPIENT, "forward", "you@gmail.com")
    delivered = []

    def deliver(sender: str, recipient: str, message: bytes) -> Answer:
        delivered.append(recipient)
        return Answer(250, "Ok")

    judging = functools.partial(judge, verdict=judged())
    exchange = Exchange(account, judging, deliver, Workers("", account.script), "secret")
    mail = Mail(Client("198.18.0.40", "mail.stranger.example.org"), SENDER, RECIPIENT, MESSAGE)
    assert exchange.process(mail).code == 250
    assert delivered == ["you@gmail.com"]
    assert statistics(twin) == [{"count": 1, "dimensions": {"action": "forward", "spf": "pass", "status": "forwarded"}}]


def statistics(twin: Twin) -> object:
    """As a client reads them."""
    query = (
        "query($zone: string!) { viewer { zones(filter: {zoneTag: $zone}) "
        "{ emailRoutingAdaptiveGroups(limit: 10) { count dimensions { action spf status } } } } }"
    )
    body = {"query": query, "variables": {"zone": twin.zone("example.me").zone.zone_id}}
    headers = {"Authorization": f"Bearer {TOKEN}"}
    answer = twin.handle("POST", "/client/v4/graphql", "", headers, json.dumps(body).encode())
    data: dict[str, dict[str, list[dict[str, object]]]] = answer.json["data"]
    return data["viewer"]["zones"][0]["emailRoutingAdaptiveGroups"]


def test_an_account_that_cannot_be_asked_is_an_error(twin: Twin) -> None:
    with Running(twin, ["127.0.0.1:0"]) as running:
        url = running.urls[0]
        with pytest.raises(ServiceError, match="nonsense"):
            TwinAccount(Control(url, CONTROL)).report("example.me", {"nonsense": 1})
    with pytest.raises(ServiceError, match="email/effective"):
        TwinAccount(Control(url, CONTROL)).route(RECIPIENT)


def test_a_wrong_control_token_is_not_taken_for_an_unknown_recipient(twin: Twin) -> None:
    rule(twin, RECIPIENT, "forward", "you@gmail.com")
    with Running(twin, ["127.0.0.1:0"]) as running, pytest.raises(ServiceError, match="control token"):
        TwinAccount(Control(running.urls[0], "wrong" * 4)).route(RECIPIENT)
