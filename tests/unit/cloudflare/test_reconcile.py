# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The reconciler against the API twin: request counts, spellings, foreign records, refusals, faults."""

from __future__ import annotations

import copy
import json
import threading
from typing import Any

import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare import client as client_module
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare import codes as api_codes
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare import zones
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.provider import CloudflareProvider
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError
from ansible_collections.mailstead.stack.plugins.module_utils.common.http import Answer, TransportError
from ansible_collections.mailstead.stack.plugins.module_utils.dns import codes as dns_codes
from ansible_collections.mailstead.stack.plugins.module_utils.dns.reconcile import (
    ApplyError,
    ZoneTask,
    reconcile,
)
from ansible_collections.mailstead.stack.plugins.module_utils.dns.records import Options, Want

from lab.twins.cloudflare.faults import Fault
from tests.unit.cloudflare.support import HOST, TOKEN, ZONE, Bench, mail_set, want

ZONES10 = [f"zone{n}.example" for n in range(10)]
ADDRESS = [want(HOST, "A", "198.18.1.10", "address", "host")]


def kinds(bench: Bench) -> list[str]:
    """The requests without ids: what they are, sorted (zones run in parallel)."""
    return sorted(r.split(" ")[0] + " " + r.rsplit("/", 1)[-1] for r in bench.requests)


def fails(bench: Bench, *args: Any, **kwargs: Any) -> MailsteadError:
    with pytest.raises(MailsteadError) as caught:
        bench.run(*args, **kwargs)
    assert all(
        p.code in {**dns_codes.CODES, **api_codes.CODES} and p.where and p.what and p.fix for p in caught.value.problems
    )
    assert TOKEN not in str(caught.value)
    return caught.value


def fails_for(bench: Bench, zone: str, *wants: Want, zone_id: str = "") -> MailsteadError:
    """As fails, for a zone by name, which need not exist."""
    bench.requests.clear()
    with pytest.raises(MailsteadError) as caught:
        reconcile(CloudflareProvider(bench.client()), [ZoneTask(zone, wants, zone_id)], Options())
    return caught.value


def codes(error: MailsteadError) -> list[str]:
    return [p.code for p in error.problems]


# -- what it costs ---------------------------------------------------------------------------------------------------


def test_one_zone_costs_three_requests_cold_two_when_nothing_is_to_do() -> None:
    bench = Bench()
    bench.run(mail_set())
    assert kinds(bench) == ["GET dns_records", "GET zones", "POST batch"]
    assert len(bench.records()) == len(mail_set())
    assert bench.run(mail_set())[0].diff.changes == ()
    assert kinds(bench) == ["GET dns_records", "GET zones"]
    bench.run([w for w in mail_set() if w.type != "A"] + [want(HOST, "A", "198.18.1.77", "address", "host")])
    assert kinds(bench) == ["GET dns_records", "GET zones", "POST batch"]
    assert bench.twin.log.entries[-1].operations == 1


def test_ten_zones_cost_one_look_up_ten_lists_and_a_batch_per_changed_zone() -> None:
    bench = Bench([{"name": z} for z in ZONES10])
    wants = {z: mail_set(z) for z in ZONES10}
    bench.run(wants)
    assert kinds(bench) == ["GET dns_records"] * 10 + ["GET zones"] + ["POST batch"] * 10
    bench.run(wants)
    assert kinds(bench) == ["GET dns_records"] * 10 + ["GET zones"]
    wants["zone3.example"] = [w for w in wants["zone3.example"] if w.role != "caa"]
    bench.run(wants)
    assert kinds(bench) == ["GET dns_records"] * 10 + ["GET zones"] + ["POST batch"]
    bench.run(wants, ids=True)
    assert kinds(bench) == ["GET dns_records"] * 10


def test_check_mode_reads_the_same_and_writes_nothing() -> None:
    bench = Bench()
    planned = bench.run(mail_set(), check=True)[0]
    assert kinds(bench) == ["GET dns_records", "GET zones"]
    assert bench.records() == []
    done = bench.run(mail_set())[0]
    assert [c.to_data() for c in planned.diff.changes] == [c.to_data() for c in done.diff.changes]
    assert planned.written == () and set(done.written) == set(done.diff.changes)


