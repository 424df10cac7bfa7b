# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan as text for people."""

from __future__ import annotations

from typing import List

from ansible_collections.mailstead.stack.plugins.module_utils.plan.model import MailPlan
from ansible_collections.mailstead.stack.plugins.module_utils.plan.order import order


def show_plan(plan: MailPlan, explain: bool = False) -> str:
    """What would be built, published and checked; with explain also why each value is what it is."""
    lines: List[str] = []
    for domain in plan.domains:
        shown = domain.name if domain.name == domain.unicode_name else f"{domain.unicode_name} ({domain.name})"
        lines.append(f"Domain {shown}")
        lines.append(f"  in    {' → '.join([*domain.mail_hosts[:1], *domain.edges[:1], domain.home])}")
        lines.append(
            f"  out   {domain.home} → {domain.egress} → the Internet, signed with {', '.join(domain.dkim.algorithms)}"
        )
        for account in domain.accounts:
            also = f"  (also {', '.join(account.aliases)})" if account.aliases else ""
            lines.append(f"  box   {account.address}{also}")
        lines.append("")
    for edge in plan.edges:
        lines.append(f"Edge {edge.host}: {edge.mail_name} at {edge.ipv4}{' and ' + edge.ipv6 if edge.ipv6 else ''}")
        lines.append(f"  opens {', '.join(str(p) for p in edge.ports)} to everybody, {edge.bind_port} to the tunnel")
        lines.append(f"  sends for {', '.join(edge.sender_domains) or 'nobody'}")
    for home in plan.homes:
        lines.append(f"Home {home.host}: mail server {home.server_name} on a network of its own ({home.subnet})")
        lines.append(f"  certificate for {', '.join(home.certificate_names)}")
    for ptr in plan.ptr:
        lines.append(f"Reverse record {ptr.address} → {ptr.name} by {ptr.provider}")
    for zone in plan.zones:
        lines += ["", f"Zone {zone.name} at {zone.provider}"]
        width = max((len(r.name) for r in zone.records), default=0)
        for record in zone.records:
            text = f'"{record.content}"' if record.type == "TXT" else record.content
            lines.append(f"  {record.phase:<11} {record.name:<{width}} {record.ttl:>5} {record.type:<5} {text}")
            if explain:
                lines.append(f"  {'':<11} {'':<{width}}       ; {record.reason}")
    witnesses = (
        ", ".join([c.address for c in plan.canaries] + list(plan.vantages)) or "none: some checks will be unknown"
    )
    lines += ["", f"Checked from home, edge and controller; witnesses outside: {witnesses}"]
    lines += ["", "In this order:", *(f"  {step}" for step in order(plan))]
    if explain:
        lines += ["", "Why"]
        for d in plan.decisions:
            lines.append(f"  {d.subject}: {d.key} = {d.value}  [{d.source}] {d.reason}")
    return "\n".join(lines)
