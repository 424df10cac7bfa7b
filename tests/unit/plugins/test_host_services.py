"""Services and accounts of a host: what is asked of systemd, and when a unit must be started again."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError
from ansible_collections.mailstead.stack.plugins.module_utils.host import accounts, services
from ansible_collections.mailstead.stack.plugins.modules import host_facts
from hypothesis import given
from hypothesis import strategies as st

RUNNING = services.Unit("x.service", loaded=True, active=True, enabled=True, stale=False, started=time.time())


class Systemd:
    """Answers as systemctl does; calls: every command."""

    def __init__(self, show: str = "", code: int = 0) -> None:
        self.show, self.code, self.calls = show, code, list[list[str]]()

    def __call__(self, command: list[str]) -> tuple[int, str, str]:
        self.calls.append(command)
        if command[1] == "show":
            return 0, self.show, ""
        if command[0] == "journalctl":
            return 0, "panic: no such file\n", ""
        return self.code, "", "Job failed."


def block(**values: str) -> str:
    given_values = {"Id": "x.service", "LoadState": "loaded", "ActiveState": "active", "UnitFileState": "enabled"}
    return "".join(f"{k}={v}\n" for k, v in {**given_values, "NeedDaemonReload": "no", **values}.items())


def test_states_are_read_in_one_question() -> None:
    entered = int((time.clock_gettime(time.CLOCK_MONOTONIC) - 5) * 1e6)
    systemd = Systemd(
        block(ActiveEnterTimestampMonotonic=str(entered)) + "\n" + block(ActiveState="failed", UnitFileState="")
    )
    one, two = services.read(systemd, ["a.service", "b.service"])
    assert len(systemd.calls) == 1
    assert (one.name, one.active, one.enabled) == ("a.service", True, True)
    assert abs(time.time() - 5 - one.started) < 1
    assert (two.name, two.active, two.enabled, two.started) == ("b.service", False, False, 0.0)


def test_a_unit_as_it_should_be_needs_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.conf"
    path.write_text("x")
    os.utime(path, (1, RUNNING.started - 100))
    assert services.needs(RUNNING, [{"path": str(path), "state": "file"}], changed=False) == []


def test_a_change_restarts(tmp_path: Path) -> None:
    assert services.needs(RUNNING, [], changed=True) == ["restart"]


def test_a_run_that_died_between_file_and_restart_is_made_good(tmp_path: Path) -> None:
    path = tmp_path / "a.conf"
    path.write_text("x")
    os.utime(path, (1, RUNNING.started + 60))
    assert services.needs(RUNNING, [{"path": str(path), "state": "file"}], changed=False) == ["restart"]


@given(st.booleans(), st.booleans(), st.booleans())
def test_after_the_verbs_nothing_is_needed(active: bool, enabled: bool, changed: bool) -> None:
    unit = services.Unit("x.service", True, active, enabled, False, RUNNING.started if active else 0.0)
    verbs = services.needs(unit, [], changed)
    assert ("enable" in verbs) == (not enabled)
    assert ("start" in verbs) == (not active)
    assert services.needs(RUNNING, [], changed=False) == []


def test_a_unit_that_does_not_come_up_is_an_error_with_its_last_words() -> None:
    with pytest.raises(MailsteadError) as caught:
        services.apply(Systemd(code=1), "x.service", ["start"])
    assert "MS-HOST-008" in str(caught.value) and "panic: no such file" in str(caught.value)


def test_unit_files_are_read_again_when_they_changed() -> None:
    assert services.reload_needed([RUNNING], ["/etc/systemd/system/x.service"])
    assert not services.reload_needed([RUNNING], ["/etc/x.conf"])


def test_accounts_are_made_once_and_refusals_are_told() -> None:
    assert accounts.missing(["root", "nobody-of-this-name"]) == ["nobody-of-this-name"]
    systemd = Systemd()
    accounts.make(systemd, ["frps"])
    assert systemd.calls[0][0] == "useradd" and "--system" in systemd.calls[0] and systemd.calls[0][-1] == "frps"
    with pytest.raises(MailsteadError) as caught:
        accounts.make(Systemd(code=9), ["frps"])
    assert "MS-HOST-006" in str(caught.value)


def test_facts_of_a_host() -> None:
    assert host_facts.os_release('ID=debian\nVERSION_ID="12"\n# x=y\n') == {"ID": "debian", "VERSION_ID": "12"}
    listing = "ii \tunbound\nrc \tpostfix\nhi \tdocker.io\nii \tcertbot\n"
    assert host_facts.installed(listing) == ["certbot", "unbound"]
