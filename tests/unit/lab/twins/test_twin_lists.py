# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Zones, lists, filters, pages, usage, settings, DNSSEC, export, routing of requests."""

from __future__ import annotations

import base64
from typing import Any

import dns.dnssec
import dns.rdata
import dns.zone
import pytest

from lab.twins.cloudflare import Twin
from tests.unit.lab.twins.conftest import BASE, Api, codes

ENVELOPE = {"result", "success", "errors", "messages"}


@pytest.fixture(name="many")
def fixture_many(make: Any) -> Api:
    zones = [{"name": f"z{i:03}.example.net", "status": "pending" if i % 2 else "active"} for i in range(60)]
    return Api(make(zones=[{"name": "example.com"}, *zones]))


def names(response: Any) -> list[str]:
    return [zone["name"] for zone in response.json["result"]]


def test_every_answer_is_labelled_and_in_the_envelope(api: Api) -> None:
    good, bad = api.call("GET", f"{BASE}/zones"), api.call("GET", f"{BASE}/zones/x")
    assert set(good.json) == {*ENVELOPE, "result_info"} and good.json["success"] is True
    assert set(bad.json) == ENVELOPE and bad.json["success"] is False and bad.json["result"] is None
    for response in (good, bad, api.call("GET", f"{api.records_path}/export")):
        assert response.headers["X-Mailstead-Lab"] == "cloudflare-twin"


def test_zone_details(api: Api) -> None:
    zone = api.call("GET", f"{BASE}/zones/{api.zone_id}").json["result"]
    assert zone["name_servers"] == ["ada.ns.cloudflare.com", "bob.ns.cloudflare.com"]
    assert (zone["status"], zone["plan"]["legacy_id"], zone["plan"]["name"]) == ("active", "free", "Free Website")
    assert zone["account"]["id"] == api.twin.config.account.id


def test_zone_pages(many: Api) -> None:
    first = many.call("GET", f"{BASE}/zones")
    assert len(first.json["result"]) == 20
    pages = [many.call("GET", f"{BASE}/zones", query=f"per_page=50&page={n}") for n in (1, 2, 3)]
    assert [len(p.json["result"]) for p in pages] == [50, 11, 0]
    assert pages[1].json["result_info"] == {
        "page": 2, "per_page": 50, "count": 11, "total_count": 61, "total_pages": 2,
    }  # fmt: skip
    assert len({name for p in pages for name in names(p)}) == 61


@pytest.mark.parametrize("query", ["per_page=0", "per_page=51", "per_page=x", "page=0", "order=id", "direction=up"])
def test_zone_paging_bounds(api: Api, query: str) -> None:
    assert api.call("GET", f"{BASE}/zones", query=query).status == 400


@pytest.mark.parametrize(
    ("expression", "count"),
    [
        ("z001.example.net", 1), ("equal:z001.example.net", 1), ("Z001.Example.net", 1), ("contains:z00", 10),
        ("starts_with:example", 1), ("ends_with:.net", 60), ("not_equal:example.com", 60), ("nothing.example", 0),
    ],
)  # fmt: skip
def test_zone_names_take_operators(many: Api, expression: str, count: int) -> None:
    response = many.call("GET", f"{BASE}/zones", query=f"name={expression}")
    assert response.json["result_info"]["total_count"] == count


def test_zone_filters_combine(many: Api) -> None:
    def total(query: str) -> int:
        return int(many.call("GET", f"{BASE}/zones", query=query).json["result_info"]["total_count"])

    account = many.twin.config.account.id
    assert total("status=pending") == 30
    assert total("status=pending&name=contains:z00") == 5
    assert total("status=pending&name=contains:z00&match=any") == 35
    assert total(f"account.id={account}") == 61
    assert total("account.id=" + "0" * 32) == 0
    assert total("type=internal") == 0
    assert names(many.call("GET", f"{BASE}/zones", query="direction=desc"))[0] == "z059.example.net"


def test_misspelt_parameters_and_operators_are_refused(api: Api) -> None:
    assert api.call("GET", f"{BASE}/zones", query="nmae=x").status == 400
    assert api.call("GET", f"{BASE}/zones", query="name=like:x").status == 400
    assert api.call("GET", api.records_path, query="name.startwith=x").status == 400


