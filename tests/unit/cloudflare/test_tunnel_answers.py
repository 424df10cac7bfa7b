# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Answers about tunnels and Access in every form they come in, also those that the twin does not give."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare import tunnel_live, tunnel_model
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.client import Client, UnclearError
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.tunnel_apply import Done, Worker
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.tunnel_diff import Step, Task, plain_config
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.tunnel_model import (
    Life,
    Live,
    Options,
    Tunnel,
    Wanted,
)
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError
from ansible_collections.mailstead.stack.plugins.module_utils.common.http import Answer

from tests.unit.cloudflare.support import TOKEN, codes

NOW = datetime(2026, 11, 21, tzinfo=timezone.utc)
TUNNEL = Tunnel("t", "mailstead-notify", "cloudflare")


class Says:
    """A transport that gives the prepared results in turn, and the last for ever; an int is the status of a refusal."""

    def __init__(self, *results: Any, **info: Any) -> None:
        self.results, self.info, self.asked = list(results), info, []  # type: ignore[var-annotated]

    def request(
        self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], body: bytes | None
    ) -> Answer:
        self.asked.append((method, path, dict(query)))
        result = self.results.pop(0) if len(self.results) > 1 else self.results[0]
        if isinstance(result, int):
            errors = [{"code": 9999 if result == 400 else 1003, "message": self.info.get("message", "no")}]
            return Answer(result, {}, json.dumps({"success": False, "errors": errors}).encode())
        envelope = {"success": True, "result": result, "result_info": self.info}
        return Answer(200, {}, json.dumps(envelope).encode())

    def close(self) -> None:
        return None


def client(says: Says) -> Client:
    return Client(TOKEN, lambda: says, pause=lambda _s: None, jitter=lambda: 0.5)


@pytest.mark.parametrize(
    ("result", "team"),
    [
        ({"auth_domain": "acme.cloudflareaccess.com"}, "acme"),
        ({"auth_domain": "acme.other.example"}, "acme"),
        ({"auth_domain": None}, ""),
        (None, ""),
        (404, ""),
    ],
)
def test_the_team(result: Any, team: str) -> None:
    assert tunnel_live.read_team(client(Says(result)), "a") == team


def test_a_team_that_cannot_be_read() -> None:
    assert tunnel_live.read_team(client(Says(400, message="access.api.error.not_enabled")), "a") == ""
    with pytest.raises(MailsteadError) as caught:
        tunnel_live.read_team(client(Says(400, message="odd")), "a")
    assert codes(caught.value) == ["MS-TUN-010"]


def test_lists_are_read_to_their_end_however_it_is_told() -> None:
    row = {"id": "1", "name": "n", "client_id": "c"}
    full = [row] * tunnel_live.PER_PAGE
    for says, pages in (
        (Says(full, [row]), 2),
        (Says([row], [row], total_pages=2), 2),
        (Says(full, [row], total_count=tunnel_live.PER_PAGE + 1), 2),
        (Says(full, [], total_count=999), 2),
        (Says([row], total_count=1), 1),
    ):
        tunnel_live.list_tokens(client(says), "a")
        assert [q["page"] for _m, _p, q in says.asked] == [str(n + 1) for n in range(pages)]


@pytest.mark.parametrize("result", [None, {}, ["x"], [{"id": "1"}], [{"id": 5, "name": "n", "client_id": "c"}]])
def test_lists_of_another_form_are_refused(result: Any) -> None:
    with pytest.raises(MailsteadError) as caught:
        tunnel_live.list_tokens(client(Says(result)), "a")
    assert codes(caught.value) == ["MS-CF-004"]


def test_tunnels_of_older_and_newer_answers() -> None:
    rows = [
        {"id": "1", "name": "a", "config_src": "local"},
        {"id": "2", "name": "b", "remote_config": True, "status": "healthy", "connections": [{"id": "x"}, "y"]},
        {"id": "3", "name": "c", "remote_config": False},
        {"id": "4", "name": "d"},
        {"id": "5", "name": "e", "deleted_at": "2026-01-01T00:00:00Z"},
    ]
    found = tunnel_live.list_tunnels(client(Says(rows)), "a")
    assert [(t.name, t.source, t.status, len(t.connections)) for t in found] == [
        ("a", "local", "", 0),
        ("b", "cloudflare", "healthy", 1),
        ("c", "local", "", 0),
        ("d", "", "", 0),
    ]


