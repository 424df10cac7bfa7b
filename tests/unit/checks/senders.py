# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A world in which a service through which applications send does what it should, for tests to break."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

from ansible_collections.mailstead.stack.plugins.module_utils.plan.model import MailPlan, SubmissionPlan
from ansible_collections.mailstead.stack.plugins.module_utils.plan.resolve import Facts, RoutingFacts, kept

from tests.unit.checks.world import RECEIVER, World, facts
from tests.unit.examples import SERVICE_D, plan_d

LAN, SERVER, CONTROLLER, HOST, APP = "192.168.77.10", "172.29.25.12", "localhost", "lan-box", "app1"
NAME, TUNNEL, FROM, CI = "notify.example.com", "smtp.example.com", "mailstead-probe@example.com", "ci.example.com"
WITNESS = "canary@strict.example.org"
FIRST, SECOND = "notify/1-cloudflare_email_sending", "notify/2-smtp2go"
LOGIN_1, LOGIN_2 = f"smarthost.login/{FIRST}", f"smarthost.login/{SECOND}"
TLS, FORGED, STRANGER = "sender.tls/notify", "sender.forged/notify", "sender.stranger/notify"
CLIENT, STARTTLS, PASSWORD = "sender.tls/notify/tunnel", "sender.starttls/notify", "sender.password/notify"
NONE, WRONG = "tunnel.upgrade/notify/none", "tunnel.upgrade/notify/wrong"
BOX = f"sender.witness/notify/{WITNESS}"
SIZE = 10485760
MX = tuple(f"{p} route{n}.mx.cloudflare.net" for n, p in ((1, 87), (2, 42), (3, 94)))
SMARTHOSTS = SERVICE_D["smarthosts"]
INPUTS = {"return_path": "em123456", "dkim_selector": "s123456"}


def plan(of: MailPlan | None = None, **changes: Any) -> MailPlan:
    """Example D with an address on the LAN; keywords replace fields of its service."""
    of = of or plan_d(smarthosts=[SMARTHOSTS[0], {**SMARTHOSTS[1], "inputs": INPUTS}])
    (service,) = of.submissions
    service = dataclasses.replace(service, **{"lan_address": LAN, **changes})
    return dataclasses.replace(of, submissions=(service,))


def told(of: MailPlan) -> dict[str, RoutingFacts]:
    out = {}
    for routed in of.routing:
        rules = [*routed.rules, *([routed.catch_all] if routed.catch_all else [])]
        keys = [r.name for r in routed.keeps if r.type == "TXT"]
        out[routed.name] = RoutingFacts(
            enabled=True,
            status="ready",
            records=(
                *((routed.name, "MX", value) for value in MX),
                *((key, "TXT", "v=DKIM1; p=QUJD") for key in keys),
            ),
            rules=tuple(dataclasses.replace(r, enabled=True) for r in rules),
            destinations=dict.fromkeys(routed.destinations, "2026-11-20T10:00:00Z"),
        )
    return out


def service_keys(of: MailPlan) -> tuple[dict[str, Any], ...]:
    """The keys of the service, on its own host."""
    found = []
    for fact in facts(*of.submissions[0].domains).dkim:
        selector = f"notify-{fact['selector']}"
        path = f"/etc/mailstead/dkim/{fact['domain']}/{selector}.pem"
        found.append({**fact, "service": "notify", "selector": selector, "path": path})
    return tuple(found)


def tunnel_facts(of: MailPlan) -> dict[str, Any]:
    """What the account tells of the tunnel, as the plan wants it."""
    tunnel = of.submissions[0].tunnel
    if tunnel is None:
        return {}
    rules: list[dict[str, Any]] = [{"hostname": r.hostname, "service": r.service} for r in tunnel.ingress]
    rules[0]["originRequest"] = {"access": {"required": True, "teamName": "mailstead", "audTag": ["aud-1"]}}
    return {
        "name": tunnel.name,
        "id": "11111111-2222-3333-4444-555555555555",
        "status": "healthy",
        "connections": 4,
        "config_source": "cloudflare",
        "ingress": rules,
        "dns": {"name": tunnel.hostname, "content": "1.cfargotunnel.com", "proxied": True},
        "hostnames": [tunnel.hostname],
        "access": {
            "app": {"id": "a", "aud": "aud-1", "domain": tunnel.hostname, "type": "self_hosted"},
            "policies": [{"name": "notify", "decision": "non_identity", "tokens": list(tunnel.service_tokens)}],
        },
        "tokens": [
            {"name": t, "client_id": "x.access", "expires_at": "2027-11-01T00:00:00Z"} for t in tunnel.service_tokens
        ],
    }


