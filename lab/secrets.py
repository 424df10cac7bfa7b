# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets of this lab, made once and kept in build/lab (0600). They open nothing but the lab."""

from __future__ import annotations

import base64
import json
import secrets
from dataclasses import asdict, dataclass, fields

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from lab import paths
from lab.names import ADMIN_KEY, OWN_KEY, PTR_KEY, TWIN_KEY
from lab.topology import HOSTS


@dataclass(frozen=True)
class Secrets:
    """tsig_*: base64, 256 bits. The inventory of the lab reads this file too (inventory/lab/group_vars/all/vault.yml)."""

    tsig_twin: str
    tsig_ptr: str
    tsig_own: str
    tsig_admin: str
    cloudflare_token: str
    cloudflare_routing_token: str
    cloudflare_hosted_token: str
    cloudflare_sender_token: str
    twin_control_token: str
    canary_password: str
    srs_secret: str
    smarthost_cloudflare_password: str
    smarthost_smtp2go_password: str

    def tsig(self) -> dict[str, str]:
        return {
            TWIN_KEY: self.tsig_twin,
            PTR_KEY: self.tsig_ptr,
            OWN_KEY: self.tsig_own,
            ADMIN_KEY: self.tsig_admin,
        }


def load() -> Secrets:
    """Read the secrets, making those that are missing."""
    kept: dict[str, str] = json.loads(paths.SECRETS.read_text()) if paths.SECRETS.is_file() else {}
    values = {f.name: kept.get(f.name) or _new(f.name) for f in fields(Secrets)}
    result = Secrets(**values)
    paths.write_if_changed(paths.SECRETS, json.dumps(asdict(result), indent=1) + "\n")
    return result


def _new(name: str) -> str:
    if name.startswith("tsig_"):
        return base64.b64encode(secrets.token_bytes(32)).decode()
    return secrets.token_urlsafe(30)


def ssh_key(name: str) -> tuple[bytes, str]:
    """An Ed25519 key in build/lab/ssh. Returns (private key, public line without a comment)."""
    paths.private_dir(paths.SSH)
    file = paths.SSH / name
    if not file.is_file():
        made = Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
        )
        paths.write_if_changed(file, made)
    key = serialization.load_ssh_private_key(file.read_bytes(), None)
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()
    paths.write_if_changed(paths.SSH / f"{name}.pub", public + " mailstead-lab\n", 0o644)
    return file.read_bytes(), public


def known_hosts() -> str:
    """Lines for every machine that can be logged in to, by address."""
    lines = []
    for machine in HOSTS:
        if machine.ssh:
            public = ssh_key(f"host_{machine.name}")[1]
            lines.append(f"{machine.address4()},{machine.address6()},{machine.name} {public}")
    text = "\n".join(lines) + "\n"
    paths.write_if_changed(paths.SSH / "known_hosts", text, 0o644)
    return text
