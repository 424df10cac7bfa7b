# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The edge and the API twin together: what is set through the API decides who passes and what connectors are told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from lab.cloudflared.standin.assertion import AssertionRefusedError, Verifier
from lab.cloudflared.standin.ingress import Access
from lab.tunnel_edge.config import Control
from lab.tunnel_edge.service import AccountError, TwinAccount, Visitor
from lab.twins.cloudflare.server import Running
from tests.unit.lab.twins.trust import CONTROL, HOST, RUNNER, TrustApi, secret_of, trust


@pytest.fixture
def api() -> TrustApi:
    return trust()


@pytest.fixture
def account(api: TrustApi) -> Iterator[TwinAccount]:
    with Running(api.twin, ["127.0.0.1:0"]) as running:
        yield TwinAccount(Control(running.urls[0], CONTROL))


def hello(tunnel: dict[str, Any], **changes: Any) -> dict[str, Any]:
    given = {"account": tunnel["account_tag"], "tunnel": tunnel["id"], "secret": secret_of(tunnel), "index": 0}
    return {**given, "connector": RUNNER, "version": "2026.8.2", "arch": "linux_x86_64", **changes}


def test_a_token_of_the_policy_passes_with_an_assertion_that_the_connector_believes(
    api: TrustApi, account: TwinAccount
) -> None:
    token, tunnel = api.service_token(), api.tunnel()
    app = api.app({"id": api.policy(token)["id"], "precedence": 1})
    api.lead(tunnel)
    visitor = Visitor(HOST, "/", "192.0.2.1", token["client_id"], token["client_secret"])
    assert account.decide(Visitor(HOST, "/", "192.0.2.1")).status == 401
    wrong = account.decide(Visitor(HOST, "/", "192.0.2.1", token["client_id"], "x" * 64))
    assert (wrong.allowed, wrong.status) == (False, 403)
    unconnected = account.decide(visitor)
    assert (unconnected.status, unconnected.error) == (530, 1033)
    assert account.register(hello(tunnel), "192.0.2.2").connection
    passed = account.decide(visitor)
    assert passed.allowed and passed.tunnel == tunnel["id"]
    verifier = Verifier(lambda url: account.certs())
    verifier.check(Access(True, "mailstead", (app["aud"],)), passed.assertion)
    with pytest.raises(AssertionRefusedError):
        verifier.check(Access(True, "mailstead", ("f" * 64,)), passed.assertion)


def test_a_name_that_leads_nowhere(account: TwinAccount) -> None:
    found = account.decide(Visitor("nothing.example.com", "/", "192.0.2.1"))
    assert (found.allowed, found.status, found.error) == (False, 530, 1001)


def test_connectors_come_go_and_are_configured(api: TrustApi, account: TwinAccount) -> None:
    tunnel = api.tunnel()
    assert account.register(hello(tunnel, secret="AAAA"), "192.0.2.2").error == "Unauthorized: Invalid tunnel secret"
    first = account.register(hello(tunnel), "192.0.2.2")
    assert first.remote and first.version == 0 and first.config is None
    assert account.tunnel(tunnel["id"]).connections == {first.connection}
    config = {"ingress": [{"hostname": HOST, "service": "tcp://10.0.0.2:465"}, {"service": "http_status:404"}]}
    assert api.at("PUT", f"{{a}}/cfd_tunnel/{tunnel['id']}/configurations", {"config": config}).status == 200
    now = account.tunnel(tunnel["id"])
    assert now.version == 1 and now.config and now.config["ingress"] == config["ingress"]
    account.applied(tunnel["id"], RUNNER, 1)
    listed = json.dumps(api.at("GET", f"{{a}}/cfd_tunnel/{tunnel['id']}/connections").json["result"])
    assert '"config_version": 1' in listed and first.connection in listed
    account.unregister(tunnel["id"], first.connection)
    assert not account.tunnel(tunnel["id"]).connections
    assert not account.tunnel("6ff42ae2-765d-4adf-8112-31c55c1551ef").exists


def test_who_has_not_the_control_token_is_told_nothing(api: TrustApi) -> None:
    with (
        Running(api.twin, ["127.0.0.1:0"]) as running,
        pytest.raises(AccountError),
    ):
        TwinAccount(Control(running.urls[0], "guess")).certs()
