# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Drift, the pure part: a zone that is in order, and each way in which planned, live and served may come apart."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.checks.finding import Finding, exit_code
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import Problem
from ansible_collections.mailstead.stack.plugins.module_utils.dns.drift import dnssec
from ansible_collections.mailstead.stack.plugins.module_utils.dns.drift.catalogue import AREAS, CHECKS
from ansible_collections.mailstead.stack.plugins.module_utils.dns.drift.compare import compare, overviews
from ansible_collections.mailstead.stack.plugins.module_utils.dns.drift.servers import differs
from ansible_collections.mailstead.stack.plugins.module_utils.dns.drift.sheet import contrast
from ansible_collections.mailstead.stack.plugins.module_utils.dns.drift.views import (
    NO_ROUTE,
    REFUSED,
    SILENT,
    Answer,
    Delegation,
    Live,
    ServerView,
    ZoneView,
    questions,
)
from ansible_collections.mailstead.stack.plugins.module_utils.dns.records import Have, Options, Want
from ansible_collections.mailstead.stack.plugins.module_utils.plan.phases import ForeignPolicy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

ZONE = "example.com"
HOST = f"mail.{ZONE}"
ADA, BOB = "ada.ns.example.net", "bob.ns.example.net"
NS = frozenset({ADA, BOB})
SERVERS = (f"{ADA}/192.0.2.1", f"{ADA}/2001:db8::1", f"{BOB}/192.0.2.2")
OPTIONS = Options()
#: RFC 4034 §5.4: a key, its owner and its DS.
RFC_ZONE = "dskey.example.com"
RFC_KEY = (
    "256 3 5 AQOeiiR0GOMYkDshWoSKz9XzfwJr1AYtsmx3TGkJaNXVbfi/2pHm822aJ5iI9BMzNXxeYCmZDRD99WYwYqUSdjMmmAphXdvx"
    "egXd/M5+X7OrzKBaMbCVdFLUUh6DhweJBjEVv5f2wwjM9XzcnOf+EPbtG9DMBmADjFDc2w/rljwvFw=="
)
RFC_DS = "60485 5 1 2bb183af5f22588179a53b0a98631fad1a292118"
#: The same key's SHA-256 digest, RFC 4509 §2.3.
RFC_DS_SHA256 = "60485 5 2 d4b7d520e7bb5f0f67674a0cceb1e3e0614b93c4f9e99b8383f6a1e4469da50a"


def want(name: str, rtype: str, content: str, role: str, **more: Any) -> Want:
    return Want(name, rtype, content, more.pop("ttl", 3600), more.pop("phase", "delivery"), role, **more)


WANTS = (
    want(HOST, "A", "198.18.1.10", "host"),
    want(HOST, "CAA", '0 issue "letsencrypt.org"', "caa"),
    want(f"_25._tcp.{HOST}", "TLSA", "3 1 1 " + "ab" * 32, "dane"),
    want(f"autoconfig.{ZONE}", "CNAME", HOST, "autoconfig"),
    want(ZONE, "MX", f"10 {HOST}", "mx"),
    want(ZONE, "TXT", "v=spf1 mx -all", "spf"),
    want(f"_dmarc.{ZONE}", "TXT", "v=DMARC1; p=reject; rua=mailto:postmaster@example.com", "dmarc"),
    want(f"s._domainkey.{ZONE}", "TXT", "v=DKIM1; k=ed25519; p=" + base64.b64encode(b"\x07" * 32).decode(), "dkim-e"),
)


def mark(role: str) -> str:
    return f"mailstead:mailstead:{role}"


def stored(wants: Iterable[Want]) -> list[Have]:
    return [
        Have(w.name, w.type, w.content, w.ttl, id=str(n), comment=mark(w.role)) for n, w in enumerate(wants, start=1)
    ]


THEIRS = (Have(ZONE, "TXT", "site-verification=1", 300, "x1"), Have(f"www.{ZONE}", "A", "192.0.2.80", 300, "x2"))


