# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The side of the clients: a request's head is read, Access asked, and a WebSocket carried to a connector's stream."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import secrets
from dataclasses import dataclass
from http import HTTPStatus

import h11
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, BytesMessage, CloseConnection, Ping, Request, TextMessage
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from lab.cloudflared.standin import wire

from .config import Limits
from .connectors import Connectors, RefusedError, Stream
from .service import Account, AccountError, Visitor

log = logging.getLogger("edge.clients")

#: Where a team's public keys are, below its own name.
TEAMS = ".cloudflareaccess.com"
CERTS = "/cdn-cgi/access/certs"
FORBIDDEN = "Forbidden. You don't have permission to view this. Please contact your system administrator."


@dataclass(frozen=True)
class Head:
    """A request's head. rest: bytes that came after it."""

    target: str
    method: str
    headers: tuple[tuple[bytes, bytes], ...]
    rest: bytes

    def value(self, name: str) -> str:
        """A header's first value, "" without one. name: lower case."""
        return next((v.decode("latin-1").strip() for n, v in self.headers if n == name.encode()), "")

    @property
    def hostname(self) -> str:
        return self.value("host").partition(":")[0].lower()

    @property
    def upgrades(self) -> bool:
        wanted = {word.strip().lower() for word in self.value("connection").split(",")}
        return "upgrade" in wanted and self.value("upgrade").lower() == "websocket"


