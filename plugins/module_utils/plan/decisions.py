# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why each value of a plan is what it is: the user's word, our default with its reason, or what follows from others."""

from __future__ import annotations

from typing import List, Mapping, Sequence, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.intent import model as intent_model
from ansible_collections.mailstead.stack.plugins.module_utils.plan.model import (
    ApplicationPlan,
    Decision,
    DomainPlan,
    EdgePlan,
    HomePlan,
    HostedPlan,
    RoutingPlan,
    SubmissionPlan,
)

#: Why a careful operator would choose our default, by the intent's key.
REASONS = {
    "inbound.host": "the inventory has one home",
    "inbound.edge": "the inventory has one edge",
    "outbound.egress": "mail leaves from the address that has the reverse record: the inbound edge's",
    "dkim.keys": "RSA-2048 because every receiver verifies it, Ed25519 beside it for those that can",
    "dkim.selector": "year and month: a selector's name is never used twice and tells its age",
    "dkim.rotate_after": "at least every six months (M3AAWG key rotation practice)",
    "dmarc.policy": "auto is the strictest all declared senders allow; our own server signs aligned, so reject",
    "dmarc.np": "names that do not exist send no mail (RFC 9989)",
    "dmarc.adkim": "only the domain's own signature counts",
    "dmarc.aspf": "bounces of the edge come from a name below the domain",
    "dmarc.rua": "reports are worth having and postmaster must exist anyway (RFC 5321 §4.5.1)",
    "mta_sts": "testing first: senders report but deliver, enforce once the reports are clean",
    "tls_rpt": "the same mailbox as the DMARC reports",
    "dane": "TLSA records where the zone is signed; elsewhere they are worthless",
    "subaddressing": "user+tag is expected and harmless",
    "catch_all": "none: mail to unknown addresses is refused at RCPT, which is what senders can act on",
    "zone": "the domain is its own zone",
}


def explain(
    intent: intent_model.Intent,
    domains: Sequence[DomainPlan],
    homes: Sequence[HomePlan],
    edges: Sequence[EdgePlan],
) -> Tuple[Decision, ...]:
    """One decision per value that shapes the plan, domains first."""
    out: List[Decision] = []
    for domain in domains:
        declared = next(d for d in intent.domains if d.name == domain.name)
        if not domain.takes_mail:
            out += _explain_submission(declared, domain)
            continue
        values = {
            "zone": domain.zone,
            "inbound.host": domain.home,
            "inbound.edge": ", ".join(domain.edges),
            "outbound.egress": domain.egress,
            "dkim.keys": ", ".join(domain.dkim.algorithms),
            "dkim.selector": f"{domain.dkim.selector}r / {domain.dkim.selector}e",
            "dkim.rotate_after": f"{domain.dkim.rotate_after}d",
            "dmarc.policy": domain.dmarc.policy,
            "dmarc.np": domain.dmarc.np,
            "dmarc.adkim": domain.dmarc.adkim,
            "dmarc.aspf": domain.dmarc.aspf,
            "dmarc.rua": ", ".join(domain.dmarc.rua),
            "mta_sts": domain.mta_sts,
            "tls_rpt": ", ".join(domain.tls_rpt) or "off",
            "dane": declared.dane,
            "subaddressing": "on" if domain.subaddressing else "off",
            "catch_all": domain.catch_all or "none",
        }
        given = {a for account in declared.accounts for a in account.aliases}
        for account in domain.accounts:
            implied = [a for a in account.aliases if a not in given]
            if implied:
                why = "every mail domain must have them (RFC 5321 §4.5.1, RFC 2142); the first mailbox gets them"
                out.append(Decision(domain.name, f"aliases of {account.address}", ", ".join(implied), "default", why))
        if len(intent.operator.dns) > 1:
            named = any(domain.zone in d.zones for d in intent.operator.dns)
            why = "your inventory says so" if named else "the first DNS host serves every zone that no other names"
            source = "given" if named else "default"
            out.append(Decision(domain.name, "dns", intent.dns_of(domain.zone).provider, source, why))
        for key, value in values.items():
            if _given(declared, key):
                out.append(Decision(domain.name, key, value, "given", "your inventory says so"))
            else:
                out.append(Decision(domain.name, key, value, "default", REASONS[key]))
    for edge in edges:
        why = "Postfix must not greet with the server's own name, or mail to our domains would look like a loop"
        out.append(Decision(edge.host, "relay_name", edge.relay_name, "derived", why))
        ports = ", ".join(str(p) for p in edge.ports) or "none"
        why = "the server's public listeners, and 80 for the ACME challenge"
        why = why if edge.ports else "no home is behind it: mail only leaves there"
        out.append(Decision(edge.host, "ports", ports, "derived", why))
        if not edge.ipv6:
            out.append(
                Decision(
                    edge.host,
                    "ipv6",
                    "off",
                    "default",
                    "large receivers refuse IPv6 without PTR; declare it when it has one",
                )
            )
    for home in homes:
        names = ", ".join(home.certificate_names)
        out.append(Decision(home.host, "certificate", names, "derived", "every name under which TLS is offered"))
        why = "the server believes this address alone about where a connection comes from"
        out.append(Decision(home.host, "tunnel_address", home.tunnel_address, "derived", why))
    return tuple(out)


