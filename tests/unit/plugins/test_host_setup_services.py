"""host_setup's services and accounts, against programs that answer as systemd's and useradd do; host_facts."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.mailstead.stack.plugins.modules import host_facts, host_setup

from tests.unit.plugins.modules import Answer, run_module

OWNER, GROUP = str(os.getuid()), str(os.getgid())

#: Keeps units in a JSON file and answers `show` in the real program's format; a unit named bad… never comes up.
SYSTEMCTL = """
import json, os, sys, time
path = os.environ["FAKE_UNITS"]
units = json.load(open(path))
verb, names = sys.argv[1], [a for a in sys.argv[2:] if a.endswith(".service")]
with open(path + ".log", "a") as log:
    log.write(" ".join([verb, *names]) + chr(10))
if os.environ.get("FAKE_NO_SYSTEMD"):
    sys.exit("System has not been booted with systemd as init system (PID 1). Can't operate.")
now = time.clock_gettime(time.CLOCK_MONOTONIC)
if verb == "show":
    blank = {"LoadState": "not-found", "ActiveState": "inactive", "UnitFileState": "", "entered": 0, "stale": "no"}
    blocks = []
    for name in names:
        unit = {**blank, **units.get(name, {})}
        entered = int((now - unit["ago"]) * 1e6) if unit.get("ago") is not None else 0
        blocks.append(chr(10).join([f"Id={name}", f"LoadState={unit['LoadState']}", f"ActiveState={unit['ActiveState']}",
            f"UnitFileState={unit['UnitFileState']}", f"NeedDaemonReload={unit['stale']}",
            f"ActiveEnterTimestampMonotonic={entered}"]))
    print((chr(10) * 2).join(blocks))
for name in names if verb in ("enable", "start", "restart") else ():
    unit = units.setdefault(name, {})
    if verb != "enable" and name.startswith("bad"):
        sys.exit(f"Job for {name} failed because the control process exited with error code.")
    unit.update({"LoadState": "loaded"}, **({"UnitFileState": "enabled"} if verb == "enable" else
                {"ActiveState": "active", "ago": 0}))
if verb == "daemon-reload":
    for unit in units.values():
        unit["stale"] = "no"
json.dump(units, open(path, "w"))
"""
JOURNALCTL = "print('listen tcp :25: bind: address already in use')"
USERADD = """
import os, sys
open(os.environ["FAKE_UNITS"] + ".users", "a").write(" ".join(sys.argv[1:]) + chr(10))
sys.exit("useradd: cannot lock /etc/passwd; try again later." if os.environ.get("FAKE_NO_USERADD") else 0)
"""
RUNNING = {"LoadState": "loaded", "ActiveState": "active", "UnitFileState": "enabled", "stale": "no"}


class Machine:
    """A host whose systemctl, journalctl and useradd are ours. ago: seconds since a unit came up."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.state = root, root / "units.json"
        programs = root / "bin"
        programs.mkdir()
        for name, text in (("systemctl", SYSTEMCTL), ("journalctl", JOURNALCTL), ("useradd", USERADD)):
            path = programs / name
            path.write_text(f"#!{sys.executable}\n{text}")
            path.chmod(0o755)
        monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
        monkeypatch.setenv("FAKE_UNITS", str(self.state))
        self.set()

    def set(self, **units: dict[str, Any]) -> None:
        self.state.write_text(json.dumps({f"{name}.service": unit for name, unit in units.items()}))

    def verbs(self) -> list[str]:
        """What was asked of systemd since the last call, questions left out."""
        log = Path(f"{self.state}.log")
        lines = log.read_text().splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        return [line for line in lines if not line.startswith("show")]

    def users(self) -> list[str]:
        path = Path(f"{self.state}.users")
        return path.read_text().splitlines() if path.exists() else []

    def file(self, name: str, content: str) -> dict[str, Any]:
        return {"path": str(self.root / name), "content": content, "owner": OWNER, "group": GROUP}

    def run(self, *files: dict[str, Any], check: bool = False, **more: Any) -> Answer:
        return run_module(host_setup.main, files=list(files), check=check, **more)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


def test_a_new_service_is_enabled_and_started_once(machine: Machine) -> None:
    files, services = [machine.file("a.conf", "1\n")], ["a.service"]
    predicted = machine.run(*files, services=services, check=True)
    assert predicted.data["started"] == services and machine.verbs() == []
    first = machine.run(*files, services=services)
    assert first.changed and first.data["started"] == services and first.data["diff"] == predicted.data["diff"]
    assert machine.verbs() == ["enable a.service", "start a.service"]
    second = machine.run(*files, services=services)
    assert not second.changed and second.data["started"] == [] and machine.verbs() == []


def test_a_changed_file_restarts_what_runs_with_it(machine: Machine) -> None:
    machine.set(a={**RUNNING, "ago": 3600}, b={**RUNNING, "ago": 3600})
    machine.run(machine.file("a.conf", "1\n"), services=["a.service"])
    assert machine.verbs() == ["restart a.service"]
    answer = machine.run(machine.file("a.conf", "2\n"), services=["a.service"], check=True)
    assert answer.data["started"] == ["a.service"] and machine.verbs() == []
    machine.run(machine.file("a.conf", "2\n"), services=["a.service"])
    assert machine.verbs() == ["restart a.service"]


