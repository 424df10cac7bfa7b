# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Destination addresses and Workers scripts, which belong to the account (reference, §1.6)."""

from __future__ import annotations

from typing import Any

from ..access import Request, Table
from ..errors import authentication_error
from ..query import direction, paginate
from ..response import Response, envelope
from . import errors, workers
from .base import MailAccess

ADDRESSES, SCRIPTS = "Email Routing Addresses", "Workers Scripts"
_SCRIPT = "/accounts/{id}/workers/scripts/([^/]+)"


class AddressesApi(MailAccess):
    """Answers below ``/accounts/{id}/email/routing/addresses``."""

    def table(self) -> Table:
        path = "/accounts/{id}/email/routing/addresses"
        return {
            path: {"GET": self._list, "POST": self._create},
            f"{path}/{{id}}": {"GET": self._get, "PATCH": self._change, "DELETE": self._delete},
        }

    def _list(self, request: Request, account: str) -> Response:
        """Only verified ones unless told otherwise: the description gives the filter this default."""
        self._account(request, account, f"{ADDRESSES}:Read")
        self._known(request, ("page", "per_page", "direction", "verified"))
        wanted = request.query.get("verified", "true")
        if wanted not in ("true", "false"):
            raise errors.invalid_input("verified must be true or false")
        with self.account.lock:
            found = list(self.account.destinations.values())
        chosen = [d.to_json() for d in found if (d.verified is not None) is (wanted == "true")]
        if direction(request.query):
            chosen.reverse()
        page, info = paginate(chosen, request.query, default=20, low=5, high=50)
        return envelope(page, info=info)

    def _create(self, request: Request, account: str) -> Response:
        self._account(request, account, f"{ADDRESSES}:Edit")
        made = self.account.create_destination(request.body)
        self._record(request, "create", "email_routing_address", made.id)
        return envelope(made.to_json())

    def _get(self, request: Request, account: str, wanted: str) -> Response:
        self._account(request, account, f"{ADDRESSES}:Read")
        return envelope(self.account.find_destination(wanted).to_json())

    def _change(self, request: Request, account: str, wanted: str) -> Response:
        """Documented: only administrators set an address to verified; others may take that back."""
        self._account(request, account, f"{ADDRESSES}:Edit")
        found = self.account.find_destination(wanted)
        status = request.body.get("status") if isinstance(request.body, dict) else None
        if status == "verified" and found.verified is None:
            raise authentication_error()
        if status not in ("verified", "unverified"):
            raise errors.invalid_input("status is verified or unverified", "/status")
        if status == "unverified":
            self.account.set_verified(found, verified=False)
            self._record(request, "update", "email_routing_address", found.id)
        return envelope(found.to_json())

    def _delete(self, request: Request, account: str, wanted: str) -> Response:
        self._account(request, account, f"{ADDRESSES}:Edit")
        gone = self.account.delete_destination(wanted)
        self._record(request, "delete", "email_routing_address", gone.id)
        return envelope(gone.to_json())


class ScriptsApi(MailAccess):
    """Answers below ``/accounts/{id}/workers/scripts``."""

    def table(self) -> Table:
        return {
            "/accounts/{id}/workers/scripts": {"GET": self._list},
            _SCRIPT: {"GET": self._get, "PUT": self._put, "DELETE": self._delete},
            f"{_SCRIPT}/settings": {"GET": self._settings, "PATCH": self._change_settings},
        }

    def _list(self, request: Request, account: str) -> Response:
        self._account(request, account, f"{SCRIPTS}:Read")
        self._known(request, ("tags",))
        with self.account.lock:
            return envelope([script.to_json() for script in self.account.scripts.values()])

    def _get(self, request: Request, account: str, name: str) -> Response:
        self._account(request, account, f"{SCRIPTS}:Read")
        kind, text = workers.download(self.account.script(name))
        return Response(200, {"Content-Type": kind}, None, text)

    def _put(self, request: Request, account: str, name: str) -> Response:
        self._account(request, account, f"{SCRIPTS}:Edit")
        upload = workers.read_upload(request.headers.get("content-type", ""), request.body)
        created = name not in self.account.scripts
        script = workers.put(self.account, name, upload)
        self._record(request, "create" if created else "update", "script", name)
        return envelope({**script.to_json(), "startup_time_ms": 1})

    def _delete(self, request: Request, account: str, name: str) -> Response:
        self._account(request, account, f"{SCRIPTS}:Edit")
        self._known(request, ("force",))
        with self.account.lock:
            self.account.script(name)
            del self.account.scripts[name]
        self._record(request, "delete", "script", name)
        return envelope(None)

    def _settings(self, request: Request, account: str, name: str) -> Response:
        self._account(request, account, f"{SCRIPTS}:Read")
        return envelope(workers.settings_json(self.account.script(name)))

    def _change_settings(self, request: Request, account: str, name: str) -> Response:
        """A form whose part ``settings`` is JSON."""
        self._account(request, account, f"{SCRIPTS}:Edit")
        changes: dict[str, Any] = workers.read_settings(request.headers.get("content-type", ""), request.body)
        script = workers.change_settings(self.account, name, changes)
        self._record(request, "update", "script", name)
        return envelope(workers.settings_json(script))
