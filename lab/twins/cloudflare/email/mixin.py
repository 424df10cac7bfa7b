# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a twin has of the mail products of its account, for tests."""

from __future__ import annotations

import abc
from typing import Any

from ..state import ZoneState
from . import sending
from .audit import Entry
from .helper import EmailZone
from .model import Destination, Script
from .product import EmailProducts


class EmailMixin(abc.ABC):
    """Part of Twin. products: state and endpoints."""

    products: EmailProducts

    @abc.abstractmethod
    def zone(self, name: str) -> ZoneState:
        """A zone by its name. Raises StopIteration for one that is not there."""

    def email(self, name: str) -> EmailZone:
        """The mail products of a zone. Raises StopIteration for one that is not there."""
        return self.products.zone(self.zone(name))

    def click(self, address: str) -> None:
        """As if the owner of a destination had followed the link. Raises KeyError."""
        self.products.click(address)

    @property
    def destinations(self) -> dict[str, Destination]:
        """By address."""
        return self.products.destinations

    def add_destination(self, address: str, verified: bool = True) -> Destination:
        """Past all checks and without a message."""
        return self.products.account.add_destination(address, verified)

    @property
    def outbox(self) -> list[dict[str, str]]:
        """Messages the service would have sent: ``{"to", "kind", "link"}``."""
        return list(self.products.account.outbox)

    def worker(self, name: str) -> Script | None:
        return self.products.account.scripts.get(name)

    def rename_worker(self, old: str, new: str) -> None:
        """As the dashboard does; rules that named the old one lead nowhere."""
        self.products.account.rename_worker(old, new)

    def suppress(self, address: str, reason: str = "hard_bounce") -> None:
        """As a bounce or a complaint does."""
        sending.add_suppression(self.products.account, address, reason)

    @property
    def audit(self) -> list[Entry]:
        """The audit log, oldest first."""
        return self.products.account.audit.entries

    def reconfigure_email(self, **changes: Any) -> None:
        """Change EmailOptions while the twin runs. Raises ValueError or TypeError."""
        self.products.reconfigure(**changes)
