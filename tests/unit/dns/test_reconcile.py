# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The run over zones of any host: one reading, stages and gates, and what is certain when answers are not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError
from ansible_collections.mailstead.stack.plugins.module_utils.dns.provider import Limits
from ansible_collections.mailstead.stack.plugins.module_utils.dns.reconcile import (
    ROUNDS,
    ApplyError,
    ZoneResult,
    ZoneTask,
    reconcile,
    stage_phases,
)
from ansible_collections.mailstead.stack.plugins.module_utils.dns.records import Have, Options, Want
from ansible_collections.mailstead.stack.plugins.module_utils.plan.phases import PHASES, ForeignPolicy

from tests.unit.dns.memory_host import MemoryHost, lost, refused, somebody_empties, somebody_puts, unheard

ZONE, OTHER = "example.com", "example.org"
HOST = f"mail.{ZONE}"
A = Want(HOST, "A", "192.0.2.1", 3600, "address", "host")
KEY = Want(f"_x.{ZONE}", "TXT", "key", 3600, "keys", "key")
MX = Want(ZONE, "MX", f"10 {HOST}", 3600, "delivery", "mx")
WANTS = (A, KEY, MX)
OURS = "mailstead:mailstead:"


def run(host: MemoryHost, *wants: Want, zone: str = ZONE, check: bool = False, **more: Any) -> ZoneResult:
    """One run over one zone."""
    task = {k: more.pop(k) for k in ("id", "confirmed", "yields", "foreign") if k in more}
    call = {k: more.pop(k) for k in ("stages", "gate", "before_write") if k in more}
    return reconcile(host, [ZoneTask(zone, tuple(wants), **task)], Options(**more), check, **call)[0]


def fails(host: MemoryHost, *wants: Want, **more: Any) -> MailsteadError:
    with pytest.raises(MailsteadError) as caught:
        run(host, *wants, **more)
    return caught.value


def kinds(host: MemoryHost) -> list[str]:
    return [call[0] for call in host.calls]


def contents(host: MemoryHost, zone: str = ZONE) -> set[str]:
    return {f"{r.type} {r.content}" for r in host.zones[zone]}


def codes(error: MailsteadError) -> list[str]:
    return [p.code for p in error.problems]


# -- stages ----------------------------------------------------------------------------------------------------------


def test_stages_in_the_order_of_phases_end_with_the_last() -> None:
    assert stage_phases((), "delivery") == ["delivery"]
    assert stage_phases(("keys", "address", "delivery"), "delivery") == ["address", "keys", "delivery"]
    assert stage_phases(("keys", "address", "delivery"), "keys") == ["address", "keys"]


def test_every_stage_is_written_and_asked_for_on_one_reading() -> None:
    host = MemoryHost(ZONE)
    seen: list[tuple[set[str], int]] = []

    def gate(results: Sequence[ZoneResult]) -> None:
        (result,) = results
        assert result.reached is not None
        seen.append((contents(host), len(result.reached.active)))

    result = run(host, *WANTS, stages=("address", "keys"), gate=gate)
    assert kinds(host) == ["find", "read", "write", "write", "write"]
    assert seen == [({"A 192.0.2.1"}, 1), ({"A 192.0.2.1", "TXT key"}, 2)]
    assert set(result.written) == set(result.diff.changes) and len(result.written) == 3
    assert all(r.id for r in host.zones[ZONE])


def test_a_gate_is_asked_again_where_an_earlier_run_may_have_stopped_in_front_of_it() -> None:
    host = MemoryHost(ZONE)
    run(host, A)
    asked: list[int] = []
    run(host, *WANTS, stages=("address", "keys"), gate=lambda _r: asked.append(len(host.zones[ZONE])))
    assert asked == [1, 2]
    run(host, *WANTS, stages=("address", "keys"), gate=lambda _r: asked.append(0))
    assert asked == [1, 2]


