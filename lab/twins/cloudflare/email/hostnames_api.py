# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hostnames of Workers ("Custom Domains"): which leads where. Their records and certificates are not modelled, nor are
they kept across a restart."""

from __future__ import annotations

from typing import Any

from ..access import Request, Table
from ..config import TwinConfig, stable_id
from ..errors import refuse
from ..response import Response, envelope
from .account import EmailAccount
from .base import MailAccess

SCRIPTS = "Workers Scripts"


class HostnamesApi(MailAccess):
    """Answers below ``/accounts/{id}/workers/domains``."""

    def __init__(self, config: TwinConfig, account: EmailAccount) -> None:
        super().__init__(config, account)
        self._leads: dict[str, dict[str, Any]] = {}

    def table(self) -> Table:
        path = "/accounts/{id}/workers/domains"
        return {path: {"GET": self._list, "PUT": self._put}, f"{path}/([0-9a-f]{{32}})": {"DELETE": self._delete}}

    def _list(self, request: Request, account: str) -> Response:
        self._account(request, account, f"{SCRIPTS}:Read")
        self._known(request, ("hostname", "service", "zone_id", "zone_name", "environment"))
        with self.account.lock:
            return envelope([lead for lead in self._leads.values() if lead["service"] in self.account.scripts])

    def _put(self, request: Request, account: str) -> Response:
        """A hostname that leads elsewhere is taken over (seen). Chosen: the code of a hostname of no zone."""
        self._account(request, account, f"{SCRIPTS}:Edit")
        body = request.body if isinstance(request.body, dict) else {}
        name, service = str(body.get("hostname", "")), str(body.get("service", ""))
        with self.account.lock:
            self.account.script(service)
            fitting = [s.zone for s in self.zones.values() if name == s.zone.name or name.endswith(f".{s.zone.name}")]
            if not fitting:
                raise refuse(100116, f"{name} is not in a zone of this account", 400)
            zone = max(fitting, key=lambda z: len(z.name))
            lead = {"hostname": name, "service": service, "zone_id": zone.zone_id, "zone_name": zone.name}
            self._leads[name] = {"id": stable_id("hostname", name), "cert_id": stable_id("certificate", name), **lead}
            return envelope(self._leads[name])

    def _delete(self, request: Request, account: str, wanted: str) -> Response:
        self._account(request, account, f"{SCRIPTS}:Edit")
        with self.account.lock:
            name = next((n for n, lead in self._leads.items() if lead["id"] == wanted), None)
            if name is None:
                raise refuse(100114, "Domain not found", 404)
            del self._leads[name]
        return envelope(None)
