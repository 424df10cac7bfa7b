# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The comparison of all zones, and its overview for people. Pure: the views come from :mod:`.ask`."""

from __future__ import annotations

from typing import Any, Dict, Iterable, List, Optional, Sequence, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.checks.finding import NA, ORDER, PASS, Finding, settle
from ansible_collections.mailstead.stack.plugins.module_utils.dns import rdata
from ansible_collections.mailstead.stack.plugins.module_utils.dns.drift.records import (
    compare_records,
    planned_diff,
    stands_for,
)
from ansible_collections.mailstead.stack.plugins.module_utils.dns.drift.servers import compare_servers
from ansible_collections.mailstead.stack.plugins.module_utils.dns.drift.sheet import Sheet, unknown_scope
from ansible_collections.mailstead.stack.plugins.module_utils.dns.drift.views import Question, ZoneView, questions
from ansible_collections.mailstead.stack.plugins.module_utils.dns.drift.zone import compare_zone
from ansible_collections.mailstead.stack.plugins.module_utils.dns.guards import check_targets
from ansible_collections.mailstead.stack.plugins.module_utils.dns.records import Options, ZoneDiff


def compare(views: Sequence[ZoneView], options: Options) -> Tuple[Finding, ...]:
    """All findings, what follows from a failure as ``unknown`` because of it; worst first."""
    diffs: Dict[str, ZoneDiff] = {v.zone: planned_diff(v, v.live) for v in views if v.live is not None}
    targets = check_targets(list(diffs.values()), options)
    found: List[Finding] = []
    for view in views:
        sheet = Sheet(view)
        compare_zone(sheet)
        mine = [p for p in targets if p.where.startswith(f"zone {view.zone}:")]
        compare_records(sheet, diffs.get(view.zone), mine)
        compare_servers(sheet)
        found += sheet.findings()
    return settle(found)


def overviews(views: Sequence[ZoneView], findings: Sequence[Finding]) -> List[Dict[str, Any]]:
    """Each zone's record sets side by side, as JSON types: what is planned, at the provider, and served by whom."""
    zones = [v.zone for v in views]
    return [_overview(v, [f for f in findings if _zone_of(f, zones) == v.zone]) for v in views]


def _zone_of(finding: Finding, zones: Sequence[str]) -> str:
    name = finding.scope.partition("/")[0]
    return max((z for z in zones if rdata.within(name, z)), key=len, default="")


def _overview(view: ZoneView, findings: Sequence[Finding]) -> Dict[str, Any]:
    return {
        "name": view.zone,
        "provider": view.provider,
        "status": view.live.status if view.live is not None else "",
        "read": view.live is not None,
        "name_servers": sorted({s.name for s in view.servers}),
        "verdict": _worst(f.verdict for f in findings),
        "records": [_row(view, question, findings) for question in _order(view)],
    }


def _order(view: ZoneView) -> List[Question]:
    found = {*questions(view.wants, view.live, view.options), *((w.name, w.type) for w in view.unknown)}
    return sorted(found, key=lambda q: (list(reversed(q[0].split("."))), q[1]))


def _row(view: ZoneView, question: Question, findings: Sequence[Finding]) -> Dict[str, Any]:
    name, rtype = question
    unknown = [w for w in view.unknown if (w.name, w.type) == question]
    scopes = {unknown_scope(w) for w in unknown}
    scope = f"{name}/{rtype}"
    about = [f for f in findings if f.scope == scope or f.scope.startswith(scope + "/") or f.scope in scopes]
    planned = sorted(rdata.presentation(rtype, w.content) for w in view.wants if (w.name, w.type) == question)
    live: Optional[List[str]] = None
    if view.live is not None:
        here = [r for r in view.live.records if (r.name, r.type) == question]
        live = sorted(rdata.presentation(rtype, r.content) for r in here)
        if not live:
            # Of a key whose selector is not known either: the names that it may be.
            found = [r for r in view.live.records if any(stands_for(view, r, w) for w in unknown)]
            live = sorted(f"{r.name}. {rdata.presentation(rtype, r.content)}" for r in found)
    return {
        "name": name,
        "type": rtype,
        "planned": None if unknown and not planned else planned,
        "live": live,
        "served": _served(view, question),
        "verdict": _worst(f.verdict for f in about),
        "checks": sorted({f.id for f in about if f.verdict not in (PASS, NA)}),
    }


def _served(view: ZoneView, question: Question) -> List[Dict[str, Any]]:
    """What is served, each answer once with the servers that give it."""
    found: Dict[Tuple[str, ...], List[str]] = {}
    for server in view.servers:
        answer = server.answers.get(question)
        if answer is not None:
            shown = sorted(rdata.presentation(question[1], v) for v in answer.values)
            found.setdefault((answer.error,) if answer.error else tuple(shown), []).append(server.label)
    return [{"values": list(values), "servers": servers} for values, servers in sorted(found.items())]


def _worst(verdicts: Iterable[str]) -> str:
    return min((v for v in verdicts if v != NA), key=ORDER.index, default=NA)
