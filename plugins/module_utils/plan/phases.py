# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The words that the plan and the keeping of records share: phases of publication, and what to do with others' records.

Apart from the plan's model because modules on hosts need these and nothing else of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple

#: The order in which records are published. A record of a later phase is neither created nor deleted by a run
#: through an earlier one.
PHASES: Tuple[str, ...] = ("address", "identity", "keys", "policy", "certificate", "delivery")


@dataclass(frozen=True)
class ForeignPolicy:
    """What to do with somebody else's record at a name where we want to publish: merge, adopt, replace or fail."""

    spf: str = "merge"
    mx: str = "fail"
    dmarc: str = "fail"
    caa: str = "merge"
    other: str = "fail"
