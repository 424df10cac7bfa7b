# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Passwords: hashing, checking against the hashes the server accepts as they are, and how weak is too weak."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import math
import re
import warnings
from functools import lru_cache

from nacl.exceptions import CryptoError
from nacl.pwhash import argon2id
from nacl.pwhash import verify as argon2_verify

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import crypt  # the C library's crypt(3): Debian 12 ships Python 3.11, the last-but-one that has it

_CRYPT = re.compile(r"\$(1|5|6|y|2[abxy])\$")
_COMMON = ("password", "qwerty", "letmein", "welcome", "admin", "monkey", "dragon", "123456", "abc123", "iloveyou")
_STRENGTHS = {"zero": 0.0, "one": 3.0, "two": 6.0, "three": 8.0, "four": 10.0}  # decimal logarithm of guesses


def hash_password(password: str) -> str:
    """An argon2id hash (PHC string), sized for a small machine: 8 MiB and two passes."""
    return str(argon2id.str(password.encode(), opslimit=2, memlimit=8 << 20), "ascii")


def is_hash(secret: str) -> bool:
    """Whether a secret is stored as it is: anything that looks like ``$scheme$…`` or ``{SCHEME}…``."""
    return bool(re.match(r"\$[a-z0-9-]+\$.", secret) or re.match(r"\{[A-Za-z0-9.-]+\}.", secret))


@lru_cache(maxsize=512)
def _matches(secret: str, password: str) -> bool:
    if secret.startswith("$argon2"):
        try:
            return bool(argon2_verify(secret.encode(), password.encode()))
        except (CryptoError, ValueError):
            return False
    if _CRYPT.match(secret):
        computed = crypt.crypt(password, secret)
        return bool(computed) and hmac.compare_digest(computed, secret)
    scheme, _, rest = secret.partition("}")
    if scheme in {"{PLAIN", "{CLEARTEXT"}:
        return hmac.compare_digest(rest, password)
    if scheme == "{CRYPT":
        return _matches(rest, password)
    if scheme in {"{SSHA", "{SHA", "{SSHA256", "{SSHA512"}:
        algorithm = {"{SSHA": "sha1", "{SHA": "sha1", "{SSHA256": "sha256", "{SSHA512": "sha512"}[scheme]
        try:
            raw = base64.b64decode(rest)
        except binascii.Error:
            return False
        size = hashlib.new(algorithm).digest_size
        return hmac.compare_digest(hashlib.new(algorithm, password.encode() + raw[size:]).digest(), raw[:size])
    return False


def verify(secret: str, password: str) -> bool:
    """Whether a password belongs to a stored hash; unknown schemes never match."""
    return bool(secret) and len(password) <= 1024 and _matches(secret, password)


def verify_or_plain(secret: str, password: str) -> bool:
    """Like :func:`verify`, and plain text when the secret is no hash (the recovery administrator's)."""
    return verify(secret, password) if is_hash(secret) else hmac.compare_digest(secret.encode(), password.encode())


def weakness(password: str, shortest: int, longest: int, strength: str) -> str | None:
    """Why the server would refuse a new password, or ``None``.

    The lengths and their messages are as recorded. Upstream measures strength with zxcvbn; here it is an estimate from
    character classes, repeats, runs and common words.
    """
    if len(password) > longest:
        return f"Password must be at most {longest} characters long."
    if len(password) < shortest:
        return f"Password must be at least {shortest} characters long."
    classes = ((r"[a-z]", 26), (r"[A-Z]", 26), (r"\d", 10), (r"[^A-Za-z0-9]", 33))
    alphabet = sum(size for pattern, size in classes if re.search(pattern, password))
    core = password.lower()
    for word in _COMMON:
        core = core.replace(word, "*")
    # A character that repeats or continues its neighbour adds next to nothing.
    telling = sum(index == 0 or abs(ord(char) - ord(core[index - 1])) > 1 for index, char in enumerate(core))
    guesses = min(telling, len(set(core)) * 2) * math.log10(max(alphabet, 2))
    return None if guesses >= _STRENGTHS[strength] else "Password is too weak. Add another word or two."
