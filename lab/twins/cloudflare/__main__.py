# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``python3 -m lab.twins.cloudflare --config FILE``: the twin as a server. Listens once DNS serves its records."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
from pathlib import Path

from .config import ConfigError, TwinConfig
from .ddns import DdnsPublisher
from .errors import ApiError
from .server import Running, tls_context
from .state import PublishError
from .store import FileStore
from .twin import Twin

LOG = logging.getLogger("twin")

#: What ends the server.
SIGNALS = frozenset([signal.SIGTERM, signal.SIGINT])


def build(config: TwinConfig) -> Twin:
    """The twin with its DNS target and its files; brings DNS to the saved or configured records first.

    Raises PublishError, ApiError (a configured record is refused) and OSError.
    """
    publisher = DdnsPublisher(config.ddns, config.proxy, config.tunnel_edge) if config.ddns else None
    store = FileStore(Path(config.state_dir)) if config.state_dir else None
    if publisher:
        publisher.wait_until_serving(config.zones)
    twin = Twin(
        config,
        publisher,
        store,
        load=store.load if store else None,
        importer=publisher.import_bodies if publisher else None,
        account_store=store,
        trust_store=store,
    )
    for state in twin.zones.values():
        if publisher:
            publisher.synchronise(state.zone, state.snapshot().values())
            state.use_server_key()
        if store:
            store.save(state)
    return twin


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python3 -m lab.twins.cloudflare", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="JSON file, see lab/twins/cloudflare/config.py")
    parser.add_argument("--check", action="store_true", help="only check the configuration")
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s", stream=sys.stderr)
    try:
        config = TwinConfig.from_file(arguments.config)
        if arguments.check:
            return 0
        context = tls_context(config.tls_cert, config.tls_key) if config.tls_cert else None
        twin = build(config)
        # Blocked before the first thread exists, so that the signals reach sigwait below and nothing else: a handler
        # that sets an Event can deadlock with the wait it interrupts.
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        running = Running(twin, list(config.listen), context)
    except (ConfigError, PublishError, ApiError, OSError, ValueError) as error:
        LOG.error("%s", error)
        return 2
    with running:
        LOG.info("serving %d zones on %s", len(config.zones), ", ".join(running.urls))
        signal.sigwait(SIGNALS)
    return 0


if __name__ == "__main__":
    sys.exit(main())
