# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tunnels and Access of one twin, put together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..access import Table
from ..config import TwinConfig
from ..email.account import EmailAccount
from ..state import ZoneState
from .access_api import AppsApi, OrganizationApi, PoliciesApi
from .state import Trust, TrustStore
from .tokens_api import TokensApi
from .tunnels_api import TunnelsApi

#: Where an organization publishes its keys, at ``<team>.cloudflareaccess.com``.
CERTS = "/cdn-cgi/access/certs"


class TrustProducts:
    """State (trust) and endpoints (table). account: keeps the audit log."""

    def __init__(
        self,
        config: TwinConfig,
        zones: Mapping[str, ZoneState],
        clock: Callable[[], str],
        account: EmailAccount,
        store: TrustStore | None = None,
    ) -> None:
        self.trust = Trust(config.account, config.zero_trust, zones, clock, store)
        apis = [
            OrganizationApi(config, self.trust, account),
            AppsApi(config, self.trust, account),
            PoliciesApi(config, self.trust, account),
            TokensApi(config, self.trust, account),
            TunnelsApi(config, self.trust, account),
        ]
        self.table: Table = {path: handlers for api in apis for path, handlers in api.table().items()}

    def certs(self) -> dict[str, Any]:
        """The organization's public keys (RFC 7517 §5)."""
        return {"keys": [self.trust.signer.jwk()]}
