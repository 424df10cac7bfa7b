# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A transfer message by message, from a server that plays each of them: whole, broken, unsigned, somebody else's."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import dns.exception
import dns.message
import dns.name
import dns.rcode
import dns.rrset
import dns.tsig
import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.rfc2136.axfr import (
    RR,
    BadTransferError,
    TransferRefusedError,
    transfer,
)

from tests.unit.rfc2136.knot import KEY

TOP = dns.name.from_text("example.com")
SOA = "example.com. 3600 SOA ns1. host. 1 2 3 4 5"
ADDRESSES = [f"h{n}.example.com. 300 A 198.18.1.{n}" for n in range(1, 4)]
#: A message's records, or what to send instead of a message.
Part = Sequence[str] | bytes


def answers(query: dns.message.Message, parts: Sequence[Part], signed: Sequence[bool], rcode: int) -> Iterator[bytes]:
    context: Any = None
    for part, sign in zip(parts, signed, strict=True):
        if isinstance(part, bytes):
            yield part
            continue
        message = dns.message.make_response(query)
        message.set_rcode(dns.rcode.Rcode(rcode))
        for line in part:
            name, ttl, rtype, data = line.split(" ", 3)
            message.answer.append(dns.rrset.from_text(name, int(ttl), "IN", rtype, data))
        if not sign:
            message.tsig = None
        wire = message.to_wire(multi=True, tsig_ctx=context)
        if sign:
            context = message.tsig_ctx
        elif context is not None:
            # The next signature covers it as well (RFC 8945 §5.3.1).
            context.update(wire)
        yield struct.pack("!H", len(wire)) + wire


@contextmanager
def serving(
    *parts: Part, signed: Sequence[bool] | None = None, rcode: int = 0, hold: bool = False
) -> Iterator[Callable[..., list[RR]]]:
    """Serves one connection; gives a function that makes the transfer. hold: keeps the connection open at the end."""
    done = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection, suppress(OSError, dns.exception.DNSException):
                (length,) = struct.unpack("!H", connection.recv(2, socket.MSG_WAITALL))
                wire = connection.recv(length, socket.MSG_WAITALL)
                query = dns.message.from_wire(wire, keyring=KEY.ring())
                for piece in answers(query, parts, signed or [query.had_tsig] * len(parts), rcode):
                    connection.sendall(piece)
                if hold:
                    done.wait(5)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        port = listener.getsockname()[1]

        def make(key: dns.tsig.Key | None = None, timeout: float = 1, lifetime: float = 5) -> list[RR]:
            return transfer("127.0.0.1", port, TOP, key, timeout, lifetime)

        yield make
        done.set()
        thread.join(5)


def names(records: list[RR]) -> list[str]:
    return [name.to_text() for name, _ttl, _item in records]


WHOLE = ["example.com.", "h1.example.com.", "h2.example.com.", "h3.example.com."]


@pytest.mark.parametrize("key", [None, KEY.tsig()])
@pytest.mark.parametrize(
    "parts",
    [
        [[SOA, *ADDRESSES, SOA]],
        [[SOA], *([a] for a in ADDRESSES), [SOA]],
        [[SOA, *ADDRESSES[:2]], [ADDRESSES[2], SOA]],
    ],
)
def test_a_whole_transfer_in_any_number_of_messages(parts: list[list[str]], key: dns.tsig.Key | None) -> None:
    with serving(*parts) as make:
        assert names(make(key)) == WHOLE


def test_messages_in_between_need_no_signature_but_the_last_one_does() -> None:
    with serving([SOA], ADDRESSES, [SOA], signed=[True, False, True]) as make:
        assert names(make(KEY.tsig())) == WHOLE
    with (
        serving([SOA], [*ADDRESSES, SOA], signed=[True, False]) as make,
        pytest.raises(BadTransferError, match="signed"),
    ):
        make(KEY.tsig())


def test_what_somebody_slips_in_before_the_first_signature_is_not_believed() -> None:
    """The genuine transfer that follows begins with a SOA, which looks like the end of the one that was slipped in."""
    with (
        serving([SOA, *ADDRESSES], [SOA, *ADDRESSES, SOA], signed=[False, True]) as make,
        pytest.raises(BadTransferError, match="first message of the transfer is not signed"),
    ):
        make(KEY.tsig())


def test_an_answer_signed_by_somebody_else() -> None:
    other = dns.tsig.Key(KEY.name, b"another secret", KEY.algorithm)
    with serving([SOA, SOA]) as make, pytest.raises((dns.tsig.BadSignature, EOFError, OSError)):
        make(other)


@pytest.mark.parametrize(
    ("parts", "error", "words"),
    [
        ([[SOA, *ADDRESSES]], EOFError, "closed"),
        ([[SOA], b"\x00"], EOFError, "closed"),
        ([], EOFError, "closed"),
        ([[*ADDRESSES, SOA]], BadTransferError, "begin with"),
        ([["example.org. 3600 SOA ns1. host. 1 2 3 4 5"]], BadTransferError, "begin with"),
        ([[SOA], []], BadTransferError, "without records"),
        ([[SOA], b"\x00\x04abcd"], dns.exception.DNSException, "."),
    ],
)
def test_a_broken_transfer(parts: list[Part], error: type[Exception], words: str) -> None:
    with serving(*parts) as make, pytest.raises(error, match=words):
        make()


def test_a_refusal_says_its_code() -> None:
    with serving([], rcode=dns.rcode.REFUSED) as make, pytest.raises(TransferRefusedError, match="REFUSED"):
        make()


def test_it_does_not_wait_for_ever() -> None:
    with serving([SOA], hold=True) as make, pytest.raises(TimeoutError):
        make(timeout=0.2)
    with serving([SOA], ADDRESSES, [SOA]) as make, pytest.raises(dns.exception.Timeout):
        make(lifetime=-1)
