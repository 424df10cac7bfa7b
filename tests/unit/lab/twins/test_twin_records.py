# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Single records: shapes, normalisation, read-back, refusals."""

from __future__ import annotations

from typing import Any

import pytest

from lab.twins.cloudflare.rdata import TYPES
from tests.unit.lab.twins.conftest import Api, codes


def test_a_record_has_the_documented_fields(api: Api) -> None:
    record = api.made("A", "mail", "198.18.1.10")
    assert set(record) == {
        "id", "name", "type", "content", "proxiable", "proxied", "ttl", "settings", "meta", "comment", "tags",
        "created_on", "modified_on",
    }  # fmt: skip
    assert record["name"] == "mail.example.com"
    assert (record["ttl"], record["proxied"], record["proxiable"], record["comment"]) == (1, False, True, None)
    assert api.one("GET", record).json["result"] == record
    assert api.list() == [record]


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("@", "example.com"),
        ("", "example.com"),
        ("EXAMPLE.com.", "example.com"),
        ("Mail", "mail.example.com"),
        ("mail.example.com", "mail.example.com"),
        ("m\u00fcnchen", "xn--mnchen-3ya.example.com"),
        ("_25._tcp.mail", "_25._tcp.mail.example.com"),
        ("*.web", "*.web.example.com"),
        ("other.example.net", "other.example.net.example.com"),
    ],
)
def test_names_come_back_absolute(api: Api, given: str, name: str) -> None:
    assert api.made("TXT", given, "x")["name"] == name


@pytest.mark.parametrize("name", ["a..b", "a b", "x" * 64, "a.*", "a*b", ".".join(["abcdefgh"] * 30)])
def test_bad_names_are_refused(api: Api, name: str) -> None:
    response = api.create("A", name, "198.18.1.1")
    assert (response.status, codes(response)) == (400, [9000])


@pytest.mark.parametrize(
    ("given", "content"),
    [
        ("2001:0002:0000::00AB", "2001:2::ab"),
        ("2001:2:0:1::10", "2001:2:0:1::10"),
        ("::FFFF:198.18.0.1", "::ffff:198.18.0.1"),
        ("0:0:0:0:0:0:0:1", "::1"),
    ],
)
def test_aaaa_comes_back_in_rfc_5952_form(api: Api, given: str, content: str) -> None:
    assert api.made("AAAA", "v6", given)["content"] == content


@pytest.mark.parametrize(
    ("type_", "content", "code"),
    [
        ("A", "198.18.1", 9005),
        ("A", "2001:2::1", 9005),
        ("AAAA", "198.18.1.1", 9006),
        ("AAAA", "fe80::1%eth0", 9006),
        ("CNAME", "www.example.com", 9039),
        ("CNAME", "198.18.1.1", 9009),
        ("NS", "a b", 9009),
    ],
)
def test_bad_content_is_refused(api: Api, type_: str, content: str, code: int) -> None:
    response = api.create(type_, "www", content)
    assert (response.status, codes(response)) == (400, [code])


# -- MX --------------------------------------------------------------------------------------------------------------


def test_mx_keeps_its_priority_beside_the_content(api: Api) -> None:
    record = api.made("MX", "@", "Mail.Example.com.", priority=10)
    assert (record["content"], record["priority"], "data" in record) == ("mail.example.com", 10, False)


def test_mx_priority_is_read_from_data_too_and_given_back_there_on_request(api: Api) -> None:
    api.twin.zone("example.com").reconfigure(mx_priority="both")
    record = api.made("MX", "@", "mail.example.com", data={"priority": 20})
    assert record["priority"] == 20
    assert record["data"] == {"priority": 20, "target": "mail.example.com"}


def test_null_mx_keeps_its_dot(api: Api) -> None:
    assert api.made("MX", "@", ".", priority=0)["content"] == "."


@pytest.mark.parametrize("content", ["198.18.1.1", "2001:2::1", "10 mail.example.com", "*.example.com"])
def test_mx_needs_a_hostname(api: Api, content: str) -> None:
    response = api.create("MX", "@", content, priority=10)
    assert (response.status, codes(response)) == (400, [9009])


def test_mx_needs_a_priority(api: Api) -> None:
    response = api.create("MX", "@", "mail.example.com")
    assert response.status == 400
    assert response.json["errors"][0]["message"] == "priority is a required data field."


def test_patching_an_mx_keeps_what_is_not_given(api: Api) -> None:
    record = api.made("MX", "@", "mail.example.com", priority=10, comment="ours")
    changed = api.one("PATCH", record, {"content": "mx2.example.com"}).json["result"]
    assert (changed["content"], changed["priority"], changed["comment"]) == ("mx2.example.com", 10, "ours")
    changed = api.one("PATCH", record, {"priority": 5}).json["result"]
    assert (changed["content"], changed["priority"]) == ("mx2.example.com", 5)
    changed = api.one("PATCH", record, {"data": {"priority": 7}}).json["result"]
    assert (changed["content"], changed["priority"]) == ("mx2.example.com", 7)


