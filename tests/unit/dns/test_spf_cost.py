# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an SPF record costs its receivers: look-ups and void look-ups, includes and redirects followed."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence

import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.checks.spf import check_host
from ansible_collections.mailstead.stack.plugins.module_utils.dns import spf
from ansible_collections.mailstead.stack.plugins.module_utils.dns.spf_cost import (
    CEILING,
    Answer,
    Cost,
    Question,
    ZoneAnswers,
    measure,
    planned_first,
)
from hypothesis import given, settings
from hypothesis import strategies as st

ZONE = "example.com"
Table = dict[tuple[str, str], list[str]]

#: Zones of others as the DNS shows them.
WORLD: Table = {
    ("_spf.example.net", "TXT"): ["v=spf1 include:a.example.net include:b.example.net ~all"],
    ("a.example.net", "TXT"): ["v=spf1 ip4:198.18.7.0/24 ~all"],
    ("b.example.net", "TXT"): ["site=1", "v=spf1 a:host.example.net -all"],
    ("host.example.net", "A"): ["198.18.7.1"],
    ("host.example.net", "AAAA"): ["2001:2::7"],
    ("four.example.net", "A"): ["198.18.7.4"],
    ("example.net", "MX"): ["10 host.example.net", "20 four.example.net"],
    ("null.example.net", "MX"): ["0 ."],
    ("all.example.net", "TXT"): ["v=spf1 +all"],
    ("moved.example.net", "TXT"): ["v=spf1 redirect=_spf.example.net"],
    ("open.example.net", "TXT"): ["v=spf1 redirect=all.example.net"],
    ("loop.example.net", "TXT"): ["v=spf1 include:loop.example.net -all"],
    ("two.example.net", "TXT"): ["v=spf1 -all", "v=spf1 mx -all"],
    ("bad.example.net", "TXT"): ["v=spf1 ipv4:198.18.1.1 -all"],
    ("many.example.net", "MX"): [f"10 m{n}.example.net" for n in range(11)],
    ("listed.example.net", "A"): ["127.0.0.2"],
    ("listed-all.example.net", "TXT"): ["v=spf1 exists:listed.example.net -all"],
}
BROKEN = "broken.example.net"


class World:
    """Answers from the table; counts its calls."""

    def __init__(self, table: Table = WORLD) -> None:
        self.table = table
        self.calls: list[list[Question]] = []

    def __call__(self, questions: Sequence[Question]) -> Mapping[Question, Answer]:
        self.calls.append(list(questions))
        return {q: self.answer(*q) for q in questions if q[0] != BROKEN}

    def answer(self, name: str, rtype: str) -> Answer:
        values = self.table.get((name, rtype), [])
        known = any(owner == name for owner, _type in self.table)
        return ("ok" if values else "nodata" if known else "nxdomain"), values


def cost(text: str, own: Sequence[tuple[str, str, str]] = (), world: World | None = None) -> Cost:
    return measure(spf.parse(text), ZONE, ZoneAnswers(ZONE, own), world or World())


HERE = [
    ("mail.example.com", "A", "198.18.1.10"),
    ("example.com", "MX", "10 mail.example.com"),
    ("alias.example.com", "CNAME", "mail.example.com"),
    ("away.example.com", "CNAME", "host.example.net"),
    ("ring.example.com", "CNAME", "ring.example.com"),
    ("*.wild.example.com", "A", "198.18.1.11"),
    ("deep.er.example.com", "A", "198.18.1.12"),
    ("sub.example.com", "NS", "ns.example.net"),
    ("_spf.example.com", "TXT", "v=spf1 a:mail.example.com -all"),
]


