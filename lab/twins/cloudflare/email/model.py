# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the mail products keep: of a zone its mail domains and rules, of the account its destinations and scripts."""

from __future__ import annotations

import copy
import dataclasses
from dataclasses import dataclass, field
from typing import Any

#: Of one domain, of one account, of one zone with sending and routing together (documentation, limits).
MAX_RULES, MAX_DESTINATIONS, MAX_DOMAINS = 200, 200, 30
#: The catch-all's priority in listings.
LAST = 2**31 - 1


@dataclass
class Rule:
    """A routing rule; matchers and actions as the API has them. The catch-all is one, with the matcher ``all``."""

    id: str
    matchers: list[dict[str, Any]]
    actions: list[dict[str, Any]]
    name: str = ""
    enabled: bool = True
    priority: int = 0
    source: str = "api"
    owner_worker_tag: str = ""

    @property
    def address(self) -> str:
        """The literal recipient in lower case; empty for the catch-all and for what is no single literal."""
        if len(self.matchers) != 1 or self.matchers[0].get("type") != "literal":
            return ""
        return str(self.matchers[0].get("value", "")).lower()

    @property
    def action(self) -> str:
        return str(self.actions[0]["type"]) if self.actions else ""

    @property
    def target(self) -> str:
        """The destination or the Worker; empty for drop."""
        values = self.actions[0].get("value") or [""] if self.actions else [""]
        return str(values[0])

    def to_json(self, catch_all: bool = False) -> dict[str, Any]:
        out: dict[str, Any] = {
            "id": self.id,
            "tag": self.id,
            "name": self.name,
            "enabled": self.enabled,
            "matchers": copy.deepcopy(self.matchers),
            "actions": copy.deepcopy(self.actions),
            "source": self.source,
        }
        # Its own endpoint does not describe a priority; a listing gives it the last one.
        return out if catch_all else {**out, "priority": self.priority}


@dataclass
class Domain:
    """A domain that Email Routing serves: the zone or a sub-domain. linked: ids of the records it manages there."""

    name: str
    locked: bool = True
    linked: list[str] = field(default_factory=list)


@dataclass
class SendingDomain:
    """A domain onboarded for Email Sending. linked: ids of the records that came with it."""

    tag: str
    name: str
    created: str
    modified: str
    linked: list[str] = field(default_factory=list)
    preview_enabled: bool = True

    @property
    def return_path(self) -> str:
        return f"cf-bounce.{self.name}"

    def to_json(self) -> dict[str, Any]:
        return {
            "tag": self.tag,
            "name": self.name,
            "enabled": True,
            "created": self.created,
            "modified": self.modified,
            "dkim_selector": "cf-bounce",
            "preview_enabled": self.preview_enabled,
            "return_path_domain": self.return_path,
        }


@dataclass
class MailState:
    """Of one zone. domains and sending by name; events: rows of the statistics; deprecated: calls of endpoints that the
    description calls deprecated; forced_status: a status set from outside instead of the one that follows from DNS."""

    created: str
    modified: str
    catch_all: Rule
    domains: dict[str, Domain] = field(default_factory=dict)
    rules: list[Rule] = field(default_factory=list)
    sending: dict[str, SendingDomain] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    sent_events: list[dict[str, Any]] = field(default_factory=list)
    deprecated: list[str] = field(default_factory=list)
    skip_wizard: bool = False
    support_subaddress: bool = False
    forced_status: str = ""

    @classmethod
    def new(cls, rule_id: str, now: str) -> MailState:
        """A zone that nobody has configured has its catch-all, dropping and disabled (seen)."""
        blank = Rule(rule_id, [{"type": "all"}], [{"type": "drop"}], enabled=False, priority=LAST)
        return cls(now, now, blank)

    @property
    def locked_names(self) -> frozenset[str]:
        """Names whose MX only the service may write."""
        locked = {domain.name for domain in self.domains.values() if domain.locked}
        return frozenset(locked | {domain.return_path for domain in self.sending.values()})

    def to_data(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> MailState:
        """Back from to_data()."""
        return cls(
            **{
                **data,
                "catch_all": Rule(**data["catch_all"]),
                "domains": {name: Domain(**item) for name, item in data["domains"].items()},
                "rules": [Rule(**item) for item in data["rules"]],
                "sending": {name: SendingDomain(**item) for name, item in data["sending"].items()},
            }
        )


@dataclass
class Destination:
    """Where mail may be forwarded to; verified is a time or None."""

    id: str
    email: str
    created: str
    modified: str
    verified: str | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "tag": self.id,
            "email": self.email,
            "created": self.created,
            "modified": self.modified,
            "verified": self.verified,
        }


@dataclass
class Script:
    """A Worker. modules: text by part name; metadata: as uploaded; bindings: in force, with secrets; tag: never changes."""

    name: str
    tag: str
    modules: dict[str, str]
    metadata: dict[str, Any]
    bindings: list[dict[str, Any]]
    created_on: str
    modified_on: str
    etag: str

    @property
    def handlers(self) -> list[str]:
        """Names of handlers, by their looks in the main module."""
        main = self.modules.get(str(self.metadata.get("main_module")), "")
        return [name for name in ("fetch", "scheduled", "email") if f"{name}(" in main]

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.name,
            "tag": self.tag,
            "etag": self.etag,
            "handlers": self.handlers,
            "has_assets": False,
            "has_modules": True,
            "created_on": self.created_on,
            "modified_on": self.modified_on,
            "compatibility_date": self.metadata.get("compatibility_date", ""),
            "compatibility_flags": list(self.metadata.get("compatibility_flags", [])),
            "logpush": False,
            "usage_model": "standard",
            "last_deployed_from": "api",
        }


@dataclass
class Suppression:
    """A recipient that Email Sending does not write to. reason: manual, complaint, hard_bounce or soft_bounce."""

    id: str
    email: str
    reason: str
    created_at: str
    expires_at: str | None = None

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)
