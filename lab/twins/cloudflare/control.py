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
from .config import DNSSEC_STATES, ConfigError, Fault
from .email import control as email
from .response import LABEL, Response, envelope
from .zero_trust import control as zero_trust

if TYPE_CHECKING:
    from .state import ZoneState
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
        return self._command(method, words, body or {})

    def _command(self, method: str, words: list[str], body: Any) -> Response:
        twin, simple = self._twin, (method, "/".join(words))
        found = self._product(method, words, body)
        if found is not None:
            return envelope(found)
        if simple == ("GET", "log"):
            entries = [entry.to_json() for entry in twin.log.entries]
            return envelope({"connections": twin.log.connections, "requests": entries})
        if simple == ("GET", "faults"):
            return envelope({"pending": twin.faults.pending})
        if simple == ("DELETE", "log"):
            twin.log.reset()
        elif simple == ("DELETE", "faults"):
            twin.faults.clear()
        elif simple == ("POST", "faults"):
            self._plan_faults(body if isinstance(body, list) else [body])
        elif method == "PATCH" and words[0] == "zones" and len(words) == 2:
            self._reconfigure(words[1], body)
        elif method == "POST" and words[0] == "zones" and words[2:] == ["dnssec", "activate"]:
            self._zone(words[1]).activate_dnssec()
        elif method == "PATCH" and words[0] == "zones" and words[2:] == ["dnssec"]:
            self._set_dnssec(words[1], body)
        elif method == "PATCH" and words[0] == "zones" and words[2:3] == ["records"] and words[4:] == ["meta"]:
            self._zone(words[1]).set_meta(words[3], **body)
        else:
            raise errors.no_route(PREFIX + "/".join(words))
        return envelope({})

    def _product(self, method: str, words: list[str], body: Any) -> Any:
        """What the mail products, tunnels and Access have to say to it, if anything."""
        if words[0] == "zero_trust":
            return zero_trust.command(self._twin.zero_trust, method, words[1:], body)
        if words[0] == "email":
            return email.account(self._twin.products, method, words[1:], body)
        if words[0] == "zones" and words[2:3] == ["email"]:
            self._zone(words[1])
            return email.zone(self._twin.email(words[1]), method, words[3:], body)
        return None

    def _plan_faults(self, script: list[Any]) -> None:
        """One fault or a script of them, all or none."""
        try:
            faults = [Fault(**one) for one in script]
        except (TypeError, ConfigError) as error:
            raise errors.invalid_body(str(error)) from None
        for fault in faults:
            self._twin.faults.add(fault)

    def _set_dnssec(self, name: str, body: Any) -> None:
        if not isinstance(body, dict) or body.get("status") not in DNSSEC_STATES or len(body) != 1:
            raise errors.invalid_body(f"status is one of {', '.join(DNSSEC_STATES)}.")
        self._zone(name).set_dnssec(body["status"])

    def _zone(self, name: str) -> ZoneState:
        try:
            return self._twin.zone(name)
        except StopIteration:
            raise errors.no_route(PREFIX + f"zones/{name}") from None

    def _reconfigure(self, name: str, body: Any) -> None:
        if not isinstance(body, dict) or set(body) - set(ZONE_FIELDS):
            raise errors.invalid_body(f"Known fields are {', '.join(ZONE_FIELDS)}.")
        self._zone(name).reconfigure(**body)
