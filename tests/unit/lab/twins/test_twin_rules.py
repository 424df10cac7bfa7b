# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a zone as a whole refuses: duplicates, hosts that exclude each other, quota, managed records."""

from __future__ import annotations

from typing import Any

import pytest

from lab.twins.cloudflare import TwinConfig
from lab.twins.cloudflare.state import ZoneState
from tests.unit.lab.twins.conftest import TOKEN, Api, codes


def test_identical_records_are_refused_whatever_their_ttl_and_comment(api: Api) -> None:
    api.made("A", "a", "198.18.1.1")
    assert codes(api.create("A", "A.example.com.", "198.18.1.1", ttl=60, comment="x")) == [81058]
    assert api.create("A", "a", "198.18.1.2").status == 200
    assert api.create("MX", "a", "m.example.com", priority=1).status == 200
    assert api.create("MX", "a", "m.example.com", priority=2).status == 200
    assert codes(api.create("MX", "a", "M.example.com.", priority=2)) == [81058]


def test_the_older_code_for_identical_records(make: Any) -> None:
    api = Api(make(duplicate_code=81057))
    api.made("A", "a", "198.18.1.1")
    response = api.create("A", "a", "198.18.1.1")
    assert codes(response) == [81057] and response.json["errors"][0]["message"] == "The record already exists."


def test_changing_a_record_into_another_is_refused(api: Api) -> None:
    api.made("A", "a", "198.18.1.1")
    record = api.made("A", "a", "198.18.1.2")
    assert codes(api.one("PATCH", record, {"content": "198.18.1.1"})) == [81058]
    assert api.one("GET", record).json["result"]["content"] == "198.18.1.2"


@pytest.mark.parametrize(("first", "second"), [("A", "CNAME"), ("AAAA", "CNAME"), ("CNAME", "A"), ("CNAME", "AAAA")])
def test_a_cname_excludes_addresses(api: Api, first: str, second: str) -> None:
    values = {"A": "198.18.1.1", "AAAA": "2001:2::1", "CNAME": "x.example.net"}
    api.made(first, "w", values[first])
    response = api.create(second, "w", values[second])
    assert (response.status, codes(response)) == (400, [81053])


def test_a_cname_excludes_another_cname_but_not_mx_and_txt(api: Api) -> None:
    api.made("CNAME", "@", "x.example.net")
    assert codes(api.create("CNAME", "@", "y.example.net")) == [81053]
    assert api.create("MX", "@", "m.example.com", priority=1).status == 200
    assert api.create("TXT", "@", "v=spf1 -all").status == 200


def test_a_delegation_stands_alone_except_for_ds(api: Api) -> None:
    api.made("NS", "sub", "ns1.example.net")
    api.made("NS", "sub", "ns2.example.net")
    ds = {"key_tag": 1, "algorithm": 13, "digest_type": 2, "digest": "12" * 32}
    assert api.create("DS", "sub", data=ds).status == 200
    assert codes(api.create("TXT", "sub", "x")) == [81056]
    api.made("TXT", "other", "x")
    assert codes(api.create("NS", "other", "ns1.example.net")) == [81056]


@pytest.mark.parametrize(("zone", "quota"), [("example.com", 200), ("paid.example.org", 3500)])
def test_quota_of_the_plan(make: Any, zone: str, quota: int) -> None:
    api = Api(make(), zone=zone)
    posts = [{"type": "A", "name": f"h{i}", "content": "198.18.1.1"} for i in range(quota)]
    for start in range(0, quota, 200):
        assert api.batch(posts=posts[start : start + 200]).status == 200
    usage = api.call("GET", f"{api.records_path}/usage").json["result"]
    assert usage == {"record_quota": quota, "record_usage": quota}
    response = api.create("A", "one-more", "198.18.1.1")
    assert (response.status, codes(response)) == (400, [81045])
    # A batch that makes room first fits: deletions run before everything else.
    old = api.list()[0]
    assert api.batch(posts=[posts[0] | {"name": "new"}], deletes=[{"id": old["id"]}]).status == 200


def test_read_only_records_cannot_be_touched(api: Api) -> None:
    record = api.made("TXT", "cf-bounce", "v=spf1 -all")
    api.twin.zone("example.com").set_meta(record["id"], read_only=True)
    assert api.one("GET", record).json["result"]["meta"] == {"read_only": True}
    attempts = [
        api.one("PATCH", record, {"ttl": 60}),
        api.one("PUT", record, {"type": "TXT", "name": "x", "content": "y"}),
        api.one("DELETE", record),
        api.batch(deletes=[{"id": record["id"]}]),
    ]
    assert [codes(response) for response in attempts] == [[1046]] * 4


@pytest.mark.parametrize("code", [890190, 1046])
def test_email_routing_locks_mx(api: Api, code: int) -> None:
    zone = api.twin.zone("example.com")
    zone.reconfigure(email_routing="locked", email_routing_code=code)
    managed = [r for r in api.list() if r["type"] == "MX"]
    assert [r["content"] for r in managed] == [f"route{n}.mx.cloudflare.net" for n in (1, 2, 3)]
    assert all(r["meta"]["read_only"] and r["meta"]["email_routing"] for r in managed)
    refused = [
        api.create("MX", "@", "mail.example.com", priority=10),
        api.one("PATCH", managed[0], {"priority": 1}),
        api.one("DELETE", managed[0]),
        api.batch(posts=[{"type": "MX", "name": "@", "content": "mail.example.com", "priority": 1}]),
    ]
    assert [codes(response) for response in refused] == [[code]] * 4
    assert refused[0].json["errors"][0]["message"].startswith("This zone is managed by Email Routing.")
    # Other names are free, and so are other types.
    assert api.create("MX", "sub", "mail.example.com", priority=10).status == 200
    assert api.create("A", "mail", "198.18.1.1").status == 200


def test_an_older_mx_cannot_be_turned_into_something_else_while_locked(api: Api) -> None:
    record = api.made("MX", "@", "mail.example.com", priority=10)
    api.twin.zone("example.com").reconfigure(email_routing="locked")
    for change in ({"type": "TXT", "content": "x"}, {"name": "sub"}):
        assert codes(api.one("PATCH", record, change)) == [890190]
    assert api.one("GET", record).json["result"] == record


def test_unlocking_makes_the_records_editable_and_disabling_removes_them(api: Api) -> None:
    zone = api.twin.zone("example.com")
    zone.reconfigure(email_routing="unlocked")
    record = next(r for r in api.list() if r["type"] == "MX")
    assert api.one("PATCH", record, {"priority": 1}).status == 200
    zone.reconfigure(email_routing="off")
    assert api.list() == []


def test_seeds_are_checked_and_may_carry_meta() -> None:
    seed = {"type": "TXT", "name": "x", "content": "y", "meta": {"read_only": True}}
    config = TwinConfig.from_data({"zones": [{"name": "example.com", "records": [seed]}], "tokens": [{"token": TOKEN}]})
    state = ZoneState(config.zones[0], config)
    state.seed()
    assert [r.meta for r in state.snapshot().values()] == [{"read_only": True}]
