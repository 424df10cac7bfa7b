# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of the exchanger, from JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Listener:
    """An inbound exchanger: its name and certificate, and the addresses it listens on."""

    name: str
    addresses: tuple[str, ...]
    certificate: str = ""
    key: str = ""


@dataclass(frozen=True)
class Control:
    """The API twin's control. authority: PEM file of who signed its certificate, empty for the system's trust."""

    url: str
    token: str
    authority: str = ""


@dataclass(frozen=True)
class Identity:
    """Who connects to the destinations. An empty address leaves the choice, or that family, to the system."""

    hostname: str
    ipv4: str = ""
    ipv6: str = ""


@dataclass(frozen=True)
class Config:
    """dkim_key: PEM file of the key behind every ``cf2024-1._domainkey``, empty for no signatures; secret: of SRS.

    workerd: the program, empty where Workers cannot run; outbound: networks their ``fetch`` may reach; ports: of the
    inbound listeners and of the destinations' exchangers.
    """

    listeners: tuple[Listener, ...]
    identity: Identity
    control: Control
    secret: str
    dkim_key: str = ""
    workerd: str = ""
    outbound: tuple[str, ...] = ()
    port: int = 25
    destination_port: int = 25

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> Config:
        """Raises KeyError and TypeError for what is missing or misspelt."""
        return cls(
            **{
                **data,
                "listeners": tuple(Listener(**{**e, "addresses": tuple(e["addresses"])}) for e in data["listeners"]),
                "identity": Identity(**data["identity"]),
                "control": Control(**data["control"]),
                "outbound": tuple(data.get("outbound", ())),
            }
        )

    @classmethod
    def from_file(cls, path: Path) -> Config:
        return cls.from_data(json.loads(path.read_text(encoding="utf-8")))
