# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose a record is: marks and tags, whole zones, records put back for others, and the odd cases between."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare import wire
from ansible_collections.mailstead.stack.plugins.module_utils.dns.records import (
    TAGS_MAX,
    Change,
    Have,
    Mark,
    Want,
    words_of,
)
from ansible_collections.mailstead.stack.plugins.module_utils.dns.render import line

from tests.unit.dns.samples import BASIC, DMARC, HOST, SPF, ZONE, actions, codes, diff, ours, theirs, want

TAG = "mailstead:mailstead"
A = BASIC[0]


def comments(found: Any) -> list[str]:
    return [r.comment for r in found.after]


# -- tags beside the mark --------------------------------------------------------------------------------------------


def test_new_and_changed_records_are_tagged_and_other_tags_survive() -> None:
    old = dataclasses.replace(ours(HOST, "A", "192.0.2.9"), tags=("team:web",))
    found = diff(BASIC, [old], tags=True)
    assert {r.type: r.tags for r in found.after} == {"A": ("team:web", TAG), "MX": (TAG,), "TXT": (TAG,)}
    assert found.changes[0].fields() == ("content", "tags")
    assert diff(BASIC, list(found.after), tags=True).changes == ()
    assert all(r.tags in ((), ("team:web",)) for r in diff(BASIC, [old]).after)


def test_a_tag_alone_is_no_reason_for_a_change() -> None:
    assert diff([A], [ours(HOST, "A", "192.0.2.1")], tags=True).changes == ()
    twice = Change("update", Have(HOST, "A", "192.0.2.1", 300, tags=("a:1", "b:2")), None, "")
    same = dataclasses.replace(twice, after=dataclasses.replace(twice.record, tags=("b:2", "a:1")))
    assert same.fields() == ()


@pytest.mark.parametrize(
    ("edited", "repaired"),
    [
        ("", "mailstead:mailstead:a"),
        ("see ticket 7", "mailstead:mailstead:a see ticket 7"),
        ("moved! mailstead:mailstead:a", "mailstead:mailstead:a moved!"),
    ],
)
def test_a_record_whose_comment_was_edited_stays_ours_by_its_tag_and_is_mended(edited: str, repaired: str) -> None:
    have = Have(HOST, "A", "192.0.2.1", 3600, "1", edited, ("team:web", TAG))
    found = diff([A], [have], tags=True)
    assert actions(found) == [("update", "A", HOST, "192.0.2.1", "192.0.2.1")]
    assert (found.changes[0].fields(), comments(found)) == (("comment",), [repaired])
    assert diff([A], list(found.after), tags=True).changes == ()
    # No longer wanted, it goes like any other of ours; without the tag it is somebody else's.
    assert [a[0] for a in actions(diff([], [have]))] == ["delete"]
    assert actions(diff([], [dataclasses.replace(have, tags=())])) == []


def test_a_full_list_of_tags_is_left_alone() -> None:
    full = tuple(f"t{n}:x" for n in range(TAGS_MAX))
    found = diff([A], [dataclasses.replace(ours(HOST, "A", "192.0.2.9"), tags=full)], tags=True)
    assert found.after[0].tags == full


def test_a_shared_record_carries_no_tag_so_that_a_lost_mark_claims_nothing_of_theirs() -> None:
    spf = theirs(ZONE, "TXT", "v=spf1 include:_spf.google.com ~all", tags=("team:web",))
    merged = list(diff(BASIC[2:], [spf], tags=True).after)
    assert merged[0].tags == ("team:web",)
    edited = [dataclasses.replace(merged[0], comment="oops")]
    assert diff(BASIC[2:], edited, tags=True).changes == ()
    assert diff([], edited, tags=True).changes == ()
    # Replaced, the record becomes wholly ours.
    found = diff(BASIC[2:], merged, {"spf": "replace"}, tags=True)
    assert found.after[0].tags == ("team:web", TAG)


def test_tags_travel_to_the_api_when_they_change() -> None:
    before = Have(HOST, "A", "192.0.2.1", 300, "1", "c", ("a:b",))
    after = dataclasses.replace(before, tags=("a:b", TAG))
    update = Change("update", before, after, "")
    assert wire.operation(update) == ("patches", {"id": "1", "type": "A", "name": HOST, "tags": ["a:b", TAG]})
    made = wire.operation(Change("create", None, after, ""))[1]
    assert made["tags"] == ["a:b", TAG]
    assert "tags" not in wire.operation(Change("create", None, dataclasses.replace(after, tags=()), ""))[1]


