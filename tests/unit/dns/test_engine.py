# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The diff of one zone: matching, in-place updates, phases, ownership, foreign records."""

from __future__ import annotations

import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.dns import engine
from ansible_collections.mailstead.stack.plugins.module_utils.dns.records import Have, Mark, wants_from_data

from tests.unit.dns.samples import BASIC, DMARC, HOST, SPF, ZONE, actions, codes, diff, ours, theirs, want

# -- matching and updating -------------------------------------------------------------------------------------------


def test_an_empty_zone_gets_everything_in_the_order_of_phases_and_marked() -> None:
    found = diff(BASIC, [])
    assert [a[:3] for a in actions(found)] == [("create", "A", HOST), ("create", "TXT", ZONE), ("create", "MX", ZONE)]
    assert [r.comment for r in found.after] == [f"mailstead:mailstead:{x}" for x in ("a", "mx", "spf")]
    assert diff(BASIC, list(found.after)).changes == ()


def test_a_new_address_is_an_update_in_place() -> None:
    have = [ours(HOST, "A", "192.0.2.9"), ours(ZONE, "MX", f"10 {HOST}"), ours(ZONE, "TXT", SPF, "spf")]
    found = diff(BASIC, have)
    assert actions(found) == [("update", "A", HOST, "192.0.2.9", "192.0.2.1")]
    assert found.changes[0].after is not None and found.changes[0].after.id == have[0].id
    assert found.changes[0].fields() == ("content",)


def test_fewer_and_more_values_keep_as_many_records_as_they_can() -> None:
    have = [ours(HOST, "A", f"192.0.2.{n}") for n in (7, 8, 9)]
    assert [a[0] for a in actions(diff([want(HOST, "A", "192.0.2.1")], have))] == ["update", "delete", "delete"]
    wants = [want(HOST, "A", f"192.0.2.{n}") for n in (1, 2, 3, 9)]
    assert sorted(a[0] for a in actions(diff(wants, have))) == ["create", "update", "update"]


def test_the_likest_records_are_paired() -> None:
    wants = [want(ZONE, "MX", "10 a.example.net"), want(ZONE, "MX", "20 b.example.net")]
    have = [ours(ZONE, "MX", "10 b.example.net"), ours(ZONE, "MX", "20 a.example.net")]
    pairs = {(a[3], a[4]) for a in actions(diff(wants, have))}
    assert pairs == {("10 b.example.net", "20 b.example.net"), ("20 a.example.net", "10 a.example.net")}


def test_time_to_live_role_and_proxy_of_our_records_are_kept_in_line() -> None:
    wants = [want(HOST, "A", "192.0.2.1", ttl=300), want(HOST, "AAAA", "2001:DB8:0::1")]
    have = [ours(HOST, "A", "192.0.2.1"), ours(HOST, "AAAA", "2001:db8::1", role="old", proxied=True)]
    found = diff(wants, have)
    assert [c.fields() for c in found.changes] == [("ttl",), ("proxied", "comment")]
    assert "time to live was 3600" in found.changes[0].reason


def test_automatic_means_three_hundred() -> None:
    assert diff([want(HOST, "A", "192.0.2.1", ttl=1)], [ours(HOST, "A", "192.0.2.1", ttl=300)]).changes == ()


def test_words_after_our_mark_survive() -> None:
    have = Have(HOST, "A", "192.0.2.9", 3600, id="1", comment="mailstead:mailstead:a see ticket 7")
    found = diff([want(HOST, "A", "192.0.2.1")], [have])
    assert found.after[0].comment == "mailstead:mailstead:a see ticket 7"


def test_alias_and_address_change_places_in_one_go() -> None:
    assert [a[0] for a in actions(diff([want(HOST, "A", "192.0.2.1")], [ours(HOST, "CNAME", "x.example.net")]))] == [
        "create",
        "delete",
    ]
    found = diff([want(HOST, "CNAME", "x.example.net")], [ours(HOST, "A", "192.0.2.1")], through_phase="address")
    assert sorted(a[0] for a in actions(found)) == ["create", "delete"]


# -- phases ----------------------------------------------------------------------------------------------------------


def test_records_of_later_phases_are_neither_made_nor_changed_nor_deleted() -> None:
    have = [
        ours(ZONE, "MX", "10 old.example.net"),
        ours("old.example.com", "A", "192.0.2.8"),
        ours(ZONE, "TXT", "v=spf1 a -all", "spf"),
    ]
    found = diff(BASIC, have, through_phase="address")
    assert actions(found) == [("create", "A", HOST, None, "192.0.2.1")]
    assert found.held == 3
    found = diff(BASIC, list(found.after), through_phase="policy")
    assert [a[:3] for a in actions(found)] == [("update", "TXT", ZONE)]
    found = diff(BASIC, list(found.after))
    assert [a[:3] for a in actions(found)] == [("update", "MX", ZONE), ("delete", "A", "old.example.com")]


