# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was written where: raw values of the inventory by the paths that messages use, so that those can name file and line."""

from __future__ import annotations

import re
from typing import Any, List, Mapping

_STEP = re.compile(r"\.?([A-Za-z_][A-Za-z0-9_-]*)|\[(\d+)\]")


def given(entry: Any, prefix: str = "") -> List[str]:
    """The dotted keys that the user wrote in a mapping."""
    found: List[str] = []
    if isinstance(entry, Mapping):
        for key, value in entry.items():
            found.append(f"{prefix}{key}")
            found += given(value, f"{prefix}{key}.")
    return found


class Written:
    """mail_domains and mail_submission as the loader gave them."""

    def __init__(self, domains: Any, services: Any = None) -> None:
        self._whole = {"mail_domains": domains, "mail_submission": services}

    def at(self, path: str, *names: str) -> Any:
        """The value at a path such as ``mail_domains[0].dmarc.policy``; names: further keys, which may hold anything.

        What was written as a whole (``dmarc: auto``) or was not written at all stands for its parts.
        """
        value: Any = self._whole
        steps = [m.group(1) or int(m.group(2)) for m in _STEP.finditer(path)]
        for step in (*steps, *names):
            value = self._below(value, step)
        return value

    @staticmethod
    def _below(value: Any, step: Any) -> Any:
        if isinstance(step, int):
            return value[step] if isinstance(value, (list, tuple)) and step < len(value) else value
        found = value.get(step) if isinstance(value, Mapping) else None
        return value if found is None else found