def test_other_peoples_tags_show_in_the_diff() -> None:
    record = Have(HOST, "A", "192.0.2.1", 300, "1", "mailstead:mailstead:a", ("team:web", TAG), proxied=True)
    assert line(record) == f"{HOST}. 300 IN A 192.0.2.1 ; proxied | mailstead:mailstead:a | tags team:web"


# -- two marks, two instances ----------------------------------------------------------------------------------------


def test_of_two_marks_the_first_counts() -> None:
    have = Have(HOST, "A", "192.0.2.9", 3600, "1", "mailstead:mailstead:a mailstead:berlin:host")
    assert [a[0] for a in actions(diff([A], [have]))] == ["update"]
    assert codes(diff([A], [have], instance="berlin")) == ["MS-DNS-034"]
    tagged = Have(HOST, "A", "192.0.2.9", 3600, "1", "mailstead:berlin:host", (TAG,))
    assert codes(diff([A], [tagged])) == ["MS-DNS-034"]


def test_the_records_of_a_renamed_instance_are_named_and_can_be_adopted() -> None:
    have = [Have(HOST, "A", "192.0.2.9", 3600, "1", "mailstead:old:a words", ("mailstead:old", "x:y"))]
    refused = diff([A], have)
    assert "the mailstead instance 'old'" in refused.problems[0].what
    found = diff([A], have, {"other": "adopt"}, tags=True)
    assert [(r.comment, r.tags) for r in found.after] == [("mailstead:mailstead:a words", ("x:y", TAG))]
    assert "the mailstead instance old's record" in found.changes[0].reason
    assert diff([A], list(found.after), {"other": "adopt"}, tags=True).changes == ()


def test_wanted_records_that_another_instance_keeps_are_counted_in_a_note() -> None:
    have = [theirs(w.name, w.type, w.content, ttl=3600, comment=f"mailstead:old:{w.role}") for w in BASIC]
    found = diff(BASIC, have)
    assert found.changes == ()
    assert found.notes == (
        "3 of the wanted records are kept by the mailstead instance 'old'; policy adopt would take them over",
    )
    adopt = dict.fromkeys(("spf", "mx", "other"), "adopt")
    adopted = diff(BASIC, have, adopt)
    assert len(adopted.changes) == 3 and adopted.notes == ()
    assert diff(BASIC, list(adopted.after), adopt).notes == ()


def test_words_of_a_comment_are_all_but_marks() -> None:
    assert words_of("mailstead:a:spf merged=abcde,12345 kept mailstead:b:x also") == "kept also"
    assert words_of("plain words") == "plain words"


# -- mode zone -------------------------------------------------------------------------------------------------------

APEX = [theirs(ZONE, "NS", "ns1.example.net"), theirs(ZONE, "SOA", "ns1.example.net. h.example.net. 1 1 1 1 1")]
CHILD = [
    theirs("sub.example.com", "NS", "ns1.sub.example.com"),
    theirs("sub.example.com", "DS", "1 13 2 ab"),
    theirs("ns1.sub.example.com", "A", "192.0.2.53"),
]
LOCKED = theirs("routed.example.com", "MX", "5 route.example.net", read_only=True)
STRAY = [
    theirs("www.example.com", "CNAME", "web.example.net", proxied=True),
    theirs(ZONE, "TXT", "site=1"),
    theirs(HOST, "A", "192.0.2.77"),
]


def zone(wants: list[Want], have: list[Have], **options: Any) -> Any:
    return diff(wants, have, mode="zone", **{"confirmed": True, **options})


def test_mode_zone_deletes_all_that_is_not_wanted_and_nothing_that_is_not_its_own() -> None:
    found = zone(BASIC, [*APEX, *CHILD, LOCKED, *STRAY])
    assert [a[:3] for a in actions(found)] == [
        ("update", "A", HOST),
        ("create", "TXT", ZONE),
        ("create", "MX", ZONE),
        ("delete", "TXT", ZONE),
        ("delete", "CNAME", "www.example.com"),
    ]
    assert [c.reason for c in found.changes[-2:]] == ["not wanted (mode zone)"] * 2
    assert all(h in found.after for h in (*APEX, *CHILD, LOCKED))
    assert zone(BASIC, list(found.after)).changes == ()


