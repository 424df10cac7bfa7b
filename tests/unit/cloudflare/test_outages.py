# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The reconciler while the API twin fails it: server errors, broken connections, unclear writes, refused operations,
somebody who was quicker, and the rate limit."""

from __future__ import annotations

import threading

import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.common.http import TransportError
from ansible_collections.mailstead.stack.plugins.module_utils.dns.reconcile import ApplyError

from lab.twins.cloudflare.faults import Fault
from tests.unit.cloudflare.support import ADDRESS, HOST, ZONE, ZONES10, Bench, codes, fails, kinds, mail_set, want

# -- under fire ------------------------------------------------------------------------------------------------------


def test_reads_are_repeated_after_server_errors_and_broken_connections() -> None:
    bench = Bench()
    bench.twin.faults.fail_reads(2, 503, html=True)
    bench.twin.faults.drop_unread(1, "GET", "dns_records")
    bench.run(mail_set())
    assert len(bench.records()) == len(mail_set())
    assert len(bench.pauses) == 3 and all(0 < p <= 8 for p in bench.pauses)


def test_a_server_that_stays_broken_is_reported() -> None:
    bench = Bench()
    bench.twin.faults.fail_reads(4, 502, path="dns_records")
    error = fails(bench, mail_set())
    assert codes(error) == ["MS-CF-011"] and "502" in error.problems[0].what


def test_the_rate_limit_is_waited_out_on_reads_and_writes() -> None:
    bench = Bench()
    bench.twin.faults.rate_limit(1, 7, "GET", "/zones")
    bench.twin.faults.rate_limit(1, 200, "POST")
    bench.run(mail_set())
    assert [round(p) for p in bench.pauses] == [8, 200]
    assert len(bench.records()) == len(mail_set())


def test_a_rate_limit_beyond_the_budget_ends_the_run() -> None:
    bench = Bench()
    bench.twin.faults.rate_limit(2, 200, "POST")
    error = fails(bench, mail_set())
    assert codes(error) == ["MS-CF-006"] and bench.records() == []


@pytest.mark.parametrize("fault", ["drop_after", "status_after", "drop_before", "status_before", "html"])
def test_after_an_unclear_write_the_zone_is_read_again(fault: str) -> None:
    bench = Bench()
    faults = bench.twin.faults
    if fault == "drop_after":
        faults.drop_after_write()
    elif fault == "drop_before":
        faults.drop_unread(1, "POST")
    else:
        faults.fail_writes(1, 502, applied=fault == "status_after", html=fault == "html")
    found = bench.run(mail_set())[0]
    assert faults.pending == 0
    assert len(bench.records()) == len(mail_set())
    assert set(found.written) == set(found.diff.changes)
    applied = fault in ("drop_after", "status_after")
    assert kinds(bench).count("POST batch") == (1 if applied else 2)
    assert kinds(bench).count("GET dns_records") == 2


def test_a_write_that_never_gets_clear_is_reported() -> None:
    bench = Bench()
    bench.twin.faults.drop_unread(9, "POST")
    error = fails(bench, mail_set())
    assert codes(error) == ["MS-DNS-060"] and bench.records() == []


def test_an_outage_gets_longer_to_pass_the_longer_it_lasts() -> None:
    bench = Bench()
    bench.twin.faults.fail_writes(3, 502)
    bench.run(mail_set())
    assert len(bench.records()) == len(mail_set())
    assert bench.pauses == [0.75, 1.5, 3.0]
    bench.pauses.clear()
    bench.twin.faults.drop_unread(1, "POST")
    bench.run(mail_set()[:-1])
    assert bench.pauses == [0.75], "a write that went through ends the row"


@pytest.mark.parametrize("code", [81044, 81053, 81058])
def test_a_name_that_something_unseen_holds_is_said_and_nothing_is_called_uncertain(code: int) -> None:
    """The host of a tunnel is in no list of records, and refuses ours every time."""
    bench = Bench(error_pointers=True)
    bench.twin.faults.fail_operation(0, code, times=9)
    error = fails(bench, mail_set())
    assert codes(error) == ["MS-CF-007"] and bench.records() == []
    assert str(code) in error.problems[0].what and "does not show" in error.problems[0].fix
    assert ": CNAME autoconfig.example.com (create " in error.problems[0].where


def test_a_refusal_without_a_pointer_names_the_records_it_may_mean() -> None:
    bench = Bench()
    for wants, where in (
        (mail_set()[:2], "(one of 2 changes: A mail.example.com, AAAA mail.example.com; none of them was applied)"),
        (mail_set(), ", …; none of them was applied)"),
    ):
        bench.twin.faults.fail_operation(1)
        assert fails(bench, wants).problems[0].where.endswith(where)


def test_a_token_that_ends_on_the_way_names_no_record() -> None:
    bench = Bench()
    bench.twin.faults.add(Fault("status", method="POST", status=403))
    error = fails(bench, mail_set())
    assert (
        isinstance(error, ApplyError)
        and error.problems[0].where == f"zone {ZONE} (nothing of this request was applied)"
    )
    assert codes(error) == ["MS-CF-001"] and bench.records() == []


@pytest.mark.parametrize("duplicate_code", [81057, 81058])
def test_somebody_else_was_quicker(duplicate_code: int) -> None:
    """Between our list and our batch another run published the same records, or deleted one we wanted to change."""
    bench = Bench(duplicate_code=duplicate_code)

    def other_run(method: str, _path: str) -> None:
        if method == "POST" and not bench.records():
            bench.before = None
            other = Bench.__new__(Bench)
            other.__dict__.update(bench.__dict__, requests=[], before=None)
            other.run(ADDRESS)

    bench.before = other_run
    bench.run(ADDRESS)
    assert [r["content"] for r in bench.records()] == ["198.18.1.10"]

    def vanish(method: str, _path: str) -> None:
        if method == "POST":
            bench.before.done = getattr(bench.before, "done", 0) + 1
            if bench.before.done == 1:
                bench.twin.zone(ZONE).delete(bench.records()[0]["id"])

    bench.before = vanish
    bench.run([want(HOST, "A", "198.18.1.11", "address", "host")])
    assert [r["content"] for r in bench.records()] == ["198.18.1.11"]


@pytest.mark.parametrize("index", [0, 7, 27])
@pytest.mark.parametrize("pointers", [True, False])
def test_an_error_at_one_operation_leaves_the_zone_as_it_was(index: int, pointers: bool) -> None:
    bench = Bench(error_pointers=pointers)
    bench.twin.faults.fail_operation(index)
    error = fails(bench, mail_set())
    assert isinstance(error, ApplyError) and codes(error) == ["MS-CF-007"]
    assert error.results[0].written == ()
    assert "9005" in error.problems[0].what
    assert ("(create " in error.problems[0].where) == pointers
    assert bench.records() == []


def test_a_zone_that_fails_does_not_hide_the_one_that_went_through() -> None:
    bench = Bench([{"name": ZONE}, {"name": "example.org"}])
    bench.twin.faults.add(Fault("operation", path=bench.twin.zone(ZONE).zone.zone_id, operation=3, status=400))
    error = fails(bench, {ZONE: mail_set(), "example.org": mail_set("example.org")})
    assert isinstance(error, ApplyError) and codes(error) == ["MS-CF-007"]
    assert {r.task.name: len(r.written) for r in error.results} == {ZONE: 0, "example.org": len(mail_set())}
    assert (len(bench.records()), len(bench.records("example.org"))) == (0, len(mail_set()))


# -- the rate limit --------------------------------------------------------------------------------------------------


def test_a_block_is_waited_out_as_often_as_the_budget_holds() -> None:
    bench = Bench()
    bench.twin.faults.rate_limit(3, 100, "GET", "/zones")
    bench.run(mail_set())
    assert [round(p) for p in bench.pauses] == [100, 100, 100]
    bench = Bench()
    bench.twin.faults.rate_limit(4, 100, "GET", "/zones")
    (problem,) = fails(bench, mail_set()).problems
    assert problem.code == "MS-CF-006"
    assert "asks to wait 100 s; a run waits 360 s in all, and has waited 300 s" in problem.what


def test_a_whole_block_is_waited_out() -> None:
    """As documented: 1,200 requests in five minutes, and a block of five minutes after that."""
    bench = Bench()
    bench.twin.faults.rate_limit(1, 300, "POST")
    bench.run(mail_set())
    assert len(bench.records()) == len(mail_set())


def test_zones_in_parallel_wait_for_one_block_together() -> None:
    """Each is told of it by an answer of its own; the time passes once."""
    names = ZONES10[:4]
    bench = Bench([{"name": z} for z in names])
    everyone = threading.Barrier(len(names))

    def meet(method: str, _path: str) -> None:
        if method == "POST" and bench.now == 0:
            everyone.wait(10)

    bench.after = meet
    bench.twin.faults.rate_limit(len(names), 300, "POST")
    bench.run({z: mail_set(z) for z in names})
    assert all(len(bench.records(z)) == len(mail_set(z)) for z in names)


def test_a_write_is_repeated_while_no_connection_can_be_made() -> None:
    bench = Bench()
    down = [2]

    def refuse(method: str, _path: str) -> None:
        if method == "POST" and down[0]:
            down[0] -= 1
            raise TransportError("connection refused", sent=False)

    bench.before = refuse
    bench.run(mail_set())
    assert len(bench.records()) == len(mail_set()) and kinds(bench).count("GET dns_records") == 1
    down[0] = 9
    assert codes(fails(bench, [])) == ["MS-DNS-019", "MS-DNS-020"]
    assert codes(fails(bench, [], allow=("last_mx", "delete_limit"))) == ["MS-CF-005"]
