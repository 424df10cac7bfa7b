# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tunnels, Access and the records concerned, read from the API; refusals put into words.

Requests: one per hundred zones to find the wanted ones, one for the team, one per page of tunnels, applications, policies and
service tokens, one per remotely managed tunnel for its rules, one per zone for its records.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import json
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.client import Client, RefusalError
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.tunnel_model import (
    TEAM_DOMAIN,
    App,
    Live,
    Policy,
    ServiceToken,
    Tunnel,
    Wanted,
    duration_seconds,
    moment,
)
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.zones import (
    ZoneInfo,
    explain_refusal,
    find_zones,
    list_records,
)
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError, Problem
from ansible_collections.mailstead.stack.plugins.module_utils.dns.records import Have

PER_PAGE = 50
#: A part of the path → the permission that opens it.
PERMISSIONS = {
    "/cfd_tunnel": "Account › Cloudflare Tunnel",
    "/access/service_tokens": "Account › Access: Service Tokens",
    "/access/organizations": "Account › Access: Organizations, Identity Providers, and Groups",
    "/access/": "Account › Access: Apps and Policies",
}
#: Words of Access where it was never set up (public threads: access.api.error.not_enabled).
_NOT_ENABLED = ("not_enabled", "not enabled")


def locate(client: Client, wanted: Sequence[Wanted]) -> Tuple[Dict[str, ZoneInfo], Dict[str, List[Wanted]]]:
    """The zones by name, and the wishes by the account they belong to. Raises MailsteadError."""
    names = list(dict.fromkeys(w.zone for w in wanted if w.zone))
    zones, problems = find_zones(client, [(name, "") for name in names])
    if problems:
        raise MailsteadError(problems)
    accounts: Dict[str, List[Wanted]] = {}
    for want in wanted:
        account = want.account
        if not account and want.zone:
            account = zones[want.zone].account
        if not account:
            what = f"no account is known: {'the zone does not tell its own' if want.zone else 'there is no zone'}"
            fix = "Give account_id; the dashboard shows it on the page of the zone."
            problems.append(Problem("MS-TUN-013", f"tunnel {want.name}", what, fix))
            continue
        accounts.setdefault(account, []).append(want)
    if problems:
        raise MailsteadError(problems)
    return zones, accounts


def read(client: Client, account: str, wanted: Sequence[Wanted], zones: Mapping[str, ZoneInfo]) -> Live:
    """All that a diff needs of one account. Raises MailsteadError."""
    names = {w.name for w in wanted if w.present}

    def whole(tunnel: Tunnel) -> Tunnel:
        if tunnel.name not in names or tunnel.source == "local":
            return tunnel
        return dataclasses.replace(tunnel, config=read_config(client, account, tunnel))

    team = read_team(client, account)
    concerned = sorted({w.zone for w in wanted if w.zone})
    if not team:
        # Without one every question about Access is refused, and there is nothing that could be ours.
        return Live(account)
    return Live(
        account,
        team,
        tuple(whole(t) for t in list_tunnels(client, account)),
        tuple(list_apps(client, account)),
        tuple(list_policies(client, account)),
        tuple(list_tokens(client, account)),
        {name: tuple(_records(client, zones[name])) for name in concerned},
    )


def _records(client: Client, zone: ZoneInfo) -> List[Have]:
    return list_records(client, zone, zone.name)


def read_team(client: Client, account: str) -> str:
    """The team's name, empty where there is none."""
    path = f"/accounts/{account}/access/organizations"
    try:
        result = client.read(path).result
    except RefusalError as refusal:
        if refusal.status == 404 or any(words in refusal.words() for words in _NOT_ENABLED):
            return ""
        raise MailsteadError([explain(client, refusal, "the Zero Trust team")]) from refusal
    domain = str(result.get("auth_domain") or "") if isinstance(result, dict) else ""
    return domain[: -len(TEAM_DOMAIN)] if domain.endswith(TEAM_DOMAIN) else domain.split(".")[0]


def list_tunnels(client: Client, account: str) -> List[Tunnel]:
    """Those that are not deleted."""
    path = f"/accounts/{account}/cfd_tunnel"
    out = []
    for raw in _all(client, path, "the tunnels", {"is_deleted": "false"}):
        if raw.get("deleted_at"):
            continue
        identity, name = _texts(client, path, raw, "id", "name")
        source = raw.get("config_src")
        if source is None and isinstance(raw.get("remote_config"), bool):
            source = "cloudflare" if raw["remote_config"] else "local"
        connections = tuple(c for c in raw.get("connections") or () if isinstance(c, dict))
        out.append(Tunnel(identity, name, str(source or ""), str(raw.get("status") or ""), connections))
    return out


def read_config(client: Client, account: str, tunnel: Tunnel) -> Optional[Mapping[str, Any]]:
    """The configuration of a remotely managed tunnel; None where it has none yet."""
    path = f"/accounts/{account}/cfd_tunnel/{tunnel.id}/configurations"
    try:
        result = client.read(path).result
    except RefusalError as refusal:
        if refusal.status == 404:
            return None
        raise MailsteadError([explain(client, refusal, f"tunnel {tunnel.name}")]) from refusal
    config = result.get("config") if isinstance(result, dict) else None
    return config if isinstance(config, dict) else None


