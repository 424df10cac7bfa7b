# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's own state: ``<inventory>/.mailstead/``, readable by its owner alone."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible_collections.mailstead.stack.plugins.module_utils.common import files
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError

VAULT_HEADER = "$ANSIBLE_VAULT;"
#: What a dry run shows for a secret that a real one would make. Never empty: ansible-core masks every occurrence of a
#: secret in the output, and an empty one with a line end would mask all line ends.
PLACEHOLDER = "made-by-the-first-real-run"


def inventory_directory(variables: Mapping[str, Any]) -> Path | None:
    """The directory of the inventory, or None when it is not on disk.

    variables: a task's. The same for every host of a run: it goes by what was given with -i, because the magic variable
    inventory_dir is undefined for the implicit localhost and may be a directory deeper for others.
    """
    for source in variables.get("ansible_inventory_sources") or ():
        path = Path(str(source))
        if path.exists():
            return path if path.is_dir() else path.parent
    return None


def state_directory(variables: Mapping[str, Any]) -> Path:
    """The state's directory, beside the inventory; it is made by the first write, with mode 0700. variables: a task's."""
    inventory = inventory_directory(variables)
    if inventory is not None:
        return inventory / ".mailstead"
    raise MailsteadError.one(
        "MS-STATE-001",
        "inventory",
        "the inventory is not on disk, so there is no place to keep what is generated",
        "use -i inventory/<name> (a directory)",
    )


def write_private(path: Path, text: str) -> None:
    """Replace a file as a whole; mode 0600 from its first byte on, in directories of mode 0700 where they are missing."""
    for directory in reversed(path.parents):
        if not directory.exists():
            directory.mkdir(mode=0o700, exist_ok=True)
    files.write_private(path, text.encode())


def read_private(path: Path) -> str:
    """The text of a file that only its owner may read; MS-STATE-004 when that is not so."""
    return files.read_private(path, "MS-STATE-004").decode()


class SecretStore:
    """Secrets that mailstead generates once, one file each; encrypted when the run has a vault password."""

    def __init__(self, directory: Path, vault: Any) -> None:
        self._directory = directory / "secrets"
        self._vault = vault if getattr(vault, "secrets", None) else None

    def get(self, name: str) -> str | None:
        path = self._path(name)
        if not path.exists():
            return None
        text = read_private(path)
        if text.startswith(VAULT_HEADER):
            if self._vault is None:
                raise MailsteadError.one(
                    "MS-STATE-002",
                    str(path),
                    "it is encrypted and this run has no vault password",
                    "add --ask-vault-pass",
                )
            try:
                text = self._vault.decrypt(text.encode()).decode()
            except AnsibleError:
                raise MailsteadError.one(
                    "MS-STATE-002",
                    str(path),
                    "it was encrypted with another vault password",
                    "use the vault password that was in use when it was made",
                ) from None
        return text.strip()

    def make(self, name: str) -> tuple[str, Path]:
        """A new secret of 192 bits; returns it and where it is kept."""
        value = secrets.token_urlsafe(24)
        return value, self.put(name, value)

    def put(self, name: str, value: str) -> Path:
        """Keep a secret that somebody else made; returns where. It replaces one of the same name as a whole."""
        text = value + "\n"
        if self._vault is not None:
            text = self._vault.encrypt(text).decode()
        path = self._path(name)
        write_private(path, text)
        return path

    def names(self, prefix: str) -> list[str]:
        """Names of the secrets that begin so, sorted."""
        if not self._directory.is_dir():
            return []
        # What begins with a dot is a file that is just being written.
        return sorted(p.name for p in self._directory.iterdir() if p.name.startswith(prefix) and p.is_file())

    def remove(self, name: str) -> None:
        """Hold a secret no more; one that is not held is no mistake."""
        self._path(name).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        if not name or "/" in name or "\0" in name or name.startswith("."):
            raise MailsteadError.one("MS-STATE-003", repr(name), "cannot name a secret", "use a name without slashes")
        return self._directory / name