def test_an_unknown_value_is_fine_until_its_phase() -> None:
    wants = [
        *BASIC,
        want("<%Y%mr>._domainkey.example.com", "TXT", "v=DKIM1; p=<public key>", phase="keys", unresolved=True),
    ]
    assert len(diff(wants, [], through_phase="identity").changes) == 1
    assert codes(diff(wants, [], through_phase="keys")) == ["MS-DNS-005"]


def test_a_later_conflict_is_said_early() -> None:
    found = diff(BASIC, [theirs(ZONE, "MX", "1 aspmx.l.google.com")], through_phase="address")
    assert not found.problems
    assert "aspmx.l.google.com" in found.notes[0] and "foreign.mx" in found.notes[0]


# -- somebody else's records -----------------------------------------------------------------------------------------


def test_equal_records_of_others_satisfy_and_stay_unmarked() -> None:
    have = [theirs(w.name, w.type, w.content, comment="by hand") for w in BASIC]
    found = diff(BASIC, have)
    assert (found.changes, found.satisfied, found.foreign_satisfied) == ((), 3, 3)


def test_adopt_marks_equal_records_and_changes_differing_ones_in_place() -> None:
    have = [theirs(HOST, "A", "192.0.2.1", comment="by hand", ttl=3600), theirs(ZONE, "MX", "5 old.example.net")]
    policy = {"mx": "adopt", "other": "adopt"}
    found = diff(BASIC[:2], have, policy)
    assert [c.fields() for c in found.changes] == [("comment",), ("content", "ttl", "comment")]
    assert found.after[0].comment == "mailstead:mailstead:a by hand"
    assert diff(BASIC[:2], list(found.after), policy).changes == ()
    surplus = [*have, theirs(ZONE, "MX", "50 backup.example.net")]
    assert codes(diff(BASIC[:2], surplus, policy)) == ["MS-DNS-031"]


@pytest.mark.parametrize(
    ("record", "code"),
    [
        (theirs(ZONE, "MX", "1 aspmx.l.google.com"), "MS-DNS-031"),
        (theirs(HOST, "A", "192.0.2.99"), "MS-DNS-034"),
        (theirs(ZONE, "TXT", "v=spf1 mx -all"), "MS-DNS-030"),
        (theirs(HOST, "CNAME", "web.example.net"), "MS-DNS-010"),
    ],
)
def test_fail_names_the_record_in_the_way(record: Have, code: str) -> None:
    found = diff(BASIC, [record], {"spf": "fail"})
    assert code in codes(found)
    assert record.content in found.problems[0].what


def test_another_instance_is_named() -> None:
    record = theirs(HOST, "A", "192.0.2.99", comment="mailstead:berlin:host")
    assert "'berlin'" in diff(BASIC, [record]).problems[0].what


def test_replace_takes_the_place_and_deletes_the_surplus() -> None:
    have = [theirs(ZONE, "MX", f"{n} mx{n}.example.net") for n in (1, 2)]
    found = diff([want(ZONE, "MX", f"10 {HOST}")], have, {"mx": "replace"})
    assert [a[0] for a in actions(found)] == ["update", "delete"]
    assert "foreign policy" in found.changes[0].reason
    found = diff([want(HOST, "A", "192.0.2.1")], [theirs(HOST, "CNAME", "x.example.net")], {"other": "replace"})
    assert sorted(a[0] for a in actions(found)) == ["create", "delete"]


def test_merge_lets_caa_and_mx_stand_side_by_side() -> None:
    have = [theirs(HOST, "CAA", '0 issue "other.example"'), theirs(ZONE, "MX", "5 old.example.net")]
    wants = [want(HOST, "CAA", '0 issue "letsencrypt.org"'), want(ZONE, "MX", f"10 {HOST}")]
    assert [a[0] for a in actions(diff(wants, have, {"mx": "merge"}))] == ["create", "create"]


def test_names_mode_owns_what_stands_at_our_names() -> None:
    have = [
        theirs(HOST, "A", "192.0.2.7"),
        theirs(ZONE, "TXT", "site-verification"),
        theirs(ZONE, "TXT", "v=spf1 mx -all"),
    ]
    found = diff(BASIC, have, mode="names")
    assert [a[:3] for a in actions(found)] == [("update", "A", HOST), ("update", "TXT", ZONE), ("create", "MX", ZONE)]
    assert have[1] in found.after


