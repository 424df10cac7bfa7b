# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A zone with its provider and name servers in memory, and each way in which planned, live and served may come apart."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

from ansible_collections.mailstead.stack.plugins.module_utils.checks.finding import Finding
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import Problem
from ansible_collections.mailstead.stack.plugins.module_utils.dns.drift import dnssec
from ansible_collections.mailstead.stack.plugins.module_utils.dns.drift.catalogue import AREAS
from ansible_collections.mailstead.stack.plugins.module_utils.dns.drift.compare import compare
from ansible_collections.mailstead.stack.plugins.module_utils.dns.drift.views import (
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

ZONE = "example.com"
HOST = f"mail.{ZONE}"
ADA, BOB = "ada.ns.example.net", "bob.ns.example.net"
NS = frozenset({ADA, BOB})
SERVERS = (f"{ADA}/192.0.2.1", f"{ADA}/2001:db8::1", f"{BOB}/192.0.2.2")
OPTIONS = Options()


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


# -- ways to break it ------------------------------------------------------------------------------------------------


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
