# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Record types: what a body must hold, what is given back, and the same thing in DNS presentation format.

Shapes are those of the reference, §1.3. A type either has ``content`` (A, AAAA, CNAME, MX, NS, OPENPGPKEY, PTR, TXT) or a
``data`` object, whose ``content`` is only an echo and is ignored on write, as the documentation marks it read-only.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import dns.exception
import dns.rdata
import dns.rdataclass
import dns.rdatatype

from . import errors
from .text import format_strings, hostname, parse_txt

#: Most bytes one record may take on the wire (record-types page of the documentation).
WIRE_MAX = 4096


@dataclass(frozen=True)
class Value:
    """A validated value. content, data, priority: as given back; presentation: RFC 1035 §5.1 text with absolute names."""

    content: str
    presentation: str
    data: dict[str, Any] | None = None
    priority: int | None = None


@dataclass(frozen=True)
class Int:
    """An integer field of ``data`` with its range."""

    low: int
    high: int

    def read(self, name: str, given: Any) -> int:
        if isinstance(given, bool) or not isinstance(given, int):
            raise errors.invalid_data(name, "a number is expected")
        if not self.low <= given <= self.high:
            raise errors.invalid_data(name, f"must be between {self.low} and {self.high}")
        return given


@dataclass(frozen=True)
class Number:
    """A number of ``data`` that may have decimals (LOC)."""

    low: float
    high: float

    def read(self, name: str, given: Any) -> float:
        if isinstance(given, bool) or not isinstance(given, (int, float)):
            raise errors.invalid_data(name, "a number is expected")
        if not self.low <= given <= self.high:
            raise errors.invalid_data(name, f"must be between {self.low} and {self.high}")
        return given


@dataclass(frozen=True)
class Text:
    """A text field of ``data``. shape: what to do with it besides checking that it is text."""

    shape: Callable[[str], str] = str

    def read(self, name: str, given: Any) -> str:
        if not isinstance(given, str):
            raise errors.invalid_data(name, "text is expected")
        try:
            return self.shape(given)
        except (ValueError, errors.ApiError) as error:
            raise errors.invalid_data(name, str(error)) from None


Field = Int | Number | Text


def _hex_upper(given: str) -> str:
    """Certificate data comes back in upper case (seen: external-dns PR 6616)."""
    compact = "".join(given.split())
    bytes.fromhex(compact)
    return compact.upper()


def _hex(given: str) -> str:
    compact = "".join(given.split())
    bytes.fromhex(compact)
    return compact


def _target(given: str) -> str:
    """A host in ``data``; ``.`` (RFC 2782, RFC 9460) stays as it is."""
    return "." if given.strip() == "." else hostname(given, "SRV")


def _caa_tag(given: str) -> str:
    if not given.isascii() or not given.isalnum():
        raise ValueError("a property tag is letters and digits (RFC 8659 §4.1)")
    return given.lower()


def _one_of(*allowed: str) -> Callable[[str], str]:
    def read(given: str) -> str:
        if given.upper() not in allowed:
            raise ValueError("one of " + ", ".join(allowed))
        return given.upper()

    return read


_U8, _U16 = Int(0, 255), Int(0, 65535)
_ASSOCIATION: dict[str, Field] = {
    "usage": Int(0, 255),
    "selector": Int(0, 255),
    "matching_type": Int(0, 255),
    "certificate": Text(_hex_upper),
}
_SVCB: dict[str, Field] = {"priority": _U16, "target": Text(_target), "value": Text()}

