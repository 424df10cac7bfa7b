#!/usr/bin/python
# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: cloudflare_email_routing
short_description: Switch Cloudflare Email Routing of domains on and off without losing mail or records
version_added: 0.1.0
author: The mailstead maintainers
description:
  - Switches Email Routing of any number of mail domains, zones and names below them, and keeps the records right on the way.
    Everything is read and judged first; one mistake in one domain leaves all domains as they were.
  - Every step follows from what is observed, and everything is read again after it. A run that was cut off at any request
    is finished by the next one.
  - Switching on is refused while another provider's MX are there, unless they are declared in O(domains[].leaving). Those go
    in the request immediately before the one that enables routing; only between these two the domain has no MX. If Cloudflare
    refuses to enable it, they are put back. Our own MX (marked by O(instance)) may always go.
  - Cloudflare may replace the SPF record when routing is enabled. A record that authorises other senders is therefore first
    copied to C(_mailstead-spf.<domain>) in the zone, and afterwards merged with Cloudflare's; then the copy is removed.
  - Switching off unlocks the records, writes the domain's new O(domains[].records) beside Cloudflare's, disables routing, reads
    the zone again and repairs SPF. Cloudflare's own records are not edited for that, as they vanish with everything in them.
  - MX preferences are Cloudflare's choice for each zone and are never made up.
  - For Z zones and D domains a run needs one request per 50 zones to find them (none when all ids are given), two for each
    zone, one for each domain, and those of the steps.
  - The token needs Zone Settings (Zone, Edit) and DNS Write for the zones, and Zone Read unless ids are given.
attributes:
  check_mode:
    description: Predicts the steps and the records, at the cost of the same reads. Whether Cloudflare replaces an SPF record or
      leaves it shows only when it is done; the steps differ by that, their end does not.
    support: full
  diff_mode:
    description: Shows the settings of each changed domain, and the records of its zone in zone-file notation.
    support: full
  idempotent:
    description: A second run changes nothing.
    support: full
options:
  domains:
    description: The mail domains.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: The mail domain.
        type: str
        required: true
      zone:
        description: The zone it is part of. The domain itself when not given.
        type: str
      zone_id:
        description: Id of the zone. Saves the look-up.
        type: str
      state:
        description: Whether mail of the domain is routed.
        type: str
        choices:
          enabled: Routed. Cloudflare's records may be locked or unlocked; after SPF was merged they are unlocked.
          unlocked: Routed, and the records may be edited.
          disabled: Not routed.
        default: enabled
      subaddressing:
        description: Deliver C(user+detail) as C(user). Holds for the whole zone. Kept when not given.
        type: bool
      leaving:
        description: Hosts of the old provider's MX, as patterns, for example V(*.mail.icloud.com).
        type: list
        elements: str
        default: []
      records:
        description: The domain's own records once it is not routed any more; its new MX at least.
        type: list
        elements: dict
        default: []
        suboptions:
          zone:
            description: Present in a plan's records; must be the name of the zone they are listed under.
            type: str
          name:
            description: Fully qualified name.
            type: str
            required: true
          type:
            description: Type of the record, for example V(MX).
            type: str
            required: true
          content:
            description: The data as in a zone file, host names absolute; for TXT the text itself.
            type: str
            required: true
          ttl:
            description: Time to live in seconds; V(1) is automatic, which is 300.
            type: int
            default: 3600
          phase:
            description: Present in a plan's records.
            type: str
            choices: [address, identity, keys, policy, certificate, delivery]
            default: delivery
          role:
            description: What the record is for; becomes part of its mark.
            type: str
            required: true
          reason:
            description: Why the record is wanted.
            type: str
            default: ""
          deferred:
            description: Present in a plan's records whose value is not known yet, which is a mistake here.
            type: dict
      on_disable:
        description: What becomes of routing when the domain is switched off.
        type: str
        choices:
          delete: It ends, and Cloudflare's records go.
          keep: The records are unlocked and stay, and mail goes on to be routed until they are removed.
        default: delete
  instance:
    description: Name of this installation, part of the mark of its records. Letters, digits and hyphens.
    type: str
    default: mailstead
  allow:
    description:
      - Guards to override, by name.
      - V(no_mx), switch off a domain that has no other MX.
    type: list
    elements: str
    choices: [no_mx]
    default: []
  snapshots:
    description: Directory in which a zone's records are saved before its first change, so that they can be put back.
    type: path
  snapshots_point:
    description: Name of the saved point, a time in UTC like V(20261121T143000Z). One is made up when not given.
    type: str
extends_documentation_fragment:
  - mailstead.stack.cloudflare