# -- data types ------------------------------------------------------------------------------------------------------

DATA = {
    "SRV": ({"priority": 0, "weight": 1, "port": 465, "target": "Mail.Example.com."}, "1 465 mail.example.com"),
    "CAA": ({"flags": 0, "tag": "issue", "value": "letsencrypt.org"}, '0 issue "letsencrypt.org"'),
    "TLSA": (
        {"usage": 3, "selector": 1, "matching_type": 1, "certificate": "ab" * 32},
        "3 1 1 " + "AB" * 32,
    ),
    "HTTPS": ({"priority": 1, "target": ".", "value": 'alpn="h3,h2"'}, '1 . alpn="h3,h2"'),
    "SVCB": ({"priority": 1, "target": "svc.example.com", "value": "port=8080"}, "1 svc.example.com port=8080"),
    "SSHFP": ({"algorithm": 4, "type": 2, "fingerprint": "12" * 32}, "4 2 " + "12" * 32),
    "URI": ({"weight": 5, "target": "https://example.com/"}, '5 "https://example.com/"'),
    "DS": (
        {"key_tag": 1, "algorithm": 13, "digest_type": 2, "digest": "12" * 32},
        "1 13 2 " + "12" * 32,
    ),
    "NAPTR": (
        {"order": 1, "preference": 2, "flags": "S", "service": "SIP+D2U", "regex": "", "replacement": "a.example.com"},
        '1 2 "S" "SIP+D2U" "" a.example.com',
    ),
}


@pytest.mark.parametrize("type_", sorted(DATA))
def test_data_is_echoed_as_content(api: Api, type_: str) -> None:
    data, content = DATA[type_]
    more: dict[str, Any] = {"priority": 10} if type_ == "URI" else {}
    record = api.made(type_, "x", data=data, **more)
    assert record["content"] == content
    assert set(record["data"]) == set(data)
    # What was read back can be written again and is the same record.
    again = api.one("PUT", record, {k: record[k] for k in ("type", "name", "data", "ttl", *more)})
    assert again.json["result"]["content"] == content


def test_tlsa_certificate_comes_back_in_upper_case(api: Api) -> None:
    record = api.made("TLSA", "_25._tcp.mail", data=DATA["TLSA"][0])
    assert record["data"]["certificate"] == "AB" * 32


def test_every_missing_data_field_is_named_at_once(api: Api) -> None:
    response = api.create("TLSA", "_25._tcp", content="3 1 1 " + "ab" * 32)
    assert response.status == 400
    assert [e["message"] for e in response.json["errors"]] == [
        f"{name} is a required data field." for name in ("usage", "selector", "matching_type", "certificate")
    ]


@pytest.mark.parametrize(
    "data",
    [
        {"priority": "0", "weight": 0, "port": 1, "target": "a.example.com"},
        {"priority": 0, "weight": 0, "port": 65536, "target": "a.example.com"},
        {"priority": 0, "weight": 0, "port": True, "target": "a.example.com"},
        {"priority": 0, "weight": 0, "port": 1, "target": "198.18.0.1"},
        {"priority": 0, "weight": 0, "port": 1, "target": "a.example.com", "service": "_imaps"},
        "0 0 1 a.example.com",
    ],
)
def test_bad_srv_data_is_refused(api: Api, data: Any) -> None:
    assert api.create("SRV", "_imaps._tcp", data=data).status == 400


def test_srv_not_offered_keeps_its_dot(api: Api) -> None:
    data = {"priority": 0, "weight": 0, "port": 0, "target": "."}
    assert api.made("SRV", "_imap._tcp", data=data)["data"]["target"] == "."


def test_all_21_types_are_known_and_no_other(api: Api) -> None:
    assert len(TYPES) == 21
    assert codes(api.create("SPF", "@", "v=spf1 -all")) == [9207]