#: The fields of ``data`` per type.
DATA_FIELDS: dict[str, dict[str, Field]] = {
    "CAA": {"flags": _U8, "tag": Text(_caa_tag), "value": Text()},
    "CERT": {"type": _U16, "key_tag": _U16, "algorithm": _U8, "certificate": Text()},
    "DNSKEY": {"flags": _U16, "protocol": _U8, "algorithm": _U8, "public_key": Text()},
    "DS": {"key_tag": _U16, "algorithm": _U8, "digest_type": _U8, "digest": Text(_hex)},
    "HTTPS": _SVCB,
    "LOC": {
        "lat_degrees": Int(0, 90),
        "lat_minutes": Int(0, 59),
        "lat_seconds": Number(0, 59.999),
        "lat_direction": Text(_one_of("N", "S")),
        "long_degrees": Int(0, 180),
        "long_minutes": Int(0, 59),
        "long_seconds": Number(0, 59.999),
        "long_direction": Text(_one_of("E", "W")),
        "altitude": Number(-100000, 42849672.95),
        "size": Number(0, 90000000),
        "precision_horz": Number(0, 90000000),
        "precision_vert": Number(0, 90000000),
    },
    "NAPTR": {
        "order": _U16,
        "preference": _U16,
        "flags": Text(),
        "service": Text(),
        "regex": Text(),
        "replacement": Text(_target),
    },
    "SMIMEA": _ASSOCIATION,
    "SRV": {"priority": _U16, "weight": _U16, "port": _U16, "target": Text(_target)},
    "SSHFP": {"algorithm": _U8, "type": _U8, "fingerprint": Text(_hex)},
    "SVCB": _SVCB,
    "TLSA": _ASSOCIATION,
    "URI": {"weight": _U16, "target": Text()},
}

#: Types whose value is ``content``.
CONTENT_TYPES = ("A", "AAAA", "CNAME", "MX", "NS", "OPENPGPKEY", "PTR", "TXT")

#: The 21 types of the reference.
TYPES = tuple(sorted((*CONTENT_TYPES, *DATA_FIELDS)))

#: Types that carry ``priority`` beside their value.
PRIORITY_TYPES = ("MX", "URI")

#: Types the proxy can stand before.
PROXIABLE = ("A", "AAAA", "CNAME")

#: Fields older clients send in SRV data; the API dropped them and the name says the same.
LEGACY_DATA = {"SRV": ("service", "proto", "name")}


def make_value(record_type: str, name: str, content: Any, data: Any, priority: Any, *, lenient: bool = False) -> Value:
    """Validate one value. Raises ApiError; every missing data field is reported at once, as the API does."""
    if record_type in DATA_FIELDS:
        read = _read_data(record_type, data, lenient)
        value = _data_value(record_type, read, _read_priority(record_type, priority, None))
    elif record_type == "MX":
        value = _mx(content, data, priority)
    else:
        if data is not None:
            raise errors.invalid_body(f"{record_type} takes content, not data.", "/data")
        value = _content_value(record_type, name, content)
    _check_wire(record_type, value)
    return value


def to_rdata(record_type: str, value: Value) -> dns.rdata.Rdata:
    """The value as DNS rdata. Raises ApiError when it is none."""
    try:
        return dns.rdata.from_text(dns.rdataclass.IN, dns.rdatatype.from_text(record_type), value.presentation)
    except (dns.exception.DNSException, ValueError) as error:
        raise errors.invalid_content(record_type, str(error)) from None


def _check_wire(record_type: str, value: Value) -> None:
    wire = to_rdata(record_type, value).to_wire()
    if wire is not None and len(wire) > WIRE_MAX:
        raise errors.content_too_long(WIRE_MAX)


def _read_data(record_type: str, data: Any, lenient: bool) -> dict[str, Any]:
    fields = DATA_FIELDS[record_type]
    if data is None:
        raise errors.missing_data(list(fields))
    if not isinstance(data, dict):
        raise errors.invalid_body("data must be an object.", "/data")
    missing = [name for name in fields if name not in data]
    if missing:
        raise errors.missing_data(missing)
    legacy = LEGACY_DATA.get(record_type, ()) if lenient else ()
    for name in data:
        if name not in fields and name not in legacy:
            raise errors.invalid_body(f"{name} is no data field of {record_type}.", f"/data/{name}")
    return {name: reader.read(name, data[name]) for name, reader in fields.items()}


def _read_priority(record_type: str, priority: Any, fallback: Any) -> int | None:
    if record_type not in PRIORITY_TYPES:
        return None
    given = fallback if priority is None else priority
    if given is None:
        raise errors.ApiError(400, [errors.Item(9101, "priority is a required data field.", "/priority")])
    return _U16.read("priority", given)


def _text(content: Any) -> str:
    if not isinstance(content, str) or not content:
        raise errors.invalid_body("content must be a text of at least one character.", "/content")
    return content


