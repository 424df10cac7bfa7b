# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module ptr_record as Ansible runs it, against a name server on loopback."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
import yaml
from ansible.module_utils.testing import patch_module_args
from ansible_collections.mailstead.stack.plugins.module_utils.rfc2136.link import Key
from ansible_collections.mailstead.stack.plugins.modules import ptr_record

from tests.unit.dns.authority import Authority

SECRET = base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()
V4 = "1.18.198.in-addr.arpa"
V6 = "0.0.0.0.2.0.0.0.1.0.0.2.ip6.arpa"
NAME4 = f"10.{V4}"


@pytest.fixture(name="ptr")
def fixture_ptr(capsys: pytest.CaptureFixture[str]) -> Any:
    def run(records: list[dict[str, Any]], check: bool = False) -> dict[str, Any]:
        given = {"records": records, "_ansible_check_mode": check, "_ansible_diff": True}
        with patch_module_args(given), pytest.raises(SystemExit) as caught:
            ptr_record.main()
        out = capsys.readouterr().out
        assert SECRET not in out
        result: dict[str, Any] = json.loads(out)
        assert caught.value.code == (1 if result.get("failed") else 0)
        return result

    return run


def update(address: str, at: Authority, **options: Any) -> dict[str, Any]:
    given = {"server": "127.0.0.1", "port": at.port, "zone": V4, "key_name": "mailstead-ptr", **options}
    return {
        "address": address,
        "name": "mail.example.com",
        "host": "vps1",
        "provider": "rfc2136",
        "options": {k: v for k, v in given.items() if v is not None},
        "secret": SECRET,
    }


def authority() -> Authority:
    keys = Key("mailstead-ptr", "hmac-sha256", SECRET).ring()
    return Authority({V4: {(NAME4, "PTR"): ["vps1.provider.example."]}, V6: {}}, keys)


def test_check_then_apply_then_nothing(ptr: Any) -> None:
    with authority() as server:
        records = [update("198.18.1.10", server), update("2001:2:0:2::10", server)]
        planned = ptr(records, check=True)
        assert planned["changed"] and server.updates == 0
        assert planned["diff"]["before"] == f"{NAME4}. IN PTR vps1.provider.example. ; 198.18.1.10\n"
        assert len(planned["diff"]["after"].splitlines()) == 2
        done = ptr(records)
        assert done["records"] == planned["records"] and done["diff"] == planned["diff"]
        assert [(r["status"], r["zone"]) for r in done["records"]] == [("changed", V4), ("changed", V6)]
        assert server.zones[V4] == {(NAME4, "PTR"): ["mail.example.com."]}
        again = ptr(records)
        assert not again["changed"] and "diff" not in again
        assert [r["status"] for r in again["records"]] == ["ok", "ok"]


def test_manual_tells_and_changes_nothing(ptr: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    names: dict[str, tuple[str, ...] | None] = {
        "198.18.1.10": ("mail.example.com",),
        "198.18.1.11": (),
        "198.18.1.12": None,
    }
    monkeypatch.setattr(ptr_record, "names_of", names.__getitem__)
    records = [{"address": a, "name": "mail.example.com", "host": "vps1"} for a in names]
    result = ptr(records)
    assert not result["changed"]
    assert [r["status"] for r in result["records"]] == ["ok", "manual", "manual"]
    told = [w for w in result["warnings"] if "Set the reverse DNS" in str(w)]
    assert len(result["instructions"]) == 2 == len(told)
    assert "Enter exactly: mail.example.com" in result["instructions"][0]
    # Without dnspython the present name is not known, and that is said.
    monkeypatch.setattr(ptr_record, "DNS_ERROR", "Traceback")
    assert "could not be looked up" in ptr(records[:1])["instructions"][0]
    assert "dnspython" in ptr([{**records[0], "provider": "rfc2136"}])["msg"]


def test_all_mistakes_are_told_at_once_and_nothing_is_written(ptr: Any) -> None:
    with authority() as server:
        records = [
            update("198.18.1.10", server),
            update("not an address", server),
            update("198.18.1.11", server, server=None),
            update("198.18.1.12", server, port=0),
            {**update("198.18.1.13", server), "secret": None},
            {**update("198.18.1.14", server), "secret": "not base64!"},
        ]
        result = ptr(records)
        assert [p["code"] for p in result["problems"]] == ["MS-PTR-001"] + ["MS-PTR-002"] * 4
        assert server.updates == 0
        two = [update("198.18.1.10", server), {**update("198.18.1.10", server), "name": "other.example.com"}]
        assert ptr(two)["problems"][0]["code"] == "MS-PTR-001"


def test_a_server_that_does_not_serve_the_address_stops_all(ptr: Any) -> None:
    with authority() as server:
        result = ptr([update("198.18.1.10", server), update("203.0.113.1", server)])
        assert [p["code"] for p in result["problems"]] == ["MS-DNS-052"] and server.updates == 0


def test_one_refused_key_does_not_hide_what_was_written(ptr: Any) -> None:
    with authority() as good, authority() as bad:
        other = base64.b64encode(b"x" * 32).decode()
        result = ptr([update("198.18.1.10", good), {**update("198.18.1.11", bad), "secret": other}])
        assert result["failed"] and result["changed"]
        assert [p["code"] for p in result["problems"]] == ["MS-DNS-053"]
        assert (good.updates, bad.updates) == (1, 0)


def test_documentation_and_argument_spec_agree() -> None:
    documented = yaml.safe_load(ptr_record.DOCUMENTATION)["options"]

    def compare(options: dict[str, Any], spec: dict[str, Any], where: str) -> None:
        assert set(options) == set(spec), where
        for name, option in options.items():
            place = f"{where}.{name}"
            for key in ("type", "required", "default", "choices", "elements"):
                assert option.get(key) == spec[name].get(key), (place, key)
            compare(option.get("suboptions", {}), spec[name].get("options", {}), place)

    compare(documented, ptr_record.argument_spec(), "")
