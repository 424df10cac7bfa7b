# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Services through which applications send: reading them, what follows from them for domains, and what is wrong with them."""

from __future__ import annotations

import dataclasses
from typing import Any, Dict, Iterable, List, Optional, Sequence, Set, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.checks.addresses import is_private
from ansible_collections.mailstead.stack.plugins.module_utils.intent import model, routing, words_services
from ansible_collections.mailstead.stack.plugins.module_utils.intent.names import complete, is_within
from ansible_collections.mailstead.stack.plugins.module_utils.intent.shapes import Mapped, Reading, nearest
from ansible_collections.mailstead.stack.plugins.module_utils.intent.written import Written, given
from ansible_collections.mailstead.stack.plugins.module_utils.providers import inputs
from ansible_collections.mailstead.stack.plugins.module_utils.providers.model import PLACEHOLDER, Profile

#: The login that checks use.
PROBE = "mailstead-probe"
#: Logins of our own on the same server, and whose they are. An application of the administrator's name would be the administrator.
RESERVED = {PROBE: "of the checks", "mailstead-admin": "of the server's administrator"}
#: Whose API makes tunnels, and serves the zones of their names.
SERVED_BY = "cloudflare"


# -- reading ---------------------------------------------------------------------------------------------------------


def read(raw: Any, profiles: Sequence[Profile], reading: Reading) -> Tuple[model.Service, ...]:
    """``mail_submission`` as it was written; absent is none."""
    if raw is None:
        return ()
    if not isinstance(raw, (list, tuple)):
        reading.note("MS-INT-003", "mail_submission", raw, "it is no list", "list services, each with `- name: notify`")
        return ()
    shape = Mapped(name="a service", keys=words_services.service_keys(profiles), build=lambda **v: v)
    out = []
    for position, entry in enumerate(raw):
        values = shape.read(entry, f"mail_submission[{position}]", reading)
        if values is not None and values["name"]:
            out.append(_service(values, tuple(sorted(given(entry))), position))
    return tuple(out)


def _service(values: Dict[str, Any], found: Tuple[str, ...], position: int) -> model.Service:
    lan_name, lan_address = values.pop("lan")
    senders = tuple(_application(name, a) for name, a in values.pop("senders") if name and a)
    bounces: model.Bounces = values.pop("bounces")
    limits: model.Limits = values.pop("limits")
    return model.Service(
        lan_name=lan_name,
        lan_address=lan_address,
        senders=senders,
        smarthosts=tuple(s for s in values.pop("smarthosts") if s.provider),
        tunnel=values.pop("expose"),
        limits=model.Limits(
            limits.per_sender or words_services.RATE_DEFAULT, limits.max_size or words_services.SIZE_DEFAULT
        ),
        bounces=dataclasses.replace(bounces, address=_completed(bounces.address, senders)),
        given=found,
        position=position,
        **values,
    )


def _application(name: str, application: model.Application) -> model.Application:
    return dataclasses.replace(application, name=name, bounces=_completed(application.bounces, (application,)))


def _completed(address: str, applications: Sequence[model.Application]) -> str:
    """An address without a domain means the one that is sent for; of several it stays as it is, and that is a mistake."""
    domains = {a.rpartition("@")[2] for one in applications for a in one.addresses if a}
    return complete(address, domains.pop()) if address and len(domains) == 1 else address


def reserved(services: Iterable[model.Service]) -> Set[str]:
    """Hosts that services name as theirs: no domain's home is implied to be one of them."""
    return {s.host for s in services if s.host}


def imply(intent: model.Intent) -> model.Intent:
    """The host where one is left that is nobody's home, the name in the certificate, the edge where there is one, and smarthosts
    as senders of domains.

    What cannot be implied stays empty and is found by :func:`check`.
    """
    free = free_hosts(intent)
    services = []
    for service in intent.services:
        host = service.host or (free[0] if len(free) == 1 else "")
        name = service.lan_name or default_name(intent, service)
        smarthosts = tuple(_with_edge(intent, s) for s in service.smarthosts)
        services.append(dataclasses.replace(service, host=host, lan_name=name, smarthosts=smarthosts))
    intent = dataclasses.replace(intent, services=tuple(services))
    return dataclasses.replace(intent, domains=tuple(_with_smarthosts(intent, d) for d in intent.domains))


