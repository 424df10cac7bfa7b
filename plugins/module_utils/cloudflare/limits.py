# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbers that Cloudflare sets (documentation: pagination of each list, plans table)."""

from __future__ import annotations

#: The largest pages; of records the documentation of external-dns names the practical limit.
ZONES_PER_PAGE = 50
RECORDS_PER_PAGE = 5000
#: Operations of one batch and records of one zone, by plan (documentation, plans table).
BATCH_CAP = {"free": 200}
BATCH_CAP_PAID = 3500
QUOTA = {"free": 200}
QUOTA_PAID = 3500
