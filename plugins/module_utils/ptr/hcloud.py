# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reverse records at Hetzner Cloud.

API reference: https://docs.hetzner.cloud/reference/cloud ("Primary IPs", "Floating IPs", "Servers": change_dns_ptr;
"Actions"). The token belongs to one project and needs the permission Read & Write. Every public address of a server is a
Primary IP; the servers themselves are only asked when neither these nor the Floating IPs have the address.
"""

from __future__ import annotations

from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple
from urllib.parse import urlencode

from ansible_collections.mailstead.stack.plugins.module_utils.ptr.account import (
    Holding,
    Progress,
    address,
    bare,
    holds,
    mappings,
)
from ansible_collections.mailstead.stack.plugins.module_utils.ptr.client import Api, Client, Refusal, UnclearError

URL = "https://api.hetzner.cloud/v1"
#: Most entries of one page ("Pagination").
PER_PAGE = 50
#: Kinds of objects that have reverse names, in the order they are asked for: path, and its name for people.
KINDS = (("primary_ips", "Primary IP"), ("floating_ips", "Floating IP"), ("servers", "server"))
#: Another action runs on the object, or it changed at the same time ("Errors"): the same request may succeed in a moment.
BUSY = frozenset({"locked", "conflict"})


class HcloudApi(Api):
    """Errors: ``{"error": {"code", "message", "details": {"fields": [{"name", "messages"}]}}}``.

    RateLimit-Reset is not waited for: it tells when the whole hour's quota is back, while one request comes back every
    second ("Rate Limiting").
    """

    title = "Hetzner Cloud"
    status_page = "https://status.hetzner.com"
    credential_fix = (
        "Make a token in the Cloud Console (project > Security > API Tokens, Read & Write) and put it into `token`."
    )
    scope_fix = "The token may only read: make one with Read & Write in the same project."

    def refusal(self, status: int, body: Any) -> Optional[Refusal]:
        error = body.get("error") if isinstance(body, dict) else None
        if not isinstance(error, dict):
            return None
        details = error.get("details")
        fields = mappings(details.get("fields")) if isinstance(details, dict) else []
        words = [str(error.get("message", ""))]
        words += [f"{f.get('name')}: {', '.join(map(str, f.get('messages') or []))}" for f in fields]
        return Refusal(status, str(error.get("code", "")), f"{'; '.join(words)} ({error.get('code')})")

    def busy(self, refusal: Refusal) -> bool:
        return refusal.code in BUSY


class HcloudAccount:
    """One project. See account.Account."""

    provider = "hcloud"
    note = ""

    def __init__(self, client: Client) -> None:
        self.client = client
        self._seen: Dict[str, str] = {}

    def find(self, addresses: Sequence[str]) -> Dict[str, Holding]:
        """Page by page, kind by kind, until all are found."""
        found: Dict[str, Holding] = {}
        self._seen.clear()
        for kind, title in KINDS:
            for item in self._list(kind):
                label = f"{title} {item.get('name') or item.get('id')}"
                for network, names in _networks(kind, item):
                    self._seen.setdefault(network, f"{network} ({label})")
                    for one in addresses:
                        if one not in found and holds(network, one):
                            found[one] = Holding(one, label, names.get(one, ""), (kind, item["id"]))
            if len(found) == len(addresses):
                break
        return found

    def seen(self) -> List[str]:
        return list(self._seen.values())

    def set(self, holding: Holding, name: str) -> Any:
        kind, number = holding.key
        path = f"/{kind}/{number}/actions/change_dns_ptr"
        body = self.client.write_json("POST", path, {"ip": holding.address, "dns_ptr": name})
        action = body.get("action") if isinstance(body, dict) else None
        if not isinstance(action, dict) or not isinstance(action.get("id"), int):
            raise UnclearError(f"POST {path}: the answer names no action")
        return None if action.get("status") == "success" else action["id"]

    def progress(self, tickets: Mapping[str, Any]) -> Dict[str, Progress]:
        """tickets: ids of actions."""
        path = "/actions?" + urlencode([("id", number) for number in sorted(set(tickets.values()))])
        body = self.client.read(path)
        actions = {a.get("id"): a for a in mappings(body.get("actions") if isinstance(body, dict) else None)}
        missing = sorted(set(tickets.values()) - set(actions))
        if missing:
            raise self.client.malformed(f"GET {path}", f"the action {missing[0]} is missing")
        return {one: _progress(actions[number]) for one, number in tickets.items()}

    def _list(self, kind: str) -> Iterator[Dict[str, Any]]:
        page: Any = 1
        while page:
            body = self.client.read(f"/{kind}", {"page": page, "per_page": PER_PAGE})
            if not isinstance(body, dict) or not isinstance(body.get(kind), list):
                raise self.client.malformed(f"GET /{kind}", f"a list of {kind} is missing")
            yield from (item for item in mappings(body[kind]) if isinstance(item.get("id"), int))
            pagination = (body.get("meta") or {}).get("pagination") or {}
            page = pagination.get("next_page")


def _networks(kind: str, item: Mapping[str, Any]) -> Iterator[Tuple[str, Dict[str, str]]]:
    """The networks of an object with the reverse names in them; an IPv4 address is a network of one."""
    if kind != "servers":
        yield str(item.get("ip", "")), _names(item.get("dns_ptr"))
        return
    net = item.get("public_net") or {}
    v4, v6 = net.get("ipv4"), net.get("ipv6")
    if v4:
        yield str(v4.get("ip", "")), {address(v4.get("ip")): bare(v4.get("dns_ptr"))}
    if v6:
        yield str(v6.get("ip", "")), _names(v6.get("dns_ptr"))


def _names(entries: Any) -> Dict[str, str]:
    return {address(e.get("ip")): bare(e.get("dns_ptr")) for e in mappings(entries)}


def _progress(action: Mapping[str, Any]) -> Progress:
    """Status running, success or error ("Actions")."""
    if action.get("status") != "error":
        return Progress(action.get("status") == "success")
    error = action.get("error") or {}
    return Progress(True, f"{error.get('message', 'no reason given')} ({error.get('code', 'no code')})")
