# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module cloudflare_zone_info as Ansible runs it, against the API twin on a socket."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.mailstead.stack.plugins.modules import cloudflare_zone_info

from lab.twins.cloudflare import Twin, TwinConfig
from lab.twins.cloudflare.server import Running
from tests.unit.cloudflare.support import TOKEN
from tests.unit.modules.documentation import assert_documented

RECORDS = [
    {"type": "MX", "name": "@", "content": "mail.example.com", "priority": 10, "comment": "mailstead:mailstead:mx"},
    {"type": "TXT", "name": "@", "content": '"in" " two"', "comment": "by hand"},
]


@pytest.fixture(name="info")
def fixture_info(capsys: pytest.CaptureFixture[str]) -> Any:
    zones = [{"name": "example.org"}, {"name": "example.com", "records": RECORDS}]
    tokens = [{"token": TOKEN}, {"token": "blind" * 8, "scopes": ["DNS:Read"]}]
    twin = Twin(TwinConfig.from_data({"zones": zones, "tokens": tokens}))

    def run(**params: Any) -> dict[str, Any]:
        with Running(twin, ["127.0.0.1:0"]) as server:
            given = {"api_token": TOKEN, "base_url": server.urls[0] + "/client/v4", **params}
            with patch_module_args(given), pytest.raises(SystemExit) as caught:
                cloudflare_zone_info.main()
        result: dict[str, Any] = json.loads(capsys.readouterr().out)
        assert caught.value.code == (1 if result.get("failed") else 0)
        return result

    return run


def test_all_zones_with_their_records_in_canonical_form(info: Any) -> None:
    found = info()
    assert (found["changed"], found["requests"]) == (False, 3)
    assert [z["name"] for z in found["zones"]] == ["example.com", "example.org"]
    mx, txt = found["zones"][0]["records"]
    assert (mx["content"], mx["owned"], mx["role"]) == ("10 mail.example.com", True, "mx")
    assert (txt["content"], txt["owned"], txt["comment"]) == ("in two", False, "by hand")
    assert found["zones"][1]["records"] == []


def test_named_zones_without_records(info: Any) -> None:
    found = info(names=["Example.ORG."], records=False)
    assert found["requests"] == 1 and [z["name"] for z in found["zones"]] == ["example.org"]
    assert "records" not in found["zones"][0]


def test_what_else_is_asked_for_costs_a_request_per_zone_each(info: Any) -> None:
    found = info(records=False, usage=True, settings=True, export=True)
    assert found["requests"] == 1 + 3 * 2
    zone = found["zones"][0]
    assert zone["usage"] == {"record_quota": 200, "record_usage": 2}
    assert zone["settings"]["flatten_all_cnames"] is False
    assert "10 mail.example.com." in zone["export"] and zone["export"].startswith(";;")
    assert (zone["type"], zone["paused"], zone["notes"]) == ("full", False, [])
    assert zone["limits"] == {"batch": 200, "records": 200, "tags": False}


def test_records_by_type_and_owner(info: Any) -> None:
    def contents(**params: Any) -> list[str]:
        return [r["content"] for r in info(names=["example.com"], **params)["zones"][0]["records"]]

    assert contents(types=["mx"]) == ["10 mail.example.com"]
    assert contents(owned=False) == ["in two"]
    assert contents(owned=True) == ["10 mail.example.com"]
    assert contents(owned=True, types=["TXT"]) == []


def test_refusals(info: Any) -> None:
    assert info(names=["example.net"])["problems"][0]["code"] == "MS-CF-003"
    assert info(api_token="blind" * 8)["problems"][0]["code"] == "MS-CF-001"


def test_documentation_and_argument_spec_agree() -> None:
    assert_documented(cloudflare_zone_info)
