# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan as checks ask for it: who sends from where, which record must stand where, who can look from outside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Set, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.checks import headers
from ansible_collections.mailstead.stack.plugins.module_utils.plan.model import (
    AccountPlan,
    CanaryPlan,
    DomainPlan,
    EdgePlan,
    HomePlan,
    HostedPlan,
    MailDomain,
    MailPlan,
    Record,
    RoutingPlan,
    RulePlan,
    SubmissionPlan,
)
from ansible_collections.mailstead.stack.plugins.module_utils.plan.resolve import Facts, resolve

#: Where the controller is in ``by_vantage``.
CONTROLLER = "localhost"


@dataclass(frozen=True)
class Vantages:
    """Hosts from which the path is looked at, by what they can see. outside: hosts that are no part of the path.

    sending: hosts of services through which applications send; clients: hosts of applications behind a tunnel.
    """

    home: Tuple[str, ...]
    edge: Tuple[str, ...]
    outside: Tuple[str, ...]
    controller: str = CONTROLLER
    sending: Tuple[str, ...] = ()
    clients: Tuple[str, ...] = ()

    def all(self) -> Tuple[str, ...]:
        every = (self.controller, *self.edge, *self.home, *self.outside, *self.sending, *self.clients)
        return tuple(dict.fromkeys(every))


@dataclass(frozen=True)
class Key:
    """A DKIM key that signs. path: private key file on the home host, empty when not known.

    holder: who signs with it where that is not our own server, for people. alias: the name that holds the record where the
    holder keeps it there; txt and algorithm are empty then.
    """

    domain: str
    algorithm: str
    selector: str
    txt: str
    path: str = ""
    home: str = ""
    holder: str = ""
    alias: str = ""

    @property
    def scope(self) -> str:
        return f"{self.domain}/{self.selector}"

    @property
    def record(self) -> str:
        return f"{self.selector}._domainkey.{self.domain}"


