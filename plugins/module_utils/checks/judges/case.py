# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every judge works with: the plan, the observations, and short ways to say what was found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.checks import ids
from ansible_collections.mailstead.stack.plugins.module_utils.checks.catalogue import BY_ID
from ansible_collections.mailstead.stack.plugins.module_utils.checks.finding import (
    FAIL,
    NA,
    PASS,
    UNKNOWN,
    WARN,
    Finding,
)
from ansible_collections.mailstead.stack.plugins.module_utils.checks.observation import Observation, Observations
from ansible_collections.mailstead.stack.plugins.module_utils.checks.view import View, addresses_of
from ansible_collections.mailstead.stack.plugins.module_utils.plan.model import DomainPlan, EdgePlan, MailDomain

NO_OUTSIDE = "no outside vantage is declared (inventory group mail_vantage)"
NO_CANARY = "no canary mailbox is declared (mail_operator.canaries)"


@dataclass(frozen=True)
class Published:
    """What the authoritative servers say about a name and type. known: at least one of them answered.

    servers: (label, values) of those that answered; values: of the first; why: what is in the way when not known.
    """

    known: bool
    values: Tuple[str, ...] = ()
    servers: Tuple[Tuple[str, Tuple[str, ...]], ...] = ()
    ttl: int = 0
    segments: Tuple[Tuple[int, ...], ...] = ()
    chain: Tuple[str, ...] = ()
    why: str = ""
    name: str = ""
    rtype: str = ""

    def evidence(self) -> Tuple[str, ...]:
        return tuple(
            f"{label}: {self.name} {self.rtype} {' | '.join(values) or 'no such record'}"
            for label, values in self.servers
        )


@dataclass
class Case:
    """view: plan and facts; obs: observations; now: seconds since the epoch."""

    view: View
    obs: Observations
    now: float
    _cache: Dict[Tuple[str, str], Published] = field(default_factory=dict)

    # -- saying ----------------------------------------------------------------------------------------------------

    def finding(
        self,
        check_id: str,
        scope: str,
        verdict: str,
        observed: str,
        *,
        expected: str = "",
        evidence: Iterable[str] = (),
        fix: str = "",
        requires: Sequence[str] = (),
        matters: Optional[bool] = None,
    ) -> Finding:
        check = BY_ID[check_id]
        return Finding(
            id=check_id,
            title=check.title,
            scope=scope,
            verdict=verdict,
            expected=expected,
            observed=observed,
            evidence=tuple(evidence),
            fix=fix if verdict not in (PASS, NA) else "",
            rule=check.ref,
            severity=check.severity,
            matters=check.severity == FAIL if matters is None else matters,
            requires=tuple(requires),
            area=check.area,
        )

    def passed(self, check_id: str, scope: str, observed: str, **rest: Any) -> Finding:
        return self.finding(check_id, scope, PASS, observed, **rest)

    def warn(self, check_id: str, scope: str, observed: str, **rest: Any) -> Finding:
        return self.finding(check_id, scope, WARN, observed, **rest)

    def fail(self, check_id: str, scope: str, observed: str, **rest: Any) -> Finding:
        return self.finding(check_id, scope, FAIL, observed, **rest)

    def unknown(self, check_id: str, scope: str, observed: str, **rest: Any) -> Finding:
        return self.finding(check_id, scope, UNKNOWN, observed, **rest)

    def na(self, check_id: str, scope: str, observed: str) -> Finding:
        return self.finding(check_id, scope, NA, observed)

    # -- looking ---------------------------------------------------------------------------------------------------

    def seen(self, probe: str, vantage: Optional[str] = None) -> Optional[Observation]:
        return self.obs.get(probe, vantage)

    def why_not(self, observation: Optional[Observation], probe: str, vantage: str = "") -> str:
        """Why there is no usable observation, in words."""
        where = f" from {vantage}" if vantage else ""
        if observation is None:
            return f"there is no observation {probe}{where}"
        return f"{observation.vantage}: {observation.message or observation.error}"

    def published(self, name: str, rtype: str) -> Published:
        if (name, rtype) not in self._cache:
            self._cache[(name, rtype)] = self._published(name, rtype)
        return self._cache[(name, rtype)]

    def _published(self, name: str, rtype: str) -> Published:
        zone = self.view.zone_of(name)
        probe = ids.zone(zone)
        seen = self.seen(probe)
        if seen is None or not seen.ok:
            return Published(False, why=self.why_not(seen, probe), name=name, rtype=rtype)
        servers: List[Tuple[str, Tuple[str, ...]]] = []
        first: Dict[str, Any] = {}
        for server in seen.data.get("servers", ()):
            answer = server.get("answers", {}).get(f"{name} {rtype}")
            if answer is None or server.get("error") or answer.get("rcode") not in ("NOERROR", "NXDOMAIN"):
                continue
            first = first or answer
            servers.append((f"{server['ns']} ({server['address']})", tuple(sorted(answer.get("values", ())))))
        if not servers:
            return Published(False, why=f"no authoritative server of {zone} answered", name=name, rtype=rtype)
        return Published(
            True,
            servers[0][1],
            tuple(servers),
            int(first.get("ttl", 0)),
            tuple(tuple(s) for s in first.get("segments", ())),
            tuple(first.get("chain", ())),
            name=name,
            rtype=rtype,
        )

    def zone_needs(self, name: str) -> Tuple[str, ...]:
        return (f"E1@{self.view.zone_of(name)}",)

    def unproven_needs(self, domain: MailDomain) -> Tuple[str, ...]:
        """Where nothing at all proves a hosted domain's mail, that is one finding and not one for each record."""
        return (f"N3@{domain.name}",) if any(d.name == domain.name for d in self.view.hosted) else ()

    def answers(self) -> Mapping[str, Mapping[str, Any]]:
        """What the controller's resolver said, by "name type"; empty when it could not be asked."""
        seen = self.seen(ids.RESOLVER, self.view.vantages.controller)
        return seen.data.get("answers", {}) if seen and seen.ok else {}

    def sessions(self) -> List[Tuple[EdgePlan, str, Optional[Observation]]]:
        """Every public address for port 25 with the session seen there from outside."""
        out = []
        for edge in self.view.plan.edges:
            if any(edge.host in d.edges for d in self.view.plan.domains):
                out += [(edge, a, self.seen(ids.session(a))) for a in addresses_of(edge)]
        return out

    def inbound_needs(self, domain: DomainPlan) -> Tuple[str, ...]:
        """Checks that must hold before anything can be said about port 25 of a domain's edges."""
        out: List[str] = []
        for edge in self.view.inbound(domain):
            out += [f"C1@{a}" for a in addresses_of(edge)] + [f"C2@{edge.host}"]
        return tuple(out)

    def address_needs(self, edge: EdgePlan, address: str) -> Tuple[str, ...]:
        return (f"C1@{address}", f"C2@{edge.host}")

    @property
    def watched(self) -> bool:
        """Whether somebody outside can look."""
        return bool(self.view.vantages.outside)


def first_txt(values: Iterable[str], prefix: str) -> List[str]:
    """TXT values that belong to a protocol, by their version tag (case as the RFCs have it, compared without case)."""
    return [v for v in values if v.lower().replace(" ", "").startswith(prefix.lower())]


def certificate_evidence(data: Dict[str, Any]) -> str:
    names = ", ".join(data.get("names", ())) or data.get("subject", "")
    return f"certificate for {names}, issued by {data.get('issuer', '')}, {data.get('version', '')}"
