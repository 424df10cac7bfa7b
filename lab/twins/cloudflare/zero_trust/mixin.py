# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a twin has of tunnels and Access, for tests."""

from __future__ import annotations

import abc
from typing import Any

from . import connectors
from .decisions import Answer, Question, decide
from .product import TrustProducts
from .state import Trust


class TrustMixin(abc.ABC):
    """Part of Twin. zero_trust: state and endpoints."""

    zero_trust: TrustProducts

    @property
    def trust(self) -> Trust:
        return self.zero_trust.trust

    def decide(self, hostname: str, client_id: str = "", client_secret: str = "", **more: str) -> Answer:
        """What the edge does with a request for a name."""
        return decide(self.trust, Question(hostname, client_id=client_id, client_secret=client_secret, **more))

    def register(self, tunnel_id: str, secret: str, connector: str, index: int = 0) -> dict[str, Any]:
        """A connector's connection, as the edge reports it. secret: base64."""
        about = {"id": connector, "version": "2026.8.2", "arch": "linux_amd64", "origin_ip": "198.18.0.1"}
        report = {"tunnel_id": tunnel_id, "secret": secret, "connector": about, "conn_index": index}
        return connectors.register(self.trust, report)

    def unregister(self, tunnel_id: str, **which: Any) -> int:
        """How many connections ended: of a ``connector``, one by its ``uuid``, or all."""
        return int(connectors.unregister(self.trust, {"tunnel_id": tunnel_id, **which})["removed"])

    def move_clock(self, seconds: float) -> None:
        """Let time pass for tunnels and Access."""
        self.trust.reconfigure({"clock_offset": self.trust.clock.offset + seconds})
