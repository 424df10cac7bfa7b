# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters for services through which applications send: what the modules of servers, smarthosts, tunnels and clients take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.mailstead.stack.plugins.filter.dns import dns_hosts
from ansible_collections.mailstead.stack.plugins.filter.routing import SENDING
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError
from ansible_collections.mailstead.stack.plugins.module_utils.plan import server_parts, submission_server
from ansible_collections.mailstead.stack.plugins.module_utils.plan.model import SubmissionPlan, from_data

#: Stands for the password where that is the user name too.
SECRET = "{secret}"  # noqa: S105 - a placeholder


def submission_of(plan: dict[str, Any], host: str) -> dict[str, Any]:
    """The service of a host, or nothing."""
    return next((s for s in plan["submissions"] if s["host"] == host), {})


def submission_objects(
    plan: dict[str, Any], host: str, dkim: list[dict[str, Any]], secrets: dict[str, str], allowed: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """The objects of a service's mail server, as stalwart_objects takes them."""
    service = from_data(SubmissionPlan, submission_of(plan, host))
    options = server_parts.ServerOptions(allowed_ips=tuple(str(a) for a in allowed))
    try:
        return server_parts.fill_secrets(submission_server.submission_objects(service, dkim, options), secrets)
    except MailsteadError as error:
        raise AnsibleFilterError(str(error)) from None


def submission_secret_refs(plan: dict[str, Any], host: str) -> list[str]:
    """References to what the server of a service needs: passwords of applications, smarthosts, the key of the webhook."""
    if submission_of(plan, host).get("state") != "present":
        return []
    service = from_data(SubmissionPlan, submission_of(plan, host))
    return list(server_parts.secret_references(submission_server.submission_objects(service)))


def smarthost_secret_refs(plan: dict[str, Any], host: str) -> list[str]:
    """References to the passwords at a service's smarthosts."""
    return sorted({s["secret"] for s in submission_of(plan, host).get("smarthosts", ()) if s["secret"]})


def smarthosts_wanted(plan: dict[str, Any], host: str, secrets: dict[str, str]) -> list[dict[str, Any]]:
    """The smarthosts of a service with who sends through each, as mail_smarthost_info takes them.

    Not an edge of ours: nobody logs in there, and before the first run it does not exist.
    """
    service = submission_of(plan, host)
    out = []
    for smarthost in service.get("smarthosts", ()):
        if smarthost["edge"]:
            continue
        mine = [a for a in service["applications"] if smarthost["id"] in a["smarthosts"]]
        password = secrets[smarthost["secret"]]
        size = max((a["max_size"] for a in mine), default=0)
        out.append(
            {
                **{key: smarthost[key] for key in ("id", "host", "port", "tls", "title", "hint")},
                "username": password if smarthost["username"] == SECRET else smarthost["username"],
                "password": password,
                # What it is asked to take: the envelope sender, which may not be the application's own.
                "senders": sorted(
                    {s for a in mine for s in ([a["return_path"]] if a["return_path"] else a["senders"])}
                ),
                # Larger ones go to others.
                "max_size": min(size, smarthost["max_size"]) if smarthost["max_size"] else size,
                "place": smarthost["secret"].rpartition(".")[0],
                **({"suppressions": {"account_id": _account(service)}} if smarthost["provider"] == SENDING else {}),
            }
        )
    return out


def _account(service: dict[str, Any]) -> str:
    """The account at Cloudflare where the inventory names it."""
    return str(service["tunnel"]["account_id"]) if service["tunnel"] else ""


def tunnels_wanted(plan: dict[str, Any]) -> list[dict[str, Any]]:
    """The tunnels by account, each entry with the arguments of cloudflare_tunnel. secret: reference to the API token."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    zone_tokens = {zone: host["secret"] for host in dns_hosts(plan, "cloudflare") for zone in host["zones"]}
    for service in plan["submissions"]:
        tunnel = service["tunnel"]
        if not tunnel:
            continue
        secret = tunnel["token"] or zone_tokens.get(tunnel["zone"]) or next(iter(zone_tokens.values()), "")
        one = found.setdefault(
            (secret, tunnel["account_id"]),
            {"secret": secret, "account_id": tunnel["account_id"], "zones": [], "tunnels": []},
        )
        one["zones"] = sorted({*one["zones"], tunnel["zone"]})
        kept = {key: value for key, value in tunnel.items() if key != "token"}
        one["tunnels"].append({**kept, "state": service["state"], "service": service["name"]})
    return list(found.values())


def clients_of(plan: dict[str, Any], host: str) -> list[dict[str, Any]]:
    """The services that a host reaches through tunnels. tunnel: its name, by which what is known of it is found."""
    return [
        {
            "service": service["name"],
            "name": service["name"],
            "state": service["state"],
            "hostname": service["tunnel"]["hostname"],
            "port": client["port"],
            "listen": f"127.0.0.1:{client['port']}",
            "server_name": service["server_name"],
            "token": client["token"],
            "tunnel": service["tunnel"]["name"],
        }
        for service in plan["submissions"]
        for client in service["clients"]
        if client["host"] == host
    ]


class FilterModule:
    def filters(self) -> dict[str, Any]:
        return {
            "clients_of": clients_of,
            "smarthost_secret_refs": smarthost_secret_refs,
            "smarthosts_wanted": smarthosts_wanted,
            "submission_objects": submission_objects,
            "submission_of": submission_of,
            "submission_secret_refs": submission_secret_refs,
            "tunnels_wanted": tunnels_wanted,
        }
