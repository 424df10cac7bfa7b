# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Domains whose MX a routing service owns; profiles say what their senders need. Pure."""

from __future__ import annotations

import dataclasses
import json
from typing import List, Sequence, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError
from ansible_collections.mailstead.stack.plugins.module_utils.intent import model as intent_model
from ansible_collections.mailstead.stack.plugins.module_utils.intent.parties import senders_of, taker_of, values_of
from ansible_collections.mailstead.stack.plugins.module_utils.intent.routing import destinations_of, leaving_patterns
from ansible_collections.mailstead.stack.plugins.module_utils.intent.submission import relays_of
from ansible_collections.mailstead.stack.plugins.module_utils.plan import records
from ansible_collections.mailstead.stack.plugins.module_utils.plan.model import (
    Deferred,
    DmarcPlan,
    EdgePlan,
    Record,
    RoutingPlan,
    RulePlan,
    SenderPlan,
    WorkerPlan,
)
from ansible_collections.mailstead.stack.plugins.module_utils.plan.records import TTL
from ansible_collections.mailstead.stack.plugins.module_utils.providers import mixing
from ansible_collections.mailstead.stack.plugins.module_utils.providers.mixing import Composed, Party
from ansible_collections.mailstead.stack.plugins.module_utils.providers.model import (
    POLICIES,
    Profile,
    aligned_alternatives,
    ceiling,
    filled,
    limiting,
)

#: The template of the Worker that serves a policy.
STS_TEMPLATE = "mta_sts"


def routing_plan(intent: intent_model.Intent, domain: intent_model.Domain) -> RoutingPlan:
    """The plan of a domain whose MX a routing service owns. Raises MailsteadError without the service's profile."""
    assert domain.inbound is not None
    service = _service(intent, domain)
    present = domain.state == "present"
    rules = tuple(_rule(address, target) for address, target in domain.inbound.addresses) if present else ()
    catch_all = _rule("", domain.inbound.catch_all) if present and domain.inbound.catch_all else None
    return RoutingPlan(
        name=domain.name,
        unicode_name=domain.unicode_name,
        zone=domain.zone,
        provider=service.id,
        state=domain.state,
        rules=tuple(sorted(rules, key=lambda r: r.address)),
        catch_all=catch_all,
        destinations=destinations_of(domain) if present else (),
        subaddressing=domain.inbound.subaddressing,
        leaving=leaving_patterns(intent, domain),
        workers=_workers(domain, service) if present else (),
        senders=sender_plans(intent, domain),
        dmarc=dmarc_plan(intent, domain),
        policy_why=policy_why(intent, domain),
        mta_sts=domain.mta_sts,
        tls_rpt=domain.tls_rpt,
        keeps=_keeps(domain, service) if present else (),
    )


def _service(intent: intent_model.Intent, domain: intent_model.Domain) -> Profile:
    assert domain.inbound is not None
    service = intent.profile(domain.inbound.provider)
    if service is None:
        raise MailsteadError.one(
            "MS-PLAN-005",
            domain.name,
            f"the provider {domain.inbound.provider} has no profile",
            "read the intent with the profiles of templates/providers",
        )
    return service


def _rule(address: str, target: intent_model.Target) -> RulePlan:
    return RulePlan(address, target.action, target.target, target.enabled, target.tag, target.priority)


def _workers(domain: intent_model.Domain, service: Profile) -> Tuple[WorkerPlan, ...]:
    assert domain.inbound is not None
    found = [WorkerPlan(w.name, w.template, w.file, w.settings) for w in domain.inbound.workers]
    if domain.mta_sts != "off" and service.mta_sts:
        policy = {"mode": domain.mta_sts, "mx": list(service.mta_sts.mx), "max_age": service.mta_sts.max_age}
        name = f"mta-sts-{domain.name.replace('.', '-')}"
        host = f"mta-sts.{domain.name}"
        found.append(WorkerPlan(name, STS_TEMPLATE, "", json.dumps(policy, sort_keys=True), (host,)))
    return tuple(found)


