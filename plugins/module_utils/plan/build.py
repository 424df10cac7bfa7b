# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Intent → MailPlan. Pure: no clock, no network, no files; the same intent always gives the same plan."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from typing import Dict, List, Sequence, Tuple, Union

from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError
from ansible_collections.mailstead.stack.plugins.module_utils.intent import model as intent_model
from ansible_collections.mailstead.stack.plugins.module_utils.intent.parties import senders_of, taker_of
from ansible_collections.mailstead.stack.plugins.module_utils.intent.submission import edge_of, relayed, relays_of
from ansible_collections.mailstead.stack.plugins.module_utils.plan import hosted, records, routing, submission
from ansible_collections.mailstead.stack.plugins.module_utils.plan.decisions import (
    explain,
    explain_hosted,
    explain_routing,
    explain_services,
)
from ansible_collections.mailstead.stack.plugins.module_utils.plan.model import (
    AccountPlan,
    CanaryPlan,
    DkimPlan,
    DomainPlan,
    EdgePlan,
    HomePlan,
    HostedPlan,
    Listener,
    MailPlan,
    MtaStsPlan,
    PtrPlan,
    Record,
    RoutingPlan,
    SubmissionPlan,
    ZonePlan,
)

#: The container network that only the mail server and the tunnel client share. Its addresses are fixed because the
#: server trusts exactly one of them to say where a connection came from.
NETWORK = {
    "subnet": "172.29.25.0/28",
    "gateway": "172.29.25.1",
    "tunnel_address": "172.29.25.10",
    "server_address": "172.29.25.12",
}
#: The same for services through which applications send; their connector and their tunnel to an edge are two clients.
SERVICE_NETWORK = {**NETWORK, "relay_address": "172.29.25.11"}
TUNNEL_PORT = 7000
RELAY_PORT = 2525
#: Seconds; a year is the largest value senders need to honour and the usual choice is a week (RFC 8461 §3.2).
STS_MAX_AGE = 604800

LISTENERS: Tuple[Listener, ...] = (
    # Port 25 inside as well: the server's inbound defaults (SPF, DMARC, HELO rules) apply to its port 25 only.
    Listener("smtp", 25, "smtp", "starttls", proxied=True, public=True),
    Listener("submissions", 465, "smtp", "implicit", proxied=True, public=True),
    Listener("imaps", 993, "imap", "implicit", proxied=True, public=True),
    Listener("https", 443, "http", "implicit", proxied=True, public=True),
    Listener("http", 8080, "http", "none", proxied=False, public=False),
)
#: Port 80 goes through the tunnel too, to the ACME client on the home host, without PROXY protocol.
CHALLENGE_PORT = 80


def build_plan(intent: intent_model.Intent) -> MailPlan:
    """What to build, publish and check for an intent that :func:`read_intent` accepted."""
    present = [d for d in intent.domains if d.state == "present" and d.inbound and (d.outbound or d.submission)]
    found = [
        _submission(intent, d) if d.submission else _domain(intent, d)
        for d in present
        if d.submission or not d.elsewhere
    ]
    domains = tuple(sorted(found, key=lambda d: d.name))
    homes = tuple(_home(intent, host, domains) for host in sorted({d.home for d in domains}))
    used = {e for d in domains for e in (*d.edges, d.egress)} | {e for e in map(edge_of, intent.services) if e}
    edges = tuple(_edge(intent, host, domains) for host in sorted(used))
    ptr = tuple(p for e in edges for p in _ptr(intent, e))
    routed = tuple(sorted((routing.routing_plan(intent, d) for d in intent.domains if d.routed), key=lambda d: d.name))
    at_providers = [hosted.hosted_plan(intent, d) for d in intent.domains if d.hosted]
    mailboxes = tuple(sorted(at_providers, key=lambda d: d.name))
    services = tuple(
        submission.submission_plan(intent, s, SERVICE_NETWORK, RELAY_PORT)
        for s in sorted(intent.services, key=lambda s: s.name)
    )
    zones = _zones(intent, domains, homes, edges, (*routed, *mailboxes), services)
    return MailPlan(
        version=1,
        operator_email=intent.operator.email,
        domains=domains,
        zones=zones,
        homes=homes,
        edges=edges,
        ptr=ptr,
        canaries=tuple(CanaryPlan(c.address, c.imap_host, c.imap_username, c.secret) for c in intent.operator.canaries),
        vantages=tuple(h.name for h in intent.in_group("mail_vantage")),
        decisions=(
            *explain(intent, domains, homes, edges),
            *explain_routing(intent, routed),
            *explain_hosted(intent, mailboxes),
            *explain_services(intent, services),
        ),
        routing=routed,
        hosted=mailboxes,
        submissions=services,
    )


def sts_policy(mode: str, mx: Sequence[str], max_age: int) -> str:
    """The policy as the server serves it (RFC 8461 §3.2), lines ended by CRLF."""
    lines = ["version: STSv1", f"mode: {mode}", *(f"mx: {name}" for name in mx), f"max_age: {max_age}"]
    return "".join(f"{line}\r\n" for line in lines)


