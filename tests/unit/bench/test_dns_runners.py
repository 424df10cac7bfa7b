# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How each tool is given the same set."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import yaml
from ansible_collections.mailstead.stack.plugins.modules import cloudflare_zone

from bench.dns import environment
from bench.dns.records import mail_records
from bench.dns.runners import base, community, octodns, ours
from bench.dns.runners.sdk import Sdk
from bench.dns.scripts import sdk_list_batch as script

ZONE = "bench0.example"
JOB = base.Job("http://127.0.0.1:1/client/v4", "t" * 40, {ZONE: mail_records(ZONE)})


def test_ours_is_given_documented_options_only() -> None:
    options = cloudflare_zone.argument_spec()["zones"]["options"]
    (zone,) = ours.zones_of(JOB)
    assert set(zone) <= set(options)
    assert all(set(record) <= set(options["records"]["options"]) for record in zone["records"])


@pytest.mark.parametrize(
    "runner", [ours.OursModule(), ours.OursPlaybook(), community.CommunityModule(), octodns.Octodns(Path("v"))]
)
def test_the_token_is_in_no_argument(runner: base.Runner, tmp_path: Path) -> None:
    commands = runner.commands(JOB, tmp_path)
    assert commands
    for command in commands:
        assert JOB.token not in " ".join(command.argv) and JOB.token in command.env.values()
    for file in tmp_path.rglob("*"):
        assert file.is_dir() or JOB.token not in file.read_text(encoding="utf-8")


def test_the_loop_is_one_process_per_record_or_one_playbook(tmp_path: Path) -> None:
    assert len(community.CommunityModule().commands(JOB, tmp_path)) == 30
    assert len(community.CommunityPlaybook().commands(JOB, tmp_path)) == 1
    play = yaml.safe_load((tmp_path / "play.yml").read_text(encoding="utf-8"))
    (task,) = play[0]["tasks"]
    given = {key for item in json.loads((tmp_path / "job.json").read_text())["items"] for key in item}
    assert given <= set(task["community.general.cloudflare_dns"])


def test_items_of_the_loop() -> None:
    items = {(r.type, r.name): community.item(ZONE, r) for r in mail_records(ZONE)}
    base_item = {"zone": ZONE, "ttl": 3600}
    assert items["SRV", f"_imaps._tcp.{ZONE}"] == {
        **base_item, "type": "SRV", "service": "_imaps", "proto": "_tcp", "priority": 0, "weight": 1, "port": 993, "value": f"mail.{ZONE}",
    }  # fmt: skip
    assert items["TLSA", f"_25._tcp.mail.{ZONE}"]["record"] == f"mail.{ZONE}"
    assert items["CAA", f"mail.{ZONE}"]["value"] == "letsencrypt.org; validationmethods=http-01"
    assert (items["MX", ZONE]["priority"], items["MX", ZONE]["value"]) == (10, f"mail.{ZONE}")
    assert items["TXT", ZONE]["value"] == "v=spf1 mx -all"
    assert items["TXT", f"202611r._domainkey.{ZONE}"]["value"].count('"') == 4


def test_octodns_reads_relative_names_and_record_sets() -> None:
    zone = octodns.zone_file(ZONE, mail_records(ZONE))
    assert {record["type"] for record in zone[""]} == {"TXT", "MX"}
    (tlsa,) = zone["_25._tcp.mail"]
    assert len(tlsa["values"]) == 2
    assert zone["autoconfig"] == [{"type": "CNAME", "ttl": 3600, "value": f"mail.{ZONE}."}]
    assert zone["_dmarc"][0]["values"][0].startswith("v=DMARC1\\; p=reject")
    assert sum(len(r.get("values", [1])) for records in zone.values() for r in records) == 30


def test_octodns_guards_foreign_records_where_there_are_some(tmp_path: Path) -> None:
    assert "processors" not in octodns.configuration(JOB, tmp_path)["zones"][f"{ZONE}."]
    guarded = octodns.configuration(base.Job(JOB.url, JOB.token, JOB.wanted, True), tmp_path)
    assert guarded["zones"][f"{ZONE}."]["processors"] == ["owner"]


def test_the_sdk_script_changes_nothing_that_is_spelled_as_it_writes(tmp_path: Path) -> None:
    Sdk(Path("v")).commands(JOB, tmp_path)
    wanted = json.loads((tmp_path / "sdk.json").read_text(encoding="utf-8"))["zones"][ZONE]
    live = [{**body, "id": str(i)} for i, body in enumerate(wanted)]
    # The SDK reads numbers as floats.
    live = json.loads(json.dumps(live), parse_int=float)
    assert script.compare(wanted, live) == {"deletes": [], "patches": [], "posts": []}
    (changed,) = [r for r in live if r["type"] == "A"]
    changed["content"] = "198.18.1.9"
    assert [p["id"] for p in script.compare(wanted, live)["patches"]] == [changed["id"]]


def test_the_copy_of_the_module_talks_to_the_twin_and_nowhere_else() -> None:
    source = "class API:\n    cf_api_endpoint = 'https://api.cloudflare.com/client/v4'\n    x = join_str('\\t', 1, 2)\n"
    made = environment.patched(source, JOB.url)
    assert f"cf_api_endpoint = '{JOB.url}'" in made and "cloudflare.com" not in made and "join_str(' ', 1, 2)" in made
    with pytest.raises(ValueError, match="holds no"):
        environment.patched("class API: pass", JOB.url)


def test_a_failure_is_told_and_does_not_stop_the_rest(tmp_path: Path) -> None:
    def python(code: str) -> base.Command:
        return base.Command((sys.executable, "-c", code), {"GIVEN": "yes"}, "in")

    last = "import os, sys; open('done', 'w').write(os.environ['GIVEN'] + sys.stdin.read())"
    outcome = base.run([python("print('x'); raise SystemExit('Error details: code: 1; ')"), python(last)], tmp_path)
    assert outcome.failure == "code: 1" and outcome.seconds > 0
    assert (tmp_path / "done").read_text() == "yesin"
    assert base.run([python("pass")], tmp_path).failure == ""


def test_a_command_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "DEADLINE", 0.2)
    outcome = base.run([base.Command((sys.executable, "-c", "import time; time.sleep(60)"))], tmp_path)
    assert "not finished" in outcome.failure and outcome.seconds < 10


@pytest.mark.parametrize(
    ("out", "err", "words"),
    [
        (r'{"changed": false, "msg": "MS-CF-004 \"x\": refused", "problems": []}', "", 'MS-CF-004 "x": refused'),
        ('{"msg": "API bad request; Error details: code: 81058; ", "failed": true}', "", "code: 81058"),
        ("PLAY RECAP", "[ERROR]: Task failed: why", "Task failed: why"),
        ("a\nb\n", "", "b"),
        ("", "", "no output"),
    ],
)
def test_last_words(out: str, err: str, words: str) -> None:
    assert base.last_words(out, err) == words


def test_the_environment_of_a_tool_holds_nothing_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ANSIBLE_FORKS", "CLOUDFLARE_API_TOKEN", "PYTHONPATH", "https_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "x")
    assert "x" not in base.clean_environment().values()
