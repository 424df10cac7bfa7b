# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An edge, an account behind it, a connector and a service, all on loopback."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import datetime
import io
import ipaddress
import json
import ssl
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import NameOID

from lab.cloudflared.standin import wire
from lab.cloudflared.standin.assertion import Verifier
from lab.cloudflared.standin.connector import Connector, Credentials, Edge
from lab.cloudflared.standin.ingress import Rule, parse
from lab.cloudflared.standin.log import Log
from lab.tunnel_edge.__main__ import running
from lab.tunnel_edge.config import Config, Control, Limits
from lab.tunnel_edge.service import Decision, Registration, Tunnel, Visitor

HOSTNAME, TEAM, AUDIENCE = "smtp.example.com", "mailstead", "a" * 64
ISSUER = f"https://{TEAM}.cloudflareaccess.com"
TUNNEL, ACCOUNT = "6ff42ae2-765d-4adf-8112-31c55c1551ef", "b" * 32
SECRET = base64.b64encode(b"s" * 32).decode()
TOKEN = ("app1.access", "good")
CREDENTIALS = Credentials(ACCOUNT, TUNNEL, SECRET)
LIMITS = Limits(request=5, open=5, ping=0.2, idle=0.8, poll=0.05)


class Signer:
    """A team's key."""

    def __init__(self, kid: str = "k1") -> None:
        self.kid, self.key = kid, rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def jwk(self) -> dict[str, str]:
        numbers = self.key.public_key().public_numbers()
        n, e = (_encoded(v.to_bytes((v.bit_length() + 7) // 8, "big")) for v in (numbers.n, numbers.e))
        return {"kid": self.kid, "kty": "RSA", "alg": "RS256", "use": "sig", "n": n, "e": e}

    def assertion(self, **changes: Any) -> str:
        claims = {"aud": [AUDIENCE], "iss": ISSUER, "exp": int(time.time()) + 60, "type": "app", **changes}
        head = {"alg": "RS256", "kid": self.kid}
        signed = ".".join(_encoded(json.dumps(part).encode()) for part in (head, claims))
        return f"{signed}.{_encoded(self.key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def certificate(directory: Path) -> Path:
    """A self-signed certificate for every name and address in use here, with its key in the same file; made once."""
    file = directory / "edge.pem"
    if file.is_file():
        return file
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.timezone.utc)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOSTNAME)])
    alternatives = x509.SubjectAlternativeName(
        [
            x509.DNSName(HOSTNAME),
            x509.DNSName("region1.v2.argotunnel.com"),
            x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
        ]
    )
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(alternatives, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return file


@dataclass
class FakeAccount:
    """An account with one tunnel and one application. assertion: what Access gives to who passes."""

    config: dict[str, Any]
    assertion: str = ""
    exists: bool = True
    version: int = 1
    remote: bool = True
    connections: dict[str, tuple[str, int]] = field(default_factory=dict)
    reached: list[int] = field(default_factory=list)
    protected: bool = True

    def decide(self, visitor: Visitor) -> Decision:
        if visitor.hostname != HOSTNAME:
            return Decision(False, status=530, error=1001)
        given = (visitor.token_id, visitor.token_secret)
        if self.protected and given != TOKEN:
            return Decision(False, status=403 if any(given) else 401, reason="not in the policy")
        if not self.connections:
            return Decision(False, status=530, error=1033)
        return Decision(True, TUNNEL, self.assertion if self.protected else "")

    def register(self, hello: dict[str, Any], ip: str) -> Registration:
        if hello["secret"] != SECRET:
            return Registration(error="Unauthorized: Invalid tunnel secret")
        name = f"c{len(self.reached)}-{hello['index']}-{time.monotonic_ns()}"
        self.connections[name] = (hello["connector"], hello["index"])
        return Registration(name, "lab01", self.remote, self.version, self.config if self.remote else None)

    def unregister(self, tunnel: str, connection: str) -> None:
        self.connections.pop(connection, None)

    def applied(self, tunnel: str, connector: str, version: int) -> None:
        self.reached.append(version)

    def tunnel(self, tunnel: str) -> Tunnel:
        if not self.exists:
            return Tunnel(False)
        config = self.config if self.remote else None
        return Tunnel(True, self.remote, self.version, config, frozenset(self.connections))

    def certs(self) -> dict[str, Any]:
        return {"keys": []}


def ingress(port: int, required: bool = True) -> dict[str, Any]:
    """Rules that lead to a service on loopback."""
    access = {"required": required, "teamName": TEAM, "audTag": [AUDIENCE]}
    return {
        "ingress": [
            {"hostname": HOSTNAME, "service": f"tcp://127.0.0.1:{port}", "originRequest": {"access": access}},
            {"service": "http_status:404"},
        ]
    }


@dataclass
class Service:
    """A TCP service. received: of each connection, complete once it has ended; greeting: said at once."""

    port: int = 0
    greeting: bytes = b""
    echo: bool = True
    received: list[bytearray] = field(default_factory=list)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        mine = bytearray()
        self.received.append(mine)
        with contextlib.suppress(OSError):
            writer.write(self.greeting)
            if not self.echo:
                await writer.drain()
                writer.close()
                return
            while chunk := await reader.read(wire.CHUNK):
                mine += chunk
                writer.write(chunk)
                await writer.drain()
        self.ended.set()
        writer.close()


@dataclass
class World:
    account: FakeAccount
    service: Service
    signer: Signer
    config: Config
    trust: ssl.SSLContext
    pem: Path
    port: int
    connector_port: int
    said: io.StringIO = field(default_factory=io.StringIO)
    #: Asked for keys so often.
    asked: list[str] = field(default_factory=list)

    def verifier(self) -> Verifier:
        def ask(url: str) -> Any:
            self.asked.append(url)
            return {"keys": [self.signer.jwk()]}

        return Verifier(ask)

    def connector(self, credentials: Credentials = CREDENTIALS, rules: tuple[Rule, ...] | None = None) -> Connector:
        edge = Edge("127.0.0.1", self.connector_port)
        log = Log(self.said)
        return Connector(credentials, log, edge, rules, self.verifier(), self.trust, connections=2, backoff=0.05)

    @contextlib.asynccontextmanager
    async def connected(self, connector: Connector | None = None) -> AsyncIterator[Connector]:
        """A connector at work."""
        made = connector or self.connector()
        task = asyncio.create_task(made.run())
        try:
            await until(lambda: len(made.counts.active) == 2)
            yield made
        finally:
            made.leave()
            await asyncio.wait_for(task, 10)

    async def change(self, config: dict[str, Any]) -> None:
        """Configure the tunnel anew, and wait until a connector has it."""
        self.account.config, self.account.version = config, self.account.version + 1
        await until(lambda: self.account.version in self.account.reached)


async def until(condition: Any, seconds: float = 8.0) -> None:
    """Wait for what other tasks do. Raises TimeoutError."""

    async def poll() -> None:
        while not condition():
            await asyncio.sleep(0.01)

    await asyncio.wait_for(poll(), seconds)


@contextlib.asynccontextmanager
async def world(
    directory: Path, limits: Limits = LIMITS, ports: tuple[int, int] = (0, 0), signer: Signer | None = None
) -> AsyncIterator[World]:
    """Everything but the connector. ports: of clients and connectors, 0 lets the system choose."""
    pem, service, signer = certificate(directory), Service(), signer or Signer()
    server = await asyncio.start_server(service.handle, "127.0.0.1", 0)
    service.port = server.sockets[0].getsockname()[1]
    account = FakeAccount(ingress(service.port), signer.assertion())
    config = Config(str(pem), str(pem), Control("", ""), ("127.0.0.1",), *ports, limits)
    trust = ssl.create_default_context(cafile=str(pem))
    async with running(config, account) as (port, connector_port):
        config = replace(config, port=port, connector_port=connector_port)
        yield World(account, service, signer, config, trust, pem, port, connector_port)
    server.close()


__all__ = ["FakeAccount", "Service", "Signer", "World", "ingress", "parse", "until", "world"]
