# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mail policies in TXT records: kinds, keys, report addresses."""

from __future__ import annotations

import base64

import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.dns.policies import (
    DmarcError,
    dkim_problem,
    dmarc_merge,
    dmarc_without,
    kind_of,
    report_addresses,
    rsa_bits,
)
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

NAME = "_dmarc.example.com"


@pytest.mark.parametrize(
    ("name", "rtype", "content", "kind"),
    [
        ("example.com", "TXT", "V=SPF1 -ALL", "spf"),
        ("example.com", "TXT", "v=spf1", "spf"),
        ("example.com", "TXT", "v=spf10 -all", ""),
        ("x._domainkey.example.com", "TXT", "p=", "dkim"),
        (NAME, "TXT", "v=DMARC1", "dmarc"),
        (NAME, "TXT", "v = dmarc1 ; p=none", "dmarc"),
        (NAME, "TXT", "v=DMARC10; p=none", ""),
        (NAME, "TXT", "p=none; v=DMARC1", ""),
        ("_mta-sts.example.com", "TXT", "v=STSv1; id=1", "mta-sts"),
        ("_smtp._tls.example.com", "TXT", "v=TLSRPTv1;rua=mailto:a@b", "tls-rpt"),
        ("example.com", "A", "v=spf1", ""),
    ],
)
def test_kinds_are_told_by_version_and_name(name: str, rtype: str, content: str, kind: str) -> None:
    assert kind_of(name, rtype, content) == kind


def der(
    key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey, form: PublicFormat = PublicFormat.SubjectPublicKeyInfo
) -> bytes:
    return key.public_bytes(Encoding.DER, form)


def test_the_size_of_an_rsa_key_is_read_in_both_forms_and_in_no_damaged_one() -> None:
    key = rsa.generate_private_key(65537, 2048).public_key()
    whole, bare = der(key), der(key, PublicFormat.PKCS1)
    assert rsa_bits(whole) == rsa_bits(bare) == 2048
    for raw in (whole, bare):
        assert rsa_bits(raw + b"\x00") is None
        assert all(rsa_bits(raw[:n]) is None for n in range(0, len(raw), 7))
    assert rsa_bits(der(ec.generate_private_key(ec.SECP256R1()).public_key())) is None
    # A length of lengths that no key has, a bit string that ends early, an exponent of 1.
    assert rsa_bits(b"\x30\x85" + bytes(8)) is None
    assert rsa_bits(bytes.fromhex("3014300d06092a864886f70d01010105000303003000")) is None
    assert rsa_bits(bytes.fromhex("3007020203ff020101")) is None


def test_a_body_with_something_behind_the_key_is_no_key() -> None:
    key = der(rsa.generate_private_key(65537, 1024).public_key(), PublicFormat.PKCS1)
    bits = b"\x00" + key + b"\x05\x00"
    oid = bytes.fromhex("300d06092a864886f70d0101010500")
    string = b"\x03\x81" + bytes([len(bits)]) + bits
    body = oid + string
    assert len(bits) < 256
    assert rsa_bits(b"\x30\x81" + bytes([len(body)]) + body) is None
    longer = key[3:] + b"\x02\x01\x03"
    assert rsa_bits(b"\x30\x81" + bytes([len(longer)]) + longer) is None


def test_key_problems_are_said_in_words() -> None:
    assert dkim_problem("v=DKIM1; p=" + base64.b64encode(b"x" * 40).decode(), 2048) == (
        "the key does not decode to an RSA public key (cut off?)"
    )
    assert dkim_problem("v=DKIM1; p=AAA", 2048) == "the key is not valid base64 (cut off or divided wrongly?)"


def test_report_addresses_are_added_beside_theirs_and_taken_out_again() -> None:
    theirs = "v=DMARC1; p=none;  RUA = mailto:x@example.net ; fo=1"
    text, added = dmarc_merge("v=DMARC1; p=reject; rua=mailto:a@example.com; ruf=mailto:b@example.com", [theirs])
    assert text == "v=DMARC1; p=none;  rua=mailto:x@example.net,mailto:a@example.com; fo=1; ruf=mailto:b@example.com"
    assert added == ("mailto:a@example.com", "mailto:b@example.com")
    assert report_addresses(text) == ("mailto:x@example.net", "mailto:a@example.com", "mailto:b@example.com")
    assert dmarc_without(text, added) == "v=DMARC1; p=none;  rua=mailto:x@example.net; fo=1"
    assert dmarc_merge("v=DMARC1; p=none", [theirs]) == (theirs, ())
    for none in ([], [theirs, theirs]):
        with pytest.raises(DmarcError):
            dmarc_merge("v=DMARC1; p=none", none)