def test_a_run_that_died_before_the_restart_is_made_good(machine: Machine) -> None:
    """The file is as wanted, but the service has been running since before it was written."""
    wanted = machine.file("a.conf", "1\n")
    machine.run(wanted)
    machine.set(a={**RUNNING, "ago": 3600})
    assert machine.run(wanted, services=["a.service"]).changed and machine.verbs() == ["restart a.service"]
    old = time.time() - 7200
    os.utime(wanted["path"], (old, old))
    machine.set(a={**RUNNING, "ago": 3600})
    assert not machine.run(wanted, services=["a.service"]).changed and machine.verbs() == []


def test_a_stopped_or_disabled_service_is_brought_back(machine: Machine) -> None:
    machine.set(
        a={**RUNNING, "ActiveState": "failed"},
        b={**RUNNING, "UnitFileState": "disabled", "ago": 60},
        c={**RUNNING, "UnitFileState": "static", "ago": 60},
    )
    answer = machine.run(services=["a.service", "b.service", "c.service"])
    assert answer.data["started"] == ["a.service", "b.service"]
    assert machine.verbs() == ["start a.service", "enable b.service"]


def test_systemd_reads_stale_units_again_before_anything_starts(machine: Machine) -> None:
    machine.set(a={**RUNNING, "stale": "yes", "ago": 60})
    machine.run(machine.file("a.conf", "1\n"), services=["a.service"])
    assert machine.verbs() == ["daemon-reload", "restart a.service"]


def test_a_service_that_does_not_come_up_says_its_last_words(machine: Machine) -> None:
    answer = machine.run(services=["bad.service"])
    assert answer.failed and "[MS-HOST-008] bad.service: systemctl start failed" in answer.message
    assert "address already in use" in answer.message and "journalctl -u bad.service" in answer.message


def test_a_host_without_systemd_is_one_message(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_NO_SYSTEMD", "1")
    answer = machine.run(services=["a.service"])
    assert answer.failed and "[MS-HOST-007] a.service" in answer.message and "not been booted" in answer.message


def test_a_refused_file_leaves_the_services_alone(machine: Machine) -> None:
    machine.set(a={**RUNNING, "ago": 60})
    wanted = {**machine.file("a.conf", "1\n"), "validate": ["false", "%s"]}
    assert "[MS-HOST-001]" in machine.run(wanted, services=["a.service"]).message and machine.verbs() == []


def test_accounts_are_made_without_a_way_to_log_in(machine: Machine) -> None:
    predicted = machine.run(accounts=["root", "no-such-user"], check=True)
    assert predicted.changed and predicted.data["diff"] == [{"prepared": "account no-such-user: new\n"}]
    assert machine.users() == []
    machine.run(accounts=["root", "no-such-user"])
    (line,) = machine.users()
    assert line.endswith("no-such-user") and "--system" in line and "--shell /usr/sbin/nologin" in line
    assert not machine.run(accounts=["root"]).changed


def test_a_refused_account_is_one_message(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_NO_USERADD", "1")
    answer = machine.run(accounts=["no-such-user"])
    assert answer.failed and "[MS-HOST-006] no-such-user: useradd refused: useradd: cannot lock" in answer.message


def test_secrets_come_apart_from_their_files(machine: Machine) -> None:
    path = str(machine.root / "token")
    entry = {"path": path, "mode": "0600", "owner": OWNER, "group": GROUP}
    answer = machine.run(entry, secrets={path: "hunter2-hunter2\n"})
    assert answer.changed and Path(path).read_text() == "hunter2-hunter2\n"
    assert "hunter2" not in answer.raw
    missing = machine.run(entry)
    assert missing.failed and f"[MS-HOST-009] {path}" in missing.message


def test_the_digest_tells_wanted_contents_apart(machine: Machine) -> None:
    one = machine.run(machine.file("a", "1"), machine.file("b", "2")).data["digest"]
    assert machine.run(machine.file("a", "1"), machine.file("b", "2")).data["digest"] == one
    assert machine.run(machine.file("a", "12"), machine.file("b", "")).data["digest"] != one
    assert machine.run(machine.file("a", "1"), machine.file("b", "3"), check=True).data["digest"] != one


def test_os_release_and_package_listings_are_read() -> None:
    text = '# comment\nID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n\n'
    assert host_facts.os_release(text)["VERSION_ID"] == "12" and host_facts.os_release(text)["ID"] == "debian"
    listing = "ii \tunbound\nrc \tpostfix\nii \tlibc6\nii \tlibc6\nun \tdocker\nbroken line\n"
    assert host_facts.installed(listing) == ["libc6", "unbound"]


def test_host_facts_of_this_machine() -> None:
    facts = run_module(host_facts.main).data["ansible_facts"]["mailstead_host"]
    assert facts["uid"] == os.getuid() and facts["python"] == ".".join(map(str, sys.version_info[:2]))
    assert set(facts) == {"uid", "user", "python", "distribution", "release", "systemd", "packages"}
