# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates and keys, read with python3-cryptography where it is installed."""

from __future__ import annotations

import base64
import hashlib
from datetime import timezone
from typing import Any, Dict, List

from ansible_collections.mailstead.stack.plugins.module_utils.checks.probes.context import ProbeError

try:
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
except ImportError:
    HAVE_CRYPTOGRAPHY = False
else:
    HAVE_CRYPTOGRAPHY = True


def require() -> None:
    """Raises ProbeError library when python3-cryptography is missing on this host."""
    if not HAVE_CRYPTOGRAPHY:
        raise ProbeError("library", "python3-cryptography is missing on this host")


def certificate_facts(der: bytes) -> Dict[str, Any]:
    """What a certificate says; times are seconds since the epoch, spki_sha256 is what TLSA 3 1 1 holds."""
    require()
    cert = x509.load_der_x509_certificate(der)
    # The aware properties came with cryptography 42; Debian 12 has 38, whose naive ones later versions warn about.
    begin = getattr(cert, "not_valid_before_utc", None) or cert.not_valid_before.replace(tzinfo=timezone.utc)
    end = getattr(cert, "not_valid_after_utc", None) or cert.not_valid_after.replace(tzinfo=timezone.utc)
    key = cert.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        kind, bits = "rsa", key.key_size
    elif isinstance(key, ec.EllipticCurvePublicKey):
        kind, bits = "ec", key.key_size
    else:
        kind, bits = ("ed25519", 256) if isinstance(key, ed25519.Ed25519PublicKey) else ("other", 0)
    spki = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    try:
        names: List[str] = list(
            cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName)
        )
    except x509.ExtensionNotFound:
        names = []
    algorithm = cert.signature_hash_algorithm
    return {
        "subject": cert.subject.rfc4514_string(),
        "issuer": cert.issuer.rfc4514_string(),
        "names": sorted(names),
        "not_before": begin.timestamp(),
        "not_after": end.timestamp(),
        "key": kind,
        "bits": bits,
        "signature_hash": algorithm.name if algorithm else "",
        "spki_sha256": hashlib.sha256(spki).hexdigest(),
    }


def public_half(pem: bytes, where: str) -> Dict[str, Any]:
    """kind, bits and p= of a PEM private key (RFC 6376 §3.6.1: SPKI for RSA; RFC 8463 §4: the raw 32 bytes)."""
    require()
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as error:
        raise ProbeError("file", f"{where} holds no unencrypted private key in PEM") from error
    public = key.public_key()
    if isinstance(public, rsa.RSAPublicKey):
        raw = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        return {"kind": "rsa", "bits": public.key_size, "public": base64.b64encode(raw).decode("ascii")}
    if isinstance(public, ed25519.Ed25519PublicKey):
        raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        return {"kind": "ed25519", "bits": 256, "public": base64.b64encode(raw).decode("ascii")}
    raise ProbeError("file", f"{where} holds a key of a kind that DKIM does not know")
