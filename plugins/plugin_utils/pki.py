# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tunnel's own authority and certificates: P-256, one purpose each, with both ends verified (mutual TLS)."""

from __future__ import annotations

import datetime
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.mailstead.stack.plugins.plugin_utils.state import write_private
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CA_DAYS = 3650
LEAF_DAYS = 397
#: A leaf is replaced when less than this share of its life is left; the tunnel restarts once then.
RENEW_SHARE = 1 / 3


@dataclass(frozen=True)
class Leaf:
    """name: the subject; server: whether it may be a TLS server; names and addresses: its subjectAltName."""

    name: str
    server: bool
    names: tuple[str, ...]
    addresses: tuple[str, ...] = ()


class Authority:
    """A private authority kept in a directory of mode 0700: ca.key, ca.crt and a pair per leaf."""

    def __init__(self, directory: Path, now: datetime.datetime) -> None:
        self._directory = directory
        self._now = now
        self.made: list[str] = []

    def exists(self) -> bool:
        return (self._directory / "ca.crt").exists()

    def ca(self) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
        key_path, crt_path = self._directory / "ca.key", self._directory / "ca.crt"
        if key_path.exists() and crt_path.exists():
            key = serialization.load_pem_private_key(key_path.read_bytes(), password=None)
            assert isinstance(key, ec.EllipticCurvePrivateKey)
            return key, x509.load_pem_x509_certificate(crt_path.read_bytes())
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mailstead tunnel authority")])
        certificate = (
            self._builder(name, name, key.public_key(), CA_DAYS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(ca=True), critical=True)
            .sign(key, hashes.SHA256())
        )
        write_private(key_path, _pem_key(key))
        write_private(crt_path, _pem(certificate))
        self.made.append("ca")
        return key, certificate

    def pair(self, leaf: Leaf) -> tuple[str, str]:
        """(certificate, key) in PEM; made or renewed only when it has to be."""
        key_path, crt_path = self._directory / f"{leaf.name}.key", self._directory / f"{leaf.name}.crt"
        ca_key, ca_certificate = self.ca()
        if key_path.exists() and crt_path.exists():
            certificate = x509.load_pem_x509_certificate(crt_path.read_bytes())
            if self._still_good(certificate, ca_certificate, leaf):
                return crt_path.read_text(), key_path.read_text()
        key = ec.generate_private_key(ec.SECP256R1())
        purpose = ExtendedKeyUsageOID.SERVER_AUTH if leaf.server else ExtendedKeyUsageOID.CLIENT_AUTH
        certificate = (
            self._builder(
                x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, leaf.name[:64])]),
                ca_certificate.subject,
                key.public_key(),
                LEAF_DAYS,
            )
            .add_extension(x509.SubjectAlternativeName(_alternatives(leaf)), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(ca=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            .sign(ca_key, hashes.SHA256())
        )
        # The key first: a certificate without its key would be taken for a pair on the next run.
        crt_path.unlink(missing_ok=True)
        write_private(key_path, _pem_key(key))
        write_private(crt_path, _pem(certificate))
        self.made.append(leaf.name)
        return _pem(certificate), _pem_key(key)

    def _still_good(self, certificate: x509.Certificate, ca_certificate: x509.Certificate, leaf: Leaf) -> bool:
        try:
            certificate.verify_directly_issued_by(ca_certificate)
        except (InvalidSignature, ValueError, TypeError):
            return False
        left = certificate.not_valid_after_utc - self._now
        life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return left > life * RENEW_SHARE and list(names) == _alternatives(leaf)

    def _builder(
        self, subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, days: int
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            # A home box may have a slow clock.
            .not_valid_before(self._now - datetime.timedelta(days=1))
            .not_valid_after(self._now + datetime.timedelta(days=days))
        )


def _alternatives(leaf: Leaf) -> list[x509.GeneralName]:
    names: list[x509.GeneralName] = [x509.DNSName(n) for n in leaf.names]
    return names + [x509.IPAddress(ipaddress.ip_address(a)) for a in leaf.addresses]


def _usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=ca,
        crl_sign=ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _pem_key(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
