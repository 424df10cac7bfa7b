# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Email Routing between the API's JSON and our form. Pure.

What cannot be read whole becomes opaque (a rule with several matchers or actions) or raises WireError.
"""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.dns import rdata
from ansible_collections.mailstead.stack.plugins.module_utils.email_routing.model import (
    ACTIONS,
    Destination,
    RequiredRecord,
    Rule,
    Settings,
)


class WireError(ValueError):
    """An answer that has not the documented shape; says what is missing."""


def read_settings(raw: Any) -> Settings:
    """``GET zones/{z}/email/routing``. Raises WireError."""
    if not isinstance(raw, dict) or not isinstance(raw.get("enabled"), bool):
        raise WireError("the settings do not say whether routing is enabled")
    return Settings(
        enabled=raw["enabled"],
        status=str(raw.get("status") or ""),
        subaddressing=raw.get("support_subaddress") is True,
        wizard_skipped=raw.get("skip_wizard") is True,
    )


def read_required(raw: Any, domain: str) -> Tuple[RequiredRecord, ...]:
    """``GET zones/{z}/email/routing/dns`` in either shape: a list of records, or ``{errors: [{missing}], record: […]}``.

    domain: what ``@`` stands for. Raises WireError.
    """
    if isinstance(raw, list):
        return tuple(_required(item, domain, missing=False) for item in raw)
    if not isinstance(raw, dict) or not isinstance(raw.get("record"), list):
        raise WireError("the required records are missing")
    complaints = [e for e in raw.get("errors") or [] if isinstance(e, dict) and isinstance(e.get("missing"), dict)]
    missing = {_key(_required(e["missing"], domain, missing=True)) for e in complaints}
    records = [_required(item, domain, missing=False) for item in raw["record"]]
    return tuple(
        RequiredRecord(r.type, r.name, r.content, r.priority, r.ttl, missing=_key(r) in missing) for r in records
    )


def _key(record: RequiredRecord) -> Tuple[str, str, str]:
    return (record.type, record.name, record.content)


def _required(raw: Any, domain: str, missing: bool) -> RequiredRecord:
    if not isinstance(raw, dict) or not all(isinstance(raw.get(k), str) for k in ("type", "name", "content")):
        raise WireError("a required record lacks its type, name or content")
    rtype, content = raw["type"].upper(), raw["content"]
    name = raw["name"].lower().rstrip(".")
    priority, ttl = raw.get("priority"), raw.get("ttl")
    return RequiredRecord(
        type=rtype,
        name=domain if name in ("@", "") else name,
        content=rdata.txt_decode(content) if rtype == "TXT" else content.lower().rstrip("."),
        priority=priority if isinstance(priority, int) else None,
        ttl=ttl if isinstance(ttl, int) else 1,
        missing=missing,
    )


def read_destination(raw: Any) -> Destination:
    """An entry of ``accounts/{a}/email/routing/addresses``. Raises WireError."""
    if not isinstance(raw, dict) or not isinstance(raw.get("email"), str):
        raise WireError("a destination has no address")
    return Destination(raw["email"], _id(raw), str(raw.get("verified") or ""))


def _id(raw: Mapping[str, Any]) -> str:
    return str(raw.get("id") or raw.get("tag") or "")


def read_rule(raw: Any) -> Rule:
    """A rule of either listing, or the catch-all. Raises WireError."""
    if not isinstance(raw, dict) or not isinstance(raw.get("matchers"), list):
        raise WireError("a rule has no matchers")
    address = _address(raw["matchers"])
    action, target = _action(raw.get("actions"))
    zone, priority = raw.get("zone"), raw.get("priority")
    return Rule(
        address=address if address is not None else "",
        action=action or "several",
        target=target,
        enabled=raw.get("enabled") is True,
        name=str(raw.get("name") or ""),
        priority=priority if isinstance(priority, int) else 0,
        id=_id(raw),
        source=str(raw.get("source") or "api"),
        opaque=address is None or not action,
        zone=str(zone.get("name") or "").lower() if isinstance(zone, dict) else "",
    )


def _address(matchers: List[Any]) -> Optional[str]:
    """The literal recipient, nothing for the catch-all, None for what this code does not know."""
    found = matchers[0] if len(matchers) == 1 and isinstance(matchers[0], dict) else {}
    if found.get("type") == "all":
        return ""
    value = found.get("value")
    if found.get("type") == "literal" and found.get("field") == "to" and isinstance(value, str) and value:
        return value
    return None


def _action(actions: Any) -> Tuple[str, str]:
    """(action, target); no action for what this code does not know."""
    only = actions[0] if isinstance(actions, list) and len(actions) == 1 else None
    if not isinstance(only, dict) or only.get("type") not in ACTIONS:
        return "", ""
    values = only.get("value") or []
    if only["type"] == "drop":
        return "drop", ""
    if len(values) != 1 or not isinstance(values[0], str) or not values[0]:
        return "", ""
    return only["type"], values[0]


def write_rule(rule: Rule) -> Dict[str, Any]:
    """The body of POST and PUT, of the catch-all's too."""
    action: Dict[str, Any] = {"type": rule.action}
    if rule.target:
        action["value"] = [rule.target]
    matcher = {"type": "literal", "field": "to", "value": rule.address} if rule.address else {"type": "all"}
    body: Dict[str, Any] = {
        "name": rule.name,
        "enabled": rule.enabled,
        "matchers": [matcher],
        "actions": [action],
    }
    if rule.address:
        body["priority"] = rule.priority
    return body
