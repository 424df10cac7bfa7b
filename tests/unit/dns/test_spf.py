# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SPF as terms: reading, comparing, merging without losing a mechanism."""

from __future__ import annotations

import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.dns import spf, spf_merge
from ansible_collections.mailstead.stack.plugins.module_utils.dns.records import term_hash
from hypothesis import given, settings
from hypothesis import strategies as st

OURS = "v=spf1 ip4:192.0.2.1 -all"


@pytest.mark.parametrize(
    ("theirs", "merged", "added"),
    [
        ("v=spf1 include:_spf.google.com ~all", "v=spf1 ip4:192.0.2.1 include:_spf.google.com ~all", 1),
        # Everything of ours is there already, in another spelling: not a byte changes.
        ("v=spf1 +IP4:192.0.2.1/32   a -all", "v=spf1 +IP4:192.0.2.1/32   a -all", 0),
        # The laxer end wins, and a record without an end is neutral.
        ("v=spf1 mx", "v=spf1 ip4:192.0.2.1 mx ?all", 1),
        ("v=spf1 a:old.example ?all", "v=spf1 ip4:192.0.2.1 a:old.example ?all", 1),
        # Redirect keeps its effect: no "all" is put before it.
        ("v=spf1 redirect=_spf.example.net", "v=spf1 ip4:192.0.2.1 redirect=_spf.example.net", 1),
        ("v=spf1 mx redirect=x.example -all", "v=spf1 ip4:192.0.2.1 mx -all", 1),
        # Modifiers stay; an unknown one too (RFC 7208 §6).
        ("v=spf1 mx -all exp=why.example x-y=1", "v=spf1 ip4:192.0.2.1 mx -all exp=why.example x-y=1", 1),
    ],
)
def test_merging_keeps_every_mechanism(theirs: str, merged: str, added: int) -> None:
    result = spf_merge.merge(OURS, [theirs])
    assert result.text == merged
    assert len(result.added) == added
    assert spf_merge.merge(OURS, [result.text]).text == result.text


def test_two_records_of_theirs_become_one() -> None:
    result = spf_merge.merge(
        OURS, ["v=spf1 mx include:a.example -all", "v=spf1 include:b.example mx redirect=c.example"]
    )
    assert result.text == "v=spf1 ip4:192.0.2.1 mx include:a.example include:b.example include:c.example -all"
    assert spf.parse(result.text).lookups == 4


def test_our_terms_can_be_taken_out_again() -> None:
    theirs = "v=spf1 include:_spf.google.com ~all"
    result = spf_merge.merge("v=spf1 ip4:192.0.2.1 ip6:2001:db8::1 -all", [theirs])
    hashes = [term_hash(k) for k in result.added]
    assert spf_merge.without(result.text, hashes, term_hash) == theirs


def test_look_ups_are_counted_per_term() -> None:
    text = "v=spf1 a mx include:x ptr exists:%{i}.x ip4:192.0.2.0/24 ip6:2001:db8::/32 -all"
    assert spf.parse(text).lookups == 5
    assert spf.parse("v=spf1 redirect=x").lookups == 1
    assert spf.parse("v=spf1 redirect=x -all").lookups == 0


@pytest.mark.parametrize(
    "text",
    [
        "v=spf1 ipv4:192.0.2.1",
        "v=spf1 ip4:2001:db8::1",
        "v=spf1 ip4",
        "v=spf1 include:",
        "v=spf1 all:x",
        "v=spf2 -all",
        "v=spf1 redirect=",
        "v=spf1 ip4:300.1.1.1",
        "v=spf1 include:b\u00fccher.example",
        "v=spf1 a/33 -all",
        "v=spf1 mx//129 -all",
        "v=spf1 include:x.example/24 -all",
        "v=spf1 a_b -all",
        "v=spf1 : -all",
        "v=spf1 redirect -all",
        "v=spf1 redirect=a redirect=b",
    ],
)
def test_what_is_no_spf_is_refused(text: str) -> None:
    with pytest.raises(spf.SpfError):
        spf.parse(text)