@pytest.fixture(name="filled")
def fixture_filled(paid: Api) -> Api:
    paid.made("A", "mail", "198.18.1.10", comment="mailstead:lab:host", tags=["owner:mail", "env:lab"])
    paid.made("AAAA", "mail", "2001:2:0:1::10", comment="other")
    paid.made("TXT", "@", "v=spf1 mx -all", tags=["owner:web"])
    paid.made("CNAME", "www", "mail.paid.example.org", proxied=True)
    return paid


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", "A AAAA TXT CNAME"), ("type=A", "A"), ("type=aaaa", "AAAA"), ("proxied=true", "CNAME"),
        ("name.exact=MAIL.paid.example.org", "A AAAA"), ("name=www.paid.example.org", "CNAME"),
        ("name.startswith=mail", "A AAAA"), ("name.endswith=example.org", "A AAAA TXT CNAME"),
        ("name.contains=ww", "CNAME"), ("content.exact=198.18.1.10", "A"), ("content.startswith=v=spf1", "TXT"),
        ("content.contains=18.1", "A"), ("content=198.18.1.10", "A"), ("content.endswith=-all", "TXT"),
        ("comment.present=", "A AAAA"), ("comment.absent=true", "TXT CNAME"),
        ("comment.startswith=mailstead:", "A"), ("comment.exact=OTHER", "AAAA"), ("comment.contains=lab", "A"),
        ("tag.present=owner", "A TXT"), ("tag.absent=owner", "AAAA CNAME"), ("tag.exact=owner:mail", "A"),
        ("tag.contains=owner:we", "TXT"), ("tag.startswith=env:l", "A"),
        ("tag.exact=owner:mail&tag.present=env", "A"), ("tag.exact=owner:web&tag.present=env", ""),
        ("tag.exact=owner:web&tag.present=env&tag_match=any", "A TXT"),
        ("type=A&name.exact=www.paid.example.org", ""), ("type=A&name.exact=www.paid.example.org&match=any", "A CNAME"),
        ("search=spf1", "TXT"), ("search=host", "A"), ("order=type", "A AAAA CNAME TXT"),
        ("order=type&direction=desc", "TXT CNAME AAAA A"), ("direction=desc", "CNAME TXT AAAA A"),
        ("per_page=2&page=2", "TXT CNAME"),
    ],
)  # fmt: skip
def test_record_filters(filled: Api, query: str, found: str) -> None:
    assert [r["type"] for r in filled.list(query)] == found.split()


@pytest.mark.parametrize("query", ["per_page=0", "per_page=5001", "proxied=yes", "order=id", "match=some", "page=-1"])
def test_bad_record_queries(api: Api, query: str) -> None:
    api.made("A", "a", "198.18.1.1")
    assert api.call("GET", api.records_path, query=query + "&type=A").status == 400


def test_record_pages(paid: Api) -> None:
    paid.batch(posts=[{"type": "A", "name": f"h{i}", "content": "198.18.1.1"} for i in range(250)])
    info = paid.call("GET", paid.records_path).json["result_info"]
    assert info == {"page": 1, "per_page": 100, "count": 100, "total_count": 250, "total_pages": 3}
    whole = paid.call("GET", paid.records_path, query="per_page=5000").json
    assert whole["result_info"]["total_pages"] == 1 and len(whole["result"]) == 250


def test_usage_of_the_account(api: Api, paid: Api) -> None:
    api.made("A", "a", "198.18.1.1")
    paid.made("A", "a", "198.18.1.1")
    path = f"{BASE}/accounts/{api.twin.config.account.id}/dns_records/usage"
    assert api.call("GET", path).json["result"] == {"record_quota": None, "record_usage": 2}
    assert api.call("GET", f"{BASE}/accounts/{'0' * 32}/dns_records/usage").status == 403


def test_dns_settings(api: Api) -> None:
    path = f"{BASE}/zones/{api.zone_id}/dns_settings"
    assert api.call("GET", path).json["result"]["soa"]["min_ttl"] == 1800
    changed = api.call("PATCH", path, {"flatten_all_cnames": True, "soa": {"min_ttl": 60}}).json["result"]
    assert changed["flatten_all_cnames"] is True and changed["soa"]["min_ttl"] == 60
    assert changed["soa"]["mname"] == "ada.ns.cloudflare.com"
    bad: list[Any] = [{"x": 1}, {"ns_ttl": "1"}, {"soa": {"x": 1}}, {"zone_mode": "fast"}, []]
    for body in bad:
        assert api.call("PATCH", path, body).status == 400
    assert api.call("GET", path).json["result"] == changed


# -- DNSSEC ----------------------------------------------------------------------------------------------------------


