# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``make lab``: start the lab, run the unmodified site.yml in it, and end with the verdict of its report."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lab import lifecycle, paths
from lab.console import CONSOLE
from lab.topology import CONTROLLER

PLAYBOOK = Path(sys.executable).parent / "ansible-playbook"
REPORT = paths.ROOT / "build" / "report" / "report.json"
RUNS = paths.ROOT / "build" / "runs" / "lab.jsonl"
#: The run itself broke, as against a check that failed (1) or could not be made (2).
BROKEN = 3


def playbook(name: str, environment: Mapping[str, str], *options: str) -> int:
    """Run a playbook as the lab's controller, its output passed through; returns ansible-playbook's exit status."""
    env = {
        **environment,
        "ANSIBLE_CONFIG": str(paths.ROOT / "ansible.cfg"),
        "ANSIBLE_CALLBACKS_ENABLED": "mailstead.stack.run_stats",
        "MAILSTEAD_RUN_STATS": str(RUNS),
    }
    if sys.stdout.isatty():
        env["ANSIBLE_FORCE_COLOR"] = "1"
    command = [str(PLAYBOOK), "-i", "inventory/lab", name, *options]
    CONSOLE.say(f"running: ansible-playbook -i inventory/lab {' '.join([name, *options])}")
    return subprocess.run(
        ["ip", "netns", "exec", CONTROLLER.namespace, *command], env=env, cwd=paths.ROOT, check=False
    ).returncode


def last_run() -> dict[str, Any]:
    """The figures of the newest run (see plugins/callback/run_stats.py); empty when there is none."""
    lines = RUNS.read_text(encoding="utf-8").splitlines() if RUNS.exists() else []
    return dict(json.loads(lines[-1])) if lines else {}


def site(environment: Mapping[str, str]) -> int:
    """The whole main job. Returns the report's exit status: 0 to 2, or 3 when the run broke before a verdict."""
    begin = time.monotonic()
    lifecycle.up()
    ready = time.monotonic()
    REPORT.unlink(missing_ok=True)
    status = playbook("site.yml", environment)
    run = last_run()
    report: dict[str, Any] = json.loads(REPORT.read_text(encoding="utf-8")) if REPORT.exists() else {}
    print()
    for host, figures in run.get("hosts", {}).items():
        print(f"  {host:<12} ok={figures['ok']:<4} changed={figures['changed']:<4} failed={figures['failures']}")
    print(f"  lab {ready - begin:.0f} s, playbook {run.get('seconds', 0):.0f} s ({run.get('tasks', 0)} tasks)")
    if not report:
        print("  The run broke before there was a verdict; the message above says what to do.")
        return BROKEN
    verdict = int(report["exit_code"])
    counts = ", ".join(
        f"{report['counts'][kind]} {word}"
        for kind, word in {"pass": "pass", "warn": "warn", "fail": "fail", "unknown": "unknown", "na": "n/a"}.items()
        if report["counts"].get(kind)
    )
    print(f"  Verdict: {report['outcome']} ({counts})")
    print(f"  Report: {os.path.relpath(REPORT)} and {os.path.relpath(REPORT.with_suffix('.html'))}")
    if verdict == 0 and status != 0:
        print("  Every check passed, but the run did not end well; the message above says why.")
        return BROKEN
    print("  The lab keeps running: make lab-status says how to log in, make lab-down removes it.")
    return verdict