class World:
    """A zone with its provider and name servers, in order until a test breaks something."""

    def __init__(self, **policy: str) -> None:
        self.options = OPTIONS.for_zone(foreign=ForeignPolicy(**policy))
        self.wants: tuple[Want, ...] = WANTS
        self.unknown: tuple[Want, ...] = ()
        self.live = [*stored(WANTS), *THEIRS]
        self.status = "active"
        self.assigned: tuple[str, ...] = (ADA, BOB)
        self.delegation = Delegation(ZONE, "com", NS, frozenset())
        self.servers = [ServerView(ADA, "192.0.2.1"), ServerView(ADA, "2001:db8::1"), ServerView(BOB, "192.0.2.2")]
        self.keys: frozenset[str] = frozenset()
        #: What single servers serve instead of what the provider has, by address.
        self.serve: dict[str, Callable[[list[Have]], list[Have]]] = {}
        self.changes: dict[str, dict[str, Any]] = {}
        self.read: dict[str, Any] = {}
        self.mistakes: tuple[Problem, ...] = ()
        #: Questions that no server answers.
        self.mute: set[tuple[str, str]] = set()
        #: What the servers were last told: the provider's records unless a test says otherwise.
        self.served: list[Have] | None = None

    def server(self, address: str, **changes: Any) -> None:
        self.changes[address] = {**self.changes.get(address, {}), **changes}

    def edit(self, name: str, rtype: str, **changes: Any) -> Have:
        index = next(i for i, r in enumerate(self.live) if (r.name, r.type) == (name, rtype))
        self.live[index] = dataclasses.replace(self.live[index], **changes)
        return self.live[index]

    def remove(self, name: str, rtype: str) -> None:
        self.live = [r for r in self.live if (r.name, r.type) != (name, rtype)]

    def view(self) -> ZoneView:
        live = Live(tuple(self.live), self.status, self.assigned)
        known = None if self.read else live
        asked = questions(self.wants, known, self.options)
        servers = []
        for server in self.servers:
            records = self.serve.get(server.address, list)(list(self.live if self.served is None else self.served))
            answers = {
                q: Answer(frozenset(r.content for r in records if (r.name, r.type) == q and not r.proxied))
                for q in asked
            }
            answers.update({q: Answer(error="no answer in time", silent=True) for q in self.mute & set(answers)})
            full = dataclasses.replace(server, serial=7, ns=NS, keys=self.keys, answers=answers)
            full = dataclasses.replace(full, **self.changes.get(server.address, {}))
            servers.append(server if full.obstacle and not full.address else full)
        return ZoneView(
            ZONE,
            "cloudflare",
            self.wants,
            self.unknown,
            self.mistakes,
            live=known,
            delegation=self.delegation,
            servers=tuple(servers),
            options=self.options,
            **self.read,
        )

    def compare(self) -> tuple[Finding, ...]:
        return compare([self.view()], OPTIONS)


def trouble(findings: Iterable[Finding]) -> dict[str, str]:
    """Verdict by id and scope of all that is neither in order nor beside the point; each has to be explained."""
    found = [f for f in findings if f.verdict in ("fail", "warn", "unknown")]
    for f in found:
        assert f.title and f.rule and f.area == AREAS[f.id[0]], f
        assert f.observed and (f.fix or f.because or f.verdict == "unknown"), f
    return {f"{f.id} {f.scope}": f.verdict for f in found}


def one(findings: Iterable[Finding], id: str) -> Finding:
    (found,) = [f for f in findings if f.id == id and f.verdict != "pass"]
    return found


# -- in order --------------------------------------------------------------------------------------------------------


def test_a_zone_in_order_has_nothing_to_say_but_passes() -> None:
    findings = World().compare()
    assert trouble(findings) == {}
    assert exit_code(findings) == 0
    passed = [f.id for f in findings if f.verdict == "pass"]
    assert {i: passed.count(i) for i in sorted(set(passed))} == {
        **{"R1": 8, "R2": 8, "R3": 1, "R4": 1, "R5": 1, "R6": 1, "R7": 1},
        **{"S1": 8, "S2": 3, "S3": 1, "Z1": 1, "Z2": 1, "Z3": 1},
    }
    assert [f.id for f in findings if f.verdict == "na"] == ["Z4"]
    assert len({f.key for f in findings}) == len(findings)


def test_every_id_of_the_catalogue_can_pass_and_be_in_trouble() -> None:
    """Guards the tables below: a check that nothing makes fail proves nothing."""
    seen = {case.id.split(" ")[0] for _break, expected in BROKEN.values() for case in map(_Id, expected)}
    assert seen == {c.id for c in CHECKS}
    signed = World()
    sign(signed)
    assert {f.id for f in signed.compare() if f.verdict == "pass"} == {c.id for c in CHECKS}


class _Id:
    def __init__(self, text: str) -> None:
        self.id = text


# -- broken, one thing at a time -------------------------------------------------------------------------------------


def missing(w: World) -> None:
    w.remove(HOST, "A")


def changed(w: World) -> None:
    w.edit(ZONE, "MX", content=f"20 {HOST}")


def shorter(w: World) -> None:
    w.edit(ZONE, "MX", ttl=60)


def proxied(w: World) -> None:
    w.edit(HOST, "A", proxied=True)


def surplus(w: World) -> None:
    w.live.append(Have(f"old.{ZONE}", "A", "198.18.1.9", 3600, "o1", comment=mark("host")))


def foreign_mx(w: World) -> None:
    w.live.append(Have(ZONE, "MX", "5 mx.elsewhere.example.org", 300, "f1"))


def ours_replaced_by_hand(w: World) -> None:
    """Deleted and made anew in the provider's panel: the mark goes with the old one."""
    w.remove(f"_dmarc.{ZONE}", "TXT")
    w.live.append(Have(f"_dmarc.{ZONE}", "TXT", "v=DMARC1; p=none", 300, "f1"))


