# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a token is good for: whether it lives, which permissions it has, which zones it sees and what those still hold.

Cloudflare does not tell a token its own permissions. Verifying proves that it lives and nothing else, so every permission
that is needed is tried with one read that changes nothing; the right to write beside it cannot be tried that way and is
judged by what the zone's listing says.
"""

from __future__ import annotations

import dataclasses
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple, Union

from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.client import (
    SCOPE_CODES,
    TOKEN_CODES,
    Client,
    Page,
    RefusalError,
)
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.limits import ZONES_PER_PAGE
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.token_model import (
    NEEDS,
    Capability,
    Rate,
    Report,
    SeenZone,
    Token,
    Wanted,
    days_until,
    rate_of,
)
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.token_words import problems, warnings
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.zones import (
    ZoneInfo,
    zone_info,
)
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError

#: Connections; each costs a TLS handshake, so few are faster than many here.
WORKERS = 4
#: Codes of a token that Cloudflare cannot even read: malformed, or nobody's header.
UNREADABLE_CODES = frozenset({1001, 6003, 6103, 6111, 9106})


@dataclass(frozen=True)
class _Listing:
    """The zones of the token, or why there are none. asked: False when there was no need to ask."""

    zones: Tuple[SeenZone, ...] = ()
    refusal: Optional[RefusalError] = None
    asked: bool = True


def inspect(client: Client, wanted: Wanted, now: Optional[Callable[[], datetime]] = None) -> Report:
    """Look at the token. Raises MailsteadError when it is dead or Cloudflare cannot be reached; what it lacks is reported."""
    moment = (now or (lambda: datetime.now(timezone.utc)))()
    pages = _Pages(client)
    with ThreadPoolExecutor(max_workers=WORKERS) as pool:
        listing_due: Future[_Listing] = pool.submit(_list, pages, client, wanted)
        verified = None if client.account_owned else _verify(pages, "/user/tokens/verify")
        listing = listing_due.result()
        if isinstance(verified, RefusalError) and not listing.asked and not wanted.account:
            # Whether the token is dead, or of the other kind, shows there; and so does its account.
            listing = _list_all(pages, client)
        accounts = list(dict.fromkeys(a for a in (wanted.account, *(z.account for z in listing.zones)) if a))
        if not isinstance(verified, Mapping):
            verified = _verify_account(pages, accounts) or verified
        token = _token(client, verified, listing, moment)
        zones = _chosen(wanted, listing)
        tried = list(pool.map(lambda probe: _try(pages, probe), _probes(wanted, zones, accounts)))
    capabilities = tuple(_capabilities(wanted, listing, tried))
    zones = [_filled(zone, tried) for zone in zones]
    seen = tuple(sorted(z.info.name for z in listing.zones))
    missing = tuple(sorted(name for name, given in wanted.zones.items() if not given and name not in seen))
    rate = pages.rate()
    return Report(
        token=token,
        capabilities=capabilities,
        zones=tuple(zones),
        seen=seen,
        missing=missing,
        rate=rate,
        warnings=tuple(warnings(wanted, token, zones, capabilities, rate)),
        problems=tuple(problems(wanted, token, capabilities, seen, missing)),
    )


class _Pages:
    """Reads, and keeps the smallest rate limit that any answer told."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._rates: List[Rate] = []

    def read(self, path: str, query: Optional[Mapping[str, Any]] = None) -> Page:
        page = self._client.read(path, query, "token")
        found = rate_of(page.headers)
        if found:
            self._rates.append(found)
        return page

    def rate(self) -> Optional[Rate]:
        return min(self._rates, key=lambda rate: rate.remaining, default=None)


# -- is it alive -------------------------------------------------------------------------------------------------------


def _verify(pages: _Pages, path: str) -> Union[Mapping[str, Any], RefusalError]:
    try:
        result = pages.read(path).result
    except RefusalError as refusal:
        return refusal
    return result if isinstance(result, dict) else {}


