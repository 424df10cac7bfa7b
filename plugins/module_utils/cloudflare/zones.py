# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finding zones, listing their records, and putting refusals into words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple, Union

from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.client import (
    EMAIL_ROUTING_CODES,
    QUOTA_CODES,
    SCOPE_CODES,
    TOKEN_CODES,
    Client,
    RefusalError,
)
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.limits import (
    BATCH_CAP,
    BATCH_CAP_PAID,
    QUOTA,
    QUOTA_PAID,
    RECORDS_PER_PAGE,
    ZONES_PER_PAGE,
)
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.wire import WireError, decode
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError, Problem
from ansible_collections.mailstead.stack.plugins.module_utils.dns import rdata
from ansible_collections.mailstead.stack.plugins.module_utils.dns.provider import Zone
from ansible_collections.mailstead.stack.plugins.module_utils.dns.records import Have

_SCOPES = "Give the token the permissions Zone Read and DNS Write (called DNS Edit when making it) for the zones it is to keep."


@dataclass(frozen=True)
class ZoneInfo:
    """A zone as far as known; of one that was given by id only, no more than that.

    type: ``full`` (Cloudflare is its primary), ``partial`` or ``secondary``. paused: its proxy is off. account: id of the
    account that holds it.
    """

    id: str
    name: str
    status: str = ""
    plan: str = ""
    name_servers: Tuple[str, ...] = ()
    type: str = ""
    paused: bool = False
    account: str = ""

    @property
    def batch_cap(self) -> int:
        """The smaller cap where the plan is not known."""
        return BATCH_CAP_PAID if self.plan and self.plan not in BATCH_CAP else BATCH_CAP["free"]

    @property
    def likely_quota(self) -> int:
        return QUOTA_PAID if self.plan and self.plan not in QUOTA else QUOTA["free"]

    @property
    def has_tags(self) -> bool:
        """Tags are part of the paid plans."""
        return bool(self.plan) and self.plan not in QUOTA


#: A zone whose id and name are known.
AnyZone = Union[ZoneInfo, Zone]


def zone_info(client: Client, raw: Any) -> ZoneInfo:
    """A zone of the listing. Raises MailsteadError."""
    if not isinstance(raw, dict) or not isinstance(raw.get("id"), str) or not isinstance(raw.get("name"), str):
        raise client.malformed("GET /zones", "a zone has no id or no name")
    plan, account = raw.get("plan"), raw.get("account")
    return ZoneInfo(
        id=raw["id"],
        name=_canonical(client.clean(raw["name"])),
        status=client.clean(str(raw.get("status") or "")),
        plan=str(plan.get("legacy_id") or "") if isinstance(plan, dict) else "",
        name_servers=tuple(str(n).lower().rstrip(".") for n in raw.get("name_servers") or ()),
        type=client.clean(str(raw.get("type") or "")),
        paused=raw.get("paused") is True,
        account=str(account.get("id") or "") if isinstance(account, dict) else "",
    )


def _canonical(name: str) -> str:
    """A zone's name as we write it, whether it came in A-labels or in the letters of its language."""
    try:
        return rdata.name(name)
    except rdata.RdataError:
        return name.lower()


def find_zones(
    client: Client, wanted: Sequence[Tuple[str, str]], label: str = ""
) -> Tuple[Dict[str, ZoneInfo], List[Problem]]:
    """The zones for (name, id) pairs, by name, and a problem for each that is no zone of the token.

    No request at all when every id is given. One page holds 50 zones; in a larger account single names are asked for
    instead, if that is fewer requests. Raises MailsteadError when the token is refused.
    """
    open_names = {name for name, zone_id in wanted if not zone_id}
    found: Dict[str, List[ZoneInfo]] = {}
    seen: List[str] = []
    if open_names:
        try:
            _look_up(client, open_names, found, seen, label)
        except RefusalError as refusal:
            raise MailsteadError([explain_refusal(client, refusal, "the list of zones")]) from refusal
    problems: List[Problem] = []
    out: Dict[str, ZoneInfo] = {}
    for name, zone_id in wanted:
        candidates = found.get(name, [])
        live = [z for z in candidates if z.status == "active"] or candidates
        if zone_id:
            out[name] = ZoneInfo(zone_id, name)
        elif len(live) == 1:
            out[name] = live[0]
        elif live:
            ids = ", ".join(f"{z.id} ({z.status})" for z in live)
            what = f"the token sees {len(live)} zones of this name: {ids}"
            problems.append(Problem("MS-CF-012", f"zone {name}", what, "Give the id of the right one."))
        else:
            problems.append(_unknown(name, seen))
    return out, problems


