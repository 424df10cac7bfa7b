# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Going back to a point: ours as they were, others' as they are, what we did to others' taken back."""

from __future__ import annotations

import dataclasses

import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.dns.records import Change, Mark
from ansible_collections.mailstead.stack.plugins.module_utils.plan.phases import ForeignPolicy

from tests.unit.dns.undo_world import ZONE, World, have, want

HOST = "mail.example.com"
REPLACE = ForeignPolicy("replace", "replace", "replace", "replace", "replace")
ADOPT = ForeignPolicy("adopt", "adopt", "adopt", "adopt", "adopt")
MERGE = ForeignPolicy("merge", "merge", "merge", "merge", "merge")

A1 = want(HOST, "A", "192.0.2.1", "address", "host")
A2 = want(HOST, "A", "192.0.2.2", "address", "host", ttl=600)
MX = want(ZONE, "MX", f"10 {HOST}", role="mx")
SPF = want(ZONE, "TXT", "v=spf1 ip4:192.0.2.1 -all", "policy", "spf")
SPF2 = want(ZONE, "TXT", "v=spf1 ip4:192.0.2.2 -all", "policy", "spf")
DMARC = want(f"_dmarc.{ZONE}", "TXT", "v=DMARC1; p=reject; rua=mailto:us@example.com", "policy", "dmarc")
THEIR_SPF = have(ZONE, "TXT", "v=spf1 include:_spf.example.net ~all", comment="newsletters")
THEIR_DMARC = have(f"_dmarc.{ZONE}", "TXT", "v=DMARC1; p=none; rua=mailto:they@example.net", comment="reports")


@pytest.fixture(name="world", params=["stable ids", "ids from data"])
def fixture_world(request: pytest.FixtureRequest) -> World:
    return World(have("www.example.com", "A", "192.0.2.80", tags=("web",)), stable=request.param == "stable ids")


# -- ours ------------------------------------------------------------------------------------------------------------


def test_ours_as_they_were(world: World) -> None:
    world.apply(A1, MX)
    before = world.view()
    world.apply(A2, SPF)  # changed, gone and new
    diff, back = world.undo(1)
    assert world.view() == before
    assert {c.action for c in diff.changes} == {"create", "update", "delete"}
    assert not back.notes and all("20261121T000001Z" in c.reason for c in diff.changes if c.action != "delete")


def test_to_before_we_came(world: World) -> None:
    before = world.view()
    world.apply(A1, MX, SPF)
    world.undo(0)
    assert world.view() == before


def test_nothing_happened_since(world: World) -> None:
    world.apply(A1)
    world.apply(A2)
    world.undo(1)
    assert not world.undo(1)[0].changes


def test_others_later_changes_stay(world: World) -> None:
    world.apply(A1)
    world.apply(A2)
    world.change(world.at("A", "www.example.com"), content="192.0.2.81")
    world.add(have("new.example.com", "A", "192.0.2.90"))
    others = world.others()
    world.undo(1)
    assert world.others() == others
    assert world.ours()[0][0] == ("A", HOST, "192.0.2.1")


def test_a_record_of_ours_that_somebody_removed_comes_back(world: World) -> None:
    world.apply(A1, MX)
    before = world.view()
    world.apply(A2, MX)
    world.remove(world.at("MX"))
    world.undo(1)
    assert world.view() == before


def test_somebody_took_over_the_name(world: World) -> None:
    alias = want(f"autoconfig.{ZONE}", "CNAME", HOST, "address", "autoconfig")
    world.apply(alias, A1)
    world.apply(A1)
    world.add(have(alias.name, "CNAME", "cdn.example.net"))
    others = world.others()
    diff, back = world.undo(1)
    assert world.others() == others and not diff.changes
    assert back.notes == (
        "CNAME autoconfig.example.com: our 'mail.example.com' is not put back: "
        "somebody else's CNAME autoconfig.example.com 'cdn.example.net' is there now",
    )


def test_somebody_put_data_where_our_alias_was(world: World) -> None:
    alias = want(f"autoconfig.{ZONE}", "CNAME", HOST, "address", "autoconfig")
    world.apply(alias)
    world.apply()
    world.add(have(alias.name, "A", "192.0.2.7"))
    others = world.others()
    assert "is not put back" in world.undo(1)[1].notes[0]
    assert world.others() == others and not world.ours()


def test_others_data_beside_ours_is_said(world: World) -> None:
    world.apply(A1, MX)
    world.apply(A1)
    world.add(have(ZONE, "MX", "10 mx.example.net"))
    world.add(have(HOST, "A", "192.0.2.1"))
    _diff, back = world.undo(1)
    assert ("MX", ZONE, f"10 {HOST}") in [o[0] for o in world.ours()]
    assert back.notes == ("MX example.com: somebody else's '10 mx.example.net' stays beside ours",)


