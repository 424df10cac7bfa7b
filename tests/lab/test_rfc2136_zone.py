# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Zones on a name server of one's own, in the lab: the suite of all hosts of zones, and what the world then sees.

Two signed zones, one of them reverse, on the lab's Knot, changed under a key that may change no other.
"""

from __future__ import annotations

import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import dns.update
import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError
from ansible_collections.mailstead.stack.plugins.module_utils.rfc2136.axfr import RR
from ansible_collections.mailstead.stack.plugins.module_utils.rfc2136.link import Connection, Key

from lab import faults, names, netns, secrets
from lab.dns import TSIG_ALGORITHM
from lab.topology import CONTROLLER, RESOLVER
from tests.unit.cloudflare.support import want
from tests.unit.dns.conformance import Conformance, run, values, wanted
from tests.unit.rfc2136.bed import ServerBed

pytestmark = pytest.mark.lab

FORWARD, REVERSE = names.OWN_ZONES


class FromController(Connection):
    """Exchanges as the lab's controller makes them, from its network."""

    def transfer(self, zone: str) -> list[RR]:
        return netns.call(CONTROLLER.namespace, lambda: super(FromController, self).transfer(zone))

    def send(self, message: dns.update.UpdateMessage) -> dns.rcode.Rcode:
        return netns.call(CONTROLLER.namespace, lambda: super(FromController, self).send(message))


class LabBed(ServerBed):
    def link(self, timeout: float = 5.0) -> Connection:
        return FromController(self._server, timeout)


def bed_of(zone: str, key: str = names.OWN_KEY) -> LabBed:
    server = next(s for s in names.SERVERS if s.role == "reverse")
    return LabBed(server.ipv4()[0], 53, Key(key, TSIG_ALGORITHM, secrets.load().tsig()[key]), zone)


@pytest.fixture(name="bed")
def fixture_bed() -> LabBed:
    bed = bed_of(FORWARD)
    bed.reset()
    return bed


class TestForward(Conformance):
    """The suite, in the forward zone."""


def validated(name: str, rtype: str) -> set[str]:
    """What the lab's validating resolver answers; the test fails when the answer does not validate."""
    # The whole zone: a cached NSEC record would deny the name without a question (RFC 8198).
    faults.flush(FORWARD if name.endswith(FORWARD) else REVERSE)
    query = dns.message.make_query(name, rtype, want_dnssec=True)
    answer = netns.call(CONTROLLER.namespace, lambda: dns.query.tcp(query, RESOLVER, timeout=10))
    assert answer.rcode() == dns.rcode.NOERROR and answer.flags & dns.flags.AD, answer.to_text()
    return {
        item.to_text() for rrset in answer.answer if rrset.rdtype == dns.rdatatype.from_text(rtype) for item in rrset
    }


def test_the_world_sees_what_was_published_and_it_validates(bed: LabBed) -> None:
    """A name and its reverse, in two zones, changed from alias to address on the way."""
    host, reverse = f"mail.{FORWARD}", bed_of(REVERSE)
    reverse.reset()
    # An alias of a name that exists: knotd answers for the target too, even when only the alias is asked for.
    run(bed, [want(host, "CNAME", "resolver.example.org", "address", "host")])
    assert validated(host, "CNAME") == {"resolver.example.org."}
    run(bed, [want(host, "A", "198.18.3.25", "address", "host")])
    run(reverse, [want(f"25.{REVERSE}", "PTR", host, "address", "ptr")])
    assert validated(host, "A") == {"198.18.3.25"}
    assert validated(f"25.{REVERSE}", "PTR") == {f"{host}."}
    for zone in (bed, reverse):
        run(zone, [])
        assert zone.world() == []


def test_the_suite_holds_for_a_reverse_zone_too() -> None:
    bed = bed_of(REVERSE)
    bed.reset()
    bed.put(("1", "PTR", "other.example.net", 3600))
    before = bed.world()
    pointers = [want(f"{n}.{REVERSE}", "PTR", f"h{n}.{FORWARD}", "address", "ptr") for n in range(2, 60)]
    run(bed, pointers)
    assert values(bed) == wanted(pointers) | {(f"1.{REVERSE}", "PTR", "other.example.net")}
    assert run(bed, pointers).diff.changes == ()
    run(bed, [], allow=("delete_limit",))
    assert bed.world() == before
    bed.reset()


def test_another_key_may_not_touch_them() -> None:
    with pytest.raises(MailsteadError) as caught:
        run(bed_of(FORWARD, names.PTR_KEY), [])
    assert [p.code for p in caught.value.problems] == ["MS-DNS-053"]
