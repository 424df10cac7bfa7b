# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory of a service for applications: it plans as it stands, without its tunnel too, and six values are one's own."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from tests.unit.plugins.playbook import ROOT, ansible_playbook, output

EXAMPLE = ROOT / "inventory/example_sender"


def test_it_plans_without_mistakes_and_shows_who_sends_through_what() -> None:
    done = ansible_playbook(EXAMPLE, "playbooks/plan.yml")
    shown = output(done)
    assert done.returncode == 0, shown
    for expected in (
        "Service notify on lan-box",
        "billing@notify.example.com",
        "smtp.example.com, a Cloudflare Tunnel",
        "127.0.0.1:2525",
        "notify.example.com at 192.168.1.20",
        "DMARC p=reject",
    ):
        assert expected in shown, shown
    assert set(re.findall(r"\[(MS-[A-Z]+-\d+)\]", shown)) == {"MS-INT-030"}


def test_it_plans_without_machines_elsewhere(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    shutil.copytree(EXAMPLE, mine)
    domains = mine / "group_vars/all/domains.yml"
    text = domains.read_text(encoding="utf-8")
    text = re.sub(r"    expose:\n.*\n    clients:.*\n", "", text)
    assert "clients:" not in text
    domains.write_text(text, encoding="utf-8")
    hosts = mine / "hosts.yml"
    kept = hosts.read_text(encoding="utf-8").partition("    # Machines elsewhere")[0]
    hosts.write_text(f"{kept}  vars: {{ansible_user: root}}\n", encoding="utf-8")
    done = ansible_playbook(mine, "playbooks/plan.yml")
    shown = output(done)
    assert done.returncode == 0, shown
    assert "Service notify on lan-box" in shown and "Tunnel" not in shown


def test_the_values_of_ones_own_are_numbered() -> None:
    marks = re.findall(r"\((\d)\) ", "".join(p.read_text(encoding="utf-8") for p in EXAMPLE.rglob("*.yml")))
    assert sorted(set(marks)) == ["1", "2", "3", "4", "5", "6"]