def alias_in_the_way(w: World) -> None:
    w.remove(HOST, "A")
    w.remove(HOST, "CAA")
    w.live.append(Have(HOST, "CNAME", "elsewhere.example.org", 300, "f1"))


def foreign_spf(w: World) -> None:
    w.live.append(Have(ZONE, "TXT", "v=spf1 include:_spf.example.net ~all", 300, "f1"))


def unmarked(w: World) -> None:
    w.edit(ZONE, "MX", comment="")


def of_another_instance(w: World) -> None:
    w.edit(ZONE, "MX", comment="mailstead:second:mx")


def mark_edited(w: World) -> None:
    w.edit(ZONE, "MX", comment="mailstead:mailstead:something")


def caa_beside(w: World) -> None:
    w.live.append(Have(HOST, "CAA", '0 issue "ca.example.net"', 300, "f1"))


def two_policies(w: World) -> None:
    more = want(f"_mta-sts.{ZONE}", "TXT", "v=STSv1; id=1", "mta-sts")
    w.wants = (*w.wants, more)
    w.live += [*stored([more]), Have(f"_mta-sts.{ZONE}", "TXT", "v=STSv1; id=2", 300, "f2")]


def exchange_is_an_alias(w: World) -> None:
    """A guard that looks at all zones: what the exchange points to has become somebody else's CNAME."""
    more = want(ZONE, "MX", f"20 www.{ZONE}", "mx")
    w.wants = (*w.wants, more)
    w.live = [r for r in w.live if r.name != f"www.{ZONE}"]
    w.live += [*stored([more]), Have(f"www.{ZONE}", "CNAME", "elsewhere.example.org", 300, "f2")]


def not_yet(w: World) -> None:
    w.serve["192.0.2.2"] = lambda records: [r for r in records if r.type != "MX"]


def stale(w: World) -> None:
    w.server("192.0.2.2", serial=6)
    w.serve["192.0.2.2"] = lambda rs: [
        dataclasses.replace(r, content="10 old.example.com") if r.type == "MX" else r for r in rs
    ]


def serials_only(w: World) -> None:
    w.server("192.0.2.2", serial=6)


def behind_the_providers_back(w: World) -> None:
    w.served = [dataclasses.replace(r, content="198.18.1.99") if (r.name, r.type) == (HOST, "A") else r for r in w.live]


def question_fails(w: World) -> None:
    view = {q: Answer(frozenset({f"10 {HOST}"})) for q in [(ZONE, "MX")]}
    w.server("192.0.2.2", answers={**view, (ZONE, "TXT"): Answer(error="SERVFAIL")})


def questions_unanswered(w: World) -> None:
    w.mute = {(ZONE, "MX")}


def lame(w: World) -> None:
    w.server("192.0.2.2", obstacle=REFUSED, error="REFUSED", answers={})


def silent(w: World) -> None:
    w.server("192.0.2.2", obstacle=SILENT, error="no answer in time", answers={})


def silent_twin(w: World) -> None:
    w.server("2001:db8::1", obstacle=SILENT, error="no answer in time", answers={})


def cut_off(w: World) -> None:
    for server in w.servers:
        w.server(server.address, obstacle=SILENT, error="no answer in time", answers={})


def all_lame(w: World) -> None:
    for server in w.servers:
        w.server(server.address, obstacle=REFUSED, error="REFUSED", answers={})


def nowhere(w: World) -> None:
    w.servers = [*w.servers, ServerView("gone.ns.example.net", "", obstacle=REFUSED, error="its name has no address")]


def pending(w: World) -> None:
    w.status = "pending"


def elsewhere(w: World) -> None:
    w.delegation = dataclasses.replace(w.delegation, ns=frozenset({"ns1.old.example.org", "ns2.old.example.org"}))


def half_moved(w: World) -> None:
    """Another provider is still in the delegation and answers with what it has."""
    other = "ns1.old.example.org"
    w.delegation = dataclasses.replace(w.delegation, ns=NS | {other})
    w.servers.append(ServerView(other, "192.0.2.9", provider=False))
    w.server("192.0.2.9", serial=3, ns=frozenset({other}))
    w.serve["192.0.2.9"] = lambda records: [r for r in records if r.type != "MX"]


def zone_says_otherwise(w: World) -> None:
    w.server("192.0.2.2", ns=frozenset({ADA}))


def undelegated(w: World) -> None:
    w.delegation = Delegation("com")


def parent_silent(w: World) -> None:
    w.delegation = Delegation("", error="no server of com answers")


def sign(w: World) -> None:
    w.keys = frozenset({KEY})
    w.delegation = dataclasses.replace(w.delegation, ds=frozenset({ds_of(KEY)}))


def ds_without_keys(w: World) -> None:
    sign(w)
    w.keys = frozenset()


def ds_of_another_key(w: World) -> None:
    sign(w)
    w.keys = frozenset({KEY2})


