# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps the rules of any number of zones: read the account once, work out every difference, write one request a change.

Requests: one per 50 rules and one per 50 destinations of an account, one for its scripts when a Worker is wanted, and the
catch-all of each zone where the listing does not have it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Dict, FrozenSet, List, Optional, Sequence, Set, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.client import Client, UnclearError
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError, Problem
from ansible_collections.mailstead.stack.plugins.module_utils.email_routing import api, rules
from ansible_collections.mailstead.stack.plugins.module_utils.email_routing.model import (
    Change,
    Destination,
    Rule,
    RulesDiff,
    Wanted,
)
from ansible_collections.mailstead.stack.plugins.module_utils.email_routing.places import Place, account_of

#: How often the rules of a zone are read again after a write whose outcome is unclear.
ROUNDS = 4


@dataclass(frozen=True)
class Wish:
    """The rules of one mail domain, the catch-all included where it is the zone's own domain."""

    place: Place
    wanted: Tuple[Wanted, ...]


@dataclass(frozen=True)
class Choices:
    """instance: whose marks are ours. account: id, empty to have it looked up. allow: names of guards (loop)."""

    instance: str = "mailstead"
    account: str = ""
    adopt: bool = False
    allow: FrozenSet[str] = frozenset()


@dataclass
class Task:
    """The rules of one zone. written: the changes in effect."""

    place: Place
    wanted: Tuple[Wanted, ...]
    context: rules.Context
    have: Tuple[Rule, ...]
    diff: RulesDiff
    written: List[Change] = field(default_factory=list)


class KeepError(MailsteadError):
    """Something failed after all zones had been found in order; tasks tell what is in effect."""

    def __init__(self, problems: Sequence[Problem], tasks: Sequence[Task]) -> None:
        super().__init__(problems)
        self.tasks = tuple(tasks)


@dataclass(frozen=True)
class Account:
    """What one account holds. zones: ids by name, of those that are known."""

    id: str
    rules: Tuple[Rule, ...]
    zones: Dict[str, str]
    destinations: Tuple[Destination, ...]
    workers: Optional[FrozenSet[str]] = None

    @property
    def verified(self) -> FrozenSet[str]:
        return frozenset(d.address.lower() for d in self.destinations if d.verified)


def plan(client: Client, wishes: Sequence[Wish], choices: Choices) -> List[Task]:
    """Read and judge everything. Raises MailsteadError with the problems of all zones."""
    if not re.fullmatch(r"[^:\s]+", choices.instance):
        what = f"{choices.instance!r} cannot be part of a mark"
        raise MailsteadError.one("MS-ER-022", "instance", what, "Use letters, digits and hyphens.")
    grouped = _by_account(client, wishes, choices)
    tasks: List[Task] = []
    for account_id, group in grouped.items():
        account = read_account(client, account_id, group)
        routed = frozenset(_routed(client, account, group))
        for zone_wishes in _by_zone(group).values():
            tasks.append(_task(account, zone_wishes, routed, choices))
    problems = [p for t in tasks for p in t.diff.problems]
    if problems:
        raise MailsteadError(problems)
    return tasks


def _by_account(client: Client, wishes: Sequence[Wish], choices: Choices) -> Dict[str, List[Wish]]:
    out: Dict[str, List[Wish]] = {}
    known: Dict[str, str] = {}
    for wish in wishes:
        zone = wish.place.zone.id
        if zone not in known:
            known[zone] = choices.account or account_of(client, wish.place)
        out.setdefault(known[zone], []).append(wish)
    return out


def _by_zone(wishes: Sequence[Wish]) -> Dict[str, List[Wish]]:
    out: Dict[str, List[Wish]] = {}
    for wish in wishes:
        out.setdefault(wish.place.zone.name, []).append(wish)
    return out


