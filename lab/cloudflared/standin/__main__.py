# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``python3 -m lab.cloudflared.standin``: the stand-in without being packed."""

from __future__ import annotations

import sys

from .main import main

sys.exit(main())
