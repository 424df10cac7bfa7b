# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the exchanger asks of the account and tells it: the API twin, over its control endpoints."""

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
#: Of an address, what a path may hold as it is (RFC 3986 section 3.3); the twin compares it as it comes.
_PLAIN = "@+=!$&'*~"


class ServiceError(OSError):
    """The account could not be asked; the sender shall try later."""


@dataclass(frozen=True)
class Route:
    """What to do with mail to one recipient. action: forward, worker or drop; target: destination or Worker; rule: its id."""

    zone: str
    action: str
    target: str
    rule: str


@dataclass(frozen=True)
class Script:
    """A Worker as it was uploaded. modules: text by name; bindings: as in the metadata, with secrets."""

    name: str
    main_module: str
    modules: dict[str, str]
    bindings: tuple[dict[str, Any], ...]
    compatibility_date: str
    compatibility_flags: tuple[str, ...] = ()


class Account(Protocol):
    """The account that the exchanger serves. Every method raises ServiceError when it cannot be asked."""

    def route(self, recipient: str) -> Route | None: ...

    def verified(self, destination: str) -> bool: ...

    def script(self, name: str) -> Script | None: ...

    def report(self, zone: str, event: dict[str, Any]) -> None: ...


class TwinAccount:
    """The account of an API twin."""

    def __init__(self, control: Control) -> None:
        self._base = f"{control.url.rstrip('/')}/__twin__/"
        self._token = control.token
        secure = self._base.startswith("https:")
        self._context = ssl.create_default_context(cafile=control.authority or None) if secure else None

    def route(self, recipient: str) -> Route | None:
        """None: mail to it is refused, because there is no enabled rule or its destination is not verified."""
        found = self._ask("GET", f"email/effective/{urllib.parse.quote(recipient, safe=_PLAIN)}")
        if found is None:
            raise ServiceError("the account does not know its control token")
        if found["action"] == "reject" and found["problem"] != "no-worker":
            return None
        # A rule to a Worker that is gone stays in force, and its mail cannot be handled.
        action = "worker" if found["action"] == "reject" else found["action"]
        return Route(found["zone"], action, found["target"], found["rule"])

    def verified(self, destination: str) -> bool:
        found = self._ask("GET", "email/destinations") or []
        return any(e["email"].lower() == destination.lower() and bool(e["verified"]) for e in found)

    def script(self, name: str) -> Script | None:
        found = self._ask("GET", f"email/workers/{urllib.parse.quote(name, safe='')}")
        if found is None:
            return None
        return Script(
            name,
            found["main_module"],
            dict(found["modules"]),
            tuple(found["bindings"]),
            found["compatibility_date"],
            tuple(found["compatibility_flags"]),
        )

    def report(self, zone: str, event: dict[str, Any]) -> None:
        self._ask("POST", f"zones/{zone}/email/statistics", {"events": [event]})

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        """The result; None for what is not there."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"X-Twin-Control": self._token, "Content-Type": "application/json"}
        request = urllib.request.Request(self._base + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT, context=self._context) as response:
                return json.load(response)["result"]
        except urllib.error.HTTPError as error:
            with error:
                if error.code == 404:
                    return None
                raise ServiceError(f"{method} {path}: {error.code} {error.read(500)!r}") from error
        except (OSError, ValueError) as error:
            raise ServiceError(f"{method} {path}: {error}") from error