def test_a_mark_on_a_delegation_claims_nothing() -> None:
    marked = [dataclasses.replace(r, comment="mailstead:mailstead:ns", tags=(TAG,)) for r in (*APEX, CHILD[0])]
    assert diff([], marked).changes == () and zone([], [*marked, *CHILD[1:]]).changes == ()


def test_mode_zone_has_to_be_confirmed() -> None:
    found = zone(BASIC, [*APEX, *STRAY], confirmed=False)
    assert codes(found) == ["MS-DNS-024"]
    assert "3 records" in found.problems[0].what and f"confirm: {ZONE}" in found.problems[0].fix
    assert codes(zone(BASIC, APEX, confirmed=False)) == ["MS-DNS-024"]
    assert codes(diff(BASIC, STRAY[:2], confirmed=False)) == []


def test_mode_zone_waits_with_deletions_for_the_last_phase() -> None:
    found = zone(BASIC, [*APEX, *STRAY], through_phase="policy")
    assert [a[:3] for a in actions(found)] == [("update", "A", HOST), ("create", "TXT", ZONE)]
    assert found.held == 3
    barring = theirs(HOST, "CNAME", "x.example.net")
    assert [a[0] for a in actions(zone(BASIC, [barring], through_phase="address"))] == ["create", "delete"]


def test_mode_zone_counts_every_deletion() -> None:
    texts = [theirs(ZONE, "TXT", f"note {n}") for n in range(5)]
    assert codes(zone(BASIC, texts, max_delete=4)) == ["MS-DNS-020"]
    assert codes(zone(BASIC, texts, max_delete=5)) == []
    many = [theirs(f"h{n}.example.com", "A", "192.0.2.1") for n in range(10)]
    found = zone(BASIC, many)
    assert codes(found) == ["MS-DNS-020"] and "10 of our 10 records" in found.problems[0].what


def test_mode_zone_refuses_to_delete_what_another_instance_keeps() -> None:
    for comment, tags in (("mailstead:berlin:host", ()), ("edited", ("mailstead:berlin",))):
        have = [theirs("b.example.com", "A", "192.0.2.8", comment=comment, tags=tags)]
        found = zone(BASIC, have)
        assert codes(found) == ["MS-DNS-025"]
        assert "'berlin'" in found.problems[0].what and "A b.example.com" in found.problems[0].what
        purged = zone(BASIC, have, allow=("other_instance",))
        assert ("delete", "A", "b.example.com") in [a[:3] for a in actions(purged)]


def test_mode_zone_keeps_the_last_mx_of_other_names_guarded() -> None:
    lists = theirs("lists.example.com", "MX", "5 mx.example.net")
    assert codes(zone(BASIC, [lists])) == ["MS-DNS-019"]


def test_mode_zone_ends_merges_for_good() -> None:
    spf = theirs(ZONE, "TXT", "v=spf1 include:_spf.google.com ~all")
    merged = list(diff(BASIC[2:], [spf]).after)
    assert [r.content for r in zone(BASIC[2:], merged).after] == [SPF]
    gone = zone([], merged)
    assert gone.after == () and zone([], []).changes == ()


@pytest.mark.parametrize("mode", ["names", "zone"])
def test_a_mode_that_owns_the_name_brings_an_equal_record_in_line(mode: str) -> None:
    have = [theirs(HOST, "A", "192.0.2.1", ttl=300, proxied=True)]
    found = diff([A], have, mode=mode, confirmed=True)
    assert [c.fields() for c in found.changes] == [("ttl", "proxied", "comment")]
    assert f"mode {mode}" in found.changes[0].reason
    same = [theirs(HOST, "A", "192.0.2.1", ttl=3600)]
    assert diff([A], same, mode=mode, confirmed=True).changes == ()


