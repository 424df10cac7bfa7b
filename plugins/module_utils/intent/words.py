# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The words of the inventory: one shape per mapping that users write. The JSON Schema of the intent comes from here."""

from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import dataclass, field
from typing import Any, Dict, Mapping, Optional, Sequence, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.intent import model
from ansible_collections.mailstead.stack.plugins.module_utils.intent.names import (
    DomainName,
    IPAddress,
    MailAddress,
    PlainAddress,
    RoutedAddress,
    SenderPattern,
)
from ansible_collections.mailstead.stack.plugins.module_utils.intent.shapes import (
    DURATION_UNITS,
    Anything,
    Duration,
    Flag,
    Forever,
    Key,
    Many,
    Mapped,
    Named,
    Number,
    Shape,
    Size,
    Text,
    nearest,
)
from ansible_collections.mailstead.stack.plugins.module_utils.providers.model import Profile
from ansible_collections.mailstead.stack.plugins.module_utils.ptr.options import PROVIDERS as PTR_PROVIDERS
from ansible_collections.mailstead.stack.plugins.module_utils.ptr.panels import NAMES as PANELS

DAY = 86400
LETS_ENCRYPT = "https://acme-v02.api.letsencrypt.org/directory"
TSIG_ALGORITHMS = ("hmac-sha256", "hmac-sha384", "hmac-sha512")
LATER = "leave it out in this release"

HOST_NAME = Text(pattern=r"[A-Za-z0-9_][A-Za-z0-9_.-]*", wanted="the name of an inventory host")


class Secret(Shape):
    """Where a credential is; read as the path of the key, so that a plan never holds a value.

    The value behind the path is looked up when it is needed, see plugins/action/mail_secrets.py.
    """

    fallback = ""

    def read(self, raw: Any, path: str, reading: Any) -> str:
        if not isinstance(raw, str) or not raw:
            return str(self._wrong(raw, path, reading, 'a reference such as "{{ vault_name }}"'))
        return path

    def schema(self) -> Dict[str, Any]:
        return {"type": "string", "description": "reference to a vaulted value"}


def _account(**given: Any) -> model.Account:
    return model.Account(**{k: v for k, v in given.items() if v is not None})


ACCOUNT = Mapped(
    name="an account",
    shorthand="address",
    build=_account,
    fallback=model.Account(address=""),
    keys={
        "address": Key(MailAddress(), required=True, doc="mailbox; without a domain this domain is meant"),
        "aliases": Key(Many(MailAddress(), or_one=True), default=(), doc="further addresses of the mailbox"),
        "secret": Key(Secret(), default="", doc="password; generated once where absent"),
        "description": Key(Text(), default="", doc="shown in the server's directory"),
        "quota": Key(Size(), default=0, doc="size limit, none by default"),
    },
)


class Provider(Text):
    """A provider's id: our own server, or one that has a profile. role: what it must be able to do."""

    def __init__(self, role: str, profiles: Sequence[Profile]) -> None:
        self.role = role
        self.elsewhere = [p.id for p in profiles if role not in p.roles]
        super().__init__(choices=(model.OWN, *(p.id for p in profiles if role in p.roles)))

    def read(self, raw: Any, path: str, reading: Any) -> str:
        if raw in self.elsewhere:
            what = f"'{raw}' cannot be the provider of {self.role} mail"
            reading.note("MS-INT-042", path, raw, what, f"use one of {', '.join(self.choices)}")
            return self.fallback
        return super().read(raw, path, reading)


class PerTime(Shape):
    """``500/h`` → so many in so many seconds."""

    fallback = None

    def read(self, raw: Any, path: str, reading: Any) -> Optional[model.Rate]:
        match = re.fullmatch(r"([1-9]\d{0,5}|1000000)/([smhd])", raw) if isinstance(raw, str) else None
        if not match:
            self._wrong(raw, path, reading, "a rate such as 500/h or 20/m")
            return None
        return model.Rate(int(match.group(1)), DURATION_UNITS[match.group(2)])

    def schema(self) -> Dict[str, Any]:
        return {"type": "string", "pattern": "^([1-9][0-9]{0,5}|1000000)/[smhd]$"}