def _with_edge(intent: model.Intent, smarthost: model.Smarthost) -> model.Smarthost:
    edges = intent.in_group("mail_edge")
    if smarthost.provider != model.EDGE or smarthost.edge or len(edges) != 1:
        return smarthost
    return dataclasses.replace(smarthost, edge=edges[0].name)


def free_hosts(intent: model.Intent) -> List[str]:
    """Hosts of mail_home that are no domain's home and that no service names."""
    taken = homes(intent) | reserved(intent.services)
    return [h.name for h in intent.in_group("mail_home") if h.name not in taken]


def homes(intent: model.Intent) -> Set[str]:
    """Hosts that run a mail server for domains."""
    inbound = {d.inbound.host for d in intent.domains if d.inbound and d.inbound.host}
    return inbound | {d.submission.host for d in intent.domains if d.submission and d.submission.host}


def default_name(intent: model.Intent, service: model.Service) -> str:
    """``<service>.<zone of the first sender>``; empty where that domain is not declared."""
    first = next((a.rpartition("@")[2] for s in service.senders for a in s.addresses if a), "")
    domain = next((d for d in intent.domains if d.name == first), None)
    return f"{service.name}.{domain.zone}" if domain else ""


def _with_smarthosts(intent: model.Intent, domain: model.Domain) -> model.Domain:
    """The domain with the smarthosts that may send for it, unless they are declared there already."""
    known = {s.provider for s in domain.senders}
    implied: Dict[str, model.Outbound] = {}
    for service in (s for s in intent.services if s.present):
        for application in service.senders:
            if domain.name not in service.domains_of(application):
                continue
            for smarthost in service.chosen(application):
                if smarthost.provider not in known and intent.profile(smarthost.provider):
                    implied.setdefault(smarthost.provider, _sender(intent, service, smarthost))
    return dataclasses.replace(domain, also=(*domain.also, *implied.values())) if implied else domain


def _sender(intent: model.Intent, service: model.Service, smarthost: model.Smarthost) -> model.Outbound:
    profile = intent.profile(smarthost.provider)
    account = smarthost.username if profile and "account" in profile.outbound.required else ""
    place = f"{service.path}.smarthosts[{service.smarthosts.index(smarthost)}]"
    return model.Outbound(smarthost.provider, account=account, inputs=smarthost.inputs, smarthost=place)


# -- mistakes --------------------------------------------------------------------------------------------------------


def check(intent: model.Intent, written: Written, reading: Reading) -> None:
    """Everything that is wrong with services, each with its place."""
    _apart(intent, written, reading)
    for service in intent.services:
        one = _Check(intent, service, written, reading)
        one.host()
        if not service.present:
            continue
        one.name()
        one.senders()
        one.bounces()
        one.smarthosts()
        one.apart()
        one.tunnel()
        one.clients()


def _apart(intent: model.Intent, written: Written, reading: Reading) -> None:
    """Names, hosts and host names of services belong to one service each."""
    seen: Dict[Tuple[str, str], str] = {}
    others = {h.mail_host.name: f"hosts.{h.name}.mail_host" for h in intent.hosts if h.mail_host and h.mail_host.name}
    others.update({f"{d.webmail}.{d.name}".lower(): f"{d.path}.webmail" for d in intent.domains if d.webmail})
    for service in intent.services:
        tunnel = service.tunnel.hostname if service.tunnel else ""
        claims = [("name", "name", service.name), ("host", "host", service.host)]
        if service.present:
            claims += [
                ("host name", "lan", service.lan_name),
                ("host name", "expose.cloudflare_tunnel.hostname", tunnel),
            ]
        for kind, key, value in claims:
            owner = seen.setdefault((kind, value), f"{service.path}.{key}") if value else ""
            if kind == "host name" and value in others:
                owner = others[value]
            place = f"{service.path}.{key}"
            if owner and owner != place:
                what = f"the {kind} {value} is taken by {owner}"
                fix = "give each service a host of its own" if kind == "host" else "choose another name"
                reading.note("MS-INT-048", place, written.at(place), what, fix)


