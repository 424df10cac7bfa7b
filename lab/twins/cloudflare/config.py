# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The twin's configuration as data, read from JSON and checked: a misspelt key is an error, not a default."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import types
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from .email.options import DEFAULTS, EmailOptions
from .zero_trust.options import DEFAULTS as TRUST_DEFAULTS
from .zero_trust.options import TrustOptions

PLANS = ("free", "pro", "business", "enterprise")
#: Permission groups by the level they are given at, named as the dashboard does; a scope is "<group>:Read" or ":Edit".
PERMISSION_GROUPS = {
    "Zone": "zone",
    "DNS": "zone",
    "Zone DNS Settings": "zone",
    "Zone Settings": "zone",
    "Email Routing Rules": "zone",
    "Email Routing Addresses": "account",
    "Email Sending": "account",
    "Cloudflare Tunnel": "account",
    "Cloudflare One Connector: cloudflared": "account",
    "Access: Apps and Policies": "account",
    "Access: Service Tokens": "account",
    "Access: Organizations, Identity Providers, and Groups": "account",
    "Workers Scripts": "account",
    "Analytics": "zone",
    "Account Settings": "account",
    "API Tokens": "user",
    "Account API Tokens": "account",
}
SCOPES = tuple(f"{group}:{verb}" for group in PERMISSION_GROUPS for verb in ("Read", "Edit"))
#: States of a zone's DNSSEC (reference, §1.5).
DNSSEC_STATES = ("disabled", "pending", "active", "pending-disabled", "error")
TOKEN = re.compile(r"[A-Za-z0-9_-]{8,200}")
HEX_ID = re.compile(r"[0-9a-f]{32}")

T = TypeVar("T")


class ConfigError(ValueError):
    """The configuration cannot be used; the text names the place."""


