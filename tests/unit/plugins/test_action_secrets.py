"""mail_secrets and tunnel_pki in a real run: values reach their tasks and nobody else, and are made exactly once."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from tests.unit.plugins.playbook import CANARY, ROOT, ansible_playbook, output, write_inventory

PLAYBOOK = """\
---
- name: Use secrets as the playbooks do
  hosts: localhost
  gather_facts: false
  tasks:
    - name: Look up
      mailstead.stack.mail_secrets:
        refs: [mail_operator.dns.token, "generated:rekord@example.com"]
      register: secrets
      no_log: true

    - name: Keep the tunnel's credentials
      mailstead.stack.tunnel_pki:
        edges: [{host: vps1, name: mail.example.com, addresses: [198.18.1.10]}]
        homes: [home]
      register: tunnel
      no_log: true

    - name: Say what is safe to say
      ansible.builtin.debug:
        msg: >-
          token {{ secrets.secrets['mail_operator.dns.token'] | length }},
          changed {{ tunnel is changed }},
          ends {{ tunnel.pairs | sort | join(' ') }},
          key {{ tunnel.pairs['server-vps1'].key is search('PRIVATE KEY') }}
"""


@pytest.fixture
def playbook(tmp_path: Path) -> Path:
    path = tmp_path / "use.yml"
    path.write_text(PLAYBOOK, encoding="utf-8")
    return path


def contents(directory: Path) -> dict[str, str]:
    return {str(p.relative_to(directory)): p.read_text() for p in directory.rglob("*") if p.is_file()}


def test_secrets_are_made_once_and_never_shown(tmp_path: Path, playbook: Path) -> None:
    inventory = write_inventory(tmp_path)
    state = inventory / ".mailstead"

    predicted = ansible_playbook(inventory, playbook, "--check", "-vvv")
    assert predicted.returncode == 0, output(predicted)
    assert not state.exists()
    assert "changed True" in predicted.stdout and "key False" in predicted.stdout
    assert "ends client-home client-vps1 server-vps1" in predicted.stdout

    first = ansible_playbook(inventory, playbook, "-vvv")
    assert first.returncode == 0, output(first)
    assert "changed True" in first.stdout and "key True" in first.stdout
    assert f"token {len(CANARY)}," in first.stdout and "ends client-home client-vps1 server-vps1" in first.stdout
    password = (state / "secrets/rekord@example.com").read_text().strip()
    assert f"a password for rekord@example.com was generated; it is in {state}/secrets/rekord@example.com" in output(
        first
    )
    for path in [state, *state.rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)
    made = contents(state)

    second = ansible_playbook(inventory, playbook, "-vvv")
    assert second.returncode == 0 and "changed False" in second.stdout and contents(state) == made
    assert "was generated" not in output(second)

    keys = [line for text in made.values() if "PRIVATE KEY" in text for line in text.splitlines() if "---" not in line]
    tokens = [made[f"secrets/{name}"].strip() for name in ("tunnel-token", "tunnel-stcp")]
    assert len(keys) >= 4 and len(password) >= 32
    for run in (predicted, first, second):
        shown = output(run)
        for secret in (CANARY, password, *tokens, *keys):
            assert secret not in shown


def test_with_a_vault_password_what_is_generated_is_encrypted(tmp_path: Path, playbook: Path) -> None:
    inventory = write_inventory(tmp_path)
    password_file = tmp_path / "vault-password"
    password_file.write_text("correct horse\n")
    first = ansible_playbook(inventory, playbook, "--vault-password-file", str(password_file))
    assert first.returncode == 0, output(first)
    kept = (inventory / ".mailstead/secrets/rekord@example.com").read_text()
    assert kept.startswith("$ANSIBLE_VAULT;")
    without = ansible_playbook(inventory, playbook)
    assert without.returncode != 0 and "censored" in output(without)


def test_a_reference_that_leads_nowhere_has_a_code(tmp_path: Path) -> None:
    inventory = write_inventory(tmp_path)
    path = tmp_path / "use.yml"
    path.write_text(
        "---\n- hosts: localhost\n  gather_facts: false\n  tasks:\n"
        "    - mailstead.stack.mail_secrets:\n"
        "        refs: ['mail_operator.dns.tokn', 'mail_operator.canaries[0].imap.secret']\n",
        encoding="utf-8",
    )
    done = ansible_playbook(inventory, path)
    shown = output(done)
    assert done.returncode != 0 and "group_vars/all/vault.yml" in shown
    for reference in ("mail_operator.dns.tokn", "mail_operator.canaries[0].imap.secret"):
        assert f"[MS-INT-029] {reference}: the reference leads to no value" in shown


def test_the_name_of_a_variable_is_a_reference_too(tmp_path: Path, playbook: Path) -> None:
    operator = {"email": "a@example.com", "dns": {"provider": "cloudflare", "token": "vault_cloudflare"}}
    inventory = write_inventory(tmp_path, operator={"mail_operator": operator})
    done = ansible_playbook(inventory, playbook, "--check")
    assert done.returncode == 0 and f"token {len(CANARY)}," in done.stdout


def test_the_state_is_out_of_git(tmp_path: Path) -> None:
    assert ".mailstead/" in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
