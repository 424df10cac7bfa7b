# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The client plugged straight into the API twin: no sockets, every request counted, faults at will."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare import codes as api_codes
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.client import Client
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.provider import CloudflareProvider
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError
from ansible_collections.mailstead.stack.plugins.module_utils.common.http import Answer, TransportError
from ansible_collections.mailstead.stack.plugins.module_utils.dns import codes as dns_codes
from ansible_collections.mailstead.stack.plugins.module_utils.dns import rdata
from ansible_collections.mailstead.stack.plugins.module_utils.dns.reconcile import (
    ZoneResult,
    ZoneTask,
    reconcile,
)
from ansible_collections.mailstead.stack.plugins.module_utils.dns.records import Options, Want
from ansible_collections.mailstead.stack.plugins.module_utils.plan.phases import ForeignPolicy

from lab.twins.cloudflare import Twin, TwinConfig
from lab.twins.cloudflare.faults import ConnectionDroppedError

TOKEN = "t" * 40
ZONE = "example.com"
HOST = "mail.example.com"
ZONES10 = [f"zone{n}.example" for n in range(10)]
#: DER of an RSA-2048 public key before and after the modulus.
RSA_HEAD = bytes.fromhex("30820122300d06092a864886f70d01010105000382010f003082010a0282010100")
RSA_TAIL = bytes.fromhex("0203010001")
FACTS = ("comment", "content", "data", "meta", "name", "priority", "proxied", "settings", "tags", "ttl", "type")


class TwinTransport:
    """A Transport whose requests the twin answers in this process.

    before and after: called with method and path around every request; what they raise is the end of the run.
    """

    def __init__(self, twin: Twin, requests: list[str], before: Any = None, after: Any = None) -> None:
        self.twin, self.requests, self.before, self.after = twin, requests, before, after

    def request(
        self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], body: bytes | None
    ) -> Answer:
        if self.before is not None:
            self.before(method, path)
        self.requests.append(f"{method} {path}")
        try:
            response = self.twin.handle(method, "/client/v4" + path, dict(query), dict(headers), body)
        except ConnectionDroppedError as error:
            raise TransportError(str(error), sent=True) from error
        finally:
            if self.after is not None:
                self.after(method, path)
        return Answer(response.status, {k.lower(): v for k, v in response.headers.items()}, response.body)

    def close(self) -> None:
        return None


class Bench:
    """A twin and runs of the reconciler against it."""

    def __init__(self, zones: Sequence[dict[str, Any]] = ({"name": ZONE},), **config: Any) -> None:
        tokens = config.pop("tokens", [{"token": TOKEN}])
        self.twin = Twin(TwinConfig.from_data({"zones": list(zones), "tokens": tokens, **config}))
        self.requests: list[str] = []
        self.pauses: list[float] = []
        self.now = 0.0
        self.before: Any = None
        self.after: Any = None

    def client(self, token: str = TOKEN) -> Client:
        return Client(
            token,
            lambda: TwinTransport(self.twin, self.requests, self.before, self.after),
            pause=self.pause,
            jitter=lambda: 0.5,
            clock=lambda: self.now,
        )

    def pause(self, seconds: float) -> None:
        """Time passes only while the client waits."""
        self.pauses.append(seconds)
        self.now += seconds

    def run(
        self,
        wants: Mapping[str, Sequence[Want]] | Sequence[Want],
        foreign: dict[str, str] | None = None,
        check: bool = False,
        ids: bool = False,
        token: str = TOKEN,
        **options: Any,
    ) -> list[ZoneResult]:
        """One run of the reconciler; requests holds what it asked. options: of reconcile() or of Options."""
        run = {name: options.pop(name) for name in ("stages", "gate", "before_write") if name in options}
        sets = wants if isinstance(wants, Mapping) else {ZONE: wants}
        policy = ForeignPolicy(**(foreign or {}))
        tasks = [
            ZoneTask(name, tuple(found), self.twin.zone(name).zone.zone_id if ids else "", policy)
            for name, found in sets.items()
        ]
        self.requests.clear()
        return reconcile(CloudflareProvider(self.client(token)), tasks, Options(**options), check, **run)

    def seed(self, *bodies: dict[str, Any], zone: str = ZONE) -> list[dict[str, Any]]:
        """Records made by hand, past the reconciler."""
        state = self.twin.zone(zone)
        return [state.create(body).to_json(state.zone) for body in bodies]

    def records(self, zone: str = ZONE) -> list[dict[str, Any]]:
        state = self.twin.zone(zone)
        return [record.to_json(state.zone) for record in state.snapshot().values()]

    def facts(self, zone: str = ZONE) -> list[dict[str, Any]]:
        """The records without what differs from run to run (ids, times) or only in spelling (quotation marks)."""
        found = [{k: r.get(k) for k in FACTS} for r in self.records(zone)]
        for record in found:
            if record["type"] == "TXT":
                record["content"] = rdata.txt_decode(str(record["content"]))
        return sorted(found, key=repr)


