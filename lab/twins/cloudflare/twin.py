# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The twin as one object: requests in, responses out, no sockets. The HTTP front and unit tests both call handle()."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import parse_qsl

from . import errors
from .access import Request
from .auth import Authenticator
from .config import TwinConfig, Zone
from .control import PREFIX as CONTROL
from .control import Control
from .email.account import AccountStore
from .email.mixin import EmailMixin
from .email.product import EmailProducts
from .faults import ConnectionDroppedError, Entry, Faults, RateLimiter, RequestLog
from .handlers import BASE, Handlers
from .response import LABEL, Response, envelope
from .state import Publisher, PublishError, Store, ZoneState, utc_now
from .zero_trust.mixin import TrustMixin
from .zero_trust.product import CERTS, TrustProducts
from .zero_trust.state import TrustStore


class Twin(EmailMixin, TrustMixin):
    """A stand-in for the Cloudflare API's zones, records, DNSSEC and token endpoints (handlers.py). Thread-safe.

    publisher brings changes into DNS, store, account_store and trust_store keep them; all are optional. importer gives the
    record bodies that DNS already serves, for zones configured so and without saved state. clock is RFC 3339 text, monotonic
    is seconds.
    """

    def __init__(
        self,
        config: TwinConfig,
        publisher: Publisher | None = None,
        store: Store | None = None,
        load: Callable[[ZoneState], bool] | None = None,
        importer: Callable[[Zone], Iterable[dict[str, Any]]] | None = None,
        account_store: AccountStore | None = None,
        trust_store: TrustStore | None = None,
        clock: Callable[[], str] = utc_now,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.config = config
        self.faults = Faults(config.faults)
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
        self._graphql_limiter = RateLimiter(config.graphql_rate_limit, monotonic)
        self._control = Control(self)
        self._pause = threading.Event()
        self.products = EmailProducts(config, self.zones, clock, account_store)
        self.zero_trust = TrustProducts(config, self.zones, clock, self.products.account, trust_store)
        tables = {**self.products.table, **self.zero_trust.table}
        self._handlers = Handlers(config, self.zones, self._auth, self.faults, clock, tables)

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
        if (method.upper(), path) == ("GET", CERTS):
            return Response(200, {"Content-Type": "application/json", **LABEL}, self.zero_trust.certs())
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
                limiter = self._graphql_limiter if request.path == "/graphql" else self._limiter
                request.rate_headers = limiter.hit()
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
        for pattern, handlers in self._handlers.routes:
            match = pattern.fullmatch(request.path)
            if match is None:
                continue
            if not request.path.endswith("/verify"):
                request.caller = self._auth.caller(request.headers, request.path)
            handler = handlers.get(request.method)
            if handler is None:
                raise errors.method_not_allowed()
            if request.path.endswith("/import") or _content_type(request).startswith("multipart/"):
                request.body = body
            elif request.method != "GET" and body not in (None, b"", ""):
                request.body = _json(body)
            return handler(request, *match.groups())
        raise errors.no_route(full_path)


def _planned(status: int, retry_after: float, html: bool) -> Response:
    """The answer of a planned status fault; html: as an edge proxy answers, without the envelope."""
    if html:
        page = f"<html><head><title>{status}</title></head><body><h1>Error {status}</h1></body></html>"
        return Response(status, {"Content-Type": "text/html; charset=UTF-8"}, None, page)
    error = errors.rate_limited(retry_after) if status == 429 else errors.server_error(status)
    return envelope(None, error=error)


def _content_type(request: Request) -> str:
    return request.headers.get("content-type", "").lower()


def _json(body: Any) -> Any:
    """The body as plain JSON types. Raises ApiError for bytes that are not JSON."""
    if not isinstance(body, (bytes, bytearray, str)):
        return json.loads(json.dumps(body))
    try:
        return json.loads(body)
    except (ValueError, UnicodeDecodeError):
        raise errors.invalid_body("It is not JSON.") from None
