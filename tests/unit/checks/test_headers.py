# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading headers, addresses and DKIM signatures."""

from __future__ import annotations

import base64
from collections.abc import Sequence

import dkim
import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.checks import addresses, headers
from ansible_collections.mailstead.stack.plugins.module_utils.checks.dkim_verify import verify_all
from ansible_collections.mailstead.stack.plugins.module_utils.checks.judges.dkim import rsa_bits
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa


def test_authentication_results_of_real_milters() -> None:
    rows = [
        ["Authentication-Results", "mx.strict.example.org; dmarc=pass (p=reject dis=none) header.from=example.com"],
        [
            "Authentication-Results",
            "mx.strict.example.org;\r\n\tdkim=pass (2048-bit key; unprotected) header.d=example.com header.i=@example.com"
            ' header.a=rsa-sha256 header.s=202611r header.b=AbC;\r\n\tdkim=neutral reason="bad (really)" header.d=example.com',
        ],
        [
            "Authentication-Results",
            "mx.strict.example.org; spf=pass (mailfrom) smtp.mailfrom=example.com (client-ip=198.18.1.10)",
        ],
        ["Authentication-Results", "mail.example.com; dkim=pass header.d=forged.example"],
        ["Authentication-Results", "mx.strict.example.org 1; none"],
    ]
    found = headers.auth_results(rows, exclude=["mail.example.com"])
    assert [(r.method, r.result) for r in found] == [
        ("dmarc", "pass"),
        ("dkim", "pass"),
        ("dkim", "neutral"),
        ("spf", "pass"),
    ]
    assert found[1].properties["header.s"] == "202611r"
    assert found[3].properties == {"smtp.mailfrom": "example.com"}


@pytest.mark.parametrize(
    ("line", "helo", "address", "by"),
    [
        (
            "from mail.example.com (mail.example.com [198.18.1.10]) (using TLSv1.3 with cipher X (256/256 bits))"
            " by mx.strict.example.org (Postfix) with ESMTPS id 1 for <a@b>; Sat, 21 Nov 2026",
            "mail.example.com",
            "198.18.1.10",
            "mx.strict.example.org",
        ),
        (
            "from x.example.org (unknown [IPv6:2001:2:0:2::10]) by mail.example.com with ESMTPS",
            "x.example.org",
            "2001:2:0:2::10",
            "mail.example.com",
        ),
        ("from localhost ([::ffff:198.18.0.40]) by mail.example.com;", "localhost", "198.18.0.40", "mail.example.com"),
        ("by mail.example.com with LMTP id 3", "", "", "mail.example.com"),
    ],
)
def test_received_lines(line: str, helo: str, address: str, by: str) -> None:
    hop = headers.hops([["Received", line]])[0]
    assert (hop.helo, hop.address, hop.by) == (helo, address, by)


def test_tag_lists() -> None:
    assert headers.tags("v=DKIM1; k=rsa; p=AB C\t D") == {"v": "DKIM1", "k": "rsa", "p": "ABCD"}
    assert headers.tags("v=DMARC1;p=none;p=reject")["p"] == "none"
    assert headers.tag_order("p=x; v=DKIM1") == ("p", "v")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("from x (x [192.168.1.2])", ["192.168.1.2"]),
        ("[IPv6:fd00::1] and 2001:2::5", ["fd00::1", "2001:2::5"]),
        ("id 12:30:45 version 1.2.3.4.5 300.1.1.1", []),
        ("Sat, 21 Nov 2026 12:00:00 +0000", []),
    ],
)
def test_addresses_in_text(text: str, found: list[str]) -> None:
    assert addresses.within(text) == found


@pytest.mark.parametrize("text", ["10.0.0.1", "172.29.25.10", "192.168.77.10", "100.64.0.1", "fd00::1", "fe80::1%eth0"])
def test_private_addresses(text: str) -> None:
    assert addresses.is_private(text)


@pytest.mark.parametrize("text", ["198.18.2.7", "2001:2::1", "172.32.0.1", "nonsense"])
def test_benchmarking_addresses_count_as_public(text: str) -> None:
    assert not addresses.is_private(text)


