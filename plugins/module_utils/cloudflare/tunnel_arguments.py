# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The arguments of the documentation fragment ``cloudflare_tunnels``."""

from __future__ import annotations

from typing import Any, Dict


def tunnels_spec() -> Dict[str, Any]:
    return {
        "tunnels": {"type": "list", "elements": "dict", "required": True, "options": _tunnel()},
        "instance": {"type": "str", "default": "mailstead"},
        "held": {"type": "dict", "default": {}},
    }


def _tunnel() -> Dict[str, Any]:
    rule = {
        "hostname": {"type": "str", "default": ""},
        "service": {"type": "str", "required": True},
        "origin": {"type": "dict", "default": {}},
    }
    return {
        "name": {"type": "str", "required": True},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "management": {"type": "str", "choices": ["remote", "local"], "default": "remote"},
        "hostname": {"type": "str"},
        "zone": {"type": "str"},
        "ingress": {"type": "list", "elements": "dict", "default": [], "options": rule},
        "service_tokens": {"type": "list", "elements": "str", "default": [], "no_log": False},
        "duration": {"type": "int", "default": 0},
        "rotate_after": {"type": "int", "default": 0},
        "overlap": {"type": "int", "default": 0},
        "account_id": {"type": "str"},
        "service": {"type": "str"},
        "host": {"type": "str"},
        "token": {"type": "str", "no_log": False},
    }
