#!/usr/bin/python
# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mail_judge
short_description: Judge observations against the plan and write the report
version_added: "0.1.0"
author:
  - mailstead contributors (@mailstead)
description:
  - Runs on the controller. Pure judges turn the plan and the observations of M(mailstead.stack.mail_probe) into
    findings with the verdicts C(pass), C(warn), C(fail), C(unknown) and C(na); the catalogue is in C(docs/checks.md).
  - What follows from a failed check is reported as C(unknown) with its cause, so that one broken thing shows as one
    failure.
  - Writes C(report.json) and C(report.html) and prints a summary. In check mode nothing is written.
options:
  plan:
    description: The plan, as RV(mailstead.stack.mail_plan#module:plan) returns it.
    type: dict
    required: true
  observations:
    description: Observations, or a list of such lists, one per host. Hosts that could not be reached are just missing.
    type: list
    elements: raw
    required: true
  facts:
    description: >-
      What exists: C(dkim), a list of dicts with domain, algorithm, selector, txt and path; C(spki), SHA-256 of the
      certificate's key by host name; C(signed), zones that validate.
    type: dict
    default: {}
  report_dir:
    description: Where the report is written; a relative path starts at the current directory.
    type: path
    default: build/report
  labels:
    description: What ran in place of a real part; shown in every output.
    type: list
    elements: str
    default: []
  mail:
    description:
      - What became of the mail that Email Routing took, for the report; of each zone the C(statistics) that
        M(mailstead.stack.cloudflare_email_routing_info) returns.
    type: list
    elements: dict
    default: []
  fail:
    description: Whether the task fails when the exit code is not 0. A run that could not be judged always fails.
    type: bool
    default: true
attributes:
  check_mode:
    support: full
    description: Judges as always and writes no files.
  diff_mode:
    support: none
    description: A report is no state.
  idempotent:
    support: full
    description: Never reports a change; the report's files are output, not state.
  platform:
    support: full
    platforms: posix
    description: Runs on the controller.
seealso:
  - module: mailstead.stack.mail_probe
  - module: mailstead.stack.mail_probe_plan
"""

EXAMPLES = r"""
- name: Judge what all vantages saw
  mailstead.stack.mail_judge:
    plan: "{{ mailstead.plan }}"
    facts: "{{ verify_facts }}"
    observations: "{{ groups['all'] | map('extract', hostvars, ['observed', 'observations']) | select('defined') | list }}"
"""

RETURN = r"""
exit_code:
  description: 0 all pass or warn, 1 a fail, 2 an unknown that matters, 3 the run itself broke.
  returned: always
  type: int
summary:
  description: What was printed.
  returned: always
  type: str
counts:
  description: How many findings have which verdict.
  returned: always
  type: dict
findings:
  description: All findings, worst first.
  returned: always
  type: list
  elements: dict
report_dir:
  description: Where the report is.
  returned: always
  type: str
"""
