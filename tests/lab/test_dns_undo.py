# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A wrong address in the inventory is published, and playbooks/dns_undo.yml puts back what stood there."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import faults, paths
from lab.__main__ import controller_environment
from lab.topology import CONTROLLER, host
from tests.lab.test_breaks import PLAYBOOK, failed, verify

pytestmark = pytest.mark.lab

#: A neighbour of the edge on which nobody answers.
WRONG = "198.18.1.99"


@pytest.fixture(name="wrong")
def fixture_wrong() -> Iterator[str]:
    """The lab's inventory with another address of the edge, beside it because of the paths in it."""
    copy = paths.ROOT / "inventory" / "lab-undo"
    shutil.copytree(paths.ROOT / "inventory" / "lab", copy, dirs_exist_ok=True)
    variables = copy / "host_vars" / "vps1.yml"
    text = variables.read_text(encoding="utf-8")
    right = host("vps1").address4()
    assert right in text
    variables.write_text(re.sub(rf"\b{re.escape(right)}\b", WRONG, text), encoding="utf-8")
    try:
        yield "inventory/lab-undo"
    finally:
        shutil.rmtree(copy)


def play(inventory: str, playbook: str, *extra: str) -> str:
    """Run a playbook as the lab's controller; what it printed."""
    command = [
        "ip",
        "netns",
        "exec",
        CONTROLLER.namespace,
        str(PLAYBOOK),
        "-i",
        inventory,
        f"playbooks/{playbook}",
        *extra,
    ]
    # Whoever runs the tests may want colours; what is read here must have none.
    env = {**controller_environment(), "ANSIBLE_NOCOLOR": "1", "ANSIBLE_FORCE_COLOR": "0"}
    ended = subprocess.run(command, env=env, cwd=paths.ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-2000:]
    return ended.stdout


def changed(output: str) -> int:
    found = re.search(r"^localhost\s.*\bchanged=(\d+)", output, re.MULTILINE)
    assert found is not None, output[-2000:]
    return int(found[1])


def test_a_wrong_address_is_undone(wrong: str, tmp_path: Path) -> None:
    kept = f"dns_history={tmp_path}"
    # The name backwards is no record of the zones in question: it stays as it is.
    publish = ["-e", "mailstead_through_phase=keys", "-e", f"dns_history={tmp_path}", "-e", '{"dns_reverse": []}']
    published = play(wrong, "dns.yml", *publish)
    try:
        assert changed(published)
        listed = play("inventory/lab", "dns_undo.yml", "-e", kept)
        assert "~ A mail.example.com" in listed
        planned = play("inventory/lab", "dns_undo.yml", "-e", kept, "-e", "to=last", "--check", "--diff")
        assert re.search(rf"^-\S+\s.*\bA\s+{re.escape(WRONG)}", planned, re.MULTILINE), planned[-3000:]
    finally:
        done = play("inventory/lab", "dns_undo.yml", "-e", kept, "-e", "to=last")
    assert changed(done) == 1 and "the next run of site.yml publishes it" in done
    # What the inventory of the lab says stands there again: nothing is left to publish, and mail flows.
    assert changed(play("inventory/lab", "dns.yml", *publish)) == 0
    # Whoever asked in between would remember the wrong address for a minute.
    faults.flush("example.com")
    assert failed(verify()) == set()
