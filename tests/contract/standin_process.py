# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stand-in as a process of its own that can be killed: ``python -m tests.contract.standin_process DIRECTORY``.

It is the program of the image but for four things that a test has no use for or no right to: listeners get free ports on
loopback (``DIRECTORY/ports.json`` says which, by name), no IMAP, routes may lead to loopback, and every host name is there.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
from pathlib import Path

from lab.standin.server.delivery import Delivery
from lab.standin.server.jmap import Jmap
from lab.standin.server.listeners import Handler, Listeners
from lab.standin.server.mail import Mail
from lab.standin.server.registry import Registry, Settings
from lab.standin.server.resolver import Resolver
from lab.standin.server.store import Store
from lab.standin.server.tokens import Authenticator
from lab.standin.server.web import Web

LOOPBACK = "127.0.0.1"


class NearbyDelivery(Delivery):
    """Delivery to loopback, where the test's smarthosts are."""

    @staticmethod
    def _allowed(host: str, address: str) -> str:
        return address


class NearbyResolver(Resolver):
    """Every host is here."""

    def addresses(self, name: str) -> list[str]:
        """The address of a test's host."""
        return [LOOPBACK]


def _announce(directory: Path, listeners: Listeners, registry: Registry) -> None:
    """Bind every listener that the stand-in serves, then say where, in one step."""
    ports = {
        listener["name"]: listeners.serve((LOOPBACK, 0), listener, [])
        for listener in registry.live_objects("NetworkListener").values()
        if listener["protocol"] in {"smtp", "http"}
    }
    draft = directory / "ports.new"
    draft.write_text(json.dumps(ports))
    draft.rename(directory / "ports.json")


async def _serve(directory: Path) -> None:
    registry = Registry(Store(directory / "db.sqlite"), Settings(hostname="localhost"), lambda _host, _port: None)
    registry.insert_defaults()
    registry.start()
    mail = Mail(registry, Authenticator(registry, os.environ["STALWART_RECOVERY_ADMIN"]), directory / "mail")
    mail.resolver = NearbyResolver(registry)
    mail.delivery = mail.queue.delivery = NearbyDelivery(registry, mail.resolver, directory / "mail")
    mail.certificates.load()
    handlers: dict[str, Handler] = {"smtp": mail.serve_smtp, "http": Web(mail, Jmap(registry, mail)).serve}
    listeners = Listeners(registry, mail.certificates, handlers)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    queue = asyncio.create_task(mail.queue.run())
    _announce(directory, listeners, registry)
    await stop.wait()
    queue.cancel()
    await asyncio.gather(queue, return_exceptions=True)
    await listeners.close()
    mail.close()
    registry.store.close()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    asyncio.run(_serve(Path(sys.argv[1])))