def test_remaining_types_are_taken(api: Api) -> None:
    key = "mDMEXEcE6RYJKwYBBAHaRw8BAQdArjWwk3FAqyiFbFBKT4TzXcVBqPTB3gmzlC/Ub7O1u10="
    assert api.made("OPENPGPKEY", "k", key)["content"] == key
    assert (
        api.made("CERT", "k", data={"type": 1, "key_tag": 0, "algorithm": 0, "certificate": key})["data"]["type"] == 1
    )
    assert api.made("DNSKEY", "k", data={"flags": 257, "protocol": 3, "algorithm": 13, "public_key": key})["content"]
    assert api.made("PTR", "k", "host.example.com")["content"] == "host.example.com"
    assert api.made("SMIMEA", "k", data=DATA["TLSA"][0])["content"] == DATA["TLSA"][1]
    loc = {
        "lat_degrees": 52, "lat_minutes": 22, "lat_seconds": 23.5, "lat_direction": "n",
        "long_degrees": 4, "long_minutes": 53, "long_seconds": 32, "long_direction": "E",
        "altitude": -2, "size": 1, "precision_horz": 10000, "precision_vert": 10,
    }  # fmt: skip
    assert api.made("LOC", "k", data=loc)["content"] == "52 22 23.500 N 4 53 32.000 E -2.00m 1.00m 10000.00m 10.00m"


# -- common fields ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ttl", "ok"), [(1, True), (60, True), (86400, True), (2, False), (59, False), (86401, False)])
def test_ttl_is_automatic_or_60_to_86400(api: Api, ttl: int, ok: bool) -> None:
    response = api.create("A", "a", "198.18.1.1", ttl=ttl)
    assert (response.status == 200) is ok
    assert ok or codes(response) == [9021]


def test_enterprise_may_go_down_to_30_seconds(api: Api) -> None:
    api.twin.zone("example.com").reconfigure(plan="enterprise")
    assert api.made("A", "a", "198.18.1.1", ttl=30)["ttl"] == 30


@pytest.mark.parametrize(
    "fields",
    [
        {"ttl": "300"}, {"ttl": True}, {"proxied": "no"}, {"comment": 1}, {"tags": "a"}, {"tags": [1]},
        {"settings": []}, {"settings": {"flatten_cname": True}}, {"private_routing": 1}, {"nonsense": 1},
        {"content": 1}, {"name": 1}, {"name": None}, {"type": "a"}, {"type": 1}, {"data": {"x": 1}},
    ],
)  # fmt: skip
def test_wrong_fields_are_refused(api: Api, fields: dict[str, Any]) -> None:
    body = {"type": "A", "name": "a", "content": "198.18.1.1", **fields}
    response = api.call("POST", api.records_path, body)
    assert (response.status, codes(response)) == (400, [9207])
    assert api.list() == []


@pytest.mark.parametrize("body", [b"{", b"\xff", [], "text", None])
def test_a_body_that_is_no_object_is_refused(api: Api, body: Any) -> None:
    response = api.call("POST", api.records_path, body)
    assert (response.status, codes(response)) == (400, [9207])


def test_a_record_may_be_sent_back_with_the_fields_the_api_added(api: Api) -> None:
    record = api.made("A", "a", "198.18.1.1")
    assert api.one("PUT", record, record).status == 200


def test_old_clients_are_served_when_not_strict(make: Any) -> None:
    api = Api(make(strict=False))
    data = {"priority": 0, "weight": 1, "port": 993, "target": "m.example.com", "service": "_imaps", "proto": "_tcp"}
    assert api.made("SRV", "_imaps._tcp", data=data, nonsense=1)["data"].get("service") is None


def test_comments_are_limited_by_plan_and_have_no_line_breaks(api: Api, paid: Api) -> None:
    assert api.made("A", "a", "198.18.1.1", comment="c" * 100)["comment"] == "c" * 100
    response = api.create("A", "b", "198.18.1.1", comment="c" * 101)
    assert codes(response) == [9313]
    assert response.json["errors"][0]["message"] == "DNS record comment exceeds the maximum length of 100 characters."
    assert paid.made("A", "a", "198.18.1.1", comment="c" * 500)["comment"] == "c" * 500
    assert codes(paid.create("A", "b", "198.18.1.1", comment="c" * 501)) == [9313]
    for text in ("a\nb", "a\rb"):
        assert api.create("A", "c", "198.18.1.1", comment=text).status == 400


def test_tags_are_for_paid_plans(api: Api, paid: Api) -> None:
    response = api.create("A", "a", "198.18.1.1", tags=["owner:mail"])
    assert codes(response) == [9300]
    assert response.json["errors"][0]["message"] == "DNS record has 1 tags, exceeding the quota of 0."
    assert paid.made("A", "a", "198.18.1.1", tags=["owner:mail", "bare"])["tags"] == ["owner:mail", "bare"]
    assert codes(paid.create("A", "b", "198.18.1.1", tags=[f"t{i}" for i in range(21)])) == [9300]
    for tag in ("a b:c", "x" * 33, "a:" + "v" * 101, ":v"):
        assert paid.create("A", "c", "198.18.1.1", tags=[tag]).status == 400