class View:
    """A plan with the facts that fill it. Facts beyond ``plan.resolve.Facts``: ``path`` of each DKIM entry."""

    def __init__(self, plan: MailPlan, facts: Facts, controller: str = CONTROLLER) -> None:
        self.plan = plan
        self.facts = facts
        # Through the first phase only: what does not exist yet is left out instead of being an error.
        self.zones: Dict[str, Tuple[Record, ...]] = {z.name: z.records for z in resolve(plan, facts, "address")}
        inside = {h.host for h in plan.homes} | {s.host for s in self.submissions}
        self.vantages = Vantages(
            home=tuple(h.host for h in plan.homes),
            edge=tuple(e.host for e in plan.edges),
            outside=tuple(v for v in plan.vantages if v not in inside),
            controller=controller,
            sending=tuple(s.host for s in self.submissions),
            clients=tuple(c.host for s in self.submissions for c in s.clients),
        )

    @property
    def submissions(self) -> Tuple[SubmissionPlan, ...]:
        """Services in use through which applications send."""
        return tuple(s for s in self.plan.submissions if s.state == "present")

    @property
    def routed(self) -> Tuple[RoutingPlan, ...]:
        """Domains in use whose mail a routing service takes."""
        return tuple(d for d in self.plan.routing if d.state == "present")

    @property
    def mail_domains(self) -> Tuple[MailDomain, ...]:
        """Every mail domain once, by who takes its mail."""
        return (*self.taking, *self.routed, *self.hosted)

    @property
    def hosted(self) -> Tuple[HostedPlan, ...]:
        """Domains in use whose mailboxes are at a provider."""
        return tuple(d for d in self.plan.hosted if d.state == "present")

    @property
    def sent_elsewhere(self) -> Tuple[MailDomain, ...]:
        """Domains whose mail leaves from no address of ours: hosted ones, and routed ones that a service sends for."""
        served = {name for s in self.submissions for name in s.domains}
        return (*self.hosted, *(d for d in self.routed if d.name in served))

    @property
    def taking(self) -> Tuple[DomainPlan, ...]:
        """Domains whose mail comes to a home; the other ``plan.domains`` are only sent from there."""
        return tuple(d for d in self.plan.domains if d.takes_mail)

    def doors(self, domain: DomainPlan) -> List[EdgePlan]:
        """Edges at which the domain's users hand in mail."""
        egress = self.edge(domain.egress)
        return self.inbound(domain) or ([egress] if egress else [])

    def canary_route(self, domain: RoutingPlan) -> Optional[Tuple[str, CanaryPlan]]:
        """An address whose mail is forwarded to a witness's mailbox, and that witness."""
        caught: Tuple[RulePlan, ...] = (domain.catch_all,) if domain.catch_all else ()
        for rule in (*domain.rules, *caught):
            for canary in self.plan.canaries:
                if rule.action == "forward" and rule.enabled is not False and same(rule.target, canary.address):
                    return rule.address or f"canary@{domain.name}", canary
        return None

    def awaited(self, domain: RoutingPlan, destination: str) -> bool:
        """Whether the service is known to wait for the destination's owner. Where nothing was told it is not."""
        told = self.facts.routing.get(domain.name)
        return told is not None and not any(same(a, destination) and when for a, when in told.destinations.items())

    def home(self, host: str) -> HomePlan:
        return next(h for h in self.plan.homes if h.host == host)

    def edge(self, host: str) -> Optional[EdgePlan]:
        return next((e for e in self.plan.edges if e.host == host), None)

    def inbound(self, domain: DomainPlan) -> List[EdgePlan]:
        return [e for e in (self.edge(h) for h in domain.edges) if e]

    def egress_edges(self) -> List[EdgePlan]:
        """Edges from whose address mail leaves."""
        used = {d.egress for d in self.plan.domains} | {s.edge for s in self.submissions}
        return [e for e in self.plan.edges if e.host in used]

    def egress_addresses(self, domain: DomainPlan) -> List[str]:
        edge = self.edge(domain.egress)
        return list(addresses_of(edge)) if edge else []

    def zone_of(self, name: str) -> str:
        """The planned zone that holds a name, or nothing."""
        holders = [z for z in self.zones if name == z or name.endswith("." + z)]
        return max(holders, key=len) if holders else ""

    def records(self, name: str, rtype: str) -> List[Record]:
        return [r for r in self.zones.get(self.zone_of(name), ()) if r.name == name and r.type == rtype]

    def keys(self, domain: str) -> List[Key]:
        """The keys that sign for a domain at its home. An entry with a stage other than active (or empty) does not sign."""
        plan = next((d for d in self.plan.domains if d.name == domain), None)
        return [] if plan is None else self._keys(domain, "", plan.home)

    def keys_of_service(self, service: SubmissionPlan, domain: str = "") -> List[Key]:
        """The keys with which a service signs what applications send: for one domain, or for all of its domains."""
        domains = (domain,) if domain else service.domains
        return [key for name in domains for key in self._keys(name, service.name, service.host)]

    def signing(self, domain: str) -> List[Key]:
        """Every key of ours that signs for a domain, wherever."""
        return [*self.keys(domain), *(k for s in self.submissions for k in self.keys_of_service(s, domain))]

    def _keys(self, domain: str, service: str, host: str) -> List[Key]:
        out = []
        for fact in self.facts.dkim:
            if fact.get("domain") != domain or not fact.get("txt") or fact.get("stage", "active") not in ("", "active"):
                continue
            if str(fact.get("service") or "") != service:
                continue
            out.append(
                Key(
                    domain,
                    str(fact.get("algorithm", "")),
                    str(fact.get("selector", "")),
                    str(fact["txt"]),
                    str(fact.get("path") or fact.get("key_file") or fact.get("file") or ""),
                    host,
                )
            )
        return sorted(out, key=lambda k: k.selector)

    def asked_for(self, domain: HostedPlan) -> Tuple[Record, ...]:
        """The records that the profiles of a hosted domain's providers ask for, beside MX, SPF and policies."""
        providers = (domain.provider, *(s.provider for s in domain.senders))
        roles = {"webmail", *providers, *(f"dkim-{p}" for p in providers)}
        others = {d.name for d in self.mail_domains} - {domain.name}
        below = {o for o in others if within(o, domain.name)}
        return tuple(
            r
            for r in self.zones.get(domain.zone, ())
            if r.role in roles and within(r.name, domain.name) and not any(within(r.name, o) for o in below)
        )

    def keys_of_others(self, domain: HostedPlan) -> List[Key]:
        """The keys with which providers sign for a hosted domain; those of our own server are in :meth:`keys`."""
        titles = {f"dkim-{s.provider}": s.title for s in domain.senders}
        titles[f"dkim-{domain.provider}"] = domain.title
        suffix = f"._domainkey.{domain.name}"
        out = []
        for record in self.asked_for(domain):
            if record.role not in titles or not record.name.endswith(suffix):
                continue
            selector, holder = record.name[: -len(suffix)], titles[record.role]
            if record.type == "CNAME":
                out.append(Key(domain.name, "", selector, "", holder=holder, alias=record.content))
            else:
                kind = headers.tags(record.content).get("k", "rsa")
                out.append(Key(domain.name, kind, selector, record.content, holder=holder))
        return sorted(out, key=lambda k: k.selector)

    def witness_in(self, domain: HostedPlan) -> Optional[CanaryPlan]:
        """A witness whose own mailbox is one of the domain's: with its password mail to the provider can be read."""
        return next((c for c in self.plan.canaries if domain_of(c.address) == domain.name), None)

    def account(self, domain: DomainPlan) -> Optional[AccountPlan]:
        """The mailbox with which the path is exercised: the first one."""
        return domain.accounts[0] if domain.accounts else None


