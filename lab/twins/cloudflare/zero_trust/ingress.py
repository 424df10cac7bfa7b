# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules that a tunnel's configuration keeps to: those by which cloudflared reads it."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from .errors import bad_configuration

_NAMED = ("hello_world", "hello-world", "bastion", "socks-proxy")
_STATUS = re.compile(r"http_status:(\d{3})")


def check(config: Any) -> dict[str, Any]:
    """The configuration as it was given. Raises ApiError."""
    if not isinstance(config, dict):
        raise bad_configuration("config is an object")
    rules = config.get("ingress")
    if not isinstance(rules, list) or not rules:
        raise bad_configuration("No ingress rules were specified in the config file")
    for index, rule in enumerate(rules):
        _rule(rule, index, last=index == len(rules) - 1)
    for origin in (config.get("originRequest"), *(rule.get("originRequest") for rule in rules)):
        _origin(origin)
    return config


def _rule(rule: Any, index: int, last: bool) -> None:
    if not isinstance(rule, dict) or not isinstance(rule.get("service"), str):
        raise bad_configuration(f"Rule #{index + 1} has no service")
    hostname, path = rule.get("hostname") or "", rule.get("path") or ""
    if not isinstance(hostname, str) or not isinstance(path, str):
        raise bad_configuration(f"Rule #{index + 1} has a hostname or path that is no text")
    if ":" in hostname:
        raise bad_configuration("Hostname cannot contain a port")
    if "*" in hostname[1:] or (hostname.startswith("*") and not hostname.startswith("*.") and hostname != "*"):
        raise bad_configuration(
            "Hostname patterns can have at most one wildcard character, and it must be at the start"
        )
    everything = hostname in ("", "*") and not path
    if last and not everything:
        raise bad_configuration(
            "The last ingress rule must match all URLs (i.e. it should not have a hostname or path filter)"
        )
    if everything and not last:
        raise bad_configuration(
            f"Rule #{index + 1} is matching the hostname '{hostname}', but this will match every hostname, meaning the rules "
            "which follow it will never be triggered."
        )
    _service(rule["service"])


def _service(service: str) -> None:
    status = _STATUS.fullmatch(service)
    if service in _NAMED or service.startswith(("unix:", "unix+tls:")) or (status and 100 <= int(status[1]) <= 999):
        return
    parts = urlsplit(service)
    if not parts.scheme or not parts.hostname:
        raise bad_configuration(f"{service} is an invalid address, please make sure it has a scheme and a hostname")
    if parts.path:
        raise bad_configuration(
            f"{service} is an invalid address, ingress rules don't support proxying to a different path"
        )


def _origin(origin: Any) -> None:
    """``access`` needs a team wherever it names audiences or is required (documented: teamName is not optional)."""
    if origin is None:
        return
    if not isinstance(origin, dict):
        raise bad_configuration("originRequest is an object")
    access = origin.get("access")
    if access is None:
        return
    if not isinstance(access, dict) or not isinstance(access.get("audTag", []), list):
        raise bad_configuration("originRequest.access is an object, its audTag a list")
    if (access.get("required") or access.get("audTag")) and not access.get("teamName"):
        raise bad_configuration("access.TeamName cannot be blank")