def _explain_submission(declared: intent_model.Domain, domain: DomainPlan) -> List[Decision]:
    """What our own server does for a domain whose mail others take; the rest is explained with its inbound side."""
    own = declared.submission
    place = "outbound" if own is declared.outbound else "also_send_via"
    values = {
        f"{place}.host": (domain.home, "the inventory has one home"),
        f"{place}.egress": (domain.egress, "the inventory has one edge, and its address has the reverse record"),
        "dkim.keys": (", ".join(domain.dkim.algorithms), REASONS["dkim.keys"]),
        "dkim.selector": (f"{domain.dkim.selector}r / {domain.dkim.selector}e", REASONS["dkim.selector"]),
        "dkim.rotate_after": (f"{domain.dkim.rotate_after}d", REASONS["dkim.rotate_after"]),
    }
    return [
        Decision(domain.name, key, value, "given", "your inventory says so")
        if _given(declared, key)
        else Decision(domain.name, key, value, "default", why)
        for key, (value, why) in values.items()
    ]


def explain_routing(intent: intent_model.Intent, routed: Sequence[RoutingPlan]) -> Tuple[Decision, ...]:
    """The same for domains without a home."""
    out: List[Decision] = []
    for plan in routed:
        declared = next(d for d in intent.domains if d.name == plan.name)
        values = {
            "zone": (plan.zone, REASONS["zone"]),
            "inbound.subaddressing": ("on" if plan.subaddressing else "off", REASONS["subaddressing"]),
            "inbound.catch_all": (_shown(plan), "none: mail to unknown addresses is refused"),
            "dmarc.policy": (plan.dmarc.policy, f"auto is the strictest all declared senders allow. {plan.policy_why}"),
            "dmarc.np": (plan.dmarc.np, REASONS["dmarc.np"]),
            "dmarc.adkim": (plan.dmarc.adkim, REASONS["dmarc.adkim"]),
            "dmarc.aspf": (plan.dmarc.aspf, "envelope senders below the domain count"),
            "dmarc.rua": (", ".join(plan.dmarc.rua), "postmaster where somebody reads its mail, else the operator"),
            "mta_sts": (plan.mta_sts, "off: the policy has to be served by a Worker; ask for it with mta_sts: enforce"),
            "tls_rpt": (", ".join(plan.tls_rpt) or "off", REASONS["tls_rpt"]),
        }
        out += _decided(declared, values)
    return tuple(out)


def explain_hosted(intent: intent_model.Intent, hosted: Sequence[HostedPlan]) -> Tuple[Decision, ...]:
    """The same for domains whose mailboxes are at a provider."""
    out: List[Decision] = []
    for plan in hosted:
        declared = next(d for d in intent.domains if d.name == plan.name)
        values = {
            "zone": (plan.zone, REASONS["zone"]),
            "dmarc.policy": (plan.dmarc.policy, f"auto is the strictest all declared senders allow. {plan.policy_why}"),
            "dmarc.np": (plan.dmarc.np, REASONS["dmarc.np"]),
            "dmarc.adkim": (plan.dmarc.adkim, REASONS["dmarc.adkim"]),
            "dmarc.aspf": (plan.dmarc.aspf, "envelope senders below the domain count"),
            "dmarc.rua": (", ".join(plan.dmarc.rua), REASONS["dmarc.rua"]),
            "tls_rpt": (", ".join(plan.tls_rpt) or "off", REASONS["tls_rpt"]),
        }
        out += _decided(declared, values)
    return tuple(out)


