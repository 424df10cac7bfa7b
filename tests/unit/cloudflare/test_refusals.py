# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the reconciler refuses against the API twin, before a write or because Cloudflare does: bad plans, zones, tokens,
Email Routing, quotas, proxied targets."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.provider import CloudflareProvider
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError
from ansible_collections.mailstead.stack.plugins.module_utils.dns.reconcile import ApplyError, ZoneTask, reconcile
from ansible_collections.mailstead.stack.plugins.module_utils.dns.records import Options

from tests.unit.cloudflare.support import ADDRESS, TOKEN, ZONE, Bench, codes, fails, fails_for, kinds, mail_set, want


def test_all_problems_of_all_zones_come_before_anything_is_written() -> None:
    bench = Bench([{"name": ZONE}, {"name": "example.org"}, {"name": "good.example"}])
    bench.seed({"type": "MX", "name": ZONE, "content": "aspmx.l.google.com", "priority": 1})
    wants = {
        ZONE: mail_set(),
        "example.org": [want("mail.example.org", "A", "x", "address")],
        "good.example": mail_set("good.example"),
    }
    error = fails(bench, wants)
    assert sorted(codes(error)) == ["MS-DNS-001", "MS-DNS-031"]
    assert bench.records("good.example") == []


def test_a_domain_that_is_no_zone_of_the_token() -> None:
    bench = Bench([{"name": ZONE}, {"name": "example.org"}])
    task = [
        ZoneTask("mail.example.org", ()),
        ZoneTask("exmaple.net", (want("x.example.org", "A", "y", "address"),)),
        ZoneTask(ZONE, tuple(mail_set())),
    ]
    with pytest.raises(MailsteadError) as caught:
        reconcile(CloudflareProvider(bench.client()), task, Options())
    assert codes(caught.value) == ["MS-CF-003", "MS-CF-003", "MS-DNS-001"]
    first, second, _ = caught.value.problems
    assert "example.com, example.org" in first.what and "in the zone example.org" in first.fix
    assert second.where == "zone exmaple.net"
    assert bench.records() == []


TOKENS: list[dict[str, Any]] = [
    {"token": "read-only" + "0" * 31, "scopes": ["Zone:Read", "DNS:Read"]},
    {"token": "no-dns" + "0" * 34, "scopes": ["Zone:Read"]},
    {"token": "expired" + "0" * 33, "expires_on": "2020-01-01T00:00:00+00:00"},
    {"token": "disabled" + "0" * 32, "status": "disabled"},
    {"token": "cfat_" + "0" * 35, "kind": "account", "scopes": ["Zone:Read"]},
    {"token": "other" + "0" * 35, "zones": []},
]


@pytest.mark.parametrize(
    ("token", "code", "words"),
    [
        (TOKENS[0]["token"], "MS-CF-001", "alive but not allowed"),
        (TOKENS[1]["token"], "MS-CF-001", "alive but not allowed"),
        (TOKENS[2]["token"], "MS-CF-002", "expired since 2020-01-01"),
        (TOKENS[3]["token"], "MS-CF-002", "disabled"),
        (TOKENS[4]["token"], "MS-CF-001", "Authentication error"),
        (TOKENS[5]["token"], "MS-CF-003", "no zone at all"),
        ("unknown" + "0" * 33, "MS-CF-002", "does not know"),
        ("short", "MS-CF-002", "cannot read"),
    ],
)
def test_a_token_that_will_not_do_is_explained(token: str, code: str, words: str) -> None:
    bench = Bench(tokens=[{"token": TOKEN}, *TOKENS])
    error = fails(bench, mail_set(), token=token)
    assert codes(error) == [code]
    assert words in error.problems[0].what
    assert token not in str(error)
    assert bench.records() == []


@pytest.mark.parametrize("token", ["", "  ", "two words", "töken", "a\nb"])
def test_what_cannot_be_a_token_is_never_sent(token: str) -> None:
    bench = Bench()
    assert codes(fails(bench, mail_set(), token=token)) == ["MS-CF-002"]
    assert bench.requests == []


