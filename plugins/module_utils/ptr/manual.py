# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The provider of reverse records for hosts whose panel has no interface: says exactly what to set and where."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import List, Mapping, Optional, Sequence, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.ptr.model import PtrResult, PtrWanted


@dataclass
class ManualProvider:
    """Tells a person what to do. current: the names an address has now as the world sees it; fails by returning None."""

    current: Mapping[str, Optional[Tuple[str, ...]]] = field(default_factory=dict)
    written: List[PtrResult] = field(default_factory=list)

    def plan(self, wanted: Sequence[PtrWanted]) -> List[PtrResult]:
        out: List[PtrResult] = []
        for record in wanted:
            names = self.current.get(record.address)
            if names == (record.name,):
                out.append(PtrResult(record, "manual", "ok", names))
            else:
                text = instructions(record, names)
                out.append(PtrResult(record, "manual", "manual", names or (), instructions=text))
        return out

    def apply(self, planned: Sequence[PtrResult]) -> None:
        """Nothing here: a person acts."""


def instructions(record: PtrWanted, names: Optional[Tuple[str, ...]]) -> str:
    """What to set and where, in the words that panels use, with a text for a ticket."""
    if names is None:
        now = "What it is now could not be looked up."
    elif names:
        now = f"Now it is {', '.join(names)}."
    else:
        now = "Now it has none."
    family = "IPv6" if ":" in record.address else "IPv4"
    return (
        f"Set the reverse DNS of {record.address} to {record.name}. {now}\n"
        f"Where: the control panel of the company that {record.host} is rented from (not the DNS provider of the domain), "
        f"usually under Networking or IP addresses, next to the {family} address: 'Reverse DNS', 'rDNS' or 'PTR'. "
        f"Enter exactly: {record.name}\n"
        f'If there is no such field, write to its support: "Please set the PTR record of {record.address} to '
        f'{record.name}. (Zone entry: {record.reverse}. PTR {record.name}.)"'
    )