def explain_services(intent: intent_model.Intent, services: Sequence[SubmissionPlan]) -> Tuple[Decision, ...]:
    """The same for services through which applications send."""
    out: List[Decision] = []
    for plan in (s for s in services if s.state == "present"):
        declared = next(s for s in intent.services if s.name == plan.name)

        def said(given: object, key: str, value: str, why: str, name: str = plan.name) -> None:
            source, reason = ("given", "your inventory says so") if given else ("default", why)
            out.append(Decision(name, key, value, source, reason))

        why = "the one host of mail_home that is nobody's home"
        said("host" in declared.given, "host", plan.host, why)
        why = "the service's name in the zone of its first sender; applications reach it under this name, wherever they are"
        said("lan" in declared.given, "lan.name", plan.server_name, why)
        for application in plan.applications:
            own = next(a for a in declared.senders if a.name == application.name)
            name = f"{plan.name}: {application.name}"
            rate = f"{application.rate} in {application.per} s"
            why = "a password that leaks is good for so many messages and no more"
            said(own.limits.per_sender or "limits.per_sender" in declared.given, "limits.per_sender", rate, why, name)
            out.append(_size(plan, declared, own, application, name))
            order = " → ".join(application.smarthosts)
            said(own.smarthosts, "smarthosts", order, "the service's, in the order in which it names them", name)
            path = application.return_path or "the address it sends as"
            said(application.return_path, "bounces", path, "nothing else is said", name)
        for smarthost in plan.smarthosts:
            if smarthost.edge:
                why = "mail leaves from its own address, which has the reverse record; the tunnel to it is mutual TLS"
                where = f"{smarthost.edge}, by the tunnel's end at {smarthost.host}:{smarthost.port}"
                out.append(Decision(plan.name, f"smarthosts.{smarthost.provider}", where, "derived", why))
                continue
            entry = next(s for s in declared.smarthosts if s.provider == smarthost.provider)
            where = f"{smarthost.host}:{smarthost.port}, TLS {'from the start' if smarthost.tls == 'implicit' else 'by STARTTLS'}"
            why = "TLS from the start where the provider offers it (RFC 8314)"
            said(entry.port, f"smarthosts.{smarthost.provider}", where, why)
            if smarthost.messages_per_day:
                why = "the provider's quota; what it refuses for now goes to the next smarthost, or waits"
                quota = f"{smarthost.messages_per_day} messages a day"
                out.append(Decision(plan.name, f"smarthosts.{smarthost.provider} quota", quota, "derived", why))
        if plan.tunnel:
            expiry = f"{plan.tunnel.duration // 86400} d" if plan.tunnel.duration else "for ever"
            renewed = (
                f"renewed after {plan.tunnel.rotate_after // 86400} d" if plan.tunnel.rotate_after else "never renewed"
            )
            why = "a secret that leaks does not stay good; the old one lives on until every client has the new one"
            out.append(Decision(plan.name, "expose.cloudflare_tunnel.access", f"{expiry}, {renewed}", "derived", why))
    return tuple(out)


def _size(
    plan: SubmissionPlan,
    declared: intent_model.Service,
    own: intent_model.Application,
    application: ApplicationPlan,
    name: str,
) -> Decision:
    wanted = own.limits.max_size or declared.limits.max_size
    value = f"{application.max_size} bytes"
    if application.max_size < wanted:
        return Decision(name, "limits.max_size", value, "derived", "none of its smarthosts takes a larger message")
    if own.limits.max_size or "limits.max_size" in declared.given:
        return Decision(name, "limits.max_size", value, "given", "your inventory says so")
    return Decision(name, "limits.max_size", value, "default", "most providers refuse more than a few megabytes")


def _decided(declared: intent_model.Domain, values: Mapping[str, Tuple[str, str]]) -> List[Decision]:
    """values: key → the value, and why it is that where the user did not say so."""
    out: List[Decision] = []
    for key, (value, why) in values.items():
        # auto is no answer: what it comes to needs its reason.
        auto = key == "dmarc.policy" and declared.dmarc.policy == "auto"
        given = _given(declared, key) and not auto
        source = "given" if given else "derived" if auto else "default"
        out.append(Decision(declared.name, key, value, source, "your inventory says so" if given else why))
    return out


def _shown(plan: RoutingPlan) -> str:
    rule = plan.catch_all
    return "none" if rule is None else rule.target or rule.action


def _given(domain: intent_model.Domain, key: str) -> bool:
    """dmarc: reject is short for dmarc.policy; provider: stalwart for both directions."""
    if key in domain.given:
        return True
    return key == "dmarc.policy" and "dmarc" in domain.given and not any(g.startswith("dmarc.") for g in domain.given)
