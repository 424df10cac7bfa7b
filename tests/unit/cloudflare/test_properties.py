# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Promises that hold for any zone, any wanted set and any fault, checked on random ones against the API twin."""

from __future__ import annotations

import copy
from typing import Any

from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError
from ansible_collections.mailstead.stack.plugins.module_utils.dns.records import Mark, Want
from ansible_collections.mailstead.stack.plugins.module_utils.plan.phases import PHASES
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.cloudflare.random_zones import BYSTANDERS, RIVALS, WANTS, apply, bench_with, some
from tests.unit.cloudflare.support import ZONE


@settings(max_examples=60, deadline=None)
@given(WANTS, WANTS, some(BYSTANDERS), some(RIVALS))
def test_a_second_run_changes_nothing_and_writes_nothing(
    first: list[Want], second: list[Want], bystanders: list[dict[str, Any]], rivals: list[dict[str, Any]]
) -> None:
    bench = bench_with(bystanders, rivals)
    for wants in (first, second):
        apply(bench, wants)
        before = copy.deepcopy(bench.records())
        apply(bench, wants)
        assert not [r for r in bench.requests if r.startswith("POST")]
        assert bench.records() == before


@settings(max_examples=60, deadline=None)
@given(WANTS, WANTS, some(BYSTANDERS))
def test_bystanders_survive_byte_for_byte_and_nothing_of_ours_is_left_over(
    first: list[Want], second: list[Want], bystanders: list[dict[str, Any]]
) -> None:
    bench = bench_with(bystanders)
    theirs = bench.records()
    apply(bench, first)
    apply(bench, second)
    kept = [r for r in bench.records() if r["id"] in {t["id"] for t in theirs}]
    assert kept == theirs
    assert len(bench.records()) == len(theirs) + len(second)
    apply(bench, [])
    assert bench.records() == theirs


@settings(max_examples=50, deadline=None)
@given(WANTS, some(RIVALS[:2]))
def test_taking_everything_back_restores_what_was_merged(wants: list[Want], rivals: list[dict[str, Any]]) -> None:
    bench = bench_with(rivals)
    before = bench.facts()
    apply(bench, wants)
    apply(bench, [])
    assert bench.facts() == before


@settings(max_examples=60, deadline=None)
@given(WANTS, WANTS, st.integers(0, 8), st.sampled_from(["kill", "drop_after", "drop_before", "500"]), some(RIVALS))
def test_a_crash_between_any_two_requests_converges_on_the_next_run(
    first: list[Want], second: list[Want], at: int, how: str, rivals: list[dict[str, Any]]
) -> None:
    calm, hit = bench_with(rivals), bench_with(rivals)
    for bench in (calm, hit):
        apply(bench, first)
    apply(calm, second)
    if how == "kill":
        hit.before = killer(at)
    elif how == "500":
        hit.twin.faults.fail_writes(1, 500, applied=bool(at % 2))
    else:
        getattr(hit.twin.faults, "drop_after_write" if how == "drop_after" else "drop_unread")()
    try:
        apply(hit, second)
    except (KeyboardInterrupt, MailsteadError):
        assert how == "kill"
    hit.before = None
    hit.twin.faults.clear()
    apply(hit, second)
    assert hit.facts() == calm.facts()


def killer(at: int) -> Any:
    """Ends the run ahead of request number ``at``."""
    left = [at]

    def before(_method: str, _path: str) -> None:
        if left[0] == 0:
            raise KeyboardInterrupt
        left[0] -= 1

    return before


@settings(max_examples=50, deadline=None)
@given(
    WANTS,
    WANTS,
    st.lists(st.sampled_from(PHASES), unique=True).map(lambda p: sorted(p, key=PHASES.index)),
    some(RIVALS),
)
def test_phase_by_phase_ends_where_one_run_ends_and_never_touches_what_comes_later(
    first: list[Want], second: list[Want], phases: list[str], rivals: list[dict[str, Any]]
) -> None:
    whole, stepwise = bench_with(rivals), bench_with(rivals)
    for bench in (whole, stepwise):
        apply(bench, first)
    apply(whole, second)
    for phase in phases:
        before = {r["id"]: r for r in stepwise.records()}
        apply(stepwise, second, through_phase=phase)
        after = {r["id"]: r for r in stepwise.records()}
        for key in set(before) | set(after):
            if before.get(key) != after.get(key):
                assert touched_phase(second, after.get(key) or before[key]) <= PHASES.index(phase)
        again = copy.deepcopy(stepwise.records())
        apply(stepwise, second, through_phase=phase)
        assert stepwise.records() == again
    apply(stepwise, second)
    assert stepwise.facts() == whole.facts()


def touched_phase(wants: list[Want], record: dict[str, Any]) -> int:
    """The phase that had a reason to touch a record: the first in which something is wanted at its name."""
    return min((PHASES.index(w.phase) for w in wants if w.name == record["name"]), default=len(PHASES) - 1)


@settings(max_examples=50, deadline=None)
@given(WANTS, WANTS, some(RIVALS))
def test_a_name_that_has_and_keeps_an_mx_is_never_without_one(
    first: list[Want], second: list[Want], rivals: list[dict[str, Any]]
) -> None:
    """Cloudflare applies a batch as one transaction but spreads it record by record: not even then may the last one go."""
    bench = bench_with(rivals)
    apply(bench, first)
    before = {r["id"] for r in bench.records() if r["type"] == "MX" and r["name"] == ZONE}
    apply(bench, second)
    after = {r["id"] for r in bench.records() if r["type"] == "MX" and r["name"] == ZONE}
    assert not before or not after or before & after


@settings(max_examples=40, deadline=None)
@given(WANTS)
def test_every_record_of_ours_is_marked_and_readable(wants: list[Want]) -> None:
    bench = bench_with()
    apply(bench, wants)
    for record in bench.records():
        mark = Mark.read(record["comment"])
        assert mark is not None and mark.instance == "mailstead" and len(record["comment"]) <= 100
