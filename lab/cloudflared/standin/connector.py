# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The connector: connections to the edge that are kept, and clients' streams carried to the services of the ingress."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import platform
import ssl
import uuid
from dataclasses import dataclass, field
from typing import Any

from . import VERSION, wire
from .assertion import AssertionRefusedError, Verifier
from .ingress import Access, IngressError, Rule, matching, parse
from .log import Log

EDGE = "region1.v2.argotunnel.com"
#: As many as the real one keeps to the edge; seconds that a service may take to answer, and that streams get at the end.
CONNECTIONS = 4
CONNECT_SECONDS = 30.0
GRACE_SECONDS = 30.0
BACKOFF_FIRST, BACKOFF_MAX = 1.0, 16.0
#: What holds until a remotely managed tunnel has been configured.
NOTHING_YET = Rule("", "http_status:503", Access(), status=503)


@dataclass(frozen=True)
class Credentials:
    """Who the tunnel is. secret: base64, as it stands in token and credentials file."""

    account: str
    tunnel: str
    secret: str


@dataclass(frozen=True)
class Edge:
    """Where to connect. name: in its certificate."""

    host: str = EDGE
    port: int = wire.PORT
    name: str = EDGE

    @classmethod
    def from_flag(cls, text: str) -> Edge:
        """The hidden option --edge of the real one: host:port, without a change of the name that is expected."""
        host, _, port = text.rpartition(":")
        return cls(host or text, int(port) if port else wire.PORT)


@dataclass
class Counts:
    """What /ready and /metrics tell."""

    requests: int = 0
    errors: int = 0
    streams: int = 0
    active: set[int] = field(default_factory=set)
    version: int = -1