class SmarthostProvider(Text):
    """A provider that mail can be handed to. elsewhere: those that have a profile and nothing of the kind."""

    def __init__(self, known: Sequence[str], elsewhere: Sequence[str]) -> None:
        self.elsewhere = elsewhere
        super().__init__(choices=known)

    def read(self, raw: Any, path: str, reading: Any) -> str:
        if raw in (*self.elsewhere, model.OWN):
            what = f"'{raw}' has no server that mail can be handed to"
            reading.note("MS-INT-042", path, raw, what, f"use one of {', '.join(self.choices)}")
            return self.fallback
        return super().read(raw, path, reading)


class Egress(Shape):
    """The name of an edge; smarthost, wireguard and direct are words of the interface for later."""

    fallback = ""

    def read(self, raw: Any, path: str, reading: Any) -> str:
        if isinstance(raw, dict) or raw == "direct":
            shown = "direct" if raw == "direct" else ", ".join(str(k) for k in raw)
            reading.note("MS-INT-010", path, raw, f"egress '{shown}' is not built yet", "name an edge in this release")
            return ""
        return HOST_NAME.read(raw, path, reading)

    def schema(self) -> Dict[str, Any]:
        return {"anyOf": [{"type": "string"}, {"type": "object"}]}


class Destination(Shape):
    """Where the mail of an address goes: an address, ``drop``, or a mapping that says more."""

    _mapping = Mapped(
        name="a destination",
        build=lambda **given: given,
        keys={
            "forward": Key(MailAddress(), doc="one address; its owner confirms it once"),
            "worker": Key(Text(pattern=r"[a-z0-9][a-z0-9_-]*", wanted="the name of a Worker"), doc="a Worker"),
            "drop": Key(Flag(), doc="true: mail is accepted and thrown away"),
            "enabled": Key(Flag(), doc="absent: as soon as the destination is confirmed"),
            "tag": Key(Text(), default="", doc="your own words, such as to whom the address was given"),
            "priority": Key(Number(), default=None, doc="lower comes first; all the same by default"),
        },
    )

    def read(self, raw: Any, path: str, reading: Any) -> Optional[model.Target]:
        if isinstance(raw, str):
            raw = {"drop": True} if raw == "drop" else {"forward": raw}
        given = self._mapping.read(raw, path, reading)
        if given is None:
            return None
        chosen = [action for action in ("forward", "worker", "drop") if given[action]]
        if len(chosen) != 1:
            fix = "write one address, `worker: <name>`, or drop"
            reading.note("MS-INT-003", path, raw, f"{len(chosen)} places for the mail to go", fix)
            return None
        action = chosen[0]
        if action == "forward" and "@" not in given["forward"]:
            what = f"'{given['forward']}' is no complete address"
            fix = f"write the address with its domain, `worker: <name>`, or drop.{nearest(given['forward'], ['drop'])}"
            reading.note("MS-INT-003", path, raw, what, fix)
            return None
        target = "" if action == "drop" else str(given[action])
        return model.Target(action, target, given["enabled"], given["tag"], given["priority"])

    def schema(self) -> Dict[str, Any]:
        return {"anyOf": [{"type": "string"}, self._mapping.schema()]}


def _settings(template: str, file: str, settings: Any) -> model.Worker:
    return model.Worker("", template, file, json.dumps(settings or {}, sort_keys=True))


WORKER = Mapped(
    name="a worker",
    build=_settings,
    keys={
        "template": Key(
            Text(pattern=r"[a-z0-9_]+", wanted="the name of a template"), default="", doc="one of templates/worker"
        ),
        "file": Key(Text(), default="", doc="a JavaScript module of your own, relative to the inventory"),
        "settings": Key(Anything(), doc="what the template is to do"),
    },
)

#: Of our own server; of the others, their profiles say.
OWN_INBOUND, OWN_OUTBOUND = ("host", "edge"), ("egress", "host")
#: Words of the domain that only a mail server with mailboxes understands.
MAILBOX_WORDS = ("accounts", "dkim", "dane", "catch_all", "subaddressing")
#: Those of them that a domain needs to be sent from there: who may log in, and with what is signed.
SUBMISSION_WORDS = ("accounts", "dkim")


def _inbound(addresses: Any = (), workers: Any = (), **given: Any) -> model.Inbound:
    known = tuple((address, target) for address, target in addresses if address and target)
    made = tuple(dataclasses.replace(worker, name=name) for name, worker in workers if worker)
    return model.Inbound(addresses=known, workers=made, **given)


