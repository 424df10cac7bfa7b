# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Exchanges with a provider's HTTP API: retries, rate limits and refusals, whatever the vendor's dialect.

Reads are repeated on server errors and time-outs, after a growing, jittered pause. A rate limit is waited out within a
budget per run: the request was not processed, so this holds for changes too. Any other unclear outcome of a change raises
UnclearError: the caller has to read the state again before it goes on.
"""

from __future__ import annotations

import abc
import json
import random
import re
import threading
from dataclasses import dataclass
from typing import Any, Callable, Dict, Mapping, Optional, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError, Problem
from ansible_collections.mailstead.stack.plugins.module_utils.common.http import (
    BASE_HEADERS,
    Answer,
    Transport,
    TransportError,
    retry_after,
)

READ_TRIES = 4
#: How often a change is tried while something else is under way at the vendor's, or no connection can be made.
BUSY_TRIES = 5
#: Seconds one run waits for a vendor's rate limit altogether.
RATE_BUDGET = 120.0
#: Most a single pause between repeated requests takes, in seconds.
MAX_PAUSE = 8.0


@dataclass(frozen=True)
class Refusal:
    """Why the vendor said no. status: of HTTP; code: the vendor's, empty where it has none; words: the vendor's."""

    status: int
    code: str
    words: str


class RefusedError(Exception):
    """The vendor said no and applied nothing. request: method and path."""

    def __init__(self, refusal: Refusal, request: str) -> None:
        super().__init__(f"{request}: {refusal.words}")
        self.refusal, self.request = refusal, request


class UnclearError(Exception):
    """A change whose outcome is not known."""


class Api(abc.ABC):
    """A vendor's dialect: JSON and a bearer token, unless a vendor overrides that.

    title: as people call the vendor; status_page: where it tells of troubles; credential_fix and scope_fix: what to do about a
    credential that is not accepted, or lacks a right.
    """

    title = ""
    status_page = ""
    credential_fix = ""
    scope_fix = ""

    def __init__(self, token: str) -> None:
        self.token = check_secret(token, "token", self.credential_fix)

    @property
    def secrets(self) -> Tuple[str, ...]:
        """What must not appear in any message."""
        return (self.token,)

    def headers(self, method: str, path: str, body: Optional[bytes]) -> Dict[str, str]:
        """Of one attempt at a request, those that authenticate it included."""
        out = {**BASE_HEADERS, "Authorization": f"Bearer {self.token}"}
        return out if body is None else {**out, "Content-Type": "application/json"}

    def parse(self, answer: Answer) -> Any:
        """The body of an answer; None for an empty one. Raises ValueError when it is not of the documented kind."""
        return json.loads(answer.body) if answer.body.strip() else None

    @abc.abstractmethod
    def refusal(self, status: int, body: Any) -> Optional[Refusal]:
        """What a body says that came with a status of 400 or more; None when it is not the API's."""

    def limited(self, answer: Answer) -> bool:
        """Whether the request was not processed because there were too many."""
        return answer.status == 429

    def wait(self, answer: Answer) -> Optional[float]:
        """The seconds a rate limit asks to wait; None when it does not say."""
        return retry_after(answer)

    def busy(self, refusal: Refusal) -> bool:
        """Whether the same request may succeed in a moment."""
        return False

    def problem(self, refusal: Refusal, where: str) -> Problem:
        """A refusal as people get to see it."""
        said = f"{self.title} says: {refusal.words}"
        if refusal.status == 401:
            return Problem("MS-PTR-010", where, said, self.credential_fix)
        if refusal.status == 403:
            return Problem("MS-PTR-011", where, said, self.scope_fix)
        return Problem("MS-PTR-014", where, said, "Mend what it says, or set the record in the panel, and run again.")


