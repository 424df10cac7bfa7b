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
REFERENCE = re.compile(r"\s*\{\{\s*([A-Za-z_]\w*)\s*\}\}\s*")
VAULT_HEADER = b"$ANSIBLE_VAULT;"
STEP = re.compile(r"\.?([A-Za-z0-9_-]+)|\[(\d+)\]")


def origin(value: Any) -> str:
    """``file:line`` of a value as the inventory's loader knows it; nothing where it does not."""
    path, line = _origin(value)
    return f"{Path(path).name}:{line}" if line else Path(path).name if path else ""


def _origin(value: Any) -> tuple[str, int]:
    """(path, line); ansible-core keeps this in a private tag: should it go, messages lose the place and nothing else."""
    try:
        from ansible._internal._datatag._tags import Origin  # noqa: PLC0415 - private, hence optional
    except ImportError:
        return "", 0
    tag = Origin.get_tag(value)
    return (str(tag.path), int(tag.line_num or 0)) if tag is not None and tag.path else ("", 0)


def _is_vaulted(value: Any) -> bool:
    """Whether the value itself was encrypted (``!vault``), as opposed to its file."""
    try:
        from ansible._internal._datatag._tags import VaultedValue  # noqa: PLC0415 - private, hence optional
    except ImportError:
        return True
    return VaultedValue.get_tag(value) is not None


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
        found = self._leaf(path)[1]
        return str(found) if isinstance(found, str) and found else None

    def in_clear_text(self, paths: Iterable[str]) -> list[Problem]:
        """The references whose value stands readable in a file of the inventory. What an expression makes of others, or
        a lookup fetches from elsewhere, is not judged."""
        found = []
        for path in paths:
            written, value = self._leaf(path)
            referred = ""
            while isinstance(written, str) and (match := REFERENCE.fullmatch(written)) and match[1] in self._vars:
                referred = match[1]
                written = self._vars[referred]
            file, line = _origin(written)
            if not isinstance(written, str) or "{{" in written or not file or _is_vaulted(value):
                continue
            try:
                with Path(file).open("rb") as stream:
                    encrypted = stream.read(len(VAULT_HEADER)) == VAULT_HEADER
            except OSError:
                continue
            if not encrypted:
                fix = (
                    f"run: ansible-vault encrypt {file}"
                    if referred
                    else 'move it into group_vars/all/vault.yml (ansible-vault edit) and write "{{ vault_… }}" here'
                )
                place = f"{path} ({Path(file).name}:{line})"
                found.append(Problem("MS-INT-030", place, "a secret stands in clear text", fix))
        return found

    def _leaf(self, path: str) -> tuple[Any, Any]:
        """(as written, its value) of a dotted path into the variables; (None, None) when it leads nowhere."""
        steps = [m.group(1) or int(m.group(2)) for m in STEP.finditer(path)]
        written: Any = None
        if steps[:1] == ["hosts"]:
            value: Any = self._vars["hostvars"].raw_get(steps[1])
            steps = steps[2:]
        else:
            value = self._vars
        try:
            for step in steps:
                written = value[step]
                value = written if isinstance(written, (Mapping, list, tuple)) else self._templar.template(written)
            if isinstance(value, str) and value.isidentifier() and value in self._vars:
                written, value = f"{{{{ {value} }}}}", self._templar.template(self._vars[value])
        except (KeyError, IndexError, TypeError, AnsibleError):
            return None, None
        return written, value

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
