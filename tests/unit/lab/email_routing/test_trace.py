# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the exchanger adds, and that nothing of it spoils the sender's own signature."""

from __future__ import annotations

import email

import dkim

from lab.email_routing import trace
from lab.email_routing.judgement import Client

from .world import DKIM_RECORD, MESSAGE, PEM, RECIPIENT, judged, signed

CLIENT = Client("198.18.0.40", "mail.stranger.example.org")
NOW = 1_795_000_000.0


def forwarded(key: bytes = PEM, message: bytes = MESSAGE) -> bytes:
    arrived = trace.arrived(message, CLIENT, RECIPIENT, judged(), "abcdefghijkl", NOW)
    return trace.outgoing(arrived, "example.me", key, RECIPIENT, "you@gmail.com", [("X-Handled", "yes")])


def test_the_trace_tells_the_way_and_the_results() -> None:
    headers = email.message_from_bytes(forwarded(key=b""))
    assert "by cloudflare-email.net (cloudflare) id abcdefghijkl" in str(headers["Received"])
    assert "from mail.stranger.example.org (198.18.0.40)" in str(headers["Received"])
    assert headers["X-Forwarded-To"] == "you@gmail.com"
    assert headers["X-Forwarded-For"] == "hi@example.me you@gmail.com"
    assert headers["X-CF-SpamH-Score"] == "0"
    assert headers["X-Handled"] == "yes"
    assert str(headers["Authentication-Results"]).startswith("mx.cloudflare.net;")
    assert headers.get_payload() == "Hello.\r\n"


def test_three_signatures_verify_behind_us() -> None:
    message = forwarded(message=signed(MESSAGE))
    asked = []

    def fetch(name: bytes, timeout: int = 5) -> bytes:
        asked.append(name.decode())
        return DKIM_RECORD.encode()

    verifier = dkim.DKIM(message)
    assert [verifier.verify(idx=i, dnsfunc=fetch) for i in range(3)] == [True, True, True]
    assert asked == [
        "cf2024-1._domainkey.example.me.",
        "cf2024-1._domainkey.cloudflare-email.net.",
        "s._domainkey.stranger.example.org.",
    ]


def test_without_a_key_nothing_is_signed() -> None:
    assert b"DKIM-Signature" not in forwarded(key=b"")


def test_only_headers_are_counted_and_only_whole_ones() -> None:
    message = b"Received: a\r\n b\r\nreceived: c\r\nX-Received: d\r\n\r\nReceived: e\r\n"
    assert trace.header_count(message, "Received") == 2


def test_every_message_has_a_name_of_its_own() -> None:
    names = {trace.ticket() for _ in range(50)}
    assert len(names) == 50 and all(len(n) == 12 and n.isalnum() for n in names)
