# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""References → values, on the controller; see plugins/modules/mail_secrets.py for its documentation."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError, Problem
from ansible_collections.mailstead.stack.plugins.plugin_utils.inventory import Inventory
from ansible_collections.mailstead.stack.plugins.plugin_utils.state import PLACEHOLDER, SecretStore, state_directory

GENERATED = "generated:"


class ActionModule(ActionBase):
    _supports_check_mode = True
    _supports_diff = False
    _requires_connection = False
    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _spec, args = self.validate_argument_spec(
            argument_spec={"refs": {"type": "list", "elements": "str", "required": True}}
        )
        variables = task_vars or {}
        try:
            values, made = self._values([str(r) for r in args["refs"]], variables)
        except MailsteadError as error:
            raise AnsibleActionFail(str(error)) from None
        result.update(changed=False, secrets=values, generated=made)
        for ref, place in made.items():
            self._display.display(f"mailstead: a password for {ref} was generated; it is in {place}", color="yellow")
        return result

    def _values(self, refs: list[str], variables: dict[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
        inventory = Inventory(variables, self._templar, self._loader)
        store = SecretStore(state_directory(variables), getattr(self._loader, "_vault", None))
        values: dict[str, str] = {}
        made: dict[str, str] = {}
        missing: list[Problem] = []
        for ref in dict.fromkeys(r for r in refs if r):
            if ref.startswith(GENERATED):
                name = ref[len(GENERATED) :]
                value = store.get(name)
                if value is None and self._task.check_mode:
                    # A dry run makes nothing; what would need the value only wants to know that there will be one.
                    value = PLACEHOLDER
                elif value is None:
                    value, path = store.make(name)
                    made[name] = str(path)
            else:
                value = inventory.secret(ref)
            if value is None:
                missing.append(
                    Problem(
                        "MS-INT-029", ref, "the reference leads to no value", "define it in group_vars/all/vault.yml"
                    )
                )
            else:
                values[ref] = value
        if missing:
            raise MailsteadError(missing)
        return values, made
