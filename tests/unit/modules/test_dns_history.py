# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules dns_history, cloudflare_zone and rfc2136_zone as Ansible runs them: save, list, choose, go back."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.mailstead.stack.plugins.module_utils.dns import history
from ansible_collections.mailstead.stack.plugins.modules import cloudflare_zone, dns_history, rfc2136_zone

from lab.twins.cloudflare import Twin, TwinConfig
from lab.twins.cloudflare.server import Running
from tests.unit.cloudflare.support import TOKEN, mail_set
from tests.unit.rfc2136.bed import ServerBed
from tests.unit.rfc2136.knot import KEY, SECRET, Knot, needs_knot

ZONES = ("example.com", "example.org")
FACTS = ("name", "type", "content", "ttl", "comment", "proxied", "tags")


class Bench:
    """One twin, one directory of saved states, and the two modules."""

    def __init__(self, twin: Twin, url: str, directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.twin, self.url, self.directory, self.capsys = twin, url, directory, capsys

    def _run(self, module: Any, check: bool, params: dict[str, Any]) -> dict[str, Any]:
        given = {**params, "_ansible_check_mode": check, "_ansible_diff": True}
        with patch_module_args(given), pytest.raises(SystemExit) as caught:
            module.main()
        out = self.capsys.readouterr().out
        assert TOKEN not in out
        result: dict[str, Any] = json.loads(out)
        assert caught.value.code == (1 if result.get("failed") else 0)
        return result

    def history(self, *, check: bool = False, **params: Any) -> dict[str, Any]:
        return self._run(dns_history, check, {"directory": str(self.directory), **params})

    def zones(self, *zones: dict[str, Any], check: bool = False, **params: Any) -> dict[str, Any]:
        common = {"api_token": TOKEN, "base_url": self.url, "snapshots": str(self.directory), "zones": list(zones)}
        return self._run(cloudflare_zone, check, {**common, **params})

    def publish(self, address: str = "198.18.1.10", zones: tuple[str, ...] = ZONES, **params: Any) -> dict[str, Any]:
        return self.zones(*(self.zone(z, address) for z in zones), **params)

    def undo(self, to: str, *, check: bool = False, zones: tuple[str, ...] = (), **params: Any) -> dict[str, Any]:
        """What playbooks/dns_undo.yml does."""
        point = self.history(to=to, zones=list(zones))
        assert not point.get("failed"), point
        common = {"undo": point["taken"], "instance": point["instance"]}
        return self.zones(*point["zones"], check=check, **{**common, **params})

    @staticmethod
    def zone(name: str, address: str = "198.18.1.10") -> dict[str, Any]:
        rows = [dataclasses.asdict(w) for w in mail_set(name)]
        keys = ("name", "type", "content", "ttl", "phase", "role")
        records = [{k: r[k] for k in keys} for r in rows]
        for record in records:
            record["content"] = record["content"].replace("198.18.1.10", address)
        return {"name": name, "records": records, "foreign": {"mx": "replace", "dmarc": "merge"}}

    def facts(self, zone: str = ZONES[0]) -> list[dict[str, Any]]:
        state = self.twin.zone(zone)
        records = [r.to_json(state.zone) for r in state.snapshot().values()]
        return sorted(({k: r.get(k) for k in FACTS} for r in records), key=repr)

    def seed(self, body: dict[str, Any], zone: str = ZONES[0]) -> str:
        state = self.twin.zone(zone)
        return str(state.create(body).to_json(state.zone)["id"])


@pytest.fixture(name="bench")
def fixture_bench(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Bench]:
    twin = Twin(TwinConfig.from_data({"zones": [{"name": z} for z in ZONES], "tokens": [{"token": TOKEN}]}))
    with Running(twin, ["127.0.0.1:0"]) as server:
        yield Bench(twin, server.urls[0] + "/client/v4", tmp_path / "dns", capsys)


def test_nothing_is_saved_yet(bench: Bench) -> None:
    found = bench.history()
    assert (found["changed"], found["points"], found["text"]) == (False, [], [])
    failed = bench.history(to="last")
    assert [p["code"] for p in failed["problems"]] == ["MS-DNS-085"]
    assert bench.zones({"name": ZONES[0]}, undo="20261121T143000Z")["problems"][0]["code"] == "MS-DNS-085"


def test_list_choose_go_back_and_forth(bench: Bench) -> None:
    bench.seed(
        {
            "type": "MX",
            "name": ZONES[0],
            "content": "mx.old.example",
            "priority": 10,
            "comment": "before us",
            "ttl": 600,
        }
    )
    bench.seed({"type": "TXT", "name": ZONES[0], "content": '"v=spf1 include:_spf.example.net ~all"', "ttl": 3600})
    empty = bench.facts()
    assert bench.publish(check=True)["changed"] and not bench.directory.exists()
    bench.publish()
    published = bench.facts()
    bench.publish("198.18.1.11")
    changed = bench.facts()
    assert changed != published != empty

    found = bench.history()
    assert [(p["zone"], p["create"] > 0, p["update"] > 0) for p in found["points"]] == [
        (ZONES[0], False, True),
        (ZONES[1], False, True),
        (ZONES[0], True, True),
        (ZONES[1], True, False),
    ]
    last, first = found["points"][0]["taken"], found["points"][2]["taken"]
    assert found["points"][1]["taken"] == last and found["points"][3]["taken"] == first
    assert (
        found["text"][0].startswith(f"{last}  example.com  ") and " changed: ~ A mail.example.com" in found["text"][0]
    )

    planned = bench.undo("last", check=True)
    assert planned["changed"] and bench.facts() == changed
    done = bench.undo("last")
    assert done["diff"] == planned["diff"] and bench.facts() == published
    assert not bench.undo(last)["changed"]
    limits = ["delete_limit", "last_mx"]
    bench.undo(first, allow=limits)
    assert bench.facts() == empty and bench.facts(ZONES[1]) == []
    # The undo is a point, too: the latest.
    text = bench.history()["text"]
    assert text[0].endswith(f"(undo to {first})")
    bench.undo("last", allow=limits)
    assert bench.facts() == published


def test_what_one_run_writes_is_one_point(bench: Bench) -> None:
    """Addresses first, the rest later, zones of several hosts: the name they are given holds them together."""
    bench.publish(through_phase="address", snapshots_point="20261121T143000Z")
    bench.publish(snapshots_point="20261121T143000Z")
    found = bench.history()
    assert [p["taken"] for p in found["points"]] == ["20261121T143000Z"] * 4
    assert [p["create"] for p in found["points"]] == [5, 23, 5, 23]
    bench.undo("last", allow=["delete_limit", "last_mx"])
    assert bench.facts() == bench.facts(ZONES[1]) == []
    assert bench.publish(snapshots_point="today")["problems"][0]["code"] == "MS-DNS-087"


def test_the_last_point_is_the_last_also_when_the_clock_was_set_back(bench: Bench) -> None:
    for hour, address in enumerate(("198.18.1.10", "198.18.1.11", "198.18.1.12")):
        bench.publish(address, snapshots_point=f"20261121T1{(0, 2, 1)[hour]}0000Z")
    published = bench.facts()
    bench.undo("last")
    assert [r["content"] for r in bench.facts() if r["type"] == "A"] == ["198.18.1.11"]
    bench.undo("last")
    assert bench.facts() == published


def test_guards_apply(bench: Bench) -> None:
    bench.publish()
    published = bench.facts()
    failed = bench.undo("last")
    assert {p["code"] for p in failed["problems"]} == {"MS-DNS-019", "MS-DNS-020"}
    assert bench.facts() == published


def test_others_changes_since_stay(bench: Bench) -> None:
    bench.publish()
    bench.publish("198.18.1.11")
    bench.seed({"type": "A", "name": f"www.{ZONES[0]}", "content": "192.0.2.80", "comment": "web", "proxied": True})
    bench.seed({"type": "CNAME", "name": f"shop.{ZONES[0]}", "content": "shop.example.net"})
    others = [f for f in bench.facts() if not str(f["comment"]).startswith("mailstead:")]
    bench.undo("last")
    after = bench.facts()
    assert [f for f in after if not str(f["comment"]).startswith("mailstead:")] == others and len(others) == 2
    assert [f["content"] for f in after if (f["type"], f["name"]) == ("A", f"mail.{ZONES[0]}")] == ["198.18.1.10"]


def test_what_cannot_come_back_is_a_warning(bench: Bench) -> None:
    bench.publish()
    bench.zones({"name": ZONES[0]}, allow=["delete_limit", "last_mx"])
    bench.seed({"type": "CNAME", "name": f"autoconfig.{ZONES[0]}", "content": "cdn.example.net"})
    result = bench.undo("last")
    (warning,) = result["warnings"]
    assert "CNAME autoconfig.example.com: our 'mail.example.com' is not put back" in str(warning)


def test_one_zone_only(bench: Bench) -> None:
    bench.publish()
    bench.publish("198.18.1.11")
    both = {z: bench.facts(z) for z in ZONES}
    point = bench.history(to="last", zones=["Example.ORG."])
    assert point["zones"] == [{"name": "example.org", "provider": "cloudflare"}]
    assert [row["zone"] for row in point["left_out"]] == ["example.com"]
    bench.undo("last", zones=("example.org",))
    assert bench.facts(ZONES[0]) == both[ZONES[0]] and bench.facts(ZONES[1]) != both[ZONES[1]]


def test_a_point_that_does_not_exist(bench: Bench) -> None:
    bench.publish(zones=(ZONES[0],))
    taken = bench.history()["points"][0]["taken"]
    for failed in (
        bench.history(to="20200101T000000Z"),
        bench.history(to=taken, zones=list(ZONES)),
        bench.zones({"name": ZONES[0]}, undo="20200101T000000Z"),
    ):
        assert [p["code"] for p in failed["problems"]] == ["MS-DNS-084"]
        assert taken in failed["msg"]
    assert bench.history(zones=["a b"])["problems"][0]["code"] == "MS-DNS-001"


def test_only_the_instance_that_saved_it_goes_back(bench: Bench) -> None:
    bench.publish(instance="two")
    point = bench.history(to="last")
    assert point["instance"] == "two"
    failed = bench.zones(*point["zones"], undo=point["taken"])
    assert {p["code"] for p in failed["problems"]} == {"MS-DNS-086"} and "Give instance: two" in failed["msg"]


def test_an_undo_needs_the_directory(bench: Bench) -> None:
    result = bench.zones({"name": ZONES[0]}, undo="20200101T000000Z", snapshots=None)
    assert result["failed"] and "snapshots" in result["msg"]


def test_a_damaged_file_is_listed_and_refused(bench: Bench) -> None:
    bench.publish(zones=(ZONES[0],))
    bench.publish("198.18.1.11", zones=(ZONES[0],))
    (newest, oldest) = bench.history()["points"]
    Path(newest["file"]).write_text("{")
    found = bench.history()
    assert "[MS-DNS-081]" in found["text"][0] and found["points"][0]["problem"] and not found["points"][1]["problem"]
    assert bench.history(to="last")["problems"][0]["code"] == "MS-DNS-081"
    # What later runs did to others' records has to be known, so an older point does not help.
    assert bench.zones({"name": ZONES[0]}, undo=oldest["taken"])["problems"][0]["code"] == "MS-DNS-081"


def test_a_zone_that_cannot_be_saved_is_not_changed(bench: Bench) -> None:
    bench.directory.write_text("a file")
    failed = bench.publish(zones=(ZONES[0],))
    assert [p["code"] for p in failed["problems"]] == ["MS-DNS-080"]
    assert bench.facts() == [] and not failed["changed"]


def test_old_points_go_when_asked(bench: Bench) -> None:
    for address in ("198.18.1.10", "198.18.1.11", "198.18.1.12"):
        bench.publish(address)
    assert bench.history(keep=5)["changed"] is False
    planned = bench.history(keep=1, check=True)
    assert planned["changed"] and len(planned["removed"]) == 4 and len(planned["points"]) == 6
    done = bench.history(keep=1, zones=[ZONES[0]])
    assert len(done["removed"]) == 2 and len(done["points"]) == 1
    assert len(history.points(str(bench.directory), ZONES[1])) == 3
    assert len(bench.history(show=1)["points"]) == 2 and len(bench.history(show=0)["points"]) == 4


# -- on a real name server, whose records have no comments and no lasting ids ----------------------------------------


@pytest.fixture(name="knot", scope="module")
def fixture_knot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Knot]:
    needs_knot()
    knot = Knot(tmp_path_factory.mktemp("knot"), [ZONES[0]])
    try:
        yield knot.start()
    finally:
        knot.stop()


