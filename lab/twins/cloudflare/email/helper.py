# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The mail products from the side of a test: what a zone has, and what only the service or a person can do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..state import ZoneState
from . import analytics, domains, rules
from .account import EmailAccount
from .ids import new_id
from .model import Rule, Script
from .routing_api import RoutingApi


class EmailZone:
    """``twin.email(zone)``: looks are copies, changes are past every check that the API makes."""

    def __init__(self, state: ZoneState, account: EmailAccount, api: RoutingApi) -> None:
        self._state, self._account, self._api = state, account, api

    @property
    def settings(self) -> dict[str, Any]:
        return self._api.settings_json(self._state)

    @property
    def domains(self) -> dict[str, bool]:
        """Domains that are served, and whether their records are locked."""
        with self._state.lock:
            return {name: domain.locked for name, domain in self._state.mail.domains.items()}

    @property
    def rules(self) -> list[dict[str, Any]]:
        """The rules without the catch-all, in order of creation."""
        with self._state.lock:
            return [rule.to_json() for rule in self._state.mail.rules]

    def rule(self, address: str) -> dict[str, Any] | None:
        """The newest rule of an address."""
        found = [r for r in self.rules if r["matchers"][0].get("value", "").lower() == address.lower()]
        return found[-1] if found else None

    @property
    def catch_all(self) -> dict[str, Any]:
        with self._state.lock:
            return self._state.mail.catch_all.to_json(catch_all=True)

    @property
    def deprecated(self) -> list[str]:
        """Calls of deprecated endpoints: ``POST /zones/…/email/routing/enable``."""
        with self._state.lock:
            return list(self._state.mail.deprecated)

    @property
    def sending(self) -> list[dict[str, Any]]:
        with self._state.lock:
            return [entry.to_json() for entry in self._state.mail.sending.values()]

    def dns(self, name: str = "") -> dict[str, Any]:
        """Needed records and what is wrong, as the longer answer of ``GET …/dns`` has it."""
        domain, present = name or self._state.zone.name, list(self._state.snapshot().values())
        return domains.report(self._state.zone, present, domain, self._account.options)

    # -- what the service does -----------------------------------------------------------------------------------------

    def enable(self, name: str = "") -> None:
        """Raises ApiError, as the API would."""
        domain, options = name or self._state.zone.name, self._account.options
        mail = self._state.mail
        self._state.change_mail(lambda working, reader: domains.enable(mail, working, reader, domain, options))

    def unlock(self, name: str = "") -> None:
        domain = name or self._state.zone.name
        self._state.change_mail(lambda working, _reader: domains.unlock(self._state.mail, working, domain))

    def disable(self, name: str = "") -> list[str]:
        """Gives the names of the removed records."""
        domain = name or self._state.zone.name
        gone = self._state.change_mail(
            lambda working, _reader: domains.disable(self._state.mail, working, domain),
        )
        return [record.name for record in gone]

    def set_status(self, status: str) -> None:
        """A status of the settings instead of the one that follows from DNS; empty for that again."""
        self._state.change_mail(lambda *_: setattr(self._state.mail, "forced_status", status))

    # -- what people do ------------------------------------------------------------------------------------------------

    def click(self, address: str) -> None:
        """As if the destination's owner had followed the link. Raises KeyError."""
        click(self._account, address)

    def add_rule(self, address: str, action: str = "drop", target: str = "", **more: Any) -> dict[str, Any]:
        """A rule as another client would have made it; more: fields of Rule (matchers, source, name, enabled, …)."""
        rule = Rule(
            id=new_id(),
            matchers=more.pop("matchers", [{"type": "literal", "field": "to", "value": address}]),
            actions=more.pop("actions", [{"type": action, **({"value": [target]} if target else {})}]),
            **more,
        )
        self._state.change_mail(lambda *_: self._state.mail.rules.append(rule))
        return rule.to_json()

    def statistics(self, events: Iterable[Mapping[str, Any]], sending: bool = False) -> None:
        """Seed what the GraphQL datasets answer; fields as in the documentation, count for many alike. Raises ValueError."""
        rows = [analytics.event(given, self._account.clock(), sending) for given in events]
        mail = self._state.mail
        self._state.change_mail(lambda *_: (mail.sent_events if sending else mail.events).extend(rows))

    def worker(self, name: str) -> Script | None:
        return self._account.scripts.get(name)

    def effective(self, recipient: str) -> dict[str, Any] | None:
        """What happens to mail for a recipient: see effective()."""
        return effective(self._account, recipient)


def click(account: EmailAccount, address: str) -> None:
    """Verify a destination. Raises KeyError."""
    found = account.destination(address)
    if found is None:
        raise KeyError(address)
    account.set_verified(found, verified=True)


def effective(account: EmailAccount, recipient: str) -> dict[str, Any] | None:
    """``{action, target, zone, rule, problem}`` for mail to a recipient; None where no zone serves its domain.

    action: forward, worker, drop or reject. problem says why mail is rejected or cannot go on: no-rule, unverified,
    no-worker.
    """
    domain = recipient.rpartition("@")[2].lower()
    for state in account.zones.values():
        with state.lock:
            if domain not in state.mail.domains:
                continue
            rule = rules.effective(state.mail, recipient)
        out: dict[str, Any] = {"zone": state.zone.name, "rule": rule.id if rule else "", "problem": ""}
        if rule is None:
            return {**out, "action": "reject", "target": "", "problem": "no-rule"}
        if rule.action == "forward" and not account.is_verified(rule.target):
            return {**out, "action": "reject", "target": rule.target, "problem": "unverified"}
        if rule.action == "worker" and rule.target not in account.scripts:
            return {**out, "action": "reject", "target": rule.target, "problem": "no-worker"}
        return {**out, "action": rule.action, "target": rule.target}
    return None