def test_two_spellings_of_a_policy_are_two_records() -> None:
    twins = [ours(ZONE, "TXT", SPF, "spf"), theirs(ZONE, "TXT", SPF)]
    for foreign in ({"spf": "replace"}, {"spf": "merge"}):
        found = diff(BASIC[2:], twins, foreign)
        assert [a[0] for a in actions(found)] == ["delete"] and len(found.after) == 1
    assert codes(diff(BASIC[2:], twins, {"spf": "fail"})) == ["MS-DNS-012"]
    # Of other texts a twin is the same record to the DNS.
    note = want(ZONE, "TXT", "site=1")
    assert diff([note], [ours(ZONE, "TXT", "site=1", "txt"), theirs(ZONE, "TXT", "site=1")]).changes == ()
    mine = [ours(ZONE, "TXT", "site=1", "txt"), dataclasses.replace(ours(ZONE, "TXT", "site=1", "txt"), id="2")]
    assert [a[0] for a in actions(diff([note], mine))] == ["delete"]


# -- records put back for others -------------------------------------------------------------------------------------


def bare(record: Have, **more: Any) -> Want:
    fields = {"ttl": record.ttl, "phase": "delivery", "role": "undo", **more}
    return Want(record.name, record.type, record.content, bare=record, **fields)


WEB = theirs("www.example.com", "A", "203.0.113.5", ttl=120, comment="web, by hand", tags=("team:web",), proxied=True)


def test_a_deleted_record_comes_back_exactly_and_unmarked() -> None:
    found = diff([bare(WEB)], [], tags=True)
    assert [dataclasses.replace(r, id=WEB.id) for r in found.after] == [WEB]
    assert diff([bare(WEB)], [WEB], tags=True).changes == ()
    # From then on it is nobody's here.
    assert diff([], [WEB]).changes == ()


def test_a_record_we_took_over_is_given_back_in_place() -> None:
    theirs_mx = theirs(ZONE, "MX", "5 old.example.net", comment="the old provider", tags=("a:b",))
    taken = list(diff([BASIC[1]], [theirs_mx], {"mx": "replace"}, tags=True).after)
    assert taken[0].mark("mailstead") is not None
    found = diff([bare(theirs_mx)], taken)
    assert [c.action for c in found.changes] == ["update"] and found.after == (theirs_mx,)
    adopted = list(diff([A], [theirs(HOST, "A", "192.0.2.1")], {"other": "adopt"}).after)
    given = diff([bare(theirs(HOST, "A", "192.0.2.1"))], adopted)
    assert given.after == (theirs(HOST, "A", "192.0.2.1"),)
    merged = list(diff(BASIC[2:], [theirs(ZONE, "TXT", "v=spf1 mx ~all")]).after)
    back = diff([bare(theirs(ZONE, "TXT", "v=spf1 mx ~all"))], merged)
    assert [c.action for c in back.changes] == ["update"] and back.after == (theirs(ZONE, "TXT", "v=spf1 mx ~all"),)


def test_what_is_put_back_touches_nobody_elses_record() -> None:
    later = theirs("www.example.com", "A", "203.0.113.6")
    found = diff([bare(WEB)], [later], {"other": "replace"})
    assert [a[0] for a in actions(found)] == ["create"] and later in found.after
    edited = dataclasses.replace(WEB, ttl=300, comment="edited since")
    assert diff([bare(WEB)], [edited]).changes == ()
    twin = dataclasses.replace(ours("www.example.com", "A", "203.0.113.5"), id="2")
    assert [a[0] for a in actions(diff([bare(WEB)], [edited, twin]))] == ["delete"]
    spf = theirs(ZONE, "TXT", "v=spf1 a ~all")
    assert codes(diff([bare(spf)], [theirs(ZONE, "TXT", "v=spf1 mx ~all")])) == ["MS-DNS-012"]
    assert codes(diff([bare(WEB)], [theirs("www.example.com", "CNAME", "x.example.net")])) == ["MS-DNS-010"]


def test_ours_and_theirs_can_be_wanted_at_one_name() -> None:
    old = theirs(ZONE, "MX", "50 backup.example.net")
    have = [ours(ZONE, "MX", "20 mail.example.com"), theirs(ZONE, "MX", "60 third.example.net")]
    found = diff([BASIC[1], bare(old)], have, {"mx": "adopt"})
    assert codes(found) == ["MS-DNS-031"]
    found = diff([BASIC[1], bare(old)], have, {"mx": "merge"})
    assert sorted(r.content for r in found.after) == [
        "10 mail.example.com",
        "50 backup.example.net",
        "60 third.example.net",
    ]
    # Replacing is for ours alone: what is put back takes no third one's place.
    found = diff([BASIC[1], bare(old)], have[1:], {"mx": "replace"})
    assert [(c.action, c.record.content) for c in found.changes] == [
        ("update", "10 mail.example.com"),
        ("create", "50 backup.example.net"),
    ]
    assert codes(diff([A, dataclasses.replace(bare(theirs(HOST, "A", "192.0.2.1")), ttl=3600)], [])) == ["MS-DNS-007"]


