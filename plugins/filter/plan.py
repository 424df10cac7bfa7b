# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters that turn the plan into what modules take. Each is a thin shell over the pure functions of the plan.

The one that asks the outside is never_banned: a vantage may be given by name.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from collections.abc import Sequence
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError
from ansible_collections.mailstead.stack.plugins.module_utils.plan import order, server, server_parts
from ansible_collections.mailstead.stack.plugins.module_utils.plan.model import MailPlan, from_data, to_data
from ansible_collections.mailstead.stack.plugins.module_utils.plan.resolve import facts_from, resolve
from ansible_collections.mailstead.stack.plugins.module_utils.plan.show import show_plan
from ansible_collections.mailstead.stack.plugins.module_utils.plan.tunnel import (
    edge_config,
    home_config,
    server_config,
    service_config,
)
from ansible_collections.mailstead.stack.plugins.module_utils.ptr.options import SECRETS as PTR_SECRETS


def zones_wanted(plan: dict[str, Any], facts: dict[str, Any], through_phase: str) -> list[dict[str, Any]]:
    """The zones with their records, as cloudflare_zone and rfc2136_zone take them."""
    try:
        zones = resolve(from_data(MailPlan, plan), facts_from(facts), through_phase)
    except MailsteadError as error:
        raise AnsibleFilterError(str(error)) from None
    keys = ("name", "type", "content", "ttl", "phase", "role", "reason")
    return [
        {
            "name": zone.name,
            "provider": zone.provider,
            "foreign": to_data(zone.foreign),
            "records": [{k: getattr(r, k) for k in keys} for r in zone.records],
        }
        for zone in zones
    ]


def publication_stages(through_phase: str) -> list[str]:
    """The phases after which a publication has to stop for a gate, as cloudflare_zone takes them."""
    try:
        return order.stages(through_phase)
    except MailsteadError as error:
        raise AnsibleFilterError(str(error)) from None


def sts_policies(plan: dict[str, Any]) -> list[dict[str, Any]]:
    """The MTA-STS policies that have to be served, as mta_sts_policy_info takes them."""
    return order.sts_policies(from_data(MailPlan, plan))


def plan_text(plan: dict[str, Any], explain: bool = False) -> str:
    """The plan for people: what would be built, published and checked, and why."""
    return show_plan(from_data(MailPlan, plan), explain=explain)


def tunnel_server(plan: dict[str, Any], host: str, directory: str) -> dict[str, Any]:
    """frps' configuration of an edge."""
    return server_config(from_data(MailPlan, plan), host, directory)


def tunnel_home(plan: dict[str, Any], host: str, edge: str, directory: str, secret: str) -> dict[str, Any]:
    """frpc's configuration at home, towards one edge."""
    return home_config(from_data(MailPlan, plan), host, edge, directory, secret)


def tunnel_service(plan: dict[str, Any], host: str, directory: str, secret: str) -> dict[str, Any]:
    """frpc's configuration on the host of a service for applications, towards the edge that it sends through."""
    return service_config(from_data(MailPlan, plan), host, directory, secret)


def tunnel_relay(plan: dict[str, Any], host: str, directory: str, secret: str) -> dict[str, Any]:
    """frpc's configuration on an edge, for its own mail relay."""
    return edge_config(from_data(MailPlan, plan), host, directory, secret)


def server_objects(
    plan: dict[str, Any], host: str, dkim: list[dict[str, Any]], secrets: dict[str, str], allowed: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """The mail server's objects of a home, as stalwart_objects takes them."""
    whole = from_data(MailPlan, plan)
    home = next(h for h in whole.homes if h.host == host)
    options = server_parts.ServerOptions(allowed_ips=tuple(str(a) for a in allowed))
    try:
        sent = {d.name for d in whole.domains}
        unsent = [d.name for d in whole.elsewhere if d.name not in sent]
        return server_parts.fill_secrets(server.server_objects(home, whole.domains, dkim, options, unsent), secrets)
    except MailsteadError as error:
        raise AnsibleFilterError(str(error)) from None


def never_banned(plan: dict[str, Any], hostvars: Any) -> list[str]:
    """Addresses that the server must never ban: declared vantages, whose probes look like abuse, and the edges' own.

    A vantage's address is its ansible_host; where that is a name, what it resolves to on the controller.
    """
    found = {a for edge in plan["edges"] for a in (edge["ipv4"], edge["ipv6"]) if a}
    for vantage in plan["vantages"]:
        name = str(hostvars[vantage].get("ansible_host", vantage))
        try:
            found.add(str(ipaddress.ip_address(name)))
        except ValueError:
            with contextlib.suppress(OSError):
                found |= {str(row[4][0]) for row in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)}
    return sorted(found)