def _keeps(domain: intent_model.Domain, service: Profile) -> Tuple[Record, ...]:
    """What the service writes into the zone itself. Its values are its own choice and are read, never invented."""

    def kept(name: str, kind: str, shown: str, phase: str, role: str, reason: str) -> Record:
        deferred = Deferred("routing", f"{domain.name}/{kind}")
        return Record(domain.zone, name, kind, shown, TTL, phase, role, reason, deferred)

    why = f"written and kept by {service.title}, which assigns the preferences to each zone"
    out = [kept(domain.name, "MX", f"<assigned> {mx.host}", "delivery", "mx", why) for mx in service.mx]
    for key in (k for k in service.dkim if k.kind == "managed"):
        name = f"{key.selector}._domainkey.{domain.name}"
        why = f"the key with which {service.title} signs what it forwards"
        out.append(kept(name, "TXT", "<assigned>", "keys", "dkim-service", why))
    return tuple(out)


# -- senders ---------------------------------------------------------------------------------------------------------


def sender_plans(intent: intent_model.Intent, domain: intent_model.Domain) -> Tuple[SenderPlan, ...]:
    """Those with a profile, and our own server before them."""
    others = tuple(sender_plan(domain, sender, profile) for sender, profile in intent.sender_profiles(domain))
    if domain.state != "present":
        return others
    own = (own_sender(intent, domain),) if domain.submission else ()
    return (*own, *(edge_sender(edge) for edge in relays_of(intent, domain)), *others)


def edge_sender(edge: str) -> SenderPlan:
    """One of our own edges, through which a service sends what applications hand in."""
    why = "the service signs with the domain's own keys, and the edge's address stands in the domain's SPF record"
    return SenderPlan(intent_model.EDGE, f"your own edge {edge}", "", (), POLICIES[-1], why, True)


def own_sender(intent: intent_model.Intent, domain: intent_model.Domain) -> SenderPlan:
    """Our own server as the sender of a domain whose mail others take, with what to enter into a mail program."""
    own = domain.submission
    edge = intent.host(own.egress) if own else None
    assert own is not None and edge is not None and edge.mail_host is not None
    addresses = tuple(a for account in domain.accounts for a in (account.address, *account.aliases))
    steps = [
        'In Gmail or any other mail program: Settings, Accounts and Import, Send mail as, "Add another email address". '
        f'"Treat as an alias": off. SMTP server: {edge.mail_host.name}, port 465, secured connection using SSL.',
        f"Username: the account's address, such as {domain.accounts[0].address if domain.accounts else 'none yet'}. "
        "Password: the account's own on your server, where none was declared in .mailstead/secrets beside the inventory.",
        "Gmail sends a confirmation to each address; it arrives through the rules of this plan.",
    ]
    why = "signs with the domain's own keys, and its address stands in the domain's SPF record"
    return SenderPlan(
        own.provider, f"your own server ({own.host})", "", addresses, POLICIES[-1], why, True, tuple(steps)
    )


def sender_plan(domain: intent_model.Domain, sender: intent_model.Outbound, profile: Profile) -> SenderPlan:
    """A declared sender, with what a person has to do at the provider."""
    values = values_of(domain, sender, profile)
    steps = [filled(text, values) for text in profile.by_hand.once]
    for address in sender.send_as:
        steps += [filled(text, {**values, "address": address}) for text in profile.by_hand.each_address]
    return SenderPlan(
        provider=profile.id,
        title=profile.title,
        account=sender.account,
        send_as=sender.send_as,
        max_policy=profile.dmarc.max_policy,
        why=profile.dmarc.reason,
        managed=profile.coexist.managed_by_api,
        steps=tuple(steps),
    )


def dmarc_plan(intent: intent_model.Intent, domain: intent_model.Domain) -> DmarcPlan:
    """``auto`` is the strictest policy that all declared senders allow."""
    wanted = domain.dmarc
    profiles = [profile for _sender, profile in intent.sender_profiles(domain)]
    policy = ceiling(profiles) if wanted.policy == "auto" else wanted.policy
    return DmarcPlan(policy, wanted.np, wanted.adkim, wanted.aspf, wanted.rua)


