# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps the secrets of service tokens; see plugins/modules/cloudflare_tunnel.py for the documentation."""

from __future__ import annotations

import json
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError
from ansible_collections.mailstead.stack.plugins.plugin_utils.state import PLACEHOLDER, SecretStore, state_directory

#: What begins the names of secrets of service tokens in the store.
PREFIX = "access-"
FACTS = ("client_id", "version", "account", "made")


class ActionModule(ActionBase):
    _supports_check_mode = True
    _supports_diff = True
    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        variables = task_vars or {}
        try:
            store = SecretStore(state_directory(variables), getattr(self._loader, "_vault", None))
            kept = held(store)
        except MailsteadError as error:
            raise AnsibleActionFail(str(error)) from None
        args = {**self._task.args, "held": {name: {f: s.get(f) for f in FACTS} for name, s in kept.items()}}
        name = "mailstead.stack.cloudflare_tunnel"
        answer: dict[str, Any] = self._execute_module(module_name=name, module_args=args, task_vars=task_vars)
        made = answer.pop("secrets", None) or {}
        forget = answer.pop("forget", None) or []
        if not self._task.check_mode:
            keep(store, made, forget)
        result.update(answer)
        (result.get("invocation") or {}).pop("module_args", None)
        if result.get("failed"):
            if self._task.no_log:
                # The message is hidden with the secrets that a result holds, and it holds none.
                self._display.error(str(result.get("msg", "")))
            return result
        secrets = {**kept, **made}
        for token, told in (result.get("service_tokens") or {}).items():
            told["client_secret"] = secrets.get(token, {}).get("client_secret", PLACEHOLDER)
        return result


def held(store: SecretStore) -> dict[str, dict[str, Any]]:
    """What the store holds of service tokens, by name. What cannot be read as such counts as not held."""
    out: dict[str, dict[str, Any]] = {}
    for name in store.names(PREFIX):
        try:
            found = json.loads(store.get(name) or "")
        except ValueError:
            continue
        if isinstance(found, dict) and found.get("client_id") and found.get("client_secret"):
            out[name[len(PREFIX) :]] = found
    return out


def keep(store: SecretStore, made: dict[str, dict[str, Any]], forget: list[str]) -> None:
    for name, secret in made.items():
        store.put(PREFIX + name, json.dumps(secret, sort_keys=True))
    for name in forget:
        store.remove(PREFIX + name)
