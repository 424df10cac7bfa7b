#!/usr/bin/python
# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: cloudflare_token_info
short_description: Find out what a Cloudflare API token is good for before it is used
version_added: 0.1.0
author: The mailstead maintainers
description:
  - Tells whether an API token lives and until when, which of the permissions that are needed it has, which zones it sees,
    and what plan, record limit and rate limit leave to do. Changes nothing and never shows the token.
  - A permission that is missing is named as the dashboard names it, with the place to add it.
  - Cloudflare does not tell a token its permissions, so each is tried with one harmless read. The right to write beside it
    cannot be tried; where the listing of zones shows that it is missing, the module warns.
  - "For Z wanted zones a run needs one request to verify the token, ⌈zones of the account / 50⌉ to list zones, Z for the
    records that are left, and one for each further need; the first two at the same time, the rest a few at a time."
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
      - The zones the token is needed for. When none is named, all that it sees are returned, and the needs are
        tried on the first.
    type: list
    elements: str
    default: []
  zone_ids:
    description: Ids of zones by name. A zone whose id is given is addressed by it; it does not have to be in the listing.
    type: dict
    default: {}
  account_id:
    description: Id of the account; that of the zones when not given. Needed to verify an account's token that sees no zone.
    type: str
  needs:
    description:
      - What the token is needed for.
      - V(zones), to list zones. V(dns), records and their quota, tried on every zone in O(names). V(dnssec), DNSSEC.
        V(dns_settings), the DNS settings of a zone. V(zone_settings), settings of a zone, among them those of Email Routing.
        V(email_routing_rules), its rules. V(email_routing_addresses), its destination addresses. V(email_sending), sending
        domains. V(tunnel), tunnels. V(access_apps), Access applications and policies. V(access_organizations), the name of the
        team. V(access_service_tokens), service tokens of Access. V(workers), Workers.
      - All but V(dns) are tried on the first zone or account.
    type: list
    elements: str
    choices:
      - zones
      - dns
      - dnssec
      - dns_settings
      - zone_settings
      - email_routing_rules
      - email_routing_addresses
      - email_sending
      - tunnel
      - access_apps
      - access_organizations
      - access_service_tokens
      - workers
    default: [zones, dns]
  strict:
    description: Whether a missing permission or zone is a failure. A dead token always is.
    type: bool
    default: true
  warn_days:
    description: Warn when the token expires in fewer days than this.
    type: int
    default: 30
seealso:
  - module: mailstead.stack.cloudflare_zone
  - module: mailstead.stack.cloudflare_dnssec
"""

EXAMPLES = r"""
- name: Fail early when the token cannot do what a run needs
  mailstead.stack.cloudflare_token_info:
    api_token: "{{ vault_cloudflare_token }}"
    names: [example.com, example.org]
    needs: [zones, dns, dnssec]

- name: See what there is
  mailstead.stack.cloudflare_token_info:
    api_token: "{{ vault_cloudflare_token }}"
    needs: [zones, dns, tunnel, email_routing_rules, email_routing_addresses]
    strict: false
  register: token
"""

RETURN = r"""
token:
  description: The token's state.
  returned: unless the token is dead
  type: dict
  contains:
    id:
      description: Id of the token; empty when it could not be verified.
      type: str
    kind:
      description: V(user) or V(account).
      type: str
    status:
      description: V(active), or empty when it works but could not be verified.
      type: str
    expires_on:
      description: When it expires; empty when it does not.
      type: str
    not_before:
      description: From when on it is valid; empty when that is not restricted.
      type: str
    days_left:
      description: Whole days until it expires; null when it does not.
      type: int
capabilities:
  description: What was tried.
  returned: unless the token is dead
  type: list
  elements: dict
  contains:
    name:
      description: The need.
      type: str
    permission:
      description: The permission as the dashboard names it, with the level and the right to choose there.
      type: str
      sample: Zone / DNS / Edit
    status:
      description: V(granted), V(missing), V(unclear) when the answer says neither, or V(untried) without a zone or account.
      type: str
    "on":
      description: Where it was tried.
      type: str
    words:
      description: What Cloudflare said, when it refused.
      type: str
