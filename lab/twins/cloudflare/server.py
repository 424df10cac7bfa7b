# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The HTTPS front: HTTP/1.1 with keep-alive, one thread per connection, the TLS handshake in that thread."""

from __future__ import annotations

import logging
import socket
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from .faults import ConnectionDroppedError
from .response import LABEL, Response
from .twin import Twin

LOG = logging.getLogger("twin.http")

#: The largest body taken: a full batch of 3,500 TXT records of 2,048 characters stays below it.
BODY_MAX = 16 * 1024 * 1024

#: Seconds an idle connection is kept.
IDLE = 75


def parse_listen(text: str) -> tuple[str, int]:
    """``address:port`` with an IPv6 address in brackets. Raises ValueError."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit():
        raise ValueError(f"{text!r} is not address:port")
    return host.strip("[]"), int(port)


def tls_context(cert: str, key: str) -> ssl.SSLContext:
    """A server context with TLS 1.2 and later. Raises OSError for files that cannot be read."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(cert, key)
    context.set_alpn_protocols(["http/1.1"])
    return context


class Handler(BaseHTTPRequestHandler):
    """Carries requests to the twin and its answers back."""

    protocol_version = "HTTP/1.1"
    server_version = "mailstead-lab"
    sys_version = ""
    timeout = IDLE
    # Requests are small; waiting to fill segments would only add latency to each.
    disable_nagle_algorithm = True
    # Head and body leave in one segment; http.server flushes after each request.
    wbufsize = 65536
    server: TwinServer

    def setup(self) -> None:
        if self.server.context is not None:
            self.request.settimeout(IDLE)
            self.request = self.server.context.wrap_socket(self.request, server_side=True)
        self.server.twin.log.connected()
        super().setup()

    def finish(self) -> None:
        super().finish()
        # Wrapping took the descriptor away from the socket that the server would close.
        self.connection.close()

    def _serve(self) -> None:
        body = self._read_body()
        if body is None:
            return
        parts = urlsplit(self.path)
        try:
            response = self.server.twin.handle(self.command, parts.path, parts.query, dict(self.headers.items()), body)
        except ConnectionDroppedError:
            self._drop()
            return
        self._send(response)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815

    def _read_body(self) -> bytes | None:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            return self._read_chunks()
        length = self.headers.get("Content-Length", "0")
        if not length.isdigit() or int(length) > BODY_MAX:
            self._too_large()
            return None
        return self.rfile.read(int(length))

    def _read_chunks(self) -> bytes | None:
        """RFC 9112 §7.1, trailers ignored."""
        body = bytearray()
        while size := int(self.rfile.readline(1024).split(b";")[0], 16):
            if len(body) + size > BODY_MAX:
                self._too_large()
                return None
            body += self.rfile.read(size)
            self.rfile.readline(1024)
        while self.rfile.readline(1024).strip():
            pass
        return bytes(body)

    def _too_large(self) -> None:
        """Refuse the body unread, which ends the connection."""
        self.close_connection = True
        self._send(Response(413, dict(LABEL), None, "The body is too large.\n"))

    def _send(self, response: Response) -> None:
        body = response.body
        self.send_response(response.status)
        headers = {"Content-Type": "text/plain; charset=utf-8", **response.headers, "Content-Length": str(len(body))}
        for name, value in headers.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def handle_expect_100(self) -> bool:
        """The client waits for this line before it sends its body, so it must not stay in the buffer."""
        result = super().handle_expect_100()
        self.wfile.flush()
        return result

    def _drop(self) -> None:
        """End the connection without an answer, as a broken path would: no TLS goodbye either."""
        self.close_connection = True
        try:
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            LOG.debug("the peer was gone already")

    def log_message(self, format: str, *args: Any) -> None:
        """The request line, without headers: they hold the token."""
        LOG.info("%s %s", self.client_address[0], format % args)


class TwinServer(ThreadingHTTPServer):
    """A twin on one address. context: TLS, or None for plain HTTP (bench and unit tests on loopback)."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, twin: Twin, address: tuple[str, int], context: ssl.SSLContext | None = None) -> None:
        self.twin, self.context = twin, context
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, Handler)

    def server_bind(self) -> None:
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        super().server_bind()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A peer that goes away or does not trust us is its own business, not a stack trace."""
        LOG.debug("connection from %s ended early", client_address, exc_info=True)

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class Running:
    """Servers in the background; a context manager for tests. urls: one per address."""

    def __init__(self, twin: Twin, listen: list[str], context: ssl.SSLContext | None = None) -> None:
        self.servers = [TwinServer(twin, parse_listen(text), context) for text in listen]
        self._threads = [threading.Thread(target=s.serve_forever, args=(0.1,), daemon=True) for s in self.servers]

    def start(self) -> Running:
        for thread in self._threads:
            thread.start()
        return self

    def stop(self) -> None:
        for server in self.servers:
            server.shutdown()
            server.server_close()
        for thread in self._threads:
            thread.join()

    def __enter__(self) -> Running:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def urls(self) -> list[str]:
        scheme = "https" if self.servers[0].context else "http"
        return [f"{scheme}://{s.server_address[0]!s}:{s.port}" for s in self.servers]
