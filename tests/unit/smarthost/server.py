# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A smarthost on loopback: real TLS with certificates of the test's own authority, replies as they are scripted."""

from __future__ import annotations

import base64
import contextlib
import datetime
import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.unit.checks.servers import tcp_server

HOST, USER, PASSWORD = "smtp.provider.example", "notify", "correct-horse-battery"
#: What most servers that have AUTH answer to EHLO.
USUAL = ("SIZE 5242880", "AUTH PLAIN LOGIN", "8BITMIME")
Line = Callable[[str], str]


def authority(directory: Path) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    """An authority; its certificate is ``directory/ca.crt``."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "the test's authority")])
    made = _certificate(subject, subject, key, key, ca=True)
    (directory / "ca.crt").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return key, made


def context(
    directory: Path, issuer: tuple[ec.EllipticCurvePrivateKey, x509.Certificate], *names: str, days: int = 30
) -> ssl.SSLContext:
    """A server's context with a certificate for the names; days: how long it is valid, negative when it was."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    made = _certificate(subject, issuer[1].subject, key, issuer[0], names=names, days=days)
    chain, pem = directory / "server.crt", directory / "server.key"
    chain.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    pem.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(chain, pem)
    return server


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
    names: tuple[str, ...] = (),
    days: int = 30,
    ca: bool = False,
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.timezone.utc)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=60))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(n) for n in names]), critical=False)
    return builder.sign(signer, hashes.SHA256())


@dataclass
class Provider:
    """extensions: after EHLO, once there is TLS; plain: before it. replies: by the beginning of a command, instead of what it
    would say. lines: every command that came, in the clear or not; secure: those that came over TLS."""

    tls: ssl.SSLContext | None = None
    implicit: bool = True
    banner: str = "220 smtp.provider.example ESMTP"
    extensions: tuple[str, ...] = USUAL
    plain: tuple[str, ...] = ("STARTTLS",)
    replies: dict[str, str] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    secure: list[str] = field(default_factory=list)

    def __call__(self, client: socket.socket) -> None:
        if self.implicit and self.tls:
            client = self.tls.wrap_socket(client, server_side=True)
        stream = client.makefile("rwb", buffering=0)
        encrypted = self.implicit and self.tls is not None
        stream.write(self.banner.encode() + b"\r\n")
        for raw in stream:
            line = raw.decode("utf-8", "replace").rstrip("\r\n")
            self.lines.append(line)
            if encrypted:
                self.secure.append(line)
            answer = self._answer(line, encrypted)
            if not answer:
                return None
            stream.write(answer.encode() + b"\r\n")
            if line.upper() == "STARTTLS" and answer.startswith("220") and self.tls:
                client = self.tls.wrap_socket(client, server_side=True)
                return self._goes_on(client)
            if line == "QUIT" or answer.startswith("421"):
                return None
        return None

    def _goes_on(self, client: socket.socket) -> None:
        """The session after STARTTLS: as one with TLS from the start, without another greeting."""
        stream = client.makefile("rwb", buffering=0)
        for raw in stream:
            line = raw.decode("utf-8", "replace").rstrip("\r\n")
            self.lines.append(line)
            self.secure.append(line)
            stream.write(self._answer(line, True).encode() + b"\r\n")
            if line == "QUIT":
                return

    def _answer(self, line: str, encrypted: bool) -> str:
        scripted = [p for p in self.replies if line.upper().startswith(p.upper())]
        if scripted:
            return self.replies[max(scripted, key=len)]
        command = line.upper().split(" ")[0]
        if command == "EHLO":
            said = ("mx.provider.example greets you", *(self.extensions if encrypted else self.plain))
            return "\r\n".join(f"250{' ' if n == len(said) - 1 else '-'}{word}" for n, word in enumerate(said))
        if line.upper() == "AUTH LOGIN":
            return f"334 {_b64('Username:')}"
        if line == _b64(USER):
            return f"334 {_b64('Password:')}"
        if line in (f"AUTH PLAIN {_b64(f'{chr(0)}{USER}{chr(0)}{PASSWORD}')}", _b64(PASSWORD)):
            return "235 2.7.0 Authentication successful"
        if command == "AUTH" or (len(line.split(" ")) == 1 and line not in ("RSET", "QUIT", "STARTTLS")):
            return "535 5.7.8 Authentication failed"
        return {"QUIT": "221 bye", "STARTTLS": "220 go ahead"}.get(line, "250 2.1.0 Ok")

    @contextlib.contextmanager
    def serve(self) -> Iterator[int]:
        """On a port of loopback."""
        with tcp_server(self) as port:
            yield port


def _b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
