# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the server cannot tell us later, kept beside it: which secrets it has, and what is written but not yet live.

Passwords cannot be read back, so a fingerprint (scrypt, own salt) of what was written last is kept per place in a
0600 file. A lost file costs one more write of each secret, nothing else.
"""

from __future__ import annotations

import datetime
import hashlib
import hmac
import json
import re
import secrets
import time
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence

from ansible_collections.mailstead.stack.plugins.module_utils.common.files import (
    private_directory,
    read_private,
    write_private,
)

_ACTIONS = ("ReloadTlsCertificates", "ReloadSettings")


class State:
    """Files in one directory (0700). Reading never writes; raises MailsteadError MS-SRV-027 for an unsafe file."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._secrets = self._read("secrets.json")
        salt, known = self._secrets.get("salt"), self._secrets.get("known", {})
        if not isinstance(salt, str) or not re.fullmatch("[0-9a-f]{32}", salt) or not isinstance(known, dict):
            self._secrets = {}
        self._pending = self._read("pending.json")
        self._unsaved = False

    def _read(self, name: str) -> Dict[str, Any]:
        path = self.directory / name
        if not path.exists():
            return {}
        try:
            document = json.loads(read_private(path, "MS-SRV-027"))
        except ValueError:
            # Cut off by a full disk, say. Everything in it can be made again.
            return {}
        return document if isinstance(document, dict) else {}

    def _write(self, name: str, document: Mapping[str, Any]) -> None:
        private_directory(self.directory)
        write_private(self.directory / name, (json.dumps(document, indent=1, sort_keys=True) + "\n").encode())

    # -- secrets -----------------------------------------------------------------------------------------------

    def _print(self, place: str, id_: str, value: str) -> str:
        salt = bytes.fromhex(self._secrets.setdefault("salt", secrets.token_hex(16)))
        salted = hashlib.sha256(b"\0".join((salt, place.encode(), id_.encode()))).digest()
        return hashlib.scrypt(value.encode(), salt=salted, n=1 << 10, r=8, p=1, dklen=32).hex()

    def remembered(self, label: str, pointer: str, id_: str, value: str) -> bool:
        """Whether this value was the last one written to this place of this very object."""
        place = f"{label}#{pointer}"
        known = self._secrets.get("known", {}).get(place)
        return isinstance(known, str) and hmac.compare_digest(known, self._print(place, id_, value))

    def remember(self, label: str, id_: str, written: Mapping[str, str]) -> None:
        """Note that the values (pointer → secret) were written; :meth:`save` puts it on disk."""
        known = self._secrets.setdefault("known", {})
        for pointer, value in written.items():
            place = f"{label}#{pointer}"
            known[place] = self._print(place, id_, value)
            self._unsaved = True

    def save(self) -> None:
        """Put what is remembered on disk. Raises OSError."""
        if self._unsaved:
            self._write("secrets.json", self._secrets)
            self._unsaved = False

    # -- what is not yet live ----------------------------------------------------------------------------------

    @property
    def actions(self) -> List[str]:
        """Reloads that an earlier run still owes."""
        owed = self._pending.get("actions", [])
        return [a for a in _ACTIONS if a in owed] if isinstance(owed, list) else []

    def owe(self, actions: Sequence[str], restart: bool) -> None:
        """Note before the first change what must follow it, so that a crash in between is made good later."""
        wanted: Dict[str, Any] = {"actions": sorted({*self.actions, *actions})}
        since = self._pending.get("restart_since")
        if restart or since is not None:
            wanted["restart_since"] = time.time() if restart else since
        if wanted != self._pending and (wanted["actions"] or "restart_since" in wanted):
            self._pending = dict(wanted)
            self._write("pending.json", self._pending)

    def done(self, actions: Sequence[str]) -> None:
        """Note that these reloads have happened."""
        left = [a for a in self.actions if a not in actions]
        if left != self._pending.get("actions", []):
            self._pending["actions"] = left
            self._write("pending.json", self._pending)

    def restart_owed(self, started: Optional[float]) -> bool:
        """Whether listeners changed and the server has not started since. started: seconds since 1970, or None."""
        since = self._pending.get("restart_since")
        return isinstance(since, (int, float)) and (started is None or started <= since)

    def announced(self, started: Optional[float]) -> None:
        """Drop the note of a restart: it has happened, or nobody tells us when the server starts and we have said it."""
        if "restart_since" in self._pending and (started is None or not self.restart_owed(started)):
            del self._pending["restart_since"]
            self._write("pending.json", self._pending)


def timestamp(text: str) -> float:
    """Seconds since 1970 of an RFC 3339 time such as the container engine's StartedAt (nanoseconds are cut).

    Raises ValueError.
    """
    head, dot, tail = text.strip().replace("Z", "+00:00").partition(".")
    if dot:
        digits = tail[: len(tail) - len(tail.lstrip("0123456789"))]
        head += "." + (digits + "000000")[:6] + tail[len(digits) :]
    parsed = datetime.datetime.fromisoformat(head)
    if parsed.tzinfo is None:
        parsed = parsed.replace(tzinfo=datetime.timezone.utc)
    return parsed.timestamp()
