# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Routing rules: what a body may hold, how the book of a zone changes, and which rule a recipient meets."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import errors
from .ids import domain_of, mail_address, new_id
from .model import LAST, MAX_RULES, MailState, Rule
from .options import EmailOptions

ACTIONS = ("forward", "worker", "drop")
FIELDS = ("actions", "matchers", "enabled", "name", "priority", "source", "owner_worker_tag")
#: Fields only the API sets; a client that sends a whole rule back is not refused for them.
ANSWERED = ("id", "tag", "zone")
NAME_MAX = 256

_SCRIPT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")


@dataclass(frozen=True)
class Surroundings:
    """What judging a rule needs of the account. verified: whether mail may be forwarded there; worker: whether a script
    is there; worker_tags: of all scripts; zone: the zone's name."""

    zone: str
    verified: Callable[[str], bool]
    worker: Callable[[str], bool]
    worker_tags: Callable[[], set[str]]
    options: EmailOptions


def read(body: Any, rule_id: str, around: Surroundings, catch_all: bool = False) -> Rule:
    """A rule from a request body. Raises ApiError."""
    if not isinstance(body, dict):
        raise errors.invalid_input("an object is expected")
    for name in body:
        if name not in FIELDS and name not in ANSWERED:
            raise errors.invalid_input(f"unknown field {name}", f"/{name}")
    rule = Rule(
        id=rule_id,
        matchers=_matchers(body.get("matchers"), around.zone, catch_all),
        actions=_actions(body.get("actions")),
        name=_text(body, "name"),
        enabled=_flag(body, "enabled", default=True),
        priority=_number(body, "priority"),
        source=str(body.get("source", "api")),
        owner_worker_tag=_text(body, "owner_worker_tag"),
    )
    _check_source(rule, around)
    return _check_target(rule, around)


def _matchers(given: Any, zone: str, catch_all: bool) -> list[dict[str, Any]]:
    if not isinstance(given, list) or len(given) != 1 or not isinstance(given[0], dict):
        raise errors.invalid_input("exactly one matcher is expected", "/matchers")
    matcher = given[0]
    if catch_all:
        if matcher != {"type": "all"}:
            raise errors.invalid_input("the catch-all matches all", "/matchers/0")
        return [{"type": "all"}]
    if matcher.get("type") == "all":
        raise errors.invalid_rule_operation()
    if matcher.get("type") != "literal" or matcher.get("field") != "to" or set(matcher) != {"type", "field", "value"}:
        raise errors.invalid_input("a matcher is literal, of the field to", "/matchers/0")
    address = mail_address(matcher["value"], "/matchers/0/value")
    if "*" in address:
        raise errors.invalid_input("a literal matcher has no patterns", "/matchers/0/value")
    domain = domain_of(address)
    if domain != zone and not domain.endswith("." + zone):
        raise errors.unknown_domain(domain)
    return [{"type": "literal", "field": "to", "value": address}]


def _actions(given: Any) -> list[dict[str, Any]]:
    if not isinstance(given, list) or not given or not all(isinstance(item, dict) for item in given):
        raise errors.invalid_input("actions is a list of objects", "/actions")
    if len(given) > 1:
        raise errors.invalid_input("only one action per rule is allowed", "/actions")
    kind, value = given[0].get("type"), given[0].get("value", [])
    if kind not in ACTIONS or set(given[0]) - {"type", "value"} or not isinstance(value, list):
        raise errors.invalid_input("an action is forward, worker or drop with a list of values", "/actions/0")
    if kind == "drop":
        return [{"type": "drop"}]
    if kind == "forward" and len(value) != 1:
        raise errors.invalid_input("forward action must contain exactly one destination", "/actions/0/value")
    if kind == "worker" and (len(value) != 1 or not isinstance(value[0], str) or not _SCRIPT.fullmatch(value[0])):
        raise errors.invalid_input("must specify worker id", "/actions/0/value")
    if kind == "forward":
        mail_address(value[0], "/actions/0/value/0")
    return [{"type": kind, "value": list(value)}]