def test_create_only_changes_nothing_that_is_there() -> None:
    have = [
        ours(HOST, "A", "192.0.2.9"),
        theirs(ZONE, "TXT", "v=spf1 mx -all"),
        ours("old.example.com", "A", "192.0.2.8"),
    ]
    wants = [*BASIC, want("autoconfig.example.com", "CNAME", HOST)]
    found = diff(wants, have, mode="create_only")
    assert [a[:3] for a in actions(found)] == [("create", "CNAME", "autoconfig.example.com"), ("create", "MX", ZONE)]
    assert len(found.notes) == 2


def test_other_texts_and_other_names_are_never_touched() -> None:
    have = [
        theirs(ZONE, "TXT", "google-site-verification=x", comment="theirs", tags=("a:b",)),
        theirs("www.example.com", "A", "203.0.113.1", proxied=True),
        theirs(ZONE, "NS", "ada.ns.cloudflare.com"),
        theirs("sub.example.com", "MX", "10 x.example.net"),
    ]
    found = diff(BASIC, have, {"mx": "replace", "other": "replace", "spf": "replace"})
    assert all(c.action == "create" for c in found.changes)
    assert all(h in found.after for h in have)


# -- merged policies -------------------------------------------------------------------------------------------------

GOOGLE = theirs(ZONE, "TXT", "v=spf1 include:_spf.google.com ~all", comment="Workspace")
MERGED = "v=spf1 ip4:192.0.2.1 include:_spf.google.com ~all"


def test_spf_of_two_owners_becomes_one_record_and_stays_that_way() -> None:
    found = diff(BASIC[2:], [GOOGLE])
    assert actions(found) == [("update", "TXT", ZONE, GOOGLE.content, MERGED)]
    assert "1 of 10 look-ups" in found.changes[0].reason
    after = found.after[0]
    assert (after.id, after.ttl) == (GOOGLE.id, GOOGLE.ttl)
    mark = Mark.read(after.comment)
    assert mark is not None and mark.merged is not None and mark.text == "Workspace"
    assert diff(BASIC[2:], list(found.after)).changes == ()


def test_our_part_of_a_merged_spf_follows_and_theirs_stays() -> None:
    merged = list(diff(BASIC[2:], [GOOGLE]).after)
    moved = [want(ZONE, "TXT", "v=spf1 ip4:192.0.2.77 -all", role="spf")]
    found = diff(moved, merged)
    assert actions(found)[0][4] == "v=spf1 ip4:192.0.2.77 include:_spf.google.com ~all"
    # No longer wanted: exactly ours goes, theirs is as it was, words and all.
    gone = diff([], merged)
    assert actions(gone)[0][0] == "update"
    assert gone.after == (GOOGLE,)


def test_replace_ends_a_merge() -> None:
    merged = list(diff(BASIC[2:], [GOOGLE]).after)
    found = diff(BASIC[2:], merged, {"spf": "replace"})
    assert actions(found) == [("update", "TXT", ZONE, MERGED, SPF)]
    assert diff(BASIC[2:], list(found.after), {"spf": "replace"}).changes == ()


def test_a_second_spf_that_appears_beside_ours_is_folded_in() -> None:
    found = diff(BASIC[2:], [ours(ZONE, "TXT", SPF, "spf"), GOOGLE])
    assert [a[0] for a in actions(found)] == ["update", "delete"]
    assert [r.content for r in found.after] == [MERGED]
    two = [GOOGLE, theirs(ZONE, "TXT", "v=spf1 include:mail.zendesk.com ?all")]
    found = diff(BASIC[2:], two)
    assert [r.content for r in found.after] == [
        "v=spf1 ip4:192.0.2.1 include:_spf.google.com include:mail.zendesk.com ?all"
    ]


def test_an_spf_that_covers_ours_satisfies() -> None:
    found = diff(BASIC[2:], [theirs(ZONE, "TXT", MERGED)])
    assert (found.changes, found.foreign_satisfied) == ((), 1)


def test_an_unreadable_spf_of_theirs_is_a_problem() -> None:
    assert codes(diff(BASIC[2:], [theirs(ZONE, "TXT", "v=spf1 ipv4:192.0.2.1 -all")])) == ["MS-DNS-035"]


def test_dmarc_merge_keeps_their_policy_and_adds_our_reports() -> None:
    name = "_dmarc.example.com"
    have = theirs(name, "TXT", "v=DMARC1; p=none; rua=mailto:x@example.net;", comment="report service")
    wants = [want(name, "TXT", DMARC, role="dmarc")]
    found = diff(wants, [have], {"dmarc": "merge"})
    assert found.after[0].content == "v=DMARC1; p=none; rua=mailto:x@example.net,mailto:postmaster@example.com"
    assert diff(wants, list(found.after), {"dmarc": "merge"}).changes == ()
    assert diff([], list(found.after)).after[0].content == "v=DMARC1; p=none; rua=mailto:x@example.net"
    both = [have, theirs(name, "TXT", "v=DMARC1; p=reject")]
    assert codes(diff(wants, both, {"dmarc": "merge"})) == ["MS-DNS-035"]


