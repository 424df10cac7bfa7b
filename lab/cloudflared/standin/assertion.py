# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The connector's own judgement of Access assertions (``originRequest.access.required``).

As cloudflared does it: no assertion, or one for another application, is answered 403; one that is not genuine or no longer
valid is an error, which the client sees as 502. Keys come from the team's ``/cdn-cgi/access/certs`` and are asked for again
when an assertion names one that is not known.
"""

from __future__ import annotations

import base64
import json
import time
import urllib.request
from typing import Any, Callable

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from .ingress import Access

FORBIDDEN, FAILED = 403, 502
#: Seconds for the question after keys, and before a name that is not known makes for another one.
TIMEOUT = 10
REFRESH_MIN = 1.0

#: Asks for the JSON at a URL; raises OSError and ValueError.
Fetch = Callable[[str], Any]


class AssertionRefusedError(Exception):
    """status: what the client is answered."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def fetch(url: str) -> Any:
    """JSON over HTTPS, trusting whom the system trusts."""
    with urllib.request.urlopen(url, timeout=TIMEOUT) as response:
        return json.load(response)


class Verifier:
    """clock: seconds since the epoch."""

    def __init__(self, ask: Fetch = fetch, clock: Callable[[], float] = time.time) -> None:
        self._ask, self._clock = ask, clock
        self._keys: dict[tuple[str, str], rsa.RSAPublicKey] = {}
        self._asked: dict[str, float] = {}

    def check(self, access: Access, assertion: str) -> None:
        """Raises AssertionRefusedError unless the assertion lets a request through."""
        if not access.required:
            return
        if not assertion:
            raise AssertionRefusedError(FORBIDDEN, "no access token in request")
        claims = self._claims(f"https://{access.team}.cloudflareaccess.com", assertion)
        audience = claims.get("aud")
        given = [audience] if isinstance(audience, str) else list(audience or ())
        if not set(given) & set(access.audiences):
            raise AssertionRefusedError(FORBIDDEN, f"Invalid token in jwt: {given}")

    def _claims(self, issuer: str, assertion: str) -> dict[str, Any]:
        """What a genuine and current assertion says."""
        try:
            head, body, signature = assertion.split(".")
            header, claims = json.loads(_decoded(head)), json.loads(_decoded(body))
            mark = _decoded(signature)
            expires = float(claims.get("exp", 0))
            kid, algorithm, named = str(header.get("kid", "")), header.get("alg"), claims.get("iss")
        except (ValueError, TypeError, AttributeError) as error:
            raise AssertionRefusedError(FAILED, f"oidc: malformed jwt: {error}") from error
        if algorithm != "RS256":
            raise AssertionRefusedError(FAILED, f"oidc: unexpected signature algorithm {algorithm!r}")
        if named != issuer:
            raise AssertionRefusedError(
                FAILED, f"oidc: id token issued by a different provider, expected {issuer!r} got {named!r}"
            )
        try:
            self._key(issuer, kid).verify(mark, f"{head}.{body}".encode(), padding.PKCS1v15(), hashes.SHA256())
        except InvalidSignature as error:
            raise AssertionRefusedError(
                FAILED, "failed to verify signature: failed to verify id token signature"
            ) from (error)
        if expires <= self._clock():
            raise AssertionRefusedError(FAILED, f"oidc: token is expired (Token Expiry: {expires:.0f})")
        if float(claims.get("nbf", 0) or 0) > self._clock() + 300:
            raise AssertionRefusedError(FAILED, "oidc: current time before the nbf (not before) time")
        return dict(claims)

    def _key(self, issuer: str, kid: str) -> rsa.RSAPublicKey:
        if (issuer, kid) not in self._keys and self._clock() - self._asked.get(issuer, 0) >= REFRESH_MIN:
            self._asked[issuer] = self._clock()
            try:
                listed = self._ask(f"{issuer}/cdn-cgi/access/certs")["keys"]
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise AssertionRefusedError(FAILED, f"failed to verify signature: fetching keys {error}") from error
            self._keys = {k: v for k, v in self._keys.items() if k[0] != issuer}
            self._keys |= {(issuer, str(k["kid"])): _public(k) for k in listed if k.get("kty") == "RSA"}
        found = self._keys.get((issuer, kid))
        if found is None:
            raise AssertionRefusedError(FAILED, "failed to verify signature: failed to verify id token signature")
        return found


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _public(jwk: dict[str, str]) -> rsa.RSAPublicKey:
    number = {name: int.from_bytes(_decoded(jwk[name]), "big") for name in ("n", "e")}
    return rsa.RSAPublicNumbers(number["e"], number["n"]).public_key()
