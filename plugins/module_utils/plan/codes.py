# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Codes of mistakes in using a plan; docs/errors.md is made from these."""

from __future__ import annotations

from typing import Dict

CODES: Dict[str, str] = {
    "MS-PLAN-001": "A record cannot be written yet: the key or certificate it is made from does not exist. "
    "`site.yml` makes it before it publishes; a single playbook may run too early.",
    "MS-PLAN-002": "No phase of publication has this name.",
    "MS-PLAN-003": "A host is asked for its part of the tunnel and has none in the plan. Name it in `mail_domains`.",
    "MS-PLAN-004": "An object of the mail server needs a secret whose value was not handed over.",
    "MS-PLAN-005": "A plan is made of an intent that names a provider without the provider's profile.",
}
