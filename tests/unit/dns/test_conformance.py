# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The hosts of zones against the one suite: Cloudflare's API (its twin), and DNS updates to a real Knot on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare import wire
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.provider import CloudflareProvider

from tests.unit.cloudflare.support import ZONE, Bench
from tests.unit.dns.conformance import Conformance, Row
from tests.unit.rfc2136.bed import ServerBed
from tests.unit.rfc2136.knot import KEY, Knot, needs_knot


class TwinBed:
    """A zone at the API twin."""

    guards_values = False
    edits_stay_ours = True

    def __init__(self) -> None:
        self.zone = ZONE
        self.reset()

    def provider(self) -> CloudflareProvider:
        return CloudflareProvider(self._bench.client())

    def reset(self) -> None:
        self._bench = Bench([{"name": ZONE, "plan": "pro"}])

    def _name(self, name: str) -> str:
        return self.zone if name == "@" else f"{name}.{self.zone}"

    def put(self, *rows: Row) -> None:
        bodies: list[dict[str, Any]] = [
            {"type": t, "name": self._name(n), "ttl": ttl, **wire.encode(t, c)} for n, t, c, ttl in rows
        ]
        self._bench.seed(*bodies)

    def drop(self, name: str, rtype: str) -> None:
        state = self._bench.twin.zone(self.zone)
        for record in self._at(name, rtype):
            state.delete(record["id"])

    def edit(self, name: str, rtype: str, content: str, ttl: int) -> None:
        state = self._bench.twin.zone(self.zone)
        for record in self._at(name, rtype):
            state.change(record["id"], {**wire.encode(rtype, content), "ttl": ttl}, overwrite=False)

    def _at(self, name: str, rtype: str) -> list[dict[str, Any]]:
        return [r for r in self._bench.records() if (r["name"], r["type"]) == (self._name(name), rtype)]

    def world(self) -> list[tuple[str, ...]]:
        return sorted((repr(sorted(fact.items())), str(fact["ttl"])) for fact in self._bench.facts())


class TestCloudflare(Conformance):
    @pytest.fixture(name="bed")
    def fixture_bed(self) -> TwinBed:
        return TwinBed()


@pytest.fixture(name="knot", scope="module")
def fixture_knot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Knot]:
    needs_knot()
    knot = Knot(tmp_path_factory.mktemp("knot"), ["example.com", "1.18.198.in-addr.arpa"])
    try:
        yield knot.start()
    finally:
        knot.stop()


class TestKnot(Conformance):
    @pytest.fixture(name="bed")
    def fixture_bed(self, knot: Knot) -> ServerBed:
        bed = ServerBed("127.0.0.1", knot.port, KEY, "example.com")
        bed.reset()
        return bed
