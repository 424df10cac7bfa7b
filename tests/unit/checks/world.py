# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A mail path in which everything works, as observations: tests break one thing and look who notices."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

from ansible_collections.mailstead.stack.plugins.module_utils.checks.finding import Finding
from ansible_collections.mailstead.stack.plugins.module_utils.checks.judges import judge
from ansible_collections.mailstead.stack.plugins.module_utils.checks.observation import observation_from
from ansible_collections.mailstead.stack.plugins.module_utils.checks.planning import FAMILIES, probe_plan
from ansible_collections.mailstead.stack.plugins.module_utils.checks.probes.keys import public_half
from ansible_collections.mailstead.stack.plugins.module_utils.checks.view import View
from ansible_collections.mailstead.stack.plugins.module_utils.intent.read import read_intent
from ansible_collections.mailstead.stack.plugins.module_utils.plan.build import build_plan, sts_policy
from ansible_collections.mailstead.stack.plugins.module_utils.plan.model import MailPlan
from ansible_collections.mailstead.stack.plugins.module_utils.plan.resolve import Facts
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from tests.unit.examples import HOSTS, raw

NOW = 1_795_262_400.0
V4, V6 = "198.18.1.10", "2001:2:0:2::10"
STRANGER = "198.18.0.40"
WAN = "198.18.2.7"
SPKI = "ab" * 32
RUN = "0123456789ab"
DOMAIN, HOST, RELAY = "example.com", "mail.example.com", "relay-vps1.example.com"
RECEIVER = "mx.strict.example.org"


def plan(**domain: Any) -> MailPlan:
    """Example A with IPv6; keywords replace keys of its one domain."""
    hosts = copy.deepcopy(HOSTS)
    hosts["vps1"]["mail_host"]["ipv6"] = V6
    given = raw(hosts=hosts)
    given.mail_domains[0].update(domain)
    return build_plan(read_intent(given))


@cache
def keys() -> tuple[tuple[str, str, str], ...]:
    """(algorithm, selector, p=) of a fresh pair."""
    out = []
    for algorithm, selector, key in (
        ("rsa-2048", "202611r", rsa.generate_private_key(65537, 2048)),
        ("ed25519", "202611e", ed25519.Ed25519PrivateKey.generate()),
    ):
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        out.append((algorithm, selector, str(public_half(pem, "test")["public"])))
    return tuple(out)


def facts(*domains: str) -> Facts:
    """Keys of each domain, the same for all; of example A's when none is named."""
    dkim = tuple(
        {
            "domain": domain,
            "algorithm": algorithm,
            "selector": selector,
            "txt": f"v=DKIM1; k={algorithm.split('-')[0]}; h=sha256; p={public}",
            "path": f"/etc/mailstead/dkim/{domain}/{selector}.pem",
        }
        for domain in domains or (DOMAIN,)
        for algorithm, selector, public in keys()
    )
    return Facts(dkim=dkim, spki={HOST: SPKI}, signed=(DOMAIN,))