def test_what_others_wrote_is_not_judged_when_it_is_put_back() -> None:
    old = [
        theirs("x._domainkey.example.com", "TXT", "v=DKIM1; p=AAAA"),
        theirs(ZONE, "TXT", "v=spf1 +all"),
        theirs("short.example.com", "A", "192.0.2.1", ttl=1),
    ]
    found = diff([bare(r) for r in old], [])
    assert codes(found) == [] and len(found.changes) == 3
    assert codes(diff([bare(theirs("x.example.org", "A", "192.0.2.1"))], [])) == ["MS-DNS-002"]


# -- merges ----------------------------------------------------------------------------------------------------------


def test_another_record_beside_a_merged_one_is_not_merged_against_the_policy() -> None:
    merged = list(diff(BASIC[2:], [theirs(ZONE, "TXT", "v=spf1 include:a.example ~all")]).after)
    second = theirs(ZONE, "TXT", "v=spf1 include:b.example ~all")
    assert codes(diff(BASIC[2:], [*merged, second], {"spf": "fail"})) == ["MS-DNS-030"]
    assert codes(diff(BASIC[2:], [*merged, second], {"spf": "adopt"})) == ["MS-DNS-030"]
    found = diff(BASIC[2:], [*merged, second], {"spf": "merge"})
    assert [r.content for r in found.after] == ["v=spf1 ip4:192.0.2.1 include:a.example include:b.example ~all"]


def test_a_merge_that_adds_nothing_of_ours_takes_nothing_away() -> None:
    two = [theirs(ZONE, "TXT", "v=spf1 ip4:192.0.2.1 a ~all"), theirs(ZONE, "TXT", "v=spf1 mx ~all")]
    merged = diff(BASIC[2:], two).after
    assert [(r.content, r.comment) for r in merged] == [
        ("v=spf1 ip4:192.0.2.1 a mx ~all", "mailstead:mailstead:spf merged=")
    ]
    assert diff(BASIC[2:], list(merged)).changes == ()
    assert [(r.content, r.comment) for r in diff([], list(merged)).after] == [("v=spf1 ip4:192.0.2.1 a mx ~all", "")]


def test_when_the_other_owners_record_is_gone_ours_stands_alone() -> None:
    merged = list(diff(BASIC[2:], [theirs(ZONE, "TXT", "v=spf1 include:a.example ~all")]).after)
    assert [r.content for r in diff(BASIC[2:], []).after] == [SPF]
    # Their terms taken out by hand: what is left is still theirs to end, and ours is taken out of it cleanly.
    alone = [dataclasses.replace(merged[0], content="v=spf1 ip4:192.0.2.1 ~all")]
    assert diff(BASIC[2:], alone).changes == ()
    assert [(r.content, r.comment) for r in diff([], alone).after] == [("v=spf1 ~all", "")]


@pytest.mark.parametrize(
    ("other", "said"),
    [("p=none", "p=none, we would publish p=reject"), ("p=quarantine", "p=quarantine"), ("p=reject", "")],
)
def test_a_dmarc_policy_of_theirs_that_is_not_ours_is_said(other: str, said: str) -> None:
    name = "_dmarc.example.com"
    have = [theirs(name, "TXT", f"v=DMARC1; {other}; rua=mailto:X@example.net!10m")]
    found = diff([want(name, "TXT", DMARC)], have, {"dmarc": "merge"})
    assert f"{other}; rua=mailto:X@example.net!10m,mailto:postmaster@example.com" in found.after[0].content
    reason = found.changes[0].reason
    assert (said in reason) if said else ("we would" not in reason)


