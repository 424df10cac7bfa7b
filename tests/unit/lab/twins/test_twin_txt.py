# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""TXT: two spellings in, decoded bytes the same, the documented read-back forms out."""

from __future__ import annotations

import dns.rdata
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.twins.cloudflare.errors import ApiError
from lab.twins.cloudflare.text import format_strings, parse_txt
from tests.unit.lab.twins.conftest import Api, codes

DKIM = "v=DKIM1; k=rsa; p=" + "A" * 392


def decoded(content: str) -> bytes:
    """What DNS serves for content read back from the API, by dnspython and not by the code under test."""
    if not content.startswith('"'):
        return content.encode()
    return b"".join(dns.rdata.from_text("IN", "TXT", content).strings)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("given_text", "back"),
    [
        ("v=spf1 mx -all", "v=spf1 mx -all"),  # unquoted stays unquoted
        ('"v=spf1 mx -all"', '"v=spf1 mx -all"'),
        ('"a" "b"', '"a" "b"'),  # two strings stay two
        ('"a""b"', '"a" "b"'),
        ('"a;b\\;c"', '"a;b;c"'),
        ('"tab\\009"', '"tab\\009"'),
        ('"\\"q\\" \\\\"', '"\\"q\\" \\\\"'),
        ('""', '""'),
        ('"\u00fc"', '"\\195\\188"'),
    ],
)
def test_read_back_forms(api: Api, given_text: str, back: str) -> None:
    assert api.made("TXT", "@", given_text)["content"] == back


def test_long_values_come_back_in_chunks_of_255(api: Api) -> None:
    for name, spelling in (("a", DKIM), ("b", f'"{DKIM}"'), ("c", f'"{DKIM[:100]}" "{DKIM[100:]}"')):
        content = api.made("TXT", name, spelling)["content"]
        assert decoded(content) == DKIM.encode()
    assert api.list("name.exact=a.example.com")[0]["content"] == f'"{DKIM[:255]}" "{DKIM[255:]}"'


def test_long_unquoted_utf_8_comes_back_escaped(api: Api) -> None:
    text = "\u00fc" * 130
    content = api.made("TXT", "a", text)["content"]
    assert content.startswith('"\\195\\188') and decoded(content) == text.encode()


@pytest.mark.parametrize("broken", ['"open', '"a" b', '"\\300"', '"a\\'])
def test_broken_quoting_is_refused(api: Api, broken: str) -> None:
    assert api.create("TXT", "@", broken).status == 400


def test_limits_per_record_and_per_name(api: Api) -> None:
    assert codes(api.create("TXT", "a", "x" * 2049)) == [9015]
    chunks = " ".join(f'"{i}{"x" * 250}"' for i in range(8))
    for i in range(4):
        api.made("TXT", "a", f'"{i}" {chunks}')
    assert codes(api.create("TXT", "a", chunks)) == [83011]
    assert api.create("TXT", "b", chunks).status == 200


def test_the_same_value_in_another_spelling_is_the_same_record(api: Api) -> None:
    api.made("TXT", "@", "v=spf1 -all")
    assert codes(api.create("TXT", "@", '"v=spf1 -all"')) == [81058]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=255), min_size=1, max_size=4))
def test_any_strings_survive_the_round_trip(strings: list[bytes]) -> None:
    text = format_strings(tuple(strings))
    parsed = parse_txt(text)
    assert parsed.strings == tuple(strings)
    assert parsed.content == text
    assert dns.rdata.from_text("IN", "TXT", text).strings == tuple(strings)  # type: ignore[attr-defined]


@settings(max_examples=60, deadline=None)
@given(st.text(min_size=1, max_size=600))
def test_read_back_content_means_what_was_written(text: str) -> None:
    try:
        first = parse_txt(text)
    except ApiError:
        assert text.startswith('"')
        return
    again = parse_txt(first.content)
    assert again.content == first.content
    assert b"".join(again.strings) == b"".join(first.strings)
