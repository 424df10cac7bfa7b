# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The endpoints of Email Sending that set it up: domains of a zone, recipients of the account not written to."""

from __future__ import annotations

from ..access import Request, Table
from ..response import Response, envelope
from ..state import ZoneState
from . import records, sending
from .base import MailAccess
from .model import SendingDomain
from .routing_api import listing

SENDING = "Email Sending"
_UUID = "([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"


class SendingApi(MailAccess):
    """Answers below ``/zones/{id}/email/sending`` and ``/accounts/{id}/email/sending``."""

    def table(self) -> Table:
        domains, suppressions = "/zones/{id}/email/sending/subdomains", "/accounts/{id}/email/sending/suppressions"
        return {
            domains: {"GET": self._list, "POST": self._onboard},
            f"{domains}/preview": {"POST": self._preview},
            f"{domains}/{{id}}": {"GET": self._get, "DELETE": self._remove},
            f"{domains}/{{id}}/dns": {"GET": self._dns, "POST": self._fix},
            f"{domains}/{{id}}/dns/status": {"GET": self._status},
            suppressions: {"GET": self._suppressions, "POST": self._suppress},
            f"{suppressions}/{_UUID}": {"GET": self._suppression, "DELETE": self._release},
        }

    # -- domains -------------------------------------------------------------------------------------------------------

    def _list(self, request: Request, zone_id: str) -> Response:
        state = self._state(request, zone_id, f"{SENDING}:Read")
        with state.lock:
            return listing([entry.to_json() for entry in state.mail.sending.values()])

    def _onboard(self, request: Request, zone_id: str) -> Response:
        state, options = self._state(request, zone_id, f"{SENDING}:Edit"), self.account.options
        now = self.account.clock()
        entry = state.change_mail(
            lambda working, reader: sending.onboard(state.mail, working, reader, request.body, options, now)
        )
        self._record(request, "create", "email_sending_subdomain", entry.tag, state)
        return envelope(entry.to_json())

    def _preview(self, request: Request, zone_id: str) -> Response:
        state = self._state(request, zone_id, f"{SENDING}:Read")
        return envelope(sending.preview(state.zone, request.body, list(state.snapshot().values())))

    def _get(self, request: Request, zone_id: str, tag: str) -> Response:
        return envelope(self._entry(request, zone_id, tag)[1].to_json())

    def _remove(self, request: Request, zone_id: str, tag: str) -> Response:
        """Described without a result."""
        state = self._state(request, zone_id, f"{SENDING}:Edit")
        state.change_mail(lambda working, _reader: sending.remove(state.mail, working, tag))
        self._record(request, "delete", "email_sending_subdomain", tag, state)
        answer = envelope(None)
        del answer.json["result"]
        return answer

    def _dns(self, request: Request, zone_id: str, tag: str) -> Response:
        state, entry = self._entry(request, zone_id, tag)
        return listing([records.shown(body) for body in records.sending_bodies(state.zone, entry.name)])

    def _fix(self, request: Request, zone_id: str, tag: str) -> Response:
        state, options = self._state(request, zone_id, f"{SENDING}:Edit"), self.account.options
        state.change_mail(lambda working, reader: sending.fix(sending.find(state.mail, tag), working, reader, options))
        return self._status(request, zone_id, tag)

    def _status(self, request: Request, zone_id: str, tag: str) -> Response:
        state, entry = self._entry(request, zone_id, tag)
        return envelope(sending.status(state.zone, entry, list(state.snapshot().values())))

    def _entry(self, request: Request, zone_id: str, tag: str) -> tuple[ZoneState, SendingDomain]:
        state = self._state(request, zone_id, f"{SENDING}:Read")
        with state.lock:
            return state, sending.find(state.mail, tag)

    # -- suppressions --------------------------------------------------------------------------------------------------

    def _suppressions(self, request: Request, account: str) -> Response:
        self._account(request, account, f"{SENDING}:Read")
        self._known(request, ("per_page", "cursor", "email", "reason", "order", "direction"))
        page, info = sending.suppression_page(self.account, request.query)
        answer = envelope(page)
        answer.json["result_info"] = info
        return answer

    def _suppress(self, request: Request, account: str) -> Response:
        self._account(request, account, f"{SENDING}:Edit")
        made = sending.suppress(self.account, request.body)
        self._record(request, "create", "email_sending_suppression", made.id)
        return envelope(made.to_json())

    def _suppression(self, request: Request, account: str, wanted: str) -> Response:
        self._account(request, account, f"{SENDING}:Read")
        return envelope(sending.suppression(self.account, wanted).to_json())

    def _release(self, request: Request, account: str, wanted: str) -> Response:
        self._account(request, account, f"{SENDING}:Edit")
        gone = sending.release(self.account, wanted)
        self._record(request, "delete", "email_sending_suppression", gone.id)
        return envelope({"id": gone.id})
