# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An account's rules as the intent that describes them: applied, it changes nothing. Pure.

The form is that of the intent's ``inbound`` (``addresses``, ``catch_all``, ``subaddressing``) and of the module
cloudflare_email_routing_rules alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, FrozenSet, List, Mapping, Optional, Sequence, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.email_routing.model import (
    MARK,
    Destination,
    Rule,
    Settings,
)
from ansible_collections.mailstead.stack.plugins.module_utils.email_routing.words import Value, value_of


@dataclass(frozen=True)
class Inbound:
    """One mail domain as intent. addresses: by local part. catch_all: None where nobody has configured it, and for
    domains below the zone's own, as a zone has one. notes: what could not be taken over, and why."""

    domain: str
    addresses: Mapping[str, Value]
    catch_all: Optional[Value] = None
    subaddressing: bool = False
    notes: Tuple[str, ...] = ()

    def to_data(self) -> Dict[str, Any]:
        """For YAML, in the words of the intent."""
        out: Dict[str, Any] = {"provider": "cloudflare_email_routing", "subaddressing": self.subaddressing}
        out["addresses"] = dict(self.addresses)
        if self.catch_all is not None:
            out["catch_all"] = self.catch_all
        return out


def to_intent(
    zone: str,
    settings: Settings,
    rules: Sequence[Rule],
    destinations: Sequence[Destination],
    instance: str = "mailstead",
) -> List[Inbound]:
    """The mail domains of a zone, its own first.

    zone: its name. rules: those of the zone, the catch-all included. instance: whose rules carry their words as tags;
    names that others gave are theirs and would not be written by us, so they are left out. What the intent cannot say (a
    rule of several actions, one of a Worker's own configuration, two for one address) stays as it is and is noted.
    """
    verified = frozenset(d.address.lower() for d in destinations if d.verified)
    by_domain: Dict[str, Dict[str, List[Rule]]] = {zone: {}}
    notes: Dict[str, List[str]] = {}
    catch_all: Optional[Value] = None
    for rule in rules:
        domain = rule.domain or zone
        why = _unsaid(rule)
        if why:
            notes.setdefault(domain, []).append(f"{rule.address or 'a rule'} stays as it is: {why}")
        elif rule.address:
            by_domain.setdefault(domain, {}).setdefault(rule.address.lower(), []).append(rule)
        elif not rule.unset:
            catch_all = _value(rule, verified, instance)
    out: List[Inbound] = []
    for domain in sorted(by_domain, key=lambda d: (d != zone, d)):
        addresses: Dict[str, Value] = {}
        for address, found in sorted(by_domain[domain].items()):
            if len(found) > 1:
                told = " and ".join(str(r) for r in found)
                notes.setdefault(domain, []).append(f"{address} is left out: it has {len(found)} rules, {told}")
            else:
                addresses[address.rpartition("@")[0]] = _value(found[0], verified, instance)
        theirs = tuple(notes.get(domain, ()))
        apex = domain == zone
        out.append(Inbound(domain, addresses, catch_all if apex else None, settings.subaddressing, theirs))
    return out


def _unsaid(rule: Rule) -> str:
    """Why the intent has no words for a rule; nothing when it has."""
    if rule.opaque:
        return f"it has several actions or matchers ({rule.name or rule.id})"
    if rule.source != "api":
        return f"it belongs to a Worker's own configuration ({rule.source})"
    return ""


def _value(rule: Rule, verified: FrozenSet[str], instance: str) -> Value:
    ours = rule.mine(instance)
    text = rule.name[len(f"{MARK}:{instance} ") :] if ours else ""
    return value_of(rule, rule.target.lower() in verified, text or None)


def to_mapping(inbounds: Sequence[Inbound]) -> List[Dict[str, Any]]:
    """The intent's ``mail_domains``, ready for YAML."""
    return [{"name": i.domain, "inbound": i.to_data()} for i in inbounds]
