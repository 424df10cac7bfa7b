# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Key material: the only place that imports cryptography."""

from __future__ import annotations

import base64

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

#: RFC 8301 section 3.2: 1024 to 4096 bits; RFC 8463: Ed25519.
ALGORITHMS = ("rsa-2048", "rsa-4096", "ed25519")


def generate(algorithm: str) -> bytes:
    """A new private key as unencrypted PKCS#8 PEM, the form the server reads for both kinds."""
    key = (
        ed25519.Ed25519PrivateKey.generate()
        if algorithm == "ed25519"
        else rsa.generate_private_key(public_exponent=65537, key_size=int(algorithm.partition("-")[2]))
    )
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def describe(pem: bytes) -> tuple[str, str]:
    """(algorithm, public half as base64) of a private key in PEM: the SPKI for RSA, the raw 32 bytes for Ed25519.

    Raises ValueError for anything else than an unencrypted RSA or Ed25519 key.
    """
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except TypeError as error:
        raise ValueError("it is encrypted") from error
    except Exception as error:
        # Depending on its version the library raises ValueError, UnsupportedAlgorithm or OpenSSL's own errors.
        raise ValueError(str(error) or type(error).__name__) from error
    if isinstance(key, rsa.RSAPrivateKey):
        raw = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        return f"rsa-{key.key_size}", base64.b64encode(raw).decode("ascii")
    if isinstance(key, ed25519.Ed25519PrivateKey):
        raw = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        return "ed25519", base64.b64encode(raw).decode("ascii")
    raise ValueError(f"it is a key for another purpose ({type(key).__name__})")


def record(algorithm: str, public: str) -> str:
    """The complete TXT value (RFC 6376 section 3.6.1, RFC 8463 section 4.2)."""
    return f"v=DKIM1; k={algorithm.partition('-')[0]}; h=sha256; p={public}"
