# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps the secrets of service tokens; see plugins/modules/cloudflare_tunnel.py for the documentation."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError
from ansible_collections.mailstead.stack.plugins.plugin_utils import access_secrets
from ansible_collections.mailstead.stack.plugins.plugin_utils.state import PLACEHOLDER, SecretStore, state_directory


class ActionModule(ActionBase):
    _supports_check_mode = True
    _supports_diff = True
    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        variables = task_vars or {}
        try:
            store = SecretStore(state_directory(variables), getattr(self._loader, "_vault", None))
            kept = access_secrets.held(store)
        except MailsteadError as error:
            raise AnsibleActionFail(str(error)) from None
        first = self._ask(kept, rotate=bool(self._task.check_mode), task_vars=task_vars)
        made = self._keep(store, first)
        due = [] if self._task.check_mode or first.get("failed") else first.get("due") or []
        if due:
            # Until the new secret is here, the one that is here counts as lost: the request for a new one may be the last
            # thing that this run does.
            kept.update(made)
            for name in due:
                if name in kept:
                    kept[name] = {**kept[name], "pending": True}
                    access_secrets.keep(store, name, kept[name])
            second = self._ask(kept, rotate=True, task_vars=task_vars)
            made.update(self._keep(store, second))
            first = joined(first, second)
        result.update({k: v for k, v in first.items() if k not in ("secrets", "forget", "due")})
        result.pop("invocation", None)
        if result.get("failed"):
            if self._task.no_log:
                # no_log hides the message with the secrets that a result may hold; it holds none.
                self._display.error(str(result.get("msg", "")))
            return result
        secrets = {**kept, **made}
        for token, told in (result.get("service_tokens") or {}).items():
            told["client_secret"] = secrets.get(token, {}).get("client_secret", PLACEHOLDER)
        wanted = {str(t.get("name")): t.get("service_tokens") or () for t in self._task.args.get("tunnels") or ()}
        for tunnel in result.get("tunnels") or ():
            tokens = result["service_tokens"]
            tunnel["service_tokens"] = {n: tokens[n] for n in wanted.get(tunnel["name"], ()) if n in tokens}
        return result

    def _ask(self, kept: dict[str, dict[str, Any]], rotate: bool, task_vars: dict[str, Any] | None) -> dict[str, Any]:
        args = {**self._task.args, "held": access_secrets.facts(kept), "rotate": rotate}
        name = "mailstead.stack.cloudflare_tunnel"
        answer: dict[str, Any] = self._execute_module(module_name=name, module_args=args, task_vars=task_vars)
        return answer

    def _keep(self, store: SecretStore, answer: dict[str, Any]) -> dict[str, dict[str, Any]]:
        """Put what an answer brought into the store, also that of a run that failed; returns the new secrets."""
        made: dict[str, dict[str, Any]] = answer.get("secrets") or {}
        if not self._task.check_mode:
            for name, secret in made.items():
                access_secrets.keep(store, name, secret)
            for name in answer.get("forget") or ():
                access_secrets.forget(store, name)
        return made


def joined(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """The answer for both runs of the module: the first planned all, the second did what was left."""
    done = {_key(s): s for s in second.get("steps") or () if s["done"]}
    steps = [{**s, "done": s["done"] or _key(s) in done} for s in first["steps"]]
    known = {_key(s) for s in steps}
    steps += [s for key, s in done.items() if key not in known]
    out = {
        **second,
        "steps": steps,
        "changed": bool(first.get("changed") or second.get("changed")),
        "requests": first["requests"] + second["requests"],
    }
    if "diff" in first:
        out["diff"] = first["diff"]
    return out


def _key(step: dict[str, Any]) -> tuple[str, str, str]:
    return (step["kind"], step["action"], step["name"])