class Clients:
    """Every connection to port 443."""

    def __init__(self, account: Account, connectors: Connectors, limits: Limits) -> None:
        self._account, self._connectors, self._limits = account, connectors, limits
        self._present = 0

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection; it carries one request."""
        self._present += 1
        try:
            head = await asyncio.wait_for(_head(reader), self._limits.request)
            if head is None:
                return
            if self._present > self._limits.clients:
                await _answer(writer, 503, "too many clients")
                return
            await self._serve(head, reader, writer)
        except (h11.RemoteProtocolError, RemoteProtocolError) as error:
            await _answer(writer, 400, str(error))
        except (OSError, asyncio.TimeoutError) as error:
            log.info("client: %s", error or type(error).__name__)
        finally:
            self._present -= 1
            await wire.close(writer)

    async def _serve(self, head: Head, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = head.target.partition("?")[0]
        try:
            if head.hostname.endswith(TEAMS):
                if path == CERTS:
                    await _answer(
                        writer, 200, json.dumps(await asyncio.to_thread(self._account.certs)), "application/json"
                    )
                else:
                    await _answer(writer, 404, "not found")
                return
            visitor = Visitor(
                head.hostname,
                path,
                str(writer.get_extra_info("peername")[0]),
                head.value("cf-access-client-id"),
                head.value("cf-access-client-secret"),
            )
            decision = await asyncio.to_thread(self._account.decide, visitor)
        except AccountError as error:
            log.error("%s", error)
            await _answer(writer, 500, "error code: 1101")
            return
        if not decision.allowed:
            log.info("%s %s: %d %s", visitor.ip, visitor.hostname, decision.status, decision.reason)
            text = f"error code: {decision.error}" if decision.error else FORBIDDEN
            await _answer(writer, decision.status, text, location=decision.redirect)
            return
        await self._connect(head, decision.tunnel, decision.assertion, (reader, writer))

    async def _connect(
        self, head: Head, tunnel: str, assertion: str, client: tuple[asyncio.StreamReader, asyncio.StreamWriter]
    ) -> None:
        request = {"hostname": head.hostname, "path": head.target, "jwt": assertion}
        try:
            stream = await self._connectors.open(tunnel, request)
        except RefusedError as error:
            log.info("%s: %d %s", head.hostname, error.status, error)
            await _answer(client[1], error.status, str(error) if error.status == 530 else f"error code: {error.status}")
            return
        try:
            if head.upgrades and head.method == "GET":
                await WebSocket(head, client, self._limits).carry(stream)
            else:
                # A TCP service has nothing for a browser.
                await _answer(client[1], 404, "this service is reached by cloudflared access tcp")
        finally:
            stream.ended.set()


async def _head(reader: asyncio.StreamReader) -> Head | None:
    """The head of a request, None when there is none. Raises h11.RemoteProtocolError; a head of 16 KiB is the limit."""
    http = h11.Connection(h11.SERVER)
    while True:
        event = http.next_event()
        if isinstance(event, h11.Request):
            headers = tuple((bytes(n), bytes(v)) for n, v in event.headers)
            return Head(event.target.decode("latin-1"), event.method.decode(), headers, http.trailing_data[0])
        if event is not h11.NEED_DATA:
            return None
        data = await reader.read(4096)
        if not data:
            return None
        http.receive_data(data)


async def _answer(
    writer: asyncio.StreamWriter, status: int, text: str, kind: str = "text/plain; charset=UTF-8", location: str = ""
) -> None:
    """An answer after which the connection ends. 530 is Cloudflare's own."""
    body = text.encode()
    try:
        reason = HTTPStatus(status).phrase
    except ValueError:
        reason = ""
    lines = [
        f"HTTP/1.1 {status} {reason}",
        "Server: cloudflare",
        f"CF-RAY: {secrets.token_hex(8)}-LAB",
        f"Content-Type: {kind}",
        f"Content-Length: {len(body)}",
        "Connection: close",
    ]
    if location:
        lines.append(f"Location: {location}")
    writer.write("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)
    await writer.drain()


class WebSocket:
    """A client's connection once it is to become a WebSocket."""

    def __init__(self, head: Head, client: tuple[asyncio.StreamReader, asyncio.StreamWriter], limits: Limits) -> None:
        self._reader, self._writer = client
        self._limits, self._heard = limits, asyncio.Event()
        self._rest = head.rest
        self._protocol = WSConnection(ConnectionType.SERVER)
        self._protocol.initiate_upgrade_connection(list(head.headers), head.target)
        if not any(isinstance(event, Request) for event in self._protocol.events()):
            raise RemoteProtocolError("no WebSocket request")

    async def carry(self, stream: Stream) -> None:
        """101, then bytes both ways until either side ends or the client has been silent for too long."""
        await self._send(AcceptConnection(extra_headers=[(b"server", b"cloudflare")]))
        await wire.first_of(self._inbound(stream), self._outbound(stream), self._alive())
        # Refused by the protocol where the client has said goodbye first, and was answered.
        with contextlib.suppress(LocalProtocolError):
            await self._send(CloseConnection(code=1000))

    async def _send(self, event: AcceptConnection | BytesMessage | CloseConnection | Ping) -> None:
        self._writer.write(self._protocol.send(event))
        await self._writer.drain()

    async def _inbound(self, stream: Stream) -> None:
        data: bytes | None = self._rest
        while True:
            if data:
                self._protocol.receive_data(data)
                if not await self._events(stream):
                    return
            data = await self._reader.read(wire.CHUNK)
            if not data:
                return
            self._heard.set()

    async def _events(self, stream: Stream) -> bool:
        """Act on what has come; False when the client has closed."""
        for event in self._protocol.events():
            if isinstance(event, BytesMessage):
                stream.writer.write(bytes(event.data))
                await stream.writer.drain()
            elif isinstance(event, TextMessage):
                stream.writer.write(event.data.encode())
                await stream.writer.drain()
            elif isinstance(event, Ping):
                self._writer.write(self._protocol.send(event.response()))
                await self._writer.drain()
            elif isinstance(event, CloseConnection):
                self._writer.write(self._protocol.send(event.response()))
                return False
        return True

    async def _outbound(self, stream: Stream) -> None:
        async def write(chunk: bytes) -> None:
            await self._send(BytesMessage(data=chunk))

        await wire.pump(stream.reader, write)

    async def _alive(self) -> None:
        """Ends when nothing, not even the answer to a ping, has come for the idle time."""
        while True:
            self._heard.clear()
            rounds = max(1, round(self._limits.idle / self._limits.ping))
            for _ in range(rounds):
                try:
                    await asyncio.wait_for(self._heard.wait(), self._limits.ping)
                    break
                except asyncio.TimeoutError:
                    await self._send(Ping())
            else:
                return
            await asyncio.sleep(self._limits.ping)
