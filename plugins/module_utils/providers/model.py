# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Profiles of mail providers: what DNS has to say for one, how its mail aligns, what people have to do by hand.

A profile is data, one file each in templates/providers. Providers' values change without notice, so a profile says where
each fact was found and when it was last looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Iterable, List, Mapping, Optional, Sequence, Tuple

#: DMARC policies, the mildest first (RFC 9989 §4.7).
POLICIES: Tuple[str, ...] = ("none", "quarantine", "reject")
#: How what a sender signs or returns to relates to the domain in From: not at all, below it, or exactly it (§4.4).
ALIGNMENTS: Tuple[str, ...] = ("no", "relaxed", "strict")
ROLES: Tuple[str, ...] = ("inbound", "outbound", "forwarder")


@dataclass(frozen=True)
class Input:
    """A value only the user has, such as a key that the provider made. where: where it is found; pattern: of the value."""

    name: str
    where: str
    pattern: str = ""
    required: bool = False


@dataclass(frozen=True)
class RecordTemplate:
    """A record for the domain. name: relative to it, empty for the apex; value may hold ``{input}`` and ``{domain}``."""

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

    owns_record: the DMARC record that the provider itself publishes when the domain is set up there.
    """

    max_policy: str = "reject"
    reason: str = ""
    aligned_spf: str = "no"
    aligned_dkim: str = "no"
    owns_record: str = ""


@dataclass(frozen=True)
class Port:
    port: int
    tls: str


@dataclass(frozen=True)
class Submission:
    """Where mail programs and servers hand in mail. username, password: what they are, in words."""

    host: str
    ports: Tuple[Port, ...]
    username: str = ""
    password: str = ""


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
    records: Tuple[RecordTemplate, ...] = ()
    dmarc: DmarcCeiling = DmarcCeiling()
    submission: Optional[Submission] = None
    mta_sts: Optional[MtaSts] = None
    by_hand: ByHand = ByHand()
    limits: Tuple[Tuple[str, int], ...] = ()
    coexist: Coexist = Coexist()

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
    """Providers that send and allow reject."""
    return tuple(sorted(p.id for p in known if p.sends and p.dmarc.max_policy == POLICIES[-1]))


def filled(text: str, values: Mapping[str, str]) -> str:
    """A template with its ``{placeholders}`` replaced; one without a value stays as it is."""
    for name, value in values.items():
        text = text.replace("{" + name + "}", value)
    return text


def by_id(profiles: Iterable[Profile]) -> Dict[str, Profile]:
    return {p.id: p for p in profiles}
