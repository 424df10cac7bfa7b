# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The records that Email Routing and Email Sending need in a zone, what is wrong with those that are there, and writing them.

Values: reference, §1.6 and §1.7. Preferences are the service's own choice for each zone (seen: 87/42/94, 58/12/86, 66/6/21).
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
from collections.abc import Iterable
from typing import Any

from ..config import Zone, stable_id
from ..records import Reader, Record
from ..rules import Working
from ..text import format_strings, parse_txt

SPF_INCLUDE = "include:_spf.mx.cloudflare.net"
SPF = f"v=spf1 {SPF_INCLUDE} ~all"
ROUTING_SELECTOR, SENDING_SELECTOR = "cf2024-1", "cf-bounce"

#: DER of an RSA-2048 public key before and after the modulus.
_RSA_HEAD = bytes.fromhex("30820122300d06092a864886f70d01010105000382010f003082010a0282010100")
_RSA_TAIL = bytes.fromhex("0203010001")

Body = dict[str, Any]


def routing_bodies(zone: Zone, domain: str, dkim_key: str = "") -> list[Body]:
    """What Email Routing needs at a domain: three MX, SPF and DKIM, as bodies for POST. dkim_key: base64 of ``p=``."""
    dkim = _dkim(f"{ROUTING_SELECTOR}._domainkey.{domain}", dkim_key or made_up_key("routing", zone.name))
    return [*_mx(zone, domain, "routing"), _txt(domain, SPF), dkim]


def sending_bodies(zone: Zone, domain: str) -> list[Body]:
    """What Email Sending needs for a domain, its strict DMARC policy included."""
    bounce = f"cf-bounce.{domain}"
    return [
        *_mx(zone, bounce, "sending"),
        _txt(bounce, SPF),
        _dkim(f"{SENDING_SELECTOR}._domainkey.{domain}", made_up_key("sending", domain)),
        _txt(f"_dmarc.{domain}", "v=DMARC1; p=reject;"),
    ]


def made_up_key(*parts: str) -> str:
    """Base64 of an RSA-2048 public key, the same in every run. Nobody has its private half."""
    modulus = b"".join(hashlib.sha512(f"{'/'.join(parts)} {n}".encode()).digest() for n in range(4))
    odd = bytes([modulus[0] | 0x80]) + modulus[1:-1] + bytes([modulus[-1] | 1])
    return base64.b64encode(_RSA_HEAD + odd + _RSA_TAIL).decode()


def _mx(zone: Zone, name: str, use: str) -> list[Body]:
    # Distinct, unordered and not to be guessed: a client has to read them.
    digest = bytes.fromhex(stable_id(use, zone.name))
    preferences: list[int] = []
    for byte in digest:
        if (value := 1 + byte % 99) not in preferences:
            preferences.append(value)
    hosts = [f"route{n}.mx.cloudflare.net" for n in (1, 2, 3)]
    return [
        {"type": "MX", "name": name, "content": host, "priority": preference, "ttl": 1}
        for host, preference in zip(hosts, preferences, strict=False)
    ]


def _txt(name: str, text: str) -> Body:
    return {"type": "TXT", "name": name, "content": format_strings(parse_txt(text).strings), "ttl": 1}


def _dkim(name: str, key: str) -> Body:
    return _txt(name, f"v=DKIM1; h=sha256; k=rsa; p={key}")


def shown(body: Body) -> Body:
    """A needed record as ``GET …/dns`` shows it: MX targets end in a dot there (seen)."""
    return {**body, "content": body["content"] + "."} if body["type"] == "MX" else dict(body)


def shown_record(record: Record) -> Body:
    """A record of the zone in the same form."""
    body: Body = {"type": record.type, "name": record.name, "content": record.value.content, "ttl": record.ttl}
    if record.type == "MX":
        body["priority"] = record.value.priority
    return shown(body)


def text_of(record: Record) -> str:
    """TXT content joined; empty for other types."""
    if record.type != "TXT":
        return ""
    return b"".join(parse_txt(record.value.content).strings).decode("utf-8", "replace")


