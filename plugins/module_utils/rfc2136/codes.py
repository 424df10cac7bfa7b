# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Codes of DNS updates."""

from __future__ import annotations

from typing import Dict

CODES: Dict[str, str] = {
    "MS-DNS-052": "A reverse record: the DNS server refused or did not answer the update. The message holds its words.",
    "MS-DNS-053": "A reverse record: the TSIG key was refused (name, algorithm, secret or clock).",
}
