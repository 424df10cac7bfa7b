# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The twin's own endpoints, beside the API: health, request log, planned faults, and what only the provider can do.

``/__twin__/health`` is open; the rest needs the header ``X-Twin-Control`` with the configured control_token and is absent
without one. Used by the lab and the bench, which reach the twin over HTTP only; unit tests call the objects directly.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from . import errors
from .config import ConfigError
from .faults import Fault
from .response import LABEL, Response, envelope

if TYPE_CHECKING:
    from .twin import Twin

PREFIX = "/__twin__/"

#: What ``PATCH /__twin__/zones/<name>`` may change.
ZONE_FIELDS = ("plan", "email_routing", "email_routing_code", "mx_priority", "record_quota", "status")


class Control:
    """Answers the control endpoints of a twin."""

    def __init__(self, twin: Twin) -> None:
        self._twin = twin

    def handle(self, method: str, path: str, headers: Mapping[str, str], body: Any) -> Response:
        try:
            return self._handle(method, path.removeprefix(PREFIX).split("/"), headers, body).with_headers(LABEL)
        except errors.ApiError as error:
            return envelope(None, error=error).with_headers(LABEL)

    def _handle(self, method: str, words: list[str], headers: Mapping[str, str], body: Any) -> Response:
        if method == "GET" and words == ["health"]:
            return envelope({"zones": [state.zone.name for state in self._twin.zones.values()]})
        token = self._twin.config.control_token
        if not token or not hmac.compare_digest(headers.get("x-twin-control", ""), token):
            raise errors.no_route(PREFIX + "/".join(words))
        if isinstance(body, (bytes, str)):
            try:
                body = json.loads(body) if body else {}
            except ValueError:
                raise errors.invalid_body("It is not JSON.") from None
        match (method, words):
            case ("GET", ["log"]):
                log = self._twin.log
                return envelope({"connections": log.connections, "requests": [e.to_json() for e in log.entries]})
            case ("DELETE", ["log"]):
                self._twin.log.reset()
            case ("GET", ["faults"]):
                return envelope({"pending": self._twin.faults.pending})
            case ("POST", ["faults"]):
                try:
                    self._twin.faults.add(Fault(**(body or {})))
                except (TypeError, ConfigError) as error:
                    raise errors.invalid_body(str(error)) from None
            case ("DELETE", ["faults"]):
                self._twin.faults.clear()
            case ("PATCH", ["zones", name]):
                self._reconfigure(name, body)
            case ("POST", ["zones", name, "dnssec", "activate"]):
                self._zone(name).activate_dnssec()
            case ("PATCH", ["zones", name, "records", record_id, "meta"]):
                self._zone(name).set_meta(record_id, **(body or {}))
            case _:
                raise errors.no_route(PREFIX + "/".join(words))
        return envelope({})

    def _zone(self, name: str) -> Any:
        try:
            return self._twin.zone(name)
        except StopIteration:
            raise errors.no_route(PREFIX + f"zones/{name}") from None

    def _reconfigure(self, name: str, body: Any) -> None:
        if not isinstance(body, dict) or set(body) - set(ZONE_FIELDS):
            raise errors.invalid_body(f"Known fields are {', '.join(ZONE_FIELDS)}.")
        self._zone(name).reconfigure(**body)
