# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several providers on one domain: one SPF record, what it costs, and what excludes each other."""

from __future__ import annotations

import random

import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.dns import spf
from ansible_collections.mailstead.stack.plugins.module_utils.providers import mixing
from ansible_collections.mailstead.stack.plugins.module_utils.providers.codes import CODES
from ansible_collections.mailstead.stack.plugins.module_utils.providers.model import (
    Dkim,
    Mx,
    Profile,
    RecordTemplate,
    Spf,
)
from ansible_collections.mailstead.stack.plugins.plugin_utils.profiles import profiles
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.providers.parties import (
    ASKED,
    BELOW,
    DOMAIN,
    HEAVY,
    KEEPER,
    LIGHT,
    OTHER,
    OWNER,
    apex,
    party,
    profile,
)

OWN = ["ip4:192.0.2.9", "ip6:2001:db8::25"]
KEY = "v=DKIM1; k=rsa; p=AbC="


# -- SPF -------------------------------------------------------------------------------------------------------------


def test_addresses_come_first_then_the_cheapest_and_one_all() -> None:
    found = mixing.spf([*OWN, "ip4:192.0.2.10"], [party(HEAVY), party(LIGHT), party(BELOW), party(ASKED)])
    assert found.text == (
        "v=spf1 ip4:192.0.2.9 ip4:192.0.2.10 ip6:2001:db8::25 include:spf.light.example include:spf.heavy.example ~all"
    )
    assert found.lookups == 10 and found.why == "asked for by Heavy"
    assert [(s.term, s.lookups, s.who) for s in found.shares[2:]] == [
        ("ip6:2001:db8::25", 0, (mixing.OURSELVES,)),
        ("include:spf.light.example", 2, ("Light",)),
        ("include:spf.heavy.example", 8, ("Heavy",)),
    ]


def test_measured_costs_go_before_hints() -> None:
    measured = {"include:spf.heavy.example": (1, 0), "include:spf.light.example": (3, 1)}
    found = mixing.spf([], [party(LIGHT), party(HEAVY)], measured)
    assert found.text == "v=spf1 include:spf.heavy.example include:spf.light.example ~all" and found.lookups == 4


def test_an_include_that_two_need_stands_once_and_counts_once() -> None:
    twin = profile("twin", apex("SPF.Light.example.", 3, "-all"))
    found = mixing.spf(["include:spf.light.example"], [party(LIGHT), party(twin)])
    assert found.text == "v=spf1 include:spf.light.example -all" and found.lookups == 3
    assert found.shares[0].who == ("Light", "Twin", mixing.OURSELVES)


def test_who_asks_for_a_soft_end_is_told_in_one_order() -> None:
    soft = [party(profile(name, apex(f"{name}.example", 1))) for name in ("cc", "aa", "dd", "bb")]
    assert mixing.spf([], soft).why == "asked for by Aa and Bb and Cc and Dd"
    assert mixing.spf([], [], closed=False).why == "not every sender is known"


def test_an_optional_include_is_there_when_it_is_asked_for() -> None:
    assert mixing.spf([], [party(ASKED)]).text == "v=spf1 -all"
    assert mixing.spf([], [party(ASKED, authorize=True)]).text == "v=spf1 include:spf.asked.example ~all"


def test_the_hint_of_a_profile_is_for_all_of_its_includes() -> None:
    pair = profile("pair", Spf("apex", ("a.pair.example", "b.{region}.example"), cost_hint=5))
    assert party(pair, (("region", "eu"),)).hints == {"include:a.pair.example": 3, "include:b.eu.example": 2}
    assert party(pair).hints == {"include:a.pair.example": 5}
    dear = profile("dear", Spf("apex", ("a.example", "b.example", "c.example"), cost_hint=1))
    assert mixing.spf([], [party(dear)]).lookups == 3


@pytest.mark.parametrize("term", ["-all", "redirect=a.example", "-ip4:192.0.2.1", "ipv4:192.0.2.1"])
def test_own_terms_are_mechanisms_that_authorise(term: str) -> None:
    with pytest.raises(spf.SpfError):
        mixing.spf([term], [])


ADDRESSES = st.ip_addresses(v=4).map(lambda a: f"ip4:{a}") | st.ip_addresses(v=6).map(lambda a: f"ip6:{a}")
TERMS = st.lists(ADDRESSES | st.sampled_from(["a:mail.example.com", "mx", "a", "include:x.example"]), max_size=6)
SHIPPED = [p for p in profiles() if p.sends or p.mx]
PARTIES = st.lists(
    st.builds(party, st.sampled_from([HEAVY, LIGHT, BELOW, OTHER, ASKED, *SHIPPED]), authorize=st.booleans()),
    max_size=8,
)


