# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Handing mail to a destination's server, whose answer is the sender's."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from lab.email_routing.config import Identity
from lab.email_routing.delivery import NOWHERE, UNREACHABLE, Answer, Delivery, answer_of

from .world import MESSAGE, Mailbox, Table, mailbox


@pytest.fixture
def box() -> Iterator[Mailbox]:
    with mailbox() as running:
        yield running


@pytest.fixture
def table() -> Table:
    made = Table({("gmail.com", "MX"): ["mx.gmail.example"]})
    made.address("mx.gmail.example", "127.0.0.1")
    return made


def deliver(table: Table, port: int) -> Answer:
    return Delivery(table, Identity("a-h.cloudflare-email.net"), port).deliver("s@example.me", "you@gmail.com", MESSAGE)


def test_a_message_is_handed_over_as_it_is(table: Table, box: Mailbox) -> None:
    assert deliver(table, box.port) == Answer(250, "2.0.0 Ok: queued")
    assert box.taken == [("s@example.me", "you@gmail.com", MESSAGE)]


@pytest.mark.parametrize("step", ["recipient_answer", "data_answer"])
@pytest.mark.parametrize("said", ["550 5.1.1 no such user", "452 4.2.2 mailbox full"])
def test_a_refusal_is_passed_on_word_for_word(table: Table, box: Mailbox, step: str, said: str) -> None:
    setattr(box, step, said)
    answer = deliver(table, box.port)
    assert f"{answer.code} {answer.text}" == said
    assert not answer.accepted and answer.temporary == said.startswith("4")
    assert box.taken == []


def test_the_next_address_is_tried_where_nobody_answers(table: Table, box: Mailbox) -> None:
    # 127.0.0.2 is this machine too, and nobody listens there.
    table.records["mx.gmail.example", "A"] = []
    table.address("mx.gmail.example", "127.0.0.2", "127.0.0.1")
    assert deliver(table, box.port).accepted


def test_ipv6_comes_first(table: Table) -> None:
    table.address("mx.gmail.example", "::1")
    made = Delivery(table, Identity("a-h.cloudflare-email.net"))
    assert made._addresses("mx.gmail.example") == ["::1", "127.0.0.1"]


def test_where_nobody_answers_at_all_the_sender_tries_later(table: Table) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        assert deliver(table, closed.getsockname()[1]) == UNREACHABLE


def test_a_domain_that_takes_no_mail_is_final(table: Table) -> None:
    table.records["gmail.com", "MX"] = []
    assert deliver(table, 25) == NOWHERE


def test_dns_that_does_not_answer_is_not_final(table: Table) -> None:
    table.broken = {"gmail.com"}
    assert deliver(table, 25) == UNREACHABLE


def test_an_answer_of_several_lines_becomes_one() -> None:
    assert answer_of(550, b"5.7.26 one\n5.7.26  two") == Answer(550, "5.7.26 one 5.7.26 two")
