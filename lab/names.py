# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's name space as data: every zone, who serves it and what it says before anybody has changed it.

Delegations, glue and signatures are derived (:mod:`lab.dns`); here are only facts. The top-level zones follow from the
names below them, so a new name needs one line.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from lab.topology import (
    CONNECTOR_NAMES,
    EXMAIL_EXCHANGES,
    EXMAIL_IMAP,
    EXMAIL_LAST,
    EXMAIL_SENDER_LAST,
    POSTMARK_LAST,
    PROVIDER_A,
    PROVIDER_B,
    REVERSE_SERVER,
    ROOT_SERVER,
    ROUTING_EXCHANGES,
    SMARTHOSTS,
    TLD_SERVER,
    TUNNEL_EDGE_LAST,
    core6,
)

TTL = 60


@dataclass(frozen=True)
class Server:
    """A part of the tree: one knotd with its own addresses. names: name server names, in the order of the addresses."""

    role: str
    names: tuple[str, ...]
    last: tuple[int, ...]

    def ipv4(self) -> tuple[str, ...]:
        return tuple(f"198.18.0.{n}" for n in self.last)

    def ipv6(self) -> tuple[str, ...]:
        return tuple(core6(str(n)) for n in self.last)


SERVERS: tuple[Server, ...] = (
    Server("root", ("a.root-servers.net",), (ROOT_SERVER,)),
    Server("tld", ("a.gtld-servers.net",), (TLD_SERVER,)),
    Server("provider", ("ada.ns.cloudflare.com", "bob.ns.cloudflare.com"), (PROVIDER_A, PROVIDER_B)),
    Server("reverse", ("rdns.example.org",), (REVERSE_SERVER,)),
)


@dataclass(frozen=True)
class Record:
    """name: absolute, without the trailing dot; data: as in a master file, names absolute and dotted; TXT unquoted."""

    name: str
    type: str
    data: str


@dataclass(frozen=True)
class Zone:
    """name: without the trailing dot, "" is the root. keys: TSIG keys that may update it, beside the lab's own."""

    name: str
    role: str
    records: tuple[Record, ...] = ()
    keys: tuple[str, ...] = ()


#: TSIG keys by name. admin belongs to the tests: they break records with it.
TWIN_KEY, PTR_KEY, OWN_KEY, ADMIN_KEY = "mailstead-twin", "mailstead-ptr", "mailstead-own", "mailstead-admin"

#: Zones of the customer at the DNS provider: nothing in them but what the provider's API publishes.
TWIN_ZONES = ("example.com", "example.net", "example.me", "example.cn")

#: Zones on a name server of the customer's own, forward and reverse: he changes them by DNS update.
OWN_ZONES = ("own.example.org", "3.18.198.in-addr.arpa")

STRANGER_SELECTOR = "lab2026"


def both(name: str, last: int) -> tuple[Record, ...]:
    """A name with an address of either family on the core network."""
    return (Record(name, "A", f"198.18.0.{last}"), Record(name, "AAAA", core6(str(last))))


def _mailbox_provider(domain: str, exchange: str, last: int) -> tuple[tuple[str, Record], ...]:
    """One of the large receivers: its domain's MX, and the exchange's addresses (zone found by suffix)."""
    return tuple((r.name, r) for r in (Record(domain, "MX", f"10 {exchange}."), *both(exchange, last)))


PROVIDER_EXCHANGES: tuple[tuple[str, str, int], ...] = (
    ("gmail.com", "gmail-smtp-in.l.google.com", 31),
    ("outlook.com", "outlook-com.olc.protection.outlook.com", 32),
    ("yahoo.com", "mta5.am0.yahoodns.net", 33),
    ("qq.com", "mx1.qq.com", 34),
    ("163.com", "163mx01.mxmail.netease.com", 38),
)

