# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a policy may say, and whom its rules match."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

from . import errors
from .clock import duration
from .model import Policy, ServiceToken

DECISIONS = ("allow", "deny", "non_identity", "bypass")
#: Fields that are kept as they were given.
PLAIN = (
    *("approval_groups", "approval_required", "connection_rules", "isolation_required", "mfa_config"),
    *("purpose_justification_prompt", "purpose_justification_required", "session_duration"),
)
FIELDS = ("name", "decision", "include", "exclude", "require", *PLAIN)
#: Kinds of rules (description of the API). Those that are not about programs match nobody here: nobody logs in.
RULES = frozenset(
    [
        *("any_valid_service_token", "auth_context", "auth_method", "azureAD", "certificate", "common_name"),
        *("device_posture", "email", "email_domain", "email_list", "everyone", "external_evaluation", "geo"),
        *(
            "github-organization",
            "group",
            "gsuite",
            "ip",
            "ip_list",
            "linked_app_token",
            "login_method",
            "okta",
            "oidc",
        ),
        *("saml", "service_token", "user_risk_score"),
    ]
)


def read(body: Mapping[str, Any], tokens: Mapping[str, ServiceToken]) -> dict[str, Any]:
    """The fields of a policy: name, decision, three lists of rules and ``more``. tokens: those there are. Raises ApiError."""
    name, decision = body.get("name"), body.get("decision")
    if not isinstance(name, str) or not name.strip():
        raise errors.invalid_request("policy name is required", "/name")
    if decision not in DECISIONS:
        raise errors.invalid_request("unrecognized policy decision", "/decision")
    lists = {kind: _rules(body.get(kind), kind, tokens) for kind in ("include", "exclude", "require")}
    if not lists["include"]:
        raise errors.invalid_request("policies must have at least one include rule", "/include")
    if body.get("session_duration") is not None:
        try:
            duration(body["session_duration"])
        except ValueError:
            raise errors.invalid_request("invalid session_duration", "/session_duration") from None
    more = {field: body[field] for field in PLAIN if body.get(field) is not None}
    return {"name": name, "decision": decision, **lists, "more": more}


def _rules(given: Any, kind: str, tokens: Mapping[str, ServiceToken]) -> list[dict[str, Any]]:
    if given is None:
        return []
    if not isinstance(given, list):
        raise errors.invalid_request(f"{kind} is a list", f"/{kind}")
    for index, rule in enumerate(given):
        where = f"/{kind}/{index}"
        if not isinstance(rule, dict) or len(rule) != 1 or not isinstance(next(iter(rule.values())), dict):
            raise errors.invalid_request("a rule is an object with one kind", where)
        if next(iter(rule)) not in RULES:
            raise errors.invalid_request(f"unknown rule {next(iter(rule))}", where)
        if "service_token" in rule and rule["service_token"].get("token_id") not in tokens:
            raise errors.invalid_request("service token not found", where)
        if "ip" in rule:
            try:
                ipaddress.ip_network(str(rule["ip"].get("ip")))
            except ValueError:
                raise errors.invalid_request("invalid ip range", where) from None
    return given


def tokens_of(policy: Policy) -> set[str]:
    """Ids of the service tokens that a policy names."""
    return {str(rule["service_token"]["token_id"]) for rule in policy.rules if "service_token" in rule}


def matches(policy: Policy, token: ServiceToken | None, ip: str) -> bool:
    """Whether a request with this (good) service token from this address is one that the policy is about."""
    return (
        any(_match(rule, token, ip) for rule in policy.include)
        and all(_match(rule, token, ip) for rule in policy.require)
        and not any(_match(rule, token, ip) for rule in policy.exclude)
    )


def _match(rule: dict[str, Any], token: ServiceToken | None, ip: str) -> bool:
    if "everyone" in rule:
        return True
    if "service_token" in rule:
        return token is not None and rule["service_token"]["token_id"] == token.id
    if "any_valid_service_token" in rule:
        return token is not None
    if "ip" in rule and ip:
        return ipaddress.ip_address(ip) in ipaddress.ip_network(rule["ip"]["ip"])
    return False
