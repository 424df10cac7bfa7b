# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes divided into writes, so that each is consistent in itself and so is the zone between them."""

from __future__ import annotations

from typing import Callable, Dict, List, Sequence, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.dns.records import Change
from ansible_collections.mailstead.stack.plugins.module_utils.plan.phases import PHASES

_ADDRESSES = frozenset({"A", "AAAA", "CNAME"})
_POINTERS = frozenset({"MX", "SRV"})


def batches(
    changes: Sequence[Change], cap: int, size: Callable[[Change], int] = lambda _change: 1
) -> List[List[Change]]:
    """Divide changes into parts of at most cap; size: what one takes of it (an operation each, or bytes).

    All changes of one name stay together; names go in the order of phases (an address before the MX that needs it), those
    that only lose records or lose their address go last. A name that fills more than one part gains before it loses, so it
    is never empty.
    """
    names: Dict[str, List[Change]] = {}
    for change in changes:
        names.setdefault(change.record.name, []).append(change)
    out: List[List[Change]] = []
    used = cap
    for group in sorted(names.values(), key=_rank):
        for part in _parts(group, cap, size):
            needed = sum(size(c) for c in part)
            if out and used + needed <= cap:
                out[-1] += part
                used += needed
            else:
                out.append(part)
                used = needed
    return out


def _parts(group: List[Change], cap: int, size: Callable[[Change], int]) -> List[List[Change]]:
    if sum(size(c) for c in group) <= cap:
        return [list(group)]
    parts: List[List[Change]] = []
    used = cap
    for change in sorted(group, key=lambda c: c.action == "delete"):
        if not parts or used + size(change) > cap:
            parts.append([])
            used = 0
        parts[-1].append(change)
        used += size(change)
    return parts


def _rank(group: Sequence[Change]) -> Tuple[int, int, int, str]:
    """What comes goes in the order of phases, what leaves against it: a host keeps its address while others point to it."""
    gone = {c.record.type for c in group if c.action == "delete"}
    kept = {c.record.type for c in group if c.action != "delete"}
    name = group[0].record.name
    loses_address = bool(gone & _ADDRESSES) and not kept & _ADDRESSES
    if loses_address or not kept:
        return (1, 0 if not loses_address else 1 if gone & _POINTERS else 2, 0, name)
    phases = [PHASES.index(c.phase) for c in group if c.action != "delete" and c.phase]
    # Of one phase: hosts, what points to them, and then what speaks of it, as the id of an MTA-STS policy does of the MX.
    step = 0 if kept & _ADDRESSES and not kept & _POINTERS else 1 if kept & _ADDRESSES else 2 if kept & _POINTERS else 3
    return (0, max(phases, default=0), step, name)
