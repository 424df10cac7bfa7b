# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What large receivers demand of a domain's mail, by what the domain lacks."""

from __future__ import annotations

from typing import Dict

#: Where Google and Yahoo publish their demands; both in force since 2024-02.
GOOGLE = "https://support.google.com/a/answer/81126"
YAHOO = "https://senders.yahooinc.com/best-practices/"

_EITHER = "Gmail and Yahoo refuse mail that has neither SPF nor DKIM, and want both from whoever sends much"
DEMANDS: Dict[str, str] = {
    "SPF": _EITHER,
    "DKIM": f"{_EITHER}; Gmail wants keys of 1024 bits or more",
    "DMARC": "Gmail (from 5,000 messages a day) and Yahoo want a DMARC record, at least p=none, from whoever sends much",
    "all": "they want SPF or DKIM from everybody, and SPF, DKIM and DMARC from whoever sends much",
}


def demanded(what: str) -> str:
    """The demand that is not met, with the receivers' own pages. what: SPF, DKIM, DMARC or all."""
    return f"{DEMANDS[what]} ({GOOGLE}, {YAHOO})"
