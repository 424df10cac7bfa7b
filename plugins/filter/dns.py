# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters that say who serves the plan's zones, how to reach them, and what to do with others' records in them."""

from __future__ import annotations

from typing import Any

#: The option that holds the reference to a provider's credential, and what stands for options nobody gave.
CREDENTIALS = {"cloudflare": "token", "rfc2136": "secret"}
DEFAULTS: dict[str, dict[str, Any]] = {"cloudflare": {}, "rfc2136": {"port": 53, "key_algorithm": "hmac-sha256"}}


def dns_hosts(plan: dict[str, Any], provider: str | None = None) -> list[dict[str, Any]]:
    """Each host of the plan's zones once, with the zones it serves; only those of one provider if that is given."""
    found: dict[Any, dict[str, Any]] = {}
    for zone in plan["zones"]:
        kind, options = zone["provider"], {str(k): v for k, v in zone["options"]}
        host = {
            "provider": kind,
            "secret": options.pop(CREDENTIALS[kind], ""),
            **DEFAULTS[kind],
            **options,
            "zones": [],
        }
        if "port" in host:
            host["port"] = int(host["port"])
        known = found.setdefault((kind, *sorted((k, str(v)) for k, v in host.items())), host)
        known["zones"].append(zone["name"])
    return [host for host in found.values() if provider in (None, host["provider"])]


def dns_secret_refs(plan: dict[str, Any]) -> list[str]:
    """References to the credentials of the zones' hosts."""
    return sorted({host["secret"] for host in dns_hosts(plan)})


def foreign_policies(zones: list[dict[str, Any]], policies: dict[str, dict[str, str]]) -> list[dict[str, Any]]:
    """The zones with the policies that the inventory names by zone over those of the plan."""
    chosen = {name.lower().rstrip("."): kinds for name, kinds in policies.items()}
    return [{**zone, "foreign": {**zone["foreign"], **chosen.get(zone["name"], {})}} for zone in zones]


class FilterModule:
    def filters(self) -> dict[str, Any]:
        return {"dns_hosts": dns_hosts, "dns_secret_refs": dns_secret_refs, "foreign_policies": foreign_policies}