def test_what_a_gate_refuses_keeps_the_later_stages_back() -> None:
    host = MemoryHost(ZONE, OTHER)

    def gate(_results: Sequence[ZoneResult]) -> None:
        raise MailsteadError.one("MS-DNS-040", "zone", "not seen", "-")

    tasks = [ZoneTask(ZONE, WANTS), ZoneTask(OTHER, (Want(OTHER, "MX", f"10 {HOST}", 300, "delivery", "mx"),))]
    with pytest.raises(ApplyError) as caught:
        reconcile(host, tasks, Options(), stages=["address"], gate=gate)
    assert codes(caught.value) == ["MS-DNS-040"]
    assert contents(host) == {"A 192.0.2.1"} and not host.zones[OTHER]
    assert [len(r.written) for r in caught.value.results] == [1, 0]


def test_a_mistake_in_a_later_stage_comes_before_the_first_write() -> None:
    host = MemoryHost(ZONE)
    host.put(ZONE, Have(ZONE, "MX", "10 mx.example.net", 300))
    assert codes(fails(host, *WANTS, stages=("address",))) == ["MS-DNS-031"]
    assert "write" not in kinds(host)


def test_check_mode_adds_the_stages_up() -> None:
    host = MemoryHost(ZONE)
    host.put(ZONE, Have(HOST, "A", "192.0.2.9", 300, comment=f"{OURS}host"), Have(f"old.{ZONE}", "A", "192.0.2.8", 300))
    asked: list[Any] = []
    planned = run(host, *WANTS, stages=PHASES, gate=asked.append, before_write=asked.append, check=True)
    assert kinds(host) == ["find", "read"] and not asked and not planned.written
    assert [c.action for c in planned.diff.changes] == ["update", "create", "create"]
    assert all(not c.record.id for c in planned.diff.changes if c.action == "create")
    assert planned.diff.changes == run(host, *WANTS, stages=PHASES).diff.changes
    assert run(host, *WANTS, check=True, stages=PHASES).diff.changes == ()


def test_an_answer_that_tells_nothing_costs_one_more_reading_before_the_next_stage() -> None:
    host = MemoryHost(ZONE)
    host.told = False
    result = run(host, *WANTS, stages=("address", "keys"))
    assert kinds(host) == ["find", "read", "write", "read", "write", "read", "write"]
    assert sorted(result.written, key=repr) == sorted(result.diff.changes, key=repr)


def test_the_guard_of_deletions_counts_all_stages_together() -> None:
    host = MemoryHost(ZONE)
    host.put(ZONE, *(Have(f"h{n}.{ZONE}", "A", "192.0.2.1", 300, comment=f"{OURS}host") for n in range(4)))
    # A CNAME of an early stage pushes an address out, the last stage removes the others.
    alias = Want(f"h0.{ZONE}", "CNAME", "h.example.net", 300, "address", "host")
    assert "MS-DNS-020" in codes(fails(host, alias, stages=("address",), max_delete=2))
    run(host, alias, stages=("address",), max_delete=3)


# -- before the first write ------------------------------------------------------------------------------------------


def test_every_zone_that_changes_is_shown_once_before_its_first_write() -> None:
    host = MemoryHost(ZONE, OTHER)
    saved: list[tuple[str, int]] = []

    def save(result: ZoneResult) -> None:
        assert "write" not in kinds(host)
        saved.append((result.task.name, len(result.diff.changes)))

    tasks = [ZoneTask(ZONE, WANTS), ZoneTask(OTHER, ())]
    reconcile(host, tasks, Options(), stages=["address", "keys"], before_write=save)
    assert saved == [(ZONE, 3)]
    reconcile(host, tasks, Options(), stages=["address", "keys"], before_write=save)
    assert saved == [(ZONE, 3)]


