# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module cloudflare_zone as Ansible runs it, against the API twin on a socket."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.mailstead.stack.plugins.module_utils import dns as dns_package
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.provider import CloudflareProvider
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError
from ansible_collections.mailstead.stack.plugins.module_utils.dns import gate, history, spf_lookup
from ansible_collections.mailstead.stack.plugins.module_utils.dns.spf_cost import Answer, Question
from ansible_collections.mailstead.stack.plugins.modules import cloudflare_zone

from lab.twins.cloudflare import Twin, TwinConfig
from lab.twins.cloudflare.config import Fault
from lab.twins.cloudflare.server import Running
from tests.unit.cloudflare.support import TOKEN, mail_set
from tests.unit.dns.authority import Authority
from tests.unit.modules.documentation import assert_documented

ZONES = ("example.com", "example.org")


def rows(zone: str) -> list[dict[str, Any]]:
    keys = ("name", "type", "content", "ttl", "phase", "role", "reason")
    return [{k: getattr(w, k) for k in keys} for w in mail_set(zone)]


class Run:
    """Runs the module; api is the twin's address."""

    def __init__(self, twin: Twin, url: str, capsys: pytest.CaptureFixture[str]) -> None:
        self.twin, self.url, self.capsys = twin, url, capsys

    def __call__(self, *, check: bool = False, diff: bool = True, **params: Any) -> dict[str, Any]:
        given: dict[str, Any] = {
            "api_token": TOKEN,
            "base_url": self.url,
            "zones": [self.zone(z) for z in ZONES],
            **params,
        }
        given = {k: v for k, v in given.items() if v is not None}
        with (
            patch_module_args({**given, "_ansible_check_mode": check, "_ansible_diff": diff}),
            pytest.raises(SystemExit) as caught,
        ):
            cloudflare_zone.main()
        out = self.capsys.readouterr().out
        assert TOKEN not in out
        result: dict[str, Any] = json.loads(out)
        assert caught.value.code == (1 if result.get("failed") else 0)
        return result

    @staticmethod
    def zone(name: str, **more: Any) -> dict[str, Any]:
        return {"name": name, "records": rows(name), **more}


