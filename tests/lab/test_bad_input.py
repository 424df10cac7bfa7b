"""Wrong input ends a run before anything is changed: one message with a code, the place and the fix."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from lab import paths
from lab.__main__ import controller_environment
from lab.topology import CONTROLLER
from tests.lab.test_breaks import PLAYBOOK, on

pytestmark = pytest.mark.lab

DOMAIN: dict[str, Any] = {"name": "example.com", "provider": "stalwart", "mta_sts": "enforce", "accounts": ["rekord"]}


def run(tmp_path: Path, playbook: str = "site.yml", **override: Any) -> str:
    """Run a playbook with variables overridden; it must fail, and nothing may have changed. Returns what it printed."""
    extra, stats = tmp_path / "extra.json", tmp_path / "stats.jsonl"
    extra.write_text(json.dumps(override))
    env = {
        **controller_environment(),
        "ANSIBLE_CALLBACKS_ENABLED": "mailstead.stack.run_stats",
        "MAILSTEAD_RUN_STATS": str(stats),
    }
    command = ["ip", "netns", "exec", CONTROLLER.namespace, str(PLAYBOOK), "-i", "inventory/lab", playbook]
    ended = subprocess.run(
        [*command, "-e", f"@{extra}"], env=env, cwd=paths.ROOT, capture_output=True, text=True, check=False, timeout=200
    )
    assert ended.returncode != 0, ended.stdout[-2000:]
    figures = json.loads(stats.read_text().splitlines()[-1])["hosts"]
    assert sum(h["changed"] for h in figures.values()) == 0, figures
    return ended.stdout + ended.stderr


def test_every_mistake_of_the_inventory_at_once(tmp_path: Path) -> None:
    wrong = {**DOMAIN, "mta_sts": "enforced", "acounts": []}
    text = run(tmp_path, mail_domains=[wrong], mail_domian=[])
    for code in ("MS-INT-001", "MS-INT-004", "MS-INT-006"):
        assert f"[{code}]" in text
    assert "3 mistakes in the inventory" in text and "Did you mean 'accounts'?" in text


def test_a_refused_token(tmp_path: Path) -> None:
    text = run(tmp_path, vault_cloudflare_token="nobodys-token-0123456789012345678901234")
    assert "[MS-CF-" in text and "Fix:" in text
    assert "nobodys-token" not in text


def test_a_domain_that_is_no_zone_of_the_token(tmp_path: Path) -> None:
    text = run(tmp_path, mail_domains=[DOMAIN, {**DOMAIN, "name": "example.io"}])
    assert "[MS-CF-" in text and "example.io" in text and "example.com" in text


def test_a_host_that_does_not_answer(tmp_path: Path) -> None:
    text = run(tmp_path, ansible_port=9, ansible_ssh_timeout=3)
    assert "[MS-HOST-002] home: it cannot be reached" in text and "Fix: `ssh" in text


def test_a_key_file_that_others_can_read(tmp_path: Path) -> None:
    directory = "/etc/mailstead/dkim/example.com"
    name = next(n for n in on("home", "ls", directory).split() if n.endswith(".pem"))
    on("home", "chmod", "0644", f"{directory}/{name}")
    try:
        text = run(tmp_path)
    finally:
        on("home", "chmod", "0600", f"{directory}/{name}")
    assert "[MS-DKIM-" in text and name in text and "chmod" in text
