# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server that can be set up, killed and started again: the stand-in as a process, or a real image as a container.

The real one is used when ``MAILSTEAD_CONTRACT_IMAGE`` names it (``stalwartlabs/stalwart:v0.16.18``); that takes a container
engine and the right to answer its look-ups on port 53 of a network of its own.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import smtplib
import socket
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
from ansible_collections.mailstead.stack.plugins.module_utils.stalwart.apply import apply
from ansible_collections.mailstead.stack.plugins.module_utils.stalwart.client import Client, basic
from ansible_collections.mailstead.stack.plugins.module_utils.stalwart.engine import make_plan, needed_types
from ansible_collections.mailstead.stack.plugins.module_utils.stalwart.state import State

ADMIN = ("admin", "recovery-secret-of-the-test")
SERVER_NAME = "notify.example.com"
ROOT = Path(__file__).parents[2]
IMAGE = os.environ.get("MAILSTEAD_CONTRACT_IMAGE", "")
NETWORK = "mailstead-contract"
SUBNET, GATEWAY, ADDRESS = "10.99.77.0/24", "10.99.77.1", "10.99.77.10"


class Server:
    """What both have in common. etc: a directory that the server sees as ``inside``; near: where its neighbours listen."""

    near = "127.0.0.1"
    real = False

    def __init__(self, etc: Path) -> None:
        self.etc = etc
        self.inside = str(etc)
        self.state = etc.parent / "state"

    def start(self) -> None:
        """Start it, or start it again over what it has; returns when it answers."""
        raise NotImplementedError

    def kill(self) -> None:
        """SIGKILL."""
        raise NotImplementedError

    def close(self) -> None:
        """Remove it."""
        raise NotImplementedError

    def place(self, listener: str) -> tuple[str, int]:
        """Where a listener is."""
        raise NotImplementedError

    # -- management -------------------------------------------------------------------------------------------------
    def client(self) -> Client:
        """The product's client, as the recovery administrator."""
        host, port = self.place("http")
        return Client(f"http://{host}:{port}", basic(*ADMIN))

    def apply(self, objects: list[dict[str, Any]]) -> tuple[list[str], bool]:
        """What the module stalwart_objects does: the labels of what it changed, and whether a restart is due."""
        client = self.client()
        try:
            schema = client.schema(None)
            types, singletons = needed_types(schema, objects, ())
            state = State(self.state)
            plan = make_plan(schema, objects, client.get_all(types, singletons), state.remembered, ())
            outcome = apply(client, plan, state)
            return [*outcome.applied, *outcome.actions], plan.restart
        finally:
            client.close()

    def objects(self, kind: str) -> list[dict[str, Any]]:
        """Every object of a type."""
        client = self.client()
        try:
            return list(client.call([(f"x:{kind}/get", {"ids": None})])[0]["list"])
        finally:
            client.close()

    # -- mail -------------------------------------------------------------------------------------------------------
    def smtp(self, login: str = "", password: str = "", listener: str = "submissions") -> smtplib.SMTP:
        """A session; over STARTTLS where the listener has no TLS of its own and a login is given."""
        host, port = self.place(listener)
        trust = ssl.create_default_context(cafile=str(self.etc / "ca.crt"))
        if listener == "submissions":
            session: smtplib.SMTP = _Implicit(host, port, trust)
        else:
            session = smtplib.SMTP(host, port, local_hostname="app.test", timeout=30)
        session.ehlo()
        if login:
            if listener != "submissions":
                session._host = SERVER_NAME  # type: ignore[attr-defined]
                session.starttls(context=trust)
                session.ehlo()
            session.login(login, password)
        return session


class _Implicit(smtplib.SMTP_SSL):
    """Connects to an address and expects the server's name."""

    def __init__(self, host: str, port: int, trust: ssl.SSLContext) -> None:
        self._trust = trust
        super().__init__(host, port, local_hostname="app.test", timeout=30, context=trust)

    def _get_socket(self, host: str, port: int, timeout: float) -> ssl.SSLSocket:
        return self._trust.wrap_socket(socket.create_connection((host, port), timeout), server_hostname=SERVER_NAME)