def test_flattening_one_cname_is_for_paid_plans(api: Api, paid: Api) -> None:
    assert api.create("CNAME", "w", "x.example.com", settings={"flatten_cname": True}).status == 400
    assert paid.made("CNAME", "w", "x.example.com", settings={"flatten_cname": True})["settings"]["flatten_cname"]


def test_proxied_records_have_an_automatic_ttl_and_only_hosts_can_be_proxied(api: Api) -> None:
    assert api.made("A", "a", "198.18.1.1", proxied=True, ttl=3600)["ttl"] == 1
    assert codes(api.create("TXT", "a", "x", proxied=True)) == [9041]


# -- PUT, PATCH, DELETE ----------------------------------------------------------------------------------------------


def test_put_resets_what_is_not_given_and_patch_keeps_it(paid: Api) -> None:
    fields = {"ttl": 3600, "comment": "keep", "tags": ["a:b"], "settings": {"ipv4_only": True}, "proxied": False}
    record = paid.made("A", "a", "198.18.1.1", **fields)
    patched = paid.one("PATCH", record, {"content": "198.18.1.2"}).json["result"]
    assert {k: patched[k] for k in fields} == fields
    assert patched["id"] == record["id"] and patched["created_on"] == record["created_on"]
    put = paid.one("PUT", record, {"type": "A", "name": "a", "content": "198.18.1.3"}).json["result"]
    assert (put["ttl"], put["comment"], put["tags"], put["settings"]) == (1, None, [], {})
    assert put["id"] == record["id"]
    assert "comment_modified_on" in put and "tags_modified_on" in put


def test_put_needs_the_whole_record(api: Api) -> None:
    record = api.made("A", "a", "198.18.1.1")
    assert codes(api.one("PUT", record, {"content": "198.18.1.2"})) == [9207]


def test_patch_may_change_type_and_name(api: Api) -> None:
    record = api.made("A", "a", "198.18.1.1")
    changed = api.one("PATCH", record, {"type": "CNAME", "name": "b", "content": "c.example.com"}).json["result"]
    assert (changed["type"], changed["name"], changed["content"]) == ("CNAME", "b.example.com", "c.example.com")


def test_a_patch_that_changes_nothing_leaves_the_time_alone(api: Api) -> None:
    record = api.made("TXT", "a", "x")
    assert api.one("PATCH", record, {"content": "x"}).json["result"] == record


def test_delete_gives_the_id_and_the_record_is_gone(api: Api) -> None:
    record = api.made("A", "a", "198.18.1.1")
    assert api.one("DELETE", record).json["result"] == {"id": record["id"]}
    for method in ("GET", "DELETE"):
        response = api.one(method, record)
        assert (response.status, codes(response)) == (404, [81044])
    assert api.one("PATCH", record, {"ttl": 60}).status == 404


def test_private_routing_is_for_addresses(api: Api) -> None:
    made = api.made("A", "inside", "198.18.1.10", private_routing=True)
    assert made["private_routing"] is True
    assert "private_routing" not in api.one("PATCH", made, {"type": "CNAME", "content": "x.example.com"}).json["result"]
    assert codes(api.create("CNAME", "other", "x.example.com", private_routing=True)) == [9207]


def test_settings_do_not_follow_a_record_into_another_type(paid: Api) -> None:
    made = paid.made("CNAME", "flat", "x.paid.example.org", settings={"flatten_cname": True})
    changed = paid.one("PATCH", made, {"type": "A", "content": "198.18.1.10"})
    assert changed.status == 200 and changed.json["result"]["settings"] == {}


@pytest.mark.parametrize(("kind", "status"), [("full", 200), ("partial", 200), ("secondary", 400), ("internal", 400)])
def test_comments_and_tags_belong_to_full_and_partial_zones(make: Any, kind: str, status: int) -> None:
    api = Api(make(zones=[{"name": "example.com", "plan": "pro", "type": kind}]))
    assert api.create("A", "a", "198.18.1.10", comment="mark").status == status
    assert api.create("A", "b", "198.18.1.10", tags=["owner:mail"]).status == status
    assert api.create("A", "c", "198.18.1.10").status == 200


def test_fields_of_the_past_are_there_on_request(make: Any) -> None:
    """Clients have to live with and without them."""
    api = Api(make(zones=[{"name": "example.com", "legacy_fields": True}]))
    made = api.made("A", "a", "198.18.1.10")
    assert (made["locked"], made["zone_id"], made["zone_name"]) == (False, api.zone_id, "example.com")
    # A client that sends the whole record back is not refused for them.
    assert api.one("PUT", made, {**made, "ttl": 300}).json["result"]["ttl"] == 300
    api.twin.zone("example.com").set_meta(made["id"], read_only=True)
    assert api.list()[0]["locked"] is True
