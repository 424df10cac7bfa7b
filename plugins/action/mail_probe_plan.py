# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Derives from the plan which probes run on which host."""

from __future__ import annotations

import secrets
from typing import Any, Dict

from ansible.plugins.action import ActionBase
from ansible_collections.mailstead.stack.plugins.module_utils.checks.plain import plain
from ansible_collections.mailstead.stack.plugins.module_utils.checks.planning import Options, probe_plan
from ansible_collections.mailstead.stack.plugins.module_utils.checks.view import (
    CONTROLLER,
    View,
    named_secrets,
    secret_references,
)
from ansible_collections.mailstead.stack.plugins.module_utils.plan.model import MailPlan, from_data
from ansible_collections.mailstead.stack.plugins.module_utils.plan.resolve import facts_from


class ActionModule(ActionBase):
    _requires_connection = False

    def run(self, tmp: Any = None, task_vars: Any = None) -> Dict[str, Any]:
        super().run(tmp, task_vars)
        _validated, args = self.validate_argument_spec(
            argument_spec={
                "plan": {"type": "dict", "required": True},
                "facts": {"type": "dict", "default": {}},
                "senders": {"type": "dict", "default": {}},
                "wait": {"type": "int", "default": 45},
            }
        )
        plan = from_data(MailPlan, plain(args["plan"]))
        view = View(plan, facts_from(plain(args["facts"])), CONTROLLER)
        run_id = secrets.token_hex(6)
        options = Options(wait=args["wait"], senders=plain(args["senders"]))
        by_vantage = probe_plan(view, run_id, options)
        return {
            "changed": False,
            "run_id": run_id,
            "by_vantage": by_vantage,
            "secret_references": list(secret_references(plan)),
            "secrets_by_vantage": {vantage: sorted(named_secrets(probes)) for vantage, probes in by_vantage.items()},
        }
