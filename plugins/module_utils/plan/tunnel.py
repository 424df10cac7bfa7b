# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plan → configuration of the frp processes (frp 0.71, pkg/config/v1). frp reads JSON, so no TOML is written.

Left out on purpose: heartbeat keys (with multiplexing they make the server kill a healthy client), health checks on
proxies that speak PROXY protocol (the probe sends no header), and the old stream cipher under TLS (useEncryption).
"""

from __future__ import annotations

from typing import Any, Dict, List

from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError
from ansible_collections.mailstead.stack.plugins.module_utils.plan.build import CHALLENGE_PORT
from ansible_collections.mailstead.stack.plugins.module_utils.plan.model import (
    EdgePlan,
    HomePlan,
    MailPlan,
    SubmissionPlan,
)

#: Seconds between keep-alives of the multiplexed connection: a dead line is noticed after about twice that.
KEEPALIVE = 10
#: Idle work connections that spare a session one round trip.
POOL = 3
#: Name of the channel from home to the edge's own mail relay.
RELAY_CHANNEL = "relay"


def server_config(plan: MailPlan, host: str, directory: str) -> Dict[str, Any]:
    """frps of an edge. directory holds token, ca.crt, server.crt and server.key."""
    edge = _edge(plan, host)
    # An empty list would allow every port. Its own is taken, so that nobody can open it.
    ports = edge.ports or (edge.bind_port,)
    return {
        "bindAddr": "0.0.0.0",  # noqa: S104 - a public tunnel server
        "bindPort": edge.bind_port,
        "allowPorts": [{"single": port} for port in ports],
        "maxPortsPerClient": len(ports),
        "userConnTimeout": 10,
        # Only holders of our certificates can see these, and they name the conflict.
        "detailedErrorsToClient": True,
        "auth": _auth(directory),
        "transport": {
            "maxPoolCount": POOL + 2,
            "tcpMuxKeepaliveInterval": KEEPALIVE,
            "tls": {
                "force": True,
                "certFile": f"{directory}/server.crt",
                "keyFile": f"{directory}/server.key",
                "trustedCaFile": f"{directory}/ca.crt",
            },
        },
        "log": _log(),
    }


def home_config(plan: MailPlan, host: str, edge_host: str, directory: str, secret: str) -> Dict[str, Any]:
    """frpc at home: one proxy per public port, and the visitor through which mail goes out.

    secret is the shared key of the outbound channel.
    """
    home, edge = _home(plan, host), _edge(plan, edge_host)
    proxies: List[Dict[str, Any]] = [
        {
            "name": listener.name,
            "type": "tcp",
            "localIP": home.server_address,
            "localPort": listener.port,
            "remotePort": listener.port,
            "transport": {"proxyProtocolVersion": "v2"},
        }
        for listener in home.listeners
        if listener.public
    ]
    # The ACME client on the host listens for the time of a challenge; it does not speak PROXY protocol.
    proxies.append(
        {
            "name": "acme",
            "type": "tcp",
            "localIP": home.gateway,
            "localPort": CHALLENGE_PORT,
            "remotePort": CHALLENGE_PORT,
        }
    )
    return {
        **_client(
            "home" if len(plan.homes) == 1 else home.host,
            "127.0.0.1" if edge.host == home.host else edge.ipv4,
            edge,
            directory,
        ),
        "proxies": proxies,
        "visitors": [_visitor(edge, home.tunnel_address, home.relay_port, secret)],
    }


def service_config(plan: MailPlan, host: str, directory: str, secret: str) -> Dict[str, Any]:
    """frpc on the host of a service for applications: the visitor through which mail goes out, and no way in.

    secret is the shared key of the outbound channel.
    """
    service = _service(plan, host)
    edge = _edge(plan, service.edge)
    return {
        **_client(service_user(service), edge.ipv4, edge, directory),
        "visitors": [_visitor(edge, service.relay_address, service.relay_port, secret)],
    }


def service_user(service: SubmissionPlan) -> str:
    """What the tunnel's server knows a service by. Not its host's name: that may be ``home``, as the only home is called."""
    return f"service-{service.name}"


def _visitor(edge: EdgePlan, address: str, port: int, secret: str) -> Dict[str, Any]:
    return {
        "name": RELAY_CHANNEL,
        "type": "stcp",
        "serverName": RELAY_CHANNEL,
        # Without it: "user [home] not allowed".
        "serverUser": edge.host,
        "secretKey": secret,
        # The mail server refuses a relay on a loopback address.
        "bindAddr": address,
        "bindPort": port,
    }


def edge_config(plan: MailPlan, host: str, directory: str, secret: str) -> Dict[str, Any]:
    """frpc on an edge: offers the edge's own mail relay to homes and services that send through it, and to nobody else."""
    edge = _edge(plan, host)
    homes = ["home"] if len(plan.homes) == 1 and edge.homes else list(edge.homes)
    return {
        **_client(edge.host, "127.0.0.1", edge, directory),
        "proxies": [
            {
                "name": RELAY_CHANNEL,
                "type": "stcp",
                "localIP": "127.0.0.1",
                "localPort": edge.relay_port,
                "secretKey": secret,
                "allowUsers": homes + [service_user(s) for s in plan.submissions if s.edge == edge.host],
            }
        ],
    }


def _client(user: str, address: str, edge: EdgePlan, directory: str) -> Dict[str, Any]:
    return {
        "user": user,
        "clientID": user,
        "serverAddr": address,
        "serverPort": edge.bind_port,
        # At boot the line may come up after the client.
        "loginFailExit": False,
        "auth": _auth(directory),
        "transport": {
            "poolCount": POOL,
            "tcpMuxKeepaliveInterval": KEEPALIVE,
            "tls": {
                "enable": True,
                "serverName": edge.mail_name,
                "certFile": f"{directory}/client.crt",
                "keyFile": f"{directory}/client.key",
                "trustedCaFile": f"{directory}/ca.crt",
            },
        },
        "log": _log(),
    }


def _auth(directory: str) -> Dict[str, Any]:
    return {
        "method": "token",
        "additionalScopes": ["NewWorkConns"],
        # A file, never a template: a forgotten variable would become a public constant.
        "tokenSource": {"type": "file", "file": {"path": f"{directory}/token"}},
    }


def _log() -> Dict[str, Any]:
    return {"to": "console", "level": "info", "disablePrintColor": True}


def _edge(plan: MailPlan, host: str) -> EdgePlan:
    found = next((e for e in plan.edges if e.host == host), None)
    if found is None:
        raise MailsteadError.one("MS-PLAN-003", host, "is no edge of the plan", "use it as an edge in mail_domains")
    return found


def _service(plan: MailPlan, host: str) -> SubmissionPlan:
    found = next((s for s in plan.submissions if s.host == host and s.edge), None)
    if found is None:
        what = "runs no service of the plan that sends through an edge"
        raise MailsteadError.one("MS-PLAN-003", host, what, "add `provider: edge` to its smarthosts")
    return found


def _home(plan: MailPlan, host: str) -> HomePlan:
    found = next((h for h in plan.homes if h.host == host), None)
    if found is None:
        raise MailsteadError.one("MS-PLAN-003", host, "is no home of the plan", "use it as a home in mail_domains")
    return found
