# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""DKIM verification (RFC 6376, 8301, 8463) with an injected key look-up: a second opinion beside the receiver's."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from typing import Any, Callable, Dict, List, Sequence, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.checks.headers import tags

try:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa
except ImportError:
    HAVE_CRYPTOGRAPHY = False
else:
    HAVE_CRYPTOGRAPHY = True

#: Selector and domain to the TXT values published there.
KeyLookup = Callable[[str, str], Sequence[str]]


class DkimError(Exception):
    """Why a signature does not verify."""


def split_message(raw: bytes) -> Tuple[List[Tuple[str, bytes]], bytes]:
    """Headers as (name, raw field without its final CRLF) in order, and the body; line ends become CRLF."""
    normal = re.sub(rb"\r?\n", b"\r\n", raw)
    head, _sep, body = normal.partition(b"\r\n\r\n")
    fields: List[bytes] = []
    for line in head.split(b"\r\n"):
        if line[:1] in (b" ", b"\t") and fields:
            fields[-1] += b"\r\n" + line
        elif line:
            fields.append(line)
    return [(f.split(b":", 1)[0].strip().decode("ascii", "replace").lower(), f) for f in fields], body


def canonical_header(field: bytes, mode: str) -> bytes:
    """§3.4.1, §3.4.2."""
    if mode == "simple":
        return field
    name, _colon, value = field.partition(b":")
    flat = re.sub(rb"[ \t]+", b" ", value.replace(b"\r\n", b"")).strip()
    return name.strip().lower() + b":" + flat


def canonical_body(body: bytes, mode: str) -> bytes:
    """§3.4.3, §3.4.4."""
    if mode == "relaxed":
        body = b"\r\n".join(re.sub(rb"[ \t]+", b" ", ln).rstrip(b" ") for ln in body.split(b"\r\n"))
    body = re.sub(rb"(\r\n)+\Z", b"", body)
    if body:
        return body + b"\r\n"
    return b"" if mode == "relaxed" else b"\r\n"


def verify_all(raw: bytes, lookup: KeyLookup) -> List[Dict[str, Any]]:
    """One dict per DKIM-Signature, top first: d, s, a, c, h (list), l (or empty), t, x, result, reason."""
    if not HAVE_CRYPTOGRAPHY:
        return []
    headers, body = split_message(raw)
    out = []
    for index, (name, field) in enumerate(headers):
        if name != "dkim-signature":
            continue
        given = tags(field.split(b":", 1)[1].decode("utf-8", "replace").replace("\r\n", ""))
        row: Dict[str, Any] = {k: given.get(k, "") for k in ("d", "s", "a", "c", "l", "t", "x")}
        row["h"] = [h.strip().lower() for h in given.get("h", "").split(":") if h.strip()]
        try:
            _verify(headers, index, body, given, lookup)
            row.update(result="pass", reason="")
        except DkimError as failure:
            row.update(result="fail", reason=str(failure))
        out.append(row)
    return out


def _verify(
    headers: Sequence[Tuple[str, bytes]], index: int, body: bytes, given: Dict[str, str], lookup: KeyLookup
) -> None:
    if given.get("v") != "1" or not all(given.get(k) for k in ("a", "b", "bh", "d", "h", "s")):
        raise DkimError("a required tag is missing")
    header_mode, _slash, body_mode = given.get("c", "simple/simple").partition("/")
    body_mode = body_mode or "simple"
    content = canonical_body(body, body_mode)
    if given.get("l"):
        content = content[: int(given["l"])] if given["l"].isdigit() else content
    if base64.b64encode(hashlib.sha256(content).digest()).decode() != given["bh"]:
        raise DkimError("the body was changed")
    signed = b"".join(
        canonical_header(f, header_mode) + b"\r\n" for f in _selected(headers, given["h"].lower().split(":"))
    )
    own = re.sub(rb"([;:][ \t\r\n]*b[ \t\r\n]*=)[^;]*", rb"\1", headers[index][1])
    signed += canonical_header(own, header_mode)
    _check(given, signed, lookup)


def _selected(headers: Sequence[Tuple[str, bytes]], names: Sequence[str]) -> List[bytes]:
    """Bottom up, each instance once; a name without a remaining instance is signed as absent (§5.4.2)."""
    left: Dict[str, List[bytes]] = {}
    for name, field in headers:
        left.setdefault(name, []).append(field)
    return [left[n.strip()].pop() for n in names if left.get(n.strip())]


def _check(given: Dict[str, str], signed: bytes, lookup: KeyLookup) -> None:
    records = lookup(given["s"], given["d"])
    if len(records) != 1:
        raise DkimError(f"{len(records)} key records at {given['s']}._domainkey.{given['d']}")
    key = tags(records[0])
    if not key.get("p"):
        raise DkimError("the key is revoked (empty p=)")
    if key.get("k", "rsa") != given["a"].split("-")[0]:
        raise DkimError("key and signature are of different kinds")
    try:
        raw = base64.b64decode(key["p"], validate=True)
        signature = base64.b64decode(given["b"], validate=True)
        if given["a"] == "ed25519-sha256":
            # RFC 8463 §3: PureEd25519 over the SHA-256 of the header data.
            ed25519.Ed25519PublicKey.from_public_bytes(raw).verify(signature, hashlib.sha256(signed).digest())
        elif given["a"] == "rsa-sha256":
            public = serialization.load_der_public_key(raw)
            if not isinstance(public, rsa.RSAPublicKey):
                raise DkimError("the record holds no RSA key")
            public.verify(signature, signed, padding.PKCS1v15(), hashes.SHA256())
        else:
            raise DkimError(f"algorithm {given['a']} is not acceptable (RFC 8301)")
    except InvalidSignature as error:
        raise DkimError("the signature does not match the headers and the published key") from error
    except (ValueError, binascii.Error) as error:
        raise DkimError(f"the key or the signature is malformed: {error}") from error
