# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module dns_drift on a signed zone of a real Knot, read by transfer under a key that may not write."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import dns.dnssec
import dns.message
import dns.name
import dns.query
import dns.rdatatype
import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.checks.probes.context import Context
from ansible_collections.mailstead.stack.plugins.module_utils.checks.probes.dnsclient import DnsClient
from ansible_collections.mailstead.stack.plugins.module_utils.dns.drift.ask import Asker
from ansible_collections.mailstead.stack.plugins.modules import dns_drift, rfc2136_zone

from tests.unit.cloudflare.support import mail_set
from tests.unit.dns.authority import Authority
from tests.unit.plugins.modules import run_module
from tests.unit.rfc2136.bed import ServerBed
from tests.unit.rfc2136.knot import KEY, READER, SECRET, Knot, needs_knot

ZONE = "example.com"
PARENT = "127.0.0.2"
SERVERS = ("ns1.example.net", "ns2.example.net")
KEYS = ("name", "type", "content", "ttl", "phase", "role", "reason")
ZONES = [{"name": ZONE, "records": [{k: getattr(w, k) for k in KEYS} for w in mail_set(ZONE)]}]


@pytest.fixture(name="bed", scope="module")
def fixture_bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ServerBed, Knot, Authority]]:
    """A published zone, its server and its parent."""
    needs_knot()
    knot = Knot(tmp_path_factory.mktemp("knot"), [ZONE])
    with contextlib.ExitStack() as stack:
        stack.callback(knot.stop)
        knot.start()
        parent = stack.enter_context(Authority({}, address=PARENT, port=knot.port))
        parent.zones = {
            "com": {
                ("com", "NS"): ["a.gtld.example.net."],
                (ZONE, "NS"): [f"{name}." for name in SERVERS],
                (ZONE, "DS"): [ds_of(knot)],
            },
            "net": {
                ("a.gtld.example.net", "A"): [PARENT],
                **{(name, "A"): ["127.0.0.1"] for name in SERVERS},
            },
        }
        key: dict[str, Any] = {"key_name": KEY.name, "key_algorithm": KEY.algorithm, "key_secret": SECRET}
        answer = run_module(rfc2136_zone.main, server="127.0.0.1", port=knot.port, zones=ZONES, **key)
        assert not answer.failed, answer.message
        yield ServerBed("127.0.0.1", knot.port, KEY, ZONE), knot, parent


def ds_of(knot: Knot) -> str:
    """The DS that the zone's owner would set at the registrar."""
    query = dns.message.make_query(ZONE, "DNSKEY")
    answer = dns.query.tcp(query, "127.0.0.1", timeout=5, port=knot.port)
    keys = next(r for r in answer.answer if r.rdtype == dns.rdatatype.DNSKEY)
    return str(dns.dnssec.make_ds(dns.name.from_text(ZONE), next(iter(keys)), "SHA256"))


@pytest.fixture(name="trouble")
def fixture_trouble(bed: tuple[ServerBed, Knot, Authority], monkeypatch: pytest.MonkeyPatch) -> Any:
    _bed, knot, _parent = bed

    def make_asker(grace: float) -> Asker:
        context = Context(vantage="", deadline=time.monotonic() + 30, resolvers=(PARENT,), dns_port=knot.port)
        return Asker(DnsClient(context), knot.port, grace)

    monkeypatch.setattr(dns_drift, "make_asker", make_asker)
    own = {"provider": "rfc2136", "zones": [ZONE], "server": "127.0.0.1", "port": knot.port, "key_name": READER.name}

    def trouble() -> dict[str, str]:
        answer = run_module(dns_drift.main, zones=ZONES, hosts=[{**own, "secret": SECRET}], grace=0)
        assert not answer.failed and SECRET not in answer.raw, answer.message
        found = answer.data["findings"]
        return {f"{f['id']} {f['scope']}": f["verdict"] for f in found if f["verdict"] not in ("pass", "na")}

    return trouble


def test_a_signed_zone_as_published(trouble: Any) -> None:
    assert trouble() == {}


def test_a_zone_that_the_server_does_not_hold(bed: tuple[ServerBed, Knot, Authority], trouble: Any) -> None:
    """That is drift, not something that could not be found out; a key that may not read it is."""
    own = {"provider": "rfc2136", "server": "127.0.0.1", "port": bed[1].port, "secret": SECRET}
    for zone, key, verdict in (("gone.example", READER.name, "fail"), (ZONE, "nobody", "unknown")):
        hosts = [{**own, "zones": [zone], "key_name": key}]
        answer = run_module(dns_drift.main, zones=[{"name": zone, "records": []}], hosts=hosts, grace=0)
        found = next(f for f in answer.data["findings"] if f["id"] == "Z1")
        assert found["verdict"] == verdict, found["observed"]


def test_a_change_by_hand_makes_the_record_theirs(trouble: Any, bed: tuple[ServerBed, Knot, Authority]) -> None:
    server = bed[0]
    server.edit("@", "MX", "20 mail.example.com", 3600)
    assert trouble() == {f"R4 {ZONE}/MX": "fail", f"R1 {ZONE}/MX": "unknown"}
    server.edit("@", "MX", "10 mail.example.com", 3600)
    assert trouble() == {}


def test_a_deletion_by_hand(trouble: Any, bed: tuple[ServerBed, Knot, Authority]) -> None:
    server = bed[0]
    server.drop("mail", "AAAA")
    assert trouble() == {f"R1 mail.{ZONE}/AAAA": "fail"}
    server.put(("mail", "AAAA", "2001:2:0:2::10", 3600))
    assert trouble() == {}


def test_a_ds_of_a_key_that_is_gone(trouble: Any, bed: tuple[ServerBed, Knot, Authority]) -> None:
    parent = bed[2]
    right = parent.zones["com"][(ZONE, "DS")]
    tag, rest = right[0].split(" ", 1)
    parent.zones["com"][(ZONE, "DS")] = [f"{(int(tag) + 1) % 65536} {rest}"]
    assert trouble() == {f"Z4 {ZONE}": "fail"}
    parent.zones["com"][(ZONE, "DS")] = right
    assert trouble() == {}
