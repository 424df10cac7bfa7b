# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gate at the authoritative servers: real questions on loopback, and the waiting with scripted answers."""

from __future__ import annotations

import errno
from typing import Any

import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.resolver
import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError
from ansible_collections.mailstead.stack.plugins.module_utils.dns import gate, rdata
from ansible_collections.mailstead.stack.plugins.module_utils.dns.codes import CODES
from ansible_collections.mailstead.stack.plugins.module_utils.dns.gate import Question, Seen, SilentError, ZoneGate
from ansible_collections.mailstead.stack.plugins.module_utils.dns.records import Have

from tests.unit.dns.authority import Authority

ZONE = "example.com"
HOST = "mail.example.com"
KEY = "v=DKIM1; k=rsa; p=" + "A" * 392
RECORDS = (
    Have(HOST, "A", "198.18.1.10", 3600),
    Have(HOST, "AAAA", "2001:2:0:2::10", 3600),
    Have(ZONE, "MX", f"10 {HOST}", 3600),
    Have(ZONE, "TXT", "v=spf1 mx -all", 3600),
    Have(f"k._domainkey.{ZONE}", "TXT", KEY, 3600),
    Have(f"_imaps._tcp.{ZONE}", "SRV", f"0 1 993 {HOST}", 3600),
    Have(f"_25._tcp.{HOST}", "TLSA", "3 1 1 " + "ab" * 32, 3600),
    Have(HOST, "CAA", '0 issue "letsencrypt.org; validationmethods=http-01"', 3600),
    Have(f"autoconfig.{ZONE}", "CNAME", HOST, 3600),
)


def served() -> Authority:
    sets: dict[tuple[str, str], list[str]] = {}
    for record in RECORDS:
        sets.setdefault((record.name, record.type), []).append(rdata.presentation(record.type, record.content))
    sets[(ZONE, "TXT")].append('"google-site-verification=x"')
    return Authority({ZONE: sets})


@pytest.mark.parametrize("record", RECORDS, ids=lambda r: str(r.type))
def test_every_type_is_recognised_in_a_real_answer(record: Have) -> None:
    with served() as server:
        question = (record.name, record.type)
        assert record.content in gate.ask_server("127.0.0.1", question, server.port, 2.0).values


def test_no_server_is_asked_to_ask_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """A resolver in between would remember that a record is missing."""
    sent: list[dns.message.Message] = []
    really = dns.query.udp_with_fallback

    def send(query: dns.message.Message, *args: Any, **more: Any) -> Any:
        sent.append(query)
        return really(query, *args, **more)

    monkeypatch.setattr(dns.query, "udp_with_fallback", send)
    with served() as server:
        assert gate.ask_server("127.0.0.1", (HOST, "A"), server.port).values
    assert [bool(query.flags & dns.flags.RD) for query in sent] == [False]


def test_names_that_nobody_would_want_are_read_all_the_same() -> None:
    odd = {(ZONE, "MX"): ["10 bad\\032host!.example.net."], (f"a.{ZONE}", "CNAME"): ["-b.example.net."]}
    with Authority({ZONE: odd}) as server:
        assert gate.ask_server("127.0.0.1", (ZONE, "MX"), server.port).values == {r"10 bad\032host!.example.net"}
        assert gate.ask_server("127.0.0.1", (f"a.{ZONE}", "CNAME"), server.port).values == {"-b.example.net"}


def test_what_is_wrong_with_an_answer_is_said() -> None:
    question = (HOST, "A")
    with served() as server:
        assert gate.ask_server("127.0.0.1", (f"none.{ZONE}", "A"), server.port) == Seen()
        server.lame = True
        assert "not authoritative" in gate.ask_server("127.0.0.1", question, server.port).error
        server.rcode = dns.rcode.SERVFAIL
        assert gate.ask_server("127.0.0.1", question, server.port).error == "SERVFAIL"
        server.deaf = 1
        with pytest.raises(SilentError) as caught:
            gate.ask_server("127.0.0.1", question, server.port, 0.2)
        assert not caught.value.final


