#!/usr/bin/python
# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name, which does all the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mail_plan
short_description: Make the mail plan from the inventory
version_added: 0.1.0
author: The mailstead maintainers
description:
  - Reads C(mail_domains), C(mail_submission), C(mail_operator) and every host's C(mail_host), checks them, and returns the plan that all
    later steps read.
  - Every mistake of the inventory is reported at once, each with a code, its place and the fix.
  - Runs on the controller without a connection to the host and changes nothing.
attributes:
  check_mode:
    description: Can run in check mode and return the same values as in a real run.
    support: full
  diff_mode:
    description: Never changes anything, hence shows no differences.
    support: none
  idempotent:
    description: The same inventory gives the same plan.
    support: full
options: {}
"""

EXAMPLES = r"""
- name: Make the plan
  mailstead.stack.mail_plan:
  register: mailstead
"""

RETURN = r"""
plan:
  description: The whole plan; secrets appear only as the names of references.
  returned: success
  type: dict
home:
  description: The part of the plan that concerns this host as a home, or an empty mapping.
  returned: success
  type: dict
edge:
  description: The part of the plan that concerns this host as an edge, or an empty mapping.
  returned: success
  type: dict
submission:
  description: The service through which applications send that this host runs, or an empty mapping.
  returned: success
  type: dict
hosts:
  description: Names of the hosts that the plan builds.
  returned: success
  type: list
  elements: str
"""
