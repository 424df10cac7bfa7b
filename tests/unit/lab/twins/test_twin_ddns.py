# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write-through: the UPDATE messages themselves, and a real signed Knot where knotd is installed."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dns.message
import dns.name
import dns.rdata
import dns.rdatatype
import dns.tsigkeyring
import dns.update
import pytest

from lab.twins.cloudflare import Twin, TwinConfig
from lab.twins.cloudflare.config import Ddns, Proxy, Zone
from lab.twins.cloudflare.ddns import DdnsPublisher, build_update, split_changes
from lab.twins.cloudflare.served import RRset, bodies, differences, served_sets
from lab.twins.cloudflare.state import PublishError
from lab.twins.cloudflare.store import FileStore
from tests.unit.lab.twins.conftest import TOKEN, Api

SECRET = base64.b64encode(b"lab secret of no value whatever.").decode()
ZONE = Zone("example.com")


def rrset(type_: str, *texts: str, ttl: int = 300) -> RRset:
    return RRset(ttl, frozenset(dns.rdata.from_text("IN", type_, text) for text in texts))


def lines(update: dns.update.UpdateMessage) -> list[str]:
    """The update section after a trip over the wire."""
    parsed = dns.message.from_wire(update.to_wire())
    assert isinstance(parsed, dns.update.UpdateMessage)
    return [line for entry in parsed.update for line in entry.to_text().splitlines()]


# -- pure ------------------------------------------------------------------------------------------------------------


def test_every_changed_set_is_deleted_before_anything_is_added() -> None:
    changes: dict[tuple[str, str], RRset | None] = {
        ("example.com", "MX"): rrset("MX", "10 mail.example.com.", "20 mx2.example.com."),
        ("old.example.com", "A"): None,
    }
    assert lines(build_update("example.com", changes)) == [
        "example.com. ANY MX",
        "old.example.com. ANY A",
        "example.com. 300 IN MX 10 mail.example.com.",
        "example.com. 300 IN MX 20 mx2.example.com.",
    ]


def test_a_name_that_gets_a_cname_is_deleted_as_a_whole() -> None:
    changes: dict[tuple[str, str], RRset | None] = {
        ("www.example.com", "A"): None,
        ("www.example.com", "CNAME"): rrset("CNAME", "x.example.net."),
    }
    assert lines(build_update("example.com", changes)) == [
        "www.example.com. ANY ANY",
        "www.example.com. 300 IN CNAME x.example.net.",
    ]


def test_the_message_is_signed() -> None:
    ring = dns.tsigkeyring.from_text({"mailstead-twin": ("hmac-sha256", SECRET)})
    update = build_update("example.com", {("a.example.com", "A"): None}, ring[dns.name.from_text("mailstead-twin")])
    parsed = dns.message.from_wire(update.to_wire(), keyring=ring)
    assert parsed.had_tsig and parsed.keyname == dns.name.from_text("mailstead-twin")


def test_one_change_is_one_message_unless_it_cannot_be() -> None:
    def sets(count: int) -> dict[tuple[str, str], RRset | None]:
        text = " ".join(f'"{"x" * 250}"' for _ in range(8))
        return {(f"h{i}.example.com", "TXT"): rrset("TXT", text) for i in range(count)}

    assert len(split_changes("example.com", sets(20))) == 1
    parts = split_changes("example.com", sets(100))
    assert len(parts) > 1
    assert {owner for part in parts for owner in part} == set(sets(100))
    assert sum(len(part) for part in parts) == 100
    for part in parts:
        assert len(build_update("example.com", part).to_wire()) < 65535
    huge = rrset("TXT", *(f'"{i}{"x" * 250}" "{"y" * 255}"' for i in range(200)))
    with pytest.raises(PublishError):
        split_changes("example.com", {("h.example.com", "TXT"): huge})


