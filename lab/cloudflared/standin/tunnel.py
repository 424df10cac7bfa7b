# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``tunnel run``: credentials found as the real one finds them, then the connector until a signal comes."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import LABEL, VERSION, ingress, metrics
from .connector import Connector, Credentials, Edge
from .ingress import Rule
from .log import Log
from .usage import Line, UsageError

HELP = "See 'cloudflared tunnel run --help'."
INVALID_TOKEN = f"Provided Tunnel token is not valid.\n{HELP}"
NO_TUNNEL = (
    '"cloudflared tunnel run" requires the ID or name of the tunnel to run as the last command line argument or in the '
    f"configuration file.\n{HELP}"
)


def credentials_of_token(text: str) -> Credentials:
    """Those in a tunnel's token. Raises UsageError."""
    try:
        data = json.loads(base64.b64decode(text.strip(), validate=True))
        return Credentials(str(data["a"]), str(data["t"]), str(data["s"]))
    except (binascii.Error, ValueError, KeyError, TypeError) as error:
        raise UsageError(INVALID_TOKEN) from error


def _token(options: Mapping[str, str]) -> str | None:
    """The token, from where the real one looks for it, in that order."""
    if "token" in options:
        return options["token"]
    if "token-file" in options:
        try:
            return Path(options["token-file"]).read_text(encoding="utf-8").strip()
        except OSError as error:
            words = f"open {options['token-file']}: {(error.strerror or '').lower()}"
            raise UsageError(f"Failed to read token file: {words}\n{HELP}") from error
    return None


def _credentials_of_file(name: str, path: str) -> Credentials:
    if not path or not Path(path).is_file():
        raise UsageError(f"Tunnel credentials file '{path}' doesn't exist or is not a file", 1)
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
        found = Credentials(str(data["AccountTag"]), str(data["TunnelID"]), str(data["TunnelSecret"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"couldn't read tunnel credentials from {path}: {error}", 1) from error
    if name and name != found.tunnel:
        raise UsageError(f"{name} is neither the ID nor the name of any of your tunnels", 1)
    return found


def run(line: Line) -> int:
    """``tunnel run``."""
    token, config = _token(line.options), line.options.get("config", "")
    rules = None
    if token is not None:
        given = credentials_of_token(token)
    else:
        try:
            data: dict[str, Any] = ingress.load(Path(config)) if config else {}
            name = (line.words[2:] or [str(data.get("tunnel") or "")])[0]
            if not name:
                raise UsageError(NO_TUNNEL)
            file = line.options.get("credentials-file") or str(data.get("credentials-file") or "")
            given = _credentials_of_file(name, file)
            rules = ingress.parse(data) if data.get("ingress") else None
        except (OSError, ingress.IngressError) as error:
            raise UsageError(str(error), 1) from error
    log = Log()
    edge = Edge.from_flag(line.options["edge"]) if "edge" in line.options else Edge()
    return asyncio.run(_connector(given, edge, rules, line.options.get("metrics", "localhost:20241"), log))


async def _connector(
    credentials: Credentials, edge: Edge, rules: tuple[Rule, ...] | None, address: str, log: Log
) -> int:
    log.info("Starting tunnel", tunnelID=credentials.tunnel)
    log.warn(
        f"This connector is the {LABEL}, and its edge is the lab's: it is not cloudflared and reaches no Cloudflare"
    )
    log.info(f"Version {VERSION} ({LABEL})")
    connector = Connector(credentials, log, edge, rules)
    log.info(f"Generated Connector ID: {connector.id}")
    host, _, port = address.rpartition(":")
    try:
        server = await metrics.serve(connector, host, int(port))
    except (OSError, ValueError) as error:
        raise UsageError(f"Error opening metrics server listener: {error}", 1) from error
    log.info(f"Starting metrics server on {address}/metrics")

    def leave(number: signal.Signals) -> None:
        log.info(f"Initiating graceful shutdown due to signal {number.name} ...")
        connector.leave()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, leave, number)
    await connector.run()
    server.close()
    log.info("Tunnel server stopped")
    return 0
