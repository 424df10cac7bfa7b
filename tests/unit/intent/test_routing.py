"""Domains without a home: example B as it stands, the words of providers, and every mistake with its code and place."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import jsonschema
import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError, Problem
from ansible_collections.mailstead.stack.plugins.module_utils.intent.codes import CODES
from ansible_collections.mailstead.stack.plugins.module_utils.intent.model import Target
from ansible_collections.mailstead.stack.plugins.module_utils.intent.read import read_intent
from ansible_collections.mailstead.stack.plugins.module_utils.intent.routing import destinations_of, leaving_patterns
from ansible_collections.mailstead.stack.plugins.module_utils.intent.schema import json_schema
from ansible_collections.mailstead.stack.plugins.plugin_utils.profiles import profiles
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.examples import DOMAIN_A, DOMAIN_B, HOSTS, OPERATOR, intent_b, raw
from tests.unit.providers.keys import RECORD

WORKSPACE = {"provider": "google_workspace", "inputs": {"dkim_value": RECORD}}
SENDING = {"provider": "cloudflare_email_sending"}


def inbound(**changes: Any) -> dict[str, Any]:
    return {"inbound": {**DOMAIN_B["inbound"], **changes}}


def address(target: Any, name: Any = "hi") -> dict[str, Any]:
    return inbound(addresses={name: target})


def problems(*domains: dict[str, Any], **more: Any) -> tuple[Problem, ...]:
    hosts = more.pop("hosts", {})
    with pytest.raises(MailsteadError) as caught:
        read_intent(raw(list(domains), hosts=hosts, **more), profiles=profiles())
    return caught.value.problems


def test_example_b_reads_as_it_stands_and_needs_no_host() -> None:
    domain = intent_b().domains[0]
    assert domain.inbound is not None and domain.outbound is not None
    assert domain.routed and not domain.inbound.host
    assert dict(domain.inbound.addresses) == {
        "hi@example.me": Target("forward", "you@gmail.com"),
        "alerts@example.me": Target("worker", "alert-handler"),
        "old@example.me": Target("drop"),
    }
    assert domain.inbound.catch_all == Target("forward", "you@gmail.com") and domain.inbound.subaddressing
    assert (domain.outbound.account, domain.outbound.send_as) == ("you@gmail.com", ("hi@example.me",))
    assert destinations_of(domain) == ("you@gmail.com",)
    assert domain.mta_sts == "off"


def test_a_routed_domain_stands_beside_a_self_hosted_one() -> None:
    intent = read_intent(raw([DOMAIN_A, DOMAIN_B]), profiles=profiles())
    assert [d.routed for d in intent.domains] == [False, True]
    assert intent.domains[0].inbound is not None and intent.domains[0].inbound.host == "home"


@pytest.mark.parametrize(
    ("given_target", "target"),
    [
        ({"forward": "a@b.example"}, Target("forward", "a@b.example")),
        (
            {"forward": "a@b.example", "tag": "shop", "enabled": False},
            Target("forward", "a@b.example", enabled=False, tag="shop"),
        ),
        ({"worker": "w", "enabled": True}, Target("worker", "w", enabled=True)),
        ({"drop": True, "tag": "leaked by shop"}, Target("drop", tag="leaked by shop")),
    ],
)
def test_a_destination_can_say_more(given_target: Any, target: Target) -> None:
    domain = intent_b(**inbound(addresses={"hi": given_target}), outbound=SENDING).domains[0]
    assert domain.inbound is not None and dict(domain.inbound.addresses)["hi@example.me"] == target


def test_reports_go_to_somebody_who_reads_them() -> None:
    assert intent_b().domains[0].dmarc.rua == ("postmaster@example.me",)
    nobody = intent_b(**inbound(catch_all="drop"))
    assert nobody.domains[0].dmarc.rua == nobody.domains[0].tls_rpt == (OPERATOR["email"],)
    own = inbound(catch_all="drop", addresses={"postmaster": "you@gmail.com", "hi": "you@gmail.com"})
    assert intent_b(**own).domains[0].dmarc.rua == ("postmaster@example.me",)
    assert intent_b(dmarc={"rua": "dmarc@reports.example"}, **inbound(catch_all="drop")).domains[0].dmarc.rua == (
        "dmarc@reports.example",
    )
    assert intent_b(tls_rpt="off", **inbound(catch_all="drop")).domains[0].tls_rpt == ()


def test_an_address_that_looks_like_a_number_is_one() -> None:
    domain = intent_b(**inbound(addresses={"hi": "you@gmail.com", 2026: "you@gmail.com"})).domains[0]
    assert domain.inbound is not None and "2026@example.me" in dict(domain.inbound.addresses)


def test_a_detail_reaches_its_address() -> None:
    send = {"provider": "gmail_personal", "account": "you@gmail.com", "send_as": "hi+news"}
    intent_b(outbound=send, **inbound(catch_all="drop"))
    found = problems({**DOMAIN_B, **inbound(catch_all="drop", subaddressing=False), "outbound": send})
    assert [p.code for p in found] == ["MS-INT-040"]


def test_what_an_old_providers_name_stands_for() -> None:
    intent = intent_b(**inbound(leaving=["mx0?.mail.icloud.com", "google_workspace"]))
    patterns = leaving_patterns(intent, intent.domains[0])
    assert patterns[:2] == ("mx0?.mail.icloud.com", "aspmx.l.google.com") and len(patterns) == 6


def test_exchangers_that_only_their_tenant_knows_are_patterns_but_never_all_names() -> None:
    for profile in (p for p in profiles() if p.takes_mail):
        intent = intent_b(**inbound(leaving=[profile.id]))
        patterns = leaving_patterns(intent, intent.domains[0])
        assert patterns, profile.id
        assert all("{" not in one and one.strip("*.?").count(".") >= 1 for one in patterns), (profile.id, patterns)


def test_nobody_has_to_send() -> None:
    domain = {k: v for k, v in DOMAIN_B.items() if k != "outbound"}
    assert read_intent(raw([domain], hosts={}), profiles=profiles()).domains[0].senders == ()


def test_the_shorthand_takes_mail_only() -> None:
    short = {"name": "example.me", "provider": "cloudflare_email_routing"}
    domain = read_intent(raw([short], hosts={}), profiles=profiles()).domains[0]
    assert domain.routed and domain.outbound is None


def test_further_senders() -> None:
    intent = intent_b(outbound=WORKSPACE, also_send_via=["cloudflare_email_sending"])
    assert [p.id for _s, p in intent.sender_profiles(intent.domains[0])] == [
        "google_workspace",
        "cloudflare_email_sending",
    ]


@pytest.mark.parametrize(
    ("code", "where", "domain"),
    [
        ("MS-INT-002", "outbound", {"outbound": {"provider": "gmail_personal"}}),
        ("MS-INT-003", "inbound.addresses.hi", address("you")),
        ("MS-INT-003", "inbound.addresses.hi", address("dorp")),
        ("MS-INT-003", "inbound.addresses.hi", address({"worker": "w", "forward": "a@b.example"})),
        ("MS-INT-003", "inbound.addresses.hi", address({"enabled": True})),
        ("MS-INT-003", "inbound.addresses.hi", address(["a@b.example", "c@d.example"])),
        ("MS-INT-003", "inbound.addresses.hi there", address("a@b.example", "hi there")),
        ("MS-INT-003", "inbound.addresses", inbound(addresses=["hi"])),
        ("MS-INT-003", "outbound.account", {"outbound": {"provider": "gmail_personal", "account": "you"}}),
        ("MS-INT-004", "inbound.provider", {"inbound": {"provider": "cloudflare_email_rooting"}}),
        ("MS-INT-004", "inbound.leaving", inbound(leaving=["icloud"])),
        ("MS-INT-043", "inbound", {"inbound": {"provider": "google_workspace"}}),
        ("MS-INT-020", "inbound.addresses.hi@example.me", inbound(addresses={"hi": "drop", "HI@example.me": "drop"})),
        ("MS-INT-021", "provider", {"provider": "cloudflare_email_routing"}),
        ("MS-INT-032", "accounts", {"accounts": ["me"]}),
        ("MS-INT-032", "catch_all", {"catch_all": "me"}),
        ("MS-INT-032", "dkim", {"dkim": {"keys": ["rsa-2048"]}}),
        ("MS-INT-032", "inbound.edge", inbound(edge="vps1")),
        ("MS-INT-032", "outbound.egress", {"outbound": {**DOMAIN_B["outbound"], "egress": "vps1"}}),
        ("MS-INT-032", "also_send_via[0].account", {"also_send_via": [{**SENDING, "account": "a@b.example"}]}),
        ("MS-INT-034", "dmarc.policy", {"dmarc": {"policy": "reject"}}),
        ("MS-INT-034", "dmarc.policy", {"dmarc": "quarantine"}),
        ("MS-INT-035", "inbound.addresses.hi@example.me", address("you@example.me")),
        ("MS-INT-035", "inbound.catch_all", inbound(catch_all="you@Example.me")),
        ("MS-INT-036", "inbound.addresses.shop-*", address("you@gmail.com", "shop-*")),
        ("MS-INT-037", "inbound.addresses.hi@example.org", address("you@gmail.com", "hi@example.org")),
        ("MS-INT-037", "outbound.send_as", {"outbound": {**DOMAIN_B["outbound"], "send_as": ["hi@example.org"]}}),
        ("MS-INT-038", "inbound.addresses", inbound(addresses={f"a{n}": "you@gmail.com" for n in range(201)})),
        ("MS-INT-040", "outbound.send_as", {"outbound": {**DOMAIN_B["outbound"], "send_as": ["old"]}}),
        ("MS-INT-040", "outbound.send_as", address({"forward": "you@gmail.com", "enabled": False})),
        ("MS-INT-041", "", {"also_send_via": [SENDING]}),
        ("MS-INT-042", "inbound.provider", {"inbound": {"provider": "gmail_personal"}}),
        ("MS-INT-042", "outbound.provider", {"outbound": {"provider": "cloudflare_email_routing"}}),
        ("MS-INT-043", "outbound", {"outbound": {"provider": "google_workspace"}}),
        ("MS-INT-043", "outbound.inputs.dkim_value", {"outbound": {**WORKSPACE, "inputs": {"dkim_value": "QUJD"}}}),
        ("MS-INT-045", "inbound.catch_all", {"name": "mail.example.me", "zone": "example.me"}),
        (
            "MS-INT-043",
            "outbound.inputs.dkim_valeu",
            {"outbound": {**WORKSPACE, "inputs": {**WORKSPACE["inputs"], "dkim_valeu": "x"}}},  # type: ignore[dict-item]
        ),
    ],
)
def test_mistakes_have_codes_and_places(code: str, where: str, domain: dict[str, Any]) -> None:
    found = problems({**DOMAIN_B, **domain})
    places = [p.where for p in found if p.code == code]
    assert f"mail_domains[0].{where}".rstrip(".") in places, [str(p) for p in found]
    assert all(p.code in CODES and p.fix for p in found)


def test_too_many_destinations_of_an_account() -> None:
    many = [
        {
            **DOMAIN_B,
            "name": f"example{n}.me",
            **inbound(addresses={f"a{i}": f"b{n}.{i}@x.example" for i in range(101)}),
        }
        for n in range(2)
    ]
    found = problems(*[{**d, "outbound": SENDING} for d in many])
    assert [p.code for p in found] == ["MS-INT-038"]


def test_a_domain_that_sends_elsewhere_keeps_its_server_for_now() -> None:
    found = problems({**DOMAIN_A, "outbound": DOMAIN_B["outbound"], "dmarc": "none"}, hosts=HOSTS)
    assert "MS-INT-010" in [p.code for p in found]


def test_a_self_hosted_domain_has_its_own_words() -> None:
    found = problems({**DOMAIN_A, "inbound": {**DOMAIN_A["inbound"], "catch_all": "rekord"}}, hosts=HOSTS)
    assert [(p.code, p.fix) for p in found] == [("MS-INT-032", "write it at the domain")]


def test_an_alias_in_a_routed_domain_would_get_nothing() -> None:
    account = {"accounts": [{"address": "rekord", "aliases": ["postmaster", "abuse", "me@example.me"]}]}
    found = problems({**DOMAIN_A, **account}, DOMAIN_B, hosts=HOSTS)
    assert [p.code for p in found] == ["MS-INT-025"]


def test_email_routing_needs_the_zone_at_cloudflare() -> None:
    own = {"provider": "rfc2136", "server": "ns.example.net", "key_name": "k", "secret": "s"}
    assert [p.code for p in problems(DOMAIN_B, operator={**OPERATOR, "dns": own})] == ["MS-INT-039"]


def test_strict_alignment_with_a_sender_that_is_aligned_relaxed() -> None:
    (sending,) = [p for p in profiles() if p.id == "cloudflare_email_sending"]
    ceiling = dataclasses.replace(sending.dmarc, aligned_dkim="relaxed", owns_record="")
    relaxed = tuple(p if p is not sending else dataclasses.replace(p, dmarc=ceiling) for p in profiles())
    strict = {**DOMAIN_B, "outbound": SENDING, "dmarc": {"adkim": "s", "aspf": "s"}}
    with pytest.raises(MailsteadError) as caught:
        read_intent(raw([strict], hosts={}), profiles=relaxed)
    assert [(p.code, p.fix) for p in caught.value.problems] == [("MS-INT-044", "write `adkim: r`")]
    read_intent(raw([{**strict, "dmarc": {"adkim": "r", "aspf": "s"}}], hosts={}), profiles=relaxed)


def test_all_mistakes_at_once_with_file_and_line() -> None:
    lines = {"you@example.me": "domains.yml:7", "reject": "domains.yml:12", "shop-*": "domains.yml:8"}
    domain = {
        **DOMAIN_B,
        **inbound(addresses={"hi": "you@example.me", "shop-*": "you@gmail.com", "old": "drop"}),
        "dmarc": {"policy": "reject"},
    }
    with pytest.raises(MailsteadError) as caught:
        read_intent(
            raw([domain], hosts={}),
            origin=lambda v: lines.get(v, "") if isinstance(v, str) else "",
            profiles=profiles(),
        )
    text = str(caught.value)
    for place in (
        "mail_domains[0].inbound.addresses.hi@example.me (domains.yml:7)",
        "mail_domains[0].inbound.addresses.shop-* (domains.yml:8)",
        "mail_domains[0].dmarc.policy (domains.yml:12)",
    ):
        assert place in text, text
    assert "neither SPF nor DKIM" in text and "cloudflare_email_sending, mailgun" in text
    assert len(caught.value.problems) == 3


def test_the_schema_knows_the_words_of_providers() -> None:
    inbound_words = json_schema(profiles())["properties"]["mail_domains"]["items"]["anyOf"][1]["properties"]["inbound"]
    assert {"addresses", "catch_all", "leaving", "workers"} <= set(inbound_words["anyOf"][1]["properties"])
    assert "cloudflare_email_routing" in str(inbound_words)


def test_example_b_and_its_variants_fit_the_schema() -> None:
    more = inbound(
        addresses={"hi": {"forward": "a@b.example", "tag": "x", "priority": 1}, "w": {"worker": "w"}},
        workers={"w": {"template": "filter", "settings": {"forward": ["a@b.example"]}}},
        leaving="*.old.example",
    )
    for domain in (DOMAIN_B, {**DOMAIN_B, **more, "also_send_via": ["cloudflare_email_sending"]}):
        jsonschema.validate({"mail_domains": [domain]}, json_schema(profiles()))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"mail_domains": [{**DOMAIN_B, "inbound": {"adresses": {}}}]}, json_schema(profiles()))


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6) | st.sampled_from(["drop", "a@b.example", "*"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [*DOMAIN_B["inbound"], *DOMAIN_B["outbound"], "worker", "forward", "leaving", "workers", "hi"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(["inbound", "outbound", "also_send_via", "dmarc"]),
    st.sampled_from([*DOMAIN_B["inbound"], ""]),
    JUNK,
)
def test_no_words_break_the_reader(part: str, key: str, junk: Any) -> None:
    domain = copy.deepcopy(DOMAIN_B)
    if part == "inbound" and key:
        domain["inbound"][key] = junk
    else:
        domain[part] = junk
    try:
        read_intent(raw([domain], hosts={}), profiles=profiles())
    except MailsteadError as error:
        assert all(p.code in CODES for p in error.problems)
