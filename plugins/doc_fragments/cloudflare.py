# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the options by which every Cloudflare module reaches the API."""

from __future__ import annotations


class ModuleDocFragment:
    """The modules add which permissions the token needs."""

    DOCUMENTATION = r"""
options:
  api_token:
    description: API token. Taken from the environment variable E(CLOUDFLARE_API_TOKEN) when not given.
    type: str
    required: true
  base_url:
    description: Where the API is. For a proxy that speaks the same API; plain HTTP is accepted for this very machine only.
    type: str
    default: https://api.cloudflare.com/client/v4
  timeout:
    description: Seconds to wait for a connection or an answer, at least V(1).
    type: int
    default: 30
"""
