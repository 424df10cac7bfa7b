# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Start the stand-in: ``python3 -m server --config /etc/stalwart/config.json``, with the upstream environment."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import secrets
import signal
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

from .imap import Imap
from .jmap import Jmap
from .listeners import Connection, Handler, Listeners
from .mail import Mail
from .registry import Registry, Settings
from .schema import JsonObject
from .store import Store
from .tokens import Authenticator
from .web import Web
from .web_server import Request, Response, problem, serve

log = logging.getLogger("standin")

RUN_DIRECTORY = Path("/tmp/standin")  # a tmpfs of the container: Dovecot's sockets and password file


@dataclass(frozen=True)
class Start:
    """How the process was started."""

    config: JsonObject | None
    settings: Settings
    recovery_admin: str | None
    recovery_port: int
    data: Path


def _flag(name: str) -> bool:
    return os.environ.get(name, "").lower() in {"1", "true"}


def read_start(config_path: Path) -> Start:
    """Read configuration file and environment. A missing file means bootstrap mode, as upstream."""
    config: JsonObject | None = None
    if config_path.exists():
        config = json.loads(config_path.read_text())
        if not isinstance(config, dict) or config.get("@type") not in {"Sqlite", "RocksDb"}:
            raise SystemExit(f"{config_path}: the stand-in keeps its data in a file: use @type Sqlite or RocksDb")
    path = Path((config or {}).get("path") or "/var/lib/stalwart/db.sqlite")
    database = path if path.suffix else path / "db.sqlite"
    settings = Settings(
        hostname=os.environ.get("STALWART_HOSTNAME") or socket.gethostname(),
        public_url=os.environ.get("STALWART_PUBLIC_URL"),
        recovery_mode=_flag("STALWART_RECOVERY_MODE"),
    )
    if config is not None:
        settings.data_store = config
    return Start(
        config,
        settings,
        os.environ.get("STALWART_RECOVERY_ADMIN"),
        int(os.environ.get("STALWART_RECOVERY_MODE_PORT") or 8080),
        database,
    )


async def _bootstrap(start: Start) -> None:
    """No configuration: only health and a word about what is missing, on the management port."""
    if start.recovery_admin is None:
        log.warning("bootstrap mode; administrator of this start: admin:%s", secrets.token_urlsafe(12))

    async def handler(request: Request) -> Response:
        if request.path in {"/healthz/live", "/healthz/ready"}:
            return problem(200 if request.path.endswith("live") else 503)
        return problem(403, "The server is in bootstrap mode: /etc/stalwart/config.json is missing.")

    async def http(connection: Connection) -> None:
        await serve(connection, handler)

    registry = Registry(Store(":memory:"), start.settings)
    mail = Mail(registry, Authenticator(registry, start.recovery_admin), Path("/nonexistent"))
    listeners = Listeners(registry, mail.certificates, {"http": http})
    listeners.serve(("::", start.recovery_port), _plain_listener(registry), [])
    await _until_stopped([])
    await listeners.close()


def _plain_listener(registry: Registry) -> JsonObject:
    return {**registry.schema.default("x:NetworkListener"), "name": "http", "protocol": "http", "useTls": False}


async def _until_stopped(tasks: list[asyncio.Task[None]]) -> None:
    """Wait for a signal, or for a task that must not end."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    waiting = asyncio.create_task(stop.wait())
    done, _ = await asyncio.wait([waiting, *tasks], return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    for task in tasks:
        if task in done:
            task.result()


async def _serve(start: Start) -> None:
    start.data.parent.mkdir(parents=True, exist_ok=True)
    store = Store(start.data)
    registry = Registry(store, start.settings)
    if not start.settings.recovery_mode:
        registry.insert_defaults()
    registry.start()
    authenticator = Authenticator(registry, start.recovery_admin)
    mail_root = start.data.parent / "mail"
    mail = Mail(registry, authenticator, mail_root)
    mail.certificates.load()
    web = Web(mail, Jmap(registry, mail))
    imap = Imap(registry.directory, store, mail_root, RUN_DIRECTORY)
    handlers: dict[str, Handler] = {"smtp": mail.serve_smtp, "http": web.serve, "imap": imap.serve}
    listeners = Listeners(registry, mail.certificates, handlers)
    tasks: list[asyncio.Task[None]] = []
    if start.settings.recovery_mode:
        log.warning("recovery mode: management only, on port %d", start.recovery_port)
        listeners.serve(("::", start.recovery_port), _plain_listener(registry), [])
    else:
        await imap.start()
        listeners.bind()
        tasks = [asyncio.create_task(mail.queue.run()), asyncio.create_task(imap.watch())]
    log.info("server.startup: stand-in for Stalwart 0.16.18 as %s", registry.hostname)
    try:
        await _until_stopped(tasks)
    finally:
        log.info("server.shutdown")
        for task in tasks:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks, return_exceptions=True)
        await listeners.close()
        await imap.stop()
        mail.close()
        store.close()


def main() -> None:
    """Entry point of the image."""
    parser = argparse.ArgumentParser(prog="stalwart", description="Stand-in for Stalwart 0.16.18 (lab only)")
    parser.add_argument("--config", type=Path, default=Path(os.environ.get("CONFIG_PATH", "/etc/stalwart/config.json")))
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    os.umask(0o077)
    start = read_start(arguments.config)
    asyncio.run(_bootstrap(start) if start.config is None else _serve(start))


if __name__ == "__main__":
    main()