#: Tencent Exmail: its exchangers, a server it sends from, the names of its web mail and submission server, and the name that
#: customers put into SPF. That costs eight look-ups: itself and seven more. The addresses are in the fourth of them.
EXMAIL: tuple[tuple[str, int], ...] = tuple(zip(EXMAIL_EXCHANGES, EXMAIL_LAST))
EXMAIL_SENDER, EXMAIL_SPF = "smtpbg1.qq.com", "spf.mail.qq.com"
EXMAIL_SERVICES = ("exmail.qq.com", "smtp.exmail.qq.com")
#: The selector that Exmail signs with for its customer; the key is made with the lab.
HOSTED_SELECTOR = "lokg123"

#: Postmark: a server it sends from, and the name that customers' return paths are aliases of.
POSTMARK_SENDER, POSTMARK_RETURN = "mta39.mtasv.net", "pm.mtasv.net"
#: The selector that Postmark signs with for the same customer.
BULK_SELECTOR = "20261120pm"


def _exmail_spf() -> tuple[Record, ...]:
    """What customers include, and the parts it is made of. Only the sending server's addresses are anybody's."""
    parts = {letter: f"ip4:198.19.{n}.0/24" for n, letter in enumerate("abcdefg", 1)}
    parts["d"] += f" ip4:198.18.0.{EXMAIL_SENDER_LAST} ip6:{core6(str(EXMAIL_SENDER_LAST))}"
    includes = " ".join(f"include:spf-{letter}.mail.qq.com" for letter in parts)
    return (
        Record(EXMAIL_SPF, "TXT", f"v=spf1 {includes} -all"),
        *(Record(f"spf-{letter}.mail.qq.com", "TXT", f"v=spf1 {terms} -all") for letter, terms in parts.items()),
    )


#: Email Routing: its exchangers with the last part of their addresses, the server that forwards, its DKIM record.
ROUTING: tuple[tuple[str, int], ...] = tuple(zip(ROUTING_EXCHANGES, (61, 62, 63)))
FORWARDER, FORWARDER_LAST = "a-h.cloudflare-email.net", 60
ROUTING_DKIM = "cf2024-1._domainkey.cloudflare-email.net"

#: SMTP2GO: the name that customers' return paths are aliases of, the one that their DKIM keys are, and the label below their
#: domains that it gives out.
SMTP2GO_RETURN, SMTP2GO_DKIM, SMTP2GO_LABEL = "return.smtp2go.net", "dkim.smtp2go.net", "em123456"
#: Email Sending's label.
SENDING_LABEL = "cf-bounce"


def _senders(*last: int) -> str:
    """Addresses of either family for an SPF record."""
    return " ".join((*(f"ip4:198.18.0.{n}" for n in last), *(f"ip6:{core6(str(n))}" for n in last)))


