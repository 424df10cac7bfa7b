# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Codes of how a verification ends; docs/errors.md is made from these."""

from __future__ import annotations

from typing import Dict

CODES: Dict[str, str] = {
    "MS-CHK-001": "A check failed. The report has the evidence, what was expected and the fix of each.",
    "MS-CHK-002": "A check that matters could not be made, so nothing is proven about it. The report says what it lacked.",
    "MS-CHK-003": "The verification itself broke: there are no observations, or they could not be judged.",
}
