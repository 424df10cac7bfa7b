# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules of tunnels as Ansible runs them, against the API twin on a socket."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.mailstead.stack.plugins.filter.submission import tunnels_wanted
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.tunnel_lint import lint_ingress
from ansible_collections.mailstead.stack.plugins.module_utils.plan.model import to_data
from ansible_collections.mailstead.stack.plugins.modules import cloudflare_tunnel, cloudflare_tunnel_info

from lab.twins.cloudflare import Fault, Twin, TwinConfig
from lab.twins.cloudflare.server import Running
from tests.unit.cloudflare.support import TOKEN, ZONE
from tests.unit.cloudflare.tunnels import HOSTNAME, SCOPES, tunnel
from tests.unit.examples import plan_d
from tests.unit.modules.documentation import assert_documented
from tests.unit.plugins.modules import Answer, run_module

NAME = "mailstead-notify"
#: As an entry of the plan, which says more than the modules ask.
ENTRY = {"service": "notify", "host": "lan-box", "token": "mail_operator.dns.token", "state": "present"}


class Run:
    def __init__(self, twin: Twin, url: str) -> None:
        self.twin, self.url = twin, url
        self.held: dict[str, Any] = {}

    def __call__(self, *tunnels: dict[str, Any], **params: Any) -> Answer:
        given = {"api_token": TOKEN, "base_url": self.url, "tunnels": list(tunnels), "held": self.held, **params}
        answer = run_module(cloudflare_tunnel.main, **given)
        if not params.get("check"):
            for name, secret in answer.data.get("secrets", {}).items():
                self.held[name] = {k: v for k, v in secret.items() if k != "client_secret"}
        return answer

    def info(self, *tunnels: dict[str, Any], **params: Any) -> Answer:
        given = {"api_token": TOKEN, "base_url": self.url, "tunnels": list(tunnels), "held": self.held, **params}
        return run_module(cloudflare_tunnel_info.main, diff=False, **given)


@pytest.fixture(name="run")
def fixture_run() -> Iterator[Run]:
    twin = Twin(TwinConfig.from_data({"zones": [{"name": ZONE}], "tokens": [{"token": TOKEN, "scopes": SCOPES}]}))
    with Running(twin, ["127.0.0.1:0"]) as server:
        yield Run(twin, server.urls[0] + "/client/v4")


def codes(answer: Answer) -> list[str]:
    assert all(p["where"] and p["what"] and p["fix"] for p in answer.data["problems"])
    return [p["code"] for p in answer.data["problems"]]


def test_the_documentation_is_that_of_the_arguments() -> None:
    assert_documented(cloudflare_tunnel)
    assert_documented(cloudflare_tunnel_info)


def test_check_mode_predicts_what_is_done_and_a_second_run_changes_nothing(run: Run) -> None:
    want = {**tunnel(), **ENTRY}
    dry = run(want, check=True)
    assert dry.changed and not run.twin.trust.tunnels and dry.data["secrets"] == {}
    assert dry.data["tunnels"][0]["id"] == dry.data["tunnels"][0]["token"] == "made-by-the-first-real-run"
    done = run(want)
    assert done.changed and done.data["diff"] == dry.data["diff"]
    assert all(step["done"] for step in done.data["steps"]) and not any(s["done"] for s in dry.data["steps"])
    (row,) = done.data["tunnels"]
    assert row["token"] == run.twin.trust.tunnels[row["id"]].token(row["account_id"])
    assert done.data["service_tokens"]["app1"]["expires_at"].startswith("20")
    again = run(want)
    assert not again.changed and again.data["diff"] == again.data["steps"] == [] and again.data["requests"] == 9
    secret = done.data["secrets"]["app1"]["client_secret"]
    assert secret not in str(done.data["diff"]) + str(done.data["steps"]) + again.raw


def test_new_secrets_wait_until_they_may_be_made(run: Run) -> None:
    run(tunnel())
    run.held.clear()
    waiting = run(tunnel(), rotate=False)
    assert not waiting.changed and waiting.data["due"] == ["app1"] and waiting.data["secrets"] == {}
    done = run(tunnel())
    assert done.changed and done.data["due"] == [] and done.data["secrets"]["app1"]["client_secret"]
    assert not run(tunnel()).changed
    asked = run(tunnel(), rotate_now=["app1"])
    assert asked.changed and asked.data["service_tokens"]["app1"]["rotated"]