def test_the_rules_of_a_tunnel() -> None:
    assert tunnel_live.read_config(client(Says({"config": {"ingress": []}})), "a", TUNNEL) == {"ingress": []}
    for result in (None, {"config": None}, 404):
        assert tunnel_live.read_config(client(Says(result)), "a", TUNNEL) is None
    with pytest.raises(MailsteadError):
        tunnel_live.read_config(client(Says(400)), "a", TUNNEL)
    assert plain_config({"ingress": ["odd"], "x": None}) == {}


def test_the_token_of_a_connector() -> None:
    good = base64.b64encode(b'{"a": "acc", "t": "id", "s": "c2VjcmV0"}').decode()
    token, credentials = tunnel_live.read_connector_token(client(Says(good)), "a", TUNNEL)
    assert token == good and credentials == {"AccountTag": "acc", "TunnelID": "id", "TunnelSecret": "c2VjcmV0"}
    for bad in ("%%%", base64.b64encode(b"{}").decode(), base64.b64encode(b"[]").decode(), None):
        with pytest.raises(MailsteadError) as caught:
            tunnel_live.read_connector_token(client(Says(bad)), "a", TUNNEL)
        assert codes(caught.value) == ["MS-CF-004"] and "c2VjcmV0" not in str(caught.value)
    with pytest.raises(MailsteadError) as caught:
        tunnel_live.read_connector_token(client(Says(403, {"status": "active"})), "a", TUNNEL)
    assert "Cloudflare Tunnel › Edit" in str(caught.value)


def test_applications_and_policies_of_other_forms() -> None:
    rows = [
        {"id": "1"},
        {
            "id": "2",
            "name": "n",
            "domain": "A.example.com",
            "policies": ["x", {"id": "q", "precedence": 2}, {"id": "p", "precedence": 1}],
            "destinations": [{"type": "private"}, {"uri": "b.example.com"}],
            "self_hosted_domains": ["A.example.com"],
        },
    ]
    empty, full = tunnel_live.list_apps(client(Says(rows)), "a")
    assert empty.covers == () and full.covers == ("a.example.com", "b.example.com") and full.policies == ("p", "q")
    policies = tunnel_live.list_policies(
        client(
            Says(
                [
                    {"id": "1", "include": [{"service_token": {"token_id": "t"}}, {"everyone": {}}, "x"]},
                    {"id": "2", "approval_required": True},
                    {"id": "3", "include": [{"service_token": {"token_id": "t"}}]},
                ]
            )
        ),
        "a",
    )
    assert [(p.include, p.plain) for p in policies] == [(("t",), False), ((), False), (("t",), True)]


@pytest.mark.parametrize(
    ("text", "seconds"), [("8760h", 31536000), ("1h30m0s", 5400), ("300ms", 0), ("forever", 0), ("x", None), ("", None)]
)
def test_durations(text: str, seconds: int | None) -> None:
    assert tunnel_model.duration_seconds(text) == seconds


def test_times() -> None:
    for text in ("2026-11-21T00:00:00Z", "2026-11-21T00:00:00.123456789Z", "2026-11-21T01:00:00+01:00", "2026-11-21"):
        assert tunnel_model.moment(text) == NOW
    assert tunnel_model.moment("never") is None and tunnel_model.stamp(NOW) == "2026-11-21T00:00:00Z"


@pytest.mark.parametrize(
    ("step", "answer"),
    [
        (Step("token", "create", "app1", ()), {"id": "i", "client_id": "c"}),
        (Step("token", "rotate", "app1", (), id="i"), None),
        (Step("app", "create", "t", (), "t"), {"id": "i"}),
        (Step("tunnel", "create", "t", (), "t", after={"config_src": "cloudflare"}), {}),
        (Step("policy", "create", "t", (), "t"), {}),
    ],
)
def test_an_answer_that_lacks_what_only_it_tells_is_as_good_as_lost(step: Step, answer: Any) -> None:
    want = Wanted("t", tokens=("app1",))
    task = Task([want], {"app1": Life()}, {}, Options("mailstead", NOW))
    live = Live(
        "a",
        "team",
        tokens=(tunnel_model.ServiceToken("i", "mailstead-app1", "c"),),
        policies=(tunnel_model.Policy("p", "t", "non_identity"),),
    )
    worker = Worker(client(Says(answer)), task, live, {}, Done())
    with pytest.raises(UnclearError):
        worker.run(step)