def all_zones(client: Client, label: str = "") -> List[ZoneInfo]:
    """Every zone the token sees. Raises MailsteadError."""
    try:
        return [
            zone_info(client, raw)
            for page in client.pages("/zones", ZONES_PER_PAGE, label=label)
            for raw in page.result
        ]
    except RefusalError as refusal:
        raise MailsteadError([explain_refusal(client, refusal, "the list of zones")]) from refusal


def _look_up(client: Client, names: set[str], found: Dict[str, List[ZoneInfo]], seen: List[str], label: str) -> None:
    def take(page: Iterable[Any]) -> None:
        for raw in page:
            info = zone_info(client, raw)
            seen.append(info.name)
            if info.name in names:
                found.setdefault(info.name, []).append(info)

    for number, page in enumerate(client.pages("/zones", ZONES_PER_PAGE, label=label), start=1):
        take(page.result)
        missing = sorted(names - set(found))
        total = page.info.get("total_pages")
        pages_left = total - number if isinstance(total, int) else 0
        if not missing:
            return
        if 0 < len(missing) < pages_left:
            for name in missing:
                for single in client.pages("/zones", ZONES_PER_PAGE, {"name": name}, label):
                    take(single.result)
            return


def _unknown(name: str, seen: Sequence[str]) -> Problem:
    if not seen:
        what = "the token sees no zone at all"
        fix = f"{_SCOPES} With DNS Write alone the zone's id has to be given."
        return Problem("MS-CF-003", f"zone {name}", what, fix)
    shown = ", ".join(sorted(seen)[:20]) + (", …" if len(seen) > 20 else "")
    what = f"it is no zone of the token, which sees {shown}"
    parents = [z for z in seen if rdata.within(name, z)]
    if parents:
        fix = f"Publish its records in the zone {max(parents, key=len)}, of which it is a part; or let the token see the zone."
    else:
        fix = "Correct the name, add the domain to the Cloudflare account, or let the token see the zone."
    return Problem("MS-CF-003", f"zone {name}", what, fix)


def list_records(client: Client, zone: AnyZone, label: str = "") -> List[Have]:
    """All records of a zone. Raises MailsteadError."""
    path = f"/zones/{zone.id}/dns_records"
    out: Dict[str, Have] = {}
    try:
        for page in client.pages(path, RECORDS_PER_PAGE, label=label):
            for raw in page.result:
                record = decode(raw)
                out[record.id] = record
    except WireError as error:
        raise client.malformed(f"GET {path}", str(error)) from error
    except RefusalError as refusal:
        raise MailsteadError([explain_refusal(client, refusal, f"zone {zone.name}")]) from refusal
    strangers = [r.name for r in out.values() if not rdata.within(r.name, zone.name)]
    if strangers:
        raise MailsteadError([wrong_id(zone, client.clean(strangers[0]))])
    return list(out.values())


def wrong_id(zone: AnyZone, name: str) -> Problem:
    what = f"the id {zone.id} belongs to another zone: it holds {name}"
    return Problem(
        "MS-CF-003", f"zone {zone.name}", what, "Correct the id, or leave it out to have the zone looked up."
    )


def read_zone(client: Client, zone: AnyZone, label: str = "") -> ZoneInfo:
    """A zone given by id, completed. Raises MailsteadError, also when the id is another zone's."""
    try:
        info = zone_info(client, client.read(f"/zones/{zone.id}", label=label).result)
    except RefusalError as refusal:
        raise MailsteadError([explain_refusal(client, refusal, f"zone {zone.name}")]) from refusal
    if info.name != zone.name:
        raise MailsteadError([wrong_id(zone, info.name)])
    return info


def record_quota(client: Client, zone: AnyZone, label: str = "") -> Optional[int]:
    """How many records the zone may hold; None when unlimited or not told."""
    try:
        return _usage(client.read(f"/zones/{zone.id}/dns_records/usage", label=label).result)[0]
    except RefusalError:
        return None


