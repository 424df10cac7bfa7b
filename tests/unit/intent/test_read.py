"""Reading the inventory: example A as it stands, and every mistake with its code, all at once."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError
from ansible_collections.mailstead.stack.plugins.module_utils.intent.codes import CODES
from ansible_collections.mailstead.stack.plugins.module_utils.intent.model import RawIntent
from ansible_collections.mailstead.stack.plugins.module_utils.intent.read import read_intent
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.examples import DOMAIN_A, HOSTS, OPERATOR, raw

VPS2 = {"groups": ["mail_edge"], "mail_host": {"name": "mx2.example.com", "ipv4": "198.18.1.11"}}
TWO_EDGES = {**DOMAIN_A, "inbound": {"provider": "stalwart", "host": "home", "edge": ["vps1", "vps2"]}}


def codes_of(inventory: RawIntent) -> list[str]:
    with pytest.raises(MailsteadError) as caught:
        read_intent(inventory)
    return [p.code for p in caught.value.problems]


def with_address(**changes: str) -> RawIntent:
    mail_host = {**HOSTS["vps1"]["mail_host"], **changes}
    return raw(hosts={**HOSTS, "vps1": {"groups": ["mail_edge"], "mail_host": mail_host}})


PRIVATE = ({"ipv4": "192.168.1.5"}, {"ipv4": "100.64.0.1"}, {"ipv4": "127.0.0.1"}, {"ipv6": "fd00::1"})


def with_domain(**changes: Any) -> RawIntent:
    return raw(domains=[{**DOMAIN_A, **changes}])


def test_example_a_reads_as_it_stands() -> None:
    intent = read_intent(raw())
    domain = intent.domains[0]
    assert domain.inbound is not None and domain.outbound is not None
    assert (domain.inbound.host, domain.inbound.edge, domain.outbound.egress) == ("home", ("vps1",), "vps1")
    assert domain.dkim.rotate_after == 180 * 86400
    assert domain.accounts[0].aliases == ("postmaster@example.com", "abuse@example.com")
    assert domain.dmarc.rua == ("postmaster@example.com",)


def test_only_what_is_peculiar_to_the_user_is_needed() -> None:
    intent = read_intent(raw(domains=[{"name": "example.com", "provider": "stalwart", "accounts": ["me"]}]))
    domain = intent.domains[0]
    assert domain.inbound is not None and domain.inbound.host == "home" and domain.inbound.edge == ("vps1",)
    assert domain.accounts[0].address == "me@example.com"
    assert domain.mta_sts == "testing"


def test_yaml_off_is_a_word() -> None:
    assert read_intent(with_domain(mta_sts=False)).domains[0].mta_sts == "off"


def test_unicode_names_are_shown_and_punycode_is_written() -> None:
    zones = {**OPERATOR, "dns": {**OPERATOR["dns"], "zones": ["example.com"]}}
    domain = read_intent(
        raw(domains=[{"name": "Bücher.example.org", "provider": "stalwart", "accounts": ["ich"]}], operator=zones)
    ).domains[0]
    assert (domain.name, domain.unicode_name) == ("xn--bcher-kva.example.org", "bücher.example.org")


@pytest.mark.parametrize(
    ("code", "inventory"),
    [
        ("MS-INT-001", with_domain(inbuond={})),
        ("MS-INT-001", with_domain(inbound={"provider": "stalwart", "hots": "home"})),
        ("MS-INT-002", raw(domains=[{"name": "example.com"}])),
        ("MS-INT-002", raw(operator={"dns": OPERATOR["dns"]})),
        ("MS-INT-002", raw(hosts={**HOSTS, "vps1": {"groups": ["mail_edge"]}})),
        ("MS-INT-003", with_domain(dkim={"rotate_after": "half a year"})),
        ("MS-INT-003", with_domain(accounts=[{"address": "not an address"}])),
        ("MS-INT-004", with_domain(mta_sts="enforced")),
        ("MS-INT-005", with_domain(name="exa mple.com")),
        ("MS-INT-006", raw(variables=["mail_domians"])),
        ("MS-INT-007", with_domain(inbound={"provider": "stalwart", "host": "hom", "edge": "vps1"})),
        ("MS-INT-007", with_domain(inbound={"provider": "stalwart", "host": "home", "edge": "stranger"})),
        (
            "MS-INT-008",
            raw(
                domains=[{"name": "example.com", "provider": "stalwart"}],
                hosts={**HOSTS, "home2": {"groups": ["mail_home"]}},
            ),
        ),
        ("MS-INT-009", raw(mail_intent=7)),
        ("MS-INT-010", with_domain(outbound={"provider": "stalwart", "egress": {"smarthost": "smtp2go"}})),
        ("MS-INT-010", with_domain(migrate={"from": "x", "stage": "dual"})),
        ("MS-INT-010", raw(domains=[TWO_EDGES], hosts={**HOSTS, "vps2": VPS2})),
        ("MS-INT-020", with_domain(accounts=["a", {"address": "b", "aliases": ["A"]}])),
        ("MS-INT-021", raw(domains=[DOMAIN_A, DOMAIN_A])),
        ("MS-INT-021", with_domain(provider="stalwart")),
        ("MS-INT-022", raw(domains=[DOMAIN_A, {**DOMAIN_A, "name": "example.org", "mta_sts": "off", "accounts": []}])),
        ("MS-INT-023", raw(domains=[{**DOMAIN_A, "name": "example.org", "accounts": []}])),
        ("MS-INT-024", with_domain(dkim={"keys": ["ed25519"]})),
        ("MS-INT-025", with_domain(catch_all="nobody")),
        ("MS-INT-025", with_domain(accounts=["me@elsewhere.example.net"])),
        ("MS-INT-031", with_domain(accounts=[])),
        ("MS-INT-026", raw(hosts={**HOSTS, "vps2": HOSTS["vps1"]})),
        ("MS-INT-027", raw(domains=[])),
        *(("MS-INT-028", with_address(**address)) for address in PRIVATE),
    ],
)
def test_mistakes_have_codes(code: str, inventory: RawIntent) -> None:
    assert code in codes_of(inventory)


def test_every_code_is_explained() -> None:
    with pytest.raises(MailsteadError) as caught:
        read_intent(raw(domains=[{"nmae": "x"}], operator={}, hosts={"vps1": {"groups": ["mail_edge"]}}))
    for problem in caught.value.problems:
        assert problem.code in CODES
        assert problem.where and problem.what and problem.fix


def test_all_mistakes_at_once_with_the_nearest_word_and_the_place() -> None:
    domain = {**DOMAIN_A, "mta_sts": "enforced", "dkim": {"kyes": ["rsa-2048"]}}
    with pytest.raises(MailsteadError) as caught:
        read_intent(
            raw(domains=[domain], variables=["mail_domians"]),
            origin=lambda v: "domains.yml:7" if v == "enforced" else "",
        )
    text = str(caught.value)
    assert len(caught.value.problems) == 3
    assert (
        "Did you mean 'keys'?" in text and "Did you mean 'enforce'?" in text and "Did you mean 'mail_domains'?" in text
    )
    assert "mail_domains[0].mta_sts (domains.yml:7)" in text


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*list(DOMAIN_A), "x"]), inner, max_size=4)
    ),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None)
@given(JUNK, JUNK)
def test_no_inventory_breaks_the_reader(domains: Any, operator: Any) -> None:
    """Whatever stands in the inventory, the answer is an intent or a list of problems, never a traceback."""
    inventory = raw(domains=[domains], operator=operator if operator is not None else {})
    try:
        read_intent(inventory)
    except MailsteadError as error:
        assert error.problems


# -- who serves the zones --------------------------------------------------------------------------------------------

CLOUDFLARE = {"provider": "cloudflare", "token": "t0ken"}
OWN = {"provider": "rfc2136", "server": "ns1.example.net", "key_name": "mailstead", "secret": "c2VjcmV0"}


def with_dns(dns: Any) -> RawIntent:
    return raw(operator={**OPERATOR, "dns": dns})


def test_a_name_server_of_ones_own_needs_no_token() -> None:
    (host,) = read_intent(with_dns({**OWN, "port": 5353, "key_algorithm": "hmac-sha512"})).operator.dns
    assert (host.provider, host.server, host.port, host.key_algorithm) == (
        "rfc2136",
        "ns1.example.net",
        5353,
        "hmac-sha512",
    )
    assert (host.token, host.secret) == ("", "mail_operator.dns.secret")


def test_of_several_dns_hosts_the_first_has_the_zones_that_no_other_names() -> None:
    intent = read_intent(with_dns([CLOUDFLARE, {**OWN, "zones": ["example.net"]}]))
    assert intent.dns_of("example.com").token == "mail_operator.dns[0].token"
    assert intent.dns_of("example.net").secret == "mail_operator.dns[1].secret"
    assert intent.zones() == ("example.com", "example.net")


@pytest.mark.parametrize(
    ("code", "path", "dns"),
    [
        ("MS-INT-002", "mail_operator.dns", {"provider": "cloudflare"}),
        ("MS-INT-002", "mail_operator.dns", {"provider": "rfc2136", "server": "a", "key_name": "k"}),
        ("MS-INT-002", "mail_operator.dns", []),
        ("MS-INT-003", "mail_operator.dns.port", {**OWN, "port": 0}),
        ("MS-INT-004", "mail_operator.dns.provider", {**OWN, "provider": "rfc2137"}),
        ("MS-INT-004", "mail_operator.dns.key_algorithm", {**OWN, "key_algorithm": "hmac-md5"}),
        ("MS-INT-032", "mail_operator.dns.token", {**OWN, "token": "t0ken"}),
        ("MS-INT-032", "mail_operator.dns.server", {**CLOUDFLARE, "server": "a"}),
        ("MS-INT-033", "mail_operator.dns[1].zones", [CLOUDFLARE, OWN]),
        (
            "MS-INT-033",
            "mail_operator.dns[1].zones",
            [{**CLOUDFLARE, "zones": ["example.net"]}, {**OWN, "zones": ["example.net"]}],
        ),
    ],
)
def test_mistakes_about_dns_hosts(code: str, path: str, dns: Any) -> None:
    with pytest.raises(MailsteadError) as caught:
        read_intent(with_dns(dns))
    assert [(p.code, p.where) for p in caught.value.problems] == [(code, path)]


def test_the_nearest_word_of_a_dns_host_is_named() -> None:
    with pytest.raises(MailsteadError) as caught:
        read_intent(with_dns({**OWN, "provider": "rfc2137", "key_nmae": "x"}))
    assert "Did you mean 'rfc2136'?" in str(caught.value) and "Did you mean 'key_name'?" in str(caught.value)
