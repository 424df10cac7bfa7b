# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters for domains without a home: what the modules of Email Routing take, and what they report as facts."""

from __future__ import annotations

import json
from typing import Any

from ansible_collections.mailstead.stack.plugins.filter.dns import dns_hosts

#: The sender that is set up over the same API.
SENDING = "cloudflare_email_sending"


def routing_hosts(plan: dict[str, Any]) -> list[dict[str, Any]]:
    """The routed domains by the account they are in, each entry with the arguments of the modules."""
    out = []
    for host in dns_hosts(plan, "cloudflare"):
        domains = [d for d in plan["routing"] if d["zone"] in host["zones"]]
        if domains:
            out.append(
                {
                    "secret": host["secret"],
                    "zones": sorted({d["zone"] for d in domains}),
                    "needs": _needs(domains),
                    "destinations": sorted({a for d in domains for a in d["destinations"]}),
                    "switch": [_switch(plan, d) for d in domains],
                    # A domain that goes must not be kept from it by its own lack of another MX.
                    "switch_allow": ["no_mx"] if any(d["state"] == "absent" for d in domains) else [],
                    "workers": [_worker(w) for d in domains for w in d["workers"]],
                    "rules": [_rules(d) for d in domains],
                }
            )
    return out


def sending_hosts(plan: dict[str, Any]) -> list[dict[str, Any]]:
    """The domains that send through Cloudflare Email Sending, by account, as cloudflare_email_sending takes them."""
    out = []
    for host in dns_hosts(plan, "cloudflare"):
        domains = [d for d in (*plan["routing"], *plan["hosted"]) if d["zone"] in host["zones"]]
        sending = [s for d in domains for s in _sending(plan, d)]
        if sending:
            out.append({"secret": host["secret"], "sending": sending, "sending_allow": _sending_allow(domains)})
    return out


def _needs(domains: list[dict[str, Any]]) -> list[str]:
    """The permissions of the token, in the words of cloudflare_token_info."""
    more = {
        "workers": any(d["workers"] for d in domains),
        "email_sending": any(s["provider"] == SENDING for d in domains for s in d["senders"]),
    }
    always = ["zones", "dns", "zone_settings", "email_routing_rules", "email_routing_addresses"]
    return always + [need for need, wanted in more.items() if wanted]


def _record(plan: dict[str, Any], zone: str, name: str, prefix: str) -> str:
    records = [r for z in plan["zones"] if z["name"] == zone for r in z["records"]]
    texts = (r["content"] for r in records if r["name"] == name and r["type"] == "TXT")
    return str(next((t for t in texts if t.startswith(prefix)), ""))


def _switch(plan: dict[str, Any], domain: dict[str, Any]) -> dict[str, Any]:
    # Locked records cannot be merged with: where SPF holds more than the service, it has to stay open. The plan writes the
    # version, the senders and ``all``.
    merged = len(_record(plan, domain["zone"], domain["name"], "v=spf1").split()) > 3
    state = "disabled" if domain["state"] == "absent" else "unlocked" if merged else "enabled"
    return {
        "name": domain["name"],
        "zone": domain["zone"],
        "state": state,
        "subaddressing": domain["subaddressing"],
        "leaving": domain["leaving"],
    }


def _worker(worker: dict[str, Any]) -> dict[str, Any]:
    source = {key: worker[key] for key in ("template", "file") if worker[key]}
    more = {"hostnames": worker["hostnames"]} if worker["hostnames"] else {}
    return {"name": worker["name"], **source, "vars": {"CONFIG": json.loads(worker["settings"])}, **more}


def _rules(domain: dict[str, Any]) -> dict[str, Any]:
    out = {"name": domain["name"], "zone": domain["zone"], "rules": {r["address"]: _value(r) for r in domain["rules"]}}
    return {**out, "catch_all": _value(domain["catch_all"])} if domain["catch_all"] else out


def _value(rule: dict[str, Any]) -> dict[str, Any]:
    out: dict[str, Any] = {rule["action"]: rule["target"] or True}
    more = {key: rule[key] for key in ("enabled", "tag", "priority") if rule[key] not in (None, "")}
    return {**out, **more}


def _sending(plan: dict[str, Any], domain: dict[str, Any]) -> list[dict[str, Any]]:
    if not any(s["provider"] == SENDING for s in domain["senders"]):
        return []
    policy = _record(plan, domain["zone"], f"_dmarc.{domain['name']}", "v=DMARC1")
    state = "absent" if domain["state"] == "absent" else "present"
    return [{"name": domain["name"], "zone": domain["zone"], "state": state, **({"dmarc": policy} if policy else {})}]


def _sending_allow(domains: list[dict[str, Any]]) -> list[str]:
    """The service writes p=reject where nothing stands; whether it replaces what does is not documented.

    It may meet our own record where its own would hurt nobody: all senders allow reject, and the domain's owner is past
    looking on (p=none).
    """
    mine = [d for d in domains if any(s["provider"] == SENDING for s in d["senders"])]
    return ["dmarc"] if mine and all(_would_bear_reject(d) for d in mine) else []


