#!/usr/bin/python
# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: cloudflare_email_routing_rules
short_description: Keep the addresses of any number of domains at Cloudflare Email Routing
version_added: 0.1.0
author: The mailstead maintainers
description:
  - Compares the wanted addresses of all domains with the rules that are there, and writes the difference, one request for
    each changed rule. Everything is read and judged first; one mistake in one domain leaves all rules as they were.
  - Rules we make carry a mark in their name, C(mailstead:<instance>), followed by the words of their C(tag). Only marked rules
    are changed or removed. Somebody else's rule that already does what is wanted is left alone; one that does something
    else is a problem unless O(adopt) is true. Rules that a Worker's own configuration (wrangler) made are never touched.
  - Cloudflare refuses a rule that forwards to a mailbox whose owner has not clicked the link in Cloudflare's message. Such a
    rule waits, which is no failure. It is listed in RV(waiting), and written by the first run after the click. What is there
    meanwhile stays in force.
  - The service has literal addresses and one catch-all for each zone; it has no patterns. An address forwards to one mailbox;
    to several with a Worker.
  - "For Z zones of one account a run needs one request per 50 zones to find them (none when all ids are given), one per 50
    rules, two to four for the destinations, and one for each change."
  - The token needs the permissions Email Routing Rules (Zone, Edit) and Email Routing Addresses (Account, Read); Workers
    Scripts (Account, Read) to check that Workers exist; Zone Settings (Zone, Read) to tell loops from rules left over.
attributes:
  check_mode:
    description: Predicts exactly, at the cost of the same reads.
    support: full
  diff_mode:
    description: Shows the rules of each changed zone before and after, one line each.
    support: full
  idempotent:
    description: A second run changes nothing, whether or not somebody has clicked.
    support: full
options:
  domains:
    description: The mail domains, each with all of its addresses.
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
      rules:
        description:
          - A mapping of addresses to where their mail goes, or a list of objects with C(address). An address without a domain is
            of this one.
          - Mail goes to a mailbox (V(you@gmail.com)), nowhere (V(drop)), or to where an object says, which has one of C(forward),
            C(worker) and C(drop=true), and optionally C(enabled), C(tag), which are words to recognise the rule by, and
            C(priority), where lower numbers come first.
          - Without C(enabled) a rule is in force as soon as its destination is verified.
        type: raw
        default: {}
      catch_all:
        description:
          - Where mail to all other addresses goes, in the same form. Without it such mail is refused; a catch-all that
            somebody else has configured stays.
          - A zone has one catch-all, for all of its domains; give it with the zone's own domain.
        type: raw
  account_id:
    description: Id of the account. Found with the zones when not given.
    type: str
  instance:
    description: Name of this installation, part of the mark. Letters, digits and hyphens.
    type: str
    default: mailstead
  adopt:
    description: Take over rules that stand at a declared address.
    type: bool
    default: false
  allow:
    description:
      - Guards to override, by name.
      - V(loop), forward to a mailbox in a domain that Email Routing serves itself.
    type: list
    elements: str
    choices: [loop]
    default: []
extends_documentation_fragment:
  - mailstead.stack.cloudflare
seealso:
  - module: mailstead.stack.cloudflare_email_routing
  - module: mailstead.stack.cloudflare_email_routing_destinations
"""

EXAMPLES = r"""
- name: Keep the addresses of two domains
  mailstead.stack.cloudflare_email_routing_rules:
    api_token: "{{ vault_cloudflare_token }}"
    domains:
      - name: example.me
        rules:
          hi: you@gmail.com
          alerts: {worker: alert-handler}
          shop: {forward: you@gmail.com, tag: a shop by the sea}
          # Somebody sold this one: block it with one line.
          old: drop
        catch_all: you@gmail.com
      - name: lists.example.org
        zone: example.org
        rules:
          announce: {forward: you@gmail.com, enabled: false}
  register: rules

- name: Say who has to click first
  ansible.builtin.debug:
    msg: "{{ rules.instructions }}"
"""

RETURN = r"""
changes:
  description: What was changed, or would be, in the order of writing.
  returned: always
  type: list
  elements: dict
  contains:
    zone:
      description: The zone.
      type: str
    action:
      description: One of V(create), V(update) and V(delete).
      type: str
    address:
      description: The address; empty for the catch-all.
      type: str
    before:
      description: The rule before; null for a new one.
      type: dict
    after:
      description: The rule after; null for a removed one.
      type: dict
    reason:
      description: Why.
      type: str
    written:
      description: Whether it is in effect.
      type: bool
waiting:
  description: Rules that are not in force yet because nobody has clicked.
  returned: always
  type: list
  elements: dict
  contains:
    address:
      description: The address; empty for the catch-all.
      type: str
    destination:
      description: The mailbox that has to be verified.
      type: str
instructions:
  description: What the owners of those mailboxes have to do, one text each.
  returned: always
  type: list
  elements: str