def test_the_order_of_rows_is_that_of_the_argument(run: Run) -> None:
    gone = {"name": "mailstead-gone", "state": "absent", "zone": ZONE}
    answer = run(gone, tunnel())
    assert [row["name"] for row in answer.data["tunnels"]] == ["mailstead-gone", NAME]


def test_an_entry_of_the_plan_is_taken_as_it_is(run: Run) -> None:
    (entry,) = tunnels_wanted(to_data(plan_d()))
    (row,) = run(*entry["tunnels"]).data["tunnels"]
    assert row["name"] == "mailstead-notify" and row["config"]["ingress"][0]["service"].startswith("tcp://")
    assert run.info(*entry["tunnels"]).data["facts"]["notify"]["dns"]["content"] == row["cname"]
    gone = run(*({**t, "state": "absent"} for t in entry["tunnels"]))
    assert gone.changed and not run.twin.trust.tunnels[row["id"]].connections and not run.twin.trust.apps


def test_bad_wishes_ask_nothing(run: Run) -> None:
    answer = run(tunnel(service="tcp://172.29.1.2"), check=True)
    assert answer.failed and codes(answer) == ["MS-TUN-001"] and answer.data["requests"] == 0


def test_secrets_of_a_run_that_fails_are_returned(run: Run) -> None:
    run.twin.faults.add(Fault("status", 99, method="POST", path="access/apps", status=502))
    answer = run(tunnel(), check=False, timeout=5)
    assert answer.failed and codes(answer) == ["MS-TUN-011"] and answer.changed
    assert answer.data["secrets"]["app1"]["client_secret"] not in answer.message


def test_the_tokens_value_is_never_shown(run: Run) -> None:
    for answer in (run(tunnel()), run.info(tunnel())):
        assert TOKEN not in answer.raw


