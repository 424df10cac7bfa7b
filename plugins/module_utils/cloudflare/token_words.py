# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person should know about a token: what it lacks and where to give it that, what ends soon."""

from __future__ import annotations

from typing import Dict, List, Optional, Sequence

from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.token_model import (
    NEEDS,
    Capability,
    Rate,
    SeenZone,
    Token,
    Wanted,
)
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import Problem

#: From this share of a limit on, a person is told.
NEARLY = 0.9


def warnings(
    wanted: Wanted,
    token: Token,
    zones: Sequence[SeenZone],
    capabilities: Sequence[Capability],
    rate: Optional[Rate],
) -> List[str]:
    out: List[str] = []
    if token.days_left is not None and token.days_left < wanted.warn_days:
        left = f"in {token.days_left} days" if token.days_left > 1 else "within two days"
        out.append(
            f"the token expires {left} ({token.expires_on}): extend it in the dashboard, its value stays the same"
        )
    if not token.status:
        out.append("the token works but cannot be verified, so its expiry is not known")
    for one in capabilities:
        if one.status == "unclear":
            note = f" ({NEEDS[one.name].note})" if NEEDS[one.name].note else ""
            out.append(f"whether the token has {one.permission} is unclear{note}: {one.on}: {one.words}")
    if {"dns", "dnssec"} & set(wanted.needs):
        out += [
            f"zone {z.info.name}: by its listing the token may read but not write its records; writing needs "
            f"{NEEDS['dns'].permission}"
            for z in zones
            if z.writable is False
        ]
    for zone in zones:
        if zone.used is not None and zone.limit and zone.used >= NEARLY * zone.limit:
            out.append(f"zone {zone.info.name}: {zone.used} of {zone.limit} records are used")
    if rate is not None and rate.remaining <= (1 - NEARLY) * rate.limit:
        out.append(f"the rate limit is nearly used up: {rate.remaining} of {rate.limit} requests are left")
    return out


def problems(
    wanted: Wanted, token: Token, capabilities: Sequence[Capability], seen: Sequence[str], missing: Sequence[str]
) -> List[Problem]:
    out: List[Problem] = []
    lacking: Dict[str, List[Capability]] = {}
    for one in capabilities:
        if one.status == "missing":
            lacking.setdefault(one.permission, []).append(one)
        elif one.status == "untried" and not missing:
            what = f"whether the token has {one.permission} cannot be tried: {one.on} is known to try it on"
            fix = f"Let the token see a zone ({NEEDS['zones'].permission}), or give account_id or zone_ids."
            out.append(Problem("MS-CF-027", f"api_token: {one.name}", what, fix))
    for permission, found in lacking.items():
        out.append(_lacking(permission, found, token))
    # Without the permission to list zones, that no zone is seen says nothing more.
    if not any(one.name == "zones" and one.status == "missing" for one in capabilities):
        out += [_unseen(name, seen) for name in missing]
    return out


def _lacking(permission: str, found: Sequence[Capability], token: Token) -> Problem:
    names = ", ".join(dict.fromkeys(one.name for one in found))
    places = ", ".join(dict.fromkeys(one.on for one in found))
    notes = "; ".join(dict.fromkeys(NEEDS[one.name].note for one in found if NEEDS[one.name].note))
    what = f"the token lacks the permission {permission}, needed for {names}: {places}: {found[0].words}"
    level, group, verb = permission.split(" / ")
    resources = "Zone Resources" if level == "Zone" else "Account Resources"
    where = "Manage Account, Account API Tokens" if token.kind == "account" else "My Profile, API Tokens"
    fix = (
        f"In the dashboard open {where}, edit the token, add the permission {level} - {group} - {verb}, and see that "
        f"{resources} include what is named here. The token's value stays the same."
    )
    return Problem("MS-CF-025", f"api_token: {names}", what + (f" ({notes})" if notes else ""), fix)


def _unseen(name: str, seen: Sequence[str]) -> Problem:
    shown = ", ".join(seen[:20]) + (", …" if len(seen) > 20 else "")
    what = f"it is no zone of the token, which sees {shown or 'none at all'}"
    fix = (
        "Correct the name, add the domain to the Cloudflare account, or edit the token in the dashboard so that Zone "
        f"Resources include it (permission {NEEDS['zones'].permission})."
    )
    return Problem("MS-CF-026", f"zone {name}", what, fix)
