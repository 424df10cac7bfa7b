# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tunnel's credentials, on the controller; see plugins/modules/tunnel_pki.py for its documentation."""

from __future__ import annotations

import datetime
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError
from ansible_collections.mailstead.stack.plugins.plugin_utils.pki import Authority, Leaf
from ansible_collections.mailstead.stack.plugins.plugin_utils.state import PLACEHOLDER, SecretStore, state_directory

SPEC = {
    "edges": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {
            "host": {"type": "str", "required": True},
            "name": {"type": "str", "required": True},
            "addresses": {"type": "list", "elements": "str", "required": True},
        },
    },
    "homes": {"type": "list", "elements": "str", "required": True},
}


class ActionModule(ActionBase):
    _supports_check_mode = True
    _supports_diff = False
    _requires_connection = False
    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _spec, args = self.validate_argument_spec(argument_spec=SPEC)
        variables = task_vars or {}
        dry = bool(self._task.check_mode)
        try:
            directory = state_directory(variables)
            store = SecretStore(directory, getattr(self._loader, "_vault", None))
            authority = Authority(directory / "tunnel", datetime.datetime.now(datetime.timezone.utc), dry=dry)
            pairs = {}
            for leaf in self._leaves(args):
                certificate, key = authority.pair(leaf)
                pairs[leaf.name] = {"certificate": certificate or PLACEHOLDER, "key": key or PLACEHOLDER}
            made = bool(authority.made)
            shared = {}
            for name in ("tunnel-token", "tunnel-stcp"):
                value = store.get(name)
                made = made or value is None
                shared[name] = value if value is not None else PLACEHOLDER if dry else store.make(name)[0]
            ca = authority.certificate() or PLACEHOLDER
        except MailsteadError as error:
            raise AnsibleActionFail(str(error)) from None
        result.update(changed=made, ca=ca, token=shared["tunnel-token"], stcp_secret=shared["tunnel-stcp"], pairs=pairs)
        return result

    @staticmethod
    def _leaves(args: dict[str, Any]) -> list[Leaf]:
        leaves = [
            leaf
            for e in args["edges"]
            for leaf in (
                Leaf(f"server-{e['host']}", True, (str(e["name"]),), tuple(str(a) for a in e["addresses"])),
                Leaf(f"client-{e['host']}", False, (str(e["host"]),)),
            )
        ]
        return leaves + [Leaf(f"client-{h}", False, (str(h),)) for h in args["homes"]]
