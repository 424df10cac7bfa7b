# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the harness keeps things. Everything it writes lives below ``build/lab``, which git ignores."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LAB = ROOT / "lab"
IMAGES = LAB / "images"
BUILD = ROOT / "build" / "lab"

APT_CACHE = BUILD / "apt-cache"
POOL = BUILD / "pool"
PKI = BUILD / "pki"
SSH = BUILD / "ssh"
FRP = BUILD / "frp"
REGISTRY = BUILD / "registry"
WORKERD = BUILD / "workerd"
HOSTS = BUILD / "hosts"
SECRETS = BUILD / "secrets.json"
DNS_KEYS = BUILD / "dns-keys.json"
STATE = BUILD / "state.json"

#: What programs in the controller's namespace trust: the static authority and, once it runs, the ACME authority.
CA_BUNDLE = PKI / "bundle.crt"


def private_dir(path: Path) -> Path:
    """Make a directory that only its owner can enter; returns it."""
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(0o700)
    return path


def write_if_changed(path: Path, content: str | bytes, mode: int = 0o600) -> bool:
    """Write a file unless it already says that; True when it was written. The mode is in force before the content is."""
    data = content.encode() if isinstance(content, str) else content
    if path.is_file() and path.read_bytes() == data:
        path.chmod(mode)
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.draft")
    draft.unlink(missing_ok=True)
    draft.touch(mode=mode)
    draft.chmod(mode)
    draft.write_bytes(data)
    draft.replace(path)
    return True
