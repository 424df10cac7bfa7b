# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ingress rules: judged as ``tunnel ingress validate`` judges them, and matched as the connector matches them."""

from __future__ import annotations

import json
import urllib.parse
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator

#: Keys of a rule and of originRequest that the real one knows; another one is a warning to it.
RULE_KEYS = frozenset({"hostname", "path", "service", "originRequest"})
ORIGIN_KEYS = frozenset(
    {
        *(
            "connectTimeout",
            "tlsTimeout",
            "tcpKeepAlive",
            "noHappyEyeballs",
            "keepAliveConnections",
            "keepAliveTimeout",
        ),
        *("httpHostHeader", "originServerName", "matchSNItoHost", "caPool", "noTLSVerify", "disableChunkedEncoding"),
        *("bastionMode", "proxyAddress", "proxyPort", "proxyType", "ipRules", "http2Origin", "access"),
    }
)
ACCESS_KEYS = frozenset({"required", "teamName", "audTag", "environment"})
#: The port of a service that names none, by its scheme; any other scheme is generic TCP.
DEFAULT_PORTS = {"ssh": 22, "rdp": 3389, "smb": 445, "http": 80, "https": 443}
GENERIC_PORT = 7864


class IngressError(ValueError):
    """What the real one says about the rules."""


@dataclass(frozen=True)
class Access:
    """What a request has to show at the origin: an assertion of this team for one of these applications."""

    required: bool = False
    team: str = ""
    audiences: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rule:
    """hostname: empty or * for every name. status: of an answer instead of a service. host and port: of a TCP service."""

    hostname: str
    service: str
    access: Access
    host: str = ""
    port: int = 0
    status: int = 0

    def matches(self, hostname: str) -> bool:
        if self.hostname in ("", "*"):
            return True
        if self.hostname.startswith("*."):
            return hostname.endswith(self.hostname[1:])
        return hostname == self.hostname


def load(path: Path) -> dict[str, Any]:
    """A configuration file, YAML or JSON. Raises IngressError and OSError."""
    text = path.read_text(encoding="utf-8")
    try:
        found = json.loads(text)
    except ValueError:
        import yaml  # noqa: PLC0415 - not on every machine, and JSON needs none of it

        try:
            found = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise IngressError(f"error parsing YAML in config file at {path}: {error}") from error
    if not isinstance(found, dict):
        raise IngressError(f"error parsing YAML in config file at {path}: not a mapping")
    return found


def parse(config: dict[str, Any]) -> tuple[Rule, ...]:
    """The rules of a configuration. Raises IngressError with the real one's words."""
    entries = config.get("ingress") or []
    if not entries:
        raise IngressError("The config file doesn't contain any ingress rules")
    general = config.get("originRequest") or {}
    rules = []
    for number, entry in enumerate(entries):
        rules.append(_rule(entry, general))
        _place(entry, number, len(entries))
    return tuple(rules)


def _place(entry: dict[str, Any], number: int, count: int) -> None:
    hostname, path = entry.get("hostname") or "", entry.get("path") or ""
    if ":" in hostname:
        raise IngressError("Hostname cannot contain a port")
    if hostname.rfind("*") > 0 or (hostname.startswith("*") and hostname != "*" and not hostname.startswith("*.")):
        raise IngressError(
            'Hostname patterns can have at most one wildcard character ("*") and it can only be used for subdomains, '
            'e.g. "*.example.com"'
        )
    everything = hostname in ("", "*") and not path
    if everything and number < count - 1:
        raise IngressError(
            f"Rule #{number + 1} is matching the hostname '{hostname}', but this will match every hostname, meaning the "
            "rules which follow it will never be triggered."
        )
    if not everything and number == count - 1:
        raise IngressError(
            "The last ingress rule must match all URLs (i.e. it should not have a hostname or path filter)"
        )


def _rule(entry: dict[str, Any], general: dict[str, Any]) -> Rule:
    hostname, service = entry.get("hostname") or "", str(entry.get("service") or "")
    access = _access({**general, **(entry.get("originRequest") or {})}.get("access") or {})
    if service.startswith("http_status:"):
        code = service.partition(":")[2]
        if not code.isdigit():
            raise IngressError(f"invalid HTTP status code: {code}")
        return Rule(hostname, service, access, status=int(code))
    parts = urllib.parse.urlsplit(service)
    if not parts.scheme or not parts.netloc:
        raise IngressError(f"{service} is an invalid address, please make sure it has a scheme and a hostname")
    if parts.path:
        raise IngressError(
            f"{service} is an invalid address, ingress rules don't support proxying to a different path on the origin "
            "service. The path will be the same as the eyeball request's path"
        )
    port = parts.port or DEFAULT_PORTS.get(parts.scheme, GENERIC_PORT)
    return Rule(hostname, service, access, host=parts.hostname or "", port=port)


def _access(data: dict[str, Any]) -> Access:
    team, audiences = str(data.get("teamName") or ""), tuple(data.get("audTag") or ())
    if audiences and not team:
        raise IngressError("access.TeamName cannot be blank when access.audTags are present")
    return Access(bool(data.get("required")), team, audiences)


def unknown_keys(config: dict[str, Any]) -> Iterator[str]:
    """What the real one warns about. It says nothing about unknown keys at the top."""
    yield from _unknown(config.get("originRequest"), ORIGIN_KEYS, "OriginRequestConfig")
    for entry in config.get("ingress") or ():
        yield from _unknown(entry, RULE_KEYS, "UnvalidatedIngressRule")
        origin = entry.get("originRequest") if isinstance(entry, dict) else None
        yield from _unknown(origin, ORIGIN_KEYS, "OriginRequestConfig")
        yield from _unknown((origin or {}).get("access"), ACCESS_KEYS, "AccessConfig")


def _unknown(data: Any, known: frozenset[str], kind: str) -> Iterator[str]:
    for key in data if isinstance(data, dict) else ():
        if key not in known:
            yield f"  field {key} not found in type config.{kind}"


def matching(rules: tuple[Rule, ...], hostname: str) -> Rule:
    """The rule for a host name; the last one matches every name."""
    return next((rule for rule in rules if rule.matches(hostname)), rules[-1])


def validate(path: Path) -> tuple[int, str]:
    """``tunnel ingress validate``: exit status and what is printed."""
    said = [f"Validating rules from {path}"]
    try:
        config = load(path)
        parse(config)
    except IngressError as error:
        text = str(error)
        return 1, text if text.startswith("error parsing") else "\n".join([*said, f"Validation failed: {text}"])
    warnings = list(unknown_keys(config))
    if warnings:
        said.append("Warning: unused keys detected in your config file. Here is a list of unused keys:")
        return 0, "\n".join([*said, "yaml: unmarshal errors:", *warnings])
    return 0, "\n".join([*said, "OK"])
