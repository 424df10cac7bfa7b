# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""AWS Signature Version 4 in the Authorization header.

After https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html. Standard library only;
for services other than S3, whose paths are encoded once.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from typing import List, Mapping, Sequence, Tuple
from urllib.parse import quote

ALGORITHM = "AWS4-HMAC-SHA256"
UNRESERVED = "-_.~"


@dataclass(frozen=True)
class Keys:
    """An access key; session: the token that belongs to temporary ones. The text form shows neither of the secrets."""

    access: str
    secret: str = field(repr=False)
    session: str = field(default="", repr=False)


@dataclass(frozen=True)
class Request:
    """What is signed. path: as sent, still unencoded; query: decoded; headers: those to be signed, with Host; body: bytes."""

    method: str
    path: str
    query: Sequence[Tuple[str, str]]
    headers: Mapping[str, str]
    body: bytes = b""


@dataclass(frozen=True)
class Scope:
    """time: UTC as ``YYYYMMDDTHHMMSSZ``, the same as in the header X-Amz-Date."""

    time: str
    region: str
    service: str

    def __str__(self) -> str:
        return f"{self.time[:8]}/{self.region}/{self.service}/aws4_request"


def authorization(request: Request, keys: Keys, scope: Scope) -> str:
    """The value of the Authorization header."""
    signature = sign(string_to_sign(canonical_request(request), scope), keys.secret, scope)
    return (
        f"{ALGORITHM} Credential={keys.access}/{scope}, SignedHeaders={signed_headers(request)}, Signature={signature}"
    )


def canonical_request(request: Request) -> str:
    """Method, path, query, headers, their names and the body's digest, in the one form that both ends arrive at."""
    query = "&".join(f"{name}={value}" for name, value in sorted((_encode(n), _encode(v)) for n, v in request.query))
    lines: List[str] = [request.method, quote(request.path, safe="/" + UNRESERVED) or "/", query]
    lines += [f"{name}:{' '.join(value.split())}" for name, value in _headers(request)]
    lines += ["", signed_headers(request), hashlib.sha256(request.body).hexdigest()]
    return "\n".join(lines)


def signed_headers(request: Request) -> str:
    return ";".join(name for name, _value in _headers(request))


def string_to_sign(canonical: str, scope: Scope) -> str:
    return "\n".join([ALGORITHM, scope.time, str(scope), hashlib.sha256(canonical.encode()).hexdigest()])


def sign(text: str, secret: str, scope: Scope) -> str:
    """The signature in hexadecimal; its key is derived for one day, region and service."""
    key = f"AWS4{secret}".encode()
    for part in (scope.time[:8], scope.region, scope.service, "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def _headers(request: Request) -> List[Tuple[str, str]]:
    return sorted((name.lower(), value) for name, value in request.headers.items())


def _encode(text: str) -> str:
    return quote(text, safe=UNRESERVED)
