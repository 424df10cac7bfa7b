# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Codes of how a comparison ends."""

from __future__ import annotations

from typing import Dict

CODES: Dict[str, str] = {
    "MS-DNS-090": "The zones have drifted from the plan. The report says what, where, and what puts it right.",
    "MS-DNS-091": "Something that matters could not be compared (a host, the provider or a name server did not answer), so "
    "nothing is proven about it. The report says what.",
    "MS-DNS-092": "The comparison itself broke: there is nothing to compare, or it ended with an error.",
    "MS-DNS-093": "No way is given to ask the provider of a zone. Give the token, or the connection to the server.",
}
