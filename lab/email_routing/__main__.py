# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``python3 -m lab.email_routing --config FILE``: the exchangers as a server."""

from __future__ import annotations

import argparse
import asyncio
import functools
import logging
import signal
import sys
from pathlib import Path

from . import judgement, smtp
from .config import Config
from .delivery import Delivery
from .exchange import Exchange
from .lookup import Lookup
from .service import TwinAccount
from .workers.runner import Workers


def build(config: Config, lookup: Lookup) -> tuple[Exchange, Workers]:
    """The pipeline and its Workers, which have to be closed."""
    account = TwinAccount(config.control)
    delivery = Delivery(lookup, config.identity, config.destination_port)
    authority = Path(config.control.authority).read_text(encoding="ascii") if config.control.authority else ""
    workers = Workers(config.workerd, account.script, config.outbound, authority)
    key = Path(config.dkim_key).read_bytes() if config.dkim_key else b""
    judge = functools.partial(judgement.judge, lookup)
    return Exchange(account, judge, delivery.deliver, workers, config.secret, key), workers


async def serve(exchange: Exchange, config: Config) -> None:
    """Until a signal comes."""
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    servers = await smtp.listen(exchange, config.listeners, config.port)
    logging.getLogger("routing").info("listening as %s", ", ".join(listener.name for listener in config.listeners))
    await ended.wait()
    for server in servers:
        server.close()


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python3 -m lab.email_routing", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="JSON file, see lab/email_routing/config.py")
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s", stream=sys.stderr)
    # aiosmtpd tells every step of every session.
    logging.getLogger("mail.log").setLevel(logging.WARNING)
    config = Config.from_file(arguments.config)
    exchange, workers = build(config, Lookup())
    try:
        asyncio.run(serve(exchange, config))
    finally:
        workers.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