@pytest.mark.parametrize(("says", "code"), [("echo OK", None), ("echo 'Warning: unused keys'; echo OK", "MS-TUN-014")])
def test_the_program_is_asked_where_it_is_installed(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str, code: str | None
) -> None:
    program = tmp_path / "cloudflared"
    program.write_text(f'#!/bin/sh\ncat "$3" > {tmp_path}/asked; {says}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    answers = [run.info(tunnel()), run(tunnel(), {"name": "mailstead-gone", "state": "absent", "zone": ZONE})]
    for answer in answers:
        assert (codes(answer) == [code] and answer.data["requests"] == 0) if code else not answer.failed
    asked = json.loads((tmp_path / "asked").read_text())
    assert asked["ingress"][0]["originRequest"]["access"]["required"] and lint_ingress(asked) == []


# -- cloudflare_tunnel_info ------------------------------------------------------------------------------------------


def test_before_the_first_run_nothing_is_wrong_and_everything_missing(run: Run) -> None:
    answer = run.info({**tunnel(), **ENTRY})
    assert not answer.failed and answer.data["problems"] == []
    (row,) = answer.data["tunnels"]
    assert row["status"] == "missing" and not row["as_wanted"] and len(row["differences"]) == 6
    assert answer.data["service_tokens"]["app1"]["status"] == "missing"
    facts = answer.data["facts"]["notify"]
    assert facts["status"] == "missing" and facts["dns"] is None and facts["access"] == {"app": None, "policies": []}
    complete = run.info(tunnel(), complete=True)
    assert complete.failed and set(codes(complete)) == {"MS-TUN-015", "MS-TUN-016"}


def test_what_runs_is_told(run: Run) -> None:
    made = run({**tunnel(), **ENTRY}).data["tunnels"][0]
    run.twin.register(made["id"], made["credentials"]["TunnelSecret"], "connector")
    answer = run.info({**tunnel(), **ENTRY}, complete=True)
    assert not answer.failed
    (row,) = answer.data["tunnels"]
    assert row["as_wanted"] and row["config_as_wanted"] and row["status"] == "healthy" and row["connections"] == 1
    token = answer.data["service_tokens"]["app1"]
    assert token["status"] == "valid" and token["held"] and token["days_left"] in (364, 365) and token["enabled"]
    access = {"required": True, "teamName": "mailstead", "audTag": [made["audience"]]}
    app = next(iter(run.twin.trust.apps.values()))
    assert answer.data["facts"] == {
        "notify": {
            "name": NAME,
            "id": made["id"],
            "status": "healthy",
            "connections": 1,
            "config_source": "cloudflare",
            "ingress": [
                {"hostname": HOSTNAME, "service": "tcp://172.29.1.2:465", "originRequest": {"access": access}},
                {"service": "http_status:404"},
            ],
            "dns": {"name": HOSTNAME, "content": made["cname"], "proxied": True},
            "hostnames": [HOSTNAME],
            "access": {
                "app": {"id": app.id, "aud": app.aud, "domain": HOSTNAME, "type": "self_hosted"},
                "policies": [{"name": NAME, "decision": "non_identity", "tokens": ["app1"]}],
            },
            "tokens": [{"name": "app1", "client_id": token["client_id"], "expires_at": token["expires_at"]}],
        }
    }


def test_others_who_are_let_in_are_told(run: Run) -> None:
    run(tunnel())
    (policy,) = run.twin.trust.policies.values()
    policy.include.append({"everyone": {}})
    facts = run.info(tunnel()).data["facts"][NAME]
    assert facts["access"]["policies"][0]["tokens"] == ["app1", "others than service tokens"]


def test_a_wanted_token_that_no_policy_names_is_told_and_a_disabled_one_is_not(run: Run) -> None:
    run(tunnel(service_tokens=["app1", "app2"]))
    (policy,) = run.twin.trust.policies.values()
    first = next(t for t in run.twin.trust.tokens.values() if t.name == "mailstead-app1")
    policy.include = [{"service_token": {"token_id": first.id}}]
    facts = run.info(tunnel(service_tokens=["app2"])).data["facts"][NAME]
    assert [t["name"] for t in facts["tokens"]] == ["app1", "app2"]
    first.enabled = False
    facts = run.info(tunnel(service_tokens=["app2"])).data["facts"][NAME]
    assert [t["name"] for t in facts["tokens"]] == ["app2"]


def test_an_application_with_a_policy_of_its_own_is_told(run: Run) -> None:
    run(tunnel())
    (app,), (policy,) = run.twin.trust.apps.values(), run.twin.trust.policies.values()
    policy.reusable = False
    access = run.info(tunnel()).data["facts"][NAME]["access"]
    assert app.policies and [p["tokens"] for p in access["policies"]] == [["app1"]]


def test_tokens_that_end_are_told(run: Run) -> None:
    short = tunnel(duration=20 * 86400, rotate_after=0, overlap=0)
    run(short)
    warned = run.info(short)
    assert not warned.failed and re.search(r"service token app1 expires in (19|20) days", str(warned.data["warnings"]))
    (token,) = run.twin.trust.tokens.values()
    token.enabled = False
    assert codes(run.info(short)) == ["MS-TUN-006"]
    token.enabled, token.expires_at = True, "2026-01-01T00:00:00Z"
    expired = run.info(short, strict=False)
    assert not expired.failed and codes(expired) == ["MS-TUN-007"] and not expired.data["tunnels"][0]["as_wanted"]
    assert expired.data["service_tokens"]["app1"]["status"] == "expired"
    (policy,) = run.twin.trust.policies.values()
    policy.include = []
    run.twin.trust.tokens.clear()
    gone = run.info(short)
    assert codes(gone) == ["MS-TUN-006"] and gone.data["service_tokens"]["app1"]["status"] == "revoked"


def test_a_token_about_to_end_tomorrow(run: Run) -> None:
    short = tunnel(duration=86400, rotate_after=0, overlap=0)
    run(short)
    assert "expires within two days" in str(run.info(short).data["warnings"])


def test_what_cannot_be_read_fails(run: Run) -> None:
    answer = run.info(tunnel(), api_token="x" * 40)
    assert answer.failed and answer.data["requests"] > 0
    assert run.info(tunnel(service="tcp://a")).data["requests"] == 0
