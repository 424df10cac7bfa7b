# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every probe gets: clock, dialer, secrets, a budget of time, and the pace at which a server may be asked."""

from __future__ import annotations

import errno
import socket
import ssl
import threading
import time
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Mapping, Optional

#: Opens a TCP connection: address, port, timeout in seconds.
Dialer = Callable[[str, int, float], socket.socket]

#: Seconds between two connections to the same service: the server cuts more than five a second from one address.
PACE = 0.25
SMTP_PORTS = (25, 465, 587)

_CLASSES = {
    errno.ECONNREFUSED: "refused",
    errno.ENETUNREACH: "no-route",
    errno.EADDRNOTAVAIL: "no-route",
    errno.EAFNOSUPPORT: "no-route",
    errno.EHOSTUNREACH: "unreachable",
    # Linux reports ICMPv6 "administratively prohibited" as EACCES; a local filter as EPERM.
    errno.EACCES: "prohibited",
    errno.EPERM: "prohibited",
    errno.ECONNRESET: "closed",
    errno.EPIPE: "closed",
    errno.ECONNABORTED: "closed",
    errno.ETIMEDOUT: "timeout",
}


class ProbeError(Exception):
    """The obstacle that kept a probe from its result; klass as in ``Observation.error``."""

    def __init__(self, klass: str, message: str, data: Optional[Mapping[str, Any]] = None) -> None:
        self.klass = klass
        self.data = dict(data or {})
        super().__init__(message)


class Clock:
    """Wall clock and monotonic clock; tests replace it."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    def wait(self, seconds: float) -> None:
        """Gives up the processor between two looks at a condition or two paced connections."""
        threading.Event().wait(seconds)


def dial(address: str, port: int, timeout: float) -> socket.socket:
    """A TCP connection to a literal address; raises OSError."""
    kind = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(kind, socket.SOCK_STREAM)
    try:
        sock.settimeout(timeout)
        sock.connect((address, port))
    except OSError:
        sock.close()
        raise
    return sock


def classify(error: BaseException) -> str:
    """The class of a network error, as in ``Observation.error``."""
    if isinstance(error, ProbeError):
        return error.klass
    if isinstance(error, (socket.timeout, TimeoutError)):
        return "timeout"
    if isinstance(error, socket.gaierror):
        return "dns"
    # SSLError is an OSError with numbers of its own: it must come before errno is looked at.
    if isinstance(error, ssl.SSLError):
        return "closed" if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)) else "tls"
    if isinstance(error, (ConnectionResetError, BrokenPipeError, EOFError)):
        return "closed"
    if isinstance(error, OSError) and error.errno is not None:
        return _CLASSES.get(error.errno, "protocol")
    return "protocol"


class Pacer:
    """Hands out starting times so that no service sees connections closer together than PACE."""

    def __init__(self, clock: Clock, interval: float = PACE) -> None:
        self._clock = clock
        self._interval = interval
        self._lock = threading.Lock()
        self._next: Dict[str, float] = {}

    def take(self, key: str) -> None:
        with self._lock:
            now = self._clock.monotonic()
            slot = max(now, self._next.get(key, now))
            self._next[key] = slot + self._interval
        if slot > now:
            self._clock.wait(slot - now)


@dataclass
class Context:
    """deadline: on the monotonic clock. resolvers: name servers of the host (addresses); empty: /etc/resolv.conf."""

    vantage: str
    deadline: float
    clock: Clock = field(default_factory=Clock)
    dialer: Dialer = dial
    secrets: Mapping[str, str] = field(default_factory=dict)
    resolvers: tuple[str, ...] = ()
    dns_port: int = 53
    reference: float = 0.0
    hostname: str = ""
    pacer: Optional[Pacer] = None
    _cache: Dict[str, Any] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        if self.pacer is None:
            self.pacer = Pacer(self.clock)

    def left(self, at_most: float) -> float:
        """Seconds that may be waited now, at most at_most; raises ProbeError when the budget is used up."""
        rest = self.deadline - self.clock.monotonic()
        if rest <= 0:
            raise ProbeError("budget", "the time for all probes of this host is used up")
        return min(rest, at_most)

    def secret(self, reference: str) -> str:
        value = self.secrets.get(reference)
        if not value:
            raise ProbeError("secret", f"no value was given for the secret {reference}")
        return str(value)

    def connect(self, address: str, port: int, timeout: float = 10.0) -> socket.socket:
        """A paced connection; raises OSError."""
        assert self.pacer is not None
        # The server counts sessions on all its SMTP ports together.
        self.pacer.take(f"{address} {'smtp' if port in SMTP_PORTS else port}")
        return self.dialer(address, port, self.left(timeout))

    def shared(self, key: str, make: Callable[[], Any]) -> Any:
        """One object per run for all probes, such as the DNS client with its cache of zone cuts."""
        with self._lock:
            if key not in self._cache:
                self._cache[key] = make()
            return self._cache[key]

    def fqdn(self) -> str:
        """The name with which this host introduces itself; an address literal would be refused as EHLO."""
        name = (self.hostname or socket.getfqdn()).rstrip(".").lower()
        return name if "." in name and not name.startswith("localhost") else "probe.invalid"
