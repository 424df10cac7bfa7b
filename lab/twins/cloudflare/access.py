# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A request, and what every endpoint asks first: the token's scopes, its zones, the account, the parameters' names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from . import errors
from .auth import Caller
from .config import TwinConfig
from .query import check_parameters
from .response import Response
from .state import ZoneState


@dataclass
class Request:
    """A request as the handlers see it: path below BASE, header names in lower case, body already JSON or None (bytes for
    a form)."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any = None
    caller: Caller | None = None
    operations: int = 0
    rate_headers: dict[str, str] = field(default_factory=dict)


Handler = Callable[..., Response]
#: Handlers by method, by path; ``{id}`` stands for an identifier.
Table = dict[str, dict[str, Handler]]


class Access:
    """The base of the classes that answer requests."""

    def __init__(self, config: TwinConfig, zones: Mapping[str, ZoneState]) -> None:
        self.config, self.zones = config, zones

    def _state(self, request: Request, zone_id: str, *scopes: str) -> ZoneState:
        """The zone, if the caller sees it and has one of the scopes; otherwise the API's one answer to both."""
        caller = caller_of(request)
        state = self.zones.get(zone_id)
        if state is None or not caller.sees(state.zone):
            # Whether a zone exists is not told to a token that does not cover it.
            if request.path == f"/zones/{zone_id}":
                raise errors.unauthorized_resource()
            raise errors.authentication_error()
        caller.need(*scopes)
        return state

    def _account(self, request: Request, account: str, *scopes: str) -> None:
        """Raises ApiError unless it is the account and the caller has one of the scopes."""
        if account != self.config.account.id:
            raise errors.unauthorized_resource()
        caller_of(request).need(*scopes)

    def _known(self, request: Request, known: Iterable[str] = ()) -> None:
        check_parameters(request.query, known, self.config.strict)


def caller_of(request: Request) -> Caller:
    if request.caller is None:
        raise errors.missing_credentials()
    return request.caller
