# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Domains whose mailboxes are at a provider: example C as it stands, what is told once, and every mistake."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError, Problem
from ansible_collections.mailstead.stack.plugins.module_utils.intent.model import Domain
from ansible_collections.mailstead.stack.plugins.module_utils.intent.read import read_intent
from ansible_collections.mailstead.stack.plugins.module_utils.intent.schema import json_schema
from ansible_collections.mailstead.stack.plugins.plugin_utils.profiles import profiles

from tests.unit.examples import DKIM_VALUE, DOMAIN_A, DOMAIN_B, DOMAIN_C, HOSTS, OPERATOR, raw

INPUTS = DOMAIN_C["inputs"]
BARE = {k: v for k, v in DOMAIN_C.items() if k not in ("provider", "inputs", "also_send_via")}
SENT_ELSEWHERE = {**BARE, "outbound": {"provider": "cloudflare_email_sending"}}


def read(*domains: dict[str, Any], hosts: Any = None) -> Domain:
    """The last of the domains."""
    operator = {**OPERATOR, "dns": {**OPERATOR["dns"], "zones": ["example.com"]}}
    return read_intent(raw(list(domains), operator=operator, hosts=hosts or {}), profiles=profiles()).domains[-1]


def problems(*domains: dict[str, Any], hosts: Any = None) -> tuple[Problem, ...]:
    with pytest.raises(MailsteadError) as caught:
        read(*domains, hosts=hosts)
    return caught.value.problems


def test_example_c_reads_as_it_stands_and_needs_no_host() -> None:
    domain = read(DOMAIN_C)
    assert domain.hosted and domain.elsewhere and not domain.routed
    assert domain.inbound is not None and domain.outbound is not None
    assert (domain.inbound.provider, domain.outbound.provider) == ("tencent_exmail", "tencent_exmail")
    assert dict(domain.inbound.inputs) == dict(domain.outbound.inputs) == INPUTS
    assert [s.provider for s in domain.also] == ["cloudflare_email_sending"]
    assert (domain.webmail, domain.mta_sts, domain.dmarc.rua) == ("mail", "off", ("dmarc@example.cn",))
    schema = json_schema(profiles())["properties"]["mail_domains"]["items"]
    jsonschema.validate(DOMAIN_C, schema)


def test_inputs_can_stand_where_the_provider_does() -> None:
    there = {**BARE, "inbound": {"provider": "tencent_exmail", "inputs": INPUTS}}
    both = {**there, "outbound": {"provider": "tencent_exmail"}}
    for declared in (there, both):
        domain = read(declared)
        assert domain.outbound is not None and dict(domain.outbound.inputs) == INPUTS


def test_mail_may_be_sent_through_somebody_else() -> None:
    domain = read({**SENT_ELSEWHERE, "inbound": {"provider": "tencent_exmail", "inputs": INPUTS}})
    assert domain.outbound is not None and domain.outbound.inputs == ()


def test_our_own_server_can_send_beside_the_provider() -> None:
    declared = {**DOMAIN_C, "also_send_via": ["stalwart"], "accounts": ["app"]}
    domain = read(DOMAIN_A, declared, hosts=HOSTS)
    assert domain.submission is not None and (domain.submission.host, domain.submission.egress) == ("home", "vps1")


def test_it_stands_beside_the_other_kinds() -> None:
    intent = read_intent(raw([DOMAIN_A, DOMAIN_B, DOMAIN_C]), profiles=profiles())
    assert [(d.routed, d.hosted) for d in intent.domains] == [(False, False), (True, False), (False, True)]


@pytest.mark.parametrize(
    ("code", "where", "changes"),
    [
        ("MS-INT-003", "webmail.name", {"webmail": {"name": "mail.example.cn"}}),
        ("MS-INT-032", "accounts", {"accounts": ["me"]}),
        ("MS-INT-032", "dkim", {"dkim": {"keys": ["rsa-2048"]}}),
        ("MS-INT-034", "dmarc.policy", {"also_send_via": [DOMAIN_B["outbound"]]}),
        ("MS-INT-043", "provider", {"inputs": {"dkim_selector": "lokg123"}}),
        ("MS-INT-043", "inputs.dkim_valeu", {"inputs": {**INPUTS, "dkim_valeu": DKIM_VALUE}}),
        ("MS-INT-043", "inputs.dkim_value", {"inputs": {**INPUTS, "dkim_value": DKIM_VALUE[:-30]}}),
        ("MS-INT-046", "also_send_via[0]", {"also_send_via": ["stalwart"]}),
        ("MS-INT-047", "mta_sts", {"mta_sts": "enforce"}),
    ],
)
def test_mistakes_have_codes_and_places(code: str, where: str, changes: dict[str, Any]) -> None:
    found = problems(DOMAIN_A, {**DOMAIN_C, **changes}, hosts=HOSTS)
    assert (code, f"mail_domains[1].{where}") in [(p.code, p.where) for p in found], [str(p) for p in found]
    assert all(p.what and p.fix for p in found)


def test_inputs_are_needed_also_by_a_provider_that_only_takes_mail() -> None:
    declared = {**SENT_ELSEWHERE, "inbound": {"provider": "tencent_exmail"}}
    assert {(p.code, p.where) for p in problems(declared)} == {("MS-INT-043", "mail_domains[0].inbound")}


def test_what_only_some_providers_have() -> None:
    (problem,) = problems({**DOMAIN_B, "webmail": "mail"})
    assert (problem.code, problem.where) == ("MS-INT-032", "mail_domains[0].webmail")
    assert [p.code for p in problems({**DOMAIN_A, "inputs": INPUTS}, hosts=HOSTS)] == ["MS-INT-032"]


# -- told at either side -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", ["inbound", "outbound", "also_send_via"])
def test_what_a_provider_is_told_counts_on_both_sides(side: str) -> None:
    declared: dict[str, Any] = {**BARE, "inbound": {"provider": "tencent_exmail"}}
    told = {"provider": "tencent_exmail", "inputs": INPUTS}
    domain = read({**declared, side: [told] if side == "also_send_via" else told})
    assert domain.inbound is not None and domain.outbound is not None
    assert dict(domain.inbound.inputs) == dict(domain.outbound.inputs) == INPUTS


def test_two_values_of_one_input_are_a_mistake() -> None:
    again = {"provider": "tencent_exmail", "inputs": {**INPUTS, "dkim_selector": "other"}}
    found = problems({**DOMAIN_C, "also_send_via": [again]})
    assert [(p.code, p.where) for p in found] == [("MS-INT-043", "mail_domains[0]")]
    assert "two values of 'dkim_selector'" in found[0].what


def test_a_key_that_was_pasted_twice_is_refused() -> None:
    twice = {**INPUTS, "dkim_value": DKIM_VALUE + DKIM_VALUE}
    (problem,) = problems({**DOMAIN_C, "inputs": twice})
    assert problem.code == "MS-INT-043" and "more than once" in problem.what


def test_senders_that_are_set_up_over_the_api_are_not_promised_elsewhere() -> None:
    own = {**DOMAIN_A, "also_send_via": ["cloudflare_email_sending"]}
    assert "MS-INT-010" in [p.code for p in problems(own, hosts=HOSTS)]
    kept = {"provider": "rfc2136", "server": "ns.example.net", "key_name": "k", "secret": "s"}
    with pytest.raises(MailsteadError) as caught:
        read_intent(raw([DOMAIN_C], operator={**OPERATOR, "dns": kept}, hosts={}), profiles=profiles())
    assert [p.code for p in caught.value.problems] == ["MS-INT-039"]
