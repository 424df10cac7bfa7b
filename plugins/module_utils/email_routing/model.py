# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Email Routing as data: addresses of a domain, where their mail goes, and who owns a rule.

A rule forwards the mail of one address to one verified destination, hands it to a Worker, or drops it; each domain has one
catch-all for the rest. The service knows no patterns and no conditions (cloudflare-docs, Email Service, "Email Routing
rules"). Addresses are compared in lower case.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Dict, Optional, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import Problem

ACTIONS = ("forward", "worker", "drop")
#: Of one domain, of one account, of one zone with Email Sending (documentation, limits).
MAX_RULES, MAX_DESTINATIONS, MAX_DOMAINS = 200, 200, 30
MARK = "mailstead"


@dataclass(frozen=True)
class Rule:
    """A rule that is there. address: empty for the catch-all. target: destination or Worker, empty for drop.

    source: ``api``, or ``wrangler`` for one that a Worker's own configuration owns. opaque: it has several actions or
    matchers, or kinds of them that this code does not know: never changed, only named. zone: name of the zone it is in,
    empty where that is known from the place.
    """

    address: str
    action: str
    target: str
    enabled: bool
    name: str = ""
    priority: int = 0
    id: str = ""
    source: str = "api"
    opaque: bool = False
    zone: str = ""

    @property
    def effect(self) -> Tuple[str, str]:
        """What it does with the mail, in comparable form."""
        return (self.action, self.target.lower() if self.action == "forward" else self.target)

    @property
    def domain(self) -> str:
        """Of the address, in lower case; empty for the catch-all."""
        return self.address.rpartition("@")[2].lower()

    @property
    def unset(self) -> bool:
        """The catch-all nobody has configured, or that somebody has switched off again: it does nothing, whatever its name."""
        return not (self.address or self.enabled or self.name.startswith(f"{MARK}:")) and self.action == "drop"

    @property
    def text(self) -> str:
        """The user's words behind our mark, whoever's instance it is; the whole name of a rule without one."""
        head, blank, rest = self.name.partition(" ")
        if not head.startswith(f"{MARK}:"):
            return self.name
        return rest if blank else ""

    def mine(self, instance: str) -> bool:
        """Whether the name begins with our mark."""
        return self.source == "api" and (self.name + " ").startswith(f"{MARK}:{instance} ")

    def __str__(self) -> str:
        told = {"forward": f"forward to {self.target}", "worker": f"Worker {self.target}", "drop": "drop"}
        return told.get(self.action, self.action) + ("" if self.enabled else " (disabled)")


@dataclass(frozen=True)
class Wanted:
    """A wanted rule. enabled: None means as soon as its destination is verified. text: the user's words in its name.

    priority: None leaves it as it is, 0 for a new rule.
    """

    address: str
    action: str
    target: str = ""
    enabled: Optional[bool] = None
    text: str = ""
    priority: Optional[int] = None

    def name(self, instance: str) -> str:
        return f"{MARK}:{instance} {self.text}".rstrip()


@dataclass(frozen=True)
class Destination:
    """verified: when the owner clicked (RFC 3339); empty as long as that is awaited."""

    address: str
    id: str = ""
    verified: str = ""


@dataclass(frozen=True)
class Settings:
    """Of a zone. status: ``ready``, ``unconfigured``, ``misconfigured``, ``misconfigured/locked`` or ``unlocked``.

    subaddressing: ``user+detail`` is delivered as ``user``. wizard_skipped: the dashboard does not offer its first steps.
    """

    enabled: bool
    status: str = ""
    subaddressing: bool = False
    wizard_skipped: bool = False

    @property
    def locked(self) -> bool:
        """Whether the service keeps its records from being edited."""
        return self.status in ("ready", "misconfigured/locked")


@dataclass(frozen=True)
class RequiredRecord:
    """A record that the service needs. content: a host name without final dot, or the text itself. priority: of an MX,
    chosen by the service for each zone. missing: whether the service says that it does not find it."""

    type: str
    name: str
    content: str
    priority: Optional[int] = None
    ttl: int = 1
    missing: bool = False


@dataclass(frozen=True)
class Change:
    """One write. before: None for a new rule; after: None for one that goes."""

    before: Optional[Rule]
    after: Optional[Rule]
    reason: str

    @property
    def action(self) -> str:
        return "create" if self.before is None else "delete" if self.after is None else "update"

    @property
    def rule(self) -> Rule:
        found = self.after or self.before
        assert found is not None
        return found

    def to_data(self) -> Dict[str, Any]:
        def shown(rule: Optional[Rule]) -> Optional[Dict[str, Any]]:
            if rule is None:
                return None
            return {k: v for k, v in dataclasses.asdict(rule).items() if k not in ("opaque", "source", "zone")}

        return {
            "action": self.action,
            "address": self.rule.address,
            "before": shown(self.before),
            "after": shown(self.after),
            "reason": self.reason,
        }


@dataclass(frozen=True)
class Waiting:
    """A rule that cannot be in force until somebody clicks the link in a message to its destination."""

    address: str
    destination: str


@dataclass(frozen=True)
class RulesDiff:
    """What a domain's rules need. changes: in the order of writing. problems: why nothing may be written."""

    changes: Tuple[Change, ...]
    waiting: Tuple[Waiting, ...] = ()
    satisfied: int = 0
    notes: Tuple[str, ...] = ()
    problems: Tuple[Problem, ...] = ()
