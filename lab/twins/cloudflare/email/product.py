# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The mail products of one twin, put together."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from ..access import Table
from ..config import TwinConfig
from ..state import ZoneState
from . import helper
from .account import AccountStore, EmailAccount
from .addresses_api import AddressesApi, ScriptsApi
from .helper import EmailZone
from .hostnames_api import HostnamesApi
from .insight_api import InsightApi
from .model import Destination
from .routing_api import RoutingApi
from .sending_api import SendingApi


class EmailProducts:
    """Their state (account) and their endpoints (table)."""

    def __init__(
        self,
        config: TwinConfig,
        zones: Mapping[str, ZoneState],
        clock: Callable[[], str],
        store: AccountStore | None = None,
    ) -> None:
        self.account = EmailAccount(config.account, config.email, zones, clock, store)
        self._routing = RoutingApi(config, self.account)
        others = [api(config, self.account) for api in (AddressesApi, ScriptsApi, HostnamesApi, SendingApi, InsightApi)]
        self.table: Table = {
            path: handlers for api in (self._routing, *others) for path, handlers in api.table().items()
        }

    def zone(self, state: ZoneState) -> EmailZone:
        return EmailZone(state, self.account, self._routing)

    def reconfigure(self, **changes: Any) -> None:
        """Change EmailOptions while the twin runs. Raises ValueError or TypeError."""
        options = dataclasses.replace(self.account.options, **changes)
        if options.mistakes():
            raise ValueError(options.mistakes()[0])
        self.account.options = options

    @property
    def destinations(self) -> dict[str, Destination]:
        """By address."""
        with self.account.lock:
            return {d.email: d for d in self.account.destinations.values()}

    def click(self, address: str) -> None:
        """As if the owner of a destination had followed the link. Raises KeyError."""
        helper.click(self.account, address)
