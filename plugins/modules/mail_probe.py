#!/usr/bin/python
# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Observes the mail path from the host it runs on."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mail_probe
short_description: Observe a mail path from this host
version_added: "0.1.0"
author:
  - mailstead contributors (@mailstead)
description:
  - Runs all given probes at once in one process and returns what they saw. It judges nothing, changes nothing on the
    host, and never fails because a network does.
  - The probes come from M(mailstead.stack.mail_probe_plan); their observations go to M(mailstead.stack.mail_judge).
  - The probes of kind C(canary), C(stranger) and C(submit) send one small message each to the mailboxes that the plan
    names.
requirements:
  - python3-dnspython for probes that ask the DNS
  - python3-cryptography for probes that read certificates and keys
options:
  vantage:
    description: The name of this point of view, as in the inventory.
    type: str
    required: true
  probes:
    description: The probes, each with O(probes[].id), O(probes[].kind) and the arguments of its kind.
    type: list
    elements: dict
    required: true
    suboptions:
      id:
        description: The name under which the observation is returned.
        type: str
        required: true
      kind:
        description: What to do.
        type: str
        required: true
      args:
        description: The arguments of the kind.
        type: dict
        default: {}
  secrets:
    description: Values of the secrets that probes name, by reference.
    type: dict
    default: {}
  deadline:
    description: Seconds after which every probe must have ended.
    type: int
    default: 90
  reference:
    description:
      - The controller's clock, in seconds since the epoch, when this task was started. With it the probe of kind
        C(clock) can tell how far this host's clock is off.
      - Use C(now().timestamp()). C(now(utc=true)) has no time zone and would be taken for local time.
    type: float
    default: 0
attributes:
  check_mode:
    support: full
    description: Runs in check mode as always; canaries are sent all the same, for they change nothing here.
  diff_mode:
    support: none
    description: There is nothing to compare.
  idempotent:
    support: full
    description: Never reports a change.
  platform:
    support: full
    platforms: posix
    description: Runs on POSIX hosts.
seealso:
  - module: mailstead.stack.mail_judge
  - module: mailstead.stack.mail_probe_plan
"""

EXAMPLES = r"""
- name: Observe the mail path from every vantage at once
  mailstead.stack.mail_probe:
    vantage: "{{ inventory_hostname }}"
    probes: "{{ probe_plan.by_vantage[inventory_hostname] }}"
    secrets: "{{ verify_secrets }}"
    reference: "{{ now().timestamp() }}"
  register: observed
"""

RETURN = r"""
observations:
  description: What was seen, sorted by probe.
  returned: always
  type: list
  elements: dict
  contains:
    probe:
      description: The id of the probe.
      type: str
    kind:
      description: The kind of the probe.
      type: str
    vantage:
      description: The vantage as given.
      type: str
    ok:
      description: Whether the probe could do its work. A refused connection is a result, a missing library is not.
      type: bool
    error:
      description: The class of the obstacle, or nothing.
      type: str
    message:
      description: The obstacle in words.
      type: str
    data:
      description: What was seen; the keys depend on the kind.
      type: dict
    started:
      description: When the probe began, in UTC.
      type: str
    took_ms:
      description: How long it took, in milliseconds.
      type: int
"""

from typing import Any, Dict, List

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.mailstead.stack.plugins.module_utils.checks.probes.context import Clock, Context
from ansible_collections.mailstead.stack.plugins.module_utils.checks.probes.runner import run

ARGUMENTS: Dict[str, Any] = {
    "vantage": {"type": "str", "required": True},
    "probes": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {
            "id": {"type": "str", "required": True},
            "kind": {"type": "str", "required": True},
            "args": {"type": "dict", "default": {}},
        },
    },
    "secrets": {"type": "dict", "default": {}, "no_log": True},
    "deadline": {"type": "int", "default": 90},
    "reference": {"type": "float", "default": 0},
}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    clock = Clock()
    ctx = Context(
        vantage=module.params["vantage"],
        deadline=clock.monotonic() + module.params["deadline"],
        clock=clock,
        secrets={str(k): str(v) for k, v in module.params["secrets"].items()},
        reference=module.params["reference"],
    )
    probes: List[Dict[str, Any]] = [{**p["args"], "id": p["id"], "kind": p["kind"]} for p in module.params["probes"]]
    try:
        observations = run(probes, ctx)
    except ValueError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, observations=[o.to_data() for o in observations])


if __name__ == "__main__":
    main()
