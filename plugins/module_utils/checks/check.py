# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a check is, and the areas that they are ordered by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.checks.finding import FAIL

AREAS: Dict[str, str] = {
    "A": "Sending identity",
    "B": "Port 25 outwards",
    "C": "Reachability",
    "E": "DNS",
    "F": "SPF",
    "G": "DKIM",
    "H": "DMARC",
    "I": "MTA-STS and TLS reports",
    "J": "DANE",
    "K": "TLS",
    "L": "SMTP behaviour",
    "M": "Clients and messages",
    "N": "Hosted mailboxes",
    "P": "Mail really sent",
    "R": "Email Routing",
    "S": "Internal senders",
}


@dataclass(frozen=True)
class Check:
    """severity: the worst verdict the check can give. needs: ids whose failure explains a failure of this one."""

    id: str
    slug: str
    title: str
    rule: str
    ref: str
    needs: Tuple[str, ...] = ()
    severity: str = FAIL

    @property
    def area(self) -> str:
        return AREAS[self.id[0]]
