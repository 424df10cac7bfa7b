# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the small API twins share: requests, routing, planned faults, the request log and the HTTP front.

The front, the faults and the log are the Cloudflare twin's. A twin is small: it knows the calls that the product makes,
answers them in the documented shapes and refuses as documented; everything else is 404.
"""

from __future__ import annotations

import abc
import json
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import parse_qsl

from .cloudflare.faults import ConnectionDroppedError, Entry, Fault, Faults, RequestLog
from .cloudflare.response import Response
from .cloudflare.server import Running
from .cloudflare.twin import Twin

__all__ = ["ApiTwin", "ConnectionDroppedError", "Fault", "Refused", "Request", "Response", "page_of", "serve"]


@dataclass
class Request:
    """A request as the handlers see it: path below the API's base, header names in lower case, the body as sent."""

    method: str
    path: str
    query: list[tuple[str, str]]
    headers: dict[str, str]
    body: bytes = b""
    full_path: str = ""
    values: tuple[str, ...] = ()

    def get(self, name: str, default: str = "") -> str:
        return next((value for key, value in self.query if key == name), default)

    def number(self, name: str, default: int) -> int:
        text = self.get(name, str(default))
        return int(text) if text.isdigit() else -1

    def json(self) -> Any:
        """Raises Refused-worthy ValueError for a body that is no JSON object."""
        value = json.loads(self.body or b"null")
        if not isinstance(value, dict):
            raise ValueError("the body is no object")
        return value


class Refused(Exception):  # noqa: N818 - named after what it is, as the handlers read
    """A refusal on its way to the client; code: the vendor's, where it has some."""

    def __init__(self, status: int, words: str, code: str = "", field: str = "") -> None:
        super().__init__(f"{status}: {words}")
        self.status, self.words, self.code, self.field = status, words, code, field


Handler = Callable[[Request], Response]


@dataclass
class ApiTwin(abc.ABC):
    """The base of a twin. label: the value of X-Mailstead-Lab on every answer; base: where the API begins."""

    label = "api-twin"
    base = ""

    faults: Faults = field(default_factory=Faults)
    log: RequestLog = field(default_factory=RequestLog)
    lock: threading.RLock = field(default_factory=threading.RLock)

    # -- what a twin has to say ---------------------------------------------------------------------------------------

    @abc.abstractmethod
    def routes(self) -> dict[str, dict[str, Handler]]:
        """Handlers by method, by pattern of the path; groups of the pattern become the request's values."""

    @abc.abstractmethod
    def authenticate(self, request: Request) -> None:
        """Raises Refused."""

    @abc.abstractmethod
    def refusal(self, refused: Refused) -> Response:
        """The refusal in the vendor's shape."""

    # -- one request --------------------------------------------------------------------------------------------------

    def handle(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | str | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Response:
        """Answer a request. Raises ConnectionDroppedError where a planned fault ends the connection."""
        path, _mark, inline = path.partition("?")
        pairs = parse_qsl(query if isinstance(query, str) else inline, keep_blank_values=True)
        pairs += [] if query is None or isinstance(query, str) else list(query.items())
        lower = {name.lower(): value for name, value in (headers or {}).items()}
        request = Request(method.upper(), path.removeprefix(self.base), pairs, lower, body or b"", path)
        started, status, size = time.monotonic(), 0, 0
        try:
            response = self._answer(request)
            status, size = response.status, len(response.body)
            return response.with_headers({"X-Mailstead-Lab": self.label, "Content-Type": "application/json"})
        finally:
            seconds = time.monotonic() - started
            self.log.add(Entry(request.method, path, dict(pairs), status, seconds, len(request.body), size))

    def _answer(self, request: Request) -> Response:
        method, path = request.method, request.full_path
        delay = self.faults.take("delay", method, path)
        if delay is not None:
            threading.Event().wait(delay.seconds)
        if self.faults.take("drop_before", method, path):
            raise ConnectionDroppedError(applied=False)
        planned = self.faults.take("status", method, path)
        response = self._planned(planned) if planned is not None else self._dispatch(request)
        if self.faults.take("drop_after", method, path):
            raise ConnectionDroppedError(applied=True)
        replaced = self.faults.take("status", method, path, after=True)
        return self._planned(replaced) if replaced is not None else response

    def _dispatch(self, request: Request) -> Response:
        try:
            with self.lock:
                self.authenticate(request)
                for pattern, handlers in self.routes().items():
                    match = re.fullmatch(pattern, request.path)
                    if match:
                        if request.method not in handlers:
                            raise Refused(405, "Method not allowed", "method_not_allowed")
                        request.values = match.groups()
                        return handlers[request.method](request)
                raise Refused(404, "Not found", "not_found")
        except Refused as refused:
            return self.refusal(refused)
        except ValueError as error:
            return self.refusal(Refused(400, f"Malformed body: {error}", "json_error"))

    def _planned(self, fault: Fault) -> Response:
        if fault.html:
            return Response(fault.status, {"Content-Type": "text/html"}, None, "<html><body>Bad gateway</body></html>")
        response = self.refusal(Refused(fault.status, "planned by the test", "planned"))
        headers = (
            {"Retry-After": str(max(1, round(fault.retry_after)))} if fault.status == 429 and fault.retry_after else {}
        )
        return response.with_headers(headers)


def page_of(items: list[Any], page: int, size: int) -> tuple[list[Any], int]:
    """One page (from 1) of a list and the number of pages, at least 1."""
    pages = max(1, -(-len(items) // size))
    return items[(page - 1) * size : page * size], pages


def serve(twin: ApiTwin, *listen: str) -> Running:
    """The twin over plain HTTP, for tests on loopback: a context manager with urls, which lack the API's base."""
    # The front only calls handle() and counts connections in log, which every twin has.
    return Running(cast(Twin, twin), list(listen) or ["127.0.0.1:0"])
