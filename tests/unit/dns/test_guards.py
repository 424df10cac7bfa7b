# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must never be published, and what overriding a guard means."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.dns import engine
from ansible_collections.mailstead.stack.plugins.module_utils.dns.codes import GUARDS, OVERRIDES
from ansible_collections.mailstead.stack.plugins.module_utils.dns.guards import check_targets
from ansible_collections.mailstead.stack.plugins.module_utils.dns.records import Have, Options, Want
from ansible_collections.mailstead.stack.plugins.module_utils.dns.spf_cost import Answer, Question
from ansible_collections.mailstead.stack.plugins.module_utils.dns.spf_relief import Known
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.unit.dns.samples import BASIC, DMARC, HOST, SPF, ZONE, actions, codes, diff, ours, theirs, want

MERGED = "v=spf1 ip4:192.0.2.1 include:_spf.google.com ~all"


def rsa_key(bits: int) -> str:
    key = rsa.generate_private_key(65537, bits).public_key()
    return base64.b64encode(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()


def ed_key() -> bytes:
    return ed25519.Ed25519PrivateKey.generate().public_key().public_bytes_raw()


SELECTOR = "202611r._domainkey.example.com"


@pytest.mark.parametrize(
    ("value", "good"),
    [
        (lambda: "k=rsa; p=" + rsa_key(2048), True),
        (lambda: "k=ed25519; p=" + base64.b64encode(ed_key()).decode(), True),
        (lambda: "p=", True),
        (lambda: "k=rsa; p=" + rsa_key(1024), False),
        (lambda: "k=rsa; p=" + rsa_key(2048)[:-20], False),
        (lambda: "k=rsa; p=" + rsa_key(2048)[:255] + '" "' + rsa_key(2048)[255:], False),
        (lambda: "k=ed25519; p=" + rsa_key(2048), False),
        (lambda: "k=rsa; p=" + base64.b64encode(ed_key()).decode(), False),
        (lambda: "k=rsa", False),
        (lambda: "k=dsa; p=AAAA", False),
    ],
)
def test_a_dkim_record_must_hold_a_key(value: Any, good: bool) -> None:
    found = diff([want(SELECTOR, "TXT", "v=DKIM1; " + value(), phase="keys")], [])
    assert codes(found) == ([] if good else ["MS-DNS-016"])


@pytest.mark.parametrize(("role", "bits", "good"), [
    ("dkim-r", 2048, True), ("dkim-tencent_exmail", 1024, True), ("dkim-r", 1024, False),
])  # fmt: skip
def test_a_providers_key_may_be_as_short_as_receivers_verify(role: str, bits: int, good: bool) -> None:
    """Its owner cannot make it longer; the checks warn below 2048 bits."""
    key = rsa_key(bits)
    found = diff([want(SELECTOR, "TXT", f"v=DKIM1; k=rsa; p={key}", phase="keys", role=role)], [])
    assert codes(found) == ([] if good else ["MS-DNS-016"])


@pytest.mark.parametrize(
    ("guard", "wants", "have"),
    [
        ("cname_conflict", [want(HOST, "A", "192.0.2.1"), want(HOST, "CNAME", "x.example.net")], []),
        (
            "delegation",
            [want("mail.sub.example.com", "A", "192.0.2.1")],
            [theirs("sub.example.com", "NS", "ns.example.net")],
        ),
        ("duplicate_policy", [want(ZONE, "TXT", SPF), want(ZONE, "TXT", "v=spf1 a -all")], []),
        ("spf_all", [want(ZONE, "TXT", "v=spf1 a +all")], []),
        ("spf_all", [want(ZONE, "TXT", "v=spf1 all")], []),
        (
            "spf_lookups",
            [want(ZONE, "TXT", "v=spf1 " + " ".join(f"include:{c}.example" for c in "abcdefghijk") + " -all")],
            [],
        ),
        ("dkim_key", [want(SELECTOR, "TXT", "v=DKIM1; p=AAAA")], []),
        ("txt_size", [want(ZONE, "TXT", "x" * 2049)], []),
        ("txt_size", [want(ZONE, "TXT", "x")], [theirs(ZONE, "TXT", str(n) * 2048) for n in range(4)]),
        ("proxied_host", [want(HOST, "A", "192.0.2.1")], [theirs(HOST, "A", "192.0.2.1", proxied=True)]),
        ("last_mx", [], [ours(ZONE, "MX", f"10 {HOST}")]),
        (
            "wildcard_mx",
            [want("_dmarc.shop.example.com", "TXT", DMARC)],
            [theirs("*.example.com", "MX", "10 mx.example.net")],
        ),
        ("delete_limit", [], [ours(f"h{n}.example.com", "A", "192.0.2.1") for n in range(12)]),
        ("delete_limit", [], [ours(f"h{n}.example.com", "A", "192.0.2.1") for n in range(8)]),
    ],
)
def test_each_guard_refuses_and_can_be_overridden(guard: str, wants: list[Want], have: list[Have]) -> None:
    limits: dict[str, Any] = {"max_delete": 7}
    assert GUARDS[guard] in codes(diff(wants, have, **limits))
    assert f"allow: [{guard}]" in diff(wants, have, **limits).problems[0].fix
    assert GUARDS[guard] not in codes(diff(wants, have, allow=(guard,), **limits))


WILDCARD_MX = theirs("*.example.com", "MX", "10 mx.example.net")


@pytest.mark.parametrize(
    ("wants", "have", "expected"),
    [
        # Names that begin to exist and whose mail nobody takes then, also above what is published.
        ([want("shop.example.com", "TXT", SPF)], [WILDCARD_MX], ["MS-DNS-027"]),
        ([want("s1._domainkey.new.shop.example.com", "TXT", "v=DKIM1; p=")], [WILDCARD_MX], ["MS-DNS-027"] * 2),
        ([want("shop.example.com", "TXT", SPF)], [WILDCARD_MX, theirs("www.shop.example.com", "A", "192.0.2.1")], []),
        # Names with an exchanger or an address of their own, those without mail, and a wildcard without mail.
        ([want("shop.example.com", "TXT", SPF), want("shop.example.com", "MX", f"10 {HOST}")], [WILDCARD_MX], []),
        (
            [want("shop.example.com", "TXT", SPF)],
            [WILDCARD_MX, theirs("shop.example.com", "MX", "10 r.example.net")],
            [],
        ),
        ([want(HOST, "A", "192.0.2.1"), want("_dmarc.example.com", "TXT", DMARC)], [WILDCARD_MX], []),
        ([want("shop.example.com", "TXT", SPF)], [theirs("*.example.com", "MX", "0 .")], []),
        # A wildcard elsewhere, and one behind a name that exists.
        ([want("shop.example.com", "TXT", SPF)], [theirs("*.eu.example.com", "MX", "10 mx.example.net")], []),
        (
            [want("new.shop.example.com", "TXT", SPF)],
            [WILDCARD_MX, theirs("shop.example.com", "A", "192.0.2.1")],
            [],
        ),
    ],
)
def test_a_name_does_not_lose_a_wildcards_mx(wants: list[Want], have: list[Have], expected: list[str]) -> None:
    assert codes(diff(wants, have)) == expected


def test_an_exchanger_that_a_later_phase_publishes_is_soon_enough() -> None:
    wants = [want("shop.example.com", "TXT", SPF), want("shop.example.com", "MX", f"10 {HOST}")]
    assert codes(diff(wants, [WILDCARD_MX], through_phase="policy")) == []


def test_the_share_of_deletions_is_looked_at_from_ten_records_on() -> None:
    have = [ours(f"h{n}.example.com", "A", "192.0.2.1") for n in range(10)]
    wants = [want(h.name, h.type, h.content) for h in have]
    assert codes(diff(wants[3:], have)) == [] and codes(diff(wants[4:], have)) == ["MS-DNS-020"]
    assert codes(diff(wants[4:], have, max_delete_percent=40)) == []
    assert codes(diff(wants[9:], have[:9])) == []


def test_replacements_do_not_count_as_deletions() -> None:
    have = [ours(f"h{n}.example.com", "CNAME", "x.example.net") for n in range(12)]
    wants = [want(f"h{n}.example.com", "A", "192.0.2.1") for n in range(12)]
    assert codes(diff(wants, have, max_delete=0)) == []


@pytest.mark.parametrize(
    ("record", "code"),
    [
        (want("mail.example.org", "A", "192.0.2.1"), "MS-DNS-002"),
        (want("mail.badexample.com", "A", "192.0.2.1"), "MS-DNS-002"),
        (want(ZONE, "NS", "ns.example.net", phase="address"), "MS-DNS-003"),
        (want(ZONE, "SOA", "x"), "MS-DNS-003"),
        (want(HOST, "A", "192.0.2.300"), "MS-DNS-001"),
        (want("ma il.example.com", "A", "192.0.2.1"), "MS-DNS-001"),
        (want(HOST, "A", "192.0.2.1", ttl=5), "MS-DNS-004"),
        (want(HOST, "A", "192.0.2.1", phase="later"), "MS-DNS-004"),
        (want(HOST, "A", "192.0.2.1", role="r" * 90), "MS-DNS-006"),
        (want(HOST, "A", "192.0.2.1", role="a b"), "MS-DNS-006"),
        (want(HOST, "A", "192.0.2.1", role=""), "MS-DNS-006"),
        (want(HOST, "CNAME", "Mail.example.com."), "MS-DNS-001"),
        (want("stra\u00dfe.example.com", "A", "192.0.2.1"), "MS-DNS-001"),
        (want(HOST, "AAAA", "fe80::1%eth0"), "MS-DNS-001"),
        (want(ZONE, "TXT", "v=spf1 ip4:x -all"), "MS-DNS-015"),
        (want("@", "A", "192.0.2.1"), "MS-DNS-001"),
        (want(ZONE, "MX", "10 mail"), "MS-DNS-001"),
        (want("_imaps._tcp.example.com", "SRV", "0 1 993 mail."), "MS-DNS-001"),
        (want(HOST, "CNAME", "www"), "MS-DNS-001"),
        (want(ZONE, "TXT", '"v=spf1 -all"'), "MS-DNS-001"),
        (want(SELECTOR, "TXT", '"v=DKIM1; " "p=AAAA"'), "MS-DNS-001"),
    ],
)
def test_mistakes_in_a_wanted_record(record: Want, code: str) -> None:
    assert codes(diff([record], [])) == [code]


def test_all_mistakes_are_told_at_once() -> None:
    wants = [
        want("a.example.org", "A", "192.0.2.1"),
        want(HOST, "A", "x"),
        want(ZONE, "TXT", "v=spf1 +all"),
        *BASIC[:2],
    ]
    assert sorted(codes(diff(wants, [theirs(ZONE, "MX", "1 x.example.net")]))) == [
        "MS-DNS-001",
        "MS-DNS-002",
        "MS-DNS-013",
        "MS-DNS-031",
    ]


def test_the_same_record_twice_counts_once_unless_it_differs() -> None:
    assert len(diff([BASIC[0], BASIC[0]], []).changes) == 1
    assert codes(diff([BASIC[0], want(HOST, "A", "192.0.2.1", ttl=60)], [])) == ["MS-DNS-007"]


def test_read_only_records_are_left_to_their_owner() -> None:
    route = theirs(ZONE, "MX", "5 route1.mx.cloudflare.net", read_only=True)
    for policy in ("merge", "replace", "adopt", "fail"):
        assert codes(diff(BASIC[1:2], [route], {"mx": policy})) == ["MS-DNS-022"]
    spf = theirs(ZONE, "TXT", "v=spf1 include:_spf.mx.cloudflare.net ~all", read_only=True)
    assert codes(diff(BASIC[2:], [spf])) == ["MS-DNS-022"]
    covering = theirs(ZONE, "TXT", MERGED, read_only=True)
    assert diff(BASIC[2:], [covering]).changes == ()
    # A mark on a read-only record is not ours to act on.
    stale = Have(ZONE, "MX", "1 x.example.net", 300, id="1", comment="mailstead:mailstead:mx", read_only=True)
    assert diff([], [stale]).changes == ()


def test_at_the_apex_a_flattened_alias_may_stand_beside_texts() -> None:
    have = [theirs(ZONE, "CNAME", "site.example.net", proxied=True)]
    assert codes(diff(BASIC, have)) == []
    assert codes(diff([want(ZONE, "A", "192.0.2.1")], have)) == ["MS-DNS-010"]


@pytest.mark.parametrize("instance", ["", "a:b", "a b"])
def test_an_instance_whose_mark_could_not_be_read_back_is_refused(instance: str) -> None:
    found = diff(BASIC, [], instance=instance)
    assert codes(found) == ["MS-DNS-006"] and "instance" in found.problems[0].what


def test_what_overriding_means_is_told_for_every_guard() -> None:
    assert list(OVERRIDES) == list(GUARDS) and all(OVERRIDES.values())


@pytest.mark.parametrize(
    ("guard", "record"),
    [
        ("outside_zone", want("mail.example.org", "A", "192.0.2.1")),
        ("ns_soa", want(ZONE, "NS", "ns.example.net", phase="address")),
    ],
)
def test_what_cannot_be_published_is_left_out_when_its_guard_is_overridden(guard: str, record: Want) -> None:
    assert codes(diff([record, BASIC[0]], [])) == [GUARDS[guard]]
    found = diff([record, BASIC[0]], [], allow=(guard,))
    assert actions(found) == [("create", "A", HOST, None, "192.0.2.1")]
    assert found.active == (BASIC[0],)
    assert found.notes[0].startswith(f"{record.type} {record.name}: left out, ")


# -- read-only records -----------------------------------------------------------------------------------------------

ROUTE = theirs(ZONE, "MX", "5 route1.mx.example.net", read_only=True)


@pytest.mark.parametrize(
    ("wanted", "locked"),
    [
        (BASIC[1], ROUTE),
        (BASIC[2], theirs(ZONE, "TXT", "v=spf1 include:_spf.mx.example.net ~all", read_only=True)),
        (BASIC[0], theirs(HOST, "CNAME", "worker.example.net", read_only=True)),
        (want(HOST, "CNAME", "x.example.net"), theirs(HOST, "A", "192.0.2.9", read_only=True)),
    ],
)
@pytest.mark.parametrize("mode", ["owned", "names", "zone"])
def test_a_place_that_the_provider_keeps_can_be_left_to_it(wanted: Want, locked: Have, mode: str) -> None:
    foreign = {"mx": "replace", "other": "replace"}
    other = want("mx2.example.com", "A", "192.0.2.2")
    found = diff([wanted, other], [locked], foreign, mode=mode, confirmed=True)
    assert codes(found) == ["MS-DNS-022"] and "allow: [read_only]" in found.problems[0].fix
    found = diff([wanted, other], [locked], foreign, mode=mode, confirmed=True, allow=("read_only",))
    assert actions(found) == [("create", "A", "mx2.example.com", None, "192.0.2.2")]
    assert found.active == (other,) and "left out" in found.notes[0] and locked.content in found.notes[0]


def test_our_own_records_beside_a_kept_one_stay_when_ours_are_left_out() -> None:
    have = [ROUTE, ours(ZONE, "MX", "10 old.example.com")]
    found = diff([BASIC[1]], have, {"mx": "replace"}, allow=("read_only",))
    assert (actions(found), found.after) == ([], tuple(have))


# -- what SPF records cost -------------------------------------------------------------------------------------------

NETS: dict[Question, Answer] = {
    ("_spf.google.com", "TXT"): ("ok", ["v=spf1 include:_netblocks.google.com ~all"]),
    ("_netblocks.google.com", "TXT"): ("ok", ["v=spf1 ip4:198.51.100.0/24 ~all"]),
    ("ten.example.net", "TXT"): ("ok", ["v=spf1 " + " ".join(f"exists:e{n}.example.net" for n in range(10)) + " -all"]),
}


class Dns:
    """Answers as above, others do not exist; down: none at all."""

    def __init__(self, down: bool = False) -> None:
        self.down = down
        self.asked: list[Question] = []

    def __call__(self, questions: Sequence[Question]) -> dict[Question, Answer]:
        self.asked += questions
        return {} if self.down else {q: NETS.get(q, ("nxdomain", ())) for q in questions}


GOOGLE = theirs(ZONE, "TXT", "v=spf1 include:_spf.google.com ~all")


def spf_want(terms: str, name: str = ZONE) -> Want:
    return want(name, "TXT", f"v=spf1 {terms} -all", role="spf")


def test_a_merge_shows_what_the_record_costs_and_where() -> None:
    found = diff([spf_want("mx"), BASIC[1], BASIC[0]], [GOOGLE], spf_fetch=Dns())
    (merged,) = [c for c in found.changes if c.action == "update"]
    assert merged.reason.endswith("3 of 10 look-ups, 0 of 2 void: mx 1, include:_spf.google.com 2")


def test_nobody_is_asked_in_a_run_without_changes() -> None:
    asker = Dns()
    wants = [spf_want("include:_spf.google.com mx")]
    after = list(diff(wants, [], spf_fetch=asker).after)
    assert asker.asked
    asker.asked.clear()
    assert diff(wants, after, spf_fetch=asker).changes == ()
    other_ttl = [want(ZONE, "TXT", wants[0].content, role="spf", ttl=300)]
    assert len(diff(other_ttl, after, spf_fetch=asker).changes) == 1
    # Taking out our part of a merged record costs nobody anything.
    merged = list(diff([spf_want("mx")], [GOOGLE]).after)
    assert len(diff([], merged, spf_fetch=asker).changes) == 1
    assert asker.asked == []


def test_look_ups_inside_includes_count() -> None:
    wants = [spf_want("include:ten.example.net")]

    found = diff(wants, [], spf_fetch=Dns())
    assert set(codes(found)) == {"MS-DNS-014", "MS-DNS-026"}
    assert "11 of 10 look-ups, 10 of 2 void: include:ten.example.net 11 (10 void)" in found.problems[0].what
    assert codes(diff(wants, [], spf_fetch=Dns(), allow=("spf_lookups",))) == ["MS-DNS-026"]
    assert codes(diff(wants, [], spf_fetch=Dns(), allow=("spf_lookups", "spf_void"))) == []
    # The same in a merge: the other owner's includes are in it.
    full = theirs(ZONE, "TXT", "v=spf1 include:ten.example.net ~all")
    assert codes(diff([spf_want("ip4:192.0.2.1")], [full], spf_fetch=Dns(), allow=("spf_void",))) == ["MS-DNS-014"]


def test_a_record_that_costs_too_much_says_what_can_be_done_about_it() -> None:
    wants = [spf_want("mx ptr include:_spf.google.com include:ten.example.net a:mail.example.com/24"), *BASIC[:2]]
    found = diff(wants, [], spf_fetch=Dns())
    (problem,) = [p for p in found.problems if p.code == "MS-DNS-014"]
    assert problem.fix.startswith("Until at most 10 remain: (1) take out ptr")
    assert (
        "(2) replace a:mail.example.com/24 by ip4:192.0.2.0/24 (saves 1, 1 void fewer); (3) replace mx by ip4:192.0.2.1 (saves 1)"
        in problem.fix
    )
    dearest, cheaper = (
        problem.fix.index("take include:ten.example.net out"),
        problem.fix.index("take include:_spf.google.com out"),
    )
    assert dearest < cheaper and "(saves 11, 10 void fewer)" in problem.fix[dearest:cheaper]
    assert "as a last resort write the addresses behind include:ten.example.net" in problem.fix
    # Who is known to ask for a term.
    senders = (Known("include:ten.example.net", "Ten"), Known("include:_spf.google.com", "Mail", needed=False))
    (problem,) = [p for p in diff(wants, [], spf_fetch=Dns(), spf_senders=senders).problems if p.code == "MS-DNS-014"]
    assert "let Ten send from a name below example.com" in problem.fix
    assert "take out include:_spf.google.com: Mail returns mail to another name" in problem.fix
    only = [spf_want("include:ten.example.net")]
    routed = (Known("include:ten.example.net", "Ten", stays=True), Known("include:ten.example.net", "Eleven"))
    (problem,) = [p for p in diff(only, [], spf_fetch=Dns(), spf_senders=routed).problems if p.code == "MS-DNS-014"]
    assert "remain: take out terms." in problem.fix
    # Before anything is measured, the record's own terms.
    many = "".join(f" a:h{n}.example.com" for n in range(11))
    (problem,) = diff([spf_want(many.strip())], []).problems
    assert "replace a:h0.example.com by the addresses themselves" in problem.fix
    assert "(3) " in problem.fix and "(4) " not in problem.fix


def test_hosts_that_do_not_exist_count_as_void_but_not_ours_to_come() -> None:
    wants = [spf_want("mx a:mail.example.com a:edge.example.com a:x.example.net"), *BASIC[:2]]
    edge = want("edge.example.com", "A", "192.0.2.7", phase="delivery")
    assert codes(diff([*wants, edge], [], spf_fetch=Dns(), through_phase="policy")) == []
    more = [spf_want("a:x.example.net a:gone.example.com a:y.example.net")]
    found = diff(more, [], spf_fetch=Dns())
    assert codes(found) == ["MS-DNS-026"] and "3 of 2 void" in found.problems[0].what


def test_a_dns_that_cannot_be_reached_is_a_note_only() -> None:
    found = diff([spf_want("include:_spf.google.com a:x.example.net mx:y.example.net")], [], spf_fetch=Dns(down=True))
    assert codes(found) == [] and len(found.changes) == 1
    assert "TXT of _spf.google.com could not be looked up" in found.notes[0] and "and 1 more" in found.notes[0]
    assert diff([spf_want("include:_spf.google.com")], []).notes == ()


def test_an_include_without_a_record_is_noted() -> None:
    found = diff([spf_want("include:gone.example.net")], [], spf_fetch=Dns())
    assert codes(found) == []
    assert "permerror" in found.notes[0] and "gone.example.net publishes no SPF record" in found.notes[0]


def test_a_lax_spf_of_theirs_stops_a_merge_but_not_a_run_that_leaves_it_alone() -> None:
    lax = theirs(ZONE, "TXT", "v=spf1 mx +all")
    assert codes(diff([spf_want("ip4:192.0.2.1")], [lax])) == ["MS-DNS-013"]
    assert diff([spf_want("mx")], [lax]).changes == ()


# -- hosts behind mail records, across zones -------------------------------------------------------------------------

HTTPS_SRV = want("_jmap._tcp.example.com", "SRV", f"0 1 443 {HOST}")
IMAPS_SRV = want("_imaps._tcp.example.com", "SRV", f"0 1 993 {HOST}")
TLSA = want(f"_25._tcp.{HOST}", "TLSA", "3 1 1 " + "ab" * 32)


@pytest.mark.parametrize(
    ("wanted", "host", "expected"),
    [
        (BASIC[1], theirs(HOST, "A", "192.0.2.1", proxied=True), ["MS-DNS-018"]),
        (IMAPS_SRV, theirs(HOST, "AAAA", "2001:db8::1", proxied=True), ["MS-DNS-018"]),
        (TLSA, theirs(HOST, "A", "192.0.2.1", proxied=True), ["MS-DNS-018"]),
        (HTTPS_SRV, theirs(HOST, "A", "192.0.2.1", proxied=True), []),
        (BASIC[1], theirs(HOST, "CNAME", "x.example.net"), ["MS-DNS-021"]),
        (BASIC[1], theirs(HOST, "CNAME", "x.example.net", proxied=True), ["MS-DNS-018", "MS-DNS-021"]),
        (BASIC[1], theirs(HOST, "A", "192.0.2.1"), []),
        (want(ZONE, "MX", "0 ."), theirs(HOST, "A", "192.0.2.1", proxied=True), []),
    ],
)
def test_a_mail_host_of_any_zone_is_neither_proxied_nor_an_alias(wanted: Want, host: Have, expected: list[str]) -> None:
    options = Options(allow=())
    mail, hosts = engine.diff(ZONE, [wanted], [], options), engine.diff("example.com", [], [host], options)
    found = check_targets([mail, hosts], options)
    assert [p.code for p in found] == expected
    names = tuple(name for name, code in GUARDS.items() if code in expected)
    assert check_targets([mail, hosts], Options(allow=names)) == []


WILD = theirs("*.example.com", "A", "192.0.2.9", proxied=True)


@pytest.mark.parametrize(
    ("host", "beside", "expected"),
    [
        (WILD, [], ["MS-DNS-018"]),
        (theirs("*.example.com", "CNAME", "web.example.net"), [], ["MS-DNS-021"]),
        (theirs("*.example.com", "A", "192.0.2.9"), [], []),
        (WILD, [theirs(HOST, "A", "192.0.2.1")], []),
        # What exists keeps the wildcard away: the name itself, names below it, and a nearer parent (RFC 4592 §2.2.2, §3.3.1).
        (WILD, [theirs(HOST, "TXT", "x")], []),
        (WILD, [theirs(f"_25._tcp.{HOST}", "TXT", "x")], []),
        (theirs("*.example.net", "A", "192.0.2.9", proxied=True), [], []),
        (theirs("x.example.net", "A", "192.0.2.9", proxied=True), [], []),
    ],
)
def test_a_wildcard_may_be_what_answers_for_a_mail_host(host: Have, beside: list[Have], expected: list[str]) -> None:
    diff_of = engine.diff(ZONE, [BASIC[1]], [host, *beside], Options())
    found = check_targets([diff_of], Options())
    assert [p.code for p in found] == expected
    assert all("by *.example.com" in p.what for p in found)


def test_a_wildcard_stands_for_deep_names_and_for_no_other_zones() -> None:
    deep = want(ZONE, "MX", "10 a.b.c.example.com")
    for below, expected in (([], ["MS-DNS-018"]), ([theirs("x.c.example.com", "A", "192.0.2.1")], [])):
        assert [
            p.code for p in check_targets([engine.diff(ZONE, [deep], [WILD, *below], Options())], Options())
        ] == expected
    zones = [engine.diff(ZONE, [deep], [WILD], Options()), engine.diff("c.example.com", [], [], Options())]
    assert check_targets(zones, Options()) == []


def test_addresses_of_one_host_are_one_problem() -> None:
    host = [theirs(HOST, t, a, proxied=True) for t, a in (("A", "192.0.2.1"), ("AAAA", "2001:db8::1"))]
    assert len(check_targets([engine.diff(ZONE, [BASIC[1]], host, Options())], Options())) == 1


def test_one_host_in_the_way_is_named_once_per_place() -> None:
    """A name whose records are wrong by themselves is not told again for what follows from that."""
    wants = [want(HOST, "A", "192.0.2.1"), want(HOST, "CNAME", "x.example.net"), want(HOST, "TXT", "v=spf1 +all")]
    assert codes(diff(wants, [])) == ["MS-DNS-013", "MS-DNS-010"]
    both = [want(HOST, "CNAME", "x.example.net"), want(HOST, "CNAME", "y.example.net")]
    found = diff(both, [])
    assert codes(found) == ["MS-DNS-010"] and "another CNAME" in found.problems[0].what
