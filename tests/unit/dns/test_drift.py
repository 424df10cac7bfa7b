# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Drift, the pure part: a zone that is in order, and one thing broken at a time, which is one thing found."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.checks.finding import Finding, exit_code
from ansible_collections.mailstead.stack.plugins.module_utils.dns.drift.catalogue import CHECKS

from tests.unit.dns.drift_world import BROKEN, World, sign, trouble

# -- in order --------------------------------------------------------------------------------------------------------


def test_a_zone_in_order_has_nothing_to_say_but_passes() -> None:
    findings = World().compare()
    assert trouble(findings) == {}
    assert exit_code(findings) == 0
    passed = [f.id for f in findings if f.verdict == "pass"]
    assert {i: passed.count(i) for i in sorted(set(passed))} == {
        **{"R1": 8, "R2": 8, "R3": 1, "R4": 1, "R5": 1, "R6": 1, "R7": 1},
        **{"S1": 8, "S2": 3, "S3": 1, "Z1": 1, "Z2": 1, "Z3": 1},
    }
    assert [f.id for f in findings if f.verdict == "na"] == ["Z4"]
    assert len({f.key for f in findings}) == len(findings)


def test_every_id_of_the_catalogue_can_pass_and_be_in_trouble() -> None:
    """Guards the table BROKEN: a check that nothing makes fail proves nothing."""
    seen = {case.id.split(" ")[0] for _break, expected in BROKEN.values() for case in map(_Id, expected)}
    assert seen == {c.id for c in CHECKS}
    signed = World()
    sign(signed)
    assert {f.id for f in signed.compare() if f.verdict == "pass"} == {c.id for c in CHECKS}


class _Id:
    def __init__(self, text: str) -> None:
        self.id = text


# -- broken, one thing at a time -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(BROKEN))
def test_one_thing_broken_is_one_thing_found(name: str) -> None:
    breaking, expected = BROKEN[name]
    world = World()
    breaking(world)
    findings = world.compare()
    assert trouble(findings) == expected
    assert len({f.key for f in findings}) == len(findings)
    assert exit_code(findings) == (1 if "fail" in expected.values() else 2 if _decides(findings) else 0)


def _decides(findings: Iterable[Finding]) -> bool:
    return any(f.verdict == "unknown" and f.matters for f in findings)
