# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""DNSSEC of zones against the API twin: what is planned, guarded, written after failures, waited for and explained."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare import dnssec
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.dnssec import ParentUnknownError, Wanted
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError, Problem

from tests.unit.cloudflare.support import TOKEN, ZONE, Bench

ZONES = ("example.com", "example.org")
OLD_DS = "2371 13 2 " + "ab" * 32


def silent(_zone: str) -> tuple[str, ...]:
    raise AssertionError("the parent was asked without need")


def deaf(_zone: str) -> tuple[str, ...]:
    raise ParentUnknownError("no server of com answers")


class Runs:
    """Plans and applies on one twin."""

    def __init__(self, states: dict[str, str] | None = None, **config: Any) -> None:
        zones = [{"name": z, "dnssec": (states or {}).get(z, "disabled")} for z in ZONES]
        self.bench = Bench(zones, **config)
        self.client = self.bench.client()

    def plan(self, *wishes: Wanted, parent: Any = silent, allow: tuple[str, ...] = ()) -> list[dnssec.Task]:
        self.tasks, self.notes = dnssec.plan(self.client, wishes, parent, allow)
        return self.tasks

    def apply(self) -> list[Problem]:
        return dnssec.apply(self.client, self.tasks)

    def refused(self, *wishes: Wanted, **more: Any) -> list[str]:
        with pytest.raises(MailsteadError) as caught:
            self.plan(*wishes, **more)
        assert not any("PATCH" in r for r in self.bench.requests)
        return [p.code for p in caught.value.problems]


def test_enabling_is_pending_once_and_then_nothing() -> None:
    runs = Runs()
    tasks = runs.plan(*[Wanted(z) for z in ZONES])
    assert [t.body for t in tasks] == [{"status": "active"}] * 2
    assert [(t.after.status, t.after.key) for t in tasks] == [("pending", None)] * 2
    assert runs.apply() == []
    for task in tasks:
        assert task.written and task.after.status == "pending" and task.after.key is not None
        assert task.after.key.ds.split()[1:3] == ["13", "2"] and len(task.after.key.digest) == 64
        assert task.after.key.dnskey.startswith("257 3 13 ")
    before = len(runs.bench.requests)
    assert [t.body for t in runs.plan(*[Wanted(z) for z in ZONES])] == [{}, {}] and runs.apply() == []
    assert len(runs.bench.requests) - before == 3


def test_ids_save_the_look_up() -> None:
    runs = Runs({ZONE: "active"})
    runs.plan(Wanted(ZONE, id=runs.bench.twin.zone(ZONE).zone.zone_id))
    assert len(runs.bench.requests) == 1


@pytest.mark.parametrize(("states", "signed"), [({}, True), ({"example.org": "active"}, False)])
def test_the_id_of_another_zone_changes_nothing(states: dict[str, str], signed: bool) -> None:
    """Above all, signing must not end in a zone whose parent nobody asked."""
    runs = Runs(states)
    other = runs.bench.twin.zone("example.org").zone.zone_id
    assert runs.refused(Wanted(ZONE, signed, id=other)) == ["MS-CF-003"]


def test_an_id_is_taken_on_trust_where_the_token_may_not_read_zones() -> None:
    runs = Runs(tokens=[{"token": TOKEN, "scopes": ["DNS:Edit"]}])
    wish = Wanted(ZONE, id=runs.bench.twin.zone(ZONE).zone.zone_id)
    runs.plan(wish)
    assert runs.apply() == []
    # Once there is a DS, its name is the proof, and no further request is made.
    runs.bench.requests.clear()
    runs.plan(Wanted(ZONE, signed=False, id=wish.id), parent=lambda _zone: ())
    assert len(runs.bench.requests) == 1


def test_flags_are_set_only_when_wanted() -> None:
    runs = Runs({ZONE: "active"})
    (task,) = runs.plan(Wanted(ZONE, flags={"multi_signer": True, "nsec3": False}))
    assert task.body == {"dnssec_multi_signer": True}
    assert task.after.flags == {"multi_signer": True, "presigned": False, "nsec3": False}
    assert task.after.key == task.before.key
    assert runs.apply() == [] and task.after.flags["multi_signer"] and task.after.status == "active"
    (again,) = runs.plan(Wanted(ZONE, flags={"multi_signer": True}))
    assert again.body == {}


@pytest.mark.parametrize(
    ("status", "signed", "body"),
    [
        ("disabled", True, {"status": "active"}), ("pending-disabled", True, {"status": "active"}),
        ("pending", True, {}), ("active", True, {}), ("error", True, {}),
        ("disabled", False, {}), ("pending-disabled", False, {}),
        ("pending", False, {"status": "disabled"}), ("active", False, {"status": "disabled"}),
        ("error", False, {"status": "disabled"}),
    ],
)  # fmt: skip
def test_what_every_state_needs(status: str, signed: bool, body: dict[str, str]) -> None:
    runs = Runs({ZONE: status})
    (task,) = runs.plan(Wanted(ZONE, signed), parent=lambda _zone: ())
    assert task.body == body
    assert dnssec.settings(task.after)["dnssec"] == ("enabled" if signed else "disabled")


