# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The order of publication: which steps lead from nothing to mail, and the gate behind each.

A gate is what the world must see before the next step may rest on it. Receivers remember what they have seen, also that
something was missing: a signature whose key cannot be found yet, or a policy announced before it is served, costs mail
for as long as caches hold.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.plan.model import MailPlan
from ansible_collections.mailstead.stack.plugins.module_utils.plan.resolve import phase_number

#: The gate behind every publication.
SHOWN = "every authoritative server of the zones shows them"


@dataclass(frozen=True)
class Step:
    """phases: those of the records that the step publishes; none for a step that publishes nothing. gate: in words."""

    name: str
    phases: Tuple[str, ...]
    does: str
    gate: str


STEPS: Tuple[Step, ...] = (
    Step("addresses", ("address",), "publish the public hosts' addresses", SHOWN),
    Step("reverse", (), "name the addresses backwards", "each name leads to its address and back"),
    Step("keys", ("identity", "keys"), "publish HELO identities and public keys", SHOWN),
    Step("server", (), "run the mail server, which signs from now on", "it serves the MTA-STS policy of every domain"),
    Step(
        "routing",
        (),
        "announce destinations, switch routing on, upload Workers, set rules",
        "its exchangers are in the zone",
    ),
    Step("policies", ("policy", "certificate"), "publish SPF, DMARC, CAA, TLS-RPT and TLSA", SHOWN),
    # In one atomic write: a policy seen before the MX that it names would stop mail to the old one.
    Step("delivery", ("delivery",), "publish MX, service names and the id of the MTA-STS policy", SHOWN),
    Step("clients", (), "lead application hosts through the tunnel to their service", "each of them reaches it"),
)


def stages(through_phase: str) -> List[str]:
    """The phases after which a publication through ``through_phase`` has to stop for a gate.

    Raises MailsteadError for a phase that does not exist.
    """
    last = phase_number(through_phase)
    return [s.phases[-1] for s in STEPS if s.phases and phase_number(s.phases[-1]) < last]


def order(plan: MailPlan) -> List[str]:
    """The steps in words, without those that this plan does not need."""
    present = {r.phase for zone in plan.zones for r in zone.records}
    idle = {"reverse": not plan.ptr, "server": not (plan.homes or plan.submissions), "routing": not plan.routing}
    idle["clients"] = not any(s.clients for s in plan.submissions if s.state == "present")
    steps = [s for s in STEPS if present.intersection(s.phases) or (not s.phases and not idle[s.name])]
    return [f"{number}. {step.does}; wait until {step.gate}" for number, step in enumerate(steps, start=1)]


def sts_policies(plan: MailPlan) -> List[Dict[str, Any]]:
    """The MTA-STS policies that must be served before their ids are published, as mta_sts_policy_info takes them."""
    edges = {edge.host: edge for edge in plan.edges}
    homes = {home.host: home for home in plan.homes}
    out: List[Dict[str, Any]] = []
    for domain in plan.domains:
        policy = homes[domain.home].mta_sts
        if domain.mta_sts == "off":
            continue
        addresses = [a for host in domain.edges for a in (edges[host].ipv4, edges[host].ipv6) if a]
        out.append(
            {
                "domain": domain.name,
                "addresses": addresses,
                "mode": policy.mode,
                "mx": list(policy.mx),
                "max_age": policy.max_age,
                "zone": domain.zone,
                "id": domain.mta_sts_id,
            }
        )
    return out
