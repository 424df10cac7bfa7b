# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The static authority: certificates for the names that the lab's machines answer to.

The second authority, the ACME server's, is not made here: it is read from the server once it runs.
"""

from __future__ import annotations

import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from lab import paths
from lab.topology import HOSTS, Certificate

AUTHORITY = "mailstead lab static authority"
AUTHORITY_DAYS = 3650
LEAF_DAYS = 397
RENEW_BEFORE = datetime.timedelta(days=30)


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.timezone.utc)


def _pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _authority() -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key_file, crt_file = paths.PKI / "ca.key", paths.PKI / "ca.crt"
    if key_file.is_file() and crt_file.is_file():
        key = serialization.load_pem_private_key(key_file.read_bytes(), None)
        certificate = x509.load_pem_x509_certificate(crt_file.read_bytes())
        if isinstance(key, ec.EllipticCurvePrivateKey) and certificate.not_valid_after_utc - _now() > RENEW_BEFORE:
            return key, certificate
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, AUTHORITY)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_now() - datetime.timedelta(days=1))
        .not_valid_after(_now() + datetime.timedelta(days=AUTHORITY_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(
            x509.KeyUsage(False, False, False, False, False, True, True, False, False),
            critical=True,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    paths.write_if_changed(key_file, _pem(key))
    paths.write_if_changed(crt_file, certificate.public_bytes(serialization.Encoding.PEM), 0o644)
    return key, certificate


def _still_good(wanted: Certificate, authority: x509.Certificate) -> bool:
    key_file, crt_file = paths.PKI / f"{wanted.name}.key", paths.PKI / f"{wanted.name}.crt"
    if not key_file.is_file() or not crt_file.is_file():
        return False
    leaf = x509.load_pem_x509_certificate(crt_file.read_bytes())
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName)
    issuer = leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    return (
        tuple(names) == wanted.names
        and issuer == _issuer_id(authority)
        and leaf.not_valid_after_utc - _now() > RENEW_BEFORE
    )


def _issuer_id(authority: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    identifier = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)


def _issue(wanted: Certificate, ca_key: ec.EllipticCurvePrivateKey, ca: x509.Certificate) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    leaf = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, wanted.names[0])]))
        .issuer_name(ca.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_now() - datetime.timedelta(days=1))
        .not_valid_after(_now() + datetime.timedelta(days=LEAF_DAYS))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(n) for n in wanted.names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(
            x509.KeyUsage(True, False, False, False, False, False, False, False, False),
            critical=True,
        )
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(_issuer_id(ca), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    chain = leaf.public_bytes(serialization.Encoding.PEM) + ca.public_bytes(serialization.Encoding.PEM)
    paths.write_if_changed(paths.PKI / f"{wanted.name}.key", _pem(key))
    paths.write_if_changed(paths.PKI / f"{wanted.name}.crt", chain, 0o644)


def ensure() -> bytes:
    """Make the authority and every certificate of the topology, keeping those that are still good. Returns the authority."""
    paths.private_dir(paths.PKI)
    key, authority = _authority()
    for machine in HOSTS:
        for wanted in machine.certificates:
            if not _still_good(wanted, authority):
                _issue(wanted, key, authority)
    return authority.public_bytes(serialization.Encoding.PEM)


def dkim_key(name: str) -> tuple[bytes, str]:
    """An RSA-2048 key, made once. Returns (private PEM, TXT of RFC 6376 section 3.6.1), which is in a file beside the key."""
    key_file = paths.PKI / f"{name}.dkim.key"
    if not key_file.is_file():
        paths.write_if_changed(key_file, _pem(rsa.generate_private_key(public_exponent=65537, key_size=2048)))
    key = serialization.load_pem_private_key(key_file.read_bytes(), None)
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    record = "v=DKIM1; k=rsa; p=" + "".join(public.decode().split("\n")[1:-2])
    paths.write_if_changed(paths.PKI / f"{name}.dkim.txt", f"{record}\n", 0o644)
    return key_file.read_bytes(), record
