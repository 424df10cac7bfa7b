# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the endpoints of tunnels and Access share: the state, bodies, and the audit log of every change."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Iterable
from typing import Any

from ..access import Access, Request, Table, caller_of
from ..config import TwinConfig
from ..email.account import EmailAccount
from ..query import paginate
from ..response import Response, envelope
from . import errors
from .state import Trust

#: Of a tunnel, an application, a policy or a service token, in a path.
UUID = "([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})"


class TrustAccess(Access, abc.ABC):
    """The base of the classes that answer. account: keeps the audit log, which is one for all products."""

    def __init__(self, config: TwinConfig, trust: Trust, account: EmailAccount) -> None:
        super().__init__(config, trust.zones)
        self.trust = trust
        self._log = account

    @abc.abstractmethod
    def table(self) -> Table:
        """Handlers by method, by path."""

    def _enabled(self, request: Request, account: str, *scopes: str) -> None:
        """For calls below ``/access``. Raises ApiError unless the caller may and the account has an organization."""
        self._account(request, account, *scopes)
        if not self.trust.options.enabled:
            raise errors.not_enabled()

    def _page(self, request: Request, items: list[dict[str, Any]]) -> Response:
        page, info = paginate(items, request.query, default=20, low=1, high=1000)
        return envelope(page, info=info)

    def _record(self, request: Request, kind: str, resource: str, resource_id: str) -> None:
        """Keep a change that was made and enter it into the audit log. kind: create, update or delete."""
        self.trust.save()
        self._log.audit.add(
            kind=kind,
            product="cloudflare_tunnel" if resource == "tunnel" else "access",
            resource=resource,
            resource_id=resource_id,
            description=f"{kind} {resource.replace('_', ' ')}",
            zone_id="",
            zone="",
            token_id=caller_of(request).token.id,
            method=request.method,
            uri=f"/client/v4{request.path}",
        )
        self._log.save()


def with_status(response: Response, status: int) -> Response:
    return dataclasses.replace(response, status=status)


def fields(body: Any, known: Iterable[str], strict: bool) -> dict[str, Any]:
    """A body of Access as an object. strict: a field that is not known is refused, where the service would ignore it.

    Raises ApiError.
    """
    if not isinstance(body, dict):
        raise errors.invalid_request("an object is expected")
    unknown = sorted(set(body) - set(known))
    if unknown and strict:
        raise errors.invalid_request(f"unknown field {unknown[0]}", f"/{unknown[0]}")
    return {name: value for name, value in body.items() if name not in unknown}
