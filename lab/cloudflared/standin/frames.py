# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The client's side of RFC 6455, as much as ``access tcp`` speaks: an upgrade, binary frames, ping and close.

Small and without a library, because the packed program has to run on machines that have nothing but Python.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import struct

from . import wire

GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
#: Bytes of a frame that is taken whole; the edge sends chunks of 64 KiB.
FRAME_MAX = 16 * 1024 * 1024


class HandshakeError(ConnectionError):
    """The server does not want to; status is its answer's."""

    def __init__(self, status: int) -> None:
        super().__init__("websocket: bad handshake")
        self.status = status


async def upgrade(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, headers: dict[str, str]
) -> None:
    """Ask for ``GET /`` to become a WebSocket. Raises HandshakeError and OSError."""
    key = base64.b64encode(os.urandom(16)).decode()
    asked = {
        "Host": host,
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": key,
        **headers,
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in asked.items())
    writer.write(f"GET / HTTP/1.1\r\n{head}\r\n".encode())
    await writer.drain()
    answer = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 45)).decode("latin-1").split("\r\n")
    status = int(answer[0].split()[1])
    said = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in answer[1:])}
    if status != 101 or said.get("sec-websocket-accept") != accept_key(key):
        raise HandshakeError(status)


def accept_key(key: str) -> str:
    """What a server answers to a client's key (RFC 6455 section 4.2.2)."""
    return base64.b64encode(hashlib.sha1((key + GUID).encode()).digest()).decode()


def frame(opcode: int, payload: bytes, mask: bytes | None = None) -> bytes:
    """A whole frame, masked as a client's has to be. mask: four bytes, by default random ones."""
    key = os.urandom(4) if mask is None else mask
    size = len(payload)
    if size < 126:
        head = struct.pack("!BB", 0x80 | opcode, 0x80 | size)
    elif size < 1 << 16:
        head = struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, size)
    else:
        head = struct.pack("!BBQ", 0x80 | opcode, 0x80 | 127, size)
    return head + key + _masked(payload, key)


def _masked(payload: bytes, key: bytes) -> bytes:
    """XOR with the repeated key, as one large number: a loop over bytes would cost a second for a megabyte."""
    size = len(payload)
    stream = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(stream, "big")).to_bytes(size, "big")


async def read_frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """(opcode, payload) of the next frame from a server. Raises wire.WireError, and IncompleteReadError at the end."""
    first, second = await reader.readexactly(2)
    if first & 0x70 or second & 0x80:
        raise wire.WireError("a frame that is masked, or uses an extension nobody asked for")
    size = second & 0x7F
    if size == 126:
        (size,) = struct.unpack("!H", await reader.readexactly(2))
    elif size == 127:
        (size,) = struct.unpack("!Q", await reader.readexactly(8))
    if size > FRAME_MAX:
        raise wire.WireError(f"a frame of {size} bytes")
    return first & 0x0F, await reader.readexactly(size)


async def carry(
    local: tuple[asyncio.StreamReader, asyncio.StreamWriter], remote: tuple[asyncio.StreamReader, asyncio.StreamWriter]
) -> None:
    """Bytes of a TCP connection as binary frames, both ways, until either side ends."""

    async def out(chunk: bytes) -> None:
        remote[1].write(frame(BINARY, chunk))
        await remote[1].drain()

    async def back() -> None:
        while True:
            opcode, payload = await read_frame(remote[0])
            if opcode == CLOSE:
                return
            if opcode == PING:
                remote[1].write(frame(PONG, payload))
                await remote[1].drain()
            elif opcode in (BINARY, TEXT, CONTINUATION):
                local[1].write(payload)
                await local[1].drain()

    await wire.first_of(wire.pump(local[0], out), back())
    remote[1].write(frame(CLOSE, struct.pack("!H", 1000)))
