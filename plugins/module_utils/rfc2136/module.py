# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a module reaches a name server: the arguments of the documentation fragment ``rfc2136``. Works without dnspython."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Sequence

from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import Problem

ALGORITHMS = ("hmac-sha256", "hmac-sha384", "hmac-sha512")


def server_spec() -> Dict[str, Any]:
    """The arguments that :func:`.zone.connection_of` takes."""
    return {
        "server": {"type": "str", "required": True},
        "port": {"type": "int", "default": 53},
        "key_name": {"type": "str", "required": True, "no_log": False},
        "key_algorithm": {"type": "str", "choices": list(ALGORITHMS), "default": ALGORITHMS[0], "no_log": False},
        "key_secret": {"type": "str", "required": True, "no_log": True},
        "timeout": {"type": "int", "default": 10},
    }


def apex_aliases(zones: Sequence[Mapping[str, Any]]) -> List[Problem]:
    """Wanted CNAMEs at the top of a zone: other hosts turn them into addresses, the DNS itself cannot have them."""
    out: List[Problem] = []
    for zone in zones:
        top = str(zone["name"]).lower().rstrip(".")
        for record in zone["records"]:
            if record["type"].upper() == "CNAME" and record["name"].lower().rstrip(".") == top:
                what = "a CNAME cannot stand at the top of a zone, beside its SOA and NS"
                fix = "Want the addresses of its target there instead."
                out.append(Problem("MS-DNS-073", f"zone {top}: CNAME {top}", what, fix))
    return out
