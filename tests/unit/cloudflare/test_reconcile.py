# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The reconciler against the API twin in good weather: request counts, spellings, foreign records, usual defects."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.unit.cloudflare.support import ADDRESS, HOST, ZONE, ZONES10, Bench, codes, fails_for, kinds, mail_set, want

# -- what it costs ---------------------------------------------------------------------------------------------------


def test_one_zone_costs_three_requests_cold_two_when_nothing_is_to_do() -> None:
    bench = Bench()
    bench.run(mail_set())
    assert kinds(bench) == ["GET dns_records", "GET zones", "POST batch"]
    assert len(bench.records()) == len(mail_set())
    assert bench.run(mail_set())[0].diff.changes == ()
    assert kinds(bench) == ["GET dns_records", "GET zones"]
    bench.run([w for w in mail_set() if w.type != "A"] + [want(HOST, "A", "198.18.1.77", "address", "host")])
    assert kinds(bench) == ["GET dns_records", "GET zones", "POST batch"]
    assert bench.twin.log.entries[-1].operations == 1


def test_ten_zones_cost_one_look_up_ten_lists_and_a_batch_per_changed_zone() -> None:
    bench = Bench([{"name": z} for z in ZONES10])
    wants = {z: mail_set(z) for z in ZONES10}
    bench.run(wants)
    assert kinds(bench) == ["GET dns_records"] * 10 + ["GET zones"] + ["POST batch"] * 10
    bench.run(wants)
    assert kinds(bench) == ["GET dns_records"] * 10 + ["GET zones"]
    wants["zone3.example"] = [w for w in wants["zone3.example"] if w.role != "caa"]
    bench.run(wants)
    assert kinds(bench) == ["GET dns_records"] * 10 + ["GET zones"] + ["POST batch"]
    bench.run(wants, ids=True)
    assert kinds(bench) == ["GET dns_records"] * 10


def test_check_mode_reads_the_same_and_writes_nothing() -> None:
    bench = Bench()
    planned = bench.run(mail_set(), check=True)[0]
    assert kinds(bench) == ["GET dns_records", "GET zones"]
    assert bench.records() == []
    done = bench.run(mail_set())[0]
    assert [c.to_data() for c in planned.diff.changes] == [c.to_data() for c in done.diff.changes]
    assert planned.written == () and set(done.written) == set(done.diff.changes)


def test_a_large_account_is_searched_by_name_when_that_is_cheaper() -> None:
    bench = Bench([{"name": f"a{n}.example"} for n in range(240)] + [{"name": "z.example"}])
    bench.run({"z.example": []}, check=True)
    assert bench.requests.count("GET /zones") == 2
    bench.run({"a1.example": []}, check=True)
    assert bench.requests.count("GET /zones") == 1
    error = fails_for(bench, "b.example")
    assert codes(error) == ["MS-CF-003"] and bench.requests.count("GET /zones") == 2
    assert "…" in error.problems[0].what


def test_a_change_above_the_plans_cap_is_divided() -> None:
    bench = Bench([{"name": ZONE, "plan": "free", "record_quota": 1000}])
    wants = [want(f"h{n}.example.com", "A", "198.18.1.10", "address", "host") for n in range(250)]
    bench.run(wants)
    assert kinds(bench).count("POST batch") == 2
    assert len(bench.records()) == 250
    bench = Bench([{"name": ZONE, "plan": "pro"}])
    bench.run(wants)
    assert kinds(bench).count("POST batch") == 1


# -- comparing -------------------------------------------------------------------------------------------------------


def spelt(text: str) -> list[str]:
    third = len(text) // 3
    return [text, f'"{text}"', f'"{text[:third]}" "{text[third:]}"', '"' + text.replace("=", "\\061") + '"']


