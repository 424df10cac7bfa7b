# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tokens: forms of refusal, scopes, visibility, verify."""

from __future__ import annotations

from typing import Any

import pytest

from lab.twins.cloudflare import Response, Twin
from tests.unit.lab.twins.conftest import BASE, TOKEN, Api, codes

TOKENS: dict[str, dict[str, Any]] = {
    "full": {"scopes": ["Zone:Read", "DNS:Edit"]},
    "dns-read": {"scopes": ["Zone:Read", "DNS:Read"]},
    "dns-only": {"scopes": ["DNS:Edit"]},
    "zone-only": {"scopes": ["Zone:Read"]},
    "one-zone": {"scopes": ["Zone:Read", "DNS:Edit"], "zones": ["paid.example.org"]},
    "disabled": {"status": "disabled"},
    "expired": {"expires_on": "2020-01-01T00:00:00Z"},
    "future": {"not_before": "2999-01-01T00:00:00Z"},
    "account": {"kind": "account"},
}


def token(name: str) -> str:
    return f"{name}-".ljust(40, "x")


@pytest.fixture(name="twin")
def fixture_twin(make: Any) -> Twin:
    twin: Twin = make(tokens=[{"token": token(name), **fields} for name, fields in TOKENS.items()])
    return twin


def get(twin: Twin, path: str, authorization: str | None, **headers: str) -> Response:
    if authorization is not None:
        headers["Authorization"] = authorization
    return twin.handle("GET", BASE + path, None, headers)


def records(twin: Twin, zone: str = "example.com") -> str:
    return f"/zones/{twin.zone(zone).zone.zone_id}/dns_records"


def test_missing_credentials(twin: Twin) -> None:
    response = get(twin, "/zones", None)
    assert (response.status, codes(response)) == (400, [9106])
    response = get(twin, "/user/tokens/verify", None)
    assert (response.status, codes(response)) == (400, [1001])


@pytest.mark.parametrize("value", ["", "Bearer", "Bearer ", "Token " + TOKEN, "Bearer a b", "Bearer " + "k" * 37])
def test_malformed_authorization(twin: Twin, value: str) -> None:
    response = get(twin, "/zones", value)
    assert (response.status, codes(response)) == (400, [6003])
    assert response.json["errors"][0]["error_chain"][0]["code"] == 6111


def test_a_global_key_is_not_taken(twin: Twin) -> None:
    response = twin.handle("GET", f"{BASE}/zones", None, {"X-Auth-Email": "a@example.com", "X-Auth-Key": "k" * 37})
    assert codes(response) == [6003] and response.json["errors"][0]["error_chain"][0]["code"] == 6103


def test_a_token_nobody_issued(twin: Twin) -> None:
    unknown = "Bearer " + "u" * 40
    expected = {"/zones": (403, [9109]), records(twin): (403, [10000]), "/user/tokens/verify": (401, [1000])}
    for path, answer in expected.items():
        response = get(twin, path, unknown)
        assert (response.status, codes(response)) == answer


@pytest.mark.parametrize("name", ["disabled", "expired", "future"])
def test_dead_tokens_work_nowhere_and_say_so_at_verify(twin: Twin, name: str) -> None:
    bearer = f"Bearer {token(name)}"
    assert codes(get(twin, records(twin), bearer)) == [10000]
    assert codes(get(twin, "/zones", bearer)) == [10000]
    result = get(twin, "/user/tokens/verify", bearer).json["result"]
    assert result["status"] == ("expired" if name == "expired" else "disabled")


def test_verify(twin: Twin) -> None:
    response = get(twin, "/user/tokens/verify", f"Bearer {token('full')}")
    assert response.json["result"]["status"] == "active" and len(response.json["result"]["id"]) == 32
    assert response.json["messages"] == [{"code": 10000, "message": "This API Token is valid and active", "type": None}]
    assert token("full") not in str(response.json)


def test_account_tokens_verify_at_their_account_only(twin: Twin) -> None:
    bearer, account = f"Bearer {token('account')}", twin.config.account.id
    assert codes(get(twin, "/user/tokens/verify", bearer)) == [1000]
    assert get(twin, f"/accounts/{account}/tokens/verify", bearer).json["result"]["status"] == "active"
    assert get(twin, f"/accounts/{'0' * 32}/tokens/verify", bearer).status == 403
    assert get(twin, f"/accounts/{account}/tokens/verify", f"Bearer {token('full')}").status == 401
    assert get(twin, records(twin), bearer).status == 200


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("full", {"zones", "zone", "read", "usage", "export", "dnssec", "write", "batch"}),
        ("dns-read", {"zones", "zone", "read", "usage", "export", "dnssec"}),
        ("dns-only", {"read", "usage", "export", "dnssec", "write", "batch"}),
        ("zone-only", {"zones", "zone"}),
    ],
)
def test_each_call_needs_its_scope(twin: Twin, name: str, allowed: set[str]) -> None:
    zone = f"/zones/{twin.zone('example.com').zone.zone_id}"
    calls = {
        "zones": ("GET", "/zones", None),
        "zone": ("GET", zone, None),
        "read": ("GET", f"{zone}/dns_records", None),
        "usage": ("GET", f"{zone}/dns_records/usage", None),
        "export": ("GET", f"{zone}/dns_records/export", None),
        "dnssec": ("GET", f"{zone}/dnssec", None),
        "write": ("POST", f"{zone}/dns_records", {"type": "A", "name": "a", "content": "198.18.1.1"}),
        "batch": ("POST", f"{zone}/dns_records/batch", {}),
    }
    done = set()
    for call, (method, path, body) in calls.items():
        response = twin.handle(method, BASE + path, None, {"Authorization": f"Bearer {token(name)}"}, body)
        if response.status == 200:
            done.add(call)
        else:
            assert (response.status, codes(response)) == (403, [10000])
    assert done == allowed


def test_zones_a_token_does_not_cover_are_absent(twin: Twin) -> None:
    bearer = f"Bearer {token('one-zone')}"
    assert [z["name"] for z in get(twin, "/zones", bearer).json["result"]] == ["paid.example.org"]
    assert get(twin, "/zones", bearer).json["result_info"]["total_count"] == 1
    hidden = twin.zone("example.com").zone.zone_id
    for zone_id in (hidden, "0" * 32):  # hidden and inexistent cannot be told apart
        response = get(twin, f"/zones/{zone_id}", bearer)
        assert (response.status, codes(response)) == (403, [9109])
        response = get(twin, f"/zones/{zone_id}/dns_records", bearer)
        assert (response.status, codes(response)) == (403, [10000])


def test_the_zone_tells_the_callers_permissions(twin: Twin) -> None:
    zone = Api(twin, token("dns-read")).call("GET", f"{BASE}/zones").json["result"][0]
    assert zone["permissions"] == ["#dns_records:read", "#zone:read"]
