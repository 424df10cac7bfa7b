# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small JMAP client (RFC 8620) for the management objects ``x:*`` of Stalwart 0.16, on the standard library.

Every failure becomes a :class:`MailsteadError` that repeats the server's own words; nothing here logs or shows
credentials. One connection is kept open for the whole run.
"""

from __future__ import annotations

import base64
import gzip
import http.client
import json
import socket
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple
from urllib.parse import urlsplit

from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError
from ansible_collections.mailstead.stack.plugins.module_utils.common.files import write_private
from ansible_collections.mailstead.stack.plugins.module_utils.stalwart.schema import Schema

USING = ["urn:ietf:params:jmap:core", "urn:stalwart:jmap"]
_CORE = "urn:ietf:params:jmap:core"
_MAX_ANSWER = 64 << 20

#: A method call without its call id: ("x:Domain/get", {"ids": None}).
Call = Tuple[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Limits:
    """What one request may hold (RFC 8620 section 2); the defaults are those of a fresh server."""

    calls: int = 16
    get: int = 500
    set: int = 500


class MethodError(MailsteadError):
    """A method call was refused as a whole; type is the server's word for it (unknownMethod, forbidden, …)."""

    type: str = ""


def bearer(key: str) -> str:
    return "Bearer " + key


def basic(username: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode("ascii")


class Client:
    """One server, one identity. authorization: "" for none; timeout: seconds for each request."""

    def __init__(self, url: str, authorization: str, timeout: float = 30.0) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise MailsteadError.one(
                "MS-SRV-001", "url", f"{url!r} is no http or https address", "Write it like http://127.0.0.1:8080."
            )
        self.url = url.rstrip("/")
        self._parts = parts
        self._authorization = authorization
        self._timeout = timeout
        self._connection: Optional[http.client.HTTPConnection] = None
        self._limits: Optional[Limits] = None
        #: HTTP requests sent so far
        self.requests = 0

    # -- HTTP --------------------------------------------------------------------------------------------------

    def _connect(self) -> http.client.HTTPConnection:
        if self._connection is None:
            make = http.client.HTTPSConnection if self._parts.scheme == "https" else http.client.HTTPConnection
            self._connection = make(str(self._parts.hostname), self._parts.port, timeout=self._timeout)
        return self._connection

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _once(self, method: str, path: str, body: Optional[bytes]) -> Tuple[int, Mapping[str, str], bytes]:
        headers = {"Accept": "application/json"}
        if self._authorization:
            headers["Authorization"] = self._authorization
        if body is not None:
            # Without exactly this type the server answers 400 (0.16.10 and later).
            headers["Content-Type"] = "application/json"
        connection = self._connect()
        self.requests += 1
        connection.request(method, path, body=body, headers=headers)
        response = connection.getresponse()
        data = response.read(_MAX_ANSWER + 1)
        if len(data) > _MAX_ANSWER:
            self.close()
            raise MailsteadError.one(
                "MS-SRV-006", self.url + path, f"the answer is larger than {_MAX_ANSWER} bytes", "Check the url."
            )
        return response.status, {k.lower(): v for k, v in response.getheaders()}, data

    def _http(
        self, method: str, path: str, body: Optional[bytes] = None, repeat: bool = True
    ) -> Tuple[int, Mapping[str, str], bytes]:
        """One request; repeat: a dropped connection may be tried once more because the request changes nothing."""
        place = self.url + path
        for attempt in (0, 1):
            fresh = self._connection is None
            try:
                status, headers, data = self._once(method, path, body)
                break
            except (http.client.HTTPException, ConnectionResetError, BrokenPipeError) as error:
                self.close()
                # An idle connection that the server closed says nothing about the request.
                if attempt == 0 and repeat and not fresh:
                    continue
                # A published port whose container is down is accepted and closed without a word.
                silent = isinstance(error, ConnectionError)
                raise MailsteadError.one(
                    "MS-SRV-001" if silent else "MS-SRV-006",
                    place,
                    f"the connection broke off: {error!r}",
                    "Look at the server's log; then run the play again.",
                ) from error
            except OSError as error:
                self.close()
                timed_out = isinstance(error, socket.timeout)
                what = f"no answer within {self._timeout:g} s" if timed_out else f"cannot connect: {error}"
                raise MailsteadError.one(
                    "MS-SRV-001",
                    place,
                    what,
                    "Start the server and look at its log: docker logs mailstead-stalwart --tail 50",
                ) from error
        if status not in (200, 301, 302, 307, 308):
            raise _http_error(place, status, headers, data)
        return status, headers, data

    def wait(self, seconds: float, ready: Optional[Callable[[], bool]] = None) -> None:
        """Come back when the server answers; MS-SRV-001 when it has not after so many seconds.

        ready: a further condition. A refusal of credentials counts as an answer.
        """
        deadline = time.monotonic() + seconds
        pause = threading.Event()
        while True:
            try:
                self._once("GET", "/healthz/live", None)
                if ready is None or ready():
                    return
                last: Exception = TimeoutError("not ready yet")
            except (OSError, http.client.HTTPException) as error:
                self.close()
                last = error
            left = deadline - time.monotonic()
            if left <= 0:
                raise MailsteadError.one(
                    "MS-SRV-001",
                    self.url,
                    f"no answer within {seconds:g} s: {last}",
                    "Start the server and look at its log: docker logs mailstead-stalwart --tail 50",
                )
            pause.wait(min(0.2, left))

    # -- JMAP --------------------------------------------------------------------------------------------------

    def limits(self) -> Limits:
        """What the session allows; a server that shows no session gets the defaults."""
        if self._limits is None:
            self._limits = self._read_limits()
        return self._limits

    def _read_limits(self) -> Limits:
        try:
            status, _headers, data = self._http("GET", "/jmap/session")
        except MailsteadError as error:
            if error.problems[0].code == "MS-SRV-005":
                return Limits()
            raise
        if status != 200:
            return Limits()
        session = _json(self.url + "/jmap/session", data)
        core = session.get("capabilities", {}).get(_CORE, {}) if isinstance(session, dict) else {}

        def limit(name: str, default: int) -> int:
            value = core.get(name)
            return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else default

        return Limits(limit("maxCallsInRequest", 16), limit("maxObjectsInGet", 500), limit("maxObjectsInSet", 500))

    def call(self, calls: Sequence[Call], changes: bool = False) -> List[Dict[str, Any]]:
        """The arguments of the answers to the calls, in their order, in as few requests as the server allows.

        changes: the calls write, so a request that may have arrived is never sent twice.
        Raises :class:`MethodError` for a call that was refused as a whole, MailsteadError for everything else.
        """
        answers: List[Dict[str, Any]] = []
        size = self.limits().calls
        for start in range(0, len(calls), size):
            answers.extend(self._request(calls[start : start + size], changes))
        return answers

    def _request(self, calls: Sequence[Call], changes: bool) -> List[Dict[str, Any]]:
        body = {"using": USING, "methodCalls": [[name, dict(args), f"c{i}"] for i, (name, args) in enumerate(calls)]}
        _status, _headers, data = self._http("POST", "/jmap", json.dumps(body).encode(), repeat=not changes)
        document = _json(self.url + "/jmap", data)
        responses = document.get("methodResponses") if isinstance(document, dict) else None
        if not isinstance(responses, list):
            raise self._malformed("there are no methodResponses")
        found: Dict[str, Dict[str, Any]] = {}
        for entry in responses:
            if (
                not isinstance(entry, list)
                or len(entry) != 3
                or not isinstance(entry[0], str)
                or not isinstance(entry[1], dict)
            ):
                raise self._malformed("a method response is not [name, arguments, call id]")
            found.setdefault(str(entry[2]), {"name": entry[0], "args": entry[1]})
        answers = []
        for i, (name, _args) in enumerate(calls):
            answer = found.get(f"c{i}")
            if answer is None:
                raise self._malformed(f"the answer to {name} is missing")
            if answer["name"] == "error":
                raise _method_error(name, answer["args"])
            if answer["name"] != name:
                raise self._malformed(f"the answer to {name} is called {answer['name']}")
            answers.append(answer["args"])
        return answers

    def _malformed(self, what: str) -> MailsteadError:
        return MailsteadError.one(
            "MS-SRV-006",
            self.url + "/jmap",
            what,
            "Check that url leads to the mail server itself; if it does, report this with the server's version.",
        )

    def get_all(self, types: Sequence[str], singletons: Sequence[str] = ()) -> Dict[str, List[Dict[str, Any]]]:
        """Every object of the types, and the single objects: one request for all, more only above the limits."""
        calls: List[Call] = [(f"x:{t}/get", {"ids": None}) for t in types]
        calls += [(f"x:{t}/get", {"ids": ["singleton"]}) for t in singletons]
        found: Dict[str, List[Dict[str, Any]]] = {}
        for (name, _args), answer in zip(calls, self.call(calls)):
            found[name[2:-4]] = self._objects(name, answer)
        for type_ in types:
            # With more objects than it may show, the server silently shows the first ones.
            if len(found[type_]) >= self.limits().get:
                found[type_] = self._get_paged(type_)
        return found

    def _objects(self, name: str, answer: Mapping[str, Any]) -> List[Dict[str, Any]]:
        objects = answer.get("list")
        if not isinstance(objects, list) or not all(
            isinstance(o, dict) and isinstance(o.get("id"), str) for o in objects
        ):
            raise self._malformed(f"{name} has no list of objects with an id")
        return objects

    def _get_paged(self, type_: str) -> List[Dict[str, Any]]:
        ids: List[str] = []
        while True:
            page = self.call([(f"x:{type_}/query", {"position": len(ids)})])[0].get("ids")
            if not isinstance(page, list) or not all(isinstance(i, str) for i in page):
                raise self._malformed(f"x:{type_}/query has no ids")
            new = [i for i in page if i not in set(ids)]
            if not new:
                break
            ids += new
        size = self.limits().get
        calls: List[Call] = [(f"x:{type_}/get", {"ids": ids[i : i + size]}) for i in range(0, len(ids), size)]
        return [o for answer in self.call(calls) for o in self._objects(f"x:{type_}/get", answer)]

    def schema(self, cache: Optional[Path]) -> Schema:
        """The server's schema. Its address holds its hash, so a copy in the cache directory never goes stale."""
        try:
            status, headers, data = self._http("GET", "/api/schema")
        except MailsteadError as error:
            if error.problems[0].code == "MS-SRV-005":
                raise MailsteadError.one(
                    "MS-SRV-007",
                    self.url + "/api/schema",
                    "the server offers no object schema: " + error.problems[0].what,
                    "Use Stalwart 0.16.18 or newer.",
                ) from error
            raise
        if status != 200:
            target = urlsplit(headers.get("location", "")).path
            name = target.rsplit("/", 1)[-1]
            if target != f"/api/schema/{name}" or not name.replace("-", "").replace("_", "").isalnum():
                raise MailsteadError.one(
                    "MS-SRV-006", self.url + "/api/schema", f"it redirects to {target!r}", "Check the url."
                )
            kept = cache / f"schema-{name}.json.gz" if cache is not None else None
            if kept is not None and kept.is_file():
                try:
                    return Schema(json.loads(gzip.decompress(kept.read_bytes())))
                except (OSError, EOFError, ValueError, MailsteadError):
                    kept.unlink()
            status, headers, data = self._http("GET", target)
            if status != 200:
                raise MailsteadError.one(
                    "MS-SRV-006", self.url + target, f"HTTP {status} instead of the schema", "Check the url."
                )
            schema = Schema(_json(self.url + target, data))
            if kept is not None:
                write_private(kept, data if data[:2] == b"\x1f\x8b" else gzip.compress(data))
            return schema
        return Schema(_json(self.url + "/api/schema", data))


def _json(place: str, data: bytes) -> Any:
    try:
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
        return json.loads(data)
    except (OSError, EOFError, ValueError) as error:
        raise MailsteadError.one(
            "MS-SRV-006",
            place,
            f"the answer is not JSON: it begins with {data[:40]!r}",
            "Check that url leads to the mail server itself and not to a proxy or another program.",
        ) from error


def _http_error(place: str, status: int, headers: Mapping[str, str], data: bytes) -> MailsteadError:
    """HTTP errors carry a problem document (RFC 7807); its title and detail are the server's own words."""
    words = ""
    try:
        document = json.loads(data)
        if isinstance(document, dict):
            words = ": ".join(str(document[k]) for k in ("title", "detail") if document.get(k))
    except ValueError:
        words = data[:80].decode("utf-8", "replace").strip()
    what = f"HTTP {status}" + (f": {words}" if words else "")
    if status == 401:
        return MailsteadError.one(
            "MS-SRV-002",
            place,
            what,
            "The API key or password no longer works from this address; run the play with the bootstrap step, "
            "and check that allowed_ips holds the address the server sees.",
        )
    if status == 403:
        return MailsteadError.one("MS-SRV-003", place, what, "Use an account with the role Admin.")
    if status in (429, 503):
        after = headers.get("retry-after")
        return MailsteadError.one(
            "MS-SRV-004", place, what, f"Run the play again after {after + ' s' if after else 'a minute'}."
        )
    return MailsteadError.one("MS-SRV-005", place, what, "Look at the server's log for the same minute.")


def _method_error(name: str, arguments: Mapping[str, Any]) -> MethodError:
    type_ = str(arguments.get("type", "error without a type"))
    words = arguments.get("description")
    what = type_ + (f": {words}" if words else "")
    if type_ == "forbidden":
        code, fix = "MS-SRV-003", "Use an account with the role Admin (and a server that has left bootstrap mode)."
    elif type_ == "unknownMethod":
        code, fix = "MS-SRV-010", "Correct the object type's spelling, or use Stalwart 0.16.18 or newer."
    else:
        code, fix = "MS-SRV-008", "Correct what the server's words name."
    error = MethodError([MailsteadError.one(code, name, what, fix).problems[0]])
    error.type = type_
    return error
