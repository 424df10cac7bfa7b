# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Profiles of mail providers: what DNS has to say for one, how its mail aligns, what people have to do by hand.

A profile is data, one file each in templates/providers. Providers' values change without notice, so a profile says where
each fact was found and when it was last looked at.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Dict, Iterable, List, Mapping, Match, Optional, Sequence, Tuple

#: DMARC policies, the mildest first (RFC 9989 §4.7).
POLICIES: Tuple[str, ...] = ("none", "quarantine", "reject")
#: How what a sender signs or returns to relates to the domain in From: not at all, below it, or exactly it (§4.4).
ALIGNMENTS: Tuple[str, ...] = ("no", "relaxed", "strict")
ROLES: Tuple[str, ...] = ("inbound", "outbound", "forwarder")


#: Kinds of inputs that are understood beyond their pattern.
KINDS: Tuple[str, ...] = ("dkim", "host", "token")


@dataclass(frozen=True)
class Input:
    """A value only the user has, such as a key that the provider made. where: where it is found; pattern: of the value.

    kind: dkim (a DKIM record, or its p= part), host (a host name), token (no blanks), or nothing. choices: all values there
    are. default: what is taken when none is given; it may hold ``{domain}`` and ``{dashes}``. unless: another input that
    does the same (a provider offers a TXT record or a CNAME): where that is given, this one is not required.
    """

    name: str
    where: str
    pattern: str = ""
    required: bool = False
    kind: str = ""
    choices: Tuple[str, ...] = ()
    default: str = ""
    unless: str = ""


@dataclass(frozen=True)
class RecordTemplate:
    """A record for the domain. name: relative to it, empty for the apex; both may hold placeholders, see :func:`filled`."""

    name: str
    type: str
    value: str


@dataclass(frozen=True)
class Dkim:
    """kind: txt and cname are published by us, managed by the provider itself."""

    kind: str
    selector: str
    value: str = ""


@dataclass(frozen=True)
class Mx:
    """preference: None where the provider assigns it to each zone; it is never invented then."""

    host: str
    preference: Optional[int] = None


@dataclass(frozen=True)
class Spf:
    """scope: apex (the domain itself needs the includes), return_path (its own name, kept elsewhere) or none.

    optional: receivers need the includes at the apex for nothing; they only widen who may pass. cost_hint: look-ups.
    """

    scope: str = "none"
    include: Tuple[str, ...] = ()
    all: str = "~all"
    cost_hint: int = 0
    optional: bool = False


@dataclass(frozen=True)
class DmarcCeiling:
    """max_policy: the strictest policy under which this sender's mail still passes, and reason says why.

    owns_record: the DMARC record that the provider itself publishes when the domain is set up there. cname: the name that
    `_dmarc` is to be an alias of, where the provider keeps the record (then nobody else's TXT may stand there).
    """

    max_policy: str = "reject"
    reason: str = ""
    aligned_spf: str = "no"
    aligned_dkim: str = "no"
    owns_record: str = ""
    cname: str = ""


@dataclass(frozen=True)
class Port:
    """tls: implicit or starttls."""

    port: int
    tls: str

    @property
    def words(self) -> str:
        return f"port {self.port} ({'TLS from the start' if self.tls == 'implicit' else 'STARTTLS'})"


@dataclass(frozen=True)
class Submission:
    """Where mail programs and servers hand in mail. username, password: what they are, in words.

    login: the user name where it is the same for every customer; ``{secret}`` where the password is the user name too.
    """

    host: str
    ports: Tuple[Port, ...]
    username: str = ""
    password: str = ""
    login: str = ""

    @property
    def step(self) -> str:
        """What to enter into a mail program, to send as ``{address}``; the best port."""
        login = f" User name: {self.username}." if self.username else ""
        login += f" Password: {self.password}." if self.password else ""
        port = f", {self.ports[0].words}" if self.ports else ""
        return f"Mail programs send as {{address}} through {self.host}{port}.{login}"


