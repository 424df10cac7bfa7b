# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Codes of DNS updates."""

from __future__ import annotations

from typing import Dict

CODES: Dict[str, str] = {
    "MS-DNS-052": "A DNS server did not answer, or not as it should. The message holds its words.",
    "MS-DNS-053": "A DNS server refused the TSIG key (name, algorithm, secret or clock), or the key may not change the zone.",
    "MS-DNS-070": "The DNS server does not hold the zone. Correct the zone or the server, or create the zone there.",
    "MS-DNS-071": "The DNS server does not let the key transfer the zone (AXFR), which is how records are read.",
    "MS-DNS-072": "The DNS server refused an update as a whole. Nothing of it was applied; the message holds its words.",
    "MS-DNS-073": "A CNAME was to stand at the top of a zone or beside other data, which the DNS does not allow (RFC 1034 §3.6.2).",
    "MS-DNS-074": "A set of records, or the message that changes it, would exceed 64 KiB: one name's records, or the list of those "
    "that are ours.",
    "MS-DNS-075": "An option of the connection to a DNS server is missing or wrong.",
}
