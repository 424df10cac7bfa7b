# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""DNS look-ups of the exchanger."""

from __future__ import annotations

import dns.resolver

from lab.standin.server.resolver import LookupFailedError, Resolver

__all__ = ["Lookup", "LookupFailedError"]

#: Seconds for one question, retries included.
LIFETIME = 10.0


class Lookup(Resolver):
    """The mail server stand-in's look-ups, by the system's resolver instead of a registry's."""

    def __init__(self, resolver: dns.resolver.Resolver | None = None) -> None:
        self._resolver = resolver or dns.resolver.Resolver()
        self._resolver.lifetime = LIFETIME
