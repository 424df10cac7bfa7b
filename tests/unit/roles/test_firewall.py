# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules of an edge: with a home behind it and without."""

from __future__ import annotations

from tests.unit.roles.rendering import template


def rules(*ports: int) -> str:
    return template("edge_firewall", "firewall.nft.j2", edge_firewall_relay_port=2525, edge_firewall_ports=list(ports))


def test_where_nothing_is_opened_the_relay_is_still_shut_to_others() -> None:
    alone, shared = rules(), rules(25, 465)
    assert "dport 2525 meta skuid" in alone and "dport 2525 meta skuid" in shared
    # An empty set of ports is a mistake to nft.
    assert "chain busy" not in alone and "{ }" not in alone and "{  }" not in alone
    assert shared.count("tcp dport { 25, 465 }") == 2
    assert all(text.count("{") == text.count("}") for text in (alone, shared))
