# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mode zone: every record of the zone is ours, and those nobody wants are deleted, once the mode has been confirmed.

Left alone are what the provider keeps (SOA, NS of the zone itself, read-only records) and delegations with everything at
and below them, which is another zone's business. Records of another mailstead instance are refused, not kept: kept ones
would belie the mode, deleted ones would be published again by the other instance, and so for ever. Which of the two is to
give way only a person knows.
"""

from __future__ import annotations

from typing import List, Set

from ansible_collections.mailstead.stack.plugins.module_utils.dns import rdata
from ansible_collections.mailstead.stack.plugins.module_utils.dns.ledger import Ledger
from ansible_collections.mailstead.stack.plugins.module_utils.dns.records import Have


def purgeable(ledger: Ledger) -> Set[int]:
    """The undecided records that are ours by the mode alone; problems where that may not be."""
    cuts = [h.name for h in ledger.have if h.type == "NS" and h.name != ledger.zone]
    found: Set[int] = set()
    others: List[Have] = []
    for index, record in ledger.undecided():
        if ledger.mine(record) or _protected(ledger.zone, cuts, record):
            continue
        found.add(index)
        if record.owner not in ("", ledger.options.instance):
            others.append(record)
    if not ledger.options.confirmed:
        what = f"mode zone replaces or deletes what is not wanted, at present {len(found)} records without our mark"
        fix = f"If the whole zone is to be ours, say so: zones[].confirm: {ledger.zone}. Otherwise use mode owned or names."
        ledger.found.add("MS-DNS-024", "*", ledger.zone, what, fix)
    if others:
        _refuse(ledger, others)
    return found


def _protected(zone: str, cuts: List[str], record: Have) -> bool:
    if record.read_only or record.type == "SOA" or (record.type == "NS" and record.name == zone):
        return True
    return any(rdata.within(record.name, cut) for cut in cuts)


def _refuse(ledger: Ledger, others: List[Have]) -> None:
    names = ", ".join(f"{r.type} {r.name}" for r in others[:5]) + (", …" if len(others) > 5 else "")
    instances = ", ".join(repr(i) for i in sorted({r.owner for r in others}))
    what = f"{len(others)} records belong to the mailstead instance {instances} ({names})"
    fix = "Use mode owned in both, or take the records out of the other instance's inventory and run it first."
    ledger.found.guard("other_instance", "*", ledger.zone, what, fix)
