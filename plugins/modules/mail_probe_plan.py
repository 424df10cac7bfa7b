#!/usr/bin/python
# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mail_probe_plan
short_description: Derive from the plan which probes run on which host
version_added: "0.1.0"
author:
  - mailstead contributors (@mailstead)
description:
  - Runs on the controller. Returns for every vantage the probes that M(mailstead.stack.mail_probe) is to run there.
  - Run it once, then M(mailstead.stack.mail_probe) on all hosts at the same time; what one of them sends, another one
    waits for.
options:
  plan:
    description: The plan, as RV(mailstead.stack.mail_plan#module:plan) returns it.
    type: dict
    required: true
  facts:
    description: The same facts that M(mailstead.stack.mail_judge) gets.
    type: dict
    default: {}
  senders:
    description: >-
      Address from which an outside vantage sends, by host name. Others use C(probe@) and their own host name.
    type: dict
    default: {}
  wait:
    description: Seconds for a message to arrive.
    type: int
    default: 45
attributes:
  check_mode:
    support: full
    description: Changes nothing.
  diff_mode:
    support: none
    description: There is nothing to compare.
  idempotent:
    support: full
    description: Never reports a change.
  platform:
    support: full
    platforms: posix
    description: Runs on the controller.
seealso:
  - module: mailstead.stack.mail_probe
  - module: mailstead.stack.mail_judge
"""

EXAMPLES = r"""
- name: Derive the probes
  mailstead.stack.mail_probe_plan:
    plan: "{{ mailstead.plan }}"
    facts: "{{ verify_facts }}"
  register: probe_plan
  run_once: true
"""

RETURN = r"""
by_vantage:
  description: Probes by inventory host name; C(localhost) is the controller.
  returned: always
  type: dict
secret_references:
  description: References of the secrets that the probes name.
  returned: always
  type: list
  elements: str
secrets_by_vantage:
  description: Those of RV(secret_references) that the probes of each vantage name. No host needs the others.
  returned: always
  type: dict
run_id:
  description: The token in all messages of this run.
  returned: always
  type: str
"""
