# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is found out about a token, against the API twin: liveness, permissions, zones, quota, rate, and how few requests."""

from __future__ import annotations

import dataclasses
import re
from datetime import datetime, timezone
from typing import Any

import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare import token
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.token_model import (
    NEEDS,
    Rate,
    Report,
    Token,
    Wanted,
    days_until,
    rate_of,
)
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError

from lab.twins.cloudflare import Fault
from lab.twins.cloudflare.config import PERMISSION_GROUPS, SCOPES
from lab.twins.cloudflare.response import envelope
from tests.unit.cloudflare.support import TOKEN, ZONE, Bench

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=timezone.utc)
ZONES = ("example.com", "example.org")
GOOD = ("Zone:Read", "DNS:Edit")
ACCOUNT_TOKEN = "cfat_" + "a" * 40


class Look(Bench):
    """A twin with one token of the given rights."""

    def __init__(self, scopes: tuple[str, ...] = GOOD, value: str = TOKEN, zones: Any = None, **config: Any) -> None:
        twin = {k: config.pop(k) for k in list(config) if k in ("rate_limit", "faults")}
        given = {"token": value, "scopes": list(scopes), **config}
        super().__init__(zones or [{"name": z} for z in ZONES], tokens=[given], **twin)
        self.value = value

    def __call__(self, *names: str, **more: Any) -> Report:
        self.requests.clear()
        zones = more.pop("zones", dict.fromkeys(names, ""))
        return token.inspect(self.client(self.value), Wanted(zones, **more), lambda: NOW)

    def dead(self, *names: str, **more: Any) -> str:
        with pytest.raises(MailsteadError) as caught:
            self(*names, **more)
        (problem,) = caught.value.problems
        assert problem.code == "MS-CF-002" and self.value not in str(problem)
        return problem.what

    def zone_id(self, name: str = ZONE) -> str:
        return self.twin.zone(name).zone.zone_id

    @property
    def account(self) -> str:
        return self.twin.config.account.id


def codes(report: Report) -> list[str]:
    return [p.code for p in report.problems]


def granted(report: Report) -> dict[str, str]:
    return {c.name: c.status for c in report.capabilities}


# -- the normal case --------------------------------------------------------------------------------------------------


def test_a_good_token_costs_two_requests_and_one_per_zone() -> None:
    look = Look()
    look.seed(*[{"type": "A", "name": f"h{i}", "content": "198.18.1.1"} for i in range(3)])
    report = look(*ZONES)
    assert len(look.requests) == 4 and report.problems == () and report.warnings == ()
    assert (report.token.kind, report.token.status, report.token.days_left) == ("user", "active", None)
    assert [(z.info.name, z.info.plan, z.used, z.limit, z.left, z.writable) for z in report.zones] == [
        ("example.com", "free", 3, 200, 197, True),
        ("example.org", "free", 0, 200, 200, True),
    ]
    assert report.seen == ZONES and report.missing == () and report.zones[0].account == look.account
    assert report.rate is not None and report.rate.limit == 1200 and report.rate.remaining == 1196


def test_no_names_means_all_zones() -> None:
    look = Look()
    report = look()
    assert [(z.info.name, z.used) for z in report.zones] == [("example.com", 0), ("example.org", None)]
    # Verify, listing, and DNS tried once on the first zone.
    assert len(look.requests) == 3 and granted(report) == {"zones": "granted", "dns": "granted"}


def test_many_zones_are_listed_fifty_at_a_time() -> None:
    look = Look(zones=[{"name": f"z{i}.example.net"} for i in range(120)])
    report = look(needs=("zones",))
    assert len(report.seen) == 120 and len(look.requests) == 4


# -- permissions ------------------------------------------------------------------------------------------------------


def test_every_need_names_a_permission_group_that_exists() -> None:
    for need in NEEDS.values():
        assert need.group in PERMISSION_GROUPS
        assert PERMISSION_GROUPS[need.group] == need.level.lower()


