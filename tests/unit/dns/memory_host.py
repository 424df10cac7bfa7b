# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host of zones in memory: all a zone provider has to be, with events to order."""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence

from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError, Problem
from ansible_collections.mailstead.stack.plugins.module_utils.dns.batches import batches
from ansible_collections.mailstead.stack.plugins.module_utils.dns.provider import (
    Limits,
    RefusedError,
    UnclearError,
    Written,
    Zone,
)
from ansible_collections.mailstead.stack.plugins.module_utils.dns.records import Change, Have

#: Happens instead of, or around, one write: gets the host, the zone's name and what writes the batch.
Event = Callable[["MemoryHost", str, Callable[[], Written]], Written]


class MemoryHost:
    """zones: records by zone. calls: what was asked, in order. events: what befalls the next writes, in order; None lets
    one pass. told: whether answers to writes tell what is stored. ids: whether zones are given back unread by id."""

    def __init__(self, *names: str, limits: Limits | None = None) -> None:
        self.zones: dict[str, list[Have]] = {name: [] for name in names}
        self.limits = limits or Limits(batch=100)
        self.calls: list[tuple[str, ...]] = []
        self.events: deque[Event | None] = deque()
        self.told = True
        self.quotas: dict[str, int] = {}
        self.identities: dict[str, str] = {}
        self._ids = itertools.count(1)
        self._counts: Counter[str] = Counter()

    @property
    def requests(self) -> Mapping[str, int]:
        return self._counts

    def _call(self, what: str, zone: str, *more: str) -> None:
        self.calls.append((what, zone, *more))
        self._counts[zone] += 1

    def put(self, zone: str, *records: Have) -> None:
        """Records made past the reconciler."""
        self.zones[zone] += [dataclasses.replace(r, id=f"r{next(self._ids)}") for r in records]

    def find(self, wanted: Sequence[tuple[str, str]]) -> tuple[dict[str, Zone], list[Problem]]:
        self._call("find", "")
        known = {name: Zone(given or f"id-{name}", name, self.limits) for name, given in wanted if name in self.zones}
        missing = [
            Problem("MS-DNS-099", f"zone {name}", "no such zone", "-") for name, _ in wanted if name not in known
        ]
        return known, missing

    def identify(self, zone: Zone) -> Zone:
        self._call("identify", zone.name)
        if self.identities.get(zone.id, zone.name) != zone.name:
            raise MailsteadError.one("MS-DNS-099", f"zone {zone.name}", "the id is another zone's", "-")
        return dataclasses.replace(zone, name_servers=("ns.example.net",), notes=("identified",))

    def read(self, zone: Zone) -> list[Have]:
        self._call("read", zone.name)
        return list(self.zones[zone.name])

    def quota(self, zone: Zone) -> int | None:
        self._call("quota", zone.name)
        return self.quotas.get(zone.name)

    def split(self, changes: Sequence[Change], zone: Zone) -> list[list[Change]]:
        return batches(changes, zone.limits.batch)

    def write(self, zone: Zone, batch: Sequence[Change]) -> Written:
        self._call("write", zone.name, *(f"{c.action} {c.record.type} {c.record.name}" for c in batch))
        event = self.events.popleft() if self.events else None
        return event(self, zone.name, lambda: self._apply(zone.name, batch)) if event else self._apply(zone.name, batch)

    def _apply(self, zone: str, batch: Sequence[Change]) -> Written:
        records = {r.id: r for r in self.zones[zone]}
        stored: list[Have | None] = []
        for change in batch:
            before, after = change.before, change.after
            if before is not None and before.id not in records:
                raise RefusedError(Problem("MS-DNS-099", f"zone {zone}", f"{before.id} is gone", "-"), stale=True)
            if before is None and after is not None and after.key in {r.key for r in records.values()}:
                raise RefusedError(Problem("MS-DNS-099", f"zone {zone}", f"{after.key} stands there", "-"), stale=True)
            if after is None:
                assert before is not None
                del records[before.id]
                stored.append(None)
                continue
            record = dataclasses.replace(after, id=before.id if before else f"r{next(self._ids)}")
            records[record.id] = record
            stored.append(record)
        self.zones[zone] = list(records.values())
        return Written(tuple(stored) if self.told else None)


# -- events ----------------------------------------------------------------------------------------------------------


def lost(_host: MemoryHost, _zone: str, apply: Callable[[], Written]) -> Written:
    """The write takes effect and nobody hears of it."""
    apply()
    raise UnclearError("no answer")


def unheard(_host: MemoryHost, _zone: str, _apply: Callable[[], Written]) -> Written:
    """The write never arrives, which looks the same."""
    raise UnclearError("no answer")


def refused(_host: MemoryHost, zone: str, _apply: Callable[[], Written]) -> Written:
    raise RefusedError(Problem("MS-DNS-099", f"zone {zone}", "no", "-"))


def somebody_puts(*records: Have) -> Event:
    """Somebody else adds records just ahead of the write."""

    def event(host: MemoryHost, zone: str, apply: Callable[[], Written]) -> Written:
        host.put(zone, *records)
        return apply()

    return event


def somebody_empties(host: MemoryHost, zone: str, apply: Callable[[], Written]) -> Written:
    """Somebody else deletes everything just ahead of the write."""
    host.zones[zone] = []
    return apply()
