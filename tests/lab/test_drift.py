# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Drift in the running lab: each way the three views come apart is exactly one finding, and mended it is gone.

Runs the script a timer runs, so the exit codes are those that a timer sees.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lab import faults, paths, secrets
from lab.__main__ import controller_environment
from lab.topology import CONTROLLER

pytestmark = pytest.mark.lab

ZONE = "example.com"
REPORT = paths.ROOT / "build" / "drift" / "report.json"
BIN = Path(sys.executable).parent
#: Calls the API with what stands on standard input, so that the token is in no argument list.
CALL = """
import json, sys, urllib.request
asked = json.load(sys.stdin)
request = urllib.request.Request(
    "https://api.cloudflare.com/client/v4" + asked["path"],
    json.dumps(asked["body"]).encode() if asked["body"] is not None else None,
    {"Authorization": "Bearer " + asked["token"], "Content-Type": "application/json"},
    method=asked["method"],
)
print(urllib.request.urlopen(request, timeout=30).read().decode())
"""


def as_controller(*command: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command as the lab's controller."""
    return subprocess.run(
        ["ip", "netns", "exec", CONTROLLER.namespace, *command],
        env=controller_environment(),
        cwd=paths.ROOT,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def drift(*options: str) -> tuple[int, dict[str, str]]:
    """(exit code, verdict by id and scope of all that is not in order). The script must return what the report says."""
    ended = as_controller(str(paths.ROOT / "tools" / "drift.sh"), "-i", "inventory/lab", *options)
    assert REPORT.exists(), ended.stdout[-3000:] + ended.stderr[-2000:]
    report: dict[str, Any] = json.loads(REPORT.read_text(encoding="utf-8"))
    assert ended.returncode == report["exit_code"], ended.stdout[-3000:]
    found = [f for f in report["findings"] if f["verdict"] in ("fail", "warn", "unknown")]
    assert all(f["observed"] and (f["fix"] or f["because"]) for f in found), found
    return ended.returncode, {f"{f['id']} {f['scope']}": f["verdict"] for f in found}


def api(method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    """What a person does in the provider's panel."""
    asked = {"method": method, "path": path, "body": body, "token": secrets.load().cloudflare_token}
    ended = as_controller(str(BIN / "python"), "-c", CALL, stdin=json.dumps(asked))
    assert ended.returncode == 0, ended.stderr[-2000:]
    return json.loads(ended.stdout)["result"]


def record(name: str, rtype: str) -> tuple[str, dict[str, Any]]:
    """(path at the API, the record)."""
    (zone,) = api("GET", f"/zones?name={ZONE}")
    (found,) = api("GET", f"/zones/{zone['id']}/dns_records?type={rtype}&name={name}")
    return f"/zones/{zone['id']}/dns_records/{found['id']}", found


def publish() -> None:
    ended = as_controller(str(BIN / "ansible-playbook"), "-i", "inventory/lab", "playbooks/dns.yml")
    assert ended.returncode == 0, ended.stdout[-3000:]


def test_what_site_yml_published_has_not_drifted() -> None:
    code, found = drift()
    assert (code, {v for v in found.values() if v != "warn"}) == (0, set()), found


def test_a_record_broken_behind_the_providers_back() -> None:
    with faults.record(f"mail.{ZONE}", "A", "198.18.1.99"):
        assert drift() == (1, {f"S1 mail.{ZONE}/A": "fail"})
    assert drift()[0] == 0


def test_a_record_lost_behind_the_providers_back() -> None:
    with faults.record(ZONE, "MX"):
        assert drift() == (1, {f"S1 {ZONE}/MX": "fail"})
    assert drift()[0] == 0


def test_a_change_by_hand_at_the_provider_until_it_is_published_again() -> None:
    path, _mx = record(ZONE, "MX")
    api("PATCH", path, {"priority": 20})
    assert drift() == (1, {f"R2 {ZONE}/MX": "fail"})
    publish()
    assert drift()[0] == 0


def test_a_deletion_by_hand_at_the_provider_until_it_is_published_again() -> None:
    path, _dmarc = record(f"_dmarc.{ZONE}", "TXT")
    api("DELETE", path)
    assert drift() == (1, {f"R1 _dmarc.{ZONE}/TXT/dmarc": "fail"})
    publish()
    assert drift()[0] == 0


def test_a_record_added_by_hand_in_our_place() -> None:
    path, _mx = record(ZONE, "MX")
    body = {"type": "MX", "name": ZONE, "content": "mx.strict.example.org", "priority": 5, "ttl": 300}
    added = api("POST", path.rpartition("/")[0], body)
    try:
        assert drift() == (1, {f"R4 {ZONE}/MX": "fail"})
    finally:
        api("DELETE", f"{path.rpartition('/')[0]}/{added['id']}")
    assert drift()[0] == 0


def test_without_home_and_edge_their_values_are_unknown_and_the_rest_is_compared() -> None:
    away = ("-e", "ansible_host=127.0.0.99")
    code, found = drift(*away)
    assert code == 2
    assert set(found.values()) == {"unknown"} and {k.split(" ")[0] for k in found} == {"R1"}
    assert any("dkim" in k for k in found) and any("TLSA" in k for k in found)
    # A failure is still a failure.
    with faults.record(f"autoconfig.{ZONE}", "CNAME"):
        code, found = drift(*away)
        assert code == 1 and {k for k, v in found.items() if v == "fail"} == {f"S1 autoconfig.{ZONE}/CNAME"}
    assert drift()[0] == 0