@given(TERMS, PARTIES, st.booleans(), st.randoms(use_true_random=False))
def test_the_same_set_in_any_order_gives_the_same_record(
    terms: list[str], parties: list[mixing.Party], closed: bool, rng: random.Random
) -> None:
    found = mixing.spf(terms, parties, closed=closed)
    again_terms, again = [*terms, *terms[:1]], [*parties, *parties[:1]]
    rng.shuffle(again_terms)
    rng.shuffle(again)
    assert mixing.spf(again_terms, again, closed=closed) == found
    record = spf.parse(found.text)
    assert len(set(record.keys())) == len(record.terms) and record.terms[-1] == record.all
    costs = [share.lookups for share in found.shares]
    assert costs == sorted(costs) and found.lookups >= record.lookups
    needed = {key for p in parties if p.at_apex for key in p.includes}
    assert needed <= set(record.keys()) and {spf.parse_term(t).key for t in terms} <= set(record.keys())
    strict = closed and all(p.profile.spf.all == "-all" for p in parties if p.at_apex)
    assert record.terms[-1].key == ("-all" if strict else "~all")


# -- above the limit -------------------------------------------------------------------------------------------------


def test_within_the_limits_there_is_nothing_to_propose() -> None:
    text = mixing.spf(OWN, [party(HEAVY), party(LIGHT)]).text
    assert mixing.proposals(DOMAIN, text, [party(HEAVY), party(LIGHT)]) == ()


def test_proposals_name_sender_and_saving_the_mildest_first() -> None:
    parties = [party(HEAVY, takes_mail=True), party(LIGHT), party(BELOW), party(ASKED, authorize=True)]
    # As merged with a record that somebody wrote by hand.
    text = "v=spf1 mx include:below.example include:spf.light.example include:spf.asked.example include:spf.heavy.example ~all"
    addresses = {"mx": ("ip4:192.0.2.9",)}
    found = mixing.proposals(DOMAIN, text, parties, addresses=addresses)
    assert [(p.kind, p.who, p.saved) for p in found] == [
        ("needless", ("Asked",), 4),
        ("needless", ("Below",), 1),
        ("addresses", (), 1),
        ("subdomain", ("Light",), 2),
        ("pinned", ("Light",), 2),
    ]
    assert "replace mx by ip4:192.0.2.9 (saves 1)" in [str(p) for p in found]
    assert "Light send from a name below example.com" in found[3].text and "without notice" in found[4].text


def test_void_look_ups_alone_are_a_reason_as_well() -> None:
    text = "v=spf1 a:gone.example.com include:spf.light.example ~all"
    measured = {"a:gone.example.com": (1, 2), "include:spf.light.example": (3, 1)}
    found = mixing.proposals(DOMAIN, text, [party(LIGHT)], measured)
    assert [(p.kind, p.term, p.saved, p.voids) for p in found[:2]] == [
        ("gone", "a:gone.example.com", 1, 2),
        ("subdomain", "include:spf.light.example", 3, 1),
    ]
    assert str(found[0]).endswith("(saves 1, 2 void fewer)")
    assert mixing.proposals(DOMAIN, text, [party(LIGHT)]) == ()


def test_two_void_look_ups_are_still_allowed() -> None:
    text = "v=spf1 include:spf.light.example ~all"
    assert mixing.proposals(DOMAIN, text, [party(LIGHT)], {"include:spf.light.example": (9, 2)}) == ()
    assert mixing.proposals(DOMAIN, text, [party(LIGHT)], {"include:spf.light.example": (10, 0)}) == ()
    assert mixing.proposals(DOMAIN, text, [party(LIGHT)], {"include:spf.light.example": (11, 0)}) != ()


def test_what_is_not_there_goes_and_only_includes_are_ever_pinned() -> None:
    terms = [f"a:h{n}.example.com" for n in range(12)]
    measured = {terms[0]: (1, 1), terms[1]: (1, 0)}
    found = mixing.proposals(DOMAIN, "v=spf1 " + " ".join(terms) + " -all", [], measured)
    assert [p.kind for p in found] == ["gone"] + ["addresses"] * 11
    assert mixing.proposals(DOMAIN, "v=spf1 " + " ".join(terms[:10]) + " -all", [], measured) == ()


def test_an_include_of_several_senders_costs_what_the_dearest_says() -> None:
    others = [
        party(profile(name, apex("spf.light.example", cost))) for name, cost in (("zz", 1), ("aa", 11), ("mm", 3))
    ]
    (load,) = mixing.loads("v=spf1 include:SPF.light.example ~all", [*others, party(LIGHT)])
    assert (load.lookups, load.who) == (11, ("Aa", "Light", "Mm", "Zz"))


# -- clashes ---------------------------------------------------------------------------------------------------------


