# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The import endpoint: a form with a BIND file in it, read into record bodies (reference, §1.3)."""

from __future__ import annotations

import email.parser
import email.policy
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import dns.exception
import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.tokenizer
import dns.zonefile

from . import errors
from .config import Zone
from .rdata import PROXIABLE
from .served import body_value

_REMARK = re.compile(r"(?P<comment>.*?)\s*(?:\bcf_tags=(?P<tags>\S*))?\s*")


@dataclass(frozen=True)
class Form:
    """The form's fields. proxied: what records get that say nothing themselves."""

    file: str
    proxied: bool = False


def read_form(content_type: str, body: Any) -> Form:
    """A ``multipart/form-data`` body (RFC 7578). Raises ApiError."""
    if not content_type.lower().startswith("multipart/form-data") or not isinstance(body, (bytes, bytearray)):
        raise errors.invalid_body("A multipart form with the field file is expected.")
    head = f"Content-Type: {content_type}\r\nMIME-Version: 1.0\r\n\r\n".encode()
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + bytes(body))
    fields: dict[str, str] = {}
    for part in message.iter_parts() if message.is_multipart() else ():
        name = part.get_param("name", header="content-disposition")
        payload = part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(payload, bytes):
            fields[name] = payload.decode("utf-8", "replace")
    if "file" not in fields:
        raise errors.invalid_body("The form has no field file.", "/file")
    proxied = fields.get("proxied", "false").strip()
    if proxied not in ("true", "false"):
        raise errors.invalid_body("proxied must be true or false.", "/proxied")
    return Form(fields["file"], proxied == "true")


def bodies(zone: Zone, form: Form, least_ttl: int) -> list[dict[str, Any]]:
    """Record bodies as for POST, without SOA and the apex NS. Raises ApiError; ``$INCLUDE`` is refused."""
    sink = _Sink(zone.name)
    try:
        tokens = dns.tokenizer.Tokenizer(form.file, "file")
        # Records without a TTL of their own, and no $TTL before them, get the automatic one.
        dns.zonefile.Reader(tokens, dns.rdataclass.IN, cast(Any, sink), default_ttl=1).read()
    except (dns.exception.DNSException, ValueError) as error:
        raise errors.bad_zone_file(str(error)) from None
    return [
        _body(name, ttl, rdata, form.proxied, least_ttl)
        for name, ttl, rdata in sink.found
        if rdata.rdtype != dns.rdatatype.SOA and not (rdata.rdtype == dns.rdatatype.NS and name == sink.origin)
    ]


class _Sink:
    """Where the reader puts what it reads: in order, each record with its own TTL, unlike in a zone of dnspython."""

    def __init__(self, zone: str) -> None:
        self.origin = dns.name.from_text(zone)
        self.found: list[tuple[dns.name.Name, int, dns.rdata.Rdata]] = []
        self.manager = self

    def origin_information(self) -> tuple[dns.name.Name, bool, dns.name.Name]:
        return self.origin, False, self.origin

    def check_put_rdataset(self, _check: object) -> None:
        """The zone's own rules judge the records: a flattened CNAME may have company."""

    def add(self, name: dns.name.Name, ttl: int, rdata: dns.rdata.Rdata) -> None:
        self.found.append((name, ttl, rdata))

    def _set_origin(self, origin: dns.name.Name) -> None:
        """``$ORIGIN`` moves relative names only."""


def _body(name: dns.name.Name, ttl: int, rdata: dns.rdata.Rdata, proxied: bool, least_ttl: int) -> dict[str, Any]:
    record_type = dns.rdatatype.to_text(rdata.rdtype)
    value = body_value(record_type, rdata)
    if value is None:
        raise errors.bad_zone_file(f"{record_type} records cannot be imported")
    return {
        "type": record_type,
        "name": name.to_text(omit_final_dot=True),
        "ttl": ttl if ttl == 1 else max(least_ttl, min(ttl, 86400)),
        **value,
        **dict(_remark(rdata.rdcomment or "", record_type, proxied)),
    }


def _remark(text: str, record_type: str, proxied: bool) -> Iterator[tuple[str, Any]]:
    """What the remark behind a record says: its comment, tags, and the proxy's attributes among them."""
    match = _REMARK.fullmatch(text.strip())
    comment, listed = (match["comment"], match["tags"] or "") if match else (text.strip(), "")
    words = [word for word in listed.split(",") if word]
    attributes = {word.partition(":")[0]: word.partition(":")[2] for word in words if word.startswith("cf-")}
    tags = [word for word in words if not word.startswith("cf-")]
    if comment:
        yield "comment", comment
    if tags:
        yield "tags", tags
    if record_type in PROXIABLE:
        yield "proxied", attributes["cf-proxied"] == "true" if "cf-proxied" in attributes else proxied
    if "cf-flatten-cname" in attributes:
        yield "settings", {"flatten_cname": True}
