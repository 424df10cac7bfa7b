# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the findings of drift say: what and where, causes, why a server differs, and what is left open."""

from __future__ import annotations

import dataclasses

import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.checks.finding import Finding, exit_code
from ansible_collections.mailstead.stack.plugins.module_utils.dns.drift.sheet import contrast
from ansible_collections.mailstead.stack.plugins.module_utils.dns.drift.views import NO_ROUTE
from ansible_collections.mailstead.stack.plugins.module_utils.dns.records import Have

from tests.unit.dns.drift_world import (
    ADA,
    BOB,
    HOST,
    KEY,
    SERVERS,
    WANTS,
    ZONE,
    Break,
    World,
    all_lame,
    behind_the_providers_back,
    changed,
    cut_off,
    ds_of,
    elsewhere,
    foreign_mx,
    foreign_spf,
    half_moved,
    key_not_told,
    mark,
    not_yet,
    one,
    ours_replaced_by_hand,
    parent_silent,
    question_fails,
    silent_twin,
    stale,
    stored,
    surplus,
    tlsa_not_told,
    trouble,
    unmarked,
    want,
)


def broken(*breaks: Break) -> tuple[Finding, ...]:
    world = World()
    for breaking in breaks:
        breaking(world)
    return world.compare()


def test_a_finding_says_what_where_and_what_to_do() -> None:
    found = one(broken(changed), "R2")
    assert found.scope == f"{ZONE}/MX"
    assert found.observed == f"20 {HOST} (TTL 3600)" and found.expected == f"10 {HOST} (TTL 3600)"
    assert "playbooks/dns.yml" in found.fix and "inventory" in found.fix
    assert found.evidence == (
        f"planned                           3600 10 {HOST}.",
        f"provider                          3600 20 {HOST}. ; mailstead:mailstead:mx",
        f"{ADA} [192.0.2.1]    20 {HOST}.",
        f"{ADA} [2001:db8::1]  20 {HOST}.",
        f"{BOB} [192.0.2.2]    20 {HOST}.",
    )


def test_causes_are_named() -> None:
    found = one(broken(ours_replaced_by_hand), "R1")
    assert found.because == (f"R4@_dmarc.{ZONE}/TXT",)
    assert {f.because for f in broken(half_moved) if f.verdict == "unknown"} == {(f"Z3@{ZONE}",)}
    assert set(one(broken(all_lame), "S1").because) == {f"S2@{ZONE}/{s}" for s in SERVERS}


def test_why_a_server_differs_is_said() -> None:
    assert "an older copy of the zone: serial 6, others 7" in one(broken(stale), "S1").observed
    assert "another provider still answers" in one(broken(half_moved), "S1").observed
    assert one(broken(not_yet), "S1").observed == f"{BOB} [192.0.2.2] lacks 10 {HOST}."
    assert "answers SERVFAIL" in one(broken(question_fails), "S1").observed
    everywhere = one(broken(behind_the_providers_back), "S1").observed
    assert everywhere == "each of the 3 servers has 198.18.1.99 instead of 198.18.1.10"
    world = World()
    world.served = [*world.live, Have(HOST, "A", "198.18.1.99", 300)]
    world.server("192.0.2.2", answers={})
    world.serve["192.0.2.2"] = lambda records: records[:-1]
    assert "has 198.18.1.99, which the provider has not" in one(world.compare(), "S1").observed


def test_a_server_that_answers_elsewhere_does_not_decide() -> None:
    (twin,) = [f for f in broken(silent_twin) if f.id == "S2" and f.verdict == "unknown"]
    assert not twin.matters
    world = World()
    world.server("2001:db8::1", obstacle=NO_ROUTE, error="Network is unreachable", answers={})
    findings = world.compare()
    assert trouble(findings) == {}
    assert [f.scope for f in findings if f.verdict == "na"] == [f"{ZONE}/{SERVERS[1]}", ZONE]


def test_a_host_without_any_route_leaves_it_open() -> None:
    world = World()
    for server in world.servers:
        world.server(server.address, obstacle=NO_ROUTE, error="Network is unreachable", answers={})
    findings = world.compare()
    assert {f.verdict for f in findings if f.id[0] == "S"} == {"unknown"} and exit_code(findings) == 2


def test_what_the_provider_answers_itself_is_not_compared() -> None:
    world = World()
    world.live.append(Have(f"web.{ZONE}", "A", "192.0.2.81", 300, "w", comment=mark("web"), proxied=True))
    world.wants = (*world.wants, want(f"web.{ZONE}", "A", "192.0.2.81", "web"))
    served = [f for f in world.compare() if f.id == "S1" and f.verdict == "na"]
    assert [f.scope for f in served] == [f"web.{ZONE}/A"]
    apex = World()
    apex.live.append(Have(ZONE, "CNAME", "cdn.example.net", 300, "w", comment=mark("web")))
    assert [f.scope for f in apex.compare() if f.id == "S1" and f.verdict == "na"] == [f"{ZONE}/CNAME"]


