# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each path and method does: from the request to the zone's state and back into an answer."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from . import errors
from .access import Access, Request, Table, caller_of
from .auth import Authenticator
from .config import TwinConfig, Zone
from .export import bind_file
from .faults import Faults
from .importing import bodies as imported_bodies
from .importing import read_form
from .products import permission_groups
from .query import (
    RECORD_PARAMETERS,
    ZONE_PARAMETERS,
    combine,
    direction,
    name_matches,
    paginate,
    select,
)
from .response import Response, envelope
from .state import BATCH_ORDER, ZoneState
from .zones import zone_json

BASE = "/client/v4"
_ID = "([0-9a-f]{32})"


class Handlers(Access):
    """The endpoints over the zones. routes: a pattern for the path below BASE and the handlers by method; more: those of
    other products."""

    def __init__(
        self,
        config: TwinConfig,
        zones: Mapping[str, ZoneState],
        auth: Authenticator,
        faults: Faults,
        clock: Callable[[], str],
        more: Table | None = None,
    ) -> None:
        super().__init__(config, zones)
        self.faults = faults
        self._auth, self._clock = auth, clock
        self.routes = [
            (re.compile(path.replace("{id}", _ID)), handlers)
            for path, handlers in (*self._table().items(), *(more or {}).items())
        ]

    def _table(self) -> Table:
        return {
            "/user/tokens/verify": {"GET": self._verify_user},
            "/accounts/{id}/tokens/verify": {"GET": self._verify_account},
            "/user/tokens/permission_groups": {"GET": self._user_groups},
            "/accounts/{id}/tokens/permission_groups": {"GET": self._account_groups},
            "/accounts/{id}/dns_records/usage": {"GET": self._account_usage},
            "/zones": {"GET": self._zones},
            "/zones/{id}": {"GET": self._zone},
            "/zones/{id}/dns_settings": {"GET": self._settings, "PATCH": self._change_settings},
            "/zones/{id}/dnssec": {
                "GET": self._dnssec,
                "PATCH": self._change_dnssec,
                "DELETE": self._delete_dnssec,
            },
            "/zones/{id}/dnssec/zsk": {"GET": self._zone_keys},
            "/zones/{id}/dns_records": {"GET": self._records, "POST": self._create},
            "/zones/{id}/dns_records/usage": {"GET": self._usage},
            "/zones/{id}/dns_records/export": {"GET": self._export},
            "/zones/{id}/dns_records/import": {"POST": self._import},
            "/zones/{id}/dns_records/scan": {"POST": self._scan_and_add},
            "/zones/{id}/dns_records/scan/trigger": {"POST": self._scan},
            "/zones/{id}/dns_records/scan/review": {"GET": self._scanned, "POST": self._review},
            "/zones/{id}/dns_records/batch": {"POST": self._batch},
            "/zones/{id}/dns_records/{id}": {
                "GET": self._record,
                "PUT": self._overwrite,
                "PATCH": self._merge,
                "DELETE": self._delete,
            },
        }

    # -- tokens ------------------------------------------------------------------------------------------------------

    def _verify_user(self, request: Request) -> Response:
        result, messages = self._auth.verify(request.headers, None)
        return envelope(result, messages=messages)

    def _verify_account(self, request: Request, account: str) -> Response:
        result, messages = self._auth.verify(request.headers, account)
        return envelope(result, messages=messages)

    def _user_groups(self, request: Request) -> Response:
        caller_of(request).need("API Tokens:Read")
        return self._groups(request, permission_groups(None))

    def _account_groups(self, request: Request, account: str) -> Response:
        self._account(request, account, "Account API Tokens:Read")
        return self._groups(request, permission_groups(self.config.account))

    def _groups(self, request: Request, groups: list[dict[str, Any]]) -> Response:
        self._known(request, ("name", "scope"))
        wanted = {"name": request.query.get("name"), "scope": request.query.get("scope")}
        chosen = [
            g
            for g in groups
            if wanted["name"] in (None, g["name"]) and (wanted["scope"] is None or wanted["scope"] in g["scopes"])
        ]
        return envelope(chosen)

    # -- zones -------------------------------------------------------------------------------------------------------

    def _zones(self, request: Request) -> Response:
        caller = caller_of(request)
        caller.need("Zone:Read")
        query = request.query
        self._known(request, ZONE_PARAMETERS)
        account = self.config.account
        tests: dict[str, Callable[[Zone, str], bool]] = {
            "name": lambda zone, text: name_matches(text, zone.name),
            "account.id": lambda _zone, text: text == account.id,
            "account.name": lambda _zone, text: name_matches(text, account.name.lower()),
            "status": lambda zone, text: zone.status == text,
            "type": lambda zone, text: zone.type in text.split(","),
        }
        chosen = [
            state
            for state in self.zones.values()
            if caller.sees(state.zone)
            and combine((test(state.zone, query[n]) for n, test in tests.items() if n in query), query)
            and (state.zone.type != "internal" or "internal" in query.get("type", ""))
        ]
        keys: dict[str, Callable[[ZoneState], str]] = {
            "name": lambda s: s.zone.name,
            "status": lambda s: s.zone.status,
            "account.id": lambda _s: account.id,
            "account.name": lambda _s: account.name,
        }
        order = query.get("order", "name")
        if order not in keys:
            raise errors.invalid_query(f"order must be one of {', '.join(keys)}.")
        chosen.sort(key=keys[order], reverse=direction(query))
        # Documented is a minimum of 5; certbot's Cloudflare plugin asks for 1, and gets it.
        page, info = paginate(chosen, query, default=20, low=1, high=50)
        return envelope([zone_json(state, caller, self.config.account) for state in page], info=info)

    def _zone(self, request: Request, zone_id: str) -> Response:
        state = self._state(request, zone_id, "Zone:Read")
        return envelope(zone_json(state, caller_of(request), self.config.account))

    def _settings(self, request: Request, zone_id: str) -> Response:
        return envelope(self._state(request, zone_id, "DNS:Read", "Zone DNS Settings:Read").settings)

    def _change_settings(self, request: Request, zone_id: str) -> Response:
        state = self._state(request, zone_id, "DNS:Edit", "Zone DNS Settings:Edit")
        return envelope(state.change_settings(request.body))

    def _usage(self, request: Request, zone_id: str) -> Response:
        state = self._state(request, zone_id, "DNS:Read")
        return envelope({"record_quota": state.limits.records, "record_usage": len(state.snapshot())})

    def _account_usage(self, request: Request, account: str) -> Response:
        self._account(request, account, "DNS:Read")
        return envelope({"record_quota": None, "record_usage": sum(len(s.snapshot()) for s in self.zones.values())})

    # -- DNSSEC ------------------------------------------------------------------------------------------------------

    def _dnssec(self, request: Request, zone_id: str) -> Response:
        return envelope(self._state(request, zone_id, "DNS:Read").dnssec.to_json())

    def _change_dnssec(self, request: Request, zone_id: str) -> Response:
        return envelope(self._state(request, zone_id, "DNS:Edit").change_dnssec(request.body).to_json())

    def _delete_dnssec(self, request: Request, zone_id: str) -> Response:
        self._state(request, zone_id, "DNS:Edit").set_dnssec("disabled")
        return envelope("")

    def _zone_keys(self, request: Request, zone_id: str) -> Response:
        return envelope(self._state(request, zone_id, "DNS:Read").dnssec.zone_keys())

    # -- records -----------------------------------------------------------------------------------------------------

    def _records(self, request: Request, zone_id: str) -> Response:
        state = self._state(request, zone_id, "DNS:Read")
        self._known(request, RECORD_PARAMETERS)
        chosen = select(state.snapshot().values(), request.query)
        page, info = paginate(chosen, request.query, default=100, low=1, high=5000)
        return envelope([record.to_json(state.zone) for record in page], info=info)

    def _record(self, request: Request, zone_id: str, record_id: str) -> Response:
        state = self._state(request, zone_id, "DNS:Read")
        return envelope(state.get(record_id).to_json(state.zone))

    def _create(self, request: Request, zone_id: str) -> Response:
        state = self._state(request, zone_id, "DNS:Edit")
        return envelope(state.create(request.body).to_json(state.zone))

    def _overwrite(self, request: Request, zone_id: str, record_id: str) -> Response:
        state = self._state(request, zone_id, "DNS:Edit")
        return envelope(state.change(record_id, request.body, overwrite=True).to_json(state.zone))

    def _merge(self, request: Request, zone_id: str, record_id: str) -> Response:
        state = self._state(request, zone_id, "DNS:Edit")
        return envelope(state.change(record_id, request.body, overwrite=False).to_json(state.zone))

    def _delete(self, request: Request, zone_id: str, record_id: str) -> Response:
        state = self._state(request, zone_id, "DNS:Edit")
        return envelope({"id": state.delete(record_id).id})

    def _batch(self, request: Request, zone_id: str) -> Response:
        state = self._state(request, zone_id, "DNS:Edit")
        body = request.body if isinstance(request.body, dict) else {}
        request.operations = sum(len(items) for items in body.values() if isinstance(items, list))
        path = f"{BASE}{request.path}"
        fault = self.faults.take("operation", request.method, path, operations=request.operations)
        failure = errors.refuse(fault.code, fault.message, fault.status) if fault else None
        done = state.batch(request.body, fault.operation if fault else -1, failure)
        return envelope({name: [r.to_json(state.zone) for r in done[name]] for name in BATCH_ORDER})

    def _export(self, request: Request, zone_id: str) -> Response:
        state = self._state(request, zone_id, "DNS:Read")
        text = bind_file(state.zone, state.settings, state.snapshot().values(), self._clock())
        return Response(200, {"Content-Type": "text/plain; charset=utf-8"}, None, text)

    def _import(self, request: Request, zone_id: str) -> Response:
        state = self._state(request, zone_id, "DNS:Edit")
        form = read_form(request.headers.get("content-type", ""), request.body)
        found = imported_bodies(state.zone, form, state.limits.min_ttl)
        return envelope({"recs_added": state.import_bodies(found), "total_records_parsed": len(found)})

    def _scan(self, request: Request, zone_id: str) -> Response:
        self._state(request, zone_id, "DNS:Edit").scan()
        answer = envelope(None)
        del answer.json["result"]
        return answer

    def _scan_and_add(self, request: Request, zone_id: str) -> Response:
        """The deprecated form: what is found goes into the zone at once."""
        state = self._state(request, zone_id, "DNS:Edit")
        found = state.zone.scannable
        return envelope({"recs_added": state.import_bodies(found), "total_records_parsed": len(found)})

    def _scanned(self, request: Request, zone_id: str) -> Response:
        state = self._state(request, zone_id, "DNS:Read")
        found = [record.to_json(state.zone) for record in state.scanned.values()]
        page, info = paginate(found, request.query, default=100, low=1, high=5000)
        return envelope(page, info=info)

    def _review(self, request: Request, zone_id: str) -> Response:
        state = self._state(request, zone_id, "DNS:Edit")
        body = request.body if isinstance(request.body, dict) else {}
        return envelope(state.review(body.get("accepts", []), body.get("rejects", [])))
