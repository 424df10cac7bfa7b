# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reverse records by DNS update."""

from __future__ import annotations

import threading
import time
from typing import Callable, List, Optional, Sequence, Tuple

import dns.exception
import dns.resolver
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError, Problem
from ansible_collections.mailstead.stack.plugins.module_utils.dns import rdata
from ansible_collections.mailstead.stack.plugins.module_utils.ptr.model import TTL, PtrResult, PtrWanted, reverse_name
from ansible_collections.mailstead.stack.plugins.module_utils.rfc2136.link import TIMEOUT, Connection, Server

#: Seconds an accepted update may take until the server answers with it.
SERVED_WITHIN = 15.0


class Rfc2136Ptr:
    """Reverse records by DNS update. zone: used where it holds the name; otherwise the server is asked."""

    def __init__(
        self,
        server: Server,
        zone: str = "",
        ttl: int = TTL,
        pause: Optional[Callable[[float], object]] = None,
        clock: Callable[[], float] = time.monotonic,
        timeout: float = TIMEOUT,
    ) -> None:
        self._link = Connection(server, timeout)
        self._zone, self._ttl = zone, ttl
        self._pause = pause or threading.Event().wait
        self._clock = clock
        self.written: List[PtrResult] = []

    def plan(self, wanted: Sequence[PtrWanted]) -> List[PtrResult]:
        out: List[PtrResult] = []
        for record in wanted:
            before = self._link.values(record.reverse, "PTR")
            zone = self._zone if self._zone and rdata.within(record.reverse, self._zone) else ""
            if before == (record.name,):
                out.append(PtrResult(record, "rfc2136", "ok", before, zone))
            else:
                zone = zone or self._link.zone_of(record.reverse)
                out.append(PtrResult(record, "rfc2136", "changed", before, zone))
        return out

    def apply(self, planned: Sequence[PtrResult]) -> None:
        """One update per zone; then wait until the server answers with it. A refused zone does not hold up the others."""
        changed = [r for r in planned if r.status == "changed"]
        problems: List[Problem] = []
        for zone in sorted({r.zone for r in changed}):
            mine = [r for r in changed if r.zone == zone]
            try:
                self._link.update(zone, {(r.wanted.reverse, "PTR"): [r.wanted.name] for r in mine}, self._ttl)
            except MailsteadError as error:
                problems += error.problems
                continue
            self.written += mine
        try:
            self._wait_served(self.written)
        except MailsteadError as error:
            problems += error.problems
        if problems:
            raise MailsteadError(problems)

    def _wait_served(self, missing: Sequence[PtrResult]) -> None:
        end = self._clock() + SERVED_WITHIN
        while True:
            missing = [r for r in missing if self._link.values(r.wanted.reverse, "PTR") != (r.wanted.name,)]
            if not missing:
                return
            if self._clock() >= end:
                names = ", ".join(f"{r.wanted.address} → {r.wanted.name}" for r in missing)
                what = (
                    f"the update was accepted, but after {SERVED_WITHIN:.0f} s the server does not answer with {names}"
                )
                fix = "Look at the server's log; the zone may be frozen, or another server may answer at this address."
                raise MailsteadError.one("MS-DNS-052", f"DNS server {self._link.server.label}", what, fix)
            self._pause(0.25)


def names_of(address: str, lifetime: float = 3.0) -> Optional[Tuple[str, ...]]:
    """The names an address has by this system's resolver; () for none, None when that cannot be found out."""
    try:
        answer = dns.resolver.resolve(reverse_name(address), "PTR", lifetime=lifetime)
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        return ()
    except (dns.exception.DNSException, OSError):
        return None
    return tuple(sorted(rdata.told("PTR", item.to_text()) for item in answer))
