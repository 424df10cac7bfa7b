# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Making the twin misbehave on purpose, and the log by which a test counts requests."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from . import errors
from .config import Fault, RateLimit

__all__ = ["ConnectionDroppedError", "Entry", "Fault", "Faults", "RateLimiter", "RequestLog"]


class ConnectionDroppedError(ConnectionError):
    """The connection ends without an answer. applied: whether the request took effect first."""

    def __init__(self, applied: bool) -> None:
        super().__init__("the twin dropped the connection " + ("after applying the request" if applied else "unread"))
        self.applied = applied


class Faults:
    """The planned faults, in order. Thread-safe; each request uses up at most one of each kind."""

    def __init__(self, planned: Iterable[Fault] = ()) -> None:
        self._lock = threading.Lock()
        # Copies: each counts its own hits down.
        self._planned: list[Fault] = [replace(fault) for fault in planned]

    def add(self, fault: Fault) -> None:
        with self._lock:
            self._planned.append(fault)

    def clear(self) -> None:
        with self._lock:
            self._planned.clear()

    @property
    def pending(self) -> int:
        """How many hits are still to come: a test can assert that its fault was met."""
        with self._lock:
            return sum(fault.times for fault in self._planned)

    # The common ones by name.

    def fail_operation(self, index: int, code: int = 9005, status: int = 400, times: int = 1) -> None:
        """Refuse operation ``index`` of the next batch that has one, as a database error in the middle would."""
        self.add(Fault("operation", times, operation=index, code=code, status=status, path="/dns_records/batch"))

    def drop_after_write(self, times: int = 1, method: str = "POST", path: str = "/dns_records") -> None:
        """The ambiguous write: the change is made, the answer never arrives."""
        self.add(Fault("drop_after", times, method=method, path=path))

    def drop_unread(self, times: int = 1, method: str = "", path: str = "") -> None:
        self.add(Fault("drop_before", times, method=method, path=path))

    def rate_limit(self, times: int = 1, retry_after: float = 1.0, method: str = "", path: str = "") -> None:
        """429 with Retry-After (seconds) for the next requests."""
        self.add(Fault("status", times, method=method, path=path, status=429, retry_after=retry_after))

    def fail_reads(self, times: int = 1, status: int = 503, path: str = "", html: bool = False) -> None:
        """5xx for the next GETs; html: a proxy's error page instead of the envelope."""
        self.add(Fault("status", times, method="GET", path=path, status=status, html=html))

    def fail_writes(self, times: int = 1, status: int = 502, applied: bool = False, html: bool = False) -> None:
        """5xx for the next POSTs, with or without the change having been made."""
        self.add(Fault("status", times, method="POST", status=status, after=applied, html=html))

    def delay(self, seconds: float, times: int = 1, method: str = "", path: str = "") -> None:
        self.add(Fault("delay", times, method=method, path=path, seconds=seconds))

    def take(self, kind: str, method: str, path: str, after: bool = False, operations: int = 0) -> Fault | None:
        """The fault of this kind that hits this request, used up once. operations: how many a batch has."""
        with self._lock:
            for fault in self._planned:
                if fault.kind != kind or fault.after is not after or not fault.matches(method, path):
                    continue
                if kind == "operation" and fault.operation >= operations:
                    continue
                if fault.skip > 0:
                    fault.skip -= 1
                    continue
                fault.times -= 1
                if fault.times <= 0:
                    self._planned.remove(fault)
                return fault
        return None


class RateLimiter:
    """One bucket per user: all tokens together (reference, §1.4). clock: seconds, monotonic."""

    def __init__(self, limit: RateLimit, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit, self._clock = limit, clock
        self._lock = threading.Lock()
        self._hits: deque[float] = deque()
        self._blocked_until = 0.0

    def hit(self) -> dict[str, str]:
        """Count a request and give the rate headers. Raises ApiError 429 with Retry-After while blocked."""
        with self._lock:
            now = self._clock()
            if now < self._blocked_until:
                raise self._blocked(now)
            while self._hits and self._hits[0] <= now - self._limit.window_seconds:
                self._hits.popleft()
            if len(self._hits) >= self._limit.requests:
                self._blocked_until = now + self._limit.block_seconds
                raise self._blocked(now)
            self._hits.append(now)
            return self._headers(now)

    def _headers(self, now: float) -> dict[str, str]:
        reset = self._hits[0] + self._limit.window_seconds - now if self._hits else 0.0
        return {
            "x-ratelimit-limit": str(self._limit.requests),
            "x-ratelimit-remaining": str(max(0, self._limit.requests - len(self._hits))),
            "x-ratelimit-reset": str(max(0, round(reset))),
        }

    def _blocked(self, now: float) -> errors.ApiError:
        error = errors.rate_limited(self._blocked_until - now)
        error.headers.update(self._headers(now))
        error.headers["x-ratelimit-remaining"] = "0"
        return error


@dataclass(frozen=True)
class Entry:
    """One request. status is 0 when the connection was dropped; token is the token's id, never the token."""

    method: str
    path: str
    query: dict[str, str]
    status: int
    seconds: float
    bytes_in: int
    bytes_out: int
    token: str = ""
    operations: int = 0

    def to_json(self) -> dict[str, Any]:
        return dict(self.__dict__)


@dataclass
class RequestLog:
    """What was asked, in order of answering, bounded. connections: TCP connections the HTTP front has accepted."""

    limit: int = 100_000
    connections: int = 0
    _entries: list[Entry] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, entry: Entry) -> None:
        with self._lock:
            self._entries.append(entry)
            del self._entries[: -self.limit]

    def connected(self) -> None:
        with self._lock:
            self.connections += 1

    @property
    def entries(self) -> list[Entry]:
        with self._lock:
            return list(self._entries)

    def count(self, method: str = "", path: str = "") -> int:
        """How many requests had this method (any) and this in their path (any)."""
        return sum(1 for e in self.entries if (not method or e.method == method) and path in e.path)

    def reset(self) -> None:
        with self._lock:
            self._entries.clear()
            self.connections = 0