def test_what_stood_beside_ours_then_is_no_news(world: World) -> None:
    world.add(have(ZONE, "MX", "10 mx.example.net"))
    world.apply(MX, foreign=MERGE)
    world.apply()
    before = world.history[1].before
    assert world.undo(1)[1].notes == ()
    assert {r.key for r in world.records} == {r.key for r in before}


def test_the_alias_of_the_zone_itself_excludes_addresses_only(world: World) -> None:
    world.apply(MX, want(ZONE, "A", "192.0.2.1", "address", "host"))
    world.apply()
    world.add(have(ZONE, "CNAME", "cdn.example.net"))
    notes = world.undo(1)[1].notes
    assert [o[0] for o in world.ours()] == [("MX", ZONE, f"10 {HOST}")]
    assert len(notes) == 1 and "A example.com: our '192.0.2.1' is not put back" in notes[0]


# -- others' records that we had taken -------------------------------------------------------------------------------


def test_replaced_and_deleted_come_back_exactly(world: World) -> None:
    for host in ("mx1.example.net", "mx2.example.net"):
        world.add(have(ZONE, "MX", f"10 {host}", comment="the old provider", tags=("mail",), ttl=1200))
    before = world.view()
    world.apply(MX, A1, foreign=REPLACE)
    assert [c.action for c in world.history[0].changes if c.record.type == "MX"] == ["update", "delete"]
    world.apply(MX, A2)
    world.undo(0)
    assert world.view() == before


def test_adopted_comes_back_without_our_mark(world: World) -> None:
    world.add(have(HOST, "A", "192.0.2.1", comment="by hand", tags=("x",), ttl=7200, proxied=True))
    before = world.view()
    world.apply(A1, foreign=ADOPT)
    assert world.ours() and world.others() != before[1]
    world.apply(A2)
    world.undo(0)
    assert world.view() == before


def test_adopted_and_then_dropped_comes_back(world: World) -> None:
    world.add(have(HOST, "A", "192.0.2.1", comment="by hand"))
    before = world.view()
    world.apply(A1, foreign=ADOPT)
    world.apply()
    world.undo(0)
    assert world.view() == before


def test_a_record_added_later_and_taken_by_us_is_theirs_again(world: World) -> None:
    world.apply(A1)
    first = world.view()
    world.apply(A1, MX)
    world.add(have(ZONE, "MX", "5 mx.example.net", comment="new"))
    theirs = world.others()
    world.apply(A1, MX, foreign=REPLACE)
    world.undo(1)
    assert world.ours() == first[0]
    assert world.others() == theirs


def test_their_last_state_counts(world: World) -> None:
    world.add(have(HOST, "A", "192.0.2.9", comment="first"))
    world.apply(MX)
    world.change(world.at("A", HOST), content="192.0.2.10")
    theirs = world.others()
    world.apply(MX, A1, foreign=REPLACE)
    world.undo(0)
    assert world.others() == theirs


def test_something_else_in_their_place_since(world: World) -> None:
    world.add(have(ZONE, "MX", "10 mx.example.net"))
    world.apply(MX, foreign=REPLACE)
    world.add(have(ZONE, "MX", "20 backup.example.net"))
    others = world.others()
    _diff, back = world.undo(0)
    assert world.others() == others and not world.ours()
    assert back.notes == (
        "MX example.com: somebody else's '10 mx.example.net' is not put back: "
        "somebody else's MX example.com '20 backup.example.net' is there now",
    )


def test_their_other_record_of_then_is_no_obstacle(world: World) -> None:
    world.add(have(HOST, "A", "192.0.2.9"))
    world.add(have(HOST, "A", "192.0.2.1"))
    before = world.view()
    world.apply(A1, foreign=REPLACE)
    world.undo(0)
    assert world.view() == before


def test_put_back_by_its_owner_already(world: World) -> None:
    world.add(have(ZONE, "MX", "10 mx.example.net", comment="old"))
    world.apply(MX, foreign=REPLACE)
    world.add(have(ZONE, "MX", "10 mx.example.net", comment="again"))
    others = world.others()
    _diff, back = world.undo(0)
    assert (world.ours(), world.others(), back.notes) == ([], others, ())


