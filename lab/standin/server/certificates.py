# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The certificates the listeners present: from Certificate objects by SNI, the default one, or a self-signed fallback."""

from __future__ import annotations

import logging
import ssl
import tempfile
from datetime import datetime, timedelta, timezone
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from . import keys
from .registry import Registry

log = logging.getLogger("standin.tls")


def _context(certificate: str, key: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # The library reads files only; the directory is private and goes away at once.
    with tempfile.TemporaryDirectory() as scratch:
        for name, text in (("chain", certificate), ("key", key)):
            path = Path(scratch) / name
            path.touch(mode=0o600)
            path.write_text(text)
        context.load_cert_chain(Path(scratch) / "chain", Path(scratch) / "key")
    return context


def _self_signed(hostname: str) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hostname[:64])])
    now = datetime.now(timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=3650))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(hostname)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM).decode()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return _context(pem, private.decode())


class Certificates:
    """What is loaded. :meth:`load` reads the files again; what cannot be read or has expired stays as it was."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self._loaded: dict[str, tuple[list[str], ssl.SSLContext]] = {}
        self._fallback = _self_signed(registry.hostname)
        self.front = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.front.minimum_version = ssl.TLSVersion.TLSv1_2
        self.front.sni_callback = self._choose

    def load(self) -> None:
        """Take the certificates of the registry, as ReloadTlsCertificates and a start do."""
        loaded = {}
        for object_id, certificate in self.registry.store.all("Certificate").items():
            try:
                chain = keys.read_text(certificate["certificate"])
                leaf = keys.load_chain(chain)[0]
                if keys.validity(leaf)[1] <= datetime.now(timezone.utc):
                    raise keys.KeyTextError("certificate has expired")
                context = _context(chain, keys.read_text(certificate["privateKey"]))
                loaded[object_id] = (keys.certificate_names(leaf), context)
            except (keys.KeyTextError, ValueError, OSError) as error:
                log.warning("tls.certificate-error: %s: %s", object_id, error)
                if object_id in self._loaded:
                    loaded[object_id] = self._loaded[object_id]
        self._loaded = loaded

    def context_for(self, server_name: str | None) -> ssl.SSLContext:
        """The context for a name: an exact match, a wildcard, the default certificate, the self-signed one."""
        name = (server_name or "").lower()
        wildcard = "*." + name.partition(".")[2]
        for wanted in (name, wildcard):
            for names, context in self._loaded.values():
                if wanted in names:
                    return context
        default = self.registry.live_setting("SystemSettings")["defaultCertificateId"]
        if default in self._loaded:
            return self._loaded[default][1]
        return self._fallback if not self._loaded else next(iter(self._loaded.values()))[1]

    def _choose(self, connection: ssl.SSLObject, server_name: str | None, _front: ssl.SSLContext) -> None:
        connection.context = self.context_for(server_name)
