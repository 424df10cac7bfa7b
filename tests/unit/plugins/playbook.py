"""Inventories on disk, and the real ansible-playbook on them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[3]
#: The value of every secret in these inventories; it must never be seen in any output.
CANARY = "c4n4ry-s3cr3t-value"

HOSTS_YML = {
    "all": {
        "children": {
            "mail_home": {"hosts": {"home": None}},
            "mail_edge": {"hosts": {"vps1": None}},
        }
    }
}
VPS1_YML = {"mail_host": {"name": "mail.example.com", "ipv4": "198.18.1.10"}}
OPERATOR_YML = {
    "mail_operator": {
        "email": "postmaster@example.com",
        "dns": {"provider": "cloudflare", "token": "{{ vault_cloudflare }}"},
    }
}
VAULT_YML = {"vault_cloudflare": CANARY}
#: Example A as it stands.
DOMAINS_A = """\
---
mail_domains:
  - name: example.com
    inbound:  {provider: stalwart, host: home, edge: vps1}
    outbound: {provider: stalwart, egress: vps1}
    dkim:     {keys: [rsa-2048, ed25519], selector: "%Y%m", rotate_after: 180d}
    dmarc:    {policy: reject, adkim: s, aspf: r, rua: postmaster}
    mta_sts:  enforce
    accounts: [{address: rekord, aliases: [postmaster, abuse]}]
"""


def write_inventory(root: Path, domains: str = DOMAINS_A, **replaced: Any) -> Path:
    """An inventory directory as users have it; replaced: operator, vault, hosts or vps1 as data."""
    inventory = root / "inventory"
    contents = {
        "hosts.yml": replaced.get("hosts", HOSTS_YML),
        "group_vars/all/operator.yml": replaced.get("operator", OPERATOR_YML),
        "group_vars/all/vault.yml": replaced.get("vault", VAULT_YML),
        "host_vars/vps1.yml": replaced.get("vps1", VPS1_YML),
    }
    for name, data in contents.items():
        path = inventory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(data, explicit_start=True, sort_keys=False), encoding="utf-8")
    (inventory / "group_vars/all/domains.yml").write_text(domains, encoding="utf-8")
    return inventory


def ansible_playbook(inventory: Path, playbook: Path | str, *args: str) -> subprocess.CompletedProcess[str]:
    """Run it from the repository's root, as a user does, without colours and without wrapping."""
    command = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", str(inventory), *args, str(playbook)]
    environment = {**os.environ, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)


def output(done: subprocess.CompletedProcess[str]) -> str:
    return done.stdout + done.stderr