def ds_left_over(w: World) -> None:
    sign(w)
    w.delegation = dataclasses.replace(w.delegation, ds=frozenset({ds_of(KEY), ds_of(KEY2)}))


def key_missing_on_one(w: World) -> None:
    sign(w)
    w.server("192.0.2.2", keys=frozenset())


def ds_unreadable(w: World) -> None:
    sign(w)
    w.delegation = dataclasses.replace(w.delegation, ds=frozenset({"no ds"}))


def no_ds(w: World) -> None:
    w.keys = frozenset({KEY})


def unreadable(w: World) -> None:
    w.read = {"problems": (Problem("MS-CF-005", f"zone {ZONE}", "cannot be reached", "Look at the network."),)}


def no_such_zone(w: World) -> None:
    w.read = {"absent": True, "problems": (Problem("MS-CF-003", f"zone {ZONE}", "no zone", "Add it."),)}


def unread_and_broken(w: World) -> None:
    unreadable(w)
    behind_the_providers_back(w)


def unread_and_merged(w: World) -> None:
    unreadable(w)
    w.served = [
        dataclasses.replace(r, content="v=spf1 mx include:_spf.example.net -all")
        if r.content.startswith("v=spf1")
        else r
        for r in w.live
    ]


def key_not_told(w: World) -> None:
    w.wants = WANTS[:-1]
    w.unknown = (want(f"<%Y%me>._domainkey.{ZONE}", "TXT", "v=DKIM1; p=<public key>", "dkim-e", unresolved=True),)


def tlsa_not_told(w: World) -> None:
    sign(w)
    w.wants = tuple(x for x in WANTS if x.type != "TLSA")
    w.unknown = (want(f"_25._tcp.{HOST}", "TLSA", "3 1 1 <key>", "dane", unresolved=True),)


def bad_plan(w: World) -> None:
    w.mistakes = (Problem("MS-DNS-001", f"zone {ZONE}: A x.{ZONE}", "'1.2.3' is not an IPv4 address", "Correct it."),)


def _key(seed: int) -> str:
    return f"257 3 13 {base64.b64encode(bytes([seed]) * 64).decode()}"


KEY, KEY2 = _key(1), _key(2)


def ds_of(text: str) -> str:
    key = dnssec.read_key(text)
    assert key is not None
    import hashlib  # noqa: PLC0415

    return f"{key.tag} 13 2 {hashlib.sha256(dnssec.owner_wire(ZONE) + key.wire).hexdigest()}"


Break = Callable[[World], None]
BROKEN: dict[str, tuple[Break, dict[str, str]]] = {
    f.__name__: (f, expected)
    for f, expected in (
        (missing, {f"R1 {HOST}/A": "fail"}),
        (changed, {f"R2 {ZONE}/MX": "fail"}),
        (shorter, {f"R2 {ZONE}/MX": "fail"}),
        (proxied, {f"R2 {HOST}/A": "fail"}),
        (surplus, {f"R3 old.{ZONE}/A": "fail"}),
        (foreign_mx, {f"R4 {ZONE}/MX": "fail"}),
        (
            ours_replaced_by_hand,
            {f"R4 _dmarc.{ZONE}/TXT": "fail", f"R1 _dmarc.{ZONE}/TXT/dmarc": "unknown"},
        ),
        (
            alias_in_the_way,
            {
                f"R4 {HOST}/CNAME": "fail",
                **dict.fromkeys((f"R1 {HOST}/A", f"R1 {HOST}/CAA", f"R7 {ZONE}/MX"), "unknown"),
            },
        ),
        (foreign_spf, {f"R4 {ZONE}/TXT/spf": "fail", f"R3 {ZONE}/TXT/spf": "fail"}),
        (unmarked, {f"R5 {ZONE}/MX": "warn"}),
        (of_another_instance, {f"R5 {ZONE}/MX": "warn"}),
        (mark_edited, {f"R5 {ZONE}/MX": "warn"}),
        (caa_beside, {f"R6 {HOST}/CAA": "warn"}),
        (two_policies, {f"R4 _mta-sts.{ZONE}/TXT": "fail"}),
        (exchange_is_an_alias, {f"R7 {ZONE}/MX": "fail"}),
        (bad_plan, {f"R7 x.{ZONE}/A": "fail"}),
        (not_yet, {f"S1 {ZONE}/MX": "fail"}),
        (stale, {f"S1 {ZONE}/MX": "fail", f"S3 {ZONE}": "warn"}),
        (serials_only, {f"S3 {ZONE}": "warn"}),
        (behind_the_providers_back, {f"S1 {HOST}/A": "fail"}),
        (question_fails, {f"S1 {ZONE}/TXT": "fail"}),
        (questions_unanswered, {f"S1 {ZONE}/MX": "unknown"}),
        (cut_off, {f"S1 {ZONE}": "unknown", **{f"S2 {ZONE}/{s}": "unknown" for s in SERVERS}}),
        (all_lame, {f"S1 {ZONE}": "unknown", **{f"S2 {ZONE}/{s}": "fail" for s in SERVERS}}),
        (lame, {f"S2 {ZONE}/{BOB}/192.0.2.2": "fail"}),
        (silent, {f"S2 {ZONE}/{BOB}/192.0.2.2": "unknown"}),
        (silent_twin, {f"S2 {ZONE}/{ADA}/2001:db8::1": "unknown"}),
        (nowhere, {f"S2 {ZONE}/gone.ns.example.net": "fail"}),
        (pending, {f"Z2 {ZONE}": "fail"}),
        (elsewhere, {f"Z3 {ZONE}": "fail"}),
        (half_moved, {f"Z3 {ZONE}": "fail", f"S1 {ZONE}/MX": "unknown", f"S3 {ZONE}": "unknown"}),
        (zone_says_otherwise, {f"Z3 {ZONE}": "fail"}),
        (undelegated, {f"Z3 {ZONE}": "fail"}),
        (parent_silent, {f"Z3 {ZONE}": "unknown", f"Z4 {ZONE}": "unknown"}),
        (ds_without_keys, {f"Z4 {ZONE}": "fail"}),
        (ds_of_another_key, {f"Z4 {ZONE}": "fail"}),
        (ds_left_over, {f"Z4 {ZONE}": "warn"}),
        (key_missing_on_one, {f"Z4 {ZONE}": "fail"}),
        (ds_unreadable, {f"Z4 {ZONE}": "unknown"}),
        (no_ds, {f"Z4 {ZONE}": "warn"}),
        (unreadable, {f"Z1 {ZONE}": "unknown"}),
        (no_such_zone, {f"Z1 {ZONE}": "fail"}),
        (unread_and_broken, {f"Z1 {ZONE}": "unknown", f"S1 {HOST}/A": "fail"}),
        (unread_and_merged, {f"Z1 {ZONE}": "unknown", f"S1 {ZONE}/TXT": "warn"}),
        (key_not_told, {f"R1 _domainkey.{ZONE}/TXT/dkim-e": "unknown"}),
        (tlsa_not_told, {f"R1 _25._tcp.{HOST}/TLSA/dane": "unknown"}),
    )
}


