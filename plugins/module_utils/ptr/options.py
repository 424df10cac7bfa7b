# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which settings each provider takes: the one table behind the words of the inventory and the module's options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Collection, Dict, Tuple


@dataclass(frozen=True)
class Settings:
    """required: without them the provider cannot work; optional: it makes use of them."""

    required: Tuple[str, ...] = ()
    optional: Tuple[str, ...] = ()

    def missing(self, given: Collection[str]) -> Tuple[str, ...]:
        return tuple(key for key in self.required if key not in given)

    def idle(self, given: Collection[str]) -> Tuple[str, ...]:
        """Those given that the provider has no use for, most likely meant for another one."""
        return tuple(key for key in sorted(given) if key not in (*self.required, *self.optional))


TOKEN = Settings(("token",), ("base_url",))
PROVIDERS: Dict[str, Settings] = {
    "manual": Settings((), ("panel",)),
    "rfc2136": Settings(("server",), ("zone", "port", "key_name", "key_algorithm", "secret")),
    "hcloud": TOKEN,
    "linode": TOKEN,
    "vultr": TOKEN,
    "aws": Settings(("region", "access_key", "secret_key"), ("session_token", "base_url")),
}
#: Settings that are credentials: never in a plan, a log or a message.
SECRETS = ("secret", "token", "secret_key", "session_token")