seealso:
  - module: mailstead.stack.cloudflare_email_routing_rules
  - module: mailstead.stack.cloudflare_email_routing_destinations
  - module: mailstead.stack.cloudflare_zone
"""

EXAMPLES = r"""
- name: Route the mail of a domain that leaves its old provider
  mailstead.stack.cloudflare_email_routing:
    api_token: "{{ vault_cloudflare_token }}"
    domains:
      - name: example.me
        subaddressing: true
        leaving: ["*.mail.icloud.com"]
    snapshots: build/dns

- name: Move a domain from Email Routing to a mail server
  mailstead.stack.cloudflare_email_routing:
    api_token: "{{ vault_cloudflare_token }}"
    domains:
      - name: example.me
        state: disabled
        records:
          - {name: example.me, type: MX, content: 10 mail.example.com, role: mx}
          - {name: example.me, type: TXT, content: v=spf1 mx -all, role: spf}
"""

RETURN = r"""
domains:
  description: The mail domains in the order given.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: The mail domain.
      type: str
    zone:
      description: Its zone.
      type: str
    id:
      description: Id of the zone.
      type: str
    state:
      description: As wanted.
      type: str
    enabled:
      description: Whether mail of the domain is routed; predicted in check mode.
      type: bool
    status:
      description: Cloudflare's word for the state of the zone's routing; predicted in check mode.
      type: str
    subaddressing:
      description: Whether C(user+detail) is delivered as C(user).
      type: bool
    changed:
      description: Whether the domain needed a change.
      type: bool
    steps:
      description: The steps that were made, or would be, in order.
      type: list
      elements: dict
      contains:
        kind:
          description: One of V(write), V(enable), V(unlock), V(disable) and V(settings).
          type: str
        reason:
          description: Why.
          type: str
        changes:
          description: The records that the step writes, in the form of M(mailstead.stack.cloudflare_zone).
          type: list
          elements: dict
    required:
      description: The records that Cloudflare needs for the domain, with the preferences it has chosen.
      type: list
      elements: dict
requests:
  description: Requests made in all.
  returned: always
  type: int
snapshots:
  description: Where the zones were saved as they were before.
  returned: when O(snapshots) is given and records were changed
  type: dict
  contains:
    taken:
      description: Name of the saved point, the same for all zones of the run.
      type: str
    files:
      description: Path of each saved zone.
      type: list
      elements: str
problems:
  description: What is wrong, each with C(code), C(where), C(what) and C(fix).
  returned: failure
  type: list
  elements: dict
"""

import dataclasses
import functools
from typing import Any, Dict, List, Optional, Sequence

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.client import Client
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.module import client_of, client_spec
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError, Problem
from ansible_collections.mailstead.stack.plugins.module_utils.dns.arguments import zones_spec
from ansible_collections.mailstead.stack.plugins.module_utils.dns.module import Snapshots
from ansible_collections.mailstead.stack.plugins.module_utils.dns.reconcile import ZoneResult, ZoneTask
from ansible_collections.mailstead.stack.plugins.module_utils.dns.records import ZoneDiff, wants_from_data
from ansible_collections.mailstead.stack.plugins.module_utils.dns.zone_diff import ansible_diff
from ansible_collections.mailstead.stack.plugins.module_utils.email_routing import switch, switching
from ansible_collections.mailstead.stack.plugins.module_utils.email_routing.places import (
    Place,
    domain_spec,
    find_places,
)
from ansible_collections.mailstead.stack.plugins.module_utils.email_routing.switch import Goal, Observed
from ansible_collections.mailstead.stack.plugins.module_utils.email_routing.switching import Task, Wish


def argument_spec() -> Dict[str, Any]:
    more = {
        "state": {"type": "str", "choices": list(switch.STATES), "default": "enabled"},
        "subaddressing": {"type": "bool"},
        "leaving": {"type": "list", "elements": "str", "default": []},
        "records": zones_spec()["options"]["records"],
        "on_disable": {"type": "str", "choices": ["delete", "keep"], "default": "delete"},
    }
    return {
        **client_spec(),
        "domains": domain_spec(more),
        "instance": {"type": "str", "default": "mailstead"},
        "allow": {"type": "list", "elements": "str", "choices": list(switch.GUARDS), "default": []},
        "snapshots": {"type": "path"},
        "snapshots_point": {"type": "str"},
    }


def wishes(params: Dict[str, Any], places: Sequence[Place]) -> List[Wish]:
    """The argument ``domains`` as wishes; names that are switched off come before their zones. Raises MailsteadError."""
    rows = params["domains"]
    check_subaddressing(rows, places)
    off = {p.domain: p.zone.name for p, row in zip(places, rows) if ends(row)}
    out: List[Wish] = []
    for place, row in zip(places, rows):
        goal = Goal(
            state=row["state"],
            leaving=tuple(row["leaving"]),
            own=tuple(wants_from_data(row["records"])),
            keep=row["on_disable"] == "keep",
            also_off=frozenset(d for d, zone in off.items() if zone == place.zone.name),
            subaddressing=row["subaddressing"],
            instance=params["instance"],
            allow=tuple(params["allow"]),
        )
        out.append(Wish(place.domain, place.zone, goal))
    return sorted(out, key=lambda w: w.domain == w.zone.name)


def ends(row: Dict[str, Any]) -> bool:
    return (row["state"], row["on_disable"]) == ("disabled", "delete")


def check_subaddressing(rows: Sequence[Dict[str, Any]], places: Sequence[Place]) -> None:
    told: Dict[str, bool] = {}
    for place, row in zip(places, rows):
        wanted = row["subaddressing"]
        if wanted is not None and told.setdefault(place.zone.name, wanted) != wanted:
            what = "sub-addressing is wanted and not wanted; it is a setting of the whole zone"
            fix = "Give it once, or the same for all domains of the zone."
            raise MailsteadError([Problem("MS-ER-016", f"zone {place.zone.name}", what, fix)])


def zone_diff(before: Observed, after: Observed) -> ZoneDiff:
    """What a domain's way does to its zone, in the zone modules' form."""
    changes = switch.difference(before.records, after.records)
    return ZoneDiff(before.zone, changes, before.records, after.records, 0, 0, 0, (), ())


def save(snapshots: Snapshots, task: Task, before: Observed, after: Observed) -> None:
    """Keep the zone as it is before a domain's first step. Raises MailsteadError."""
    diff = zone_diff(before, after)
    if diff.changes:
        snapshots.save(ZoneResult(ZoneTask(task.zone.name, ()), task.zone, (), diff))