def read_usage(client: Client, zone: AnyZone, label: str = "") -> Tuple[Optional[int], Optional[int]]:
    """Records the zone may hold (None: unlimited) and does hold. Raises MailsteadError."""
    return _usage(_read_part(client, zone, "dns_records/usage", label))


def _usage(result: Any) -> Tuple[Optional[int], Optional[int]]:
    found: Mapping[str, Any] = result if isinstance(result, dict) else {}
    quota, used = found.get("record_quota"), found.get("record_usage")
    return (quota if isinstance(quota, int) else None), (used if isinstance(used, int) else None)


def read_settings(client: Client, zone: AnyZone, label: str = "") -> Dict[str, Any]:
    """The zone's DNS settings as the API gives them. Raises MailsteadError."""
    found = _read_part(client, zone, "dns_settings", label)
    if not isinstance(found, dict):
        raise client.malformed(f"GET /zones/{zone.id}/dns_settings", "no object")
    return found


def _read_part(client: Client, zone: AnyZone, part: str, label: str) -> Any:
    try:
        return client.read(f"/zones/{zone.id}/{part}", label=label).result
    except RefusalError as refusal:
        raise MailsteadError([explain_refusal(client, refusal, f"zone {zone.name}")]) from refusal


def export_zone(client: Client, zone: AnyZone, label: str = "") -> str:
    """The zone as a master file, as Cloudflare writes it. Raises MailsteadError."""
    try:
        return client.text(f"/zones/{zone.id}/dns_records/export", label)
    except RefusalError as refusal:
        raise MailsteadError([explain_refusal(client, refusal, f"zone {zone.name}")]) from refusal


def explain_refusal(client: Client, refusal: RefusalError, where: str) -> Problem:
    """A refused read, or a write refused as a whole, as a problem. Asks once whether the token lives, if that is the doubt."""
    codes = refusal.codes
    if codes & EMAIL_ROUTING_CODES:
        fix = "Turn Email Routing off for the zone (or leave MX to it), then run again."
        return Problem("MS-CF-009", where, f"Cloudflare keeps the MX itself: {refusal.words()}", fix)
    if codes & QUOTA_CODES:
        fix = "Remove records that nobody needs, or move the zone to a larger plan."
        return Problem("MS-DNS-023", where, f"the zone is full: {refusal.words()}", fix)
    if refusal.status in (401, 403) or codes & (TOKEN_CODES | SCOPE_CODES):
        return _explain_token(client, refusal, where)
    fix = "Read Cloudflare's words; nothing of this request was applied. If the record looks right, report the code."
    return Problem("MS-CF-007", where, f"Cloudflare refused: {refusal.words()}", fix)


def _explain_token(client: Client, refusal: RefusalError, where: str) -> Problem:
    renew = "Make a new token in the dashboard (My Profile, API Tokens) with Zone Read and DNS Write; put it into api_token."
    if refusal.codes & {6003, 6111, 6103, 1001, 9106}:
        what = f"Cloudflare cannot read the token: {refusal.words()}"
        return Problem("MS-CF-002", "api_token", what, "Copy it again, whole and without quotation marks. " + renew)
    try:
        state = client.read("/user/tokens/verify", label="token").result
    except RefusalError as verify:
        listing = refusal.request == "GET /zones"
        if client.account_owned and (refusal.codes & SCOPE_CODES or not listing):
            # The endpoint for users knows no account-owned tokens: that answer proves nothing.
            return Problem("MS-CF-001", where, f"Cloudflare refused the token: {refusal.words()}", _SCOPES)
        what = f"Cloudflare does not know the token: {refusal.words()}; asked about it: {verify.words()}"
        return Problem("MS-CF-002", "api_token", what, renew)
    except MailsteadError:
        return Problem("MS-CF-001", where, f"Cloudflare refused the token: {refusal.words()}", _SCOPES)
    details: Mapping[str, Any] = state if isinstance(state, dict) else {}
    status = str(details.get("status") or "unknown")
    if status == "active":
        what = f"the token is alive but not allowed to do this: {refusal.words()}"
        return Problem("MS-CF-001", where, what, _SCOPES)
    since = f" since {details['expires_on']}" if details.get("expires_on") and status == "expired" else ""
    return Problem("MS-CF-002", "api_token", f"the token is {client.clean(status + since)}: {refusal.words()}", renew)
