"""The inventory that users copy: it plans as it stands, and only four values have to be edited."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from tests.unit.plugins.playbook import ROOT, ansible_playbook, output

EXAMPLE = ROOT / "inventory/example"


def test_it_plans_without_mistakes() -> None:
    done = ansible_playbook(EXAMPLE, "playbooks/plan.yml")
    shown = output(done)
    assert done.returncode == 0, shown
    for expected in ("Domain example.com", "me@example.com", "mail.example.com at 192.0.2.10", "by manual"):
        assert expected in shown
    # The only thing it warns of is what the user is told to do: encrypt the vault.
    assert re.findall(r"\[(MS-[A-Z]+-\d+)\]", shown) == ["MS-INT-030"]
    assert not (EXAMPLE / ".mailstead").exists()


def test_four_values_make_it_ones_own(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    shutil.copytree(EXAMPLE, mine)
    edits = {
        "hosts.yml": ("192.168.1.20", "box.lan"),
        "group_vars/all/domains.yml": ("- name: example.com", "- name: example.net"),
        "host_vars/vps1.yml": ("192.0.2.10", "198.51.100.7"),
        "group_vars/all/vault.example.yml": ("put-your-token-here", "t0ken"),
    }
    for name, (before, after) in edits.items():
        path = mine / name
        text = path.read_text(encoding="utf-8")
        assert text.count(before) == 1, f"{before} is not written exactly once in {name}"
        path.write_text(text.replace(before, after), encoding="utf-8")
    shown = output(ansible_playbook(mine, "playbooks/plan.yml"))
    assert "Reverse record 198.51.100.7 → mail.example.net by manual" in shown and "me@example.net" in shown
    assert "postmaster@example.net" in shown
    assert "example.com" not in shown and "192.0.2.10" not in shown
    marks = re.findall(r"\((\d)\) ", "".join(p.read_text(encoding="utf-8") for p in EXAMPLE.rglob("*.yml")))
    assert sorted(set(marks)) == ["1", "2", "3", "4"]
