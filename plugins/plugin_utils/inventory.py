# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one place that reads the inventory out of Ansible, and the only one that touches its internals."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import Problem
from ansible_collections.mailstead.stack.plugins.module_utils.intent.model import RawIntent

GROUPS = ("mail_home", "mail_edge", "mail_client", "mail_vantage")
STEP = re.compile(r"\.?([A-Za-z0-9_-]+)|\[(\d+)\]")


def origin(value: Any) -> str:
    """``file:line`` of a value as the inventory's loader knows it; nothing where it does not.

    ansible-core keeps this in a private tag; should it go, messages lose the line and nothing else.
    """
    try:
        from ansible._internal._datatag._tags import Origin  # noqa: PLC0415 - private, hence optional
    except ImportError:
        return ""
    tag = Origin.get_tag(value)
    if tag is None or not tag.path:
        return ""
    return f"{Path(tag.path).name}:{tag.line_num}" if tag.line_num else Path(tag.path).name


def _at_or_below(path: str, other: str) -> bool:
    return path == other or path.startswith((f"{other}.", f"{other}["))


class Inventory:
    """Templated access to the interface's variables; references that lead nowhere become problems, not tracebacks."""

    def __init__(self, task_vars: Mapping[str, Any], templar: Any) -> None:
        self._vars = task_vars
        self._templar = templar
        self.problems: list[Problem] = []

    def raw_intent(self) -> RawIntent:
        """Everything :func:`read_intent` needs; call it before looking at :attr:`problems`."""
        hosts: dict[str, dict[str, Any]] = {}
        groups = self._vars.get("groups", {})
        for group in GROUPS:
            for host in groups.get(group, ()):
                hosts.setdefault(str(host), {"groups": []})["groups"].append(group)
        for host, entry in hosts.items():
            variables = self._vars["hostvars"][host]
            if "mail_host" in variables:
                entry["mail_host"] = self._plain(lambda v=variables: v["mail_host"], f"hosts.{host}.mail_host")
        return RawIntent(
            mail_domains=self._variable("mail_domains"),
            mail_operator=self._variable("mail_operator"),
            mail_intent=self._variable("mail_intent"),
            mail_submission=self._variable("mail_submission"),
            hosts=hosts,
            variables=tuple(n for n in self._vars if isinstance(n, str) and n.startswith("mail_")),
        )

    def without_consequences(self, problems: Iterable[Problem]) -> list[Problem]:
        """The problems that are not about a value which could not be had in the first place."""
        unresolved = [p.where for p in self.problems]
        return [p for p in problems if not any(_at_or_below(p.where.split(" (")[0], path) for path in unresolved)]

    def secret(self, path: str) -> str | None:
        """The value behind a reference such as ``mail_operator.dns.token`` or ``hosts.vps1.mail_host.ptr.secret``.

        A value that is itself the name of a variable stands for that variable's value. None when it leads nowhere.
        """
        steps = [m.group(1) or int(m.group(2)) for m in STEP.finditer(path)]
        if steps[:1] == ["hosts"]:
            found: Any = self._vars["hostvars"][steps[1]]
            steps = steps[2:]
        else:
            found = self._vars
        try:
            for step in steps:
                found = self._templar.template(found[step])
        except (KeyError, IndexError, TypeError, AnsibleError):
            return None
        if isinstance(found, str) and found.isidentifier() and found in self._vars:
            found = self._templar.template(self._vars[found])
        return str(found) if isinstance(found, str) and found else None

    def _variable(self, name: str) -> Any:
        if name not in self._vars:
            return None
        return self._plain(lambda: self._templar.template(self._vars[name]), name)

    def _plain(self, get: Any, path: str) -> Any:
        """Templated lazily by ansible-core: walked once here, so that what is undefined is reported with its path."""
        try:
            value = get()
            if isinstance(value, Mapping):
                return {k: self._plain(lambda m=value, k=k: m[k], f"{path}.{k}") for k in value}
            if isinstance(value, (list, tuple)):
                return [self._plain(lambda s=value, i=i: s[i], f"{path}[{i}]") for i in range(len(value))]
        except AnsibleError as error:
            reason = str(error).splitlines()[0]
            self.problems.append(
                Problem(
                    "MS-INT-029",
                    path,
                    reason,
                    "define the variable (vaulted: ansible-vault create …), or correct its name",
                )
            )
            # Anything non-empty, so that the reader does not report a second mistake for the same key.
            return "unresolved"
        return value