def _would_bear_reject(domain: dict[str, Any]) -> bool:
    return domain["dmarc"]["policy"] != "none" and all(s["max_policy"] == "reject" for s in domain["senders"])


def routing_inventory(mail_domains: list[dict[str, Any]], zones: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What cloudflare_email_routing_info found, as mail_domains that can be applied. zones: as the module returned them.

    Domains of zones whose routing is off are left out: applied, they would be switched on. Who sends is not known there, so
    the DMARC policy is kept at none until the user says it.
    """
    on = {z["name"] for z in zones if z["enabled"]}
    out = []
    for domain in mail_domains:
        name = domain["name"]
        held = [z for z in on if name == z or name.endswith(f".{z}")]
        if held:
            zone = max(held, key=len)
            below = {"zone": zone} if zone != name else {}
            out.append({"name": name, **below, "inbound": domain["inbound"], "dmarc": {"policy": "none"}})
    return out


def routing_part(plan: dict[str, Any]) -> dict[str, Any]:
    """The plan without everything that needs a host: routed domains and the zones that hold nothing else."""
    homes = {d["zone"] for d in plan["domains"]}
    # Keys that a host has to make first.
    homes |= {z["name"] for z in plan["zones"] if any(r["deferred"] for r in z["records"])}
    zones = [
        z for z in plan["zones"] if z["name"] not in homes and any(z["name"] == d["zone"] for d in plan["routing"])
    ]
    return {**plan, "domains": [], "hosted": [], "homes": [], "edges": [], "ptr": [], "submissions": [], "zones": zones}


def delegation_wanted(zones: list[dict[str, Any]], plan: dict[str, Any]) -> list[dict[str, Any]]:
    """The zones of routed domains as dns_delegation_info takes them. zones: those that cloudflare_zone_info found."""
    wanted = {d["zone"] for d in plan["routing"] if d["state"] == "present"}
    keys = ("name", "name_servers", "status")
    return [{k: z[k] for k in keys} for z in zones if z["name"] in wanted]


def routing_facts(
    plan: dict[str, Any],
    switched: list[dict[str, Any]],
    ruled: list[dict[str, Any]],
    announced: list[dict[str, Any]],
) -> dict[str, Any]:
    """What the service has, out of what its modules reported: facts by domain, for the checks.

    switched, ruled, announced: results of cloudflare_email_routing, …_rules and …_destinations, in a loop or alone.
    """
    destinations = {d["address"].lower(): d["verified"] for r in announced for d in r.get("destinations", ())}
    changes = [c for r in ruled for c in r.get("changes", ()) if not c.get("written")]
    found = {d["name"]: d for r in switched for d in r.get("domains", ())}
    asked = {z["name"] for r in ruled for z in r.get("zones", ())}
    out = {}
    for domain in plan["routing"]:
        told = found.get(domain["name"])
        if told is None or domain["zone"] not in asked:
            continue
        confirmed = {a: destinations.get(a.lower(), "") for a in domain["destinations"]}
        waiting = {
            w["address"] for r in ruled for w in r.get("waiting", ()) if w["destination"] in domain["destinations"]
        }
        mine = [c for c in changes if c["zone"] == domain["zone"]]
        out[domain["name"]] = {
            # Check mode tells how it will be; a step that switches on says that it is not yet.
            "enabled": told["enabled"] and all(step["kind"] != "enable" for step in told["steps"]),
            "status": told["status"],
            "records": [_required(r) for r in told["required"]],
            "rules": _present(domain, mine, waiting),
            "destinations": confirmed,
        }
    return out


def _required(record: dict[str, Any]) -> list[str]:
    preference = f"{record['priority']} " if record.get("priority") is not None else ""
    return [record["name"], record["type"], preference + record["content"]]


def _present(domain: dict[str, Any], changes: list[dict[str, Any]], waiting: set[str]) -> list[dict[str, Any]]:
    """The rules as they are: as declared, but for those that a run would change and those that wait for a click."""
    open_changes = {c["address"]: c["before"] for c in changes}
    out = []
    for rule in (*domain["rules"], *([domain["catch_all"]] if domain["catch_all"] else ())):
        address = rule["address"]
        if address not in open_changes:
            enabled = rule["enabled"] is not False and address not in waiting
            out.append({**rule, "enabled": enabled})
        elif open_changes[address] is not None:
            before = open_changes[address]
            out.append({k: before[k] for k in ("address", "action", "target", "enabled")})
    return out


class FilterModule:
    def filters(self) -> dict[str, Any]:
        return {
            "delegation_wanted": delegation_wanted,
            "routing_facts": routing_facts,
            "routing_hosts": routing_hosts,
            "sending_hosts": sending_hosts,
            "routing_inventory": routing_inventory,
            "routing_part": routing_part,
        }
