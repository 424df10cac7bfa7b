# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one place where facts fill a plan's deferred values."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Sequence, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError, Problem
from ansible_collections.mailstead.stack.plugins.module_utils.plan.model import (
    MailPlan,
    Record,
    RoutingPlan,
    RulePlan,
    ZonePlan,
    from_data,
)
from ansible_collections.mailstead.stack.plugins.module_utils.plan.phases import PHASES


@dataclass(frozen=True)
class RoutingFacts:
    """A routed domain as its service has it.

    records: what the service needs in the zone, as (name, type, content) with the preference in an MX's content. rules:
    enabled or not; the catch-all has no address. destinations: address → when its owner confirmed it, or nothing.
    """

    enabled: bool
    status: str = ""
    records: Tuple[Tuple[str, str, str], ...] = ()
    rules: Tuple[RulePlan, ...] = ()
    destinations: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True)
class Facts:
    """What exists. dkim: dicts with domain, algorithm, selector, txt, and service where the key is a service's own; spki: host
    name → SHA-256 of the key, hex; signed: zones whose answers validate (DNSSEC); routing: routed domain → what its service
    tells; tunnels and smarthosts: service through which applications send → what its tunnel's provider, or the servers that
    take its mail, tell."""

    dkim: Tuple[Mapping[str, Any], ...] = ()
    spki: Mapping[str, str] = dataclasses.field(default_factory=dict)
    signed: Tuple[str, ...] = ()
    routing: Mapping[str, RoutingFacts] = dataclasses.field(default_factory=dict)
    tunnels: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    smarthosts: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)


def phase_number(phase: str) -> int:
    """The place of a phase in the order of publication. Raises MailsteadError for one that does not exist."""
    if phase not in PHASES:
        raise MailsteadError.one("MS-PLAN-002", phase, "is no phase", f"use one of {', '.join(PHASES)}")
    return PHASES.index(phase)


def resolve(plan: MailPlan, facts: Facts, through_phase: str = PHASES[-1]) -> Tuple[ZonePlan, ...]:
    """The zones with every record that can be written now.

    Records up to through_phase must be resolvable: a missing fact is an error (MS-PLAN-001) rather than a record left
    out, because a record that is left out would be deleted. Later phases keep what can be filled. TLSA records stand
    only in signed zones: unsigned ones are worthless to DANE senders (RFC 7672 §2.2).
    """
    limit = phase_number(through_phase)
    problems: List[Problem] = []
    zones = []
    for zone in plan.zones:
        records: List[Record] = []
        for record in zone.records:
            if record.deferred is None:
                records.append(record)
            elif record.deferred.kind == "tlsa" and zone.name not in facts.signed:
                continue
            else:
                filled = _fill(record, facts)
                if filled:
                    records += filled
                elif PHASES.index(record.phase) <= limit:
                    what = f"{record.deferred.kind} of {record.deferred.key} does not exist yet"
                    problems.append(
                        Problem("MS-PLAN-001", record.name, what, "run site.yml: it makes it before it is published")
                    )
        zones.append(dataclasses.replace(zone, records=tuple(records)))
    if problems:
        raise MailsteadError(problems)
    return tuple(zones)


def _fill(record: Record, facts: Facts) -> Sequence[Record]:
    assert record.deferred is not None
    key = record.deferred.key
    if record.deferred.kind == "dkim":
        domain, _slash, rest = key.rpartition("/")
        algorithm, _at, service = rest.partition("@")
        wanted = {"domain": domain, "algorithm": algorithm}
        found = [
            f
            for f in facts.dkim
            if wanted.items() <= f.items() and str(f.get("service") or "") == service and f.get("txt")
        ]
        return [
            dataclasses.replace(
                record, name=f"{f['selector']}._domainkey.{domain}", content=str(f["txt"]), deferred=None
            )
            for f in found
        ]
    digest = facts.spki.get(key)
    return [dataclasses.replace(record, content=f"3 1 1 {digest}", deferred=None)] if digest else []


def kept(plan: RoutingPlan, facts: Facts) -> Tuple[Record, ...]:
    """The records that a routing service keeps, with the values it has assigned; those it did not tell stay deferred."""
    told = facts.routing.get(plan.name)
    out: List[Record] = []
    for record in plan.keeps:
        found = [r for r in (told.records if told else ()) if (r[0], r[1]) == (record.name, record.type)]
        if record.type == "MX":
            host = record.content.rsplit(" ", 1)[-1]
            found = [r for r in found if r[2].rsplit(" ", 1)[-1] == host]
        filled = [dataclasses.replace(record, content=content, deferred=None) for _name, _type, content in found]
        out += filled or [record]
    return tuple(out)


def facts_from(data: Mapping[str, Any]) -> Facts:
    """Facts from the JSON types that modules return."""
    spki: Dict[str, str] = {str(k): str(v).lower() for k, v in dict(data.get("spki") or {}).items()}
    dkim = tuple({str(k): v for k, v in dict(f).items()} for f in data.get("dkim") or ())
    routing = {str(k): _routing_from(dict(v)) for k, v in dict(data.get("routing") or {}).items()}
    services = {
        k: {str(n): dict(v or {}) for n, v in dict(data.get(k) or {}).items()} for k in ("tunnels", "smarthosts")
    }
    return Facts(
        dkim=dkim,
        spki=spki,
        signed=tuple(str(z) for z in data.get("signed") or ()),
        routing=routing,
        tunnels=services["tunnels"],
        smarthosts=services["smarthosts"],
    )


def _routing_from(data: Mapping[str, Any]) -> RoutingFacts:
    return RoutingFacts(
        enabled=bool(data.get("enabled")),
        status=str(data.get("status") or ""),
        records=tuple((str(n), str(t), str(c)) for n, t, c in data.get("records") or ()),
        rules=tuple(from_data(RulePlan, dict(rule)) for rule in data.get("rules") or ()),
        destinations={str(k): str(v or "") for k, v in dict(data.get("destinations") or {}).items()},
    )