def test_taken_over_by_its_owner_again(world: World) -> None:
    """Somebody removed our mark and wrote their own value: that is theirs now."""
    world.add(have(HOST, "A", "192.0.2.9"))
    world.apply(A1, foreign=REPLACE)
    world.change(world.at("A", HOST), content="192.0.2.10", comment="mine")
    others = world.others()
    world.undo(0)
    assert (world.ours(), world.others()) == ([], others)


def test_removed_by_its_owner_after_we_had_adopted_it(world: World) -> None:
    world.add(have(HOST, "A", "192.0.2.1"))
    world.apply(A1, foreign=ADOPT)
    world.remove(world.at("A", HOST))
    others = world.others()
    world.undo(0)
    assert (world.ours(), world.others()) == ([], others)


def test_ours_give_way_to_an_alias_that_we_had_replaced(world: World) -> None:
    world.add(have(HOST, "CNAME", "old.example.net", comment="alias"))
    before = world.view()
    world.apply(A1, foreign=REPLACE)
    world.undo(0)
    assert world.view() == before


def test_their_later_alias_wins_over_our_older_record(world: World) -> None:
    world.apply(A1)
    world.apply()
    world.add(have(HOST, "CNAME", "cdn.example.net"))
    others = world.others()
    world.apply(A2, foreign=REPLACE)
    _diff, back = world.undo(1)
    assert (world.ours(), world.others()) == ([], others)
    assert "our '192.0.2.1' is not put back" in back.notes[0]


# -- records of two owners -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("theirs", "mine"), [(THEIR_SPF, SPF), (THEIR_DMARC, DMARC)], ids=["spf", "dmarc"])
def test_a_merge_is_taken_apart(world: World, theirs: object, mine: object) -> None:
    world.add(theirs)  # type: ignore[arg-type]
    before = world.view()
    world.apply(mine, foreign=MERGE)  # type: ignore[arg-type]
    assert world.ours() and world.at("TXT", theirs.name).content != theirs.content  # type: ignore[attr-defined]
    world.undo(0)
    assert world.view() == before


def test_a_merge_is_taken_apart_around_their_later_edit(world: World) -> None:
    world.add(THEIR_SPF)
    world.apply(SPF, foreign=MERGE)
    merged = world.at("TXT")
    world.change(merged, content=merged.content.replace("~all", "ip4:198.51.100.7 ~all"))
    _diff, back = world.undo(0)
    assert not world.ours()
    assert world.at("TXT").content == "v=spf1 include:_spf.example.net ip4:198.51.100.7 ~all"
    assert "has been changed by its owner since" in back.notes[0]


def test_an_edit_between_two_of_our_applies_is_kept(world: World) -> None:
    world.add(THEIR_SPF)
    world.apply(SPF, foreign=MERGE)
    merged = world.at("TXT")
    world.change(merged, content=merged.content.replace("~all", "ip4:198.51.100.7 ~all"))
    world.apply(SPF2, foreign=MERGE)
    world.undo(0)
    assert world.at("TXT").content == "v=spf1 include:_spf.example.net ip4:198.51.100.7 ~all"


def test_our_terms_of_then_in_their_record_of_now(world: World) -> None:
    world.add(THEIR_SPF)
    world.apply(SPF, foreign=MERGE)
    world.apply(SPF2, foreign=MERGE)
    merged = world.at("TXT")
    world.change(merged, content=merged.content.replace("include:_spf.example.net", "include:_spf.example.org"))
    world.undo(1)
    assert world.at("TXT").content == "v=spf1 ip4:192.0.2.1 include:_spf.example.org ~all"
    assert world.ours()[0][3], "our terms are told from theirs"
    assert not world.undo(1)[0].changes


def test_our_addresses_of_then_in_their_dmarc_record_of_now(world: World) -> None:
    world.add(THEIR_DMARC)
    world.apply(DMARC, foreign=MERGE)
    world.apply(dataclasses.replace(DMARC, content="v=DMARC1; p=reject; rua=mailto:other@example.com"), foreign=MERGE)
    merged = world.at("TXT", DMARC.name)
    world.change(merged, content=merged.content.replace("p=none", "p=quarantine"))
    world.undo(1)
    expected = "v=DMARC1; p=quarantine; rua=mailto:they@example.net,mailto:us@example.com"
    assert world.at("TXT", DMARC.name).content == expected


def test_a_merged_record_of_the_point_as_it_was(world: World) -> None:
    """Even its end, which a merge may only make laxer."""
    world.add(dataclasses.replace(THEIR_SPF, content="v=spf1 include:_spf.example.net -all"))
    world.apply(SPF, foreign=MERGE)
    before = world.view()
    world.apply(dataclasses.replace(SPF2, content="v=spf1 ip4:192.0.2.2 ~all"), foreign=MERGE)
    assert world.at("TXT").content.endswith("~all")
    world.undo(1)
    assert world.view() == before