STATIC_RECORDS: tuple[Record, ...] = (
    *both("ada.ns.cloudflare.com", PROVIDER_A),
    *both("bob.ns.cloudflare.com", PROVIDER_B),
    *both("rdns.example.org", REVERSE_SERVER),
    *both("resolver.example.org", 10),
    Record("api.cloudflare.com", "A", "198.18.0.20"),
    Record("acme-v02.api.letsencrypt.org", "A", "198.18.0.21"),
    Record("github.com", "A", "198.18.0.22"),
    Record("registry-1.docker.io", "A", "198.18.0.22"),
    Record("auth.docker.io", "A", "198.18.0.22"),
    Record("packages.example.org", "A", "198.18.0.22"),
    # The strict receiver.
    Record("strict.example.org", "MX", "10 mx.strict.example.org."),
    Record("strict.example.org", "TXT", "v=spf1 mx -all"),
    Record("_dmarc.strict.example.org", "TXT", "v=DMARC1; p=reject; adkim=s; aspf=s"),
    *both("mx.strict.example.org", 30),
    Record("mx.strict.example.org", "TXT", "v=spf1 a -all"),
    # The outside sender. Its DKIM key is added when there is one.
    Record("stranger.example.org", "MX", "10 mail.stranger.example.org."),
    Record("stranger.example.org", "TXT", "v=spf1 mx -all"),
    Record("_dmarc.stranger.example.org", "TXT", "v=DMARC1; p=none"),
    *both("mail.stranger.example.org", 40),
    Record("mail.stranger.example.org", "TXT", "v=spf1 a -all"),
    *(record for provider in PROVIDER_EXCHANGES for _, record in _mailbox_provider(*provider)),
    # What a large provider says of its own senders.
    Record("gmail.com", "TXT", "v=spf1 redirect=_spf.google.com"),
    Record("_spf.google.com", "TXT", f"v=spf1 ip4:198.18.0.31 ip6:{core6('31')} ~all"),
    Record("_dmarc.gmail.com", "TXT", "v=DMARC1; p=none; sp=quarantine"),
    # Tencent Exmail: nothing listens behind the names of its web mail and submission server, mailboxes can be read.
    *(record for name, last in EXMAIL for record in both(name, last)),
    *(record for name in (EXMAIL_SENDER, *EXMAIL_SERVICES) for record in both(name, EXMAIL_SENDER_LAST)),
    *both(EXMAIL_IMAP, 30),
    Record(EXMAIL_SENDER, "TXT", "v=spf1 a -all"),
    *_exmail_spf(),
    # Postmark.
    *both(POSTMARK_SENDER, POSTMARK_LAST),
    Record(POSTMARK_SENDER, "TXT", "v=spf1 a -all"),
    Record(POSTMARK_RETURN, "MX", f"10 {POSTMARK_SENDER}."),
    Record(POSTMARK_RETURN, "TXT", f"v=spf1 ip4:198.18.0.{POSTMARK_LAST} ip6:{core6(str(POSTMARK_LAST))} -all"),
    # Email Routing: where a zone's MX lead, who forwards, and what zones refer to.
    *(record for name, last in ROUTING for record in both(name, last)),
    *both(FORWARDER, FORWARDER_LAST),
    Record("_spf.mx.cloudflare.net", "TXT", f"v=spf1 {_senders(FORWARDER_LAST, SMARTHOSTS['cloudflare'][2])} ~all"),
    # Providers that applications send through.
    *(record for entry, out, last in SMARTHOSTS.values() for name in (entry, out) for record in both(name, last)),
    *(Record(out, "TXT", "v=spf1 a -all") for _, out, _ in SMARTHOSTS.values()),
    Record(SMTP2GO_RETURN, "MX", f"10 {SMARTHOSTS['smtp2go'][1]}."),
    Record(SMTP2GO_RETURN, "TXT", f"v=spf1 {_senders(SMARTHOSTS['smtp2go'][2])} -all"),
    Record("_mta-sts.mx.cloudflare.net", "TXT", "v=STSv1; id=20230615T153000;"),
    # The edge in front of tunnels: for connectors, and as any team's own name. Tunnels' host names the API twin publishes.
    *(record for name in CONNECTOR_NAMES for record in both(name, TUNNEL_EDGE_LAST)),
    *both("*.cloudflareaccess.com", TUNNEL_EDGE_LAST),
    # A block list with nothing but the two test entries of RFC 5782 section 5: 127.0.0.2 is listed, 127.0.0.1 never.
    Record("2.0.0.127.zen.spamhaus.org", "A", "127.0.0.2"),
    Record("2.0.0.127.zen.spamhaus.org", "A", "127.0.0.4"),
    Record("2.0.0.127.zen.spamhaus.org", "A", "127.0.0.10"),
    Record("2.0.0.127.zen.spamhaus.org", "TXT", "https://check.example.org/query/ip/127.0.0.2"),
)

#: Zones delegated from a top-level domain, besides those of the customer.
STATIC_ZONES = (
    "163.com",
    "argotunnel.com",
    "cloudflare-email.net",
    "cloudflare.com",
    "cloudflare.net",
    "cloudflareaccess.com",
    "docker.io",
    "example.org",
    "github.com",
    "gmail.com",
    "google.com",
    "letsencrypt.org",
    "mtasv.net",
    "netease.com",
    "outlook.com",
    "qq.com",
    "smtp2go.com",
    "smtp2go.net",
    "spamhaus.org",
    "yahoo.com",
    "yahoodns.net",
)

