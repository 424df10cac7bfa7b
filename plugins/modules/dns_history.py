#!/usr/bin/python
# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: dns_history
short_description: List saved states of DNS zones, choose one to go back to, remove old ones
version_added: 0.1.0
author: The mailstead maintainers
description:
  - M(mailstead.stack.cloudflare_zone) and M(mailstead.stack.rfc2136_zone) save every zone as it was before they change it.
    This module lists those points and finds the zones that belong to one of them. Going back is done by the same modules,
    with their option C(undo).
  - All that one run saves is one point.
  - Reads files of the host it runs on, which is where the zones are saved; asks no server.
attributes:
  check_mode:
    description: Says which points would be removed.
    support: full
  diff_mode:
    description: What is removed is listed in RV(removed).
    support: none
  idempotent:
    description: Changes something only with O(keep), and then only when there are more points than that.
    support: full
options:
  directory:
    description: Where the zones are saved, as in the option O(mailstead.stack.cloudflare_zone#module:snapshots).
    type: path
    required: true
  zones:
    description: Look at these zones only; at all that are saved when left out.
    type: list
    elements: str
    default: []
  to:
    description:
      - The point to go back to, as in RV(points[].taken), or V(last) for the latest one.
      - Nothing is chosen when left out.
    type: str
  show:
    description: How many points to list, the latest first; V(0) lists all.
    type: int
    default: 20
  keep:
    description:
      - Remove the oldest points of every zone until this many are left, at least V(1). Those that are removed are listed in
        RV(removed).
      - Nothing is ever removed when left out.
    type: int
seealso:
  - module: mailstead.stack.cloudflare_zone
  - module: mailstead.stack.rfc2136_zone
"""

EXAMPLES = r"""
- name: List what can be undone
  mailstead.stack.dns_history:
    directory: /var/lib/mailstead/dns
  register: history

- name: Show it
  ansible.builtin.debug:
    msg: "{{ history.text }}"

- name: Find the zones of the latest point
  mailstead.stack.dns_history:
    directory: /var/lib/mailstead/dns
    to: last
  register: history

- name: Put our records back
  mailstead.stack.cloudflare_zone:
    api_token: "{{ vault_cloudflare_token }}"
    snapshots: /var/lib/mailstead/dns
    undo: "{{ history.taken }}"
    instance: "{{ history.instance }}"
    zones: "{{ history.zones | selectattr('provider', 'eq', 'cloudflare') }}"

- name: Keep the latest hundred points of every zone
  mailstead.stack.dns_history:
    directory: /var/lib/mailstead/dns
    keep: 100
"""

RETURN = r"""
points:
  description: The saved states, the latest first, by zone.
  returned: success
  type: list
  elements: dict
  contains:
    taken:
      description: When, in UTC; the name of the point. A zone that one run wrote to several times has as many rows.
      type: str
    zone:
      description: Name of the zone.
      type: str
    provider:
      description: Its host at that time; empty when the file cannot be used.
      type: str
    instance:
      description: Whose records the run kept.
      type: str
    file:
      description: The file. Beside it stands the zone as a zone file.
      type: str
    records:
      description: Number of records the zone had.
      type: int
    create:
      description: Number of records the run was about to add.
      type: int
    update:
      description: Number of records the run was about to change.
      type: int
    delete:
      description: Number of records the run was about to delete.
      type: int
    problem:
      description: Why the file cannot be used; empty when it can.
      type: str
text:
  description: The same for people, a line per zone.
  returned: success
  type: list
  elements: str
taken:
  description: Name of the chosen point.
  returned: with O(to)
  type: str
instance:
  description: Whose records the chosen run kept.
  returned: with O(to)
  type: str
zones:
  description: The zones of the chosen point, each with C(name), C(provider) and no records.
  returned: with O(to)
  type: list
  elements: dict
left_out:
  description: Zones that were changed since the chosen point by other runs, with C(zone) and the point C(taken) before that.
  returned: with O(to)
  type: list
  elements: dict
removed:
  description: Files of the points that were removed, or would be.
  returned: with O(keep)
  type: list
  elements: str
problems:
  description: What is wrong, each with C(code), C(where), C(what) and C(fix).
  returned: failure
  type: list
  elements: dict
"""

import dataclasses
from typing import Any, Dict, List

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError
from ansible_collections.mailstead.stack.plugins.module_utils.dns import history, points


def argument_spec() -> Dict[str, Any]:
    return {
        "directory": {"type": "path", "required": True},
        "zones": {"type": "list", "elements": "str", "default": []},
        "to": {"type": "str"},
        "show": {"type": "int", "default": 20},
        "keep": {"type": "int"},
    }


def listed(entries: List[points.Entry]) -> List[Dict[str, Any]]:
    rows: List[Dict[str, Any]] = []
    for entry in entries:
        found = entry.snapshot
        changes = found.changes if found else ()
        rows.append(
            {
                "taken": history.run_of(entry.point.taken),
                "zone": entry.point.zone,
                "provider": found.provider if found else "",
                "instance": found.instance if found else "",
                "file": entry.point.path,
                "records": len(found.before) if found else 0,
                **{a: sum(1 for c in changes if c.action == a) for a in ("create", "update", "delete")},
                "problem": entry.problem,
            }
        )
    return rows


def chosen(directory: str, to: str, zones: List[str]) -> Dict[str, Any]:
    """The point to go back to. Raises MailsteadError, also for a file that cannot be used."""
    found = points.choose(directory, to, zones)
    snapshots = [history.load(p.path) for p in found]
    return {
        "taken": history.run_of(found[0].taken),
        # A point is one run's, and a run has one instance.
        "instance": snapshots[0].instance,
        "zones": [{"name": s.zone, "provider": s.provider} for s in snapshots],
        "left_out": [{"zone": zone, "taken": taken} for zone, taken in points.left_out(directory, found)],
    }


def run(params: Dict[str, Any], check: bool) -> Dict[str, Any]:
    directory = params["directory"]
    out: Dict[str, Any] = {"changed": False}
    if params["keep"] is not None:
        zones = points.canonical(params["zones"]) or history.zones(directory)
        removed = [p.path for z in zones for p in history.prune(directory, z, params["keep"], dry=check)]
        out.update(changed=bool(removed), removed=removed)
    times = points.by_time(directory, params["zones"])
    shown = times[: params["show"]] if params["show"] > 0 else times
    entries = [points.read(p) for _taken, found in shown for p in found]
    out.update(points=listed(entries), text=points.describe(entries))
    if params["to"]:
        out.update(chosen(directory, params["to"], params["zones"]))
    return out


def main() -> None:
    module = AnsibleModule(argument_spec(), supports_check_mode=True)
    try:
        result = run(module.params, module.check_mode)
    except MailsteadError as error:
        module.fail_json(msg=str(error), problems=[dataclasses.asdict(p) for p in error.problems])
    module.exit_json(**result)


if __name__ == "__main__":
    main()
