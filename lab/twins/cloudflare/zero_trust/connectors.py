# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the edge reports of the connectors that are connected to it, and tells them."""

from __future__ import annotations

import base64
import binascii
import hmac
from typing import Any

from .model import Connection, Connector, Tunnel
from .state import Trust, new_uuid


def register(trust: Trust, report: dict[str, Any]) -> dict[str, Any]:
    """A connector opens a connection: what the edge answers it. Raises KeyError or TypeError for a report of another form.

    report: ``{account, tunnel_id, secret, connector: {id, version, arch, features, origin_ip}, conn_index, colo}``.
    """
    about = report["connector"]
    connector_id = str(about["id"])
    with trust.lock:
        tunnel = _tunnel(trust, report["tunnel_id"])
        if tunnel is None or report.get("account", trust.account.id) != trust.account.id:
            return {"registered": False, "error": "Unauthorized: Tunnel not found", "retry_after": 0}
        if not _same_secret(str(report["secret"]), tunnel.secret):
            return {"registered": False, "error": "Unauthorized: Invalid tunnel secret", "retry_after": 0}
        now, index = trust.clock.text(), int(report.get("conn_index", 0))
        connector = next((c for c in tunnel.connectors if c.id == connector_id), None)
        if connector is None:
            connector = Connector(connector_id, "", "", [], "", run_at=now)
            tunnel.connectors.append(connector)
        connector.version, connector.arch = str(about.get("version", "")), str(about.get("arch", ""))
        connector.features = [str(feature) for feature in about.get("features", [])]
        connector.origin_ip = str(about.get("origin_ip", ""))
        made = Connection(new_uuid(), index, str(report.get("colo", "lab01")), now)
        connector.conns = [*(conn for conn in connector.conns if conn.index != index), made]
        if tunnel.conns_inactive_at is not None or tunnel.conns_active_at is None:
            tunnel.conns_active_at, tunnel.conns_inactive_at = now, None
        trust.save()
        return {
            "registered": True,
            "uuid": made.uuid,
            "location": made.colo,
            "remote": tunnel.source == "cloudflare",
            "name": tunnel.name,
            "version": tunnel.version,
            "config": tunnel.config,
        }


def unregister(trust: Trust, report: dict[str, Any]) -> dict[str, Any]:
    """Connections ended: one by ``uuid``, those of a ``connector``, or all. ``pending``: they stay listed as reconnecting."""
    with trust.lock:
        tunnel = _tunnel(trust, report["tunnel_id"])
        if tunnel is None:
            return {"removed": 0}
        removed = 0
        for connector in tunnel.connectors:
            for conn in list(connector.conns):
                if report.get("uuid", conn.uuid) != conn.uuid or report.get("connector", connector.id) != connector.id:
                    continue
                removed += 1
                if report.get("pending"):
                    conn.pending = True
                else:
                    connector.conns.remove(conn)
        tunnel.connectors = [connector for connector in tunnel.connectors if connector.conns]
        if removed and all(conn.pending for conn in tunnel.connections):
            tunnel.conns_inactive_at = trust.clock.text()
        trust.save()
        return {"removed": removed}


def applied(trust: Trust, report: dict[str, Any]) -> dict[str, Any]:
    """A connector runs a version of the configuration."""
    with trust.lock:
        tunnel = _tunnel(trust, report["tunnel_id"])
        for connector in tunnel.connectors if tunnel else []:
            if connector.id == report["connector"]:
                connector.config_version = int(report["version"])
        trust.save()
        return {}


def configuration(trust: Trust, tunnel_id: str) -> dict[str, Any]:
    """What a connector of a tunnel should run."""
    with trust.lock:
        tunnel = _tunnel(trust, tunnel_id)
        if tunnel is None:
            empty = {"name": "", "remote": False, "status": "", "version": 0, "config": None, "connections": []}
            return {"exists": False, "account": trust.account.id, **empty}
        return {
            "exists": True,
            "account": trust.account.id,
            "name": tunnel.name,
            "remote": tunnel.source == "cloudflare",
            "status": tunnel.status,
            "version": tunnel.version,
            "config": tunnel.config,
            "connections": [conn.uuid for conn in tunnel.connections],
        }


def _tunnel(trust: Trust, tunnel_id: Any) -> Tunnel | None:
    found = trust.tunnels.get(str(tunnel_id).lower())
    return None if found is None or found.deleted_at else found


def _same_secret(given: str, known: str) -> bool:
    try:
        return hmac.compare_digest(base64.b64decode(given, validate=True), base64.b64decode(known))
    except binascii.Error:
        return False