def test_a_zone_that_cannot_be_saved_is_not_written() -> None:
    def save(_result: ZoneResult) -> None:
        raise MailsteadError.one("MS-DNS-080", "zone", "no room", "-")

    host = MemoryHost(ZONE)
    error = fails(host, *WANTS, before_write=save)
    assert codes(error) == ["MS-DNS-080"] and isinstance(error, ApplyError)
    assert "write" not in kinds(host)


# -- answers that do not come, or say no ------------------------------------------------------------------------------


@pytest.mark.parametrize("stages", [(), ("address", "keys")])
def test_a_lost_answer_is_settled_by_reading(stages: tuple[str, ...]) -> None:
    host = MemoryHost(ZONE)
    host.events.append(lost)
    result = run(host, *WANTS, stages=stages)
    assert kinds(host).count("read") == 2 and kinds(host).count("write") == 1 + len(stages)
    assert set(result.written) == set(result.diff.changes)
    assert len(host.zones[ZONE]) == len(WANTS)


def test_a_write_that_did_not_arrive_is_sent_again_after_reading() -> None:
    host = MemoryHost(ZONE)
    host.events.append(unheard)
    run(host, *WANTS)
    assert kinds(host) == ["find", "read", "write", "read", "write"]


def test_what_stays_unclear_is_said() -> None:
    host = MemoryHost(ZONE)
    host.events.extend([unheard] * ROUNDS)
    error = fails(host, *WANTS)
    assert codes(error) == ["MS-DNS-060"] and "no answer" in error.problems[0].what
    assert kinds(host).count("write") == ROUNDS
    # The last reading may show that all is well.
    host.events.extend([*[unheard] * (ROUNDS - 1), lost])
    run(host, *WANTS)
    assert len(host.zones[ZONE]) == len(WANTS)


def test_the_first_batches_count_as_written_when_a_later_one_is_refused() -> None:
    host = MemoryHost(ZONE, limits=Limits(batch=1))
    host.events.extend([None, refused])
    error = fails(host, *WANTS)
    assert codes(error) == ["MS-DNS-099"] and isinstance(error, ApplyError)
    assert [c.record.type for c in error.results[0].written] == ["A"]
    assert contents(host) == {"A 192.0.2.1"}


def test_somebody_quicker_makes_the_zone_be_read_again() -> None:
    host = MemoryHost(ZONE)
    host.events.append(somebody_puts(Have(HOST, "A", "192.0.2.1", 300)))
    result = run(host, *WANTS)
    assert kinds(host) == ["find", "read", "write", "read", "write"]
    assert len(host.zones[ZONE]) == len(WANTS)
    # Theirs says what we want: ours was not needed any more.
    assert {c.record.type for c in result.written} == {"TXT", "MX"}


def test_somebody_who_gets_in_the_way_between_two_stages_is_noticed() -> None:
    host = MemoryHost(ZONE)
    host.events.extend([None, somebody_empties])
    moved = Want(HOST, "A", "192.0.2.1", 600, "address", "host")
    host.put(ZONE, Have(f"_x.{ZONE}", "TXT", "old", 300, comment=f"{OURS}key"))
    run(host, moved, KEY, MX, stages=("address", "keys"))
    assert contents(host) == {"A 192.0.2.1", "TXT key", f"MX 10 {HOST}"}
    host = MemoryHost(ZONE)
    host.events.extend(
        [None, somebody_puts(Have(ZONE, "MX", "5 mx.example.net", 300), Have(KEY.name, "TXT", "key", 60))]
    )
    error = fails(host, *WANTS, stages=("address", "keys"))
    assert codes(error) == ["MS-DNS-031"]
    assert not any(r.type == "MX" and OURS in r.comment for r in host.zones[ZONE])


def test_what_somebody_took_away_is_back_at_the_stage_it_belongs_to() -> None:
    host = MemoryHost(ZONE)
    run(host, A, KEY)
    host.events.append(somebody_empties)
    seen: list[set[str]] = []
    moved = Want(HOST, "A", "192.0.2.2", 3600, "address", "host")
    run(host, moved, KEY, MX, stages=("address", "keys"), gate=lambda _results: seen.append(contents(host)))
    # Nothing had to be done for the keys when the run was planned.
    assert seen == [{"A 192.0.2.2"}, {"A 192.0.2.2", "TXT key"}]