@dataclasses.dataclass
class _Check:
    """What is wrong with one service."""

    intent: model.Intent
    service: model.Service
    written: Written
    reading: Reading

    def note(self, code: str, key: str, what: str, fix: str) -> None:
        """key: below the service, empty for all of it."""
        place = f"{self.service.path}.{key}" if key else self.service.path
        self.reading.note(code, place, self.written.at(place), what, fix)

    def host(self) -> None:
        name = self.service.host
        members = [h.name for h in self.intent.in_group("mail_home")]
        taken = homes(self.intent)
        free = ", ".join(m for m in members if m not in taken) or "none"
        if not name:
            what = f"{len(free_hosts(self.intent))} hosts of group mail_home are free, so none is implied"
            self.note("MS-INT-008", "host", what, f"add a host to group mail_home, or name one that is no home: {free}")
        elif name not in members:
            known = self.intent.host(name) is not None
            what = f"'{name}' is not in group mail_home" if known else f"the inventory has no host '{name}'"
            self.note("MS-INT-007", "host", what, f"hosts of mail_home: {', '.join(members)}.{nearest(name, members)}")
        elif name in taken:
            what = f"{name} is the home of mail domains already, and a host runs one mail server"
            self.note("MS-INT-049", "host", what, f"use another host of group mail_home: {free}")

    def name(self) -> None:
        name, zones = self.service.lan_name, self.intent.zones()
        if not name:
            # Its first sender's domain is not declared, and that is said.
            return
        if not any(is_within(name, zone) for zone in zones):
            fix = "choose a name in one of them, or add its zone to mail_operator.dns.zones"
            self.note("MS-INT-023", "lan", f"{name} is in none of the zones {', '.join(zones) or '(none)'}", fix)
        if any(name == d.name for d in self.intent.domains):
            what = f"{name} is a mail domain: logins of applications would be addresses of it"
            self.note("MS-INT-048", "lan", what, "choose a name below it")
        if self.service.lan_address and not is_private(self.service.lan_address):
            what = f"{self.service.lan_address} is a public address"
            fix = "write the host's address on your own network; from outside, applications come through a tunnel"
            self.note("MS-INT-050", "lan.address", what, fix)

    # -- applications

    def senders(self) -> None:
        if not self.service.senders:
            self.note("MS-INT-002", "", "nobody may send", "add `senders: {<application>: [noreply@example.com]}`")
        for application in self.service.senders:
            if application.name in RESERVED:
                what = f"{application.name} is the login {RESERVED[application.name]}"
                self.note("MS-INT-048", "senders", what, "choose another name")
            self._addresses(application)

    def _addresses(self, application: model.Application) -> None:
        known = {d.name: d for d in self.intent.domains}
        place = f"{self.service.path}.senders"
        raw = self.written.at(place, application.name)
        where = f"{place}.{application.name}"
        if not application.addresses:
            self.reading.note(
                "MS-INT-002", where, raw, "it may send as nobody", "list its addresses, or *@ and a domain"
            )
        for address in (a for a in application.addresses if a):
            domain = address.rpartition("@")[2]
            if domain not in known:
                what = f"{address} is in no declared domain"
                fix = f"declare {domain} in mail_domains (who takes its mail says `inbound`).{nearest(domain, known)}"
                self.reading.note("MS-INT-051", where, raw, what, fix)
            elif known[domain].state != "present":
                what = f"{domain} is declared to go (state: absent)"
                self.reading.note("MS-INT-051", where, raw, what, "drop the address, or keep the domain")

    def bounces(self) -> None:
        """Each message that cannot be delivered has a reader: a mailbox, or a program."""
        service = self.service
        if service.bounces.address:
            self._return_path(service.bounces.address, "bounces", service.bounces.address)
        if service.bounces.secret and not service.bounces.webhook:
            self.note("MS-INT-002", "bounces", "a secret without the webhook it signs calls to", "add `webhook:`")
        for application in service.senders:
            if application.bounces:
                self._return_path(application.bounces, f"senders.{application.name}", application.bounces)
            self._foreign_path(application)

    def _return_path(self, address: str, key: str, shown: str) -> None:
        domain = next((d for d in self.intent.domains if d.name == address.rpartition("@")[2].lower()), None)
        if "@" not in address or domain is None or domain.state != "present":
            what = f"{shown} is in no declared domain, so receivers would not believe that mail comes from it"
            self.note("MS-INT-052", key, what, "name an address of one of your mail domains")
        elif not _takes(self.intent, domain, address.lower()):
            what = f"nobody gets the mail of {shown}, so it would be lost that a message came back"
            self.note("MS-INT-052", key, what, f"name an address of {domain.name} that somebody reads")

    def _foreign_path(self, application: model.Application) -> None:
        path = return_path(self.service, application)
        domains = self.service.domains_of(application)
        if path and len(domains) > 1 and {path.rpartition("@")[2]} != set(domains):
            what = (
                f"its bounces go to {path}, so the server knows it by that address alone, and it sends for "
                f"{', '.join(domains)}: which of their keys is to sign, cannot be told"
            )
            fix = "let one application send for one domain, or leave `bounces` out and read what comes to its own addresses"
            self.note("MS-INT-053", f"senders.{application.name}", what, fix)

    # -- smarthosts

    def smarthosts(self) -> None:
        if not self.service.smarthosts:
            self.note("MS-INT-002", "", "nobody delivers", "add `smarthosts: [{provider: …, username: …, secret: …}]`")
        names = [s.provider for s in self.service.smarthosts]
        for index, smarthost in enumerate(self.service.smarthosts):
            key = f"smarthosts[{index}]"
            if names.index(smarthost.provider) != index:
                what = f"{smarthost.provider} is there twice"
                self.note("MS-INT-048", key, what, "keep one: a provider has several addresses of its own")
            if smarthost.provider == model.EDGE:
                self._edge(key, smarthost)
                continue
            profile = self.intent.profile(smarthost.provider)
            if profile is not None and profile.submission is not None:
                self._smarthost(key, smarthost, profile)
        for application in self.service.senders:
            for name in application.smarthosts:
                if name not in names:
                    what = f"'{name}' is none of the service's smarthosts"
                    fix = f"use one of {', '.join(names)}.{nearest(name, names)}"
                    self.note("MS-INT-004", f"senders.{application.name}", what, fix)

    def _edge(self, key: str, smarthost: model.Smarthost) -> None:
        """One of our own edges delivers: there is one, and it is another host."""
        members = [h.name for h in self.intent.in_group("mail_edge")]
        listed = ", ".join(members)
        if not smarthost.edge:
            what = f"the inventory has {len(members)} hosts in group mail_edge"
            fix = f"name one of them, `edge: {members[0]}`: {listed}" if members else "add a host to group mail_edge"
            self.note("MS-INT-008", key, what, fix)
        elif smarthost.edge not in members:
            known = self.intent.host(smarthost.edge) is not None
            what = f"'{smarthost.edge}' is not in group mail_edge"
            what = what if known else f"the inventory has no host '{smarthost.edge}'"
            fix = f"hosts of mail_edge: {listed or 'none'}.{nearest(smarthost.edge, members)}"
            self.note("MS-INT-007", f"{key}.edge", what, fix)
        elif smarthost.edge == self.service.host:
            what = f"the service runs on {smarthost.edge} itself, and a tunnel to its own host is not built yet"
            self.note("MS-INT-010", key, what, "run the service on a host in your own network")

    def _smarthost(self, key: str, smarthost: model.Smarthost, profile: Profile) -> None:
        submission = profile.submission
        assert submission is not None
        if not smarthost.username and not submission.login:
            fix = f"add `username:`; it is {submission.username}"
            self.note("MS-INT-054", key, f"{profile.id} needs a user name to log in with", fix)
        if smarthost.username and submission.login and smarthost.username != submission.login:
            what = f"the user name at {profile.id} is always {submission.username}"
            self.note("MS-INT-054", f"{key}.username", what, "leave it out")
        ports = [p.port for p in submission.ports]
        if smarthost.port and smarthost.port not in ports:
            what = f"{profile.id} has no port {smarthost.port}"
            self.note("MS-INT-004", f"{key}.port", what, f"use one of {', '.join(map(str, ports))}")
        needed = set(PLACEHOLDER.findall(submission.host))
        for name, what, fix in inputs.problems(profile, dict(smarthost.inputs)):
            # A key of theirs that is missing leaves its record out: ours is there in any case.
            if name in dict(smarthost.inputs) or name in needed:
                self.note("MS-INT-043", f"{key}.inputs", what, fix)

    def apart(self) -> None:
        """At the queue the server knows an application by its envelope sender alone."""
        some = [a for a in self.service.senders if a.name]
        for index, one in enumerate(some):
            for other in some[:index]:
                mine, theirs = envelope_senders(self.service, one), envelope_senders(self.service, other)
                shared = sorted({a for a in mine for b in theirs if overlap(a, b)})
                if shared and self.service.chosen(one) != self.service.chosen(other):
                    what = f"{one.name} and {other.name} have different smarthosts and the envelope sender {shared[0]} in common"
                    fix = "give one of them `bounces:` of its own, or both the same smarthosts"
                    self.note("MS-INT-053", f"senders.{one.name}", what, fix)

    # -- from outside

    def tunnel(self) -> None:
        tunnel = self.service.tunnel
        if tunnel is None:
            return
        key = "expose.cloudflare_tunnel"
        zones = [z for z in self.intent.zones() if is_within(tunnel.hostname, z)]
        zone = max(zones, key=len) if zones else ""
        if tunnel.hostname and (not zone or self.intent.dns_of(zone).provider != SERVED_BY):
            where = (
                f"in the zone {zone}, which is at {self.intent.dns_of(zone).provider}"
                if zone
                else "in no declared zone"
            )
            fix = f"choose a name in a zone that is at {SERVED_BY}"
            self.note("MS-INT-055", f"{key}.hostname", f"{tunnel.hostname} is {where}", fix)
        if tunnel.hostname and any(tunnel.hostname == d.name for d in self.intent.domains):
            what = f"{tunnel.hostname} is a mail domain, and the tunnel's name takes all of it"
            self.note("MS-INT-055", f"{key}.hostname", what, "choose a name below it")
        access = tunnel.access
        tokens = list(access.service_tokens)
        if not tokens and "expose.cloudflare_tunnel.access.service_tokens" in self.service.given:
            what = "no service token may pass: nobody could send from outside"
            self.note("MS-INT-056", f"{key}.access", what, "name one token for each client")
        for name in sorted({t for t in tokens if tokens.count(t) > 1}):
            self.note("MS-INT-048", f"{key}.access", f"the token {name} is there twice", "keep one of the two")
        if access.duration and access.rotate_after and access.rotate_after + access.overlap > access.duration:
            what = "a token would expire before its secret is renewed, with the time that both are good"
            fix = "let rotate_after and overlap together be shorter than duration"
            self.note("MS-INT-056", f"{key}.access", what, fix)
        if access.duration and not access.rotate_after:
            what = "a token that expires and is never renewed: one day nobody gets in"
            self.note("MS-INT-056", f"{key}.access", what, "write `duration: forever`, or `rotate_after: 180d`")

    def clients(self) -> None:
        tunnel = self.service.tunnel
        if self.service.clients and tunnel is None:
            what = "clients come through a tunnel, and the service has none"
            self.note("MS-INT-057", "clients", what, "add `expose: {cloudflare_tunnel: …}`, or leave `clients` out")
        members = [h.name for h in self.intent.in_group("mail_client")]
        clients = self.service.clients
        for index, name in enumerate(clients):
            key = f"clients[{index}]"
            if name and name not in members:
                known = self.intent.host(name) is not None
                what = f"'{name}' is not in group mail_client" if known else f"the inventory has no host '{name}'"
                fix = f"hosts of mail_client: {', '.join(members) or 'none'}.{nearest(name, members)}"
                self.note("MS-INT-007", key, what, fix)
            elif tunnel and name and not token_of(tunnel, name):
                what = f"none of the service tokens {', '.join(tunnel.access.service_tokens)} is meant for {name}"
                self.note("MS-INT-057", key, what, f"add {name} to access.service_tokens")
            if clients.index(name) != index:
                self.note("MS-INT-048", key, f"the client {name} is there twice", "keep one of the two")