_SENDING = (
    *EXMAIL,
    (EXMAIL_SENDER, EXMAIL_SENDER_LAST),
    (POSTMARK_SENDER, POSTMARK_LAST),
    *((out, last) for _, out, last in SMARTHOSTS.values()),
)

#: Reverse names. The edge has none (setting it is the product's job), neither has the subscriber line.
POINTERS: tuple[tuple[str, str], ...] = (
    *((f"198.18.0.{n}", name) for n, name in ((53, "a.root-servers.net"), (54, "a.gtld-servers.net"))),
    *((f"198.18.0.{n}", name) for n, name in ((55, "ada.ns.cloudflare.com"), (56, "bob.ns.cloudflare.com"))),
    ("198.18.0.57", "rdns.example.org"),
    ("198.18.0.10", "resolver.example.org"),
    ("198.18.0.20", "api.cloudflare.com"),
    ("198.18.0.21", "acme-v02.api.letsencrypt.org"),
    ("198.18.0.22", "packages.example.org"),
    ("198.18.0.30", "mx.strict.example.org"),
    (core6("30"), "mx.strict.example.org"),
    *((f"198.18.0.{n}", exchange) for _, exchange, n in PROVIDER_EXCHANGES),
    *((core6(str(n)), exchange) for _, exchange, n in PROVIDER_EXCHANGES),
    *((f"198.18.0.{n}", name) for name, n in _SENDING),
    *((core6(str(n)), name) for name, n in _SENDING),
    *((f"198.18.0.{n}", exchange) for exchange, n in ROUTING),
    *((core6(str(n)), exchange) for exchange, n in ROUTING),
    (f"198.18.0.{FORWARDER_LAST}", FORWARDER),
    (core6(str(FORWARDER_LAST)), FORWARDER),
    (f"198.18.0.{TUNNEL_EDGE_LAST}", CONNECTOR_NAMES[0]),
    (core6(str(TUNNEL_EDGE_LAST)), CONNECTOR_NAMES[0]),
    ("198.18.0.40", "mail.stranger.example.org"),
    (core6("40"), "mail.stranger.example.org"),
)

#: Leaf zones of the reverse tree; the last is 2001:2::/48.
REVERSE_ZONES = (
    "0.18.198.in-addr.arpa",
    "1.18.198.in-addr.arpa",
    "2.18.198.in-addr.arpa",
    "0.0.0.0.2.0.0.0.1.0.0.2.ip6.arpa",
)


def covers(zone: str, name: str) -> bool:
    """Whether a name is the zone's apex or below it; every name is below the root."""
    return zone in ("", name) or name.endswith("." + zone)


def _in(zone: str, records: tuple[Record, ...]) -> tuple[Record, ...]:
    return tuple(r for r in records if covers(zone, r.name))


def all_zones(extra: tuple[Record, ...] = ()) -> tuple[Zone, ...]:
    """Every zone of the lab, the root first. extra: records known only once a key was made. Pure."""
    records = STATIC_RECORDS + extra
    pointers = tuple(Record(ipaddress.ip_address(a).reverse_pointer, "PTR", f"{n}.") for a, n in POINTERS)
    leaves = STATIC_ZONES + TWIN_ZONES
    tops = sorted({z.rsplit(".", 1)[-1] for z in leaves})
    # These two live in the zone itself: nobody delegates them further.
    servers = {s.role: s for s in SERVERS}
    net = tuple(
        r for role in ("root", "tld") for n, last in zip(servers[role].names, servers[role].last) for r in both(n, last)
    )
    return (
        Zone("", "root"),
        *(Zone(t, "tld", net if t == "net" else ()) for t in tops),
        *(Zone(z, "tld") for z in ("arpa", "in-addr.arpa", "ip6.arpa")),
        *(Zone(z, "provider", _in(z, records)) for z in STATIC_ZONES),
        *(Zone(z, "provider", keys=(TWIN_KEY,)) for z in TWIN_ZONES),
        *(Zone(z, "reverse", _in(z, pointers), (PTR_KEY,)) for z in REVERSE_ZONES),
        *(Zone(z, "reverse", keys=(OWN_KEY,)) for z in OWN_ZONES),
    )