def sts_id(mode: str, mx: Sequence[str], max_age: int) -> str:
    """An id that changes exactly when the policy does: 1 to 32 alphanumerics (RFC 8461 §3.1)."""
    return hashlib.sha256(sts_policy(mode, mx, max_age).encode()).hexdigest()[:20]


def _mail_host(intent: intent_model.Intent, edge: str) -> intent_model.MailHost:
    host = intent.host(edge)
    if host is None or host.mail_host is None:
        raise MailsteadError.one(
            "MS-INT-007", edge, "the edge has no mail_host", f"add mail_host to host_vars/{edge}.yml"
        )
    return host.mail_host


def _domain(intent: intent_model.Intent, domain: intent_model.Domain) -> DomainPlan:
    assert domain.inbound is not None and domain.outbound is not None
    mail_hosts = tuple(_mail_host(intent, e).name for e in domain.inbound.edge)
    return DomainPlan(
        name=domain.name,
        unicode_name=domain.unicode_name,
        zone=domain.zone,
        home=domain.inbound.host,
        edges=domain.inbound.edge,
        mail_hosts=mail_hosts,
        egress=domain.outbound.egress,
        dkim=_dkim(domain),
        # Our own server signs with the domain's keys: only further senders can stand in the way of the strictest policy.
        dmarc=routing.dmarc_plan(intent, domain),
        mta_sts=domain.mta_sts,
        mta_sts_id="" if domain.mta_sts == "off" else sts_id(domain.mta_sts, mail_hosts, STS_MAX_AGE),
        tls_rpt=domain.tls_rpt,
        dane=domain.dane != "off",
        accounts=_accounts(domain, unowned_roles(domain)),
        catch_all=domain.catch_all,
        subaddressing=domain.subaddressing,
    )


def _submission(intent: intent_model.Intent, domain: intent_model.Domain) -> DomainPlan:
    """A domain whose mail others take and that our own server sends for. What is published, its routing plan says."""
    own = domain.submission
    assert own is not None
    return DomainPlan(
        name=domain.name,
        unicode_name=domain.unicode_name,
        zone=domain.zone,
        home=own.host,
        edges=(),
        mail_hosts=(),
        egress=own.egress,
        dkim=_dkim(domain),
        dmarc=routing.dmarc_plan(intent, domain),
        mta_sts="off",
        mta_sts_id="",
        tls_rpt=domain.tls_rpt,
        dane=False,
        accounts=_accounts(domain, roles=()),
        # An address as it was written goes to the domain's own exchangers, user+detail included.
        subaddressing=False,
    )


