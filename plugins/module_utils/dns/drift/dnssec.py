# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which DS records at a parent belong to a zone's keys (RFC 4034 §5, RFC 4509, RFC 6605). Pure."""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
from dataclasses import dataclass
from typing import Iterable, List, Optional, Tuple, TypeVar

#: Digest types of the IANA registry that a validator knows. 1 and 2 must be validated, 4 should be (RFC 8624 §3.3).
DIGESTS = {1: "sha1", 2: "sha256", 4: "sha384"}
ZONE_KEY = 0x0100  #: flag of a key that may sign the zone (RFC 4034 §2.1.1)
REVOKED = 0x0080  #: RFC 5011 §3

T = TypeVar("T")


@dataclass(frozen=True)
class Ds:
    """A DS record. digest: lower-case hexadecimal."""

    tag: int
    algorithm: int
    digest_type: int
    digest: str

    def __str__(self) -> str:
        return f"{self.tag} {self.algorithm} {self.digest_type} {self.digest}"


@dataclass(frozen=True)
class Key:
    """A DNSKEY record; wire is its data as sent."""

    flags: int
    protocol: int
    algorithm: int
    wire: bytes

    @property
    def tag(self) -> int:
        """The key tag (RFC 4034 appendix B)."""
        total = sum(byte << 8 if index % 2 == 0 else byte for index, byte in enumerate(self.wire))
        return (total + (total >> 16)) & 0xFFFF


def read_ds(text: str) -> Optional[Ds]:
    """From presentation form; None when it is none."""
    parts = text.split()
    if len(parts) < 4 or not all(p.isascii() and p.isdigit() for p in parts[:3]):
        return None
    return Ds(int(parts[0]), int(parts[1]), int(parts[2]), "".join(parts[3:]).lower())


def read_key(text: str) -> Optional[Key]:
    """From presentation form; None when it is none."""
    parts = text.split()
    if len(parts) < 4 or not all(p.isascii() and p.isdigit() for p in parts[:3]):
        return None
    flags, protocol, algorithm = (int(p) for p in parts[:3])
    try:
        public = base64.b64decode("".join(parts[3:]), validate=True)
        return Key(flags, protocol, algorithm, struct.pack("!HBB", flags, protocol, algorithm) + public)
    except (binascii.Error, ValueError, struct.error):
        return None


def owner_wire(zone: str) -> bytes:
    """A canonical name in wire form (RFC 4034 §6.2)."""
    labels = [label for label in zone.lower().split(".") if label]
    return b"".join(bytes([len(label)]) + label.encode("ascii") for label in labels) + b"\0"


def fits(zone: str, ds: Ds, key: Key) -> Optional[bool]:
    """Whether the DS is the key's; None when its digest type is not known here."""
    if (ds.tag, ds.algorithm) != (key.tag, key.algorithm) or not key.flags & ZONE_KEY or key.flags & REVOKED:
        return False
    name = DIGESTS.get(ds.digest_type)
    if name is None:
        return None
    # SHA-1 is what the parent published: it is compared, not chosen.
    digest = hashlib.new(name, owner_wire(zone) + key.wire)
    return digest.hexdigest() == ds.digest


def unmatched(zone: str, ds: Iterable[str], keys: Iterable[str]) -> Tuple[List[str], List[str]]:
    """(DS records of the parent without their key, those with it), in presentation form.

    Raises ValueError for a DS or key that cannot be read. A DS of an unknown digest type counts as matched by a key of its
    tag and algorithm.
    """
    parsed = [_must(read_key(k), "DNSKEY", k) for k in keys]
    lost: List[str] = []
    good: List[str] = []
    for text in sorted(ds):
        record = _must(read_ds(text), "DS", text)
        verdicts = [fits(zone, record, key) for key in parsed]
        (good if any(v is not False for v in verdicts) else lost).append(text)
    return lost, good


def _must(found: Optional[T], kind: str, text: str) -> T:
    if found is None:
        raise ValueError(f"{kind} {text[:60]!r} cannot be read")
    return found
