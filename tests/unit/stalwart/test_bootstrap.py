# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError
from ansible_collections.mailstead.stack.plugins.module_utils.stalwart.bootstrap import Wanted, ensure, probe
from ansible_collections.mailstead.stack.plugins.module_utils.stalwart.client import Client, bearer
from ansible_collections.mailstead.stack.plugins.module_utils.stalwart.state import State

from tests.unit.stalwart.server import AFTER, CLOSE, RECOVERY, Reply, Server

Connect = Callable[[str], Client]


@pytest.fixture
def connect(server: Server) -> Iterator[Connect]:
    clients: list[Client] = []

    def make(authorization: str) -> Client:
        clients.append(Client(server.url, authorization, 5))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def wanted(tmp_path: Path) -> Wanted:
    return Wanted(
        domain="example.com",
        account="mailstead-admin",
        description="mailstead",
        api_key_file=tmp_path / "etc/api-key",
        password_file=tmp_path / "etc/admin-password",
        allowed_ips=("127.0.0.0/8", "172.29.25.1/32"),
        recovery=RECOVERY,
    )


def run(connect: Connect, wanted: Wanted, check: bool = False, recovery: bool = True) -> Any:
    directory = wanted.api_key_file.parent.parent / "state"
    directory.mkdir(mode=0o700, exist_ok=True)
    given = wanted if recovery else dataclasses.replace(wanted, recovery=None)
    return ensure(connect, given, check, lambda: State(directory))


def our_keys(server: Server) -> list[dict[str, Any]]:
    """The account's API keys as stored."""
    accounts = [a for a in server.objects("Account") if a["name"] == "mailstead-admin"]
    return [c for a in accounts for c in a["credentials"].values() if c["@type"] == "ApiKey"]


def key_works(connect: Connect, wanted: Wanted) -> bool:
    client = connect(bearer(wanted.api_key_file.read_text().strip()))
    return bool(client.call([("x:Domain/get", {"ids": None})])[0]["list"])


def test_a_fresh_server_gets_domain_account_and_key(server: Server, connect: Connect, wanted: Wanted) -> None:
    result = run(connect, wanted)
    assert result.changed
    assert key_works(connect, wanted)
    (account,) = server.objects("Account")
    assert account["roles"] == {"@type": "Admin"}
    (domain,) = server.objects("Domain")
    assert domain["dkimManagement"] == domain["dnsManagement"] == {"@type": "Manual"}
    (key,) = our_keys(server)
    assert set(key["allowedIps"]) == {"127.0.0.0/8", "172.29.25.1"}
    for path in (wanted.api_key_file, wanted.password_file):
        assert path.stat().st_mode & 0o777 == 0o600
    assert len(wanted.password_file.read_text().strip()) >= 32


def test_a_working_key_needs_nothing_and_no_recovery_administrator(
    server: Server, connect: Connect, wanted: Wanted
) -> None:
    run(connect, wanted)
    server.forget()
    result = run(connect, wanted, recovery=False)
    assert (result.changed, result.needs_recovery) == (False, False)
    assert server.sets == []
    assert probe(connect, wanted) == probe(connect, wanted)
    assert not probe(connect, wanted).needs_recovery


def test_a_lost_key_is_made_again_with_the_password_alone(server: Server, connect: Connect, wanted: Wanted) -> None:
    run(connect, wanted)
    for damage in (None, "", "API_nonsense\n"):
        if damage is None:
            wanted.api_key_file.unlink()
        else:
            wanted.api_key_file.write_text(damage)
        assert not probe(connect, wanted).needs_recovery
        assert run(connect, wanted, recovery=False).changed
        assert key_works(connect, wanted)
        assert len(our_keys(server)) == 1


def test_with_both_lost_the_recovery_administrator_makes_both(server: Server, connect: Connect, wanted: Wanted) -> None:
    run(connect, wanted)
    wanted.api_key_file.unlink()
    wanted.password_file.unlink()
    assert probe(connect, wanted).needs_recovery
    with pytest.raises(MailsteadError, match="MS-SRV-030"):
        run(connect, wanted, recovery=False)
    assert run(connect, wanted).changed
    assert key_works(connect, wanted)
    assert len(our_keys(server)) == 1
    assert len(server.objects("Account")) == 1


def test_unusable_keys_of_ours_make_room_and_others_stay(server: Server, connect: Connect, wanted: Wanted) -> None:
    """An account has room for five keys."""
    run(connect, wanted)
    key = connect(bearer(wanted.api_key_file.read_text().strip()))
    body = {"permissions": {"@type": "Inherit"}}
    mine = {f"m{i}": {**body, "description": "mailstead"} for i in range(3)}
    key.call([("x:ApiKey/set", {"create": {**mine, "o": {**body, "description": "backup"}}})], changes=True)
    assert len(our_keys(server)) == 5
    wanted.api_key_file.unlink()
    run(connect, wanted, recovery=False)
    assert key_works(connect, wanted)
    assert sorted(k["description"] for k in our_keys(server)) == ["backup", "mailstead"]


def test_the_keys_addresses_follow_the_declaration(server: Server, connect: Connect, wanted: Wanted) -> None:
    run(connect, wanted)
    other = dataclasses.replace(wanted, allowed_ips=("127.0.0.1/32",))
    server.forget()
    assert run(connect, other, check=True, recovery=False).changed
    assert server.sets == []
    assert run(connect, other, recovery=False).changed
    assert not run(connect, other, recovery=False).changed
    (stored,) = our_keys(server)
    assert set(stored["allowedIps"]) == {"127.0.0.1"}
    assert key_works(connect, wanted)


