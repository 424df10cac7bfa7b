# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Products beside DNS, as far as a preflight of a token asks: their lists, empty, behind the permission each one takes.

Paths and permissions: reference, §1.6 to §1.9. Which group opens ``email/sending/subdomains`` is unverified there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .config import PERMISSION_GROUPS, Account, Zone, stable_id


@dataclass(frozen=True)
class Listing:
    """A list nobody filled. path: with ``{id}`` for the zone or account; group: of PERMISSION_GROUPS; largest: per_page."""

    path: str
    group: str
    largest: int = 50

    @property
    def of_zone(self) -> bool:
        return self.path.startswith("/zones/")


LISTINGS = (
    Listing("/zones/{id}/email/routing/rules", "Email Routing Rules"),
    Listing("/accounts/{id}/email/routing/addresses", "Email Routing Addresses"),
    Listing("/zones/{id}/email/sending/subdomains", "Email Sending"),
    Listing("/accounts/{id}/cfd_tunnel", "Cloudflare Tunnel", 1000),
    Listing("/accounts/{id}/access/apps", "Access: Apps and Policies", 1000),
    Listing("/accounts/{id}/access/service_tokens", "Access: Service Tokens", 1000),
    Listing("/accounts/{id}/workers/scripts", "Workers Scripts", 1000),
)

#: What the filters of those lists are called; an empty list stays empty whatever they say.
FILTERS = ("page", "per_page", "is_deleted", "name", "verified", "enabled", "direction")

#: Email Routing's words for the twin's states (reference, §1.6).
_ROUTING = {"off": "unconfigured", "unlocked": "unlocked", "locked": "ready"}


def routing_json(zone: Zone, created: str) -> dict[str, Any]:
    """``/zones/{id}/email/routing``."""
    return {
        "id": stable_id("routing", zone.name),
        "tag": stable_id("routing", zone.name),
        "name": zone.name,
        "enabled": zone.email_routing != "off",
        "created": created,
        "modified": created,
        "skip_wizard": False,
        "support_subaddress": False,
        "status": _ROUTING[zone.email_routing],
    }


def permission_groups(account: Account | None) -> list[dict[str, Any]]:
    """``…/tokens/permission_groups``; an account cannot give the groups of a user. account: None at the user's endpoint.

    The API calls the right to edit "Write".
    """
    scopes = {"zone": "com.cloudflare.api.account.zone", "account": "com.cloudflare.api.account"}
    return [
        {
            "id": stable_id("permission", group, verb),
            "name": f"{group} {verb}",
            "scopes": [scopes.get(level, "com.cloudflare.api.user")],
        }
        for group, level in PERMISSION_GROUPS.items()
        if account is None or level != "user"
        for verb in ("Read", "Write")
    ]
