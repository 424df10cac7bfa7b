# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``/ready``, ``/metrics`` and ``/healthcheck`` on the address of ``--metrics``."""

from __future__ import annotations

import asyncio
import json

from . import VERSION, wire
from .connector import Connector

#: Seconds that a request's head may take.
HEAD_SECONDS = 10


def ready(connector: Connector) -> tuple[int, str]:
    """As the real one: 200 with at least one connection to the edge, else 503."""
    count = len(connector.counts.active)
    status = 200 if count else 503
    body = {"status": status, "readyConnections": count, "connectorId": connector.id}
    return status, json.dumps(body, separators=(",", ":"))


def metrics(connector: Connector) -> str:
    """The series of the real one that the product may look at, with true numbers."""
    counts = connector.counts
    series = (
        (
            "build_info",
            "gauge",
            f'{{goversion="none",revision="mailstead lab stand-in",type="",version="{VERSION}"}}',
            1,
        ),
        ("cloudflared_tunnel_ha_connections", "gauge", "", len(counts.active)),
        ("cloudflared_tunnel_total_requests", "counter", "", counts.requests),
        ("cloudflared_tunnel_request_errors", "counter", "", counts.errors),
        ("cloudflared_orchestration_config_version", "gauge", "", counts.version),
        ("cloudflared_tcp_total_sessions", "counter", "", counts.streams),
    )
    return "".join(f"# TYPE {name} {kind}\n{name}{labels} {value}\n" for name, kind, labels, value in series)


def answer(connector: Connector, path: str) -> tuple[int, str]:
    if path == "/ready":
        return ready(connector)
    if path == "/metrics":
        return 200, metrics(connector)
    if path == "/healthcheck":
        return 200, "OK\n"
    return 404, "404 page not found\n"


async def serve(connector: Connector, host: str, port: int) -> asyncio.Server:
    """The listening server. Raises OSError."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), HEAD_SECONDS)
            words = head.split(None, 2)
            status, body = answer(connector, words[1].decode("latin-1").partition("?")[0] if len(words) > 1 else "")
            data = body.encode()
            reason = {200: "OK", 404: "Not Found", 503: "Service Unavailable"}[status]
            lines = (
                f"HTTP/1.1 {status} {reason}",
                "Content-Type: text/plain; charset=utf-8",
                f"Content-Length: {len(data)}",
                "Connection: close",
            )
            writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + data)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.TimeoutError):
            pass
        finally:
            await wire.close(writer)

    return await asyncio.start_server(handle, host, port)
