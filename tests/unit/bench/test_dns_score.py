# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the bench's judgement must not miss, and must not invent."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from bench.dns import table, targets
from bench.dns.records import Body, foreign_records, mail_records, twice
from bench.dns.score import Row, Score, combine, interrupted, score, writes_of

ZONE = "bench0.example"
WANTED = {ZONE: mail_records(ZONE)}


def stored(bodies: list[Body], first: int = 0) -> list[Body]:
    """As the API gives records back: with an id and a time."""
    return [{**copy.deepcopy(b), "id": f"{first + i:032x}", "modified_on": "then"} for i, b in enumerate(bodies)]


def right() -> list[Body]:
    return stored([r.body() for r in mail_records(ZONE)])


def ours() -> list[Body]:
    """What has to be added to the foreign set."""
    return stored([r.body() for r in mail_records(ZONE) if (r.type, r.name) not in twice(ZONE)], 100)


def entry(
    method: str = "POST", path: str = "/x/dns_records/batch", status: int = 200, operations: int = 0
) -> dict[str, Any]:
    return {"method": method, "path": path, "status": status, "operations": operations}


def judged(
    before: list[Body], after: list[Body], foreign: bool = False, log: list[dict[str, Any]] | None = None
) -> Score:
    return score({ZONE: before}, {ZONE: after}, WANTED, log or [], foreign)


def test_a_perfect_cold_run() -> None:
    log = [entry("GET", "/zones"), entry("GET"), entry(operations=30)]
    assert judged([], right(), log=log) == Score(3, 30, None, 0)


def test_a_perfect_run_among_foreign_records() -> None:
    there = stored(foreign_records(ZONE))
    assert judged(there, there + ours(), foreign=True) == Score(0, 0, 0, 0)


@pytest.mark.parametrize("index", [0, 16, 17, 18, 19])
def test_a_lost_foreign_record_is_seen(index: int) -> None:
    there = stored(foreign_records(ZONE))
    found = judged(there, there[:index] + there[index + 1 :] + ours(), foreign=True)
    assert found.lost == 1 and found.touched == 1 and len(found.missing) == 1


@pytest.mark.parametrize(
    "change", [{"comment": None}, {"tags": []}, {"modified_on": "now"}, {"ttl": 601}, {"id": "f" * 32}]
)
def test_a_foreign_record_that_is_not_the_same_byte_for_byte_is_lost(change: Body) -> None:
    there = stored(foreign_records(ZONE))
    found = judged(there, [{**there[3], **change}, *there[:3], *there[4:], *ours()], foreign=True)
    assert found.lost == 1


def test_writing_a_right_record_again_is_a_false_change_even_if_nothing_shows() -> None:
    assert judged(right(), right()).touched == 0
    assert judged(right(), right(), log=[entry(operations=2), entry("PUT", "/x/dns_records/1")]).touched == 3


def test_deleting_and_adding_the_same_is_a_false_change() -> None:
    again = [{**right()[0], "id": "e" * 32}, *right()[1:]]
    assert judged(right(), again).touched == 1
    # Also beside a change that was needed.
    moved = [{**right()[0], "content": "198.18.1.9"}, *right()[1:]]
    assert judged(moved, [right()[0], {**right()[1], "id": "e" * 32}, *right()[2:]]).touched == 1


def test_what_was_needed_is_no_false_change() -> None:
    moved = [{**right()[0], "content": "198.18.1.9"}, *right()[1:]]
    assert judged(moved, right(), log=[entry(operations=1)]).touched == 0


def test_a_stale_record_and_a_missing_one_show() -> None:
    stale = {**right()[0], "content": "198.18.1.9", "id": "d" * 32}
    found = judged([stale, *right()[1:]], [stale, *right()[:-1]])
    assert found.surplus == (f"A mail.{ZONE} 198.18.1.9",)
    assert [m.split(" ")[0] for m in found.missing] == ["SRV"]


def test_the_same_twice_is_one_too_many() -> None:
    assert len(judged([], [*right(), {**right()[5], "id": "c" * 32}]).surplus) == 1


def test_writes_count_what_took_effect() -> None:
    log = [
        entry("GET"),
        entry(status=400, operations=9),
        entry(operations=5),
        entry("DELETE", "/x"),
        entry("PUT", "/x", 429),
    ]
    assert writes_of(log) == 6


def test_a_row_tells_the_median_and_the_worst() -> None:
    scores = [Score(3, 30, 0, 0), Score(4, 30, 2, 1, surplus=("A x", "B y")), Score(3, 30, 0, 0)]
    row = combine("r", "cold", 1, scores, [1.0, 9.0, 2.0])
    assert (row.requests, row.seconds, row.foreign_survived, row.false_changes) == (4, 2.0, False, 1)
    assert "2 foreign records" in row.note
    assert combine("r", "cold", 1, scores[:1], [1.0]).to_json() == {
        "runner": "r", "scenario": "cold", "zones": 1, "requests": 3, "seconds": 1.0, "foreign_survived": True, "false_changes": 0,
    }  # fmt: skip


