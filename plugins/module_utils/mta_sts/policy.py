# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An MTA-STS policy as it is served (RFC 8461 §3.2), and how it differs from the one that should be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, List, Tuple


@dataclass(frozen=True)
class Policy:
    """mode: enforce, testing or none; mx: patterns; max_age: seconds."""

    mode: str
    mx: Tuple[str, ...]
    max_age: int


def parse_policy(body: str) -> Tuple[Dict[str, str], List[str]]:
    """Fields and mx patterns of a policy (RFC 8461 §3.2); the first of a repeated field wins."""
    fields: Dict[str, str] = {}
    mx: List[str] = []
    for line in body.replace("\r\n", "\n").split("\n"):
        key, colon, value = line.partition(":")
        if colon and key.strip() == "mx":
            mx.append(value.strip().lower().rstrip("."))
        elif colon:
            fields.setdefault(key.strip(), value.strip())
    return fields, mx


def differences(body: str, wanted: Policy) -> List[str]:
    """What a served policy has that is not wanted, in words; nothing when it says the same."""
    fields, mx = parse_policy(body)
    if fields.get("version") != "STSv1":
        return ["it is no MTA-STS policy"]
    out: List[str] = []
    for name, value in (("mode", wanted.mode), ("max_age", str(wanted.max_age))):
        if fields.get(name) != value:
            out.append(f"{name} is {fields.get(name, 'missing')}, not {value}")
    if set(mx) != {name.lower().rstrip(".") for name in wanted.mx}:
        out.append(f"mx is {', '.join(sorted(mx)) or 'missing'}, not {', '.join(sorted(wanted.mx))}")
    return out