def want(name: str, rtype: str, content: str, phase: str = "delivery", role: str = "", **more: Any) -> Want:
    return Want(name, rtype, content, more.pop("ttl", 3600), phase, role or rtype.lower(), **more)


ADDRESS = [want(HOST, "A", "198.18.1.10", "address", "host")]


def mail_set(zone: str = ZONE) -> list[Want]:
    """A record set as the plan makes it: 28 records, every type and every form of value in use."""
    host = f"mail.{zone}"
    srv = {
        "_submissions": "0 1 465",
        "_imaps": "0 1 993",
        "_jmap": "0 1 443",
        "_caldavs": "0 1 443",
        "_carddavs": "0 1 443",
    }
    key = base64.b64encode(RSA_HEAD + b"\xb9" * 256 + RSA_TAIL).decode()
    out = [
        want(host, "A", "198.18.1.10", "address", "host"),
        want(host, "AAAA", "2001:2:0:2::10", "address", "host"),
        want(f"mta-sts.{zone}", "CNAME", host, "address", "mta-sts"),
        want(f"autoconfig.{zone}", "CNAME", host, "address", "autoconfig"),
        want(f"autodiscover.{zone}", "CNAME", host, "address", "autoconfig"),
        want(host, "TXT", "v=spf1 a -all", "identity", "spf-helo"),
        want(f"202611r._domainkey.{zone}", "TXT", f"v=DKIM1; k=rsa; h=sha256; p={key}", "keys", "dkim-r"),
        want(f"202611e._domainkey.{zone}", "TXT", "v=DKIM1; k=ed25519; p=" + "A" * 43 + "=", "keys", "dkim-e"),
        want(zone, "TXT", "v=spf1 ip4:198.18.1.10 ip6:2001:2:0:2::10 -all", "policy", "spf"),
        want(
            f"_dmarc.{zone}", "TXT", f"v=DMARC1; p=reject; np=reject; rua=mailto:postmaster@{zone}", "policy", "dmarc"
        ),
        want(f"_smtp._tls.{zone}", "TXT", f"v=TLSRPTv1; rua=mailto:postmaster@{zone}", "policy", "tls-rpt"),
        want(host, "CAA", '0 issue "letsencrypt.org; validationmethods=http-01"', "policy", "caa"),
        want(host, "CAA", '0 issuewild ";"', "policy", "caa"),
        want(f"_25._tcp.{host}", "TLSA", "3 1 1 " + "ab" * 32, "certificate", "dane"),
        want(f"_25._tcp.{host}", "TLSA", "3 1 1 " + "cd" * 32, "certificate", "dane"),
        want(zone, "MX", f"10 {host}", role="mx"),
        want(f"_mta-sts.{zone}", "TXT", "v=STSv1; id=20261101", role="mta-sts", ttl=300),
    ]
    out += [want(f"{name}._tcp.{zone}", "SRV", f"{value} {host}", role="autoconfig") for name, value in srv.items()]
    silent = ("_submission", "_imap", "_pop3", "_pop3s", "_sieve", "_caldav")
    out += [want(f"{name}._tcp.{zone}", "SRV", "0 0 0 .", role="autoconfig") for name in silent]
    return out


def kinds(bench: Bench) -> list[str]:
    """The requests without ids: what they are, sorted (zones run in parallel)."""
    return sorted(r.split(" ")[0] + " " + r.rsplit("/", 1)[-1] for r in bench.requests)


def fails(bench: Bench, *args: Any, **kwargs: Any) -> MailsteadError:
    with pytest.raises(MailsteadError) as caught:
        bench.run(*args, **kwargs)
    assert all(
        p.code in {**dns_codes.CODES, **api_codes.CODES} and p.where and p.what and p.fix for p in caught.value.problems
    )
    assert TOKEN not in str(caught.value)
    return caught.value


def fails_for(bench: Bench, zone: str, *wants: Want, zone_id: str = "") -> MailsteadError:
    """As fails, for a zone by name, which need not exist."""
    bench.requests.clear()
    with pytest.raises(MailsteadError) as caught:
        reconcile(CloudflareProvider(bench.client()), [ZoneTask(zone, wants, zone_id)], Options())
    return caught.value


def codes(error: MailsteadError) -> list[str]:
    return [p.code for p in error.problems]
