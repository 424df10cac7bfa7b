# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds of the mail products whatever anybody does to a zone, in any order and with any option."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from lab.twins.cloudflare.email.options import CHOICES
from tests.unit.lab.twins.conftest import codes
from tests.unit.lab.twins.mail import MailApi, mail

#: People's own records: names that the service uses and names that it does not.
OWN: list[dict[str, Any]] = [
    {"type": "A", "name": "www", "content": "198.18.1.10"},
    {"type": "TXT", "name": "@", "content": "site-verification=1"},
    {"type": "MX", "name": "other", "content": "mail.example.com", "priority": 10},
    {"type": "TXT", "name": "_dmarc", "content": "v=DMARC1; p=none"},
]
OPTIONS = st.fixed_dictionaries({name: st.sampled_from(words) for name, words in CHOICES.items()})
DOMAINS = ("", "lists.example.com", "news.example.com")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["POST", "PATCH", "DELETE"]), st.sampled_from(DOMAINS)),
        st.tuples(st.sampled_from(["edit", "delete", "add-mx", "onboard", "remove"]), st.integers(0, 9)),
    ),
    max_size=12,
)


def step(api: MailApi, what: str, value: Any) -> None:
    """One thing that somebody does; the service may refuse it."""
    if what in ("POST", "PATCH", "DELETE"):
        api.routing(what, "/dns", {"name": value} if value else {})
    elif what == "onboard":
        api.at("POST", "{z}/email/sending/subdomains", {"name": "example.com"})
    elif what == "remove":
        for entry in api.twin.email("example.com").sending:
            api.ok("DELETE", f"{{z}}/email/sending/subdomains/{entry['tag']}")
    elif what == "add-mx":
        api.create("MX", "@", f"mx{value}.example.net", priority=value)
    else:
        records = [r for r in api.list() if r["meta"].get("email_routing")]
        if records:
            record = records[value % len(records)]
            change = {"ttl": 60 + value} if record["type"] == "MX" else {"content": f"edited {value}"}
            api.one(*(("PATCH", record, change) if what == "edit" else ("DELETE", record)))


def own(api: MailApi) -> list[dict[str, Any]]:
    """Records that nobody but people made, except MX at the zone."""
    return [r for r in api.list() if not r["meta"] and not (r["type"] == "MX" and r["name"] == "example.com")]


@settings(max_examples=80, deadline=None)
@given(OPTIONS, STEPS)
def test_people_keep_their_records_and_the_service_takes_its_own_away(
    options: Any, steps: list[tuple[str, Any]]
) -> None:
    # Replacing a policy is the one thing that takes a record from people here.
    api = mail({**options, "sending_dmarc": "keep"}, records=OWN)
    before = own(api)
    for what, value in steps:
        step(api, what, value)
        assert own(api) == before
        managed = [r for r in api.list() if r["meta"].get("email_routing")]
        served = api.twin.email("example.com").domains
        settings_now = api.ok("GET", "{z}/email/routing")
        assert settings_now["enabled"] is bool(served)
        assert (settings_now["status"] == "unconfigured") is not bool(served)
        assert not managed or served or api.twin.email("example.com").sending
        if served.get("example.com"):
            assert codes(api.create("MX", "@", "late.example.net", priority=1)) == [890190]
    step(api, "remove", 0)
    assert api.routing("DELETE", "/dns").status == 200
    assert own(api) == before and not [r for r in api.list() if r["meta"]]


@settings(max_examples=40, deadline=None)
@given(OPTIONS, STEPS, st.sampled_from(DOMAINS))
def test_enabling_twice_is_enabling_once(options: Any, steps: list[tuple[str, Any]], domain: str) -> None:
    api = mail(options, records=OWN)
    for what, value in steps:
        step(api, what, value)
    body = {"name": domain} if domain else {}
    if api.routing("POST", "/dns", body).status == 200:
        once, settings_once = api.list(), api.ok("GET", "{z}/email/routing")
        assert api.routing("POST", "/dns", body).status == 200
        assert api.list() == once
        assert api.ok("GET", "{z}/email/routing")["status"] == settings_once["status"]
