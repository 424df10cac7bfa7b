# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The API's envelope, paging, refusals and rate limits on top of a Transport.

Reads are repeated on server errors and time-outs, after a growing, jittered pause. A 429 is waited out as long as
Retry-After says, within a budget per run: the request was not processed, so this holds for writes too. Any other unclear
outcome of a write raises UnclearError, after such a pause too: the caller has to read the state again before it goes on.
"""

from __future__ import annotations

import json
import random
import re
import threading
import time
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError
from ansible_collections.mailstead.stack.plugins.module_utils.common.http import (
    BASE_HEADERS,
    Answer,
    Transport,
    TransportError,
    retry_after,
)

JSON = "application/json"
READ_TRIES = 4
#: Seconds one run waits for the rate limit altogether: a whole block, which lasts five minutes (documentation, API rate
#: limits), and a little for what comes after it.
RATE_BUDGET = 360.0
#: Seconds to wait where the limit does not say how long.
RATE_PAUSE = 30.0
#: Most a single pause between repeated reads takes, in seconds.
MAX_PAUSE = 8.0

#: The record is gone, or stands there already: somebody else (or our own lost request) was quicker.
STALE_CODES = frozenset({81044, 81053, 81057, 81058})
EMAIL_ROUTING_CODES = frozenset({890190, 1046})
QUOTA_CODES = frozenset({81045})
#: The token itself: malformed, unknown, expired.
TOKEN_CODES = frozenset({1000, 1001, 6003, 6103, 6111, 9106, 9109})
#: The token is good, but not for this.
SCOPE_CODES = frozenset({10000, 9107})


@dataclass(frozen=True)
class ApiError:
    """One entry of ``errors``, the chain behind it flattened into codes and words."""

    code: int
    message: str
    pointer: str = ""
    codes: Tuple[int, ...] = ()

    def __str__(self) -> str:
        return f"{self.message or 'no words'} (code {self.code})"


class RefusalError(Exception):
    """The API said no and applied nothing. status: HTTP status; errors: its reasons; request: method and path."""

    def __init__(self, status: int, errors: Tuple[ApiError, ...], request: str) -> None:
        self.status, self.errors, self.request = status, errors, request
        super().__init__(f"{request}: {self.words()}")

    @property
    def codes(self) -> frozenset[int]:
        return frozenset(c for e in self.errors for c in (e.code, *e.codes))

    def words(self) -> str:
        return "; ".join(str(e) for e in self.errors) or f"HTTP status {self.status} without an explanation"


class UnclearError(Exception):
    """A write whose outcome is not known."""


@dataclass(frozen=True)
class Page:
    """result: the envelope's result; info: its result_info; headers: the answer's, names in lower case."""

    result: Any
    info: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


class Client:
    """Speaks to the API in one token's name; safe to use from several threads (each gets its own connection).

    transport: makes a connection. pause: waits for some seconds. clock: seconds, monotonic. counts: requests sent, by the
    label given. All threads together wait for the rate limit: it is the user's, not a connection's.
    """

    def __init__(
        self,
        token: str,
        transport: Callable[[], Transport],
        pause: Optional[Callable[[float], object]] = None,
        jitter: Optional[Callable[[], float]] = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._token = check_token(token)
        self._make = transport
        self._local = threading.local()
        self._open: List[Transport] = []
        self._lock = threading.Lock()
        self._pause = pause or threading.Event().wait
        self._jitter = jitter or random.random
        self._clock = clock
        self._rate_left = RATE_BUDGET
        self._block_known = self._blocked_until = float("-inf")
        #: Writes in a row whose outcome is not known, by label.
        self._unclear_writes: Dict[str, int] = {}
        self.counts: Dict[str, int] = {}

    @property
    def account_owned(self) -> bool:
        """Whether the token looks like one of an account (prefix seen in public threads), not of a user."""
        return self._token.startswith("cfat_")

    # -- requests -----------------------------------------------------------------------------------------------------

    def read(self, path: str, query: Optional[Mapping[str, Any]] = None, label: str = "") -> Page:
        """GET. Raises RefusalError or MailsteadError."""
        return self._page(self._get(path, query or {}, label), f"GET {path}")

    def text(self, path: str, label: str = "") -> str:
        """GET of an endpoint that answers in plain text instead of an envelope. Raises as :meth:`read` does."""
        answer = self.document(path, label)
        if answer.headers.get("content-type", "").startswith("text/plain"):
            return answer.body.decode("utf-8", "replace")
        self._page(answer, f"GET {path}")
        raise self.malformed(f"GET {path}", "plain text was expected")

    def document(self, path: str, label: str = "") -> Answer:
        """GET of an endpoint whose answer is no envelope but the thing itself. Raises as :meth:`read` does."""
        answer = self._get(path, {}, label)
        if answer.status >= 300:
            self._page(answer, f"GET {path}")
        return answer

    def ask(self, path: str, question: Any, label: str = "") -> Any:
        """POST that changes nothing and is answered in JSON without an envelope (GraphQL): repeated like a read.

        Raises as :meth:`read` does.
        """
        data = json.dumps(question, separators=(",", ":")).encode()
        answer = self._get(path, {}, label, "POST", data)
        if answer.status >= 300:
            self._page(answer, f"POST {path}")
        try:
            return json.loads(answer.body)
        except (ValueError, RecursionError):
            raise self.malformed(f"POST {path}", "the answer is not JSON") from None

    def _get(
        self, path: str, query: Mapping[str, Any], label: str, method: str = "GET", body: Optional[bytes] = None
    ) -> Answer:
        last = ""
        for attempt in range(READ_TRIES):
            self._pause_before(attempt)
            try:
                answer = self._send(method, path, query, body, label)
            except TransportError as error:
                last = str(error)
                continue
            if answer.status < 500:
                return answer
            last = f"HTTP status {answer.status}"
        raise self._unreachable(last, f"{method} {path}")

    def pages(
        self, path: str, per_page: int, query: Optional[Mapping[str, Any]] = None, label: str = ""
    ) -> Iterator[Page]:
        """GET page by page, as many as ``result_info.total_pages`` says (none is asked for in vain)."""
        number, total = 1, 1
        while number <= total:
            page = self.read(path, {**(query or {}), "page": number, "per_page": per_page}, label)
            if not isinstance(page.result, list):
                raise self.malformed(f"GET {path}", "a list of results is missing")
            total = _whole(page.info.get("total_pages"), 1)
            yield page
            number += 1

    def write(self, path: str, body: Any, label: str = "", method: str = "POST") -> Any:
        """Send a body; returns the result. Raises RefusalError (nothing was applied), UnclearError or MailsteadError."""
        return self.upload(path, json.dumps(body, separators=(",", ":")).encode(), JSON, label, method)

    def upload(self, path: str, body: bytes, content_type: str, label: str = "", method: str = "PUT") -> Any:
        """Send a body that is not JSON; returns and raises as :meth:`write` does."""
        request = f"{method} {path}"
        answer = self._send_once(method, path, body, label, content_type)
        return self._page(answer, request, write=True).result

    def remove(self, path: str, label: str = "") -> Any:
        """DELETE; returns the result, None where the answer has no body. Raises as :meth:`write` does."""
        answer = self._send_once("DELETE", path, None, label)
        if answer.status < 300 and not answer.body.strip():
            return None
        return self._page(answer, f"DELETE {path}", write=True).result

    def _send_once(self, method: str, path: str, body: Optional[bytes], label: str, content_type: str = JSON) -> Answer:
        """Send what must not take effect twice: repeated only while no connection could be made at all."""
        last = ""
        for attempt in range(READ_TRIES):
            self._pause_before(attempt)
            try:
                answer = self._send(method, path, {}, body, label, content_type)
            except TransportError as error:
                last = str(error)
                if error.sent:
                    raise self._unclear(f"{method} {path}: {error}", label) from error
                continue
            if answer.status >= 500:
                raise self._unclear(f"{method} {path}: HTTP status {answer.status}", label)
            with self._lock:
                self._unclear_writes.pop(label, None)
            return answer
        raise self._unreachable(last, f"{method} {path}")

    def _unclear(self, why: str, label: str) -> UnclearError:
        """What broke the write is given time to pass, the longer the more often: the caller reads and writes again."""
        with self._lock:
            times = self._unclear_writes[label] = self._unclear_writes.get(label, 0) + 1
        self._pause_before(times)
        return UnclearError(why)

    def close(self) -> None:
        with self._lock:
            for transport in self._open:
                transport.close()
            self._open.clear()
            self._local = threading.local()

    def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any],
        body: Optional[bytes],
        label: str,
        content_type: str = JSON,
    ) -> Answer:
        headers = {**BASE_HEADERS, "Authorization": f"Bearer {self._token}"}
        if body is not None:
            headers["Content-Type"] = content_type
        while True:
            with self._lock:
                sent = self._clock()
                blocked = self._blocked_until - sent
                if blocked <= 0:
                    self.counts[label] = self.counts.get(label, 0) + 1
            if blocked > 0:
                self._pause(blocked + self._jitter())
                continue
            answer = self._transport().request(method, path, {k: str(v) for k, v in query.items()}, headers, body)
            if answer.status != 429:
                return answer
            self._blocked(sent, retry_after(answer) or RATE_PAUSE, f"{method} {path}")

    def _pause_before(self, attempt: int) -> None:
        if attempt:
            self._pause(min(MAX_PAUSE, 0.5 * 2**attempt) * (0.5 + self._jitter() / 2))

    def _transport(self) -> Transport:
        found: Optional[Transport] = getattr(self._local, "transport", None)
        if found is None:
            found = self._make()
            self._local.transport = found
            with self._lock:
                self._open.append(found)
        return found

    def _blocked(self, sent: float, seconds: float, request: str) -> None:
        """Nobody sends for so long. Raises MailsteadError when that is more than the run may wait altogether."""
        with self._lock:
            # What was sent before the block was known of tells of the same one: its time counts once for all threads.
            if sent > self._block_known:
                self._block_known = self._clock()
            until = self._block_known + seconds
            more = max(0.0, until - max(self._block_known, self._blocked_until))
            enough = more <= self._rate_left
            if enough:
                self._rate_left -= more
                self._blocked_until = max(self._blocked_until, until)
        if not enough:
            waited = RATE_BUDGET - self._rate_left
            what = (
                f"{request}: the rate limit asks to wait {seconds:.0f} s; a run waits {RATE_BUDGET:.0f} s in all, and has "
                f"waited {waited:.0f} s"
            )
            fix = (
                "All tools and the dashboard of one user share 1,200 requests in 5 minutes. Run again later: what was "
                "written stays, and a run goes on where this one stopped."
            )
            raise MailsteadError.one("MS-CF-006", "Cloudflare", what, fix)

    # -- answers ------------------------------------------------------------------------------------------------------

    def _page(self, answer: Answer, request: str, write: bool = False) -> Page:
        try:
            envelope = json.loads(answer.body)
        except (ValueError, RecursionError):
            envelope = None
        if not isinstance(envelope, dict) or not isinstance(envelope.get("success"), bool):
            if write and answer.status < 300:
                raise UnclearError(f"{request}: the answer is not the API's")
            kind = answer.headers.get("content-type", "no type")
            raise self.malformed(
                request, f"HTTP status {answer.status}, {kind}, {len(answer.body)} bytes, no API envelope"
            )
        if envelope["success"] and answer.status < 300:
            info = envelope.get("result_info")
            return Page(envelope.get("result"), info if isinstance(info, dict) else {}, answer.headers)
        raise RefusalError(answer.status, tuple(self._errors(envelope)), request)

    def _errors(self, envelope: Mapping[str, Any]) -> Iterator[ApiError]:
        for item in envelope.get("errors") or []:
            if not isinstance(item, dict):
                continue
            chain = [c for c in item.get("error_chain") or [] if isinstance(c, dict)]
            words = [str(part.get("message") or "") for part in (item, *chain)]
            source = item.get("source")
            yield ApiError(
                code=_whole(item.get("code"), 0),
                message=self.clean(": ".join(w for w in words if w)),
                pointer=str(source.get("pointer", "")) if isinstance(source, dict) else "",
                codes=tuple(_whole(c.get("code"), 0) for c in chain),
            )

    def clean(self, text: str) -> str:
        """Somebody else's words, fit for a message: the token does not appear in them, nor do control characters."""
        return re.sub(r"[\x00-\x1f\x7f]+", " ", text.replace(self._token, "<token>"))[:500]

    def malformed(self, request: str, why: str) -> MailsteadError:
        what = f"{request}: {self.clean(why)}"
        fix = "Look for a proxy, a captive portal or a wrong base_url between this host and Cloudflare; else run again later."
        return MailsteadError.one("MS-CF-004", "Cloudflare", what, fix)

    def _unreachable(self, why: str, request: str) -> MailsteadError:
        text = self.clean(f"{request}: {why}")
        if why.startswith("HTTP status"):
            fix = "Nothing more was written. See https://www.cloudflarestatus.com and run again later."
            return MailsteadError.one("MS-CF-011", "Cloudflare", f"{text}, {READ_TRIES} times", fix)
        fix = "Check name resolution, routes, the proxy and the clock of this host; a private authority goes into SSL_CERT_FILE."
        return MailsteadError.one("MS-CF-005", "Cloudflare", text, fix)


def check_token(token: str) -> str:
    """The token, free of blanks around it. Raises MailsteadError for what cannot be one; never shows it."""
    text = token.strip()
    fix = "Set api_token (or CLOUDFLARE_API_TOKEN) to an API token with Zone Read and DNS Write for the zones."
    if not text:
        raise MailsteadError.one("MS-CF-002", "api_token", "there is no token", fix)
    if not re.fullmatch(r"[\x21-\x7e]+", text):
        what = "the token holds blanks, line ends or characters that no token has (still encrypted, or pasted with its label?)"
        raise MailsteadError.one("MS-CF-002", "api_token", what, fix)
    return text


def _whole(value: Any, default: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else default
