# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reverse records at Akamai Cloud (Linode).

API reference: https://techdocs.akamai.com/linode-api/reference/get-ips-3 (list), …/put-ip (rdns), …/get-ipv6-ranges. A
personal access token needs the scope IPs Read/Write. The address record of the name has to exist first: the API looks it
up and refuses otherwise.
"""

from __future__ import annotations

import time
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence

from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import Problem
from ansible_collections.mailstead.stack.plugins.module_utils.common.http import Answer, retry_after
from ansible_collections.mailstead.stack.plugins.module_utils.ptr.account import (
    Holding,
    Progress,
    address,
    bare,
    holds,
    mappings,
)
from ansible_collections.mailstead.stack.plugins.module_utils.ptr.client import Api, Client, Refusal

URL = "https://api.linode.com/v4"
#: Most entries of one page ("Pagination").
PER_PAGE = 500
#: Part of the words with which the API refuses a name whose address record it does not find (its guide to reverse DNS).
NO_FORWARD = "a lookup for"
#: Part of the words with which it refuses, with status 401 too, a token that lacks a scope.
NO_SCOPE = "not authorized to use"


class LinodeApi(Api):
    """Errors: ``{"errors": [{"reason", "field"}]}``. Limits: X-RateLimit-Reset is the second (UNIX time) of the next window."""

    title = "Akamai Cloud (Linode)"
    status_page = "https://status.linode.com"
    credential_fix = (
        "Make a personal access token (Cloud Manager > API Tokens) with IPs Read/Write and put it into `token`."
    )
    scope_fix = "Give the token the scope IPs Read/Write (ips:read_write), and its user access to the Linode."

    def refusal(self, status: int, body: Any) -> Optional[Refusal]:
        errors = mappings(body.get("errors") if isinstance(body, dict) else None)
        if not errors:
            return None
        words = [f"{e.get('field')}: {e.get('reason')}" if e.get("field") else str(e.get("reason")) for e in errors]
        return Refusal(status, "", "; ".join(words))

    def wait(self, answer: Answer) -> Optional[float]:
        asked, reset = retry_after(answer), answer.headers.get("x-ratelimit-reset", "")
        if asked is None and reset.isdigit():
            return max(1.0, float(reset) - time.time())
        return asked

    def problem(self, refusal: Refusal, where: str) -> Problem:
        if refusal.status == 400 and NO_FORWARD in refusal.words:
            what = f"{self.title} looks the name up first and does not find this address: {refusal.words}"
            fix = (
                "Forward first: publish the address record (A, AAAA) of the name. When it was published just now, wait "
                "until caches have forgotten that it was missing (the zone's negative TTL), and run again."
            )
            return Problem("MS-PTR-013", where, what, fix)
        if refusal.status == 401 and NO_SCOPE in refusal.words:
            return Problem("MS-PTR-011", where, f"{self.title} says: {refusal.words}", self.scope_fix)
        return super().problem(refusal, where)


class LinodeAccount:
    """One account. See account.Account."""

    provider = "linode"
    note = ""

    def __init__(self, client: Client) -> None:
        self.client = client
        self._seen: List[str] = []

    def find(self, addresses: Sequence[str]) -> Dict[str, Holding]:
        """The list of addresses has the names; an IPv6 address of a routed range is only in it once it has a name."""
        listed = {address(item.get("address")): item for item in self._list("/networking/ips")}
        self._seen = [f"{one} (Linode {item.get('linode_id')})" for one, item in listed.items()]
        found = {
            one: Holding(one, f"Linode {listed[one].get('linode_id')}", bare(listed[one].get("rdns")))
            for one in addresses
            if one in listed
        }
        missing = [one for one in addresses if one not in found and ":" in one]
        if not missing:
            return found
        for item in self._list("/networking/ipv6/ranges"):
            network = f"{item.get('range')}/{item.get('prefix')}"
            self._seen.append(f"{network} (range)")
            found.update({one: Holding(one, f"range {network}", "") for one in missing if holds(network, one)})
        return found

    def seen(self) -> List[str]:
        return self._seen

    def set(self, holding: Holding, name: str) -> Any:
        self.client.write_json("PUT", f"/networking/ips/{holding.address}", {"rdns": name})

    def progress(self, tickets: Mapping[str, Any]) -> Dict[str, Progress]:
        """Nothing takes its time here."""
        return {one: Progress(True) for one in tickets}

    def _list(self, path: str) -> Iterator[Dict[str, Any]]:
        page, pages = 1, 1
        while page <= pages:
            body = self.client.read(path, {"page": page, "page_size": PER_PAGE})
            if not isinstance(body, dict) or not isinstance(body.get("data"), list):
                raise self.client.malformed(f"GET {path}", "a list of data is missing")
            yield from mappings(body["data"])
            pages = body["pages"] if isinstance(body.get("pages"), int) else 1
            page += 1
