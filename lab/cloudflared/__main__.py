# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m lab.cloudflared``: make the program ahead of the lab that needs it; prints which one it is."""

from __future__ import annotations

import sys

from lab import paths
from lab.cloudflared.build import CloudflaredError, ensure

if __name__ == "__main__":
    try:
        made = ensure(paths.BUILD, print)
    except CloudflaredError as error:
        sys.exit(f"cloudflared: {error}")
    print(f"cloudflared: {made.client} ({made.origin})")
