# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``/accounts/{id}/access/service_tokens``: credentials of programs, their life and the change of their secrets."""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import Any

from ..access import Request, Table
from ..response import Response, envelope
from . import errors
from .base import UUID, TrustAccess, fields, with_status
from .clock import duration, read_time, write_time
from .model import ServiceToken
from .policies import tokens_of
from .state import new_uuid

GROUP = "Access: Service Tokens"
READ, EDIT = f"{GROUP}:Read", f"{GROUP}:Edit"
DEFAULT_DURATION = "8760h"
_PATH = "/accounts/{id}/access/service_tokens"
_FIELDS = ("name", "duration", "enabled", "client_secret_version", "previous_client_secret_expires_at")


class TokensApi(TrustAccess):
    """The secret is told by the call that makes it, and never again."""

    def table(self) -> Table:
        one = f"{_PATH}/{UUID}"
        return {
            _PATH: {"GET": self._list, "POST": self._create},
            one: {"GET": self._get, "PUT": self._change, "DELETE": self._delete},
            f"{one}/refresh": {"POST": self._refresh},
            f"{one}/rotate": {"POST": self._rotate},
        }

    def _list(self, request: Request, account: str) -> Response:
        self._enabled(request, account, READ)
        self._known(request, ("page", "per_page", "name", "search"))
        name, search = request.query.get("name"), request.query.get("search", "").lower()
        with self.trust.lock:
            found = [
                token.to_json()
                for token in self.trust.tokens.values()
                if name in (None, token.name) and search in token.name.lower()
            ]
        return self._page(request, found)

    def _create(self, request: Request, account: str) -> Response:
        self._enabled(request, account, EDIT)
        body = fields(request.body, _FIELDS, self.config.strict)
        text = body.get("duration", DEFAULT_DURATION)
        version = _version(body.get("client_secret_version", 1))
        with self.trust.lock:
            now = self.trust.clock.text()
            made = ServiceToken(
                id=new_uuid(),
                name=_name(body.get("name")),
                client_id=f"{secrets.token_hex(16)}.access",
                secret=secrets.token_hex(32),
                duration=text,
                created_at=now,
                updated_at=now,
                expires_at=self._expiry(text),
                enabled=_switch(body.get("enabled", True)),
                version=version,
            )
            self.trust.tokens[made.id] = made
            answer = made.to_json(with_secret=True)
        self._record(request, "create", "service_token", made.id)
        return with_status(envelope(answer), 201)

    def _get(self, request: Request, account: str, wanted: str) -> Response:
        self._enabled(request, account, READ)
        with self.trust.lock:
            return envelope(self._find(wanted).to_json())

    def _change(self, request: Request, account: str, wanted: str) -> Response:
        """What is left out stays. A higher ``client_secret_version`` makes a new secret, which the answer tells (chosen: the
        documented answer has no place for it, and nothing else could tell it); the old one stays good until
        ``previous_client_secret_expires_at``, which can be moved at any time."""
        self._enabled(request, account, EDIT)
        body = fields(request.body, _FIELDS, self.config.strict)
        with self.trust.lock:
            token = self._find(wanted)
            name = _name(body["name"]) if "name" in body else token.name
            enabled = _switch(body["enabled"]) if "enabled" in body else token.enabled
            version = _version(body.get("client_secret_version", token.version))
            if version < token.version:
                raise errors.invalid_request("client_secret_version cannot be decremented", "/client_secret_version")
            previous = self._moment(body)
            text = body.get("duration", token.duration)
            expires = self._expiry(text) if text != token.duration else token.expires_at
            rotated = version > token.version
            if rotated:
                self._new_secret(token, previous or self.trust.clock.text())
            elif previous is not None:
                token.previous_expires_at = previous
            token.name, token.enabled, token.version = name, enabled, version
            token.duration, token.expires_at = text, expires
            answer = self._touched(token, with_secret=rotated)
        self._record(request, "update", "service_token", wanted)
        return envelope(answer)

    def _delete(self, request: Request, account: str, wanted: str) -> Response:
        self._enabled(request, account, EDIT)
        with self.trust.lock:
            token = self._find(wanted)
            if any(wanted in tokens_of(policy) for policy in self.trust.policies.values()):
                raise errors.service_token_in_use()
            del self.trust.tokens[wanted]
            answer = token.to_json()
        self._record(request, "delete", "service_token", wanted)
        return envelope(answer)

    def _refresh(self, request: Request, account: str, wanted: str) -> Response:
        """Another of its durations from now on."""
        self._enabled(request, account, EDIT)
        with self.trust.lock:
            token = self._find(wanted)
            token.expires_at = self._expiry(token.duration)
            answer = self._touched(token)
        self._record(request, "update", "service_token", wanted)
        return envelope(answer)

    def _rotate(self, request: Request, account: str, wanted: str) -> Response:
        """A new secret. Without ``previous_client_secret_expires_at`` the old one is worthless at once (documented)."""
        self._enabled(request, account, EDIT)
        body = fields(request.body or {}, ("previous_client_secret_expires_at",), self.config.strict)
        with self.trust.lock:
            token = self._find(wanted)
            self._new_secret(token, self._moment(body) or self.trust.clock.text())
            token.version += 1
            answer = self._touched(token, with_secret=True)
        self._record(request, "update", "service_token", wanted)
        return envelope(answer)

    # -- inside ------------------------------------------------------------------------------------------------------

    def _find(self, wanted: str) -> ServiceToken:
        found = self.trust.tokens.get(wanted)
        if found is None:
            raise errors.service_token_not_found()
        return found

    def _new_secret(self, token: ServiceToken, previous_until: str) -> None:
        token.previous_secret, token.previous_expires_at = token.secret, previous_until
        token.secret = secrets.token_hex(32)

    def _touched(self, token: ServiceToken, with_secret: bool = False) -> dict[str, Any]:
        token.updated_at = self.trust.clock.text()
        return token.to_json(with_secret)

    def _expiry(self, text: Any) -> str | None:
        try:
            life = duration(text)
            if life is not None and life <= timedelta(0):
                raise ValueError("a token lives")
            return None if life is None else write_time(self.trust.clock.now() + life)
        except (ValueError, OverflowError):
            raise errors.invalid_request("invalid duration", "/duration") from None

    @staticmethod
    def _moment(body: dict[str, Any]) -> str | None:
        given = body.get("previous_client_secret_expires_at")
        if given is None:
            return None
        try:
            return write_time(read_time(given))
        except (ValueError, TypeError):
            pointer = "/previous_client_secret_expires_at"
            raise errors.invalid_request("previous_client_secret_expires_at is a time", pointer) from None


def _name(given: Any) -> str:
    if not isinstance(given, str) or not given.strip():
        raise errors.invalid_request("name is required", "/name")
    return given


def _switch(given: Any) -> bool:
    if not isinstance(given, bool):
        raise errors.invalid_request("enabled is true or false", "/enabled")
    return given


def _version(given: Any) -> int:
    if isinstance(given, bool) or not isinstance(given, (int, float)) or given != int(given) or given < 1:
        raise errors.invalid_request("client_secret_version is a positive number", "/client_secret_version")
    return int(given)
