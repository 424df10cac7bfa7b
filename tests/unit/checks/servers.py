# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Small servers on loopback for the probes: DNS from a table, scripted line servers, real TLS."""

from __future__ import annotations

import contextlib
import datetime
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset
from ansible_collections.mailstead.stack.plugins.module_utils.checks.probes.context import Clock, Context, dial
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

LOOPBACK = "127.0.0.1"
SECONDS = 10.0


class FakeClock(Clock):
    """Time that only moves when somebody waits."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.waits: list[float] = []

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    def wait(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.time += seconds


def context(**values: Any) -> Context:
    """A context with ten seconds of budget and no pacing worth mentioning."""
    import time  # noqa: PLC0415

    from ansible_collections.mailstead.stack.plugins.module_utils.checks.probes.context import (  # noqa: PLC0415
        Clock,
        Pacer,
    )

    values.setdefault("hostname", "probe.example.org")
    values.setdefault("pacer", Pacer(Clock(), 0.0))
    return Context(vantage="here", deadline=time.monotonic() + values.pop("budget", SECONDS), **values)


class Dns:
    """One name server for every zone in the table; it is parent and child, recursive and authoritative.

    table: (name, type) → values as in a zone file. zones: names that are cut. refuse: names that get SERVFAIL unless
    checking is disabled.
    """

    def __init__(self, table: dict[tuple[str, str], list[str]], refuse: tuple[str, ...] = ()) -> None:
        self.table = {(n.rstrip(".").lower(), t): v for (n, t), v in table.items()}
        self.refuse = refuse
        self.questions: list[tuple[str, str, bool]] = []
        self.lame: set[str] = set()

    def answer(self, query: dns.message.Message) -> dns.message.Message:
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        rtype = dns.rdatatype.to_text(question.rdtype)
        recursive = bool(query.flags & dns.flags.RD)
        self.questions.append((name, rtype, recursive))
        reply = dns.message.make_response(query)
        if name in self.refuse and not query.flags & dns.flags.CD:
            reply.set_rcode(dns.rcode.SERVFAIL)
            return reply
        if recursive:
            reply.flags |= dns.flags.RA | dns.flags.AD
        else:
            reply.flags |= dns.flags.AA
        at = name
        for _hop in range(4):
            alias = self.table.get((at, "CNAME"))
            if not alias or rtype == "CNAME":
                break
            reply.answer.append(self._rrset(at, "CNAME", alias))
            at = alias[0].rstrip(".").lower()
        values = self.table.get((at, rtype))
        if values:
            reply.answer.append(self._rrset(at, rtype, values))
        elif not reply.answer and not any(n == name or n.endswith("." + name) for n, _t in self.table):
            reply.set_rcode(dns.rcode.NXDOMAIN)
        return reply

    @staticmethod
    def _rrset(name: str, rtype: str, values: list[str]) -> dns.rrset.RRset:
        return dns.rrset.from_text_list(name + ".", 300, "IN", rtype, values)


@contextlib.contextmanager
def dns_server(server: Dns) -> Iterator[int]:
    """Serves UDP and TCP on one loopback port."""
    tcp = socket.create_server((LOOPBACK, 0))
    port = int(tcp.getsockname()[1])
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind((LOOPBACK, port))

    def datagrams() -> None:
        with contextlib.suppress(OSError):
            while True:
                data, peer = udp.recvfrom(4096)
                udp.sendto(server.answer(dns.message.from_wire(data)).to_wire(), peer)

    def streams() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _peer = tcp.accept()
                with client:
                    data = client.recv(4096)
                    wire = server.answer(dns.message.from_wire(data[2:])).to_wire()
                    client.sendall(len(wire).to_bytes(2, "big") + wire)

    for target in (datagrams, streams):
        threading.Thread(target=target, daemon=True).start()
    try:
        yield port
    finally:
        udp.close()
        tcp.close()


Handler = Callable[[socket.socket], object]


@contextlib.contextmanager
def tcp_server(handler: Handler) -> Iterator[int]:
    """Runs handler for every connection, each in a thread of its own."""
    listener = socket.create_server((LOOPBACK, 0))

    def serve(client: socket.socket) -> None:
        with client, contextlib.suppress(OSError, ssl.SSLError):
            client.settimeout(SECONDS)
            handler(client)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _peer = listener.accept()
                threading.Thread(target=serve, args=(client,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield int(listener.getsockname()[1])
    finally:
        listener.close()


def closed_port() -> int:
    """A port on which nobody listens."""
    with socket.create_server((LOOPBACK, 0)) as sock:
        return int(sock.getsockname()[1])


class Smtp:
    """A scripted SMTP server: replies by command prefix, the longest one wins; real STARTTLS when it has a context."""

    def __init__(
        self, replies: dict[str, str] | None = None, banner: str = "220 mail.example.com ESMTP", tls: Any = None
    ) -> None:
        self.replies = {
            "EHLO": "250-mail.example.com\r\n250 SIZE 1000",
            "QUIT": "221 bye",
            "": "250 ok",
            **(replies or {}),
        }
        self.banner = banner
        self.tls = tls
        self.lines: list[str] = []
        self.messages: list[str] = []

    def __call__(self, client: socket.socket) -> None:
        stream = client.makefile("rwb", buffering=0)
        if self.banner:
            stream.write(self.banner.encode() + b"\r\n")
        while True:
            raw = stream.readline()
            if not raw:
                return
            line = raw.decode("utf-8", "replace").rstrip("\r\n")
            self.lines.append(line)
            prefix = max((p for p in self.replies if line.upper().startswith(p)), key=len)
            text = self.replies[prefix]
            stream.write(text.encode() + b"\r\n")
            if line.upper() == "STARTTLS" and text.startswith("220"):
                client = self.tls.wrap_socket(client, server_side=True)
                stream = client.makefile("rwb", buffering=0)
            elif line.upper() == "DATA" and text.startswith("354"):
                self._data(stream)
            elif line.upper() == "QUIT":
                return

    def _data(self, stream: Any) -> None:
        body = []
        while True:
            line = stream.readline()
            if line in (b".\r\n", b""):
                break
            body.append(line.decode())
        self.messages.append("".join(body))
        stream.write(self.replies.get("END OF DATA", "250 queued").encode() + b"\r\n")


def make_certificate(directory: Path, *names: str, days: int = 90) -> ssl.SSLContext:
    """A self-signed certificate for the names and a server context with it; the certificate is ``directory/ca.crt``."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    now = datetime.datetime.now(datetime.timezone.utc)
    cert = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(n) for n in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    crt, pem = directory / "ca.crt", directory / "server.key"
    crt.write_bytes(cert.public_bytes(serialization.Encoding.PEM))
    pem.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(crt, pem)
    return server


def to_port(port: int, base: Any = dial) -> Any:
    """A dialer that ends at a loopback port whatever was asked for."""
    return lambda _address, _port, timeout: base(LOOPBACK, port, timeout)
