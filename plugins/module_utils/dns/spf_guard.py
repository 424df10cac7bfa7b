# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guards spf_lookups and spf_void: what the SPF records about to be written cost those who receive our mail.

Only records that are created or changed are looked into, so that a run without changes asks nobody.
"""

from __future__ import annotations

import dataclasses
from typing import Sequence

from ansible_collections.mailstead.stack.plugins.module_utils.dns import spf
from ansible_collections.mailstead.stack.plugins.module_utils.dns.ledger import Ledger
from ansible_collections.mailstead.stack.plugins.module_utils.dns.records import Change, Have
from ansible_collections.mailstead.stack.plugins.module_utils.dns.spf_cost import Cost, Part, ZoneAnswers, measure
from ansible_collections.mailstead.stack.plugins.module_utils.dns.spf_relief import (
    Known,
    Load,
    load_of,
    proposals,
    told,
)


def check_costs(ledger: Ledger, after: Sequence[Have]) -> None:
    """Measure every SPF record that is to be written for a wanted one; a merged one says its cost in its reason.

    after: the zone as it will be. Names of later phases answer as well: receivers will see them before mail flows.
    """
    numbers = [n for n, change in enumerate(ledger.changes) if _concerns(ledger, change)]
    if not numbers:
        return
    records = {h.key for h in after} | {w.key for w in ledger.later}
    own = ZoneAnswers(ledger.zone, sorted((name, rtype, content) for rtype, name, content in records))
    for number in numbers:
        change = ledger.changes[number]
        cost = measure(spf.parse(change.record.content), change.record.name, own, ledger.options.spf_fetch)
        _judge(ledger, change, cost)
        mark = change.record.mark(ledger.options.instance)
        if mark is not None and mark.merged is not None:
            ledger.changes[number] = dataclasses.replace(change, reason=f"{change.reason}; {cost}")


def _concerns(ledger: Ledger, change: Change) -> bool:
    after = change.after
    if after is None or after.type != "TXT" or not spf.is_spf(after.content):
        return False
    if after.mark(ledger.options.instance) is None:
        # Put back as somebody else's: theirs to answer for.
        return False
    return bool(change.phase) and (change.before is None or change.before.content != after.content)


def _load(part: Part, known: Sequence[Known]) -> Load:
    return load_of(part.term, part.lookups, part.voids, known, part.addresses)


def _judge(ledger: Ledger, change: Change, cost: Cost) -> None:
    name, found = change.record.name, ledger.found
    ways = told(proposals([_load(part, ledger.options.spf_senders) for part in cost.parts], name))
    if cost.lookups > spf.MAX_LOOKUPS:
        fix = f"Until at most {spf.MAX_LOOKUPS} remain: {ways}."
        found.guard("spf_lookups", "TXT", name, f"the SPF record needs {cost}", fix)
    if cost.voids > spf.MAX_VOID:
        fix = f"Take out the hosts and includes that no longer exist: {ways}."
        found.guard("spf_void", "TXT", name, f"the SPF record needs {cost}", fix)
    if cost.broken:
        ledger.notes.append(f"TXT {name}: receivers answer permerror to the SPF record: {'; '.join(cost.broken)}")
    if cost.unknown and ledger.options.spf_fetch is not None:
        few = "; ".join(cost.unknown[:3]) + (f" and {len(cost.unknown) - 3} more" if len(cost.unknown) > 3 else "")
        ledger.notes.append(f"TXT {name}: the cost of the SPF record is not quite known, {cost} ({few})")