def is_spf(record: Record) -> bool:
    return text_of(record).lower().split(" ")[0] == "v=spf1"


def is_dmarc(record: Record) -> bool:
    return text_of(record).lower().startswith("v=dmarc1") or record.type == "CNAME"


# -- what is wrong -----------------------------------------------------------------------------------------------------


def mistakes(records: Iterable[Record], needed: Iterable[Body]) -> list[dict[str, Any]]:
    """``errors`` of the DNS report: codes and shapes of the sending endpoints, seen with routing as well.

    One SPF record that has other terms beside the service's include is right: merging is what the documentation advises.
    """
    everything = list(records)
    out: list[dict[str, Any]] = []
    names: list[str] = []
    for body in needed:
        if body["name"] not in names:
            names.append(body["name"])
    bodies = list(needed)
    for name in names:
        here = [r for r in everything if r.name == name]
        wanted = [b for b in bodies if b["name"] == name]
        out += _mx_mistakes(here, [b for b in wanted if b["type"] == "MX"])
        for body in wanted:
            if body["type"] == "TXT":
                out += _txt_mistakes(here, body)
    return out


def _mx_mistakes(here: list[Record], wanted: list[Body]) -> list[dict[str, Any]]:
    if not wanted:
        return []
    hosts = {body["content"] for body in wanted}
    present = [r for r in here if r.type == "MX"]
    found = {r.value.content for r in present}
    foreign = [{"code": "mx.foreign", "existing": shown_record(r)} for r in present if r.value.content not in hosts]
    return foreign + [{"code": "mx.missing", "missing": shown(b)} for b in wanted if b["content"] not in found]


def _txt_mistakes(here: list[Record], body: Body) -> list[dict[str, Any]]:
    wanted = b"".join(parse_txt(body["content"]).strings).decode()
    if wanted.startswith("v=spf1"):
        return _spf_mistakes([r for r in here if is_spf(r)], body)
    kind = "dkim" if wanted.startswith("v=DKIM1") else "dmarc"
    present = [r for r in here if (r.type == "TXT" if kind == "dkim" else is_dmarc(r))]
    if not present:
        return [{"code": f"{kind}.missing", "missing": shown(body)}]
    if len(present) > 1:
        code = "dkim.conflict" if kind == "dkim" else "dmarc.multiple"
        return [{"code": code, "multiple": [shown_record(r) for r in present]}]
    return []


def _spf_mistakes(present: list[Record], body: Body) -> list[dict[str, Any]]:
    out: list[dict[str, Any]] = []
    if len(present) > 1:
        out.append({"code": "spf.multiple", "multiple": [shown_record(r) for r in present]})
    foreign = [r for r in present if SPF_INCLUDE not in text_of(r).split(" ")]
    out += [{"code": "spf.foreign", "existing": shown_record(r)} for r in foreign]
    if len(foreign) == len(present):
        out.append({"code": "spf.missing", "missing": shown(body)})
    return out


# -- writing -----------------------------------------------------------------------------------------------------------


def put(working: Working, reader: Reader, body: Body) -> Record:
    """Write a needed record, or take over the identical one that is there. Gives the managed record."""
    meta = {"email_routing": True, "read_only": True}
    record = reader.create(body, meta)
    for other in working.others(record):
        same_host = record.type == other.type == "MX" and other.value.content == record.value.content
        if other.identity == record.identity or same_host:
            record = dataclasses.replace(other, meta={**other.meta, **meta})
            break
    working.put(record)
    return record


def set_locked(working: Working, ids: Iterable[str], locked: bool) -> None:
    """Lock or unlock managed records; those somebody deleted meanwhile are passed over."""
    for record_id in ids:
        record = working.records.get(record_id)
        if record is not None:
            working.put(dataclasses.replace(record, meta={**record.meta, "read_only": locked}))


def remove(working: Working, ids: Iterable[str]) -> list[Record]:
    """Take managed records out, however they were edited. Gives those that were still there."""
    gone = [working.records[record_id] for record_id in ids if record_id in working.records]
    for record in gone:
        working.remove(record)
    return gone
