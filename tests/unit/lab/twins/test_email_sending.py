# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Email Sending: domains with their records and the DMARC policy that comes along; recipients not written to."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.lab.twins.conftest import codes
from tests.unit.lab.twins.mail import MailApi, mail

DOMAINS, SUPPRESSED = "{z}/email/sending/subdomains", "{a}/email/sending/suppressions"


def onboard(api: MailApi, name: str = "example.com") -> dict[str, Any]:
    return dict(api.ok("POST", DOMAINS, {"name": name}))


def test_onboarding_writes_its_own_names_and_a_strict_policy() -> None:
    api = mail()
    entry = onboard(api)
    assert (entry["enabled"], entry["dkim_selector"]) == (True, "cf-bounce")
    assert entry["return_path_domain"] == "cf-bounce.example.com"
    found = sorted((r["type"], r["name"]) for r in api.list())
    assert found == [
        *[("MX", "cf-bounce.example.com")] * 3,
        ("TXT", "_dmarc.example.com"),
        ("TXT", "cf-bounce._domainkey.example.com"),
        ("TXT", "cf-bounce.example.com"),
    ]
    (dmarc,) = api.of("TXT", "_dmarc")
    assert dmarc["content"] == '"v=DMARC1; p=reject;"' and dmarc["meta"]["read_only"] is True
    assert codes(api.one("PATCH", dmarc, {"content": "v=DMARC1; p=none"})) == [1046]
    assert codes(api.create("MX", "cf-bounce", "mail.example.com", priority=1)) == [890190]
    assert api.create("MX", "@", "mail.example.com", priority=1).status == 200
    assert [r["name"] for r in api.ok("GET", f"{DOMAINS}/{entry['tag']}/dns")][-1] == "_dmarc.example.com"
    assert api.ok("GET", DOMAINS) == [entry] == api.twin.email("example.com").sending
    assert api.ok("GET", f"{DOMAINS}/{entry['tag']}") == entry
    assert api.ok("GET", "{z}/email/routing")["enabled"] is False


def test_a_policy_that_was_there_stays_or_is_replaced() -> None:
    own = {"type": "TXT", "name": "_dmarc", "content": "v=DMARC1; p=none; rua=mailto:d@example.com"}
    api = mail(records=[own])
    tag = onboard(api)["tag"]
    assert [r["content"] for r in api.of("TXT", "_dmarc")] == [own["content"]]
    assert api.ok("GET", f"{DOMAINS}/{tag}/dns/status")["status"] == "ready"
    assert "result" not in api.at("DELETE", f"{DOMAINS}/{tag}").json
    assert [r["content"] for r in api.list()] == [own["content"]]
    other = mail({"sending_dmarc": "replace"}, records=[own])
    tag = onboard(other)["tag"]
    assert [r["content"] for r in other.of("TXT", "_dmarc")] == ['"v=DMARC1; p=reject;"']
    other.ok("DELETE", f"{DOMAINS}/{tag}")
    assert other.list() == []


def test_a_delegated_policy_is_a_policy() -> None:
    api = mail(records=[{"type": "CNAME", "name": "_dmarc", "content": "x.dmarc.example"}])
    onboard(api)
    assert [r["type"] for r in api.list() if r["name"] == "_dmarc.example.com"] == ["CNAME"]


def test_what_is_missing_is_told_and_fixed() -> None:
    api = mail()
    tag = onboard(api)["tag"]
    zone = api.twin.zone("example.com")
    record = api.of("MX", "cf-bounce")[0]
    zone.set_meta(record["id"], read_only=False)
    zone.reconfigure(email_routing="off")
    zone.mail.sending["example.com"].linked.remove(record["id"])
    zone.change_mail(lambda working, _reader: working.remove(working.get(record["id"])))
    status = api.ok("GET", f"{DOMAINS}/{tag}/dns/status")
    assert (status["status"], [e["code"] for e in status["errors"]]) == ("misconfigured", ["mx.missing"])
    assert api.ok("POST", f"{DOMAINS}/{tag}/dns")["status"] == "ready"
    assert len(api.of("MX", "cf-bounce")) == 3


@pytest.mark.parametrize("dmarc", ["keep", "replace"])
def test_onboarding_again_is_the_same_domain(dmarc: str) -> None:
    api = mail({"sending_dmarc": dmarc})
    first, before = onboard(api), api.list()
    assert onboard(api)["tag"] == first["tag"] and api.list() == before