# -- what follows ----------------------------------------------------------------------------------------------------


def token_of(tunnel: model.Tunnel, client: str) -> str:
    """The service token of a client: the one of its name, else the only one; empty where there is none."""
    names = tunnel.access.service_tokens
    return client if client in names else names[0] if len(names) == 1 else ""


def return_path(service: model.Service, application: model.Application) -> str:
    """The envelope sender that an application's mail leaves with, in lower case; empty for its own."""
    return (application.bounces or service.bounces.address).lower()


def edge_of(service: model.Service) -> str:
    """The edge through which a service sends; empty where providers alone deliver."""
    return next((s.edge for s in service.smarthosts if s.provider == model.EDGE), "") if service.present else ""


def relayed(service: model.Service) -> Tuple[str, ...]:
    """Domains in whose names a service sends through its edge, in From and in the envelope, sorted.

    The login of the checks sends through all smarthosts, in the name of the first sender's domain.
    """
    if not edge_of(service):
        return ()
    first = next((a for s in service.senders for a in s.addresses), "")
    everybody = (*service.senders, model.Application(PROBE, (f"{PROBE}@{first.rpartition('@')[2]}",)))
    found: Set[str] = set()
    for application in everybody:
        if any(s.provider == model.EDGE for s in service.chosen(application)):
            path = return_path(service, application)
            found |= {*service.domains_of(application), *([path.rpartition("@")[2]] if path else [])}
    return tuple(sorted(found))


