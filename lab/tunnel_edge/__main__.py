# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``python3 -m lab.tunnel_edge --config FILE``: the edge as a server."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import signal
import ssl
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

from lab.cloudflared.standin import wire

from .clients import Clients
from .config import Config
from .connectors import Connectors
from .service import Account, TwinAccount

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


def tls(config: Config) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(config.certificate, config.key)
    context.set_alpn_protocols(["http/1.1"])
    return context


@contextlib.asynccontextmanager
async def running(config: Config, account: Account) -> AsyncIterator[tuple[int, int]]:
    """The edge at work. Yields the ports of clients and of connectors, which the system has chosen where they were 0."""
    connectors = Connectors(account, config.limits)
    clients = Clients(account, connectors, config.limits)
    handlers: set[asyncio.Task[None]] = set()

    def kept(handle: Handler) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]:
        """The handler in a task of our own, so that its end can be asked for."""

        def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.ensure_future(handle(reader, writer))
            handlers.add(task)
            task.add_done_callback(handlers.discard)

        return begin

    hosts = list(config.addresses)
    public = await asyncio.start_server(kept(clients.handle), hosts, config.port, ssl=tls(config), limit=wire.CHUNK)
    private = await asyncio.start_server(
        kept(connectors.handle), hosts, config.connector_port, ssl=tls(config), limit=wire.LINE_MAX
    )
    following = asyncio.create_task(connectors.follow())
    try:
        yield public.sockets[0].getsockname()[1], private.sockets[0].getsockname()[1]
    finally:
        public.close()
        private.close()
        for task in (following, *handlers):
            task.cancel()
        await asyncio.gather(following, *handlers, return_exceptions=True)


async def serve(config: Config) -> None:
    """Until a signal comes."""
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    async with running(config, TwinAccount(config.control)) as (port, connector_port):
        logging.getLogger("edge").info("clients on %d, connectors on %d", port, connector_port)
        await ended.wait()


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python3 -m lab.tunnel_edge", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="JSON file, see lab/tunnel_edge/config.py")
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s", stream=sys.stderr)
    asyncio.run(serve(Config.from_file(arguments.config)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
