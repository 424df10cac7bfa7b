# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a Worker may do with a message, and what not."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from lab.email_routing.delivery import Answer
from lab.email_routing.workers.session import ActionError, Headers, Session

from .world import MESSAGE, RECIPIENT, SENDER, judged

REPLY = (
    b"From: hi@example.me\r\nTo: visitor@stranger.example.org\r\nIn-Reply-To: <1@stranger.example.org>\r\n"
    b"Message-ID: <2@example.me>\r\n\r\nThank you.\r\n"
)
OK = Answer(250, "Ok")


@dataclass
class Wire:
    answer: Answer = OK
    forwarded: list[tuple[str, Headers]] = field(default_factory=list)
    sent: list[tuple[str, str, bytes]] = field(default_factory=list)

    def session(self, message: bytes = MESSAGE, dmarc: str = "pass", spf: str = "pass") -> Session:
        def forward(to: str, headers: Headers) -> Answer:
            self.forwarded.append((to, headers))
            return self.answer

        def send(sender: str, to: str, raw: bytes) -> Answer:
            self.sent.append((sender, to, raw))
            return self.answer

        verdict = judged(spf, "none", dmarc)
        return Session(SENDER, RECIPIENT, message, verdict, lambda a: a == "you@gmail.com", forward, send)


@pytest.fixture
def wire() -> Wire:
    return Wire()


def test_a_verified_destination_gets_the_message(wire: Wire) -> None:
    session = wire.session()
    session.act_forward("you@gmail.com", (("X-A", "b"),))
    assert wire.forwarded == [("you@gmail.com", (("X-A", "b"),))] and session.acted == ["forward"]


@pytest.mark.parametrize(
    ("to", "headers", "spf", "words"),
    [
        ("other@gmail.com", (), "pass", "not verified"),
        ("you@gmail.com", (), "none", "not authenticated"),
        ("you@gmail.com", (("Subject", "other"),), "pass", "only X- headers"),
    ],
)
def test_a_forward_is_refused(wire: Wire, to: str, headers: Headers, spf: str, words: str) -> None:
    with pytest.raises(ActionError, match=words):
        wire.session(spf=spf).act_forward(to, headers)
    assert wire.forwarded == []


def test_what_the_destination_refuses_is_an_exception(wire: Wire) -> None:
    wire.answer = Answer(550, "5.1.1 no such user")
    session = wire.session()
    with pytest.raises(ActionError, match=r"550 5\.1\.1 no such user"):
        session.act_forward("you@gmail.com", ())
    assert session.acted == []


def test_one_reply_is_sent(wire: Wire) -> None:
    session = wire.session()
    session.act_reply(RECIPIENT, SENDER, REPLY)
    assert wire.sent == [(RECIPIENT, SENDER, REPLY)]
    with pytest.raises(ActionError, match="already"):
        session.act_reply(RECIPIENT, SENDER, REPLY)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"dmarc": "none"}, "not replyable"),
        ({"message": b"Auto-Submitted: auto-replied\r\n" + MESSAGE}, "not replyable"),
        ({"message": b"References: " + b"<a@b> " * 101 + b"\r\n" + MESSAGE}, "too many references"),
    ],
)
def test_some_messages_have_no_reply(wire: Wire, change: dict[str, object], words: str) -> None:
    with pytest.raises(ActionError, match=words):
        wire.session(**change).act_reply(RECIPIENT, SENDER, REPLY)  # type: ignore[arg-type]
    assert wire.sent == []


@pytest.mark.parametrize(
    ("sender", "to", "raw", "words"),
    [
        (RECIPIENT, "other@example.org", REPLY, "original sender"),
        ("hi@example.com", SENDER, REPLY, "domain that received"),
        ("you@example.me", SENDER, REPLY, "does not match mail from"),
        (RECIPIENT, SENDER, REPLY.replace(b"<1@", b"<3@"), "In-Reply-To"),
    ],
)
def test_a_reply_that_is_none_is_refused(wire: Wire, sender: str, to: str, raw: bytes, words: str) -> None:
    with pytest.raises(ActionError, match=words):
        wire.session().act_reply(sender, to, raw)
    assert wire.sent == []


def test_a_binding_sends_to_its_destinations_only(wire: Wire) -> None:
    session = wire.session()
    session.act_send(RECIPIENT, "you@gmail.com", b"a\nb\r\n", ())
    assert wire.sent == [(RECIPIENT, "you@gmail.com", b"a\r\nb\r\n")]
    with pytest.raises(ActionError, match="not allowed"):
        session.act_send(RECIPIENT, "you@gmail.com", b"", ("me@gmail.com",))
    with pytest.raises(ActionError, match="not a verified"):
        session.act_send(RECIPIENT, "other@gmail.com", b"", ())
