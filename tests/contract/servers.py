# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers to replay recordings against: the stand-in's API in this process, or a real server over HTTP."""

from __future__ import annotations

import base64
import http.client
import ipaddress
import json
import os
import socket
import urllib.parse
from pathlib import Path
from typing import Any

from lab.standin.server.jmap import Jmap
from lab.standin.server.registry import Registry, Settings
from lab.standin.server.schema import JsonObject
from lab.standin.server.store import Store
from lab.standin.server.tokens import Authenticator
from tests.contract.replay import Who

Json = Any
LOOPBACK = "127.0.0.1"


def unresolvable(host: str, port: int) -> None:
    """A look-up in a network without that name: addresses pass, names fail as they did in the recording."""
    try:
        socket.inet_aton(host)
    except OSError:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known") from None


def network(name: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """A network of the API as an object."""
    return ipaddress.ip_network(name, strict=False)


class QuietActions:
    """The API's actions without a mail side: reloading is real, the queue stays empty."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry

    def perform(self, action: JsonObject) -> JsonObject | None:
        """Reload settings or certificates, as the running server does."""
        if action["@type"] == "ReloadSettings":
            return self.registry.reload()
        if action["@type"] == "ReloadTlsCertificates":
            self.registry.refresh_certificates()
        return None

    def queued(self) -> dict[str, JsonObject]:
        """No messages."""
        return {}

    def drop_queued(self, message_id: str) -> bool:
        """Nothing to drop."""
        return False

    def used_bytes(self, address: str) -> int:
        """No mail."""
        return 0


class InProcess:
    """The stand-in's API core over a database in a directory of the test, in first normal start's state."""

    def __init__(self, etc: Path) -> None:
        self.etc = etc
        self.admin = Who("admin", "recovery-secret-of-the-test")
        self.store = Store(etc / "db.sqlite")
        self.registry = Registry(self.store, Settings(hostname="mail.example.com"), unresolvable)
        self.registry.insert_defaults()
        self.registry.start()
        self.jmap = Jmap(self.registry, QuietActions(self.registry))
        self.authenticator = Authenticator(self.registry, f"{self.admin.name}:{self.admin.secret}")

    def call(self, request: Json, who: Who) -> tuple[int, Json]:
        """Status and body, as the HTTP server would answer."""
        token = (
            self.authenticator.basic(who.name, who.secret, LOOPBACK)
            if who.name
            else self.authenticator.bearer(who.secret, LOOPBACK)
        )
        if token is None:
            return 401, None
        # Through JSON, as on the wire: nothing that only Python can express gets past.
        return 200, json.loads(json.dumps(self.jmap.handle(json.loads(json.dumps(request)), token)))


class OverHttp:
    """A server on its management port. Its /etc/stalwart must be a directory both sides can see."""

    def __init__(self, url: str, admin: str, etc: Path, inside: Path) -> None:
        parts = urllib.parse.urlsplit(url)
        self._host, self._port = str(parts.hostname), parts.port or 8080
        name, _, secret = admin.partition(":")
        self.admin = Who(name, secret)
        self.etc = etc
        self.inside = inside  # what the server calls that directory

    def call(self, request: Json, who: Who) -> tuple[int, Json]:
        """Status and body of a POST to /jmap."""
        scheme = f"Bearer {who.secret}"
        if who.name:
            scheme = "Basic " + base64.b64encode(f"{who.name}:{who.secret}".encode()).decode()
        body = json.dumps(request).replace(str(self.etc), str(self.inside))
        connection = http.client.HTTPConnection(self._host, self._port, timeout=30)
        try:
            connection.request("POST", "/jmap", body, {"Authorization": scheme, "Content-Type": "application/json"})
            response = connection.getresponse()
            text = response.read().decode().replace(str(self.inside), str(self.etc))
        finally:
            connection.close()
        return response.status, json.loads(text) if text.startswith("{") else text


def real_server() -> OverHttp | None:
    """The server named by the environment, if any.

    ``MAILSTEAD_CONTRACT_URL`` (``http://127.0.0.1:8080``), ``MAILSTEAD_CONTRACT_ADMIN`` (``user:secret`` of the recovery
    administrator), ``MAILSTEAD_CONTRACT_ETC`` (local path of the directory mounted at /etc/stalwart). It must be freshly
    started with an empty SQLite store and the host name mail.example.com, and see requests come from loopback.
    """
    url = os.environ.get("MAILSTEAD_CONTRACT_URL")
    if not url:
        return None
    return OverHttp(
        url,
        os.environ["MAILSTEAD_CONTRACT_ADMIN"],
        Path(os.environ["MAILSTEAD_CONTRACT_ETC"]),
        Path("/etc/stalwart"),
    )
