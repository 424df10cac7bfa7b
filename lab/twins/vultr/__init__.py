# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for the part of the Vultr API that reverse records need.

Held to https://www.vultr.com/api/ (Instances, Reserved IPs, Response Codes, Meta and Pagination) and the structures of
govultr. Addresses are spelled as the examples there: IPv6 in capitals. Marked *chosen* is what neither tells.
"""

from __future__ import annotations

import base64
import ipaddress
from dataclasses import dataclass, field
from typing import Any

from lab.twins.http import ApiTwin, Handler, Refused, Request, Response

__all__ = ["Instance", "Reserved", "VultrTwin"]

#: Entries of one page, by default and at most.
PAGE, MOST = 100, 500


@dataclass
class Instance:
    """ipv4: addresses with their reverse names, the main one first; v6: a network; reverse6: names by IPv6 address."""

    id: str
    label: str
    ipv4: dict[str, str]
    v6: str = ""
    reverse6: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        network = ipaddress.IPv6Network(self.v6) if self.v6 else None
        return {
            "id": self.id,
            "label": self.label,
            "hostname": self.label,
            "main_ip": next(iter(self.ipv4), "0.0.0.0"),
            "v6_network": str(network.network_address).upper() if network else "",
            "v6_main_ip": str(network.network_address + 0x100).upper() if network else "",
            "v6_network_size": network.prefixlen if network else 0,
            "status": "active",
            "region": "fra",
        }


@dataclass
class Reserved:
    id: str
    subnet: str
    size: int
    instance_id: str = ""
    label: str = ""


@dataclass
class VultrTwin(ApiTwin):
    """key: opens the account; foreign: a key used from an address that is not on its list.

    one_entry: chosen: whether a second reverse entry for an IPv6 address is refused instead of replacing the first.
    """

    label = "vultr-twin"
    base = "/v2"

    key: str = "V" * 36
    foreign: str = "F" * 36
    instances: list[Instance] = field(default_factory=list)
    reserved: list[Reserved] = field(default_factory=list)
    one_entry: bool = False

    def routes(self) -> dict[str, dict[str, Handler]]:
        one = "/instances/([0-9a-z-]+)"
        return {
            "/instances": {"GET": self._list},
            "/reserved-ips": {"GET": self._reserved},
            f"{one}/ipv4": {"GET": self._ipv4},
            f"{one}/ipv4/reverse": {"POST": self._set4},
            f"{one}/ipv6/reverse": {"GET": self._reverse6, "POST": self._set6},
            f"{one}/ipv6/reverse/([0-9A-Fa-f:]+)": {"DELETE": self._delete6},
        }

    def authenticate(self, request: Request) -> None:
        given = request.headers.get("authorization", "")
        if given == f"Bearer {self.foreign}":
            raise Refused(401, "Unauthorized IP address: 192.0.2.99")
        if given != f"Bearer {self.key}":
            raise Refused(401, "Invalid API token.")

    def refusal(self, refused: Refused) -> Response:
        return Response(refused.status, {}, {"error": refused.words, "status": refused.status})

    # -- lists --------------------------------------------------------------------------------------------------------

    def _page(self, request: Request, name: str, items: list[Any]) -> Response:
        """The cursor is opaque to clients: here, the place to go on from."""
        size, cursor = request.number("per_page", PAGE), request.get("cursor")
        if not 1 <= size <= MOST:
            raise Refused(400, "Invalid per_page")
        start = int(base64.b64decode(cursor)) if cursor else 0
        rest = start + size
        links = {
            "next": _cursor(rest) if rest < len(items) else "",
            "prev": _cursor(max(0, start - size)) if start else "",
        }
        return Response(200, {}, {name: items[start:rest], "meta": {"total": len(items), "links": links}})

    def _list(self, request: Request) -> Response:
        return self._page(request, "instances", [i.to_json() for i in self.instances])

    def _reserved(self, request: Request) -> Response:
        items = [
            {
                "id": r.id,
                "region": "fra",
                "ip_type": "v6" if ":" in r.subnet else "v4",
                "subnet": r.subnet,
                "subnet_size": r.size,
                "label": r.label,
                "instance_id": r.instance_id,
            }
            for r in self.reserved
        ]
        return self._page(request, "reserved_ips", items)

    def _ipv4(self, request: Request) -> Response:
        kinds = ["main_ip"] + ["secondary_ip"] * len(self._instance(request).ipv4)
        items = [
            {"ip": ip, "netmask": "255.255.254.0", "gateway": "192.0.2.1", "type": kind, "reverse": name}
            for (ip, name), kind in zip(self._instance(request).ipv4.items(), kinds, strict=False)
        ]
        return self._page(request, "ipv4s", items)

    def _reverse6(self, request: Request) -> Response:
        entries = self._instance(request).reverse6.items()
        return Response(200, {}, {"reverse_ipv6s": [{"ip": ip.upper(), "reverse": name} for ip, name in entries]})

    # -- changes ------------------------------------------------------------------------------------------------------

    def _set4(self, request: Request) -> Response:
        instance, (ip, name) = self._instance(request), _entry(request)
        if ip not in instance.ipv4:
            raise Refused(404, "Invalid IP address.")
        instance.ipv4[ip] = name
        return Response(204, {}, None, "")

    def _set6(self, request: Request) -> Response:
        instance, (ip, name) = self._instance(request), _entry(request)
        attached = [f"{r.subnet}/{r.size}" for r in self.reserved if r.instance_id == instance.id and ":" in r.subnet]
        networks = [ipaddress.IPv6Network(n) for n in (instance.v6, *attached) if n]
        if ":" not in ip or not any(ipaddress.IPv6Address(ip) in n for n in networks):
            raise Refused(400, "Invalid IPv6 address.")
        if self.one_entry and ip in instance.reverse6:
            raise Refused(400, "A reverse DNS entry exists for this address.")
        instance.reverse6[ip] = name
        return Response(204, {}, None, "")

    def _delete6(self, request: Request) -> Response:
        ip = str(ipaddress.ip_address(request.values[1]))
        if self._instance(request).reverse6.pop(ip, None) is None:
            raise Refused(404, "Invalid reverse entry.")
        return Response(204, {}, None, "")

    def _instance(self, request: Request) -> Instance:
        found = next((i for i in self.instances if i.id == request.values[0]), None)
        if found is None:
            raise Refused(404, "Invalid instance.")
        return found


def _entry(request: Request) -> tuple[str, str]:
    body = request.json()
    ip, name = body.get("ip"), body.get("reverse")
    if not isinstance(ip, str) or not isinstance(name, str) or "." not in name:
        raise Refused(400, "Invalid reverse entry.")
    return str(ipaddress.ip_address(ip)), name


def _cursor(place: int) -> str:
    return base64.b64encode(str(place).encode()).decode()
