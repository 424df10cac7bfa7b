# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters for hosts that run a service for applications and for those of its clients: what roles and facts are made from."""

from __future__ import annotations

import ipaddress
import socket
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.mailstead.stack.plugins.plugin_utils.state import PLACEHOLDER


def tunnel_known(results: list[dict[str, Any]], name: str) -> dict[str, Any]:
    """The tunnel of a name among the results of cloudflare_tunnel, one for each account; {} when it does not exist yet."""
    tunnels = (t for result in results for t in result.get("tunnels", []))
    return next((t for t in tunnels if t["name"] == name and t.get("token", PLACEHOLDER) != PLACEHOLDER), {})


def client_services(clients: list[dict[str, Any]], results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The services of an application host as role tunnel_client takes them; only those whose service token is known.

    clients: as clients_of gives them. A service token is unknown only in check mode, before the first run.
    """
    out = []
    for client in clients:
        tokens = (r.get("service_tokens", {}) for r in results if tunnel_known([r], client["tunnel"]))
        token: dict[str, Any] = next(tokens, {}).get(client["token"], {})
        if token.get("client_secret", PLACEHOLDER) != PLACEHOLDER:
            keys = ("name", "hostname", "listen", "server_name")
            secret = {"client_id": token["client_id"], "client_secret": token["client_secret"]}
            out.append({**{key: client[key] for key in keys}, **secret})
    return out


def published_ports(service: dict[str, Any]) -> list[str]:
    """The ports of a service as a container engine takes them: on its address in the local network, or on all it has."""
    before = f"{service['lan_address']}:" if service["lan_address"] else ""
    ports = (str(listener["port"]) for listener in service["listeners"] if listener["public"])
    return [f"{before}{port}:{port}" for port in ports]


def certbot_credentials(host: dict[str, Any], secrets: dict[str, str]) -> dict[str, str]:
    """What certbot's plugin for the host of a zone needs, by the names of its settings.

    host: as dns_hosts gives it. The plugin for name servers of one's own takes an address only; a name is looked up here.
    """
    secret = secrets[host["secret"]]
    if host["provider"] == "cloudflare":
        return {"api_token": secret}
    try:
        address = str(ipaddress.ip_address(host["server"]))
    except ValueError:
        try:
            address = str(socket.getaddrinfo(host["server"], None, type=socket.SOCK_STREAM)[0][4][0])
        except OSError as error:
            raise AnsibleFilterError(
                f"[MS-TLS-004] {host['server']}: the name server's address cannot be found: {error}\n"
                "    Fix: give an address in the server of mail_operator.dns, or correct the name"
            ) from None
    algorithm = str(host["key_algorithm"]).upper()
    port = str(host["port"])
    return {"server": address, "port": port, "name": host["key_name"], "algorithm": algorithm, "secret": secret}


def smarthost_facts(rows: list[dict[str, Any]], service: str) -> dict[str, Any]:
    """Whom the smarthosts of a service do not write to any more, from what mail_smarthost_info returned, for the checks."""
    found = {
        row["id"].rpartition("/")[2]: {
            "suppressed": [entry["email"] for entry in row["suppressed"]],
            "error": row.get("suppressions_error", ""),
        }
        for row in rows
        if "suppressed" in row
    }
    return {service: found} if found else {}


class FilterModule:
    def filters(self) -> dict[str, Any]:
        return {
            "tunnel_known": tunnel_known,
            "client_services": client_services,
            "published_ports": published_ports,
            "certbot_credentials": certbot_credentials,
            "smarthost_facts": smarthost_facts,
        }