def test_a_zone_on_a_name_server_goes_back_and_forth(knot: Knot, bench: Bench) -> None:
    bed = ServerBed("127.0.0.1", knot.port, KEY, ZONES[0])
    bed.reset()
    bed.put(("@", "MX", "5 mx.example.net", 1200))
    bed.put(("@", "TXT", '"v=spf1 include:_spf.example.net ~all"', 1200))
    connection = {"server": "127.0.0.1", "port": knot.port, "key_name": KEY.name, "key_secret": SECRET}
    common = {**connection, "snapshots": str(bench.directory)}

    def run(check: bool = False, **params: Any) -> dict[str, Any]:
        return bench._run(rfc2136_zone, check, {**common, **params})

    def undo(to: str) -> None:
        point = bench.history(to=to)
        params = {"undo": point["taken"], "zones": point["zones"], "allow": ["delete_limit", "last_mx"]}
        planned = run(check=True, **params)
        done = run(**params)
        assert not done.get("failed") and done["diff"] == planned["diff"], done

    empty = bed.world()
    run(zones=[bench.zone(ZONES[0])])
    published = bed.world()
    run(zones=[bench.zone(ZONES[0], "198.18.1.11")])
    assert bed.world() != published != empty
    times = [p["taken"] for p in bench.history()["points"]]
    undo("last")
    assert bed.world() == published
    undo(times[1])
    assert bed.world() == empty
    undo("last")
    assert bed.world() == published
