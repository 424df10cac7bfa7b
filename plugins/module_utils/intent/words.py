# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The words of a mail domain: one shape per mapping that users write. Those of the operator and the hosts are in
:mod:`words_operator`, those of services in :mod:`words_services`; :mod:`schema` makes the JSON Schema of all."""

from __future__ import annotations

import dataclasses
import json
from typing import Any, Dict, Optional, Sequence

from ansible_collections.mailstead.stack.plugins.module_utils.intent import model
from ansible_collections.mailstead.stack.plugins.module_utils.intent.names import (
    DomainName,
    MailAddress,
    RoutedAddress,
)
from ansible_collections.mailstead.stack.plugins.module_utils.intent.shapes import (
    Anything,
    ByProvider,
    Duration,
    Flag,
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

DAY = 86400
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
