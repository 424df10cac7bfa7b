# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every comparison with its stable id and the worst it can say. docs/drift.md explains each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.checks.finding import FAIL, WARN, Finding

AREAS: Dict[str, str] = {
    "R": "Records at the provider",
    "S": "Records as served",
    "Z": "Zones",
}


@dataclass(frozen=True)
class Check:
    """severity: the worst verdict. needs: ids, of the same zone, whose failure explains a failure of this one."""

    id: str
    slug: str
    title: str
    rule: str
    severity: str = FAIL
    needs: Tuple[str, ...] = ()


CHECKS: Tuple[Check, ...] = (
    Check(
        "R1",
        "record.present",
        "The planned record is at the provider",
        "missing: fail; value not known: unknown",
        FAIL,
        ("Z1",),
    ),
    Check(
        "R2",
        "record.same",
        "The record is as planned",
        "other data, time to live or proxy setting: fail",
        FAIL,
        ("Z1",),
    ),
    Check(
        "R3", "record.surplus", "None of our records is left over", "marked, but no longer planned: fail", FAIL, ("Z1",)
    ),
    Check(
        "R4", "record.in_the_way", "No other's record is in the way", "stands where ours has to be: fail", FAIL, ("Z1",)
    ),
    Check("R5", "record.mark", "The record carries our mark", "no mark, or another than written: warn", WARN, ("Z1",)),
    Check("R6", "record.beside", "No other's record stands beside ours", "there is one: warn", WARN, ("Z1",)),
    Check("R7", "record.guards", "The plan may be published", "a guard would refuse it: fail", FAIL, ("Z1",)),
    Check("S1", "served.same", "All name servers serve what the provider has", "one differs: fail", FAIL, ("Z3",)),
    Check(
        "S2",
        "server.answers",
        "The name server answers for the zone",
        "refuses, fails or is not in charge: fail",
        FAIL,
        ("Z3",),
    ),
    Check(
        "S3",
        "server.serial",
        "All name servers have the same copy of the zone",
        "SOA serials differ: warn",
        WARN,
        ("Z3",),
    ),
    Check("Z1", "zone.read", "The zone is at the provider", "it has no such zone: fail; cannot be asked: unknown"),
    Check("Z2", "zone.status", "The zone is active at the provider", "any other state: fail", FAIL, ("Z3",)),
    Check("Z3", "zone.delegation", "Parent and zone name the same servers", "they differ (RFC 1034 §4.2.2): fail"),
    Check(
        "Z4",
        "zone.dnssec",
        "The DS records at the parent fit the zone's keys",
        "one without its key (RFC 4035 §5): fail",
        FAIL,
        ("Z3",),
    ),
)
BY_ID: Dict[str, Check] = {c.id: c for c in CHECKS}


def finding(id: str, zone: str, scope: str, verdict: str, observed: str = "", **more: object) -> Finding:
    """A finding about something of a zone; more: fields of Finding. needs beyond the catalogue's go into ``requires``.

    alone (in more): nothing else explains it, whatever the catalogue needs.
    """
    check = BY_ID[id]
    own = more.pop("requires", ())
    assert isinstance(own, tuple)
    needs = () if more.pop("alone", False) else check.needs
    return Finding(
        id=id,
        title=check.title,
        scope=scope,
        verdict=verdict,
        observed=observed,
        rule=check.rule,
        severity=check.severity,
        requires=(*(f"{need}@{zone}" for need in needs), *own),
        area=AREAS[id[0]],
        **more,  # type: ignore[arg-type]
    )
