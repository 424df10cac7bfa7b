# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The SPF evaluator against RFC 7208's own rules and against pyspf."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

import pytest
import spf as pyspf
from ansible_collections.mailstead.stack.plugins.module_utils.checks.addresses import Address
from ansible_collections.mailstead.stack.plugins.module_utils.checks.spf import check_host
from ansible_collections.mailstead.stack.plugins.module_utils.dns.spf import spf_records
from hypothesis import given, settings
from hypothesis import strategies as st

Table = dict[tuple[str, str], list[str]]

HOSTS: Table = {
    ("mail.example.com", "A"): ["198.18.1.10"],
    ("mail.example.com", "AAAA"): ["2001:2:0:2::10"],
    ("example.com", "MX"): ["10 mail.example.com"],
    ("example.com", "A"): ["198.18.1.80"],
    ("_spf.example.org", "TXT"): ["v=spf1 ip4:198.18.7.0/24 -all"],
    ("soft.example.org", "TXT"): ["v=spf1 ~all"],
    ("loop.example.org", "TXT"): ["v=spf1 include:loop.example.org -all"],
    ("two.example.org", "TXT"): ["v=spf1 -all", "v=spf1 mx -all"],
    ("10.1.18.198.in-addr.arpa", "PTR"): ["mail.example.com"],
    ("198.18.1.10.who.example.org", "A"): ["127.0.0.2"],
    ("com.example.user.rev.example.org", "A"): ["127.0.0.2"],
}
BROKEN = "broken.example.org"


class Resolver:
    def __init__(self, table: Table) -> None:
        self.table = table

    def __call__(self, name: str, rtype: str) -> tuple[str, Sequence[str]]:
        if name == BROKEN:
            return "error", ()
        values = self.table.get((name.lower().rstrip("."), rtype), [])
        return ("ok" if values else "nxdomain"), values


def evaluate(
    record: str | list[str], address: str = "198.18.1.10", sender: str = "user@example.com"
) -> tuple[str, int, int]:
    records = record if isinstance(record, list) else [record]
    out = check_host(
        Resolver({**HOSTS, ("example.com", "TXT"): records}), ipaddress.ip_address(address), "example.com", sender
    )
    return out.result, out.terms, out.voids


CASES: list[tuple[str, str, str]] = [
    ("v=spf1 ip4:198.18.1.10 -all", "198.18.1.10", "pass"),
    ("v=spf1 ip4:198.18.0.0/16 -all", "198.18.1.10", "pass"),
    ("v=spf1 ip4:198.18.1.11 -all", "198.18.1.10", "fail"),
    ("v=spf1 ip4:198.18.1.11 ~all", "198.18.1.10", "softfail"),
    ("v=spf1 ip4:198.18.1.11 ?all", "198.18.1.10", "neutral"),
    ("v=spf1 ip4:198.18.1.11", "198.18.1.10", "neutral"),
    ("v=spf1 ip6:2001:2:0:2::/64 -all", "2001:2:0:2::10", "pass"),
    ("v=spf1 ip6:2001:2:0:3::/64 -all", "2001:2:0:2::10", "fail"),
    ("v=spf1 mx -all", "198.18.1.10", "pass"),
    ("v=spf1 mx -all", "2001:2:0:2::10", "pass"),
    ("v=spf1 a -all", "198.18.1.80", "pass"),
    ("v=spf1 a:mail.example.com -all", "198.18.1.10", "pass"),
    ("v=spf1 a:mail.example.com/24 -all", "198.18.1.200", "pass"),
    ("v=spf1 a:mail.example.com//64 -all", "2001:2:0:2::99", "pass"),
    ("v=spf1 include:_spf.example.org -all", "198.18.7.7", "pass"),
    ("v=spf1 include:_spf.example.org -all", "198.18.1.10", "fail"),
    ("v=spf1 include:soft.example.org -all", "198.18.1.10", "fail"),
    ("v=spf1 include:nothing.example.org -all", "198.18.1.10", "permerror"),
    ("v=spf1 include:two.example.org -all", "198.18.1.10", "permerror"),
    ("v=spf1 include:loop.example.org -all", "198.18.1.10", "permerror"),
    ("v=spf1 redirect=_spf.example.org", "198.18.7.7", "pass"),
    ("v=spf1 redirect=nothing.example.org", "198.18.1.10", "permerror"),
    ("v=spf1 exists:%{i}.who.example.org -all", "198.18.1.10", "pass"),
    ("v=spf1 exists:%{or}.%{l}.rev.example.org -all", "198.18.1.10", "pass"),
    ("v=spf1 exists:%{x}.example.org -all", "198.18.1.10", "permerror"),
    ("v=spf1 ptr:example.com -all", "198.18.1.10", "pass"),
    ("v=spf1 ptr:example.org -all", "198.18.1.10", "fail"),
    ("v=spf1 ip4:2001:2::1 -all", "198.18.1.10", "permerror"),
    ("v=spf1 ipv4:198.18.1.10 -all", "198.18.1.10", "permerror"),
    ("v=spf1 all:example.com", "198.18.1.10", "permerror"),
    ("v=spf1 include: -all", "198.18.1.10", "permerror"),
    ("v=spf1 a/33 -all", "198.18.1.10", "permerror"),
    ("v=spf1 ip4:198.18.1.11 ip4:198.18.1.10/33 -all", "198.18.1.10", "permerror"),
    ("v=spf1 include:_spf.example.org/24 -all", "198.18.1.10", "permerror"),
    ("v=spf1 ip4:198.18.1.10 ~all -all", "198.18.1.10", "pass"),
    ("v=spf1 -all ip4:198.18.1.10", "198.18.1.10", "fail"),
    ("v=spf1 redirect=_spf.example.org redirect=_spf.example.org", "198.18.1.10", "permerror"),
    ("v=spf1 unknown=modifier ip4:198.18.1.10 -all", "198.18.1.10", "pass"),
    ("V=SPF1 IP4:198.18.1.10 -ALL", "198.18.1.10", "pass"),
    ("v=spf10 -all", "198.18.1.10", "none"),
    ("v=spf1", "198.18.1.10", "neutral"),
]  # fmt: skip


