# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The intent: what the user declared, read into plain frozen data. The words are those of the inventory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping, Optional, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.providers.inputs import as_relayed, as_used
from ansible_collections.mailstead.stack.plugins.module_utils.providers.model import Profile

#: Our own mail server, and the routing service that has modules here. All other providers are profiles.
OWN = "stalwart"
#: Our own edges as a smarthost, beside the providers.
EDGE = "edge"
ROUTING = "cloudflare_email_routing"


@dataclass(frozen=True)
class Account:
    """A mailbox; address may lack its domain; secret says where its password is: a path into the intent, or nothing."""

    address: str
    aliases: Tuple[str, ...] = ()
    secret: str = ""
    description: str = ""
    quota: int = 0


@dataclass(frozen=True)
class Target:
    """Where a routing service takes the mail of an address.

    action: forward (target: a complete address), worker (target: its name) or drop. enabled: None means as soon as the
    destination is verified. tag: the user's own words, such as to whom the address was given. priority: lower comes first.
    """

    action: str
    target: str = ""
    enabled: Optional[bool] = None
    tag: str = ""
    priority: Optional[int] = None


@dataclass(frozen=True)
class Worker:
    """How a Worker is made: from one of our templates, or from a file of the user's. settings: JSON for a template."""

    name: str
    template: str = ""
    file: str = ""
    settings: str = "{}"


