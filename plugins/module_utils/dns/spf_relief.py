# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What to do about an SPF record that costs its receivers too much, the mildest measure first.

Nothing is ever flattened here: addresses behind an include change without notice, and mail is then refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Iterable, List, Sequence, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.dns.spf import (
    MAX_LOOKUPS,
    MAX_VOID,
    parse_term,
)

#: Measures in the order in which they are proposed.
KINDS = ("gone", "needless", "addresses", "subdomain", "pinned")


@dataclass(frozen=True)
class Known:
    """A term that a provider's instructions ask for, in canonical spelling.

    needed: whether its mail needs the term at the domain itself. stays: it sends the domain's own mail on, so that it
    cannot send from a name below.
    """

    term: str
    who: str
    needed: bool = True
    stays: bool = False


@dataclass(frozen=True)
class Load:
    """A term of a record and what it costs, everything behind it included.

    who: the senders that it stands for, empty where nobody knows. needless: none of them needs it at the domain itself.
    stays: one of them takes the domain's own mail and sends it on, so it cannot send from elsewhere. addresses: the terms
    ``ip4:…`` and ``ip6:…`` that say the same as an ``a`` or ``mx``, where all of them are known.
    """

    term: str
    lookups: int
    voids: int = 0
    who: Tuple[str, ...] = ()
    needless: bool = False
    stays: bool = False
    addresses: Tuple[str, ...] = ()


@dataclass(frozen=True)
class Proposal:
    """kind: one of KINDS. term, who: what it is about. saved, voids: look-ups and void look-ups fewer. text: a sentence."""

    kind: str
    term: str
    who: Tuple[str, ...]
    saved: int
    voids: int
    text: str

    def __str__(self) -> str:
        fewer = [f"saves {self.saved}"] if self.saved else []
        fewer += [f"{self.voids} void fewer"] if self.voids else []
        return f"{self.text} ({', '.join(fewer)})" if fewer else self.text


def load_of(term: str, lookups: int, voids: int, known: Iterable[Known], addresses: Sequence[str] = ()) -> Load:
    """A term with its costs and whoever is known to need it. Raises SpfError."""
    key = parse_term(term).key
    mine = [k for k in known if k.term == key]
    return Load(
        term=term,
        lookups=lookups,
        voids=voids,
        who=tuple(sorted({k.who for k in mine})),
        needless=bool(mine) and not any(k.needed for k in mine),
        stays=any(k.stays for k in mine),
        addresses=tuple(addresses),
    )


def over(loads: Iterable[Load]) -> bool:
    """Whether receivers give up on a record of these terms (RFC 7208 §4.6.4)."""
    found = list(loads)
    return sum(x.lookups for x in found) > MAX_LOOKUPS or sum(x.voids for x in found) > MAX_VOID


def proposals(loads: Iterable[Load], domain: str) -> Tuple[Proposal, ...]:
    """Measures for a record that is over a limit, none for another. Each stands alone; a person chooses. Raises SpfError."""
    found = list(loads)
    if not over(found):
        return ()
    out = [p for load in found for p in _of(load, domain)]
    dearest = max(out, key=lambda p: (p.kind == "subdomain", p.saved, p.term), default=None)
    if dearest is not None and dearest.kind == "subdomain":
        text = (
            f"as a last resort write the addresses behind {dearest.term} into the record, and compare them every day: "
            "they change without notice, and mail from new ones is then refused"
        )
        out.append(Proposal("pinned", dearest.term, dearest.who, dearest.saved, dearest.voids, text))
    return tuple(sorted(out, key=lambda p: (KINDS.index(p.kind), -p.saved, -p.voids, p.term)))


def _of(load: Load, domain: str) -> List[Proposal]:
    if not load.lookups:
        return []
    term, who = parse_term(load.term), " or ".join(load.who)

    def one(kind: str, text: str, saved: int = load.lookups) -> Proposal:
        return Proposal(kind, load.term, load.who, saved, load.voids, text)

    if load.voids >= load.lookups and not load.addresses:
        return [one("gone", f"take out {load.term}: nothing is there")]
    if load.needless:
        return [one("needless", f"take out {load.term}: {who} returns mail to another name and needs nothing here")]
    if term.name == "ptr":
        return [one("needless", f"take out {load.term}: receivers should not look at it (RFC 7208 §5.5)")]
    if term.name in ("a", "mx"):
        instead = " ".join(load.addresses) or "the addresses themselves, as ip4: and ip6:"
        return [one("addresses", f"replace {load.term} by {instead}")]
    if term.name not in ("include", "redirect") or load.stays:
        return []
    below = f"send from a name below {domain}, with an SPF record of its own"
    if who:
        return [one("subdomain", f"let {who} {below}, and take {load.term} out here")]
    text = (
        f"take {load.term} out if its sender returns mail to a name other than {domain} (the Return-Path of a message "
        f"says), else let it {below}"
    )
    return [one("subdomain", text)]


def told(found: Sequence[Proposal], most: int = 3) -> str:
    """The proposals as one text for a message; of each kind the ``most`` that save most."""
    if not found:
        return "take out terms"
    counted: Dict[str, int] = {}
    lines: List[str] = []
    for proposal in found:
        counted[proposal.kind] = counted.get(proposal.kind, 0) + 1
        if counted[proposal.kind] <= most:
            lines.append(f"({len(lines) + 1}) {proposal}")
    return "; ".join(lines)
