# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules in the words people write, and back. Pure.

A value is a destination (``you@gmail.com``), ``drop``, or an object with one of ``forward``, ``worker`` and ``drop: true``,
and optionally ``enabled``, ``tag`` (words to recognise the rule by) and ``priority``.
"""

from __future__ import annotations

import difflib
from typing import Any, Dict, List, Mapping, Optional, Tuple, Union

from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import Problem
from ansible_collections.mailstead.stack.plugins.module_utils.email_routing.model import ACTIONS, Rule, Wanted

_MORE = ("enabled", "tag", "priority")
_FIX = "Write an address to forward to, drop, or an object with forward, worker or drop: true."

Value = Union[str, Dict[str, Any]]


def read_rules(domain: str, rules: Any) -> Tuple[List[Wanted], List[Problem]]:
    """The rules of a domain: a mapping of addresses to values, or a list of values that have an ``address``.

    Addresses without a domain are the domain's. What is wrong with a value is told, its rule left out.
    """
    wanted: List[Wanted] = []
    problems: List[Problem] = []
    if isinstance(rules, Mapping):
        pairs = [(str(address), value) for address, value in rules.items()]
    elif isinstance(rules, list) and all(isinstance(r, Mapping) and r.get("address") for r in rules):
        pairs = [(str(r["address"]), {k: v for k, v in r.items() if k != "address"}) for r in rules]
    else:
        fix = "Write a mapping of addresses, or a list of objects with an address each."
        return [], [Problem("MS-ER-001", f"rules of {domain}", "they are no rules", fix)]
    for local, value in pairs:
        address = local if "@" in local else f"{local}@{domain}"
        found = read_value(address, value, f"rule for {address}")
        if isinstance(found, Problem):
            problems.append(found)
        else:
            wanted.append(found)
    return wanted, problems


def read_value(address: str, value: Any, where: str) -> Union[Wanted, Problem]:
    """One rule; address: empty for the catch-all."""
    if isinstance(value, str):
        if value.strip().lower() == "drop":
            return Wanted(address, "drop")
        if "@" in value:
            return Wanted(address, "forward", value.strip())
        fix = f"For a Worker write {{worker: {value}}}. {_FIX}"
        return Problem("MS-ER-001", where, f"{value!r} is no address", fix)
    if not isinstance(value, Mapping):
        return Problem("MS-ER-001", where, f"{value!r} does not say where the mail goes", _FIX)
    unknown = [str(k) for k in value if k not in (*ACTIONS, *_MORE)]
    if unknown:
        near = difflib.get_close_matches(unknown[0], (*ACTIONS, *_MORE), 1)
        return Problem("MS-ER-001", where, f"there is no {unknown[0]!r}", f"Did you mean {near[0]}?" if near else _FIX)
    actions = [a for a in ACTIONS if value.get(a) not in (None, False)]
    if len(actions) != 1 or (actions[0] == "drop") != (value[actions[0]] is True):
        return Problem("MS-ER-001", where, "it has to say exactly one of forward, worker and drop: true", _FIX)
    return _wanted(address, actions[0], value, where)


def _wanted(address: str, action: str, value: Mapping[str, Any], where: str) -> Union[Wanted, Problem]:
    enabled, priority, tag = value.get("enabled"), value.get("priority"), value.get("tag")
    if enabled is not None and not isinstance(enabled, bool):
        return Problem("MS-ER-001", where, f"enabled is {enabled!r}", "Write true or false, or leave it out.")
    if priority is not None and (isinstance(priority, bool) or not isinstance(priority, int) or priority < 0):
        return Problem("MS-ER-001", where, f"priority is {priority!r}", "Write a number from 0, or leave it out.")
    target = "" if action == "drop" else str(value[action])
    text = " ".join(str(tag).split()) if tag is not None else ""
    return Wanted(address, action, target, enabled, text, priority)


def value_of(rule: Rule, verified: bool = True, text: Optional[str] = None) -> Value:
    """A rule as a value, in the shortest form. verified: whether its destination is; text: the words to keep as a tag.

    A disabled rule to a destination nobody has verified is one that waits: that needs no word.
    """
    action = rule.action
    more: Dict[str, Any] = {}
    if not rule.enabled and (verified or action != "forward"):
        more["enabled"] = False
    if text:
        more["tag"] = text
    if not more and action == "forward":
        return rule.target
    if not more and action == "drop":
        return "drop"
    return {action: True if action == "drop" else rule.target, **more}