@pytest.mark.parametrize("name", list(BROKEN))
def test_one_thing_broken_is_one_thing_found(name: str) -> None:
    breaking, expected = BROKEN[name]
    world = World()
    breaking(world)
    findings = world.compare()
    assert trouble(findings) == expected
    assert len({f.key for f in findings}) == len(findings)
    assert exit_code(findings) == (1 if "fail" in expected.values() else 2 if _decides(findings) else 0)


def _decides(findings: Iterable[Finding]) -> bool:
    return any(f.verdict == "unknown" and f.matters for f in findings)


# -- what the findings say -------------------------------------------------------------------------------------------


def broken(*breaks: Break) -> tuple[Finding, ...]:
    world = World()
    for breaking in breaks:
        breaking(world)
    return world.compare()


def test_a_finding_says_what_where_and_what_to_do() -> None:
    found = one(broken(changed), "R2")
    assert found.scope == f"{ZONE}/MX"
    assert found.observed == f"20 {HOST} (TTL 3600)" and found.expected == f"10 {HOST} (TTL 3600)"
    assert "playbooks/dns.yml" in found.fix and "inventory" in found.fix
    assert found.evidence == (
        f"planned                           3600 10 {HOST}.",
        f"provider                          3600 20 {HOST}. ; mailstead:mailstead:mx",
        f"{ADA} [192.0.2.1]    20 {HOST}.",
        f"{ADA} [2001:db8::1]  20 {HOST}.",
        f"{BOB} [192.0.2.2]    20 {HOST}.",
    )


def test_causes_are_named() -> None:
    found = one(broken(ours_replaced_by_hand), "R1")
    assert found.because == (f"R4@_dmarc.{ZONE}/TXT",)
    assert {f.because for f in broken(half_moved) if f.verdict == "unknown"} == {(f"Z3@{ZONE}",)}
    assert set(one(broken(all_lame), "S1").because) == {f"S2@{ZONE}/{s}" for s in SERVERS}


def test_why_a_server_differs_is_said() -> None:
    assert "an older copy of the zone: serial 6, others 7" in one(broken(stale), "S1").observed
    assert "another provider still answers" in one(broken(half_moved), "S1").observed
    assert one(broken(not_yet), "S1").observed == f"{BOB} [192.0.2.2] lacks 10 {HOST}."
    assert "answers SERVFAIL" in one(broken(question_fails), "S1").observed
    everywhere = one(broken(behind_the_providers_back), "S1").observed
    assert everywhere == "each of the 3 servers has 198.18.1.99 instead of 198.18.1.10"
    world = World()
    world.served = [*world.live, Have(HOST, "A", "198.18.1.99", 300)]
    world.server("192.0.2.2", answers={})
    world.serve["192.0.2.2"] = lambda records: records[:-1]
    assert "has 198.18.1.99, which the provider has not" in one(world.compare(), "S1").observed


