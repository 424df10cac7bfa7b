# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The answers behind an SPF record, asked of a name server on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dns.rcode
import dns.resolver
import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.dns import spf
from ansible_collections.mailstead.stack.plugins.module_utils.dns.spf_cost import ZoneAnswers, measure
from ansible_collections.mailstead.stack.plugins.module_utils.dns.spf_lookup import LiveAnswers

from tests.unit.dns.authority import Authority

NET = "example.net"
SETS = {
    (NET, "MX"): ["10 Host.example.net."],
    (f"host.{NET}", "A"): ["198.18.7.1"],
    (f"host.{NET}", "AAAA"): ["2001:2:0::7"],
    (f"_spf.{NET}", "TXT"): ['"v=spf1 mx:example.net " "include:b.example.net ~all"'],
    (f"b.{NET}", "TXT"): ['"v=spf1 a:host.example.net -all"'],
}


@pytest.fixture
def authority() -> Iterator[Authority]:
    with Authority({NET: dict(SETS)}) as found:
        yield found


def resolver_of(authority: Authority) -> dns.resolver.Resolver:
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers = [authority.address]
    resolver.port = authority.port
    return resolver


def test_answers_are_read_as_the_cost_needs_them(authority: Authority) -> None:
    ask = LiveAnswers(resolver=resolver_of(authority))
    found = ask(
        [(f"_spf.{NET}", "TXT"), (NET, "MX"), (f"host.{NET}", "AAAA"), (f"host.{NET}", "TXT"), (f"no.{NET}", "A")]
    )
    assert found == {
        (f"_spf.{NET}", "TXT"): ("ok", ("v=spf1 mx:example.net include:b.example.net ~all",)),
        (NET, "MX"): ("ok", ("10 host.example.net.",)),
        (f"host.{NET}", "AAAA"): ("ok", ("2001:2::7",)),
        (f"host.{NET}", "TXT"): ("nodata", ()),
        (f"no.{NET}", "A"): ("nxdomain", ()),
    }


def test_a_record_is_measured_and_every_question_asked_once(authority: Authority) -> None:
    ask = LiveAnswers(resolver=resolver_of(authority))
    record = spf.parse(f"v=spf1 include:_spf.{NET} a:no.{NET} -all")
    for _run in range(2):
        cost = measure(record, "example.com", ZoneAnswers("example.com", ()), ask)
        assert (cost.lookups, cost.voids, cost.unknown) == (5, 1, ())
    assert len(authority.questions) == len(set(authority.questions))


def test_a_server_that_fails_leaves_the_answer_unknown_and_is_asked_again_later(authority: Authority) -> None:
    ask = LiveAnswers(resolver=resolver_of(authority))
    authority.rcode = dns.rcode.SERVFAIL
    assert ask([(NET, "MX")]) == {(NET, "MX"): ("error", ())}
    authority.rcode = dns.rcode.NOERROR
    assert ask([(NET, "MX")])[NET, "MX"][0] == "ok"
    assert ask([("x" * 70 + ".example.net", "A")]) == {("x" * 70 + ".example.net", "A"): ("error", ())}


def test_one_deadline_holds_for_all_questions(authority: Authority) -> None:
    times = iter([100.0, 100.0, 105.0, 200.0])
    ask = LiveAnswers(10.0, resolver_of(authority), lambda: next(times))
    assert ask([(NET, "MX")])[NET, "MX"][0] == "ok"
    assert ask([(f"b.{NET}", "TXT")])[f"b.{NET}", "TXT"][0] == "ok"
    asked = len(authority.questions)
    assert ask([(f"_spf.{NET}", "TXT"), (NET, "MX")]) == {
        (f"_spf.{NET}", "TXT"): ("error", ()),
        (NET, "MX"): ("ok", ("10 host.example.net.",)),
    }
    assert len(authority.questions) == asked


def test_a_host_without_a_resolver_knows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> Any:
        raise dns.resolver.NoResolverConfiguration

    monkeypatch.setattr(dns.resolver, "Resolver", none)
    assert LiveAnswers()([("example.net", "A")]) == {("example.net", "A"): ("error", ())}
