# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From changes to the UPDATE message: what is required, what is deleted, what is added; and zones read from transfers."""

from __future__ import annotations

import dns.message
import dns.name
import dns.update
import dns.zone
import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.dns import rdata
from ansible_collections.mailstead.stack.plugins.module_utils.dns.records import Change, Have
from ansible_collections.mailstead.stack.plugins.module_utils.rfc2136.sets import (
    Contents,
    GoneError,
    apply,
    impossible,
    make_item,
    read_contents,
)
from ansible_collections.mailstead.stack.plugins.module_utils.rfc2136.update import all_fit, build, fits, oversized

HEAD = """
@ 3600 SOA ns1 hostmaster 1 2 3 4 5
@ 3600 NS NS1.example.net.
@ 3600 NS ns2.example.net.
@ 3600 DNSKEY 257 3 13 mdsswUyr3DPW132mOi8V9xESWE8jTo0dxCjjnopKl+GqJxpVXckHAeF+KkxLbxILfDLUT0rAK9iUzy1L53eKGQ==
@ 0 CDS 370 13 2 BE74359954660069D5C63D200C39F5603827D7DD02B56F120EE9F3A86764247C
@ 3600 NSEC mail A NS SOA RRSIG NSEC DNSKEY
"""
MARK = "mailstead:mailstead:host"


def contents(text: str = "") -> Contents:
    zone = dns.zone.from_text(HEAD + text, "example.com.", relativize=False, check_origin=False)
    return read_contents("example.com", zone.iterate_rdatas())


def have(zone: Contents, name: str, rtype: str, content: str = "") -> Have:
    (found,) = [
        r.have
        for r in zone.records.values()
        if (r.have.name, r.have.type) == (name, rtype) and content in (r.have.content, "")
    ]
    return found


def create(name: str, rtype: str, content: str, ttl: int = 3600, comment: str = MARK) -> Change:
    return Change("create", None, Have(name, rtype, content, ttl, comment=comment), "")


def sections(before: Contents, *batch: Change) -> tuple[list[str], list[str]]:
    """(prerequisites, updates) as text after a trip over the wire; the list of owners is left out."""
    parsed = dns.message.from_wire(build(before, apply(before, batch)).to_wire())
    assert isinstance(parsed, dns.update.UpdateMessage)

    def lines(section: list[dns.rrset.RRset]) -> list[str]:
        found = [line for rrset in section for line in rrset.to_text().splitlines()]
        return [line for line in found if not line.startswith("_mailstead")]

    return lines(parsed.prerequisite), lines(parsed.update)


# -- reading ---------------------------------------------------------------------------------------------------------


def test_what_the_server_makes_is_left_out() -> None:
    zone = contents("sub NS ns1.sub\nmail 300 A 198.18.1.1\n")
    assert zone.name_servers == ("ns1.example.net", "ns2.example.net")
    assert set(zone.sets) == {("sub.example.com", "NS"), ("mail.example.com", "A")}


def test_addresses_of_servers_elsewhere_are_none_of_the_zones() -> None:
    glue = (dns.name.from_text("ns1.example.net"), 300, make_item("A", "198.18.1.1"))
    assert read_contents("example.com", [glue]).sets == {}


def test_records_are_read_in_canonical_form() -> None:
    zone = contents(
        'MAIL 300 AAAA 2001:2:0:0::1\nmail CAA 0 issue "x"\nt TXT "two" " parts"\nm MX 10 Mail\n'
        "x TYPE65280 \\# 2 abcd\np PTR 1.2.3.4.\n_s._tcp SRV 0 0 0 .\n"
    )
    found = {(r.have.name.split(".")[0], r.have.type, r.have.content) for r in zone.records.values()}
    assert found == {
        ("mail", "AAAA", "2001:2::1"),
        ("mail", "CAA", '0 issue "x"'),
        ("t", "TXT", "two parts"),
        ("m", "MX", "10 mail.example.com"),
        ("x", "TYPE65280", "\\# 2 abcd"),
        ("p", "PTR", "1.2.3.4"),  # no host name: in the DNS's own words it equals nothing we want
        ("_s", "SRV", "0 0 0 ."),
    }


def test_the_list_of_owners_becomes_marks_and_is_itself_no_record() -> None:
    before = contents("mail 300 A 198.18.1.1\nmail 300 A 198.18.1.2\n_mailstead TXT note\n")
    after = apply(before, [create("mail.example.com", "A", "198.18.1.3")])
    assert [(r.have.content, r.have.comment) for r in after.records.values() if r.have.type == "A"] == [
        ("198.18.1.1", ""),
        ("198.18.1.2", ""),
        ("198.18.1.3", MARK),
    ]
    assert have(after, "_mailstead.example.com", "TXT").content == "note"
    assert [e.place for e in after.entries.values()] == [("A", "mail.example.com")]


# -- the message -----------------------------------------------------------------------------------------------------


def test_a_new_set_must_not_exist_yet_nor_an_alias_at_its_name() -> None:
    assert sections(contents(), create("mail.example.com", "A", "198.18.1.1")) == (
        ["mail.example.com. NONE A", "mail.example.com. NONE CNAME"],
        ["mail.example.com. 3600 IN A 198.18.1.1"],
    )