class Client:
    """Speaks to one vendor over one connection. pause: waits for some seconds; jitter: 0 to 1; requests: sent so far."""

    def __init__(
        self,
        api: Api,
        transport: Transport,
        pause: Optional[Callable[[float], object]] = None,
        jitter: Optional[Callable[[], float]] = None,
    ) -> None:
        self.api = api
        self._transport = transport
        self._pause = pause or threading.Event().wait
        self._jitter = jitter or random.random
        self._budget = RATE_BUDGET
        self.requests = 0

    def read(
        self, path: str, query: Optional[Mapping[str, Any]] = None, method: str = "GET", body: Optional[bytes] = None
    ) -> Any:
        """The parsed body. Raises MailsteadError; a refusal is a RefusedError."""
        request, last = f"{method} {path}", ""
        for attempt in range(READ_TRIES):
            if attempt:
                self._back_off(attempt)
            try:
                answer = self._send(method, path, query or {}, body)
            except TransportError as error:
                last = str(error)
                continue
            if answer.status < 500:
                return self._body(answer, request)
            last = f"HTTP status {answer.status}"
        raise self._unreachable(last, request)

    def write(self, method: str, path: str, body: Optional[bytes]) -> Any:
        """The parsed body of the answer to a change.

        Raises RefusedError (nothing was applied), UnclearError or MailsteadError.
        """
        request = f"{method} {path}"
        for attempt in range(1, BUSY_TRIES + 1):
            try:
                return self._write(method, path, body, request)
            except RefusedError as error:
                if attempt == BUSY_TRIES or not self.api.busy(error.refusal):
                    raise
            except TransportError as error:
                # No connection was made: there is nothing that could have been applied.
                if attempt == BUSY_TRIES:
                    raise self._unreachable(str(error), request) from error
            self._back_off(attempt)
        raise AssertionError("the last try returns or raises")  # pragma: no cover

    def write_json(self, method: str, path: str, body: Mapping[str, Any]) -> Any:
        return self.write(method, path, json.dumps(body, separators=(",", ":")).encode())

    def malformed(self, request: str, why: str) -> MailsteadError:
        what = self.clean(f"{request}: {why}")
        fix = f"Look for a proxy, a portal or a wrong base_url between this host and {self.api.title}; else run again later."
        return MailsteadError.one("MS-PTR-019", self.api.title, what, fix)

    def clean(self, text: str) -> str:
        """Somebody else's words, fit for a message: no secret appears in them, no control characters."""
        for secret in self.api.secrets:
            text = text.replace(secret, "<secret>")
        return re.sub(r"[\x00-\x1f\x7f]+", " ", text)[:500]

    # -- one request --------------------------------------------------------------------------------------------------

    def _write(self, method: str, path: str, body: Optional[bytes], request: str) -> Any:
        try:
            answer = self._send(method, path, {}, body)
        except TransportError as error:
            if error.sent:
                raise UnclearError(self.clean(f"{request}: {error}")) from error
            raise
        if answer.status >= 500:
            raise UnclearError(f"{request}: HTTP status {answer.status}")
        try:
            return self._body(answer, request)
        except MailsteadError as error:
            if answer.status < 300:
                raise UnclearError(f"{request}: the answer is not the API's") from error
            raise

    def _send(self, method: str, path: str, query: Mapping[str, Any], body: Optional[bytes]) -> Answer:
        attempt = 0
        while True:
            self.requests += 1
            headers = self.api.headers(method, path, body)
            answer = self._transport.request(method, path, {k: str(v) for k, v in query.items()}, headers, body)
            if not self.api.limited(answer):
                return answer
            attempt += 1
            asked = self.api.wait(answer)
            self._wait_for_rate(min(MAX_PAUSE, 2.0**attempt) if asked is None else asked, f"{method} {path}")

    def _wait_for_rate(self, seconds: float, request: str) -> None:
        if seconds > self._budget:
            what = f"{request}: too many requests; it asks to wait {seconds:.0f} s, this run has {self._budget:.0f} s left for that"
            fix = "Other tools may use the same account. Run again later."
            raise MailsteadError.one("MS-PTR-018", self.api.title, what, fix)
        self._budget -= seconds
        self._pause(seconds + self._jitter())

    def _back_off(self, attempt: int) -> None:
        self._pause(min(MAX_PAUSE, 0.5 * 2**attempt) * (0.5 + self._jitter() / 2))

    def _body(self, answer: Answer, request: str) -> Any:
        try:
            body = self.api.parse(answer)
        except ValueError:
            kind = answer.headers.get("content-type", "no type")
            raise self.malformed(request, f"HTTP status {answer.status}, {kind}, {len(answer.body)} bytes") from None
        if answer.status < 400:
            return body
        refusal = self.api.refusal(answer.status, body)
        if refusal is None:
            raise self.malformed(request, f"HTTP status {answer.status} without an explanation")
        raise RefusedError(Refusal(refusal.status, refusal.code, self.clean(refusal.words)), request)

    def _unreachable(self, why: str, request: str) -> MailsteadError:
        text = self.clean(f"{request}: {why}")
        if why.startswith("HTTP status"):
            fix = f"Nothing more was written. See {self.api.status_page} and run again later."
            return MailsteadError.one("MS-PTR-017", self.api.title, f"{text}, {READ_TRIES} times", fix)
        fix = "Check name resolution, routes and the clock of this host; a private authority goes into SSL_CERT_FILE."
        return MailsteadError.one("MS-PTR-016", self.api.title, text, fix)


def check_secret(text: str, option: str, fix: str) -> str:
    """The credential, free of blanks around it. Raises MailsteadError for what cannot be one; never shows it."""
    found = text.strip()
    if not found:
        raise MailsteadError.one("MS-PTR-010", option, "it is empty", fix)
    if not re.fullmatch(r"[\x21-\x7e]+", found):
        what = "it holds blanks, line ends or characters that none has (still encrypted, or pasted with its label?)"
        raise MailsteadError.one("MS-PTR-010", option, what, fix)
    return found