def relays_of(intent: model.Intent, domain: model.Domain) -> Tuple[str, ...]:
    """The edges through which services send in a domain's name, sorted."""
    return tuple(sorted({edge_of(s) for s in intent.services if domain.name in relayed(s)}))


def envelope_senders(service: model.Service, application: model.Application) -> Tuple[str, ...]:
    """Patterns of the envelope senders that an application's mail leaves with."""
    path = return_path(service, application)
    return (path,) if path else application.addresses


def overlap(one: str, other: str) -> bool:
    """Whether an address fits both patterns."""
    (local, _at, domain), (other_local, _other_at, other_domain) = one.rpartition("@"), other.rpartition("@")
    return domain == other_domain and (local == other_local or "*" in (local, other_local))


def _takes(intent: model.Intent, domain: model.Domain, address: str) -> bool:
    """Whether somebody reads the mail of an address; of mailboxes at a provider nothing is known."""
    if domain.routed:
        return routing.takes(domain, address)
    if domain.hosted:
        profile: Optional[Profile] = intent.profile(domain.inbound.provider) if domain.inbound else None
        return profile is None or profile.takes_mail
    if domain.catch_all:
        return True
    found = {a.lower() for d in intent.domains for one in d.accounts for a in (one.address, *one.aliases)}
    # The plan gives these to a domain's first mailbox.
    found |= {f"{role}@{domain.name}" for role in ("postmaster", "abuse")}
    local, _at, name = address.rpartition("@")
    return address in found or (domain.subaddressing and f"{local.split('+', 1)[0]}@{name}" in found)