@pytest.fixture(name="run")
def fixture_run(capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    data = {"zones": [{"name": z, "record_quota": 1000} for z in ZONES], "tokens": [{"token": TOKEN}]}
    twin = Twin(TwinConfig.from_data(data))
    with Running(twin, ["127.0.0.1:0"]) as server:
        yield Run(twin, server.urls[0] + "/client/v4", capsys)


def test_check_then_apply_then_nothing(run: Run) -> None:
    planned = run(check=True)
    assert planned["changed"] and planned["requests"] == 3
    assert not run.twin.zone("example.com").snapshot()
    done = run()
    assert done["changed"] and done["requests"] == 5
    assert [{**c, "written": False} for c in done["changes"]] == planned["changes"]
    assert all(c["written"] for c in done["changes"]) and len(done["changes"]) == 2 * len(rows("x.example"))
    assert done["diff"] == planned["diff"]
    again = run()
    assert (again["changed"], again["requests"], again["changes"], again["diff"]) == (False, 3, [], [])
    assert again["zones"][0] == {
        "name": "example.com",
        "id": run.twin.zone("example.com").zone.zone_id,
        "status": "active",
        "name_servers": ["ada.ns.cloudflare.com", "bob.ns.cloudflare.com"],
        "changed": False,
        "satisfied": len(rows("x.example")),
        "satisfied_foreign": 0,
        "held": 0,
        "requests": 1,
    }


def test_the_diff_is_a_zone_file_with_reasons(run: Run) -> None:
    run()
    zone = run.zone("example.com")
    zone["records"][0].update(content="198.18.1.77", reason="moved")
    del zone["records"][-1]
    (diff,) = run(zones=[zone])["diff"]
    assert diff["before_header"] == "zone example.com"
    assert diff["after_header"] == "zone example.com: 1 changed, 1 gone"
    before, after = diff["before"].splitlines(), diff["after"].splitlines()
    gone, new = sorted(set(before) - set(after)), sorted(set(after) - set(before))
    assert [" ".join(line.split()) for line in gone] == [
        "_caldav._tcp 3600 SRV 0 0 0 . ; - autoconfig: no longer wanted",
        "mail 3600 A 198.18.1.10 ; host",
    ]
    assert [" ".join(line.split()) for line in new] == ["mail 3600 A 198.18.1.77 ; ~ host: was 198.18.1.10; moved"]


def test_a_plans_zone_is_taken_as_it_is(run: Run) -> None:
    """Fields that only the plan needs are accepted; a value that is not known yet waits for its phase."""
    records = [{**r, "zone": "example.com", "deferred": None} for r in rows("example.com")]
    pending = {"kind": "dkim", "key": "example.com/rsa-2048"}
    records.append(
        {
            **records[6],
            "name": "<%Y%mr>._domainkey.example.com",
            "content": "v=DKIM1; p=<public key>",
            "deferred": pending,
        }
    )
    zone = {"name": "example.com", "provider": "cloudflare", "foreign": {"mx": "replace"}, "records": records}
    early = run(zones=[zone], through_phase="identity")
    assert {c["phase"] for c in early["changes"]} == {"address", "identity"}
    late = run(zones=[zone], through_phase="keys")
    assert late["failed"] and [p["code"] for p in late["problems"]] == ["MS-DNS-005"]


def test_all_mistakes_are_told_and_nothing_is_written(run: Run) -> None:
    zones = [run.zone("example.com"), run.zone("example.org"), run.zone("example.net")]
    zones[0]["records"].append({"name": "www.example.org", "type": "A", "content": "198.18.1.10", "role": "x"})
    zones[1]["records"].append({"name": "example.org", "type": "MX", "content": "ten mail.example.org", "role": "x"})
    result = run(zones=zones)
    assert sorted(p["code"] for p in result["problems"]) == ["MS-CF-003", "MS-DNS-001", "MS-DNS-002"]
    assert all(p["where"] and p["fix"] for p in result["problems"])
    assert not result["changed"]
    assert not run.twin.zone("example.com").snapshot()


def test_mistakes_in_the_list_of_zones(run: Run) -> None:
    twice = run(zones=[run.zone("example.com"), run.zone("EXAMPLE.com."), {"name": "exa mple"}])
    assert [p["code"] for p in twice["problems"]] == ["MS-DNS-007", "MS-DNS-001"]
    record = {"zone": "example.org", "name": "a.example.com", "type": "A", "content": "198.18.1.10", "role": "x"}
    assert run(zones=[{"name": "example.com", "records": [record]}])["problems"][0]["code"] == "MS-DNS-002"


def test_the_token_comes_from_the_environment(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOUDFLARE_API_TOKEN", TOKEN)
    assert run(api_token=None)["changed"]
    monkeypatch.delenv("CLOUDFLARE_API_TOKEN")
    assert "api_token" in run(api_token=None)["msg"]


def test_a_refused_token_and_a_wrong_address(run: Run) -> None:
    result = run(api_token="x" * 40)
    assert result["problems"][0]["code"] == "MS-CF-002" and result["msg"].startswith("[MS-CF-002] api_token:")
    for wrong in ("http://198.18.0.20/client/v4", "https://api.example:port"):
        assert run(base_url=wrong)["problems"][0]["code"] == "MS-CF-013"


def test_no_time_at_all_is_a_second(run: Run) -> None:
    assert run(timeout=0)["changed"] and not run(timeout=-1).get("failed")


def test_what_was_written_before_a_failure_is_reported(run: Run) -> None:
    run.twin.faults.fail_operation(2)
    one = run(zones=[run.zone("example.com")])
    assert (one["failed"], one["changed"], one["changes"]) == (True, False, [])
    assert one["problems"][0]["code"] == "MS-CF-007"


@pytest.mark.parametrize("skip", [0, 1, 2])
def test_a_process_killed_between_two_writes_is_taken_up_by_the_next(run: Run, tmp_path: Path, skip: int) -> None:
    hosts = [
        {"name": f"h{n}.example.com", "type": "A", "content": "198.18.1.10", "phase": "address", "role": "host"}
        for n in range(500)
    ]
    zone: dict[str, Any] = {"name": "example.com", "records": rows("example.com") + hosts}
    kept = tmp_path / "dns"
    arguments = {"api_token": TOKEN, "base_url": run.url, "zones": [zone], "snapshots": str(kept)}
    (tmp_path / "arguments").write_text(json.dumps({"ANSIBLE_MODULE_ARGS": arguments}))
    run.twin.faults.add(Fault("delay", method="POST", path="/batch", skip=skip, seconds=1.0))
    with subprocess.Popen(
        [sys.executable, cloudflare_zone.__file__, str(tmp_path / "arguments")],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        deadline = time.monotonic() + 30
        while run.twin.faults.pending and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        process.kill()
        assert TOKEN.encode() not in process.communicate()[0]
    assert process.returncode == -signal.SIGKILL
    # The request under way is served all the same: nobody can take it back.
    written = 200 * (skip + 1)
    while len(run.twin.zone("example.com").snapshot()) < min(written, len(zone["records"])):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    point = history.points(str(kept), "example.com")
    assert [len(history.load(p.path).changes) for p in point] == [len(zone["records"])]
    rest = run(zones=[zone], snapshots=str(kept))
    assert len(rest["changes"]) == max(0, len(zone["records"]) - written)
    assert not run(zones=[zone])["changed"]
    run(zones=[zone], undo=point[0].taken, snapshots=str(kept), allow=["delete_limit", "last_mx"])
    assert not run.twin.zone("example.com").snapshot()


def test_changed_means_that_this_run_changed_something(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else publishes the same between our list and our batch: then there is nothing left to do."""
    zone = {"name": "example.com", "records": rows("example.com")[:1]}
    state = run.twin.zone("example.com")
    batch = state.batch

    def quicker(*args: Any) -> Any:
        monkeypatch.setattr(state, "batch", batch)
        state.create({"type": "A", "name": "mail", "content": "198.18.1.10", "ttl": 3600})
        return batch(*args)

    monkeypatch.setattr(state, "batch", quicker)
    done = run(zones=[zone])
    assert (done["changed"], done["zones"][0]["changed"], done["requests"]) == (False, False, 4)
    assert [c["written"] for c in done["changes"]] == [False]


def test_guards_and_policies_reach_the_engine(run: Run) -> None:
    state = run.twin.zone("example.com")
    state.create({"type": "MX", "name": "@", "content": "aspmx.l.google.com", "priority": 1})
    zone = run.zone("example.com")
    assert run(zones=[zone])["problems"][0]["code"] == "MS-DNS-031"
    assert run(zones=[zone], mode="create_only")["warnings"]
    assert run(zones=[{**zone, "foreign": {"mx": "replace"}}])["changed"]
    empty = {"name": "example.com"}
    codes = [p["code"] for p in run(zones=[empty])["problems"]]
    assert codes == ["MS-DNS-019", "MS-DNS-020"]
    assert run(zones=[empty], max_delete=100, max_delete_percent=100, allow=["last_mx"])["changed"]
    assert not state.snapshot()


def test_another_instance_keeps_its_records(run: Run) -> None:
    run(zones=[run.zone("example.com")], instance="berlin")
    assert not run(zones=[{"name": "example.com"}])["changed"]
    assert run(zones=[{"name": "example.com"}], instance="berlin", allow=["last_mx", "delete_limit"])["changed"]


def test_the_gate_asks_the_zones_name_servers(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name servers answer from what the twin holds: the gate opens only once it has been written."""
    asked: list[tuple[str, gate.Question]] = []
    really = gate.ask_server
    state = run.twin.zone("example.com")

    def ask(address: str, question: gate.Question) -> gate.Seen:
        asked.append((address, question))
        sets: dict[tuple[str, str], list[str]] = {}
        for record in state.snapshot().values():
            sets.setdefault((record.name, record.type), []).append(record.rdata.to_text())
        with Authority({"example.com": sets}) as server:
            return really("127.0.0.1", question, server.port)

    monkeypatch.setattr(gate, "ask_server", ask)
    monkeypatch.setattr(
        gate, "system_addresses", lambda name: {"ada.ns.cloudflare.com": ["192.0.2.53"]}.get(name, ["192.0.2.54"])
    )
    zone = run.zone("example.com", id=state.zone.zone_id)
    roles = ["mx", "dkim-r", "spf"]
    assert "servers_asked" not in run(zones=[zone], check=True, wait_authoritative=True, wait_roles=roles) and not asked
    result = run(zones=[zone], wait_authoritative=True, wait_roles=roles)
    assert result["servers_asked"] == 2
    assert {q for _a, q in asked} == {
        ("example.com", "MX"),
        ("example.com", "TXT"),
        ("202611r._domainkey.example.com", "TXT"),
    }
    # Given by id, the zone's name servers cost one request.
    assert result["requests"] == 3
    # A token for DNS alone is not told: the delegation says the same.
    monkeypatch.setattr(gate, "name_servers", lambda name: ("bob.ns.cloudflare.com",) if name == "example.com" else ())
    monkeypatch.setattr(CloudflareProvider, "identify", lambda _self, zone: zone)
    assert run(zones=[zone], wait_authoritative=True, wait_roles=roles)["servers_asked"] == 1
    monkeypatch.setattr(gate, "ask_server", lambda _a, _q: gate.Seen())
    late = run(zones=[zone], wait_authoritative=True, wait_deadline=0, wait_roles=roles)
    assert late["problems"][0]["code"] == "MS-DNS-040"


def test_stages_wait_for_the_name_servers_in_between(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The gate is asked for what is new only, on the way to MX records that nobody may see too early."""
    state = run.twin.zone("example.com")
    gates: list[tuple[set[str], set[str]]] = []

    def wait(found: list[gate.ZoneGate], deadline: float, **_more: Any) -> int:
        held = {r.rdata.to_text() for r in state.snapshot().values() if r.type == "MX"}
        gates.append(({record.type for g in found for record in g.records}, held))
        assert deadline == 7.0
        return 4

    monkeypatch.setattr(gate, "wait_published", wait)
    zone = run.zone("example.com")
    planned = run(zones=[zone], stages=["address", "policy"], check=True, wait_deadline=7)
    assert not gates and planned["requests"] == 2
    done = run(zones=[zone], stages=["address", "policy"], wait_authoritative=True, wait_deadline=7)
    assert gates == [
        ({"A", "AAAA", "CNAME"}, set()),
        ({"TXT", "CAA"}, set()),
        ({"TLSA", "SRV", "MX", "TXT"}, {"10 mail.example.com."}),
    ]
    assert done["requests"] == 5 and done["servers_asked"] == 4
    assert done["diff"] == planned["diff"]
    assert [{**c, "written": False} for c in done["changes"]] == planned["changes"]

    def refuse(*_args: Any, **_more: Any) -> int:
        raise MailsteadError.one("MS-DNS-040", "zone example.org", "not seen", "Wait.")

    monkeypatch.setattr(gate, "wait_published", refuse)
    late = run(zones=[run.zone("example.org")], stages=["address"])
    assert late["problems"][0]["code"] == "MS-DNS-040" and "later phases" in late["problems"][0]["fix"]
    assert late["changed"] and {c["phase"] for c in late["changes"]} == {"address"}


def test_every_zone_is_saved_before_it_is_changed(run: Run, tmp_path: Path) -> None:
    kept = tmp_path / "dns"
    run(zones=[run.zone("example.com")])
    before = run.twin.zone("example.com").snapshot()
    assert "snapshots" not in run(check=True, snapshots=str(kept)) and not kept.exists()
    moved = run.zone("example.com")
    moved["records"][0]["content"] = "198.18.1.77"
    done = run(zones=[moved, run.zone("example.org")], snapshots=str(kept))["snapshots"]
    assert len(done["files"]) == 2 and all(f.endswith(f"/{done['taken']}.json") for f in done["files"])
    point = history.load(done["files"][0])
    assert (point.zone, point.provider, point.instance) == ("example.com", "cloudflare", "mailstead")
    assert {r.id for r in point.before} == set(before)
    assert [(c.action, c.record.content) for c in point.changes] == [("update", "198.18.1.77")]
    assert "snapshots" not in run(zones=[moved], snapshots=str(kept))
    run.twin.faults.fail_operation(0)
    failed = run(zones=[run.zone("example.com")], snapshots=str(kept))
    assert failed["failed"] and history.load(failed["snapshots"]["files"][0]).before
    (tmp_path / "file").write_text("")
    refused = run(zones=[run.zone("example.com")], snapshots=str(tmp_path / "file"))
    assert refused["problems"][0]["code"] == "MS-DNS-080" and not refused["changed"]


def test_a_whole_zone_is_taken_only_when_its_name_confirms_it(run: Run) -> None:
    state = run.twin.zone("example.com")
    state.create({"type": "A", "name": "www", "content": "203.0.113.5"})
    zone = run.zone("example.com")
    assert [p["code"] for p in run(zones=[zone], mode="zone")["problems"]] == ["MS-DNS-024"]
    assert [p["code"] for p in run(zones=[{**zone, "confirm": "example.org"}], mode="zone")["problems"]] == [
        "MS-DNS-024"
    ]
    done = run(zones=[{**zone, "confirm": "Example.com."}], mode="zone")
    assert [c["name"] for c in done["changes"] if c["action"] == "delete"] == ["www.example.com"]
    assert len(state.snapshot()) == len(zone["records"])


def test_tags_stand_beside_the_mark_where_the_plan_has_them(run: Run) -> None:
    run.twin.zone("example.com").reconfigure(plan="pro")
    run()
    tags = {z: {r.tags for r in run.twin.zone(z).snapshot().values()} for z in ZONES}
    assert tags == {"example.com": {("mailstead:mailstead",)}, "example.org": {()}}
    # Known by id only, the zone's own records show that it takes tags.
    zone = run.zone("example.com", id=run.twin.zone("example.com").zone.zone_id)
    assert not run(zones=[zone])["changed"]
    untagged = run(zones=[run.zone("example.com")], tags=False)
    assert not untagged["changed"]


def test_a_zone_of_another_host_is_refused(run: Run) -> None:
    result = run(zones=[run.zone("example.com", provider="rfc2136")])
    assert [p["code"] for p in result["problems"]] == ["MS-DNS-061"] and "rfc2136" in result["problems"][0]["what"]


def test_spf_is_counted_as_receivers_count_it(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what is about to be written is looked into, and nothing fails because the DNS does not answer."""
    includes = {f"_{n}.example.net": f"v=spf1 include:_{n + 1}.example.net -all" for n in range(12)}
    asked: list[Question] = []

    class Live:
        def __call__(self, questions: Sequence[Question]) -> dict[Question, Answer]:
            asked.extend(questions)
            return {q: ("ok", (includes[q[0]],)) if q[0] in includes else ("nodata", ()) for q in questions}

    monkeypatch.setattr(spf_lookup, "LiveAnswers", Live)
    spf = {"name": "example.com", "type": "TXT", "content": "v=spf1 include:_0.example.net -all", "role": "spf"}
    zone = {"name": "example.com", "records": [spf]}
    refused = run(zones=[zone])
    assert [p["code"] for p in refused["problems"]] == ["MS-DNS-014"] and "of 10 look-ups" in refused["msg"]
    senders = [{"include": "_0.Example.net.", "who": "Acme"}]
    assert "let Acme send from a name below example.com" in run(zones=[zone], spf_senders=senders)["msg"]
    assert run(zones=[zone], allow=["spf_lookups"])["changed"]
    asked.clear()
    assert not run(zones=[zone])["changed"] and not asked
    unheard = {"name": "example.org", "records": [{**spf, "name": "example.org"}]}
    monkeypatch.setattr(spf_lookup, "LiveAnswers", lambda: lambda questions: dict.fromkeys(questions, ("error", ())))
    assert "not quite known" in str(run(zones=[unheard], check=True)["warnings"])
    monkeypatch.setitem(sys.modules, spf_lookup.__name__, None)
    monkeypatch.delattr(dns_package, "spf_lookup")
    done = run(zones=[unheard])
    assert done["changed"] and "dnspython is missing" in str(done["warnings"])


def test_spf_may_rest_on_a_host_that_the_same_run_publishes_elsewhere(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Question] = []

    def nothing(questions: Sequence[Question]) -> dict[Question, Answer]:
        asked.extend(questions)
        return dict.fromkeys(questions, ("nodata", ()))

    monkeypatch.setattr(spf_lookup, "LiveAnswers", lambda: nothing)
    names = ("mx1", "mx2", "mx3")
    spf = "v=spf1 " + " ".join(f"a:{n}.Example.com" for n in names) + " -all"
    hosts = [{"name": f"{n}.example.com", "type": "A", "content": "198.18.1.10", "role": "host"} for n in names]
    sender = {"name": "example.org", "records": [{"name": "example.org", "type": "TXT", "content": spf, "role": "spf"}]}
    alone = run(zones=[sender], check=True)
    assert [p["code"] for p in alone["problems"]] == ["MS-DNS-026"]
    asked.clear()
    broken = {"name": "odd.example.com", "type": "A", "content": "no address", "role": "host"}
    assert [
        p["code"] for p in run(zones=[sender, {"name": "example.com", "records": [*hosts, broken]}])["problems"]
    ] == ["MS-DNS-001"]
    assert run(zones=[sender, {"name": "example.com", "records": hosts}])["changed"]
    assert not [q for q in asked if q[1] == "A"]


def test_without_dnspython_only_the_gate_is_missing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dns.query", None)
    monkeypatch.delitem(sys.modules, gate.__name__)
    monkeypatch.delattr(dns_package, "gate")
    assert "dnspython" in run(wait_authoritative=True)["msg"]
    assert run()["changed"]


def test_documentation_and_argument_spec_agree() -> None:
    assert_documented(cloudflare_zone)