class Connector:
    """rules: of a local configuration; None lets the edge say. backoff: seconds before the first new attempt."""

    def __init__(
        self,
        credentials: Credentials,
        log: Log,
        edge: Edge,
        rules: tuple[Rule, ...] | None = None,
        verifier: Verifier | None = None,
        trust: ssl.SSLContext | None = None,
        connections: int = CONNECTIONS,
        backoff: float = BACKOFF_FIRST,
    ) -> None:
        self.id = str(uuid.uuid4())
        self.counts = Counts()
        self._credentials, self._log, self._edge = credentials, log, edge
        self._local, self._rules = rules, rules or ()
        self._verifier = verifier or Verifier()
        self._trust = trust or ssl.create_default_context()
        self._connections, self._backoff = connections, backoff
        self._streams: set[asyncio.Task[None]] = set()
        self._leaving = asyncio.Event()

    async def run(self) -> None:
        """Until :meth:`leave`."""
        lines = [asyncio.create_task(self._keep(index)) for index in range(self._connections)]
        try:
            await self._leaving.wait()
        finally:
            if self._streams:
                await asyncio.wait(self._streams, timeout=GRACE_SECONDS)
            for task in (*lines, *self._streams):
                task.cancel()
            await asyncio.gather(*lines, *self._streams, return_exceptions=True)

    def leave(self) -> None:
        """End gracefully: tell the edge, let streams end."""
        self._leaving.set()

    async def _keep(self, index: int) -> None:
        """One connection, made again with growing pauses."""
        pause = self._backoff
        while not self._leaving.is_set():
            try:
                await self._line(index)
                pause = self._backoff
            except (OSError, asyncio.TimeoutError, IngressError) as error:
                self._log.error("Unable to establish connection with Cloudflare edge", connIndex=index, error=error)
            finally:
                if index in self.counts.active:
                    self.counts.active.discard(index)
                    pause = self._backoff
                    if not self._leaving.is_set():
                        self._log.warn("Lost connection with the edge", connIndex=index)
            if self._leaving.is_set():
                return
            self._log.info(f"Retrying connection in up to {pause:g}s", connIndex=index)
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._leaving.wait(), pause)
            pause = min(pause * 2, BACKOFF_MAX)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.wait_for(
            asyncio.open_connection(
                self._edge.host, self._edge.port, ssl=self._trust, server_hostname=self._edge.name, limit=wire.LINE_MAX
            ),
            15,
        )

    async def _line(self, index: int) -> None:
        reader, writer = await self._connect()
        try:
            await wire.send(writer, {"role": "control", "index": index, **self._hello()})
            answer = await wire.receive(reader) or {"error": "the edge closed the connection"}
            if not answer.get("ok"):
                # As the real one says it; the registration may yet become good, so it goes on trying.
                self._log.error("Register tunnel error from server side", connIndex=index, error=answer.get("error"))
                return
            self._configure(answer.get("config"))
            self.counts.active.add(index)
            self._log.info(
                "Registered tunnel connection",
                connIndex=index,
                connection=answer.get("connection"),
                event=0,
                ip=writer.get_extra_info("peername")[0],
                location=answer.get("location"),
                protocol="lab",
            )
            await wire.first_of(self._listen(reader, writer, index), self._ping(writer), self._farewell(writer))
        finally:
            await wire.close(writer)

    def _hello(self) -> dict[str, Any]:
        return {
            "tunnel": self._credentials.tunnel,
            "account": self._credentials.account,
            "secret": self._credentials.secret,
            "connector": self.id,
            "version": VERSION,
            "arch": f"linux_{platform.machine()}",
        }

    def _configure(self, given: dict[str, Any] | None) -> None:
        """Take what the edge says, unless rules are local; rules that are no good leave the old ones in force."""
        if self._local is not None or given is None or given["version"] == self.counts.version:
            return
        try:
            self._rules = parse(given["config"]) if given["config"] else ()
        except IngressError as error:
            self._log.error("Failed to update ingress", error=error, version=given["version"])
            return
        self.counts.version = given["version"]
        self._log.info("Updated to new configuration", config=given["config"], version=given["version"])

    async def _listen(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, index: int) -> None:
        while (message := await wire.receive(reader)) is not None:
            if "open" in message:
                task = asyncio.create_task(self._serve(message, writer, index))
                self._streams.add(task)
                task.add_done_callback(self._streams.discard)
            elif "config" in message:
                self._configure(message["config"])
                await wire.send(writer, {"applied": self.counts.version})

    async def _ping(self, writer: asyncio.StreamWriter) -> None:
        for number in itertools.count():
            await asyncio.sleep(wire.PING_EVERY)
            await wire.send(writer, {"ping": number})

    async def _farewell(self, writer: asyncio.StreamWriter) -> None:
        await self._leaving.wait()
        await wire.send(writer, {"bye": True})
        if self._streams:
            await asyncio.wait(self._streams, timeout=GRACE_SECONDS)

    async def _serve(self, asked: dict[str, Any], control: asyncio.StreamWriter, index: int) -> None:
        """One client: rule found, assertion checked, service reached, bytes carried."""
        self.counts.requests += 1
        name, hostname = str(asked["open"]), str(asked.get("hostname", ""))
        rule = matching(self._rules, hostname) if self._rules else NOTHING_YET
        try:
            await asyncio.to_thread(self._verifier.check, rule.access, str(asked.get("jwt") or ""))
            if rule.status:
                await wire.send(control, {"refuse": name, "status": rule.status, "reason": rule.service})
                return
            await self._carry(name, rule)
        except AssertionRefusedError as error:
            self._failed(index, rule, f"request filtered by middleware handler (AccessJWTValidator) due to: {error}")
            await wire.send(control, {"refuse": name, "status": error.status, "reason": str(error)})
        except (OSError, asyncio.TimeoutError) as error:
            reason = f"Unable to reach the origin service. {error or type(error).__name__}"
            self._failed(index, rule, reason)
            with contextlib.suppress(OSError):
                await wire.send(control, {"refuse": name, "status": 502, "reason": reason})

    def _failed(self, index: int, rule: Rule, reason: str) -> None:
        self.counts.errors += 1
        self._log.error("Request failed", connIndex=index, error=reason, originService=rule.service)

    async def _carry(self, name: str, rule: Rule) -> None:
        """Raises OSError and TimeoutError when the service or the edge cannot be reached."""
        origin = await asyncio.wait_for(
            asyncio.open_connection(rule.host, rule.port, limit=wire.CHUNK), CONNECT_SECONDS
        )
        writers = [origin[1]]
        try:
            edge = await self._connect()
            writers.append(edge[1])
            await wire.send(edge[1], {"role": "stream", "stream": name})
            self.counts.streams += 1
            with contextlib.suppress(OSError):
                await wire.first_of(_pump(edge[0], origin[1]), _pump(origin[0], edge[1]))
        finally:
            await wire.close(*writers)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    async def write(chunk: bytes) -> None:
        writer.write(chunk)
        await writer.drain()

    await wire.pump(reader, write)
