# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a provider is told to do: kept as a file for each, so that whoever asks next already sees it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from lab.smarthost.config import STATE

MODES: dict[str, str] = {
    "ok": "does what it is there for",
    "down": "its ports are closed",
    "tempfail": "451 to every recipient",
    "quota": "452 to every sender, once VALUE more messages were accepted (none, unless said)",
    "auth": "535 to every log-in",
    "reject-rcpt": "550 to every recipient",
    "badcert": "shows a certificate of another name",
    "slow": "answers a sender after VALUE seconds (20, unless said)",
}
DEFAULTS = {"slow": 20}


@dataclass(frozen=True)
class Mode:
    """value: messages or seconds; since: how many messages the provider had accepted when it was told."""

    mode: str = "ok"
    value: int = 0
    since: int = 0


def read(name: str, folder: Path = STATE) -> Mode:
    try:
        return Mode(**json.loads((folder / f"{name}.json").read_text()))
    except FileNotFoundError:
        return Mode()


def write(name: str, mode: Mode, folder: Path = STATE) -> None:
    """At once or not at all: the policy reads it while it changes."""
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / f".{name}.new"
    draft.write_text(json.dumps(asdict(mode)))
    draft.replace(folder / f"{name}.json")
