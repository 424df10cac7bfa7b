# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tunnel's own authority and certificates: P-256, one purpose each, with both ends verified (mutual TLS)."""

from __future__ import annotations

import datetime
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.mailstead.stack.plugins.plugin_utils.state import read_private, write_private
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
    """A private authority kept in a directory of mode 0700: ca.key, ca.crt and a pair per leaf.

    dry: predict in :attr:`made` what would be made or renewed, and write nothing. What does not exist is the empty
    string then.
    """

    def __init__(self, directory: Path, now: datetime.datetime, dry: bool = False) -> None:
        self._directory = directory
        self._now = now
        self._dry = dry
        self.made: list[str] = []

    def certificate(self) -> str:
        """The authority's own certificate in PEM."""
        held = self._ca()
        return _pem(held[1]) if held else ""

    def pair(self, leaf: Leaf) -> tuple[str, str]:
        """(certificate, key) in PEM; made or renewed only when it has to be."""
        key_path, crt_path = self._directory / f"{leaf.name}.key", self._directory / f"{leaf.name}.crt"
        held = self._ca()
        if held is None:
            self.made.append(leaf.name)
            return "", ""
        ca_key, ca_certificate = held
        if key_path.exists() and crt_path.exists():
            present = (crt_path.read_text(encoding="ascii"), read_private(key_path))
            if self._still_good(*present, ca_certificate, leaf):
                return present
        self.made.append(leaf.name)
        if self._dry:
            return "", ""
        key = ec.generate_private_key(ec.SECP256R1())
        purpose = ExtendedKeyUsageOID.SERVER_AUTH if leaf.server else ExtendedKeyUsageOID.CLIENT_AUTH
        certificate = (
            self._builder(
                x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, leaf.name[:64])]),
                ca_certificate.subject,
                key.public_key(),
                ca_key.public_key(),
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
        return _pem(certificate), _pem_key(key)

    def _ca(self) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate] | None:
        """Key and certificate of the authority, made when missing; None when they are missing in a dry run."""
        key_path, crt_path = self._directory / "ca.key", self._directory / "ca.crt"
        if key_path.exists() and crt_path.exists():
            key = serialization.load_pem_private_key(read_private(key_path).encode(), password=None)
            assert isinstance(key, ec.EllipticCurvePrivateKey)
            return key, x509.load_pem_x509_certificate(crt_path.read_bytes())
        if "ca" not in self.made:
            self.made.append("ca")
        if self._dry:
            return None
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mailstead tunnel authority")])
        certificate = (
            self._builder(name, name, key.public_key(), key.public_key(), CA_DAYS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(ca=True), critical=True)
            .sign(key, hashes.SHA256())
        )
        write_private(key_path, _pem_key(key))
        write_private(crt_path, _pem(certificate))
        return key, certificate

    def _still_good(self, certificate_pem: str, key_pem: str, ca_certificate: x509.Certificate, leaf: Leaf) -> bool:
        try:
            certificate = x509.load_pem_x509_certificate(certificate_pem.encode())
            certificate.verify_directly_issued_by(ca_certificate)
            key = serialization.load_pem_private_key(key_pem.encode(), password=None)
        except (InvalidSignature, ValueError, TypeError):
            return False
        if key.public_key() != certificate.public_key():
            return False
        left = certificate.not_valid_after_utc - self._now
        life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return left > life * RENEW_SHARE and list(names) == _alternatives(leaf)

    def _builder(
        self,
        subject: x509.Name,
        issuer: x509.Name,
        key: ec.EllipticCurvePublicKey,
        issuer_key: ec.EllipticCurvePublicKey,
        days: int,
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
            # Both identifiers are obligatory (RFC 5280 §4.2.1); strict verifiers refuse a chain without them.
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), critical=False)
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
