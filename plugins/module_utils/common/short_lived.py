# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""For processes that end in a second: what they leave behind is not worth tidying up."""

from __future__ import annotations

import atexit
import gc


def short_lived() -> None:
    """Do without looking for reference cycles, while the process runs and when it ends.

    The interpreter would look through every object twice at its end, which takes a tenth of the whole run of a module. A
    few megabytes of cycles are all that is not freed; everything else is, by counting references.
    """
    gc.disable()
    atexit.register(gc.freeze)
