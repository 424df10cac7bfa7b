# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The verdict model: findings, how a broken cause silences its consequences, and the exit code.

A check names what it requires. When a check could not be passed and something it requires has failed (directly or
through a chain), the failure is not its own: it is reported as ``unknown`` with the cause, so that one broken thing
shows as exactly one failure. A check that passes stays passed: it was proven in spite of the cause.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Dict, Iterable, List, Mapping, Sequence, Tuple

PASS, WARN, FAIL, UNKNOWN, NA = "pass", "warn", "fail", "unknown", "na"
#: The order in which findings are shown.
ORDER: Tuple[str, ...] = (FAIL, WARN, UNKNOWN, PASS, NA)

EXIT_OK, EXIT_FAIL, EXIT_UNKNOWN, EXIT_BROKEN = 0, 1, 2, 3


@dataclass(frozen=True)
class Finding:
    """One check's verdict about one thing.

    id: stable (``A1``); scope: what it is about (domain, host, address, ``<host>/ipv4``, ``<domain>/<selector>``).
    evidence: lines as seen. requires: ``ID@scope``, or ``ID`` for any scope. matters: whether an ``unknown`` here
    must keep the run from counting as proven. because: the failed checks that kept this one from being judged.
    """

    id: str
    title: str
    scope: str
    verdict: str
    expected: str = ""
    observed: str = ""
    evidence: Tuple[str, ...] = ()
    fix: str = ""
    rule: str = ""
    severity: str = FAIL
    matters: bool = True
    requires: Tuple[str, ...] = ()
    because: Tuple[str, ...] = ()
    area: str = ""

    @property
    def key(self) -> str:
        return f"{self.id}@{self.scope}"

    def to_data(self) -> Dict[str, Any]:
        data = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return {k: list(v) if isinstance(v, tuple) else v for k, v in data.items()}


def _matching(requirement: str, findings: Sequence[Finding]) -> List[Finding]:
    wanted, _at, scope = requirement.partition("@")
    return [f for f in findings if f.id == wanted and (not scope or f.scope == scope)]


def _ancestors(finding: Finding, findings: Sequence[Finding]) -> List[Finding]:
    """What a finding requires, directly or through others; a cycle is walked once."""
    seen: Dict[str, Finding] = {finding.key: finding}
    queue = [finding]
    while queue:
        for requirement in queue.pop().requires:
            for found in _matching(requirement, findings):
                if found.key not in seen:
                    seen[found.key] = found
                    queue.append(found)
    return [f for key, f in seen.items() if key != finding.key]


def root_causes(finding: Finding, findings: Sequence[Finding]) -> Tuple[str, ...]:
    """Keys of the failures at the far end of what a finding requires: those that follow from no other failure."""
    failed = [f for f in _ancestors(finding, findings) if f.verdict == FAIL]
    return tuple(sorted(f.key for f in failed if not any(a.verdict == FAIL for a in _ancestors(f, findings))))


def settle(findings: Iterable[Finding]) -> Tuple[Finding, ...]:
    """Consequences of a failure become ``unknown, because of`` it; sorted by verdict, id, scope."""
    given = list(findings)
    out = []
    for finding in given:
        settled = finding
        if finding.verdict in (FAIL, WARN, UNKNOWN):
            causes = root_causes(finding, given)
            if causes:
                settled = dataclasses.replace(finding, verdict=UNKNOWN, because=causes)
        out.append(settled)
    return tuple(sorted(out, key=lambda f: (ORDER.index(f.verdict), natural(f.id), f.scope)))


def natural(check_id: str) -> Tuple[str, int, str]:
    """Sort key that puts A2 before A10."""
    digits = "".join(c for c in check_id[1:] if c.isdigit())
    return check_id[:1], int(digits or 0), check_id


def counts(findings: Iterable[Finding]) -> Dict[str, int]:
    totals = dict.fromkeys(ORDER, 0)
    for finding in findings:
        totals[finding.verdict] += 1
    return totals


def exit_code(findings: Sequence[Finding]) -> int:
    """0 all pass or warn, 1 a fail, 2 an unknown that matters. An empty run proves nothing: 3."""
    if not findings:
        return EXIT_BROKEN
    if any(f.verdict == FAIL for f in findings):
        return EXIT_FAIL
    if any(f.verdict == UNKNOWN and f.matters for f in findings):
        return EXIT_UNKNOWN
    return EXIT_OK


def finding_from(data: Mapping[str, Any]) -> Finding:
    """The inverse of :meth:`Finding.to_data`."""
    names = {f.name for f in dataclasses.fields(Finding)}
    given: Dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items() if k in names}
    return Finding(**given)
