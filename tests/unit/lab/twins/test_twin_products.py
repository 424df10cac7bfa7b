# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a preflight of a token asks beside DNS: permission groups, the lists of other products, each behind its scope."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lab.twins.cloudflare import Twin
from lab.twins.cloudflare.config import PERMISSION_GROUPS, SCOPES
from tests.unit.lab.twins.conftest import BASE, TOKEN, Api, codes

#: Lists of the account and the permission groups that open each.
LISTS = {
    "cfd_tunnel": ("Cloudflare Tunnel", "Cloudflare One Connector: cloudflared"),
    "access/apps": ("Access: Apps and Policies",),
    "access/policies": ("Access: Apps and Policies",),
    "access/service_tokens": ("Access: Service Tokens",),
}


def path_of(api: Api, listing: str) -> str:
    return f"{BASE}/accounts/{api.twin.config.account.id}/{listing}"


@pytest.mark.parametrize(
    ("listing", "group"), [(listing, group) for listing, groups in LISTS.items() for group in groups]
)
def test_every_list_needs_its_own_permission(make: Callable[..., Twin], listing: str, group: str) -> None:
    own = [f"{group}:Read"]
    others = [s for s in SCOPES if s.rpartition(":")[0] not in LISTS[listing]]
    twin = make(tokens=[{"token": TOKEN, "scopes": own}, {"token": "o" * 40, "scopes": others}])
    api, other = Api(twin), Api(twin, token="o" * 40)
    answer = api.call("GET", path_of(api, listing), query="per_page=5").json
    assert answer["result"] == [] and answer["result_info"]["total_count"] == 0
    assert codes(other.call("GET", path_of(api, listing))) == [10000]
    assert api.call("GET", path_of(api, listing), query="per_page=1001").status == 400


def test_another_account_is_not_the_tokens(api: Api) -> None:
    for listing in LISTS:
        assert codes(api.call("GET", f"{BASE}/accounts/{'0' * 32}/{listing}")) == [9109]


def test_permission_groups_of_the_user_and_the_account(make: Callable[..., Twin]) -> None:
    scopes = ["API Tokens:Read", "Account API Tokens:Edit"]
    api = Api(make(tokens=[{"token": TOKEN, "scopes": scopes}, {"token": "o" * 40}]))
    of_user = f"{BASE}/user/tokens/permission_groups"
    of_account = f"{BASE}/accounts/{api.twin.config.account.id}/tokens/permission_groups"
    everything = api.call("GET", of_user).json["result"]
    assert len(everything) == 2 * len(PERMISSION_GROUPS) and len({g["id"] for g in everything}) == len(everything)
    assert len(api.call("GET", of_account).json["result"]) == len(everything) - 2
    (dns,) = api.call("GET", of_account, query="name=DNS Write").json["result"]
    assert dns["scopes"] == ["com.cloudflare.api.account.zone"] and dns in everything
    zone_level = api.call("GET", of_user, query="scope=com.cloudflare.api.account.zone").json["result"]
    assert len(zone_level) == 2 * list(PERMISSION_GROUPS.values()).count("zone")
    assert api.call("GET", of_user, query="nmae=x").status == 400
    for path in (of_user, of_account):
        assert codes(Api(api.twin, token="o" * 40).call("GET", path)) == [10000]
    assert codes(api.call("GET", of_account.replace(api.twin.config.account.id, "0" * 32))) == [9109]


def test_dns_settings_open_with_their_own_permission_too(make: Callable[..., Twin]) -> None:
    api = Api(make(tokens=[{"token": TOKEN, "scopes": ["Zone DNS Settings:Edit"]}]))
    path = f"{BASE}/zones/{api.zone_id}/dns_settings"
    assert api.call("GET", path).status == 200 and api.call("PATCH", path, {"ns_ttl": 3600}).status == 200
    assert codes(api.call("GET", api.records_path)) == [10000]