zones:
  description: The zones.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Name of the zone.
      type: str
    id:
      description: Id of the zone.
      type: str
    changed:
      description: Whether its rules needed a change.
      type: bool
    satisfied:
      description: Number of wanted rules that needed nothing.
      type: int
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
from typing import Any, Dict, List, Optional, Sequence

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.client import Client
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.module import client_of, client_spec
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError, Problem
from ansible_collections.mailstead.stack.plugins.module_utils.email_routing import keeping, words
from ansible_collections.mailstead.stack.plugins.module_utils.email_routing.announce import instructions
from ansible_collections.mailstead.stack.plugins.module_utils.email_routing.keeping import Task, Wish
from ansible_collections.mailstead.stack.plugins.module_utils.email_routing.model import Rule, Wanted
from ansible_collections.mailstead.stack.plugins.module_utils.email_routing.places import (
    Place,
    domain_spec,
    find_places,
)


def argument_spec() -> Dict[str, Any]:
    more = {"rules": {"type": "raw", "default": {}}, "catch_all": {"type": "raw"}}
    return {
        **client_spec(),
        "domains": domain_spec(more),
        "account_id": {"type": "str"},
        "instance": {"type": "str", "default": "mailstead"},
        "adopt": {"type": "bool", "default": False},
        "allow": {"type": "list", "elements": "str", "choices": ["loop"], "default": []},
    }


def wishes(rows: Sequence[Dict[str, Any]], places: Sequence[Place]) -> List[Wish]:
    """The argument ``domains`` as wishes. Raises MailsteadError with everything that is wrong in it."""
    out: List[Wish] = []
    problems: List[Problem] = []
    for row, place in zip(rows, places):
        wanted, wrong = words.read_rules(place.domain, row["rules"])
        problems += wrong
        if row["catch_all"] is not None:
            found = catch_all(row["catch_all"], place)
            if isinstance(found, Wanted):
                wanted.append(found)
            else:
                problems.append(found)
        out.append(Wish(place, tuple(wanted)))
    if problems:
        raise MailsteadError(problems)
    return out


def catch_all(value: Any, place: Place) -> Any:
    where = f"catch-all of {place.domain}"
    if not place.apex:
        fix = f"Give it with the domain {place.zone.name}: it is for mail to all domains of the zone."
        return Problem("MS-ER-002", where, "a zone has one catch-all", fix)
    return words.read_value("", value, where)


def report(client: Client, tasks: Sequence[Task], check: bool = False) -> Dict[str, Any]:
    waiting = [w for t in tasks for w in t.diff.waiting]
    zones = [
        {
            "name": t.place.zone.name,
            "id": t.place.zone.id,
            "changed": bool(t.diff.changes if check else t.written),
            "satisfied": t.diff.satisfied,
        }
        for t in tasks
    ]
    addresses = dict.fromkeys(w.destination for w in waiting)
    return {
        "changes": [change for t in tasks for change in changes(t)],
        "waiting": [dataclasses.asdict(w) for w in waiting],
        "instructions": instructions(list(addresses), waiting),
        "zones": zones,
        "requests": sum(client.counts.values()),
    }


def changes(task: Task) -> List[Dict[str, Any]]:
    """The planned changes, and after them those that only became necessary during the run."""
    more = [c for c in task.written if c not in task.diff.changes]
    return [
        {"zone": task.place.zone.name, **c.to_data(), "written": c in task.written} for c in (*task.diff.changes, *more)
    ]


def difference(task: Task) -> Dict[str, str]:
    zone = task.place.zone.name
    gone = {c.before.id for c in task.diff.changes if c.before is not None}
    after = [r for r in task.have if r.id not in gone]
    after += [c.after for c in task.diff.changes if c.after is not None]
    header = f"rules of {zone}"
    texts = ["".join(sorted(line(r) for r in found if not r.unset)) for found in (task.have, after)]
    return {"before_header": header, "after_header": header, "before": texts[0], "after": texts[1]}


def line(rule: Rule) -> str:
    name = f"  ; {rule.name}" if rule.name else ""
    priority = f", priority {rule.priority}" if rule.priority else ""
    return f"{rule.address or '(all others)'}: {rule}{priority}{name}\n"


def run(module: AnsibleModule, client: Client) -> None:
    """Raises MailsteadError; ends the module otherwise."""
    params = module.params
    places = find_places(client, params["domains"])
    choices = keeping.Choices(
        params["instance"], params["account_id"] or "", params["adopt"], frozenset(params["allow"])
    )
    tasks = keeping.plan(client, wishes(params["domains"], places), choices)
    diff = [difference(t) for t in tasks if t.diff.changes]
    if not module.check_mode:
        keeping.apply(client, tasks)
    out = report(client, tasks, module.check_mode)
    if module._diff:
        out["diff"] = diff
    for text in (*(n for t in tasks for n in t.diff.notes), *out["instructions"]):
        module.warn(text)
    module.exit_json(changed=any(zone["changed"] for zone in out["zones"]), **out)


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    client: Optional[Client] = None
    try:
        client = client_of(module.params)
        run(module, client)
    except MailsteadError as error:
        tasks = error.tasks if isinstance(error, keeping.KeepError) else ()
        done = report(client, tasks) if client else {}
        problems = [dataclasses.asdict(p) for p in error.problems]
        module.fail_json(msg=str(error), problems=problems, changed=any(t.written for t in tasks), **done)
    finally:
        if client:
            client.close()


if __name__ == "__main__":
    main()
