# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Smarthosts with TLS and a login that do as they are told, a program that webhooks call, and certificates for both."""

from __future__ import annotations

import datetime
import json
import ssl
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class Authority:
    """Issues certificates into a directory; ``ca.crt`` there is what to believe."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.file = directory / "ca.crt"
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mailstead test authority")])
        self.file.write_bytes(self._sign(self._name, self._key, []).public_bytes(serialization.Encoding.PEM))
        self.file.chmod(0o644)

    def _sign(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, names: list[x509.GeneralName]
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.timezone.utc)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=2))
            .add_extension(x509.BasicConstraints(ca=not names, path_length=None), critical=True)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self._key, hashes.SHA256())

    def issue(self, *names: str) -> tuple[Path, Path]:
        """Certificate and key for host names, as files that everybody may read."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        certificate = self._sign(subject, key, [x509.DNSName(name) for name in names])
        paths = self.directory / f"{names[0]}.crt", self.directory / f"{names[0]}.key"
        paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        paths[1].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        for path in paths:
            path.chmod(0o644)
        return paths

    def context(self, *names: str) -> ssl.SSLContext:
        """What a server with such a certificate needs."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.issue(*names))
        return context


@dataclass(frozen=True)
class Taken:
    """A message that a smarthost has taken."""

    sender: str
    recipients: tuple[str, ...]
    content: bytes


@dataclass
class Smarthost:
    """One smarthost. ``refuses``: command (AUTH, MAIL, RCPT, DATA) → reply; a recipient ``hard@…`` never exists."""

    name: str
    login: tuple[str, str]
    taken: list[Taken] = field(default_factory=list)
    refuses: dict[str, str] = field(default_factory=dict)
    controller: Controller | None = None

    def start(self, address: str, port: int, context: ssl.SSLContext, implicit: bool) -> None:
        """Listen. Without implicit TLS nothing but STARTTLS is allowed before TLS, and nothing but AUTH after it."""
        tls: dict[str, Any] = {"ssl_context": context, "auth_require_tls": False}
        if not implicit:
            tls = {"tls_context": context, "require_starttls": True}
        self.controller = Controller(
            self, hostname=address, port=port, authenticator=self.authenticate, auth_required=True, **tls
        )
        self.controller.start()

    def stop(self) -> None:
        """Be down."""
        if self.controller is not None:
            self.controller.stop()
            self.controller = None

    def authenticate(self, _server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
        """Compare name and password; a refusal is the server's own 535."""
        known = (data.login.decode(), data.password.decode()) == self.login and "AUTH" not in self.refuses
        return AuthResult(success=known, handled=False)

    async def handle_MAIL(self, _server: Any, _session: Any, envelope: Any, address: str, options: list[str]) -> str:
        """MAIL FROM."""
        if "MAIL" in self.refuses:
            return self.refuses["MAIL"]
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 OK"

    async def handle_RCPT(self, _server: Any, _session: Any, envelope: Any, address: str, _options: list[str]) -> str:
        """RCPT TO."""
        if "RCPT" in self.refuses:
            return self.refuses["RCPT"]
        if address.startswith("hard@"):
            return "550 5.1.1 no such user"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        """DATA; what is acknowledged is kept."""
        if "DATA" in self.refuses:
            return self.refuses["DATA"]
        # aiosmtpd shows the empty sender in the notation it has on the wire.
        sender = "" if envelope.mail_from in {None, "<>"} else envelope.mail_from
        self.taken.append(Taken(sender, tuple(envelope.rcpt_tos), envelope.content))
        return "250 2.0.0 taken"


class HookProgram:
    """Takes the calls of webhooks: ``calls`` holds headers (names in lower case) and body. ``status`` is its answer."""

    def __init__(self, address: str) -> None:
        self.calls: list[tuple[dict[str, str], bytes]] = []
        self.status = 200
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if outer.status == 200:
                    outer.calls.append(({k.lower(): v for k, v in self.headers.items()}, body))
                self.send_response(outer.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._http = ThreadingHTTPServer((address, 0), Handler)
        self.url = f"http://{address}:{self._http.server_address[1]}/failed"
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def events(self) -> list[dict[str, Any]]:
        """Every event of every call."""
        return [event for _, body in self.calls for event in json.loads(body)["events"]]

    def close(self) -> None:
        """Be gone."""
        self._http.shutdown()
        self._http.server_close()
