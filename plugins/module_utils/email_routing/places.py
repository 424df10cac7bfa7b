# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mail domains and the zones they are in: the apex of a zone or a name below it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Sequence, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.client import Client
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.provider import to_zone
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.zones import ZoneInfo, find_zones, read_zone
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError, Problem
from ansible_collections.mailstead.stack.plugins.module_utils.dns import rdata
from ansible_collections.mailstead.stack.plugins.module_utils.dns.provider import Zone


@dataclass(frozen=True)
class Place:
    """A mail domain. account: id of the zone's account; empty when the zone was given by id."""

    domain: str
    zone: Zone
    account: str = ""

    @property
    def apex(self) -> bool:
        return self.domain == self.zone.name


def domain_spec(more: Mapping[str, Any]) -> Dict[str, Any]:
    """The argument ``domains`` with the options that say where a domain is, and more."""
    options = {"name": {"type": "str", "required": True}, "zone": {"type": "str"}, "zone_id": {"type": "str"}}
    return {"type": "list", "elements": "dict", "required": True, "options": {**options, **more}}


def find_places(client: Client, rows: Sequence[Mapping[str, Any]]) -> List[Place]:
    """The places of the argument ``domains``, in its order. Raises MailsteadError with everything that is wrong."""
    names, problems = _names(rows)
    ids: Dict[str, str] = {}
    for (_domain, zone), row in zip(names, rows):
        given = row.get("zone_id") or ""
        if given and ids.get(zone, given) != given:
            fix = "Give the zone's id once, or the same everywhere."
            problems.append(Problem("MS-ER-016", f"zone {zone}", "it is given with two ids", fix))
        ids[zone] = given or ids.get(zone, "")
    if problems:
        raise MailsteadError(problems)
    zones, problems = find_zones(client, list(ids.items()))
    if problems:
        raise MailsteadError(problems)
    return [Place(domain, to_zone(zones[zone]), zones[zone].account) for domain, zone in names]


def _names(rows: Sequence[Mapping[str, Any]]) -> Tuple[List[Tuple[str, str]], List[Problem]]:
    names: List[Tuple[str, str]] = []
    problems: List[Problem] = []
    for row in rows:
        where = f"domains: {row['name']}"
        try:
            domain = rdata.name(row["name"])
            zone = rdata.name(row.get("zone") or row["name"])
        except rdata.RdataError as error:
            problems.append(Problem("MS-ER-016", where, str(error), "Correct the domain's name."))
            continue
        if not rdata.within(domain, zone):
            problems.append(
                Problem("MS-ER-016", where, f"it is not in the zone {zone}", "Give the zone it is part of.")
            )
        if any(domain == known for known, _zone in names):
            problems.append(Problem("MS-ER-016", where, "it is listed twice", "List each domain once."))
        names.append((domain, zone))
    return names, problems


def account_of(client: Client, place: Place) -> str:
    """The id of the account that holds the place's zone. Raises MailsteadError."""
    if place.account:
        return place.account
    found = read_zone(client, ZoneInfo(place.zone.id, place.zone.name)).account
    if not found:
        fix = "Give account_id: it is in the address bar of the dashboard, and on a zone's overview page."
        what = "the zone does not say which account it is in"
        raise MailsteadError.one("MS-ER-015", f"zone {place.zone.name}", what, fix)
    return found
