# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Codes of Cloudflare Tunnels and of Access in front of them."""

from __future__ import annotations

from typing import Dict

CODES: Dict[str, str] = {
    "MS-TUN-001": "An ingress rule of a tunnel is wrong: no port, an unknown scheme or key, no catch-all at the end, a name twice.",
    "MS-TUN-002": "A wanted tunnel is malformed: its name, its hostname, its service tokens or their times.",
    "MS-TUN-003": "A record that is not ours stands at the hostname of a tunnel. Remove it or take another hostname.",
    "MS-TUN-004": "An Access application that is not ours covers the hostname of a tunnel, or a part of it.",
    "MS-TUN-005": "Several tunnels, applications, policies or service tokens have the same name. Remove those that are not used.",
    "MS-TUN-006": "A service token was revoked: it is disabled, or it was deleted while the controller still holds its secret.",
    "MS-TUN-007": "A service token has expired: no client that uses it gets through.",
    "MS-TUN-008": "The account has no Zero Trust team, or it is disabled: nothing can be put behind Access.",
    "MS-TUN-009": "A tunnel is managed in the other way (remote or local) than wanted; Cloudflare cannot change that afterwards.",
    "MS-TUN-010": "Cloudflare refused a change of a tunnel, of Access, or of the record of a tunnel.",
    "MS-TUN-011": "Whether a change of a tunnel was made stays unclear after several tries. Run again: the state is read first.",
    "MS-TUN-012": "The token lacks a permission for tunnels or Access. The message names it as the dashboard does.",
    "MS-TUN-013": "The account of a tunnel cannot be found out from its zone. Give account_id.",
    "MS-TUN-014": "cloudflared refuses a configuration, or warns of it; a warning means that a key has no effect.",
    "MS-TUN-015": "A tunnel, its configuration, its record or its Access application is not as wanted. Run the playbook again.",
    "MS-TUN-016": "A tunnel has no connection: its connector does not run, or cannot reach Cloudflare.",
}