def read_connector_token(client: Client, account: str, tunnel: Tunnel) -> Tuple[str, Dict[str, str]]:
    """What a connector of the tunnel runs with: its token, and the same as a credentials file. Secret, both."""
    path = f"/accounts/{account}/cfd_tunnel/{tunnel.id}/token"
    try:
        result = client.read(path).result
    except RefusalError as refusal:
        raise MailsteadError([explain(client, refusal, f"tunnel {tunnel.name}")]) from refusal
    try:
        parts = json.loads(base64.b64decode(str(result), validate=True))
        credentials = {"AccountTag": parts["a"], "TunnelID": parts["t"], "TunnelSecret": parts["s"]}
    except (binascii.Error, ValueError, KeyError, TypeError):
        raise client.malformed(f"GET {path}", "the token of the tunnel is not in its known form") from None
    return str(result), credentials


def list_apps(client: Client, account: str) -> List[App]:
    path = f"/accounts/{account}/access/apps"
    out = []
    for raw in _all(client, path, "the Access applications"):
        policies = sorted(
            (p for p in raw.get("policies") or () if isinstance(p, dict)), key=lambda p: int(p.get("precedence") or 0)
        )
        places = [d.get("uri") for d in raw.get("destinations") or () if isinstance(d, dict)]
        places += list(raw.get("self_hosted_domains") or ())
        out.append(
            App(
                _texts(client, path, raw, "id")[0],
                str(raw.get("name") or ""),
                str(raw.get("domain") or "").lower(),
                str(raw.get("aud") or ""),
                str(raw.get("type") or ""),
                tuple(str(p.get("id") or "") for p in policies),
                tuple(dict.fromkeys(str(p).lower() for p in places if p)),
                raw,
            )
        )
    return out


def list_policies(client: Client, account: str) -> List[Policy]:
    """Reusable policies."""
    path = f"/accounts/{account}/access/policies"
    rows = _all(client, path, "the Access policies")
    for raw in rows:
        _texts(client, path, raw, "id")
    return [policy_of(raw) for raw in rows]


def policy_of(raw: Mapping[str, Any]) -> Policy:
    """A policy as the API gives it, reusable or in an application."""
    include, others = [], bool(raw.get("require") or raw.get("exclude") or raw.get("approval_required"))
    for rule in raw.get("include") or ():
        token = rule.get("service_token") if isinstance(rule, dict) and len(rule) == 1 else None
        if isinstance(token, dict) and isinstance(token.get("token_id"), str):
            include.append(token["token_id"])
        else:
            others = True
    texts = [str(raw.get(key) or "") for key in ("id", "name", "decision")]
    return Policy(texts[0], texts[1], texts[2], tuple(include), not others)


def list_tokens(client: Client, account: str) -> List[ServiceToken]:
    path = f"/accounts/{account}/access/service_tokens"
    return [token_of(client, path, raw) for raw in _all(client, path, "the service tokens")]


def token_of(client: Client, path: str, raw: Mapping[str, Any]) -> ServiceToken:
    """A service token as the API gives it; secrets in it are passed over. Raises MailsteadError."""
    identity, name, client_id = _texts(client, path, raw, "id", "name", "client_id")
    version = raw.get("client_secret_version")
    return ServiceToken(
        identity,
        name,
        client_id,
        raw.get("enabled") is not False,
        int(version) if isinstance(version, (int, float)) else 0,
        moment(str(raw.get("expires_at") or "")),
        duration_seconds(str(raw.get("duration") or "")),
        str(raw.get("last_seen_at") or ""),
    )


# -- the API's lists and refusals --------------------------------------------------------------------------------------


def _all(client: Client, path: str, where: str, query: Optional[Mapping[str, Any]] = None) -> List[Dict[str, Any]]:
    """All rows of a list. These lists do not all say how many pages they have."""
    rows: List[Dict[str, Any]] = []
    number = 1
    while True:
        try:
            page = client.read(path, {**(query or {}), "page": number, "per_page": PER_PAGE})
        except RefusalError as refusal:
            raise MailsteadError([explain(client, refusal, where)]) from refusal
        found = page.result
        if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
            raise client.malformed(f"GET {path}", "a list of results is missing")
        rows += found
        pages, total = page.info.get("total_pages"), page.info.get("total_count")
        if isinstance(pages, int):
            more = number < pages
        elif isinstance(total, int):
            more = len(rows) < total
        else:
            more = len(found) >= PER_PAGE
        if not more or not found:
            return rows
        number += 1


def _texts(client: Client, path: str, raw: Mapping[str, Any], *keys: str) -> List[str]:
    out = []
    for key in keys:
        value = raw.get(key)
        if not isinstance(value, str) or not value:
            raise client.malformed(f"GET {path}", f"an entry has no {key}")
        out.append(value)
    return out


def explain(client: Client, refusal: RefusalError, where: str) -> Problem:
    """A refusal as a problem, the permission by the name it has in the dashboard."""
    problem = explain_refusal(client, refusal, where)
    if problem.code == "MS-CF-001":
        # What a connector runs with is told to those only who may change the tunnel.
        reads = refusal.request.startswith("GET ") and not refusal.request.endswith("/token")
        verb = "Read" if reads else "Edit"
        name = next((p for part, p in PERMISSIONS.items() if part in refusal.request), "Zone › DNS")
        return Problem("MS-TUN-012", where, problem.what, f"Edit the token in the dashboard: add {name} › {verb}.")
    if problem.code == "MS-CF-007":
        fix = "Read Cloudflare's words; nothing of this request was applied. What was done before stays; run again."
        return Problem("MS-TUN-010", where, problem.what, fix)
    return problem
