# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is peculiar to zones kept by DNS updates: keys, transfers, times to live, verdicts, sizes, DNSSEC.

What every host of zones has to keep to is in tests/unit/dns/test_conformance.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import dns.update
import dns.zone
import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError
from ansible_collections.mailstead.stack.plugins.module_utils.dns.provider import (
    RefusedError,
    UnclearError,
    Zone,
)
from ansible_collections.mailstead.stack.plugins.module_utils.dns.records import Change, Have
from ansible_collections.mailstead.stack.plugins.module_utils.rfc2136 import codes
from ansible_collections.mailstead.stack.plugins.module_utils.rfc2136.axfr import RR
from ansible_collections.mailstead.stack.plugins.module_utils.rfc2136.link import (
    Connection,
    Key,
    NoAnswerError,
    Server,
)
from ansible_collections.mailstead.stack.plugins.module_utils.rfc2136.registry import digest
from ansible_collections.mailstead.stack.plugins.module_utils.rfc2136.sets import make_item
from ansible_collections.mailstead.stack.plugins.module_utils.rfc2136.zone import LIMITS, UpdateProvider, connection_of

from tests.unit.cloudflare.support import mail_set, want
from tests.unit.dns.authority import Authority
from tests.unit.dns.conformance import FREE, Intercepted, run, values, wanted
from tests.unit.rfc2136.bed import ServerBed
from tests.unit.rfc2136.knot import KEY, READER, SECRET, WRITER, Knot, needs_knot

REVERSE = "1.18.198.in-addr.arpa"
PLAIN = "example.org"
ZONE = Zone("example.com", "example.com", LIMITS)
HEAD = "@ 3600 SOA ns1 hostmaster 1 2 3 4 5\n@ 3600 NS ns1.example.net.\n"
MARK = "mailstead:mailstead:host"


def problem(error: pytest.ExceptionInfo[MailsteadError]) -> tuple[str, str]:
    (found,) = error.value.problems
    assert found.code in codes.CODES and found.where and found.fix
    assert SECRET not in str(error.value)
    return found.code, found.what


# -- against Knot ----------------------------------------------------------------------------------------------------


@pytest.fixture(name="knot", scope="module")
def fixture_knot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Knot]:
    needs_knot()
    knot = Knot(tmp_path_factory.mktemp("knot"), ["example.com", REVERSE, PLAIN], unsigned=[PLAIN])
    try:
        yield knot.start()
    finally:
        knot.stop()


@pytest.fixture(name="bed")
def fixture_bed(knot: Knot) -> ServerBed:
    bed = ServerBed("127.0.0.1", knot.port, KEY, "example.com")
    bed.reset()
    return bed


def test_a_run_costs_a_transfer_and_for_a_change_an_update_and_another(bed: ServerBed) -> None:
    first, second = bed.provider(), bed.provider()
    run(bed, mail_set(), provider=first)
    run(bed, mail_set(), provider=second)
    assert (first.requests, second.requests) == ({"example.com": 3}, {"example.com": 1})


def test_the_zone_stays_signed_and_validates(bed: ServerBed, knot: Knot) -> None:
    run(bed, mail_set())
    query = dns.message.make_query("example.com", "MX", want_dnssec=True)
    answer = dns.query.tcp(query, "127.0.0.1", timeout=5, port=knot.port)
    assert {rrset.rdtype for rrset in answer.answer} == {dns.rdatatype.MX, dns.rdatatype.RRSIG}


def test_an_unsigned_zone_and_a_reverse_zone_are_zones_like_any_other(knot: Knot) -> None:
    plain = ServerBed("127.0.0.1", knot.port, KEY, PLAIN)
    run(plain, mail_set(PLAIN))
    assert values(plain) == wanted(mail_set(PLAIN))
    reverse = ServerBed("127.0.0.1", knot.port, KEY, REVERSE)
    reverse.put(("11", "PTR", "other.example.net", 3600))
    before = reverse.world()
    pointer = [want(f"10.{REVERSE}", "PTR", "mail.example.com", "address", "ptr")]
    run(reverse, pointer)
    assert values(reverse) == wanted(pointer) | {(f"11.{REVERSE}", "PTR", "other.example.net")}
    moved = [want(f"10.{REVERSE}", "PTR", "mx.example.com", "address", "ptr")]
    assert [c.action for c in run(reverse, moved).written] == ["update"]
    run(reverse, [])
    assert reverse.world() == before


