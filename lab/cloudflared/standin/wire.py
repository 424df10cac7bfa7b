# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What connector and edge say to each other on port 7844, inside TLS: one JSON object a line, and raw bytes of streams.

A connection begins with a line of the connector's::

    {"role": "control", "tunnel": id, "account": tag, "secret": base64, "connector": uuid, "index": 0, "version": text}
    {"role": "stream", "stream": name}

After ``stream`` come the stream's bytes, in both directions, until either side closes. To ``control`` the edge answers
``{"ok": true, "connection": uuid, "location": text, "config": {"version": n, "config": {...}} or null}`` or
``{"ok": false, "error": text}``. Then, in any order:

====================================================================  ==============  =======================================
``{"open": name, "hostname": h, "path": p, "jwt": text}``             edge            a client came; connect a stream for it
``{"refuse": name, "status": 404, "reason": text}``                   connector       the answer that the client gets instead
``{"config": {"version": n, "config": {...}}}``                       edge            the tunnel is configured anew
``{"ping": n}``, ``{"pong": n}``                                      connector/edge  both ends give up after silence
``{"bye": true}``                                                     connector       no new streams, those open may end
====================================================================  ==============  =======================================
"""

from __future__ import annotations

import asyncio
import json
from typing import Any, Awaitable, Callable

PORT = 7844
#: Bytes of one line, and of what is read from a stream at once; also what asyncio buffers before it stops reading.
LINE_MAX = 256 * 1024
CHUNK = 64 * 1024
#: Seconds between pings, and of silence after which a connection counts as lost.
PING_EVERY = 5.0
SILENCE_MAX = 20.0
#: Seconds for the last bytes of a connection.
CLOSE_SECONDS = 5.0


class WireError(ConnectionError):
    """The other end does not speak this."""


async def receive(reader: asyncio.StreamReader, timeout: float | None = SILENCE_MAX) -> dict[str, Any] | None:
    """The next message, None at the end of the connection. Raises WireError, TimeoutError and OSError."""
    try:
        line = await asyncio.wait_for(reader.readline(), timeout)
    except ValueError as error:
        raise WireError(f"a line of more than {LINE_MAX} bytes") from error
    if not line:
        return None
    try:
        message = json.loads(line)
    except ValueError as error:
        raise WireError(f"no JSON: {line[:80]!r}") from error
    if not isinstance(message, dict):
        raise WireError(f"no object: {line[:80]!r}")
    return message


async def send(writer: asyncio.StreamWriter, message: dict[str, Any]) -> None:
    """Send a message and wait while the other end is slow."""
    writer.write(json.dumps(message, separators=(",", ":")).encode() + b"\n")
    await writer.drain()


async def close(*writers: asyncio.StreamWriter) -> None:
    """Close what may be broken already; what was written goes out first, unless nobody takes it for some seconds."""
    await asyncio.gather(*(_close(writer) for writer in writers))


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    try:
        await asyncio.wait_for(writer.wait_closed(), CLOSE_SECONDS)
    except asyncio.TimeoutError:
        # TLS waits for the other end's farewell, which does not come while that end is stuck itself.
        writer.transport.abort()
    except OSError:
        # It was broken already.
        return


async def pump(reader: asyncio.StreamReader, write: Callable[[bytes], Awaitable[None]]) -> int:
    """Carry bytes until the end; returns how many. No more than a chunk is in hand, and a slow writer stops the reading."""
    total = 0
    while chunk := await reader.read(CHUNK):
        await write(chunk)
        total += len(chunk)
    return total


async def first_of(*directions: Awaitable[Any]) -> None:
    """Run both directions of a stream until one of them ends, as cloudflared does; errors of a broken line are an end."""
    tasks = [asyncio.ensure_future(d) for d in directions]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
