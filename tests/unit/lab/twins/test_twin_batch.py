# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Batches: order, atomicity, caps; also as a property over random zones, batches and faults."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.twins.cloudflare import Twin, TwinConfig
from tests.unit.lab.twins.conftest import TOKEN, Api, codes


def a(name: str, last: int = 1) -> dict[str, Any]:
    return {"type": "A", "name": name, "content": f"198.18.1.{last}"}


def test_deletes_run_first_then_patches_puts_and_posts(api: Api) -> None:
    address = api.made("A", "www", "198.18.1.1")
    # Only in the documented order does this hold: the A goes before the CNAME of the same name comes.
    response = api.batch(
        posts=[{"type": "CNAME", "name": "www", "content": "x.example.net"}], deletes=[{"id": address["id"]}]
    )
    assert response.status == 200
    assert [r["type"] for r in api.list()] == ["CNAME"]
    first, second = api.made("A", "a", "198.18.1.1"), api.made("A", "b", "198.18.1.1")
    # A patch frees the value that a put takes and a post takes the put's old one.
    response = api.batch(
        posts=[a("b")],
        puts=[{"id": second["id"], **a("a")}],
        patches=[{"id": first["id"], "content": "198.18.1.9"}],
    )
    assert response.status == 200
    found = sorted((r["name"], r["content"]) for r in api.list() if r["type"] == "A")
    assert found == [
        ("a.example.com", "198.18.1.1"),
        ("a.example.com", "198.18.1.9"),
        ("b.example.com", "198.18.1.1"),
    ]


def test_the_answer_holds_the_four_lists_of_full_records(api: Api) -> None:
    old = [api.made("A", f"r{i}", "198.18.1.1") for i in range(3)]
    result = api.batch(
        deletes=[{"id": old[0]["id"]}],
        patches=[{"id": old[1]["id"], "comment": "c"}],
        puts=[{"id": old[2]["id"], **a("p")}],
        posts=[a("n")],
    ).json["result"]
    assert list(result) == ["deletes", "patches", "puts", "posts"]
    assert result["deletes"] == [old[0]]
    by_id = {r["id"]: r for r in api.list()}
    assert all(by_id[result[k][0]["id"]] == result[k][0] for k in ("patches", "puts", "posts"))


def test_the_first_error_undoes_everything(api: Api) -> None:
    kept = api.made("A", "keep", "198.18.1.1")
    before = api.list()
    response = api.batch(deletes=[{"id": kept["id"]}], posts=[a("n1"), a("n2"), a("n1")])
    assert (response.status, codes(response)) == (400, [81058])
    assert response.json["result"] is None
    assert api.list() == before


def test_a_missing_record_aborts_with_404(api: Api) -> None:
    response = api.batch(deletes=[{"id": "0" * 32}], posts=[a("n")])
    assert (response.status, codes(response)) == (404, [81044])
    assert api.list() == []


def test_where_it_failed_is_told_only_when_configured(make: Any) -> None:
    for pointers in (False, True):
        api = Api(make(error_pointers=pointers))
        error = api.batch(posts=[a("n"), {"type": "A", "name": "x", "content": "no"}]).json["errors"][0]
        assert error.get("source") == ({"pointer": "/posts/1/content"} if pointers else None)


@pytest.mark.parametrize(("zone", "cap"), [("example.com", 200), ("paid.example.org", 3500)])
def test_cap_per_request(api: Api, paid: Api, zone: str, cap: int) -> None:
    client = api if zone == "example.com" else paid
    assert client.batch(posts=[a(f"h{i}") for i in range(cap + 1)]).status == 400
    assert client.list() == []
    assert client.batch(posts=[a(f"h{i}") for i in range(cap)]).status == 200


@pytest.mark.parametrize(
    "body",
    [
        [], {"post": []}, {"posts": {}}, {"posts": None}, {"posts": ["x"]}, {"deletes": ["0" * 32]},
        {"deletes": [{"id": "x"}]}, {"deletes": [{"id": "0" * 32, "name": "x"}]}, {"patches": [{"ttl": 60}]},
    ],
)  # fmt: skip
def test_malformed_batches_are_refused(api: Api, body: Any) -> None:
    response = api.call("POST", f"{api.records_path}/batch", body)
    assert (response.status, codes(response)) == (400, [9207])


def test_an_empty_batch_changes_nothing(api: Api) -> None:
    assert api.batch().json["result"] == {"deletes": [], "patches": [], "puts": [], "posts": []}


OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["deletes", "patches", "puts", "posts"]),
        st.integers(0, 5),
        st.sampled_from(["a", "b", "c", "@"]),
        st.sampled_from(["A", "CNAME", "TXT", "bad"]),
        st.integers(1, 3),
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=60, deadline=None)
@given(seeds=st.lists(st.integers(1, 3), max_size=4, unique=True), operations=OPERATIONS, fault=st.integers(-1, 8))
def test_a_batch_applies_whole_or_not_at_all(
    seeds: list[int], operations: list[tuple[str, int, str, str, int]], fault: int
) -> None:
    twin = Twin(TwinConfig.from_data({"zones": [{"name": "example.com"}], "tokens": [{"token": TOKEN}]}))
    api = Api(twin)
    records = [api.made("A", "a", f"198.18.1.{n}") for n in seeds]
    before = api.list()
    lists: dict[str, list[dict[str, Any]]] = {}
    for kind, index, name, type_, number in operations:
        values = {
            "A": f"198.18.1.{number}",
            "CNAME": f"x{number}.example.net",
            "TXT": f"t{number}",
            "bad": "no address",
        }
        body: dict[str, Any] = {"type": "A" if type_ == "bad" else type_, "name": name, "content": values[type_]}
        target = records[index % len(records)]["id"] if records else "0" * 32
        if kind != "posts":
            body = {"id": target} if kind == "deletes" else {"id": target, **body}
        lists.setdefault(kind, []).append(body)
    hit = 0 <= fault < len(operations)
    if fault >= 0:
        twin.faults.fail_operation(fault)
    response = api.batch(**lists)
    after = api.list()
    if response.status == 200:
        assert not hit
        result = response.json["result"]
        gone = {r["id"] for r in result["deletes"]}
        assert len(after) == len(before) - len(gone) + len(result["posts"])
        assert not gone & {r["id"] for r in after}
        assert {r["id"] for r in result["posts"]} <= {r["id"] for r in after}
        hosts = [(r["name"], r["type"]) for r in after if r["type"] in ("A", "CNAME")]
        for name in {name for name, _ in hosts}:
            types = [t for n, t in hosts if n == name]
            assert "CNAME" not in types or types == ["CNAME"]
    else:
        assert after == before
        assert len(response.json["errors"]) >= 1
    assert twin.faults.pending == (0 if hit or fault < 0 else 1)