def test_what_is_served(api: Api) -> None:
    api.made("A", "mail", "198.18.1.10", ttl=3600)
    api.made("A", "mail", "198.18.1.11", ttl=60)
    api.made("TXT", "mail", "v=spf1 a -all")
    api.made("CNAME", "www", "mail.example.com")
    api.made("TXT", "www", "hidden by the alias")
    api.made("A", "site", "198.18.1.12", proxied=True)
    api.made("CNAME", "@", "mail.example.com")
    api.made("MX", "@", "mail.example.com", priority=10)
    records = list(api.twin.zone("example.com").snapshot().values())
    served = served_sets(ZONE, records)
    assert served == {
        ("mail.example.com", "A"): rrset("A", "198.18.1.10", "198.18.1.11", ttl=60),
        ("mail.example.com", "TXT"): rrset("TXT", '"v=spf1 a -all"'),
        ("www.example.com", "CNAME"): rrset("CNAME", "mail.example.com."),
        ("example.com", "A"): rrset("A", "198.18.1.10", "198.18.1.11", ttl=60),
        ("example.com", "MX"): rrset("MX", "10 mail.example.com."),
    }
    proxied = served_sets(ZONE, records, Proxy(("198.18.0.99",), ("2001:2:0:1::99",)))
    assert proxied[("site.example.com", "A")] == rrset("A", "198.18.0.99")
    assert proxied[("site.example.com", "AAAA")] == rrset("AAAA", "2001:2:0:1::99")


def test_apex_ns_and_signatures_stay_the_servers(api: Api) -> None:
    api.made("NS", "@", "ns.example.net")
    api.made("NS", "sub", "ns.example.net")
    served = served_sets(ZONE, api.twin.zone("example.com").snapshot().values())
    assert list(served) == [("sub.example.com", "NS")]


def test_differences() -> None:
    one, two = rrset("A", "198.18.1.1"), rrset("A", "198.18.1.1", ttl=60)
    before = {("a", "A"): one, ("b", "A"): one, ("c", "A"): one}
    assert differences(before, {("a", "A"): one, ("b", "A"): two, ("d", "A"): one}) == {
        ("b", "A"): two,
        ("c", "A"): None,
        ("d", "A"): one,
    }


SAMPLES: list[dict[str, Any]] = [
    {"type": "A", "name": "a", "content": "198.18.1.1"},
    {"type": "AAAA", "name": "a", "content": "2001:2::1"},
    {"type": "CNAME", "name": "c", "content": "a.example.com"},
    {"type": "MX", "name": "m", "content": "a.example.com", "priority": 10},
    {"type": "MX", "name": "null", "content": ".", "priority": 0},
    {"type": "NS", "name": "sub", "content": "ns.example.net"},
    {"type": "PTR", "name": "p", "content": "a.example.com"},
    {"type": "TXT", "name": "t", "content": '"two" "\\195\\188 strings"'},
    {"type": "SRV", "name": "_s._tcp", "data": {"priority": 0, "weight": 1, "port": 465, "target": "a.example.com"}},
    {"type": "CAA", "name": "t", "data": {"flags": 0, "tag": "issue", "value": "letsencrypt.org; x=y"}},
    {
        "type": "TLSA",
        "name": "_25._tcp",
        "data": {"usage": 3, "selector": 1, "matching_type": 1, "certificate": "AB" * 32},
    },
    {"type": "SSHFP", "name": "a", "data": {"algorithm": 4, "type": 2, "fingerprint": "12" * 32}},
    {"type": "DS", "name": "sub", "data": {"key_tag": 1, "algorithm": 13, "digest_type": 2, "digest": "12" * 32}},
    {"type": "HTTPS", "name": "h", "data": {"priority": 1, "target": ".", "value": 'alpn="h3,h2"'}},
]


def test_served_sets_turn_back_into_the_same_records(make: Any) -> None:
    first, second = Api(make()), Api(make())
    assert first.batch(posts=SAMPLES).status == 200
    served = served_sets(ZONE, first.twin.zone("example.com").snapshot().values())
    assert second.batch(posts=bodies(served)).status == 200
    assert served_sets(ZONE, second.twin.zone("example.com").snapshot().values()) == served
    assert len(second.list()) == len(SAMPLES)


class Deaf:
    """A publisher that cannot reach its server."""

    def publish(self, zone: Zone, before: Any, after: Any) -> None:
        raise PublishError("nobody there")

    def key_of(self, zone: Zone) -> None:
        return None


def test_a_change_that_cannot_be_published_is_not_made() -> None:
    config = TwinConfig.from_data({"zones": [{"name": "example.com"}], "tokens": [{"token": TOKEN}]})
    api = Api(Twin(config, Deaf()))
    response = api.create("A", "a", "198.18.1.1")
    assert response.status == 500 and "nobody there" in response.json["errors"][0]["message"]
    assert api.list() == []