def within(name: str, domain: str) -> bool:
    """Whether a name is the domain or one below it."""
    return name == domain or name.endswith("." + domain)


def exchangers(domain: HostedPlan) -> Tuple[str, ...]:
    """The hosts of a hosted domain's MX, the preferred one first."""
    pairs = [mx.split(" ", 1) for mx in domain.mx]
    return tuple(host for _preference, host in sorted(pairs, key=lambda pair: int(pair[0])))


def same(address: str, other: str) -> bool:
    return address.lower() == other.lower()


def addresses_of(edge: EdgePlan) -> Tuple[str, ...]:
    return tuple(a for a in (edge.ipv4, edge.ipv6) if a)


def bounce_domains(service: SubmissionPlan) -> Tuple[str, ...]:
    """Domains of the envelope senders that a service's mail leaves with, where bounces are not told to a program alone."""
    own = {domain_of(a.return_path) for a in service.applications if a.return_path}
    if not service.webhook:
        own |= {domain for a in service.applications if not a.return_path for domain in a.domains}
    return tuple(sorted(own))


def domain_of(address: str) -> str:
    return address.rpartition("@")[2].lower()


def secret_references(plan: MailPlan) -> Tuple[str, ...]:
    """The references whose values the probes need: the first mailbox of every domain and the canaries' mailboxes; of
    services for applications the login that checks use and those at smarthosts."""
    found = [d.accounts[0].secret for d in plan.domains if d.accounts] + [c.secret for c in plan.canaries]
    for service in plan.submissions:
        if service.state == "present":
            found += [s.secret for s in (*service.smarthosts, service.probe) if s is not None and s.secret]
    return tuple(sorted(set(found)))


def named_secrets(args: Any) -> Set[str]:
    """The references that a probe's arguments hold, however deep."""
    if isinstance(args, Mapping):
        own = {str(v) for k, v in args.items() if k == "secret" and isinstance(v, str) and v}
        return own.union(*(named_secrets(v) for v in args.values()))
    return set().union(*(named_secrets(v) for v in args)) if isinstance(args, (list, tuple)) else set()