def test_their_half_comes_back_after_we_had_replaced_the_merged_record(world: World) -> None:
    world.add(THEIR_SPF)
    world.apply(SPF, foreign=MERGE)
    before = world.view()
    world.apply(SPF, foreign=REPLACE)
    assert world.at("TXT").content == SPF.content
    world.undo(1)
    assert world.view() == before


def test_the_merged_record_was_removed_by_its_owner(world: World) -> None:
    world.add(THEIR_SPF)
    world.apply(SPF, foreign=MERGE)
    world.apply(SPF2, foreign=MERGE)
    world.remove(world.at("TXT"))
    world.undo(1)
    assert world.at("TXT").content == "v=spf1 ip4:192.0.2.1 ~all"
    assert world.ours()[0][3] is None


def test_nothing_of_ours_was_in_the_merged_record(world: World) -> None:
    """It was ours only in its end, and its owner has removed it: there is nothing to put back."""
    world.add(have(ZONE, "TXT", "v=spf1 ip4:192.0.2.1 -all"))
    world.apply(dataclasses.replace(SPF, content="v=spf1 ip4:192.0.2.1 ~all"), foreign=MERGE)
    world.apply(A1, dataclasses.replace(SPF, content="v=spf1 ip4:192.0.2.1 ~all"), foreign=MERGE)
    for record in [r for r in world.records if r.type == "TXT"]:
        world.remove(record)
    world.undo(0 if len(world.history) == 1 else 1)
    assert [r for r in world.records if r.type == "TXT"] == []


def test_our_record_and_their_later_one_make_a_merged_one(world: World) -> None:
    world.apply(SPF)
    world.apply(SPF2)
    world.add(THEIR_SPF)
    world.apply(SPF2, A1, foreign=MERGE)
    world.undo(1)
    (record,) = [r for r in world.records if r.type == "TXT"]
    assert record.content == "v=spf1 ip4:192.0.2.1 include:_spf.example.net ~all"


@pytest.mark.parametrize("dropped", [False, True], ids=["replaced", "replaced, then dropped"])
def test_their_later_record_that_we_replaced_comes_back_merged(world: World, dropped: bool) -> None:
    world.apply(SPF)
    world.apply(SPF2)
    world.add(THEIR_SPF)
    world.apply(SPF2, A1, foreign=REPLACE)
    if dropped:
        world.apply(A1)
    world.undo(1)
    (record,) = [r for r in world.records if r.type == "TXT"]
    assert record.content == "v=spf1 ip4:192.0.2.1 include:_spf.example.net ~all"
    mark = record.mark("mailstead")
    assert mark is not None and mark.merged is not None and len(mark.merged) == 1
    assert not world.undo(1)[0].changes
    world.apply()
    assert world.at("TXT").content == THEIR_SPF.content


def test_two_of_theirs_that_we_replaced_come_back_in_one(world: World) -> None:
    world.add(THEIR_SPF)
    world.apply(SPF, foreign=MERGE)
    world.apply(A1, SPF, foreign=MERGE)
    world.add(have(ZONE, "TXT", "v=spf1 mx -all"))
    world.apply(A1, SPF, foreign=REPLACE)
    world.undo(1)
    (record,) = [r for r in world.records if r.type == "TXT"]
    assert record.content == "v=spf1 ip4:192.0.2.1 include:_spf.example.net mx ~all"
    assert not world.undo(1)[0].changes


def test_their_dmarc_record_that_we_replaced_comes_back_merged(world: World) -> None:
    world.apply(DMARC)
    world.apply(A1, DMARC)
    world.add(THEIR_DMARC)
    world.apply(A2, DMARC, foreign=REPLACE)
    world.undo(1)
    (record,) = [r for r in world.records if r.name == DMARC.name]
    assert record.content == "v=DMARC1; p=none; rua=mailto:they@example.net,mailto:us@example.com"


def test_nothing_of_ours_was_in_the_shared_dmarc_record(world: World) -> None:
    ours = Mark("mailstead", "dmarc", ()).write(100)
    world.add(dataclasses.replace(THEIR_DMARC, comment=ours))
    world.apply(A1)
    world.remove(world.at("TXT", DMARC.name))
    assert all(w.name != DMARC.name for w in world.plan_undo(0).wants)