def test_a_set_that_changes_must_be_as_it_was() -> None:
    zone = contents("mail 300 A 198.18.1.1\nmail 300 A 198.18.1.2\n")
    gone = Change("delete", have(zone, "mail.example.com", "A", "198.18.1.1"), None, "")
    assert sections(zone, gone) == (
        [
            "mail.example.com. 0 IN A 198.18.1.1",
            "mail.example.com. 0 IN A 198.18.1.2",
            "mail.example.com. NONE CNAME",
        ],
        ["mail.example.com. 0 NONE A 198.18.1.1"],
    )
    update = Change("update", gone.before, Have("mail.example.com", "A", "198.18.1.3", 300), "")
    assert sections(zone, update)[1] == [
        "mail.example.com. 0 NONE A 198.18.1.1",
        "mail.example.com. 300 IN A 198.18.1.3",
    ]


def test_a_set_with_another_time_to_live_is_written_anew() -> None:
    zone = contents("mail 300 A 198.18.1.1\n")
    before = have(zone, "mail.example.com", "A")
    longer = Change("update", before, Have(before.name, "A", before.content, 600, before.id, MARK), "")
    assert sections(zone, longer)[1] == ["mail.example.com. ANY A", "mail.example.com. 600 IN A 198.18.1.1"]


def test_a_name_that_becomes_an_alias_is_emptied_first_and_nobody_may_have_added_to_it() -> None:
    zone = contents("www 300 A 198.18.1.1\n")
    gone = Change("delete", have(zone, "www.example.com", "A"), None, "")
    required, updates = sections(zone, gone, create("www.example.com", "CNAME", "mail.example.com"))
    assert updates == ["www.example.com. ANY ANY", "www.example.com. 3600 IN CNAME mail.example.com."]
    assert {"www.example.com. 0 IN A 198.18.1.1", "www.example.com. NONE TXT"} <= set(required)


def test_an_alias_that_becomes_an_address() -> None:
    zone = contents("www 300 CNAME mail\n")
    gone = Change("delete", have(zone, "www.example.com", "CNAME"), None, "")
    assert sections(zone, gone, create("www.example.com", "A", "198.18.1.1"))[1] == [
        "www.example.com. ANY CNAME",
        "www.example.com. 3600 IN A 198.18.1.1",
    ]


def test_what_stays_keeps_its_spelling() -> None:
    zone = contents('@ 300 TXT "in" "two parts"\n')
    required, updates = sections(zone, create("example.com", "TXT", "v=spf1 -all"))
    assert 'example.com. 0 IN TXT "in" "two parts"' in required
    assert updates == ['example.com. 300 IN TXT "v=spf1 -all"']
    adopted = have(zone, "example.com", "TXT")
    changed = Change("update", adopted, Have(adopted.name, "TXT", adopted.content, 300, adopted.id, MARK), "")
    assert sections(zone, changed) == ([], [])
    assert len(apply(zone, [changed]).entries) == 1


def test_only_entries_of_the_records_concerned_and_our_stale_ones_leave_the_list() -> None:
    zone = contents()
    for name, comment in (("a", MARK), ("b", MARK), ("c", "mailstead:berlin:host"), ("d", "mailstead:berlin:host")):
        zone = apply(zone, [create(f"{name}.example.com", "A", "198.18.1.1", comment=comment)])
    # Somebody deletes b and d by hand.
    zone = Contents(zone.zone, {o: s for o, s in zone.sets.items() if o[0][0] not in "bd"}, zone.name_servers)
    zone = apply(zone, [Change("delete", have(zone, "a.example.com", "A"), None, "")])
    assert sorted(e.name for e in zone.entries.values()) == ["c.example.com", "d.example.com"]


# -- what cannot be --------------------------------------------------------------------------------------------------


def test_a_record_that_is_not_there_any_more() -> None:
    zone = contents("mail 300 A 198.18.1.1\n")
    gone = Change("delete", have(zone, "mail.example.com", "A"), None, "")
    with pytest.raises(GoneError, match=r"A mail\.example\.com"):
        apply(contents("mail 300 A 198.18.1.2\n"), [gone])


def test_aliases_that_the_dns_excludes() -> None:
    top = apply(contents(), [create("example.com", "CNAME", "mail.example.net")])
    assert impossible(top, ["example.com", "mail.example.com"])[0][0] == "example.com"
    beside = apply(contents("www TXT note\n"), [create("www.example.com", "CNAME", "mail.example.net")])
    assert "beside TXT" in impossible(beside, ["www.example.com"])[0][1]
    two = apply(contents("www CNAME a\n"), [create("www.example.com", "CNAME", "b.example.com")])
    assert "another CNAME" in impossible(two, ["www.example.com"])[0][1]
    assert impossible(contents("www CNAME a\n"), ["www.example.com"]) == []


def test_data_that_is_none() -> None:
    with pytest.raises(rdata.RdataError, match="NAPTR"):
        make_item("NAPTR", "rubbish")
    with pytest.raises(rdata.RdataError):
        make_item("NOSUCHTYPE", "x")


def test_a_set_that_could_not_be_signed() -> None:
    many = [create("t.example.com", "TXT", f"{n} " + "x" * 1900) for n in range(35)]
    small, large = apply(contents(), many[:30]), apply(contents(), many)
    assert oversized(contents(), small) == []
    assert oversized(contents(), large) == [("t.example.com", "TXT")]
    assert oversized(large, small) == []


def test_a_message_has_64_kilobytes() -> None:
    zone = contents()
    many = [create(f"h{n}.example.com", "TXT", f"{n}" + "x" * 1900, 300) for n in range(60)]
    assert not fits(build(zone, apply(zone, many)))
    assert all_fit(zone, [many[:20], many[20:40], many[40:]]) and not all_fit(zone, [many[:1], many[1:]])
