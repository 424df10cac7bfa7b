# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Promises that hold for any zone, any wanted set and any fault, checked on random ones against the API twin."""

from __future__ import annotations

import copy
from typing import Any

from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError
from ansible_collections.mailstead.stack.plugins.module_utils.dns.records import Mark, Want
from ansible_collections.mailstead.stack.plugins.module_utils.plan.model import PHASES
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.cloudflare.support import ZONE, Bench, want

FREE = ("last_mx", "delete_limit")
POLICY = {"mx": "merge", "dmarc": "merge", "other": "replace"}
HOSTS = [f"{n}.{ZONE}" for n in ("mail", "mx2", "edge")]
DMARC = f"_dmarc.{ZONE}"


def tls_name(host: str) -> str:
    return f"_25._tcp.{host}"


#: Everything a wanted set may hold; a set is a choice of these in which no two exclude each other.
POOL: list[Want] = [
    *(want(h, "A", f"198.18.1.{n}", "address", "host", ttl=t) for h in HOSTS for n, t in ((1, 300), (2, 3600))),
    *(want(h, "AAAA", f"2001:2::{n}", "address", "host") for h in HOSTS for n in (1, 2)),
    *(want(f"autoconfig.{ZONE}", t, v, "address", "autoconfig") for t, v in (("A", "198.18.1.9"), ("CNAME", HOSTS[0]))),
    *(
        want(ZONE, "TXT", f"v=spf1 {terms} -all", "policy", "spf")
        for terms in ("mx", "ip4:198.18.1.1", "a mx ip4:198.18.1.2")
    ),
    *(
        want(DMARC, "TXT", f"v=DMARC1; p={p}; rua=mailto:{r}@{ZONE}", "policy", "dmarc")
        for p, r in (("none", "a"), ("reject", "b"))
    ),
    *(want(f"_smtp._tls.{ZONE}", "TXT", f"v=TLSRPTv1; rua=mailto:{r}@{ZONE}", "policy", "tls-rpt") for r in ("a", "b")),
    *(want(HOSTS[0], "CAA", f'0 issue "{ca}.example"', "policy", "caa") for ca in ("one", "two")),
    *(want(tls_name(HOSTS[0]), "TLSA", f"3 1 1 {d * 32}", "certificate", "dane") for d in ("ab", "cd", "ef")),
    *(want(ZONE, "MX", f"{n} {h}", role="mx") for n in (10, 20) for h in HOSTS),
    *(want(f"_imaps._tcp.{ZONE}", "SRV", f"0 1 993 {h}", role="autoconfig") for h in HOSTS),
]
SINGLE = {"spf", "dmarc", "tls-rpt"}


def consistent(chosen: list[Want]) -> list[Want]:
    """One record per single policy, no alias beside an address."""
    out: list[Want] = []
    taken: set[str] = set()
    for record in chosen:
        place = record.role if record.role in SINGLE or record.name.startswith("autoconfig") else ""
        if place in taken:
            continue
        if place:
            taken.add(place)
        out.append(record)
    return out


WANTS = st.lists(st.sampled_from(POOL), unique=True, max_size=14).map(consistent)
#: Somebody else's records: at names of their own, or at ours without competing.
BYSTANDERS: list[dict[str, Any]] = [
    {"type": "A", "name": "www", "content": "203.0.113.5", "proxied": True, "comment": "web"},
    {"type": "TXT", "name": ZONE, "content": "google-site-verification=abc", "comment": "seo"},
    {"type": "TXT", "name": ZONE, "content": '"in" "two parts"'},
    {"type": "TXT", "name": "mail", "content": "note"},
    {"type": "MX", "name": "lists", "content": "mx.example.net", "priority": 5},
    {"type": "NS", "name": "sub", "content": "ns1.example.net"},
    {"type": "A", "name": "h9", "content": "203.0.113.6", "comment": "mailstead:berlin:host"},
    {
        "type": "SRV",
        "name": "_sip._tcp",
        "data": {"priority": 1, "weight": 1, "port": 5060, "target": "sip.example.net"},
    },
]
#: Somebody else's records where ours have to go.
RIVALS: list[dict[str, Any]] = [
    {"type": "TXT", "name": ZONE, "content": "v=spf1 include:_spf.example.net ~all", "comment": "theirs"},
    {"type": "TXT", "name": "_dmarc", "content": "v=DMARC1; p=none; rua=mailto:x@example.net"},
    {"type": "MX", "name": ZONE, "content": "mx.example.net", "priority": 50},
    {"type": "A", "name": "mail", "content": "203.0.113.7"},
    {"type": "CNAME", "name": "autoconfig", "content": "auto.example.net"},
    {"type": "CAA", "name": "mail", "data": {"flags": 0, "tag": "issue", "value": "other.example"}},
]


def some(pool: list[dict[str, Any]]) -> st.SearchStrategy[list[dict[str, Any]]]:
    return st.lists(st.sampled_from(pool), unique_by=repr, max_size=len(pool))


def bench_with(*seeds: list[dict[str, Any]]) -> Bench:
    bench = Bench([{"name": ZONE, "plan": "pro"}])
    bench.seed(*(body for seed in seeds for body in seed))
    return bench


def apply(bench: Bench, wants: list[Want], **options: Any) -> None:
    bench.run(wants, POLICY, allow=FREE, **options)


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
