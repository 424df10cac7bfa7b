# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the edge asks of the account and tells it: the API twin, over its control endpoints."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from typing import Any, Protocol

from .config import Control

#: Seconds for one question.
TIMEOUT = 10


class AccountError(OSError):
    """The account could not be asked."""


@dataclass(frozen=True)
class Visitor:
    """Who asks for what. token_id and token_secret: the service token's, empty without one."""

    hostname: str
    path: str
    ip: str
    token_id: str = ""
    token_secret: str = ""


@dataclass(frozen=True)
class Decision:
    """Whether a request may pass. status: of the answer where it may not; assertion: for the connector, "" without Access.

    error: Cloudflare's own number beside a 530; redirect: where a 302 leads.
    """

    allowed: bool
    tunnel: str = ""
    assertion: str = ""
    status: int = 403
    error: int = 0
    redirect: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Registration:
    """connection: its id, empty when refused. version and config: of a tunnel that is managed remotely."""

    connection: str = ""
    location: str = ""
    remote: bool = False
    version: int = 0
    config: dict[str, Any] | None = None
    error: str = ""


@dataclass(frozen=True)
class Tunnel:
    """A tunnel as the account has it now. connections: ids of those that the account wants kept."""

    exists: bool
    remote: bool = False
    version: int = 0
    config: dict[str, Any] | None = None
    connections: frozenset[str] = frozenset()


class Account(Protocol):
    """Every method raises AccountError when it cannot be asked."""

    def decide(self, visitor: Visitor) -> Decision: ...

    def register(self, hello: dict[str, Any], ip: str) -> Registration: ...

    def unregister(self, tunnel: str, connection: str) -> None: ...

    def applied(self, tunnel: str, connector: str, version: int) -> None: ...

    def tunnel(self, tunnel: str) -> Tunnel: ...

    def certs(self) -> dict[str, Any]: ...


class TwinAccount:
    """The account of an API twin."""

    def __init__(self, control: Control) -> None:
        self._base = f"{control.url.rstrip('/')}/__twin__/zero_trust/"
        self._token = control.token
        secure = self._base.startswith("https:")
        self._context = ssl.create_default_context(cafile=control.authority or None) if secure else None

    def decide(self, visitor: Visitor) -> Decision:
        found = self._ask(
            "POST",
            "edge/decide",
            {
                "hostname": visitor.hostname,
                "path": visitor.path,
                "client_id": visitor.token_id,
                "client_secret": visitor.token_secret,
                "ip": visitor.ip,
            },
        )
        return Decision(
            allowed=bool(found["allowed"]),
            tunnel=found.get("tunnel_id") or "",
            assertion=found.get("jwt") or "",
            status=int(found["status"]),
            error=int(found.get("cf_error") or 0),
            redirect=found.get("redirect") or "",
            reason=found.get("why") or "",
        )

    def register(self, hello: dict[str, Any], ip: str) -> Registration:
        found = self._ask(
            "POST",
            "connector/register",
            {
                "account": str(hello.get("account", "")),
                "tunnel_id": str(hello.get("tunnel", "")),
                "secret": str(hello.get("secret", "")),
                "connector": {
                    "id": str(hello.get("connector", "")),
                    "version": str(hello.get("version", "")),
                    "arch": str(hello.get("arch", "")),
                    "features": [],
                    "origin_ip": ip,
                },
                "conn_index": int(hello.get("index", 0)),
                "colo": "lab01",
            },
        )
        if not found["registered"]:
            return Registration(error=str(found["error"]))
        return Registration(
            found["uuid"], found["location"], bool(found["remote"]), int(found["version"]), found["config"]
        )

    def unregister(self, tunnel: str, connection: str) -> None:
        self._ask("POST", "connector/unregister", {"tunnel_id": tunnel, "uuid": connection})

    def applied(self, tunnel: str, connector: str, version: int) -> None:
        self._ask("POST", "connector/applied", {"tunnel_id": tunnel, "connector": connector, "version": version})

    def tunnel(self, tunnel: str) -> Tunnel:
        found = self._ask("GET", f"connector/config/{urllib.parse.quote(tunnel, safe='')}")
        if not found["exists"]:
            return Tunnel(False)
        kept = frozenset(found["connections"])
        return Tunnel(True, bool(found["remote"]), int(found["version"]), found["config"], kept)

    def certs(self) -> dict[str, Any]:
        return dict(self._ask("GET", "certs"))

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"X-Twin-Control": self._token, "Content-Type": "application/json"}
        request = urllib.request.Request(self._base + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT, context=self._context) as response:
                return json.load(response)["result"]
        except urllib.error.HTTPError as error:
            with error:
                raise AccountError(f"{method} {path}: {error.code} {error.read(500)!r}") from error
        except (OSError, ValueError, KeyError) as error:
            raise AccountError(f"{method} {path}: {error}") from error
