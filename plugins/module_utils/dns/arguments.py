# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The arguments that all modules for zones share; documented once, in the fragment ``dns_zones``.

Apart from what carries them out, so that a module can know its arguments before it loads the rest.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Dict

from ansible_collections.mailstead.stack.plugins.module_utils.dns.codes import GUARDS
from ansible_collections.mailstead.stack.plugins.module_utils.plan.phases import PHASES, ForeignPolicy

POLICIES = ["merge", "adopt", "replace", "fail"]
MODES = ["create_only", "owned", "names", "zone"]


def zones_spec() -> Dict[str, Any]:
    """The argument ``zones``."""
    record = {
        "zone": {"type": "str"},
        "name": {"type": "str", "required": True},
        "type": {"type": "str", "required": True},
        "content": {"type": "str", "required": True},
        "ttl": {"type": "int", "default": 3600},
        "phase": {"type": "str", "choices": list(PHASES), "default": PHASES[-1]},
        "role": {"type": "str", "required": True},
        "reason": {"type": "str", "default": ""},
        "deferred": {"type": "dict"},
    }
    policies = dataclasses.asdict(ForeignPolicy())
    foreign = {field: {"type": "str", "choices": POLICIES, "default": value} for field, value in policies.items()}
    zone = {
        "name": {"type": "str", "required": True},
        "id": {"type": "str"},
        "provider": {"type": "str"},
        "confirm": {"type": "str"},
        "records": {"type": "list", "elements": "dict", "default": [], "options": record},
        "foreign": {"type": "dict", "default": {}, "options": foreign},
    }
    return {"type": "list", "elements": "dict", "required": True, "options": zone}


def argument_spec() -> Dict[str, Any]:
    """The arguments of a module that keeps zones, without those that say how to reach their host."""
    sender = {
        "include": {"type": "str", "required": True},
        "who": {"type": "str", "required": True},
        "needed": {"type": "bool", "default": True},
        "stays": {"type": "bool", "default": False},
    }
    return {
        "zones": zones_spec(),
        "through_phase": {"type": "str", "choices": list(PHASES), "default": PHASES[-1]},
        "stages": {"type": "list", "elements": "str", "choices": list(PHASES), "default": []},
        "mode": {"type": "str", "choices": MODES, "default": "owned"},
        "instance": {"type": "str", "default": "mailstead"},
        "max_delete": {"type": "int", "default": 20},
        "max_delete_percent": {"type": "int", "default": 30},
        "dkim_min_rsa_bits": {"type": "int", "default": 2048},
        "allow": {"type": "list", "elements": "str", "choices": list(GUARDS), "default": []},
        "spf_senders": {"type": "list", "elements": "dict", "default": [], "options": sender},
        "snapshots": {"type": "path"},
        "snapshots_point": {"type": "str"},
        "undo": {"type": "str"},
        "wait_authoritative": {"type": "bool", "default": False},
        "wait_deadline": {"type": "int", "default": 120},
        "wait_roles": {"type": "list", "elements": "str", "default": []},
    }
