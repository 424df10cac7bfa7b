# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a token can be needed for, and what is found out about one. Plain data and how to read it.

Permission groups are named as the dashboard names them (documentation, API token permissions).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, Dict, Mapping, Optional, Sequence, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.zones import ZoneInfo
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import Problem


@dataclass(frozen=True)
class Need:
    """Something a token is needed for. level, group and verb: the permission's row in the dashboard; path: what is read to
    try it, with ``{zone}`` or ``{account}``; note: what is not certain."""

    level: str
    group: str
    verb: str
    path: str
    query: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""

    @property
    def permission(self) -> str:
        return f"{self.level} / {self.group} / {self.verb}"

    @property
    def of_zone(self) -> bool:
        return "{zone}" in self.path


_ONE = {"per_page": 5}
NEEDS: Dict[str, Need] = {
    "zones": Need("Zone", "Zone", "Read", "/zones"),
    "dns": Need("Zone", "DNS", "Edit", "/zones/{zone}/dns_records/usage"),
    "dnssec": Need("Zone", "DNS", "Edit", "/zones/{zone}/dnssec"),
    "dns_settings": Need("Zone", "DNS", "Edit", "/zones/{zone}/dns_settings"),
    "zone_settings": Need("Zone", "Zone Settings", "Edit", "/zones/{zone}/email/routing"),
    "email_routing_rules": Need("Zone", "Email Routing Rules", "Edit", "/zones/{zone}/email/routing/rules", _ONE),
    "email_routing_addresses": Need(
        "Account", "Email Routing Addresses", "Edit", "/accounts/{account}/email/routing/addresses", _ONE
    ),
    "email_sending": Need(
        "Account",
        "Email Sending",
        "Edit",
        "/zones/{zone}/email/sending/subdomains",
        note="which permission opens this list is not documented",
    ),
    "tunnel": Need("Account", "Cloudflare Tunnel", "Edit", "/accounts/{account}/cfd_tunnel", _ONE),
    "access_apps": Need("Account", "Access: Apps and Policies", "Edit", "/accounts/{account}/access/apps", _ONE),
    "access_organizations": Need(
        "Account",
        "Access: Organizations, Identity Providers, and Groups",
        "Read",
        "/accounts/{account}/access/organizations",
        note="an account that never opened Zero Trust refuses it too",
    ),
    "access_service_tokens": Need(
        "Account", "Access: Service Tokens", "Edit", "/accounts/{account}/access/service_tokens", _ONE
    ),
    "workers": Need("Account", "Workers Scripts", "Edit", "/accounts/{account}/workers/scripts"),
}


@dataclass(frozen=True)
class Token:
    """The token as verifying tells it. kind: user or account; status: active, or empty when it works but cannot be verified;
    times: RFC 3339, empty when none is set; days_left: whole days until it expires."""

    id: str = ""
    kind: str = ""
    status: str = ""
    expires_on: str = ""
    not_before: str = ""
    days_left: Optional[int] = None


@dataclass(frozen=True)
class Capability:
    """A tried permission. status: granted, missing, or unclear when the answer says neither; on: the zone or account."""

    name: str
    permission: str
    status: str
    on: str
    words: str = ""


@dataclass(frozen=True)
class SeenZone:
    """A zone and what it holds. used and limit: records, None when not told; writable: whether the token may write records
    by the listing's word, None when that does not tell."""

    info: ZoneInfo
    account: str = ""
    writable: Optional[bool] = None
    used: Optional[int] = None
    limit: Optional[int] = None

    @property
    def left(self) -> Optional[int]:
        return None if self.used is None or self.limit is None else max(0, self.limit - self.used)


@dataclass(frozen=True)
class Rate:
    """The rate limit by the headers of the answers: requests in all and left, seconds until it starts anew."""

    limit: int
    remaining: int
    reset: Optional[int] = None


@dataclass(frozen=True)
class Wanted:
    """What is asked for. zones: name → id, or empty to see it in the listing; needs: of NEEDS; account: id, or empty to take
    that of the zones; warn_days: days before the expiry from which on a warning is due."""

    zones: Mapping[str, str] = field(default_factory=dict)
    needs: Sequence[str] = ("zones", "dns")
    account: str = ""
    warn_days: int = 30


@dataclass(frozen=True)
class Report:
    """What was found. zones: those wanted, or all when none was named; seen: names of all zones of the token."""

    token: Token
    capabilities: Tuple[Capability, ...]
    zones: Tuple[SeenZone, ...]
    seen: Tuple[str, ...]
    missing: Tuple[str, ...]
    rate: Optional[Rate]
    warnings: Tuple[str, ...]
    problems: Tuple[Problem, ...]


def rate_of(headers: Mapping[str, str]) -> Optional[Rate]:
    """The rate limit in an answer's headers, None when they do not tell."""
    numbers = [headers.get(f"x-ratelimit-{name}", "") for name in ("limit", "remaining", "reset")]
    if not numbers[0].isdigit() or not numbers[1].isdigit():
        return None
    return Rate(int(numbers[0]), int(numbers[1]), int(numbers[2]) if numbers[2].isdigit() else None)


def days_until(moment: str, now: datetime) -> Optional[int]:
    """Whole days from now until an RFC 3339 time; None when it is none."""
    # Python 3.9 reads neither a Z nor fractions of other than three or six digits.
    plain = re.sub(r"\.\d+", "", moment.replace("Z", "+00:00"))
    try:
        then = datetime.fromisoformat(plain)
    except ValueError:
        return None
    if then.tzinfo is None:
        then = then.replace(tzinfo=timezone.utc)
    return (then - now).days