def test_records_survive_a_restart(tmp_path: Path) -> None:
    zones = [{"name": "example.com", "plan": "pro", "email_routing": "locked"}]
    config = TwinConfig.from_data({"zones": zones, "tokens": [{"token": TOKEN}]})
    store = FileStore(tmp_path)
    first = Api(Twin(config, store=store, load=store.load))
    posts = [*SAMPLES, {"type": "A", "name": "z", "content": "198.18.1.9", "comment": "c", "tags": ["a:b"]}]
    assert first.batch(posts=posts).status == 200
    first.call("PATCH", f"/client/v4/zones/{first.zone_id}/dnssec", {"status": "active"})
    first.call("PATCH", f"/client/v4/zones/{first.zone_id}/dns_settings", {"ns_ttl": 3600})
    second = Api(Twin(config, store=store, load=store.load))
    assert second.list() == first.list() and len(second.list()) == len(posts) + 5
    for path in ("dnssec", "dns_settings"):
        url = f"/client/v4/zones/{first.zone_id}/{path}"
        assert second.call("GET", url).json["result"] == first.call("GET", url).json["result"]


# -- against Knot ----------------------------------------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


KNOT = """
server:
  rundir: {directory}
  listen: 127.0.0.1@{port}
log:
  - target: stderr
    any: warning
database:
  storage: {directory}
key:
  - id: mailstead-twin
    algorithm: hmac-sha256
    secret: {secret}
acl:
  - id: twin
    key: mailstead-twin
    action: [{actions}]
zone:
  - domain: example.com
    storage: {directory}
    file: example.com.zone
    dnssec-signing: on
    acl: twin
"""

ZONE_FILE = """@ 3600 SOA ada.ns.cloudflare.com. dns.cloudflare.com. 1 10000 2400 604800 1800
@ 86400 NS ada.ns.cloudflare.com.
old 300 A 198.18.9.9
"""


class Knot:
    """A signed example.com on loopback."""

    def __init__(self, directory: Path, actions: str = "transfer, update") -> None:
        self.port, self.directory, self.actions = free_port(), directory, actions
        (directory / "example.com.zone").write_text(ZONE_FILE)
        text = KNOT.format(directory=directory, port=self.port, secret=SECRET, actions=actions)
        (directory / "knot.conf").write_text(text)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = ["knotd", "-c", str(self.directory / "knot.conf")]
        self.process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(10)
            self.process = None

    @property
    def ddns(self) -> dict[str, Any]:
        return {
            "server": "127.0.0.1", "port": self.port, "tsig_name": "mailstead-twin", "tsig_secret": SECRET,
            "timeout": 5, "wait": 20,
        }  # fmt: skip


@pytest.fixture(name="knot")
def fixture_knot(tmp_path: Path) -> Iterator[Knot]:
    if shutil.which("knotd") is None:
        pytest.skip("knotd is not installed; the lab runs the same against its own")
    knot = Knot(tmp_path)
    knot.start()
    yield knot
    knot.stop()


def twin_on(knot: Knot, **zone: Any) -> tuple[Api, DdnsPublisher, Zone]:
    data = {"zones": [{"name": "example.com", **zone}], "tokens": [{"token": TOKEN}], "ddns": knot.ddns}
    config = TwinConfig.from_data(data)
    assert config.ddns is not None
    publisher = DdnsPublisher(config.ddns)
    publisher.wait_until_serving(config.zones)
    twin = Twin(config, publisher, importer=publisher.import_bodies)
    state = twin.zone("example.com")
    publisher.synchronise(config.zones[0], state.snapshot().values())
    return Api(twin), publisher, config.zones[0]


def served_now(publisher: DdnsPublisher) -> dict[tuple[str, str], RRset]:
    found = publisher.transfer(ZONE)
    assert found is not None
    return found


def test_knot_serves_what_the_api_holds(knot: Knot) -> None:
    api, publisher, zone = twin_on(knot)
    assert served_now(publisher) == {}  # the record nobody declared is gone
    assert api.batch(posts=SAMPLES).status == 200
    wanted = served_sets(zone, api.twin.zone("example.com").snapshot().values())
    assert served_now(publisher) == wanted
    assert api.batch(posts=SAMPLES).status == 400  # all identical: nothing changes
    assert served_now(publisher) == wanted
    assert api.batch(deletes=[{"id": r["id"]} for r in api.list()]).status == 200
    assert served_now(publisher) == {}


