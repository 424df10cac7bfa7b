# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Domains whose mail a routing service takes and that our own server sends for: what is implied, and every mistake."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError, Problem
from ansible_collections.mailstead.stack.plugins.module_utils.intent.model import Domain
from ansible_collections.mailstead.stack.plugins.module_utils.intent.read import read_intent
from ansible_collections.mailstead.stack.plugins.plugin_utils.profiles import profiles

from tests.unit.examples import DOMAIN_A, DOMAIN_B, DOMAIN_SENT, HOSTS, OPERATOR, raw

EDGE2 = {**HOSTS["vps1"], "mail_host": {"name": "mx2.example.com", "ipv4": "198.18.1.20"}}


def read(*domains: dict[str, Any], hosts: Any = None) -> Domain:
    """The last of the domains."""
    # The mail host's own zone, which a domain that is only sent from there is not.
    operator = {**OPERATOR, "dns": {**OPERATOR["dns"], "zones": ["example.com"]}}
    return read_intent(raw(list(domains), operator=operator, hosts=hosts), profiles=profiles()).domains[-1]


def problems(*domains: dict[str, Any], hosts: Any = None) -> tuple[Problem, ...]:
    with pytest.raises(MailsteadError) as caught:
        read(*domains, hosts=hosts)
    return caught.value.problems


def test_the_only_home_and_the_only_edge_are_implied() -> None:
    for domains in ([DOMAIN_SENT], [DOMAIN_A, DOMAIN_SENT]):
        domain = read(*domains)
        assert domain.routed and domain.submission is domain.outbound
        assert domain.submission is not None
        assert (domain.submission.host, domain.submission.egress) == ("home", "vps1")
        assert [a.address for a in domain.accounts] == ["hi@example.me"]


def test_our_own_server_can_be_one_of_several_senders() -> None:
    domain = read(DOMAIN_A, {**DOMAIN_B, "also_send_via": ["stalwart"], "accounts": ["hi"]})
    assert domain.submission is domain.also[0] and domain.also[0].host == "home"
    assert domain.outbound is not None and domain.outbound.provider == "gmail_personal"


def test_a_login_of_another_domain_may_send_as_an_address_that_is_read() -> None:
    account = {"address": "rekord", "aliases": ["postmaster", "abuse", "hi@example.me"]}
    assert read({**DOMAIN_A, "accounts": [account]}, {**DOMAIN_SENT, "accounts": ["shop"]}).submission


def test_where_our_own_server_takes_the_mail_nothing_is_a_mere_submission() -> None:
    assert read(DOMAIN_A).submission is None


def test_names_choose_between_several() -> None:
    hosts = {**HOSTS, "vps2": EDGE2}
    assert [p.code for p in problems(DOMAIN_SENT, hosts=hosts)] == ["MS-INT-008"]
    named = {**DOMAIN_SENT, "outbound": {"provider": "stalwart", "host": "home", "egress": "vps2"}}
    domain = read(named, hosts=hosts)
    assert domain.submission is not None and domain.submission.egress == "vps2"


NO_HOME = {k: v for k, v in HOSTS.items() if k != "home"}
DROPPED = {"addresses": {"hi": "drop"}, "catch_all": None}


@pytest.mark.parametrize(
    ("code", "where", "domains", "hosts"),
    [
        ("MS-INT-007", "outbound.host", [{**DOMAIN_SENT, "outbound": {"provider": "stalwart", "host": "hom"}}], HOSTS),
        ("MS-INT-008", "outbound.host", [DOMAIN_SENT], NO_HOME),
        ("MS-INT-008", "outbound.egress", [DOMAIN_SENT], {"home": HOSTS["home"]}),
        ("MS-INT-032", "dane", [{**DOMAIN_SENT, "dane": "on"}], HOSTS),
        ("MS-INT-032", "outbound.send_as", [{**DOMAIN_SENT, "outbound": {"provider": "stalwart", "send_as": "hi"}}], HOSTS),
        ("MS-INT-034", "dmarc.policy", [{**DOMAIN_SENT, "dmarc": "reject", "also_send_via": [DOMAIN_B["outbound"]]}], HOSTS),
        ("MS-INT-040", "accounts[0]", [{**DOMAIN_SENT, "inbound": {**DOMAIN_SENT["inbound"], **DROPPED}}], HOSTS),
        ("MS-INT-046", "outbound", [{k: v for k, v in DOMAIN_SENT.items() if k != "accounts"}], HOSTS),
        ("MS-INT-046", "also_send_via[0]", [{**DOMAIN_B, "also_send_via": ["stalwart"]}], HOSTS),
        (
            "MS-INT-010",
            "",
            [{**DOMAIN_SENT, "outbound": {"provider": "stalwart", "egress": "vps2"}}, {**DOMAIN_A, "name": "example.com"}],
            {**HOSTS, "vps2": EDGE2},
        ),
    ],
)  # fmt: skip
def test_mistakes_have_codes_and_places(code: str, where: str, domains: list[dict[str, Any]], hosts: Any) -> None:
    found = problems(*domains, hosts=hosts)
    assert (code, f"mail_domains[0].{where}".rstrip(".")) in [(p.code, p.where) for p in found], [str(p) for p in found]
    assert all(p.what and p.fix for p in found)


def test_an_alias_of_another_domains_login_must_be_read_too() -> None:
    account = {"address": "rekord", "aliases": ["postmaster", "abuse", "nobody@example.me"]}
    sent = {**DOMAIN_SENT, "inbound": {**DOMAIN_SENT["inbound"], "catch_all": None}}
    (problem,) = problems({**DOMAIN_A, "accounts": [account]}, sent)
    assert (problem.code, problem.where) == ("MS-INT-040", "mail_domains[0].accounts[0]")


def test_where_the_home_is_named_is_said_once() -> None:
    domain = {**DOMAIN_A, "outbound": {"provider": "stalwart", "host": "home"}}
    assert [(p.code, p.where) for p in problems(domain)] == [("MS-INT-032", "mail_domains[0].outbound.host")]


def test_a_domain_that_goes_needs_no_login() -> None:
    gone = {k: v for k, v in DOMAIN_SENT.items() if k != "accounts"}
    assert read({**gone, "state": "absent"}).state == "absent"
