# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Codes of MTA-STS policies."""

from __future__ import annotations

from typing import Dict

CODES: Dict[str, str] = {
    "MS-STS-001": "A domain's MTA-STS policy was not served in time: no connection, no valid certificate, another status. "
    "The id of a policy must not be published before it can be fetched.",
    "MS-STS-002": "The policy that is served is not the one that is wanted.",
}
