# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bringing records into a zone: the import of a zone file and the scan with its review."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lab.twins.cloudflare import Response, Twin
from tests.unit.lab.twins.conftest import TOKEN, Api, codes

FORM = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "multipart/form-data; boundary=limit"}


def form(file: str | None, **fields: str) -> bytes:
    parts = [f'--limit\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n' for k, v in fields.items()]
    if file is not None:
        head = 'Content-Disposition: form-data; name="file"; filename="zone.txt"\r\nContent-Type: text/plain'
        parts.append(f"--limit\r\n{head}\r\n\r\n{file}\r\n")
    return ("".join(parts) + "--limit--\r\n").encode()


def send(api: Api, file: str | None, **fields: str) -> Response:
    return api.twin.handle("POST", f"{api.records_path}/import", "", FORM, form(file, **fields))


def kept(record: dict[str, Any]) -> dict[str, Any]:
    """A record without what the API makes itself."""
    made = ("id", "created_on", "modified_on", "comment_modified_on", "tags_modified_on", "meta")
    return {k: v for k, v in record.items() if k not in made}


def test_an_export_comes_back_the_same(make: Callable[..., Twin]) -> None:
    """Comments, tags, the proxy's state and flattening survive the way through the file."""
    twin = make(zones=[{"name": "example.com", "plan": "pro"}])
    api = Api(twin)
    api.made("A", "mail", "198.18.1.10", ttl=300, comment="mailstead:lab:host", tags=["owner:mail", "env:lab"])
    api.made("CNAME", "www", "mail.example.com", proxied=True)
    api.made("CNAME", "flat", "mail.example.com", settings={"flatten_cname": True}, comment="x=1; y")
    api.made("MX", "@", "mail.example.com", priority=10)
    api.made("MX", "none", ".", priority=0)
    api.made("TXT", "@", '"v=spf1 mx -all"')
    api.made("TXT", "long", "x;y" * 200)
    api.made("CAA", "@", data={"flags": 0, "tag": "issue", "value": "letsencrypt.org"})
    api.made("SRV", "_imaps._tcp", data={"priority": 0, "weight": 1, "port": 993, "target": "mail.example.com"})
    tlsa = {"usage": 3, "selector": 1, "matching_type": 1, "certificate": "AB" * 32}
    api.made("TLSA", "_25._tcp.mail", data=tlsa)
    api.made("URI", "uri", priority=5, data={"weight": 1, "target": "https://example.com/"})
    naptr = {"order": 1, "preference": 2, "flags": "S", "service": "SIP", "regex": "", "replacement": "a.example.com"}
    api.made("NAPTR", "sip", data=naptr)
    api.made("CERT", "cert", data={"type": 1, "key_tag": 2, "algorithm": 13, "certificate": "AAAA"})
    api.made("DNSKEY", "@", data={"flags": 256, "protocol": 3, "algorithm": 13, "public_key": "AAAA"})
    api.made("OPENPGPKEY", "key", "AAAA")
    before = sorted((kept(r) for r in api.list()), key=repr)
    text = api.call("GET", f"{api.records_path}/export").text
    assert text is not None
    answer = send(api, text)
    assert answer.json["result"] == {"recs_added": 0, "total_records_parsed": len(before)}
    api.batch(deletes=[{"id": r["id"]} for r in api.list()])
    answer = send(api, text)
    assert answer.json["result"] == {"recs_added": len(before), "total_records_parsed": len(before)}
    assert sorted((kept(r) for r in api.list()), key=repr) == before


def test_directives_and_the_forms_proxied_field(api: Api) -> None:
    file = "$ORIGIN example.com.\n$TTL 600\n$GENERATE 1-3 h$ A 198.18.1.$\nwww CNAME h1 ; cf_tags=cf-proxied:false\n"
    assert send(api, file, proxied="true").json["result"] == {"recs_added": 4, "total_records_parsed": 4}
    found = {r["name"]: (r["proxied"], r["ttl"]) for r in api.list()}
    assert found["h2.example.com"] == (True, 1) and found["www.example.com"] == (False, 600)


@pytest.mark.parametrize(
    ("file", "fields", "code"),
    [
        (None, {}, 9207),
        ("a 300 A 198.18.1.1\n", {"proxied": "maybe"}, 9207),
        ("$INCLUDE /etc/hosts\n", {}, 9203),
        ("a 300 A nonsense\n", {}, 9203),
        ("a 300 HINFO x y\n", {}, 9203),
        ("a 300 A 198.18.1.1 ; cf_tags=owner:mail\n", {}, 9300),
        ("a 300 A 198.18.1.1\na 300 CNAME b\n", {}, 81053),
    ],
)
def test_a_refused_import_leaves_the_zone_as_it_was(
    api: Api, file: str | None, fields: dict[str, str], code: int
) -> None:
    answer = send(api, file, **fields)
    assert (answer.status, codes(answer)) == (400, [code])
    assert api.list() == []


def test_an_import_is_a_form(api: Api) -> None:
    assert codes(api.call("POST", f"{api.records_path}/import", {"file": "x"})) == [9207]
    half = api.twin.handle("POST", f"{api.records_path}/import", "", FORM, b"no boundary in here")
    assert codes(half) == [9207]


SCANNABLE = [
    {"type": "A", "name": "www", "content": "198.18.1.1"},
    {"type": "MX", "name": "@", "content": "old.example.net", "priority": 10},
    {"type": "TXT", "name": "@", "content": "v=spf1 -all"},
]


def test_a_scan_waits_for_its_review(make: Callable[..., Twin]) -> None:
    api = Api(make(zones=[{"name": "example.com", "scannable": SCANNABLE}]))
    review = f"{api.records_path}/scan/review"
    assert api.call("GET", review).json["result"] == []
    triggered = api.call("POST", f"{api.records_path}/scan/trigger")
    assert triggered.status == 200 and "result" not in triggered.json
    found = api.call("GET", review).json
    assert found["result_info"]["total_count"] == 3 and api.list() == []
    a, mx, txt = found["result"]
    unknown = api.call("POST", review, {"accepts": [a], "rejects": [{"id": "0" * 32}]})
    assert codes(unknown) == [81044] and api.list() == []
    answer = api.call("POST", review, {"accepts": [a], "rejects": [{"id": mx["id"]}]}).json["result"]
    assert [r["name"] for r in answer["accepts"]] == ["www.example.com"] and answer["rejects"] == [mx["id"]]
    assert [r["type"] for r in api.list()] == ["A"]
    assert [r["id"] for r in api.call("GET", review).json["result"]] == [txt["id"]]
    assert api.call("POST", review, {"accepts": {}}).status == 400


def test_the_deprecated_scan_adds_at_once(make: Callable[..., Twin]) -> None:
    api = Api(make(zones=[{"name": "example.com", "scannable": SCANNABLE}]))
    answer = api.call("POST", f"{api.records_path}/scan").json["result"]
    assert answer == {"recs_added": 3, "total_records_parsed": 3} and len(api.list()) == 3
