# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""/lab/config.json of the machine, and where it keeps what it knows."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CONFIG = Path("/lab/config.json")
STATE = Path("/run/lab-smarthost")
#: One JSON object a line: what was accepted, and what became of it.
JOURNAL = Path("/var/log/lab-smarthost.jsonl")
POLICY_PORT = 10040
AUTH_SOCKET = "private/auth"


@dataclass(frozen=True)
class Port:
    """tls: implicit or starttls."""

    number: int
    tls: str


@dataclass(frozen=True)
class Provider:
    """A provider as the outside sees it. host: that customers connect to; sender: the name that it delivers as.

    identity, banner: what it calls itself, and what it says first. size: bytes; recipients: for each message. username and
    password: of its only customer, empty when it has none. label: below which of a customer's domains its return path is, and
    proof: type and beginning of the record there that shows that the domain was set up with the provider.
    """

    name: str
    host: str
    sender: str
    ipv4: str
    ipv6: str
    cert: str
    key: str
    ports: tuple[Port, ...]
    identity: str
    banner: str
    size: int
    recipients: int
    username: str = ""
    password: str = ""
    label: str = ""
    proof: tuple[str, str] = ("", "")

    @property
    def addresses(self) -> tuple[str, str]:
        return (self.ipv4, self.ipv6)


def provider(data: dict[str, Any]) -> Provider:
    ports = tuple(Port(p["port"], p["tls"]) for p in data["ports"])
    return Provider(**{**data, "ports": ports, "proof": tuple(data.get("proof", ("", "")))})


def load(path: Path = CONFIG) -> tuple[Provider, ...]:
    """The providers of the machine."""
    return tuple(provider(entry) for entry in json.loads(path.read_text())["smarthosts"])
