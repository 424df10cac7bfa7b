# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Codes of mistakes in providers' profiles; docs/errors.md is made from these."""

from __future__ import annotations

from typing import Dict

CODES: Dict[str, str] = {
    "MS-PRO-001": "A provider's profile cannot be read: the file is no YAML, or its name is not the id in it.",
    "MS-PRO-002": "A provider's profile contradicts itself: a role without its words, a value without its input.",
}