def test_a_key_is_changed_rather_than_replaced(server: Server, connect: Connect, wanted: Wanted) -> None:
    """The real server lets a key's addresses change; its answer is played here."""
    run(connect, wanted)
    key = wanted.api_key_file.read_text()
    sent: list[Any] = []

    def fault(_n: int, _m: str, _p: str, body: Any) -> Reply | None:
        if not body or "update" not in body["methodCalls"][0][1]:
            return None
        sent.append(body["methodCalls"][0][1]["update"])
        return Reply(200, json.dumps({"methodResponses": [["x:ApiKey/set", {"updated": {"b": None}}, "c0"]]}).encode())

    server.fault = fault
    assert run(connect, dataclasses.replace(wanted, allowed_ips=("127.0.0.1/32",)), recovery=False).changed
    assert sent == [{"b": {"allowedIps": {"127.0.0.1/32": True}}}]
    assert wanted.api_key_file.read_text() == key


def test_a_key_that_would_not_work_from_here_is_an_error(connect: Connect, wanted: Wanted) -> None:
    elsewhere = dataclasses.replace(wanted, allowed_ips=("10.9.9.9",))
    with pytest.raises(MailsteadError, match="MS-SRV-031"):
        run(connect, elsewhere)
    # Corrected, the next run mends it without the recovery administrator.
    assert run(connect, wanted, recovery=False).changed
    assert key_works(connect, wanted)


def test_check_mode_changes_nothing(server: Server, connect: Connect, wanted: Wanted) -> None:
    result = run(connect, wanted, check=True)
    assert (result.changed, result.needs_recovery) == (True, True)
    assert server.sets == []
    assert not wanted.api_key_file.exists()
    run(connect, wanted)
    wanted.api_key_file.unlink()
    server.forget()
    assert run(connect, wanted, check=True, recovery=False).changed
    assert server.sets == []


def test_a_wrong_recovery_administrator_is_named(connect: Connect, wanted: Wanted) -> None:
    wrong = dataclasses.replace(wanted, recovery=("admin", "wrong-secret-of-the-test"))
    for check in (True, False):
        with pytest.raises(MailsteadError, match="MS-SRV-030") as caught:
            run(connect, wrong, check=check)
        assert "wrong-secret" not in str(caught.value)


def test_a_server_that_never_started_normally_is_not_filled(
    server: Server, connect: Connect, wanted: Wanted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In recovery mode the defaults are missing; objects made then would keep them from ever being inserted."""
    original = server.core.jmap.handle

    def handle(request: Any, token: Any) -> Any:
        answer = original(request, token)
        for name, arguments, _id in answer["methodResponses"]:
            if name == "x:Role/get":
                arguments["list"] = []
        return answer

    monkeypatch.setattr(server.core.jmap, "handle", handle)
    with pytest.raises(MailsteadError, match="MS-SRV-032"):
        run(connect, wanted)
    assert server.objects("Domain") == []


def test_open_files_are_refused(connect: Connect, wanted: Wanted) -> None:
    run(connect, wanted)
    for path in (wanted.api_key_file, wanted.password_file):
        path.chmod(0o644)
        for attempt in (lambda: run(connect, wanted), lambda: probe(connect, wanted)):
            with pytest.raises(MailsteadError, match=f"chmod 600 {path}"):
                attempt()
        path.chmod(0o600)


def test_probing_a_server_that_is_not_running(server: Server, connect: Connect, wanted: Wanted) -> None:
    assert probe(connect, wanted).needs_recovery
    run(connect, wanted)
    server.fault = lambda *_: CLOSE
    result = probe(connect, wanted)
    assert (result.needs_recovery, result.reachable) == (False, False)
    wanted.api_key_file.unlink()
    assert probe(connect, wanted).needs_recovery


@pytest.mark.parametrize("kind", [CLOSE, AFTER])
def test_a_break_at_any_request_is_made_good(
    kind: str, start: Callable[..., Server], wanted: Wanted, tmp_path: Path
) -> None:
    """At each request in turn the connection breaks for good; the next run ends with one working key."""
    number, broken = 0, True
    while broken:
        server = start()
        base = tmp_path / f"{kind}{number}"
        base.mkdir()
        one = dataclasses.replace(wanted, api_key_file=base / "e/api-key", password_file=base / "e/admin-password")
        server.fault = lambda n, _m, _p, _b, at=number: kind if n >= at else None  # type: ignore[misc]
        clients: list[Client] = []

        def connect(authorization: str, server: Server = server, clients: list[Client] = clients) -> Client:
            clients.append(Client(server.url, authorization, 5))
            return clients[-1]

        try:
            run(connect, one)
            broken = False
        except MailsteadError:
            pass
        server.fault = lambda *_: None
        run(connect, one)
        assert key_works(connect, one)
        assert len(our_keys(server)) == 1
        assert len(server.objects("Account")) == 1
        assert not run(connect, one, recovery=False).changed
        for client in clients:
            client.close()
        number += 1
    assert number > 5


def test_a_server_without_a_configuration_is_named(server: Server, connect: Connect, wanted: Wanted) -> None:
    """As recorded from a server that was started without config.json."""
    words = "The server is in bootstrap mode. Only the 'Bootstrap' object type can be accessed until then."
    body = {"methodResponses": [["error", {"type": "forbidden", "description": words}, "c0"]]}
    server.fault = lambda _n, _m, path, _b: Reply(200, json.dumps(body).encode()) if path == "/jmap" else None
    with pytest.raises(MailsteadError, match=r"MS-SRV-032.*bootstrap mode"):
        run(connect, wanted)