@pytest.mark.parametrize("form", range(4))
def test_hand_made_records_in_any_spelling_need_no_request_and_stay_unmarked(form: int) -> None:
    bench = Bench([{"name": ZONE, "mx_priority": "both"}])
    for w in mail_set():
        body: dict[str, Any] = {"type": w.type, "name": w.name.upper(), "ttl": 1, "comment": "by hand"}
        if w.type == "TXT":
            body["content"] = spelt(w.content)[form]
        elif w.type == "MX":
            body.update(content="MAIL.example.com.", priority=10)
        elif w.type == "SRV":
            priority, weight, port, target = w.content.split(" ")
            body["data"] = {
                "priority": int(priority),
                "weight": int(weight),
                "port": int(port),
                "target": target + "."[: form % 2 * (target != ".")],
            }
        elif w.type == "CAA":
            flags, tag, value = w.content.split(" ", 2)
            body["data"] = {"flags": int(flags), "tag": tag, "value": value.strip('"')}
        elif w.type == "TLSA":
            body["data"] = {
                "usage": 3,
                "selector": 1,
                "matching_type": 1,
                "certificate": w.content.split(" ")[3].upper(),
            }
        elif w.type == "AAAA":
            body["content"] = "2001:0002:0000:0002:0:0:0:10"
        else:
            body["content"] = w.content.upper()
        bench.seed(body)
    before = copy.deepcopy(bench.records())
    found = bench.run(mail_set())[0]
    assert found.diff.changes == ()
    assert found.diff.foreign_satisfied == len(mail_set())
    assert kinds(bench) == ["GET dns_records", "GET zones"]
    assert bench.records() == before


FOREIGN: list[dict[str, Any]] = [
    {"type": "A", "name": "www", "content": "203.0.113.5", "proxied": True, "comment": "web", "tags": ["team:web"]},
    {"type": "TXT", "name": ZONE, "content": "google-site-verification=abc", "comment": "seo"},
    {"type": "TXT", "name": ZONE, "content": '"quoted" "in two"'},
    {"type": "MX", "name": "lists", "content": "mx.example.net", "priority": 5, "settings": {}},
    {"type": "CNAME", "name": "shop", "content": "shops.example.net", "settings": {"flatten_cname": True}},
    {"type": "NS", "name": "sub", "content": "ns1.example.net"},
    {"type": "A", "name": "h2", "content": "203.0.113.6", "comment": "mailstead:berlin:host"},
]


def test_foreign_records_survive_byte_for_byte() -> None:
    bench = Bench([{"name": ZONE, "plan": "pro"}])
    made = bench.seed(*FOREIGN)
    bench.run(mail_set())
    bench.run([], allow=("last_mx", "delete_limit"))
    assert bench.records() == made


def test_an_update_keeps_id_tags_and_the_users_words() -> None:
    bench = Bench([{"name": ZONE, "plan": "pro"}])
    bench.run(ADDRESS)
    state = bench.twin.zone(ZONE)
    (record,) = bench.records()
    state.change(record["id"], {"tags": ["team:mail"], "comment": record["comment"] + " do not touch"}, overwrite=False)
    bench.run([want(HOST, "A", "198.18.1.99", "address", "host")])
    (after,) = bench.records()
    assert (after["id"], after["content"], after["tags"]) == (record["id"], "198.18.1.99", ["team:mail"])
    assert after["comment"] == "mailstead:mailstead:host do not touch"


# -- defects of the usual module, each a test ------------------------------------------------------------------------


def test_a_second_caa_does_not_overwrite_the_first() -> None:
    bench = Bench()
    bench.run([want(HOST, "CAA", '0 issue "a.example"', "policy")])
    bench.run([want(HOST, "CAA", '0 issue "a.example"', "policy"), want(HOST, "CAA", '0 issue "b.example"', "policy")])
    assert sorted(r["data"]["value"] for r in bench.records()) == ["a.example", "b.example"]


def test_a_changed_value_leaves_no_stale_one_behind() -> None:
    bench = Bench()
    bench.run(ADDRESS)
    bench.run([want(HOST, "A", "198.18.1.11", "address", "host")])
    assert [r["content"] for r in bench.records()] == ["198.18.1.11"]


def test_issuemail_and_null_mx_are_written() -> None:
    bench = Bench()
    bench.run([want(ZONE, "CAA", '0 issuemail ";"', "policy"), want(ZONE, "MX", "0 .")])
    assert {(r["type"], r["content"]) for r in bench.records()} >= {("MX", ".")}
    assert bench.run([want(ZONE, "CAA", '0 issuemail ";"', "policy"), want(ZONE, "MX", "0 .")])[0].diff.changes == ()
