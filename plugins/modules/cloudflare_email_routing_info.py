#!/usr/bin/python
# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: cloudflare_email_routing_info
short_description: Read what Cloudflare Email Routing has and does
version_added: 0.1.0
author: The mailstead maintainers
description:
  - Reads settings, rules and destinations of Email Routing, statistics of the mail by day, rule and result of SPF, DKIM and
    DMARC, single events, who writes to which address, what was changed by whom, and the account as inventory.
  - "For Z zones: one request for each 50 zones, one for each 50 rules and 50 destinations of the account, two for each zone,
    and one for each ten zones with O(statistics)."
  - Statistics count events as the service has them and may be sampled by it; they are kept for 31 days. Mail that a Worker
    sends may count as dropped.
attributes:
  check_mode:
    description: Changes nothing in any mode.
    support: full
  diff_mode:
    description: Nothing to show.
    support: none
extends_documentation_fragment:
  - mailstead.stack.cloudflare
options:
  names:
    description:
      - The zones. All that the token sees, when none is named.
      - The token needs Zone › Zone › Read, Zone › Zone Settings › Read, Zone › Email Routing Rules › Read and Account › Email
        Routing Addresses › Read.
    type: list
    elements: str
    default: []
  statistics:
    description: Count the mail. Needs Zone › Analytics › Read.
    type: bool
    default: true
  days:
    description: How many days, today included, from 1 to 31; for O(statistics), O(events), O(leaks) and O(audit_log).
    type: int
    default: 7
  events:
    description:
      - How many of the newest events of each zone to return one by one, up to 10000 (the activity log). With senders,
        recipients and subjects.
    type: int
    default: 0
  leaks:
    description: Tell from the events who writes to which address, to see which address leaked; looks at 10000 events.
    type: bool
    default: false
  audit_log:
    description: Return what was changed about mail and Workers, by whom. Needs Account › Account Settings › Read.
    type: bool
    default: false
  inventory:
    description: Return the account as C(mail_domains) of an inventory, which applies without a change.
    type: bool
    default: false
  instance:
    description: Whose rules count as ours.
    type: str
    default: mailstead
seealso:
  - module: mailstead.stack.cloudflare_email_routing
  - module: mailstead.stack.cloudflare_email_routing_rules
"""

EXAMPLES = r"""
- name: What became of the mail of the last 30 days
  mailstead.stack.cloudflare_email_routing_info:
    api_token: "{{ vault_cloudflare_token }}"
    days: 30
  register: routing

- name: Write what is there as inventory
  mailstead.stack.cloudflare_email_routing_info:
    api_token: "{{ vault_cloudflare_token }}"
    names: [example.org]
    statistics: false
    inventory: true
  register: routing

- name: Show it
  ansible.builtin.copy:
    content: "{{ {'mail_domains': routing.mail_domains} | to_nice_yaml }}"
    dest: "{{ inventory_dir }}/group_vars/all/domains.yml"
    mode: "0644"
"""

RETURN = r"""
zones:
  description: The zones, sorted by name.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the zone.
      type: str
    id:
      description: Id of the zone.
      type: str
    enabled:
      description: Whether Email Routing is on.
      type: bool
    status:
      description: Its state in the service's words, for example V(ready) or V(misconfigured).
      type: str
    subaddressing:
      description: Whether C(user+detail) is delivered as C(user).
      type: bool
    rules:
      description: The rules, the catch-all with an empty C(address), each with C(address), C(action), C(target), C(enabled),
        C(name), C(priority), C(id), C(source) and C(owned).
      type: list
      elements: dict
    statistics:
      description: C(since), C(until), C(total), C(counts) by outcome, C(days), C(rules) and C(authentication) with counts each,
        C(events) and C(notes). The outcomes are C(delivered), C(handled) by a Worker, C(dropped), C(rejected) and C(failed).
      returned: with O(statistics) or O(events)
      type: dict
    leaks:
      description: One line for each address that somebody else than its correspondent uses, or that no rule declares.
      returned: with O(leaks)
      type: list
      elements: str
destinations:
  description: Destinations of the account, each with C(address), C(id) and C(verified), which is empty until its owner clicks.
  returned: success
  type: list
  elements: dict
changes:
  description: Entries of the audit log, newest first, each with C(time), C(action), C(result), C(actor), C(zone), C(resource)
    and C(request).
  returned: with O(audit_log)
  type: list
  elements: dict
mail_domains:
  description: The account in the words of the intent.
  returned: with O(inventory)
  type: list
  elements: dict
notes:
  description: What should be known, for example what the inventory cannot say.
  returned: success
  type: list
  elements: str
requests:
  description: Requests made in all.
  returned: always
  type: int
problems:
  description: What is wrong, each with C(code), C(where), C(what) and C(fix).
  returned: failure
  type: list
  elements: dict
