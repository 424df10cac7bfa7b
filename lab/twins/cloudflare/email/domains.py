# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Email Routing's switch for one domain: enable (or repair and lock), unlock, disable. Each works on a copy of the records."""

from __future__ import annotations

from typing import Any

from ..config import Zone
from ..records import Reader, Record
from ..rules import Working
from . import errors, records
from .model import MAX_DOMAINS, Domain, MailState
from .options import EmailOptions


def needed(zone: Zone, domain: str, options: EmailOptions) -> list[records.Body]:
    return records.routing_bodies(zone, domain, options.dkim_public_key)


def enable(state: MailState, working: Working, reader: Reader, domain: str, options: EmailOptions) -> None:
    """Add what is missing and lock it; on a domain that is enabled already this repairs and locks again. Raises ApiError."""
    bodies = needed(reader.zone, domain, options)
    check_count(state, domain)
    _check_mx(working, domain, bodies, options)
    entry = state.domains.get(domain) or Domain(domain)
    linked = [i for i in entry.linked if i in working.records]
    for body in bodies:
        if body["type"] == "TXT" and body["name"] == domain:
            _put_spf(working, reader, body, linked, options)
        elif body["type"] == "TXT" and any(working.records[i].name == body["name"] for i in linked):
            continue
        else:
            record = records.put(working, reader, body)
            linked = [*linked, record.id] if record.id not in linked else linked
    records.set_locked(working, linked, locked=True)
    entry.linked, entry.locked = linked, True
    state.domains[domain] = entry


def unlock(state: MailState, working: Working, domain: str) -> None:
    """Let clients edit the records and add other MX. They stay linked: disabling removes them. Raises ApiError."""
    entry = _entry(state, domain)
    entry.locked = False
    records.set_locked(working, entry.linked, locked=False)


def disable(state: MailState, working: Working, domain: str) -> list[Record]:
    """Remove what is linked, edited or not (cloudflare-docs, pull request 32101). Gives the removed records."""
    entry = _entry(state, domain)
    del state.domains[domain]
    return records.remove(working, entry.linked)


def sweep(state: MailState, working: Working) -> list[Record]:
    """Remove managed records that belong to no domain: disabling a zone that is off clears what was left behind
    (documentation, troubleshooting of DNS records). Gives them."""
    linked = [entry.linked for entry in state.domains.values()] + [entry.linked for entry in state.sending.values()]
    known = {record_id for ids in linked for record_id in ids}
    stray = [r.id for r in working.records.values() if r.meta.get("email_routing") and r.id not in known]
    return records.remove(working, stray)


def status(state: MailState, zone: Zone, present: list[Record], options: EmailOptions) -> str:
    """The settings' ``status``, which follows from what DNS holds at the zone's apex."""
    if state.forced_status:
        return state.forced_status
    if not state.domains:
        return "unconfigured"
    entry = state.domains.get(zone.name)
    wrong = report(zone, present, zone.name, options)["errors"]
    locked = entry is not None and entry.locked
    if wrong:
        return "misconfigured/locked" if locked else "misconfigured"
    return "ready" if locked else "unlocked"


def report(zone: Zone, present: list[Record], domain: str, options: EmailOptions) -> dict[str, Any]:
    """The longer of the two answers of ``GET …/dns``."""
    bodies = needed(zone, domain, options)
    return {"errors": records.mistakes(present, bodies), "record": [records.shown(body) for body in bodies]}


def check_count(state: MailState, domain: str) -> None:
    """Raises ApiError for one mail domain more than a zone may have."""
    names = set(state.domains) | set(state.sending)
    if domain not in names and len(names) >= MAX_DOMAINS:
        raise errors.too_many_domains(MAX_DOMAINS)


def _entry(state: MailState, domain: str) -> Domain:
    entry = state.domains.get(domain)
    if entry is None:
        raise errors.domain_not_enabled(domain)
    return entry


def _check_mx(working: Working, domain: str, bodies: list[records.Body], options: EmailOptions) -> None:
    ours = {body["content"] for body in bodies if body["type"] == "MX"}
    present = [r for r in working.records.values() if r.name == domain and r.type == "MX"]
    foreign = [r.value.content for r in present if r.value.content not in ours]
    if foreign and options.foreign_mx == "refuse":
        raise errors.foreign_mx(foreign)


def _put_spf(working: Working, reader: Reader, body: records.Body, linked: list[str], options: EmailOptions) -> None:
    """Bring SPF in, as the chosen report says. linked is changed in place.

    Chosen: the service's own record that was merged with other senders while unlocked is locked as it is.
    """
    present = [r for r in working.records.values() if r.name == body["name"] and records.is_spf(r)]
    own = [r for r in present if r.id in linked and records.SPF_INCLUDE in records.text_of(r).split(" ")]
    if own or (present and options.spf == "keep"):
        return
    for record in present if options.spf == "replace" else ():
        working.remove(record)
        if record.id in linked:
            linked.remove(record.id)
    linked.append(records.put(working, reader, body).id)