def test_a_large_account_is_searched_by_name_when_that_is_cheaper() -> None:
    bench = Bench([{"name": f"a{n}.example"} for n in range(240)] + [{"name": "z.example"}])
    bench.run({"z.example": []}, check=True)
    assert bench.requests.count("GET /zones") == 2
    bench.run({"a1.example": []}, check=True)
    assert bench.requests.count("GET /zones") == 1
    error = fails_for(bench, "b.example")
    assert codes(error) == ["MS-CF-003"] and bench.requests.count("GET /zones") == 2
    assert "…" in error.problems[0].what


def test_a_change_above_the_plans_cap_is_divided() -> None:
    bench = Bench([{"name": ZONE, "plan": "free", "record_quota": 1000}])
    wants = [want(f"h{n}.example.com", "A", "198.18.1.10", "address", "host") for n in range(250)]
    bench.run(wants)
    assert kinds(bench).count("POST batch") == 2
    assert len(bench.records()) == 250
    bench = Bench([{"name": ZONE, "plan": "pro"}])
    bench.run(wants)
    assert kinds(bench).count("POST batch") == 1


# -- comparing -------------------------------------------------------------------------------------------------------


def spelt(text: str) -> list[str]:
    third = len(text) // 3
    return [text, f'"{text}"', f'"{text[:third]}" "{text[third:]}"', '"' + text.replace("=", "\\061") + '"']


@pytest.mark.parametrize("form", range(4))
def test_hand_made_records_in_any_spelling_need_no_request_and_stay_unmarked(form: int) -> None:
    bench = Bench([{"name": ZONE, "mx_priority": "both"}])
    for w in mail_set():
        body: dict[str, Any] = {"type": w.type, "name": w.name.upper(), "ttl": 1, "comment": "by hand"}
        if w.type == "TXT":
            body["content"] = spelt(w.content)[form]
        elif w.type == "MX":
            body.update(content="MAIL.example.com.", priority=10)
        elif w.type == "SRV":
            priority, weight, port, target = w.content.split(" ")
            body["data"] = {
                "priority": int(priority),
                "weight": int(weight),
                "port": int(port),
                "target": target + "."[: form % 2 * (target != ".")],
            }
        elif w.type == "CAA":
            flags, tag, value = w.content.split(" ", 2)
            body["data"] = {"flags": int(flags), "tag": tag, "value": value.strip('"')}
        elif w.type == "TLSA":
            body["data"] = {
                "usage": 3,
                "selector": 1,
                "matching_type": 1,
                "certificate": w.content.split(" ")[3].upper(),
            }
        elif w.type == "AAAA":
            body["content"] = "2001:0002:0000:0002:0:0:0:10"
        else:
            body["content"] = w.content.upper()
        bench.seed(body)
    before = copy.deepcopy(bench.records())
    found = bench.run(mail_set())[0]
    assert found.diff.changes == ()
    assert found.diff.foreign_satisfied == len(mail_set())
    assert kinds(bench) == ["GET dns_records", "GET zones"]
    assert bench.records() == before


FOREIGN: list[dict[str, Any]] = [
    {"type": "A", "name": "www", "content": "203.0.113.5", "proxied": True, "comment": "web", "tags": ["team:web"]},
    {"type": "TXT", "name": ZONE, "content": "google-site-verification=abc", "comment": "seo"},
    {"type": "TXT", "name": ZONE, "content": '"quoted" "in two"'},
    {"type": "MX", "name": "lists", "content": "mx.example.net", "priority": 5, "settings": {}},
    {"type": "CNAME", "name": "shop", "content": "shops.example.net", "settings": {"flatten_cname": True}},
    {"type": "NS", "name": "sub", "content": "ns1.example.net"},
    {"type": "A", "name": "h2", "content": "203.0.113.6", "comment": "mailstead:berlin:host"},
]


