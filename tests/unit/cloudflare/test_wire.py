# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records between the API's JSON and ours, and the division into batches."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare import wire
from ansible_collections.mailstead.stack.plugins.module_utils.dns.records import Change, Have


def raw(rtype: str, content: str | None = None, **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"id": "1", "name": "x.example.com", "type": rtype, "ttl": 1, **more}
    return found if content is None else {**found, "content": content}


@pytest.mark.parametrize(
    ("record", "content"),
    [
        (raw("MX", "Mail.example.com", priority=10), "10 mail.example.com"),
        (raw("MX", "mail.example.com", data={"priority": 10, "target": "mail.example.com"}), "10 mail.example.com"),
        (raw("MX", data={"priority": 10, "target": "mail.example.com"}), "10 mail.example.com"),
        (raw("MX", ".", priority=0), "0 ."),
        (
            raw("SRV", "1 465 m.example", data={"priority": 0, "weight": 1, "port": 465, "target": "m.example"}),
            "0 1 465 m.example",
        ),
        (raw("SRV", "1 465 m.example", priority=0), "0 1 465 m.example"),
        (raw("SRV", "1\t465\tm.example", priority=0), "0 1 465 m.example"),
        (raw("CAA", '0 issue "a.example"'), '0 issue "a.example"'),
        (
            raw("CAA", '0\tissue\t"a.example"', data={"flags": 0, "tag": "issue", "value": "a.example"}),
            '0 issue "a.example"',
        ),
        (raw("CAA", data={"flags": 0, "tag": "iodef", "value": 'x"y'}), '0 iodef "x\\"y"'),
        (raw("TLSA", data={"usage": 3, "selector": 1, "matching_type": 1, "certificate": "ABCD"}), "3 1 1 abcd"),
        (raw("TLSA", "3 1 1 ABCD"), "3 1 1 abcd"),
        (raw("HTTPS", data={"priority": 1, "target": ".", "value": 'alpn="h2"'}), "1 . alpn=h2"),
        (raw("URI", priority=10, data={"weight": 1, "target": "https://x/"}), '10 1 "https://x/"'),
        (raw("AAAA", "2001:DB8::0:1"), "2001:db8::1"),
        (raw("TXT", '"a" "b\\059"'), "ab;"),
        (raw("TXT", "a b"), "a b"),
        # What cannot be read stays as it is: it equals nothing we want.
        (raw("A", "not an address"), "not an address"),
    ],
)
def test_values_are_read_from_wherever_they_stand(record: dict[str, Any], content: str) -> None:
    assert wire.decode(record).content == content


def test_the_other_fields() -> None:
    found = wire.decode(raw("A", "192.0.2.1", comment=None, tags=["a:b"], proxied=True, meta={"read_only": True}))
    assert (found.ttl, found.comment, found.tags, found.proxied, found.read_only) == (300, "", ("a:b",), True, True)
    assert wire.decode(raw("A", "192.0.2.1", locked=True)).read_only


@pytest.mark.parametrize(
    "broken", [None, [], {}, {"id": "1"}, {"id": "1", "name": "x", "type": "A"}, raw("A") | {"ttl": "1"}]
)
def test_a_record_without_the_documented_shape_is_refused(broken: Any) -> None:
    with pytest.raises(wire.WireError):
        wire.decode(broken)


@pytest.mark.parametrize(
    ("rtype", "content", "fields"),
    [
        ("A", "192.0.2.1", {"content": "192.0.2.1"}),
        ("MX", "10 mail.example.com", {"content": "mail.example.com", "priority": 10}),
        ("MX", "0 .", {"content": ".", "priority": 0}),
        ("TXT", "a;b", {"content": '"a;b"'}),
        ("SRV", "0 1 465 m.example", {"data": {"priority": 0, "weight": 1, "port": 465, "target": "m.example"}}),
        ("CAA", '0 issuewild ";"', {"data": {"flags": 0, "tag": "issuewild", "value": ";"}}),
        ("TLSA", "3 1 1 abcd", {"data": {"usage": 3, "selector": 1, "matching_type": 1, "certificate": "abcd"}}),
        ("HTTPS", "1 . alpn=h2 port=443", {"data": {"priority": 1, "target": ".", "value": "alpn=h2 port=443"}}),
        ("URI", '10 1 "https://x/"', {"priority": 10, "data": {"weight": 1, "target": "https://x/"}}),
    ],
)
def test_values_are_written_where_the_documentation_wants_them(
    rtype: str, content: str, fields: dict[str, Any]
) -> None:
    assert wire.encode(rtype, content) == fields
    assert wire.decode(raw(rtype, **fields)).content == content


def record(name: str, content: str = "192.0.2.1", **more: Any) -> Have:
    return Have(name, "A", content, 3600, **more)


def test_an_update_sends_only_what_differs() -> None:
    before = record("a.example.com", id="1", comment="mailstead:mailstead:host", tags=("x:y",))
    after = record("a.example.com", "192.0.2.2", id="1", comment="mailstead:mailstead:host", tags=("x:y",))
    body = wire.batch_body([Change("update", before, after, "")])
    assert body == {"patches": [{"id": "1", "type": "A", "name": "a.example.com", "content": "192.0.2.2"}]}


def test_the_end_of_proxying_brings_a_time_to_live() -> None:
    before, after = record("a.example.com", id="1", proxied=True), record("a.example.com", id="1")
    entry = wire.batch_body([Change("update", before, after, "")])["patches"][0]
    assert (entry["proxied"], entry["ttl"]) == (False, 3600)


def test_a_proxied_record_is_put_back_with_the_time_to_live_that_goes_with_it() -> None:
    entry = wire.batch_body([Change("create", None, record("a.example.com", proxied=True), "")])["posts"][0]
    assert (entry["proxied"], entry["ttl"]) == (True, 1)


def create(name: str, phase: str, content: str = "192.0.2.1") -> Change:
    return Change("create", None, record(name, content), "", phase)


def delete(name: str, number: int = 0) -> Change:
    return Change("delete", record(name, id=f"{name}{number}"), None, "")


def test_a_pointer_leads_to_its_change() -> None:
    changes = [create("a.example.com", "address"), delete("b.example.com"), create("c.example.com", "keys")]
    assert wire.change_at(changes, "/posts/1") is changes[2]
    assert wire.change_at(changes, "/deletes/0/id") is changes[1]
    assert wire.change_at(changes, "/posts/9") is None
    assert wire.change_at(changes[:1], "") is changes[0]
