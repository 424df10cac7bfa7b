# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mail policies in TXT records: which kind a text is, DKIM key strength, DMARC merge."""

from __future__ import annotations

import base64
import binascii
import re
from typing import List, Optional, Sequence, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.dns import spf

#: Versions by kind; of each kind a name may have one record (RFC 7208 §3.2, 9989, 8461 §3.1, 8460 §3).
_VERSIONS = {"dmarc1": "dmarc", "stsv1": "mta-sts", "tlsrptv1": "tls-rpt", "uaac1": "pacc", "bimi1": "bimi"}
_VERSION = re.compile(r"v[ \t]*=[ \t]*([a-z0-9]+)", re.IGNORECASE)
SINGLE_KINDS = ("spf", "dmarc", "mta-sts", "tls-rpt", "dkim", "pacc", "bimi")
#: Those whose doubling makes receivers ignore both.
CRITICAL_KINDS = ("spf", "dmarc", "mta-sts", "tls-rpt")

_RSA_OID = bytes.fromhex("2a864886f70d010101")


def kind_of(name: str, rtype: str, content: str) -> str:
    """The kind of a TXT record (spf, dmarc, dkim, …), nothing for other types and other texts.

    Records compete for a name only within their kind: a verification TXT beside an SPF record is no conflict.
    """
    if rtype != "TXT":
        return ""
    if spf.is_spf(content):
        return "spf"
    if "._domainkey." in name:
        return "dkim"
    version = _VERSION.match(content)
    return _VERSIONS.get(version.group(1).lower(), "") if version else ""


def tags(text: str) -> List[Tuple[str, str]]:
    """The ``name=value`` pairs of a tag list (RFC 6376 §3.2), names lower case, in order."""
    out: List[Tuple[str, str]] = []
    for part in text.split(";"):
        key, sign, value = part.partition("=")
        if sign:
            out.append((key.strip().lower(), value.strip()))
    return out


class DmarcError(ValueError):
    """DMARC records that cannot be merged; says why."""


def dmarc_merge(ours: str, theirs: Sequence[str]) -> Tuple[str, Tuple[str, ...]]:
    """Their record with our report addresses added: (text, addresses added). Their policy stands.

    Raises DmarcError for more than one record of theirs: receivers use none of two, and which one counts is not ours to say.
    """
    if len(theirs) != 1:
        raise DmarcError(f"{len(theirs)} DMARC records stand there already")
    have = dict(tags(theirs[0]))
    text = theirs[0].rstrip().rstrip(";")
    added: List[str] = []
    for tag in ("rua", "ruf"):
        known = _uris(have.get(tag, ""))
        there = {uri_key(u) for u in known}
        new = [u for u in _uris(dict(tags(ours)).get(tag, "")) if uri_key(u) not in there]
        if not new:
            continue
        added += new
        text = _set_tag(text, tag, ",".join([*known, *new]))
    return (text if added else theirs[0]), tuple(added)


def dmarc_without(text: str, addresses: Sequence[str]) -> str:
    """The record without some report addresses; a tag that held no others goes with them."""
    gone = {uri_key(a) for a in addresses}
    out = text
    for tag in ("rua", "ruf"):
        value = dict(tags(out)).get(tag)
        if value is not None:
            out = _set_tag(out, tag, ",".join(u for u in _uris(value) if uri_key(u) not in gone))
    return out


def report_addresses(text: str) -> Tuple[str, ...]:
    found = dict(tags(text))
    return tuple(u for tag in ("rua", "ruf") for u in _uris(found.get(tag, "")))


def uri_key(uri: str) -> str:
    """A report address for comparison: without regard to case and to the limit of size after it (RFC 7489 §6.2)."""
    return uri.lower().partition("!")[0]


def _uris(value: str) -> List[str]:
    return [u.strip() for u in value.split(",") if u.strip()]


def _set_tag(text: str, tag: str, value: str) -> str:
    """The text with one tag set (removed when the value is empty), everything else in its spelling."""
    parts = [p for p in text.split(";") if p.strip()]
    index = next((i for i, p in enumerate(parts) if p.partition("=")[0].strip().lower() == tag), None)
    if index is None:
        parts += [f" {tag}={value}"] if value else []
    elif value:
        lead = parts[index][: len(parts[index]) - len(parts[index].lstrip())]
        parts[index] = f"{lead}{tag}={value}"
    else:
        del parts[index]
    return ";".join(parts)


def dkim_problem(text: str, min_rsa_bits: int) -> Optional[str]:
    """What is wrong with the key of a DKIM record (RFC 6376 §3.6.1, RFC 8463 §3), or None.

    An empty ``p=`` is a revocation and in order.
    """
    found = dict(tags(text))
    if "p" not in found:
        return "it has no p= tag"
    encoded = "".join(found["p"].split())
    if not encoded:
        return None
    try:
        raw = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return "the key is not valid base64 (cut off or divided wrongly?)"
    algorithm = found.get("k", "rsa").lower()
    if algorithm == "ed25519":
        return None if len(raw) == 32 else f"an Ed25519 key has 32 bytes, this one {len(raw)}"
    if algorithm != "rsa":
        return f"the key type {algorithm!r} is unknown"
    bits = rsa_bits(raw)
    if bits is None:
        return "the key does not decode to an RSA public key (cut off?)"
    return None if bits >= min_rsa_bits else f"the RSA key has {bits} bits, {min_rsa_bits} are needed"


def rsa_bits(der: bytes) -> Optional[int]:
    """The modulus' size of an RSA public key in DER, as SubjectPublicKeyInfo or bare (RFC 8017 §A.1.1), or None."""
    try:
        body, end = _der(der, 0, 0x30)
        if end != len(der):
            return None
        if body[:1] == b"\x30":
            algorithm, rest = _der(body, 0, 0x30)
            oid, _end = _der(algorithm, 0, 0x06)
            key, end = _der(body, rest, 0x03)
            if oid != _RSA_OID or end != len(body) or key[:1] != b"\x00":
                return None
            body, end = _der(key, 1, 0x30)
            if end != len(key):
                return None
        modulus, rest = _der(body, 0, 0x02)
        exponent, end = _der(body, rest, 0x02)
    except ValueError:
        return None
    if end != len(body) or int.from_bytes(exponent, "big") < 3:
        return None
    return int.from_bytes(modulus, "big").bit_length()


def _der(data: bytes, offset: int, tag: int) -> Tuple[bytes, int]:
    """One DER element with the expected tag: (its content, the offset behind it). Raises ValueError."""
    if offset + 2 > len(data) or data[offset] != tag:
        raise ValueError("unexpected element")
    length, start = data[offset + 1], offset + 2
    if length & 0x80:
        count = length & 0x7F
        if not 1 <= count <= 4 or start + count > len(data):
            raise ValueError("bad length")
        length = int.from_bytes(data[start : start + count], "big")
        start += count
    if start + length > len(data):
        raise ValueError("cut off")
    return data[start : start + length], start + length
