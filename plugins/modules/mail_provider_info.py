#!/usr/bin/python
# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: mail_provider_info
short_description: Compare what profiles of mail providers say with the DNS of today
version_added: 0.1.0
author: The mailstead maintainers
description:
  - Asks the DNS whether the hosts of profiles still have addresses, and measures how many look-ups their SPF includes cost a
    receiver now (RFC 7208, section 4.6.4), those that find nothing counted apart.
  - Says what no longer agrees with the profile, and which profile nobody has looked at for too long. The module does not fail
    for it, so that all profiles are compared; RV(problems) is for the task behind it.
  - All profiles are compared in one task; no name is asked for twice.
attributes:
  check_mode:
    description: Never changes anything.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: none
  idempotent:
    description: Never changes anything.
    support: full
options:
  profiles:
    description:
      - What the profiles say. The filter P(mailstead.stack.provider_constants#filter) makes it of our profiles and of those
        beside the inventory.
    type: list
    elements: dict
    required: true
    suboptions:
      id:
        description: The profile's word.
        type: str
        required: true
      title:
        description: The provider's name.
        type: str
        required: true
      verified_on:
        description: When its facts were last looked at, such as V(2026-11-20).
        type: str
        required: true
      hosts:
        description: Hosts that must have addresses.
        type: list
        elements: str
        default: []
      includes:
        description: Names that the provider's customers include in their SPF record.
        type: list
        elements: str
        default: []
      cost_hint:
        description: How many look-ups the includes are said to cost together.
        type: int
        default: 0
  max_age_days:
    description: For how many days facts count as fresh.
    type: int
    default: 180
  resolvers:
    description: Addresses of the recursive resolvers to ask. The host's own when there are none.
    type: list
    elements: str
    default: []
  port:
    description: Port of O(resolvers).
    type: int
    default: 53
  deadline:
    description: Seconds that all questions together may take.
    type: int
    default: 60
requirements:
  - dnspython
seealso:
  - module: mailstead.stack.cloudflare_zone
    description: Measures the SPF records that it publishes.
"""

EXAMPLES = r"""
- name: Compare the profiles of two providers with the DNS
  mailstead.stack.mail_provider_info:
    profiles: "{{ ['google_workspace', 'gmail_personal'] | mailstead.stack.provider_constants }}"
  register: found

- name: Say what no longer agrees
  ansible.builtin.fail:
    msg: "{{ found.problems | map(attribute='what') }}"
  when: found.problems | length > 0
"""

RETURN = r"""
providers:
  description: What was found, in the order asked for.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: The profile's word.
      type: str
    told:
      description: All of it in a line.
      type: str
    hosts:
      description: Each host with its addresses, C(name) and C(addresses).
      type: list
      elements: dict
    includes:
      description: Each include with what it costs, C(name), C(lookups) and C(voids).
      type: list
      elements: dict
    lookups:
      description: Look-ups of all includes together.
      type: int
    cost_hint:
      description: What the profile says of them.
      type: int
    voids:
      description: Look-ups that find nothing.
      type: int
    unknown:
      description: What could not be looked up. Nothing is said about it.
      type: list
      elements: str
problems:
  description: What no longer agrees, each with C(code), C(where), C(what) and C(fix).
  returned: success
  type: list
  elements: dict
unknown:
  description: What could not be looked up, of all providers.
  returned: success
  type: list
  elements: str
"""

import dataclasses
import datetime
import traceback
from typing import Any, Dict, List

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.mailstead.stack.plugins.module_utils.providers.constants import Checked, Constants, check

DNS_ERROR = None
try:
    import dns.resolver
    from ansible_collections.mailstead.stack.plugins.module_utils.dns.spf_lookup import LiveAnswers
except ImportError:
    DNS_ERROR = traceback.format_exc()


def argument_spec() -> Dict[str, Any]:
    names = {"type": "list", "elements": "str", "default": []}
    profile = {
        "id": {"type": "str", "required": True},
        "title": {"type": "str", "required": True},
        "verified_on": {"type": "str", "required": True},
        "hosts": names,
        "includes": names,
        "cost_hint": {"type": "int", "default": 0},
    }
    return {
        "profiles": {"type": "list", "elements": "dict", "required": True, "options": profile},
        "max_age_days": {"type": "int", "default": 180},
        "resolvers": names,
        "port": {"type": "int", "default": 53},
        "deadline": {"type": "int", "default": 60},
    }


def constants_of(entry: Dict[str, Any]) -> Constants:
    hosts, includes = ([name.lower().rstrip(".") for name in entry[key]] for key in ("hosts", "includes"))
    return Constants(
        entry["id"], entry["title"], entry["verified_on"], tuple(hosts), tuple(includes), entry["cost_hint"]
    )


def answers_of(params: Dict[str, Any]) -> LiveAnswers:
    """Who is asked: the resolvers that are given, else the host's own."""
    resolver = None
    if params["resolvers"]:
        resolver = dns.resolver.Resolver(configure=False)
        resolver.nameservers = list(params["resolvers"])
        resolver.port = params["port"]
    return LiveAnswers(float(params["deadline"]), resolver)


def row(checked: Checked) -> Dict[str, Any]:
    parts = [{"name": p.term.partition(":")[2], "lookups": p.lookups, "voids": p.voids} for p in checked.cost.parts]
    return {
        "id": checked.constants.id,
        "told": str(checked),
        "hosts": [{"name": name, "addresses": list(addresses)} for name, addresses in checked.hosts],
        "includes": parts,
        "lookups": checked.cost.lookups,
        "cost_hint": checked.constants.cost_hint,
        "voids": checked.cost.voids,
        "unknown": list(checked.unknown),
    }


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    if DNS_ERROR:
        module.fail_json(msg=missing_required_lib("dnspython"), exception=DNS_ERROR)
    every = [constants_of(entry) for entry in module.params["profiles"]]
    today = datetime.datetime.now(datetime.timezone.utc).date()
    found: List[Checked] = check(every, answers_of(module.params), today, module.params["max_age_days"])
    module.exit_json(
        changed=False,
        providers=[row(one) for one in found],
        problems=[dataclasses.asdict(p) for one in found for p in one.problems],
        unknown=[f"{one.constants.id}: {what}" for one in found for what in one.unknown],
    )


if __name__ == "__main__":
    main()
