# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``/accounts/{id}/cfd_tunnel`` and what is below it."""

from __future__ import annotations

import base64
import binascii
import re
import secrets
from collections.abc import Callable
from typing import Any

from ..access import Request, Table
from ..errors import invalid_query
from ..response import Response, envelope
from . import errors, ingress
from .base import UUID, TrustAccess
from .clock import read_time
from .model import Tunnel
from .state import new_uuid

#: Either of them opens these calls (permission lists of the API reference).
GROUPS = ("Cloudflare Tunnel", "Cloudflare One Connector: cloudflared")
READ, EDIT = (tuple(f"{group}:{verb}" for group in GROUPS) for verb in ("Read", "Edit"))
STATES = ("inactive", "degraded", "healthy", "down")
_PATH = "/accounts/{id}/cfd_tunnel"
_SECRET_MIN = 32
_FILTERS: dict[str, Callable[[Tunnel, str], bool]] = {
    "name": lambda t, text: t.name == text,
    "uuid": lambda t, text: t.id == text,
    "include_prefix": lambda t, text: t.name.startswith(text),
    "exclude_prefix": lambda t, text: not t.name.startswith(text),
    "is_deleted": lambda t, text: (t.deleted_at is not None) is _flag("is_deleted", text),
    "status": lambda t, text: t.status == _one_of("status", text),
    "existed_at": lambda t, text: (
        _moment(t.created_at) <= _moment(text) and (t.deleted_at is None or _moment(t.deleted_at) > _moment(text))
    ),
    "was_active_at": lambda t, text: bool(t.conns_active_at) and _moment(t.conns_active_at) <= _moment(text),
    "was_inactive_at": lambda t, text: bool(t.conns_inactive_at) and _moment(t.conns_inactive_at) <= _moment(text),
}


