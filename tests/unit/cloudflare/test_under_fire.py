# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Random zones, wanted sets and faults: the zone is watched after every request, and the next run has to converge."""

from __future__ import annotations

import contextlib
import copy
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare import zones
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError
from ansible_collections.mailstead.stack.plugins.module_utils.dns.reconcile import ZoneResult
from ansible_collections.mailstead.stack.plugins.module_utils.dns.records import Want
from ansible_collections.mailstead.stack.plugins.module_utils.plan.phases import PHASES
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lab.twins.cloudflare.faults import Fault
from tests.unit.cloudflare.random_zones import BYSTANDERS, RIVALS, WANTS, apply, bench_with, some
from tests.unit.cloudflare.support import ZONE, Bench

SINGLE = ("v=spf1", "v=dmarc1", "v=tlsrptv1")
#: What may befall a request of a run. The twin executes them; each hits one or more requests after letting some pass.
FAULTS = st.one_of(
    st.builds(Fault, st.just("status"), st.integers(1, 3), st.integers(0, 4), status=st.just(429)),
    st.builds(
        Fault,
        st.just("status"),
        st.integers(1, 3),
        st.integers(0, 3),
        status=st.sampled_from([500, 502, 503, 520]),
        after=st.booleans(),
        html=st.booleans(),
    ),
    st.builds(Fault, st.sampled_from(["drop_before", "drop_after"]), st.integers(1, 3), st.integers(0, 4)),
    st.builds(Fault, st.just("operation"), st.just(1), st.integers(0, 2), operation=st.integers(0, 6)),
)
#: The fixture only sets a number, which every example sets anew.
FIXTURES = [HealthCheck.function_scoped_fixture]
STAGES = st.lists(st.sampled_from(PHASES), unique=True, max_size=3)


#: Operations of one batch: so few that most changes take several, or so many that no name is ever divided.
CAPS = st.sampled_from([4, 12])
WHOLE_NAMES = 12


class Watch:
    """Looks at the zone after every request: what nobody may ever see in it.

    calm: a zone alike that an undisturbed run has brought in line. whole: whether every name has to be as it was before
    the run or as it is to be after it.
    """

    def __init__(self, bench: Bench, calm: Bench, whole: bool) -> None:
        self.bench, self.whole = bench, whole
        self.first, self.last = by_name(bench), by_name(calm)
        self.served = has_mx(bench) and has_mx(calm)
        self.lost = lost_hosts(bench) | lost_hosts(calm)

    def __call__(self, _method: str = "", _path: str = "") -> None:
        assert has_mx(self.bench) or not self.served
        assert lost_hosts(self.bench) <= self.lost
        now = by_name(self.bench)
        for name in {*now, *self.first, *self.last}:
            facts = now.get(name, [])
            types = {str(f["type"]) for f in facts}
            assert "CNAME" not in types or types == {"CNAME"}
            kinds = Counter(str(f["content"]).split(" ")[0].rstrip(";").lower() for f in facts if f["type"] == "TXT")
            assert all(kinds[kind] <= 1 for kind in SINGLE)
            assert not self.whole or facts in (self.first.get(name, []), self.last.get(name, []))


def by_name(bench: Bench) -> dict[str, list[dict[str, Any]]]:
    out: dict[str, list[dict[str, Any]]] = {}
    for fact in bench.facts():
        out.setdefault(str(fact["name"]), []).append(fact)
    return out


def has_mx(bench: Bench) -> bool:
    return any(r["type"] == "MX" and r["name"] == ZONE for r in bench.records())


def lost_hosts(bench: Bench) -> set[str]:
    """Hosts of the zone that MX and SRV records point to and that have no address."""
    records = bench.records()
    hosts = {r["name"] for r in records if r["type"] in ("A", "AAAA")}
    targets = {r["content"] for r in records if r["type"] == "MX"}
    targets |= {r["data"]["target"] for r in records if r["type"] == "SRV"}
    return {t for t in targets if t.endswith(ZONE)} - hosts


def alike(first: list[Want], *seeds: list[dict[str, Any]]) -> tuple[Bench, Bench]:
    """Two zones alike, both brought in line with a first set."""
    pair = (bench_with(*seeds), bench_with(*seeds))
    for bench in pair:
        apply(bench, first)
    return pair


