# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the http listeners serve: health, management API, MTA-STS policy, client configuration. Any host name will do."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import re
import threading
import time
from collections.abc import Callable
from typing import Any
from xml.sax.saxutils import escape

from . import zone
from .expression_functions import Value
from .jmap import CAPABILITIES, MAX_CALLS, MAX_OBJECTS, Jmap, session_state
from .listeners import Connection
from .mail import Mail
from .schema import SCHEMA_HASH, JsonObject
from .tokens import Token
from .web_server import Request, Response, problem, serve

Route = Callable[[Request], Response]
_JMAP_ERROR = "urn:ietf:params:jmap:error:"


def _unauthorized() -> Response:
    response = problem(401, "You have to authenticate first.")
    response.headers.extend(
        [
            (
                "www-authenticate",
                'Bearer realm="Stalwart Server", resource_metadata="/.well-known/oauth-protected-resource"',
            ),
            ("www-authenticate", 'Basic realm="Stalwart Server"'),
        ]
    )
    return response


def _text(body: str, kind: str = "text/plain") -> Response:
    return Response(200, body.encode(), kind)


def _redirect(status: int, where: str) -> Response:
    headers = [("cache-control", "no-cache")] if status == 307 else []
    return Response(status, headers=[*headers, ("location", where)])


class Web:
    """Routes of one running server."""

    def __init__(self, mail: Mail, jmap: Jmap) -> None:
        self.mail = mail
        self.registry = mail.registry
        self.jmap = jmap
        self._changing = threading.Lock()  # requests read, check and write: one after the other
        self._anonymous: dict[str, tuple[int, int]] = {}
        self._public: dict[tuple[str, str], Route] = {
            ("GET", "/healthz/live"): lambda _: self._healthy(),
            ("GET", "/healthz/ready"): lambda _: self._healthy(),
            ("GET", "/.well-known/mta-sts.txt"): lambda _: self._policy(),
            ("GET", "/.well-known/jmap"): lambda _: _redirect(307, "/jmap/session"),
            ("GET", "/.well-known/user-agent-configuration.json"): lambda _: _text(
                zone.user_agent_configuration(self.registry), "application/json"
            ),
            ("GET", "/robots.txt"): lambda _: _text("User-agent: *\nDisallow: /\n"),
            ("GET", "/mail/config-v1.1.xml"): self._autoconfig,
            ("GET", "/.well-known/autoconfig/mail/config-v1.1.xml"): self._autoconfig,
            ("GET", "/.well-known/mail-v1.xml"): self._autoconfig,
            ("POST", "/autodiscover/autodiscover.xml"): self._autodiscover,
            ("GET", "/"): lambda _: _redirect(302, self.registry.live_setting("Http")["redirectRoot"] or "/account"),
        }

    async def serve(self, connection: Connection) -> None:
        """One connection of an http listener."""

        async def handler(request: Request) -> Response:
            status = self._endpoint_status(connection, request)
            if status != 200:
                return problem(status)
            # Password checks and the database block; they must not hold up mail.
            return await asyncio.to_thread(self.answer, request)

        await serve(connection, handler)

    def _endpoint_status(self, connection: Connection, request: Request) -> int:
        variables: dict[str, Value] = {
            "listener": connection.listener,
            "remote_ip": connection.remote[0],
            "remote_port": connection.remote[1],
            "local_ip": connection.local[0],
            "local_port": connection.local[1],
            "protocol": "http",
            "is_tls": int(connection.tls),
            "path": request.path,
            "url": request.path,
            "method": request.method.lower(),
            "headers": [f"{name}: {value}" for name, value in request.headers.items()],
        }
        value = self.registry.evaluate("Http", "allowedEndpoints", variables)
        return int(value) if isinstance(value, (int, float)) and 200 <= value < 600 else 200

    # -- routing ----------------------------------------------------------------------------------------------------
    def answer(self, request: Request) -> Response:
        """The response to a request."""
        path = request.path
        if path.lower().startswith("/autodiscover/"):
            path = path.lower()
        method = "GET" if request.method == "HEAD" else request.method
        route = self._public.get((method, path))
        if route is not None:
            return route(request) if self._within_rate(request.remote_ip) else problem(429)
        if path.rstrip("/") in {"/jmap", "/jmap/session"} or path.startswith("/api/"):
            return self._authenticated(request, path.rstrip("/"))
        return problem(404, "The requested resource does not exist on this server.")

    def _within_rate(self, remote_ip: str) -> bool:
        rate = self.registry.live_setting("Http")["rateLimitAnonymous"]
        if rate is None:
            return True
        window = int(time.time() * 1000 / rate["period"])
        seen_window, seen = self._anonymous.get(remote_ip, (window, 0))
        seen = seen + 1 if seen_window == window else 1
        self._anonymous = {ip: entry for ip, entry in self._anonymous.items() if entry[0] == window}
        self._anonymous[remote_ip] = (window, seen)
        return bool(seen <= rate["count"] or remote_ip in {"127.0.0.1", "::1"})

    def _token(self, request: Request) -> Token | None:
        scheme, _, value = request.headers.get("authorization", "").partition(" ")
        authenticator = self.mail.authenticator
        if scheme.lower() == "bearer":
            return authenticator.bearer(value.strip(), request.remote_ip)
        if scheme.lower() != "basic":
            return None
        try:
            name, colon, secret = base64.b64decode(value.strip(), validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
        return authenticator.basic(name, secret, request.remote_ip) if colon else None

    def _authenticated(self, request: Request, path: str) -> Response:
        token = self._token(request)
        if path == "/jmap/session" and request.method == "GET" and "authorization" not in request.headers:
            # Anybody may see what the server can do; the session then has no account.
            return self._json(self._session(None))
        if token is None:
            return _unauthorized()
        if path == "/jmap/session" and request.method == "GET":
            return self._json(self._session(token))
        if path == "/jmap" and request.method == "POST":
            return self._jmap(request, token)
        if path == "/api/account" and request.method == "GET":
            return self._json({"permissions": sorted(token.permissions), "edition": "oss", "locale": "en_US"})
        if path == f"/api/schema/{SCHEMA_HASH}":
            headers = [("content-encoding", "gzip"), ("cache-control", "public, max-age=31536000, immutable")]
            return Response(200, self.registry.schema.raw, "application/json", headers)
        if path == "/api/schema" or path.startswith("/api/schema/"):
            return _redirect(302, f"/api/schema/{SCHEMA_HASH}")
        return problem(404, "The requested resource does not exist on this server.")

    @staticmethod
    def _json(body: Any) -> Response:
        return Response(200, json.dumps(body, separators=(",", ":")).encode(), "application/json; charset=utf-8")

    # -- JMAP -------------------------------------------------------------------------------------------------------
    def _jmap(self, request: Request, token: Token) -> Response:
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            text = "Failed to parse JSON: The Content-Type header must be application/json."
            return problem(400, text, f"{_JMAP_ERROR}notJSON")
        try:
            body = json.loads(request.body)
            calls = body["methodCalls"]
            shaped = all(len(call) == 3 and isinstance(call[1], dict) for call in calls)
            unknown = [name for name in body["using"] if name not in CAPABILITIES and not name.startswith("urn:ietf:")]
        except (ValueError, KeyError, TypeError):
            shaped, unknown, calls = False, [], []
        if not shaped:
            return problem(400, request.body.decode("utf-8", "replace")[:200], f"{_JMAP_ERROR}notRequest")
        if unknown:
            text = f"The Request object used capability '{unknown[0]}', which is not supported by this server."
            return problem(400, text, f"{_JMAP_ERROR}unknownCapability")
        if len(calls) > MAX_CALLS:
            text = "The request exceeds the maximum number of calls in a single request."
            return problem(400, text, f"{_JMAP_ERROR}limit", limit="maxCallsInRequest")
        with self._changing:
            return self._json(self.jmap.handle(body, token))

    def _session(self, token: Token | None) -> JsonObject:
        base = zone.public_url(self.registry)
        core = {
            "maxSizeUpload": 50_000_000,
            "maxConcurrentUpload": 4,
            "maxSizeRequest": 10_000_000,
            "maxConcurrentRequests": 4,
            "maxCallsInRequest": MAX_CALLS,
            "maxObjectsInGet": MAX_OBJECTS,
            "maxObjectsInSet": MAX_OBJECTS,
            "collationAlgorithms": ["i;ascii-numeric", "i;ascii-casemap", "i;unicode-casemap"],
        }
        accounts: JsonObject = {}
        if token is not None:
            account = {"name": token.name, "isPersonal": True, "isReadOnly": False}
            accounts[token.account_id] = {**account, "accountCapabilities": {CAPABILITIES[1]: {}}}
        return {
            "capabilities": {CAPABILITIES[0]: core, CAPABILITIES[1]: {}},
            "accounts": accounts,
            "primaryAccounts": dict.fromkeys(CAPABILITIES[1:], token.account_id) if token is not None else {},
            "username": token.name if token is not None else "",
            "apiUrl": f"{base}/jmap/",
            "downloadUrl": base + "/jmap/download/{accountId}/{blobId}/{name}?accept={type}",
            "uploadUrl": base + "/jmap/upload/{accountId}/",
            "eventSourceUrl": base + "/jmap/eventsource/?types={types}&closeafter={closeafter}&ping={ping}",
            "state": session_state(token) if token is not None else "0",
        }

    # -- public documents -------------------------------------------------------------------------------------------
    @staticmethod
    def _healthy() -> Response:
        body = {"detail": "OK", "status": 200, "title": "OK", "type": "about:blank"}
        return Response(200, json.dumps(body, separators=(",", ":")).encode(), "application/problem+json")

    def _policy(self) -> Response:
        policy = zone.mta_sts_policy(self.registry)
        return problem(404) if policy is None else _text(policy)

    def _autoconfig(self, request: Request) -> Response:
        document = zone.autoconfig(self.registry, request.query.get("emailaddress", ""))
        return _text(document, "application/xml; charset=utf-8")

    def _autodiscover(self, request: Request) -> Response:
        match = re.search(rb"<(?:\w+:)?EMailAddress>\s*([^<\s]+@[^<\s]+)\s*<", request.body)
        if match is None:
            return problem(400, "No EMailAddress in the request.")
        address = escape(match[1].decode("utf-8", "replace").lower())
        blocks = []
        for kind, port in (("IMAP", 993), ("SMTP", 465)):
            lines = {
                "Type": kind,
                "Server": self.registry.hostname,
                "Port": port,
                "LoginName": address,
                "AuthRequired": "on",
                "DirectoryPort": 0,
                "ReferralPort": 0,
                "SSL": "on",
                "Encryption": "TLS",
                "SPA": "off",
            }
            inner = "".join(f"\t\t\t\t<{name}>{value}</{name}>\n" for name, value in lines.items())
            blocks.append(f"\t\t\t<Protocol>\n{inner}\t\t\t</Protocol>\n")
        schema = "http://schemas.microsoft.com/exchange/autodiscover"
        return _text(
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            f'<Autodiscover xmlns="{schema}/responseschema/2006">\n'
            f'\t<Response xmlns="{schema}/outlook/responseschema/2006a">\n'
            f"\t\t<User>\n\t\t\t<DisplayName>{address}</DisplayName>\n"
            f"\t\t\t<AutoDiscoverSMTPAddress>{address}</AutoDiscoverSMTPAddress>\n\t\t</User>\n"
            "\t\t<Account>\n\t\t\t<AccountType>email</AccountType>\n\t\t\t<Action>settings</Action>\n"
            f"{''.join(blocks)}\t\t</Account>\n\t</Response>\n</Autodiscover>\n",
            "application/xml; charset=utf-8",
        )
