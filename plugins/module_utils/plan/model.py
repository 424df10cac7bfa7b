# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The MailPlan: everything that will be built, published and checked, as plain frozen data.

A plan is a function of the intent alone. What cannot be known before something exists (a public key, the hash of a
certificate's key) is a :class:`Deferred`; :func:`~.resolve.resolve` fills those from facts and nothing else does.
Every class converts to and from JSON types with :func:`to_data` and :func:`from_data`, secrets appear only as the
names of references.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Optional, Tuple, Type, TypeVar, Union, get_args, get_origin, get_type_hints

from ansible_collections.mailstead.stack.plugins.module_utils.plan.phases import ForeignPolicy

#: Algorithms in the words of the intent, with the letter that ends a selector.
DKIM_ALGORITHMS = {"rsa-2048": "r", "rsa-4096": "r", "ed25519": "e"}

T = TypeVar("T")


@dataclass(frozen=True)
class Deferred:
    """A value that exists only after something has been made.

    kind: ``dkim`` (key ``<domain>/<algorithm>``, followed by ``@<service>`` where the key is a service's own; fills name and
    content), ``tlsa`` (key = host name; fills content) or ``routing`` (key ``<domain>/<type>``; fills content): what a routing
    service assigns and keeps itself.
    """

    kind: str
    key: str


@dataclass(frozen=True)
class Record:
    """One wanted DNS record.

    name: FQDN, lower case, A-labels, no trailing dot. content: master-file presentation of the rdata with host names
    absolute but without the trailing dot (``10 mail.example.com``, ``0 1 465 mail.example.com``, ``3 1 1 ab…``,
    ``0 issue "letsencrypt.org"``); for TXT the text itself: unquoted, undivided. ttl: seconds.
    """

    zone: str
    name: str
    type: str
    content: str
    ttl: int
    phase: str
    role: str
    reason: str
    deferred: Optional[Deferred] = None


@dataclass(frozen=True)
class ZonePlan:
    """A zone, the provider that serves it and the records wanted in it (sorted by phase, name, type, content).

    options: how to reach the provider, in the intent's words; they hold no secret values, only reference names.
    """

    name: str
    provider: str
    records: Tuple[Record, ...]
    foreign: ForeignPolicy = dataclasses.field(default_factory=ForeignPolicy)
    options: Tuple[Tuple[str, str], ...] = ()


@dataclass(frozen=True)
class AccountPlan:
    """A mailbox. address and aliases are complete addresses; secret names the reference that holds the password."""

    address: str
    aliases: Tuple[str, ...]
    secret: str
    description: str = ""
    quota: int = 0


@dataclass(frozen=True)
class DkimPlan:
    """How a domain signs. selector is a strftime pattern to which ``r`` or ``e`` is appended; rotate_after in days."""

    algorithms: Tuple[str, ...]
    selector: str
    rotate_after: int


@dataclass(frozen=True)
class DmarcPlan:
    policy: str
    np: str
    adkim: str
    aspf: str
    rua: Tuple[str, ...]


@dataclass(frozen=True)
class DomainPlan:
    """A mail domain of our own server, its owners and its policies. home, edges and egress are inventory host names.

    edges and mail_hosts are empty where others take the domain's mail and it is only sent from here.
    """

    name: str
    unicode_name: str
    zone: str
    home: str
    edges: Tuple[str, ...]
    mail_hosts: Tuple[str, ...]
    egress: str
    dkim: DkimPlan
    dmarc: DmarcPlan
    mta_sts: str
    mta_sts_id: str
    tls_rpt: Tuple[str, ...]
    dane: bool
    accounts: Tuple[AccountPlan, ...]
    catch_all: str = ""
    subaddressing: bool = True

    @property
    def takes_mail(self) -> bool:
        return bool(self.mail_hosts)


@dataclass(frozen=True)
class RulePlan:
    """Where the mail of an address goes. address: complete, empty for the catch-all; action: forward, worker or drop.

    enabled: None means as soon as the destination is verified. tag: the user's words.
    """

    address: str
    action: str
    target: str
    enabled: Optional[bool] = None
    tag: str = ""
    priority: Optional[int] = None


@dataclass(frozen=True)
class WorkerPlan:
    """A Worker that is made here, from a template or a file. settings: JSON; hostnames: names it answers HTTPS for."""

    name: str
    template: str
    file: str
    settings: str
    hostnames: Tuple[str, ...] = ()


@dataclass(frozen=True)
class SenderPlan:
    """A provider that sends for a domain. max_policy: the strictest DMARC policy it allows, and why.

    managed: whether it is set up here. steps: what a person has to do there, in order.
    """

    provider: str
    title: str
    account: str
    send_as: Tuple[str, ...]
    max_policy: str
    why: str
    managed: bool = False
    steps: Tuple[str, ...] = ()


@dataclass(frozen=True)
class RoutingPlan:
    """A mail domain whose mail a routing service takes; others send for it, our own server among them or not.

    state: present or absent. leaving: host patterns of exchangers that may go. policy_why: why the DMARC policy is what it
    is. keeps: records that the service writes and keeps itself, for looking at; never published from here.
    """

    name: str
    unicode_name: str
    zone: str
    provider: str
    state: str
    rules: Tuple[RulePlan, ...]
    catch_all: Optional[RulePlan]
    destinations: Tuple[str, ...]
    subaddressing: bool
    leaving: Tuple[str, ...]
    workers: Tuple[WorkerPlan, ...]
    senders: Tuple[SenderPlan, ...]
    dmarc: DmarcPlan
    policy_why: str
    mta_sts: str
    tls_rpt: Tuple[str, ...]
    keeps: Tuple[Record, ...]

    @property
    def unread(self) -> Tuple[str, ...]:
        """Addresses that every mail domain must have (RFC 5321 §4.5.1, RFC 2142 §4) and whose mail nobody gets."""
        caught = self.catch_all is not None and self.catch_all.action != "drop"
        taken = {r.address for r in self.rules if r.action != "drop"}
        wanted = (f"postmaster@{self.name}", f"abuse@{self.name}")
        dropped = {r.address for r in self.rules if r.action == "drop"}
        return tuple(a for a in wanted if a not in taken and (a in dropped or not caught))


@dataclass(frozen=True)
class HostedPlan:
    """A mail domain whose mailboxes are at a provider; others may send for it too, our own server among them or not.

    title: the provider's, for people. state: present or absent. mx: preference and host of each exchanger, as in a record.
    selectors: names of the provider's DKIM records. webmail: name of one's own for its web mail, complete, or empty.
    """

    name: str
    unicode_name: str
    zone: str
    provider: str
    title: str
    state: str
    mx: Tuple[str, ...]
    selectors: Tuple[str, ...]
    senders: Tuple[SenderPlan, ...]
    dmarc: DmarcPlan
    policy_why: str
    mta_sts: str
    tls_rpt: Tuple[str, ...]
    webmail: str = ""


#: A domain in whose name mail is sent and taken, with or without a home.
MailDomain = Union[DomainPlan, RoutingPlan, HostedPlan]


@dataclass(frozen=True)
class Listener:
    """A listener of the mail server; proxied ones expect PROXY protocol v2 from the tunnel client alone."""

    name: str
    port: int
    protocol: str
    tls: str
    proxied: bool
    public: bool


@dataclass(frozen=True)
class MtaStsPlan:
    """One policy per mail server: mode off, testing or enforce; max_age in seconds."""

    mode: str
    mx: Tuple[str, ...]
    max_age: int
    id: str


@dataclass(frozen=True)
class HomePlan:
    """What runs at home. Addresses are those of the container network that only server and tunnel client share."""

    host: str
    server_name: str
    domains: Tuple[str, ...]
    edges: Tuple[str, ...]
    subnet: str
    gateway: str
    tunnel_address: str
    server_address: str
    relay_port: int
    listeners: Tuple[Listener, ...]
    certificate_names: Tuple[str, ...]
    mta_sts: MtaStsPlan
    acme_directory: str
    acme_email: str
    acme_challenge: str


@dataclass(frozen=True)
class SmarthostPlan:
    """A server that takes our mail and delivers it. id: its name among those of one service, such as ``1-smtp2go``.

    provider: a profile's id, or ``edge`` for one of our own edges (then edge is its inventory host, and host the address at which
    our end of the tunnel takes mail for it). tls: implicit,
    starttls, or none within our own tunnel. username: empty without a login, ``{secret}`` where the password is the user name
    too. secret: reference. max_size: bytes a message may
    have there; messages_per_day: its quota; both 0 when unknown. hint: what the password is, in words.
    """

    id: str
    provider: str
    title: str
    host: str
    port: int
    tls: str
    username: str
    secret: str
    edge: str = ""
    max_size: int = 0
    messages_per_day: int = 0
    hint: str = ""


@dataclass(frozen=True)
class ApplicationPlan:
    """An application that may send. login: its user name, complete. secret: reference to its password.

    senders: patterns of complete addresses, lower case; ``*@ci.example.com`` stands for every address of exactly that domain.
    smarthosts: ids, in the order in which they are tried. rate: messages in per seconds, 0 for no limit. max_size: bytes.
    return_path: the envelope sender that mail leaves with, where it is not the application's own; bounces go there.
    """

    name: str
    login: str
    secret: str
    senders: Tuple[str, ...]
    smarthosts: Tuple[str, ...]
    rate: int = 0
    per: int = 3600
    max_size: int = 0
    return_path: str = ""

    @property
    def domains(self) -> Tuple[str, ...]:
        """Domains in whose names it sends, sorted."""
        return tuple(sorted({s.rpartition("@")[2] for s in self.senders}))


@dataclass(frozen=True)
class IngressRule:
    """What a tunnel does with requests for a host name; the last rule has none and stands for the rest.

    service: ``tcp://address:port``, ``http://…`` or ``http_status:404``.
    """

    hostname: str
    service: str


@dataclass(frozen=True)
class TunnelPlan:
    """A Cloudflare Tunnel in front of a service. management: remote (configured over the API) or local (by a file).

    service_tokens: names of the Access service tokens that may pass; each lives for duration (seconds, 0 for ever) and gets a
    new secret after rotate_after seconds (0: never by itself), the old one staying good for overlap seconds. account_id and
    token (reference to an API token) may be empty: the zone's own are used then.
    """

    name: str
    management: str
    hostname: str
    zone: str
    ingress: Tuple[IngressRule, ...]
    service_tokens: Tuple[str, ...]
    duration: int = 0
    rotate_after: int = 0
    overlap: int = 0
    account_id: str = ""
    token: str = ""


@dataclass(frozen=True)
class ClientPlan:
    """An application host that reaches a service through its tunnel. token: name of its service token.

    port: where the client listens on the host's loopback address, one for each service.
    """

    host: str
    token: str
    port: int


@dataclass(frozen=True)
class SubmissionPlan:
    """A service through which applications send: a mail server without MX and mailboxes. host: inventory host that runs it.

    state: present or absent. server_name: the name in its certificate, under which applications reach it, on the LAN as
    through a tunnel. lan_address: address that is published for that name, or empty. login_domain: what the user names of
    applications end in; no mail goes there. domains: those it signs and sends for. webhook: URL that is told of failed
    deliveries, webhook_secret the reference to the key that signs such calls. probe: the login that checks use; it may send as
    probe_sender only. The network is that of :class:`HomePlan`; tunnel_address is that of the tunnel's connector, relay_address
    that of the tunnel to an edge of ours, where one is among the smarthosts.
    """

    name: str
    host: str
    state: str
    server_name: str
    zone: str
    lan_address: str
    login_domain: str
    domains: Tuple[str, ...]
    dkim: Tuple[Tuple[str, DkimPlan], ...]
    applications: Tuple[ApplicationPlan, ...]
    smarthosts: Tuple[SmarthostPlan, ...]
    max_size: int
    webhook: str
    webhook_secret: str
    tunnel: Optional[TunnelPlan]
    clients: Tuple[ClientPlan, ...]
    listeners: Tuple[Listener, ...]
    subnet: str
    gateway: str
    tunnel_address: str
    server_address: str
    relay_port: int
    acme_directory: str
    acme_email: str
    probe: Optional[ApplicationPlan] = None
    probe_sender: str = ""
    relay_address: str = ""

    @property
    def edge(self) -> str:
        """The edge of ours among the smarthosts; empty where providers alone deliver."""
        return next((s.edge for s in self.smarthosts if s.edge), "")


@dataclass(frozen=True)
class EdgePlan:
    """What runs on a public host. relay_name is Postfix's own name: it must differ from mail_name (RFC 5321 loop check)."""

    host: str
    mail_name: str
    relay_name: str
    ipv4: str
    ipv6: str
    homes: Tuple[str, ...]
    bind_port: int
    ports: Tuple[int, ...]
    relay_port: int
    sender_domains: Tuple[str, ...]


@dataclass(frozen=True)
class PtrPlan:
    """A reverse record: address → name, through a provider. options hold no secret values, only reference names."""

    address: str
    name: str
    host: str
    provider: str
    options: Tuple[Tuple[str, str], ...] = ()


@dataclass(frozen=True)
class CanaryPlan:
    """A mailbox elsewhere that serves as a witness; secret names the reference that holds its password."""

    address: str
    imap_host: str
    imap_username: str
    secret: str


@dataclass(frozen=True)
class Decision:
    """Why a value is what it is. source: given (the user's word), default (ours) or derived (follows from others)."""

    subject: str
    key: str
    value: str
    source: str
    reason: str


@dataclass(frozen=True)
class MailPlan:
    version: int
    operator_email: str
    domains: Tuple[DomainPlan, ...]
    zones: Tuple[ZonePlan, ...]
    homes: Tuple[HomePlan, ...]
    edges: Tuple[EdgePlan, ...]
    ptr: Tuple[PtrPlan, ...]
    canaries: Tuple[CanaryPlan, ...]
    vantages: Tuple[str, ...]
    decisions: Tuple[Decision, ...]
    #: Domains whose mail a routing service takes. Those that are sent from home are among ``domains`` too.
    routing: Tuple[RoutingPlan, ...] = ()
    #: Domains whose mailboxes are at a provider; the same holds.
    hosted: Tuple[HostedPlan, ...] = ()
    #: Services through which applications send.
    submissions: Tuple[SubmissionPlan, ...] = ()

    @property
    def elsewhere(self) -> Tuple[Union[RoutingPlan, HostedPlan], ...]:
        """Domains whose mail others take."""
        return (*self.routing, *self.hosted)


def to_data(value: Any) -> Any:
    """A plan (or any part of one) as JSON types: dataclasses become dicts, tuples lists."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_data(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, (list, tuple)):
        return [to_data(v) for v in value]
    return value


def from_data(cls: Type[T], data: Any) -> T:
    """The inverse of :func:`to_data`: ``from_data(MailPlan, to_data(plan)) == plan``.

    Raises TypeError when data does not have the shape of cls.
    """
    return _build(cls, data)  # type: ignore[no-any-return]


def _build(kind: Any, data: Any) -> Any:
    origin = get_origin(kind)
    if origin is Union:
        if data is None:
            return None
        return _build(next(a for a in get_args(kind) if a is not type(None)), data)
    if origin is tuple:
        args = get_args(kind)
        if len(args) == 2 and args[1] is Ellipsis:
            return tuple(_build(args[0], v) for v in data)
        return tuple(_build(a, v) for a, v in zip(args, data))
    if dataclasses.is_dataclass(kind):
        if not isinstance(data, dict):
            raise TypeError(f"{kind} expects a mapping, got {type(data).__name__}")
        hints = get_type_hints(kind)
        unknown = set(data) - set(hints)
        if unknown:
            raise TypeError(f"{kind} has no field {sorted(unknown)}")
        return kind(**{k: _build(hints[k], v) for k, v in data.items()})  # type: ignore[operator]
    if kind in (str, int, bool, float):
        # Ansible hands over tagged subclasses; a plan holds plain values.
        return kind(data)
    return data
