# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Knot of its own on loopback, with signed zones that a key may transfer and update."""

from __future__ import annotations

import base64
import dataclasses
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import dns.exception
import dns.flags
import dns.message
import dns.query
import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.rfc2136.link import Key

SECRET = base64.b64encode(b"a test's secret of no value what").decode()
KEY = Key("mailstead-test", "hmac-sha256", SECRET)
#: Keys that may only update, and only transfer.
WRITER = Key("mailstead-writer", "hmac-sha256", SECRET)
READER = Key("mailstead-reader", "hmac-sha256", SECRET)

_HEAD = """
server:
  rundir: {directory}
  listen: 127.0.0.1@{port}
  udp-workers: 1
  tcp-workers: 2
  background-workers: 1
log:
  - target: {directory}/knot.log
    any: info
database:
  storage: {directory}
key:
{keys}acl:
  - id: all
    key: mailstead-test
    action: [transfer, update]
  - id: write
    key: mailstead-writer
    action: update
  - id: read
    key: mailstead-reader
    action: transfer
zone:
"""
_KEY = """  - id: {name}
    algorithm: {algorithm}
    secret: {secret}
"""
_ZONE = """
  - domain: {name}
    storage: {directory}
    file: {name}.zone
    dnssec-signing: {signed}
    acl: [all, write, read]
"""
_FILE = """@ 3600 SOA ns1.example.net. hostmaster.example.net. 1 10000 2400 604800 60
@ 86400 NS ns1.example.net.
@ 86400 NS ns2.example.net.
"""


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Knot:
    """zones: names; those in unsigned are served without DNSSEC."""

    def __init__(self, directory: Path, zones: Sequence[str], unsigned: Sequence[str] = ()) -> None:
        self.port, self.directory, self.zones = free_port(), directory, tuple(zones)
        keys = "".join(_KEY.format(**dataclasses.asdict(key)) for key in (KEY, WRITER, READER))
        text = _HEAD.format(directory=directory, port=self.port, keys=keys)
        for name in zones:
            text += _ZONE.format(name=name, directory=directory, signed="off" if name in unsigned else "on")
            (directory / f"{name}.zone").write_text(_FILE, encoding="ascii")
        (directory / "knot.conf").write_text(text, encoding="ascii")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Knot:
        command = ["knotd", "-c", str(self.directory / "knot.conf")]
        self._process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        end, pause = time.monotonic() + 20, threading.Event()
        for zone in self.zones:
            while not self._serves(zone):
                assert self._process.poll() is None and time.monotonic() < end, self.log()
                pause.wait(0.05)
        return self

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(20)
            self._process = None

    def log(self) -> str:
        path = self.directory / "knot.log"
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def _serves(self, zone: str) -> bool:
        try:
            answer = dns.query.udp(dns.message.make_query(zone, "SOA"), "127.0.0.1", timeout=1, port=self.port)
        except (OSError, dns.exception.DNSException):
            return False
        return bool(answer.answer) and bool(answer.flags & dns.flags.AA)


def needs_knot() -> None:
    """Skip where knotd is not installed; the lab runs the same tests against its own."""
    if shutil.which("knotd") is None:
        pytest.skip("knotd is not installed; the lab runs the same against its own")
