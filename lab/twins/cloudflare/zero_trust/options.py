# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an account's Zero Trust organization is set to."""

from __future__ import annotations

import re
from dataclasses import dataclass

_TEAM = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True)
class TrustOptions:
    """The organization. Both switches are fields of it that the API documents."""

    #: The team's name: the organization's domain is ``<team>.cloudflareaccess.com``.
    team: str = "mailstead"
    #: Zero Trust was set up in the dashboard; without that, every call below ``/access`` is refused.
    enabled: bool = True
    #: A request without a good service token is answered 401 or 403 and not sent to the login page. Organizations made since
    #: 2026-10-05 have it and cannot turn it off.
    strict_service_token_auth: bool = True
    #: A name that no application covers is closed, not open.
    deny_unmatched_requests: bool = False

    @property
    def domain(self) -> str:
        return f"{self.team}.cloudflareaccess.com"

    def mistakes(self) -> list[str]:
        """What is wrong, one line each."""
        switches = ("enabled", "strict_service_token_auth", "deny_unmatched_requests")
        found = [f"{name}: true or false is expected" for name in switches if not isinstance(getattr(self, name), bool)]
        if not isinstance(self.team, str) or not _TEAM.fullmatch(self.team):
            found.append(f"team: {self.team!r} is no label of a domain name")
        return found


DEFAULTS = TrustOptions()
