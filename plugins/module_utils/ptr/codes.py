# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Codes of reverse records."""

from __future__ import annotations

from typing import Dict

CODES: Dict[str, str] = {
    "MS-DNS-050": "A reverse record: the address is not a public address, or the name is not a host name.",
    "MS-DNS-051": "A reverse record: an option of the provider is missing or wrong.",
}
