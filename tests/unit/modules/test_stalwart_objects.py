# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.mailstead.stack.plugins.modules import stalwart_bootstrap, stalwart_objects

from tests.unit.plugins.modules import Answer, run_module
from tests.unit.stalwart.server import CLOSE, RECOVERY, Server

DOMAIN = {"type": "Domain", "match": {"name": "example.com"}, "properties": {"dkimManagement": {"@type": "Manual"}}}
ALICE = {
    "type": "Account",
    "match": {"@type": "User", "name": "alice", "domainId": "ref:Domain/name=example.com"},
    "properties": {"credentials": [{"@type": "Password"}]},
    "secrets": {"/credentials/0/secret": "correct-horse-battery-9"},
}
PYZOR = {"type": "SpamPyzor", "properties": {"enable": False}}
LISTENER = {
    "type": "NetworkListener",
    "match": {"name": "smtp"},
    "properties": {"overrideProxyTrustedNetworks": ["10.0.0.9/32"]},
}

Run = Callable[..., Answer]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    yield server
    server.close()


@pytest.fixture
def objects(server: Server, tmp_path: Path) -> Run:
    def run(*wanted: Any, check: bool = False, **more: Any) -> Answer:
        given: dict[str, Any] = {
            "url": server.url,
            "username": RECOVERY[0],
            "password": RECOVERY[1],
            "state_dir": str(tmp_path / "st"),
        }
        given = {k: v for k, v in {**given, **more}.items() if v is not None}
        return run_module(stalwart_objects.main, check=check, objects=list(wanted), **given)

    return run


def test_check_mode_says_exactly_what_the_run_does(objects: Run, server: Server) -> None:
    wanted = [DOMAIN, ALICE, PYZOR, LISTENER]
    predicted = objects(*wanted, check=True)
    assert server.sets == []
    done = objects(*wanted)
    for key in ("changed", "changes", "diff", "restart_required", "actions"):
        assert predicted.data[key] == done.data[key], key
    assert done.data["restart_required"]
    assert done.data["actions"] == ["ReloadSettings"]
    again = objects(*wanted)
    assert not again.changed
    assert (again.data["changes"], again.data["actions"], again.data["restart_required"]) == ([], [], False)
    assert again.data["diff"] == []


def test_secrets_appear_nowhere_in_the_answer(objects: Run) -> None:
    for answer in (
        objects(DOMAIN, ALICE, check=True),
        objects(DOMAIN, ALICE),
        objects({**ALICE, "secrets": {"/credentials/0/secret": "abc"}}),
    ):
        assert "correct-horse" not in answer.raw.replace('"VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"', "")
        assert RECOVERY[1] not in answer.raw


def test_all_mistakes_come_at_once_and_nothing_is_written(objects: Run, server: Server) -> None:
    answer = objects(
        {"type": "Domian", "match": {"name": "x"}},
        {"type": "Domain", "match": {"name": "x"}, "properties": {"isEnabled": "yes"}},
        {"type": "SystemSettings", "properties": {"defaultDomainId": "ref:Domain/name=nowhere.org"}},
    )
    assert answer.failed
    assert [p["code"] for p in answer.data["problems"]] == ["MS-SRV-010", "MS-SRV-012", "MS-SRV-016"]
    assert all(p["where"] and p["what"] and p["fix"] for p in answer.data["problems"])
    assert answer.data["applied"] == []
    assert server.sets == []


def test_a_failure_half_way_says_what_was_done(objects: Run) -> None:
    answer = objects(DOMAIN, {**ALICE, "secrets": {"/credentials/0/secret": "abc"}})
    assert answer.failed
    assert answer.data["applied"] == ["create Domain name=example.com"]
    assert answer.data["changed"]
    assert "at least 8" in answer.message


