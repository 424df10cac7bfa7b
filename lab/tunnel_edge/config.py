# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of the edge, from JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Control:
    """The API twin's control. authority: PEM file of who signed its certificate, empty for the system's trust."""

    url: str
    token: str
    authority: str = ""


@dataclass(frozen=True)
class Limits:
    """Seconds, but for clients: how many at a time.

    request: for the head of a request; open: for a connector to answer; ping: between pings to a client; idle: of silence
    after which a client counts as gone; poll: between questions after a tunnel's configuration.
    """

    clients: int = 512
    request: float = 15.0
    open: float = 40.0
    ping: float = 30.0
    idle: float = 90.0
    poll: float = 1.0


@dataclass(frozen=True)
class Config:
    """certificate and key: PEM files for every name that the edge answers to; ports: of clients and of connectors."""

    certificate: str
    key: str
    control: Control
    addresses: tuple[str, ...] = ("0.0.0.0", "::")
    port: int = 443
    connector_port: int = 7844
    limits: Limits = Limits()

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> Config:
        """Raises KeyError and TypeError for what is missing or misspelt."""
        addresses = {"addresses": tuple(data["addresses"])} if "addresses" in data else {}
        limits = Limits(**data.get("limits", {}))
        return cls(**{**data, **addresses, "control": Control(**data["control"]), "limits": limits})

    @classmethod
    def from_file(cls, path: Path) -> Config:
        return cls.from_data(json.loads(path.read_text(encoding="utf-8")))
