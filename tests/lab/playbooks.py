# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The product's playbooks, run as the lab's controller does it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from lab import paths
from lab.__main__ import controller_environment
from lab.topology import CONTROLLER


def play(playbook: str, *extra: str, inventories: tuple[str, ...]) -> tuple[int, str]:
    """Run a playbook as the lab's controller: its exit status and what it printed."""
    program = str(Path(sys.executable).parent / "ansible-playbook")
    chosen = [word for inventory in inventories for word in ("-i", inventory)]
    command = ["ip", "netns", "exec", CONTROLLER.namespace, program, *chosen, playbook, *extra]
    # Whoever runs the tests may want colours; what is read here must have none.
    env = {**controller_environment(), "ANSIBLE_NOCOLOR": "1", "ANSIBLE_FORCE_COLOR": "0"}
    ended = subprocess.run(command, env=env, cwd=paths.ROOT, capture_output=True, text=True, check=False, timeout=600)
    return ended.returncode, ended.stdout + ended.stderr


def verify(directory: Path, inventories: tuple[str, ...]) -> dict[str, Any]:
    """The report of the product's own verify.yml. A failed check must fail the run, and nothing else may."""
    code, shown = play("playbooks/verify.yml", "-e", f"verify_report_dir={directory}", inventories=inventories)
    file = directory / "report.json"
    assert file.exists(), shown[-4000:]
    report: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    assert (code == 0) == (report["exit_code"] == 0), shown[-4000:]
    return report
