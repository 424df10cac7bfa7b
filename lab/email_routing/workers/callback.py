# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The exchanger's side of a running Worker: its actions come in as HTTP requests over a socket file."""

from __future__ import annotations

import http.client
import json
import socket
import socketserver
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from .session import ActionError, Session


class UnixConnection(http.client.HTTPConnection):
    """A client's connection to a socket file."""

    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("worker", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class Actions(socketserver.ThreadingUnixStreamServer):
    """Listens until it is closed. sessions: the runs under way, by name; senders: allowed destinations by binding."""

    daemon_threads = True

    def __init__(self, path: Path, senders: Mapping[str, tuple[str, ...]]) -> None:
        super().__init__(str(path), _Handler)
        self.sessions: dict[str, Session] = {}
        self.senders = senders
        self._thread = threading.Thread(target=self.serve_forever, args=(0.1,), name="worker-actions", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self.shutdown()
        self.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Actions

    def do_POST(self) -> None:
        # The harness hands over whole bodies, so that each has a length.
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        parts = urlsplit(self.path)
        name, _, action = parts.path.strip("/").partition("/")
        words = {key: values[0] for key, values in parse_qs(parts.query, keep_blank_values=True).items()}
        try:
            self._act(self.server.sessions[name], action, words, body)
            self._answer(200, "")
        except KeyError:
            # A Worker that acts after its end, from a promise it did not wait for.
            self._answer(410, "the message is gone")
        except ActionError as error:
            self._answer(422, str(error))
        except OSError as error:
            self._answer(503, str(error))

    def _act(self, session: Session, action: str, words: dict[str, str], body: bytes) -> None:
        if action == "forward":
            session.act_forward(words["to"], tuple((str(n), str(v)) for n, v in json.loads(body)))
        elif action == "reply":
            session.act_reply(words["from"], words["to"], body)
        elif action == "send":
            session.act_send(words["from"], words["to"], body, self.server.senders[words["binding"]])
        else:
            raise ActionError(f"unknown action {action}")

    def _answer(self, status: int, text: str) -> None:
        data = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def address_string(self) -> str:
        return "worker"

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: what a Worker did is in the exchanger's own log."""
