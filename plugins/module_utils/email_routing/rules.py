# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The diff of one domain's rules: wanted against present. Pure.

Only rules whose name carries our mark are changed or removed. Somebody else's rule that already does what is wanted is
satisfied and stays as it is; one that does something else is a problem unless ``adopt`` says to take it over. Rules that a
Worker's own configuration owns are never touched.

The service refuses a rule that forwards to a destination nobody has verified (code 2054), so such a rule waits: what is
there stays as it is, and the first run after the click writes it.
"""

from __future__ import annotations

import dataclasses
import re
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Dict, FrozenSet, List, Optional, Sequence, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import Problem
from ansible_collections.mailstead.stack.plugins.module_utils.email_routing.model import (
    ACTIONS,
    MAX_RULES,
    Change,
    Rule,
    RulesDiff,
    Waiting,
    Wanted,
)

_LOCAL = re.compile(r"[A-Za-z0-9.!#$%&'/=?^_`{|}~+-]{1,64}")
_DOMAIN = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9-]{2,63}")


@dataclass(frozen=True)
class Context:
    """What judging rules needs to know of the rest of the account.

    domains: those that this zone routes, the zone first. routed: all that the account routes. verified: destinations whose
    owner has clicked, in lower case. workers: names of the scripts; None when they were not looked up. catch_all: whether
    the catch-all is among what is declared: a zone has one, for all of its domains.
    """

    instance: str
    domains: Tuple[str, ...]
    routed: FrozenSet[str] = frozenset()
    verified: FrozenSet[str] = frozenset()
    workers: Optional[FrozenSet[str]] = None
    adopt: bool = False
    catch_all: bool = True
    allow: FrozenSet[str] = field(default_factory=frozenset)


def malformed(address: str) -> str:
    """Why an address cannot be used, or nothing. Local parts are ASCII: the service takes no others."""
    local, at, domain = address.rpartition("@")
    if "*" in address:
        return "is a pattern; the service has literal addresses and one catch-all for the rest"
    if not at or not _DOMAIN.fullmatch(domain.lower()):
        return "is not a complete address"
    if not _LOCAL.fullmatch(local) or local.startswith(".") or local.endswith(".") or ".." in local:
        return "has a local part that cannot be used (ASCII letters, digits and the usual signs)"
    return ""


def diff(wanted: Sequence[Wanted], have: Sequence[Rule], context: Context) -> RulesDiff:
    """What has to be written so that the domain's addresses do what is wanted.

    have: all rules of the zone, the catch-all included; those of domains that are not declared are only counted.
    """
    ledger = _Ledger(context)
    checked = _check(ledger, wanted)
    present: Dict[str, List[Rule]] = defaultdict(list)
    for rule in have:
        present[rule.address.lower()].append(rule)
    for want in checked:
        _settle(ledger, want, present.pop(want.address, []))
    for rules in present.values():
        for rule in rules:
            declared = rule.domain in context.domains if rule.address else context.catch_all
            if declared and rule.mine(context.instance) and not rule.opaque:
                _retire(ledger, rule)
    _check_sum(ledger, have)
    return RulesDiff(
        changes=tuple(_ordered(ledger.changes, have)),
        waiting=tuple(ledger.waiting),
        satisfied=ledger.satisfied,
        notes=tuple(ledger.notes),
        problems=tuple(ledger.problems),
    )


def _ordered(changes: Sequence[Change], have: Sequence[Rule]) -> List[Change]:
    """Creations first, so that no address is without its rule meanwhile, unless there is no room for them."""
    creations = sum(1 for c in changes if c.before is None)
    full = sum(1 for r in have if r.address) + creations > MAX_RULES
    return sorted(changes, key=lambda c: ((c.after is None) != full, c.rule.address))


@dataclass
class _Ledger:
    context: Context
    changes: List[Change] = field(default_factory=list)
    waiting: List[Waiting] = field(default_factory=list)
    notes: List[str] = field(default_factory=list)
    problems: List[Problem] = field(default_factory=list)
    satisfied: int = 0

    def add(self, code: str, address: str, what: str, fix: str) -> None:
        where = f"rule for {address}" if address else f"catch-all of {self.context.domains[0]}"
        self.problems.append(Problem(code, where, what, fix))


def _check(ledger: _Ledger, wanted: Sequence[Wanted]) -> List[Wanted]:
    """The wanted rules in comparable form, each address once; what is wrong with them goes into the ledger."""
    out: Dict[str, Wanted] = {}
    for raw in wanted:
        want = dataclasses.replace(raw, address=raw.address.lower(), target=raw.target.strip())
        before = len(ledger.problems)
        _check_address(ledger, want)
        _check_target(ledger, want)
        if want.address in out:
            fix = "Keep one of them; a Worker can send one message to several destinations."
            ledger.add("MS-ER-003", want.address, "it is declared twice", fix)
        elif len(ledger.problems) == before:
            out[want.address] = want
    return list(out.values())


def _check_address(ledger: _Ledger, want: Wanted) -> None:
    if not want.address:
        return
    why = malformed(want.address)
    domains = ledger.context.domains
    if why:
        ledger.add("MS-ER-001", want.address, f"{want.address!r} {why}", "Correct the address.")
    elif want.address.rpartition("@")[2] not in domains:
        fix = "Put it into the list of its own domain, or enable routing for the sub-domain."
        ledger.add("MS-ER-002", want.address, f"its domain is none of {', '.join(domains)}", fix)


def _check_target(ledger: _Ledger, want: Wanted) -> None:
    context = ledger.context
    if want.action not in ACTIONS or bool(want.target) != (want.action != "drop"):
        fix = "Say where the mail goes: forward with one address, worker with one name, or drop."
        ledger.add("MS-ER-001", want.address, f"{want.action!r} with {want.target!r} is no action", fix)
    elif want.action == "worker" and context.workers is not None and want.target not in context.workers:
        known = ", ".join(sorted(context.workers)) or "none"
        fix = "Upload it first (cloudflare_email_worker), or correct the name."
        ledger.add("MS-ER-009", want.address, f"there is no Worker {want.target}; the account has {known}", fix)
    elif want.action == "forward":
        why = malformed(want.target)
        if why:
            ledger.add("MS-ER-001", want.address, f"the destination {want.target!r} {why}", "Correct the address.")
        elif want.target.rpartition("@")[2].lower() in context.routed and "loop" not in context.allow:
            fix = "Forward to a mailbox that another service holds. To go on regardless: allow: [loop]."
            what = f"{want.target} is in a domain that Email Routing serves itself: the message would come back"
            ledger.add("MS-ER-006", want.address, what, fix)
        elif want.enabled and want.target.lower() not in context.verified:
            fix = "Leave enabled out: the rule is written by the first run after the owner has clicked the link."
            ledger.add("MS-ER-007", want.address, f"{want.target} is not verified", fix)


def _settle(ledger: _Ledger, want: Wanted, present: Sequence[Rule]) -> None:
    """One address: keep, change or make its rule; rules of ours beyond the first go."""
    context = ledger.context
    mine = [r for r in present if r.mine(context.instance) and not r.opaque]
    others = [r for r in present if r not in mine and not r.unset]
    unset = [r for r in present if r not in mine and r.unset]
    if _unverified(ledger, want):
        _hold(ledger, want, mine, others)
        return
    desired = _desired(ledger, want)
    if others and not _give_way(ledger, want, desired, others):
        return
    # The newest of several rules works; which one that is the listing does not say for certain.
    base: List[Rule] = [*mine, *others, *unset]
    if not base:
        ledger.changes.append(Change(None, desired, "wanted"))
        return
    keep, surplus = base[0], base[1:]
    priority = keep.priority if want.priority is None else want.priority
    # Case does not matter, so the service's stays.
    target = keep.target if keep.effect == desired.effect else desired.target
    after = dataclasses.replace(
        desired, address=keep.address, target=target, id=keep.id, priority=priority, zone=keep.zone
    )
    if after == keep:
        ledger.satisfied += 1
    else:
        ledger.changes.append(Change(keep, after, _why(keep, after, context.instance)))
    for rule in surplus:
        ledger.changes.append(Change(rule, None, "a second rule for the address"))


def _unverified(ledger: _Ledger, want: Wanted) -> bool:
    return want.action == "forward" and want.target.lower() not in ledger.context.verified


def _hold(ledger: _Ledger, want: Wanted, mine: Sequence[Rule], others: Sequence[Rule]) -> None:
    """A rule that cannot be written yet. What is there stays, but a rule of ours is switched off if that is wanted."""
    desired = _desired(ledger, want)
    same = all(r.effect == desired.effect for r in others)
    if not same and not _give_way(ledger, want, desired, others):
        return
    if want.enabled is not False:
        ledger.waiting.append(Waiting(want.address, want.target))
    for rule in mine[:1]:
        if rule.effect == desired.effect:
            continue
        shown = want.address or "the catch-all"
        ledger.notes.append(f"{shown}: stays at {rule} until {want.target} is verified")
        movable = rule.action != "forward" or rule.target.lower() in ledger.context.verified
        if rule.enabled and want.enabled is False and movable:
            ledger.changes.append(Change(rule, dataclasses.replace(rule, enabled=False), "disabled"))


def _give_way(ledger: _Ledger, want: Wanted, desired: Rule, others: Sequence[Rule]) -> bool:
    """Whether the others' rules may be changed; says why not, or that they already do what is wanted."""
    context = ledger.context
    owned_elsewhere = [r for r in others if r.source != "api" or r.opaque]
    if len(others) == 1 and others[0].effect == desired.effect and (others[0].enabled == desired.enabled):
        if not context.adopt or owned_elsewhere:
            ledger.satisfied += 1
            return False
    elif owned_elsewhere:
        rule = owned_elsewhere[0]
        what = f"a Worker's own configuration has a rule there: {rule}"
        fix = "Change it where it is declared (wrangler), or take the address out here."
        if rule.opaque and rule.source == "api":
            what = f"a rule there has several actions or matchers: {rule.name or rule.id}"
            fix = "Take it apart in the dashboard, or take the address out here."
        ledger.add("MS-ER-005", want.address, what, fix)
        return False
    elif not context.adopt:
        told = " and ".join(str(r) for r in others)
        fix = "If it is obsolete remove it in the dashboard; to take it over set adopt: true."
        ledger.add("MS-ER-004", want.address, f"somebody else's rule is there: {told}", fix)
        return False
    return True