@dataclass(frozen=True)
class MtaSts:
    """The provider's own announcement (cname) and the policy that has to be served for it. max_age: seconds."""

    cname: str
    mx: Tuple[str, ...]
    max_age: int
    mode: str = "enforce"


@dataclass(frozen=True)
class Coexist:
    """managed_by_api: this collection sets it up. locks_dns: its records cannot be changed while it is on."""

    managed_by_api: bool = False
    locks_dns: bool = False


@dataclass(frozen=True)
class Takes:
    """The words of the inventory that a provider understands beside ``provider`` itself."""

    required: Tuple[str, ...] = ()
    optional: Tuple[str, ...] = ()


@dataclass(frozen=True)
class ByHand:
    """What only a person can do, in order; once, and again for each address. Placeholders as in :func:`filled`."""

    once: Tuple[str, ...] = ()
    each_address: Tuple[str, ...] = ()


@dataclass(frozen=True)
class Profile:
    """return_path: of the envelope sender. verification: by which the provider knows the domain's owner. client_names:
    for mail programs; like webmail, the host to which a name of the user's own leads, they are never proxied.
    """

    id: str
    title: str
    roles: Tuple[str, ...]
    verified_on: str
    sources: Tuple[str, ...]
    inbound: Takes = Takes()
    outbound: Takes = Takes()
    inputs: Tuple[Input, ...] = ()
    mx: Tuple[Mx, ...] = ()
    spf: Spf = Spf()
    dkim: Tuple[Dkim, ...] = ()
    return_path: Tuple[RecordTemplate, ...] = ()
    verification: Tuple[RecordTemplate, ...] = ()
    client_names: Tuple[RecordTemplate, ...] = ()
    webmail: str = ""
    dmarc: DmarcCeiling = DmarcCeiling()
    submission: Optional[Submission] = None
    mta_sts: Optional[MtaSts] = None
    by_hand: ByHand = ByHand()
    limits: Tuple[Tuple[str, int], ...] = ()
    coexist: Coexist = Coexist()

    @property
    def records(self) -> Tuple[RecordTemplate, ...]:
        """Everything to publish beside MX, SPF, keys and policies."""
        return self.return_path + self.verification + self.client_names

    def limit(self, name: str) -> int:
        """A limit of the service; 0 when none is known."""
        return dict(self.limits).get(name, 0)

    @property
    def takes_mail(self) -> bool:
        return "inbound" in self.roles

    @property
    def sends(self) -> bool:
        return "outbound" in self.roles


def ceiling(profiles: Iterable[Profile]) -> str:
    """The strictest policy under which mail of every sender passes. Our own server's always does, so it is not asked."""
    return min((p.dmarc.max_policy for p in profiles), key=POLICIES.index, default=POLICIES[-1])


def limiting(profiles: Sequence[Profile]) -> List[Profile]:
    """The senders that keep the policy below reject, the mildest ceiling only."""
    lowest = ceiling(profiles)
    return [p for p in profiles if p.dmarc.max_policy == lowest and lowest != POLICIES[-1]]


def aligned_alternatives(known: Iterable[Profile]) -> Tuple[str, ...]:
    """Providers that allow reject and send for a domain whoever takes its mail."""
    return tuple(sorted(p.id for p in known if p.sends and not p.takes_mail and p.dmarc.max_policy == POLICIES[-1]))


#: ``{name}`` in a template: the name of an input, domain, dashes (the domain with - for .) or account.
PLACEHOLDER = re.compile(r"\{([a-z][a-z0-9_]*)\}")


def filled(text: str, values: Mapping[str, str]) -> str:
    """A template with its ``{placeholders}`` replaced; one without a value stays as it is.

    A value may hold placeholders in its turn, as the default of an input does.
    """

    def value(match: Match[str]) -> str:
        return values.get(match.group(1), match.group())

    return PLACEHOLDER.sub(value, PLACEHOLDER.sub(value, text))


def by_id(profiles: Iterable[Profile]) -> Dict[str, Profile]:
    return {p.id: p for p in profiles}