def test_a_lost_record_that_cannot_be_merged_is_named(world: World) -> None:
    world.apply(SPF)
    world.apply(SPF2)
    world.add(have(ZONE, "TXT", "v=spf1 include:a.example include:b.example nonsense:x"))
    world.apply(SPF2, A1, foreign=REPLACE)
    _diff, back = world.undo(1)
    assert world.at("TXT").content == SPF.content
    assert "is not put back: " in back.notes[0] and "nonsense:x" in back.notes[0].split("not put back")[1]


def test_an_unreadable_shared_record_is_left_to_its_owner(world: World) -> None:
    world.add(THEIR_SPF)
    world.apply(SPF, foreign=MERGE)
    merged = world.at("TXT")
    world.change(merged, content=merged.content + " nonsense:x")
    world.apply(SPF, A1, foreign=REPLACE)
    world.remove(world.at("TXT"))
    world.undo(1)
    assert not [r for r in world.records if r.type == "TXT"]


def test_another_spf_record_stands_there_now(world: World) -> None:
    world.add(THEIR_SPF)
    world.apply(SPF, foreign=REPLACE)
    world.remove(world.at("TXT"))
    other = world.add(have(ZONE, "TXT", "v=spf1 mx -all"))
    world.history[-1] = dataclasses.replace(
        world.history[-1], changes=(Change("delete", world.history[-1].before[-1], None, ""),)
    )
    _diff, back = world.undo(0)
    assert [r for r in world.records if r.type == "TXT"] == [other]
    assert "is not put back: somebody else's TXT example.com 'v=spf1 mx -all' is there now" in back.notes[0]


def test_two_of_ours_are_left_to_the_guard(world: World) -> None:
    for number, text in enumerate(("v=spf1 ip4:192.0.2.1 -all", "v=spf1 ip4:192.0.2.2 -all")):
        world.add(have(ZONE, "TXT", text, comment=Mark("mailstead", f"spf{number}").write(100)))
    world.apply(A1)
    back = world.plan_undo(0)
    assert sorted(w.role for w in back.wants) == ["spf0", "spf1"]


# -- undoing an undo, runs that were cut short, other instances ------------------------------------------------------


def test_an_undo_is_undone(world: World) -> None:
    world.add(have(ZONE, "MX", "10 mx1.example.net", comment="one", ttl=1200))
    world.add(have(ZONE, "MX", "20 mx2.example.net", comment="two"))
    world.add(THEIR_SPF)
    world.add(have(HOST, "A", "192.0.2.1", comment="by hand"))
    first = world.view()
    world.apply(MX, SPF, A1, DMARC, foreign=dataclasses.replace(ADOPT, spf="merge", mx="replace"))
    published = world.view()
    world.undo(0)
    assert world.view() == first
    world.undo(1)
    assert world.view() == published
    world.undo(2)
    assert world.view() == first
    for point in (0, 2):
        assert not world.undo(point)[0].changes


def test_what_somebody_changed_after_the_undo_is_theirs(world: World) -> None:
    world.add(have(ZONE, "MX", "10 mx1.example.net"))
    world.apply(MX, foreign=REPLACE)
    world.undo(0)
    world.change(world.at("MX"), content="10 mx9.example.net")
    others = world.others()
    _diff, back = world.undo(1)
    assert world.others() == others
    assert "stays beside ours" in back.notes[0]


def test_an_apply_that_never_landed(world: World) -> None:
    world.add(have(ZONE, "MX", "10 mx.example.net", comment="theirs"))
    before = world.view()
    world.apply(MX, A1, foreign=REPLACE, only=lambda _change: False)
    assert world.view() == before
    assert not world.undo(0)[0].changes
    world.remove(world.at("MX"))
    others = world.others()
    world.undo(0)
    assert world.others() == others


def test_an_undo_that_was_cut_short_is_completed(world: World) -> None:
    world.add(have(ZONE, "MX", "10 mx.example.net", comment="theirs"))
    world.add(THEIR_SPF)
    before = world.view()
    world.apply(MX, SPF, A1, foreign=dataclasses.replace(REPLACE, spf="merge"))
    world.undo(0, only=lambda change: change.record.type == "MX")
    assert world.view() != before
    world.undo(0)
    assert world.view() == before


def test_another_instances_history_does_not_matter(world: World) -> None:
    world.apply(A1)
    before = world.view()
    world.apply(A2)
    other = dataclasses.replace(world.history[1], instance="other", before=())
    world.history.append(other)
    world.undo(1)
    assert world.view() == before


def test_a_read_only_record_is_nobodys_business(world: World) -> None:
    world.add(have(ZONE, "MX", "10 route1.mx.example.net", read_only=True))
    world.apply(A1)
    others = world.others()
    world.undo(0)
    assert (world.ours(), world.others()) == ([], others)
