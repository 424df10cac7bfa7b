# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The endpoints of Email Routing for a zone: its settings, the switch with its records, the rules (reference, §1.6)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..access import Request, Table, caller_of
from ..config import stable_id
from ..errors import authentication_error
from ..query import paginate
from ..records import Record
from ..response import Response, envelope
from ..state import ZoneState
from . import domains, errors, records, rules
from .base import MailAccess
from .model import Rule

SETTINGS, RULES = "Zone Settings", "Email Routing Rules"
#: ``enabled`` is taken and does nothing (description: "No-op on this endpoint").
SETTING_FIELDS = ("enabled", "skip_wizard", "support_subaddress")


class RoutingApi(MailAccess):
    """Answers below ``/zones/{id}/email/routing`` and the account-wide list of rules."""

    def table(self) -> Table:
        zone = "/zones/{id}/email/routing"
        return {
            zone: {"GET": self._settings, "PUT": self._change_settings, "PATCH": self._change_settings},
            f"{zone}/dns": {"GET": self._dns, "POST": self._enable, "PATCH": self._unlock, "DELETE": self._disable},
            f"{zone}/enable": {"POST": self._old(self._enable)},
            f"{zone}/unlock": {"POST": self._old(self._unlock)},
            f"{zone}/disable": {"POST": self._old(self._disable)},
            f"{zone}/rules": {"GET": self._rules, "POST": self._add_rule},
            f"{zone}/rules/catch_all": {"GET": self._catch_all, "PUT": self._change_catch_all},
            f"{zone}/rules/{{id}}": {"GET": self._rule, "PUT": self._change_rule, "DELETE": self._delete_rule},
            "/accounts/{id}/email/routing/rules": {"GET": self._all_rules},
        }

    # -- settings ------------------------------------------------------------------------------------------------------

    def settings_json(self, state: ZoneState) -> dict[str, Any]:
        """``/zones/{id}/email/routing``."""
        with state.lock:
            mail, present = state.mail, list(state.records.values())
            identifier = stable_id("routing", state.zone.name)
            return {
                "id": identifier,
                "tag": identifier,
                "name": state.zone.name,
                "enabled": bool(mail.domains),
                "created": mail.created,
                "modified": mail.modified,
                "skip_wizard": mail.skip_wizard,
                "support_subaddress": mail.support_subaddress,
                "status": domains.status(mail, state.zone, present, self.account.options),
            }

    def _settings(self, request: Request, zone_id: str) -> Response:
        return envelope(self.settings_json(self._state(request, zone_id, f"{SETTINGS}:Read")))

    def _change_settings(self, request: Request, zone_id: str) -> Response:
        state = self._state(request, zone_id, f"{SETTINGS}:Edit")
        body = request.body if isinstance(request.body, dict) else {}
        for name, value in body.items():
            if name not in SETTING_FIELDS or not isinstance(value, bool):
                raise errors.invalid_input(f"{name} is unknown or not true or false", f"/{name}")

        def change(*_: object) -> None:
            for name in SETTING_FIELDS[1:]:
                if name in body:
                    setattr(state.mail, name, body[name])

        state.change_mail(change)
        self._record(request, "update", "email_routing_settings", state.zone.zone_id, state)
        return envelope(self.settings_json(state))

    # -- the switch ----------------------------------------------------------------------------------------------------

    def _dns(self, request: Request, zone_id: str) -> Response:
        state = self._switch(request, zone_id, "Read")
        self._known(request, ("subdomain",))
        domain = self._domain(state, request.query.get("subdomain"), apex=True)
        present = list(state.snapshot().values())
        report = domains.report(state.zone, present, domain, self.account.options)
        if self.account.options.dns_shape == "report":
            return envelope(report)
        return listing(report["record"])

    def _enable(self, request: Request, zone_id: str) -> Response:
        state = self._switch(request, zone_id)
        domain = self._domain(state, self._name(request))
        options = self.account.options
        state.change_mail(lambda working, reader: domains.enable(state.mail, working, reader, domain, options))
        self._record(request, "update", "email_routing_enable", state.zone.zone_id, state)
        return envelope(self.settings_json(state))

    def _unlock(self, request: Request, zone_id: str) -> Response:
        state = self._switch(request, zone_id)
        domain = self._domain(state, self._name(request))
        state.change_mail(lambda working, _reader: domains.unlock(state.mail, working, domain))
        self._record(request, "update", "email_routing_unlock", state.zone.zone_id, state)
        return envelope(self.settings_json(state))

    def _disable(self, request: Request, zone_id: str) -> Response:
        """Without a name the zone with all its domains, with a name that domain. Which of them a call without a name
        means is not documented. Calling it on a zone that is off is no error: it clears records left behind."""
        state = self._switch(request, zone_id)
        name = self._name(request)
        chosen = [self._domain(state, name)] if name else None

        def change(working: Any, _reader: object) -> list[Record]:
            names = chosen if chosen is not None else list(state.mail.domains)
            gone = [record for each in names for record in domains.disable(state.mail, working, each)]
            return gone if chosen else [*gone, *domains.sweep(state.mail, working)]

        gone = state.change_mail(change)
        self._record(request, "update", "email_routing_disable", state.zone.zone_id, state)
        return listing([records.shown_record(record) for record in gone])

    def _old(self, handler: Callable[[Request, str], Response]) -> Callable[[Request, str], Response]:
        """A deprecated endpoint: works as the one that replaces it, answers with the settings, and is remembered."""

        def handle(request: Request, zone_id: str) -> Response:
            handler(request, zone_id)
            state = self.zones[zone_id]
            with state.lock:
                state.mail.deprecated.append(f"{request.method} {request.path}")
                state.save()
            return envelope(self.settings_json(state))

        return handle

    def _switch(self, request: Request, zone_id: str, verb: str = "Edit") -> ZoneState:
        state = self._state(request, zone_id, f"{SETTINGS}:{verb}")
        if request.path.endswith("/dns") and not self.account.options.dns_for_tokens:
            raise authentication_error()
        return state

    def _name(self, request: Request) -> str | None:
        body = request.body
        if body is None:
            return None
        if not isinstance(body, dict) or set(body) - {"name"} or not isinstance(body.get("name", ""), str):
            raise errors.invalid_input("name is the only field", "/name")
        return body.get("name") or None

    def _domain(self, state: ZoneState, given: str | None, apex: bool = False) -> str:
        """The domain that is meant. apex: the zone itself may be named here whatever bodies may do. Raises ApiError."""
        zone = state.zone.name
        if not given:
            return zone
        name = given.lower().rstrip(".")
        if name in (zone, "@"):
            if self.account.options.apex_name == "refuse" and not apex:
                raise errors.invalid_input("name must be a subdomain", "/name")
            return zone
        if not name.endswith("." + zone):
            raise errors.unknown_domain(name)
        return name

    # -- rules ---------------------------------------------------------------------------------------------------------

    def _rules(self, request: Request, zone_id: str) -> Response:
        state = self._state(request, zone_id, f"{RULES}:Read")
        self._known(request, ("page", "per_page", "enabled"))
        with state.lock:
            found = [rule.to_json() for rule in self._listed(state, request)]
        page, info = paginate(found, request.query, default=20, low=5, high=50)
        return envelope(page, info=info)

    def _all_rules(self, request: Request, account: str) -> Response:
        self._account(request, account, f"{RULES}:Read")
        if not self.account.options.account_rules:
            raise authentication_error()
        self._known(request, ("page", "per_page", "enabled"))
        caller, found = caller_of(request), []
        for state in self.zones.values():
            if caller.sees(state.zone):
                zone = {"name": state.zone.name, "tag": state.zone.zone_id}
                with state.lock:
                    found += [{**rule.to_json(), "zone": zone} for rule in self._listed(state, request)]
        page, info = paginate(found, request.query, default=20, low=5, high=50)
        return envelope(page, info=info)

    def _listed(self, state: ZoneState, request: Request) -> list[Rule]:
        wanted = request.query.get("enabled")
        if wanted not in (None, "true", "false"):
            raise errors.invalid_input("enabled must be true or false")
        found = rules.listed(state.mail, self.account.options)
        return [rule for rule in found if wanted is None or rule.enabled is (wanted == "true")]

    def _rule(self, request: Request, zone_id: str, rule_id: str) -> Response:
        state = self._state(request, zone_id, f"{RULES}:Read")
        with state.lock:
            return envelope(rules.find(state.mail, rule_id).to_json())

    def _add_rule(self, request: Request, zone_id: str) -> Response:
        state, around = self._to_change(request, zone_id)
        rule = state.change_mail(lambda *_: rules.add(state.mail, request.body, around))
        self._record(request, "create", "email_routing_rule", rule.id, state)
        return envelope(rule.to_json())

    def _change_rule(self, request: Request, zone_id: str, rule_id: str) -> Response:
        state, around = self._to_change(request, zone_id)
        rule = state.change_mail(lambda *_: rules.replace(state.mail, rule_id, request.body, around))
        self._record(request, "update", "email_routing_rule", rule.id, state)
        return envelope(rule.to_json())

    def _delete_rule(self, request: Request, zone_id: str, rule_id: str) -> Response:
        state, _around = self._to_change(request, zone_id)
        rule = state.change_mail(lambda *_: rules.remove(state.mail, rule_id))
        self._record(request, "delete", "email_routing_rule", rule.id, state)
        return envelope(rule.to_json())

    def _catch_all(self, request: Request, zone_id: str) -> Response:
        state = self._state(request, zone_id, f"{RULES}:Read")
        with state.lock:
            return envelope(state.mail.catch_all.to_json(catch_all=True))

    def _change_catch_all(self, request: Request, zone_id: str) -> Response:
        state, around = self._to_change(request, zone_id)
        rule = state.change_mail(lambda *_: rules.replace_catch_all(state.mail, request.body, around))
        self._record(request, "update", "email_routing_catch_all", rule.id, state)
        return envelope(rule.to_json(catch_all=True))

    def _to_change(self, request: Request, zone_id: str) -> tuple[ZoneState, rules.Surroundings]:
        state = self._state(request, zone_id, f"{RULES}:Edit")
        return state, self.account.around(state)


def listing(items: list[dict[str, Any]]) -> Response:
    """A list on one page."""
    count = len(items)
    info = {"page": 1, "per_page": 20, "count": count, "total_count": count, "total_pages": 1 if count else 0}
    return envelope(items, info=info)
