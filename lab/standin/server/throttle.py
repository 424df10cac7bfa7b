# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Inbound throttles: per connection, per sender, per recipient, counted in fixed windows."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from .expression_functions import Value, to_bool, to_text
from .registry import Registry

_VARIABLE = {
    "listener": "listener",
    "remoteIp": "remote_ip",
    "localIp": "local_ip",
    "authenticatedAs": "authenticated_as",
    "heloDomain": "helo_domain",
    "sender": "sender",
    "senderDomain": "sender_domain",
    "rcpt": "rcpt",
    "rcptDomain": "rcpt_domain",
}
_RCPT = {"rcpt", "rcpt_domain"}
_SENDER = {"sender", "sender_domain", "helo_domain", "authenticated_as"}


def stage_of(variables: set[str]) -> str:
    """``rcpt``, ``mail`` or ``connect``: the latest stage that one of its keys or its condition needs."""
    return "rcpt" if variables & _RCPT else "mail" if variables & _SENDER else "connect"


class Throttles:
    """Counts events by throttle, key and window."""

    def __init__(self, registry: Registry, clock: Callable[[], float] = time.time) -> None:
        self.registry = registry
        self._clock = clock
        self._counts: dict[tuple[str, ...], tuple[int, int]] = {}

    def allowed(self, stage: str, variables: Mapping[str, Value]) -> bool:
        """Count an event at a stage; false when one of the throttles that apply is exhausted."""
        for throttle_id, throttle in self.registry.live_objects("MtaInboundThrottle").items():
            names = set(throttle["key"])
            # Upstream compiles the whole expression and keeps nothing but its end.
            end = {"match": {}, "else": throttle["match"]["else"]}
            needed = {_VARIABLE[name] for name in names} | self.registry.variables_in(end)
            if not throttle["enable"] or stage_of(needed) != stage:
                continue
            matched = self.registry.evaluate_rule(end, variables)
            if matched is None or not to_bool(matched):
                continue
            key = (throttle_id, *(to_text(variables.get(_VARIABLE[name], "")) for name in sorted(names)))
            if not self._take(key, throttle["rate"]["count"], throttle["rate"]["period"]):
                return False
        return True

    def _take(self, key: tuple[str, ...], count: int, period_ms: int) -> bool:
        window = int(self._clock() * 1000 / period_ms)
        if len(self._counts) > 10_000:
            # Old windows are of no use; they are dropped together so that the table stays small.
            self._counts = {k: v for k, v in self._counts.items() if v[0] >= window - 1 and k[0] == key[0]}
        seen_window, seen = self._counts.get(key, (window, 0))
        seen = seen + 1 if seen_window == window else 1
        self._counts[key] = (window, seen)
        return seen <= count
