"""mail_plan in a real run: what a user sees of a good inventory and of a bad one."""

from __future__ import annotations

from pathlib import Path

from tests.unit.plugins.playbook import (
    CANARY,
    DOMAINS_A,
    OPERATOR_YML,
    VPS1_YML,
    ansible_playbook,
    output,
    write_inventory,
)


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
    operator = {"mail_operator": {**OPERATOR_YML["mail_operator"], "acme": {"email": "{{ vault_acme_mail }}"}}}
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
        ("MS-INT-029", "mail_operator.acme.email (operator.yml:8): 'vault_acme_mail' is undefined"),
        ("MS-INT-003", "hosts.vps1.mail_host.ipv4 (vps1.yml:4): '198.18.1.999' is not an IPv4 address"),
    ):
        assert f"[{code}] {expected}" in shown
    for suggestion in ("enforce", "rotate_after", "mail_domains"):
        assert f"Did you mean '{suggestion}'?" in shown
    assert "Traceback" not in shown and CANARY not in shown