def test_foreign_records_survive_byte_for_byte() -> None:
    bench = Bench([{"name": ZONE, "plan": "pro"}])
    made = bench.seed(*FOREIGN)
    bench.run(mail_set())
    bench.run([], allow=("last_mx", "delete_limit"))
    assert bench.records() == made


def test_an_update_keeps_id_tags_and_the_users_words() -> None:
    bench = Bench([{"name": ZONE, "plan": "pro"}])
    bench.run(ADDRESS)
    state = bench.twin.zone(ZONE)
    (record,) = bench.records()
    state.change(record["id"], {"tags": ["team:mail"], "comment": record["comment"] + " do not touch"}, overwrite=False)
    bench.run([want(HOST, "A", "198.18.1.99", "address", "host")])
    (after,) = bench.records()
    assert (after["id"], after["content"], after["tags"]) == (record["id"], "198.18.1.99", ["team:mail"])
    assert after["comment"] == "mailstead:mailstead:host do not touch"


# -- defects of the usual module, each a test ------------------------------------------------------------------------


def test_a_second_caa_does_not_overwrite_the_first() -> None:
    bench = Bench()
    bench.run([want(HOST, "CAA", '0 issue "a.example"', "policy")])
    bench.run([want(HOST, "CAA", '0 issue "a.example"', "policy"), want(HOST, "CAA", '0 issue "b.example"', "policy")])
    assert sorted(r["data"]["value"] for r in bench.records()) == ["a.example", "b.example"]


def test_a_changed_value_leaves_no_stale_one_behind() -> None:
    bench = Bench()
    bench.run(ADDRESS)
    bench.run([want(HOST, "A", "198.18.1.11", "address", "host")])
    assert [r["content"] for r in bench.records()] == ["198.18.1.11"]


def test_issuemail_and_null_mx_are_written() -> None:
    bench = Bench()
    bench.run([want(ZONE, "CAA", '0 issuemail ";"', "policy"), want(ZONE, "MX", "0 .")])
    assert {(r["type"], r["content"]) for r in bench.records()} >= {("MX", ".")}
    assert bench.run([want(ZONE, "CAA", '0 issuemail ";"', "policy"), want(ZONE, "MX", "0 .")])[0].diff.changes == ()


# -- refusals --------------------------------------------------------------------------------------------------------


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


# -- under fire ------------------------------------------------------------------------------------------------------


def test_reads_are_repeated_after_server_errors_and_broken_connections() -> None:
    bench = Bench()
    bench.twin.faults.fail_reads(2, 503, html=True)
    bench.twin.faults.drop_unread(1, "GET", "dns_records")
    bench.run(mail_set())
    assert len(bench.records()) == len(mail_set())
    assert len(bench.pauses) == 3 and all(0 < p <= 8 for p in bench.pauses)


def test_a_server_that_stays_broken_is_reported() -> None:
    bench = Bench()
    bench.twin.faults.fail_reads(4, 502, path="dns_records")
    error = fails(bench, mail_set())
    assert codes(error) == ["MS-CF-011"] and "502" in error.problems[0].what


def test_the_rate_limit_is_waited_out_on_reads_and_writes() -> None:
    bench = Bench()
    bench.twin.faults.rate_limit(1, 7, "GET", "/zones")
    bench.twin.faults.rate_limit(1, 200, "POST")
    bench.run(mail_set())
    assert [round(p) for p in bench.pauses] == [8, 200]
    assert len(bench.records()) == len(mail_set())


def test_a_rate_limit_beyond_the_budget_ends_the_run() -> None:
    bench = Bench()
    bench.twin.faults.rate_limit(2, 200, "POST")
    error = fails(bench, mail_set())
    assert codes(error) == ["MS-CF-006"] and bench.records() == []


