# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The side of the connectors: who is connected for which tunnel, what they are told, and the streams they open."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from dataclasses import dataclass, field
from typing import Any

from lab.cloudflared.standin import wire

from .config import Limits
from .service import Account, AccountError, Registration

log = logging.getLogger("edge.connectors")


class RefusedError(Exception):
    """The connector, or the edge in its place, answers with this status instead of a stream."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True)
class Stream:
    """A connector's connection for one client. ended: set by whoever is done with it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    ended: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(eq=False)
class Line:
    """A registered control connection. version: of the configuration that it was told; leaving: takes no new streams."""

    tunnel: str
    connector: str
    registration: Registration
    writer: asyncio.StreamWriter
    version: int
    leaving: bool = False


class Connectors:
    """Every connection to port 7844."""

    def __init__(self, account: Account, limits: Limits) -> None:
        self._account, self._limits = account, limits
        self._lines: list[Line] = []
        self._waiting: dict[str, asyncio.Future[Stream]] = {}
        self._turn = 0

    async def open(self, tunnel: str, request: dict[str, Any]) -> Stream:
        """A stream for a client through one of the tunnel's connections, in turn. request: hostname, path, jwt.

        Raises RefusedError.
        """
        lines = [line for line in self._lines if line.tunnel == tunnel and not line.leaving]
        if not lines:
            raise RefusedError(530, "error code: 1033")
        self._turn += 1
        line = lines[self._turn % len(lines)]
        name = secrets.token_urlsafe(24)
        coming: asyncio.Future[Stream] = asyncio.get_running_loop().create_future()
        self._waiting[name] = coming
        try:
            await wire.send(line.writer, {"open": name, **request})
            return await asyncio.wait_for(coming, self._limits.open)
        except (OSError, asyncio.TimeoutError) as error:
            raise RefusedError(502, f"the connector did not answer: {error}") from error
        finally:
            del self._waiting[name]

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, whatever it turns out to be."""
        try:
            hello = await wire.receive(reader, self._limits.request)
            if hello and hello.get("role") == "control":
                await self._control(hello, reader, writer)
            elif hello and hello.get("role") == "stream":
                await self._stream(str(hello.get("stream", "")), reader, writer)
        except (OSError, asyncio.TimeoutError) as error:
            log.info("connector: %s", error or type(error).__name__)
        finally:
            await wire.close(writer)

    async def _stream(self, name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        coming = self._waiting.get(name)
        if coming is None or coming.done():
            return
        stream = Stream(reader, writer)
        coming.set_result(stream)
        # The client's side reads and writes it from here on.
        await stream.ended.wait()

    async def _control(self, hello: dict[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = str(writer.get_extra_info("peername")[0])
        try:
            given = await asyncio.to_thread(self._account.register, hello, peer)
        except AccountError as error:
            log.error("%s", error)
            given = Registration(error="the edge cannot reach the account")
        if not given.connection:
            await wire.send(writer, {"ok": False, "error": given.error})
            return
        line = Line(str(hello["tunnel"]), str(hello.get("connector", "")), given, writer, given.version)
        self._lines.append(line)
        log.info("tunnel %s: connection %s from %s", line.tunnel, given.connection, peer)
        try:
            config = {"version": given.version, "config": given.config} if given.remote else None
            ok = {"ok": True, "connection": given.connection, "location": given.location, "config": config}
            await wire.send(writer, ok)
            await self._tell(self._account.applied, line.tunnel, line.connector, given.version)
            await self._converse(line, reader)
        finally:
            self._lines.remove(line)
            log.info("tunnel %s: connection %s ended", line.tunnel, given.connection)
            await asyncio.shield(self._tell(self._account.unregister, line.tunnel, given.connection))

    async def _converse(self, line: Line, reader: asyncio.StreamReader) -> None:
        while (message := await wire.receive(reader)) is not None:
            if "ping" in message:
                await wire.send(line.writer, {"pong": message["ping"]})
            elif "refuse" in message:
                coming = self._waiting.get(str(message["refuse"]))
                if coming is not None and not coming.done():
                    coming.set_exception(RefusedError(int(message["status"]), str(message.get("reason", ""))))
            elif "applied" in message:
                await self._tell(self._account.applied, line.tunnel, line.connector, int(message["applied"]))
            elif "bye" in message:
                line.leaving = True

    async def _tell(self, what: Any, *arguments: Any) -> None:
        try:
            await asyncio.to_thread(what, *arguments)
        except AccountError as error:
            log.error("%s", error)

    async def follow(self) -> None:
        """Ask the account again and again: new configurations go out, what is gone there is cut off here."""
        while True:
            await asyncio.sleep(self._limits.poll)
            for tunnel in sorted({line.tunnel for line in self._lines}):
                try:
                    await self._update(tunnel)
                except OSError as error:
                    log.error("%s", error)

    async def _update(self, tunnel: str) -> None:
        mine = [line for line in self._lines if line.tunnel == tunnel]
        now = await asyncio.to_thread(self._account.tunnel, tunnel)
        for line in mine:
            if not now.exists or line.registration.connection not in now.connections:
                log.info("tunnel %s: the account ends connection %s", tunnel, line.registration.connection)
                line.writer.close()
            elif now.remote and now.version != line.version:
                line.version = now.version
                with contextlib.suppress(OSError):
                    await wire.send(line.writer, {"config": {"version": now.version, "config": now.config}})
