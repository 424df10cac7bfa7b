"""DKIM keys for tests, made once in a process."""

from __future__ import annotations

import base64

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

SPKI = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def rsa_key(bits: int) -> str:
    return base64.b64encode(rsa.generate_private_key(65537, bits).public_key().public_bytes(*SPKI)).decode()


def ed25519_key() -> str:
    raw = (serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return base64.b64encode(ed25519.Ed25519PrivateKey.generate().public_key().public_bytes(*raw)).decode()


#: Of 512 bits, which the library no longer makes.
RSA_512 = (
    "MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAK76+l+Sjn8TdqEpeHUR955MnftAOCXW7z7Gy5OK9SMxs7tkBioH47Z6EmyxFZJOTDrWNeSG/k93cgTBbv7"
    "9g/8CAwEAAQ=="
)
RSA_1024, RSA_2048, ED25519 = rsa_key(1024), rsa_key(2048), ed25519_key()
#: As a record's text.
RECORD = f"v=DKIM1; k=rsa; p={RSA_2048}"