def test_a_published_ds_stops_disabling() -> None:
    runs = Runs(dict.fromkeys(ZONES, "active"))
    wishes = [Wanted(z, signed=False) for z in ZONES]
    assert runs.refused(*wishes, parent=lambda _zone: (OLD_DS,)) == ["MS-CF-020"] * 2
    assert runs.refused(*wishes, parent=lambda _zone: (OLD_DS,), allow=("unknown_ds",)) == ["MS-CF-020"] * 2
    runs.plan(*wishes, parent=lambda _zone: (OLD_DS,), allow=("published_ds",))
    assert len(runs.notes) == 2 and OLD_DS in runs.notes[0] and "published_ds is allowed" in runs.notes[0]
    predicted = [task.after for task in runs.tasks]
    assert runs.apply() == [] and runs.bench.twin.zone(ZONE).dnssec.status == "pending-disabled"
    assert [task.after for task in runs.tasks] == predicted


def test_a_parent_that_cannot_be_asked_stops_disabling() -> None:
    runs = Runs({ZONE: "active"})
    wish = Wanted(ZONE, signed=False)
    assert runs.refused(wish, parent=deaf) == ["MS-CF-021"]
    assert runs.refused(wish, parent=deaf, allow=("published_ds",)) == ["MS-CF-021"]
    runs.plan(wish, parent=deaf, allow=("unknown_ds",))
    assert "no server of com answers" in runs.notes[0] and runs.apply() == []


def test_a_parent_without_ds_lets_it_happen() -> None:
    runs = Runs({ZONE: "active"})
    (task,) = runs.plan(Wanted(ZONE, signed=False), parent=lambda _zone: ())
    assert task.parent == () and runs.apply() == [] and runs.notes == []
    runs = Runs({ZONE: "pending"})
    (task,) = runs.plan(Wanted(ZONE, signed=False), parent=lambda _zone: ())
    assert (task.after.status, task.after.key) == ("disabled", None)


def test_one_mistake_stops_all_zones() -> None:
    runs = Runs({"example.org": "active"})
    wishes = [Wanted(ZONE), Wanted("example.org", signed=False), Wanted("example.net")]
    assert sorted(runs.refused(*wishes, parent=lambda _zone: (OLD_DS,))) == ["MS-CF-003", "MS-CF-020"]


def test_refusals_are_told_in_cloudflares_words() -> None:
    runs = Runs(tokens=[{"token": TOKEN, "scopes": ["Zone:Read"]}])
    assert runs.refused(Wanted(ZONE)) == ["MS-CF-001"]
    runs = Runs(tokens=[{"token": TOKEN, "scopes": ["Zone:Read", "DNS:Read"]}])
    runs.plan(*[Wanted(z) for z in ZONES])
    problems = runs.apply()
    assert [(p.code, p.where) for p in problems] == [("MS-CF-001", f"zone {z}: DNSSEC") for z in ZONES]
    assert all(not t.written and t.after == t.before for t in runs.tasks)


@pytest.mark.parametrize("applied", [True, False])
def test_an_unclear_write_is_looked_at_before_it_is_sent_again(applied: bool) -> None:
    runs = Runs()
    runs.plan(Wanted(ZONE))
    faults = runs.bench.twin.faults
    if applied:
        faults.drop_after_write(method="PATCH", path="/dnssec")
    else:
        faults.drop_unread(method="PATCH", path="/dnssec")
    runs.bench.requests.clear()
    assert runs.apply() == [] and runs.tasks[0].written and runs.tasks[0].after.status == "pending"
    assert [r.split()[0] for r in runs.bench.requests] == (["PATCH", "GET"] if applied else ["PATCH", "GET", "PATCH"])


def test_a_write_that_stays_unclear_is_a_problem() -> None:
    runs = Runs()
    runs.plan(Wanted(ZONE))
    runs.bench.twin.faults.drop_unread(times=2, method="PATCH", path="/dnssec")
    (problem,) = runs.apply()
    assert problem.code == "MS-CF-024" and not runs.tasks[0].written
    assert runs.tasks[0].after.status == "disabled"


