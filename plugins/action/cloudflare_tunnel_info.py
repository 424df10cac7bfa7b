# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tells the module which secrets of service tokens the controller holds; see plugins/modules/cloudflare_tunnel_info.py."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError
from ansible_collections.mailstead.stack.plugins.plugin_utils import access_secrets
from ansible_collections.mailstead.stack.plugins.plugin_utils.state import SecretStore, state_directory


class ActionModule(ActionBase):
    _supports_check_mode = True
    _supports_diff = False
    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        try:
            store = SecretStore(state_directory(task_vars or {}), getattr(self._loader, "_vault", None))
            kept = access_secrets.held(store)
        except MailsteadError as error:
            raise AnsibleActionFail(str(error)) from None
        args = {**self._task.args, "held": access_secrets.facts(kept)}
        name = "mailstead.stack.cloudflare_tunnel_info"
        result.update(self._execute_module(module_name=name, module_args=args, task_vars=task_vars))
        return result