def _text(body: dict[str, Any], name: str) -> str:
    given = body.get(name)
    if given is None:
        return ""
    if not isinstance(given, str) or len(given) > NAME_MAX:
        raise errors.invalid_input(f"{name} is a text of at most {NAME_MAX} characters", f"/{name}")
    return given


def _flag(body: dict[str, Any], name: str, default: bool) -> bool:
    given = body.get(name, default)
    if not isinstance(given, bool):
        raise errors.invalid_input(f"{name} must be true or false", f"/{name}")
    return given


def _number(body: dict[str, Any], name: str) -> int:
    given = body.get(name, 0)
    if isinstance(given, bool) or not isinstance(given, int) or given < 0:
        raise errors.invalid_input(f"{name} must be a number from 0", f"/{name}")
    return given


def _check_source(rule: Rule, around: Surroundings) -> None:
    if rule.source not in ("api", "wrangler"):
        raise errors.invalid_input("source is api or wrangler", "/source")
    if rule.source == "wrangler" and rule.owner_worker_tag not in around.worker_tags():
        raise errors.invalid_input("owner_worker_tag must name a Worker", "/owner_worker_tag")


def _check_target(rule: Rule, around: Surroundings) -> Rule:
    if rule.action == "worker" and not around.worker(rule.target):
        raise errors.unknown_worker(rule.target)
    if rule.action == "forward" and not around.verified(rule.target):
        if around.options.unverified == "refuse":
            raise errors.destination_not_verified()
        rule.enabled = False
    return rule


# -- the book of a zone ------------------------------------------------------------------------------------------------


def listed(state: MailState, options: EmailOptions) -> list[Rule]:
    """The rules by priority; the catch-all last, where listings have it."""
    rules = sorted(state.rules, key=lambda rule: rule.priority)
    return [*rules, state.catch_all] if options.catch_all_listed else rules


def find(state: MailState, rule_id: str) -> Rule:
    """An ordinary rule. Raises ApiError, for the catch-all as the API does."""
    if rule_id == state.catch_all.id:
        raise errors.invalid_rule_operation()
    for rule in state.rules:
        if rule.id == rule_id:
            return rule
    raise errors.rule_not_found()


def add(state: MailState, body: Any, around: Surroundings) -> Rule:
    rule = read(body, new_id(), around)
    if len(state.rules) >= MAX_RULES:
        raise errors.too_many_rules(MAX_RULES)
    _check_twice(state, rule, around)
    state.rules.append(rule)
    return rule


def replace(state: MailState, rule_id: str, body: Any, around: Surroundings) -> Rule:
    """PUT: what is not given returns to its default."""
    old = find(state, rule_id)
    rule = read(body, old.id, around)
    _check_twice(state, rule, around)
    state.rules[state.rules.index(old)] = rule
    return rule


def replace_catch_all(state: MailState, body: Any, around: Surroundings) -> Rule:
    state.catch_all = read(body, state.catch_all.id, around, catch_all=True)
    state.catch_all.priority = LAST
    return state.catch_all


def remove(state: MailState, rule_id: str) -> Rule:
    rule = find(state, rule_id)
    state.rules.remove(rule)
    return rule


def _check_twice(state: MailState, rule: Rule, around: Surroundings) -> None:
    if around.options.duplicates == "refuse" and any(
        other.address == rule.address and other.id != rule.id for other in state.rules
    ):
        raise errors.duplicated_rule()


def effective(state: MailState, recipient: str) -> Rule | None:
    """The enabled rule that a recipient meets, the newest of several; None when mail to it is refused.

    ``user+detail`` falls back to ``user`` where sub-addressing is on; an exact rule wins (documentation, 2025-07-21).
    """
    wanted = [recipient.lower()]
    local, _, domain = wanted[0].rpartition("@")
    if state.support_subaddress and "+" in local:
        wanted.append(f"{local.split('+', 1)[0]}@{domain}")
    for address in wanted:
        found = [rule for rule in state.rules if rule.address == address and rule.enabled]
        if found:
            return found[-1]
    return state.catch_all if state.catch_all.enabled else None