@pytest.mark.parametrize("fault", ["drop_after", "status_after", "drop_before", "status_before", "html"])
def test_after_an_unclear_write_the_zone_is_read_again(fault: str) -> None:
    bench = Bench()
    faults = bench.twin.faults
    if fault == "drop_after":
        faults.drop_after_write()
    elif fault == "drop_before":
        faults.drop_unread(1, "POST")
    else:
        faults.fail_writes(1, 502, applied=fault == "status_after", html=fault == "html")
    found = bench.run(mail_set())[0]
    assert faults.pending == 0
    assert len(bench.records()) == len(mail_set())
    assert set(found.written) == set(found.diff.changes)
    applied = fault in ("drop_after", "status_after")
    assert kinds(bench).count("POST batch") == (1 if applied else 2)
    assert kinds(bench).count("GET dns_records") == 2


def test_a_write_that_never_gets_clear_is_reported() -> None:
    bench = Bench()
    bench.twin.faults.drop_unread(9, "POST")
    error = fails(bench, mail_set())
    assert codes(error) == ["MS-DNS-060"] and bench.records() == []


def test_an_outage_gets_longer_to_pass_the_longer_it_lasts() -> None:
    bench = Bench()
    bench.twin.faults.fail_writes(3, 502)
    bench.run(mail_set())
    assert len(bench.records()) == len(mail_set())
    assert bench.pauses == [0.75, 1.5, 3.0]
    bench.pauses.clear()
    bench.twin.faults.drop_unread(1, "POST")
    bench.run(mail_set()[:-1])
    assert bench.pauses == [0.75], "a write that went through ends the row"


@pytest.mark.parametrize("code", [81044, 81053, 81058])
def test_a_name_that_something_unseen_holds_is_said_and_nothing_is_called_uncertain(code: int) -> None:
    """The host of a tunnel is in no list of records, and refuses ours every time."""
    bench = Bench(error_pointers=True)
    bench.twin.faults.fail_operation(0, code, times=9)
    error = fails(bench, mail_set())
    assert codes(error) == ["MS-CF-007"] and bench.records() == []
    assert str(code) in error.problems[0].what and "does not show" in error.problems[0].fix
    assert ": CNAME autoconfig.example.com (create " in error.problems[0].where


def test_a_refusal_without_a_pointer_names_the_records_it_may_mean() -> None:
    bench = Bench()
    for wants, where in (
        (mail_set()[:2], "(one of 2 changes: A mail.example.com, AAAA mail.example.com; none of them was applied)"),
        (mail_set(), ", …; none of them was applied)"),
    ):
        bench.twin.faults.fail_operation(1)
        assert fails(bench, wants).problems[0].where.endswith(where)


def test_a_token_that_ends_on_the_way_names_no_record() -> None:
    bench = Bench()
    bench.twin.faults.add(Fault("status", method="POST", status=403))
    error = fails(bench, mail_set())
    assert (
        isinstance(error, ApplyError)
        and error.problems[0].where == f"zone {ZONE} (nothing of this request was applied)"
    )
    assert codes(error) == ["MS-CF-001"] and bench.records() == []


@pytest.mark.parametrize("duplicate_code", [81057, 81058])
def test_somebody_else_was_quicker(duplicate_code: int) -> None:
    """Between our list and our batch another run published the same records, or deleted one we wanted to change."""
    bench = Bench(duplicate_code=duplicate_code)

    def other_run(method: str, _path: str) -> None:
        if method == "POST" and not bench.records():
            bench.before = None
            other = Bench.__new__(Bench)
            other.__dict__.update(bench.__dict__, requests=[], before=None)
            other.run(ADDRESS)

    bench.before = other_run
    bench.run(ADDRESS)
    assert [r["content"] for r in bench.records()] == ["198.18.1.10"]

    def vanish(method: str, _path: str) -> None:
        if method == "POST":
            bench.before.done = getattr(bench.before, "done", 0) + 1
            if bench.before.done == 1:
                bench.twin.zone(ZONE).delete(bench.records()[0]["id"])

    bench.before = vanish
    bench.run([want(HOST, "A", "198.18.1.11", "address", "host")])
    assert [r["content"] for r in bench.records()] == ["198.18.1.11"]