def tunnel_ends(plan: dict[str, Any]) -> list[dict[str, Any]]:
    """The edges as tunnel_pki takes them."""
    return [
        {"host": e["host"], "name": e["mail_name"], "addresses": [a for a in (e["ipv4"], e["ipv6"], "127.0.0.1") if a]}
        for e in plan["edges"]
    ]


def tunnel_clients(plan: dict[str, Any]) -> list[str]:
    """The hosts beside the edges that have an end of a tunnel: homes, and services that send through an edge."""
    services = [s["host"] for s in plan["submissions"] if any(smarthost["edge"] for smarthost in s["smarthosts"])]
    return [h["host"] for h in plan["homes"]] + services


def dkim_wanted(plan: dict[str, Any], host: str) -> list[dict[str, str]]:
    """The signing keys of a home, or of a service's host, as dkim_keys takes them."""
    own = [(d["name"], d["dkim"]) for d in plan["domains"] if d["home"] == host]
    services = [s for s in plan["submissions"] if s["host"] == host and s["state"] == "present"]
    own += [(name, dkim) for s in services for name, dkim in s["dkim"]]
    return [
        {"domain": name, "algorithm": algorithm, "selector": dkim["selector"]}
        for name, dkim in own
        for algorithm in dkim["algorithms"]
    ]


def dns_facts(plan: dict[str, Any], hostvars: Any) -> dict[str, Any]:
    """What the hosts reported earlier in this run: public keys, the certificate's key, signed zones."""
    facts: dict[str, Any] = {"dkim": [], "spki": {}, "signed": []}

    def reported(host: str, names: tuple[str, ...], key: str) -> Any:
        """What the first task that was not skipped returned; the role's own result comes before the one that reads."""
        variables = hostvars[host]
        results = (variables[name] for name in names if name in variables)
        return next((r[key] for r in results if key in r), None)

    for home in plan["homes"]:
        facts["dkim"] += reported(home["host"], ("dkim_result", "facts_dkim"), "keys") or []
        digest = reported(home["host"], ("tls_result", "facts_tls"), "spki_sha256")
        if digest:
            facts["spki"].update({e["mail_name"]: digest for e in plan["edges"] if e["host"] in home["edges"]})
    for service in plan["submissions"]:
        if service["host"] in hostvars:
            keys = reported(service["host"], ("dkim_result", "facts_dkim"), "keys") or []
            facts["dkim"] += [{**key, "service": service["name"]} for key in keys]
    validated: list[set[str]] = []
    for edge in plan["edges"]:
        for observation in reported(edge["host"], ("dns_signed",), "observations") or []:
            answers = observation["data"].get("answers", {})
            validated.append({question.split(" ")[0] for question, answer in answers.items() if answer.get("ad")})
    if validated:
        facts["signed"] = sorted(set.intersection(*validated))
    if plan["routing"] and "localhost" in hostvars:
        facts["routing"] = hostvars["localhost"].get("mailstead_routing_facts", {})
    if plan["submissions"]:
        hosts = [s["host"] for s in plan["submissions"] if s["host"] in hostvars]
        told = [hostvars[host].get("mailstead_smarthost_facts", {}) for host in hosts]
        facts["smarthosts"] = {name: seen for one in told for name, seen in one.items()}
        if "localhost" in hostvars:
            facts["tunnels"] = hostvars["localhost"].get("mailstead_tunnel_facts", {})
    return facts


def ptr_secret_refs(plan: dict[str, Any]) -> list[str]:
    """References to the credentials by which reverse records are set."""
    return sorted({value for p in plan["ptr"] for key, value in p["options"] if key in PTR_SECRETS})


def ptr_wanted(plan: dict[str, Any], secrets: dict[str, str]) -> list[dict[str, Any]]:
    """The reverse records, as ptr_record takes them."""
    out = []
    for entry in plan["ptr"]:
        options = dict(entry["options"])
        references = {key: options.pop(key, None) for key in PTR_SECRETS}
        wanted = {key: entry[key] for key in ("address", "name", "host", "provider")}
        credentials = {key: secrets[reference] if reference else None for key, reference in references.items()}
        out.append({**wanted, "options": options, **credentials})
    return out


class FilterModule:
    def filters(self) -> dict[str, Any]:
        return {
            "dkim_wanted": dkim_wanted,
            "dns_facts": dns_facts,
            "never_banned": never_banned,
            "ptr_secret_refs": ptr_secret_refs,
            "ptr_wanted": ptr_wanted,
            "server_objects": server_objects,
            "sts_policies": sts_policies,
            "tunnel_clients": tunnel_clients,
            "tunnel_ends": tunnel_ends,
            "plan_text": plan_text,
            "publication_stages": publication_stages,
            "tunnel_home": tunnel_home,
            "tunnel_relay": tunnel_relay,
            "tunnel_server": tunnel_server,
            "tunnel_service": tunnel_service,
            "zones_wanted": zones_wanted,
        }
