# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who asks, and what they may: tokens, their state, scopes and zones (reference, §1.4 and §1.9)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from . import errors
from .config import Token, TwinConfig, Zone

#: A token nobody issued is malformed below this length (a Global API Key has 37 characters and is answered with 6111).
_TOKEN_LENGTH = 40
_FORM = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True)
class Caller:
    """An authenticated token."""

    token: Token

    def may(self, scope: str) -> bool:
        """Whether the token has the scope; the right to edit includes that to read."""
        group, _, verb = scope.rpartition(":")
        return f"{group}:Edit" in self.token.scopes or (verb == "Read" and scope in self.token.scopes)

    def sees(self, zone: Zone) -> bool:
        return "*" in self.token.zones or zone.name in self.token.zones

    def need(self, *scopes: str) -> None:
        """At least one of the scopes. Raises ApiError 10000, the answer to a missing one."""
        if not any(self.may(scope) for scope in scopes):
            raise errors.authentication_error()


class Authenticator:
    """Reads credentials. now: the time that tokens are judged by."""

    def __init__(self, config: TwinConfig, now: Callable[[], datetime] = lambda: datetime.now(timezone.utc)) -> None:
        self._tokens = {token.token: token for token in config.tokens}
        self._account = config.account
        self._now = now

    def caller(self, headers: Mapping[str, str], path: str) -> Caller:
        """The caller of anything but a verify endpoint. Raises ApiError; headers have lower-case names."""
        token = self._find(headers, errors.missing_credentials)
        if token is None:
            raise errors.invalid_token_at_zones() if path == "/zones" else errors.authentication_error()
        if self.status(token) != "active":
            raise errors.authentication_error()
        return Caller(token)

    def verify(self, headers: Mapping[str, str], account: str | None) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """The verify endpoints: result and messages. account: None at the user's endpoint.

        A token of the other kind is "invalid" here although it works elsewhere (seen for account tokens at the user's
        endpoint). A disabled or expired token is answered with its status, as the documented result says.
        """
        token = self._find(headers, errors.missing_authorization)
        if token is None or token.kind != ("user" if account is None else "account"):
            raise errors.invalid_token_at_verify()
        if account is not None and account != self._account.id:
            raise errors.unauthorized_resource()
        status = self.status(token)
        result: dict[str, Any] = {"id": token.id, "status": status}
        if token.not_before:
            result["not_before"] = token.not_before
        if token.expires_on:
            result["expires_on"] = token.expires_on
        text = "This API Token is valid and active" if status == "active" else f"This API Token is {status}"
        return result, [{"code": 10000, "message": text, "type": None}]

    def status(self, token: Token) -> str:
        """active, disabled or expired; a token that is not valid yet counts as disabled."""
        now = self._now()
        if token.expires_on and datetime.fromisoformat(token.expires_on) <= now:
            return "expired"
        if token.not_before and datetime.fromisoformat(token.not_before) > now:
            return "disabled"
        return token.status

    def _find(self, headers: Mapping[str, str], missing: Callable[[], errors.ApiError]) -> Token | None:
        """The token of the request, None for one nobody issued. Global API keys are not issued here at all."""
        given = headers.get("authorization")
        if given is None:
            if "x-auth-key" in headers and missing is errors.missing_credentials:
                raise errors.malformed_auth_key()
            raise missing()
        scheme, _, text = given.partition(" ")
        token = self._tokens.get(text)
        if scheme.lower() != "bearer" or not _FORM.fullmatch(text):
            raise errors.malformed_authorization()
        if token is None and len(text) < _TOKEN_LENGTH:
            raise errors.malformed_authorization()
        return token
