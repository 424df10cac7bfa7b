# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tunnels with their connectors, service tokens, policies and applications: what is kept of each and how the API tells it."""

from __future__ import annotations

import base64
import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any

#: What a tunnel's name in DNS ends in; before it is the tunnel's id.
SUFFIX = ".cfargotunnel.com"


@dataclass
class Connection:
    """One connection of a connector. pending: it is gone, and still listed (the service does so for some minutes)."""

    uuid: str
    index: int
    colo: str
    opened_at: str
    pending: bool = False


@dataclass
class Connector:
    """A running cloudflared. config_version: of the configuration it says it runs."""

    id: str
    version: str
    arch: str
    features: list[str]
    origin_ip: str
    run_at: str
    config_version: int = 0
    conns: list[Connection] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """An entry of ``…/connections``."""
        return {
            "id": self.id,
            "arch": self.arch,
            "config_version": self.config_version,
            "conns": [self.connection_json(conn) for conn in self.conns],
            "features": list(self.features),
            "run_at": self.run_at,
            "version": self.version,
        }

    def connection_json(self, conn: Connection) -> dict[str, Any]:
        return {
            "id": conn.uuid,
            "uuid": conn.uuid,
            "client_id": self.id,
            "client_version": self.version,
            "colo_name": conn.colo,
            "is_pending_reconnect": conn.pending,
            "opened_at": conn.opened_at,
            "origin_ip": self.origin_ip,
        }


@dataclass
class Tunnel:
    """A tunnel. source: ``cloudflare`` (configured over the API) or ``local``; secret: base64; config: as it was put, with
    version 0 and None before the first time."""

    id: str
    name: str
    source: str
    secret: str
    created_at: str
    deleted_at: str | None = None
    conns_active_at: str | None = None
    conns_inactive_at: str | None = None
    version: int = 0
    config: dict[str, Any] | None = None
    configured_at: str | None = None
    connectors: list[Connector] = field(default_factory=list)

    @property
    def connections(self) -> list[Connection]:
        return [conn for connector in self.connectors for conn in connector.conns]

    @property
    def status(self) -> str:
        """inactive (never run), down (no connection), degraded (some of them failed) or healthy, as documented."""
        alive = [conn for conn in self.connections if not conn.pending]
        if alive:
            return "healthy" if len(alive) == len(self.connections) else "degraded"
        return "down" if self.conns_active_at else "inactive"

    def to_json(self, account: str) -> dict[str, Any]:
        return {
            "id": self.id,
            "account_tag": account,
            "config_src": self.source,
            "connections": [c.connection_json(conn) for c in self.connectors for conn in c.conns],
            "conns_active_at": self.conns_active_at,
            "conns_inactive_at": self.conns_inactive_at,
            "created_at": self.created_at,
            "deleted_at": self.deleted_at,
            "metadata": {},
            "name": self.name,
            "remote_config": self.source == "cloudflare",
            "status": self.status,
            "tun_type": "cfd_tunnel",
        }

    def token(self, account: str) -> str:
        """What ``cloudflared tunnel run --token`` takes."""
        text = json.dumps({"a": account, "t": self.id, "s": self.secret}, separators=(",", ":"))
        return base64.b64encode(text.encode()).decode()

    def credentials(self, account: str) -> dict[str, str]:
        """What a locally managed connector reads from its credentials file."""
        return {
            "AccountTag": account,
            "TunnelID": self.id,
            "TunnelName": self.name,
            "TunnelSecret": self.secret,
        }

    def configuration_json(self, account: str) -> dict[str, Any]:
        return {
            "account_id": account,
            "config": self.config,
            "created_at": self.configured_at or self.created_at,
            "source": self.source,
            "tunnel_id": self.id,
            "version": self.version,
        }

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> Tunnel:
        connectors = [
            Connector(**{**item, "conns": [Connection(**conn) for conn in item["conns"]]})
            for item in data["connectors"]
        ]
        return cls(**{**data, "connectors": connectors})


@dataclass
class ServiceToken:
    """A service token. expires_at: None for ``forever``; previous_secret: good until previous_expires_at."""

    id: str
    name: str
    client_id: str
    secret: str
    duration: str
    created_at: str
    updated_at: str
    expires_at: str | None
    enabled: bool = True
    version: int = 1
    previous_secret: str = ""
    previous_expires_at: str | None = None
    last_seen_at: str | None = None

    def to_json(self, with_secret: bool = False) -> dict[str, Any]:
        """with_secret: for the one answer that tells it."""
        out: dict[str, Any] = {
            "id": self.id,
            "client_id": self.client_id,
            "created_at": self.created_at,
            "duration": self.duration,
            "enabled": self.enabled,
            "expires_at": self.expires_at,
            "last_seen_at": self.last_seen_at,
            "name": self.name,
            "updated_at": self.updated_at,
        }
        return {**out, "client_secret": self.secret} if with_secret else out

    def state_json(self) -> dict[str, Any]:
        """What the API does not tell beside what it does, without secrets."""
        return {
            **self.to_json(),
            "client_secret_version": self.version,
            "previous_client_secret_expires_at": self.previous_expires_at if self.previous_secret else None,
        }


@dataclass
class Policy:
    """A policy. decision: allow, deny, non_identity or bypass; reusable: of the account, else of one application; more: other
    fields as they were given."""

    id: str
    name: str
    decision: str
    include: list[dict[str, Any]]
    exclude: list[dict[str, Any]]
    require: list[dict[str, Any]]
    reusable: bool
    created_at: str
    updated_at: str
    more: dict[str, Any] = field(default_factory=dict)

    @property
    def rules(self) -> list[dict[str, Any]]:
        return [*self.include, *self.exclude, *self.require]

    def to_json(self) -> dict[str, Any]:
        """What both kinds have."""
        own = {name: value for name, value in dataclasses.asdict(self).items() if name not in ("more", "reusable")}
        return {**own, **self.more}


@dataclass
class App:
    """A self-hosted application. uris: what it covers; policies: ids with their precedence; more: other fields as given."""

    id: str
    aud: str
    name: str
    domain: str
    uris: list[str]
    created_at: str
    updated_at: str
    policies: list[tuple[str, int]] = field(default_factory=list)
    more: dict[str, Any] = field(default_factory=dict)

    def order(self) -> list[str]:
        """Ids of its policies, the first to be looked at first."""
        return [policy for policy, _ in sorted(self.policies, key=lambda link: link[1])]
