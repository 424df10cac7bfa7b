# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for the part of the Linode API that reverse records need.

Held to https://techdocs.akamai.com/linode-api/reference (list IP addresses, list IPv6 ranges, update an address' RDNS,
pagination, rate limits), the structures of linodego and the guide to reverse DNS, which quotes the refusal of a name
without an address record. Marked *chosen* is what none of these tells.
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from lab.twins.http import ApiTwin, Handler, Refused, Request, Response, page_of

__all__ = ["LinodeTwin"]

#: Entries of one page: least, default and most ("Pagination").
LEAST, PAGE, MOST = 25, 100, 500


@dataclass
class LinodeTwin(ApiTwin):
    """rdns: the public addresses and their names, None for no name; ranges: IPv6 networks routed to a Linode.

    forward: addresses by name, as the API finds them in DNS. reader: a token with ips:read_only. window: seconds that a
    429 tells by X-RateLimit-Reset instead of Retry-After.
    """

    label = "linode-twin"
    base = "/v4"

    token: str = "l" * 64
    reader: str = "r" * 64
    rdns: dict[str, str | None] = field(default_factory=dict)
    ranges: list[str] = field(default_factory=list)
    forward: dict[str, list[str]] = field(default_factory=dict)
    window: int = 0
    now: Callable[[], float] = time.time

    def routes(self) -> dict[str, dict[str, Handler]]:
        return {
            "/networking/ips": {"GET": self._ips},
            "/networking/ipv6/ranges": {"GET": self._ranges},
            "/networking/ips/([0-9a-f:.]+)": {"PUT": self._update},
        }

    def authenticate(self, request: Request) -> None:
        given = request.headers.get("authorization", "")
        if given not in (f"Bearer {self.token}", f"Bearer {self.reader}"):
            raise Refused(401, "Invalid Token")
        if request.method != "GET" and given == f"Bearer {self.reader}":
            raise Refused(401, "Your OAuth token is not authorized to use this endpoint.")

    def refusal(self, refused: Refused) -> Response:
        error = {"reason": "Too many requests" if refused.status == 429 else refused.words}
        if refused.field:
            error["field"] = refused.field
        limited = refused.status == 429 and self.window
        headers = {"X-RateLimit-Reset": str(round(self.now()) + self.window)} if limited else {}
        return Response(refused.status, headers, {"errors": [error]})

    def _page(self, request: Request, items: list[Any]) -> Response:
        page, size = request.number("page", 1), request.number("page_size", PAGE)
        if not LEAST <= size <= MOST:
            raise Refused(400, f"Must be {LEAST}-{MOST}", field="page_size")
        data, pages = page_of(items, page, size)
        if not 1 <= page <= pages:
            raise Refused(404, "Not found")
        return Response(200, {}, {"data": data, "page": page, "pages": pages, "results": len(items)})

    def _ips(self, request: Request) -> Response:
        return self._page(request, [self._one(address) for address in self.rdns])

    def _ranges(self, request: Request) -> Response:
        networks = [ipaddress.IPv6Network(text) for text in self.ranges]
        items = [{"range": str(n.network_address), "prefix": n.prefixlen, "region": "eu-central"} for n in networks]
        return self._page(request, items)

    def _update(self, request: Request) -> Response:
        address = str(ipaddress.ip_address(request.values[0]))
        routed = ":" in address and any(ipaddress.IPv6Address(address) in ipaddress.IPv6Network(r) for r in self.ranges)
        if address not in self.rdns and not routed:
            raise Refused(404, "Not found")
        body = request.json()
        if "rdns" not in body:
            raise Refused(400, "rdns is required", field="rdns")
        name = body["rdns"]
        if name is not None and address not in self.forward.get(name, []):
            raise Refused(400, f"We were unable to perform a lookup for '{name}' at this time.", field="rdns")
        default = None if ":" in address else f"{address.replace('.', '-')}.ip.linodeusercontent.com"
        self.rdns[address] = default if name is None else name
        return Response(200, {}, self._one(address))

    def _one(self, address: str) -> dict[str, Any]:
        six = ":" in address
        return {
            "address": address,
            "type": "ipv6" if six else "ipv4",
            "public": True,
            "prefix": 64 if six else 24,
            "gateway": "fe80::1" if six else address.rpartition(".")[0] + ".1",
            "subnet_mask": "ffff:ffff:ffff:ffff::" if six else "255.255.255.0",
            "rdns": self.rdns[address],
            "linode_id": 123,
            "region": "eu-central",
        }
