#!/usr/bin/python
# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name, which does all the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mail_secrets
short_description: Look up the values behind a plan's references to secrets
version_added: 0.1.0
author: The mailstead maintainers
description:
  - A plan holds no secret, only references. This returns their values for the tasks that need them.
  - References that begin with C(generated:) name secrets that mailstead makes once and keeps below the inventory in
    C(.mailstead/secrets), mode 0600, encrypted when the run has a vault password.
  - Use it with C(no_log) and register the result only in the play that needs it.
attributes:
  check_mode:
    description: In check mode nothing is generated; a placeholder stands for what a real run would make.
    support: full
  diff_mode:
    description: Shows no differences, for it deals in secrets.
    support: none
  idempotent:
    description: A generated secret is made once.
    support: full
options:
  refs:
    description: The references, such as V(mail_operator.dns.token) or V(generated:me@example.com).
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Look up the API token
  mailstead.stack.mail_secrets:
    refs: [mail_operator.dns.token]
  register: __dns_secrets
  no_log: true
"""

RETURN = r"""
secrets:
  description: Reference to value.
  returned: success
  type: dict
generated:
  description: Secrets that were made in this run, and the files they are kept in.
  returned: success
  type: dict
"""
