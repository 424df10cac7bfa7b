# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a zone as a whole allows: identical records, hosts that exclude each other, sums, quota, managed records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from . import errors
from .config import Zone
from .records import Limits, Record

#: At most one of these kinds may own a host: a CNAME, or any number of addresses.
_HOST_TYPES = ("A", "AAAA", "CNAME")

#: May stand beside a delegation: it describes the child zone (RFC 4035 §2.4).
_BESIDE_NS = ("NS", "DS")


class Working:
    """A copy of a zone's records that a request changes; the zone takes it over when everything went well."""

    def __init__(self, records: Mapping[str, Record]) -> None:
        self.records: dict[str, Record] = dict(records)
        self._names: dict[str, dict[str, Record]] = {}
        for record in records.values():
            self._names.setdefault(record.name, {})[record.id] = record

    def get(self, record_id: str) -> Record:
        try:
            return self.records[record_id]
        except KeyError:
            raise errors.record_not_found() from None

    def put(self, record: Record) -> None:
        old = self.records.get(record.id)
        if old is not None and old.name != record.name:
            del self._names[old.name][old.id]
        self.records[record.id] = record
        self._names.setdefault(record.name, {})[record.id] = record

    def remove(self, record: Record) -> None:
        del self.records[record.id]
        del self._names[record.name][record.id]

    def others(self, record: Record) -> list[Record]:
        """The records of the same name except this one."""
        return [r for r in self._names.get(record.name, {}).values() if r.id != record.id]


@dataclass(frozen=True)
class Rules:
    """The rules of one zone. duplicate_code: 81058 or 81057; locked: names whose MX a product of mail writes alone."""

    zone: Zone
    limits: Limits
    duplicate_code: int = 81058
    locked: frozenset[str] = frozenset()

    def add(self, working: Working, record: Record) -> None:
        """Put a new record in. Raises ApiError and leaves the copy as it was."""
        self._managed(record)
        self._fits(working, record)
        if len(working.records) >= self.limits.records:
            raise errors.quota_exceeded()
        working.put(record)

    def replace(self, working: Working, old: Record, new: Record) -> None:
        """Change a record in place. Raises ApiError and leaves the copy as it was."""
        self._managed(old)
        self._managed(new)
        self._fits(working, new)
        working.put(new)

    def delete(self, working: Working, record: Record) -> None:
        """Take a record out. Raises ApiError and leaves the copy as it was."""
        self._managed(record)
        working.remove(record)

    def _managed(self, record: Record) -> None:
        if record.type == "MX" and (record.name in self.locked or record.read_only):
            raise errors.mx_managed(self.zone.email_routing_code)
        if record.read_only:
            raise errors.read_only_record()

    def _fits(self, working: Working, record: Record) -> None:
        others = working.others(record)
        if any(other.identity == record.identity for other in others):
            raise errors.identical_record(self.duplicate_code)
        types = {other.type for other in others}
        if record.type == "CNAME" and types & set(_HOST_TYPES):
            raise errors.host_exists()
        if record.type in ("A", "AAAA") and "CNAME" in types:
            raise errors.host_exists()
        if record.name != self.zone.name and _delegation_conflict(record.type, types):
            raise errors.ns_conflict()
        if record.type == "TXT":
            total = sum(len(r.value.content) for r in [*others, record] if r.type == "TXT")
            if total > self.limits.txt_per_name:
                raise errors.combined_content_too_long(self.limits.txt_per_name)


def _delegation_conflict(record_type: str, others: Iterable[str]) -> bool:
    if record_type == "NS":
        return any(other not in _BESIDE_NS for other in others)
    return "NS" in others and record_type not in _BESIDE_NS
