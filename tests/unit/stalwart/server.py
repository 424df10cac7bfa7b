# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stand-in's management API behind HTTP on loopback, with a log of what was asked and faults on demand."""

from __future__ import annotations

import base64
import dataclasses
import gzip
import hashlib
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.contract.servers import LOOPBACK, InProcess

DATA = Path(__file__).parents[3] / "lab/standin/data/stalwart-0.16.18"
SCHEMA = json.loads(gzip.decompress((DATA / "schema.json.gz").read_bytes()))
RECOVERY = ("admin", "recovery-secret-of-the-test")


def recordings() -> list[tuple[str, dict[str, Any]]]:
    """(file/label, entry) of everything recorded from the real server."""
    return [
        (f"{path.stem}/{entry['label']}", entry)
        for path in sorted(DATA.glob("*.json"))
        for entry in json.loads(path.read_text())
    ]


@dataclasses.dataclass
class Reply:
    """An answer in place of the server's own."""

    status: int
    body: bytes
    headers: dict[str, str] = dataclasses.field(default_factory=dict)


#: (number of the request, method, path, body) → what to do instead; CLOSE drops the connection, AFTER drops it after
#: the server has done its work.
Fault = Callable[[int, str, str, Any], "Reply | str | None"]
CLOSE = "close"
AFTER = "after"


class Server:
    """One fresh server per object; calls: every method call in order as (name, arguments)."""

    def __init__(self, etc: Path, limits: dict[str, int] | None = None) -> None:
        self.core = InProcess(etc)
        self.limits = {"maxCallsInRequest": 16, "maxObjectsInGet": 500, "maxObjectsInSet": 500, **(limits or {})}
        self.calls: list[tuple[str, Any]] = []
        self.requests = 0
        self.fault: Fault = lambda *_: None
        self._lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Headers and body are two writes: without this each answer waits for a delayed acknowledgement.
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                outer.answer(self, "GET", None)

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.answer(self, "POST", json.loads(body))

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._http = ThreadingHTTPServer((LOOPBACK, 0), Handler)
        self._http.daemon_threads = True
        self.url = f"http://{LOOPBACK}:{self._http.server_address[1]}"
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()
        self.core.store.close()

    @property
    def sets(self) -> list[tuple[str, Any]]:
        """Method calls that write."""
        return [c for c in self.calls if c[0].endswith("/set")]

    def forget(self) -> None:
        self.calls.clear()
        self.requests = 0

    def objects(self, type_: str) -> list[dict[str, Any]]:
        """What the server holds, seen by the recovery administrator."""
        ids = ["singleton"] if self.core.registry.schema.is_singleton(type_) else None
        request = {"using": [], "methodCalls": [[f"x:{type_}/get", {"ids": ids}, "c"]]}
        _status, body = self.core.call(request, self.core.admin)
        return list(body["methodResponses"][0][1]["list"])

    def change(self, type_: str, **arguments: Any) -> dict[str, Any]:
        """Write behind the client's back."""
        request = {"using": [], "methodCalls": [[f"x:{type_}/set", arguments, "c"]]}
        _status, body = self.core.call(request, self.core.admin)
        return dict(body["methodResponses"][0][1])

    # -- HTTP --------------------------------------------------------------------------------------------------

    def answer(self, handler: BaseHTTPRequestHandler, method: str, body: Any) -> None:
        with self._lock:
            number, self.requests = self.requests, self.requests + 1
            fault = self.fault(number, method, handler.path, body)
            if fault == CLOSE:
                handler.close_connection = True
                return
            reply = fault if isinstance(fault, Reply) else self._reply(handler, method, body)
            if fault == AFTER:
                handler.close_connection = True
                return
        handler.send_response(reply.status)
        for name, value in {"Content-Length": str(len(reply.body)), **reply.headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(reply.body)

    def _token(self, handler: BaseHTTPRequestHandler) -> Any:
        scheme, _space, value = handler.headers.get("Authorization", "").partition(" ")
        if scheme == "Basic":
            name, _colon, secret = base64.b64decode(value).decode().partition(":")
            return self.core.authenticator.basic(name, secret, LOOPBACK)
        return self.core.authenticator.bearer(value, LOOPBACK) if scheme == "Bearer" else None

    def _reply(self, handler: BaseHTTPRequestHandler, method: str, body: Any) -> Reply:
        if handler.path == "/healthz/live":
            return Reply(200, b"")
        token = self._token(handler)
        if token is None:
            problem = {"status": 401, "title": "Unauthorized", "detail": "You have to authenticate first."}
            return Reply(401, json.dumps(problem).encode(), {"Content-Type": "application/problem+json"})
        if handler.path == "/jmap/session":
            return Reply(200, json.dumps({"capabilities": {"urn:ietf:params:jmap:core": self.limits}}).encode())
        digest = base64.urlsafe_b64encode(hashlib.sha256(str(len(SCHEMA)).encode()).digest()).decode().rstrip("=")
        if handler.path == "/api/schema":
            return Reply(302, b"", {"Location": f"/api/schema/{digest}"})
        if handler.path == f"/api/schema/{digest}":
            return Reply(200, (DATA / "schema.json.gz").read_bytes(), {"Content-Encoding": "gzip"})
        if handler.path != "/jmap" or method != "POST":
            return Reply(404, b"{}")
        if handler.headers.get("Content-Type") != "application/json":
            return Reply(400, b"{}")
        if len(body["methodCalls"]) > self.limits["maxCallsInRequest"]:
            return Reply(400, b'{"title": "limit", "detail": "maxCallsInRequest"}')
        for name, arguments, _id in body["methodCalls"]:
            self.calls.append((name, arguments))
            written = sum(len(arguments.get(k) or ()) for k in ("create", "update", "destroy"))
            assert written <= self.limits["maxObjectsInSet"], "the client ignores maxObjectsInSet"
        answer = self.core.jmap.handle(body, token)
        for name, arguments, _id in answer["methodResponses"]:
            if name.endswith("/get"):
                # A server with more objects than it may show, shows the first ones and says nothing.
                arguments["list"] = arguments["list"][: self.limits["maxObjectsInGet"]]
        return Reply(200, json.dumps(answer).encode(), {"Content-Type": "application/json"})
