# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The mail-typical record set of a zone, records of somebody else beside it, and both as bodies of the API.

Values are synthetic; addresses are from the benchmarking ranges (RFC 2544, RFC 5180).
"""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rdtypes.txtbase

Body = dict[str, Any]

#: The mail host's address before anything moves.
ADDRESS = "198.18.1.10"

#: DER of an RSA-2048 public key around its modulus (RFC 8017, appendix A.1.1, in the frame of RFC 5280).
RSA_HEAD = bytes.fromhex("30820122300d06092a864886f70d01010105000382010f003082010a0282010100")
RSA_TAIL = bytes.fromhex("0203010001")

#: Longest character-string of a TXT record, in bytes (RFC 1035 §3.3.14).
STRING_MAX = 255


@dataclass(frozen=True)
class Record:
    """A wanted record. content: zone-file notation with names that lack the final dot; for TXT the bare text."""

    name: str
    type: str
    content: str
    ttl: int = 3600
    phase: str = "delivery"
    role: str = "autoconfig"

    def body(self) -> Body:
        """As POSTed to the API, TXT quoted and in strings of up to 255 bytes."""
        base: Body = {"type": self.type, "name": self.name, "ttl": self.ttl}
        if self.type == "TXT":
            return {**base, "content": quoted(self.content)}
        return {**base, **value(self.type, self.content)}


def value(record_type: str, content: str) -> Body:
    """The part of a body that holds the value."""
    words = content.split(" ", 3)
    if record_type == "MX":
        return {"content": words[1], "priority": int(words[0])}
    if record_type == "SRV":
        numbers = dict(zip(("priority", "weight", "port"), map(int, words[:3]), strict=True))
        return {"data": {**numbers, "target": words[3]}}
    if record_type == "TLSA":
        numbers = dict(zip(("usage", "selector", "matching_type"), map(int, words[:3]), strict=True))
        return {"data": {**numbers, "certificate": words[3]}}
    if record_type == "CAA":
        flags, tag, text = content.split(" ", 2)
        return {"data": {"flags": int(flags), "tag": tag, "value": text.strip('"')}}
    return {"content": content}


def quoted(text: str, size: int = STRING_MAX) -> str:
    """A text in RFC 1035 §5.1 notation, cut every size characters. The texts here hold neither quotes nor backslashes."""
    return " ".join(f'"{text[i : i + size]}"' for i in range(0, len(text), size))


def meaning(body: Mapping[str, Any]) -> tuple[str, str, str, int]:
    """What a record says, whatever its spelling: type, name, value, TTL in seconds.

    Written without the product's own comparison, which is what is being measured.
    """
    record_type, ttl = str(body["type"]), int(body["ttl"])
    if record_type == "TXT":
        text = _decoded(str(body["content"]))
    elif isinstance(body.get("data"), Mapping) and record_type != "MX":
        text = " ".join(str(v).lower() for _, v in sorted(body["data"].items()))
    else:
        text = f"{body.get('priority', '')} {str(body['content']).lower().rstrip('.')}".strip()
    return record_type, str(body["name"]), text, 300 if ttl == 1 else ttl


def _decoded(content: str) -> str:
    if not content.startswith('"'):
        return content
    rdata = dns.rdata.from_text(dns.rdataclass.IN, dns.rdatatype.TXT, content)
    assert isinstance(rdata, dns.rdtypes.txtbase.TXTBase)
    return b"".join(rdata.strings).decode()


def _dkim(seed: int) -> str:
    key = base64.b64encode(RSA_HEAD + b"\xb9" + bytes([seed]) * 255 + RSA_TAIL).decode()
    return f"v=DKIM1; k=rsa; h=sha256; p={key}"


def mail_records(zone: str, address: str = ADDRESS) -> list[Record]:
    """30 records: 2 addresses, 4 CNAME, 12 TXT (2 of them longer than 255 bytes), CAA, 2 TLSA, MX, 8 SRV."""
    host = f"mail.{zone}"
    texts = [
        (host, "v=spf1 a -all", "identity", "spf-helo"),
        (f"202611r._domainkey.{zone}", _dkim(0x11), "keys", "dkim-r"),
        (f"202608r._domainkey.{zone}", _dkim(0x08), "keys", "dkim-r"),
        (f"202611e._domainkey.{zone}", "v=DKIM1; k=ed25519; p=" + "A" * 43 + "=", "keys", "dkim-e"),
        (zone, "v=spf1 mx -all", "policy", "spf"),
        (f"_dmarc.{zone}", f"v=DMARC1; p=reject; np=reject; rua=mailto:postmaster@{zone}", "policy", "dmarc"),
        (f"_smtp._tls.{zone}", f"v=TLSRPTv1; rua=mailto:postmaster@{zone}", "policy", "tls-rpt"),
        (f"_mta-sts.{zone}", "v=STSv1; id=20261101", "delivery", "mta-sts"),
        (f"_caldavs._tcp.{zone}", "path=/dav/cal", "delivery", "autoconfig"),
        (f"_carddavs._tcp.{zone}", "path=/dav/card", "delivery", "autoconfig"),
        (f"_ua-auto-config.{zone}", "v=UAAC1; a=sha256; d=" + "B" * 43 + "=", "delivery", "autoconfig"),
        (f"default._bimi.{zone}", f"v=BIMI1; l=https://{zone}/logo.svg; a=", "delivery", "bimi"),
    ]
    services = {
        "_submissions": (465, host),
        "_imaps": (993, host),
        "_pop3s": (995, host),
        "_jmap": (443, host),
        "_caldavs": (443, host),
        "_carddavs": (443, host),
        "_sieve": (4190, host),
        "_autodiscover": (443, host),
    }
    return [
        Record(host, "A", address, 3600, "address", "host"),
        Record(host, "AAAA", "2001:2:0:2::10", 3600, "address", "host"),
        *(
            Record(f"{label}.{zone}", "CNAME", host, 3600, "address", label)
            for label in ("mta-sts", "autoconfig", "autodiscover", "ua-auto-config")
        ),
        *(Record(name, "TXT", text, 3600, phase, role) for name, text, phase, role in texts),
        Record(host, "CAA", '0 issue "letsencrypt.org; validationmethods=http-01"', 3600, "policy", "caa"),
        # Upper case, as the API gives certificates back: a peer that compares text is not to stumble here.
        Record(f"_25._tcp.{host}", "TLSA", "3 1 1 " + "AB" * 32, 3600, "certificate", "dane"),
        Record(f"_25._tcp.{host}", "TLSA", "3 1 1 " + "CD" * 32, 3600, "certificate", "dane"),
        Record(zone, "MX", f"10 {host}", role="mx"),
        *(Record(f"{s}._tcp.{zone}", "SRV", f"0 1 {port} {target}") for s, (port, target) in services.items()),
    ]


def moved(records: list[Record], address: str) -> list[Record]:
    """The same set with the mail host at another IPv4 address."""
    return [dataclasses.replace(r, content=address) if r.type == "A" else r for r in records]


def foreign_records(zone: str) -> list[Body]:
    """20 records of somebody else, all commented or tagged: 16 anywhere, two at a name and type of ours (apex TXT, CAA of the
    mail host), two that already say what the mail set wants."""
    host = f"mail.{zone}"
    sip = {"priority": 5, "weight": 0, "port": 5061, "target": f"sip.{zone}"}
    plain: list[tuple[str, str, Body]] = [
        (zone, "A", {"content": "198.18.9.1", "proxied": True}),
        (zone, "AAAA", {"content": "2001:2:0:9::1", "proxied": True}),
        (f"www.{zone}", "CNAME", {"content": zone, "proxied": True}),
        (f"shop.{zone}", "CNAME", {"content": "shops.example.net"}),
        (f"k2._domainkey.{zone}", "CNAME", {"content": "dkim2.newsletter.example.net"}),
        (f"news.{zone}", "MX", {"content": "mx.newsletter.example.net", "priority": 20}),
        (f"news.{zone}", "TXT", {"content": "v=spf1 include:newsletter.example.net ~all"}),
        (f"_github-challenge.{zone}", "TXT", {"content": '"4f1c2a"'}),
        (f"_acme-challenge.{zone}", "TXT", {"content": '"gfj9Xq" "...Rg85nM"'}),
        (f"vpn.{zone}", "A", {"content": "198.18.9.2"}),
        (f"db.{zone}", "A", {"content": "198.18.9.3"}),
        (f"git.{zone}", "AAAA", {"content": "2001:2:0:9::4"}),
        (f"_sip._tls.{zone}", "SRV", {"data": sip}),
        (f"lab.{zone}", "NS", {"content": "ns1.example.net"}),
        (f"cdn.{zone}", "HTTPS", {"data": {"priority": 1, "target": ".", "value": 'alpn="h2"'}}),
        (f"key.{zone}", "SSHFP", {"data": {"algorithm": 4, "type": 2, "fingerprint": "9d" * 32}}),
        (zone, "TXT", {"content": '"google-site-verification=rXOxyZounnZasA8Z7oaD3c14JdjS9aKSWvsR1EbUSIQ"'}),
        (host, "CAA", {"data": {"flags": 0, "tag": "issue", "value": "ca.example.net"}}),
    ]
    same = [r.body() for r in mail_records(zone) if (r.type, r.name) in twice(zone)]
    bodies = [{"name": name, "type": kind, "ttl": 600, **rest} for name, kind, rest in plain] + same
    return [
        {**body, "comment": f"web team, ticket {i}", "tags": ["team:web", f"ticket:{i}"]}
        for i, body in enumerate(bodies)
    ]


def twice(zone: str) -> set[tuple[str, str]]:
    """Type and name of the records that somebody else made as the mail set wants them."""
    return {("CNAME", f"autoconfig.{zone}"), ("SRV", f"_imaps._tcp.{zone}")}