def inbound(profiles: Sequence[Profile]) -> Mapped:
    takes = {p.id: (p.inbound.required, p.inbound.optional) for p in profiles if p.takes_mail}
    return ByProvider(
        words={model.OWN: ((), OWN_INBOUND), **takes},
        hints={(model.OWN, word): "write it at the domain" for word in ("catch_all", "subaddressing")},
        name="inbound",
        shorthand="provider",
        build=_inbound,
        keys={
            "provider": Key(Provider("inbound", profiles), default=model.OWN, doc="who owns the domain's MX"),
            "host": Key(HOST_NAME, default="", doc="the home that runs the server; implied when there is one"),
            "edge": Key(Many(HOST_NAME, or_one=True), default=(), doc="public host(s), in the order of MX preference"),
            "addresses": Key(
                Named(Destination(), RoutedAddress()), default=(), doc="routing: address → where its mail goes"
            ),
            "catch_all": Key(Destination(), default=None, doc="routing: where mail to all other addresses goes"),
            "subaddressing": Key(Flag(fallback=True), default=True, doc="routing: user+tag reaches user"),
            "leaving": Key(
                Many(Text(pattern=r"[A-Za-z0-9_.*?-]+", wanted="a host name or pattern, or a provider"), or_one=True),
                default=(),
                doc="routing: exchangers of the old provider that may go: host patterns, or the provider's name",
            ),
            "workers": Key(Named(WORKER), default=(), doc="routing: Workers that are made here, by name"),
            "inputs": Key(Named(Text()), default=(), doc="what the provider gave you, such as its DKIM key"),
        },
    )


def outbound(profiles: Sequence[Profile]) -> Mapped:
    takes = {p.id: (p.outbound.required, p.outbound.optional) for p in profiles if p.sends}
    return ByProvider(
        words={model.OWN: ((), OWN_OUTBOUND), **takes},
        name="outbound",
        shorthand="provider",
        build=model.Outbound,
        keys={
            "provider": Key(Provider("outbound", profiles), default=model.OWN, doc="who sends"),
            "egress": Key(
                Egress(), default="", doc="the edge from whose address mail leaves; the inbound one by default"
            ),
            "host": Key(
                HOST_NAME,
                default="",
                doc="the home that sends, for a domain whose mail others take; the only one by default",
            ),
            "account": Key(MailAddress(), default="", doc="your account at the provider"),
            "send_as": Key(Many(MailAddress(), or_one=True), default=(), doc="addresses of the domain to send as"),
            "spf_authorize": Key(
                Flag(), default=False, doc="list the provider in SPF although that does not align its mail"
            ),
            "inputs": Key(Named(Text()), default=(), doc="what the provider gave you, such as its DKIM key"),
        },
    )


DKIM_DEFAULT = model.Dkim(keys=("rsa-2048", "ed25519"), selector="%Y%m", rotate_after=180 * DAY)
DKIM = Mapped(
    name="dkim",
    build=model.Dkim,
    fallback=DKIM_DEFAULT,
    keys={
        "keys": Key(
            Many(Text(choices=("rsa-2048", "rsa-4096", "ed25519"), fallback="rsa-2048"), or_one=True),
            default=DKIM_DEFAULT.keys,
            doc="algorithms; RSA must be among them",
        ),
        "selector": Key(
            Text(pattern=r"[A-Za-z0-9%-]{1,40}", wanted="a strftime pattern such as %Y%m", fallback="%Y%m"),
            default=DKIM_DEFAULT.selector,
            doc="strftime pattern; r or e is appended",
        ),
        "rotate_after": Key(
            Duration(fallback=180 * DAY), default=DKIM_DEFAULT.rotate_after, doc="age at which keys are due"
        ),
    },
)

DMARC_DEFAULT = model.Dmarc(policy="auto", np="reject", adkim="s", aspf="r", rua=())
DMARC = Mapped(
    name="dmarc",
    shorthand="policy",
    build=model.Dmarc,
    fallback=DMARC_DEFAULT,
    keys={
        "policy": Key(
            Text(choices=("auto", "none", "quarantine", "reject"), fallback="auto"),
            default="auto",
            doc="auto: the strictest all senders allow",
        ),
        "np": Key(
            Text(choices=("none", "quarantine", "reject"), fallback="reject"),
            default="reject",
            doc="for names that do not exist (RFC 9989)",
        ),
        "adkim": Key(Text(choices=("r", "s"), fallback="s"), default="s", doc="DKIM alignment"),
        "aspf": Key(Text(choices=("r", "s"), fallback="r"), default="r", doc="SPF alignment"),
        "rua": Key(
            Many(MailAddress(), or_one=True), default=(), doc="where aggregate reports go; postmaster by default"
        ),
    },
)

