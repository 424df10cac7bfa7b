# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the endpoints of the mail products share: the account, and the audit log of every change."""

from __future__ import annotations

from ..access import Access, Request, caller_of
from ..config import TwinConfig
from ..state import ZoneState
from .account import EmailAccount


class MailAccess(Access):
    """The base of the classes that answer for mail products."""

    def __init__(self, config: TwinConfig, account: EmailAccount) -> None:
        super().__init__(config, account.zones)
        self.account = account

    def _record(
        self, request: Request, kind: str, resource: str, resource_id: str, zone: ZoneState | None = None
    ) -> None:
        """Enter a change that was made into the audit log. kind: create, update or delete."""
        product = "workers" if resource == "script" else "email_sending" if "sending" in resource else "email_routing"
        self.account.audit.add(
            kind=kind,
            product=product,
            resource=resource,
            resource_id=resource_id,
            description=f"{kind} {resource.replace('_', ' ')}",
            zone_id=zone.zone.zone_id if zone else "",
            zone=zone.zone.name if zone else "",
            token_id=caller_of(request).token.id,
            method=request.method,
            uri=f"/client/v4{request.path}",
        )
        self.account.save()
