# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Services through which applications send: the plan of each, and the records it needs. Pure."""

from __future__ import annotations

from typing import Dict, Iterable, List, Optional, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError
from ansible_collections.mailstead.stack.plugins.module_utils.intent import model as intent_model
from ansible_collections.mailstead.stack.plugins.module_utils.intent.names import is_within
from ansible_collections.mailstead.stack.plugins.module_utils.intent.submission import PROBE, return_path, token_of
from ansible_collections.mailstead.stack.plugins.module_utils.plan import records
from ansible_collections.mailstead.stack.plugins.module_utils.plan.model import (
    ApplicationPlan,
    ClientPlan,
    DkimPlan,
    IngressRule,
    Listener,
    Record,
    SmarthostPlan,
    SubmissionPlan,
    TunnelPlan,
)
from ansible_collections.mailstead.stack.plugins.module_utils.plan.records import TTL
from ansible_collections.mailstead.stack.plugins.module_utils.providers.inputs import cleaned
from ansible_collections.mailstead.stack.plugins.module_utils.providers.model import Port, Submission, filled

#: No port 25: nobody delivers here. 587 is for programs that know nothing but STARTTLS; a login is offered after it only.
LISTENERS: Tuple[Listener, ...] = (
    Listener("submissions", 465, "smtp", "implicit", proxied=False, public=True),
    Listener("submission", 587, "smtp", "starttls", proxied=False, public=True),
    Listener("http", 8080, "http", "none", proxied=False, public=False),
)
#: Where an application host's first service listens on its loopback address; each further one has the next port.
CLIENT_PORT = 2525
#: How the name in the certificate is proved: nothing of a service can be reached from outside.
CHALLENGE = "dns-01"
#: Bytes that a message grows by before it is handed on: signatures, a date, an id.
ADDED = 8192
#: Bytes of the largest message that an edge's relay takes (message_size_limit of role edge_relay).
EDGE_SIZE = 104857600
#: What a tunnel answers to a request for any other name.
NOT_FOUND = "http_status:404"


def submission_plan(
    intent: intent_model.Intent, service: intent_model.Service, network: Dict[str, str], relay_port: int
) -> SubmissionPlan:
    """The plan of a service that :func:`read_intent` accepted.

    network: the addresses of the container network, as :class:`SubmissionPlan` names them.
    """
    smarthosts = tuple(
        _edge(number, one, network["relay_address"], relay_port) if one.edge else _smarthost(intent, number, one)
        for number, one in enumerate(service.smarthosts, start=1)
        if service.present
    )
    applications = tuple(_application(service, one, smarthosts) for one in service.senders)
    domains = service.domains
    probe_sender = f"{PROBE}@{_first_domain(service)}" if domains else ""
    probe = intent_model.Application(PROBE, (probe_sender,))
    return SubmissionPlan(
        name=service.name,
        host=service.host,
        state=service.state,
        server_name=service.lan_name,
        zone=zone_of(intent, service.lan_name) if service.lan_name else "",
        lan_address=service.lan_address,
        login_domain=service.lan_name,
        domains=domains,
        # One that goes may go together with its domains.
        dkim=tuple((name, _dkim(intent, service, name)) for name in domains if service.present),
        applications=applications,
        smarthosts=smarthosts,
        max_size=max((a.max_size for a in applications), default=service.limits.max_size),
        webhook=service.bounces.webhook,
        webhook_secret=service.bounces.secret,
        tunnel=_tunnel(intent, service, network["server_address"]),
        clients=_clients(intent, service),
        listeners=LISTENERS,
        relay_port=relay_port,
        acme_directory=intent.operator.acme.directory,
        acme_email=intent.operator.acme.email,
        probe=_application(service, probe, smarthosts) if probe_sender else None,
        probe_sender=probe_sender,
        **network,
    )


def zone_of(intent: intent_model.Intent, name: str) -> str:
    """The declared zone that holds a name. Raises MailsteadError MS-INT-023 when there is none."""
    holders = [z for z in intent.zones() if is_within(name, z)]
    if not holders:
        raise MailsteadError.one(
            "MS-INT-023", name, "the name is in no declared zone", "add its zone to mail_operator.dns.zones"
        )
    return max(holders, key=len)


def _first_domain(service: intent_model.Service) -> str:
    return next(a.rpartition("@")[2] for s in service.senders for a in s.addresses)


