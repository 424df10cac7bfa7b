#!/usr/bin/python
# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: mta_sts_policy_info
short_description: Wait until MTA-STS policies are served
version_added: 0.1.0
author: The mailstead maintainers
description:
  - Fetches the MTA-STS policies of domains as a sending server does (HTTPS, certificate valid for the name, no redirect) and
    compares them with what they should be.
  - A gate for publication. Once the id of a policy is in the DNS, senders fetch the policy; one that cannot be fetched, or
    names other exchanges, delays mail.
  - A policy whose id is published already is not waited for, so that a server that is down holds up no other record. What is
    wrong with it is warned about.
attributes:
  check_mode:
    description: Looks once and only warns about what is not served; nothing may have been built yet.
    support: full
  diff_mode:
    description: Changes nothing, hence shows no differences.
    support: none
  idempotent:
    description: Only reads.
    support: full
options:
  policies:
    description: The policies to look for.
    type: list
    elements: dict
    required: true
    suboptions:
      domain:
        description: The mail domain. The policy is fetched from C(mta-sts.<domain>).
        type: str
        required: true
      addresses:
        description: Addresses of the policy host, tried in order. The name is not looked up, no cache gets to remember it.
        type: list
        elements: str
        required: true
      mode:
        description: The mode it must have.
        type: str
        choices: [testing, enforce, none]
        required: true
      mx:
        description: The names of mail hosts it must list.
        type: list
        elements: str
        required: true
      max_age:
        description: The seconds for which it must be valid.
        type: int
        required: true
      zone:
        description: The zone that holds the policy's id. Needs dnspython.
        type: str
        default: ""
      id:
        description: The id that is about to be published. Without it, it counts as new.
        type: str
        default: ""
  deadline:
    description: How long to wait, in seconds. With V(0) it looks once.
    type: int
    default: 60
requirements:
  - dnspython, with O(policies[].id)
seealso:
  - module: mailstead.stack.cloudflare_zone
"""

EXAMPLES = r"""
- name: Wait until the policy is served
  mailstead.stack.mta_sts_policy_info:
    policies:
      - domain: example.com
        addresses: [192.0.2.25]
        mode: enforce
        mx: [mail.example.com]
        max_age: 604800
"""

RETURN = r"""
policies:
  description: What is served, in the order asked for.
  returned: success
  type: list
  elements: dict
  contains:
    domain:
      description: The domain.
      type: str
    body:
      description: The policy as served.
      type: str
    trouble:
      description: What is wrong with it; empty when nothing is.
      type: str
problems:
  description: What is missing, each with C(code), C(where), C(what) and C(fix).
  returned: always
  type: list
  elements: dict
"""

import dataclasses
import traceback
from typing import Any, Dict

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError
from ansible_collections.mailstead.stack.plugins.module_utils.mta_sts.gate import Expected, problem_of, wait_served
from ansible_collections.mailstead.stack.plugins.module_utils.mta_sts.policy import Policy

DNS_ERROR = None
try:
    from ansible_collections.mailstead.stack.plugins.module_utils.mta_sts.announced import announced
except ImportError:
    DNS_ERROR = traceback.format_exc()


def argument_spec() -> Dict[str, Any]:
    policy = {
        "domain": {"type": "str", "required": True},
        "addresses": {"type": "list", "elements": "str", "required": True},
        "mode": {"type": "str", "choices": ["testing", "enforce", "none"], "required": True},
        "mx": {"type": "list", "elements": "str", "required": True},
        "max_age": {"type": "int", "required": True},
        "zone": {"type": "str", "default": ""},
        "id": {"type": "str", "default": ""},
    }
    return {
        "policies": {"type": "list", "elements": "dict", "required": True, "options": policy},
        "deadline": {"type": "int", "default": 60},
    }


def expected(entry: Dict[str, Any]) -> Expected:
    policy = Policy(entry["mode"], tuple(entry["mx"]), entry["max_age"])
    domain = entry["domain"].lower().rstrip(".")
    return Expected(domain, tuple(entry["addresses"]), policy, entry["zone"], entry["id"])


def known(policy: Expected) -> bool:
    return bool(policy.id and policy.zone and announced(policy))


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    wanted = [expected(entry) for entry in module.params["policies"]]
    if DNS_ERROR and any(policy.id for policy in wanted):
        module.fail_json(msg=missing_required_lib("dnspython"), exception=DNS_ERROR)
    deadline = 0.0 if module.check_mode else float(module.params["deadline"])
    try:
        served = wait_served(wanted, deadline, announced=known)
    except MailsteadError as error:
        problems = [dataclasses.asdict(p) for p in error.problems]
        if not module.check_mode:
            module.fail_json(msg=str(error), problems=problems)
        module.warn(str(error))
        module.exit_json(changed=False, policies=[], problems=problems)
    found = [problem_of(w, s, 0.0) for w, s in zip(wanted, served) if s.trouble]
    for problem in found:
        module.warn(str(problem))
    module.exit_json(
        changed=False,
        policies=[{"domain": s.domain, "body": s.body, "trouble": s.trouble} for s in served],
        problems=[dataclasses.asdict(p) for p in found],
    )


if __name__ == "__main__":
    main()
