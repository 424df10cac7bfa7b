# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The words of the operator and of hosts: who serves the zones, certificates, reverse records, witnesses."""

from __future__ import annotations

from typing import Dict, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.intent import model
from ansible_collections.mailstead.stack.plugins.module_utils.intent.names import DomainName, IPAddress, MailAddress
from ansible_collections.mailstead.stack.plugins.module_utils.intent.shapes import (
    ByProvider,
    Key,
    Many,
    Mapped,
    Number,
    Text,
)
from ansible_collections.mailstead.stack.plugins.module_utils.intent.words import Secret
from ansible_collections.mailstead.stack.plugins.module_utils.ptr.options import PROVIDERS as PTR_PROVIDERS
from ansible_collections.mailstead.stack.plugins.module_utils.ptr.panels import NAMES as PANELS

LETS_ENCRYPT = "https://acme-v02.api.letsencrypt.org/directory"
TSIG_ALGORITHMS = ("hmac-sha256", "hmac-sha384", "hmac-sha512")

#: The words of each provider of reverse records. A reverse zone of one's own is named in full here.
PTR_WORDS = {name: (takes.required, takes.optional) for name, takes in PTR_PROVIDERS.items()}
PTR_WORDS["rfc2136"] = (("server", "zone", "key_name", "secret"), ("key_algorithm",))


def _ptr(provider: str, **given: str) -> model.Ptr:
    return model.Ptr(provider, tuple(sorted((key, value) for key, value in given.items() if value)))


PTR = ByProvider(
    words=PTR_WORDS,
    name="ptr",
    shorthand="provider",
    build=_ptr,
    fallback=model.Ptr(provider="manual"),
    keys={
        "provider": Key(
            Text(choices=tuple(PTR_WORDS), fallback="manual"),
            default="manual",
            doc="who sets the reverse record: the account that the address is rented with, a name server of your own "
            "(rfc2136), or you (manual prints what to do)",
        ),
        "panel": Key(Text(choices=PANELS), default="", doc="manual: the hoster whose panel the steps are for"),
        "token": Key(Secret(), default="", doc="hcloud, linode, vultr: API token that may change the address"),
        "region": Key(
            Text(pattern=r"[a-z]{2,4}(-[a-z]+)+-\d{1,2}", wanted="a region such as eu-central-1"),
            default="",
            doc="aws: where the Elastic IP address is",
        ),
        "access_key": Key(Text(), default="", doc="aws: id of the access key"),
        "secret_key": Key(Secret(), default="", doc="aws: secret access key"),
        "session_token": Key(Secret(), default="", doc="aws: what comes with temporary keys"),
        "server": Key(
            Text(wanted="the name or address of the reverse zone's primary"), default="", doc="rfc2136: the primary"
        ),
        "zone": Key(DomainName(), default="", doc="rfc2136: the reverse zone"),
        "key_name": Key(Text(), default="", doc="rfc2136: TSIG key"),
        "key_algorithm": Key(
            Text(choices=TSIG_ALGORITHMS, fallback="hmac-sha256"), default="", doc="rfc2136: hmac-sha256 by default"
        ),
        "secret": Key(Secret(), default="", doc="rfc2136: TSIG secret, in base64"),
    },
)

MAIL_HOST = Mapped(
    name="mail_host",
    build=model.MailHost,
    keys={
        "name": Key(DomainName(), required=True, doc="the host's mail name: MX target, HELO, PTR"),
        "ipv4": Key(IPAddress(4), required=True, doc="its public address"),
        "ipv6": Key(IPAddress(6), default="", doc="only when PTR and port 25 work over IPv6 too"),
        "ptr": Key(PTR, default=model.Ptr(provider="manual")),
    },
)

ACME = Mapped(
    name="acme",
    build=model.Acme,
    keys={
        "directory": Key(
            Text(pattern=r"https://\S+", wanted="the https URL of an ACME directory", fallback=LETS_ENCRYPT),
            default=LETS_ENCRYPT,
        ),
        "email": Key(MailAddress(), default="", doc="contact; mail_operator.email by default"),
        "challenge": Key(Text(choices=("http-01",), fallback="http-01"), default="http-01"),
    },
)
#: The words of each DNS provider: those it needs, then those with a default.
DNS_WORDS: Dict[str, Tuple[Tuple[str, ...], Tuple[str, ...]]] = {
    "cloudflare": (("token",), ()),
    "rfc2136": (("server", "key_name", "secret"), ("port", "key_algorithm")),
}

DNS = ByProvider(
    words=DNS_WORDS,
    name="dns",
    build=model.Dns,
    fallback=model.Dns(provider=""),
    keys={
        "provider": Key(
            Text(choices=tuple(DNS_WORDS), fallback=""),
            default="cloudflare",
            doc="who serves the zones; rfc2136 is a name server of your own that takes DNS updates (knot, BIND, PowerDNS)",
        ),
        "zones": Key(
            Many(DomainName()),
            default=(),
            doc="further zones, for mail hosts outside the mail domains; of several DNS hosts, the zones this one serves",
        ),
        "token": Key(Secret(), default="", doc="cloudflare: API token that may edit the zones' records"),
        "server": Key(
            Text(wanted="the name or address of the primary"), default="", doc="rfc2136: the primary name server"
        ),
        "port": Key(Number(low=1, high=65535), default=0, doc="rfc2136: 53 by default"),
        "key_name": Key(Text(), default="", doc="rfc2136: TSIG key that may transfer and update the zones"),
        "key_algorithm": Key(
            Text(choices=TSIG_ALGORITHMS, fallback="hmac-sha256"), default="", doc="rfc2136: hmac-sha256 by default"
        ),
        "secret": Key(Secret(), default="", doc="rfc2136: TSIG secret, in base64"),
    },
)

IMAP = Mapped(
    name="imap",
    build=lambda **v: v,
    fallback={"host": "", "username": "", "secret": ""},
    keys={
        "host": Key(DomainName(), required=True),
        "username": Key(Text(), required=True),
        "secret": Key(Secret(), required=True),
    },
)
CANARY = Mapped(
    name="a canary",
    build=lambda address, imap: model.Canary(address, imap["host"], imap["username"], imap["secret"]),
    fallback=model.Canary("", "", "", ""),
    keys={"address": Key(MailAddress(), required=True), "imap": Key(IMAP, required=True)},
)

NO_ACME = model.Acme(directory=LETS_ENCRYPT, email="", challenge="http-01")
OPERATOR = Mapped(
    name="mail_operator",
    build=model.Operator,
    fallback=model.Operator(email="", dns=(), acme=NO_ACME, canaries=()),
    keys={
        "email": Key(MailAddress(), required=True, doc="who is told when something is wrong"),
        "dns": Key(
            Many(DNS, or_one=True), required=True, doc="who serves the zones; of several the first has the rest"
        ),
        "acme": Key(ACME, default=NO_ACME),
        "canaries": Key(Many(CANARY), default=(), doc="mailboxes elsewhere that serve as witnesses"),
    },
)