def _dkim(intent: intent_model.Intent, service: intent_model.Service, name: str) -> DkimPlan:
    """The domain's own words; the selector also names the service, as the key is made on its host."""
    dkim = next((d.dkim for d in intent.domains if d.name == name), None)
    if dkim is None:
        what = f"the service {service.name} sends for a domain that is not declared"
        raise MailsteadError.one("MS-INT-051", name, what, f"declare {name} in mail_domains")
    return DkimPlan(dkim.keys, f"{service.name}-{dkim.selector}", dkim.rotate_after // 86400)


def _application(
    service: intent_model.Service, application: intent_model.Application, smarthosts: Tuple[SmarthostPlan, ...]
) -> ApplicationPlan:
    chosen = [s.provider for s in service.chosen(application)]
    ids = tuple(s.id for provider in chosen for s in smarthosts if s.provider == provider)
    rate = application.limits.per_sender or service.limits.per_sender or intent_model.Rate(0, 1)
    wanted = application.limits.max_size or service.limits.max_size
    login = f"{application.name}@{service.lan_name}"
    return ApplicationPlan(
        name=application.name,
        login=login,
        secret=application.secret or f"generated:{login}",
        senders=tuple(sorted(set(application.addresses))),
        smarthosts=ids,
        rate=rate.count,
        per=rate.per,
        max_size=min(wanted, largest(s for s in smarthosts if s.id in ids) or wanted),
        return_path=return_path(service, application),
    )


def largest(smarthosts: Iterable[SmarthostPlan]) -> int:
    """The size of the largest message that may be handed in for any of the smarthosts; 0 when one has no known limit."""
    limits = [s.max_size for s in smarthosts]
    return max(limits) - ADDED if limits and all(limits) else 0


def _smarthost(intent: intent_model.Intent, number: int, smarthost: intent_model.Smarthost) -> SmarthostPlan:
    profile = intent.profile(smarthost.provider)
    if profile is None or profile.submission is None:
        what = f"the smarthost {smarthost.provider} has no profile that says where it takes mail"
        fix = "read the intent with the profiles of templates/providers"
        raise MailsteadError.one("MS-PLAN-005", smarthost.provider, what, fix)
    port = chosen_port(profile.submission, smarthost.port)
    return SmarthostPlan(
        id=f"{number}-{smarthost.provider}",
        provider=profile.id,
        title=profile.title,
        host=filled(profile.submission.host, cleaned(profile, dict(smarthost.inputs))),
        port=port.port,
        tls=port.tls,
        username=smarthost.username or profile.submission.login,
        secret=smarthost.secret,
        max_size=profile.limit("message_bytes"),
        messages_per_day=profile.limit("messages_per_day"),
        hint=profile.submission.password,
    )


def _edge(number: int, smarthost: intent_model.Smarthost, address: str, port: int) -> SmarthostPlan:
    """One of our own edges: no login and no TLS of its own, as nobody but our end of the tunnel gets there."""
    return SmarthostPlan(
        id=f"{number}-{smarthost.provider}",
        provider=smarthost.provider,
        title=f"your own edge {smarthost.edge}",
        host=address,
        port=port,
        tls="none",
        username="",
        secret="",
        edge=smarthost.edge,
        max_size=EDGE_SIZE,
    )


def chosen_port(submission: Submission, number: int = 0) -> Port:
    """One of a provider's ports: the one that was asked for, else the first with TLS from the start, else its first."""
    ports = submission.ports
    named = [p for p in ports if p.port == number]
    implicit = [p for p in ports if p.tls == "implicit"]
    return (named or implicit or list(ports))[0]


def _tunnel(intent: intent_model.Intent, service: intent_model.Service, server_address: str) -> Optional[TunnelPlan]:
    tunnel = service.tunnel
    if tunnel is None:
        return None
    port = next(li.port for li in LISTENERS if li.tls == "implicit")
    return TunnelPlan(
        name=f"mailstead-{service.name}",
        management=tunnel.management,
        hostname=tunnel.hostname,
        zone=zone_of(intent, tunnel.hostname),
        ingress=(IngressRule(tunnel.hostname, f"tcp://{server_address}:{port}"), IngressRule("", NOT_FOUND)),
        service_tokens=tunnel.access.service_tokens,
        duration=tunnel.access.duration,
        rotate_after=tunnel.access.rotate_after,
        overlap=tunnel.access.overlap,
        account_id=tunnel.account_id,
        token=tunnel.token,
    )


def _clients(intent: intent_model.Intent, service: intent_model.Service) -> Tuple[ClientPlan, ...]:
    if service.tunnel is None:
        return ()
    # One that is to go keeps its place until its entry does: applications have the port of theirs in their settings.
    tunnelled = [s for s in intent.services if s.tunnel]
    out = []
    for host in service.clients:
        mine = [s.name for s in tunnelled if host in s.clients]
        number = mine.index(service.name) if service.name in mine else 0
        out.append(ClientPlan(host, token_of(service.tunnel, host), CLIENT_PORT + number))
    return tuple(out)


# -- records ---------------------------------------------------------------------------------------------------------


def of_service(intent: intent_model.Intent, plan: SubmissionPlan) -> List[Record]:
    """The records of a service: its name on the LAN, who may issue its certificate, and the keys it signs with.

    SPF and the policies of the domains are with those of their inbound side.
    """
    if plan.state != "present":
        return []
    out: List[Record] = []
    if plan.lan_address:
        why = f"address of {plan.host} on the LAN, where applications hand in mail"
        out.append(Record(plan.zone, plan.server_name, "A", plan.lan_address, TTL, "address", "submission", why))
    out += records.caa(plan.zone, plan.server_name, plan.acme_directory, CHALLENGE)
    zones = {d.name: d.zone for d in intent.domains}
    for name, dkim in plan.dkim:
        out += [records.dkim(zones[name], name, dkim, algorithm, plan.name) for algorithm in dkim.algorithms]
    return out
