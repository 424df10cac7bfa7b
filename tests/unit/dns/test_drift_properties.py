# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Drift under random mixtures of breakages, and of records that are missing or changed."""

from __future__ import annotations

import dataclasses

from ansible_collections.mailstead.stack.plugins.module_utils.checks.finding import exit_code
from ansible_collections.mailstead.stack.plugins.module_utils.dns.drift.compare import compare, overviews
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.dns.drift_world import (
    BROKEN,
    OPTIONS,
    WANTS,
    Break,
    World,
    behind_the_providers_back,
    changed,
    foreign_mx,
    lame,
    missing,
    not_yet,
    of_another_instance,
    shorter,
    stored,
    surplus,
    trouble,
    unmarked,
)

EDITS = st.lists(
    st.sampled_from([b for n, (b, _e) in BROKEN.items() if not n.startswith(("unread", "no_such"))]), max_size=4
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(EDITS)
def test_every_mixture_is_judged_and_nothing_is_said_twice(breaks: list[Break]) -> None:
    """Whatever has come apart at once, every finding has its own name, and only what nothing ails is in order."""
    world = World()
    for breaking in breaks:
        try:
            breaking(world)
        except StopIteration:
            return  # the record to edit is gone already
    view = world.view()
    findings = compare([view], OPTIONS)
    assert len({f.key for f in findings}) == len(findings)
    causes = {f.key for f in findings if f.verdict == "fail"}
    assert all(set(f.because) <= causes for f in findings)
    if not breaks:
        assert exit_code(findings) == 0
    # Without our mark a record's time to live is its owner's business.
    elif not set(breaks) & {unmarked, of_another_instance} and set(breaks) & {
        missing,
        changed,
        shorter,
        surplus,
        foreign_mx,
        lame,
        not_yet,
        behind_the_providers_back,
    }:
        assert exit_code(findings) in (1, 2)
    overviews([view], findings)


@settings(max_examples=150, deadline=None)
@given(st.sets(st.integers(0, len(WANTS) - 1)), st.sets(st.integers(0, len(WANTS) - 1)))
def test_what_a_run_would_do_is_what_has_drifted(gone: set[int], moved: set[int]) -> None:
    """R1 and R2 are exactly the records that are missing or differ; what the servers copy is never blamed on them."""
    world = World()
    world.live = [
        dataclasses.replace(r, ttl=600) if n in moved else r for n, r in enumerate(stored(WANTS)) if n not in gone
    ]
    found = trouble(world.compare())
    scope = {n: f"{w.name}/{w.type}" for n, w in enumerate(WANTS)}
    assert {k.split(" ")[1].removesuffix("/spf").removesuffix("/dmarc").removesuffix("/dkim") for k in found} == {
        scope[n] for n in gone | moved
    }
    assert {k.split(" ")[0] for k in found} == ({"R1"} if gone else set()) | ({"R2"} if moved - gone else set())