class World:
    """Name servers as a script: what each address shows from which round on. Time passes only by pausing."""

    def __init__(self, shows: dict[str, Any]) -> None:
        self.shows = shows
        self.now = 0.0
        self.asked: list[tuple[str, Question]] = []

    def ask(self, address: str, question: Question) -> Seen:
        self.asked.append((address, question))
        found = self.shows[address]
        if isinstance(found, Exception):
            raise found
        since = found.get(question[1], found.get("*", 0.0))
        if isinstance(since, str):
            return Seen(error=since)
        values = {r.content for r in RECORDS if (r.name, r.type) == question} if self.now >= since else set()
        return Seen(frozenset(values))

    def pause(self, seconds: float) -> None:
        self.now += seconds

    def wait(self, deadline: float = 60.0, servers: tuple[str, ...] = ("ada", "bob"), addresses: Any = None) -> int:
        known = addresses or {"ada": ["192.0.2.1", "2001:db8::1"], "bob": ["192.0.2.2"]}
        gates = [ZoneGate(ZONE, servers, RECORDS)]
        return gate.wait_published(gates, deadline, self.ask, known.__getitem__, self.pause, lambda: self.now)


def test_every_address_of_every_server_is_asked_until_it_shows_everything() -> None:
    world = World({"192.0.2.1": {}, "2001:db8::1": {"MX": 5.0}, "192.0.2.2": {"*": 3.0}})
    assert world.wait() == 3
    assert 5.0 <= world.now < 8.0
    # Nothing is asked twice once it has been seen.
    assert sum(1 for a, _q in world.asked if a == "192.0.2.1") == len({(r.name, r.type) for r in RECORDS})


def test_what_is_missing_where_is_listed() -> None:
    world = World({"192.0.2.1": {}, "2001:db8::1": {"MX": 999.0}, "192.0.2.2": {"TXT": "SERVFAIL"}})
    with pytest.raises(MailsteadError) as caught:
        world.wait(30.0)
    (problem,) = caught.value.problems
    assert problem.code == "MS-DNS-040" and problem.code in CODES
    assert "after 30 s" in problem.what
    assert f"MX {ZONE} (10 {HOST}) on ada [2001:db8::1]" in problem.what
    assert "on bob [192.0.2.2]: SERVFAIL" in problem.what
    assert "192.0.2.1" not in problem.what
    assert world.now == 30.0


def test_an_address_family_that_cannot_be_reached_from_here_does_not_hold_the_gate() -> None:
    no_route = SilentError("Network is unreachable", final=True)
    world = World({"192.0.2.1": {}, "2001:db8::1": no_route, "192.0.2.2": {}})
    assert world.wait() == 2
    assert world.now == 0.0
    silent = World({"192.0.2.1": {}, "2001:db8::1": SilentError("no answer in time", final=False), "192.0.2.2": {}})
    assert silent.wait() == 2
    assert silent.now < 2.0


def test_a_server_that_no_address_answers_for_holds_it() -> None:
    world = World({"192.0.2.1": {}, "2001:db8::1": {}, "192.0.2.2": SilentError("no answer in time", final=False)})
    with pytest.raises(MailsteadError) as caught:
        world.wait(10.0)
    (problem,) = caught.value.problems
    assert problem.code == "MS-DNS-041" and "bob does not answer (no answer in time)" in problem.what


def test_names_of_servers_that_do_not_resolve_are_told_at_once() -> None:
    def resolve(name: str) -> list[str]:
        raise OSError(errno.ENOENT, f"no {name}")

    with pytest.raises(MailsteadError) as caught:
        gate.wait_published(
            [ZoneGate(ZONE, ("ada", "bob"), RECORDS), ZoneGate("x.example", (), RECORDS)], 9, resolve=resolve
        )
    assert [p.code for p in caught.value.problems] == ["MS-DNS-041"] * 3
    assert gate.wait_published([ZoneGate(ZONE, ("ada",), ())], 9, resolve=resolve) == 0


def test_name_servers_by_the_systems_resolver(monkeypatch: pytest.MonkeyPatch) -> None:
    with Authority({ZONE: {(ZONE, "NS"): ["Bob.ns.example.", "ada.ns.example."]}}) as server:
        resolver = dns.resolver.Resolver(configure=False)
        resolver.nameservers, resolver.port = ["127.0.0.1"], server.port
        monkeypatch.setattr(dns.resolver, "default_resolver", resolver)
        assert gate.name_servers(ZONE) == ("ada.ns.example", "bob.ns.example")
        assert gate.name_servers(f"none.{ZONE}") == ()


def test_the_system_resolves_loopback() -> None:
    assert "127.0.0.1" in gate.system_addresses("127.0.0.1")
