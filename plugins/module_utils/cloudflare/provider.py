# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cloudflare as a host of zones: one listing and one batch, which is a single transaction, per zone.

Requests: ⌈zones of the account / 50⌉ to find zones (none with ids), one to list a zone's records, one per batch.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare import client as api
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare import wire
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.zones import (
    ZoneInfo,
    explain_refusal,
    find_zones,
    list_records,
    read_zone,
    record_quota,
)
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError, Problem
from ansible_collections.mailstead.stack.plugins.module_utils.dns import provider
from ansible_collections.mailstead.stack.plugins.module_utils.dns.batches import batches
from ansible_collections.mailstead.stack.plugins.module_utils.dns.provider import Limits, Written, Zone
from ansible_collections.mailstead.stack.plugins.module_utils.dns.records import Change, Have

#: Characters of a comment on the smallest plan. Marks keep to it everywhere: a zone may be moved to that plan.
COMMENT = 100
#: Records that a message names when it cannot tell which of a batch was refused.
SHOWN = 6


class CloudflareProvider:
    """Zones of one token; see :class:`.provider.ZoneProvider`."""

    def __init__(self, client: api.Client) -> None:
        self._client = client

    @property
    def requests(self) -> Mapping[str, int]:
        return self._client.counts

    def find(self, wanted: Sequence[Tuple[str, str]]) -> Tuple[Dict[str, Zone], List[Problem]]:
        infos, problems = find_zones(self._client, wanted)
        return {name: to_zone(info) for name, info in infos.items()}, problems

    def identify(self, zone: Zone) -> Zone:
        try:
            return to_zone(read_zone(self._client, zone, zone.name))
        except MailsteadError as error:
            # A token for DNS alone may not read zones; then the id has to be believed.
            if any(p.code != "MS-CF-001" for p in error.problems):
                raise
            note = f"the token may not read the zone's name and state: taking the id {zone.id} on trust"
            return dataclasses.replace(zone, notes=(*zone.notes, note))

    def read(self, zone: Zone) -> List[Have]:
        return list_records(self._client, zone, zone.name)

    def quota(self, zone: Zone) -> Optional[int]:
        return record_quota(self._client, zone, zone.name)

    def split(self, changes: Sequence[Change], zone: Zone) -> List[List[Change]]:
        return batches(changes, zone.limits.batch)

    def write(self, zone: Zone, batch: Sequence[Change]) -> Written:
        try:
            answer = self._client.write(f"/zones/{zone.id}/dns_records/batch", wire.batch_body(batch), zone.name)
        except api.UnclearError as error:
            raise provider.UnclearError(self._client.clean(str(error))) from error
        except api.RefusalError as refusal:
            problem = self._refused(zone, batch, refusal)
            raise provider.RefusedError(problem, stale=bool(refusal.codes & api.STALE_CODES)) from refusal
        written = read_back(answer, batch)
        return dataclasses.replace(written, notes=tuple(self._client.clean(note) for note in written.notes))

    def close(self) -> None:
        self._client.close()

    def _refused(self, zone: Zone, batch: Sequence[Change], refusal: api.RefusalError) -> Problem:
        where = f"zone {zone.name}"
        pointer = next((e.pointer for e in refusal.errors if e.pointer), "")
        change = wire.change_at(batch, pointer)
        if change is not None:
            where = f"{where}: {change.record.type} {change.record.name} ({change.action} {change.record.content!r})"
        elif refusal.status in (401, 403):
            where = f"{where} (nothing of this request was applied)"
        elif len(batch) > 1:
            where = f"{where} (one of {len(batch)} changes: {_some(batch)}; none of them was applied)"
        if not refusal.codes & api.STALE_CODES:
            return explain_refusal(self._client, refusal, where)
        what = f"Cloudflare refused, although the zone was read just before: {refusal.words()}"
        fix = (
            "Something has the name that the list of records does not show (a tunnel, the domain of a Worker), or another "
            "tool keeps writing at the same time: look at the name in the dashboard."
        )
        return Problem("MS-CF-007", where, what, fix)


def _some(batch: Sequence[Change]) -> str:
    names = [f"{change.record.type} {change.record.name}" for change in batch[:SHOWN]]
    return ", ".join([*names, "…"] if len(batch) > SHOWN else names)


def to_zone(info: ZoneInfo) -> Zone:
    """A zone of the API as the reconciler sees it."""
    limits = Limits(batch=info.batch_cap, records=info.likely_quota, comment=COMMENT, tags=info.has_tags)
    notes: Tuple[str, ...] = ()
    if info.status in ("pending", "initializing"):
        notes = ("the zone is not active yet: the registrar does not point to Cloudflare's name servers",)
    elif info.status not in ("", "active"):
        notes = (f"the zone is {info.status!r} at Cloudflare: its name servers may not be asked",)
    return Zone(info.id, info.name, limits, info.status, info.name_servers, notes)


def read_back(answer: Any, batch: Sequence[Change]) -> Written:
    """What the answer to a batch says is stored, compared with what was sent: full records come back, at no cost."""
    stored: Mapping[str, Any] = answer if isinstance(answer, dict) else {}
    records: Dict[int, Optional[Have]] = {}
    notes: List[str] = []
    complete = True
    for name in wire.LISTS:
        places = [i for i, change in enumerate(batch) if wire.operation(change)[0] == name]
        listed = stored.get(name)
        if not isinstance(listed, list) or len(listed) != len(places):
            if places:
                notes.append(f"the answer does not list the {len(places)} {name}")
                complete = False
            continue
        for place, raw in zip(places, listed):
            change = batch[place]
            if change.after is None:
                records[place] = None
                continue
            try:
                record = wire.decode(raw)
            except wire.WireError as error:
                notes.append(f"the answer for {change.record.type} {change.record.name} cannot be read: {error}")
                complete = False
                continue
            records[place] = record
            if record.key != change.after.key:
                notes.append(
                    f"{record.type} {record.name}: stored as {record.content!r}, sent {change.after.content!r}"
                )
    return Written(tuple(records[i] for i in range(len(batch))) if complete else None, tuple(notes))