class StandIn(Server):
    """A process of the stand-in."""

    def __init__(self, etc: Path) -> None:
        super().__init__(etc)
        self._process: subprocess.Popen[bytes] | None = None
        self._data = etc.parent / "data"
        self._data.mkdir()

    def start(self) -> None:
        (self._data / "ports.json").unlink(missing_ok=True)
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join((str(ROOT / "collections"), str(ROOT))),
            "STALWART_RECOVERY_ADMIN": ":".join(ADMIN),
            "SSL_CERT_FILE": str(self.etc / "ca.crt"),
        }
        with (self._data / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.contract.standin_process", str(self._data)],
                cwd=ROOT,
                env=environment,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + 30
        while not (self._data / "ports.json").exists():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError((self._data / "log").read_text())
            time.sleep(0.05)

    def kill(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def close(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.kill()

    def place(self, listener: str) -> tuple[str, int]:
        return "127.0.0.1", int(json.loads((self._data / "ports.json").read_text())[listener])


def _docker(*arguments: str) -> str:
    return subprocess.run(["docker", *arguments], check=True, capture_output=True, text=True).stdout


class Container(Server):
    """The real image, on a network of its own whose gateway is where the test listens."""

    near = GATEWAY
    real = True

    def __init__(self, etc: Path) -> None:
        super().__init__(etc)
        self.inside = "/etc/stalwart"
        self._data = etc.parent / "data"
        self._data.mkdir()
        store = {"@type": "Sqlite", "path": "/var/lib/stalwart/stalwart.sqlite"}
        (etc / "config.json").write_text(json.dumps(store))
        for path in (etc, self._data, *etc.iterdir()):
            shutil.chown(path, 2000, 2000)
        # pytest keeps its directories to itself; the server runs as another user.
        for parent in etc.parents[: len(etc.parents) - 2]:
            with contextlib.suppress(PermissionError):
                parent.chmod(parent.stat().st_mode | 0o011)
        self._created = False
        _docker("network", "create", "--subnet", SUBNET, NETWORK)
        self._names = _Names()

    def start(self) -> None:
        if self._created:
            _docker("start", NETWORK)
        else:
            mounts = ["-v", f"{self.etc}:/etc/stalwart", "-v", f"{self._data}:/var/lib/stalwart"]
            environment = [f"STALWART_RECOVERY_ADMIN={':'.join(ADMIN)}", "SSL_CERT_FILE=/etc/stalwart/ca.crt"]
            _docker(
                *("run", "-d", "--name", NETWORK, "--hostname", "mail", "--network", NETWORK, "--ip", ADDRESS),
                *("--dns", GATEWAY, "--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL"),
                *("--cap-add", "NET_BIND_SERVICE", *mounts),
                *(word for text in environment for word in ("-e", text)),
                IMAGE,
            )
            self._created = True
        # Its first start waits for a download that this network refuses or swallows.
        client = self.client()
        client.wait(120)
        client.close()

    def kill(self) -> None:
        _docker("kill", "-s", "KILL", NETWORK)

    def close(self) -> None:
        for words in (("rm", "-f", NETWORK), ("network", "rm", NETWORK)):
            with contextlib.suppress(subprocess.CalledProcessError):
                _docker(*words)
        self._names.close()

    def place(self, listener: str) -> tuple[str, int]:
        return ADDRESS, {"submissions": 465, "submission": 587, "http": 8080}[listener]


class _Names:
    """Answers the container's look-ups: every name in ``.test`` is the gateway, nothing else exists."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((GATEWAY, 53))
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                data, peer = self._socket.recvfrom(4096)
            except OSError:
                return
            query = dns.message.from_wire(data)
            answer = dns.message.make_response(query)
            name, kind = query.question[0].name.to_text().lower(), query.question[0].rdtype
            if not name.endswith(".test."):
                answer.set_rcode(dns.rcode.NXDOMAIN)
            elif kind == dns.rdatatype.A:
                answer.answer.append(dns.rrset.from_text(name, 60, "IN", "A", GATEWAY))
            self._socket.sendto(answer.to_wire(), peer)

    def close(self) -> None:
        """Stop answering."""
        self._socket.close()