def test_address_and_alias_change_places_on_a_signed_zone(knot: Knot) -> None:
    api, publisher, _ = twin_on(knot)
    address = api.made("A", "www", "198.18.1.1")
    alias = {"type": "CNAME", "name": "www", "content": "x.example.net"}
    assert api.batch(deletes=[{"id": address["id"]}], posts=[alias]).status == 200
    assert served_now(publisher) == {("www.example.com", "CNAME"): rrset("CNAME", "x.example.net.")}
    assert api.one("PATCH", api.list()[0], {"type": "A", "content": "198.18.1.2"}).status == 200
    assert served_now(publisher) == {("www.example.com", "A"): rrset("A", "198.18.1.2")}


def test_an_existing_zone_is_imported(knot: Knot) -> None:
    api, publisher, _ = twin_on(knot, import_from_dns=True)
    assert [(r["name"], r["content"], r["ttl"]) for r in api.list()] == [("old.example.com", "198.18.9.9", 300)]
    assert served_now(publisher) == {("old.example.com", "A"): rrset("A", "198.18.9.9")}


def test_the_ds_is_that_of_the_key_the_server_signs_with(knot: Knot) -> None:
    api, publisher, zone = twin_on(knot)
    key = publisher.key_of(zone)
    assert key is not None and key.flags == 257
    result = api.call("PATCH", f"/client/v4/zones/{api.zone_id}/dnssec", {"status": "active"}).json["result"]
    assert result["public_key"] == key.public_key and result["key_tag"]


def test_after_an_outage_the_next_change_repairs_everything(knot: Knot) -> None:
    api, publisher, _ = twin_on(knot)
    api.made("A", "a", "198.18.1.1")
    knot.stop()
    assert api.create("A", "b", "198.18.1.1").status == 500
    assert [r["name"] for r in api.list()] == ["a.example.com"]
    (knot.directory / "example.com.zone").write_text(ZONE_FILE)  # it comes back as an old copy
    shutil.rmtree(knot.directory / "journal", ignore_errors=True)
    knot.start()
    publisher.wait_until_serving([ZONE])
    api.made("A", "c", "198.18.1.1")
    assert set(served_now(publisher)) == {("a.example.com", "A"), ("c.example.com", "A")}


def test_without_transfers_it_still_publishes(tmp_path: Path, knot: Knot) -> None:
    knot.stop()
    other = tmp_path / "other"
    other.mkdir()
    closed = Knot(other, actions="update")
    closed.start()
    try:
        api, publisher, _ = twin_on(closed)
        assert publisher.transfer(ZONE) is None
        assert api.create("A", "a", "198.18.1.1").status == 200
    finally:
        closed.stop()


def test_a_wrong_key_is_refused(knot: Knot) -> None:
    _, publisher, _ = twin_on(knot)
    wrong = DdnsPublisher(Ddns("127.0.0.1", "mailstead-twin", "d3Jvbmc=", port=knot.port, timeout=5))
    with pytest.raises(PublishError):
        wrong.publish(ZONE, {}, Api(plain()).twin.zone("example.com").snapshot())
    assert served_now(publisher) == {}


def plain() -> Twin:
    api = Api(Twin(TwinConfig.from_data({"zones": [{"name": "example.com"}], "tokens": [{"token": TOKEN}]})))
    api.made("A", "evil", "198.18.1.1")
    return api.twin


def test_the_command_serves_and_stops(tmp_path: Path) -> None:
    port = free_port()
    config = tmp_path / "config.json"
    data = {
        "listen": [f"127.0.0.1:{port}"],
        "zones": [{"name": "example.com", "records": [{"type": "A", "name": "@", "content": "198.18.1.1"}]}],
        "tokens": [{"token": TOKEN}],
        "state_dir": str(tmp_path / "state"),
    }
    config.write_text(json.dumps(data))
    root = Path(__file__).parents[4]
    command = [sys.executable, "-m", "lab.twins.cloudflare", "--config", str(config)]
    process = subprocess.Popen(
        command, cwd=root, stderr=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": str(root)}
    )
    try:
        wait_for_port(port, process)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    finally:
        process.kill()
    saved = json.loads((tmp_path / "state" / "example.com.json").read_text())
    assert [r["name"] for r in saved["records"]] == ["example.com"]


def wait_for_port(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline, pause = time.monotonic() + 20, threading.Event()
    while time.monotonic() < deadline:
        assert process.poll() is None
        with socket.socket() as sock:
            sock.settimeout(1)
            if sock.connect_ex(("127.0.0.1", port)) == 0:
                return
        pause.wait(0.05)
    raise AssertionError(f"nothing listens on {port}")