def test_a_time_to_live_shared_with_somebody_else_stays_theirs(bed: ServerBed) -> None:
    bed.put(("@", "TXT", "google-site-verification=abc", 86400))
    spf = [want("example.com", "TXT", "v=spf1 -all", "policy", "spf", ttl=600)]
    result = run(bed, spf)
    assert any("TXT example.com: the time to live is 86400 s instead of 600 s" in note for note in result.notes)
    assert {row[1] for row in bed.world() if row[0] == "example.com."} == {"86400"}
    assert run(bed, spf).diff.changes == ()
    # When the other one leaves, it is ours again.
    message = dns.update.UpdateMessage("example.com.")
    message.delete("@", "TXT", '"google-site-verification=abc"')
    bed.send(message)
    assert run(bed, spf).written
    assert {row[1] for row in bed.world() if row[0] == "example.com."} == {"600"}
    assert run(bed, spf).diff.changes == ()


def test_among_ours_the_shortest_time_to_live_counts(bed: ServerBed) -> None:
    wants = [want("mail.example.com", "A", f"198.18.1.{n}", "address", "host", ttl=n * 100) for n in (3, 6)]
    run(bed, wants)
    assert {row[1] for row in bed.world() if row[0] == "mail.example.com."} == {"300"}
    assert run(bed, wants).diff.changes == ()
    run(bed, wants[1:])
    assert {row[1] for row in bed.world() if row[0] == "mail.example.com."} == {"600"}


def test_an_alias_is_not_lost_when_somebody_adds_data_to_its_name(bed: ServerBed) -> None:
    """The server would drop the alias without a word: the update requires that there is nothing else."""

    def meddle(kind: str, number: int) -> None:
        if kind == "write" and number == 1:
            bed.put(("autoconfig", "TXT", "note", 300))

    alias = [want("autoconfig.example.com", "CNAME", "mail.example.net", "address", "autoconfig")]
    with pytest.raises(MailsteadError) as caught:
        run(bed, alias, provider=Intercepted(bed.provider(), before=meddle))
    assert [p.code for p in caught.value.problems] == ["MS-DNS-010"]
    assert values(bed) == {("autoconfig.example.com", "TXT", "note")}


def test_an_alias_at_the_top_is_refused(bed: ServerBed) -> None:
    with pytest.raises(MailsteadError) as caught:
        run(bed, [want("example.com", "CNAME", "mail.example.net", "address", "web")])
    assert problem(caught)[0] == "MS-DNS-073"
    assert bed.world() == []


def test_what_is_too_large_for_one_message_is_divided(bed: ServerBed) -> None:
    wants = [want(f"h{n}.example.com", "TXT", f"{n} " + "x" * 1900, "policy", "note") for n in range(70)]
    provider = bed.provider()
    run(bed, wants, provider=provider)
    assert provider.requests["example.com"] > 3
    assert values(bed) == wanted(wants)
    assert run(bed, wants).diff.changes == ()
    run(bed, [], allow=FREE, max_delete=100, max_delete_percent=100)
    assert bed.world() == []


def test_one_name_that_is_too_large_is_refused(bed: ServerBed) -> None:
    batch = [create("h.example.com", "TXT", f"{n} " + "x" * 2000) for n in range(40)]
    provider = bed.provider()
    with pytest.raises(RefusedError) as caught:
        provider.write(ZONE, batch)
    assert caught.value.problem.code == "MS-DNS-074" and not caught.value.stale
    assert len(provider.split(batch, ZONE)) > 1