def test_spellings_of_a_term_are_one() -> None:
    pairs = [
        ("A:Host.Example.", "+a:host.example/32"),
        ("mx//128", "mx"),
        ("ip4:192.0.2.1/32", "ip4:192.0.2.1"),
        ("ip6:2001:DB8:0::1", "ip6:2001:db8::1/128"),
        ("include:X.example", "include:x.example."),
        ("redirect=X.example", "redirect=x.example"),
    ]
    assert all(spf.parse_term(a).key == spf.parse_term(b).key for a, b in pairs)
    # The case of a macro's letter means something.
    assert spf.parse_term("exists:%{L}.x").key != spf.parse_term("exists:%{l}.x").key
    assert spf.parse_term("a:%{d1r/}.x/24").prefix4 == 24


@pytest.mark.parametrize(
    ("ours", "theirs", "merged"),
    [
        # What stands behind their "all" authorises nobody today and goes on doing so.
        (OURS, "v=spf1 mx -all include:old.example ~all", "v=spf1 ip4:192.0.2.1 mx -all include:old.example ~all"),
        ("v=spf1 mx -all ip4:192.0.2.1", "v=spf1 a -all", "v=spf1 mx a -all"),
        (OURS, "v=spf1 mx -all ip4:192.0.2.1", "v=spf1 ip4:192.0.2.1 mx -all ip4:192.0.2.1"),
        # Our refusals come last: they must not refuse what theirs lets pass.
        ("v=spf1 -ip4:198.51.100.1 mx -all", "v=spf1 ip4:198.51.100.0/24 ~all",
         "v=spf1 mx ip4:198.51.100.0/24 -ip4:198.51.100.1 ~all"),
        ("v=spf1 redirect=x.example", "v=spf1 mx redirect=y.example",
         "v=spf1 include:x.example mx include:y.example ~all"),
        ("v=spf1 redirect=x.example", "v=spf1 mx include:x.example -all", "v=spf1 mx include:x.example -all"),
        ("v=spf1 redirect=x.example", "v=spf1 mx redirect=x.example", "v=spf1 mx redirect=x.example"),
        ("v=spf1 redirect=x.example", "v=spf1 mx -all", "v=spf1 include:x.example mx -all"),
    ],
)  # fmt: skip
def test_a_merge_authorises_what_either_did_and_nothing_dead(ours: str, theirs: str, merged: str) -> None:
    result = spf_merge.merge(ours, [theirs])
    assert result.text == merged
    assert spf_merge.merge(ours, [result.text]).text == merged
    base = spf_merge.without(merged, [term_hash(k) for k in result.added], term_hash)
    assert spf_merge.merge(ours, [base]).text == merged


def test_of_two_explanations_the_first_stays() -> None:
    result = spf_merge.merge(OURS, ["v=spf1 mx exp=a.example x=1 -all", "v=spf1 exp=b.example x=2 redirect=r.example"])
    assert result.text == "v=spf1 ip4:192.0.2.1 mx include:r.example -all exp=a.example x=1 x=2"


TERMS = [
    "a",
    "mx",
    "-mx",
    "include:a.example",
    "include:b.example",
    "ip4:192.0.2.1",
    "ip4:192.0.2.0/24",
    "~a:c.example",
    "ip6:2001:db8::1",
    "exists:%{i}.d.example",
    "x-own=1",
]
RECORDS = st.builds(
    lambda terms, end: " ".join(["v=spf1", *terms, *end]),
    st.lists(st.sampled_from(TERMS), unique=True, max_size=6),
    st.sampled_from([[], ["-all"], ["~all"], ["?all"], ["redirect=r.example"]]),
)


@settings(max_examples=80)
@given(RECORDS, st.lists(RECORDS, min_size=1, max_size=3))
def test_a_merge_is_complete_stable_and_reversible(ours: str, theirs: list[str]) -> None:
    result = spf_merge.merge(ours, theirs)
    merged = spf.parse(result.text)
    kept = set(merged.keys())
    for text in (ours, *theirs):
        for term in spf.parse(text).terms:
            if term.name not in ("all", "redirect") and (text != ours or not term.modifier):
                assert term.key in kept, (ours, theirs, result.text)
    assert len(merged.keys()) == len(kept)
    assert spf_merge.merge(ours, [result.text]).text == result.text
    if len(theirs) == 1:
        # Taking our terms out again and merging once more is the same record: a later run changes nothing.
        base = spf_merge.without(result.text, [term_hash(k) for k in result.added], term_hash)
        assert spf_merge.merge(ours, [base]).text == result.text
