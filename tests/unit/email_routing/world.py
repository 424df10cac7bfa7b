# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Domains of a zone at the API twin, switched on and off, with everything that a request can do watched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.provider import CloudflareProvider
from ansible_collections.mailstead.stack.plugins.module_utils.common.http import TransportError
from ansible_collections.mailstead.stack.plugins.module_utils.dns import spf
from ansible_collections.mailstead.stack.plugins.module_utils.dns.records import Have
from ansible_collections.mailstead.stack.plugins.module_utils.email_routing import switching
from ansible_collections.mailstead.stack.plugins.module_utils.email_routing.switch import Goal
from ansible_collections.mailstead.stack.plugins.module_utils.email_routing.switching import Task, Wish

from tests.unit.cloudflare.support import TOKEN, ZONE, Bench

ICLOUD = {"type": "MX", "name": "@", "content": "mx01.mail.icloud.com", "priority": 10, "ttl": 3600}
FOREIGN = {"type": "A", "name": "www", "content": "192.0.2.1", "ttl": 300}
#: What the documentation of the modules asks for.
SCOPES = [
    "Zone:Read",
    "DNS:Edit",
    "Zone Settings:Edit",
    "Email Routing Rules:Edit",
    "Email Routing Addresses:Edit",
    "Workers Scripts:Read",
]
SERVICE_SPF = "v=spf1 include:_spf.mx.cloudflare.net ~all"


class KilledError(Exception):
    """The run ends here, as if the power had gone."""


class World(Bench):
    """A zone with mail domains. routable: after each request of a watched run, whether mail could be delivered."""

    def __init__(self, **email: Any) -> None:
        super().__init__(email=email, tokens=[{"token": TOKEN, "scopes": SCOPES}])
        self.routable: list[bool] = []

    def switch(
        self,
        *goals: tuple[str, Goal],
        check: bool = False,
        before_write: switching.BeforeWrite | None = None,
    ) -> list[Task]:
        """One run over domains of the zone."""
        self.requests.clear()
        self.routable.clear()
        client = self.client()
        provider = CloudflareProvider(client)
        zones, problems = provider.find([(ZONE, self.twin.zone(ZONE).zone.zone_id)])
        assert not problems
        tasks = switching.plan(client, [Wish(domain, zones[ZONE], goal) for domain, goal in goals])
        if not check:
            switching.apply(client, tasks, before_write)
        return tasks

    def kill(self, number: int, after: bool) -> None:
        """The next run dies before or after its request of that number, the first being 0."""
        sent = 0

        def die_before(_method: str, _path: str) -> None:
            if sent == number and not after:
                raise KilledError

        def die_after(_method: str, _path: str) -> None:
            nonlocal sent
            sent += 1
            self.watch()
            if after and sent == number + 1:
                raise KilledError

        self.before, self.after = die_before, die_after

    def lose(self, number: int) -> None:
        """The answer to the next run's request of that number is lost; the request itself takes effect."""
        sent = 0

        def lost(_method: str, _path: str) -> None:
            nonlocal sent
            sent += 1
            self.watch()
            if sent == number + 1:
                raise TransportError("the connection broke", sent=True)

        self.before, self.after = None, lost

    def live(self) -> None:
        """Runs die no more, and are watched."""
        self.before, self.after = None, lambda _method, _path: self.watch()

    def watch(self) -> None:
        self.routable.append(
            bool(self.mx(ZONE)) and (not self.routed(ZONE) or self.twin.email(ZONE).settings["enabled"])
        )

    # -- what is there ------------------------------------------------------------------------------------------------

    def have(self) -> list[Have]:
        return CloudflareProvider(self.client()).read(
            CloudflareProvider(self.client()).find([(ZONE, self.twin.zone(ZONE).zone.zone_id)])[0][ZONE]
        )

    def mx(self, domain: str = ZONE) -> list[str]:
        return sorted(str(r["content"]) for r in self.records() if (r["type"], r["name"]) == ("MX", domain))

    def routed(self, domain: str = ZONE) -> bool:
        return any(host.endswith(".mx.cloudflare.net") for host in self.mx(domain))

    def spf(self, domain: str = ZONE) -> list[str]:
        found = [str(r["content"]).replace('" "', "").strip('"') for r in self.texts(domain)]
        return [text for text in found if spf.is_spf(text)]

    def texts(self, domain: str) -> list[dict[str, Any]]:
        return [r for r in self.records() if (r["type"], r["name"]) == ("TXT", domain)]

    def aside(self, domain: str = ZONE) -> list[dict[str, Any]]:
        return self.texts(f"_mailstead-spf.{domain}")

    def outcome(self) -> list[tuple[Any, ...]]:
        """The zone without what may differ between two ways to one goal: ids, times and what is locked."""
        found = [(f["type"], f["name"], f["content"], f.get("priority"), f["comment"]) for f in self.facts()]
        return sorted(found, key=repr)


def txt(text: str, name: str = "@", **more: Any) -> dict[str, Any]:
    return {"type": "TXT", "name": name, "content": f'"{text}"', "ttl": 3600, **more}


def gaps(routable: Sequence[bool]) -> int:
    """The most requests in a row after which the domain was without an MX that works."""
    longest = run = 0
    for fine in routable:
        run = 0 if fine else run + 1
        longest = max(longest, run)
    return longest
