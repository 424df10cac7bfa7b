#!/usr/bin/python
# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: cloudflare_email_sending
short_description: Onboard domains for Cloudflare Email Sending
version_added: 0.1.0
author: The mailstead maintainers
description:
  - Onboards domains and sub-domains for Email Sending or takes them off, repairs their records, and shows which those are
    and what is wrong with them. Any number of domains of any number of zones in one call.
  - "Cloudflare writes the records itself and keeps them locked: MX and SPF at C(cf-bounce.<domain>), a DKIM key, and the DMARC
    policy C(p=reject) at C(_dmarc.<domain>), which goes again when the domain is removed. M(mailstead.stack.cloudflare_zone)
    leaves them alone."
  - A domain that has another DMARC policy, or is to have one, is not onboarded unless O(allow) says so, since whether
    Cloudflare keeps an existing policy is not certain. Afterwards the module looks what became of it, and fails where two
    policies stand there.
  - Sending takes the plan Workers Paid; mail to verified destinations of Email Routing is free on any.
attributes:
  check_mode:
    description: Predicts exactly, at the cost of the same reads. What becomes of an existing DMARC policy is not known before.
    support: full
  diff_mode:
    description: Shows the domains of each zone before and after.
    support: full
  idempotent:
    description: A second run changes nothing.
    support: full
extends_documentation_fragment:
  - mailstead.stack.cloudflare
options:
  domains:
    description: The domains. The token needs Zone › Zone › Read, Zone › DNS › Read and Account › Email Sending › Edit.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The domain that is to send, a zone or a name in one.
        type: str
        required: true
      state:
        description: Whether it is onboarded.
        type: str
        choices: [present, absent]
        default: present
      dmarc:
        description: The DMARC policy that is to stand at its C(_dmarc). Not written, only compared with what Cloudflare writes.
        type: str
      zone:
        description: The zone it lies in; the closest one that the token sees when not given.
        type: str
  allow:
    description: Guards to override, by name. V(dmarc), go on although the DMARC policy of a domain may change or go.
    type: list
    elements: str
    choices: [dmarc]
    default: []
  suppressions:
    description: Return the recipients that the account does not write to, because they bounced or complained.
    type: bool
    default: false
  account_id:
    description: Id of the account, for O(suppressions). When not given, the zones tell it, if they are of one account.
    type: str
seealso:
  - module: mailstead.stack.cloudflare_zone
  - module: mailstead.stack.cloudflare_email_routing
"""

EXAMPLES = r"""
- name: Send from a sub-domain, which leaves the policy of the domain itself alone
  mailstead.stack.cloudflare_email_sending:
    api_token: "{{ vault_cloudflare_token }}"
    domains:
      - name: notify.example.org
  register: sending

- name: Say whom the service does not write to any more
  mailstead.stack.cloudflare_email_sending:
    api_token: "{{ vault_cloudflare_token }}"
    suppressions: true
"""

RETURN = r"""
domains:
  description: The domains in the order given.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: The domain.
      type: str
    zone:
      description: Name of its zone.
      type: str
    action:
      description: One of V(onboard), V(repair), V(remove) and V(none).
      type: str
    reasons:
      description: Why; for V(repair) the service's words for what is wrong with the records.
      type: list
      elements: str
    written:
      description: Whether it was done.
      type: bool
    return_path:
      description: The domain that bounces go to; empty when it is not onboarded.
      type: str
    dkim_selector:
      description: Selector of the service's DKIM key; empty when it is not onboarded.
      type: str
    records:
      description: The records that the service needs, as it tells them.
      type: list
      elements: dict
    errors:
      description: What is wrong with them, as the service tells it.
      type: list
      elements: dict
    dmarc:
      description: What stands at C(_dmarc) of the domain.
      type: list
      elements: str
    notes:
      description: What should be known, in words.
      type: list
      elements: str
suppressions:
  description: Recipients that the account does not write to, each with C(email), C(reason), C(created_at) and C(expires_at).
  returned: with O(suppressions)
  type: list
  elements: dict
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
from typing import Any, Dict, List, Sequence, Tuple

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.client import Client
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.module import client_of, client_spec
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.sending import (
    GUARDS,
    Task,
    Wanted,
    apply,
    check,
    plan,
    suppressions,
)
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError, Problem
from ansible_collections.mailstead.stack.plugins.module_utils.dns import rdata
from ansible_collections.mailstead.stack.plugins.module_utils.email_routing.api import only_account


