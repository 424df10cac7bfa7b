# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Codes of the way from the root to a zone's name servers; docs/errors.md is made from these."""

from __future__ import annotations

from typing import Dict

CODES: Dict[str, str] = {
    "MS-DEL-001": "The world does not ask the name servers that the DNS host assigned to the zone. Enter them at the registrar.",
    "MS-DEL-002": "The parent publishes a DS that the assigned name servers have no key for: validating resolvers would not "
    "find the domain there. Remove the DS at the registrar before the name servers are changed.",
    "MS-DEL-003": "The domain does not exist in its parent zone: it is not registered, or has ended.",
    "MS-DEL-004": "The delegation stands, but the DNS host does not serve the zone yet.",
    "MS-DEL-005": "The delegation cannot be followed from here: name servers on the way do not answer.",
}