def stable_id(*parts: str) -> str:
    """A 32-digit hexadecimal identifier that is the same in every run."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Account:
    """The account that owns the zones."""

    name: str = "mailstead lab"
    id: str = stable_id("account", "mailstead lab")


@dataclass(frozen=True)
class Token:
    """An API token. scopes: of SCOPES; zones: names, ``["*"]`` is every zone; kind: user or account (``cfat_``)."""

    token: str
    scopes: tuple[str, ...] = ("Zone:Read", "DNS:Edit")
    zones: tuple[str, ...] = ("*",)
    kind: str = "user"
    status: str = "active"
    expires_on: str = ""
    not_before: str = ""

    @property
    def id(self) -> str:
        return stable_id("token", self.token)


@dataclass(frozen=True)
class Zone:
    """A zone and what a test may want different about it.

    record_quota: 0 is the plan's; mx_priority: ``top`` or ``both`` (beside content, or in ``data`` as well);
    email_routing: off, unlocked or locked at the start (its records exist; locked ones cannot be changed, and MX writes
    are refused with email_routing_code); import_from_dns: with a DNS target and no saved state, start from what is served;
    legacy_fields: records also hold ``locked``, ``zone_id`` and ``zone_name``, which the API gave back for years;
    records: bodies as for POST, plus ``meta``, used when nothing was saved; scannable: bodies of what a scan finds at the
    zone's previous servers.
    """

    name: str
    plan: str = "free"
    id: str = ""
    status: str = "active"
    type: str = "full"
    paused: bool = False
    name_servers: tuple[str, ...] = ("ada.ns.cloudflare.com", "bob.ns.cloudflare.com")
    record_quota: int = 0
    mx_priority: str = "top"
    email_routing: str = "off"
    email_routing_code: int = 890190
    dnssec: str = "disabled"
    import_from_dns: bool = False
    legacy_fields: bool = False
    records: tuple[dict[str, Any], ...] = ()
    scannable: tuple[dict[str, Any], ...] = ()

    @property
    def zone_id(self) -> str:
        return self.id or stable_id("zone", self.name)


@dataclass(frozen=True)
class Ddns:
    """Where records are published by RFC 2136. port: UDP/TCP port; timeout and wait in seconds."""

    server: str
    tsig_name: str
    tsig_secret: str = ""
    tsig_secret_file: str = ""
    tsig_algorithm: str = "hmac-sha256"
    port: int = 53
    timeout: float = 5.0
    wait: float = 60.0

    def secret(self) -> str:
        return (
            Path(self.tsig_secret_file).read_text(encoding="ascii").strip()
            if self.tsig_secret_file
            else self.tsig_secret
        )


@dataclass(frozen=True)
class Proxy:
    """Addresses that answer for proxied records; without any, proxied names are not published at all."""

    ipv4: tuple[str, ...] = ()
    ipv6: tuple[str, ...] = ()


@dataclass(frozen=True)
class RateLimit:
    """Requests per window and user; exceeding it blocks for block_seconds (documented: 1,200 / 300 s / 300 s)."""

    requests: int = 1200
    window_seconds: float = 300.0
    block_seconds: float = 300.0


FAULT_KINDS = ("status", "delay", "drop_before", "drop_after", "operation")


@dataclass
class Fault:
    """One planned misbehaviour.

    kind: ``status`` answers with status (429 with retry_after seconds; after: only once the request took effect),
    ``delay`` waits seconds, ``drop_before`` and ``drop_after`` end the connection before or after the request took
    effect, ``operation`` refuses operation number ``operation`` (from 0, in the order of execution) of a batch with code.
    method and path (a part of it) choose the requests; skip lets the first matching ones pass; times is how many it hits.
    """

    kind: str
    times: int = 1
    skip: int = 0
    method: str = ""
    path: str = ""
    status: int = 500
    retry_after: float = 1.0
    seconds: float = 0.0
    operation: int = 0
    code: int = 9005
    message: str = "Content for A record must be a valid IPv4 address."
    after: bool = False
    html: bool = False

    def __post_init__(self) -> None:
        if self.kind not in FAULT_KINDS:
            raise ConfigError(f"fault: {self.kind!r} is none of {', '.join(FAULT_KINDS)}")

    def matches(self, method: str, path: str) -> bool:
        return (not self.method or self.method == method) and self.path in path


@dataclass(frozen=True)
class TwinConfig:
    """Everything. graphql_rate_limit: of statistics, which are counted for themselves (documented: 320 / 300 s); latency_ms:
    added to each answer; faults: planned from the start, in order; strict: refuse unknown fields and parameters;
    error_pointers: tell in ``source.pointer`` which operation failed; duplicate_code: 81058 or 81057; state_dir: where
    records survive a restart; control_token: opens the twin's own control endpoints (see control.py);
    email: what the mail products do where reports disagree; zero_trust: the organization; tunnel_edge: addresses that answer
    for names that lead to a tunnel, without any those of proxy."""

    zones: tuple[Zone, ...] = ()
    tokens: tuple[Token, ...] = ()
    account: Account = Account()
    listen: tuple[str, ...] = ("127.0.0.1:8443",)
    tls_cert: str = ""
    tls_key: str = ""
    ddns: Ddns | None = None
    proxy: Proxy = Proxy()
    rate_limit: RateLimit = RateLimit()
    graphql_rate_limit: RateLimit = RateLimit(320)
    latency_ms: float = 0.0
    faults: tuple[Fault, ...] = ()
    strict: bool = True
    error_pointers: bool = False
    duplicate_code: int = 81058
    state_dir: str = ""
    control_token: str = ""
    email: EmailOptions = DEFAULTS
    zero_trust: TrustOptions = TRUST_DEFAULTS
    tunnel_edge: Proxy = Proxy()

    @classmethod
    def from_data(cls, data: Any) -> TwinConfig:
        """From JSON types. Raises ConfigError."""
        config: TwinConfig = _build(cls, data, "config")
        _check(config)
        return config

    @classmethod
    def from_file(cls, path: Path) -> TwinConfig:
        """From a JSON file. Raises ConfigError, also for a file that cannot be read."""
        try:
            return cls.from_data(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, json.JSONDecodeError) as error:
            raise ConfigError(f"{path}: {error}") from None


def _build(cls: type[T], data: Any, where: str) -> T:
    if not isinstance(data, dict):
        raise ConfigError(f"{where}: an object is expected")
    hints = typing.get_type_hints(cls)
    fields = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    unknown = sorted(set(data) - set(fields))
    if unknown:
        raise ConfigError(f"{where}: unknown key {unknown[0]}; known are {', '.join(sorted(fields))}")
    missing = [
        n
        for n, f in fields.items()
        if n not in data and f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise ConfigError(f"{where}: {missing[0]} is missing")
    return cls(**{name: _convert(hints[name], value, f"{where}.{name}") for name, value in data.items()})


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None:
            return None
        return _convert(next(a for a in typing.get_args(hint) if a is not type(None)), value, where)
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise ConfigError(f"{where}: a list is expected")
        inner = typing.get_args(hint)[0]
        return tuple(_convert(inner, item, f"{where}[{i}]") for i, item in enumerate(value))
    if dataclasses.is_dataclass(hint):
        return value if isinstance(value, hint) else _build(hint, value, where)  # type: ignore[arg-type]
    if origin is dict:
        if not isinstance(value, dict):
            raise ConfigError(f"{where}: an object is expected")
        return value
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        raise ConfigError(f"{where}: {hint.__name__} is expected, not {type(value).__name__}")
    return value


def _one_of(where: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ConfigError(f"{where}: {value!r} is none of {', '.join(allowed)}")


def _check(config: TwinConfig) -> None:
    names = [zone.name for zone in config.zones]
    if len(set(names)) != len(names):
        raise ConfigError("config.zones: a name appears twice")
    for zone in config.zones:
        where = f"config.zones[{zone.name}]"
        _one_of(f"{where}.plan", zone.plan, PLANS)
        _one_of(f"{where}.mx_priority", zone.mx_priority, ("top", "both"))
        _one_of(f"{where}.email_routing", zone.email_routing, ("off", "unlocked", "locked"))
        _one_of(f"{where}.dnssec", zone.dnssec, DNSSEC_STATES)
        if zone.name != zone.name.lower().strip(".") or "." not in zone.name:
            raise ConfigError(f"{where}.name: lower case, at least two labels, no trailing dot")
        if not HEX_ID.fullmatch(zone.zone_id):
            raise ConfigError(f"{where}.id: 32 hexadecimal digits are expected")
    for index, token in enumerate(config.tokens):
        where = f"config.tokens[{index}]"
        if not TOKEN.fullmatch(token.token):
            raise ConfigError(f"{where}.token: 8 to 200 letters, digits, '_' or '-'")
        _one_of(f"{where}.kind", token.kind, ("user", "account"))
        _one_of(f"{where}.status", token.status, ("active", "disabled", "expired"))
        for scope in token.scopes:
            _one_of(f"{where}.scopes", scope, SCOPES)
        for name in token.zones:
            if name != "*" and name not in names:
                raise ConfigError(f"{where}.zones: {name} is no zone of this configuration")
    for mistake in config.email.mistakes():
        raise ConfigError(f"config.email.{mistake}")
    for mistake in config.zero_trust.mistakes():
        raise ConfigError(f"config.zero_trust.{mistake}")
    if config.duplicate_code not in (81057, 81058):
        raise ConfigError("config.duplicate_code: 81057 or 81058")
    if bool(config.tls_cert) != bool(config.tls_key):
        raise ConfigError("config: tls_cert and tls_key go together")
    if config.ddns and not (config.ddns.tsig_secret or config.ddns.tsig_secret_file):
        raise ConfigError("config.ddns: tsig_secret or tsig_secret_file is needed")
