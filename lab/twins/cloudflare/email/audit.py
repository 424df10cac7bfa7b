# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who changed what: the account's audit log in its two versions (documentation: Email Service, "Audit logs").

Which actions are recorded is documented; which words stand for products and resources is not, so they are chosen.
"""

from __future__ import annotations

import dataclasses
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..config import Account, stable_id
from ..errors import invalid_query
from ..query import direction, number
from .ids import new_uuid

#: Entries kept.
LIMIT = 2_000


@dataclass(frozen=True)
class Entry:
    """One change. kind: create, update or delete; resource: the type of thing; zone: its name or empty."""

    id: str
    time: str
    kind: str
    product: str
    resource: str
    resource_id: str
    description: str
    zone_id: str
    zone: str
    token_id: str
    method: str
    uri: str


class Audit:
    """The log. Thread-safe."""

    def __init__(self, account: Account, clock: Callable[[], str]) -> None:
        self._account, self._clock = account, clock
        self._entries: deque[Entry] = deque(maxlen=LIMIT)
        self._lock = threading.Lock()

    def add(self, **fields: str) -> None:
        """Record a change; id and time are added here."""
        with self._lock:
            self._entries.append(Entry(id=new_uuid(), time=self._clock(), **fields))

    @property
    def entries(self) -> list[Entry]:
        with self._lock:
            return list(self._entries)

    def to_data(self) -> list[dict[str, Any]]:
        return [dataclasses.asdict(entry) for entry in self.entries]

    def restore(self, data: Iterable[dict[str, Any]]) -> None:
        with self._lock:
            self._entries = deque((Entry(**item) for item in data), maxlen=LIMIT)

    # -- version 2 -----------------------------------------------------------------------------------------------------

    FILTERS: Mapping[str, Callable[[Entry], str]] = {
        "zone_id": lambda e: e.zone_id,
        "zone_name": lambda e: e.zone,
        "action_type": lambda e: e.kind,
        "resource_type": lambda e: e.resource,
        "resource_id": lambda e: e.resource_id,
        "resource_product": lambda e: e.product,
        "actor_token_id": lambda e: e.token_id,
        "raw_method": lambda e: e.method,
    }
    PARAMETERS = frozenset(["since", "before", "limit", "cursor", "direction", *FILTERS])

    def page(self, query: Mapping[str, str]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """``/accounts/{id}/logs/audit``: newest first, a cursor where there is more. Raises ApiError."""
        if "since" not in query or "before" not in query:
            raise invalid_query("since and before are required.")
        limit, start = number(query, "limit", 100, 1, 1000), number(query, "cursor", 0, 0, LIMIT)
        chosen = [e for e in self._between(query["since"], query["before"]) if self._passes(e, query)]
        if query.get("direction", "desc") == "desc" or direction(query):
            chosen.reverse()
        more = {"after": str(start + limit)} if start + limit < len(chosen) else {}
        items = [self._json(entry) for entry in chosen[start : start + limit]]
        return items, {"count": len(items), "cursors": more}

    def _passes(self, entry: Entry, query: Mapping[str, str]) -> bool:
        return all(read(entry) == query[name] for name, read in self.FILTERS.items() if name in query)

    def _between(self, since: str, before: str) -> list[Entry]:
        # Times are RFC 3339 in UTC or dates, which compare as text.
        return [e for e in self.entries if since.rstrip("Z") <= e.time and e.time.rstrip("Z") < before.rstrip("Z")]

    def _json(self, entry: Entry) -> dict[str, Any]:
        out: dict[str, Any] = {
            "id": entry.id,
            "account": {"id": self._account.id, "name": self._account.name},
            "action": {
                "description": entry.description,
                "result": "success",
                "time": entry.time,
                "type": entry.kind,
            },
            "actor": {
                "id": stable_id("owner", self._account.id),
                "context": "api_token",
                "token_id": entry.token_id,
                "type": "user",
            },
            "raw": {"method": entry.method, "status_code": 200, "uri": entry.uri},
            "resource": {"id": entry.resource_id, "product": entry.product, "type": entry.resource},
        }
        if entry.zone:
            out["zone"] = {"id": entry.zone_id, "name": entry.zone}
        return out

    # -- version 1 -----------------------------------------------------------------------------------------------------

    OLD_PARAMETERS = frozenset(["since", "before", "page", "per_page", "direction", "zone.name", "action.type"])

    def old(self, query: Mapping[str, str]) -> list[dict[str, Any]]:
        """``/accounts/{id}/audit_logs``, filtered, newest first."""
        chosen = [
            e
            for e in self._between(query.get("since", ""), query.get("before", "9999"))
            if query.get("zone.name") in (None, e.zone) and query.get("action.type") in (None, e.kind)
        ]
        if query.get("direction", "desc") == "desc" or direction(query):
            chosen.reverse()
        return [self._old_json(entry) for entry in chosen]

    def _old_json(self, entry: Entry) -> dict[str, Any]:
        return {
            "id": entry.id,
            "action": {"type": entry.kind, "result": True},
            "actor": {"id": stable_id("owner", self._account.id), "type": "user"},
            "interface": "API",
            "metadata": {"description": entry.description, **({"zone_name": entry.zone} if entry.zone else {})},
            "newValue": "",
            "oldValue": "",
            "owner": {"id": self._account.id},
            "resource": {"id": entry.resource_id, "type": entry.resource},
            "when": entry.time,
        }
