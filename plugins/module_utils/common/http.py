# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One HTTP exchange with an API, over a connection that is kept alive. Standard library only.

TLS uses the system's authorities, or those named by ``SSL_CERT_FILE``/``SSL_CERT_DIR``; proxies come from the usual
environment variables.
"""

from __future__ import annotations

import base64
import contextlib
import email.utils
import http.client
import ipaddress
import select
import socket
import ssl
import time
import urllib.request
from dataclasses import dataclass, field
from typing import Dict, Mapping, Optional, Protocol, Union
from urllib.parse import SplitResult, unquote, urlencode, urlsplit

from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError

#: Cloudflare's, the API that is asked most; others name their own.
DEFAULT_URL = "https://api.cloudflare.com/client/v4"
#: The largest answer that is read, in bytes; 5,000 records are about 4 MB.
MAX_ANSWER = 64 * 1024 * 1024


@dataclass(frozen=True)
class Answer:
    """status: HTTP status. headers: names in lower case. body: as received."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


class TransportError(Exception):
    """No complete answer. sent: whether the request may have reached the server (then a write's outcome is unknown)."""

    def __init__(self, message: str, sent: bool) -> None:
        super().__init__(message)
        self.sent = sent


class Transport(Protocol):
    """What the client needs; path is relative to the API's base and begins with a slash. Raises TransportError."""

    def request(
        self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], body: Optional[bytes]
    ) -> Answer: ...

    def close(self) -> None: ...


class HttpTransport:
    """A keep-alive connection to base_url; not to be shared between threads. timeout: seconds per read or connect.

    Raises MailsteadError for a URL that check_base_url does not take.
    """

    def __init__(
        self, base_url: str = DEFAULT_URL, timeout: float = 30.0, code: str = "MS-CF-013", usual: str = DEFAULT_URL
    ) -> None:
        self.url = check_base_url(base_url, code, usual)
        self._parts = urlsplit(self.url)
        self._timeout = timeout
        self._peer = self._parts.netloc
        self._connection: Optional[http.client.HTTPConnection] = None

    def request(
        self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], body: Optional[bytes]
    ) -> Answer:
        target = self._parts.path + path + ("?" + urlencode(query) if query else "")
        sent = False
        try:
            connection = self._connect()
            # The server may already have acted on a request that broke off while it was being sent.
            sent = True
            connection.request(method, target, body=body, headers=dict(headers))
            response = connection.getresponse()
            content = response.read(MAX_ANSWER + 1)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise TransportError(_words(error, self._peer), sent) from error
        if len(content) > MAX_ANSWER:
            self.close()
            raise TransportError(f"{self._peer}: the answer is larger than {MAX_ANSWER} bytes", True)
        if response.will_close:
            self.close()
        return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, content)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connect(self) -> http.client.HTTPConnection:
        if self._connection is not None and _hung_up(self._connection):
            self.close()
        if self._connection is None:
            connection = self._new()
            connection.connect()
            self._connection = connection
        return self._connection

    def _new(self) -> http.client.HTTPConnection:
        host, port, scheme = self._parts.hostname or "", self._parts.port, self._parts.scheme
        if scheme == "http":
            # Only towards this very machine (see check_base_url): a proxy has no part in that.
            return http.client.HTTPConnection(host, port, timeout=self._timeout)
        context = ssl.create_default_context()
        via = _proxy(host, scheme)
        if via is None:
            return http.client.HTTPSConnection(host, port, timeout=self._timeout, context=context)
        self._peer = f"{self._parts.netloc} through the proxy {via.hostname}:{via.port or 80}"
        # The way to the proxy is plain HTTP; TLS begins behind its CONNECT and ends at the API itself.
        tunnel = http.client.HTTPSConnection(via.hostname or "", via.port or 80, timeout=self._timeout, context=context)
        secret = f"{unquote(via.username)}:{unquote(via.password or '')}" if via.username else ""
        login = {"Proxy-Authorization": "Basic " + base64.b64encode(secret.encode()).decode()} if secret else {}
        tunnel.set_tunnel(host, port or 443, login)
        return tunnel


def _proxy(host: str, scheme: str) -> Optional[SplitResult]:
    """The proxy that the environment names for a host. Raises TransportError for one that cannot be used."""
    named = "" if urllib.request.proxy_bypass(host) else urllib.request.getproxies().get(scheme, "")
    if not named:
        return None
    with contextlib.suppress(ValueError):
        via = urlsplit(named if "//" in named else f"//{named}")
        if via.scheme in ("", "http") and via.hostname and via.port != 0:
            return via
    # Not repeated: it may hold a password.
    raise TransportError(f"the proxy that {scheme}_proxy names is no http://host:port", False)


def _hung_up(connection: http.client.HTTPConnection) -> bool:
    """Whether the server has ended a connection that lay idle: there is something to read although nothing was asked.

    Noticed before sending, this is nothing; noticed afterwards, the outcome of a write would be unknown.
    """
    return connection.sock is None or bool(select.select([connection.sock], [], [], 0)[0])


def retry_after(answer: Answer) -> Optional[float]:
    """Seconds until the next attempt by Retry-After, at least 1; None without a usable one.

    RFC 9110 §10.2.3: seconds, or a date, which is read by the server's clock.
    """
    text = answer.headers.get("retry-after", "").strip()
    if text.isdecimal():
        return max(1.0, float(text))
    until, now = _moment(text), _moment(answer.headers.get("date", ""))
    return None if until is None else max(1.0, until - (time.time() if now is None else now))


def _moment(text: str) -> Optional[float]:
    try:
        return email.utils.parsedate_to_datetime(text).timestamp()
    except (TypeError, ValueError):
        return None


def check_base_url(url: str, code: str = "MS-CF-013", usual: str = DEFAULT_URL) -> str:
    """The URL without a trailing slash. Raises MailsteadError: the token must not travel unencrypted over a network.

    code: of that error; usual: the API's own URL, for its words.
    """
    with contextlib.suppress(ValueError):
        parts = urlsplit(url)
        loopback = parts.hostname == "localhost" or _is_loopback(parts.hostname or "")
        safe = parts.scheme == "https" or (parts.scheme == "http" and loopback)
        if safe and parts.hostname and parts.port != 0 and not parts.query and not parts.username:
            return url.rstrip("/")
    what = f"{url!r} cannot be used: the token would travel in clear text, or it is no plain URL"
    raise MailsteadError.one(code, "base_url", what, f"Use an https:// URL; the usual one is {usual}.")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _words(error: Union[OSError, http.client.HTTPException], netloc: str) -> str:
    """What went wrong, in words that name the peer."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"{netloc}: the certificate is not trusted ({error.verify_message})"
    if isinstance(error, ssl.SSLError):
        return f"{netloc}: TLS failed ({error.reason or error})"
    if isinstance(error, socket.gaierror):
        return f"{netloc}: the name cannot be resolved ({error.strerror or error})"
    if isinstance(error, (socket.timeout, TimeoutError)):
        return f"{netloc}: no answer in time"
    said = error.strerror if isinstance(error, OSError) else ""
    return f"{netloc}: {said or error or type(error).__name__}"


#: Headers of every request but the token's.
BASE_HEADERS: Dict[str, str] = {"Accept": "application/json", "User-Agent": "mailstead/1 (Ansible)"}