@dataclass(frozen=True)
class Inbound:
    """Who owns the MX. host, edge: of our own server; inputs: values only the user has, by the names of the provider's
    profile; the rest is for routing services.

    addresses: complete ones. leaving: exchangers of an old provider that may go, as host patterns. subaddressing of our
    own server stands at the domain.
    """

    provider: str
    host: str = ""
    edge: Tuple[str, ...] = ()
    addresses: Tuple[Tuple[str, Target], ...] = ()
    catch_all: Optional[Target] = None
    subaddressing: bool = True
    leaving: Tuple[str, ...] = ()
    workers: Tuple[Worker, ...] = ()
    inputs: Tuple[Tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Outbound:
    """A sender. egress: the name of an edge, empty for the inbound one; the rest is for providers.

    account: the login there. send_as: complete addresses. inputs: values only the user has, by the profile's names.
    host: the home of our own server, where others take the domain's mail. smarthost: the place where it is declared as the
    smarthost of a service for applications, which signs the mail before; empty for a sender of the domain's own.
    """

    provider: str
    egress: str = ""
    account: str = ""
    send_as: Tuple[str, ...] = ()
    spf_authorize: bool = False
    inputs: Tuple[Tuple[str, str], ...] = ()
    host: str = ""
    smarthost: str = ""


@dataclass(frozen=True)
class Dkim:
    keys: Tuple[str, ...]
    selector: str
    rotate_after: int


@dataclass(frozen=True)
class Dmarc:
    policy: str
    np: str
    adkim: str
    aspf: str
    rua: Tuple[str, ...]


@dataclass(frozen=True)
class Domain:
    name: str
    unicode_name: str
    state: str
    zone: str
    inbound: Optional[Inbound]
    outbound: Optional[Outbound]
    dkim: Dkim
    dmarc: Dmarc
    mta_sts: str
    tls_rpt: Tuple[str, ...]
    dane: str
    accounts: Tuple[Account, ...]
    catch_all: str
    subaddressing: bool
    #: Keys the user wrote, for telling a given value from a default.
    given: Tuple[str, ...] = ()
    also: Tuple[Outbound, ...] = ()
    #: Name below the domain for the provider's web mail.
    webmail: str = ""
    #: Place in mail_domains, for messages.
    position: int = 0

    @property
    def path(self) -> str:
        return f"mail_domains[{self.position}]"

    @property
    def routed(self) -> bool:
        """Whether a routing service takes the domain's mail."""
        return self.inbound is not None and self.inbound.provider == ROUTING

    @property
    def hosted(self) -> bool:
        """Whether the domain's mailboxes are at a provider."""
        return self.elsewhere and not self.routed

    @property
    def elsewhere(self) -> bool:
        """Whether others take the domain's mail."""
        return self.inbound is not None and self.inbound.provider != OWN

    @property
    def submission(self) -> Optional[Outbound]:
        """Our own server as a sender of a domain whose mail others take."""
        return next((s for s in self.senders if s.provider == OWN), None) if self.elsewhere else None

    @property
    def senders(self) -> Tuple[Outbound, ...]:
        """Everybody who sends in the domain's name, our own server included."""
        return ((self.outbound,) if self.outbound else ()) + self.also


@dataclass(frozen=True)
class Rate:
    """So many messages in so many seconds."""

    count: int
    per: int


@dataclass(frozen=True)
class Limits:
    """Of one application: how often it may send, and how large a message may be in bytes. Absent ones are the service's."""

    per_sender: Optional[Rate] = None
    max_size: int = 0


@dataclass(frozen=True)
class Bounces:
    """Where it goes that a message came back: to an address, or a program that is called. secret: with which calls are signed."""

    address: str = ""
    webhook: str = ""
    secret: str = ""


@dataclass(frozen=True)
class Application:
    """An application that may send. addresses: complete ones, or ``*@domain``. smarthosts: providers out of the service's."""

    name: str
    addresses: Tuple[str, ...] = ()
    smarthosts: Tuple[str, ...] = ()
    limits: Limits = Limits()
    bounces: str = ""
    secret: str = ""


@dataclass(frozen=True)
class Smarthost:
    """Who delivers for a service. inputs: values only the user has, by the profile's names. edge: of provider ``edge``, a host."""

    provider: str
    username: str = ""
    secret: str = ""
    inputs: Tuple[Tuple[str, str], ...] = ()
    port: int = 0
    edge: str = ""


@dataclass(frozen=True)
class Access:
    """Who passes a tunnel. Durations in seconds; duration 0: a service token lives for ever, rotate_after 0: never renewed."""

    service_tokens: Tuple[str, ...] = ()
    duration: int = 0
    rotate_after: int = 0
    overlap: int = 0


@dataclass(frozen=True)
class Tunnel:
    """A Cloudflare Tunnel in front of a service. account_id, token: empty for those of the zone."""

    hostname: str
    access: Access
    management: str = "remote"
    account_id: str = ""
    token: str = ""


@dataclass(frozen=True)
class Service:
    """A service through which applications send. host: inventory host. lan_name: the name in its certificate.

    lan_address: address that is published for that name. clients: application hosts that come through the tunnel.
    """

    name: str
    state: str
    host: str
    lan_name: str
    lan_address: str
    senders: Tuple[Application, ...]
    smarthosts: Tuple[Smarthost, ...]
    tunnel: Optional[Tunnel]
    limits: Limits
    clients: Tuple[str, ...]
    bounces: Bounces
    #: Keys the user wrote.
    given: Tuple[str, ...] = ()
    #: Place in mail_submission, for messages.
    position: int = 0

    @property
    def path(self) -> str:
        return f"mail_submission[{self.position}]"

    @property
    def present(self) -> bool:
        return self.state == "present"

    def domains_of(self, application: Application) -> Tuple[str, ...]:
        """Domains in whose names an application sends, sorted."""
        return tuple(sorted({a.rpartition("@")[2] for a in application.addresses}))

    @property
    def domains(self) -> Tuple[str, ...]:
        """Domains in whose names anybody sends through it, sorted."""
        return tuple(sorted({d for a in self.senders for d in self.domains_of(a)}))

    def chosen(self, application: Application) -> Tuple[Smarthost, ...]:
        """The smarthosts of an application, in the order in which they are tried."""
        if not application.smarthosts:
            return self.smarthosts
        return tuple(s for name in application.smarthosts for s in self.smarthosts if s.provider == name)


@dataclass(frozen=True)
class Ptr:
    """Who sets the reverse records. options: the provider's words that were given; of a secret, where it is."""

    provider: str
    options: Tuple[Tuple[str, str], ...] = ()


@dataclass(frozen=True)
class MailHost:
    """A public host: its mail name, addresses and who sets its reverse record."""

    name: str
    ipv4: str
    ipv6: str
    ptr: Ptr


@dataclass(frozen=True)
class Acme:
    directory: str
    email: str
    challenge: str


@dataclass(frozen=True)
class Dns:
    """A host of DNS zones. token and secret: references; zones: those it serves beside the ones nobody names."""

    provider: str
    zones: Tuple[str, ...] = ()
    token: str = ""
    server: str = ""
    port: int = 0
    key_name: str = ""
    key_algorithm: str = ""
    secret: str = ""


@dataclass(frozen=True)
class Canary:
    address: str
    imap_host: str
    imap_username: str
    secret: str


@dataclass(frozen=True)
class Operator:
    email: str
    #: The first serves every zone that no other names.
    dns: Tuple[Dns, ...]
    acme: Acme
    canaries: Tuple[Canary, ...]


@dataclass(frozen=True)
class Host:
    name: str
    groups: Tuple[str, ...]
    mail_host: Optional[MailHost] = None


@dataclass(frozen=True)
class Intent:
    version: int
    operator: Operator
    domains: Tuple[Domain, ...]
    hosts: Tuple[Host, ...]
    #: What is known of providers.
    profiles: Tuple[Profile, ...] = ()
    services: Tuple[Service, ...] = ()

    def profile(self, provider: str) -> Optional[Profile]:
        return next((p for p in self.profiles if p.id == provider), None)

    def sender_profiles(self, domain: Domain) -> Tuple[Tuple[Outbound, Profile], ...]:
        """The senders of a domain beside our own server, each with its profile as far as its inputs go."""
        found = ((s, self.profile(s.provider)) for s in domain.senders)
        return tuple(
            (s, as_relayed(p) if s.smarthost else as_used(p, dict(s.inputs))) for s, p in found if p is not None
        )

    def dns_of(self, zone: str) -> Dns:
        """Who serves a zone."""
        return next((d for d in self.operator.dns if zone in d.zones), self.operator.dns[0])

    def zones(self) -> Tuple[str, ...]:
        """Every zone that is declared, sorted."""
        named = {z for d in self.operator.dns for z in d.zones}
        return tuple(sorted(named | {d.zone for d in self.domains}))

    def in_group(self, group: str) -> Tuple[Host, ...]:
        return tuple(h for h in self.hosts if group in h.groups)

    def host(self, name: str) -> Optional[Host]:
        return next((h for h in self.hosts if h.name == name), None)


@dataclass(frozen=True)
class RawIntent:
    """The inventory as Ansible hands it over, templated. hosts: name → {groups: [...], mail_host: {...} or absent}."""

    mail_domains: Any
    mail_operator: Any
    mail_intent: Any
    mail_submission: Any
    hosts: Mapping[str, Mapping[str, Any]]
    #: Every variable name of the inventory that begins with one of our prefixes, for finding misspelt ones.
    variables: Tuple[str, ...] = ()
