# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Intent → plan, on the controller; see plugins/modules/mail_plan.py for its documentation."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError
from ansible_collections.mailstead.stack.plugins.module_utils.intent.model import Ptr
from ansible_collections.mailstead.stack.plugins.module_utils.intent.read import read_intent
from ansible_collections.mailstead.stack.plugins.module_utils.plan.build import build_plan
from ansible_collections.mailstead.stack.plugins.module_utils.plan.model import to_data
from ansible_collections.mailstead.stack.plugins.module_utils.ptr.options import SECRETS as PTR_SECRETS
from ansible_collections.mailstead.stack.plugins.plugin_utils.inventory import Inventory, origin
from ansible_collections.mailstead.stack.plugins.plugin_utils.profiles import known_profiles


def _references(value: Any) -> Iterator[str]:
    """Every reference to a secret in an intent."""
    if isinstance(value, (tuple, list)):
        for item in value:
            yield from _references(item)
    elif isinstance(value, Ptr):
        yield from (reference for word, reference in value.options if word in PTR_SECRETS)
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            inner = getattr(value, field.name)
            if field.name in ("secret", "token") and inner:
                yield inner
            else:
                yield from _references(inner)


class ActionModule(ActionBase):
    _supports_check_mode = True
    _supports_diff = False
    _requires_connection = False
    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        self.validate_argument_spec(argument_spec={})
        variables = task_vars or {}
        inventory = Inventory(variables, self._templar, self._loader)
        raw = inventory.raw_intent()
        try:
            known = known_profiles(variables)
            intent = read_intent(raw, origin, known.profiles)
            if inventory.problems:
                raise MailsteadError(inventory.problems)
            plan = build_plan(intent)
        except MailsteadError as error:
            problems = dict.fromkeys([*inventory.problems, *inventory.without_consequences(error.problems)])
            count = len(problems)
            text = "\n".join(str(p) for p in problems)
            raise AnsibleActionFail(f"{count} mistake{'s' * (count > 1)} in the inventory:\n{text}") from None
        host = variables.get("inventory_hostname", "")
        if host == "localhost":
            # Once in a run, not on every host.
            if known.told:
                self._display.display(known.told)
            for problem in inventory.in_clear_text(_references(intent)):
                self._display.warning(str(problem))
        data = to_data(plan)
        result.update(
            changed=False,
            plan=data,
            home=next((h for h in data["homes"] if h["host"] == host), {}),
            edge=next((e for e in data["edges"] if e["host"] == host), {}),
            submission=next((s for s in data["submissions"] if s["host"] == host), {}),
            hosts=sorted({one["host"] for part in ("homes", "edges", "submissions") for one in data[part]}),
        )
        return result