def _verify_account(pages: _Pages, accounts: Sequence[str]) -> Union[Mapping[str, Any], RefusalError, None]:
    """The endpoint for users knows no token of an account, and the other way round. None without an account."""
    found: Union[Mapping[str, Any], RefusalError, None] = None
    for account in accounts:
        found = _verify(pages, f"/accounts/{account}/tokens/verify")
        if isinstance(found, Mapping):
            return {**found, "kind": "account"}
    return found


def _token(
    client: Client, verified: Union[Mapping[str, Any], RefusalError, None], listing: _Listing, now: datetime
) -> Token:
    """The token's state. Raises MailsteadError for one that cannot be used."""
    renew = (
        "Make a new token in the dashboard (My Profile, API Tokens; for one of the account: Manage Account, Account API "
        "Tokens) and put it where this one came from."
    )
    if not isinstance(verified, Mapping):
        refusals = [r for r in (verified, listing.refusal) if isinstance(r, RefusalError)]
        if any(r.codes & UNREADABLE_CODES for r in refusals):
            what = f"Cloudflare cannot read the token: {refusals[0].words()}"
            raise MailsteadError.one(
                "MS-CF-002", "api_token", what, "Copy it again, whole and without quotation marks."
            )
        # One endpoint alone proves nothing: it knows one kind of token only. The listing of zones knows both.
        proof = listing.refusal if listing.asked else refusals[-1] if refusals else None
        if proof is not None and proof.codes & TOKEN_CODES:
            what = f"Cloudflare does not know the token: {'; '.join(r.words() for r in refusals)}"
            raise MailsteadError.one("MS-CF-002", "api_token", what, renew)
        return Token(kind="account" if client.account_owned else "")
    status = client.clean(str(verified.get("status") or ""))
    expires = client.clean(str(verified.get("expires_on") or ""))
    if status != "active":
        since = f" since {expires}" if expires and status == "expired" else ""
        raise MailsteadError.one(
            "MS-CF-002", "api_token", f"the token is {status or 'in no known state'}{since}", renew
        )
    return Token(
        id=client.clean(str(verified.get("id") or "")),
        kind=str(verified.get("kind", "user")),
        status=status,
        expires_on=expires,
        not_before=client.clean(str(verified.get("not_before") or "")),
        days_left=days_until(expires, now),
    )


# -- which zones it sees -----------------------------------------------------------------------------------------------


def _list(pages: _Pages, client: Client, wanted: Wanted) -> _Listing:
    """All zones; none are asked for when every id is known and nothing else is to be learnt from them."""
    needs_account = not wanted.account and (
        client.account_owned or any(not NEEDS[n].of_zone and n != "zones" for n in wanted.needs)
    )
    if wanted.zones and all(wanted.zones.values()) and "zones" not in wanted.needs and not needs_account:
        return _Listing(asked=False)
    return _list_all(pages, client)


def _list_all(pages: _Pages, client: Client) -> _Listing:
    found: List[SeenZone] = []
    number, total = 1, 1
    try:
        while number <= total:
            page = pages.read("/zones", {"page": number, "per_page": ZONES_PER_PAGE})
            if not isinstance(page.result, list):
                raise client.malformed("GET /zones", "a list of zones is missing")
            found += [_seen(client, raw) for raw in page.result]
            pages_told = page.info.get("total_pages")
            total = pages_told if isinstance(pages_told, int) else 1
            number += 1
    except RefusalError as refusal:
        return _Listing(refusal=refusal)
    return _Listing(tuple(found))


def _seen(client: Client, raw: Any) -> SeenZone:
    info = zone_info(client, raw)
    account = raw.get("account")
    permissions = raw.get("permissions")
    rights = set(permissions) if isinstance(permissions, list) else set()
    told = bool(rights & {"#dns_records:read", "#dns_records:edit"})
    return SeenZone(
        info=info,
        account=str(account.get("id") or "") if isinstance(account, dict) else "",
        writable="#dns_records:edit" in rights if told else None,
    )


