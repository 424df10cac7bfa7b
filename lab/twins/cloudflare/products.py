# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The permission groups that tokens are made of (reference, §1.9)."""

from __future__ import annotations

from typing import Any

from .config import PERMISSION_GROUPS, Account, stable_id


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