WEBMAIL = Mapped(
    name="webmail",
    shorthand="name",
    build=lambda name: name,
    fallback="",
    keys={
        "name": Key(
            Text(pattern=r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?", wanted="a name such as mail"),
            required=True,
            doc="relative to the domain; a CNAME that is never proxied",
        )
    },
)

TLS_RPT = Many(MailAddress(), or_one=True)


class OffOr(Shape):
    """``off`` reads as (); anything else by the inner shape."""

    def __init__(self, inner: Shape) -> None:
        self.inner = inner
        self.fallback = ()

    def read(self, raw: Any, path: str, reading: Any) -> Any:
        return ("off",) if raw is False or raw == "off" else self.inner.read(raw, path, reading)

    def schema(self) -> Dict[str, Any]:
        return {"anyOf": [{"enum": ["off", False]}, self.inner.schema()]}


#: Those that are the same for every provider; in the order in which people read them.
DOMAIN_KEYS: Dict[str, Key] = {
    "name": Key(DomainName(), required=True, doc="the mail domain"),
    "state": Key(
        Text(choices=("present", "absent"), fallback="present"), default="present", doc="absent shows what would go"
    ),
    "zone": Key(DomainName(), default="", doc="the DNS zone that holds the domain; the domain itself by default"),
    "provider": Key(Anything(), default=""),
    "inbound": Key(Anything()),
    "outbound": Key(Anything()),
    "dkim": Key(DKIM, default=DKIM_DEFAULT),
    "dmarc": Key(DMARC, default=DMARC_DEFAULT),
    "mta_sts": Key(
        Text(choices=("off", "testing", "enforce"), fallback="testing"),
        default="testing",
        doc="one policy per mail server",
    ),
    "tls_rpt": Key(OffOr(TLS_RPT), default=(), doc="where TLS reports go; the DMARC address by default"),
    "dane": Key(
        Text(choices=("auto", "on", "off"), fallback="auto"), default="auto", doc="auto: where the zone is signed"
    ),
    "accounts": Key(Many(ACCOUNT), default=()),
    "catch_all": Key(MailAddress(), default="", doc="mailbox that gets what no other address takes"),
    "subaddressing": Key(Flag(fallback=True), default=True, doc="user+tag reaches user"),
    "aliases": Key(Anything(), unsupported="write aliases at the account"),
    "lists": Key(Anything(), unsupported=LATER),
    "also_send_via": Key(Anything()),
    "inputs": Key(Named(Text()), default=(), doc="what the provider gave you; for both directions of `provider`"),
    "webmail": Key(WEBMAIL, default="", doc="a name of your own for the provider's web mail"),
    "migrate": Key(Anything(), unsupported=LATER),
}


def domain_keys(profiles: Sequence[Profile] = ()) -> Dict[str, Key]:
    """The words of a mail domain, with what the profiles add to them."""
    return {
        **DOMAIN_KEYS,
        **{
            "provider": Key(Provider("inbound", profiles), default="", doc="shorthand for inbound and outbound"),
            "inbound": Key(inbound(profiles), default=None),
            "outbound": Key(outbound(profiles), default=None),
            "also_send_via": Key(
                Many(outbound(profiles), or_one=True), default=(), doc="further senders of the domain"
            ),
        },
    }


@dataclass
class ByProvider(Mapped):
    """A mapping whose words depend on its ``provider``. words: for each, those it needs, then those with a default."""

    words: Mapping[str, Tuple[Tuple[str, ...], Tuple[str, ...]]] = field(default_factory=dict)
    #: What to do instead, for a provider and a word it does not take.
    hints: Mapping[Tuple[str, str], str] = field(default_factory=dict)

    def read(self, raw: Any, path: str, reading: Any) -> Any:
        given: Mapping[str, Any] = raw if isinstance(raw, Mapping) else {}
        foreign = self._foreign(given)
        for word, (what, fix) in foreign.items():
            reading.note("MS-INT-032", f"{path}.{word}", given[word], what, fix)
        # What a word of another provider holds is not looked at: it goes anyway.
        value = super().read({k: v for k, v in raw.items() if k not in foreign} if foreign else raw, path, reading)
        if value is self.fallback or value.provider not in self.words:
            return value
        for word in self.words[value.provider][0]:
            if given.get(word) is None:
                what = f"'{word}' is missing for provider {value.provider}"
                reading.note("MS-INT-002", path, raw, what, f"add `{word}:` to {self.name}")
        return value

    def _foreign(self, given: Mapping[str, Any]) -> Dict[str, Tuple[str, str]]:
        """The words that other providers take and this one does not: (what is wrong, what to do)."""
        provider = given.get("provider", self.keys["provider"].default)
        if not isinstance(provider, str) or provider not in self.words:
            return {}
        own = [word for words in self.words[provider] for word in words]
        takes = ", ".join(own) or "no further words"
        found = {}
        for word in (w for w in given if w not in own):
            others = [p for p, words in self.words.items() if word in (*words[0], *words[1])]
            if others:
                fix = f"leave it out, or write `provider: {others[0]}`; {provider} takes {takes}"
                what = f"'{word}' is a word of provider {' and '.join(others)}"
                found[word] = (what, self.hints.get((provider, word), fix))
        return found


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

# -- services through which applications send ------------------------------------------------------------------------

#: Messages an application may send, and how large they may be, where nothing is said.
RATE_DEFAULT = model.Rate(500, 3600)
SIZE_DEFAULT = 10 * 1024**2
TOKEN_DURATION, TOKEN_ROTATION, TOKEN_OVERLAP = 365 * DAY, 180 * DAY, 7 * DAY
#: Becomes a part of host names, of selectors and of user names.
WORD = r"[a-z]([a-z0-9-]{0,30}[a-z0-9])?"

LIMITS = Mapped(
    name="limits",
    build=model.Limits,
    fallback=model.Limits(),
    keys={
        "per_sender": Key(PerTime(), default=None, doc="messages of one application in a time, 500/h by default"),
        "max_size": Key(Size(), default=0, doc="size of a message, 10MiB by default"),
    },
)
APPLICATION = Mapped(
    name="a sender",
    shorthand="addresses",
    build=lambda **given: model.Application("", **given),
    fallback=model.Application(""),
    keys={
        "addresses": Key(
            Many(SenderPattern(), or_one=True),
            required=True,
            doc="addresses it may send as, in the envelope and in From; *@domain is every address of a domain",
        ),
        "smarthosts": Key(
            Many(Text(), or_one=True),
            default=(),
            doc="providers out of the service's, in the order of trying; all by default",
        ),
        "limits": Key(LIMITS, default=model.Limits(), doc="of this application; the service's by default"),
        "bounces": Key(PlainAddress(), default="", doc="where its bounces go; to the service's address by default"),
        "secret": Key(Secret(), default="", doc="password; generated once where absent"),
    },
)
BOUNCES = Mapped(
    name="bounces",
    shorthand="address",
    build=model.Bounces,
    fallback=model.Bounces(),
    keys={
        "address": Key(
            PlainAddress(), default="", doc="a mailbox that somebody reads; the envelope sender of all mail"
        ),
        "webhook": Key(
            Text(pattern=r"https://[^\s/]+\S*", wanted="an https URL"),
            default="",
            doc="is called for each failed delivery",
        ),
        "secret": Key(Secret(), default="", doc="with which calls are signed (HMAC)"),
    },
)
LAN = Mapped(
    name="lan",
    shorthand="name",
    build=lambda name, address: (name, address),
    fallback=("", ""),
    keys={
        "name": Key(
            DomainName(), default="", doc="the name in the certificate; <service>.<zone of the first sender> by default"
        ),
        "address": Key(IPAddress(4), default="", doc="published for that name; without it, name it in your own DNS"),
    },
)
ACCESS = Mapped(
    name="access",
    build=model.Access,
    fallback=model.Access(),
    keys={
        "service_tokens": Key(
            Many(Text(pattern=r"[A-Za-z0-9][A-Za-z0-9_.-]*", wanted="a name for a token"), or_one=True),
            required=True,
            doc="names of the tokens that may pass; they are made here",
        ),
        "duration": Key(
            Forever("forever"), default=TOKEN_DURATION, doc="how long a token lives, 365d by default, or forever"
        ),
        "rotate_after": Key(
            Forever("never"), default=TOKEN_ROTATION, doc="age of a token's secret at which it is renewed, or never"
        ),
        "overlap": Key(Duration(), default=TOKEN_OVERLAP, doc="how long the old secret stays good"),
    },
)
CLOUDFLARE_TUNNEL = Mapped(
    name="cloudflare_tunnel",
    build=model.Tunnel,
    keys={
        "hostname": Key(DomainName(), required=True, doc="name under which clients find the tunnel; made here"),
        "management": Key(
            Text(choices=("remote", "local"), fallback="remote"),
            default="remote",
            doc="remote: configured over the API; local: by a file on the host",
        ),
        "access": Key(ACCESS, required=True, doc="who may pass; a tunnel without is open to the world"),
        "account_id": Key(
            Text(pattern=r"[0-9a-f]{32}", wanted="an account id"), default="", doc="that of the zone by default"
        ),
        "token": Key(Secret(), default="", doc="API token for tunnels and Access; that of the zone by default"),
    },
)
EXPOSE = Mapped(
    name="expose",
    build=lambda cloudflare_tunnel: cloudflare_tunnel,
    keys={
        "cloudflare_tunnel": Key(CLOUDFLARE_TUNNEL, required=True, doc="a way in from outside, without an open port")
    },
)


def smarthost(profiles: Sequence[Profile]) -> Mapped:
    known = tuple(p.id for p in profiles if p.sends and p.submission)
    elsewhere = [p.id for p in profiles if p.id not in known]
    return ByProvider(
        words={model.EDGE: ((), ("edge",)), **dict.fromkeys(known, (("secret",), ("username", "inputs", "port")))},
        name="a smarthost",
        shorthand="provider",
        build=model.Smarthost,
        fallback=model.Smarthost(""),
        keys={
            "provider": Key(
                SmarthostProvider((*known, model.EDGE), elsewhere), required=True, doc="who takes our mail"
            ),
            "username": Key(Text(), default="", doc="of the login there; some providers have one for everybody"),
            "secret": Key(Secret(), default="", doc="password of the login there"),
            "inputs": Key(Named(Text()), default=(), doc="what the provider gave you, such as its DKIM key"),
            "port": Key(Number(low=1, high=65535), default=0, doc="another of the provider's ports"),
            "edge": Key(HOST_NAME, default="", doc="edge: which one; the only one of group mail_edge by default"),
        },
    )


def service_keys(profiles: Sequence[Profile] = ()) -> Dict[str, Key]:
    """The words of a service through which applications send."""
    return {
        "name": Key(Text(pattern=WORD, wanted="a word such as notify"), required=True, doc="of the service"),
        "state": Key(Text(choices=("present", "absent"), fallback="present"), default="present"),
        "host": Key(
            HOST_NAME, default="", doc="of group mail_home, and no home of a mail domain; implied when there is one"
        ),
        "lan": Key(LAN, default=("", "")),
        "senders": Key(
            Named(APPLICATION, Text(pattern=WORD, wanted="a word")), default=(), doc="applications, by name"
        ),
        "smarthosts": Key(
            Many(smarthost(profiles), or_one=True), default=(), doc="who delivers, in the order of trying"
        ),
        "expose": Key(EXPOSE, default=None),
        "limits": Key(LIMITS, default=model.Limits()),
        "clients": Key(
            Many(HOST_NAME, or_one=True), default=(), doc="hosts of group mail_client that come through the tunnel"
        ),
        "bounces": Key(BOUNCES, default=model.Bounces(), doc="where it goes that a message came back"),
    }


#: The variables of the interface; any other that begins with mail_ is a mistake.
VARIABLES = ("mail_domains", "mail_submission", "mail_operator", "mail_host", "mail_intent")
MAIL_INTENT = Number(low=1, high=1, fallback=1)


def json_schema(profiles: Sequence[Profile] = ()) -> Dict[str, Any]:
    """The JSON Schema (2020-12) of the inventory's variables, for editors and for docs/intent.schema.json."""
    domain = Mapped(name="a mail domain", shorthand="name", build=dict, keys=domain_keys(profiles)).schema()
    service = Mapped(name="a service", build=dict, keys=service_keys(profiles)).schema()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "mailstead intent",
        "type": "object",
        "properties": {
            "mail_intent": MAIL_INTENT.schema(),
            "mail_operator": OPERATOR.schema(),
            "mail_domains": {"type": "array", "items": domain},
            "mail_submission": {"type": "array", "items": service},
            "mail_host": MAIL_HOST.schema(),
        },
    }
