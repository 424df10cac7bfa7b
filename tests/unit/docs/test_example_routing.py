"""The inventory without a server: it plans as it stands, and only three values have to be edited."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from tests.unit.plugins.playbook import ROOT, ansible_playbook, output

EXAMPLE = ROOT / "inventory/example_routing"


def test_it_plans_without_mistakes_and_shows_what_to_enter_at_gmail() -> None:
    done = ansible_playbook(EXAMPLE, "playbooks/plan.yml")
    shown = output(done)
    assert done.returncode == 0, shown
    for expected in ("Domain example.me", "hi@example.me", "smtp.gmail.com, port 587", "DMARC p=none", "app password"):
        assert expected in shown
    assert re.findall(r"\[(MS-[A-Z]+-\d+)\]", shown) == ["MS-INT-030"]


def test_three_values_make_it_ones_own(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    shutil.copytree(EXAMPLE, mine)
    path = mine / "group_vars/all/domains.yml"
    text = (
        path.read_text(encoding="utf-8")
        .replace("example.me", "example.org")
        .replace("you@gmail.com", "me@mail.example")
    )
    path.write_text(text, encoding="utf-8")
    operator = mine / "group_vars/all/operator.yml"
    operator.write_text(
        operator.read_text(encoding="utf-8").replace("you@gmail.com", "me@mail.example"), encoding="utf-8"
    )
    shown = output(ansible_playbook(mine, "playbooks/plan.yml"))
    assert "hi@example.org" in shown and "me@mail.example" in shown
    assert "example.me" not in shown and "you@gmail.com" not in shown
    marks = re.findall(r"\((\d)\) ", "".join(p.read_text(encoding="utf-8") for p in EXAMPLE.rglob("*.yml")))
    assert sorted(set(marks)) == ["1", "2", "3"]
