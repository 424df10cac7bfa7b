# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A milter that refuses mail which passes neither SPF nor DKIM, by what those before it have found.

Large receivers do so whatever the sender's DMARC record says (support.google.com/mail/answer/81126). The protocol is
Sendmail's, version 6, of which a milter needs little that asks for nothing: a packet is its length (32 bits, of all that
follows), a letter and data; every event but macros and the end of a connection is answered.
"""

from __future__ import annotations

import asyncio
import json
import re
import struct
import sys
from pathlib import Path

#: Letters of the protocol. Events are what Postfix tells, answers what it is told.
NEGOTIATE, HEADER, END_OF_MESSAGE, ABORT, QUIT, MACROS, QUIT_NEXT = b"O", b"L", b"E", b"A", b"Q", b"D", b"K"
CONTINUE, REPLY = b"c", b"y"
VERSION = 6
#: In Gmail's words, in one line.
REFUSAL = (
    "550 5.7.26 Your email has been blocked because the sender is unauthenticated. Gmail requires all senders to "
    "authenticate with either SPF or DKIM. Authentication results: DKIM = did not pass SPF = did not pass"
)
_DKIM, _SPF = re.compile(r"\bdkim=pass\b"), re.compile(r"\bspf=pass\b")


def proven(results: list[str], hostname: str) -> bool:
    """Whether one of our own Authentication-Results (RFC 8601 section 2) says that SPF or DKIM has passed.

    SPF of the name in the greeting says nothing of the envelope sender; only a message without one is known by it.
    """
    own = [r for r in results if r.split(";", 1)[0].strip().lower() == hostname.lower()]
    named = [r for r in own if "smtp.mailfrom=" in r] or own
    return any(_DKIM.search(r) for r in own) or any(_SPF.search(r) for r in named)


def packet(letter: bytes, data: bytes = b"") -> bytes:
    return struct.pack("!I", len(data) + 1) + letter + data


async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, hostname: str) -> None:
    """One connection of Postfix's, which may carry several messages."""
    results: list[str] = []
    try:
        while True:
            (length,) = struct.unpack("!I", await reader.readexactly(4))
            letter, data = await reader.readexactly(1), await reader.readexactly(length - 1)
            if letter == QUIT:
                return
            if letter in (ABORT, QUIT_NEXT):
                results = []
            if letter in (ABORT, QUIT_NEXT, MACROS):
                continue
            answer = packet(CONTINUE)
            if letter == NEGOTIATE:
                # No changes are made, and every event is wanted.
                answer = packet(NEGOTIATE, struct.pack("!III", VERSION, 0, 0))
            elif letter == HEADER:
                name, value = data.decode(errors="replace").split("\0")[:2]
                if name.lower() == "authentication-results":
                    results.append(value)
            elif letter == END_OF_MESSAGE:
                if not proven(results, hostname):
                    answer = packet(REPLY, REFUSAL.encode() + b"\0")
                results = []
            writer.write(answer)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        return
    finally:
        writer.close()


async def serve(hostname: str, port: int) -> None:
    server = await asyncio.start_server(lambda r, w: converse(r, w, hostname), "127.0.0.1", port)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(json.loads(Path("/lab/config.json").read_text())["hostname"], int(sys.argv[1])))