class TunnelsApi(TrustAccess):
    """A tunnel's token, secret and connections need the right to edit: they let one run it."""

    def table(self) -> Table:
        one = f"{_PATH}/{UUID}"
        return {
            _PATH: {"GET": self._list, "POST": self._create},
            one: {"GET": self._get, "PATCH": self._edit, "DELETE": self._delete},
            f"{one}/token": {"GET": self._token},
            f"{one}/configurations": {"GET": self._configuration, "PUT": self._configure},
            f"{one}/connections": {"GET": self._connections, "DELETE": self._clean},
        }

    def _list(self, request: Request, account: str) -> Response:
        """Deleted tunnels are among them unless ``is_deleted=false`` (documented)."""
        self._account(request, account, *READ)
        self._known(request, ("page", "per_page", *_FILTERS))
        with self.trust.lock:
            found = [
                tunnel.to_json(account)
                for tunnel in self.trust.tunnels.values()
                if all(test(tunnel, request.query[name]) for name, test in _FILTERS.items() if name in request.query)
            ]
        return self._page(request, found)

    def _create(self, request: Request, account: str) -> Response:
        """The answer to this call alone has the token and the credentials (cloudflared reads the first)."""
        self._account(request, account, *EDIT)
        body = self._body(request, ("name", "config_src", "tunnel_secret"))
        source = body.get("config_src", "local")
        if source not in ("local", "cloudflare"):
            raise errors.bad_tunnel("config_src is local or cloudflare", "/config_src")
        secret = _secret(body["tunnel_secret"]) if "tunnel_secret" in body else _new_secret()
        with self.trust.lock:
            name = self._name(body.get("name"))
            now = self.trust.clock.text()
            made = Tunnel(new_uuid(), name, source, secret, now, conns_inactive_at=now)
            self.trust.tunnels[made.id] = made
            answer = {
                **made.to_json(account),
                "credentials_file": made.credentials(account),
                "token": made.token(account),
            }
        self._record(request, "create", "tunnel", made.id)
        return envelope(answer)

    def _get(self, request: Request, account: str, wanted: str) -> Response:
        self._account(request, account, *READ)
        with self.trust.lock:
            return envelope(self._find(wanted, deleted=True).to_json(account))

    def _edit(self, request: Request, account: str, wanted: str) -> Response:
        self._account(request, account, *EDIT)
        body = self._body(request, ("name", "tunnel_secret"))
        with self.trust.lock:
            tunnel = self._find(wanted)
            secret = _secret(body["tunnel_secret"]) if "tunnel_secret" in body else tunnel.secret
            name = self._name(body["name"], tunnel) if "name" in body else tunnel.name
            tunnel.name, tunnel.secret = name, secret
            answer = tunnel.to_json(account)
        self._record(request, "update", "tunnel", wanted)
        return envelope(answer)

    def _delete(self, request: Request, account: str, wanted: str) -> Response:
        """Refused while connections are listed, unless ``cascade`` takes them along (source of cloudflared)."""
        self._account(request, account, *EDIT)
        self._known(request, ("cascade",))
        cascade = _flag("cascade", request.query.get("cascade", "false"))
        with self.trust.lock:
            tunnel = self._find(wanted)
            if tunnel.connections and not cascade:
                raise errors.tunnel_is_active()
            now = self.trust.clock.text()
            if tunnel.connectors:
                tunnel.connectors, tunnel.conns_inactive_at = [], now
            tunnel.deleted_at = now
            answer = tunnel.to_json(account)
        self._record(request, "delete", "tunnel", wanted)
        return envelope(answer)

    def _token(self, request: Request, account: str, wanted: str) -> Response:
        self._account(request, account, *EDIT)
        with self.trust.lock:
            return envelope(self._find(wanted).token(account))

    def _configuration(self, request: Request, account: str, wanted: str) -> Response:
        """Before the first PUT: version 0 and no configuration (chosen)."""
        self._account(request, account, *READ)
        with self.trust.lock:
            return envelope(self._find(wanted).configuration_json(account))

    def _configure(self, request: Request, account: str, wanted: str) -> Response:
        self._account(request, account, *EDIT)
        body = self._body(request, ("config",))
        with self.trust.lock:
            tunnel = self._find(wanted)
            if tunnel.source != "cloudflare":
                raise errors.locally_managed()
            tunnel.config = ingress.check(body.get("config"))
            tunnel.version += 1
            tunnel.configured_at = self.trust.clock.text()
            answer = tunnel.configuration_json(account)
        self._record(request, "update", "tunnel", wanted)
        return envelope(answer)

    def _connections(self, request: Request, account: str, wanted: str) -> Response:
        self._account(request, account, *READ)
        with self.trust.lock:
            return envelope([connector.to_json() for connector in self._find(wanted).connectors])

    def _clean(self, request: Request, account: str, wanted: str) -> Response:
        """Forgets connections, of one connector or of all; a connector that is alive is not told."""
        self._account(request, account, *EDIT)
        self._known(request, ("client_id",))
        one = request.query.get("client_id")
        with self.trust.lock:
            tunnel = self._find(wanted)
            tunnel.connectors = [c for c in tunnel.connectors if one is not None and c.id != one]
            if not tunnel.connectors:
                tunnel.conns_inactive_at = self.trust.clock.text()
        self._record(request, "delete", "tunnel", wanted)
        return envelope(None)

    # -- inside ------------------------------------------------------------------------------------------------------

    def _body(self, request: Request, known: tuple[str, ...]) -> dict[str, Any]:
        body = request.body
        if not isinstance(body, dict):
            raise errors.bad_tunnel("an object is expected")
        unknown = sorted(set(body) - set(known))
        if unknown and self.config.strict:
            raise errors.bad_tunnel(f"unknown field {unknown[0]}", f"/{unknown[0]}")
        return body

    def _find(self, wanted: str, deleted: bool = False) -> Tunnel:
        """A deleted tunnel can be looked at by its id, and nothing else (chosen)."""
        tunnel = self.trust.tunnels.get(wanted)
        if tunnel is None or (tunnel.deleted_at and not deleted):
            raise errors.tunnel_not_found()
        return tunnel

    def _name(self, given: Any, own: Tunnel | None = None) -> str:
        """A name that no other living tunnel has."""
        if not isinstance(given, str) or not 1 <= len(given) <= 100 or re.search(r"[\x00-\x1f]", given):
            raise errors.bad_tunnel("a name is expected", "/name")
        others = (t for t in self.trust.tunnels.values() if t is not own and not t.deleted_at)
        if any(t.name == given for t in others):
            raise errors.tunnel_name_taken()
        return given


def _secret(given: Any) -> str:
    """At least 32 bytes in base64 (documented)."""
    try:
        size = len(base64.b64decode(given, validate=True)) if isinstance(given, str) else 0
    except binascii.Error:
        size = 0
    if size < _SECRET_MIN:
        raise errors.bad_tunnel("tunnel_secret is at least 32 bytes, in base64", "/tunnel_secret")
    return str(given)


def _new_secret() -> str:
    return base64.b64encode(secrets.token_bytes(_SECRET_MIN)).decode()


def _flag(name: str, text: str) -> bool:
    if text not in ("true", "false"):
        raise invalid_query(f"{name} must be true or false.")
    return text == "true"


def _one_of(name: str, text: str) -> str:
    if text not in STATES:
        raise invalid_query(f"{name} must be one of {', '.join(STATES)}.")
    return text


def _moment(text: str | None) -> float:
    try:
        return read_time(text or "").timestamp()
    except ValueError:
        raise invalid_query(f"{text} is no time.") from None