def read_account(client: Client, account_id: str, wishes: Sequence[Wish]) -> Account:
    """The account as far as the wishes touch it. Raises MailsteadError."""
    zones = {w.place.zone.name: w.place.zone.id for w in wishes}
    found, seen = api.list_rules(client, account_id, zones)
    listed = {r.zone for r in found if not r.address and not r.opaque}
    for zone, zone_id in zones.items():
        if zone not in listed:
            found.append(api.read_catch_all(client, zone_id, zone))
    every = [w for wish in wishes for w in wish.wanted]
    destinations = api.list_destinations(client, account_id) if _forwards(every) else []
    workers = api.list_workers(client, account_id) if any(w.action == "worker" for w in every) else None
    return Account(account_id, tuple(found), {**seen, **zones}, tuple(destinations), workers)


def _forwards(wanted: Sequence[Wanted]) -> bool:
    return any(w.action == "forward" for w in wanted)


def _routed(client: Client, account: Account, wishes: Sequence[Wish]) -> Set[str]:
    """The domains that the account routes, as far as a destination lies in one of them.

    Rules outlive routing: where only they suggest it, the zone's settings are asked.
    """
    declared = {w.place.domain for w in wishes}
    targets = {w.target.rpartition("@")[2].lower() for wish in wishes for w in wish.wanted if w.action == "forward"}
    out = declared & targets
    suspects = {r.domain or r.zone: r.zone for r in account.rules if not r.unset}
    for domain in sorted(targets - declared):
        zone = suspects.get(domain, "")
        if zone in account.zones and api.read_settings(client, account.zones[zone], f"zone {zone}").enabled:
            out.add(domain)
    return out


def _task(account: Account, wishes: Sequence[Wish], routed: FrozenSet[str], choices: Choices) -> Task:
    zone = wishes[0].place.zone
    # The zone's own domain first: it names the zone in messages.
    domains = sorted((w.place.domain for w in wishes), key=lambda d: (d != zone.name, d))
    context = rules.Context(
        instance=choices.instance,
        domains=tuple(domains),
        routed=routed,
        verified=account.verified,
        workers=account.workers,
        adopt=choices.adopt,
        catch_all=zone.name in domains,
        allow=choices.allow,
    )
    wanted = tuple(w for wish in wishes for w in wish.wanted)
    have = tuple(r for r in account.rules if r.zone == zone.name)
    return Task(wishes[0].place, wanted, context, have, rules.diff(wanted, have, context))


def apply(client: Client, tasks: Sequence[Task]) -> None:
    """Write what differs, zone after zone. Raises KeepError; what is written by then stays."""
    for task in tasks:
        try:
            _write(client, task)
        except MailsteadError as error:
            raise KeepError(error.problems, tasks) from error


def _write(client: Client, task: Task) -> None:
    zone = task.place.zone
    pending = task.diff
    for _round in range(ROUNDS):
        unclear = None
        for change in pending.changes:
            try:
                _send(client, zone.id, change)
            except UnclearError as error:
                unclear = error
                break
            task.written.append(change)
        if unclear is None:
            return
        before, pending = pending, _again(client, task)
        # What was in doubt and is not needed any more is in effect.
        left = {(c.action, c.rule.address) for c in pending.changes}
        task.written += [c for c in before.changes if c not in task.written and (c.action, c.rule.address) not in left]
        if not pending.changes:
            return
    what = f"after {ROUNDS} tries it is not certain what was written: {unclear}"
    raise MailsteadError.one("MS-ER-013", f"rules of {zone.name}", what, "Run again: the rules are read first.")


def _send(client: Client, zone_id: str, change: Change) -> None:
    if change.before is None:
        api.create_rule(client, zone_id, change.rule)
    elif change.after is None:
        api.delete_rule(client, zone_id, change.rule)
    else:
        api.change_rule(client, zone_id, change.rule)


def _again(client: Client, task: Task) -> RulesDiff:
    zone = task.place.zone
    have = api.list_zone_rules(client, zone.id, zone.name)
    if not any(not r.address and not r.opaque for r in have):
        have.append(api.read_catch_all(client, zone.id, zone.name))
    found = rules.diff(task.wanted, have, task.context)
    if found.problems:
        raise MailsteadError(found.problems)
    return found
