# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tunnels and Access over the API twin in this process: runs as the module makes them, and what stands there afterwards."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare import tunnel_codes, tunnel_run
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.tunnel_model import (
    Held,
    Options,
    wishes,
)
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.tunnel_run import Account
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError

from tests.unit.cloudflare import support
from tests.unit.cloudflare.support import TOKEN, ZONE

SCOPES = [
    *("Zone:Read", "DNS:Edit", "Cloudflare Tunnel:Edit", "Access: Apps and Policies:Edit"),
    *("Access: Service Tokens:Edit", "Access: Organizations, Identity Providers, and Groups:Read"),
]
HOSTNAME = f"smtp.{ZONE}"
DAY = 86400


def tunnel(name: str = "mailstead-notify", hostname: str = HOSTNAME, **more: Any) -> dict[str, Any]:
    """A wanted tunnel as the argument has it."""
    service = more.pop("service", "tcp://172.29.1.2:465")
    return {
        "name": name,
        "hostname": hostname,
        "zone": ZONE,
        "ingress": [{"hostname": hostname, "service": service}, {"hostname": "", "service": "http_status:404"}],
        "service_tokens": ["app1"],
        "duration": 365 * DAY,
        "rotate_after": 180 * DAY,
        "overlap": 7 * DAY,
        **more,
    }


class Bench(support.Bench):
    """held: what the controller holds, kept up to date by :meth:`run` as the action plugin does it."""

    def __init__(self, **config: Any) -> None:
        tokens = config.pop("tokens", [{"token": TOKEN, "scopes": SCOPES}])
        super().__init__(zones=[{"name": ZONE}, {"name": "example.org"}], tokens=tokens, **config)
        self.held: dict[str, Held] = {}
        self.secrets: dict[str, str] = {}
        self.account = self.twin.config.account.id

    @property
    def time(self) -> datetime:
        return self.twin.trust.clock.now()

    def prepare(
        self, *rows: Mapping[str, Any], allow: tuple[str, ...] = (), rotate_now: tuple[str, ...] = ()
    ) -> list[Account]:
        self.requests.clear()
        wanted, lives = wishes(rows)
        options = Options("mailstead", self.time, allow, rotate_now)
        return tunnel_run.prepare(self.client(), wanted, lives, self.held, options)

    def converge(self, *rows: Mapping[str, Any], **more: tuple[str, ...]) -> list[Account]:
        """As the action plugin does it: all but new secrets, then a note of which are due, then those."""
        first = self._apply(rows, rotate=False, **more)
        due = {name for account in first for name in account.due}
        if due:
            for name in due & set(self.held):
                self.held[name] = dataclasses.replace(self.held[name], pending=True)
            asked = list(self.requests)
            for account, other in zip(first, self._apply(rows, rotate=True, **more), strict=True):
                account.done.steps += other.done.steps
                account.done.secrets.update(other.done.secrets)
            self.requests[:0] = asked
        return first

    def _apply(self, rows: Sequence[Mapping[str, Any]], rotate: bool, **more: tuple[str, ...]) -> list[Account]:
        """Secrets are kept even when a run fails, but not when it is killed."""
        accounts = self.prepare(*rows, **more)
        try:
            for account in accounts:
                tunnel_run.apply(self.client(), account, rotate)
        except MailsteadError:
            self.keep(accounts)
            raise
        self.keep(accounts)
        return accounts

    def keep(self, accounts: list[Account]) -> None:
        for account in accounts:
            for name, secret in account.done.secrets.items():
                made = account.task.options.now
                self.held[name] = Held(secret.client_id, secret.version, account.live.account, made)
                self.secrets[name] = secret.text
            for name in account.forget:
                self.held.pop(name, None)
                self.secrets.pop(name, None)

    def pass_time(self, **delta: float) -> None:
        self.twin.move_clock(timedelta(**delta).total_seconds())

    def world(self) -> dict[str, Any]:
        """Everything there is, ids and times by what they stand for."""
        trust = self.twin.trust
        tunnels = {t.id: t.name for t in trust.tunnels.values() if not t.deleted_at}
        tokens = {t.id: t.name for t in trust.tokens.values()}
        audiences = {a.aud: f"<audience of {a.name}>" for a in trust.apps.values()}
        return {
            "tunnels": sorted(
                (t.name, t.source, _named(t.config, audiences)) for t in trust.tunnels.values() if not t.deleted_at
            ),
            "tokens": sorted((t.name, t.duration, t.enabled) for t in trust.tokens.values()),
            "policies": sorted(
                (
                    p.name,
                    p.decision,
                    sorted(tokens[r["service_token"]["token_id"]] for r in p.include if "service_token" in r),
                )
                for p in trust.policies.values()
            ),
            "apps": sorted(
                (
                    a.name,
                    a.domain,
                    a.uris,
                    [trust.policies[i].name for i in a.order()],
                    a.more["service_auth_401_redirect"],
                )
                for a in trust.apps.values()
            ),
            "records": sorted(
                (
                    r["type"],
                    r["name"],
                    tunnels.get(r["content"].split(".")[0], r["content"]),
                    r["proxied"],
                    r["comment"],
                )
                for r in self.records()
            ),
        }

    def works(self, name: str = "app1", hostname: str = HOSTNAME) -> bool:
        """Whether the secret that the controller holds for a token gets through to the tunnel."""
        held = self.held.get(name)
        return held is not None and self.passes(held.client_id, self.secrets[name], hostname)

    def passes(self, client_id: str, secret: str, hostname: str = HOSTNAME) -> bool:
        """Whether a token gets through Access to a tunnel, for which a connector runs as long."""
        answer = self.twin.decide(hostname, client_id, secret)
        living = self.twin.trust.tunnels.get(answer.tunnel_id)
        if living is None or living.deleted_at:
            return False
        self.twin.register(living.id, living.secret, "connector")
        try:
            return self.twin.decide(hostname, client_id, secret).allowed and answer.app is not None
        finally:
            self.twin.unregister(living.id)

    def open(self, hostname: str = HOSTNAME) -> bool:
        """Whether the name leads to a living tunnel that answers it and no application stands in front of it."""
        answer = self.twin.decide(hostname)
        living = self.twin.trust.tunnels.get(answer.tunnel_id)
        if living is None or living.deleted_at or answer.app is not None:
            return False
        rules = (living.config or {}).get("ingress", [])
        return any(rule.get("hostname") == hostname for rule in rules)


def _named(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {k: _named(v, names) for k, v in value.items()}
    if isinstance(value, list):
        return [_named(v, names) for v in value]
    return names.get(value, value) if isinstance(value, str) else value


def done(accounts: list[Account]) -> list[tuple[str, str, str]]:
    return [(s.kind, s.action, s.name) for a in accounts for s in a.done.steps]


def planned(accounts: list[Account]) -> list[tuple[str, str, str]]:
    return [(s.kind, s.action, s.name) for a in accounts for s in a.steps]


def refused(bench: Bench, *rows: Mapping[str, Any], **more: Any) -> MailsteadError:
    """A run that is refused and has written nothing."""
    before = bench.world()
    with pytest.raises(MailsteadError) as caught:
        bench.converge(*rows, **more)
    assert all(p.code in tunnel_codes.CODES and p.where and p.what and p.fix for p in caught.value.problems)
    assert bench.world() == before and TOKEN not in str(caught.value)
    return caught.value
