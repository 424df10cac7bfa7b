# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The key that an organization signs its assertions with, and JSON Web Tokens (RFC 7515, 7517, 7519) made by it."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey


class Signer:
    """A key for RS256, made when it is first asked for: making one takes time, and most tests never need it. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._key: RSAPrivateKey | None = None

    @property
    def key(self) -> RSAPrivateKey:
        # Only who signs needs this package.
        from cryptography.hazmat.primitives.asymmetric import rsa  # noqa: PLC0415

        with self._lock:
            if self._key is None:
                self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
            return self._key

    def jwk(self) -> dict[str, str]:
        """The public half; its id is its thumbprint (RFC 7638)."""
        numbers = self.key.public_key().public_numbers()
        public = {"e": _number(numbers.e), "kty": "RSA", "n": _number(numbers.n)}
        return {**public, "kid": _thumbprint(public), "alg": "RS256", "use": "sig"}

    def sign(self, claims: dict[str, Any]) -> str:
        """A compact JWS of the claims."""
        from cryptography.hazmat.primitives import hashes  # noqa: PLC0415
        from cryptography.hazmat.primitives.asymmetric import padding  # noqa: PLC0415

        header = {"alg": "RS256", "kid": self.jwk()["kid"], "typ": "JWT"}
        text = ".".join(_encode(json.dumps(part, separators=(",", ":")).encode()) for part in (header, claims))
        return f"{text}.{_encode(self.key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


def _thumbprint(public: dict[str, str]) -> str:
    return hashlib.sha256(json.dumps(public, separators=(",", ":"), sort_keys=True).encode()).hexdigest()


def _number(value: int) -> str:
    return _encode(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def _encode(data: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