@pytest.mark.parametrize(
    ("text", "lookups", "voids"),
    [
        ("v=spf1 -all", 0, 0),
        ("v=spf1 ip4:198.18.1.10 ip6:2001:2::10 -all", 0, 0),
        ("v=spf1 include:_spf.example.net -all", 4, 0),
        ("v=spf1 redirect=moved.example.net", 5, 0),
        # An "all" ends it: what stands behind is never looked at, nor is a redirect.
        ("v=spf1 -all include:_spf.example.net redirect=moved.example.net", 0, 0),
        ("v=spf1 include:all.example.net include:_spf.example.net -all", 1, 0),
        ("v=spf1 include:open.example.net include:_spf.example.net -all", 2, 0),
        ("v=spf1 -include:all.example.net mx -all", 1, 0),
        ("v=spf1 exists:listed.example.net mx -all", 1, 0),
        ("v=spf1 include:listed-all.example.net include:never.example.net -all", 2, 0),
        ("v=spf1 mx:example.net a:host.example.net ptr exists:listed.example.net -all", 4, 0),
        ("v=spf1 mx:null.example.net -all", 1, 0),
        ("v=spf1 a:no1.example.net a:no2.example.net mx:no3.example.net exists:no4.example.net -all", 4, 4),
        # A host with an IPv4 address only is void for senders over IPv6; that counts where the record has such senders.
        ("v=spf1 a:four.example.net -all", 1, 0),
        ("v=spf1 a:four.example.net ip6:2001:2::10 -all", 1, 1),
        # Names of the zone are answered from the zone as it will be.
        ("v=spf1 a:mail.example.com mx a:alias.example.com include:_spf.example.com -all", 5, 0),
        ("v=spf1 a -all", 1, 1),
        ("v=spf1 a:away.example.com a:x.wild.example.com a:deep.er.example.com -all", 3, 2),
        ("v=spf1 a:er.example.com a:none.example.com a:wild.example.com -all", 3, 3),
    ],
)
def test_look_ups_are_counted_through_all_includes(text: str, lookups: int, voids: int) -> None:
    found = cost(text, HERE)
    assert (found.lookups, found.voids, found.unknown, found.broken) == (lookups, voids, (), ())


def test_where_the_cost_comes_from_is_shown_per_term() -> None:
    found = cost("v=spf1 ip4:198.18.1.1 include:_spf.example.net mx a:gone.example.com -all", HERE)
    assert str(found) == (
        "6 of 10 look-ups, 1 of 2 void: include:_spf.example.net 4, mx 1, a:gone.example.com 1 (1 void)"
    )
    assert str(cost("v=spf1 -all")) == "0 of 10 look-ups, 0 of 2 void"


@pytest.mark.parametrize(
    ("text", "lookups", "what"),
    [
        (f"v=spf1 include:{BROKEN} -all", 1, f"TXT of {BROKEN} could not be looked up"),
        (f"v=spf1 a:{BROKEN} -all", 1, f"AAAA of {BROKEN} could not be looked up"),
        (f"v=spf1 mx:{BROKEN} -all", 1, f"MX of {BROKEN} could not be looked up"),
        (f"v=spf1 exists:{BROKEN} -all", 1, f"A of {BROKEN} could not be looked up"),
        ("v=spf1 exists:%{i}.example.net -all", 1, "exists:%{i}.example.net depends on the sender"),
        ("v=spf1 a:ring.example.com -all", 1, "A of ring.example.com could not be looked up"),
        ("v=spf1 a:host.sub.example.com -all", 1, ""),
    ],
)
def test_what_cannot_be_known_makes_the_cost_a_lower_bound(text: str, lookups: int, what: str) -> None:
    found = cost(text, HERE)
    assert found.lookups == lookups
    assert (what in found.unknown and str(found).startswith("at least")) if what else not found.unknown


def test_a_delegated_name_is_asked_of_the_dns() -> None:
    world = World({**WORLD, ("host.sub.example.com", "A"): ["198.18.1.20"]})
    assert cost("v=spf1 a:host.sub.example.com -all", HERE, world).voids == 0
    assert {q[0] for call in world.calls for q in call} == {"host.sub.example.com"}


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("v=spf1 include:none.example.net -all", "none.example.net publishes no SPF record"),
        ("v=spf1 include:two.example.net -all", "two.example.net publishes 2 SPF records"),
        ("v=spf1 redirect=bad.example.net", "the record of bad.example.net cannot be read"),
        ("v=spf1 mx:many.example.net -all", "many.example.net has 11 MX"),
    ],
)
def test_what_is_a_permanent_error_is_named(text: str, what: str) -> None:
    (broken,) = cost(text).broken
    assert broken.startswith(what)


