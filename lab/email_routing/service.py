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
        self._context = ssl.create_default_context(cafile=control.authority or None)

    def route(self, recipient: str) -> Route | None:
        """None: mail to it is refused."""
        found = self._ask("GET", f"email/effective/{urllib.parse.quote(recipient)}")
        if not found or not found.get("action"):
            return None
        return Route(found["zone"], found["action"], found["target"], found["rule"])

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
            found.get("compatibility_date") or "2024-01-01",
            tuple(found.get("compatibility_flags", ())),
        )

    def report(self, zone: str, event: dict[str, Any]) -> None:
        self._ask("POST", f"zones/{zone}/email/statistics", {"events": [event]})

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        """The result; None for what is not there."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"X-Twin-Control": self._token, "Content-Type": "application/json"}
        request = urllib.request.Request(self._base + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT, context=self._context_for()) as response:
                return json.load(response)["result"]
        except urllib.error.HTTPError as error:
            with error:
                if error.code == 404:
                    return None
                raise ServiceError(f"{method} {path}: {error.code} {error.read(500)!r}") from error
        except (OSError, ValueError) as error:
            raise ServiceError(f"{method} {path}: {error}") from error

    def _context_for(self) -> ssl.SSLContext | None:
        return self._context if self._base.startswith("https:") else None
