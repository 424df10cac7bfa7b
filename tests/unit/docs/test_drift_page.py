# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page on drift and its units agree with the code, and systemd takes the units."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.dns.drift.catalogue import CHECKS
from ansible_collections.mailstead.stack.plugins.module_utils.dns.drift.codes import CODES
from ansible_collections.mailstead.stack.plugins.module_utils.dns.drift.report import message

ROOT = Path(__file__).parents[3]
UNITS = ROOT / "templates" / "systemd"


def test_the_page_explains_every_finding() -> None:
    page = (ROOT / "docs" / "drift.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| ([A-Z]\d) \| (.+?) \|", page, re.MULTILINE))
    assert rows == {c.id: _sentence(c.title) for c in CHECKS}


def _sentence(title: str) -> str:
    return title if title.startswith("DS") else title[0].lower() + title[1:]


def test_every_way_to_end_has_its_code() -> None:
    said = {message({"exit_code": code, "findings": []})[1:11] for code in (1, 2, 3)}
    assert said == {"MS-DNS-090", "MS-DNS-091", "MS-DNS-092"} and said < set(CODES)


def test_the_script_can_be_run() -> None:
    assert (ROOT / "tools" / "drift.sh").stat().st_mode & stat.S_IXUSR
    unit = (UNITS / "mailstead-drift.service").read_text(encoding="utf-8")
    assert "ExecStart=/opt/mailstead/tools/drift.sh " in unit


#: Stands for ansible-playbook: leaves a report with the exit code it is told, or none; the report's place is its last word.
PLAYBOOK = """#!/bin/bash
directory=${!#}; directory=${directory#mailstead_drift_report_dir=}
[ -z "$CODE" ] || echo "{\\"exit_code\\": $CODE}" > "$directory/report.json"
exit 2
"""


@pytest.mark.parametrize(
    ("code", "arguments", "status", "words"),
    [
        *((str(code), ["-i", "inventory/mine"], code, "") for code in range(4)),
        ("0", ["-e", "mailstead_drift_report_dir=/nowhere"], 0, ""),
        ("", [], 3, "broke before it had a verdict (ansible-playbook: 2)"),
        ("0", ["-i", "inventory/mine", "--check"], 3, "leave --check out"),
    ],
)
def test_the_script_ends_as_the_report_says(
    tmp_path: Path, code: str, arguments: list[str], status: int, words: str
) -> None:
    for name in ("tools/drift.sh", ".venv/bin/ansible-playbook"):
        (tmp_path / name).parent.mkdir(parents=True)
    script = shutil.copy(ROOT / "tools" / "drift.sh", tmp_path / "tools")
    playbook = tmp_path / ".venv" / "bin" / "ansible-playbook"
    playbook.write_text(PLAYBOOK, encoding="utf-8")
    playbook.chmod(0o755)
    old = tmp_path / "build" / "drift" / "report.json"
    old.parent.mkdir(parents=True)
    old.write_text('{"exit_code": 1}', encoding="utf-8")
    done = subprocess.run(
        [script, *arguments],
        env={**os.environ, "CODE": code},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert (done.returncode, words in done.stderr) == (status, True), done.stderr


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not here")
def test_systemd_takes_the_units(tmp_path: Path) -> None:
    """With the paths of this checkout, for a unit whose program does not exist is refused."""
    for unit in UNITS.iterdir():
        text = (
            unit.read_text(encoding="utf-8").replace("/opt/mailstead", str(ROOT)).replace("User=mailstead", "User=root")
        )
        (tmp_path / unit.name).write_text(text, encoding="utf-8")
    names = sorted(str(p) for p in tmp_path.iterdir())
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *names], capture_output=True, text=True, check=False, timeout=60
    )
    # What is wrong with units of the machine itself is not ours.
    ours = [line for line in done.stderr.splitlines() if "mailstead-drift" in line]
    assert ours == []
