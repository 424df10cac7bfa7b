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
from ansible_collections.mailstead.stack.plugins.module_utils.plan.tunnel import edge_config, home_config, server_config


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


def tunnel_server(plan: dict[str, Any], host: str, directory: str) -> dict[str, Any]:
    """frps' configuration of an edge."""
    return server_config(from_data(MailPlan, plan), host, directory)


def tunnel_home(plan: dict[str, Any], host: str, edge: str, directory: str, secret: str) -> dict[str, Any]:
    """frpc's configuration at home, towards one edge."""
    return home_config(from_data(MailPlan, plan), host, edge, directory, secret)


def tunnel_relay(plan: dict[str, Any], host: str, directory: str, secret: str) -> dict[str, Any]:
    """frpc's configuration on an edge, for its own mail relay."""
    return edge_config(from_data(MailPlan, plan), host, directory, secret)


class FilterModule:
    def filters(self) -> dict[str, Any]:
        return {
            "plan_text": plan_text,
            "tunnel_home": tunnel_home,
            "tunnel_relay": tunnel_relay,
            "tunnel_server": tunnel_server,
            "zones_wanted": zones_wanted,
        }
