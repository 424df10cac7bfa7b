# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The MS-DKIM codes: signing keys on disk. docs/errors.md is made from this table."""

from __future__ import annotations

from typing import Dict

CODES: Dict[str, str] = {
    "MS-DKIM-001": (
        "A private key is open to others, belongs to the wrong user, or is no regular file. Run the command "
        "that is shown; if others may have read the key, rotate it."
    ),
    "MS-DKIM-002": (
        "A file that should hold a private key does not. Restore it from the backup, or move it away: a new "
        "key with a new selector is made then."
    ),
    "MS-DKIM-003": ("A directory of keys can be written by others, or is no directory. Run the command that is shown."),
    "MS-DKIM-004": "A wanted key is described wrongly: domain, algorithm or selector pattern. Correct the value.",
    "MS-DKIM-005": (
        "Every selector of this month has been used; none is ever used twice. Use a finer pattern, such as %Y%m%d."
    ),
    "MS-DKIM-006": "A key or the record of keys cannot be written. Look at the directory and the free space.",
    "MS-DKIM-007": (
        "The record of keys is damaged; without it a used selector could be used again. Restore it from the "
        "backup, or remove it: the keys on disk are then taken as they are."
    ),
}
