# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Forward-confirmed reverse DNS: real questions to name servers on loopback, and the waiting with scripted answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import dns.rcode
import dns.resolver
import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError
from ansible_collections.mailstead.stack.plugins.module_utils.dns.gate import Seen, SilentError, ask_server
from ansible_collections.mailstead.stack.plugins.module_utils.ptr import seen
from ansible_collections.mailstead.stack.plugins.module_utils.ptr.codes import CODES
from ansible_collections.mailstead.stack.plugins.module_utils.ptr.model import PtrWanted
from ansible_collections.mailstead.stack.plugins.module_utils.ptr.seen import View, World, wait_confirmed

from tests.unit.dns.authority import Authority

ZONE, PARENT, CLASSLESS = "example.com", "1.18.198.in-addr.arpa", "0-25.1.18.198.in-addr.arpa"
V6ZONE = "0.0.0.0.2.0.0.0.1.0.0.2.ip6.arpa"
HOST = "mail.example.com"
RECORD = PtrWanted("198.18.1.10", HOST, "vps1")
DELEGATED = PtrWanted("198.18.1.25", HOST, "vps1")
RECORD6 = PtrWanted("2001:2:0:2::10", HOST, "vps1")


def authority() -> Authority:
    """The parent delegates a part of its addresses by aliases (RFC 2317)."""
    zones: dict[str, dict[tuple[str, str], list[str]]] = {
        ZONE: {(HOST, "A"): ["198.18.1.10", "198.18.1.25"], (HOST, "AAAA"): ["2001:2:0:2::10"]},
        PARENT: {
            (f"10.{PARENT}", "PTR"): [f"{HOST}."],
            (f"25.{PARENT}", "CNAME"): [f"25.{CLASSLESS}."],
            (f"26.{PARENT}", "CNAME"): [f"26.{CLASSLESS}."],
        },
        CLASSLESS: {(f"25.{CLASSLESS}", "PTR"): [f"{HOST}."], (f"26.{CLASSLESS}", "CNAME"): [f"10.{PARENT}."]},
        V6ZONE: {(RECORD6.reverse, "PTR"): [f"{HOST}."]},
    }
    for zone, sets in zones.items():
        sets[(zone, "NS")] = [f"ns1.{zone}.", f"ns2.{zone}."]
    return Authority(zones)


@pytest.fixture(name="server")
def fixture_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Authority]:
    """One server is the world's name servers and this host's resolver at once."""
    with authority() as server:
        resolver = dns.resolver.Resolver(configure=False)
        resolver.nameservers, resolver.port = ["127.0.0.1"], server.port
        monkeypatch.setattr(dns.resolver, "default_resolver", resolver)
        monkeypatch.setattr(seen, "system_addresses", lambda name: ["127.0.0.1"])
        yield server


def confirm(server: Authority, *records: PtrWanted) -> int:
    return wait_confirmed(records, 0, World(server.port).ask)


def told(server: Authority, *records: PtrWanted) -> str:
    with pytest.raises(MailsteadError) as caught:
        confirm(server, *records)
    assert {p.code for p in caught.value.problems} <= set(CODES)
    return str(caught.value)


def test_both_ways_are_asked_at_every_authoritative_server(server: Authority) -> None:
    assert confirm(server, RECORD, RECORD6) == 8
    assert {q for q in server.questions if q[1] in ("PTR", "A", "AAAA")} == {
        (RECORD.reverse, "PTR"),
        (RECORD6.reverse, "PTR"),
        (HOST, "A"),
        (HOST, "AAAA"),
    }


def test_delegations_by_alias_are_followed(server: Authority) -> None:
    assert confirm(server, DELEGATED) == 4
    (view, _other) = World(server.port).ask(f"26.{PARENT}", "PTR")
    assert view.values == {HOST} and "by way of" in view.where
    server.zones[CLASSLESS][(f"25.{CLASSLESS}", "PTR")] = ["elsewhere.example."]
    assert f"should be {HOST}, it has elsewhere.example" in told(server, DELEGATED)


def test_aliases_in_a_circle_end(server: Authority) -> None:
    server.zones[PARENT][(f"25.{PARENT}", "CNAME")] = [f"25.{PARENT}."]
    assert f"PTR 25.{PARENT} should be {HOST}, it has nothing" in told(server, DELEGATED)


