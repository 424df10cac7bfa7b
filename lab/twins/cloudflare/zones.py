# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A zone as the API shows it (reference, §1.2; the plan's names as seen)."""

from __future__ import annotations

from typing import Any

from .auth import Caller
from .config import Account, stable_id
from .state import ZoneState


def zone_json(state: ZoneState, caller: Caller, account: Account) -> dict[str, Any]:
    """The zone object, as the caller sees it: ``permissions`` are the token's."""
    zone = state.zone
    names = {"free": "Free Website", "pro": "Pro Website", "business": "Business Website"}
    permissions = [
        f"#{kind}:{verb}"
        for kind, scope in (("dns_records", "DNS"), ("zone", "Zone"))
        for verb, right in (("read", "Read"), ("edit", "Edit"))
        if caller.may(f"{scope}:{right}")
    ]
    return {
        "id": zone.zone_id,
        "name": zone.name,
        "status": zone.status,
        "paused": zone.paused,
        "type": zone.type,
        "development_mode": 0,
        "name_servers": list(zone.name_servers),
        "original_name_servers": None,
        "original_registrar": None,
        "original_dnshost": None,
        "created_on": state.created_on,
        "modified_on": state.created_on,
        "activated_on": state.created_on if zone.status == "active" else None,
        "owner": {"id": stable_id("owner", account.id), "type": "user", "email": None},
        "meta": {
            "cdn_only": False,
            "custom_certificate_quota": 0,
            "dns_only": False,
            "foundation_dns": False,
            "page_rule_quota": 3,
            "phishing_detected": False,
            "step": 2,
        },
        "account": {"id": account.id, "name": account.name},
        "permissions": permissions,
        "plan": {
            "id": zone.plan,
            "name": names.get(zone.plan, "Enterprise Website"),
            "price": 0,
            "currency": "USD",
            "frequency": "",
            "is_subscribed": zone.plan != "free",
            "can_subscribe": False,
            "legacy_id": zone.plan,
            "legacy_discount": False,
            "externally_managed": False,
        },
    }
