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
from ansible.template import Templar
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


def _path(problem: Problem) -> str:
    return problem.where.split(" (")[0]


def _at_or_below(path: str, other: str) -> bool:
    return path == other or path.startswith((f"{other}.", f"{other}["))


class Inventory:
    """Templated access to the interface's variables; references that lead nowhere become problems, not tracebacks."""

    def __init__(self, task_vars: Mapping[str, Any], templar: Any, loader: Any) -> None:
        self._vars = task_vars
        self._templar = templar
        self._loader = loader
        self.problems: list[Problem] = []

    def raw_intent(self) -> RawIntent:
        """Everything :func:`read_intent` needs; call it before looking at :attr:`problems`."""
        hosts: dict[str, dict[str, Any]] = {}
        groups = self._vars.get("groups", {})
        for group in GROUPS:
            for host in groups.get(group, ()):
                hosts.setdefault(str(host), {"groups": []})["groups"].append(group)
        for host, entry in hosts.items():
            variables = self._vars["hostvars"].raw_get(host)
            if "mail_host" in variables:
                templar = Templar(loader=self._loader, variables=variables)
                entry["mail_host"] = self._walk(variables, "mail_host", f"hosts.{host}.mail_host", templar)
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
        unresolved = [_path(p) for p in self.problems]
        return [p for p in problems if not any(_at_or_below(_path(p), path) for path in unresolved)]

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
        return self._walk(self._vars, name, name, self._templar)

    def _walk(self, container: Any, key: Any, path: str, templar: Any) -> Any:
        """container[key], templated leaf by leaf, so that each undefined one is reported with its own path.

        Templated as a whole, one undefined variable would hide every other mistake beside it.
        """
        place = ""
        try:
            value = container[key]
            place = origin(value)
            if not isinstance(value, (Mapping, list, tuple)):
                value = templar.template(value)
        except AnsibleError as error:
            self.problems.append(
                Problem(
                    "MS-INT-029",
                    f"{path} ({place})" if place else path,
                    str(error).splitlines()[0],
                    "define the variable (vaulted: ansible-vault create …), or correct its name",
                )
            )
            # Anything non-empty: what the reader says about it is dropped, see without_consequences.
            return "unresolved"
        if isinstance(value, Mapping):
            return {k: self._walk(value, k, f"{path}.{k}", templar) for k in value}
        if isinstance(value, (list, tuple)):
            return [self._walk(value, i, f"{path}[{i}]", templar) for i in range(len(value))]
        return value
