"""Profiles in real runs of Ansible: shown by the playbook, and read from beside the inventory by the plan."""

from __future__ import annotations

from pathlib import Path

import yaml

from tests.unit.plugins.playbook import ansible_playbook, output, write_inventory
from tests.unit.providers.test_profiles import MINIMAL


def inventory_with(root: Path, **profile: object) -> Path:
    inventory = write_inventory(root)
    (inventory / "providers").mkdir()
    text = yaml.safe_dump({**MINIMAL, **profile})
    (inventory / "providers/some_provider.yml").write_text(text, encoding="utf-8")
    return inventory


def test_a_provider_is_shown_for_a_domain(tmp_path: Path) -> None:
    inventory = write_inventory(tmp_path)
    done = ansible_playbook(inventory, "playbooks/provider.yml", "-e", "show=tencent_exmail", "-e", "domain=example.cn")
    shown = output(done)
    assert done.returncode == 0, shown
    assert "5 mxbiz1.qq.com" in shown and "CNAME  <name>.example.cn" in shown and "[WARNING]" not in shown


def test_without_a_word_all_are_listed_and_a_wrong_one_is_told(tmp_path: Path) -> None:
    inventory = write_inventory(tmp_path)
    assert "More about one of them" in output(ansible_playbook(inventory, "playbooks/provider.yml"))
    done = ansible_playbook(inventory, "playbooks/provider.yml", "-e", "show=fastmial")
    assert done.returncode != 0 and "[MS-PRO-004] show: there is no provider 'fastmial'" in output(done)


def test_one_beside_the_inventory_is_shown_and_planned_with_and_is_no_host(tmp_path: Path) -> None:
    inventory = inventory_with(tmp_path)
    done = ansible_playbook(inventory, "playbooks/provider.yml", "-e", "show=some_provider")
    shown = output(done)
    assert done.returncode == 0 and "Some Provider (some_provider): sends mail" in shown, shown
    done = ansible_playbook(inventory, "playbooks/plan.yml")
    shown = output(done)
    assert done.returncode == 0 and "Providers described beside the inventory: some_provider" in shown, shown
    # Ansible takes the directory for none of its own.
    assert "not a valid group definition" not in shown and "Unable to parse" not in shown


def test_mistakes_in_one_stop_the_plan_with_the_file(tmp_path: Path) -> None:
    inventory = inventory_with(tmp_path, dkim=[{"kind": "txt", "selector": "s1", "value": "{key}"}])
    done = ansible_playbook(inventory, "playbooks/plan.yml")
    assert done.returncode != 0
    assert "[MS-PRO-002] providers/some_provider.yml: dkim: '{key}' has no input" in output(done)
