# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""DNSSEC of a zone: the state the API reports and the DS for the registrar (reference, §1.5)."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import Any

import dns.dnssec
import dns.dnssectypes
import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype

from . import errors

_FLAGS = ("dnssec_multi_signer", "dnssec_presigned", "dnssec_use_nsec3")


@dataclass(frozen=True)
class Key:
    """A key-signing key as in its DNSKEY record; public_key is base64."""

    algorithm: int
    public_key: str
    flags: int = 257

    @classmethod
    def made_up(cls, zone: str, flags: int = 257) -> Key:
        """A stable key of the right form (ECDSA P-256, 64 bytes) for a twin that signs nothing itself."""
        raw = hashlib.sha512(b"mailstead lab key of " + zone.encode()).digest()
        return cls(13, base64.b64encode(raw).decode(), flags)


@dataclass
class Dnssec:
    """status: of DNSSEC_STATES. A zone becomes active when the registrar has the DS: activate()."""

    zone: str
    status: str
    modified_on: str
    key: Key | None = None
    multi_signer: bool = False
    presigned: bool = False
    use_nsec3: bool = False

    def to_json(self) -> dict[str, Any]:
        out: dict[str, Any] = {
            "status": self.status,
            "modified_on": self.modified_on,
            "dnssec_multi_signer": self.multi_signer,
            "dnssec_presigned": self.presigned,
            "dnssec_use_nsec3": self.use_nsec3,
            "flags": None,
            "algorithm": None,
            "key_type": None,
            "digest_type": None,
            "digest_algorithm": None,
            "digest": None,
            "ds": None,
            "key_tag": None,
            "public_key": None,
        }
        if self.status != "disabled" and self.key is not None:
            out.update(_ds(self.zone, self.key))
        return out

    def change(self, body: Any, now: str, key: Key) -> None:
        """PATCH. Enabling gives ``pending`` until the registrar has the DS, disabling ``pending-disabled`` as long as it has
        it; the same again changes nothing."""
        if not isinstance(body, dict):
            raise errors.invalid_body("An object is expected.")
        for name, value in body.items():
            if name == "status":
                if value not in ("active", "disabled"):
                    raise errors.invalid_body("status must be active or disabled.", "/status")
            elif name not in _FLAGS:
                raise errors.invalid_body(f"Unknown field {name}.", f"/{name}")
            elif not isinstance(value, bool):
                raise errors.invalid_body(f"{name} must be true or false.", f"/{name}")
        if body.get("status") == "active" and self.status in ("disabled", "pending-disabled"):
            self.status, self.key = "pending", key if self.status == "disabled" else self.key or key
        elif body.get("status") == "disabled" and self.status != "pending-disabled":
            # Of an active zone the registrar still has the DS (documentation, DNSSEC states).
            self.status = "pending-disabled" if self.status == "active" else "disabled"
        self.multi_signer = body.get("dnssec_multi_signer", self.multi_signer)
        self.presigned = body.get("dnssec_presigned", self.presigned)
        self.use_nsec3 = body.get("dnssec_use_nsec3", self.use_nsec3)
        self.modified_on = now

    def zone_keys(self) -> list[dict[str, Any]]:
        """``dnssec/zsk``: the keys that sign the zone's records, in the published type's words; none while unsigned."""
        if self.status == "disabled" or self.key is None:
            return []
        key = Key.made_up(f"zsk.{self.zone}", flags=256)
        return [
            {
                "DNSKEY": {
                    "Hdr": {"Name": f"{self.zone}.", "Rrtype": 48, "Class": 1, "Ttl": 3600, "Rdlength": 0},
                    "Flags": key.flags,
                    "Protocol": 3,
                    "Algorithm": key.algorithm,
                    "PublicKey": key.public_key,
                },
                "Location": "database",
                "Name": f"zsk-{self.zone}",
                "Tag": "active",
            }
        ]

    def activate(self, now: str) -> None:
        """The registrar has the DS. Nothing happens to a zone that is not pending."""
        if self.status == "pending":
            self.status, self.modified_on = "active", now


def _ds(zone: str, key: Key) -> dict[str, Any]:
    text = f"{key.flags} 3 {key.algorithm} {key.public_key}"
    dnskey = dns.rdata.from_text(dns.rdataclass.IN, dns.rdatatype.DNSKEY, text)
    ds = dns.dnssec.make_ds(dns.name.from_text(zone), dnskey, "SHA256")
    digest = ds.digest.hex().upper()
    return {
        "flags": key.flags,
        "algorithm": str(key.algorithm),
        "key_type": dns.dnssec.algorithm_to_text(dns.dnssectypes.Algorithm(key.algorithm)),
        "digest_type": "2",
        "digest_algorithm": "SHA256",
        "digest": digest,
        "ds": f"{zone}. 3600 IN DS {ds.key_tag} {key.algorithm} 2 {digest}",
        "key_tag": ds.key_tag,
        "public_key": key.public_key,
    }