def codes(*parties: mixing.Party, own: list[mixing.Flat] | None = None) -> list[tuple[str, str]]:
    found = mixing.clashes(DOMAIN, parties, own or [])
    assert all(c.code in CODES and c.place and c.what and c.fix for c in found)
    return [(c.code, c.rule) for c in found]


def test_providers_that_get_along() -> None:
    own = [
        (DOMAIN, "MX", "10 mail.example.com"),
        (DOMAIN, "TXT", "v=spf1 include:spf.light.example ~all"),
        (f"_dmarc.{DOMAIN}", "TXT", "v=DMARC1; p=none"),
        (f"202611r._domainkey.{DOMAIN}", "TXT", KEY),
    ]
    assert codes(party(LIGHT), party(BELOW), party(HEAVY), party(OWNER), party(KEEPER), own=own) == []


def test_the_mx_has_one_owner() -> None:
    second = profile("second", mx=(Mx("mx.second.example", 10),))
    assert codes(party(HEAVY, takes_mail=True), party(second)) == []
    assert codes(party(HEAVY, takes_mail=True), party(second, takes_mail=True)) == [("MS-PRO-020", "C1")]
    own = [(DOMAIN, "MX", "10 mail.example.com")]
    assert codes(party(HEAVY, takes_mail=True), own=own) == [("MS-PRO-020", "C1")]
    elsewhere = [(f"news.{DOMAIN}", "MX", "10 mail.example.com"), (DOMAIN, "TXT", "token=1")]
    assert codes(party(HEAVY, takes_mail=True), own=elsewhere) == []
    three = [party(p, takes_mail=True) for p in (HEAVY, second, profile("first", mx=second.mx))]
    (found,) = mixing.clashes(DOMAIN, three)
    assert found.what.startswith("First and Heavy and Second would both") and found.place == "mail_domains[0].second"


@pytest.mark.parametrize("end", ["include:spf.light.example ~all", "include:spf.light.example -all"])
def test_an_spf_record_that_knows_its_senders(end: str) -> None:
    assert codes(party(LIGHT), party(BELOW), own=[(DOMAIN, "TXT", f"v=spf1 {end}")]) == []


@pytest.mark.parametrize(
    ("end", "sender", "words"),
    [
        ("-all", LIGHT, "ends in -all and lacks include:spf.light.example"),
        ("include:spf.light.example -all", HEAVY, "ends in -all and lacks include:spf.heavy.example"),
        ("include:spf.heavy.example -all", HEAVY, "ends in -all and Heavy asks for ~all"),
    ],
)
def test_an_spf_record_that_is_too_strict(end: str, sender: Profile, words: str) -> None:
    own = [(f"bounce.{DOMAIN}", "TXT", "v=spf1 -all"), (DOMAIN, "TXT", f"v=spf1 {end}")]
    (found,) = mixing.clashes(DOMAIN, [party(sender)], own)
    assert (found.code, found.rule, words in found.what) == ("MS-PRO-021", "C6", True)


def test_a_selector_is_one_senders() -> None:
    key = (("key", KEY),)
    assert codes(party(BELOW), party(profile("third", dkim=(Dkim("txt", "s1", "{key}"),)), key)) == [
        ("MS-PRO-022", "C7")
    ]
    third, fourth = (profile(n, dkim=(Dkim("txt", "s2", "{key}"),)) for n in ("third", "fourth"))
    assert codes(party(third, key), party(fourth, key)) == []
    assert codes(party(third, key), party(fourth, (("key", KEY.replace("AbC", "abc")),))) == [("MS-PRO-022", "C7")]
    # The same key with other blanks; and a value nobody has entered yet.
    assert codes(party(third, key), party(fourth, (("key", KEY.replace(" ", "")),))) == []
    assert codes(party(third, key), party(fourth)) == []
    # One as a text, the other as an alias.
    alias = profile("alias", dkim=(Dkim("cname", "s2", "{key}"),))
    assert codes(party(third, (("key", "k.example"),)), party(alias, (("key", "k.example"),))) == [("MS-PRO-022", "C7")]
    own = [(f"s2._domainkey.{DOMAIN}", "CNAME", "K.example.")]
    assert codes(party(alias, (("key", "k.example"),)), own=own) == []
    managed = profile("fifth", dkim=(Dkim("managed", "s2"),))
    assert codes(party(third, key), party(managed)) == [("MS-PRO-022", "C7")]
    assert codes(party(managed), party(managed)) == []
    assert codes(party(third, key), own=[(f"S2._domainkey.{DOMAIN}", "TXT", "v=DKIM1; p=x")]) == [("MS-PRO-022", "C7")]


