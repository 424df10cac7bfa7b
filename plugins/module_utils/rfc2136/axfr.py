# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A zone transfer (RFC 5936) under TSIG (RFC 8945 §5.3.1), record by record.

dnspython's own keeps a zone with all its invariants while it reads, which costs so much for large record sets that a server
which waits half a second for its client (Knot's tcp-io-timeout) gives up on it.
"""

from __future__ import annotations

import socket
import struct
import time
from typing import Any, Iterator, List, Optional, Tuple

import dns.exception
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdatatype
import dns.rrset
import dns.tsig

#: Name, time to live in seconds, data.
RR = Tuple[dns.name.Name, int, dns.rdata.Rdata]


class BadTransferError(Exception):
    """What came is no transfer as it should be; the text says why."""


class TransferRefusedError(Exception):
    """The server answered with something else than a transfer."""

    def __init__(self, rcode: dns.rcode.Rcode) -> None:
        super().__init__(dns.rcode.to_text(rcode))
        self.rcode = rcode


def transfer(
    address: str, port: int, zone: dns.name.Name, key: Optional[dns.tsig.Key], timeout: float, lifetime: float
) -> List[RR]:
    """All records of a zone, the SOA once. timeout: seconds to wait for the next message; lifetime: for the whole.

    Raises TransferRefusedError, BadTransferError, DNSException, OSError, EOFError.
    """
    query = dns.message.make_query(zone, dns.rdatatype.AXFR)
    if key is not None:
        query.use_tsig(key)
    end = time.monotonic() + lifetime
    records: List[RR] = []
    with socket.create_connection((address, port), timeout) as connection:
        wire = query.to_wire()
        connection.sendall(struct.pack("!H", len(wire)) + wire)
        answers = _answers(connection, query, end)
        while True:
            answer = next(answers)
            for rrset in answer.answer:
                if not records and (rrset.rdtype != dns.rdatatype.SOA or rrset.name != zone):
                    raise BadTransferError("the transfer does not begin with the zone's SOA")
                if records and rrset.rdtype == dns.rdatatype.SOA:
                    # What comes after the last signature is not vouched for.
                    _check_signed(answer, query, "last")
                    return records
                records.append((rrset.name, rrset.ttl, rrset[0]))


def _answers(connection: socket.socket, query: dns.message.Message, end: float) -> Iterator[dns.message.Message]:
    context: Any = None
    first = True
    while True:
        (length,) = struct.unpack("!H", _read(connection, 2, end))
        answer = dns.message.from_wire(
            _read(connection, length, end),
            keyring=query.keyring,
            request_mac=query.mac,
            xfr=True,
            tsig_ctx=context,
            multi=True,
            one_rr_per_rrset=True,
        )
        if answer.rcode() != dns.rcode.NOERROR:
            raise TransferRefusedError(answer.rcode())
        if not answer.answer or (first and not query.is_response(answer)):
            raise BadTransferError("an answer without records, or to another question")
        if first:
            # A later signature does not cover what came before the first one (RFC 8945 §5.3.1).
            _check_signed(answer, query, "first")
        first, context = False, answer.tsig_ctx
        yield answer


def _read(connection: socket.socket, length: int, end: float) -> bytes:
    parts: List[bytes] = []
    while length:
        if time.monotonic() > end:
            raise dns.exception.Timeout
        part = connection.recv(length)
        if not part:
            raise EOFError("the connection was closed")
        parts.append(part)
        length -= len(part)
    return b"".join(parts)


def _check_signed(answer: dns.message.Message, query: dns.message.Message, which: str) -> None:
    if query.had_tsig and not answer.had_tsig:
        raise BadTransferError(f"the {which} message of the transfer is not signed")
