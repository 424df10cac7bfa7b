# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Zones and the account on disk, one JSON file each, so that a restarted twin still has them."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

from .dnssec import Key
from .email.model import MailState
from .rdata import Value
from .records import Record
from .state import ZoneState

#: No zone has a name without a dot.
ACCOUNT, TRUST = "account.json", "zero_trust.json"


class FileStore:
    """Files ``<directory>/<zone>.json``, ``account.json`` and ``zero_trust.json``, replaced as a whole. Raises OSError."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)

    def save(self, zone: ZoneState) -> None:
        data = {
            "zone": zone.zone.name,
            "dnssec": dataclasses.asdict(zone.dnssec),
            "settings": zone.settings,
            "records": [dataclasses.asdict(record) for record in zone.records.values()],
            "mail": zone.mail.to_data(),
        }
        self._write(self._path(zone.zone.name), data)

    def save_account(self, data: dict[str, Any]) -> None:
        """What the mail products keep of the account (email/account.py)."""
        self._write(self._directory / ACCOUNT, data)

    def load_account(self) -> dict[str, Any] | None:
        return self._read(ACCOUNT)

    def save_trust(self, data: dict[str, Any]) -> None:
        """What tunnels and Access keep (zero_trust/state.py)."""
        self._write(self._directory / TRUST, data)

    def load_trust(self) -> dict[str, Any] | None:
        return self._read(TRUST)

    def _read(self, name: str) -> dict[str, Any] | None:
        try:
            loaded: dict[str, Any] = json.loads((self._directory / name).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        return loaded

    @staticmethod
    def _write(path: Path, data: dict[str, Any]) -> None:
        temporary = path.with_suffix(".new")
        with temporary.open("w", encoding="utf-8") as file:
            json.dump(data, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)

    def load(self, zone: ZoneState) -> bool:
        """Bring a zone back to what was saved; False when nothing was."""
        try:
            data = json.loads(self._path(zone.zone.name).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return False
        records = [_record(item) for item in data["records"]]
        zone.restore({record.id: record for record in records})
        zone.settings = data["settings"]
        if "mail" in data:
            zone.mail = MailState.from_data(data["mail"])
        saved = data["dnssec"]
        key = saved.pop("key")
        for name, value in saved.items():
            setattr(zone.dnssec, name, value)
        zone.dnssec.key = Key(**key) if key else None
        return True

    def _path(self, name: str) -> Path:
        return self._directory / f"{name}.json"


def _record(item: dict[str, Any]) -> Record:
    value = Value(**item.pop("value"))
    return Record(value=value, **{**item, "tags": tuple(item["tags"])})
