# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Codes of Email Routing."""

from __future__ import annotations

from typing import Dict

CODES: Dict[str, str] = {
    # Rules and destinations
    "MS-ER-001": "An address or a destination is malformed, or is a pattern: the service has literal addresses and one catch-all.",
    "MS-ER-002": "A rule is for an address of another domain. Put it into the list of its own domain.",
    "MS-ER-003": "One address has two wanted rules; of two rules only the newest works.",
    "MS-ER-004": "Somebody else's rule stands at an address that is declared. Remove it, or adopt it.",
    "MS-ER-005": "A rule belongs to a Worker's own configuration (wrangler) and is never changed from outside of it.",
    "MS-ER-006": "A destination lies in a domain that Email Routing serves in the same account: mail would go in circles.",
    "MS-ER-007": "A rule is to be enabled although its destination is not verified.",
    "MS-ER-008": "More rules or mail domains of a zone, or destinations of an account, than the service holds.",
    "MS-ER-009": "A rule hands mail to a Worker that does not exist.",
    "MS-ER-010": "A destination that is to go is still used by rules.",
    # The switch
    "MS-ER-011": "Routing is to be switched on although another provider's MX are there. Declare them as leaving, or keep them.",
    "MS-ER-012": "Routing is to be switched off, and the domain would have no MX. Give its new records.",
    "MS-ER-013": "The outcome of a change stays unclear, or the service's records do not follow it. Run again.",
    "MS-ER-014": "Cloudflare refused a change of Email Routing. The message has its code and words.",
    "MS-ER-015": "The account cannot be told, or it is not one: give account_id.",
    "MS-ER-016": "Two entries of one zone contradict each other, or a domain is not part of its zone.",
    "MS-ER-017": "The SPF record of the domain cannot be read, so switching could lose it. Mend it first.",
    "MS-ER-018": "A record that is to go is kept by another product of Cloudflare.",
    "MS-ER-019": "The SPF record that also authorises the service would need more look-ups than receivers do.",
    "MS-ER-021": "Switching off a zone would also end routing of its sub-domains. List them as disabled, too.",
    "MS-ER-022": "The name of the instance holds a blank or a colon, so that it cannot be part of a mark.",
    # The token
    "MS-ER-020": "The token lacks a permission that Email Routing needs. The message names it as the dashboard does.",
}