def test_a_server_that_answers_elsewhere_does_not_decide() -> None:
    (twin,) = [f for f in broken(silent_twin) if f.id == "S2" and f.verdict == "unknown"]
    assert not twin.matters
    world = World()
    world.server("2001:db8::1", obstacle=NO_ROUTE, error="Network is unreachable", answers={})
    findings = world.compare()
    assert trouble(findings) == {}
    assert [f.scope for f in findings if f.verdict == "na"] == [f"{ZONE}/{SERVERS[1]}", ZONE]


def test_a_host_without_any_route_leaves_it_open() -> None:
    world = World()
    for server in world.servers:
        world.server(server.address, obstacle=NO_ROUTE, error="Network is unreachable", answers={})
    findings = world.compare()
    assert {f.verdict for f in findings if f.id[0] == "S"} == {"unknown"} and exit_code(findings) == 2


def test_what_the_provider_answers_itself_is_not_compared() -> None:
    world = World()
    world.live.append(Have(f"web.{ZONE}", "A", "192.0.2.81", 300, "w", comment=mark("web"), proxied=True))
    world.wants = (*world.wants, want(f"web.{ZONE}", "A", "192.0.2.81", "web"))
    served = [f for f in world.compare() if f.id == "S1" and f.verdict == "na"]
    assert [f.scope for f in served] == [f"web.{ZONE}/A"]
    apex = World()
    apex.live.append(Have(ZONE, "CNAME", "cdn.example.net", 300, "w", comment=mark("web")))
    assert [f.scope for f in apex.compare() if f.id == "S1" and f.verdict == "na"] == [f"{ZONE}/CNAME"]


@pytest.mark.parametrize(("field", "verdict"), [("spf", "R4"), ("mx", "R4")])
def test_foreign_policy_replace_still_shows_what_it_will_take(field: str, verdict: str) -> None:
    world = World(**{field: "replace"})
    (foreign_mx if field == "mx" else foreign_spf)(world)
    found = one(world.compare(), verdict)
    assert found.verdict == "fail" and "somebody else's" in found.observed and "foreign policy" in found.fix


def test_a_foreign_record_that_policy_will_rewrite() -> None:
    world = World(dmarc="adopt")
    ours_replaced_by_hand(world)
    found = one(world.compare(), "R4")
    assert found.observed.startswith("somebody else's v=DMARC1; p=none") and "takes it over" in found.fix


def test_what_adopt_will_mark_is_a_lost_mark() -> None:
    world = World(mx="adopt")
    unmarked(world)
    found = one(world.compare(), "R5")
    assert (found.verdict, found.expected) == ("warn", f"comment {mark('mx')!r}")


def test_a_merged_record_that_is_no_longer_wanted_is_ours_to_take_out() -> None:
    world = World()
    world.wants = tuple(w for w in WANTS if w.role != "spf")
    text = "v=spf1 include:_spf.example.net mx ~all"
    from ansible_collections.mailstead.stack.plugins.module_utils.dns.records import Mark, term_hash  # noqa: PLC0415

    merged = Mark("mailstead", "spf", (term_hash("mx"),)).write(100)
    world.live = [*stored(world.wants), Have(ZONE, "TXT", text, 300, "m", comment=merged)]
    assert trouble(world.compare()) == {f"R3 {ZONE}/TXT/spf": "fail"}


def test_surplus_of_a_key_that_nobody_told_is_left_open() -> None:
    """Home is unreachable: its published key must not be called left over."""
    world = World()
    key_not_told(world)
    found = one(world.compare(), "R1")
    assert found.evidence[0].startswith(f"provider  s._domainkey.{ZONE} v=DKIM1")
    # Another role's record at another name is none of it.
    surplus(world)
    assert trouble(world.compare())[f"R3 old.{ZONE}/A"] == "fail"


def test_in_a_zone_without_ds_no_tlsa_is_planned() -> None:
    """The edge, which says whether the zone validates, is away; the parent says enough."""
    world = World()
    tlsa_not_told(world)
    world.keys, world.delegation = frozenset(), dataclasses.replace(world.delegation, ds=frozenset())
    assert trouble(world.compare()) == {}


def test_a_delegation_that_nobody_knows() -> None:
    world = World()
    parent_silent(world)
    world.servers = []
    world.assigned = ()
    assert trouble(world.compare()) == {f"{i} {ZONE}": "unknown" for i in ("S1", "Z3", "Z4")}
    cut_off(world := World())
    world.assigned = ()
    world.delegation = dataclasses.replace(world.delegation, ds=frozenset({ds_of(KEY)}))
    found = {f.id: f for f in world.compare() if f.id in ("Z3", "Z4")}
    assert {f.verdict for f in found.values()} == {"unknown"}


