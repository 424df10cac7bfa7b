# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Zero Trust: tunnels, and Access with its applications, policies and service tokens (reference, §1.8).

Held to the typed clients that Cloudflare generates from its API's description (``zero_trust.tunnels.cloudflared`` and
``zero_trust.access``), to the source of cloudflared and to answers quoted in public; errors.py says which is which.
"""
