# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The twin as one object: requests in, responses out, no sockets. The HTTP front and unit tests both call handle()."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from . import errors
from .auth import Authenticator, Caller
from .config import TwinConfig, Zone
from .control import PREFIX as CONTROL
from .control import Control
from .export import bind_file
from .faults import ConnectionDroppedError, Entry, Faults, RateLimiter, RequestLog
from .query import (
    RECORD_PARAMETERS,
    ZONE_PARAMETERS,
    check_parameters,
    combine,
    direction,
    name_matches,
    paginate,
    select,
)
from .response import LABEL, Response, envelope
from .state import BATCH_ORDER, Publisher, PublishError, Store, ZoneState, utc_now
from .zones import zone_json

BASE = "/client/v4"
_ID = "([0-9a-f]{32})"


@dataclass
class Request:
    """A request as the handlers see it: path below BASE, header names in lower case, body already JSON or None."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any = None
    caller: Caller | None = None
    operations: int = 0
    rate_headers: dict[str, str] = field(default_factory=dict)


Handler = Callable[..., Response]


class Twin:
    """A stand-in for the Cloudflare API's zones, records, DNSSEC and token endpoints. Thread-safe.

    publisher brings changes into DNS, store keeps them; both are optional. importer gives the record bodies that DNS
    already serves, for zones configured so and without saved state. clock is RFC 3339 text, monotonic is seconds.
    """

    def __init__(
        self,
        config: TwinConfig,
        publisher: Publisher | None = None,
        store: Store | None = None,
        load: Callable[[ZoneState], bool] | None = None,
        importer: Callable[[Zone], Iterable[dict[str, Any]]] | None = None,
        clock: Callable[[], str] = utc_now,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.config = config
        self.faults = Faults()
        self.log = RequestLog()
        self.zones: dict[str, ZoneState] = {}
        for zone in config.zones:
            state = ZoneState(zone, config, publisher, store, clock)
            if load is None or not load(state):
                imported = importer(zone) if importer and zone.import_from_dns else ()
                state.seed(imported)
            self.zones[zone.zone_id] = state
        self._auth = Authenticator(config)
        self._limiter = RateLimiter(config.rate_limit, monotonic)
        self._control = Control(self)
        self._clock = clock
        self._pause = threading.Event()
        routes: dict[str, dict[str, Handler]] = {
            "/user/tokens/verify": {"GET": self._verify_user},
            "/accounts/{id}/tokens/verify": {"GET": self._verify_account},
            "/accounts/{id}/dns_records/usage": {"GET": self._account_usage},
            "/zones": {"GET": self._zones},
            "/zones/{id}": {"GET": self._zone},
            "/zones/{id}/dns_settings": {"GET": self._settings, "PATCH": self._change_settings},
            "/zones/{id}/dnssec": {
                "GET": self._dnssec,
                "PATCH": self._change_dnssec,
                "DELETE": self._delete_dnssec,
            },
            "/zones/{id}/dns_records": {"GET": self._records, "POST": self._create},
            "/zones/{id}/dns_records/usage": {"GET": self._usage},
            "/zones/{id}/dns_records/export": {"GET": self._export},
            "/zones/{id}/dns_records/batch": {"POST": self._batch},
            "/zones/{id}/dns_records/{id}": {
                "GET": self._record,
                "PUT": self._overwrite,
                "PATCH": self._merge,
                "DELETE": self._delete,
            },
        }
        self._routes = [(re.compile(pattern.replace("{id}", _ID)), handlers) for pattern, handlers in routes.items()]

    def zone(self, name: str) -> ZoneState:
        """A zone by its name, for tests. Raises KeyError."""
        return next(z for z in self.zones.values() if z.zone.name == name)

    # -- one request -------------------------------------------------------------------------------------------------

    def handle(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | str | None = None,
        headers: Mapping[str, str] | None = None,
        body: Any = None,
    ) -> Response:
        """Answer a request. path begins with ``/client/v4``; query: parsed or as in a URL; body: bytes or JSON types.

        Raises ConnectionDroppedError where a planned fault ends the connection without an answer.
        """
        lower = {name.lower(): value for name, value in (headers or {}).items()}
        if path.startswith(CONTROL):
            return self._control.handle(method, path, lower, body)
        started = time.monotonic()
        pairs = parse_qsl(query, keep_blank_values=True) if isinstance(query, str) else (query or {}).items()
        request = Request(method.upper(), path.removeprefix(BASE), dict(pairs), lower)
        size_in = len(body) if isinstance(body, bytes) else len(json.dumps(body)) if body is not None else 0
        status, size_out = 0, 0
        try:
            response = self._answer(request, path, body)
            status, size_out = response.status, len(response.body)
            return response
        finally:
            self.log.add(
                Entry(
                    request.method,
                    path,
                    request.query,
                    status,
                    time.monotonic() - started,
                    size_in,
                    size_out,
                    request.caller.token.id if request.caller else "",
                    request.operations,
                )
            )

    def _answer(self, request: Request, full_path: str, body: Any) -> Response:
        method, path = request.method, full_path
        self._wait(self.config.latency_ms / 1000)
        delay = self.faults.take("delay", method, path)
        if delay is not None:
            self._wait(delay.seconds)
        if self.faults.take("drop_before", method, path):
            raise ConnectionDroppedError(applied=False)
        planned = self.faults.take("status", method, path)
        try:
            if planned is not None:
                response = _planned(planned.status, planned.retry_after, planned.html)
            else:
                request.rate_headers = self._limiter.hit()
                response = self._dispatch(request, full_path, body)
        except errors.ApiError as error:
            response = envelope(None, error=error, pointers=self.config.error_pointers)
        except PublishError as error:
            response = envelope(None, error=errors.refuse(10001, f"The twin could not publish: {error}", 500))
        if self.faults.take("drop_after", method, path):
            raise ConnectionDroppedError(applied=True)
        replaced = self.faults.take("status", method, path, after=True)
        if replaced is not None:
            response = _planned(replaced.status, replaced.retry_after, replaced.html)
        return response.with_headers({**LABEL, **request.rate_headers})

    def _wait(self, seconds: float) -> None:
        if seconds > 0:
            self._pause.wait(seconds)

    def _dispatch(self, request: Request, full_path: str, body: Any) -> Response:
        if not full_path.startswith(BASE + "/"):
            raise errors.no_route(full_path)
        for pattern, handlers in self._routes:
            match = pattern.fullmatch(request.path)
            if match is None:
                continue
            if not request.path.endswith("/verify"):
                request.caller = self._auth.caller(request.headers, request.path)
            handler = handlers.get(request.method)
            if handler is None:
                raise errors.method_not_allowed()
            request.body = _json(body) if request.method in ("POST", "PUT", "PATCH") else None
            return handler(request, *match.groups())
        raise errors.no_route(full_path)

    def _state(self, request: Request, zone_id: str, scope: str) -> ZoneState:
        """The zone, if the caller sees it and has the scope; otherwise the API's one answer to both."""
        caller = _caller(request)
        state = self.zones.get(zone_id)
        if state is None or not caller.sees(state.zone):
            # Whether a zone exists is not told to a token that does not cover it.
            if request.path == f"/zones/{zone_id}":
                raise errors.unauthorized_resource()
            raise errors.authentication_error()
        caller.need(scope)
        return state

    def _known(self, request: Request, known: Iterable[str] = ()) -> None:
        check_parameters(request.query, known, self.config.strict)

    # -- tokens ------------------------------------------------------------------------------------------------------

    def _verify_user(self, request: Request) -> Response:
        result, messages = self._auth.verify(request.headers, None)
        return envelope(result, messages=messages)

    def _verify_account(self, request: Request, account: str) -> Response:
        result, messages = self._auth.verify(request.headers, account)
        return envelope(result, messages=messages)

    # -- zones -------------------------------------------------------------------------------------------------------

    def _zones(self, request: Request) -> Response:
        caller = _caller(request)
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
        page, info = paginate(chosen, query, default=20, low=5, high=50)
        return envelope([zone_json(state, caller, self.config.account) for state in page], info=info)

    def _zone(self, request: Request, zone_id: str) -> Response:
        state = self._state(request, zone_id, "Zone:Read")
        return envelope(zone_json(state, _caller(request), self.config.account))

    def _settings(self, request: Request, zone_id: str) -> Response:
        return envelope(self._state(request, zone_id, "DNS:Read").settings)

    def _change_settings(self, request: Request, zone_id: str) -> Response:
        return envelope(self._state(request, zone_id, "DNS:Edit").change_settings(request.body))

    def _usage(self, request: Request, zone_id: str) -> Response:
        state = self._state(request, zone_id, "DNS:Read")
        return envelope({"record_quota": state.limits.records, "record_usage": len(state.snapshot())})

    def _account_usage(self, request: Request, account: str) -> Response:
        _caller(request).need("DNS:Read")
        if account != self.config.account.id:
            raise errors.unauthorized_resource()
        return envelope({"record_quota": None, "record_usage": sum(len(s.snapshot()) for s in self.zones.values())})

    # -- DNSSEC ------------------------------------------------------------------------------------------------------

    def _dnssec(self, request: Request, zone_id: str) -> Response:
        return envelope(self._state(request, zone_id, "DNS:Read").dnssec.to_json())

    def _change_dnssec(self, request: Request, zone_id: str) -> Response:
        return envelope(self._state(request, zone_id, "DNS:Edit").change_dnssec(request.body).to_json())

    def _delete_dnssec(self, request: Request, zone_id: str) -> Response:
        self._state(request, zone_id, "DNS:Edit").change_dnssec({"status": "disabled"})
        return envelope("")

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


def _caller(request: Request) -> Caller:
    if request.caller is None:
        raise errors.missing_credentials()
    return request.caller


def _planned(status: int, retry_after: float, html: bool) -> Response:
    """The answer of a planned status fault; html: as an edge proxy answers, without the envelope."""
    if html:
        page = f"<html><head><title>{status}</title></head><body><h1>Error {status}</h1></body></html>"
        return Response(status, {"Content-Type": "text/html; charset=UTF-8"}, None, page)
    error = errors.rate_limited(retry_after) if status == 429 else errors.server_error(status)
    return envelope(None, error=error)


def _json(body: Any) -> Any:
    """The body as plain JSON types. Raises ApiError for bytes that are not JSON."""
    if not isinstance(body, (bytes, bytearray, str)):
        return json.loads(json.dumps(body))
    try:
        return json.loads(body)
    except (ValueError, UnicodeDecodeError):
        raise errors.invalid_body("It is not JSON.") from None