def policy_why(intent: intent_model.Intent, domain: intent_model.Domain) -> str:
    """Why the policy is what it is, in words for people."""
    profiles = [profile for _sender, profile in intent.sender_profiles(domain)]
    limits = limiting(profiles)
    if limits:
        reasons = "; ".join(f"{p.title}: {p.dmarc.reason}" for p in limits)
        others = ", ".join((*aligned_alternatives(intent.profiles), intent_model.OWN))
        return f"{reasons}. For reject, send through an aligned provider ({others}), also as the send-as server"
    senders = (*(s.provider for s in domain.senders), *relays_of(intent, domain))
    if not senders:
        return f"no sender is declared, so nobody may send as {domain.name}"
    return f"all declared senders are aligned: {', '.join(senders)}"


# -- records ---------------------------------------------------------------------------------------------------------


def spf(intent: intent_model.Intent, domain: intent_model.Domain, through: Sequence[EdgePlan] = ()) -> Composed:
    """The one record of everybody who sends in the domain's name, and of a service that forwards its mail.

    through: the edges from which our own servers send.
    """
    own = list(dict.fromkeys(term for edge in through for term in records.spf_addresses(edge)))
    whose = " and ".join(dict.fromkeys(edge.host for edge in through)) or mixing.OURSELVES
    # What it forwards bears an envelope sender of the domain.
    forwarding = tuple(p for p in taker_of(intent, domain) if "forwarder" in p.profile.roles)
    return mixing.spf(own, (*forwarding, *senders_of(intent, domain)), own=whose)


def spf_why(composed: Composed) -> str:
    """Who the record is for."""
    who = list(dict.fromkeys(name for share in composed.shares for name in share.who))
    return f"mail leaves through {', '.join(who)}" if who else "no sender needs to be listed"


def provider_records(domain: intent_model.Domain, found: Sequence[Party], lead: bool = True) -> List[Record]:
    """Keys, verification and other records that profiles ask for. What an input is missing for is left out.

    lead: whether mail programs may be led to one of them.
    """
    out: List[Record] = []
    for party in found:
        profile = party.profile
        for key in (k for k in profile.dkim if k.kind != "managed"):
            name, kind = f"{key.selector}._domainkey", "CNAME" if key.kind == "cname" else "TXT"
            why = f"{profile.title} signs with this key"
            out += _filled(domain, (name, kind, key.value), party, "keys", f"dkim-{profile.id}", why)
    for party, one in mixing.records_of(found, lead):
        why = f"asked for by {party.profile.title}"
        out += _filled(domain, (one.name, one.type, one.value), party, "policy", party.profile.id, why)
    return out


def _filled(
    domain: intent_model.Domain,
    template: Tuple[str, str, str],
    party: Party,
    phase: str,
    role: str,
    why: str,
) -> List[Record]:
    label, kind, content = template
    name, value = party.fill(label), party.fill(content)
    if not value or (label and not name):
        return []
    full = f"{name}.{domain.name}" if name else domain.name
    return [Record(domain.zone, full.lower(), kind, value, TTL, phase, role, why)]


def of_routing(intent: intent_model.Intent, plan: RoutingPlan, through: Sequence[EdgePlan] = ()) -> List[Record]:
    """The records of a routed domain that are ours to keep: SPF, DMARC, TLS-RPT, the senders' keys, MTA-STS when asked.

    through: the edges from which our own servers send for it.
    """
    domain = next(d for d in intent.domains if d.name == plan.name)
    if plan.state != "present":
        return []
    service = _service(intent, domain)
    composed = spf(intent, domain, through)
    out = [Record(plan.zone, plan.name, "TXT", composed.text, TTL, "policy", "spf", spf_why(composed))]
    out += provider_records(domain, senders_of(intent, domain))
    why = f"policy {plan.dmarc.policy}: senders are {', '.join(s.title for s in plan.senders) or 'none'} (RFC 9989)"
    out += records.reports(plan.zone, plan.name, plan.dmarc, plan.tls_rpt, why)
    if plan.mta_sts != "off" and service.mta_sts:
        name = f"_mta-sts.{plan.name}"
        why = f"announces the policy that {service.title} keeps (RFC 8461)"
        out.append(Record(plan.zone, name, "CNAME", service.mta_sts.cname, TTL, "delivery", "mta-sts", why))
    return [dataclasses.replace(r, name=r.name.lower()) for r in out]
