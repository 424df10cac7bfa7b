# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Workers as processes of workerd, started when they are first needed and again when their script has changed."""

from __future__ import annotations

import contextlib
import json
import logging
import secrets
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlencode

from ..service import Script
from . import layout
from .callback import Actions, UnixConnection
from .session import Session, WorkerError

log = logging.getLogger("routing.worker")

#: Documented: a Worker that takes longer ends in a permanent failure.
LIMIT = 50.0
#: Seconds that workerd may take to listen.
START = 20.0


class Running:
    """One script in one process. Raises WorkerError when it cannot be started."""

    def __init__(self, program: str, script: Script, outbound: tuple[str, ...] = (), authority: str = "") -> None:
        self.script = script
        # Short, because the name of a socket file may have 107 octets.
        self._directory = Path(tempfile.mkdtemp(prefix="ms-worker-"))
        try:
            self._write(outbound, authority)
            self._actions = Actions(self._directory / layout.EXCHANGER_SOCKET, layout.senders(script))
        except (layout.LayoutError, OSError) as error:
            shutil.rmtree(self._directory)
            raise WorkerError(str(error)) from error
        self._process = subprocess.Popen(
            [program, "serve", str(self._directory / layout.CONFIG)], stdin=subprocess.DEVNULL, start_new_session=True
        )
        if not self._listening():
            self.close()
            raise WorkerError(f"{script.name} does not start; workerd's own words are in the log")

    def _write(self, outbound: tuple[str, ...], authority: str) -> None:
        for name, text in layout.files(self.script, self._directory, outbound, authority).items():
            file = self._directory / name
            file.touch(mode=0o600)
            file.write_text(text, encoding="utf-8")

    def _listening(self) -> bool:
        end = time.monotonic() + START
        pause = threading.Event()
        while self._process.poll() is None and time.monotonic() < end:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe, contextlib.suppress(OSError):
                probe.connect(str(self._directory / layout.WORKER_SOCKET))
                return True
            pause.wait(0.02)
        return False

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def run(self, session: Session, limit: float = LIMIT) -> None:
        """Run the handler on one message; what it did is in the session. Raises WorkerError."""
        name = secrets.token_hex(8)
        self._actions.sessions[name] = session
        query = {
            "from": session.sender,
            "to": session.recipient,
            "forwardable": "1" if session.judgement.authenticated else "0",
        }
        connection = UnixConnection(self._directory / layout.WORKER_SOCKET, limit)
        try:
            connection.request("POST", f"/{name}?{urlencode(query)}", session.message)
            result = json.load(connection.getresponse())
        except TimeoutError as error:
            raise WorkerError(f"{self.script.name} took longer than {limit:g} s", permanent=True) from error
        except (OSError, ValueError) as error:
            raise WorkerError(f"{self.script.name}: {error}") from error
        finally:
            connection.close()
            del self._actions.sessions[name]
        if result["error"] is not None:
            raise WorkerError(f"worker script threw an exception: {result['error']}")
        session.rejection = result["rejection"]

    def close(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._actions.close()
        shutil.rmtree(self._directory, ignore_errors=True)


class Workers:
    """The account's Workers. find: the script by name, as it is now; outbound, authority: see :func:`layout.files`."""

    def __init__(
        self, program: str, find: Callable[[str], Script | None], outbound: tuple[str, ...] = (), authority: str = ""
    ) -> None:
        self._program, self._find, self._outbound, self._authority = program, find, outbound, authority
        self._running: dict[str, Running] = {}
        self._lock = threading.Lock()

    def __call__(self, name: str, session: Session) -> None:
        """Raises WorkerError."""
        script = self._find(name)
        if script is None:
            raise WorkerError(f"there is no Worker {name}")
        if not self._program:
            raise WorkerError("Workers do not run here: the lab was built without workerd")
        self._current(script).run(session)

    def _current(self, script: Script) -> Running:
        with self._lock:
            running = self._running.get(script.name)
            if running is not None and running.alive and running.script == script:
                return running
            if running is not None:
                running.close()
                del self._running[script.name]
            self._running[script.name] = Running(self._program, script, self._outbound, self._authority)
            return self._running[script.name]

    def close(self) -> None:
        with self._lock:
            for running in self._running.values():
                running.close()
            self._running.clear()
