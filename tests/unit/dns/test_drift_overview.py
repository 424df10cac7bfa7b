# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The overview of drift, planned, live and served side by side; and which servers are worth asking again."""

from __future__ import annotations

import dataclasses

import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.dns.drift.compare import compare, overviews
from ansible_collections.mailstead.stack.plugins.module_utils.dns.drift.servers import differs
from ansible_collections.mailstead.stack.plugins.module_utils.dns.records import Have

from tests.unit.dns.drift_world import (
    ADA,
    BOB,
    HOST,
    OPTIONS,
    ZONE,
    Break,
    World,
    changed,
    key_not_told,
    lame,
    not_yet,
    question_fails,
    serials_only,
    sign,
    stored,
    unreadable,
    want,
)

# -- overview --------------------------------------------------------------------------------------------------------


def test_the_overview_puts_the_three_views_side_by_side() -> None:
    world = World()
    changed(world)
    not_yet(world)
    view = world.view()
    (found,) = overviews([view], compare([view], OPTIONS))
    assert (found["name"], found["status"], found["verdict"], found["name_servers"]) == (
        ZONE,
        "active",
        "fail",
        [ADA, BOB],
    )
    rows = {(r["name"], r["type"]): r for r in found["records"]}
    assert rows[ZONE, "MX"] == {
        "name": ZONE,
        "type": "MX",
        "planned": [f"10 {HOST}."],
        "live": [f"20 {HOST}."],
        "served": [
            {"values": [], "servers": [f"{BOB} [192.0.2.2]"]},
            {"values": [f"20 {HOST}."], "servers": [f"{ADA} [192.0.2.1]", f"{ADA} [2001:db8::1]"]},
        ],
        "verdict": "fail",
        "checks": ["R2", "S1"],
    }
    assert rows[HOST, "A"]["verdict"] == "pass" and rows[HOST, "A"]["checks"] == []
    assert found["records"][0]["name"] == ZONE


def test_the_overview_of_a_zone_that_could_not_be_read() -> None:
    world = World()
    unreadable(world)
    question_fails(world)
    view = world.view()
    (found,) = overviews([view], compare([view], OPTIONS))
    assert (found["read"], found["status"], found["verdict"]) == (False, "", "fail")
    rows = {(r["name"], r["type"]): r for r in found["records"]}
    assert rows[ZONE, "TXT"]["live"] is None
    assert {"values": ["SERVFAIL"], "servers": [f"{BOB} [192.0.2.2]"]} in rows[ZONE, "TXT"]["served"]


def test_the_overview_shows_what_is_not_known() -> None:
    world = World()
    key_not_told(world)
    sign(world)
    tlsa_not_told_too = want(f"_25._tcp.{HOST}", "TLSA", "3 1 1 <key>", "dane", unresolved=True)
    world.wants = tuple(w for w in world.wants if w.type != "TLSA")
    world.unknown = (*world.unknown, tlsa_not_told_too)
    view = world.view()
    (found,) = overviews([view], compare([view], OPTIONS))
    rows = {(r["name"], r["type"]): r for r in found["records"]}
    key = rows[f"<%Y%me>._domainkey.{ZONE}", "TXT"]
    assert (key["planned"], key["verdict"], key["checks"]) == (None, "unknown", ["R1"])
    assert key["live"][0].startswith(f's._domainkey.{ZONE}. "v=DKIM1')
    tlsa = rows[f"_25._tcp.{HOST}", "TLSA"]
    assert (tlsa["planned"], len(tlsa["live"]), tlsa["verdict"]) == (None, 1, "unknown")
    assert found["verdict"] == "unknown"


def test_two_zones_are_judged_together() -> None:
    """An exchange in one zone whose host another zone has made an alias."""
    first, second = World().view(), World().view()
    other = Have("mx.example.org", "CNAME", "elsewhere.example.org", 300, "c")
    assert second.live is not None
    second = dataclasses.replace(
        second,
        zone="example.org",
        wants=(),
        live=dataclasses.replace(second.live, records=(other,)),
        delegation=dataclasses.replace(second.delegation, cut="example.org"),
    )
    more = want(ZONE, "MX", "20 mx.example.org", "mx")
    assert first.live is not None
    first = dataclasses.replace(
        first,
        wants=(*first.wants, more),
        live=dataclasses.replace(first.live, records=(*first.live.records, *stored([more]))),
    )
    found = [f for f in compare([first, second], OPTIONS) if f.id == "R7" and f.verdict == "fail"]
    assert [f.scope for f in found] == [f"{ZONE}/MX"] and "MS-DNS-021" in found[0].observed
    shown = overviews([first, second], found)
    assert [(z["name"], z["verdict"]) for z in shown] == [(ZONE, "fail"), ("example.org", "na")]


# -- asking again ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("breaking", "again"),
    [(not_yet, ["192.0.2.2"]), (serials_only, ["192.0.2.1", "2001:db8::1", "192.0.2.2"]), (lame, []), (changed, [])],
)
def test_only_what_may_still_change_is_asked_again(breaking: Break, again: list[str]) -> None:
    world = World()
    breaking(world)
    view = world.view()
    assert [s.address for s in view.servers if differs(view, s)] == again