@pytest.mark.parametrize(
    "answer",
    [
        None, [], {}, {"status": "on"}, {"status": None},
        {"status": "active", "key_tag": "x", "algorithm": 13, "digest_type": 2, "digest": "AB", "public_key": "k"},
    ],
)  # fmt: skip
def test_an_answer_of_another_shape_is_refused(answer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = Runs()
    with pytest.raises(ValueError, match=r"DNSSEC|DS"):
        dnssec.read_state(answer)
    monkeypatch.setattr(runs.bench.twin.zone(ZONE).dnssec, "to_json", lambda: answer)
    with pytest.raises(MailsteadError, match="MS-CF-004"):
        dnssec.read(runs.client, ZONE, runs.bench.twin.zone(ZONE).zone.zone_id)


def test_a_malformed_answer_to_a_write_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = Runs()
    runs.plan(Wanted(ZONE))
    monkeypatch.setattr(runs.bench.twin.zone(ZONE).dnssec, "to_json", lambda: {"status": "on"})
    (problem,) = runs.apply()
    assert problem.code == "MS-CF-004" and runs.tasks[0].written


def test_numbers_may_come_as_text() -> None:
    raw = {
        "status": "active",
        "key_tag": 42,
        "algorithm": "13",
        "digest_type": "2",
        "digest": "ab",
        "public_key": "k k",
    }
    key = dnssec.read_state(raw).key
    assert key == dnssec.Key(42, 13, 2, "AB", 257, "kk")


# -- waiting ----------------------------------------------------------------------------------------------------------


class Clock:
    """Time that passes only while somebody waits; at the given moment the registrar publishes the DS."""

    def __init__(self, runs: Runs, at: float) -> None:
        self.runs, self.at, self.now = runs, at, 0.0

    def pause(self, seconds: float) -> None:
        self.now += seconds
        if self.now >= self.at:
            self.runs.bench.twin.zone(ZONE).activate_dnssec()


def test_waiting_ends_when_the_zone_is_active() -> None:
    runs = Runs({ZONE: "pending", "example.org": "active"})
    runs.plan(Wanted(ZONE), Wanted("example.org"))
    clock = Clock(runs, at=15.0)
    runs.bench.requests.clear()
    assert dnssec.wait(runs.client, runs.tasks, 60, clock.pause, lambda: clock.now) == []
    # 1 + 2 + 5 + 10 seconds: four looks at the one zone that was not ready.
    assert clock.now == 18.0 and len(runs.bench.requests) == 4 and runs.tasks[0].after.status == "active"


def test_waiting_has_an_end() -> None:
    runs = Runs({ZONE: "pending"})
    runs.plan(Wanted(ZONE))
    clock = Clock(runs, at=1e9)
    (problem,) = dnssec.wait(runs.client, runs.tasks, 12, clock.pause, lambda: clock.now)
    key = runs.tasks[0].after.key
    assert problem.code == "MS-CF-023" and key is not None and key.ds in problem.fix and clock.now == 12.0


def test_waiting_stops_at_a_refusal() -> None:
    runs = Runs({ZONE: "pending"})
    runs.plan(Wanted(ZONE))
    runs.bench.twin.faults.fail_reads(4, status=502)
    clock = Clock(runs, at=1e9)
    (problem,) = dnssec.wait(runs.client, runs.tasks, 60, clock.pause, lambda: clock.now)
    assert problem.code == "MS-CF-011" and clock.now == 1.0


def test_a_deadline_without_a_key_to_name() -> None:
    task = dnssec.Task(Wanted(ZONE), "0" * 32, dnssec.State("pending", {}), {}, dnssec.State("pending", {}))
    (problem,) = dnssec.wait(Bench().client(), [task], 0)
    assert problem.code == "MS-CF-023" and "(" not in problem.fix


# -- the state error --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parent", "said"),
    [
        (lambda _zone: (OLD_DS,), f"the parent publishes {OLD_DS}"),
        (lambda _zone: (), "the parent publishes no DS"),
        (deaf, "cannot be found out (no server of com answers)"),
    ],
)
def test_the_error_is_explained(parent: Any, said: str) -> None:
    runs = Runs({ZONE: "error"})
    (task,) = runs.plan(Wanted(ZONE))
    problem = dnssec.broken(task, parent)
    assert problem is not None and task.after.key is not None
    assert problem.code == "MS-CF-022" and said in problem.what and task.after.key.ds in problem.fix


def test_the_error_without_a_key() -> None:
    task = dnssec.Task(Wanted(ZONE), "0" * 32, dnssec.State("error", {}), {}, dnssec.State("error", {}))
    problem = dnssec.broken(task, lambda _zone: ())
    assert problem is not None and "the dashboard shows" in problem.fix


def test_only_a_zone_that_shall_be_signed_is_broken() -> None:
    runs = Runs({ZONE: "error", "example.org": "active"})
    tasks = runs.plan(Wanted(ZONE, signed=False), Wanted("example.org"), parent=lambda _zone: ())
    assert [dnssec.broken(t, silent) for t in tasks] == [None, None]
