# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Statistics over GraphQL and the audit log in its two versions."""

from __future__ import annotations

from typing import Any

from ..access import Request, Table, caller_of
from ..query import paginate
from ..response import Response, envelope
from ..state import ZoneState
from . import analytics, graphql
from .audit import Audit
from .base import MailAccess
from .graphql import Field, QueryError

ANALYTICS, LOGS = "Analytics", "Account Settings"
#: ``settings`` of a dataset: what its limits are (documentation of the API; figures as seen). Reports differ on how wide a
#: query may be, so only its age is enforced.
LIMITS = {
    "enabled": True,
    "maxDuration": 30 * 86400,
    "maxNumberOfFields": analytics.FIELDS_MAX,
    "maxPageSize": analytics.ROWS_MAX,
    "notOlderThan": int(analytics.RETENTION.total_seconds()),
}


class InsightApi(MailAccess):
    """Answers ``/graphql`` and the audit logs."""

    def table(self) -> Table:
        return {
            "/graphql": {"POST": self._graphql},
            "/accounts/{id}/logs/audit": {"GET": self._audit},
            "/accounts/{id}/audit_logs": {"GET": self._old_audit},
        }

    def _audit(self, request: Request, account: str) -> Response:
        self._account(request, account, f"{LOGS}:Read")
        self._known(request, Audit.PARAMETERS)
        items, info = self.account.audit.page(request.query)
        answer = envelope(items)
        answer.json["result_info"] = info
        return answer

    def _old_audit(self, request: Request, account: str) -> Response:
        self._account(request, account, f"{LOGS}:Read")
        self._known(request, Audit.OLD_PARAMETERS)
        items, info = paginate(self.account.audit.old(request.query), request.query, default=100, low=1, high=1000)
        return envelope(items, info=info)

    # -- GraphQL -------------------------------------------------------------------------------------------------------

    def _graphql(self, request: Request) -> Response:
        """Always HTTP 200, ``{data, errors}`` without the envelope (documentation of the GraphQL API)."""
        body = request.body if isinstance(request.body, dict) else {}
        headers = {"Content-Type": "application/json"}
        try:
            query, variables = body.get("query"), body.get("variables") or {}
            if not isinstance(query, str) or not isinstance(variables, dict):
                raise QueryError("a query is expected")
            fields = graphql.parse(query, variables)
            return Response(200, headers, {"data": self._root(request, fields), "errors": None})
        except QueryError as error:
            extensions = {"code": error.code, "timestamp": self.account.clock()}
            wrong = {"message": str(error), "path": list(error.path) or None, "extensions": extensions}
            return Response(200, headers, {"data": None, "errors": [wrong]})

    def _root(self, request: Request, fields: tuple[Field, ...]) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for field in fields:
            if field.name != "viewer":
                raise QueryError(f'unknown field "{field.name}"')
            out[field.key] = {sub.key: self._zones(request, sub) for sub in field.selection}
        return out

    def _zones(self, request: Request, field: Field) -> list[dict[str, Any]]:
        if field.name != "zones":
            raise QueryError(f'unknown field "{field.name}"')
        conditions = field.arguments.get("filter", {})
        wanted = conditions.get("zoneTag_in", [conditions.get("zoneTag")])
        found: list[dict[str, Any]] = []
        for tag in wanted:
            state, caller = self.zones.get(str(tag)), caller_of(request)
            if state is None or not caller.sees(state.zone) or not caller.may(f"{ANALYTICS}:Read"):
                raise QueryError("not authorized for that zone", "authz", ("viewer", "zones"))
            found.append({sub.key: self._dataset(state, sub) for sub in field.selection})
        return found

    def _dataset(self, state: ZoneState, field: Field) -> Any:
        if field.name == "zoneTag":
            return state.zone.zone_id
        if field.name == "settings":
            return {sub.key: {one.key: _limit(one) for one in sub.selection} for sub in field.selection}
        base = field.name.removesuffix("Groups")
        if base not in analytics.DATASETS:
            raise QueryError(f'unknown field "{field.name}"')
        with state.lock:
            rows = list(state.mail.sent_events if base == "emailSendingAdaptive" else state.mail.events)
        return analytics.answer(field.name, field, rows, self.account.clock())


def _limit(field: Field) -> Any:
    if field.name not in LIMITS:
        raise QueryError(f'unknown field "{field.name}"')
    return LIMITS[field.name]
