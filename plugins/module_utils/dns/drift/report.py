# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The comparison as a report: the same model, files and exit code as a verification's."""

from __future__ import annotations

from typing import Any, Dict, Iterable, Mapping, Sequence

from ansible_collections.mailstead.stack.plugins.module_utils.checks import report as reports
from ansible_collections.mailstead.stack.plugins.module_utils.checks.finding import (
    EXIT_FAIL,
    EXIT_OK,
    EXIT_UNKNOWN,
    FAIL,
    UNKNOWN,
    Finding,
)
from ansible_collections.mailstead.stack.plugins.module_utils.dns.drift.catalogue import AREAS

DRIFT = reports.Kind(
    "Drift",
    {
        EXIT_OK: "the zones are as planned",
        EXIT_FAIL: "the zones have drifted",
        EXIT_UNKNOWN: "something that matters could not be compared",
    },
    AREAS,
)


def build(
    findings: Sequence[Finding], zones: Sequence[Mapping[str, Any]], labels: Iterable[str], now: float
) -> Dict[str, Any]:
    """The report as JSON types. zones: from :func:`.compare.overviews`; labels: what ran in place of a real part."""
    report = reports.assemble(DRIFT, [str(z["name"]) for z in zones], findings, labels, now)
    return {**report, "zones": [dict(z) for z in zones]}


def broken(message: str, labels: Iterable[str], now: float) -> Dict[str, Any]:
    """The report of a comparison that broke."""
    return {**reports.broken(message, labels, now, DRIFT), "zones": []}


def message(report: Mapping[str, Any]) -> str:
    """The one line a failed task ends with."""

    def named(verdict: str) -> str:
        rows = [f for f in report["findings"] if f["verdict"] == verdict and (verdict == FAIL or f["matters"])]
        return f"{len(rows)} finding(s): " + ", ".join(f"{f['id']} {f['scope']}" for f in rows)

    if report["exit_code"] == EXIT_FAIL:
        return f"[MS-DNS-090] The zones have drifted, {named(FAIL)}. What puts them right stands above."
    if report["exit_code"] == EXIT_UNKNOWN:
        return f"[MS-DNS-091] Something that matters could not be compared, {named(UNKNOWN)}."
    return f"[MS-DNS-092] The comparison broke: {report.get('error') or 'there is no zone to compare'}"
