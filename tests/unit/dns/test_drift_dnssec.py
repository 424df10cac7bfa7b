# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""DS records and the keys they stand for, by the examples of the standards."""

from __future__ import annotations

import dataclasses

import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.dns.drift import dnssec

from tests.unit.dns.drift_world import ZONE

#: RFC 4034 §5.4: a key, its owner and its DS.
RFC_ZONE = "dskey.example.com"
RFC_KEY = (
    "256 3 5 AQOeiiR0GOMYkDshWoSKz9XzfwJr1AYtsmx3TGkJaNXVbfi/2pHm822aJ5iI9BMzNXxeYCmZDRD99WYwYqUSdjMmmAphXdvx"
    "egXd/M5+X7OrzKBaMbCVdFLUUh6DhweJBjEVv5f2wwjM9XzcnOf+EPbtG9DMBmADjFDc2w/rljwvFw=="
)
RFC_DS = "60485 5 1 2bb183af5f22588179a53b0a98631fad1a292118"
#: The same key's SHA-256 digest, RFC 4509 §2.3.
RFC_DS_SHA256 = "60485 5 2 d4b7d520e7bb5f0f67674a0cceb1e3e0614b93c4f9e99b8383f6a1e4469da50a"


def test_ds_and_key_of_the_standards() -> None:
    key = dnssec.read_key(RFC_KEY)
    assert key is not None and key.tag == 60485
    assert dnssec.unmatched(RFC_ZONE, [RFC_DS, RFC_DS_SHA256], [RFC_KEY]) == ([], [RFC_DS, RFC_DS_SHA256])
    assert dnssec.unmatched("other.example.com", [RFC_DS], [RFC_KEY])[0] == [RFC_DS]


@pytest.mark.parametrize(
    ("ds", "fits"),
    [
        (RFC_DS.replace("60485", "60486"), False),
        (RFC_DS.replace(" 5 1", " 8 1"), False),
        (RFC_DS[:-1] + "9", False),
        (RFC_DS.upper(), True),
        ("60485 5 3 00", None),
    ],
)
def test_a_ds_fits_its_key_alone(ds: str, fits: bool | None) -> None:
    record, key = dnssec.read_ds(ds), dnssec.read_key(RFC_KEY)
    assert record is not None and key is not None
    assert dnssec.fits(RFC_ZONE, record, key) is fits
    revoked = dataclasses.replace(key, flags=key.flags | dnssec.REVOKED)
    assert dnssec.fits(RFC_ZONE, record, revoked) is False


@pytest.mark.parametrize("text", ["", "1 2 3", "x 5 1 aa", "70000 3 13 AA==", "256 3 13 !!"])
def test_what_is_no_key_is_not_read(text: str) -> None:
    assert dnssec.read_key(text) is None
    with pytest.raises(ValueError, match="cannot be read"):
        dnssec.unmatched(ZONE, [], [text])
