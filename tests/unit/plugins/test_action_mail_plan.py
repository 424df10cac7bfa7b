"""mail_plan in a real run: what a user sees of a good inventory and of a bad one."""

from __future__ import annotations

from pathlib import Path

from ansible.constants import DEFAULT_VAULT_IDENTITY
from ansible.parsing.vault import VaultLib, VaultSecret

from tests.unit.plugins.playbook import (
    CANARY,
    DOMAINS_A,
    OPERATOR_YML,
    VAULT_YML,
    VPS1_YML,
    ansible_playbook,
    output,
    write_inventory,
)

FETCHED = {
    "address": "canary@example.org",
    "imap": {"host": "imap.example.org", "username": "c", "secret": "{{ vault_fetched }}"},
}
FETCHING = {"vault_fetched": "{{ fetched.home }}", "fetched": {"home": "{{ lookup('ansible.builtin.env', 'HOME') }}"}}


def test_example_a_is_shown_and_contacts_nobody(tmp_path: Path) -> None:
    inventory = write_inventory(tmp_path)
    done = ansible_playbook(inventory, "playbooks/plan.yml", "-vvv", "-e", "explain=true")
    shown = output(done)
    assert done.returncode == 0, shown
    for expected in (
        "in    mail.example.com → vps1 → home",
        "box   rekord@example.com  (also postmaster@example.com, abuse@example.com)",
        "opens 25, 80, 443, 465, 993 to everybody, 7000 to the tunnel",
        "Reverse record 198.18.1.10 → mail.example.com by manual",
        "10 mail.example.com",
        "v=DMARC1; p=reject; np=reject; adkim=s; aspf=r; rua=mailto:postmaster@example.com",
        "example.com: dmarc.policy = reject  [given] your inventory says so",
        "example.com: dane = auto  [default]",
    ):
        assert expected in shown
    assert CANARY not in shown
    # Only the controller took part, and it left nothing behind.
    assert "ESTABLISH SSH" not in shown and not (inventory / ".mailstead").exists()


def test_all_mistakes_at_once_with_their_places(tmp_path: Path) -> None:
    domains = DOMAINS_A.replace("enforce", "enforced").replace("rotate_after", "rotate_aftr")
    domains += "mail_domians: []\n"
    # What stands for an undefined value has no "@" in it; that is no second mistake.
    operator = {"mail_operator": {**OPERATOR_YML["mail_operator"], "email": "{{ vault_mail }}"}}
    vps1 = {"mail_host": {**VPS1_YML["mail_host"], "ipv4": "198.18.1.999"}}
    inventory = write_inventory(tmp_path, domains, operator=operator, vps1=vps1)
    done = ansible_playbook(inventory, "playbooks/plan.yml")
    shown = output(done)
    assert done.returncode != 0 and "5 mistakes in the inventory:" in shown
    # Once as the error and once as the task's result.
    assert shown.count("[MS-INT-") == shown.count("Fix:") == 2 * 5, shown
    for code, expected in (
        ("MS-INT-004", "mail_domains[0].mta_sts (domains.yml:8): 'enforced' is not one of"),
        ("MS-INT-001", "mail_domains[0].dkim.rotate_aftr (domains.yml:6): 'rotate_aftr' is not a word of dkim"),
        ("MS-INT-006", "mail_domians (domains.yml:10): no variable of mailstead has this name"),
        ("MS-INT-029", "mail_operator.email (operator.yml:3): 'vault_mail' is undefined"),
        ("MS-INT-003", "hosts.vps1.mail_host.ipv4 (vps1.yml:4): '198.18.1.999' is not an IPv4 address"),
    ):
        assert f"[{code}] {expected}" in shown
    for suggestion in ("enforce", "rotate_after", "mail_domains"):
        assert f"Did you mean '{suggestion}'?" in shown
    assert "Traceback" not in shown and CANARY not in shown


def test_secrets_in_clear_text_are_a_warning_with_the_way_out(tmp_path: Path) -> None:
    account = "accounts: [{address: rekord, secret: literal-p4ssword}]\n"
    domains = DOMAINS_A.replace("accounts: [{address: rekord, aliases: [postmaster, abuse]}]\n", account)
    operator = {"mail_operator": {**OPERATOR_YML["mail_operator"], "canaries": [FETCHED]}}
    inventory = write_inventory(tmp_path, domains, operator=operator, vault={**VAULT_YML, **FETCHING})
    done = ansible_playbook(inventory, "playbooks/plan.yml")
    shown = " ".join(output(done).split())
    assert done.returncode == 0
    vault = inventory / "group_vars/all/vault.yml"
    assert "[MS-INT-030] mail_operator.dns.token (vault.yml:2): a secret stands in clear text" in shown
    assert f"Fix: run: ansible-vault encrypt {vault}" in shown
    assert "[MS-INT-030] mail_domains[0].accounts[0].secret (domains.yml:9)" in shown
    # What a lookup fetches from elsewhere is nobody's clear text here.
    assert shown.count("[MS-INT-030]") == 2 and CANARY not in shown and "literal-p4ssword" not in shown


def test_a_vaulted_inventory_draws_no_warning(tmp_path: Path) -> None:
    inventory = write_inventory(tmp_path)
    password = tmp_path / "password"
    password.write_text("correct horse\n")
    vault = inventory / "group_vars/all/vault.yml"
    encrypted = VaultLib([(DEFAULT_VAULT_IDENTITY, VaultSecret(b"correct horse"))]).encrypt(vault.read_text())
    vault.write_bytes(encrypted)
    done = ansible_playbook(inventory, "playbooks/plan.yml", "--vault-password-file", str(password))
    assert done.returncode == 0 and "MS-INT-030" not in output(done) and "WARNING" not in output(done)
