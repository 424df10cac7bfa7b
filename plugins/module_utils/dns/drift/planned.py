# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is planned, as far as it is known: a value that no host told stays open instead of ending the run."""

from __future__ import annotations

import dataclasses
from typing import Any, Dict, List

from ansible_collections.mailstead.stack.plugins.module_utils.plan.model import MailPlan, Record, ZonePlan, to_data
from ansible_collections.mailstead.stack.plugins.module_utils.plan.phases import PHASES
from ansible_collections.mailstead.stack.plugins.module_utils.plan.resolve import Facts, resolve


def known_zones(plan: MailPlan, facts: Facts, signed_known: bool) -> List[Dict[str, Any]]:
    """The plan's zones in the form of the zone modules, with deferred records where the facts do not fill them.

    signed_known: whether anybody told which zones are signed; TLSA records are planned only there (RFC 7672 §2.2).
    """
    out = []
    for zone in plan.zones:
        rows = [row for record in zone.records for row in _rows(plan, zone, record, facts, signed_known)]
        out.append({"name": zone.name, "provider": zone.provider, "foreign": to_data(zone.foreign), "records": rows})
    return out


def _rows(plan: MailPlan, zone: ZonePlan, record: Record, facts: Facts, signed_known: bool) -> List[Dict[str, Any]]:
    # Through the first phase nothing is deferred, so what cannot be filled is left out instead of being a mistake.
    alone = dataclasses.replace(plan, zones=(dataclasses.replace(zone, records=(record,)),))
    filled = resolve(alone, facts, PHASES[0])[0].records
    tlsa = record.deferred is not None and record.deferred.kind == "tlsa"
    unsigned = tlsa and signed_known and zone.name not in facts.signed
    rows = [to_data(r) for r in filled or ([] if unsigned else [record])]
    return [{k: v for k, v in row.items() if k != "deferred" or v is not None} for row in rows]