@pytest.mark.parametrize(("field", "verdict"), [("spf", "R4"), ("mx", "R4")])
def test_foreign_policy_replace_still_shows_what_it_will_take(field: str, verdict: str) -> None:
    world = World(**{field: "replace"})
    (foreign_mx if field == "mx" else foreign_spf)(world)
    found = one(world.compare(), verdict)
    assert found.verdict == "fail" and "somebody else's" in found.observed and "foreign policy" in found.fix


def test_a_foreign_record_that_policy_will_rewrite() -> None:
    world = World(dmarc="adopt")
    ours_replaced_by_hand(world)
    found = one(world.compare(), "R4")
    assert found.observed.startswith("somebody else's v=DMARC1; p=none") and "takes it over" in found.fix


def test_what_adopt_will_mark_is_a_lost_mark() -> None:
    world = World(mx="adopt")
    unmarked(world)
    found = one(world.compare(), "R5")
    assert (found.verdict, found.expected) == ("warn", f"comment {mark('mx')!r}")


def test_a_merged_record_that_is_no_longer_wanted_is_ours_to_take_out() -> None:
    world = World()
    world.wants = tuple(w for w in WANTS if w.role != "spf")
    text = "v=spf1 include:_spf.example.net mx ~all"
    from ansible_collections.mailstead.stack.plugins.module_utils.dns.records import Mark, term_hash  # noqa: PLC0415

    merged = Mark("mailstead", "spf", (term_hash("mx"),)).write(100)
    world.live = [*stored(world.wants), Have(ZONE, "TXT", text, 300, "m", comment=merged)]
    assert trouble(world.compare()) == {f"R3 {ZONE}/TXT/spf": "fail"}


def test_surplus_of_a_key_that_nobody_told_is_left_open() -> None:
    """Home is unreachable: its published key must not be called left over."""
    world = World()
    key_not_told(world)
    found = one(world.compare(), "R1")
    assert found.evidence[0].startswith(f"provider  s._domainkey.{ZONE} v=DKIM1")
    # Another role's record at another name is none of it.
    surplus(world)
    assert trouble(world.compare())[f"R3 old.{ZONE}/A"] == "fail"


def test_in_a_zone_without_ds_no_tlsa_is_planned() -> None:
    """The edge, which says whether the zone validates, is away; the parent says enough."""
    world = World()
    tlsa_not_told(world)
    world.keys, world.delegation = frozenset(), dataclasses.replace(world.delegation, ds=frozenset())
    assert trouble(world.compare()) == {}


def test_a_delegation_that_nobody_knows() -> None:
    world = World()
    parent_silent(world)
    world.servers = []
    world.assigned = ()
    assert trouble(world.compare()) == {f"{i} {ZONE}": "unknown" for i in ("S1", "Z3", "Z4")}
    cut_off(world := World())
    world.assigned = ()
    world.delegation = dataclasses.replace(world.delegation, ds=frozenset({ds_of(KEY)}))
    found = {f.id: f for f in world.compare() if f.id in ("Z3", "Z4")}
    assert {f.verdict for f in found.values()} == {"unknown"}


def test_the_api_of_a_provider_that_tells_no_state_or_servers() -> None:
    world = World()
    world.status, world.assigned = "", ()
    findings = world.compare()
    assert trouble(findings) == {} and [f.id for f in findings if f.verdict == "na"] == ["Z2", "Z4"]


def test_assigned_servers_count_when_none_answers() -> None:
    world = World()
    cut_off(world)
    elsewhere(world)
    found = one(world.compare(), "Z3")
    assert found.expected == f"{ADA}, {BOB} (as the provider assigned them)"


def test_long_values_are_shown_where_they_differ() -> None:
    left, right = "v=DKIM1; p=" + "A" * 300 + "B" * 50, "v=DKIM1; p=" + "A" * 300 + "C" * 50
    seen, wanted = contrast(left, right)
    assert seen.startswith("…") and "AB" in seen and "AC" in wanted and max(len(seen), len(wanted)) <= 102
    assert contrast("a", "b") == ("a", "b")
    assert contrast("x" * 300, "x" * 200)[1].endswith("x")


def test_values_of_texts_do_not_spill_into_other_kinds() -> None:
    findings = broken(foreign_spf)
    assert [f.verdict for f in findings if f.id == "R1" and f.scope == f"_dmarc.{ZONE}/TXT/dmarc"] == ["pass"]
    assert [f for f in findings if f.id == "R1" and f.scope == f"{ZONE}/TXT/spf"] == []
