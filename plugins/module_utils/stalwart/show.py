# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans as text a person reads: YAML-like, lists as lists, never a secret."""

from __future__ import annotations

import json
from typing import Any, Dict, Iterator, List, Mapping, Sequence

from ansible_collections.mailstead.stack.plugins.module_utils.stalwart.steps import Plan, Step


def diff(plan: Plan) -> List[Dict[str, str]]:
    """Ansible's diff structure: one entry per changed object, properties sorted."""
    out = []
    for step in plan.steps:
        out.append(
            {
                "before_header": step.label if step.action != "create" else f"{step.label} (absent)",
                "after_header": step.label if step.action != "destroy" else f"{step.label} (absent)",
                "before": _text(step, step.before, step.action != "create"),
                "after": _text(step, step.after, step.action != "destroy"),
            }
        )
    return out


def changes(plan: Plan) -> List[Dict[str, Any]]:
    """One entry per changed object: type, object, action, properties (names only)."""
    return [
        {"type": s.type, "object": s.label, "action": s.action, "properties": sorted(s.after or s.before)}
        for s in plan.steps
    ]


def _text(step: Step, shown: Mapping[str, Any], exists: bool) -> str:
    if not exists:
        return ""
    return "\n".join([step.label + ":", *_lines(dict(sorted(shown.items())), 1, top=True)]) + "\n"


def friendly(value: Any) -> Any:
    """Wire lists and sets as plain lists."""
    if isinstance(value, Mapping):
        if value and all(v is True for v in value.values()):
            return sorted(value)
        if value and all(str(k).isdigit() for k in value):
            return [friendly(value[k]) for k in sorted(value, key=int)]
        return {k: friendly(v) for k, v in value.items()}
    return value


def _lines(value: Any, depth: int, top: bool = False) -> Iterator[str]:
    pad = "  " * depth
    value = value if top else friendly(value)
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _entry(f"{pad}{key}:", item, depth)
    else:
        for item in value:
            first, *rest = _entry(f"{pad}-", item, depth)
            if first == f"{pad}-" and rest:
                # The first key stands beside the dash.
                first, *rest = [f"{pad}- {rest[0].lstrip()}", *rest[1:]]
            yield first
            yield from rest


def _entry(head: str, item: Any, depth: int) -> Iterator[str]:
    item = friendly(item)
    if isinstance(item, str) and "\n" in item:
        yield head + " |"
        for line in item.splitlines():
            yield ("  " * (depth + 1) + line).rstrip()
    elif isinstance(item, (Mapping, list, tuple)) and item:
        yield head
        yield from _lines(item, depth + 1)
    else:
        yield f"{head} {_scalar(item)}"


def _scalar(item: Any) -> str:
    if isinstance(item, str) and item.startswith("("):
        return item
    return json.dumps(item, ensure_ascii=False)


def summary(problems: Sequence[Any]) -> List[Dict[str, str]]:
    """Problems as JSON types for a module's result."""
    return [{"code": p.code, "where": p.where, "what": p.what, "fix": p.fix} for p in problems]