def _dkim(domain: intent_model.Domain) -> DkimPlan:
    return DkimPlan(domain.dkim.keys, domain.dkim.selector, domain.dkim.rotate_after // 86400)


def unowned_roles(domain: intent_model.Domain) -> Tuple[str, ...]:
    """Addresses that every mail domain must have (RFC 5321 §4.5.1, RFC 2142 §4) and that nobody was given."""
    taken = {a.lower() for account in domain.accounts for a in (account.address, *account.aliases)}
    wanted = (f"postmaster@{domain.name}", f"abuse@{domain.name}")
    return () if domain.catch_all else tuple(a for a in wanted if a not in taken)


def _accounts(domain: intent_model.Domain, roles: Sequence[str]) -> Tuple[AccountPlan, ...]:
    """roles: addresses nobody was given; the first mailbox gets them."""
    return tuple(
        AccountPlan(
            address=account.address,
            aliases=(*account.aliases, *(roles if number == 0 else ())),
            secret=account.secret or f"generated:{account.address}",
            description=account.description,
            quota=account.quota,
        )
        for number, account in enumerate(domain.accounts)
    )


def _home(intent: intent_model.Intent, host: str, domains: Sequence[DomainPlan]) -> HomePlan:
    mine = sorted((d for d in domains if d.home == host), key=lambda d: not d.takes_mail)
    edges = _ordered(e for d in mine for e in (*d.edges, d.egress))
    mail_hosts = _ordered(n for d in mine for n in d.mail_hosts)
    names = list(mail_hosts) or [_mail_host(intent, e).name for e in edges]
    server_name = names[0]
    for domain in mine:
        names += web_names(domain) if domain.takes_mail else ()
    mode = mine[0].mta_sts
    return HomePlan(
        host=host,
        server_name=server_name,
        domains=tuple(d.name for d in mine),
        edges=edges,
        relay_port=RELAY_PORT,
        listeners=LISTENERS,
        certificate_names=_ordered(names),
        mta_sts=MtaStsPlan(
            mode, mail_hosts, STS_MAX_AGE, "" if mode == "off" else sts_id(mode, mail_hosts, STS_MAX_AGE)
        ),
        acme_directory=intent.operator.acme.directory,
        acme_email=intent.operator.acme.email,
        acme_challenge=intent.operator.acme.challenge,
        **NETWORK,
    )


def web_names(domain: DomainPlan) -> Tuple[str, ...]:
    """Names below the domain under which the server answers HTTPS; each needs an address and a certificate."""
    names = [f"autoconfig.{domain.name}", f"autodiscover.{domain.name}"]
    return tuple([f"mta-sts.{domain.name}"] if domain.mta_sts != "off" else []) + tuple(names)


def _edge(intent: intent_model.Intent, host: str, domains: Sequence[DomainPlan]) -> EdgePlan:
    mail_host = _mail_host(intent, host)
    zone = submission.zone_of(intent, mail_host.name)
    label = re.sub(r"[^a-z0-9-]+", "-", host.lower()).strip("-")
    homes = _ordered(d.home for d in domains if host in (*d.edges, d.egress))
    # Where no home is behind it, mail only leaves: nothing is opened to everybody.
    ports = [CHALLENGE_PORT, *(li.port for li in LISTENERS if li.public)] if homes else []
    own = [d.name for d in domains if d.egress == host]
    return EdgePlan(
        host=host,
        mail_name=mail_host.name,
        relay_name=f"relay-{label}.{zone}",
        ipv4=mail_host.ipv4,
        ipv6=mail_host.ipv6,
        homes=homes,
        bind_port=TUNNEL_PORT,
        ports=tuple(sorted(ports)),
        relay_port=RELAY_PORT,
        sender_domains=_ordered([*own, *(name for s in intent.services if edge_of(s) == host for name in relayed(s))]),
    )


def _ptr(intent: intent_model.Intent, edge: EdgePlan) -> List[PtrPlan]:
    ptr = _mail_host(intent, edge.host).ptr
    return [PtrPlan(a, edge.mail_name, edge.host, ptr.provider, ptr.options) for a in (edge.ipv4, edge.ipv6) if a]


def _zones(
    intent: intent_model.Intent,
    domains: Sequence[DomainPlan],
    homes: Sequence[HomePlan],
    edges: Sequence[EdgePlan],
    elsewhere: Sequence[Union[RoutingPlan, HostedPlan]],
    services: Sequence[SubmissionPlan],
) -> Tuple[ZonePlan, ...]:
    wanted: Dict[str, List[Record]] = {}
    for edge in edges:
        home = next((h for h in homes if edge.host in h.edges), None)
        zone, dane = submission.zone_of(intent, edge.mail_name), any(d.dane for d in domains)
        found = records.of_edge(edge, zone, home, dane)
        if set(edge.sender_domains) - {d.name for d in domains if d.takes_mail}:
            found.append(records.forwarded_bounces(edge, zone))
        wanted.setdefault(zone, []).extend(found)
    for domain in domains:
        egress = next(e for e in edges if e.host == domain.egress)
        declared = next(d for d in intent.domains if d.name == domain.name)
        if domain.takes_mail:
            # Mail programs are led to our own server, whoever else sends.
            more = routing.provider_records(declared, senders_of(intent, declared), lead=False)
            composed = routing.spf(intent, declared, (egress, *_relays(intent, declared, edges)))
            of_it = [*records.of_domain(domain, egress, composed), *more]
        else:
            leads = any(p.profile.client_names for p in taker_of(intent, declared))
            of_it = records.of_submission(domain, egress, lead=not leads)
        wanted.setdefault(domain.zone, []).extend(of_it)
    for one in elsewhere:
        own = next((d for d in domains if d.name == one.name), None)
        declared = next(d for d in intent.domains if d.name == one.name)
        through = [e for e in edges if own and e.host == own.egress]
        through += [e for e in _relays(intent, declared, edges) if e not in through]
        of = (
            hosted.of_hosted(intent, one, through)
            if isinstance(one, HostedPlan)
            else routing.of_routing(intent, one, through)
        )
        wanted.setdefault(one.zone, []).extend(of)
    for service in services:
        for record in submission.of_service(intent, service):
            wanted.setdefault(record.zone, []).append(record)
    return tuple(_zone(intent.dns_of(zone), zone, found) for zone, found in sorted(wanted.items()))


def _relays(intent: intent_model.Intent, domain: intent_model.Domain, edges: Sequence[EdgePlan]) -> List[EdgePlan]:
    """The edges through which services send in a domain's name."""
    hosts = relays_of(intent, domain)
    return [e for e in edges if e.host in hosts]


def _zone(host: intent_model.Dns, zone: str, found: Sequence[Record]) -> ZonePlan:
    given = {k: str(v) for k, v in dataclasses.asdict(host).items() if v and k not in ("provider", "zones")}
    return ZonePlan(zone, host.provider, records.in_order(found), options=tuple(sorted(given.items())))


def _ordered(items: object) -> Tuple[str, ...]:
    return tuple(dict.fromkeys(items))  # type: ignore[call-overload]