@pytest.mark.parametrize("index", [0, 7, 27])
@pytest.mark.parametrize("pointers", [True, False])
def test_an_error_at_one_operation_leaves_the_zone_as_it_was(index: int, pointers: bool) -> None:
    bench = Bench(error_pointers=pointers)
    bench.twin.faults.fail_operation(index)
    error = fails(bench, mail_set())
    assert isinstance(error, ApplyError) and codes(error) == ["MS-CF-007"]
    assert error.results[0].written == ()
    assert "9005" in error.problems[0].what
    assert ("(create " in error.problems[0].where) == pointers
    assert bench.records() == []


def test_a_zone_that_fails_does_not_hide_the_one_that_went_through() -> None:
    bench = Bench([{"name": ZONE}, {"name": "example.org"}])
    bench.twin.faults.add(Fault("operation", path=bench.twin.zone(ZONE).zone.zone_id, operation=3, status=400))
    error = fails(bench, {ZONE: mail_set(), "example.org": mail_set("example.org")})
    assert isinstance(error, ApplyError) and codes(error) == ["MS-CF-007"]
    assert {r.task.name: len(r.written) for r in error.results} == {ZONE: 0, "example.org": len(mail_set())}
    assert (len(bench.records()), len(bench.records("example.org"))) == (0, len(mail_set()))


class Scripted:
    """A transport that gives one prepared answer."""

    def __init__(self, answer: Answer | Exception) -> None:
        self.answer = answer

    def request(self, *_args: Any) -> Answer:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def close(self) -> None:
        return None


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (Answer(200, {"content-type": "text/html"}, b"<html>sign in</html>"), "MS-CF-004"),
        (Answer(302, {}, b""), "MS-CF-004"),
        (Answer(200, {}, b'{"result": []}'), "MS-CF-004"),
        (Answer(200, {}, b"[]"), "MS-CF-004"),
        (Answer(200, {}, b"[" * 100_000), "MS-CF-004"),
        (Answer(200, {}, b'{"success": true, "result": {}}'), "MS-CF-004"),
        (Answer(200, {}, b'{"success": true, "result": [{"id": 1}]}'), "MS-CF-004"),
        (Answer(200, {}, b'{"success": true, "result": [7]}'), "MS-CF-004"),
        (Answer(400, {}, b'{"success": false, "errors": null}'), "MS-CF-007"),
        (Answer(400, {}, b'{"success": false, "errors": ["x", {"code": "y", "message": null}]}'), "MS-CF-007"),
        (TransportError("api.cloudflare.com: the name cannot be resolved", False), "MS-CF-005"),
    ],
)
def test_a_wrong_answer_is_told_from_a_refusal(answer: Answer | Exception, code: str) -> None:
    client = client_module.Client(TOKEN, lambda: Scripted(answer), pause=lambda _s: None)
    with pytest.raises(MailsteadError) as caught:
        reconcile(CloudflareProvider(client), [ZoneTask(ZONE, ())], Options())
    assert codes(caught.value) == [code]


def answers(*results: Any) -> Any:
    """A transport that gives one envelope after another; total_pages is 1."""
    left = [json.dumps({"success": True, "errors": [], "result": r}).encode() for r in results]

    class InTurn:
        def request(self, *_args: Any) -> Answer:
            return Answer(200, {}, left.pop(0))

        def close(self) -> None:
            return None

    transport = InTurn()
    return client_module.Client(TOKEN, lambda: transport, pause=lambda _s: None)


def zone_row(zone_id: str, status: str = "active", **more: Any) -> dict[str, Any]:
    return {"id": zone_id, "name": ZONE, "status": status, **more}


def test_of_two_zones_of_one_name_the_active_one_counts() -> None:
    (result,) = reconcile(
        CloudflareProvider(answers([zone_row("a", "pending"), zone_row("b")], [])), [ZoneTask(ZONE, ())], Options()
    )
    assert result.zone.id == "b"
    with pytest.raises(MailsteadError) as caught:
        reconcile(CloudflareProvider(answers([zone_row("a"), zone_row("b")])), [ZoneTask(ZONE, ())], Options())
    assert codes(caught.value) == ["MS-CF-012"] and "a (active), b (active)" in caught.value.problems[0].what


