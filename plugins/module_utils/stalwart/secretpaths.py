# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where secrets sit in an object: JSON pointers into wire values, and their counterparts on the server.

A list with secrets (an account's credentials) also holds what others put there: application passwords, API keys. It
is therefore never compared or written as a whole; our item is the one of the same @type, and only its leaves change.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import Problem
from ansible_collections.mailstead.stack.plugins.module_utils.stalwart.schema import Schema


@dataclass(frozen=True)
class Place:
    """Where a secret goes. exists: path is the secret itself and can be patched; otherwise path is the place of the
    complete item, into which the secret goes at rest. differing: other leaves to patch, (path, value).
    """

    exists: bool
    path: str
    rest: str = ""
    item: Any = None
    differing: Tuple[Tuple[str, Any], ...] = field(default=())


def inserted(body: Any, secrets: Mapping[str, str]) -> Any:
    """A copy of a wire value with the secrets at their pointers; "" is the value itself."""
    out = copy.deepcopy(body)
    for pointer, value in secrets.items():
        *path, last = pointer.lstrip("/").split("/")
        target = out
        for token in path:
            target = target[token]
        target[last] = value
    return out


def check(schema: Schema, name: str, place: str, body: Mapping[str, Any], secrets: Mapping[str, Any]) -> List[Problem]:
    """Pointers that lead nowhere in body, or into a list that has items without a secret (MS-SRV-012)."""
    problems: List[Problem] = []
    lists: Dict[str, set[str]] = {}
    fields = schema.fields(name, body.get("@type"))
    for pointer in secrets:
        tokens = pointer.lstrip("/").split("/")
        target: Any = body
        for token in tokens[:-1]:
            target = target.get(token) if isinstance(target, Mapping) else None
        if not isinstance(target, Mapping) or (len(tokens) == 1 and tokens[0] not in fields):
            problems.append(
                Problem(
                    "MS-SRV-012",
                    f"{place} secrets[{pointer}]",
                    "the properties have no such place",
                    f"Declare what surrounds the secret, such as {tokens[0]}: [{{'@type': …}}], in properties.",
                )
            )
        elif len(tokens) > 2 and fields.get(tokens[0], {}).get("type", {}).get("type") == "objectList":
            lists.setdefault(tokens[0], set()).add(tokens[1])
    for key, indexes in lists.items():
        if set(body[key]) != indexes:
            problems.append(
                Problem(
                    "MS-SRV-012",
                    f"{place}/{key}",
                    "some items of this list have a secret and some have none",
                    "List only the items whose secrets are given.",
                )
            )
    return problems


def locate(schema: Schema, kind: Mapping[str, Any], pointer: str, want: Any, have: Any) -> Place:
    """The place on the server of the secret at pointer (which begins with the property of this kind)."""
    first, *rest = pointer.lstrip("/").split("/")
    return _locate(schema, kind, rest, want, have, first)


def _locate(schema: Schema, kind: Mapping[str, Any], tokens: Sequence[str], want: Any, have: Any, path: str) -> Place:
    if not tokens:
        return Place(True, path)
    if kind["type"] == "objectList":
        return _in_list(schema, kind, tokens, want, have, path)
    if not isinstance(have, Mapping) or have.get("@type") != want.get("@type"):
        return Place(False, path, "/" + "/".join(tokens), want)
    fields = schema.fields(kind["objectName"], want.get("@type"))
    head, *tail = tokens
    differing = tuple(
        (f"{path}/{k}", v)
        for k, v in want.items()
        if k not in ("@type", head) and not schema.same(fields[k]["type"], v, have.get(k))
    )
    inner = _locate(schema, fields[head]["type"], tail, want.get(head), have.get(head), f"{path}/{head}")
    return Place(inner.exists, inner.path, inner.rest, inner.item, differing + inner.differing)


def _in_list(schema: Schema, kind: Mapping[str, Any], tokens: Sequence[str], want: Any, have: Any, path: str) -> Place:
    item: Mapping[str, Any] = want[tokens[0]]
    have = have or {}
    position = _alike(want, item, tokens[0])
    alike = [k for k in sorted(have, key=int) if have[k].get("@type") == item.get("@type")]
    if position < len(alike):
        index = alike[position]
        inner = {"type": "object", "objectName": kind["objectName"]}
        return _locate(schema, inner, tokens[1:], item, have[index], f"{path}/{index}")
    free = str(max((int(k) for k in have), default=-1) + 1)
    return Place(False, f"{path}/{free}", "/" + "/".join(tokens[1:]), item)


def _alike(items: Mapping[str, Any], item: Mapping[str, Any], index: str) -> int:
    """Our item is the how-manieth of its @type."""
    before = [k for k in items if int(k) < int(index)]
    return sum(1 for k in before if items[k].get("@type") == item.get("@type"))


def value_at(body: Optional[Mapping[str, Any]], path: str) -> Any:
    """The value at a path without leading slash, None when there is none."""
    target: Any = body
    for token in path.split("/"):
        target = target.get(token) if isinstance(target, Mapping) else None
    return target