def test_the_api_of_a_provider_that_tells_no_state_or_servers() -> None:
    world = World()
    world.status, world.assigned = "", ()
    findings = world.compare()
    assert trouble(findings) == {} and [f.id for f in findings if f.verdict == "na"] == ["Z2", "Z4"]


def test_assigned_servers_count_when_none_answers() -> None:
    world = World()
    cut_off(world)
    elsewhere(world)
    found = one(world.compare(), "Z3")
    assert found.expected == f"{ADA}, {BOB} (as the provider assigned them)"


def test_long_values_are_shown_where_they_differ() -> None:
    left, right = "v=DKIM1; p=" + "A" * 300 + "B" * 50, "v=DKIM1; p=" + "A" * 300 + "C" * 50
    seen, wanted = contrast(left, right)
    assert seen.startswith("…") and "AB" in seen and "AC" in wanted and max(len(seen), len(wanted)) <= 102
    assert contrast("a", "b") == ("a", "b")
    assert contrast("x" * 300, "x" * 200)[1].endswith("x")


def test_values_of_texts_do_not_spill_into_other_kinds() -> None:
    findings = broken(foreign_spf)
    assert [f.verdict for f in findings if f.id == "R1" and f.scope == f"_dmarc.{ZONE}/TXT/dmarc"] == ["pass"]
    assert [f for f in findings if f.id == "R1" and f.scope == f"{ZONE}/TXT/spf"] == []


# -- overview --------------------------------------------------------------------------------------------------------


def test_the_overview_puts_the_three_views_side_by_side() -> None:
    world = World()
    changed(world)
    not_yet(world)
    view = world.view()
    (found,) = overviews([view], compare([view], OPTIONS))
    assert (found["name"], found["status"], found["verdict"], found["name_servers"]) == (
        ZONE,
        "active",
        "fail",
        [ADA, BOB],
    )
    rows = {(r["name"], r["type"]): r for r in found["records"]}
    assert rows[ZONE, "MX"] == {
        "name": ZONE,
        "type": "MX",
        "planned": [f"10 {HOST}."],
        "live": [f"20 {HOST}."],
        "served": [
            {"values": [], "servers": [f"{BOB} [192.0.2.2]"]},
            {"values": [f"20 {HOST}."], "servers": [f"{ADA} [192.0.2.1]", f"{ADA} [2001:db8::1]"]},
        ],
        "verdict": "fail",
        "checks": ["R2", "S1"],
    }
    assert rows[HOST, "A"]["verdict"] == "pass" and rows[HOST, "A"]["checks"] == []
    assert found["records"][0]["name"] == ZONE


def test_the_overview_of_a_zone_that_could_not_be_read() -> None:
    world = World()
    unreadable(world)
    question_fails(world)
    view = world.view()
    (found,) = overviews([view], compare([view], OPTIONS))
    assert (found["read"], found["status"], found["verdict"]) == (False, "", "fail")
    rows = {(r["name"], r["type"]): r for r in found["records"]}
    assert rows[ZONE, "TXT"]["live"] is None
    assert {"values": ["SERVFAIL"], "servers": [f"{BOB} [192.0.2.2]"]} in rows[ZONE, "TXT"]["served"]


def test_the_overview_shows_what_is_not_known() -> None:
    world = World()
    key_not_told(world)
    sign(world)
    tlsa_not_told_too = want(f"_25._tcp.{HOST}", "TLSA", "3 1 1 <key>", "dane", unresolved=True)
    world.wants = tuple(w for w in world.wants if w.type != "TLSA")
    world.unknown = (*world.unknown, tlsa_not_told_too)
    view = world.view()
    (found,) = overviews([view], compare([view], OPTIONS))
    rows = {(r["name"], r["type"]): r for r in found["records"]}
    key = rows[f"<%Y%me>._domainkey.{ZONE}", "TXT"]
    assert (key["planned"], key["verdict"], key["checks"]) == (None, "unknown", ["R1"])
    assert key["live"][0].startswith(f's._domainkey.{ZONE}. "v=DKIM1')
    tlsa = rows[f"_25._tcp.{HOST}", "TLSA"]
    assert (tlsa["planned"], len(tlsa["live"]), tlsa["verdict"]) == (None, 1, "unknown")
    assert found["verdict"] == "unknown"


def test_two_zones_are_judged_together() -> None:
    """An exchange in one zone whose host another zone has made an alias."""
    first, second = World().view(), World().view()
    other = Have("mx.example.org", "CNAME", "elsewhere.example.org", 300, "c")
    assert second.live is not None
    second = dataclasses.replace(
        second,
        zone="example.org",
        wants=(),
        live=dataclasses.replace(second.live, records=(other,)),
        delegation=dataclasses.replace(second.delegation, cut="example.org"),
    )
    more = want(ZONE, "MX", "20 mx.example.org", "mx")
    assert first.live is not None
    first = dataclasses.replace(
        first,
        wants=(*first.wants, more),
        live=dataclasses.replace(first.live, records=(*first.live.records, *stored([more]))),
    )
    found = [f for f in compare([first, second], OPTIONS) if f.id == "R7" and f.verdict == "fail"]
    assert [f.scope for f in found] == [f"{ZONE}/MX"] and "MS-DNS-021" in found[0].observed
    shown = overviews([first, second], found)
    assert [(z["name"], z["verdict"]) for z in shown] == [(ZONE, "fail"), ("example.org", "na")]