def test_dmarc_has_one_owner() -> None:
    own = [(f"_dmarc.{DOMAIN}", "TXT", "v=DMARC1; p=none")]
    assert codes(party(KEEPER)) == codes(party(OWNER)) == []
    assert codes(party(KEEPER), party(OWNER)) == [("MS-PRO-023", "C8")]
    assert codes(party(KEEPER), party(OWNER), own=own) == []
    another = profile("another", dmarc=OWNER.dmarc)
    assert codes(party(OWNER), party(another)) == [("MS-PRO-023", "C8")]
    text = profile("text", verification=(RecordTemplate("_dmarc", "TXT", "v=DMARC1; p=reject"),))
    assert codes(party(text), own=own) == [("MS-PRO-023", "C8")]
    assert codes(party(text), own=[(f"_dmarc.{DOMAIN}", "TXT", "v=DMARC1;p=reject")]) == []
    keepers = [party(profile(name, dmarc=KEEPER.dmarc)) for name in ("cc", "aa", "bb")]
    (found,) = mixing.clashes(DOMAIN, keepers)
    assert "Aa and Bb and Cc each keep" in found.what and found.place == "mail_domains[0].cc"


def test_return_paths_have_one_owner() -> None:
    alone = profile("alone", return_path=OTHER.return_path)
    assert codes(party(BELOW), party(alone)) == [("MS-PRO-024", "C8")]
    assert codes(party(alone), own=[(f"bounce.{DOMAIN}", "A", "192.0.2.1")]) == [("MS-PRO-024", "C8")]
    assert codes(party(alone), party(profile("equal", return_path=OTHER.return_path))) == []
    mx = profile("mx", return_path=(RecordTemplate("bounce", "MX", "10 mx.example.net"),))
    assert codes(party(BELOW), party(mx)) == [("MS-PRO-024", "C1")]
    text = profile("text", return_path=(RecordTemplate("bounce", "TXT", "v=spf1 a -all"),))
    assert codes(party(BELOW), party(text)) == [("MS-PRO-024", "C3")]
    assert codes(party(text), own=[(f"bounce.{DOMAIN}", "TXT", "v=spf1 a -all")]) == []
    pairs = [
        (RecordTemplate("bounce", "MX", f"10 mx{n}.example.net"), RecordTemplate("bounce", "TXT", f"t={n}"))
        for n in (1, 2)
    ]
    first, second = (
        profile("first", return_path=pairs[0] + pairs[1][:1]),
        profile("second", return_path=pairs[1] + pairs[0][:1]),
    )
    assert codes(party(first), party(second)) == []
    assert codes(party(first), party(profile("third", return_path=pairs[1]))) == [("MS-PRO-024", "C1")]
    # A name that nobody has entered yet is not the domain itself, and neither is a value that is missing.
    nameless = profile("nameless", return_path=(RecordTemplate("{label}", "CNAME", "t.example"),))
    assert codes(party(nameless), own=[(DOMAIN, "TXT", "token=1")]) == []
    later = profile("later", return_path=(RecordTemplate("bounce", "CNAME", "{target}"),))
    assert codes(party(BELOW), party(later)) == []
    assert codes(party(BELOW), party(later, (("target", "t.example"),))) == [("MS-PRO-024", "C8")]
    # Where it is not known who declared what, the domain is named; of the owners, only a provider can choose another name.
    (found,) = mixing.clashes(DOMAIN, [mixing.Party(alone)], [(f"bounce.{DOMAIN}", "A", "192.0.2.1")])
    assert found.place == DOMAIN and found.fix.startswith("choose another name at Alone, as")
    several = [
        party(profile(n, return_path=(RecordTemplate("bounce", "CNAME", f"{n}.example"),))) for n in ("cc", "aa", "bb")
    ]
    (found,) = mixing.clashes(DOMAIN, several)
    assert found.what.startswith("Aa and Bb and Cc want") and "at Aa or Bb or Cc, as" in found.fix
    # Tokens of several stand side by side.
    one, two = (profile(n, verification=(RecordTemplate("", "TXT", f"{n}=token"),)) for n in ("one", "two"))
    assert codes(party(one), party(two)) == []


def test_mail_programs_are_led_to_whoever_takes_the_mail() -> None:
    one, two = (
        profile(n, client_names=(RecordTemplate("autoconfig", "CNAME", f"{n}.example"),)) for n in ("one", "two")
    )

    def led(*parties: mixing.Party) -> list[str]:
        return [record.value for _party, record in mixing.records_of(parties)]

    assert (
        led(party(one, takes_mail=True), party(two)) == led(party(two), party(one, takes_mail=True)) == ["one.example"]
    )
    assert codes(party(one, takes_mail=True), party(two)) == []
    # Where whoever takes it has no such names, those of a sender do; two senders would have to agree.
    assert led(party(HEAVY, takes_mail=True), party(two)) == ["two.example"]
    assert codes(party(one), party(two)) == [("MS-PRO-024", "C8")]
