# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The provider of reverse records for hosts whose hoster has no interface: says exactly what to set and where."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.ptr.model import PtrResult, PtrWanted
from ansible_collections.mailstead.stack.plugins.module_utils.ptr.panels import PANELS, Panel


@dataclass
class ManualProvider:
    """Tells a person what to do. current: the names an address has now as the world sees it; fails by returning None.

    panel: the hoster, one of panels.NAMES.
    """

    current: Mapping[str, Optional[Tuple[str, ...]]] = field(default_factory=dict)
    panel: str = "generic"
    written: List[PtrResult] = field(default_factory=list)

    def plan(self, wanted: Sequence[PtrWanted]) -> List[PtrResult]:
        out: List[PtrResult] = []
        for record in wanted:
            names = self.current.get(record.address)
            if names == (record.name,):
                out.append(PtrResult(record, "manual", "ok", names))
            else:
                text = instructions(record, names, self.panel)
                out.append(PtrResult(record, "manual", "manual", names or (), instructions=text))
        return out

    def apply(self, planned: Sequence[PtrResult]) -> None:
        """Nothing here: a person acts."""


def instructions(record: PtrWanted, names: Optional[Tuple[str, ...]], panel: str = "generic") -> str:
    """What to set and where, with a text for a ticket."""
    if names is None:
        now = "What it is now could not be looked up."
    elif names:
        now = f"Now it is {', '.join(names)}."
    else:
        now = "Now it has none."
    host = record.host or "this host"
    lines = [f"Set the reverse DNS of {record.address} to {record.name}. {now}"]
    found = PANELS.get(panel)
    lines += _by_panel(record, host, found) if found else _by_words(record, host)
    lines.append(
        f'{"Write" if found and found.ticket else "If there is no such field, write"} to its support: "Please set the PTR '
        f'record of {record.address} to {record.name}. (Zone entry: {record.reverse}. PTR {record.name}.)"'
    )
    return "\n".join(lines)


def _by_panel(record: PtrWanted, host: str, panel: Panel) -> List[str]:
    fill: Dict[str, str] = {"address": record.address, "name": record.name, "host": host, "reverse": record.reverse}
    if panel.ipv4_only and ":" in record.address:
        return [f"{panel.title} has no reverse records for IPv6 addresses: leave ipv6 out of the mail host {host}."]
    lines = [f"At {panel.title}, where {host} is rented ({panel.source}):"]
    if panel.forward:
        kind = "AAAA" if ":" in record.address else "A"
        lines.append(f"  0. It checks that {record.name} has the {kind} record {record.address}: that comes first.")
    return lines + [f"  {number}. {step.format(**fill)}" for number, step in enumerate(panel.steps, start=1)]


def _by_words(record: PtrWanted, host: str) -> List[str]:
    family = "IPv6" if ":" in record.address else "IPv4"
    return [
        f"Where: the control panel of the company that {host} is rented from (not the DNS provider of the domain), "
        f"usually under Networking or IP addresses, next to the {family} address: 'Reverse DNS', 'rDNS' or 'PTR'. "
        f"Enter exactly: {record.name}"
    ]
