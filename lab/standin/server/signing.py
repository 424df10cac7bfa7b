# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""DKIM signatures (RFC 6376, RFC 8463) by every active DkimSignature object of a domain.

dkimpy does the canonicalisation; it has no way to write ``r=y``, which the server adds by default, so the header is put
together here.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import time
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed25519, padding
from dkim.canonicalization import CanonicalizationPolicy

from . import keys
from .schema import JsonObject

if TYPE_CHECKING:
    from .registry import Registry

log = logging.getLogger("standin.dkim")

Header = tuple[bytes, bytes]


def split_message(message: bytes) -> tuple[list[Header], bytes]:
    """Headers as ``(name, value with its line ends)`` and the body of a message with CRLF line ends."""
    head, _, body = message.partition(b"\r\n\r\n")
    headers: list[Header] = []
    for line in head.split(b"\r\n"):
        if line[:1] in {b" ", b"\t"} and headers:
            name, value = headers[-1]
            headers[-1] = (name, value + line + b"\r\n")
        else:
            name, _, value = line.partition(b":")
            headers.append((name, value + b"\r\n"))
    return headers, body


def _fold(tags: list[str], signature: str) -> str:
    lines, line = [], "DKIM-Signature:"
    for tag in [*(f"{tag};" for tag in tags)]:
        if len(line) + len(tag) > 75:
            lines.append(line)
            line = "\t" + tag
        else:
            line += (" " if line != "\t" else "") + tag
    lines.append(line)
    chunks = [signature[i : i + 70] for i in range(0, len(signature), 70)] or [""]
    lines.append(f"\tb={chunks[0]}")
    lines += [f"\t{chunk}" for chunk in chunks[1:]]
    return "\r\n".join(lines)


def sign(message: bytes, signature: JsonObject, domain: str, now: float | None = None) -> bytes:
    """The DKIM-Signature header, with its line end, of one signature object. Raises KeyTextError for a bad key."""
    key = keys.signing_key(signature)
    policy = CanonicalizationPolicy.from_c_value(signature["canonicalization"].encode())
    headers, body = split_message(message)
    wanted = [name.lower().encode() for name in signature["headers"]]
    present = [name for name, _ in headers]
    signed = [name for name in present if name.lower() in wanted]
    body_hash = base64.b64encode(hashlib.sha256(policy.canonicalize_body(body)).digest()).decode()
    algorithm = "ed25519-sha256" if isinstance(key, ed25519.Ed25519PrivateKey) else "rsa-sha256"
    moment = int(time.time() if now is None else now)
    tags = ["v=1", f"a={algorithm}", f"s={signature['selector']}", f"d={domain}", f"c={signature['canonicalization']}"]
    if signature["report"]:
        tags.append("r=y")
    if signature["auid"]:
        tags.append(f"i={signature['auid']}")
    tags += [f"h={':'.join(name.decode('ascii', 'replace') for name in signed)}", f"t={moment}"]
    if signature["expire"]:
        tags.append(f"x={moment + signature['expire'] // 1000}")
    tags.append(f"bh={body_hash}")
    data = _selected(headers, signed, policy)
    unsigned = _fold(tags, "").encode().partition(b":")[2]
    (name, value), *_ = policy.canonicalize_headers([(b"DKIM-Signature", unsigned + b"\r\n")])
    data += name + b":" + value.rstrip(b"\r\n")
    if isinstance(key, ed25519.Ed25519PrivateKey):
        # RFC 8463 §3: Ed25519 signs the digest.
        raw = key.sign(hashlib.sha256(data).digest())
    else:
        raw = key.sign(data, padding.PKCS1v15(), hashes.SHA256())
    return _fold(tags, base64.b64encode(raw).decode()).encode() + b"\r\n"


def _selected(headers: list[Header], signed: list[bytes], policy: CanonicalizationPolicy) -> bytes:
    """The signed headers in canonical form; a name that occurs twice is taken from the bottom (RFC 6376 §5.4.2)."""
    remaining = list(headers)
    chosen: list[Header] = []
    for name in signed:
        index = max(i for i, (other, _) in enumerate(remaining) if other.lower() == name.lower())
        chosen.append(remaining.pop(index))
    return b"".join(name + b":" + value for name, value in policy.canonicalize_headers(chosen))


def sign_for(registry: Registry, domain: str, message: bytes) -> bytes:
    """The headers of every active signature of a domain: none when there is no active key, and no complaint."""
    result = b""
    for signature in registry.store.all("DkimSignature").values():
        if signature["stage"] != "active" or registry.directory.domain_name(signature["domainId"]) != domain:
            continue
        try:
            result += sign(message, signature, domain)
        except keys.KeyTextError as error:
            log.error("dkim.build-error: %s: %s", signature["selector"], error)
    return result