# -- asking again ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("breaking", "again"),
    [(not_yet, ["192.0.2.2"]), (serials_only, ["192.0.2.1", "2001:db8::1", "192.0.2.2"]), (lame, []), (changed, [])],
)
def test_only_what_may_still_change_is_asked_again(breaking: Break, again: list[str]) -> None:
    world = World()
    breaking(world)
    view = world.view()
    assert [s.address for s in view.servers if differs(view, s)] == again


# -- DNSSEC ----------------------------------------------------------------------------------------------------------


def test_ds_and_key_of_the_standards() -> None:
    key = dnssec.read_key(RFC_KEY)
    assert key is not None and key.tag == 60485
    assert dnssec.unmatched(RFC_ZONE, [RFC_DS, RFC_DS_SHA256], [RFC_KEY]) == ([], [RFC_DS, RFC_DS_SHA256])
    assert dnssec.unmatched("other.example.com", [RFC_DS], [RFC_KEY])[0] == [RFC_DS]


@pytest.mark.parametrize(
    ("ds", "fits"),
    [
        (RFC_DS.replace("60485", "60486"), False),
        (RFC_DS.replace(" 5 1", " 8 1"), False),
        (RFC_DS[:-1] + "9", False),
        (RFC_DS.upper(), True),
        ("60485 5 3 00", None),
    ],
)
def test_a_ds_fits_its_key_alone(ds: str, fits: bool | None) -> None:
    record, key = dnssec.read_ds(ds), dnssec.read_key(RFC_KEY)
    assert record is not None and key is not None
    assert dnssec.fits(RFC_ZONE, record, key) is fits
    revoked = dataclasses.replace(key, flags=key.flags | dnssec.REVOKED)
    assert dnssec.fits(RFC_ZONE, record, revoked) is False


@pytest.mark.parametrize("text", ["", "1 2 3", "x 5 1 aa", "70000 3 13 AA==", "256 3 13 !!"])
def test_what_is_no_key_is_not_read(text: str) -> None:
    assert dnssec.read_key(text) is None
    with pytest.raises(ValueError, match="cannot be read"):
        dnssec.unmatched(ZONE, [], [text])


# -- properties ------------------------------------------------------------------------------------------------------

EDITS = st.lists(
    st.sampled_from([b for n, (b, _e) in BROKEN.items() if not n.startswith(("unread", "no_such"))]), max_size=4
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(EDITS)
def test_every_mixture_is_judged_and_nothing_is_said_twice(breaks: list[Break]) -> None:
    """Whatever has come apart at once, every finding has its own name, and only what nothing ails is in order."""
    world = World()
    for breaking in breaks:
        try:
            breaking(world)
        except StopIteration:
            return  # the record to edit is gone already
    view = world.view()
    findings = compare([view], OPTIONS)
    assert len({f.key for f in findings}) == len(findings)
    causes = {f.key for f in findings if f.verdict == "fail"}
    assert all(set(f.because) <= causes for f in findings)
    if not breaks:
        assert exit_code(findings) == 0
    # Without our mark a record's time to live is its owner's business.
    elif not set(breaks) & {unmarked, of_another_instance} and set(breaks) & {
        missing,
        changed,
        shorter,
        surplus,
        foreign_mx,
        lame,
        not_yet,
        behind_the_providers_back,
    }:
        assert exit_code(findings) in (1, 2)
    overviews([view], findings)


@settings(max_examples=150, deadline=None)
@given(st.sets(st.integers(0, len(WANTS) - 1)), st.sets(st.integers(0, len(WANTS) - 1)))
def test_what_a_run_would_do_is_what_has_drifted(gone: set[int], moved: set[int]) -> None:
    """R1 and R2 are exactly the records that are missing or differ; what the servers copy is never blamed on them."""
    world = World()
    world.live = [
        dataclasses.replace(r, ttl=600) if n in moved else r for n, r in enumerate(stored(WANTS)) if n not in gone
    ]
    found = trouble(world.compare())
    scope = {n: f"{w.name}/{w.type}" for n, w in enumerate(WANTS)}
    assert {k.split(" ")[1].removesuffix("/spf").removesuffix("/dmarc").removesuffix("/dkim") for k in found} == {
        scope[n] for n in gone | moved
    }
    assert {k.split(" ")[0] for k in found} == ({"R1"} if gone else set()) | ({"R2"} if moved - gone else set())