@pytest.mark.parametrize(("status", "words"), [("pending", "not active yet"), ("moved", "'moved'"), ("active", "")])
def test_a_zone_that_is_not_active_is_noted(status: str, words: str) -> None:
    (result,) = reconcile(CloudflareProvider(answers([zone_row("a", status)], [])), [ZoneTask(ZONE, ())], Options())
    assert bool(result.notes) == bool(words) and words in "".join(result.notes)


STORED = {"id": "1", "name": HOST, "type": "A", "content": "198.18.1.10", "ttl": 3600}


@pytest.mark.parametrize(
    ("stored", "words"),
    [
        ({"posts": [STORED]}, ""),
        ({"posts": [{**STORED, "content": "198.18.1.99"}]}, "stored as '198.18.1.99', sent '198.18.1.10'"),
        ({"posts": [{**STORED, "type": None}]}, "cannot be read"),
        ({"posts": []}, "does not list the 1 posts"),
        ([], "does not list the 1 posts"),
    ],
)
def test_what_the_answer_says_was_stored_is_compared(stored: Any, words: str) -> None:
    (result,) = reconcile(
        CloudflareProvider(answers([zone_row("a")], [], stored)), [ZoneTask(ZONE, tuple(ADDRESS))], Options()
    )
    assert bool(result.notes) == bool(words) and words in "".join(result.notes)


def test_an_answer_that_echoes_the_token_does_not_get_it_into_a_message() -> None:
    body = f'{{"success": false, "errors": [{{"code": 1, "message": "bad {TOKEN} \\u001b[31m"}}]}}'.encode()
    client = client_module.Client(TOKEN, lambda: Scripted(Answer(400, {}, body)), pause=lambda _s: None)
    with pytest.raises(MailsteadError) as caught:
        reconcile(CloudflareProvider(client), [ZoneTask(ZONE, ())], Options())
    assert TOKEN not in str(caught.value) and "<token>" in str(caught.value)
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "low", "high"),
    [
        ("5", 5, 5),
        ("0", 1, 1),
        ("", 30, 30),
        ("soon", 30, 30),
        ("\u00b2", 30, 30),
        ("Fri, 01 Jan 2021 00:00:00 GMT", 1, 1),
    ],
)
def test_retry_after_in_all_its_forms(value: str, low: float, high: float) -> None:
    assert low <= client_module._retry_after(Answer(429, {"retry-after": value})) <= high


def test_a_date_to_retry_after_is_read_by_the_servers_clock() -> None:
    """Ours may be wrong by years."""
    headers = {"date": "Fri, 01 Jan 2021 00:00:00 GMT", "retry-after": "Fri, 01 Jan 2021 00:01:30 GMT"}
    assert client_module._retry_after(Answer(429, headers)) == 90


def test_a_list_of_more_than_one_page_is_read_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zones, "RECORDS_PER_PAGE", 10)
    bench = Bench()
    bench.run(mail_set())
    bench.run(mail_set())
    assert kinds(bench) == ["GET dns_records"] * 3 + ["GET zones"]


# -- the token -------------------------------------------------------------------------------------------------------


def success(*results: Any) -> list[Answer]:
    return [Answer(200, {}, json.dumps({"success": True, "result": r}).encode()) for r in results]


def failure(status: int, *errors: dict[str, Any]) -> Answer:
    return Answer(status, {}, json.dumps({"success": False, "errors": errors}).encode())