zones:
  description: The wanted zones that the token sees, or all of them when none is named.
  returned: unless the token is dead
  type: list
  elements: dict
  contains:
    name:
      description: Name of the zone.
      type: str
    id:
      description: Id of the zone.
      type: str
    status:
      description: State of the zone; empty when only its id is known.
      type: str
    plan:
      description: Its plan, for example V(free); empty when only its id is known.
      type: str
    account:
      description: Id of its account; empty when only its id is known.
      type: str
    writable:
      description: Whether its records can be written, as the listing has it; null when that does not tell.
      type: bool
    records_used:
      description: Records in the zone; null when not asked.
      type: int
    records_limit:
      description: Most records the zone may hold; null when not told.
      type: int
    records_left:
      description: How many more there may be; null when not told.
      type: int
    batch_limit:
      description: Most changes in one batch on this plan.
      type: int
zones_seen:
  description: Names of all zones that the token sees.
  returned: unless the token is dead
  type: list
  elements: str
zones_missing:
  description: Names of those wanted that it does not see.
  returned: unless the token is dead
  type: list
  elements: str
rate_limit:
  description: What the answers said about the rate limit, which all tokens of a user share; null when nothing.
  returned: unless the token is dead
  type: dict
  contains:
    limit:
      description: Requests in one period.
      type: int
    remaining:
      description: Requests left in this one.
      type: int
    reset:
      description: Seconds until the next one; null when not told.
      type: int
requests:
  description: Requests made in all.
  returned: always
  type: int
problems:
  description: What is wrong, each with C(code), C(where), C(what) and C(fix).
  returned: always
  type: list
  elements: dict
"""

import dataclasses
from typing import Any, Dict, Optional, Sequence

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.client import Client
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.module import client_of, client_spec
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.token import inspect
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.token_model import (
    NEEDS,
    Report,
    SeenZone,
    Wanted,
)
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError, Problem
from ansible_collections.mailstead.stack.plugins.module_utils.dns import rdata


def argument_spec() -> Dict[str, Any]:
    return {
        **client_spec(),
        "names": {"type": "list", "elements": "str", "default": []},
        "zone_ids": {"type": "dict", "default": {}},
        "account_id": {"type": "str"},
        "needs": {"type": "list", "elements": "str", "choices": list(NEEDS), "default": ["zones", "dns"]},
        "strict": {"type": "bool", "default": True},
        "warn_days": {"type": "int", "default": 30},
    }


def wanted(params: Dict[str, Any]) -> Wanted:
    """The arguments as a wish. Raises MailsteadError for names that are none."""
    zones: Dict[str, str] = {}
    problems = []
    for given, zone_id in (*((n, "") for n in params["names"]), *params["zone_ids"].items()):
        try:
            zones[rdata.name(given)] = str(zone_id or "")
        except rdata.RdataError as error:
            problems.append(Problem("MS-DNS-001", f"names: {given}", str(error), "Correct the zone's name."))
    if problems:
        raise MailsteadError(problems)
    return Wanted(zones, tuple(params["needs"]), params["account_id"] or "", params["warn_days"])


def zone_data(zone: SeenZone) -> Dict[str, Any]:
    info = zone.info
    return {
        "name": info.name,
        "id": info.id,
        "status": info.status,
        "plan": info.plan,
        "account": zone.account,
        "writable": zone.writable,
        "records_used": zone.used,
        "records_limit": zone.limit,
        "records_left": zone.left,
        "batch_limit": info.batch_cap,
    }


def result(report: Report) -> Dict[str, Any]:
    return {
        "token": dataclasses.asdict(report.token),
        "capabilities": [dataclasses.asdict(one) for one in report.capabilities],
        "zones": [zone_data(zone) for zone in report.zones],
        "zones_seen": list(report.seen),
        "zones_missing": list(report.missing),
        "rate_limit": dataclasses.asdict(report.rate) if report.rate else None,
    }


def fail(module: AnsibleModule, problems: Sequence[Problem], **more: Any) -> None:
    msg = str(MailsteadError(problems))
    module.fail_json(msg=msg, problems=[dataclasses.asdict(p) for p in problems], **more)


def run(module: AnsibleModule, client: Client) -> None:
    """Raises MailsteadError for a dead token; ends the module otherwise."""
    report = inspect(client, wanted(module.params))
    for text in report.warnings:
        module.warn(text)
    out = {**result(report), "requests": sum(client.counts.values())}
    if report.problems and module.params["strict"]:
        fail(module, report.problems, **out)
    module.exit_json(changed=False, problems=[dataclasses.asdict(p) for p in report.problems], **out)


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    client: Optional[Client] = None
    try:
        client = client_of(module.params)
        run(module, client)
    except MailsteadError as error:
        fail(module, error.problems, requests=sum(client.counts.values()) if client else 0)
    finally:
        if client:
            client.close()


if __name__ == "__main__":
    main()
