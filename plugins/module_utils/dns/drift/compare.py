# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The comparison of all zones, and its overview for people. Pure: the views come from :mod:`.ask`."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.checks.finding import NA, ORDER, Finding, settle
from ansible_collections.mailstead.stack.plugins.module_utils.dns import rdata
from ansible_collections.mailstead.stack.plugins.module_utils.dns.drift.records import compare_records, planned_diff
from ansible_collections.mailstead.stack.plugins.module_utils.dns.drift.servers import compare_servers
from ansible_collections.mailstead.stack.plugins.module_utils.dns.drift.sheet import Sheet
from ansible_collections.mailstead.stack.plugins.module_utils.dns.drift.views import ZoneView, questions
from ansible_collections.mailstead.stack.plugins.module_utils.dns.drift.zone import compare_zone
from ansible_collections.mailstead.stack.plugins.module_utils.dns.guards import check_targets
from ansible_collections.mailstead.stack.plugins.module_utils.dns.records import Options, ZoneDiff
from ansible_collections.mailstead.stack.plugins.module_utils.dns.render import sort_key


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


def overview(view: ZoneView, findings: Sequence[Finding]) -> Dict[str, Any]:
    """A zone's record sets side by side, as JSON types: what is planned, at the provider, and served by whom."""
    mine = [f for f in findings if f.scope.partition("/")[0] == view.zone and f.id[0] == "Z"]
    rows = [_row(view, question, findings) for question in _order(view)]
    return {
        "name": view.zone,
        "provider": view.provider,
        "status": view.live.status if view.live is not None else "",
        "read": view.live is not None,
        "name_servers": sorted({s.name for s in view.servers}),
        "verdict": _worst([f.verdict for f in mine] + [row["verdict"] for row in rows]),
        "records": rows,
    }


def _order(view: ZoneView) -> List[Tuple[str, str]]:
    found = questions(view.wants, view.live, view.options)
    return sorted(found, key=lambda q: (list(reversed(q[0].split("."))), q[1]))


def _row(view: ZoneView, question: Tuple[str, str], findings: Sequence[Finding]) -> Dict[str, Any]:
    name, rtype = question
    scope = f"{name}/{rtype}"
    about = [f for f in findings if f.scope == scope or f.scope.startswith(scope + "/")]
    bad = [f for f in about if f.verdict not in ("pass", NA)]

    def texts(values: Sequence[str]) -> List[str]:
        return [rdata.presentation(rtype, v) for v in sorted(values)]

    live: Optional[List[str]] = None
    if view.live is not None:
        here = sorted((r for r in view.live.records if (r.name, r.type) == question), key=sort_key)
        live = [rdata.presentation(rtype, r.content) for r in here]
    served: Dict[Tuple[str, ...], List[str]] = {}
    for server in view.servers:
        answer = server.answers.get(question)
        if answer is not None:
            key = (answer.error,) if answer.error else tuple(texts(list(answer.values)))
            served.setdefault(key, []).append(server.label)
    return {
        "name": name,
        "type": rtype,
        "planned": texts([w.content for w in view.wants if (w.name, w.type) == question]),
        "live": live,
        "served": [{"values": list(values), "servers": servers} for values, servers in sorted(served.items())],
        "verdict": _worst(f.verdict for f in about),
        "checks": sorted({f.id for f in bad}),
    }


def _worst(verdicts: Any) -> str:
    known = [v for v in verdicts if v != NA]
    return min(known, key=ORDER.index, default=NA)
