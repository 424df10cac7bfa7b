# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the page on several providers shows can be used: its inventory is read, its units are taken by systemd."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from ansible_collections.mailstead.stack.plugins.module_utils.intent.read import read_intent
from ansible_collections.mailstead.stack.plugins.plugin_utils.profiles import profiles

from tests.unit.checks.world import keys
from tests.unit.examples import raw

ROOT = Path(__file__).parents[3]
UNITS = ROOT / "templates" / "systemd"


def test_the_example_is_an_inventory() -> None:
    page = (ROOT / "docs" / "composition.md").read_text(encoding="utf-8")
    block = re.search(r"```yaml\n(.+?)```", page, re.DOTALL)
    assert block is not None
    domains = yaml.safe_load(block[1].replace("p=…", "p=" + keys()[0][2]))["mail_domains"]
    intent = read_intent(raw(domains, hosts={}), profiles=profiles())
    assert [s.provider for s in intent.domains[0].senders] == ["google_workspace", "cloudflare_email_sending"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not here")
def test_systemd_takes_the_units(tmp_path: Path) -> None:
    """With the paths of this checkout, for a unit whose program does not exist is refused."""
    found = sorted(UNITS.glob("mailstead-providers.*"))
    assert [p.suffix for p in found] == [".service", ".timer"]
    for unit in found:
        text = unit.read_text(encoding="utf-8").replace("/opt/mailstead", str(ROOT))
        (tmp_path / unit.name).write_text(text.replace("User=mailstead", "User=root"), encoding="utf-8")
    names = sorted(str(p) for p in tmp_path.iterdir())
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *names], capture_output=True, text=True, check=False, timeout=60
    )
    assert [line for line in done.stderr.splitlines() if "mailstead-providers" in line] == []
