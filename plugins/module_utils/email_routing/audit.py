# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who writes to which address: which of them was passed on by the one it was given to, and what hits the catch-all. Pure.

Whoever gives every correspondent an address of its own (``shop@``, or ``you+shop@`` with sub-addressing) can see by the
senders which of them has leaked, and block that one alone.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any, Dict, Iterable, List, Mapping, Sequence, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.email_routing.model import Rule


@dataclass(frozen=True)
class Correspondent:
    """A sender's domain at one address. messages: how many; first and last: RFC 3339; expected: whether the address is
    known to be theirs."""

    domain: str
    messages: int
    first: str
    last: str
    expected: bool = False


@dataclass(frozen=True)
class Address:
    """What came to one address. rule: what is done with it, in words; tag: whose address it is. leaked: whether somebody
    else than those uses it. block: the line that stops it, as the intent has it."""

    address: str
    rule: str
    tag: str
    correspondents: Tuple[Correspondent, ...]
    block: str

    @property
    def messages(self) -> int:
        return sum(c.messages for c in self.correspondents)

    @property
    def strangers(self) -> Tuple[Correspondent, ...]:
        return tuple(c for c in self.correspondents if not c.expected)

    @property
    def leaked(self) -> bool:
        """Known to have been passed on: it was given to somebody, and others write to it."""
        return bool(self.tag) and bool(self.strangers)


@dataclass(frozen=True)
class Audit:
    """declared: addresses that have a rule of their own; unknown: those that only the catch-all takes; most mail first."""

    declared: Tuple[Address, ...]
    unknown: Tuple[Address, ...]

    @property
    def leaked(self) -> Tuple[Address, ...]:
        return tuple(a for a in (*self.declared, *self.unknown) if a.leaked)


def audit(events: Iterable[Mapping[str, Any]], rules: Sequence[Rule], subaddressing: bool = False) -> Audit:
    """Mail by address and sender's domain.

    events: rows of the dataset emailRoutingAdaptive (``from``, ``to``, ``datetime``, optionally ``count``); rows without
    them are passed over. rules: those of the zone. subaddressing: whether ``user+detail`` meets the rule of ``user``.
    """
    literal = {r.address.lower(): r for r in rules if r.address and r.enabled}
    catch_all = next((r for r in rules if not r.address and r.enabled), None)
    seen: Dict[str, Dict[str, List[Tuple[str, int]]]] = defaultdict(lambda: defaultdict(list))
    for event in events:
        sender, recipient = _mailbox(event.get("from")), _mailbox(event.get("to"))
        if recipient:
            count = event.get("count")
            times = count if isinstance(count, int) and count > 0 else 1
            domain = sender.rpartition("@")[2] or "(none)"
            seen[recipient][domain].append((str(event.get("datetime") or ""), times))
    declared: List[Address] = []
    unknown: List[Address] = []
    for recipient, senders in seen.items():
        rule = literal.get(recipient) or (literal.get(_base(recipient)) if subaddressing else None)
        told = str(rule or catch_all or "refused")
        address = _address(recipient, told, tag_of(recipient, rule), senders)
        (declared if rule else unknown).append(address)
    return Audit(_most_first(declared), _most_first(unknown))


def _mailbox(value: Any) -> str:
    text = str(value or "").strip().lower()
    return text if "@" in text else ""


def _base(address: str) -> str:
    local, _at, domain = address.rpartition("@")
    return f"{local.split('+', 1)[0]}@{domain}"


def tag_of(address: str, rule: Any = None) -> str:
    """Whom an address was given to: the detail of a sub-address, else the words of its rule's name."""
    local = address.rpartition("@")[0]
    if "+" in local:
        return local.split("+", 1)[1]
    return rule.text if isinstance(rule, Rule) else ""


def _address(recipient: str, rule: str, tag: str, senders: Mapping[str, Sequence[Tuple[str, int]]]) -> Address:
    found = [
        Correspondent(
            domain=domain,
            messages=sum(times for _when, times in rows),
            first=min(when for when, _times in rows),
            last=max(when for when, _times in rows),
            expected=is_from(domain, tag),
        )
        for domain, rows in senders.items()
    ]
    ordered = sorted(found, key=lambda c: (-c.messages, c.domain))
    return Address(recipient, rule, tag, tuple(ordered), block_line(recipient))


def is_from(domain: str, tag: str) -> bool:
    """Whether a sender's domain fits a tag: a word of the tag is the domain, a domain above it, or one of its labels."""
    labels = domain.split(".")
    words = [w.strip(".,;()").lower() for w in tag.split()]
    return any(w in labels[:-1] or ("." in w and f".{domain}".endswith(f".{w}")) for w in words)


def _most_first(addresses: Sequence[Address]) -> Tuple[Address, ...]:
    return tuple(sorted(addresses, key=lambda a: (-a.messages, a.address)))


def block_line(address: str) -> str:
    """The line below ``addresses`` that stops one address: ``old: drop``. Sub-addresses are quoted, as YAML wants."""
    local = address.rpartition("@")[0]
    plain = local.replace(".", "").replace("-", "").replace("_", "")
    shown = local if plain.isalnum() and plain[:1].isalpha() and local.lower() not in _YAML_WORDS else f'"{local}"'
    return f"{shown}: drop"


#: What YAML 1.1 reads as something else than text.
_YAML_WORDS = ("y", "n", "yes", "no", "on", "off", "true", "false", "null")


def lines(found: Audit) -> List[str]:
    """The audit for people, one line an address: those that leaked first."""
    out: List[str] = []
    for address in found.leaked:
        who = ", ".join(f"{c.domain} ({c.messages})" for c in address.strangers[:5])
        given = f", given to {address.tag!r}," if address.tag else ""
        out.append(f"{address.address}{given} is also written to by {who}; to block it: {address.block}")
    for address in (a for a in found.unknown if not a.leaked):
        who = ", ".join(f"{c.domain} ({c.messages})" for c in address.correspondents[:5])
        out.append(
            f"{address.address} is not declared ({address.rule}) and gets mail from {who}; to block it: {address.block}"
        )
    return out