# -- what the zone itself tells --------------------------------------------------------------------------------------


def test_an_empty_zone_given_by_id_is_identified_before_it_is_filled() -> None:
    host = MemoryHost(ZONE)
    result = run(host, *WANTS, id="id-1", check=True)
    assert kinds(host) == ["find", "read", "identify"] and result.notes == ["identified"]
    host.identities["id-1"] = OTHER
    assert codes(fails(host, *WANTS, id="id-1")) == ["MS-DNS-099"]
    assert not host.zones[ZONE]


def test_the_quota_is_asked_for_near_the_limit_and_for_the_fullest_stage() -> None:
    host = MemoryHost(ZONE, limits=Limits(batch=100, records=4))
    run(host, A, check=True)
    assert "quota" not in kinds(host)
    host.quotas[ZONE] = 5
    host.put(ZONE, *(Have(f"h{n}.{ZONE}", "A", "192.0.2.1", 300, comment=f"{OURS}host") for n in range(4)))
    # In the end there are three, but the stage of the keys would have six.
    assert codes(fails(host, *WANTS, stages=("keys",))) == ["MS-DNS-023"]
    run(host, *WANTS, stages=("keys",), allow=("quota",))
    host.quotas.clear()
    run(host, *WANTS, KEY, check=True)


def test_words_longer_than_the_host_is_known_to_take_are_kept() -> None:
    host = MemoryHost(ZONE)
    host.put(ZONE, Have(HOST, "A", "192.0.2.9", 300, comment=f"{OURS}host " + "x" * 150))
    run(host, A)
    assert host.zones[ZONE][0].comment == f"{OURS}host " + "x" * 150


@pytest.mark.parametrize(
    ("limits", "present", "tagged"), [(True, False, True), (False, True, True), (False, False, False)]
)
def test_tags_are_set_where_the_zone_takes_them(limits: bool, present: bool, tagged: bool) -> None:
    host = MemoryHost(ZONE, limits=Limits(batch=100, tags=limits))
    host.put(ZONE, Have(f"www.{ZONE}", "A", "192.0.2.9", 300, tags=("web",) if present else ()))
    run(host, A, tags=True)
    assert host.zones[ZONE][1].tags == (("mailstead:mailstead",) if tagged else ())
    run(host, Want(HOST, "A", "192.0.2.5", 300, "address", "host"))
    assert host.zones[ZONE][1].tags == (("mailstead:mailstead",) if tagged else ())


def test_what_a_task_says_reaches_the_engine() -> None:
    host = MemoryHost(ZONE)
    host.put(ZONE, Have(ZONE, "MX", "10 mx.example.net", 300), Have(f"www.{ZONE}", "A", "192.0.2.9", 300))
    assert codes(fails(host, MX, mode="zone", allow=("delete_limit",))) == ["MS-DNS-024"]
    run(host, MX, foreign=ForeignPolicy(mx="replace"))
    assert contents(host) == {f"MX 10 {HOST}", "A 192.0.2.9"}
    run(host, MX, mode="zone", confirmed=True, max_delete_percent=100)
    assert contents(host) == {f"MX 10 {HOST}"}


def test_mistakes_of_missing_zones_are_told_in_the_same_breath() -> None:
    host = MemoryHost(ZONE)
    bad = Want("mail.example.net", "A", "192.0.2.1", 300, "address", "host")
    tasks = [ZoneTask(ZONE, (bad,)), ZoneTask(OTHER, (bad,))]
    with pytest.raises(MailsteadError) as caught:
        reconcile(host, tasks, Options())
    assert sorted(codes(caught.value)) == ["MS-DNS-002", "MS-DNS-002", "MS-DNS-099"]