@pytest.mark.parametrize(("record", "address", "expected"), CASES)
def test_the_rules_of_the_rfc(record: str, address: str, expected: str) -> None:
    assert evaluate(record, address)[0] == expected


def test_none_and_permerror_for_no_record_and_several() -> None:
    assert evaluate([])[0] == "none"
    assert evaluate(["something else"])[0] == "none"
    assert evaluate(["v=spf1 -all", "v=spf1 mx -all"])[0] == "permerror"
    assert spf_records(["v=spf1 -all", "v=spf12 x", "other", "v=spf1"]) == ("v=spf1 -all", "v=spf1")


def test_a_resolver_that_fails_is_a_temporary_error() -> None:
    assert evaluate(f"v=spf1 include:{BROKEN} -all")[0] == "temperror"
    assert evaluate(f"v=spf1 a:{BROKEN} -all")[0] == "temperror"


def test_look_ups_are_counted_where_they_happen() -> None:
    assert evaluate("v=spf1 a:mail.example.com mx include:_spf.example.org -all", "198.18.9.9")[1] == 3
    assert evaluate("v=spf1 ip4:198.18.1.10 a mx -all")[1] == 0
    ten = " ".join(["a:mail.example.com"] * 10)
    assert evaluate(f"v=spf1 {ten} -all", "198.18.9.9")[:2] == ("fail", 10)
    assert evaluate(f"v=spf1 {ten} mx -all", "198.18.9.9")[:2] == ("permerror", 11)


def test_look_ups_without_an_answer_are_counted() -> None:
    assert evaluate("v=spf1 a:no1.example.org a:no2.example.org -all")[::2] == ("fail", 2)
    assert evaluate("v=spf1 a:no1.example.org a:no2.example.org a:no3.example.org -all")[::2] == ("permerror", 3)


def test_more_than_ten_mx_are_a_permanent_error() -> None:
    table = {**HOSTS, ("example.com", "TXT"): ["v=spf1 mx -all"]}
    table["example.com", "MX"] = [f"10 m{n}.example.com" for n in range(11)]
    out = check_host(Resolver(table), ipaddress.ip_address("198.18.1.10"), "example.com", "a@example.com")
    assert out.result == "permerror"


def asked(macro: str, address: str = "192.0.2.3", sender: str = "strong-bad@email.example.com") -> str:
    """The name an exists term with this macro asks for."""
    names: list[str] = []

    def lookup(name: str, rtype: str) -> tuple[str, Sequence[str]]:
        if rtype == "TXT":
            return "ok", [f"v=spf1 exists:{macro}.q.example -all"]
        names.append(name)
        return "nxdomain", ()

    out = check_host(lookup, ipaddress.ip_address(address), "email.example.com", sender)
    return names[-1].removesuffix(".q.example") if names else out.result