@pytest.mark.parametrize("name", [n for n in NEEDS if n != "zones"])
def test_each_need_is_tried_by_one_read_that_its_permission_opens(name: str) -> None:
    need = NEEDS[name]
    own = (f"{need.group}:Read", "Zone:Read")
    # Groups that open the same call as another one does are not what is missing.
    alike = (f"{need.group}:", "Zone DNS Settings", "Cloudflare One Connector: cloudflared")
    others = tuple(s for s in SCOPES if not s.startswith(alike))
    report = Look(scopes=own)(ZONE, needs=(name,))
    assert granted(report) == {name: "granted"} and report.problems == ()
    lacking = Look(scopes=others)(ZONE, needs=(name,))
    assert granted(lacking) == {name: "missing"}
    (problem,) = lacking.problems
    assert problem.code == "MS-CF-025" and need.permission in problem.what
    assert f"{need.level} - {need.group} - {need.verb}" in problem.fix and "My Profile, API Tokens" in problem.fix
    assert f"{need.level} Resources" in problem.fix and need.note in problem.what


def test_needs_with_one_permission_are_one_problem() -> None:
    report = Look(scopes=("Zone:Read",))(*ZONES, needs=("dns", "dnssec"))
    (problem,) = report.problems
    assert "dns, dnssec" in problem.where and "zone example.com, zone example.org" in problem.what


def test_without_zone_read_the_listing_is_what_is_missing() -> None:
    look = Look(scopes=("DNS:Edit",))
    report = look(ZONE)
    # That no zone is seen follows from it, and is not told as a second mistake.
    assert codes(report) == ["MS-CF-025"] and "Zone / Zone / Read" in report.problems[0].what
    assert report.missing == (ZONE,) and granted(report) == {"zones": "missing", "dns": "untried"}


def test_with_ids_dns_alone_is_enough() -> None:
    look = Look(scopes=("DNS:Edit",))
    report = look(zones={ZONE: look.zone_id()}, needs=("dns",))
    assert report.problems == () and len(look.requests) == 2
    assert (report.zones[0].info.id, report.zones[0].limit, report.zones[0].writable) == (look.zone_id(), 200, None)


def test_an_id_is_completed_from_the_listing() -> None:
    look = Look()
    report = look(zones={ZONE: look.zone_id(), "example.net": "0" * 32})
    assert [(z.info.name, z.info.status) for z in report.zones] == [(ZONE, "active"), ("example.net", "")]
    # An id of nobody's zone is answered as a missing permission; the place says which.
    assert codes(report) == ["MS-CF-025"] and "zone example.net" in report.problems[0].what


def test_a_refusal_that_says_neither_is_unclear() -> None:
    look = Look(scopes=(*GOOD, "Email Sending:Read"))
    look.twin.faults.add(Fault("status", path="email/sending", status=404))
    report = look(ZONE, needs=("email_sending",))
    assert granted(report) == {"email_sending": "unclear"} and report.problems == ()
    assert len(report.warnings) == 1 and NEEDS["email_sending"].note in report.warnings[0]
    look.twin.faults.add(Fault("status", path="cfd_tunnel", status=404))
    report = look(ZONE, needs=("tunnel",))
    assert "Account / Cloudflare Tunnel / Edit is unclear:" in report.warnings[0]


def test_reading_without_writing_is_a_warning() -> None:
    report = Look(scopes=("Zone:Read", "DNS:Read"))(ZONE)
    assert report.problems == () and report.zones[0].writable is False
    assert report.warnings == (
        "zone example.com: by its listing the token may read but not write its records; writing needs Zone / DNS / Edit",
    )
    assert Look(scopes=("Zone:Read", "DNS:Read"))(ZONE, needs=("zones",)).warnings == ()


def test_a_need_without_anything_to_try_it_on() -> None:
    look = Look()
    look.twin.zones.clear()
    report = look(needs=("dns", "tunnel"))
    assert codes(report) == ["MS-CF-027", "MS-CF-027"] and granted(report) == {"dns": "untried", "tunnel": "untried"}
    assert all("Zone / Zone / Read" in p.fix for p in report.problems)