def _chosen(wanted: Wanted, listing: _Listing) -> List[SeenZone]:
    """The wanted zones that can be addressed, in the order wanted; all that are seen when none is wanted."""
    if not wanted.zones:
        return sorted(listing.zones, key=lambda z: (z.info.name, z.info.id))
    by_id = {z.info.id: z for z in listing.zones}
    by_name: Dict[str, SeenZone] = {}
    for zone in listing.zones:
        # Of two zones of one name, the active one is the one that is served.
        if zone.info.name not in by_name or zone.info.status == "active":
            by_name[zone.info.name] = zone
    out: List[SeenZone] = []
    for name, zone_id in wanted.zones.items():
        if zone_id:
            out.append(by_id.get(zone_id) or SeenZone(ZoneInfo(zone_id, name)))
        elif name in by_name:
            out.append(by_name[name])
    return out


# -- what it may do ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Probe:
    """One read. target: id of the zone or account, empty when none is known; on: its name for people."""

    need: str
    target: str
    on: str


@dataclass(frozen=True)
class _Tried:
    probe: _Probe
    result: Any = None
    refusal: Optional[RefusalError] = None


def _probes(wanted: Wanted, zones: Sequence[SeenZone], accounts: Sequence[str]) -> List[_Probe]:
    """One read per need, and one per wanted zone for the records: it tells the quota as well."""
    out: List[_Probe] = []
    for name in dict.fromkeys(wanted.needs):
        need = NEEDS[name]
        if name == "zones":
            continue
        if name == "dns" and wanted.zones and zones:
            out += [_Probe(name, z.info.id, f"zone {z.info.name}") for z in zones]
        elif need.of_zone:
            first = zones[0].info if zones else ZoneInfo("", "")
            out.append(_Probe(name, first.id, f"zone {first.name}" if zones else "no zone"))
        else:
            first_account = accounts[0] if accounts else ""
            out.append(_Probe(name, first_account, f"account {first_account}" if accounts else "no account"))
    return out


def _try(pages: _Pages, probe: _Probe) -> _Tried:
    if not probe.target:
        return _Tried(probe)
    need = NEEDS[probe.need]
    try:
        return _Tried(probe, pages.read(need.path.format(zone=probe.target, account=probe.target), need.query).result)
    except RefusalError as refusal:
        return _Tried(probe, refusal=refusal)


def _capabilities(wanted: Wanted, listing: _Listing, tried: Sequence[_Tried]) -> List[Capability]:
    out: List[Capability] = []
    if "zones" in wanted.needs:
        refusal = listing.refusal
        out.append(
            Capability("zones", NEEDS["zones"].permission, _status(refusal), "the list of zones", _words(refusal))
        )
    for one in tried:
        need = NEEDS[one.probe.need]
        status = _status(one.refusal) if one.probe.target else "untried"
        out.append(Capability(one.probe.need, need.permission, status, one.probe.on, _words(one.refusal)))
    return out


def _status(refusal: Optional[RefusalError]) -> str:
    if refusal is None:
        return "granted"
    denied = refusal.status in (401, 403) or refusal.codes & (SCOPE_CODES | TOKEN_CODES)
    return "missing" if denied else "unclear"


def _words(refusal: Optional[RefusalError]) -> str:
    return "" if refusal is None else refusal.words()


def _filled(zone: SeenZone, tried: Sequence[_Tried]) -> SeenZone:
    """With the usage that was read for it."""
    for one in tried:
        if one.probe.need == "dns" and one.probe.target == zone.info.id and isinstance(one.result, dict):
            used, quota = one.result.get("record_usage"), one.result.get("record_quota")
            return dataclasses.replace(
                zone,
                used=used if isinstance(used, int) else None,
                limit=quota if isinstance(quota, int) else None,
            )
    return zone