@pytest.mark.parametrize(
    ("key", "code", "words"),
    [
        (Key("mailstead-test", "hmac-sha256", "d3Jvbmc="), "MS-DNS-053", "BADSIG"),
        (Key("nobody", "hmac-sha256", SECRET), "MS-DNS-053", "BADKEY"),
        (Key("mailstead-test", "hmac-sha256", "not base64!"), "MS-DNS-053", "malformed"),
        # Knot says so to a key it knows that may do something else.
        (WRITER, "MS-DNS-053", "does not let it do this"),
        (None, "MS-DNS-071", "a request without a key"),
    ],
)
def test_a_key_that_may_not_read(bed: ServerBed, knot: Knot, key: Key | None, code: str, words: str) -> None:
    provider = UpdateProvider(Connection(Server("127.0.0.1", knot.port, key)))
    with pytest.raises(MailsteadError) as caught:
        run(bed, mail_set(), provider=provider)
    found = problem(caught)
    assert found[0] == code and words in found[1]


def test_a_key_that_may_read_and_not_write(bed: ServerBed, knot: Knot) -> None:
    provider = UpdateProvider(Connection(Server("127.0.0.1", knot.port, READER)))
    assert run(bed, mail_set(), provider=provider, check=True).diff.changes
    with pytest.raises(MailsteadError) as caught:
        run(bed, mail_set(), provider=provider)
    assert problem(caught)[0] == "MS-DNS-053"
    assert bed.world() == []


def test_a_zone_that_the_server_does_not_hold(bed: ServerBed) -> None:
    for name, words in (("example.net", "no zone of this name"), ("sub.example.com", "in its zone example.com")):
        bed.zone = name
        with pytest.raises(MailsteadError) as caught:
            run(bed, [])
        found = problem(caught)
        assert found[0] == "MS-DNS-070" and words in found[1]


def test_the_zones_name_servers_are_known_once_it_is_read(bed: ServerBed) -> None:
    provider = bed.provider()
    assert provider.identify(ZONE).name_servers == ("ns1.example.net", "ns2.example.net")
    assert provider.identify(ZONE) and provider.requests == {"example.com": 1}
    assert provider.quota(ZONE) is None


# -- verdicts, without a server ----------------------------------------------------------------------------------------


class Scripted(Connection):
    """A connection whose transfers show texts one after the other and whose updates get the verdicts given."""

    def __init__(self, *zones: str, verdicts: Sequence[Any] = (dns.rcode.NOERROR,)) -> None:
        super().__init__(Server("ns.example.net", 53, KEY))
        self._zones, self._verdicts = list(zones), list(verdicts)

    def transfer(self, zone: str) -> list[RR]:
        text = self._zones.pop(0)
        if not text:
            raise self._failure("the transfer broke off")
        found = dns.zone.from_text(HEAD + text, zone + ".", relativize=False, check_origin=False)
        return list(found.iterate_rdatas())

    def send(self, message: dns.update.UpdateMessage) -> dns.rcode.Rcode:
        verdict = self._verdicts.pop(0)
        if isinstance(verdict, Exception):
            raise verdict
        return dns.rcode.Rcode(verdict)


def create(name: str, rtype: str, content: str) -> Change:
    return Change("create", None, Have(name, rtype, content, 3600, comment=MARK), "")


ADDRESS = [create("mail.example.com", "A", "198.18.1.1")]


@pytest.mark.parametrize(
    ("verdict", "code", "stale"),
    [
        (dns.rcode.YXDOMAIN, "MS-DNS-072", True),
        (dns.rcode.YXRRSET, "MS-DNS-072", True),
        (dns.rcode.NXDOMAIN, "MS-DNS-072", True),
        (dns.rcode.NXRRSET, "MS-DNS-072", True),
        (dns.rcode.FORMERR, "MS-DNS-072", False),
        (dns.rcode.NOTZONE, "MS-DNS-072", False),
        (dns.rcode.NOTIMP, "MS-DNS-072", False),
        (dns.rcode.REFUSED, "MS-DNS-053", False),
        (dns.rcode.NOTAUTH, "MS-DNS-053", False),
    ],
)
def test_a_verdict_that_is_no(verdict: dns.rcode.Rcode, code: str, stale: bool) -> None:
    with pytest.raises(RefusedError) as caught:
        UpdateProvider(Scripted("\n", verdicts=[verdict])).write(ZONE, ADDRESS)
    assert (caught.value.problem.code, caught.value.stale) == (code, stale)
    assert dns.rcode.to_text(verdict) in caught.value.problem.what and caught.value.problem.fix


