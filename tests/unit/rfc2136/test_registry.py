# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The list of owners: its notation, and what ownership follows and what it does not."""

from __future__ import annotations

import dataclasses

import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.dns.records import Have, Mark
from ansible_collections.mailstead.stack.plugins.module_utils.rfc2136.registry import (
    Entry,
    digest,
    entry_of,
    owners,
    shared_ttl,
)
from hypothesis import given
from hypothesis import strategies as st

ZONE = "example.com"
MARK = Mark("mailstead", "host")
HOST = Entry(MARK, "A", "mail.example.com", 3600, digest(b"1"))
SPF = Entry(Mark("mailstead", "spf", ("0a1b2", "c3d4e")), "TXT", ZONE, 300, digest(b"v=spf1"))


def have(content: str, name: str = "mail.example.com", rtype: str = "A", comment: str = "") -> Have:
    return Have(name, rtype, content, 3600, id=f"{rtype} {name} {content}", comment=comment)


def claimed(entries: list[Entry], *records: Have) -> dict[str, Entry]:
    """By content; the hash of a record is that of its content."""
    found = owners(entries, records, {r.id: digest(r.content.encode()) for r in records})
    return {r.content: found[r.id] for r in records if r.id in found}


def test_an_entry_is_the_mark_and_where_it_belongs() -> None:
    assert HOST.write(ZONE) == f"mailstead:mailstead:host A mail 3600 {HOST.digest}"
    assert SPF.write(ZONE) == f"mailstead:mailstead:spf merged=0a1b2,c3d4e TXT @ 300 {SPF.digest}"
    assert HOST.comment == "mailstead:mailstead:host"


NAMES = st.sampled_from([ZONE, "mail.example.com", "_25._tcp.mail.example.com", "*.example.com", "a\\032b.example.com"])
WORDS = st.text("abcdefghijklmnopqrstuvwxyz0123456789-_.", min_size=1, max_size=30)
HASHES = st.none() | st.lists(st.text("0123456789abcdef", min_size=5, max_size=5), max_size=30).map(tuple)


@given(
    st.builds(Mark, WORDS, WORDS, HASHES),
    st.sampled_from(["A", "TXT", "TYPE65280"]),
    NAMES,
    st.integers(0, 2**31 - 1),
    st.binary(),
)
def test_every_entry_can_be_read_back(mark: Mark, rtype: str, name: str, ttl: int, wire: bytes) -> None:
    entry = Entry(mark, rtype, name, ttl, digest(wire))
    assert Entry.read(entry.write(ZONE), ZONE) == entry


@pytest.mark.parametrize(
    "text",
    [
        "",
        "google-site-verification=abc",
        "v=spf1 -all",
        "mailstead:mailstead:host",
        "mailstead:mailstead:host A mail 3600",
        "mailstead:mailstead:host A mail soon 0123456789ab",
        "mailstead:mailstead:host A mail 3600 0123",
        pytest.param(f"mailstead:mailstead:host A mail {'9' * 5000} 0123456789ab", id="no time to live"),
        "mailstead:mailstead:host by hand A mail 3600 0123456789ab",
        "somebody:else:host A mail 3600 0123456789ab",
    ],
)
def test_any_other_text_is_somebody_elses(text: str) -> None:
    assert Entry.read(text, ZONE) is None


def test_the_users_words_are_not_kept_and_records_without_a_mark_not_noted() -> None:
    record = have("1", comment="mailstead:mailstead:host do not touch")
    assert entry_of(record, b"1") == HOST
    assert entry_of(have("1", comment="do not touch"), b"1") is None


def test_ours_is_the_value_that_was_written() -> None:
    entries = [HOST]
    assert claimed(entries, have("1"), have("2")) == {"1": HOST}
    assert claimed(entries, have("2")) == {}
    assert claimed(entries, have("1", name="www.example.com"), have("1", rtype="TXT")) == {}


def test_a_merged_record_is_followed_while_there_is_one_of_its_kind() -> None:
    changed = have("v=spf1 include:x.example ~all", ZONE, "TXT")
    other = have("google-site-verification=abc", ZONE, "TXT")
    assert claimed([SPF], changed, other) == {changed.content: SPF}
    assert claimed([SPF], changed, have("v=spf1 -all", ZONE, "TXT")) == {}
    assert claimed([SPF], other) == {}
    exact = have("v=spf1", ZONE, "TXT")
    assert claimed([SPF], exact, changed) == {"v=spf1": SPF}
    whole = dataclasses.replace(SPF, mark=Mark("mailstead", "spf"))
    assert claimed([whole], changed) == {}


def test_of_two_claims_one_counts_whatever_their_order() -> None:
    twin = dataclasses.replace(HOST, mark=Mark("berlin", "host"))
    assert claimed([HOST, twin], have("1")) == claimed([twin, HOST], have("1")) == {"1": twin}


@pytest.mark.parametrize(
    ("wanted", "others", "present", "expected"),
    [
        ([3600, 300], False, None, 300),
        ([3600], False, 86400, 3600),
        ([3600], True, 86400, 86400),
        ([], True, 86400, 86400),
        ([600], True, None, 600),
    ],
)
def test_one_time_to_live_for_a_set(wanted: list[int], others: bool, present: int | None, expected: int) -> None:
    assert shared_ttl(wanted, others, present) == expected