def test_a_failed_run_has_no_time() -> None:
    row = combine("r", "cold", 1, [Score(1, 0, None, 0)], [0.1], failure="refused")
    assert row.seconds is None and row.foreign_survived is None and row.note == "fails: refused"


def test_what_a_broken_run_wrote_counts_as_false() -> None:
    half, nothing = Score(17, 14, None, 0, missing=("A x",) * 16), Score(3, 0, None, 0, missing=("A x",) * 30)
    row = interrupted(combine("r", "error", 1, [half], [0.1], failure="500"), [half])
    assert (row.false_changes, row.note) == (14, "fails: 500; 14 records written all the same")
    row = interrupted(combine("r", "error", 1, [nothing], [0.1], failure="400"), [nothing])
    assert (row.false_changes, row.note) == (0, "fails: 400; nothing written")
    assert "does not fail" in interrupted(combine("r", "error", 1, [Score(3, 30, None, 0)], [0.1]), [half]).note


def good() -> list[Row]:
    """Everything measured, every target just met."""
    rows = [
        Row("octodns", "cold", 1, 32, 3.2, None, 0),
        Row("cloudflare_dns (module)", "no-op", 1, 90, 6.0, None, 0),
        Row("cloudflare_dns (playbook)", "no-op", 1, 90, 15.0, None, 0),
    ]
    for zones in (1, 10):
        rows += [
            Row("ours (module)", "cold", zones, 1 + 2 * zones, 0.4, None, 0),
            Row("ours (module)", "no-op", zones, 1 + zones, 0.4, None, 0),
            Row("ours (module)", "change", zones, 1 + 2 * zones, 0.4, None, 0),
            Row("ours (playbook)", "no-op", zones, 1 + zones, 1.0, None, 0),
        ]
    return [
        *rows,
        Row("ours (module)", "foreign", 1, 3, 0.4, True, 0),
        Row("ours (module)", "429", 1, 6, 4.0, None, 0),
        Row("ours (module)", "error", 1, 3, None, None, 0, "fails: MS-CF-007; nothing written"),
        *(Row("ours (module)", f"txt {s}", 1, 2, 0.4, None, 0) for s in ("unquoted", "quoted", "re-chunked")),
    ]


def missed(rows: list[Row]) -> list[str]:
    return [v.target.split(":")[0] for v in targets.judge(rows) if not v.met]


def replaced(rows: list[Row], runner: str, scenario: str, **change: Any) -> list[Row]:
    found = [Row(**{**vars(r), **change}) if (r.runner, r.scenario) == (runner, scenario) else r for r in rows]
    assert found != rows
    return found


def test_all_targets_can_be_met() -> None:
    assert missed(good()) == []


@pytest.mark.parametrize(
    ("runner", "scenario", "change", "target"),
    [
        ("octodns", "cold", {"seconds": 3.1}, "cold, 1 zone"),
        ("cloudflare_dns (module)", "no-op", {"seconds": 5.9}, "no-op, 1 zone"),
        ("cloudflare_dns (playbook)", "no-op", {"seconds": 5.9}, "no-op, 1 zone"),
        ("ours (module)", "change", {"requests": 4}, "our requests are at the floor"),
        ("ours (module)", "txt quoted", {"requests": 3}, "our requests are at the floor"),
        ("ours (module)", "foreign", {"foreign_survived": False}, "nothing lost"),
        ("ours (module)", "txt quoted", {"false_changes": 1}, "nothing falsely changed"),
        ("ours (module)", "cold", {"note": "missing: A"}, "every zone ends as wanted"),
        ("ours (module)", "error", {"note": "does not fail; nothing written"}, "an error leaves the zone as it was"),
        ("ours (module)", "429", {"requests": 7}, "our requests are at the floor"),
    ],
)
def test_each_target_can_be_missed(runner: str, scenario: str, change: dict[str, Any], target: str) -> None:
    assert missed(replaced(good(), runner, scenario, **change)) == [target]


def test_what_was_not_measured_is_not_met() -> None:
    verdicts = targets.judge([])
    assert {v.met for v in verdicts} == {None}
    failed = replaced(good(), "ours (module)", "cold", seconds=None)
    assert targets.judge(failed)[0].met is None


def test_the_table_compares_the_same_kind() -> None:
    lines = table.render([*good(), Row("octodns", "no-op", 1, None, None, None, None, "left out")]).splitlines()
    found = {tuple(line.split()[:3]): line.split() for line in lines if "cloudflare_dns" in line}
    assert found["no-op", "1", "cloudflare_dns"][3:7] == ["(playbook)", "90", "15.00", "15.0"]
    assert lines[0].split()[:4] == ["scenario", "zones", "runner", "requests"]
    assert any(line.endswith("left out") and " - " in line for line in lines)
    assert "NO" in table.verdicts(targets.judge(replaced(good(), "octodns", "cold", seconds=1.0)))
