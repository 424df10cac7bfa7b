# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module dns_drift as Ansible runs it: the API twin on a socket, a parent and two name servers on loopback."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dns.rcode
import pytest
from ansible.plugins.action import ActionBase
from ansible_collections.mailstead.stack.plugins.action import dns_drift as action
from ansible_collections.mailstead.stack.plugins.module_utils.checks import report as reports
from ansible_collections.mailstead.stack.plugins.module_utils.checks.probes.context import Context
from ansible_collections.mailstead.stack.plugins.module_utils.checks.probes.dnsclient import DnsClient
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare import wire
from ansible_collections.mailstead.stack.plugins.module_utils.dns import rdata
from ansible_collections.mailstead.stack.plugins.module_utils.dns.drift import ask
from ansible_collections.mailstead.stack.plugins.module_utils.dns.drift.ask import Asker
from ansible_collections.mailstead.stack.plugins.modules import cloudflare_zone, dns_drift
from ansible_collections.mailstead.stack.plugins.plugin_utils import report_files

from lab.twins.cloudflare import Twin, TwinConfig
from lab.twins.cloudflare.server import Running
from tests.unit.checks.servers import LOOPBACK, Dns, dns_server
from tests.unit.cloudflare.support import TOKEN, mail_set
from tests.unit.dns.authority import Authority
from tests.unit.modules.documentation import assert_documented
from tests.unit.plugins.modules import Answer, run_module

ZONE, OTHER = "example.com", "example.org"
HOST = f"mail.{ZONE}"
NAMES = {"ada.ns.cloudflare.com": "127.0.0.2", "bob.ns.cloudflare.com": "127.0.0.3"}
KEYS = ("name", "type", "content", "ttl", "phase", "role", "reason")


def rows(zone: str) -> list[dict[str, Any]]:
    return [{k: getattr(w, k) for k in KEYS} for w in mail_set(zone)]