def test_report_addresses_are_compared_without_their_size_limit() -> None:
    name = "_dmarc.example.com"
    have = [theirs(name, "TXT", "v = DMARC1; p=none; rua=mailto:Postmaster@example.com!50m")]
    assert diff([want(name, "TXT", DMARC)], have, {"dmarc": "merge"}).changes == ()


# -- phases and changes in place -------------------------------------------------------------------------------------


def test_somebody_elses_surplus_goes_in_the_last_phase_like_ours() -> None:
    have = [theirs(HOST, "A", "192.0.2.8"), theirs(HOST, "A", "192.0.2.9")]
    early = diff([A], have, {"other": "replace"}, through_phase="address")
    assert [a[0] for a in actions(early)] == ["update"] and early.held == 1
    assert diff([A], list(early.after), {"other": "replace"}, through_phase="address").changes == ()
    late = diff([A], list(early.after), {"other": "replace"})
    assert [a[0] for a in actions(late)] == ["delete"]


def test_an_mx_that_changes_its_preference_only_is_changed_in_place() -> None:
    wants = [want(ZONE, "MX", f"20 {HOST}"), want(ZONE, "MX", "30 b.example.net")]
    have = [ours(ZONE, "MX", f"10 {HOST}"), ours(ZONE, "MX", f"15 {HOST}")]
    found = diff(wants, have)
    assert sorted(a[0] for a in actions(found)) == ["update", "update"]
    assert {r.id for r in found.after} == {r.id for r in have}


def test_a_new_role_only_is_a_new_mark_only() -> None:
    found = diff([want(HOST, "A", "192.0.2.1", role="host")], [ours(HOST, "A", "192.0.2.1")])
    assert found.changes[0].fields() == ("comment",) and found.changes[0].reason == "mark"


def test_many_values_for_few_records_and_back() -> None:
    wants = [want(HOST, "A", f"192.0.2.{n}") for n in range(1, 6)]
    have = [ours(HOST, "A", "192.0.2.3"), theirs(HOST, "A", "192.0.2.4"), ours(HOST, "A", "192.0.2.99")]
    found = diff(wants, have)
    assert sorted(a[0] for a in actions(found)) == ["create", "create", "update"]
    assert diff(wants, list(found.after)).changes == ()


def test_wildcards_and_international_names_are_names_like_others() -> None:
    wants = [want("*.example.com", "A", "192.0.2.1"), want("b\u00fccher.example.com", "A", "192.0.2.1")]
    found = diff(wants, [ours("*.example.com", "A", "192.0.2.2"), ours("xn--bcher-kva.example.com", "A", "192.0.2.1")])
    assert actions(found) == [("update", "A", "*.example.com", "192.0.2.2", "192.0.2.1")]


def test_an_alias_at_the_top_gives_way_to_an_address_only() -> None:
    have = [ours(ZONE, "CNAME", "site.example.net"), theirs(ZONE, "TXT", "site=1")]
    assert diff([want(ZONE, "CNAME", "site.example.net"), BASIC[2]], have).problems == ()
    found = diff([want(ZONE, "A", "192.0.2.1"), BASIC[2]], have, through_phase="address")
    assert sorted(a[:2] for a in actions(found)) == [("create", "A"), ("delete", "CNAME")]


def test_a_name_loses_records_that_are_deleted_beside_an_update() -> None:
    """Fewer values of one name are deletions even where another of them changes at the same time."""
    have = [ours(HOST, "A", f"192.0.2.{n}") for n in range(7, 12)]
    assert codes(diff([A], have, max_delete=3)) == ["MS-DNS-020"]
    assert codes(diff([A], have, max_delete=4)) == []


def test_a_mark_with_an_empty_list_of_terms_is_read_back() -> None:
    mark = Mark("mailstead", "spf", (), "their words")
    assert Mark.read(mark.write(100)) == mark


@pytest.mark.parametrize(
    ("hosts", "words"),
    [
        ("a", "somebody else's record '10 a.example.net' stands at our name"),
        (
            "abc",
            "somebody else's records '10 a.example.net', '10 b.example.net' and '10 c.example.net' stand at our name",
        ),
    ],
)
def test_what_is_in_the_way_is_named_in_full(hosts: str, words: str) -> None:
    found = diff(BASIC[1:2], [theirs(ZONE, "MX", f"10 {host}.example.net") for host in hosts])
    assert [p.what for p in found.problems] == [words]
