# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A zone before and after, as ``--diff`` shows it: master file lines below ``$ORIGIN``, with the reason of each change.

Marks are shown as the role they stand for. A record that changes always has a remark, so its line differs even where only
its comment does. Keys are cut: the whole values are in the module's result.
"""

from __future__ import annotations

import hashlib
from typing import Dict, List, Sequence, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.dns import rdata
from ansible_collections.mailstead.stack.plugins.module_utils.dns.policies import kind_of
from ansible_collections.mailstead.stack.plugins.module_utils.dns.records import Have, ZoneDiff, without_ownership
from ansible_collections.mailstead.stack.plugins.module_utils.dns.render import one_line, sort_key

#: Widest column of names; longer ones push their line to the right.
NAME_WIDTH = 32
#: Characters of a key that are shown.
KEY_SHOWN = 48
_SIGNS = {"create": "+", "update": "~", "delete": "-"}


def ansible_diff(diff: ZoneDiff, instance: str) -> Dict[str, str]:
    """The texts that Ansible compares and shows; instance: whose marks are ours."""
    notes: Dict[int, str] = {}
    for change in diff.changes:
        # The line that tells the reason is the new one, or the one that goes.
        told = change.before if change.after is None else change.after
        role = f"{change.role}: " if change.role else ""
        notes[id(told)] = f"{_SIGNS[change.action]} {role}{change.reason}"
    actions = [c.action for c in diff.changes]
    counts = [f"{actions.count(a)} {word}" for a, word in _WORDS if a in actions]
    width = min(NAME_WIDTH, max((len(_name(r, diff.zone)) for r in (*diff.before, *diff.after)), default=0))
    return {
        "before_header": f"zone {diff.zone}",
        "after_header": f"zone {diff.zone}: {', '.join(counts)}",
        "before": _text(diff.before, diff.zone, instance, notes, width),
        "after": _text(diff.after, diff.zone, instance, notes, width),
    }


_WORDS: Tuple[Tuple[str, str], ...] = (("create", "new"), ("update", "changed"), ("delete", "gone"))


def _text(records: Sequence[Have], zone: str, instance: str, notes: Dict[int, str], width: int) -> str:
    lines = [_line(r, zone, instance, notes.get(id(r), ""), width) for r in sorted(records, key=sort_key)]
    return "".join(line + "\n" for line in lines)


def _line(record: Have, zone: str, instance: str, note: str, width: int) -> str:
    mark = record.mark(instance)
    words = record.comment if mark is None else mark.text
    tags = ", ".join(without_ownership(record.tags))
    own = note or (mark.role if mark is not None else "")
    remarks: List[str] = [own, "proxied" if record.proxied else "", words, f"tags {tags}" if tags else ""]
    tail = " | ".join(one_line(r) for r in remarks if r)
    head = f"{_name(record, zone):<{width}} {record.ttl:>5} {record.type:<5} {_data(record)}"
    return f"{head}  ; {tail}" if tail else head


def _name(record: Have, zone: str) -> str:
    if record.name == zone:
        return "@"
    return record.name[: -len(zone) - 1] if record.name.endswith(f".{zone}") else f"{record.name}."


def _data(record: Have) -> str:
    text = rdata.presentation(record.type, record.content)
    if kind_of(record.name, record.type, record.content) != "dkim" or len(record.content) <= 2 * KEY_SHOWN:
        return text
    digest = hashlib.sha256(rdata.to_bytes(record.content)).hexdigest()[:8]
    return f'"{record.content[:KEY_SHOWN]}…" ({len(record.content)} characters, sha256 {digest}…)'