def argument_spec() -> Dict[str, Any]:
    domain = {
        "name": {"type": "str", "required": True},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "dmarc": {"type": "str"},
        "zone": {"type": "str"},
    }
    return {
        **client_spec(),
        "domains": {"type": "list", "elements": "dict", "default": [], "options": domain},
        "allow": {"type": "list", "elements": "str", "choices": list(GUARDS), "default": []},
        "suppressions": {"type": "bool", "default": False},
        "account_id": {"type": "str"},
    }


def wishes(domains: Sequence[Dict[str, Any]]) -> List[Wanted]:
    """The argument as wishes. Raises MailsteadError with everything that is wrong with it."""
    out: List[Wanted] = []
    problems: List[Problem] = []
    for given in domains:
        try:
            name, zone = rdata.name(given["name"]), rdata.name(given["zone"]) if given["zone"] else ""
        except rdata.RdataError as error:
            problems.append(Problem("MS-ES-003", f"domain {given['name']}", str(error), "Correct the name."))
            continue
        out.append(Wanted(name, given["state"] == "present", given["dmarc"] or "", zone))
    problems += check(out)
    if problems:
        raise MailsteadError(problems)
    return out


def domain_data(task: Task) -> Dict[str, Any]:
    return {
        "name": task.wanted.domain,
        "zone": task.zone.name,
        "action": task.action,
        "reasons": list(task.reasons),
        "written": task.written,
        "return_path": task.entry.return_path if task.entry else "",
        "dkim_selector": task.entry.selector if task.entry else "",
        "records": [dict(r) for r in task.dns.records],
        "errors": [dict(e) for e in task.dns.errors],
        "dmarc": list(task.dmarc),
        "notes": task.notes,
    }


def difference(task: Task) -> Dict[str, str]:
    """Before anything is written; the same in check mode."""
    header = f"Email Sending of {task.wanted.domain}"
    states = {"onboard": ("absent", "onboarded"), "remove": ("onboarded", "absent")}
    before, after = states.get(task.action, (f"onboarded, wrong: {', '.join(task.reasons)}", "onboarded"))
    return {"before_header": header, "after_header": header, "before": f"{before}\n", "after": f"{after}\n"}


def run(module: AnsibleModule, client: Client) -> None:
    """Raises MailsteadError as long as nothing was written; ends the module otherwise."""
    params = module.params
    tasks, problems = plan(client, wishes(params["domains"]), params["allow"]) if params["domains"] else ([], [])
    diff = [difference(task) for task in tasks if task.action != "none"]
    changed, out = False, {}
    if not problems:
        if not module.check_mode:
            problems = apply(client, tasks)
        changed = any(t.written if problems else t.action != "none" for t in tasks)
    if params["suppressions"] and not problems:
        out["suppressions"] = suppressions(client, params["account_id"] or only_account(client))
    if module._diff:
        out["diff"] = diff
    finish(module, client, tasks, (problems, changed), **out)


def finish(
    module: AnsibleModule, client: Client, tasks: Sequence[Task], end: Tuple[Sequence[Problem], bool], **more: Any
) -> None:
    problems, changed = end
    for task in tasks:
        for note in task.notes:
            module.warn(note)
    domains = [domain_data(task) for task in tasks]
    out = {**more, "domains": domains, "requests": sum(client.counts.values()), "changed": changed}
    if problems:
        msg = str(MailsteadError(problems))
        module.fail_json(msg=msg, problems=[dataclasses.asdict(p) for p in problems], **out)
    module.exit_json(**out)


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    client = None
    try:
        client = client_of(module.params)
        run(module, client)
    except MailsteadError as error:
        requests = sum(client.counts.values()) if client else 0
        problems = [dataclasses.asdict(p) for p in error.problems]
        module.fail_json(msg=str(error), problems=problems, domains=[], requests=requests)
    finally:
        if client:
            client.close()


if __name__ == "__main__":
    main()
