# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Record data by meaning: canonical spellings, TXT in all its forms."""

from __future__ import annotations

import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.dns import rdata
from hypothesis import given, settings
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("rtype", "given_as", "canonical"),
    [
        ("A", " 192.0.2.1 ", "192.0.2.1"),
        ("AAAA", "2001:DB8:0:0::1", "2001:db8::1"),
        ("AAAA", "2001:0db8:0000:0000:0000:0000:0000:0001", "2001:db8::1"),
        ("MX", "010  Mail.Example.COM.", "10 mail.example.com"),
        ("MX", "0 .", "0 ."),
        ("CNAME", "Host.Example.", "host.example"),
        ("CNAME", "bücher.example", "xn--bcher-kva.example"),
        ("SRV", "0 1 465 Mail.example.com.", "0 1 465 mail.example.com"),
        ("SRV", "0 0 0 .", "0 0 0 ."),
        ("TLSA", "3 1 1 AB CD", "3 1 1 abcd"),
        ("CAA", "0 ISSUE letsencrypt.org", '0 issue "letsencrypt.org"'),
        ("CAA", '0 issue "a.example; accounturi=https://x/1"', '0 issue "a.example; accounturi=https://x/1"'),
        ("CAA", '0 issuewild ";"', '0 issuewild ";"'),
        ("HTTPS", '1 . port=443 alpn="h2,h3"', "1 . alpn=h2,h3 port=443"),
        ("URI", "10 1 https://x.example/", '10 1 "https://x.example/"'),
        ("SSHFP", "4 2 ABcd", "4 2 abcd"),
        ("DS", "60485 5 1 2BB1 83AF", "60485 5 1 2bb183af"),
        ("LOC", "52  22 23.000 N", "52 22 23.000 N"),
        ("SVCB", '1 svc.example. key65333="a b" mandatory=alpn', '1 svc.example key65333="a b" mandatory=alpn'),
    ],
)
def test_spellings_of_one_value_have_one_canonical_form(rtype: str, given_as: str, canonical: str) -> None:
    assert rdata.canonical(rtype, given_as) == canonical
    assert rdata.canonical(rtype, canonical) == canonical


@pytest.mark.parametrize(
    ("rtype", "content"),
    [
        ("A", "192.0.2.256"),
        ("A", "mail.example.com"),
        ("AAAA", "192.0.2.1"),
        ("MX", "mail.example.com"),
        ("MX", "10 192.0.2.1"),
        ("MX", "70000 mail.example.com"),
        ("MX", "10 ma il.example.com"),
        ("CNAME", "-x.example"),
        ("SRV", "0 1 465"),
        ("TLSA", "3 1 1 xyz"),
        ("TLSA", "3 1 1"),
        ("CAA", '0 issue "unfinished'),
        ("CAA", "0 is-sue x"),
        ("AAAA", "fe80::1%eth0"),
        ("HTTPS", "1"),
        ("CNAME", "stra\u00dfe.example"),
        ("CNAME", "\u2603\ufffd.example"),
        ("CNAME", "192.0.2.1"),
    ],
)
def test_what_is_no_data_of_its_type_is_refused(rtype: str, content: str) -> None:
    with pytest.raises(rdata.RdataError):
        rdata.canonical(rtype, content)


@pytest.mark.parametrize(
    ("rtype", "text", "content"),
    [
        ("MX", "010 Mail.Example.com.", "10 mail.example.com"),
        ("MX", r"10 a\032b.example.com.", r"10 a\032b.example.com"),
        ("SRV", "0 1 465 -x.example.com.", "0 1 465 -x.example.com"),
        ("PTR", "1.2.3.4.", "1.2.3.4"),
        ("CAA", "0 issue", "0 issue"),
    ],
)
def test_what_a_server_tells_is_taken_as_it_is_and_can_be_written_again(rtype: str, text: str, content: str) -> None:
    assert rdata.told(rtype, text) == content
    assert rdata.told(rtype, rdata.presentation(rtype, content)) == content


def test_names_and_zones_are_compared_by_labels() -> None:
    assert rdata.name("_DMARC.Example.com.") == "_dmarc.example.com"
    assert rdata.name("*._domainkey.example.com") == "*._domainkey.example.com"
    assert rdata.within("a.example.com", "example.com") and rdata.within("example.com", "example.com")
    assert not rdata.within("badexample.com", "example.com")
    for bad in ("", "a..b", "x" * 64 + ".example", "a b.example", "a.*.example", ".".join(["abcdefgh"] * 30)):
        with pytest.raises(rdata.RdataError):
            rdata.name(bad)


DKIM = "v=DKIM1; k=rsa; p=" + "A" * 392


@pytest.mark.parametrize(
    "spelling",
    [
        DKIM,
        f'"{DKIM}"',
        f'"{DKIM[:255]}" "{DKIM[255:]}"',
        f'"{DKIM[:100]}""{DKIM[100:101]}"\t"{DKIM[101:]}"',
        '"' + DKIM.replace(";", "\\;").replace("=", "\\061") + '"',
    ],
)
def test_txt_is_the_same_however_it_is_quoted_divided_or_escaped(spelling: str) -> None:
    assert rdata.txt_decode(spelling) == DKIM


def test_txt_that_only_looks_quoted_stands_for_itself() -> None:
    for text in ('"open', '"a" b', '"a\\', "plain \\059 text", 'a "b"'):
        assert rdata.txt_decode(text) == text


def test_presentation_dots_targets_and_quotes_texts() -> None:
    assert rdata.presentation("MX", "10 mail.example.com") == "10 mail.example.com."
    assert rdata.presentation("SRV", "0 0 0 .") == "0 0 0 ."
    assert rdata.presentation("CNAME", "a.example") == "a.example."
    assert rdata.presentation("TXT", 'say "hi" \\') == '"say \\"hi\\" \\\\"'
    assert rdata.presentation("TXT", DKIM) == f'"{DKIM[:255]}" "{DKIM[255:]}"'


@settings(max_examples=80)
@given(st.binary(max_size=700))
def test_any_bytes_survive_quoting(raw: bytes) -> None:
    text = rdata.from_bytes(raw)
    quoted = rdata.txt_quote(text)
    assert rdata.txt_decode(quoted) == text
    assert quoted.isascii()
    assert rdata.to_bytes(text) == raw