def test_an_api_key_works_and_an_unsafe_one_is_refused(objects: Run, server: Server, tmp_path: Path) -> None:
    key = tmp_path / "k/api-key"
    made = run_module(
        stalwart_bootstrap.main,
        url=server.url,
        domain="example.com",
        recovery_user=RECOVERY[0],
        recovery_password=RECOVERY[1],
        api_key_file=str(key),
        state_dir=str(tmp_path / "st"),
    )
    assert made.changed
    assert made.data["account"] == "mailstead-admin@example.com"
    assert key.read_text().strip() not in made.raw
    with_key = {"username": None, "password": None, "api_key_file": str(key)}
    assert objects(PYZOR, **with_key).changed
    key.chmod(0o640)
    answer = objects(PYZOR, **with_key)
    assert answer.data["problems"][0]["code"] == "MS-SRV-027"
    assert answer.data["problems"][0]["fix"] == f"Run: chmod 600 {key}"


def test_on_a_bare_host_check_mode_lists_everything(objects: Run, server: Server, tmp_path: Path) -> None:
    nothing = {"username": None, "password": None, "api_key_file": str(tmp_path / "none")}
    answer = objects(DOMAIN, ALICE, check=True, **nothing)
    assert answer.changed
    assert [c["type"] for c in answer.data["changes"]] == ["Domain", "Account"]
    assert server.requests == 0
    assert objects(DOMAIN, **nothing).failed
    server.fault = lambda *_: CLOSE
    assert objects(DOMAIN, check=True).changed
    assert objects(DOMAIN).data["problems"][0]["code"] == "MS-SRV-001"


def test_a_restart_that_never_happened_is_asked_for_again(objects: Run) -> None:
    def at(seconds: float) -> str:
        return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time.time() + seconds)) + ".123456789Z"

    assert objects(PYZOR, LISTENER, server_started=at(-60)).data["restart_required"]
    again = objects(PYZOR, LISTENER, server_started=at(-60))
    assert not again.changed
    assert again.data["restart_required"]
    assert not objects(PYZOR, LISTENER, server_started=at(60)).data["restart_required"]
    assert not objects(PYZOR, LISTENER, server_started=at(-60)).data["restart_required"]
    assert "RFC 3339" in objects(PYZOR, server_started="yesterday").message


def test_without_a_start_time_a_restart_is_asked_for_once(objects: Run) -> None:
    assert objects(PYZOR, LISTENER).data["restart_required"]
    assert not objects(PYZOR, LISTENER).data["restart_required"]


def test_purge_and_absence(objects: Run, server: Server) -> None:
    tracer = {"type": "Tracer", "match": {"@type": "Stdout"}, "properties": {"level": "info"}}
    assert objects(PYZOR, tracer, purge=["Tracer"]).changed
    assert [t["@type"] for t in server.objects("Tracer")] == ["Stdout"]
    assert objects(PYZOR, purge=["Account"]).data["problems"][0]["code"] == "MS-SRV-029"
    assert objects({**tracer, "state": "absent"}, PYZOR).changed
    assert server.objects("Tracer") == []


def test_a_server_that_is_still_starting_is_waited_for(objects: Run, server: Server) -> None:
    server.fault = lambda number, *_: CLOSE if number < 3 else None
    assert objects(PYZOR, wait=20).changed


def test_probe_and_present_agree(server: Server, tmp_path: Path) -> None:
    def bootstrap(check: bool = False, **more: Any) -> Answer:
        given: dict[str, Any] = {
            "url": server.url,
            "api_key_file": str(tmp_path / "k/key"),
            "state_dir": str(tmp_path / "st"),
            **more,
        }
        return run_module(stalwart_bootstrap.main, check=check, **given)

    recovery: dict[str, Any] = {"domain": "example.com", "recovery_user": RECOVERY[0], "recovery_password": RECOVERY[1]}
    assert bootstrap(state="probe").data["needs_recovery"]
    assert bootstrap(check=True, domain="example.com").changed
    assert bootstrap(domain="example.com").data["problems"][0]["code"] == "MS-SRV-030"
    assert bootstrap(check=True, **recovery).changed
    assert not (tmp_path / "k").exists()
    made = bootstrap(**recovery, wait=10)
    assert made.changed
    assert sorted(p.name for p in (tmp_path / "k").iterdir()) == ["admin-password", "key"]
    assert not bootstrap(**recovery).changed
    probed = bootstrap(state="probe")
    assert (probed.changed, probed.data["needs_recovery"], probed.data["reachable"]) == (False, False, True)
    assert "domain" in bootstrap().message
