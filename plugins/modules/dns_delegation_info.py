#!/usr/bin/python
# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: dns_delegation_info
short_description: Follow the delegation of zones from the root down
version_added: 0.1.0
author: The mailstead maintainers
description:
  - Asks the name servers of each zone on the way, beginning at the root, who serves the next one, and compares the end of
    the way with the name servers that the DNS host has assigned.
  - Says what to do at the registrar, in order. Above all it finds the trap in changing name servers while the parent zone
    still publishes a DS, after which resolvers that validate no longer find the domain.
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
  zones:
    description: The zones.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the zone.
        type: str
        required: true
      name_servers:
        description: The name servers that the DNS host has assigned to it.
        type: list
        elements: str
        required: true
      status:
        description: What the DNS host calls the zone's state. Any other than V(active) is a problem.
        type: str
        default: ""
  deadline:
    description: How long to look at one zone, in seconds.
    type: int
    default: 20
  allow_undelegated:
    description: Whether zones that the world looks for elsewhere are only reported. A lost DS is a failure in any case.
    type: bool
    default: false
requirements:
  - dnspython
seealso:
  - module: mailstead.stack.cloudflare_zone_info
  - module: mailstead.stack.cloudflare_dnssec
"""

EXAMPLES = r"""
- name: Read which name servers Cloudflare assigned
  mailstead.stack.cloudflare_zone_info:
    api_token: "{{ vault_cloudflare_token }}"
    names: [example.me]
    records: false
  register: found

- name: See that the world asks them
  mailstead.stack.dns_delegation_info:
    zones: "{{ found.zones }}"
"""

RETURN = r"""
zones:
  description: The zones, in the order asked for.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Name of the zone.
      type: str
    state:
      description:
        - V(delegated) when all is well; V(elsewhere) or V(partly) when the registrar names other servers; V(missing) when the
          name does not exist; V(inactive) while the DNS host has not noticed yet; V(dark) when the parent publishes a DS
          without its key; V(unknown) when the way cannot be followed.
      type: str
    told:
      description: What was seen, in words.
      type: str
    chain:
      description: The way from the root, a line for each zone.
      type: list
      elements: str
    steps:
      description: What to do, in order.
      type: list
      elements: str
"""

import traceback
from typing import Any, Dict, List

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.mailstead.stack.plugins.module_utils.delegation.judge import Seen, Verdict, Wanted, judge

try:
    from ansible_collections.mailstead.stack.plugins.module_utils.delegation.walk import Walk
except ImportError:
    DNSPYTHON_ERROR = traceback.format_exc()
else:
    DNSPYTHON_ERROR = ""

#: What an undelegated zone may be allowed to be. Lost keys are never harmless.
TOLERABLE = ("elsewhere", "partly", "missing", "inactive")


def argument_spec() -> Dict[str, Any]:
    zone = {
        "name": {"type": "str", "required": True},
        "name_servers": {"type": "list", "elements": "str", "required": True},
        "status": {"type": "str", "default": ""},
    }
    return {
        "zones": {"type": "list", "elements": "dict", "required": True, "options": zone},
        "deadline": {"type": "int", "default": 20},
        "allow_undelegated": {"type": "bool", "default": False},
    }


def row(verdict: Verdict, seen: Seen) -> Dict[str, Any]:
    return {
        "name": verdict.zone,
        "state": verdict.state,
        "told": verdict.told,
        "chain": [str(cut) for cut in seen.chain],
        "steps": list(verdict.steps),
    }


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    if DNSPYTHON_ERROR:
        module.fail_json(msg=missing_required_lib("dnspython"), exception=DNSPYTHON_ERROR)
    walk = Walk(deadline=module.params["deadline"])
    rows: List[Dict[str, Any]] = []
    problems = []
    for zone in module.params["zones"]:
        servers = tuple(sorted(s.rstrip(".").lower() for s in zone["name_servers"]))
        wanted = Wanted(zone["name"].rstrip(".").lower(), servers, zone["status"])
        seen = walk.look(wanted)
        verdict = judge(wanted, seen)
        rows.append(row(verdict, seen))
        if verdict.problem is None:
            continue
        trap = verdict.problem.code == "MS-DEL-002"
        if module.params["allow_undelegated"] and verdict.state in TOLERABLE and not trap:
            module.warn(str(verdict.problem))
        else:
            problems.append(verdict.problem)
    if problems:
        module.fail_json(msg="\n".join(str(p) for p in problems), zones=rows)
    module.exit_json(changed=False, zones=rows)


if __name__ == "__main__":
    main()