def test_an_id_of_another_zone_is_noticed_before_anything_is_written() -> None:
    bench = Bench([{"name": ZONE}, {"name": "example.org"}])
    wrong = bench.twin.zone("example.org").zone.zone_id
    assert codes(fails_for(bench, ZONE, *mail_set(), zone_id=wrong)) == ["MS-CF-003"]
    bench.seed({"type": "A", "name": "www", "content": "203.0.113.5"}, zone="example.org")
    assert codes(fails_for(bench, ZONE, *mail_set(), zone_id=wrong)) == ["MS-CF-003"]
    assert len(bench.records("example.org")) == 1


def test_a_token_for_dns_alone_works_with_ids() -> None:
    for kind, token in (("user", "d" * 40), ("account", "cfat_" + "d" * 35)):
        bench = Bench(tokens=[{"token": token, "kind": kind, "scopes": ["DNS:Edit"]}])
        zone_id = bench.twin.zone(ZONE).zone.zone_id
        task = [ZoneTask(ZONE, tuple(mail_set()), zone_id)]
        (result,) = reconcile(CloudflareProvider(bench.client(token)), task, Options())
        assert len(bench.records()) == len(mail_set()) and "on trust" in result.notes[0]
        bench.requests.clear()
        assert reconcile(CloudflareProvider(bench.client(token)), task, Options())[0].diff.changes == ()
        assert kinds(bench) == ["GET dns_records"]


def test_email_routing_owns_its_mx() -> None:
    bench = Bench([{"name": ZONE, "email_routing": "locked"}])
    assert set(codes(fails(bench, mail_set()))) == {"MS-DNS-022"}
    unlocked = Bench([{"name": ZONE, "email_routing": "unlocked"}])
    assert codes(fails(unlocked, mail_set())) == ["MS-DNS-031"]
    unlocked.run(mail_set(), {"mx": "replace"})
    assert unlocked.run(mail_set(), {"mx": "replace"})[0].diff.changes == ()


@pytest.mark.parametrize("code", [890190, 1046])
def test_cloudflare_refuses_an_mx_beside_email_routing(code: int) -> None:
    """Routing is turned on between our list and our batch: only Cloudflare itself can refuse then."""
    bench = Bench([{"name": ZONE, "email_routing_code": code}])

    def turn_on(method: str, _path: str) -> None:
        if method == "POST":
            bench.twin.zone(ZONE).reconfigure(email_routing="locked")

    bench.before = turn_on
    error = fails(bench, mail_set())
    assert codes(error) == ["MS-CF-009"] and isinstance(error, ApplyError)
    assert all(r["meta"].get("email_routing") for r in bench.records())


def test_the_quota_is_asked_for_only_near_the_limit() -> None:
    bench = Bench()
    bench.seed(*({"type": "A", "name": f"f{n}", "content": "203.0.113.5"} for n in range(185)))
    error = fails(bench, mail_set())
    assert codes(error) == ["MS-DNS-023"] and "213 records (now 185), its plan allows 200" in error.problems[0].what
    assert kinds(bench) == ["GET dns_records", "GET usage", "GET zones"]
    # Overridden, Cloudflare itself refuses the whole batch.
    error = fails(bench, mail_set(), allow=("quota",))
    assert codes(error) == ["MS-DNS-023"] and isinstance(error, ApplyError)
    assert len(bench.records()) == 185


def test_a_proxied_target_in_another_zone_is_refused() -> None:
    bench = Bench([{"name": ZONE}, {"name": "example.org"}])
    bench.seed({"type": "A", "name": "mx", "content": "203.0.113.5", "proxied": True}, zone="example.org")
    bench.seed({"type": "CNAME", "name": "alias", "content": "mx.example.net"}, zone="example.org")
    wants = {ZONE: [want(ZONE, "MX", "10 mx.example.org"), want(ZONE, "MX", "20 alias.example.org")], "example.org": []}
    assert codes(fails(bench, wants)) == ["MS-DNS-018", "MS-DNS-021"]


def test_our_proxied_host_is_set_right() -> None:
    bench = Bench()
    bench.run(ADDRESS)
    (record,) = bench.records()
    bench.twin.zone(ZONE).change(record["id"], {"proxied": True}, overwrite=False)
    bench.run(ADDRESS)
    (after,) = bench.records()
    assert (after["proxied"], after["ttl"], after["id"]) == (False, 3600, record["id"])