def chosen(bench: Bench, records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What has become of the records, by their ids."""
    ids = {r["id"] for r in records}
    return [r for r in bench.records() if r["id"] in ids]


def settle(bench: Bench, wants: list[Want], calm: Bench, **options: Any) -> None:
    """The next run, undisturbed, ends where a run that never was disturbed ends, and another one does nothing."""
    bench.before = bench.after = None
    bench.twin.faults.clear()
    apply(bench, wants, **options)
    assert bench.facts() == calm.facts()
    apply(bench, wants, **options)
    assert not [r for r in bench.requests if r.startswith("POST")]


@pytest.fixture(name="cap")
def fixture_cap(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    return lambda number: monkeypatch.setattr(zones, "BATCH_CAP_PAID", number)


@settings(max_examples=150, deadline=None, suppress_health_check=FIXTURES)
@given(WANTS, WANTS, some(BYSTANDERS), some(RIVALS), st.lists(FAULTS, max_size=4), STAGES, CAPS, st.booleans())
def test_no_fault_breaks_the_zone_or_keeps_the_next_run_from_converging(
    cap: Callable[[int], None],
    first: list[Want],
    second: list[Want],
    bystanders: list[dict[str, Any]],
    rivals: list[dict[str, Any]],
    faults: list[Fault],
    stages: list[str],
    size: int,
    tags: bool,
) -> None:
    cap(size)
    calm, hit = alike(first, bystanders, rivals)
    theirs = hit.records()[: len(bystanders)]
    apply(calm, second, tags=tags)
    hit.after = Watch(hit, calm, whole=not stages and size >= WHOLE_NAMES)
    for fault in faults:
        hit.twin.faults.add(copy.copy(fault))
    try:
        result = apply(hit, second, stages=stages, tags=tags)
    except MailsteadError as error:
        refused = {"MS-CF-007"} if any(f.kind == "operation" for f in faults) else set()
        assert {p.code for p in error.problems} <= {"MS-CF-005", "MS-CF-011", "MS-DNS-060"} | refused
    else:
        assert hit.facts() == calm.facts()
        assert set(result.written) == set(result.diff.changes)
    settle(hit, second, calm, tags=tags)
    assert chosen(hit, theirs) == theirs


@settings(max_examples=150, deadline=None, suppress_health_check=FIXTURES)
@given(WANTS, WANTS, some(RIVALS), st.integers(0, 9), st.booleans(), STAGES, CAPS)
def test_a_run_killed_at_any_request_or_gate_converges_on_the_next(
    cap: Callable[[int], None],
    first: list[Want],
    second: list[Want],
    rivals: list[dict[str, Any]],
    at: int,
    applied: bool,
    stages: list[str],
    size: int,
) -> None:
    cap(size)
    calm, hit = alike(first, rivals)
    apply(calm, second)
    watch = Watch(hit, calm, whole=not stages and size >= WHOLE_NAMES)
    left = [at]

    def step() -> None:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt

    def before(_method: str, _path: str) -> None:
        if not applied:
            step()

    def after(_method: str, _path: str) -> None:
        watch()
        if applied:
            step()

    hit.before, hit.after = before, after
    with contextlib.suppress(KeyboardInterrupt):
        apply(hit, second, stages=stages, gate=lambda _results: step())
    settle(hit, second, calm)


@settings(max_examples=100, deadline=None)
@given(WANTS, WANTS, some(BYSTANDERS), some(RIVALS), STAGES)
def test_check_mode_says_what_a_run_in_stages_does(
    first: list[Want],
    second: list[Want],
    bystanders: list[dict[str, Any]],
    rivals: list[dict[str, Any]],
    stages: list[str],
) -> None:
    whole, staged = alike(first, bystanders, rivals)
    before = copy.deepcopy(staged.records())
    planned = apply(staged, second, stages=stages, check=True)
    assert staged.records() == before and len(staged.requests) == 2
    done = apply(staged, second, stages=stages)
    assert len([r for r in staged.requests if r.startswith("GET")]) == 2
    assert planned.diff.changes == done.diff.changes and set(done.written) == set(done.diff.changes)
    assert [s.changes for s in planned.stages] == [s.changes for s in done.stages]
    assert counts(planned) == counts(done)
    once = apply(whole, second)
    assert staged.facts() == whole.facts()
    assert counts(once) == counts(done)


def counts(result: ZoneResult) -> tuple[int, int, int]:
    return (result.diff.satisfied, result.diff.foreign_satisfied, result.diff.held)
