# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module rfc2136_zone as Ansible runs it, against a Knot on loopback."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.mailstead.stack.plugins.module_utils.dns import gate
from ansible_collections.mailstead.stack.plugins.modules import rfc2136_zone

from tests.unit.cloudflare.support import mail_set
from tests.unit.modules.documentation import assert_documented
from tests.unit.rfc2136.bed import ServerBed
from tests.unit.rfc2136.knot import KEY, SECRET, Knot, needs_knot

REVERSE = "1.18.198.in-addr.arpa"


def rows(zone: str) -> list[dict[str, Any]]:
    keys = ("name", "type", "content", "ttl", "phase", "role", "reason")
    return [{k: getattr(w, k) for k in keys} for w in mail_set(zone)]


POINTER = {"name": f"10.{REVERSE}", "type": "PTR", "content": "mail.example.com", "phase": "address", "role": "ptr"}
ZONES: list[dict[str, Any]] = [
    {"name": "example.com", "provider": "rfc2136", "records": rows("example.com")},
    {"name": REVERSE, "records": [POINTER]},
]


@pytest.fixture(name="knot", scope="module")
def fixture_knot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Knot]:
    needs_knot()
    knot = Knot(tmp_path_factory.mktemp("knot"), ["example.com", REVERSE])
    try:
        yield knot.start()
    finally:
        knot.stop()


class Run:
    def __init__(self, port: int, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys
        self.beds = [ServerBed("127.0.0.1", port, KEY, z["name"]) for z in ZONES]
        self.connection = {"server": "127.0.0.1", "port": port, "key_name": KEY.name, "key_secret": SECRET}
        for bed in self.beds:
            bed.reset()

    def world(self) -> list[Any]:
        return [bed.world() for bed in self.beds]

    def __call__(self, *, check: bool = False, **params: Any) -> dict[str, Any]:
        given = {**self.connection, "zones": ZONES, **params}
        with (
            patch_module_args({**given, "_ansible_check_mode": check, "_ansible_diff": True}),
            pytest.raises(SystemExit) as caught,
        ):
            rfc2136_zone.main()
        out = self.capsys.readouterr().out
        assert SECRET not in out
        result: dict[str, Any] = json.loads(out)
        assert caught.value.code == (1 if result.get("failed") else 0)
        return result


@pytest.fixture(name="run")
def fixture_run(knot: Knot, capsys: pytest.CaptureFixture[str]) -> Run:
    return Run(knot.port, capsys)


def test_check_then_apply_then_nothing(run: Run) -> None:
    planned = run(check=True)
    assert planned["changed"] and run.world() == [[], []]
    done = run()
    assert [{**c, "written": False} for c in done["changes"]] == planned["changes"]
    assert all(c["written"] for c in done["changes"]) and len(done["changes"]) == len(rows("example.com")) + 1
    assert done["diff"] == planned["diff"]
    pointer = done["diff"][1]
    assert pointer["before"] == "" and "PTR" in pointer["after"] and "mail.example.com." in pointer["after"]
    again = run()
    assert (again["changed"], again["requests"], again["changes"], again["diff"]) == (False, 2, [], [])


def test_policies_guards_and_snapshots_are_those_of_the_other_zone_modules(run: Run, tmp_path: Path) -> None:
    run.beds[0].put(("@", "MX", "5 mx.example.net", 3600))
    assert [p["code"] for p in run()["problems"]] == ["MS-DNS-031"]
    saved = run(zones=[{**ZONES[0], "foreign": {"mx": "replace"}}], snapshots=str(tmp_path))
    assert saved["changed"] and all(Path(p).exists() for p in saved["snapshots"]["files"])
    empty = [{"name": "example.com"}]
    assert [p["code"] for p in run(zones=empty)["problems"]] == ["MS-DNS-019", "MS-DNS-020"]
    assert run(zones=empty, max_delete=100, max_delete_percent=100, allow=["last_mx"])["changed"]
    assert run.world() == [[], []]


def test_stages_wait_for_the_zones_own_name_servers(run: Run, knot: Knot, monkeypatch: pytest.MonkeyPatch) -> None:
    resolved: list[str] = []
    really = gate.ask_server

    def addresses(name: str) -> list[str]:
        resolved.append(name)
        return ["127.0.0.1"]

    monkeypatch.setattr(gate, "system_addresses", addresses)
    monkeypatch.setattr(gate, "ask_server", lambda address, question: really(address, question, knot.port))
    result = run(stages=["keys"], wait_authoritative=True)
    assert set(resolved) == {"ns1.example.net", "ns2.example.net"} and result["servers_asked"] >= 2
    assert result["zones"][0]["name_servers"] == ["ns1.example.net", "ns2.example.net"]
    assert not run(stages=["keys"])["changed"]


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"key_secret": "d3Jvbmc="}, "MS-DNS-053"),
        ({"key_secret": "not base64!"}, "MS-DNS-075"),
        ({"port": 0}, "MS-DNS-075"),
        ({"zones": [{"name": "example.net"}]}, "MS-DNS-070"),
        ({"zones": [{"name": "example.com", "provider": "cloudflare"}]}, "MS-DNS-061"),
        (
            {
                "zones": [
                    {
                        "name": "Example.com.",
                        "records": [{"name": "example.com", "type": "cname", "content": "x.example.net", "role": "x"}],
                    }
                ]
            },
            "MS-DNS-073",
        ),
    ],
)
def test_mistakes(run: Run, params: dict[str, Any], code: str) -> None:
    result = run(check=True, **params)
    assert [p["code"] for p in result["problems"]] == [code]
    assert all(p["where"] and p["what"] and p["fix"] for p in result["problems"])


def test_without_dnspython_it_says_so(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rfc2136_zone, "DNS_ERROR", "Traceback")
    assert "dnspython" in run()["msg"]


def test_documentation_and_argument_spec_agree() -> None:
    assert_documented(rfc2136_zone)