def _mx(content: Any, data: Any, priority: Any) -> Value:
    """MX: ``priority`` beside ``content``; the schema announces a move into ``data``, so both places are read."""
    inner: dict[str, Any] = {}
    if data is not None:
        if not isinstance(data, dict) or set(data) - {"priority", "target"}:
            raise errors.invalid_body("data of MX holds priority and target.", "/data")
        inner = data
    number = _read_priority("MX", priority, inner.get("priority"))
    given = _text(content if content is not None else inner.get("target"))
    # RFC 7505: the null MX is the one target that comes back with its dot.
    target = "." if given.strip() == "." else hostname(given, "MX")
    return Value(target, f"{number} {_dotted(target)}", None, number)


def _dotted(host: str) -> str:
    return host if host.endswith(".") else host + "."


def _content_value(record_type: str, name: str, content: Any) -> Value:
    given = _text(content)
    if record_type == "A":
        try:
            address = str(ipaddress.IPv4Address(given.strip()))
        except ValueError:
            raise errors.bad_a() from None
        return Value(address, address)
    if record_type == "AAAA":
        address = _ipv6(given.strip())
        return Value(address, address)
    if record_type == "TXT":
        txt = parse_txt(given)
        return Value(txt.content, format_strings(txt.strings))
    if record_type == "OPENPGPKEY":
        compact = "".join(given.split())
        return Value(compact, compact)
    host = hostname(given, record_type)
    if record_type == "CNAME" and host == name:
        raise errors.self_reference()
    return Value(host, _dotted(host))


def _ipv6(given: str) -> str:
    """RFC 5952; the mapped form keeps its dotted quad (§5), which ``ipaddress`` of Python 3.11 does not print."""
    try:
        address = ipaddress.IPv6Address(given)
    except ValueError:
        raise errors.bad_aaaa() from None
    if address.scope_id is not None:
        raise errors.bad_aaaa()
    if address.ipv4_mapped is not None:
        return f"::ffff:{address.ipv4_mapped}"
    return address.compressed


def _quoted(given: str) -> str:
    """A text as one RFC 1035 §5.1 quoted string."""
    return '"' + given.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _meters(value: float) -> str:
    return f"{value:.2f}m"


def _data_value(record_type: str, d: dict[str, Any], priority: int | None) -> Value:
    """Build the echo and the presentation. Echo forms: CAA, SRV, HTTPS, TLSA seen; the rest follow the RFC's text."""
    if record_type == "SRV":
        echo = f"{d['weight']} {d['port']} {d['target']}"
        return Value(echo, f"{d['priority']} {d['weight']} {d['port']} {_dotted(d['target'])}", d, d["priority"])
    if record_type == "CAA":
        echo = f"{d['flags']} {d['tag']} {_quoted(d['value'])}"
    elif record_type in ("TLSA", "SMIMEA"):
        echo = f"{d['usage']} {d['selector']} {d['matching_type']} {d['certificate']}"
    elif record_type in ("HTTPS", "SVCB"):
        echo = f"{d['priority']} {d['target']} {d['value']}".rstrip()
        return Value(echo, f"{d['priority']} {_dotted(d['target'])} {d['value']}".rstrip(), d)
    elif record_type == "SSHFP":
        echo = f"{d['algorithm']} {d['type']} {d['fingerprint']}"
    elif record_type == "DS":
        echo = f"{d['key_tag']} {d['algorithm']} {d['digest_type']} {d['digest']}"
    elif record_type == "DNSKEY":
        echo = f"{d['flags']} {d['protocol']} {d['algorithm']} {d['public_key']}"
    elif record_type == "CERT":
        echo = f"{d['type']} {d['key_tag']} {d['algorithm']} {d['certificate']}"
    elif record_type == "URI":
        echo = f"{d['weight']} {_quoted(d['target'])}"
        return Value(echo, f"{priority} {echo}", d, priority)
    elif record_type == "NAPTR":
        words = " ".join(_quoted(d[name]) for name in ("flags", "service", "regex"))
        echo = f"{d['order']} {d['preference']} {words} {d['replacement']}"
        return Value(echo, f"{d['order']} {d['preference']} {words} {_dotted(d['replacement'])}", d)
    else:  # LOC, RFC 1876 §3
        latitude = f"{d['lat_degrees']} {d['lat_minutes']} {d['lat_seconds']:.3f} {d['lat_direction']}"
        longitude = f"{d['long_degrees']} {d['long_minutes']} {d['long_seconds']:.3f} {d['long_direction']}"
        sizes = " ".join(_meters(d[n]) for n in ("altitude", "size", "precision_horz", "precision_vert"))
        echo = f"{latitude} {longitude} {sizes}"
    return Value(echo, echo, d)
