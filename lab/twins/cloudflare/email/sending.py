# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Email Sending: onboarding a domain with its records, its conflict with a DMARC policy, recipients not written to.

Its records are locked for as long as the domain is onboarded, and go with it, the DMARC policy it wrote included
(documentation, "Domain configuration").
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any

from ..config import Zone
from ..errors import invalid_query
from ..query import direction, number
from ..records import Reader, Record
from ..rules import Working
from . import domains, errors, records
from .account import EmailAccount
from .ids import mail_address, new_id, new_uuid
from .model import MailState, SendingDomain, Suppression
from .options import EmailOptions

REASONS = ("manual", "complaint", "hard_bounce", "soft_bounce")
ORDERS = ("created_at", "email", "expires_at")

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


def onboard(
    state: MailState, working: Working, reader: Reader, body: Any, options: EmailOptions, now: str
) -> SendingDomain:
    """Add a domain with its records; one that is there already gets what is missing. Raises ApiError."""
    if not options.sending_entitled:
        raise errors.not_entitled()
    name = domain_name(body, reader.zone)
    domains.check_count(state, name)
    entry = state.sending.get(name) or SendingDomain(new_id(), name, now, now)
    fix(entry, working, reader, options)
    entry.modified = now
    state.sending[name] = entry
    return entry


def fix(entry: SendingDomain, working: Working, reader: Reader, options: EmailOptions) -> None:
    """Write what is missing and lock it. Raises ApiError 2008, 2026 or 2027 for what people have to clear up."""
    bodies = records.sending_bodies(reader.zone, entry.name)
    _check_conflicts(working, bodies)
    linked = [i for i in entry.linked if i in working.records]
    for body in bodies:
        if body["name"].startswith("_dmarc."):
            others = [r for r in working.records.values() if r.name == body["name"] and records.is_dmarc(r)]
            if others and (options.sending_dmarc == "keep" or others[0].id in linked):
                continue
            for record in others:
                working.remove(record)
        record = records.put(working, reader, body)
        if record.id not in linked:
            linked.append(record.id)
    entry.linked = linked


def remove(state: MailState, working: Working, tag: str) -> list[Record]:
    """Take a domain off, with its records. Raises ApiError."""
    entry = find(state, tag)
    del state.sending[entry.name]
    return records.remove(working, entry.linked)


def find(state: MailState, tag: str) -> SendingDomain:
    for entry in state.sending.values():
        if entry.tag == tag:
            return entry
    raise errors.sending_not_found()


def status(zone: Zone, entry: SendingDomain, present: list[Record]) -> dict[str, Any]:
    """``…/dns/status``: needed records, what is wrong and the state that follows."""
    bodies = records.sending_bodies(zone, entry.name)
    wrong = records.mistakes(present, bodies)
    return {
        "records": [records.shown(b) for b in bodies],
        "errors": wrong,
        "status": "misconfigured" if wrong else "ready",
    }


def preview(zone: Zone, body: Any, present: list[Record]) -> dict[str, Any]:
    """What onboarding would write and what is in its way."""
    bodies = records.sending_bodies(zone, domain_name(body, zone))
    return {"records": [records.shown(b) for b in bodies], "errors": records.mistakes(present, bodies)}


def domain_name(body: Any, zone: Zone) -> str:
    """The ``name`` of a body: the zone or a name in it. Raises ApiError."""
    name = body.get("name") if isinstance(body, dict) else None
    if not isinstance(name, str) or not name:
        raise errors.invalid_input("name is expected", "/name")
    name = name.lower().rstrip(".")
    if name != zone.name and not name.endswith("." + zone.name):
        raise errors.unknown_domain(name)
    if name.startswith("*"):
        raise errors.not_entitled()
    return name


def _check_conflicts(working: Working, bodies: list[records.Body]) -> None:
    for wrong in records.mistakes(working.records.values(), bodies):
        if wrong["code"] == "mx.foreign":
            raise errors.foreign_mx([wrong["existing"]["content"]])
        if wrong["code"] == "spf.multiple":
            raise errors.multiple_spf()
        if wrong["code"] == "dmarc.multiple":
            raise errors.multiple_dmarc()


# -- recipients not written to -----------------------------------------------------------------------------------------


def suppress(account: EmailAccount, body: Any) -> Suppression:
    """Add a recipient by hand. Raises ApiError; chosen: one that is there already is given back."""
    given = body if isinstance(body, dict) else {}
    if set(given) - {"email", "expires_at"}:
        raise errors.invalid_input("email and expires_at are known")
    address, expires = mail_address(given.get("email"), "/email"), given.get("expires_at")
    if expires is not None and not (isinstance(expires, str) and _TIME.fullmatch(expires)):
        raise errors.invalid_input("expires_at is a time in UTC", "/expires_at")
    with account.lock:
        for found in account.suppressions.values():
            if found.email.lower() == address.lower():
                return found
        return add_suppression(account, address, "manual", expires)


def add_suppression(account: EmailAccount, address: str, reason: str, expires: str | None = None) -> Suppression:
    """Past all checks, as bounces and complaints do."""
    with account.lock:
        made = Suppression(new_uuid(), address, reason, account.clock(), expires)
        account.suppressions[made.id] = made
        account.save()
        return made


def release(account: EmailAccount, wanted: str) -> Suppression:
    with account.lock:
        found = suppression(account, wanted)
        del account.suppressions[wanted]
        account.save()
        return found


def suppression(account: EmailAccount, wanted: str) -> Suppression:
    """Raises ApiError."""
    found = account.suppressions.get(wanted)
    if found is None:
        raise errors.suppression_not_found()
    return found


def suppression_page(account: EmailAccount, query: Mapping[str, str]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """A page by cursor, which remembers where it is but, unlike the API's, not the filters. Raises ApiError."""
    size = number(query, "per_page", 100, 1, 1000)
    order = query.get("order", "created_at")
    if order not in ORDERS or query.get("reason", "manual") not in REASONS:
        raise invalid_query("order or reason is unknown.")
    with account.lock:
        chosen = [
            s
            for s in account.suppressions.values()
            if query.get("email", s.email).lower() == s.email.lower() and query.get("reason", s.reason) == s.reason
        ]
    chosen.sort(key=lambda s: str(getattr(s, order) or ""), reverse="direction" not in query or direction(query))
    start = _position(query.get("cursor", ""))
    page = chosen[start : start + size]
    following = start + size < len(chosen)
    info = {"count": len(page), "per_page": size, "next_cursor": _cursor(start + size) if following else None}
    return [s.to_json() for s in page], info


def _cursor(position: int) -> str:
    return base64.urlsafe_b64encode(f"at {position}".encode()).decode()


def _position(cursor: str) -> int:
    if not cursor:
        return 0
    try:
        return int(base64.urlsafe_b64decode(cursor).decode().removeprefix("at "))
    except ValueError:
        raise invalid_query("cursor is none of ours.") from None