ERROR = {"code": 9999, "message": f"token {TOKEN}", "error_chain": [{"code": 1, "message": f"Bearer {TOKEN}"}]}
FORBIDDEN = failure(403, {**ERROR, "code": 10000})
ROW = {"id": "a", "name": ZONE, "status": f"odd {TOKEN}", "plan": {"legacy_id": TOKEN}}
#: One answer after another, each with the token wherever a server could put it; the last one repeats.
ECHOES: dict[str, list[Answer | TransportError]] = {
    "error": [failure(400, ERROR)],
    "forbidden": [FORBIDDEN],
    "expired": [FORBIDDEN, *success({"status": "expired", "expires_on": TOKEN})],
    "server error": [Answer(503, {"retry-after": TOKEN}, TOKEN.encode())],
    "portal": [Answer(200, {"content-type": f"text/{TOKEN}"}, TOKEN.encode())],
    "network": [TransportError(f"api.example: {TOKEN}", sent=False)],
    "names": [*success([{"id": "a", "name": TOKEN}])],
    "zone": [*success([ROW], [], {})],
    "stranger": [*success([ROW], [{"id": "1", "name": TOKEN, "type": "A", "ttl": 1}])],
    "half a record": [*success([ROW], [{"id": "1", "name": TOKEN, "type": TOKEN}])],
    "refused write": [*success([ROW], []), failure(400, ERROR)],
    "lost write": [*success([ROW], []), TransportError(f"api.example: {TOKEN}", sent=True), *success([]), FORBIDDEN],
    "stored": [*success([ROW], [], {"posts": [{"id": "1", "name": TOKEN, "type": "A", "content": TOKEN, "ttl": 1}]})],
}


@pytest.mark.parametrize("where", ECHOES)
def test_a_server_that_echoes_the_token_does_not_get_it_into_any_word_of_ours(where: str) -> None:
    left = list(ECHOES[where])

    class Echo:
        def request(self, *_args: Any) -> Answer:
            answer = left.pop(0) if len(left) > 1 else left[0]
            if isinstance(answer, TransportError):
                raise answer
            return answer

        def close(self) -> None:
            return None

    echo = Echo()
    client = client_module.Client(TOKEN, lambda: echo, pause=lambda _s: None)
    try:
        (result,) = reconcile(CloudflareProvider(client), [ZoneTask(ZONE, tuple(ADDRESS))], Options())
    except MailsteadError as error:
        words = f"{error}{error.problems!r}"
    else:
        words = repr((result.notes, result.diff.notes, result.zone))
    assert TOKEN not in words
    assert "<token>" in words or where == "server error"


# -- the rate limit --------------------------------------------------------------------------------------------------


def test_a_block_is_waited_out_as_often_as_the_budget_holds() -> None:
    bench = Bench()
    bench.twin.faults.rate_limit(3, 100, "GET", "/zones")
    bench.run(mail_set())
    assert [round(p) for p in bench.pauses] == [100, 100, 100]
    bench = Bench()
    bench.twin.faults.rate_limit(4, 100, "GET", "/zones")
    (problem,) = fails(bench, mail_set()).problems
    assert problem.code == "MS-CF-006"
    assert "asks to wait 100 s; a run waits 360 s in all, and has waited 300 s" in problem.what


def test_a_whole_block_is_waited_out() -> None:
    """As documented: 1,200 requests in five minutes, and a block of five minutes after that."""
    bench = Bench()
    bench.twin.faults.rate_limit(1, 300, "POST")
    bench.run(mail_set())
    assert len(bench.records()) == len(mail_set())


def test_zones_in_parallel_wait_for_one_block_together() -> None:
    """Each is told of it by an answer of its own; the time passes once."""
    names = ZONES10[:4]
    bench = Bench([{"name": z} for z in names])
    everyone = threading.Barrier(len(names))

    def meet(method: str, _path: str) -> None:
        if method == "POST" and bench.now == 0:
            everyone.wait(10)

    bench.after = meet
    bench.twin.faults.rate_limit(len(names), 300, "POST")
    bench.run({z: mail_set(z) for z in names})
    assert all(len(bench.records(z)) == len(mail_set(z)) for z in names)


def test_a_write_is_repeated_while_no_connection_can_be_made() -> None:
    bench = Bench()
    down = [2]

    def refuse(method: str, _path: str) -> None:
        if method == "POST" and down[0]:
            down[0] -= 1
            raise TransportError("connection refused", sent=False)

    bench.before = refuse
    bench.run(mail_set())
    assert len(bench.records()) == len(mail_set()) and kinds(bench).count("GET dns_records") == 1
    down[0] = 9
    assert codes(fails(bench, [])) == ["MS-DNS-019", "MS-DNS-020"]
    assert codes(fails(bench, [], allow=("last_mx", "delete_limit"))) == ["MS-CF-005"]