@dataclasses.dataclass
class World:
    """Two zones at the twin, published, and served by two name servers as the twin has them."""

    twin: Twin
    url: str
    parent: Dns
    servers: dict[str, Authority]
    port: int
    pauses: list[float] = dataclasses.field(default_factory=list)
    grace: float = 0.0
    zones: list[dict[str, Any]] = dataclasses.field(
        default_factory=lambda: [{"name": z, "records": rows(z)} for z in (ZONE, OTHER)]
    )

    def publish(self) -> None:
        answer = run_module(cloudflare_zone.main, api_token=TOKEN, base_url=self.url, zones=self.zones)
        assert not answer.failed, answer.message
        self.serve()

    def serve(self) -> None:
        """The name servers get what the provider has."""
        for server in self.servers.values():
            server.zones = {z: self.sets(z) for z in (ZONE, OTHER)}

    def sets(self, zone: str) -> dict[tuple[str, str], list[str]]:
        state = self.twin.zone(zone)
        found: dict[tuple[str, str], list[str]] = {(zone, "NS"): [f"{n}." for n in NAMES]}
        for stored in state.snapshot().values():
            record = wire.decode(stored.to_json(state.zone))
            data = rdata.presentation(record.type, record.content)
            found.setdefault((record.name, record.type), []).append(data)
        return found

    def record(self, name: str, rtype: str, zone: str = ZONE) -> str:
        """The id of a record at the provider."""
        state = self.twin.zone(zone)
        return next(i for i, r in state.snapshot().items() if (r.name, r.type) == (name, rtype))

    def api(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Somebody's hand at the provider."""
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
        zone = self.twin.zone(ZONE).zone.zone_id
        data = json.dumps(body).encode() if body is not None else None
        response = self.twin.handle(method, f"/client/v4/zones/{zone}{path}", "", headers, data)
        assert response.status == 200, response.json
        return response.json

    def hosts(self, **more: Any) -> list[dict[str, Any]]:
        return [{"provider": "cloudflare", "zones": [ZONE, OTHER], "secret": TOKEN, "base_url": self.url, **more}]

    def drift(self, **args: Any) -> Answer:
        answer = run_module(dns_drift.main, **{"zones": self.zones, "hosts": self.hosts(), "grace": 0, **args})
        assert TOKEN not in answer.raw
        return answer

    def trouble(self, **args: Any) -> dict[str, str]:
        answer = self.drift(**args)
        assert not answer.failed and not answer.changed, answer.message
        return {
            f"{f['id']} {f['scope']}": f["verdict"]
            for f in answer.data["findings"]
            if f["verdict"] in ("fail", "warn", "unknown")
        }


@pytest.fixture(name="world")
def fixture_world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    table: dict[tuple[str, str], list[str]] = {
        **{(tld, "NS"): ["a.gtld.example.net."] for tld in ("com", "org", "net")},
        ("a.gtld.example.net", "A"): [LOOPBACK],
        **{(zone, "NS"): [f"{n}." for n in NAMES] for zone in (ZONE, OTHER)},
        **{(name, "A"): [address] for name, address in NAMES.items()},
    }
    parent = Dns(table)
    twin = Twin(TwinConfig.from_data({"zones": [{"name": ZONE}, {"name": OTHER}], "tokens": [{"token": TOKEN}]}))
    with contextlib.ExitStack() as stack:
        port = stack.enter_context(dns_server(parent))
        servers = {
            address: stack.enter_context(Authority({}, address=address, port=port)) for address in NAMES.values()
        }
        api = stack.enter_context(Running(twin, ["127.0.0.1:0"]))
        world = World(twin, api.urls[0] + "/client/v4", parent, servers, port)

        def make_asker(grace: float) -> Asker:
            context = Context(vantage="", deadline=time.monotonic() + 30, resolvers=(LOOPBACK,), dns_port=port)
            return Asker(DnsClient(context), port, world.grace or grace, world.pauses.append)

        monkeypatch.setattr(dns_drift, "make_asker", make_asker)
        world.publish()
        world.twin.log.reset()
        yield world


def test_what_was_published_has_not_drifted(world: World) -> None:
    answer = world.drift()
    assert {f["verdict"] for f in answer.data["findings"]} == {"pass", "na"}
    assert answer.data["requests"] == 3
    assert world.twin.log.count("GET", "") == 3
    assert [(z["name"], z["verdict"], z["provider"]) for z in answer.data["zones"]] == [
        (ZONE, "pass", "cloudflare"),
        (OTHER, "pass", "cloudflare"),
    ]


def test_nothing_is_ever_written(world: World) -> None:
    world.api("DELETE", f"/dns_records/{world.record(HOST, 'A')}")
    world.twin.log.reset()
    before = world.sets(ZONE)
    assert world.drift().data == world.drift(check=True).data
    assert {entry.method for entry in world.twin.log.entries} == {"GET"}
    assert world.sets(ZONE) == before and not any(s.updates for s in world.servers.values())


def test_a_change_by_hand_at_the_provider(world: World) -> None:
    world.api("PATCH", f"/dns_records/{world.record(ZONE, 'MX')}", {"priority": 20})
    world.serve()
    assert world.trouble() == {f"R2 {ZONE}/MX": "fail"}


def test_a_record_added_by_hand_at_our_name(world: World) -> None:
    world.api(
        "POST", "/dns_records", {"type": "MX", "name": ZONE, "content": "mx.example.net", "priority": 5, "ttl": 300}
    )
    world.serve()
    assert world.trouble() == {f"R4 {ZONE}/MX": "fail"}


def test_a_record_broken_behind_the_providers_back(world: World) -> None:
    for server in world.servers.values():
        server.zones[ZONE][(HOST, "A")] = ["198.18.1.99"]
    assert world.trouble() == {f"S1 {HOST}/A": "fail"}


def test_one_server_that_lags_and_then_catches_up(world: World) -> None:
    world.grace = 60.0
    late = world.servers["127.0.0.3"]
    whole = late.zones[ZONE].pop((ZONE, "MX"))

    def arrive(seconds: float) -> None:
        world.pauses.append(seconds)
        late.zones[ZONE][(ZONE, "MX")] = whole

    world.pauses = _Pauses(arrive)
    assert world.trouble() == {}
    world.grace = 0.0
    late.zones[ZONE].pop((ZONE, "MX"))
    assert world.trouble() == {f"S1 {ZONE}/MX": "fail"}


class _Pauses(list[float]):
    """Runs something instead of waiting."""

    def __init__(self, act: Callable[[float], None]) -> None:
        super().__init__()
        self.act = act

    def append(self, seconds: float) -> None:
        if not self:
            super().append(seconds)
            self.act(seconds)


def test_servers_that_do_not_answer_or_do_not_know(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ask, "TRIES", 1)
    world.servers["127.0.0.2"].rcode = dns.rcode.SERVFAIL
    world.servers["127.0.0.3"].deaf = 10_000
    found = world.trouble()
    assert found[f"S2 {ZONE}/ada.ns.cloudflare.com/127.0.0.2"] == "fail"
    assert found[f"S2 {ZONE}/bob.ns.cloudflare.com/127.0.0.3"] == "unknown"
    world.servers["127.0.0.2"].rcode = dns.rcode.NOERROR
    world.servers["127.0.0.2"].lame = True
    lame = [f for f in world.drift().data["findings"] if f["id"] == "S2" and f["verdict"] == "fail"]
    assert "not authoritative" in lame[0]["observed"]


def test_a_delegation_to_somebody_else(world: World) -> None:
    world.parent.table[(ZONE, "NS")] = ["ns1.old.example.net."]
    world.parent.table[("ns1.old.example.net", "A")] = ["127.0.0.2"]
    found = world.trouble()
    assert {k: v for k, v in found.items() if v == "fail"} == {f"Z3 {ZONE}": "fail"}


def test_a_name_server_without_address(world: World) -> None:
    world.parent.table[(ZONE, "NS")].append("gone.ns.example.net.")
    found = world.trouble()
    assert found[f"S2 {ZONE}/gone.ns.example.net"] == "unknown" and found[f"Z3 {ZONE}"] == "fail"


def test_a_zone_that_is_not_delegated(world: World) -> None:
    del world.parent.table[(ZONE, "NS")]
    found = [f for f in world.drift().data["findings"] if f["verdict"] == "fail"]
    assert [(f["id"], f["observed"]) for f in found] == [("Z3", "it is not delegated: the nearest zone is com")]


def test_ds_without_key(world: World) -> None:
    world.parent.table[(ZONE, "DS")] = ["1 13 2 " + "ab" * 32]
    assert world.trouble() == {f"Z4 {ZONE}": "fail"}


def test_another_delegation_does_not_explain_what_is_wrong_at_the_providers_own_servers(world: World) -> None:
    """The parent leads elsewhere; a DS stayed behind, and one of the provider's servers has another address."""
    world.parent.table[(ZONE, "NS")] = ["ada.ns.cloudflare.com.", "bob.ns.cloudflare.com.", "eve.ns.example.net."]
    world.parent.table[(ZONE, "DS")] = ["1 13 2 " + "ab" * 32]
    world.servers["127.0.0.3"].zones[ZONE][(HOST, "A")] = ["198.18.1.99"]
    assert world.trouble() == {
        f"Z3 {ZONE}": "fail",
        f"Z4 {ZONE}": "fail",
        f"S1 {HOST}/A": "fail",
        f"S2 {ZONE}/eve.ns.example.net": "unknown",
    }


def test_a_parent_that_is_silent_leaves_the_rest(world: World) -> None:
    world.parent.refuse = (ZONE,)
    found = world.trouble()
    assert found == {f"Z3 {ZONE}": "unknown", f"Z4 {ZONE}": "unknown"}
    assert all(f["fix"] for f in world.drift().data["findings"] if f["verdict"] == "unknown")


def test_a_provider_that_cannot_be_asked_leaves_the_rest(world: World) -> None:
    for server in world.servers.values():
        del server.zones[ZONE][(ZONE, "MX")]
    refused = world.hosts(secret="x" * 40)
    found = world.trouble(hosts=refused)
    assert found == {
        **{f"Z1 {z}": "unknown" for z in (ZONE, OTHER)},
        f"S1 {ZONE}/MX": "fail",
    }
    first = next(f for f in world.drift(hosts=refused).data["findings"] if f["id"] == "Z1")
    assert "MS-CF-00" in first["observed"]


def test_a_zone_without_host_or_token(world: World) -> None:
    found = world.drift(hosts=world.hosts(zones=[ZONE], secret=None)).data["findings"]
    assert {f["scope"]: f["observed"] for f in found if f["id"] == "Z1"} == {
        ZONE: "no token is given [MS-DNS-093]",
        OTHER: "no host is given for the zone [MS-DNS-093]",
    }


def test_a_zone_the_provider_has_not(world: World) -> None:
    zones = [*world.zones, {"name": "example.net", "records": []}]
    world.parent.table[("example.net", "NS")] = ["ada.ns.cloudflare.com."]
    found = world.trouble(zones=zones, hosts=world.hosts(zones=[ZONE, OTHER, "Example.NET."]))
    assert found["Z1 example.net"] == "fail"


def test_a_zone_given_by_id(world: World) -> None:
    zones = [{**world.zones[0], "id": world.twin.zone(ZONE).zone.zone_id}]
    assert world.trouble(zones=zones) == {}
    wrong = [{**world.zones[0], "id": world.twin.zone(OTHER).zone.zone_id}]
    assert world.trouble(zones=wrong)[f"Z1 {ZONE}"] == "unknown"


def test_values_that_no_host_told(world: World) -> None:
    zone = world.zones[0]
    key = next(r for r in zone["records"] if r["role"] == "dkim-r")
    key.update(
        name=f"<%Y%mr>._domainkey.{ZONE}", content="v=DKIM1; p=<public key>", deferred={"kind": "dkim", "key": "x"}
    )
    assert world.trouble() == {f"R1 _domainkey.{ZONE}/TXT/dkim-r": "unknown"}


def test_a_plan_with_mistakes_is_a_finding_too(world: World) -> None:
    world.zones[0]["records"].append(
        {
            "name": f"x.{ZONE}",
            "type": "A",
            "content": "1.2.3",
            "ttl": 300,
            "phase": "address",
            "role": "x",
            "reason": "",
        }
    )
    assert world.trouble() == {f"R7 x.{ZONE}/A": "fail"}


def test_what_cannot_be_read_at_all_fails(world: World) -> None:
    answer = world.drift(zones=[{"name": "no zone!", "records": []}])
    assert answer.failed and "MS-DNS-001" in answer.message


def test_two_kinds_of_hosts_in_one_comparison(world: World) -> None:
    """The second zone is kept on a name server that nobody here may transfer from: that view is missing, no other."""
    own = {
        "provider": "rfc2136",
        "zones": [OTHER],
        "server": "127.0.0.2",
        "port": world.port,
        "key_name": "mailstead",
        "secret": "bWFpbHN0ZWFk",
        "timeout": 2,
    }
    zones = [*world.zones]
    zones[1]["records"].append(
        {"name": OTHER, "type": "CNAME", "content": HOST, "ttl": 300, "phase": "address", "role": "x", "reason": ""}
    )
    answer = world.drift(zones=zones, hosts=[*world.hosts(zones=[ZONE]), own])
    assert [z["provider"] for z in answer.data["zones"]] == ["cloudflare", "rfc2136 at 127.0.0.2"]
    found = {f"{f['id']} {f['scope']}": f["verdict"] for f in answer.data["findings"] if f["verdict"] != "pass"}
    assert found[f"Z1 {OTHER}"] == "unknown" and found[f"R7 {OTHER}/CNAME"] == "fail"
    assert found.get(f"Z1 {ZONE}") is None


# -- report ----------------------------------------------------------------------------------------------------------


def report(world: World, **args: Any) -> dict[str, Any]:
    return action.report_of(world.drift(**args).data, ["a stand-in <ran>"], 0.0)


def test_a_clean_comparison_is_a_few_lines(world: World) -> None:
    found = report(world)
    assert found["exit_code"] == 0
    lines = reports.text(found).splitlines()
    assert lines[0].startswith("Drift example.com, example.org: ") and "the zones are as planned; exit 0" in lines[0]
    assert len(lines) <= 5


def test_drift_is_said_with_what_where_and_fix(world: World) -> None:
    world.api("PATCH", f"/dns_records/{world.record(ZONE, 'MX')}", {"priority": 20})
    world.serve()
    found = report(world)
    text = reports.text(found)
    assert found["exit_code"] == 1
    assert f"FAIL     R2   {ZONE}/MX: The record is as planned" in text
    for part in (f"seen: 20 {HOST} (TTL 3600)", f"want: 10 {HOST} (TTL 3600)", "fix: Run playbooks/dns.yml", "exit 1"):
        assert part in text, part


def test_what_cannot_be_compared_is_said_with_its_fix(world: World) -> None:
    text = reports.text(report(world, hosts=world.hosts(secret=None)))
    assert "UNKNOWN  no token is given [MS-DNS-093]\n" in text and "fix: Give it in hosts[].secret." in text


def test_anybodys_words_do_not_steer_the_terminal(world: World) -> None:
    mark = "mailstead:mailstead:x"
    for comment, content in (("\x1b[31m red", "v=DMARC1; p=none"), (mark, "\x1b]0;title\x07")):
        data = {"type": "TXT", "name": f"_dmarc.{ZONE}", "content": rdata.txt_quote(content), "comment": comment}
        world.api("POST", "/dns_records", data)
    found = report(world)
    assert found["exit_code"] == 1 and r"\u001b" in json.dumps(found)
    assert all(char == "\n" or char.isprintable() for char in reports.text(found))


def test_the_page_shows_the_three_views(world: World) -> None:
    for server in world.servers.values():
        server.zones[ZONE][(HOST, "A")] = ["198.18.1.99"]
    page = report_files.html(report(world))
    assert "<script" not in page and "a stand-in &lt;ran&gt;" in page
    for part in ("Planned", "At the provider", "Served", "198.18.1.99", "ada.ns.cloudflare.com [127.0.0.2]"):
        assert part in page, part


def test_the_page_of_what_could_not_be_read(world: World) -> None:
    page = report_files.html(report(world, hosts=world.hosts(secret=None)))
    assert "not read" in page


class Task:
    """What an action plugin sees of its task."""

    def __init__(self, args: dict[str, Any], check: bool) -> None:
        self.args, self.check_mode, self.async_val, self.diff = args, check, 0, False


def act(monkeypatch: pytest.MonkeyPatch, returned: dict[str, Any], check: bool = False, **args: Any) -> dict[str, Any]:
    plugin = action.ActionModule.__new__(action.ActionModule)
    plugin._task = Task({"zones": [], "hosts": [], **args}, check)
    seen: dict[str, Any] = {}

    def execute(**given: Any) -> dict[str, Any]:
        seen.update(given)
        return returned

    monkeypatch.setattr(plugin, "_execute_module", execute, raising=False)
    monkeypatch.setattr(ActionBase, "run", lambda *a, **k: {})
    result: dict[str, Any] = plugin.run(None, {})
    assert set(seen.get("module_args", {})) <= {"zones", "hosts"}
    return result


def test_the_action_writes_the_report_and_fails_as_it_says(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clean = world.drift().data
    result = act(monkeypatch, clean, report_dir=str(tmp_path / "a"))
    assert not result.get("failed") and result["exit_code"] == 0
    assert json.loads((tmp_path / "a" / "report.json").read_text(encoding="utf-8"))["exit_code"] == 0
    assert (tmp_path / "a" / "report.html").exists()

    world.api("DELETE", f"/dns_records/{world.record(HOST, 'A')}")
    world.serve()
    drifted = world.drift().data
    result = act(monkeypatch, drifted, report_dir=str(tmp_path / "b"))
    assert result["failed"] and f"[MS-DNS-090] The zones have drifted, 1 finding(s): R1 {HOST}/A." in result["msg"]
    assert not act(monkeypatch, drifted, report_dir=str(tmp_path / "b"), fail=False).get("failed")
    assert not act(monkeypatch, drifted, check=True, report_dir=str(tmp_path / "c"), fail=False).get("failed")
    assert not (tmp_path / "c").exists()


def test_the_action_says_what_was_not_compared_and_what_broke(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = str(tmp_path / "r")
    result = act(monkeypatch, world.drift(hosts=world.hosts(secret=None)).data, report_dir=where)
    assert result["exit_code"] == 2 and "[MS-DNS-091]" in result["msg"] and f"Z1 {ZONE}" in result["msg"]
    result = act(monkeypatch, {"failed": True, "msg": "no dnspython"}, report_dir=where, fail=False)
    assert (
        result["failed"]
        and result["exit_code"] == 3
        and "[MS-DNS-092]" in result["msg"]
        and "no dnspython" in result["msg"]
    )
    assert json.loads((tmp_path / "r" / "report.json").read_text(encoding="utf-8"))["exit_code"] == 3
    result = act(monkeypatch, {"findings": [], "zones": []}, report_dir=where)
    assert result["exit_code"] == 3 and "there is no zone to compare" in result["msg"]
    assert act(monkeypatch, {}, fail="perhaps")["failed"]


def test_documentation_and_argument_spec_agree() -> None:
    assert_documented(dns_drift, **action.REPORT_SPEC)
