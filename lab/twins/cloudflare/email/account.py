# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What belongs to the account: destinations and their verification, scripts, suppressions, messages sent, the audit log."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from ..config import Account
from ..state import ZoneState
from . import errors
from .audit import Audit
from .ids import mail_address, new_id
from .model import MAX_DESTINATIONS, Destination, Script, Suppression
from .options import EmailOptions
from .rules import Surroundings


class AccountStore(Protocol):
    """Keeps the account across restarts (see store.py)."""

    def save_account(self, data: dict[str, Any]) -> None: ...

    def load_account(self) -> dict[str, Any] | None: ...


class EmailAccount:
    """State of the account. Every method is safe to call from several threads.

    outbox: messages the service would have sent, oldest first: ``{"to", "kind": "verify-destination", "link"}``.
    """

    def __init__(
        self,
        account: Account,
        options: EmailOptions,
        zones: Mapping[str, ZoneState],
        clock: Callable[[], str],
        store: AccountStore | None = None,
    ) -> None:
        self.account, self.options, self.zones, self.clock = account, options, zones, clock
        self.lock = threading.RLock()
        self.destinations: dict[str, Destination] = {}
        self.scripts: dict[str, Script] = {}
        self.suppressions: dict[str, Suppression] = {}
        self.outbox: list[dict[str, str]] = []
        self.audit = Audit(account, clock)
        self._store = store
        saved = store.load_account() if store else None
        if saved is not None:
            self._restore(saved)
        else:
            for address in options.destinations:
                self.add_destination(address, verified=True)

    # -- destinations --------------------------------------------------------------------------------------------------

    def destination(self, address: str) -> Destination | None:
        """By its address, in any case."""
        with self.lock:
            return next((d for d in self.destinations.values() if d.email.lower() == address.lower()), None)

    def find_destination(self, wanted: str) -> Destination:
        """By its id. Raises ApiError."""
        with self.lock:
            found = self.destinations.get(wanted)
        if found is None:
            raise errors.address_not_found()
        return found

    def is_verified(self, address: str) -> bool:
        found = self.destination(address)
        return found is not None and found.verified is not None

    def create_destination(self, body: Any) -> Destination:
        """Announce an address and write to it. Raises ApiError.

        Chosen: an address that is there already is given back, and written to again while it waits.
        """
        address = mail_address(body.get("email") if isinstance(body, dict) else None, "/email")
        with self.lock:
            found = self.destination(address)
            if found is None:
                if len(self.destinations) >= MAX_DESTINATIONS:
                    raise errors.too_many_addresses(MAX_DESTINATIONS)
                found = self.add_destination(address, verified=False)
            if found.verified is None:
                link = f"https://dash.cloudflare.com/email_fwdr/verify?token={new_id()}"
                self.outbox.append({"to": found.email, "kind": "verify-destination", "link": link})
            return found

    def add_destination(self, address: str, verified: bool) -> Destination:
        """Past all checks and without a message, for tests."""
        now = self.clock()
        with self.lock:
            made = Destination(new_id(), address, now, now, now if verified else None)
            self.destinations[made.id] = made
            self.save()
            return made

    def set_verified(self, destination: Destination, verified: bool) -> None:
        with self.lock:
            destination.modified = self.clock()
            destination.verified = destination.modified if verified else None
            self.save()

    def delete_destination(self, wanted: str) -> Destination:
        """Forget an address; rules that forward to it are disabled without a word (documentation)."""
        with self.lock:
            gone = self.find_destination(wanted)
            del self.destinations[wanted]
            self.save()
        for state in self.zones.values():
            with state.lock:
                for rule in [*state.mail.rules, state.mail.catch_all]:
                    if rule.action == "forward" and rule.target.lower() == gone.email.lower():
                        rule.enabled = False
                state.save()
        return gone

    # -- scripts -------------------------------------------------------------------------------------------------------

    def script(self, name: str) -> Script:
        """Raises ApiError."""
        with self.lock:
            found = self.scripts.get(name)
        if found is None:
            raise errors.script_not_found()
        return found

    def rename_worker(self, old: str, new: str) -> None:
        """As the dashboard does: rules that named the old one lead nowhere (documentation: "drops its routes")."""
        with self.lock:
            script = self.scripts.pop(old)
            script.name = new
            self.scripts[new] = script
            self.save()

    # -- both ----------------------------------------------------------------------------------------------------------

    def around(self, state: ZoneState) -> Surroundings:
        """What a rule of this zone is judged by."""
        return Surroundings(
            zone=state.zone.name,
            verified=self.is_verified,
            worker=lambda name: name in self.scripts,
            worker_tags=lambda: {script.tag for script in self.scripts.values()},
            options=self.options,
        )

    def save(self) -> None:
        if self._store is None:
            return
        with self.lock:
            self._store.save_account(
                {
                    "destinations": [dataclasses.asdict(d) for d in self.destinations.values()],
                    "scripts": [dataclasses.asdict(s) for s in self.scripts.values()],
                    "suppressions": [dataclasses.asdict(s) for s in self.suppressions.values()],
                    "outbox": self.outbox,
                    "audit": self.audit.to_data(),
                }
            )

    def _restore(self, data: dict[str, Any]) -> None:
        self.destinations = {item["id"]: Destination(**item) for item in data["destinations"]}
        self.scripts = {item["name"]: Script(**item) for item in data["scripts"]}
        self.suppressions = {item["id"]: Suppression(**item) for item in data["suppressions"]}
        self.outbox = data["outbox"]
        self.audit.restore(data["audit"])
