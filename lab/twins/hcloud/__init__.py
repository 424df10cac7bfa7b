# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for the part of the Hetzner Cloud API that reverse records need.

Held to https://docs.hetzner.cloud/reference/cloud (Primary IPs, Floating IPs, Servers, Actions, Errors, Pagination) and
to the schemas of hcloud-go. Marked *chosen* is what neither tells. A change is an action: it takes effect when it has
been asked after often enough.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from typing import Any

from lab.twins.http import ApiTwin, Handler, Refused, Request, Response, page_of

__all__ = ["HcloudTwin", "Ip"]

#: Entries of one page: default and most ("Pagination").
PAGE, MOST = 25, 50


@dataclass
class Ip:
    """kind: primary_ips, floating_ips or servers (then of its public_net); ip: an address, or a /64; names: by address."""

    kind: str
    number: int
    ip: str
    name: str = ""
    names: dict[str, str] = field(default_factory=dict)

    @property
    def version(self) -> int:
        return ipaddress.ip_network(self.ip).version

    def to_json(self) -> dict[str, Any]:
        pointers = [{"ip": ip, "dns_ptr": name} for ip, name in self.names.items()]
        if self.kind != "servers":
            owner = "assignee_id" if self.kind == "primary_ips" else "server"
            return {
                "id": self.number,
                "name": self.name,
                "type": f"ipv{self.version}",
                "ip": self.ip,
                "dns_ptr": pointers,
                owner: 17,
                "blocked": False,
                "labels": {},
                "protection": {"delete": False},
                "created": "2026-01-30T23:50:00Z",
            }
        single = {"id": self.number, "ip": self.ip, "blocked": False, "dns_ptr": self.names.get(self.ip, "")}
        net: dict[str, Any] = {"ipv4": None, "ipv6": None, "floating_ips": [], "firewalls": []}
        net[f"ipv{self.version}"] = single if self.version == 4 else {**single, "dns_ptr": pointers}
        return {"id": self.number, "name": self.name, "status": "running", "public_net": net, "labels": {}}


@dataclass
class HcloudTwin(ApiTwin):
    """token: reads and writes; reader: only reads. looks: how often a new action is still running when asked after.

    failing: code and words with which the next actions fail; busy: how many changes are refused as locked first.
    """

    label = "hcloud-twin"
    base = "/v1"

    token: str = "h" * 64
    reader: str = "r" * 64
    ips: list[Ip] = field(default_factory=list)
    looks: int = 0
    failing: list[tuple[str, str]] = field(default_factory=list)
    busy: int = 0
    actions: dict[int, dict[str, Any]] = field(default_factory=dict)
    _effects: dict[int, tuple[Ip, str, str]] = field(default_factory=dict)
    _looks: dict[int, int] = field(default_factory=dict)

    def routes(self) -> dict[str, dict[str, Handler]]:
        kinds = "(primary_ips|floating_ips|servers)"
        return {
            f"/{kinds}": {"GET": self._list},
            f"/{kinds}/([0-9]+)/actions/change_dns_ptr": {"POST": self._change},
            "/actions": {"GET": self._actions},
        }

    def authenticate(self, request: Request) -> None:
        given = request.headers.get("authorization", "")
        if given not in (f"Bearer {self.token}", f"Bearer {self.reader}"):
            raise Refused(401, "unable to authenticate", "unauthorized")
        if request.method != "GET" and given == f"Bearer {self.reader}":
            raise Refused(403, "token is only allowed to perform GET requests", "token_readonly")

    def refusal(self, refused: Refused) -> Response:
        details = {"fields": [{"name": refused.field, "messages": [refused.words]}]} if refused.field else None
        code = "rate_limit_exceeded" if refused.status == 429 else refused.code
        error = {"code": code, "message": "invalid input" if refused.field else refused.words, "details": details}
        # The quota of an hour comes back one by one; Reset is when all of it is there again.
        headers = {"RateLimit-Limit": "3600", "RateLimit-Remaining": "0", "RateLimit-Reset": "4102444800"}
        return Response(refused.status, headers if refused.status == 429 else {}, {"error": error})

    def _list(self, request: Request) -> Response:
        (kind,) = request.values
        page, size = request.number("page", 1), request.number("per_page", PAGE)
        if page < 1 or not 1 <= size <= MOST:
            raise Refused(400, "must be within the documented limits", "invalid_input", "per_page")
        items, last = page_of([ip.to_json() for ip in self.ips if ip.kind == kind], page, size)
        following = page + 1 if page < last else None
        pagination = {"page": page, "per_page": size, "previous_page": page - 1 or None, "next_page": following}
        pagination.update({"last_page": last, "total_entries": sum(ip.kind == kind for ip in self.ips)})
        return Response(200, {}, {kind: items, "meta": {"pagination": pagination}})

    def _change(self, request: Request) -> Response:
        kind, number = request.values
        ip = next((i for i in self.ips if (i.kind, i.number) == (kind, int(number))), None)
        if ip is None:
            raise Refused(404, f"{kind} with ID '{number}' not found", "not_found")
        if self.busy:
            self.busy -= 1
            raise Refused(423, "resource is locked by another action", "locked")
        body = request.json()
        address, name = self._checked(ip, body)
        action_id = len(self.actions) + 1
        self._effects[action_id], self._looks[action_id] = (ip, address, name), self.looks
        self.actions[action_id] = {
            "id": action_id,
            "command": "change_dns_ptr",
            "status": "running",
            "progress": 0,
            "started": "2026-11-21T12:00:00Z",
            "finished": None,
            "resources": [{"id": ip.number, "type": ip.kind[:-1]}],
            "error": None,
        }
        self._work(action_id)
        return Response(201, {}, {"action": self.actions[action_id]})

    def _checked(self, ip: Ip, body: dict[str, Any]) -> tuple[str, str]:
        """Chosen: 422 for what is documented as invalid_input."""
        try:
            address = ipaddress.ip_address(body.get("ip", ""))
        except ValueError:
            raise Refused(422, "must be a single IP address", "invalid_input", "ip") from None
        if address not in ipaddress.ip_network(ip.ip):
            raise Refused(422, "does not belong to the resource", "invalid_input", "ip")
        name = body.get("dns_ptr", "")
        if name is not None and (not isinstance(name, str) or "." not in name or name.endswith(".")):
            raise Refused(422, "must be a fully qualified domain name without trailing dot", "invalid_input", "dns_ptr")
        return str(address), name or ""

    def _actions(self, request: Request) -> Response:
        wanted = [int(value) for key, value in request.query if key == "id" and value.isdigit()]
        if not wanted:
            raise Refused(400, "is required", "invalid_input", "id")
        for number in wanted:
            self._work(number)
        return Response(200, {}, {"actions": [self.actions[n] for n in wanted if n in self.actions]})

    def _work(self, number: int) -> None:
        """Carry an action one step further."""
        action = self.actions.get(number)
        if action is None or action["status"] != "running":
            return
        if self._looks[number] > 0:
            self._looks[number] -= 1
            return
        action.update(progress=100, finished="2026-11-21T12:00:05Z")
        if self.failing:
            code, words = self.failing.pop(0)
            action.update(status="error", error={"code": code, "message": words})
            return
        action["status"] = "success"
        ip, address, name = self._effects[number]
        if name:
            ip.names[address] = name
        elif ":" in address:
            ip.names.pop(address, None)
        else:
            ip.names[address] = f"static.{'.'.join(reversed(address.split('.')))}.clients.your-server.de"