def test_a_loop_ends_over_the_limit() -> None:
    found = cost("v=spf1 include:loop.example.net mx -all", HERE)
    assert found.lookups == CEILING + 1 and str(found).startswith("at least")


def test_answers_are_fetched_by_depth_and_never_twice() -> None:
    world = World()
    cost("v=spf1 include:_spf.example.net include:a.example.net a:host.example.net -all", (), world)
    asked = [q for call in world.calls for q in call]
    assert len(asked) == len(set(asked)) and len(world.calls) == 2
    assert cost("v=spf1 ip4:198.18.1.1 mx -all", HERE, world).lookups == 1
    assert len(world.calls) == 2


def test_without_the_dns_only_what_the_zone_answers_is_counted() -> None:
    record = spf.parse("v=spf1 mx include:_spf.example.net -all")
    found = measure(record, ZONE, ZoneAnswers(ZONE, HERE), None)
    assert str(found).startswith("at least 2 of 10 look-ups, 0 of 2 void")


def test_what_other_zones_of_the_run_will_hold_comes_before_what_they_hold_now() -> None:
    world = World()
    ask = planned_first([("new.example.net", "A", "198.18.1.30"), ("new.example.net", "A", "198.18.1.31")], world)
    questions = [("new.example.net", "A"), ("a.example.net", "TXT")]
    assert ask(questions) == {
        questions[0]: ("ok", ("198.18.1.30", "198.18.1.31")),
        questions[1]: world.answer(*questions[1]),
    }
    assert world.calls == [questions[1:]]
    assert planned_first([], None)(questions) == {}
    assert planned_first([("x.example", "A", "198.18.1.1")], world)([("x.example", "A")])
    assert len(world.calls) == 1


TERMS = st.sampled_from(
    [
        "a:host.example.net", "a:four.example.net", "a:none.example.net", "mx:example.net", "mx:none.example.net",
        "include:_spf.example.net", "include:a.example.net", "include:moved.example.net", "-include:b.example.net",
        "ip4:198.18.1.10", "exists:listed.example.net", "exists:none.example.net", "~a:host.example.net",
    ]
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.lists(TERMS, max_size=12), st.sampled_from([" -all", " ~all", "", " redirect=_spf.example.net"]))
def test_the_evaluator_counts_the_same_for_a_sender_nothing_matches(terms: list[str], end: str) -> None:
    """check_host(), which is held to pyspf, gives up at the limits; up to there the numbers are the same."""
    text = " ".join(["v=spf1", *terms]) + end
    world = World({**WORLD, (ZONE, "TXT"): [text]})
    found = measure(spf.parse(text), ZONE, ZoneAnswers("zone.invalid", ()), world)
    for address in ("192.0.2.1", "2001:db8::1"):
        seen = check_host(world.answer, ipaddress.ip_address(address), ZONE, f"user@{ZONE}")
        if found.lookups <= spf.MAX_LOOKUPS and seen.result != "permerror":
            assert seen.terms == found.lookups
            assert seen.voids <= found.voids or ":" in address
        else:
            assert found.lookups > spf.MAX_LOOKUPS or seen.voids > spf.MAX_VOID


def test_a_term_says_which_addresses_stand_for_it() -> None:
    own = [("mail.example.com", "A", "198.18.1.10"), ("mail.example.com", "AAAA", "2001:2:1::10")]
    found = cost("v=spf1 a:mail.example.com/24//64 -a:mail.example.com include:a.example.net mx:example.net -all", own)
    assert [p.addresses for p in found.parts] == [
        ("ip4:198.18.1.0/24", "ip6:2001:2:1::/64"),
        ("-ip4:198.18.1.10", "-ip6:2001:2:1::10"),
        (),
        ("ip4:198.18.7.1", "ip6:2001:2::7", "ip4:198.18.7.4"),
    ]
    # Where not all of them are known, none is said.
    assert cost(f"v=spf1 a:{BROKEN} -all").parts[0].addresses == ()
