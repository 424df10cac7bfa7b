# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The bench's record sets and scenarios: what they hold, and that the API takes them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.dns import account, scenarios
from bench.dns.records import foreign_records, mail_records, meaning, moved, quoted, twice
from lab.twins.cloudflare import Twin, TwinConfig
from lab.twins.cloudflare.faults import Fault

ZONE = "bench0.example"
HEADERS = {"Authorization": f"Bearer {account.TOKEN}"}


def twin() -> Twin:
    return Twin(TwinConfig.from_data({**account.twin_config([ZONE]), "latency_ms": 0.0, "strict": True}))


def test_the_mail_set_is_typical() -> None:
    records = mail_records(ZONE)
    assert len(records) == 30
    assert Counter(r.type for r in records) == {
        "A": 1, "AAAA": 1, "CNAME": 4, "TXT": 12, "CAA": 1, "TLSA": 2, "MX": 1, "SRV": 8,
    }  # fmt: skip
    assert sum(r.type == "TXT" and len(r.content) > 255 for r in records) == 2
    assert len({meaning(r.body()) for r in records}) == 30
    assert all(r.name == ZONE or r.name.endswith(f".{ZONE}") for r in records)


def test_the_foreign_set_stands_beside_the_mail_set() -> None:
    bodies = foreign_records(ZONE)
    assert len(bodies) == 20 and all(b["comment"] and b["tags"] for b in bodies)
    ours = {meaning(r.body()) for r in mail_records(ZONE)}
    same = [b for b in bodies if meaning(b) in ours]
    assert {(b["type"], b["name"]) for b in same} == twice(ZONE)
    places = {(r.type, r.name) for r in mail_records(ZONE)}
    shared = {(b["type"], b["name"]) for b in bodies if b not in same} & places
    assert shared == {("TXT", ZONE), ("CAA", f"mail.{ZONE}")}


def test_the_api_takes_both_and_gives_back_what_they_mean() -> None:
    api, foreign = twin(), foreign_records(ZONE)
    wanted = [r.body() for r in mail_records(ZONE) if (r.type, r.name) not in twice(ZONE)]
    path = f"/client/v4/zones/{api.zone(ZONE).zone.zone_id}/dns_records"
    done = api.handle("POST", f"{path}/batch", None, HEADERS, {"posts": [*foreign, *wanted]})
    assert done.status == 200, done.json
    listed = api.handle("GET", path, {"per_page": "5000"}, HEADERS).json["result"]
    # A proxied record's TTL is automatic, whatever was asked for.
    sent = Counter(meaning({**b, "ttl": 1} if b.get("proxied") else b) for b in [*foreign, *wanted])
    assert Counter(meaning(r) for r in listed) == sent


@pytest.mark.parametrize("spelling", scenarios.SPELLINGS)
def test_a_spelling_changes_the_text_and_not_its_meaning(spelling: str) -> None:
    scenario = scenarios.spelled(spelling)
    assert scenario.start is not None
    (records,), (bodies,) = scenario.wanted.values(), scenario.start.values()
    assert [meaning(b) for b in bodies] == [meaning(r.body()) for r in records]
    texts = {b["content"] for b in bodies if b["type"] == "TXT"}
    others = {
        b["content"]
        for other in scenarios.SPELLINGS
        if other != spelling
        for zone in (scenarios.spelled(other).start or {}).values()
        for b in zone
        if b["type"] == "TXT"
    }
    assert texts - others, "nothing is spelled differently"


@given(st.text(st.sampled_from("abc =;:-"), min_size=1, max_size=600), st.integers(1, 255))
def test_cutting_a_text_anywhere_keeps_it(text: str, size: int) -> None:
    cut = quoted(text, size)
    assert max(len(piece) for piece in cut.split('"')[1::2]) <= size
    body = {"type": "TXT", "name": ZONE, "ttl": 1}
    assert meaning({**body, "content": cut}) == ("TXT", ZONE, text, 300)


def test_meaning_knows_what_is_not_the_same() -> None:
    srv = {"priority": 0, "weight": 1, "port": 465, "target": f"mail.{ZONE}"}
    record = {"type": "SRV", "name": ZONE, "ttl": 60, "data": srv}
    assert meaning(record) != meaning({**record, "data": {**srv, "port": 993}})
    mx = {"type": "MX", "name": ZONE, "ttl": 60, "content": f"mail.{ZONE}", "priority": 10}
    assert meaning(mx) != meaning({**mx, "priority": 20})
    assert meaning(mx) != meaning({**mx, "ttl": 61})
    assert meaning(mx) == meaning({**mx, "content": f"Mail.{ZONE}."})


def test_a_change_is_one_record_per_zone_and_another_each_turn() -> None:
    before = scenarios.cold(2).wanted
    first, second = scenarios.change(2, 0).wanted, scenarios.change(2, 1).wanted
    for zone in before:
        assert len({meaning(r.body()) for r in first[zone]} - {meaning(r.body()) for r in before[zone]}) == 1
        assert first[zone] != second[zone]
    assert moved(mail_records(ZONE), "198.18.1.99")[0].content == "198.18.1.99"


def test_scenarios_begin_as_they_say() -> None:
    assert scenarios.cold(3).start == {name: [] for name in scenarios.zone_names(3)}
    assert scenarios.no_op(3).start is None
    foreign = scenarios.foreign(1)
    assert foreign.foreign and foreign.start and len(foreign.start[ZONE]) == 20
    texts = scenarios.txt_only(scenarios.spelled("quoted"))
    assert texts.start and {b["type"] for b in texts.start[ZONE]} == {"TXT"} == {r.type for r in texts.wanted[ZONE]}


def test_planned_faults_are_known_to_the_twin() -> None:
    planned = [Fault(**fault) for make in (scenarios.storm, scenarios.error) for fault in make(1).faults]
    assert [f.kind for f in planned] == ["status", "operation", "status"]
    assert planned[0].times == scenarios.STORM and planned[0].status == 429
    assert planned[1].operation == planned[2].skip == scenarios.BROKEN


def test_the_account_is_a_process_that_is_prepared_and_inspected_unseen(tmp_path: Path) -> None:
    with account.Account([ZONE], tmp_path) as api:
        api.replace({ZONE: foreign_records(ZONE)})
        api.replace({ZONE: foreign_records(ZONE)[:3]})
        assert len(api.records([ZONE])[ZONE]) == 3
        api.forget()
        assert api.log() == []
        api.records([ZONE])
        (entry,) = api.log()
        assert (entry["method"], entry["status"]) == ("GET", 200) and entry["seconds"] >= account.LATENCY / 1000
        api.misbehave(scenarios.storm(1).faults)
        api.misbehave(())
        api.replace({ZONE: []})
        assert all(e["status"] == 200 for e in api.log())
