# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the world asks the name servers that a DNS host assigned to a zone, and what to do at the registrar. Pure.

The chain is judged from the root down: each zone's servers are named by the zone above it, the registrar's entry is what
the top-level domain says. The trap: as long as the parent publishes a DS, resolvers that validate accept only answers
signed by its key (RFC 4035 §5.2). Moving the name servers first makes the domain disappear for everybody behind them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Optional, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import Problem
from ansible_collections.mailstead.stack.plugins.module_utils.dns.drift.dnssec import unmatched

#: What a DNS host calls a zone that it serves.
ACTIVE = "active"


@dataclass(frozen=True)
class Cut:
    """One step of the chain: the servers of ``parent`` name those of ``zone``. server: the one that said so.

    exists: False when the parent says that there is no such name. error: why nothing is known; then the rest is empty.
    """

    zone: str
    parent: str
    name_servers: Tuple[str, ...] = ()
    ds: Tuple[str, ...] = ()
    server: str = ""
    exists: bool = True
    error: str = ""

    def __str__(self) -> str:
        if self.error:
            return f"{self.zone}: {self.error}"
        if not self.exists:
            return f"{self.zone}: {self.parent} knows no such name (asked {self.server})"
        signed = f", DS {', '.join(d.split(' ')[0] for d in self.ds)}" if self.ds else ", no DS"
        return f"{self.zone}: {' '.join(self.name_servers)}{signed} (says {self.parent}, asked {self.server})"


@dataclass(frozen=True)
class Wanted:
    """A zone as its DNS host has it. name_servers: those it assigned; status: in its words, empty when not known."""

    zone: str
    name_servers: Tuple[str, ...]
    status: str = ""


@dataclass(frozen=True)
class Seen:
    """chain: from the top-level domain down, the zone last unless the way ends before. keys: the DNSKEY records at the
    assigned servers; None when those were not asked or did not answer."""

    chain: Tuple[Cut, ...]
    keys: Optional[Tuple[str, ...]] = None


@dataclass(frozen=True)
class Verdict:
    """state: delegated, elsewhere, partly, missing, inactive, dark or unknown. steps: what to do, in order."""

    zone: str
    state: str
    told: str
    steps: Tuple[str, ...] = ()
    problem: Optional[Problem] = None


def judge(wanted: Wanted, seen: Seen) -> Verdict:
    """What the chain says about a zone."""
    last = seen.chain[-1] if seen.chain else Cut(wanted.zone, "", error="nobody could be asked")
    where = f"zone {wanted.zone}"
    if last.error:
        fix = "let this host send DNS questions (UDP and TCP 53) to the Internet, and look at the name servers named above"
        return Verdict(wanted.zone, "unknown", last.error, (), Problem("MS-DEL-005", where, last.error, fix))
    if not last.exists:
        told = f"{last.parent} knows no {last.zone}"
        fix = f"register {last.zone}, or correct its name"
        return Verdict(wanted.zone, "missing", told, (), Problem("MS-DEL-003", where, told, fix))
    assigned, named = set(wanted.name_servers), set(last.name_servers)
    trapped = _trapped(wanted.zone, last, seen)
    if last.zone == wanted.zone and named == assigned:
        return _here(wanted, last, trapped)
    return _elsewhere(wanted, last, trapped, partly=last.zone == wanted.zone and bool(named & assigned))


def _here(wanted: Wanted, last: Cut, trapped: Tuple[str, ...]) -> Verdict:
    where = f"zone {wanted.zone}"
    if trapped:
        told = f"{last.parent} publishes a DS ({', '.join(trapped)}) for which the zone has no key: it is dark already"
        steps = (f"Remove this DS at the registrar now: {', '.join(trapped)}.", *_signing(wanted.zone))
        return Verdict(wanted.zone, "dark", told, steps, Problem("MS-DEL-002", where, told, " ".join(steps)))
    if wanted.status not in ("", ACTIVE):
        told = f"delegated, and its host says {wanted.status}"
        steps = (
            "Wait: the DNS host looks at the delegation again from time to time, or when asked on its overview page.",
        )
        return Verdict(wanted.zone, "inactive", told, steps, Problem("MS-DEL-004", where, told, steps[0]))
    return Verdict(wanted.zone, "delegated", f"{last.parent} names {' '.join(sorted(last.name_servers))}")


def _elsewhere(wanted: Wanted, last: Cut, trapped: Tuple[str, ...], partly: bool) -> Verdict:
    where = f"zone {wanted.zone}"
    servers = " and ".join(wanted.name_servers) or "the name servers that its overview shows"
    steps: List[str] = []
    told = f"{last.parent} names {' '.join(last.name_servers)} for {last.zone}"
    if last.zone != wanted.zone:
        told = f"{last.zone} does not delegate {wanted.zone}"
        steps.append(f"In the zone {last.zone} add NS records for {wanted.zone}: {servers}.")
        return Verdict(wanted.zone, "elsewhere", told, tuple(steps), Problem("MS-DEL-001", where, told, steps[0]))
    if trapped:
        told += f", and publishes a DS ({', '.join(trapped)})"
        steps += [
            "At the registrar remove the DS (switch DNSSEC off) and leave the name servers as they are.",
            "Wait until it is gone everywhere: its time to live, a day for most top-level domains.",
        ]
    steps.append(f"At the registrar replace all name servers by {servers}.")
    steps += _signing(wanted.zone) if trapped else ()
    code = "MS-DEL-002" if trapped else "MS-DEL-001"
    problem = Problem(code, where, told, " ".join(f"{n}. {s}" for n, s in enumerate(steps, start=1)))
    return Verdict(wanted.zone, "partly" if partly else "elsewhere", told, tuple(steps), problem)


def _signing(zone: str) -> Tuple[str, ...]:
    return (f"When {zone} is active at its new host, sign it there and enter the new DS at the registrar.",)


def _trapped(zone: str, last: Cut, seen: Seen) -> Tuple[str, ...]:
    """The DS records that the assigned servers cannot answer for. Keys that nobody could read count as missing."""
    if not last.ds or last.zone != zone:
        return ()
    try:
        lost, good = unmatched(zone, last.ds, seen.keys or ())
    except ValueError:
        return last.ds
    # One that fits is enough for a validator.
    return () if good else tuple(lost)