@pytest.mark.parametrize(
    ("name", "generic"),
    [
        ("mail.example.com", False),
        ("198-18-1-10.pool.example.net", True),
        ("host-10.1.18.198.dyn.example.net", True),
        ("static-198-18-1-10.example.net", False),
        ("dhcp12.example.net", True),
        ("client.example.net", True),
        ("resolute.example.net", False),
    ],
)
def test_generic_names(name: str, generic: bool) -> None:
    assert addresses.looks_generic(name) is generic


# -- signatures --------------------------------------------------------------------------------------------------------

MESSAGE = (
    b"From: <rekord@example.com>\r\nTo: <canary@strict.example.org>\r\nSubject:  A   folded\r\n subject\r\n"
    b"Date: Sat, 21 Nov 2026 12:00:00 +0000\r\nMessage-ID: <x@example.com>\r\n\r\nBody  with\t white  \r\nspace\r\n\r\n\r\n"
)
RSA = rsa.generate_private_key(65537, 2048)
ED = ed25519.Ed25519PrivateKey.generate()


def _signed(canonical: tuple[bytes, bytes] = (b"relaxed", b"relaxed"), length: bool = False) -> bytes:
    """Both signatures, made by dkimpy."""
    pem = RSA.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    raw = base64.b64encode(
        ED.private_bytes(serialization.Encoding.Raw, serialization.PrivateFormat.Raw, serialization.NoEncryption())
    )
    headers_ = [b"from", b"from", b"to", b"subject", b"date", b"message-id"]
    first = dkim.sign(
        MESSAGE, b"r", b"example.com", pem, canonicalize=canonical, include_headers=headers_, length=length
    )
    second = dkim.sign(
        MESSAGE,
        b"e",
        b"example.com",
        raw,
        canonicalize=canonical,
        include_headers=headers_,
        signature_algorithm=b"ed25519-sha256",
    )
    result: bytes = first + second + MESSAGE
    return result


def published(selector: str, _domain: str) -> Sequence[str]:
    der = RSA.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    raw = ED.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return {
        "r": [f"v=DKIM1; k=rsa; p={base64.b64encode(der).decode()}"],
        "e": [f"v=DKIM1; k=ed25519; p={base64.b64encode(raw).decode()}"],
    }[selector]


@pytest.mark.parametrize("header_mode", [b"relaxed", b"simple"])
@pytest.mark.parametrize("body_mode", [b"relaxed", b"simple"])
def test_signatures_of_another_implementation_verify(header_mode: bytes, body_mode: bytes) -> None:
    rows = verify_all(_signed((header_mode, body_mode)), published)
    assert [(r["s"], r["a"], r["result"], r["reason"]) for r in rows] == [
        ("r", "rsa-sha256", "pass", ""),
        ("e", "ed25519-sha256", "pass", ""),
    ]
    assert rows[0]["h"] == ["from", "from", "to", "subject", "date", "message-id"]


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b"Body ", b"Bodi ", "the body was changed"),
        (b"<rekord@", b"<mallory@", "the signature does not match"),
        (b"Subject:", b"From: <m@example.com>\r\nSubject:", "the signature does not match"),
    ],
)
def test_a_changed_message_does_not_verify(old: bytes, new: bytes, reason: str) -> None:
    for row in verify_all(_signed().replace(old, new, 1), published):
        assert row["result"] == "fail"
        assert row["reason"].startswith(reason)


def test_what_is_not_signed_may_change() -> None:
    assert {r["result"] for r in verify_all(b"Received: from x by y\r\n" + _signed(), published)} == {"pass"}


@pytest.mark.parametrize(
    ("records", "reason"),
    [
        ([], "0 key records"),
        (["v=DKIM1; p="], "the key is revoked"),
        (["v=DKIM1; k=rsa; p=!!!"], "the key or the signature is malformed"),
        (["v=DKIM1; k=ed25519; p=AAAA"], "key and signature are of different kinds"),
    ],
)
def test_keys_that_do_not_help(records: list[str], reason: str) -> None:
    assert verify_all(_signed(), lambda _s, _d: records)[0]["reason"].startswith(reason)


def test_a_length_limit_is_reported() -> None:
    row = verify_all(_signed(length=True), published)[0]
    assert row["l"].isdigit()
    assert row["result"] == "pass"


def test_the_length_of_an_rsa_key() -> None:
    der = RSA.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    assert rsa_bits(der) == 2048
    assert rsa_bits(der[:60]) == 0
    assert rsa_bits(b"nothing of the kind") == 0
