# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``access tcp``: a local listener whose connections travel as WebSockets to a host name behind Access."""

from __future__ import annotations

import asyncio
import signal
import ssl
import urllib.parse
from dataclasses import dataclass

from . import LABEL, VERSION, frames, wire
from .log import Log


@dataclass(frozen=True)
class Access:
    """hostname: in the request and the certificate; connect_to: (host, port) to connect to instead of it."""

    hostname: str
    listen: tuple[str, int]
    token_id: str = ""
    token_secret: str = ""
    connect_to: tuple[str, int] | None = None

    def headers(self) -> dict[str, str]:
        found = {"User-Agent": f"cloudflared/{VERSION}"}
        if self.token_id:
            found["Cf-Access-Client-Id"] = self.token_id
        if self.token_secret:
            found["Cf-Access-Client-Secret"] = self.token_secret
        return found


def address(url: str) -> tuple[str, int]:
    """``127.0.0.1:2525`` or ``tcp://127.0.0.1:2525`` as (host, port). Raises ValueError."""
    parts = urllib.parse.urlsplit(url if "://" in url else f"tcp://{url}")
    if not parts.hostname or not parts.port:
        raise ValueError(f"{url!r} has no host or no port")
    return parts.hostname, parts.port


def host_of(name: str) -> str:
    """The host name in what may be a URL."""
    return urllib.parse.urlsplit(name if "://" in name else f"https://{name}").hostname or name


async def _serve_one(
    access: Access, trust: ssl.SSLContext, log: Log, local: tuple[asyncio.StreamReader, asyncio.StreamWriter]
) -> None:
    host, port = access.connect_to or (access.hostname, 443)
    try:
        remote = await asyncio.open_connection(host, port, ssl=trust, server_hostname=access.hostname, limit=wire.CHUNK)
        try:
            await frames.upgrade(*remote, access.hostname, access.headers())
            await frames.carry(local, remote)
        finally:
            await wire.close(remote[1])
    except (OSError, asyncio.IncompleteReadError, asyncio.TimeoutError) as error:
        log.error("failed to connect to origin", error=str(error), originURL=f"https://{access.hostname}")
    finally:
        await wire.close(local[1])


async def serve(access: Access, log: Log, trust: ssl.SSLContext | None = None) -> None:
    """Listen until a signal comes. trust: defaults to the system's, or SSL_CERT_FILE."""
    context = trust or ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _serve_one(access, context, log, (reader, writer))

    server = await asyncio.start_server(accept, *access.listen, limit=wire.CHUNK)
    log.info("Start Websocket listener", host=f"{access.listen[0]}:{access.listen[1]}")
    log.info(f"This is the {LABEL}: the real cloudflared could not be built here")
    await ended.wait()
    server.close()
