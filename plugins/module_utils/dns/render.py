# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A zone and its changes as text a person can read: zone-file notation, sorted, with the reason of each change."""

from __future__ import annotations

from typing import Dict, List, Optional, Sequence, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.dns import rdata
from ansible_collections.mailstead.stack.plugins.module_utils.dns.records import Have, ZoneDiff, without_ownership


def line(record: Have, note: str = "") -> str:
    """One record: ``name. ttl IN TYPE data ; comment``. Of the tags those that only repeat the mark are left out."""
    tags = ", ".join(without_ownership(record.tags))
    remarks = [r for r in ("proxied" if record.proxied else "", record.comment, tags and f"tags {tags}", note) if r]
    tail = " ; " + " | ".join(" ".join(r.split()) for r in remarks) if remarks else ""
    return f"{record.name}. {record.ttl} IN {record.type} {rdata.presentation(record.type, record.content)}{tail}"


def sort_key(record: Have) -> Tuple[List[str], str, str]:
    """The order of RFC 4034 §6.1: by labels from the right, the apex first."""
    return (list(reversed(record.name.split("."))), record.type, record.content)


def zone_text(records: Sequence[Have], notes: Optional[Dict[int, str]] = None) -> str:
    """All records as lines; notes by id() of the record."""
    found = notes or {}
    lines = [line(r, found.get(id(r), "")) for r in sorted(records, key=sort_key)]
    return "".join(text + "\n" for text in lines)


def ansible_diff(diff: ZoneDiff) -> Dict[str, str]:
    """The pair of texts that ``--diff`` shows for a zone: the reason stands at every changed line."""
    before: Dict[int, str] = {}
    after: Dict[int, str] = {}
    for change in diff.changes:
        if change.action == "delete" and change.before is not None:
            before[id(change.before)] = f"- {change.reason}"
        elif change.after is not None:
            after[id(change.after)] = ("+ " if change.action == "create" else "~ ") + change.reason
    header = f"zone {diff.zone}"
    return {
        "before_header": header,
        "after_header": header,
        "before": zone_text(diff.before, before),
        "after": zone_text(diff.after, after),
    }