def test_what_is_missing_is_told_where(server: Authority) -> None:
    server.zones[PARENT][(RECORD.reverse, "PTR")] = ["vps1.provider.example."]
    text = told(server, RECORD)
    assert f"ns1.{PARENT} [127.0.0.1]: PTR {RECORD.reverse} should be {HOST}, it has vps1.provider.example" in text
    assert "MS-PTR-030" in text and "ask the hoster" in text
    server.zones[PARENT][(RECORD.reverse, "PTR")] = [f"{HOST}."]
    del server.zones[ZONE][(HOST, "A")]
    text = told(server, RECORD)
    assert f"A {HOST} should be 198.18.1.10, it has nothing" in text and "counts only with the way back" in text


def test_a_second_name_is_one_too_many_but_a_second_address_is_not(server: Authority) -> None:
    assert len(server.zones[ZONE][(HOST, "A")]) == 2
    server.zones[PARENT][(RECORD.reverse, "PTR")].append("other.example.")
    assert f"it has {HOST}, other.example" in told(server, RECORD)


def test_a_server_that_answers_otherwise_is_told(server: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(server.port)
    world.ask(RECORD.reverse, "PTR")
    server.lame = True
    assert "not authoritative" in world.ask(RECORD.reverse, "PTR")[0].error


def test_silent_servers_leave_the_word_to_the_resolver(server: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(*_args: object) -> Seen:
        raise SilentError("no answer in time", final=False)

    monkeypatch.setattr(seen, "ask_server", silent)
    assert World(server.port).ask(RECORD.reverse, "PTR") == [View(seen.RESOLVER, frozenset({HOST}))]
    assert World(server.port).ask(f"99.{PARENT}", "PTR") == [View(seen.RESOLVER)]
    server.rcode = dns.rcode.SERVFAIL
    (view,) = World(server.port).ask(RECORD.reverse, "PTR")
    assert view.error == "no answer (NoNameservers)"


def test_name_servers_without_addresses_leave_the_word_to_the_resolver(
    server: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(name: str) -> Sequence[str]:
        raise OSError("no such host")

    monkeypatch.setattr(seen, "system_addresses", lost)
    assert World(server.port).ask(HOST, "A")[0].where == seen.RESOLVER


def test_an_alias_whose_servers_are_silent_is_told(server: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    def half(address: str, question: tuple[str, str], port: int) -> Seen:
        if question[0].endswith(CLASSLESS):
            raise SilentError("no answer in time", final=False)
        return ask_server(address, question, port)

    monkeypatch.setattr(seen, "ask_server", half)
    (view, _other) = World(server.port).ask(DELEGATED.reverse, "PTR")
    assert "whose name servers do not answer" in view.error


# -- waiting ---------------------------------------------------------------------------------------------------------


class Scripted:
    """Shows the right answers after so many rounds."""

    def __init__(self, rounds: int) -> None:
        self.rounds, self.asked, self.pauses = rounds, 0, [0.0]

    def ask(self, name: str, rtype: str) -> list[View]:
        self.asked += 1
        if rtype != "PTR":
            return [View("ns", frozenset({"198.18.1.10"}))]
        return [View("ns", frozenset({HOST} if self.asked > 2 * self.rounds else ()))]

    def wait(self, deadline: float) -> int:
        return wait_confirmed([RECORD], deadline, self.ask, self.pauses.append, lambda: sum(self.pauses))


def test_it_waits_until_the_world_has_seen_it() -> None:
    script = Scripted(3)
    assert script.wait(60) == 2
    assert script.pauses == [0.0, 1.0, 2.0, 5.0]


def test_it_gives_up_at_the_deadline_and_not_later() -> None:
    script = Scripted(99)
    with pytest.raises(MailsteadError, match="after 20 s"):
        script.wait(20)
    assert sum(script.pauses) == 20


def test_long_lists_are_cut() -> None:
    views = [View(f"ns{n}") for n in range(20)]
    with pytest.raises(MailsteadError, match="and 32 more"):
        wait_confirmed([RECORD], 0, lambda name, rtype: views)


def test_nothing_to_confirm_is_confirmed() -> None:
    assert wait_confirmed([], 5) == 0


def test_what_was_confirmed_is_not_asked_again() -> None:
    asked: list[str] = []

    def ask(name: str, rtype: str) -> list[View]:
        asked.append(name)
        late = name == DELEGATED.reverse and asked.count(name) < 3
        values = {"PTR": {HOST}, "A": {RECORD.address, DELEGATED.address}}[rtype]
        return [View("ns", frozenset(() if late else values))]

    assert wait_confirmed([RECORD, DELEGATED], 60, ask, lambda seconds: None) == 2
    assert (asked.count(RECORD.reverse), asked.count(DELEGATED.reverse)) == (1, 3)