def difference(task: Task, instance: str) -> List[Dict[str, str]]:
    header = f"Email Routing of {task.domain}"
    texts = [settings_text(found) for found in (task.before, task.after)]
    out = [{"before_header": header, "after_header": header, "before": texts[0], "after": texts[1]}]
    diff = zone_diff(task.before, task.after)
    return [*out, ansible_diff(diff, instance)] if diff.changes else out


def settings_text(found: Observed) -> str:
    lines = {"routed": found.on, "locked": found.on and found.locked, "subaddressing": found.settings.subaddressing}
    return "".join(f"{name}: {str(value).lower()}\n" for name, value in lines.items())


def report(client: Client, tasks: Sequence[Task], check: bool = False) -> Dict[str, Any]:
    return {"domains": [domain_data(t, check) for t in tasks], "requests": sum(client.counts.values())}


def domain_data(task: Task, check: bool) -> Dict[str, Any]:
    after = task.after
    return {
        "name": task.domain,
        "zone": task.zone.name,
        "id": task.zone.id,
        "state": task.goal.state,
        "enabled": after.on,
        "status": after.settings.status,
        "subaddressing": after.settings.subaddressing,
        "changed": bool(task.way) if check else task.written,
        "steps": [
            {"kind": s.kind, "reason": s.reason, "changes": [c.to_data() for c in s.changes]}
            for s in (task.way if check else task.done)
        ],
        "required": [dataclasses.asdict(r) for r in task.before.required],
    }


def run(module: AnsibleModule, client: Client) -> None:
    """Raises MailsteadError; ends the module otherwise."""
    params = module.params
    snapshots = Snapshots(
        params["snapshots"] or "", params["snapshots_point"] or "", "cloudflare", params["instance"], "Email Routing"
    )
    snapshots.check()
    places = find_places(client, params["domains"])
    tasks = switching.plan(client, wishes(params, places))
    diff = [text for task in tasks if task.way for text in difference(task, params["instance"])]
    if not module.check_mode:
        keep = functools.partial(save, snapshots) if params["snapshots"] else None
        switching.apply(client, tasks, keep)
    order = [p.domain for p in places]
    out = report(client, sorted(tasks, key=lambda t: order.index(t.domain)), module.check_mode)
    out.update(snapshots.report())
    if module._diff:
        out["diff"] = diff
    module.exit_json(changed=any(domain["changed"] for domain in out["domains"]), **out)


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    client: Optional[Client] = None
    try:
        client = client_of(module.params)
        run(module, client)
    except MailsteadError as error:
        tasks = error.tasks if isinstance(error, switching.SwitchError) else ()
        done = report(client, tasks) if client else {}
        problems = [dataclasses.asdict(p) for p in error.problems]
        module.fail_json(msg=str(error), problems=problems, changed=any(t.written for t in tasks), **done)
    finally:
        if client:
            client.close()


if __name__ == "__main__":
    main()
