# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module cloudflare_token_info as Ansible runs it, against the API twin on a socket."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
import yaml
from ansible.module_utils.testing import patch_module_args
from ansible_collections.mailstead.stack.plugins.doc_fragments.cloudflare import ModuleDocFragment
from ansible_collections.mailstead.stack.plugins.modules import cloudflare_token_info

from lab.twins.cloudflare import Twin, TwinConfig
from lab.twins.cloudflare.server import Running
from tests.unit.cloudflare.support import TOKEN

READER, ENDING = "r" * 40, "e" * 40
ENDS = (datetime.now(timezone.utc) + timedelta(days=10)).isoformat(timespec="seconds")


class Run:
    """Runs the module and sees to it that no token shows."""

    def __init__(self, twin: Twin, url: str, capsys: pytest.CaptureFixture[str]) -> None:
        self.twin, self.url, self.capsys = twin, url, capsys

    def __call__(self, **params: Any) -> dict[str, Any]:
        given = {"api_token": TOKEN, "base_url": self.url, **params}
        with patch_module_args(given), pytest.raises(SystemExit) as caught:
            cloudflare_token_info.main()
        out = self.capsys.readouterr().out
        assert given["api_token"] not in out
        result: dict[str, Any] = json.loads(out)
        assert caught.value.code == (1 if result.get("failed") else 0)
        return result


@pytest.fixture(name="run")
def fixture_run(capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    tokens = [
        {"token": TOKEN},
        {"token": READER, "scopes": ["Zone:Read", "DNS:Read"], "zones": ["example.com"]},
        {"token": ENDING, "expires_on": ENDS},
    ]
    zones = [{"name": "example.com"}, {"name": "example.org", "plan": "pro"}]
    twin = Twin(TwinConfig.from_data({"zones": zones, "tokens": tokens}))
    with Running(twin, ["127.0.0.1:0"]) as server:
        yield Run(twin, server.urls[0] + "/client/v4", capsys)


def test_a_good_token(run: Run) -> None:
    result = run(names=["Example.COM.", "example.org"])
    assert not result["changed"] and result["problems"] == [] and "warnings" not in result
    assert result["requests"] == 4 and result["zones_seen"] == ["example.com", "example.org"]
    com, org = result["zones"]
    assert com == {
        "name": "example.com",
        "id": run.twin.zone("example.com").zone.zone_id,
        "status": "active",
        "plan": "free",
        "account": run.twin.config.account.id,
        "writable": True,
        "records_used": 0,
        "records_limit": 200,
        "records_left": 200,
        "batch_limit": 200,
    }
    assert (org["plan"], org["records_limit"], org["batch_limit"]) == ("pro", 3500, 3500)
    assert result["token"]["status"] == "active" and result["token"]["days_left"] is None
    assert {c["permission"]: c["status"] for c in result["capabilities"]} == {
        "Zone / Zone / Read": "granted",
        "Zone / DNS / Edit": "granted",
    }
    assert result["rate_limit"]["limit"] == 1200 and result["rate_limit"]["remaining"] == 1196


def test_what_is_missing_fails_or_is_told(run: Run) -> None:
    asked = {
        "api_token": READER,
        "names": ["example.com", "example.org"],
        "needs": ["zones", "dns", "tunnel", "workers"],
    }
    strict = run(**asked)
    assert [p["code"] for p in strict["problems"]] == ["MS-CF-025", "MS-CF-025", "MS-CF-026"] and strict["failed"]
    assert "Account - Cloudflare Tunnel - Edit" in strict["msg"] and strict["zones_missing"] == ["example.org"]
    told = run(**asked, strict=False)
    assert told["problems"] == strict["problems"] and not told.get("failed")
    assert "may read but not write" in str(told["warnings"])


def test_the_end_is_near(run: Run) -> None:
    assert "warnings" not in run(api_token=ENDING, names=["example.com"], warn_days=5)
    result = run(api_token=ENDING, names=["example.com"])
    assert result["token"]["days_left"] in (9, 10) and f"({ENDS})" in str(result["warnings"])


def test_ids_instead_of_names(run: Run) -> None:
    zone_id = run.twin.zone("example.com").zone.zone_id
    result = run(zone_ids={"example.com": zone_id}, needs=["dns"])
    assert result["requests"] == 2 and result["zones"][0]["records_left"] == 200 and result["zones_seen"] == []


def test_a_dead_token_is_a_failure_in_any_case(run: Run) -> None:
    result = run(api_token="u" * 40, strict=False)
    assert [p["code"] for p in result["problems"]] == ["MS-CF-002"] and result["requests"] == 2
    assert [p["code"] for p in run(names=["not a name"])["problems"]] == ["MS-DNS-001"]
    assert run(base_url="http://192.0.2.1/")["problems"][0]["code"] == "MS-CF-013"


def test_reads_go_side_by_side(run: Run) -> None:
    """Verifying and listing take one delay together, the zones another."""
    run.twin.faults.delay(0.5, times=4)
    started = time.monotonic()
    run(names=["example.com", "example.org"])
    assert 1.0 <= time.monotonic() - started < 1.9


def test_documentation_and_argument_spec_agree() -> None:
    documented = yaml.safe_load(cloudflare_token_info.DOCUMENTATION)["options"]
    documented.update(yaml.safe_load(ModuleDocFragment.DOCUMENTATION)["options"])
    spec = cloudflare_token_info.argument_spec()
    assert set(documented) == set(spec)
    for name, option in documented.items():
        for field in ("type", "required", "default", "elements", "choices"):
            assert option.get(field) == spec[name].get(field), (name, field)
