# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the account has of Zero Trust: tunnels, service tokens, policies, applications."""

from __future__ import annotations

import dataclasses
import threading
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from ..config import Account
from ..state import ZoneState
from .clock import Clock
from .keys import Signer
from .model import App, Policy, ServiceToken, Tunnel
from .options import TrustOptions


class TrustStore(Protocol):
    """Keeps it across restarts (see store.py)."""

    def save_trust(self, data: dict[str, Any]) -> None: ...

    def load_trust(self) -> dict[str, Any] | None: ...


def new_uuid() -> str:
    return str(uuid.uuid4())


class Trust:
    """State. Whoever reads or changes it holds the lock; zones: for the names that applications and tunnels are asked by."""

    def __init__(
        self,
        account: Account,
        options: TrustOptions,
        zones: Mapping[str, ZoneState],
        clock: Callable[[], str],
        store: TrustStore | None = None,
    ) -> None:
        self.account, self.options, self.zones = account, options, zones
        self.clock = Clock(clock)
        self.signer = Signer()
        self.lock = threading.RLock()
        self.tunnels: dict[str, Tunnel] = {}
        self.tokens: dict[str, ServiceToken] = {}
        self.policies: dict[str, Policy] = {}
        self.apps: dict[str, App] = {}
        self._store = store
        saved = store.load_trust() if store else None
        if saved is not None:
            self._restore(saved)

    def reset(self) -> None:
        """Forget everything, as if the account had just been made; the time goes back to what it is."""
        with self.lock:
            for kept in (self.tunnels, self.tokens, self.policies, self.apps):
                kept.clear()
            self.clock.offset = 0.0
            self.save()

    def reconfigure(self, changes: Mapping[str, Any]) -> None:
        """Change options, or ``clock_offset`` in seconds. Raises ValueError or TypeError, and then changes nothing."""
        wanted = dict(changes)
        offset = wanted.pop("clock_offset", self.clock.offset)
        if isinstance(offset, bool) or not isinstance(offset, (int, float)):
            raise ValueError("clock_offset: seconds are expected")
        options = dataclasses.replace(self.options, **wanted)
        if options.mistakes():
            raise ValueError(options.mistakes()[0])
        with self.lock:
            self.options, self.clock.offset = options, float(offset)

    def apps_of(self, policy: str) -> list[App]:
        """The applications that have a policy."""
        return [app for app in self.apps.values() if policy in app.order()]

    def save(self) -> None:
        """Keep what there is now."""
        if self._store is None:
            return
        with self.lock:
            self._store.save_trust(
                {
                    name: [dataclasses.asdict(item) for item in kept.values()]
                    for name, kept in (
                        ("tunnels", self.tunnels),
                        ("tokens", self.tokens),
                        ("policies", self.policies),
                        ("apps", self.apps),
                    )
                }
            )

    def _restore(self, data: dict[str, Any]) -> None:
        self.tunnels = {item["id"]: Tunnel.from_data(item) for item in data["tunnels"]}
        self.tokens = {item["id"]: ServiceToken(**item) for item in data["tokens"]}
        self.policies = {item["id"]: Policy(**item) for item in data["policies"]}
        self.apps = {
            item["id"]: App(**{**item, "policies": [(link[0], link[1]) for link in item["policies"]]})
            for item in data["apps"]
        }