def _desired(ledger: _Ledger, want: Wanted) -> Rule:
    enabled = want.enabled if want.enabled is not None else True
    name = want.name(ledger.context.instance)
    return Rule(want.address, want.action, want.target, enabled, name, want.priority or 0)


def _why(before: Rule, after: Rule, instance: str) -> str:
    if not before.mine(instance):
        return "adopted" if before.effect == after.effect else "adopted and changed"
    if before.effect != after.effect:
        return f"was {before}"
    if before.enabled != after.enabled:
        return "enabled" if after.enabled else "disabled"
    return "renamed" if before.name != after.name else "another priority"


def _retire(ledger: _Ledger, rule: Rule) -> None:
    if rule.address:
        ledger.changes.append(Change(rule, None, "no longer wanted"))
    elif not dataclasses.replace(rule, name="").unset:
        # The catch-all cannot be deleted, only set back.
        blank = Rule("", "drop", "", enabled=False, id=rule.id, priority=rule.priority, zone=rule.zone)
        ledger.changes.append(Change(rule, blank, "no longer wanted"))


def _check_sum(ledger: _Ledger, have: Sequence[Rule]) -> None:
    # The catch-all does not count.
    now = sum(1 for rule in have if rule.address)
    after = now + sum((c.before is None) - (c.after is None) for c in ledger.changes if c.rule.address)
    if after > MAX_RULES and after > now:
        what = f"it would have {after} rules, the service holds {MAX_RULES}"
        fix = "Use the catch-all with a Worker for addresses that go to the same place."
        ledger.problems.append(Problem("MS-ER-008", f"domain {ledger.context.domains[0]}", what, fix))
