# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the exchanger's tests stand on: DNS by a table, an account by another, and somebody else's mail server."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import dkim
from aiosmtpd.smtp import SMTP
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from lab.email_routing.judgement import Judgement
from lab.email_routing.lookup import Lookup, LookupFailedError
from lab.email_routing.service import Route, Script, ServiceError

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PEM = KEY.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
)
_SPKI = KEY.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
DKIM_RECORD = f"v=DKIM1; k=rsa; p={base64.b64encode(_SPKI).decode()}"

SENDER, RECIPIENT = "visitor@stranger.example.org", "hi@example.me"
MESSAGE = (
    b"From: A stranger <visitor@stranger.example.org>\r\nTo: hi@example.me\r\nSubject: hello\r\n"
    b"Date: Fri, 20 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@stranger.example.org>\r\n\r\nHello.\r\n"
)


@dataclass
class TextRecord:
    strings: tuple[bytes, ...]


@dataclass
class AddressRecord:
    address: str


class Table(Lookup):
    """Look-ups by a table of (name, type); a name in ``broken`` cannot be looked up now."""

    def __init__(self, records: dict[tuple[str, str], list[Any]] | None = None) -> None:
        self.records = records or {}
        self.broken: set[str] = set()

    def text(self, name: str, text: str) -> None:
        self.records.setdefault((name, "TXT"), []).append(TextRecord((text.encode(),)))

    def address(self, name: str, *addresses: str) -> None:
        for address in addresses:
            kind = "AAAA" if ":" in address else "A"
            self.records.setdefault((name, kind), []).append(AddressRecord(address))

    def query(self, name: str, kind: str) -> list[Any]:
        name = name.rstrip(".")
        if name in self.broken:
            raise LookupFailedError(f"{kind} {name}: nobody answers")
        return self.records.get((name, kind), [])

    def exchangers(self, name: str) -> list[str]:
        if name in self.broken:
            raise LookupFailedError(f"MX {name}: nobody answers")
        return list(self.records.get((name, "MX"), []))


@dataclass
class Account:
    """An account by tables. down: it cannot be asked."""

    routes: dict[str, Route] = field(default_factory=dict)
    destinations: set[str] = field(default_factory=set)
    scripts: dict[str, Script] = field(default_factory=dict)
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    down: bool = False

    def _asked(self) -> None:
        if self.down:
            raise ServiceError("the account is away")

    def route(self, recipient: str) -> Route | None:
        self._asked()
        return self.routes.get(recipient)

    def verified(self, destination: str) -> bool:
        self._asked()
        return destination in self.destinations

    def script(self, name: str) -> Script | None:
        self._asked()
        return self.scripts.get(name)

    def report(self, zone: str, event: dict[str, Any]) -> None:
        self._asked()
        self.events.append((zone, event))


def judged(spf: str = "pass", dkim_result: str = "pass", dmarc: str = "pass", policy: str = "none") -> Judgement:
    return Judgement(spf, dkim_result, dmarc, policy, b"Authentication-Results: mx.cloudflare.net; made up\r\n")


def signed(message: bytes, domain: str = "stranger.example.org", selector: str = "s") -> bytes:
    header: bytes = dkim.sign(message, selector.encode(), domain.encode(), PEM)
    return header + message


@dataclass
class Mailbox:
    """Somebody else's server: answers each step as it is told and keeps what it was given."""

    port: int = 0
    recipient_answer: str = "250 2.1.5 Ok"
    data_answer: str = "250 2.0.0 Ok: queued"
    taken: list[tuple[str, str, bytes]] = field(default_factory=list)

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        if self.recipient_answer.startswith("2"):
            envelope.rcpt_tos.append(address)
        return self.recipient_answer

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self.data_answer.startswith("2"):
            self.taken.append((envelope.mail_from, envelope.rcpt_tos[0], bytes(envelope.content)))
        return self.data_answer


@contextlib.contextmanager
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop that runs in a thread of its own."""
    running = asyncio.new_event_loop()
    thread = threading.Thread(target=running.run_forever)
    thread.start()
    try:
        yield running
    finally:
        running.call_soon_threadsafe(running.stop)
        thread.join()
        running.close()


@contextlib.contextmanager
def mailbox() -> Iterator[Mailbox]:
    """A destination's server on loopback."""
    box = Mailbox()
    with loop() as running:

        async def start() -> asyncio.Server:
            return await asyncio.get_running_loop().create_server(lambda: SMTP(box), "127.0.0.1", 0)

        server = asyncio.run_coroutine_threadsafe(start(), running).result(10)
        box.port = server.sockets[0].getsockname()[1]
        try:
            yield box
        finally:
            running.call_soon_threadsafe(server.close)
