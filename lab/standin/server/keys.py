# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys and certificates: where their text comes from, DKIM public halves, what a certificate says."""

from __future__ import annotations

import base64
import os
import re
import ssl
from datetime import datetime, timezone
from pathlib import Path
from typing import Union

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from .schema import JsonObject

SigningKey = Union[rsa.RSAPrivateKey, ed25519.Ed25519PrivateKey]


class KeyTextError(ValueError):
    """A key or certificate that cannot be had or understood; the text is the server's."""


def trust() -> ssl.SSLContext:
    """What the server believes as a client: the system's store, or the one its environment names, as upstream.

    Named here because OpenSSL does not look at the environment of a program with file capabilities.
    """
    return ssl.create_default_context(cafile=os.environ.get("SSL_CERT_FILE") or None)


def read_text(source: JsonObject) -> str:
    """The text of a ``SecretText`` or ``PublicText``: given, from a file or from the environment."""
    kind = source["@type"]
    if kind == "File":
        path = source["filePath"]
        try:
            return Path(path).read_text(encoding="utf-8")
        except OSError as error:
            raise KeyTextError(
                f"Failed to read secret from file '{path}': {error.strerror} (os error {error.errno})"
            ) from None
        except UnicodeDecodeError:
            raise KeyTextError(
                f"Failed to read secret from file '{path}': stream did not contain valid UTF-8"
            ) from None
    if kind == "EnvironmentVariable":
        name = source["variableName"]
        try:
            return os.environ[name]
        except KeyError:
            raise KeyTextError(
                f"Failed to read secret from environment variable '{name}': environment variable not found"
            ) from None
    return str(source.get("secret", source.get("value", "")))


def algorithm_of(signature: JsonObject) -> str:
    """``rsa`` or ``ed25519``."""
    return "ed25519" if "Ed25519" in signature["@type"] else "rsa"


def signing_key(signature: JsonObject) -> SigningKey:
    """The private key of a DkimSignature object. RSA as PKCS#1 or PKCS#8 PEM, Ed25519 as PKCS#8 PEM."""
    if signature["privateKey"].get("secret") == "":
        raise KeyTextError("DKIM signature validation failed, details = [Property 'secret' is required]")
    text = read_text(signature["privateKey"])
    algorithm = algorithm_of(signature)
    try:
        key = serialization.load_pem_private_key(text.encode(), password=None)
    except (ValueError, TypeError):
        key = None
    if algorithm == "ed25519":
        if isinstance(key, ed25519.Ed25519PrivateKey):
            return key
        raise KeyTextError("Cryptography layer error: InvalidEncoding, details = Failed to build ED25519 key")
    if isinstance(key, rsa.RSAPrivateKey):
        return key
    raise KeyTextError("no items found, details = Failed to build RSA key")


def public_key(signature: JsonObject) -> str | None:
    """What a DkimSignature publishes as ``p=``: the SPKI for RSA, the bare 32 bytes for Ed25519. Base64."""
    try:
        key = signing_key(signature)
    except KeyTextError:
        return None
    if isinstance(key, ed25519.Ed25519PrivateKey):
        raw = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    else:
        raw = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(raw).decode()


def generate_pem(algorithm: str) -> str:
    """A new private key as PKCS#8 PEM."""
    key: SigningKey
    key = (
        rsa.generate_private_key(public_exponent=65537, key_size=2048)
        if algorithm == "rsa"
        else ed25519.Ed25519PrivateKey.generate()
    )
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def selector_from(template: str, algorithm: str) -> str:
    """A selector from ``v{version}-{algorithm}-{date-%Y%m%d}``."""
    now = datetime.now(timezone.utc)
    text = template.replace("{algorithm}", algorithm).replace("{version}", "1").replace("{hash}", "sha256")
    text = text.replace("{epoch}", str(int(now.timestamp()))).replace("{random}", os.urandom(4).hex())
    return re.sub(r"\{date-([^}]*)\}", lambda match: now.strftime(match[1]), text)


def load_chain(text: str) -> list[x509.Certificate]:
    """Every certificate in a PEM text, leaf first."""
    blocks = re.findall(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", text, re.S)
    if not blocks:
        raise KeyTextError("Cryptographic error: No certificates found in PEM")
    return [x509.load_pem_x509_certificate(block.encode()) for block in blocks]


def certificate_names(certificate: x509.Certificate) -> list[str]:
    """The DNS names a certificate is for; the common name only when there is no alternative name."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return [str(attribute.value) for attribute in certificate.subject if attribute.rfc4514_attribute_name == "CN"]
    return names.get_values_for_type(x509.DNSName)


def validity(certificate: x509.Certificate) -> tuple[datetime, datetime]:
    """``(not before, not after)`` in UTC, on old and new versions of the library."""
    if hasattr(certificate, "not_valid_after_utc"):
        return certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return (
        certificate.not_valid_before.replace(tzinfo=timezone.utc),
        certificate.not_valid_after.replace(tzinfo=timezone.utc),
    )


def describe_certificate(text: str) -> JsonObject:
    """The server-set properties of a Certificate object, read from its PEM text."""
    leaf = load_chain(text)[0]
    issuer = ", ".join(f"{a.rfc4514_attribute_name}={a.value!s}" for a in leaf.issuer)
    before, after = (moment.strftime("%Y-%m-%dT%H:%M:%SZ") for moment in validity(leaf))
    return {
        "issuer": issuer,
        "notValidBefore": before,
        "notValidAfter": after,
        "subjectAlternativeNames": dict.fromkeys(certificate_names(leaf), True),
    }