# -- zones ------------------------------------------------------------------------------------------------------------


def test_zones_that_are_not_seen() -> None:
    report = Look()(ZONE, "example.net")
    assert codes(report) == ["MS-CF-026"] and report.missing == ("example.net",)
    assert "which sees example.com, example.org" in report.problems[0].what
    blind = Look()
    blind.twin.zones.clear()
    report = blind(ZONE)
    assert codes(report) == ["MS-CF-026"] and "none at all" in report.problems[0].what


def test_of_two_zones_of_one_name_the_active_one_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    look = Look(zones=[{"name": "example.com", "status": "moved"}, {"name": "example.org"}, {"name": "example.net"}])
    other = look.twin.zone("example.org")
    monkeypatch.setattr(other, "zone", dataclasses.replace(other.zone, name=ZONE, id=other.zone.zone_id))
    report = look(ZONE)
    assert [z.info.status for z in report.zones] == ["active"]


def test_nearly_full_zones_are_told() -> None:
    look = Look(zones=[{"name": ZONE, "record_quota": 10}])
    look.seed(*[{"type": "A", "name": f"h{i}", "content": "198.18.1.1"} for i in range(9)])
    report = look(ZONE)
    assert report.zones[0].left == 1 and report.warnings == ("zone example.com: 9 of 10 records are used",)