def test_dnssec_goes_from_disabled_over_pending_to_active(api: Api) -> None:
    path = f"{BASE}/zones/{api.zone_id}/dnssec"
    assert api.call("GET", path).json["result"]["status"] == "disabled"
    assert api.call("GET", path).json["result"]["ds"] is None
    pending = api.call("PATCH", path, {"status": "active"}).json["result"]
    assert pending["status"] == "pending"
    api.twin.zone("example.com").activate_dnssec()
    active = api.call("GET", path).json["result"]
    assert active["status"] == "active" and active["ds"] == pending["ds"]
    assert api.call("PATCH", path, {"status": "active"}).json["result"]["status"] == "active"
    assert api.call("DELETE", path).status == 200
    assert api.call("GET", path).json["result"]["status"] == "disabled"
    bad: list[Any] = [{"status": "on"}, {"status": "pending"}, {"dnssec_presigned": 1}, {"x": True}, []]
    for body in bad:
        assert api.call("PATCH", path, body).status == 400


def test_the_ds_is_the_hash_of_the_key(api: Api) -> None:
    result = api.call("PATCH", f"{BASE}/zones/{api.zone_id}/dnssec", {"status": "active"}).json["result"]
    key = dns.rdata.from_text("IN", "DNSKEY", f"257 3 {result['algorithm']} {result['public_key']}")
    ds = dns.dnssec.make_ds(dns.name.from_text("example.com"), key, "SHA256")
    assert result["ds"] == f"example.com. 3600 IN DS {ds.key_tag} 13 2 {ds.digest.hex().upper()}"
    assert (result["key_tag"], result["digest"]) == (ds.key_tag, ds.digest.hex().upper())
    assert len(base64.b64decode(result["public_key"])) == 64


def test_states_that_only_the_provider_reaches(api: Api) -> None:
    path, zone = f"{BASE}/zones/{api.zone_id}/dnssec", api.twin.zone("example.com")
    first = api.call("PATCH", path, {"status": "active", "dnssec_multi_signer": True}).json["result"]
    for status in ("error", "pending-disabled"):
        zone.set_dnssec(status)
        result = api.call("GET", path).json["result"]
        assert (result["status"], result["ds"], result["dnssec_multi_signer"]) == (status, first["ds"], True)
    assert api.call("PATCH", path, {"status": "active"}).json["result"]["status"] == "pending"
    assert api.call("GET", path).json["result"]["ds"] == first["ds"]


def test_zone_signing_keys_exist_while_the_zone_is_signed(api: Api) -> None:
    path = f"{BASE}/zones/{api.zone_id}/dnssec"
    assert api.call("GET", f"{path}/zsk").json["result"] == []
    public = api.call("PATCH", path, {"status": "active"}).json["result"]["public_key"]
    (key,) = api.call("GET", f"{path}/zsk").json["result"]
    assert (key["DNSKEY"]["Flags"], key["DNSKEY"]["Algorithm"], key["Tag"]) == (256, 13, "active")
    assert key["DNSKEY"]["PublicKey"] != public


# -- export ----------------------------------------------------------------------------------------------------------


def test_export_is_a_zone_file(filled: Api) -> None:
    filled.made("TXT", "long", "x;y" * 200)
    filled.made("MX", "@", "mail.paid.example.org", priority=10)
    response = filled.call("GET", f"{filled.records_path}/export")
    assert response.headers["Content-Type"].startswith("text/plain") and response.text is not None
    assert "\npaid.example.org\t3600\tIN\tSOA\t" in response.text  # without its dot, as real exports have it
    zone = dns.zone.from_text(response.text.replace("org\t3600", "org.\t3600"), origin="paid.example.org.")
    assert [str(r) for r in zone.find_rdataset("@", "MX")] == ["10 mail"]
    assert b"".join(zone.find_rdataset("long", "TXT")[0].strings) == b"x;y" * 200
    assert len(zone.find_rdataset("@", "NS")) == 2
    line = next(x for x in response.text.splitlines() if x.startswith("mail.paid.example.org.\t1\tIN\tA\t"))
    assert line.endswith("198.18.1.10 ; mailstead:lab:host cf_tags=owner:mail,env:lab,cf-proxied:false")


# -- routes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/client/v4/zones/example.com/dns_records", "/client/v4/nothing", "/zones", "/client/v4/zones/" + "G" * 32]
)
def test_unknown_routes(api: Api, path: str) -> None:
    response = api.call("GET", path)
    assert (response.status, codes(response)) == (404, [7003])
    assert path in response.json["errors"][0]["message"]


def test_unknown_methods(api: Api) -> None:
    assert api.call("DELETE", f"{BASE}/zones").status == 405
    assert api.call("GET", f"{api.records_path}/batch").status == 405


def test_zone_lookup_by_name_is_for_configured_zones(twin: Twin) -> None:
    with pytest.raises(StopIteration):
        twin.zone("nowhere.example")