"""

import dataclasses
import datetime
from typing import Any, Dict, List, Sequence, Tuple

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.analytics import (
    KEPT_DAYS,
    ROWS,
    Statistics,
    Window,
    audit_log,
    statistics,
)
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.client import Client
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.module import client_of, client_spec
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.workers import each
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.zones import (
    ZoneInfo,
    all_zones,
    find_zones,
)
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError
from ansible_collections.mailstead.stack.plugins.module_utils.email_routing import api
from ansible_collections.mailstead.stack.plugins.module_utils.email_routing.audit import audit, lines
from ansible_collections.mailstead.stack.plugins.module_utils.email_routing.export import to_intent, to_mapping
from ansible_collections.mailstead.stack.plugins.module_utils.email_routing.model import Destination, Rule, Settings


@dataclasses.dataclass
class Found:
    """A zone as far as it was read. rules: the catch-all included."""

    zone: ZoneInfo
    settings: Settings
    rules: List[Rule]


def argument_spec() -> Dict[str, Any]:
    return {
        **client_spec(),
        "names": {"type": "list", "elements": "str", "default": []},
        "statistics": {"type": "bool", "default": True},
        "days": {"type": "int", "default": 7},
        "events": {"type": "int", "default": 0},
        "leaks": {"type": "bool", "default": False},
        "audit_log": {"type": "bool", "default": False},
        "inventory": {"type": "bool", "default": False},
        "instance": {"type": "str", "default": "mailstead"},
    }


def check(params: Dict[str, Any]) -> None:
    """Raises MailsteadError for numbers out of bounds."""
    for name, least, most in (("days", 1, KEPT_DAYS), ("events", 0, ROWS)):
        if not least <= params[name] <= most:
            fix = f"Give a number from {least} to {most}; the service keeps and tells no more."
            raise MailsteadError.one("MS-CF-040", name, f"{params[name]} is out of bounds", fix)


def wanted_zones(client: Client, names: Sequence[str]) -> List[ZoneInfo]:
    """Raises MailsteadError."""
    if not names:
        return sorted(all_zones(client), key=lambda z: z.name)
    found, problems = find_zones(client, [(n, "") for n in dict.fromkeys(n.lower().rstrip(".") for n in names)])
    if problems:
        raise MailsteadError(problems)
    return sorted(found.values(), key=lambda z: z.name)


def read(client: Client, zones: Sequence[ZoneInfo]) -> Tuple[List[Found], List[Destination]]:
    """Settings and rules of the zones, destinations of their accounts. Raises MailsteadError."""
    rules: List[Rule] = []
    destinations: List[Destination] = []
    for account in sorted({zone.account for zone in zones}):
        ids = {zone.name: zone.id for zone in zones if zone.account == account}
        rules += api.list_rules(client, account, ids)[0]
        destinations += api.list_destinations(client, account)

    def one(zone: ZoneInfo) -> Found:
        settings = api.read_settings(client, zone.id, f"zone {zone.name}")
        # Whether the listing has the catch-all is not certain.
        mine = [rule for rule in rules if rule.zone == zone.name and rule.address]
        return Found(zone, settings, [*mine, api.read_catch_all(client, zone.id, zone.name)])

    return each(zones, one), destinations


def rule_data(rule: Rule, instance: str) -> Dict[str, Any]:
    names = ("address", "action", "target", "enabled", "name", "priority", "id", "source")
    return {**{name: getattr(rule, name) for name in names}, "owned": rule.mine(instance)}


def zone_data(found: Found, counted: Dict[str, Statistics], params: Dict[str, Any]) -> Dict[str, Any]:
    out: Dict[str, Any] = {
        "name": found.zone.name,
        "id": found.zone.id,
        "enabled": found.settings.enabled,
        "status": found.settings.status,
        "subaddressing": found.settings.subaddressing,
        "rules": [rule_data(rule, params["instance"]) for rule in found.rules],
    }
    numbers = counted.get(found.zone.name)
    if numbers is None:
        return out
    if params["leaks"]:
        out["leaks"] = lines(audit(numbers.events, found.rules, found.settings.subaddressing))
        numbers = dataclasses.replace(numbers, events=numbers.events[: params["events"]])
    if params["statistics"] or params["events"]:
        names = {rule.id: rule.address or "catch-all" for rule in found.rules}
        out["statistics"] = numbers.to_data(names)
    return out


def run(client: Client, params: Dict[str, Any], today: datetime.date) -> Dict[str, Any]:
    """Raises MailsteadError."""
    check(params)
    zones = wanted_zones(client, params["names"])
    found, destinations = read(client, zones)
    window = Window.last(params["days"], today)
    counted: Dict[str, Statistics] = {}
    if params["statistics"] or params["events"] or params["leaks"]:
        events = ROWS if params["leaks"] else params["events"]
        counted = statistics(client, [(z.name, z.id) for z in zones], window, events)
    notes = [note for one in counted.values() for note in one.notes]
    out: Dict[str, Any] = {
        "changed": False,
        "zones": [zone_data(one, counted, params) for one in found],
        "destinations": [dataclasses.asdict(d) for d in destinations],
    }
    if params["audit_log"]:
        logs = [audit_log(client, account, window) for account in sorted({zone.account for zone in zones})]
        entries = sorted((entry for log, _ in logs for entry in log), key=lambda e: e.time, reverse=True)
        out["changes"] = [dataclasses.asdict(entry) for entry in entries]
        notes += [note for _, told in logs for note in told]
    if params["inventory"]:
        inbounds = [
            inbound
            for one in found
            if one.settings.enabled
            for inbound in to_intent(one.zone.name, one.settings, one.rules, destinations, params["instance"])
        ]
        out["mail_domains"] = to_mapping(inbounds)
        notes += [f"{inbound.domain}: {note}" for inbound in inbounds for note in inbound.notes]
    return {**out, "notes": notes, "requests": sum(client.counts.values())}


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    client = None
    try:
        client = client_of(module.params)
        result = run(client, module.params, datetime.datetime.now(datetime.timezone.utc).date())
    except MailsteadError as error:
        requests = sum(client.counts.values()) if client else 0
        problems = [dataclasses.asdict(p) for p in error.problems]
        module.fail_json(msg=str(error), problems=problems, requests=requests)
    finally:
        if client:
            client.close()
    for note in result["notes"]:
        module.warn(note)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