@pytest.mark.parametrize(
    ("macro", "expanded"),
    [
        ("%{s}", "strong-bad@email.example.com"), ("%{o}", "email.example.com"), ("%{d}", "email.example.com"),
        ("%{d4}", "email.example.com"), ("%{d2}", "example.com"), ("%{d1}", "com"), ("%{dr}", "com.example.email"),
        ("%{d2r}", "example.email"), ("%{l}", "strong-bad"), ("%{l-}", "strong.bad"), ("%{lr-}", "bad.strong"),
        ("%{l1r-}", "strong"), ("%{ir}.%{v}._spf.%{d2}", "3.2.0.192.in-addr._spf.example.com"),
        ("%{lr-}.lp.%{ir}.%{v}._spf.%{d2}", "bad.strong.lp.3.2.0.192.in-addr._spf.example.com"),
        ("%{S}", "strong-bad%40email.example.com"), ("%{h}", "email.example.com"), ("%{p}", "unknown"),
        ("a%%b%_c%-d", "a%b c%20d"), ("%{d0}", "permerror"), ("%{c}", "permerror"), ("%x", "permerror"),
    ],
)  # fmt: skip
def test_macros_expand_as_in_the_examples_of_the_rfc(macro: str, expanded: str) -> None:
    assert asked(macro) == expanded


def test_addresses_of_version_6_expand_to_nibbles_and_long_names_lose_labels_on_the_left() -> None:
    reverse = "1.0.b.c.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2"
    assert asked("%{ir}.%{v}._spf.%{d2}", "2001:db8::cb01") == f"{reverse}.ip6._spf.example.com"
    long = asked("%{l}.%{d}", sender=".".join(["abcdefghi"] * 26) + "@x.example")
    assert long.endswith("abcdefghi.email.example.com") and 243 <= len(long + ".q.example") <= 253


def test_failures_below_a_term_count_as_the_rfc_says() -> None:
    table = {**HOSTS, ("example.com", "TXT"): ["v=spf1 mx -all"], ("example.com", "MX"): [f"10 {BROKEN}"]}
    address = ipaddress.ip_address("198.18.1.10")
    assert check_host(Resolver(table), address, "example.com", "a@example.com").result == "temperror"
    assert check_host(Resolver(table), address, "example", "a@example").result == "none"
    assert check_host(Resolver(table), address, "a..example", "a@a..example").result == "none"

    def no_reverse(name: str, rtype: str) -> tuple[str, Sequence[str]]:
        return ("error", ()) if rtype == "PTR" else ("ok", ["v=spf1 ptr -all"])

    # An error while asking for names of the address means that there are none (§5.5).
    assert check_host(no_reverse, address, "example.com", "a@example.com").result == "fail"
    other = {("example.com", "TXT"): ["v=spf1 ptr -all"], ("10.1.18.198.in-addr.arpa", "PTR"): ["x.example.com"]}
    other["x.example.com", "A"] = ["198.18.1.99"]
    assert check_host(Resolver(other), address, "example.com", "a@example.com").result == "fail"
    assert check_host(Resolver({("example.com", "TXT"): ["v=spf1 ptr -all"]}), address, "example.com", "").voids == 1


# -- second opinion ----------------------------------------------------------------------------------------------------


def second_opinion(record: str, address: Address, monkeypatch: pytest.MonkeyPatch) -> str:
    table = {**HOSTS, ("example.com", "TXT"): [record]}

    def lookup(name: str, qtype: str, *_args: object, **_more: object) -> list[tuple[tuple[str, str], object]]:
        out: list[tuple[tuple[str, str], object]] = []
        for value in table.get((name.lower().rstrip("."), qtype), []):
            if qtype == "MX":
                preference, host = value.split()
                out.append(((name, qtype), (int(preference), host)))
            elif qtype == "TXT":
                out.append(((name, qtype), (value.encode(),)))
            else:
                out.append(((name, qtype), value))
        return out

    monkeypatch.setattr(pyspf, "DNSLookup", lookup)
    result: str = pyspf.query(i=str(address), s="user@example.com", h="mail.example.com").check()[0]
    return result


@pytest.mark.parametrize(("record", "address", "expected"), CASES)
def test_pyspf_agrees(record: str, address: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert second_opinion(record, ipaddress.ip_address(address), monkeypatch) == expected


TERMS = st.sampled_from(
    [
        "mx", "a", "a:mail.example.com", "a:mail.example.com/24", "ip4:198.18.1.10", "ip4:198.18.1.0/24", "-mx", "~a",
        "ip6:2001:2:0:2::10", "include:_spf.example.org", "include:soft.example.org", "?ip4:198.18.0.0/16",
        "exists:%{i}.who.example.org", "ptr:example.com",
    ]
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(
    terms=st.lists(TERMS, max_size=5),
    end=st.sampled_from(["-all", "~all", "?all", "+all", ""]),
    address=st.sampled_from(["198.18.1.10", "198.18.7.7", "198.18.9.9", "2001:2:0:2::10"]),
)
def test_pyspf_agrees_on_any_record(terms: list[str], end: str, address: str) -> None:
    record = " ".join(["v=spf1", *terms, end]).strip()
    with pytest.MonkeyPatch.context() as patch:
        assert evaluate(record, address)[0] == second_opinion(record, ipaddress.ip_address(address), patch)
