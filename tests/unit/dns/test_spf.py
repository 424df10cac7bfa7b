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
        "v=spf1 redirect=a redirect=b",
    ],
)
def test_what_is_no_spf_is_refused(text: str) -> None:
    with pytest.raises(spf.SpfError):
        spf.parse(text)


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