# -- liveness ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expires", "days", "words"),
    [
        ("2027-03-01T00:00:00Z", 99, ""),
        ("2026-12-21T12:00:00Z", 30, ""),
        ("2026-12-21T11:59:59Z", 29, "expires in 29 days (2026-12-21T11:59:59Z)"),
        ("2026-11-22T18:00:00Z", 1, "expires within two days"),
    ],
)
def test_the_expiry_is_told_in_time(expires: str, days: int, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    look = Look(expires_on=expires.replace("Z", "+00:00"))
    monkeypatch.setattr(look.twin._auth, "_now", lambda: NOW)
    report = look(ZONE)
    assert report.token.days_left == days
    assert words.replace("Z)", "+00:00)") in " ".join(report.warnings) and bool(words) == bool(report.warnings)


@pytest.mark.parametrize("moment", ["2026-11-23T12:00:00Z", "2026-11-23T12:00:00.1234567Z", "2026-11-23T12:00:00"])
def test_times_in_every_spelling(moment: str) -> None:
    assert days_until(moment, NOW) == 2


def test_no_time_is_none() -> None:
    assert days_until("", NOW) is None and days_until("soon", NOW) is None


def test_dead_tokens() -> None:
    assert Look(status="disabled").dead(ZONE) == "the token is disabled"
    assert Look(expires_on="2020-01-01T00:00:00+00:00").dead(ZONE) == (
        "the token is expired since 2020-01-01T00:00:00+00:00"
    )
    look = Look()
    look.value = "u" * 40
    assert "does not know the token" in look.dead(ZONE)
    look.value = "short"
    assert "cannot read the token" in look.dead(ZONE)
    # Also when the listing would not have been asked for.
    look.value = "u" * 40
    assert "does not know the token" in look.dead(zones={ZONE: look.zone_id()}, needs=("dns",))
    assert "does not know the token" in look.dead(zones={ZONE: look.zone_id()}, needs=("dns",), account=look.account)


def test_an_answer_without_a_state_is_no_live_token(monkeypatch: pytest.MonkeyPatch) -> None:
    look = Look()
    monkeypatch.setattr(look.twin._auth, "verify", lambda *_: ([], []))
    assert look.dead(ZONE) == "the token is in no known state"


def test_a_token_of_the_account_is_verified_there() -> None:
    look = Look(value=ACCOUNT_TOKEN, kind="account", expires_on="2027-11-21T12:00:00+00:00")
    report = look(*ZONES)
    assert (report.token.kind, report.token.days_left) == ("account", 365) and len(look.requests) == 4
    assert not any("/user/" in r for r in look.requests)
    lacking = Look(value=ACCOUNT_TOKEN, kind="account")(ZONE, needs=("tunnel",))
    assert "Manage Account, Account API Tokens" in lacking.problems[0].fix


def test_a_token_of_the_account_without_its_prefix() -> None:
    look = Look(kind="account")
    report = look(ZONE)
    assert report.token.kind == "account" and report.problems == ()
    report = look(zones={ZONE: look.zone_id()}, needs=("dns",))
    assert report.token.kind == "account" and look.requests[1:3].count("GET /zones") == 1
    report = look(zones={ZONE: look.zone_id()}, needs=("dns",), account=look.account)
    assert report.token.kind == "account" and "GET /zones" not in look.requests


def test_a_token_that_works_but_cannot_be_verified() -> None:
    look = Look(scopes=("DNS:Edit",), value=ACCOUNT_TOKEN, kind="account")
    report = look(zones={ZONE: look.zone_id()}, needs=("dns",))
    assert report.token == Token(kind="account") and report.problems == ()
    assert report.warnings == ("the token works but cannot be verified, so its expiry is not known",)


def test_an_account_given_serves_verifying_and_trying() -> None:
    look = Look(scopes=("DNS:Edit", "Cloudflare Tunnel:Read"), value=ACCOUNT_TOKEN, kind="account")
    report = look(zones={ZONE: look.zone_id()}, needs=("dns", "tunnel"), account=look.account)
    assert report.token.status == "active" and report.problems == () and len(look.requests) == 3


# -- the rate limit ---------------------------------------------------------------------------------------------------


def test_a_rate_limit_nearly_used_up() -> None:
    assert Look(rate_limit={"requests": 10})(ZONE).warnings == ()
    report = Look(rate_limit={"requests": 3})(ZONE)
    assert report.warnings == ("the rate limit is nearly used up: 0 of 3 requests are left",)


@pytest.mark.parametrize(
    ("headers", "rate"),
    [
        ({}, None),
        ({"x-ratelimit-limit": "1200"}, None),
        ({"x-ratelimit-limit": "x", "x-ratelimit-remaining": "1"}, None),
        ({"x-ratelimit-limit": "1200", "x-ratelimit-remaining": "7"}, Rate(1200, 7)),
        ({"x-ratelimit-limit": "1200", "x-ratelimit-remaining": "7", "x-ratelimit-reset": "60"}, Rate(1200, 7, 60)),
    ],
)
def test_the_headers_of_the_rate_limit(headers: dict[str, str], rate: Rate | None) -> None:
    assert rate_of(headers) == rate


# -- answers of another shape -----------------------------------------------------------------------------------------


def test_a_listing_of_another_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    look = Look()
    monkeypatch.setattr("lab.twins.cloudflare.handlers.zone_json", lambda *_: {"id": 1})
    with pytest.raises(MailsteadError, match="MS-CF-004"):
        look(ZONE)
    monkeypatch.setattr(look.twin._handlers, "routes", [(re.compile("/zones"), {"GET": lambda *_: envelope({})})])
    with pytest.raises(MailsteadError, match="MS-CF-004"):
        look(ZONE)


def test_zones_and_usage_that_tell_little(monkeypatch: pytest.MonkeyPatch) -> None:
    look = Look()
    plain = lambda state, *_: {"id": state.zone.zone_id, "name": state.zone.name}  # noqa: E731
    monkeypatch.setattr("lab.twins.cloudflare.handlers.zone_json", plain)
    monkeypatch.setattr("lab.twins.cloudflare.handlers.paginate", lambda items, *_a, **_k: (list(items), {}))
    state = look.twin.zone(ZONE)
    monkeypatch.setattr(state, "limits", dataclasses.replace(state.limits, records="many"))  # type: ignore[arg-type]
    (zone,) = look(ZONE).zones
    assert (zone.account, zone.writable, zone.used, zone.limit, zone.left) == ("", None, 0, None, None)