class World:
    """Observations by (probe, vantage); judged against the plan."""

    def __init__(self, plan_: MailPlan | None = None, facts_: Facts | None = None) -> None:
        self.plan = plan_ or plan()
        self.facts = facts_ or facts()
        self.now = NOW
        self.view = View(self.plan, self.facts)
        self.probes = probe_plan(self.view, RUN)
        self.seen: dict[tuple[str, str], dict[str, Any]] = {}
        for vantage, probes in self.probes.items():
            for probe in probes:
                data = getattr(self, f"_{probe['kind']}")(probe["args"], vantage)
                self.seen[(probe["id"], vantage)] = {
                    "probe": probe["id"],
                    "kind": probe["kind"],
                    "vantage": vantage,
                    "ok": True,
                    "error": "",
                    "message": "",
                    "data": data,
                }

    def data(self, probe: str, vantage: str = "") -> dict[str, Any]:
        """What a probe saw, to be changed by a test; the first vantage's when none is named."""
        found = [o for (p, v), o in sorted(self.seen.items()) if p == probe and vantage in ("", v)]
        assert found, f"no probe {probe}; there are {sorted({p for p, _v in self.seen})}"
        result: dict[str, Any] = found[0]["data"]
        return result

    def everywhere(self, probe: str) -> Iterable[dict[str, Any]]:
        return [o["data"] for (p, _v), o in sorted(self.seen.items()) if p == probe]

    def lose(self, probe: str, error: str = "", message: str = "it broke", vantage: str = "") -> None:
        """The probe could not do its work; without an error its observation is missing."""
        for key in [k for k in self.seen if k[0] == probe and vantage in ("", k[1])]:
            if error:
                self.seen[key].update(ok=False, error=error, message=message, data={})
            else:
                del self.seen[key]

    def judge(self) -> tuple[Finding, ...]:
        return judge(self.plan, [observation_from(o) for o in self.seen.values()], self.facts, self.now)

    # -- DNS -------------------------------------------------------------------------------------------------------

    def records(self, name: str, rtype: str) -> list[str]:
        wanted = sorted({r.content for r in self.view.records(name, rtype) if r.deferred is None})
        if rtype == "SOA" and name in self.view.zones:
            return ["ada.ns.cloudflare.com dns.cloudflare.com 7 3600 600 86400 1800"]
        return wanted

    def answer(self, name: str, rtype: str) -> dict[str, Any]:
        values = self.records(name, rtype)
        data: dict[str, Any] = {"rcode": "NOERROR" if values else "NXDOMAIN", "values": values, "ttl": 300}
        if rtype == "TXT":
            data["segments"] = [[len(v)] if len(v) < 256 else [255, len(v) - 255] for v in values]
        return data

    def publish(self, name: str, rtype: str, *values: str) -> None:
        """Every authoritative server answers with these values."""
        for server in self.data(f"dns.zone/{self.view.zone_of(name)}")["servers"]:
            entry: dict[str, Any] = {"rcode": "NOERROR" if values else "NXDOMAIN", "values": list(values), "ttl": 300}
            if rtype == "TXT":
                entry["segments"] = [[len(v)] for v in values]
            server["answers"][f"{name} {rtype}"] = entry

    def _zone(self, args: dict[str, Any], vantage: str) -> dict[str, Any]:
        names = ["ada.ns.cloudflare.com", "bob.ns.cloudflare.com"]
        answers = {f"{n} {t}": self.answer(n, t) for n, t in args["questions"]}
        servers = [
            {
                "ns": ns,
                "address": address,
                "family": "ipv4",
                "error": "",
                "aa": True,
                "serial": 7,
                "child_ns": names,
                "dnskey": True,
                "answers": copy.deepcopy(answers),
            }
            for ns, address in zip(names, ("198.18.0.55", "198.18.0.56"), strict=True)
        ]
        return {
            "zone": args["zone"],
            "parent": "com",
            "parent_ns": names,
            "child_ns": names,
            "parent_error": "",
            "ds": ["1 13 2 aa"],
            "dnskey": True,
            "servers": servers,
        }

    def _resolver(self, args: dict[str, Any], vantage: str) -> dict[str, Any]:
        answers = {f"{n} {t}": {**self.answer(n, t), "rcode": "NOERROR", "ad": True} for n, t in args["questions"]}
        answers.setdefault(". NS", {"rcode": "NOERROR", "values": ["a.root"], "ad": True})
        return {"nameservers": ["127.0.0.1"], "answers": answers}

    def _reverse(self, args: dict[str, Any], vantage: str) -> dict[str, Any]:
        return {"name": "rev", "rcode": "NOERROR", "ptr": [HOST], "via": "authoritative", "forward": {HOST: [V4, V6]}}

    def _spf(self, args: dict[str, Any], vantage: str) -> dict[str, Any]:
        record = next((r for r in self.records(args["domain"], "TXT") if r.startswith("v=spf1")), "")
        return {
            "result": "pass",
            "reason": "",
            "record": record,
            "records": [record],
            "matched": "ip4",
            "terms": 1,
            "voids": 0,
            "trace": ["matches"],
        }

    # -- network ---------------------------------------------------------------------------------------------------

    def certificate(self) -> dict[str, Any]:
        return {
            "subject": f"CN={HOST}",
            "issuer": "CN=lab authority",
            "names": [HOST],
            "not_before": NOW - 10 * 86400,
            "not_after": NOW + 80 * 86400,
            "key": "ec",
            "bits": 256,
            "signature_hash": "sha256",
            "spki_sha256": SPKI,
            "version": "TLSv1.3",
            "cipher": "TLS_AES_256_GCM_SHA384",
            "name_ok": True,
            "chain_ok": True,
            "chain_error": "",
        }

    def _egress25(self, args: dict[str, Any], vantage: str) -> dict[str, Any]:
        rows = []
        for number, operator in enumerate(args["operators"]):
            name = f"mx{number}.{operator['banner'][0]}"
            rows.append(
                {
                    "operator": operator["operator"],
                    "domain": operator["domain"],
                    "mx": name,
                    "address": f"198.18.0.{31 + number}",
                    "outcome": "open" if vantage == "vps1" else "dropped",
                    "banner": f"220 {name} ESMTP" if vantage == "vps1" else "",
                    "starttls": True,
                    "keywords": ["STARTTLS"],
                    "tls": {"name_ok": True, "names": [name]},
                    "control": {f"198.18.0.{31 + number}:443": "refused"},
                }
            )
        return {"family": args["family"], "rounds": 1, "operators": rows}

    def _smtp(self, args: dict[str, Any], vantage: str) -> dict[str, Any]:
        replies: dict[str, dict[str, Any]] = {}
        codes = {
            "auth-plain": 503,
            "vrfy": 252,
            "expn": 502,
            "unknown": 550,
            "envelope": 501,
            "header": 550,
            "rcpt": 550 if args["port"] == 25 else 250,
        }
        for step in (*args.get("before_tls", ()), *args["steps"]):
            code = codes.get(step["label"], 250)
            replies[step["label"]] = {"code": code, "text": f"{code} {step['label']}"}
        extensions = ["SIZE 104857600", "8BITMIME", "PIPELINING", "ENHANCEDSTATUSCODES", "STARTTLS"]
        return {
            "address": args["address"],
            "port": args["port"],
            "connect": "open",
            "banner": f"220 {HOST} ESMTP",
            "banner_ms": 40,
            "ehlo": extensions,
            "ehlo_code": 250,
            "ehlo_tls": extensions[:-1],
            "ehlo_host": HOST,
            "tls": self.certificate(),
            "legacy": False,
            "replies": replies,
            "ended": "",
            "transcript": [["EHLO probe", f"250-{HOST}"]],
        }

    def _tls(self, args: dict[str, Any], vantage: str) -> dict[str, Any]:
        ours = {
            "address": args["address"],
            "port": args["port"],
            "connect": "open",
            "greeting": "* OK",
            "legacy": False,
        }
        return {**self.certificate(), **ours}

    def _forged_proxy(self, args: dict[str, Any], vantage: str) -> dict[str, Any]:
        replies = [f"220 {HOST}", "500 5.5.1 Invalid command."]
        return {
            "address": args["address"],
            "port": 25,
            "claim": args["claim"],
            "outcome": "rejected",
            "replies": replies,
        }

    def _https(self, args: dict[str, Any], vantage: str) -> dict[str, Any]:
        policy = self.view.home("home").mta_sts
        body, kind = sts_policy(policy.mode, policy.mx, policy.max_age), "text/plain"
        if "autoconfig" in args["url"]:
            kind = "text/xml"
            body = (
                "<clientConfig><emailProvider><incomingServer><hostname>"
                f"{HOST}</hostname></incomingServer></emailProvider></clientConfig>"
            )
        return {
            "url": args["url"],
            "connect": "open",
            "tls_error": "",
            "status": 200,
            "type": kind,
            "body": body,
            "truncated": False,
        }

    # -- hosts -----------------------------------------------------------------------------------------------------

    def _clock(self, args: dict[str, Any], vantage: str) -> dict[str, Any]:
        return {"epoch": NOW, "reference": NOW - 1, "offset": 1.0}

    def _addresses(self, args: dict[str, Any], vantage: str) -> dict[str, Any]:
        return {"addresses": {"home": ["192.168.77.10", "2001:2:0:77::10"], "vps1": [V4, V6]}.get(vantage, [STRANGER])}

    def _tunnel_peers(self, args: dict[str, Any], vantage: str) -> dict[str, Any]:
        return {"peers": [WAN, V4]}

    def _dkim_file(self, args: dict[str, Any], vantage: str) -> dict[str, Any]:
        public = next(p for _a, s, p in keys() if s in args["path"])
        return {"path": args["path"], "mode": "0600", "uid": 2000, "gid": 2000, "public": public, "bits": 2048}

    # -- mail ------------------------------------------------------------------------------------------------------

    def _canary(self, args: dict[str, Any], vantage: str) -> dict[str, Any]:
        domain = args["sender"].rpartition("@")[2]
        signed = ["from", "from", "to", "date", "subject", "message-id"]
        results = "; ".join(
            f"dkim=pass (key ok) header.d={domain} header.s={s} header.a={a.split('-')[0]}-sha256"
            for a, s, _p in keys()
        )
        return {
            "token": args["token"],
            "arrived": True,
            "bounced": "",
            "stage": "data",
            "folder": "INBOX",
            "submitted": {"code": 250, "text": "250 queued"},
            "waited_ms": 900,
            "line_ends": 0,
            "transcript": [],
            "headers": [
                ["Return-Path", f"<{args['sender']}>"],
                ["Authentication-Results", f"{RECEIVER}; dmarc=pass (p=reject dis=none) header.from={domain}"],
                ["Authentication-Results", f"{RECEIVER}; {results}"],
                ["Authentication-Results", f"{RECEIVER}; spf=pass smtp.mailfrom={args['sender']}"],
                ["Received", f"from {HOST} ({HOST} [{V4}]) (using TLSv1.3) by {RECEIVER} (Postfix) with ESMTPS id 1"],
                ["Received", f"from {HOST} (localhost [127.0.0.1]) by {RELAY} (Postfix) with ESMTP id 2"],
                *[["DKIM-Signature", f"v=1; s={s}; d={domain}"] for _a, s, _p in keys()],
                ["From", f"<{args['sender']}>"],
                ["To", f"<{args['recipient']}>"],
                ["Subject", "Canary 10.0.0.1"],
                ["Date", "Sat, 21 Nov 2026 12:00:00 +0000"],
                ["Message-ID", f"<x@{domain}>"],
            ],
            "signatures": [
                {
                    "d": domain,
                    "s": s,
                    "a": f"{a.split('-')[0]}-sha256",
                    "c": "relaxed/relaxed",
                    "h": signed,
                    "l": "",
                    "result": "pass",
                    "reason": "",
                }
                for a, s, _p in keys()
            ],
        }

    def _stranger(self, args: dict[str, Any], vantage: str) -> dict[str, Any]:
        def row(code: int, text: str) -> dict[str, Any]:
            return {"code": code, "text": text, "stage": "data", "source": STRANGER, "address": V4}

        return {
            "ehlo": "mail.stranger.example.org",
            "sender": "probe@stranger.example.org",
            "results": {
                m["label"]: row(550, "550 5.7.1 DMARC") if m["label"] == "forged" else row(250, "250 queued")
                for m in args["messages"]
            },
        }

    def _mailbox(self, args: dict[str, Any], vantage: str) -> dict[str, Any]:
        received = f"from mail.stranger.example.org (mail.stranger.example.org [{STRANGER}]) by {HOST} with ESMTPS id 3"
        message = {"folder": "INBOX", "headers": [["Received", received]], "size": 900}
        arrived = {label: message for label in args["tokens"] if label != "forged"}
        return {"folders": ["INBOX"], "messages": arrived, "waited_ms": 800}


Break = Callable[[World], object]


def broken(change: Break, world: World | None = None) -> tuple[Finding, ...]:
    """The findings after one thing was broken."""
    broken_world = world or healthy()
    change(broken_world)
    return broken_world.judge()


@cache
def _healthy() -> World:
    return World()


def healthy() -> World:
    """A fresh copy of the path in which everything works."""
    world = copy.copy(_healthy())
    world.seen = copy.deepcopy(world.seen)
    return world


def verdicts(findings: Iterable[Finding], check_id: str, scope: str = "") -> set[str]:
    return {f.verdict for f in findings if f.id == check_id and (not scope or f.scope == scope)}


def failed(findings: Iterable[Finding]) -> set[str]:
    return {f.id for f in findings if f.verdict == "fail"}


__all__ = ["FAMILIES", "World", "broken", "failed", "verdicts"]
