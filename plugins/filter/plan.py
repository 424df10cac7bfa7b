# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters that turn the plan into what modules take. Each is a thin shell over the pure functions of the plan."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError
from ansible_collections.mailstead.stack.plugins.module_utils.plan.model import MailPlan, from_data, to_data
from ansible_collections.mailstead.stack.plugins.module_utils.plan.resolve import facts_from, resolve
from ansible_collections.mailstead.stack.plugins.module_utils.plan.show import show_plan


def zones_wanted(plan: dict[str, Any], facts: dict[str, Any], through_phase: str) -> list[dict[str, Any]]:
    """The zones with their records, as cloudflare_zone takes them."""
    try:
        zones = resolve(from_data(MailPlan, plan), facts_from(facts), through_phase)
    except MailsteadError as error:
        raise AnsibleFilterError(str(error)) from None
    keys = ("name", "type", "content", "ttl", "phase", "role", "reason")
    return [
        {
            "name": zone.name,
            "foreign": to_data(zone.foreign),
            "records": [{k: getattr(r, k) for k in keys} for r in zone.records],
        }
        for zone in zones
    ]


def plan_text(plan: dict[str, Any], explain: bool = False) -> str:
    """The plan for people: what would be built, published and checked, and why."""
    return show_plan(from_data(MailPlan, plan), explain=explain)


class FilterModule:
    def filters(self) -> dict[str, Any]:
        return {"zones_wanted": zones_wanted, "plan_text": plan_text}