def test_a_preview_shows_conflicts() -> None:
    records = [
        {"type": "TXT", "name": "_dmarc", "content": "v=DMARC1; p=none"},
        {"type": "TXT", "name": "_dmarc", "content": "v=DMARC1; p=reject"},
        {"type": "MX", "name": "cf-bounce", "content": "mx.provider.example", "priority": 1},
    ]
    api = mail(records=records)
    shown = api.ok("POST", f"{DOMAINS}/preview", {"name": "example.com"})
    found = [e["code"] for e in shown["errors"]]
    assert found[0] == "mx.foreign" and found[-1] == "dmarc.multiple" and found.count("mx.missing") == 3
    assert len(shown["records"]) == 6 and len(api.list()) == 3
    refused = api.at("POST", DOMAINS, {"name": "example.com"})
    assert (refused.status, codes(refused)) == (409, [2008])
    api.one("DELETE", next(r for r in api.list() if r["type"] == "MX"))
    assert codes(api.at("POST", DOMAINS, {"name": "example.com"})) == [2027]
    assert codes(mail(records=records[:2]).at("POST", DOMAINS, {"name": "example.com"})) == [2027]


def test_two_spf_records_are_for_people_to_clear_up() -> None:
    records = [{"type": "TXT", "name": "cf-bounce", "content": f"v=spf1 ip4:198.18.1.{n} -all"} for n in (1, 2)]
    assert codes(mail(records=records).at("POST", DOMAINS, {"name": "example.com"})) == [2026]


@pytest.mark.parametrize(
    ("options", "body", "code"),
    [
        ({}, {}, 2007),
        ({}, {"name": "example.org"}, 2062),
        ({}, {"name": "*.example.com"}, 2056),
        ({"sending_entitled": False}, {"name": "example.com"}, 2056),
    ],
)
def test_domains_that_are_refused(options: dict[str, Any], body: Any, code: int) -> None:
    api = mail(options)
    assert codes(api.at("POST", DOMAINS, body)) == [code] and api.list() == []


def test_a_domain_nobody_onboarded() -> None:
    api = mail()
    for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/dns"), ("GET", "/dns/status"), ("POST", "/dns")):
        answer = api.at(method, f"{DOMAINS}/{'0' * 32}{path}")
        assert (answer.status, codes(answer)) == (404, [2033])


def test_routing_and_sending_do_not_meet() -> None:
    api = mail()
    tag = onboard(api)["tag"]
    api.routing("POST", "/dns")
    assert len(api.list()) == 11 and api.status() == "ready"
    api.ok("DELETE", f"{DOMAINS}/{tag}")
    assert api.status() == "ready" and len(api.list()) == 5
    onboard(api)
    api.routing("DELETE", "/dns")
    assert len(api.list()) == 6


# -- suppressions ------------------------------------------------------------------------------------------------------


def test_recipients_not_written_to() -> None:
    api = mail()
    made = api.ok("POST", SUPPRESSED, {"email": "gone@x.example", "expires_at": "2027-01-01T00:00:00Z"})
    assert (made["reason"], made["expires_at"]) == ("manual", "2027-01-01T00:00:00Z")
    assert api.ok("POST", SUPPRESSED, {"email": "GONE@x.example"}) == made
    api.twin.suppress("bounced@x.example")
    assert [s["email"] for s in api.ok("GET", SUPPRESSED, query="reason=hard_bounce")] == ["bounced@x.example"]
    assert next(s["email"] for s in api.ok("GET", SUPPRESSED, query="order=email&direction=asc")) == "bounced@x.example"
    assert api.ok("GET", f"{SUPPRESSED}/{made['id']}") == made
    assert api.ok("DELETE", f"{SUPPRESSED}/{made['id']}") == {"id": made["id"]}
    assert api.at("DELETE", f"{SUPPRESSED}/{made['id']}").status == 404


def test_suppressions_come_page_by_page() -> None:
    api = mail()
    for n in range(5):
        api.twin.suppress(f"r{n}@x.example", "complaint")
    found, query = [], "per_page=2"
    for _ in range(3):
        page = api.at("GET", SUPPRESSED, query=query).json
        found += [s["email"] for s in page["result"]]
        query = f"per_page=2&cursor={page['result_info']['next_cursor']}"
    assert len(set(found)) == 5 and page["result_info"] == {"count": 1, "per_page": 2, "next_cursor": None}
    for bad in ("cursor=x", "reason=x", "order=x", "per_page=1001", "page=2"):
        assert api.at("GET", SUPPRESSED, query=bad).status == 400


@pytest.mark.parametrize(
    "body", [{}, {"email": "x"}, {"email": "a@x.example", "expires_at": "soon"}, {"mail": "a@x.example"}]
)
def test_suppressions_that_are_refused(body: Any) -> None:
    assert codes(mail().at("POST", SUPPRESSED, body)) == [2007]
