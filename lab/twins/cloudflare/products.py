# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Products that the twin does not have, as far as a preflight of a token asks: their lists, empty, behind the permission
each one takes (reference, §1.8 and §1.9); and the permission groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .config import PERMISSION_GROUPS, Account, stable_id


@dataclass(frozen=True)
class Listing:
    """A list nobody filled. path: with ``{id}`` for the account; group: of PERMISSION_GROUPS; largest: per_page."""

    path: str
    group: str
    largest: int = 1000


LISTINGS = (
    Listing("/accounts/{id}/cfd_tunnel", "Cloudflare Tunnel"),
    Listing("/accounts/{id}/access/apps", "Access: Apps and Policies"),
    Listing("/accounts/{id}/access/service_tokens", "Access: Service Tokens"),
)

#: What the filters of those lists are called; an empty list stays empty whatever they say.
FILTERS = ("page", "per_page", "is_deleted", "name", "direction")


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
