# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters that say what a comparison of the zones needs: who keeps them, and what is planned as far as it is known."""

from __future__ import annotations

from typing import Any

from ansible_collections.mailstead.stack.plugins.filter.dns import dns_hosts
from ansible_collections.mailstead.stack.plugins.module_utils.checks.plain import plain
from ansible_collections.mailstead.stack.plugins.module_utils.dns.drift.planned import known_zones
from ansible_collections.mailstead.stack.plugins.module_utils.plan.model import MailPlan, from_data
from ansible_collections.mailstead.stack.plugins.module_utils.plan.resolve import facts_from


def zones_known(plan: dict[str, Any], facts: dict[str, Any], hostvars: Any) -> list[dict[str, Any]]:
    """The zones with their records; those whose values no host told in this run stay deferred."""
    told = [hostvars[edge["host"]].get("dns_signed") or {} for edge in plan["edges"]]
    signed_known = bool(told) and all(t.get("observations") for t in told)
    return known_zones(from_data(MailPlan, plain(plan)), facts_from(plain(facts)), signed_known)


def drift_hosts(plan: dict[str, Any], secrets: dict[str, str]) -> list[dict[str, Any]]:
    """Who keeps the zones, with what they are asked with. secrets: values by reference."""
    return [{**host, "secret": secrets[host["secret"]]} for host in dns_hosts(plan)]


class FilterModule:
    def filters(self) -> dict[str, Any]:
        return {"zones_known": zones_known, "drift_hosts": drift_hosts}
