#!/usr/bin/python
# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: cloudflare_email_routing_destinations
short_description: Announce the mailboxes that Cloudflare Email Routing may forward to
version_added: 0.1.0
author: The mailstead maintainers
description:
  - Keeps the destinations of an account. Each mailbox is verified once by its owner, who clicks a link in a message that
    Cloudflare sends when the destination is announced. Until then nothing can be forwarded to it.
  - Waiting for that click is no failure. The result lists who is waited for in RV(pending), and RV(instructions) says what
    they have to do. A later run announces nothing twice, so that nobody gets the message again.
  - Destinations belong to nobody in particular, so that none is removed unless it is named in O(absent), and none that a
    rule of any zone still needs. Deleting one would silently disable those rules.
  - The token needs the permission Email Routing Addresses (Account, Edit), and Email Routing Rules (Zone, Read) of all zones
    for O(absent). Without O(account_id) it needs Zone Read, too.
attributes:
  check_mode:
    description: Predicts exactly, at the cost of the same reads.
    support: full
  diff_mode:
    description: Shows the wanted and the removed destinations with their state before and after.
    support: full
  idempotent:
    description: A second run changes nothing, whether or not somebody has clicked.
    support: full
options:
  account_id:
    description: Id of the account. Found from the zones that the token sees, if those are of one account.
    type: str
  addresses:
    description: The mailboxes that may be forwarded to.
    type: list
    elements: str
    default: []
  absent:
    description: Destinations to remove.
    type: list
    elements: str
    default: []
  wait_verified:
    description: Seconds to wait for the owners' clicks. Who has not clicked by then is in RV(pending). Not in check mode.
    type: int
    default: 0
extends_documentation_fragment:
  - mailstead.stack.cloudflare
seealso:
  - module: mailstead.stack.cloudflare_email_routing_rules
  - module: mailstead.stack.cloudflare_email_routing
"""

EXAMPLES = r"""
- name: Announce a mailbox
  mailstead.stack.cloudflare_email_routing_destinations:
    api_token: "{{ vault_cloudflare_token }}"
    addresses: [you@gmail.com]
  register: destinations

- name: Say who has to click
  ansible.builtin.debug:
    msg: "{{ destinations.instructions }}"
  when: destinations.pending | length > 0
"""

RETURN = r"""
created:
  description: Destinations that were announced, or would be. A message went to each.
  returned: always
  type: list
  elements: str
deleted:
  description: Destinations that were removed, or would be.
  returned: always
  type: list
  elements: str
pending:
  description: Wanted destinations whose owner has still to click.
  returned: always
  type: list
  elements: str
verified:
  description: The other wanted destinations.
  returned: always
  type: list
  elements: str
destinations:
  description: All destinations of the account as they are now.
  returned: always
  type: list
  elements: dict
  contains:
    address:
      description: The mailbox.
      type: str
    id:
      description: Its id.
      type: str
    verified:
      description: When its owner clicked, in the form of RFC 3339; empty as long as that is awaited.
      type: str
instructions:
  description: What the owners have to do, one text for each pending destination.
  returned: always
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
from typing import Any, Dict, List, Optional

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.client import Client
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.module import client_of, client_spec
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError
from ansible_collections.mailstead.stack.plugins.module_utils.email_routing import announce, api
from ansible_collections.mailstead.stack.plugins.module_utils.email_routing.announce import Task


def argument_spec() -> Dict[str, Any]:
    return {
        **client_spec(),
        "account_id": {"type": "str"},
        "addresses": {"type": "list", "elements": "str", "default": []},
        "absent": {"type": "list", "elements": "str", "default": []},
        "wait_verified": {"type": "int", "default": 0},
    }


def report(client: Client, task: Optional[Task], check: bool = False) -> Dict[str, Any]:
    requests = sum(client.counts.values())
    if task is None:
        lists: Dict[str, List[str]] = {n: [] for n in ("created", "deleted", "pending", "verified", "instructions")}
        return {**lists, "destinations": [], "requests": requests}
    known = {d.address.lower(): d for d in task.have}
    pending = task.pending
    waiting = {a.lower() for a in pending}
    wanted = dict.fromkeys(a.strip().lower() for a in task.wanted)
    return {
        "created": list(task.diff.create) if check else task.created,
        "deleted": [d.address for d in task.diff.delete] if check else task.deleted,
        "pending": pending,
        "verified": [known[a].address for a in wanted if a not in waiting],
        "destinations": [dataclasses.asdict(d) for d in sorted(task.have, key=lambda d: d.address.lower())],
        "instructions": announce.instructions(pending),
        "requests": requests,
    }


def difference(task: Task) -> Dict[str, str]:
    """Before and after, the same in check mode: whether somebody clicks meanwhile is not this run's doing."""
    before = dict.fromkeys(task.diff.verified, "verified")
    before.update({a: "pending" for a in task.diff.pending if a not in task.diff.create})
    after = {**before, **dict.fromkeys(task.diff.create, "pending")}
    before.update({d.address: "verified" if d.verified else "pending" for d in task.diff.delete})
    texts = ["".join(f"{a}: {state}\n" for a, state in sorted(found.items())) for found in (before, after)]
    header = "destinations of Email Routing"
    return {"before_header": header, "after_header": header, "before": texts[0], "after": texts[1]}


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    params = module.params
    client: Optional[Client] = None
    task: Optional[Task] = None
    try:
        client = client_of(params)
        account = params["account_id"] or api.only_account(client)
        task = announce.plan(client, account, params["addresses"], params["absent"])
        diff = difference(task)
        if not module.check_mode:
            announce.apply(client, task)
            announce.wait(client, task, float(params["wait_verified"]))
        out = report(client, task, module.check_mode)
        if module._diff:
            out["diff"] = diff
        for text in out["instructions"]:
            module.warn(text)
        module.exit_json(changed=bool(task.diff.create or task.diff.delete), **out)
    except MailsteadError as error:
        done = report(client, task) if client else {}
        changed = bool(task and (task.created or task.deleted))
        problems = [dataclasses.asdict(p) for p in error.problems]
        module.fail_json(msg=str(error), problems=problems, changed=changed, **done)
    finally:
        if client:
            client.close()


if __name__ == "__main__":
    main()