class Sender(World):
    """A world in which the service, its tunnel, its smarthosts and the routing service do what they should."""

    def __init__(self, of: MailPlan | None = None, known: Facts | None = None) -> None:
        of = of or plan()
        known = known or Facts(
            dkim=service_keys(of),
            routing=told(of),
            tunnels={"notify": tunnel_facts(of)},
            smarthosts={"notify": {"1-cloudflare_email_sending": {"suppressed": []}}},
        )
        super().__init__(of, known)

    @property
    def service(self) -> SubmissionPlan:
        return self.plan.submissions[0]

    def records(self, name: str, rtype: str) -> list[str]:
        theirs = [
            r.content
            for routed in self.plan.routing
            for r in kept(routed, self.facts)
            if (r.name, r.type) == (name, rtype) and not r.deferred
        ]
        return sorted([*super().records(name, rtype), *theirs])

    def _smtp(self, args: dict[str, Any], vantage: str) -> dict[str, Any]:
        data = super()._smtp(args, vantage)
        smarthosts = {s.host for s in self.service.smarthosts}
        inside = args["port"] in (465, 587, 25, 2525) and args["address"] in (LAN, SERVER, "127.0.0.1")
        if args["address"] not in smarthosts and not inside:
            return data
        if args["port"] == 25:
            data.update(connect="refused", ended="refused", banner="", ehlo=[], replies={}, transcript=[])
            return data
        data["ehlo_tls"] = []
        data["ehlo"] = [f"SIZE {SIZE}", "8BITMIME", "STARTTLS" if args["port"] == 587 else "AUTH PLAIN LOGIN"]
        login = args.get("auth")
        codes = dict.fromkeys(("mail", "rcpt", "stranger", "domain", "auth"), 503) if not login else {}
        codes.update({"envelope": 501, "neighbour": 550, "login-name": 550, "header": 550})
        if login:
            code = 535 if "made_up" in login else 235
            data["replies"]["auth"] = {"code": code, "text": f"{code} login"}
        for step in args["steps"]:
            code = codes.get(step["label"], 250)
            data["replies"][step["label"]] = {"code": code, "text": f"{code} {step['label']}"}
        return data

    def _tls(self, args: dict[str, Any], vantage: str) -> dict[str, Any]:
        return {**super()._tls(args, vantage), "greeting": f"220 {NAME} ESMTP"}

    def _spf_cost(self, args: dict[str, Any], vantage: str) -> dict[str, Any]:
        records = [r for r in self.records(args["domain"], "TXT") if r.startswith("v=spf1")]
        parts = [["include:_spf.mx.cloudflare.net", 1, 0]]
        return {"records": records, "syntax": "", "lookups": 1, "voids": 0, "parts": parts, "broken": [], "failed": []}

    def _upgrade(self, args: dict[str, Any], vantage: str) -> dict[str, Any]:
        status = 403 if "client_id" in args else 401
        return {
            "hostname": args["hostname"],
            "address": "198.18.0.70",
            "connect": "open",
            "tls_error": "",
            "status": status,
            "line": f"HTTP/1.1 {status} no",
            "location": "",
        }

    def _submit(self, args: dict[str, Any], vantage: str) -> dict[str, Any]:
        row = {"code": 250, "text": "250 queued", "stage": "data"}
        return {"results": {args["label"]: row}, "transcript": []}

    def _mailbox(self, args: dict[str, Any], vantage: str) -> dict[str, Any]:
        domain = FROM.rpartition("@")[2]
        rows = [
            ["Authentication-Results", f"{RECEIVER}; dmarc=pass (p=reject) header.from={domain}"],
            ["Authentication-Results", f"{RECEIVER}; dkim=pass header.d={domain}; dkim=pass header.d=smtp2go.com"],
            ["Authentication-Results", f"{NAME}; dkim=fail header.d={domain}; dmarc=fail"],
        ]
        message = {"folder": "INBOX", "headers": rows, "size": 900}
        messages = {label: dict(message) for label in args["tokens"]}
        return {"folders": ["INBOX"], "messages": messages, "waited_ms": 800}

    def tunnel(self, **changes: Any) -> None:
        """The account tells something else of the tunnel."""
        self.facts = dataclasses.replace(
            self.facts, tunnels={"notify": {**json.loads(json.dumps(self.facts.tunnels["notify"])), **changes}}
        )

    def access(self, *policies: dict[str, Any], app: Any = True) -> None:
        now = self.facts.tunnels["notify"]["access"]
        self.tunnel(access={"app": now["app"] if app is True else app, "policies": list(policies) or now["policies"]})

    def untold(self) -> None:
        self.facts = dataclasses.replace(self.facts, tunnels={})

    def heard(self, said: str, vantage: str = HOST) -> None:
        """What the receiver wrote into the message that came from a vantage."""
        self.data(BOX)["messages"][vantage]["headers"] = [["Authentication-Results", f"{RECEIVER}; {said}"]]

    def answered(self, probe: str, status: int, location: str = "", vantage: str = "") -> None:
        for (name, where), seen in self.seen.items():
            if name == probe and vantage in ("", where):
                seen["data"].update(status=status, line=f"HTTP/1.1 {status} so", location=location)


#: What is done to the world.
Break = Callable[[Sender], object]


def down(*probes: str) -> Break:
    def change(w: Sender) -> None:
        for probe in probes:
            w.data(probe).update(connect="refused", ended="refused", ehlo=[], replies={}, tls=None)

    return change
