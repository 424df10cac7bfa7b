# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What DNS serves for a zone's records: sets with one TTL each, as plain values; and the way back into record bodies."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype

from .config import Proxy, Zone
from .records import AUTO_TTL, Record
from .text import format_strings
from .zero_trust.model import SUFFIX

#: A set's name (dot-less) and type.
Owner = tuple[str, str]


@dataclass(frozen=True)
class RRset:
    """A set of records. ttl in seconds."""

    ttl: int
    rdatas: frozenset[dns.rdata.Rdata]


Sets = dict[Owner, RRset]

#: Owned by the server that signs and serves, never by the records of the API.
SERVER_TYPES = frozenset(
    ["SOA", "RRSIG", "NSEC", "NSEC3", "NSEC3PARAM", "DNSKEY", "CDS", "CDNSKEY", "ZONEMD", "TYPE65534"]
)


def server_owned(zone: str, owner: Owner) -> bool:
    """Sets an update leaves alone: the apex NS and what signing makes."""
    name, record_type = owner
    return record_type in SERVER_TYPES or (record_type == "NS" and name == zone)


def served_sets(
    zone: Zone, records: Iterable[Record], proxy: Proxy | None = None, tunnel_edge: Proxy | None = None
) -> Sets:
    """The sets DNS serves.

    Proxied hosts answer with the proxy's addresses, and with none when there is no proxy: the origin never shows. Where a
    proxied CNAME leads to a tunnel, they are the tunnel edge's, whether or not there is such a tunnel: the edge says. An apex
    CNAME is flattened to the addresses its target has in the same zone. A CNAME elsewhere hides what else its name has,
    because a name with a CNAME can serve nothing else (RFC 2181 §10.1). One set has one TTL: the smallest.
    """
    proxy = proxy or Proxy()
    edge = tunnel_edge if tunnel_edge and (tunnel_edge.ipv4 or tunnel_edge.ipv6) else proxy
    everything = list(records)
    aliases = {r.name for r in everything if r.type == "CNAME" and not r.proxied and r.name != zone.name}
    found: dict[Owner, list[tuple[int, dns.rdata.Rdata]]] = {}

    def add(owner: Owner, ttl: int, rdata: dns.rdata.Rdata) -> None:
        if not server_owned(zone.name, owner):
            found.setdefault(owner, []).append((ttl, rdata))

    for record in everything:
        if record.type in ("A", "AAAA", "CNAME") and record.proxied:
            front = edge if record.type == "CNAME" and record.value.content.lower().endswith(SUFFIX) else proxy
            for record_type, addresses in (("A", front.ipv4), ("AAAA", front.ipv6)):
                for address in addresses:
                    add((record.name, record_type), AUTO_TTL, _rdata(record_type, address))
        elif record.type == "CNAME" and record.name == zone.name:
            for target in everything:
                if target.name == record.value.content and target.type in ("A", "AAAA") and not target.proxied:
                    add((record.name, target.type), min(record.served_ttl, target.served_ttl), target.rdata)
        elif record.type == "CNAME" or record.name not in aliases:
            add((record.name, record.type), record.served_ttl, record.rdata)
    return {owner: RRset(min(t for t, _ in items), frozenset(r for _, r in items)) for owner, items in found.items()}


def differences(before: Mapping[Owner, RRset], after: Mapping[Owner, RRset]) -> dict[Owner, RRset | None]:
    """What must change in DNS: the new set, or None for one that goes."""
    changed: dict[Owner, RRset | None] = {owner: None for owner in before if owner not in after}
    changed.update({owner: rrset for owner, rrset in after.items() if before.get(owner) != rrset})
    return changed


def _rdata(record_type: str, text: str) -> dns.rdata.Rdata:
    return dns.rdata.from_text(dns.rdataclass.IN, dns.rdatatype.from_text(record_type), text)


# -- the way back ----------------------------------------------------------------------------------------------------


def bodies(sets: Mapping[Owner, RRset]) -> list[dict[str, Any]]:
    """Record bodies as for POST from served sets, for a zone that existed before the twin. LOC is left out."""
    out: list[dict[str, Any]] = []
    for (name, record_type), rrset in sorted(sets.items()):
        for rdata in sorted(rrset.rdatas):
            value = body_value(record_type, rdata)
            if value is not None:
                out.append({"type": record_type, "name": name, "ttl": max(60, min(rrset.ttl, 86400)), **value})
    return out


def _host(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True) if name != dns.name.root else "."


def _association(r: Any) -> dict[str, Any]:
    return {"usage": r.usage, "selector": r.selector, "matching_type": r.mtype, "certificate": r.cert.hex()}


def _service(r: Any) -> dict[str, Any]:
    value = r.to_text().split(" ", 2)[2:]
    return {"priority": r.priority, "target": _host(r.target), "value": value[0] if value else ""}


_CONTENT: dict[str, Callable[[Any], dict[str, Any]]] = {
    "A": lambda r: {"content": r.address},
    "AAAA": lambda r: {"content": r.address},
    "CNAME": lambda r: {"content": _host(r.target)},
    "MX": lambda r: {"content": _host(r.exchange), "priority": r.preference},
    "NS": lambda r: {"content": _host(r.target)},
    "OPENPGPKEY": lambda r: {"content": base64.b64encode(r.key).decode()},
    "PTR": lambda r: {"content": _host(r.target)},
    "TXT": lambda r: {"content": format_strings(r.strings)},
}

_DATA: dict[str, Callable[[Any], dict[str, Any]]] = {
    "CERT": lambda r: {
        "type": int(r.certificate_type),
        "key_tag": r.key_tag,
        "algorithm": int(r.algorithm),
        "certificate": base64.b64encode(r.certificate).decode(),
    },
    "DNSKEY": lambda r: {
        "flags": int(r.flags),
        "protocol": r.protocol,
        "algorithm": int(r.algorithm),
        "public_key": base64.b64encode(r.key).decode(),
    },
    "NAPTR": lambda r: {
        "order": r.order,
        "preference": r.preference,
        "flags": r.flags.decode(),
        "service": r.service.decode(),
        "regex": r.regexp.decode(),
        "replacement": _host(r.replacement),
    },
    "CAA": lambda r: {"flags": r.flags, "tag": r.tag.decode(), "value": r.value.decode()},
    "DS": lambda r: {
        "key_tag": r.key_tag,
        "algorithm": int(r.algorithm),
        "digest_type": int(r.digest_type),
        "digest": r.digest.hex(),
    },
    "HTTPS": _service,
    "SMIMEA": _association,
    "SRV": lambda r: {"priority": r.priority, "weight": r.weight, "port": r.port, "target": _host(r.target)},
    "SSHFP": lambda r: {"algorithm": r.algorithm, "type": r.fp_type, "fingerprint": r.fingerprint.hex()},
    "SVCB": _service,
    "TLSA": _association,
}


def body_value(record_type: str, rdata: Any) -> dict[str, Any] | None:
    """The value of a record's body for served rdata; None for a type without a way back here."""
    if record_type == "URI":
        return {"priority": rdata.priority, "data": {"weight": rdata.weight, "target": rdata.target.decode()}}
    if record_type in _CONTENT:
        return _CONTENT[record_type](rdata)
    if record_type in _DATA:
        return {"data": _DATA[record_type](rdata)}
    return None