@pytest.mark.parametrize("verdict", [dns.rcode.SERVFAIL, NoAnswerError("the connection was closed")])
def test_a_verdict_that_says_nothing(verdict: Any) -> None:
    with pytest.raises(UnclearError):
        UpdateProvider(Scripted("\n", verdicts=[verdict])).write(ZONE, ADDRESS)


def test_an_accepted_update_that_does_not_show_is_looked_at_again() -> None:
    with pytest.raises(UnclearError, match=r"TXT _mailstead\.example\.com is not as it was sent"):
        UpdateProvider(Scripted("\n", "mail 3600 A 198.18.1.2\n")).write(ZONE, ADDRESS)
    with pytest.raises(UnclearError, match="but then: the transfer broke off"):
        UpdateProvider(Scripted("\n", "")).write(ZONE, ADDRESS)


def test_a_time_to_live_that_the_server_changes_is_told() -> None:
    entry = f"{MARK} A mail 3600 {digest(make_item('A', '198.18.1.1').to_digestable())}"
    stored = f'mail 60 A 198.18.1.1\n_mailstead 300 TXT "{entry}"\n'
    notes = UpdateProvider(Scripted("\n", stored)).write(ZONE, ADDRESS).notes
    assert notes == ("A mail.example.com: the server made the time to live 60 s of 3600 s",)


def test_a_message_that_is_too_large_is_not_sent() -> None:
    batch = [create(f"h{n}.example.com", "TXT", f"{n} " + "x" * 1900) for n in range(40)]
    with pytest.raises(RefusedError) as caught:
        UpdateProvider(Scripted("\n", verdicts=[])).write(ZONE, batch)
    assert caught.value.problem.code == "MS-DNS-074" and "the message" in caught.value.problem.what


def test_data_that_is_none_is_refused() -> None:
    with pytest.raises(RefusedError) as caught:
        UpdateProvider(Scripted("\n")).write(ZONE, [create("mail.example.com", "NAPTR", "rubbish")])
    assert caught.value.problem.code == "MS-DNS-001"
    assert UpdateProvider(Scripted("\n")).split([create("m.example.com", "NAPTR", "x")], ZONE)


def test_a_record_that_is_gone_makes_it_stale() -> None:
    gone = Change("delete", Have("mail.example.com", "A", "198.18.1.1", 300, id="A mail.example.com 0"), None, "")
    with pytest.raises(RefusedError) as caught:
        UpdateProvider(Scripted("\n")).write(ZONE, [gone])
    assert caught.value.stale


# -- the connection --------------------------------------------------------------------------------------------------

PARAMS = {
    "server": "127.0.0.1",
    "port": 53,
    "key_name": "k",
    "key_algorithm": "hmac-sha256",
    "key_secret": SECRET,
    "timeout": 1,
}


def test_options_that_cannot_be_used() -> None:
    assert connection_of(PARAMS).server.key == Key("k", "hmac-sha256", SECRET)
    with pytest.raises(MailsteadError) as caught:
        connection_of({**PARAMS, "port": 70000, "key_secret": "not base64!"})
    assert [p.code for p in caught.value.problems] == ["MS-DNS-075", "MS-DNS-075"]
    assert "not base64!" not in str(caught.value)


def test_a_server_that_hangs_up_is_asked_again_for_a_transfer_but_not_for_an_update() -> None:
    with Authority({"example.com": {}}, KEY.ring(), deaf=99) as server:
        link = Connection(Server("127.0.0.1", server.port, KEY), timeout=0.3)
        with pytest.raises(MailsteadError) as caught:
            link.transfer("example.com")
        assert problem(caught)[0] == "MS-DNS-052" and server.deaf == 96
        with pytest.raises(NoAnswerError):
            link.send(dns.update.UpdateMessage("example.com."))
        assert server.deaf == 95