def test_policies_of_which_a_name_has_one_cannot_stand_side_by_side() -> None:
    name = "_smtp._tls.example.com"
    wants = [want(name, "TXT", "v=TLSRPTv1; rua=mailto:a@example.com", role="tls-rpt")]
    have = [theirs(name, "TXT", "v=TLSRPTv1; rua=mailto:b@example.net")]
    assert codes(diff(wants, have, {"other": "merge"})) == ["MS-DNS-035"]
    # Ours, twice: the surplus goes at once, not in the last phase.
    twice = [ours(name, "TXT", f"v=TLSRPTv1; rua=mailto:{n}@example.com", "tls-rpt") for n in "ab"]
    found = diff(wants, twice, through_phase="policy")
    assert actions(found) == [("delete", "TXT", name, twice[1].content, None)]
    assert "second tls-rpt" in found.changes[0].reason


def test_a_text_of_ours_becomes_another_in_the_last_phase_only() -> None:
    wants = [want(ZONE, "TXT", SPF, role="spf")]
    have = [ours(ZONE, "TXT", "old-verification=1", "verification")]
    assert [a[0] for a in actions(diff(wants, have, through_phase="policy"))] == ["create"]
    assert [a[0] for a in actions(diff(wants, have))] == ["update"]


def test_a_merged_record_that_was_broken_by_hand_is_left_as_it_is() -> None:
    broken = Have(
        ZONE, "TXT", "v=spf1 ip4:oops -all", 300, id="1", comment="mailstead:mailstead:spf merged=abcde theirs"
    )
    found = diff([], [broken])
    assert [(r.content, r.comment) for r in found.after] == [("v=spf1 ip4:oops -all", "theirs")]


def test_a_mark_never_outgrows_the_comment() -> None:
    mark = Mark("mailstead", "spf", tuple(f"{n:05x}" for n in range(30)), "words " * 30)
    text = mark.write(100)
    assert len(text) <= 100
    back = Mark.read(text)
    assert back is not None and back.merged is not None
    assert set(back.merged) <= set(mark.merged or ()) and len(back.merged) >= 10
    assert len(Mark("mailstead", "spf", None, "words " * 30).write(100)) == 100


# -- what the rest of a run needs ------------------------------------------------------------------------------------


def test_published_records_are_those_that_will_be_served_for_the_wanted_ones() -> None:
    spf = theirs(ZONE, "TXT", "v=spf1 include:_spf.google.com ~all")
    alias = want(ZONE, "CNAME", "site.example.net", role="web")
    proxied = theirs("a.example.com", "A", "192.0.2.1", proxied=True)
    wants = [*BASIC, want("a.example.com", "A", "192.0.2.1", role="web"), alias]
    found = diff(wants, [spf, proxied], allow=("proxied_host",))
    shown = {(r.type, r.name, r.content) for r in engine.published(found)}
    # Not the proxied host and not the alias that is flattened: the servers answer otherwise there.
    merged = "v=spf1 ip4:192.0.2.1 include:_spf.google.com ~all"
    assert shown == {("A", HOST, "192.0.2.1"), ("MX", ZONE, f"10 {HOST}"), ("TXT", ZONE, merged)}
    assert [r.type for r in engine.published(found, ["mx"])] == ["MX"]
    assert engine.published(diff(BASIC, [], through_phase="address"), ["mx"]) == []


def test_a_change_tells_what_it_does_as_plain_data() -> None:
    (change,) = diff(BASIC[:1], [ours(HOST, "A", "192.0.2.9")]).changes
    assert change.to_data() == {
        "action": "update",
        "name": HOST,
        "type": "A",
        "before": "192.0.2.9",
        "after": "192.0.2.1",
        "ttl": 3600,
        "fields": ["content"],
        "role": "a",
        "phase": "address",
        "reason": "was 192.0.2.9",
    }
    (made,) = diff(BASIC[:1], []).changes
    (gone,) = diff([], [ours(HOST, "A", "192.0.2.9")]).changes
    assert (made.to_data()["before"], gone.to_data()["after"], made.fields()) == (None, None, ())


def test_wanted_records_are_read_from_plain_data() -> None:
    row = {"name": "X.example.com", "type": "txt", "content": "p", "ttl": "60", "phase": "keys", "role": "dkim"}
    (read,) = wants_from_data([{**row, "deferred": {"kind": "dkim"}, "reason": None}])
    assert (read.type, read.ttl, read.unresolved, read.reason) == ("TXT", 60, True, "")
