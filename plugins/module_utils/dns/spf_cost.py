# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an SPF record costs a receiver (RFC 7208 §4.6.4): look-ups and void look-ups, of all its includes together.

Counted is the dearest evaluation: that of a sender no mechanism matches, who gets every term evaluated up to the first
"all". Nothing is fetched here: answers come from the zone as it will be and from an injected :data:`Fetch`, which is asked
for all missing answers of one depth of nesting at once.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Callable, Dict, Iterable, List, Mapping, Optional, Sequence, Set, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.dns import spf

#: Where counting ends: a record that needs so many look-ups (one that includes itself, for example) is over any limit.
CEILING = 4 * spf.MAX_LOOKUPS
#: Aliases followed from one name.
MAX_ALIASES = 8

Question = Tuple[str, str]
#: Status (``ok``, ``nxdomain``, ``nodata`` or ``error``) and values; TXT values joined, MX as ``10 host``.
Answer = Tuple[str, Sequence[str]]
#: Answers of the DNS to questions; one that is left out counts as ``error``.
Fetch = Callable[[Sequence[Question]], Mapping[Question, Answer]]

_FAMILIES = ("A", "AAAA")


@dataclass(frozen=True)
class Part:
    """What one term of the record costs, everything behind it included.

    addresses: of an ``a`` or ``mx``, the terms that say the same without a look-up; empty where not all are known.
    """

    term: str
    lookups: int
    voids: int
    addresses: Tuple[str, ...] = ()


@dataclass(frozen=True)
class Cost:
    """lookups and voids: at least these where something is unknown (a look-up failed, or depends on the sender).

    broken: what makes receivers answer permerror whatever the numbers say.
    """

    lookups: int
    voids: int
    parts: Tuple[Part, ...] = ()
    unknown: Tuple[str, ...] = ()
    broken: Tuple[str, ...] = ()

    def __str__(self) -> str:
        least = "at least " if self.unknown or self.lookups > CEILING else ""
        detail = ", ".join(
            f"{p.term} {p.lookups}" + (f" ({p.voids} void)" if p.voids else "") for p in self.parts if p.lookups
        )
        counted = f"{least}{self.lookups} of {spf.MAX_LOOKUPS} look-ups, {self.voids} of {spf.MAX_VOID} void"
        return f"{counted}: {detail}" if detail else counted


def measure(record: spf.Spf, domain: str, own: ZoneAnswers, fetch: Optional[Fetch]) -> Cost:
    """The cost of a record that stands at a domain. own: the zone as it will be; it is believed before the DNS."""
    known: Dict[Question, Answer] = {}
    while True:
        answers = _Answers(own, known)
        cost = _Walk(answers).run(record, domain)
        if not answers.missing or fetch is None:
            return cost
        asked = sorted(answers.missing)
        found = fetch(asked)
        known.update({question: found.get(question, ("error", ())) for question in asked})


def planned_first(wanted: Iterable[Tuple[str, str, str]], fetch: Optional[Fetch]) -> Fetch:
    """A Fetch that knows what is wanted in other zones of the same run, (name, type, canonical content), before the DNS
    shows it. fetch: asked for the rest; without it the rest stays unknown."""
    sets: Dict[Question, List[str]] = {}
    for name, rtype, content in wanted:
        sets.setdefault((name, rtype), []).append(content)

    def ask(questions: Sequence[Question]) -> Mapping[Question, Answer]:
        found: Dict[Question, Answer] = {q: ("ok", tuple(sets[q])) for q in questions if q in sets}
        rest = [q for q in questions if q not in sets]
        if rest and fetch is not None:
            found.update(fetch(rest))
        return found

    return ask


class ZoneAnswers:
    """What the servers of a zone will answer, from its records: (name, type, canonical content)."""

    def __init__(self, zone: str, records: Iterable[Tuple[str, str, str]]) -> None:
        self.zone = zone
        self._sets: Dict[Question, List[str]] = {}
        self._names: Set[str] = {zone}
        for name, rtype, content in records:
            self._sets.setdefault((name, rtype), []).append(content)
            # Names between the record's and the zone's exist as well (RFC 8020).
            if name != zone and name.endswith("." + zone):
                self._names.update([name, *_parents(name, zone)])

    def answer(self, name: str, rtype: str) -> Optional[Answer]:
        """None for names this zone does not speak for: outside of it, or delegated."""
        if name != self.zone and not name.endswith("." + self.zone):
            return None
        parents = _parents(name, self.zone)
        if any((p, "NS") in self._sets for p in [name, *parents] if p != self.zone):
            return None
        if name not in self._names:
            closest = next(p for p in parents if p in self._names)
            name = f"*.{closest}"
            if name not in self._names:
                return "nxdomain", ()
        for kind in (rtype, "CNAME"):
            values = self._sets.get((name, kind))
            if values:
                return ("ok" if kind == rtype else "alias"), tuple(values)
        return "nodata", ()


def _parents(name: str, zone: str) -> List[str]:
    out = []
    while name != zone:
        name = name.split(".", 1)[1]
        out.append(name)
    return out


class _Answers:
    """The zone first, then what has been fetched; what neither knows is noted as missing and reads as an error."""

    def __init__(self, own: ZoneAnswers, known: Mapping[Question, Answer]) -> None:
        self.own, self.known = own, known
        self.missing: Set[Question] = set()

    def __call__(self, name: str, rtype: str) -> Answer:
        for _hop in range(MAX_ALIASES):
            found = self.own.answer(name, rtype)
            if found is None:
                break
            if found[0] != "alias":
                return found
            name = found[1][0]
        else:
            return "error", ()
        if (name, rtype) not in self.known:
            self.missing.add((name, rtype))
        return self.known.get((name, rtype), ("error", ()))


class _Walk:
    def __init__(self, ask: Callable[[str, str], Answer]) -> None:
        self.ask = ask
        self.lookups = 0
        self.voids = dict.fromkeys(_FAMILIES, 0)
        #: Families some sender of which the record authorises: only for those a permanent error loses mail.
        self.used: Set[str] = set()
        self.unknown: List[str] = []
        self.broken: List[str] = []
        #: Addresses found since the last term of the record itself, each with its family.
        self.found: List[Tuple[str, str]] = []

    def run(self, record: spf.Spf, domain: str) -> Cost:
        spent: List[Tuple[Part, Dict[str, int]]] = []
        ends = [record.redirect] if record.redirect else []
        for term in [*record.mechanisms, *ends]:
            lookups, voids, doubts = self.lookups, dict(self.voids), len(self.unknown)
            self.found = []
            matches_all = self.term(term, domain)
            same = self.instead(term) if len(self.unknown) == doubts else ()
            fewer = {f: self.voids[f] - voids[f] for f in _FAMILIES}
            spent.append((Part(term.text, self.lookups - lookups, 0, same), fewer))
            if matches_all:
                break
        worst = max(sorted(self.used) or _FAMILIES, key=lambda f: self.voids[f])
        parts = tuple(dataclasses.replace(part, voids=voids[worst]) for part, voids in spent)
        unknown, broken = tuple(dict.fromkeys(self.unknown)), tuple(dict.fromkeys(self.broken))
        return Cost(self.lookups, self.voids[worst], parts, unknown, broken)

    def instead(self, term: spf.Term) -> Tuple[str, ...]:
        """The addresses of an a or mx that has just been evaluated, as terms of its own."""
        if term.name not in ("a", "mx"):
            return ()
        lengths = {"A": ("ip4", term.prefix4, 32), "AAAA": ("ip6", term.prefix6, 128)}
        out = []
        for family, address in self.found:
            name, length, whole = lengths[family]
            name = ("" if term.qualifier == "+" else term.qualifier) + name
            out.append(spf.parse_term(f"{name}:{address}" + ("" if length == whole else f"/{length}")).key)
        return tuple(dict.fromkeys(out))

    def record(self, record: spf.Spf, domain: str) -> bool:
        """Evaluate all of a record. True when it passes every sender, which ends the evaluation around it."""
        for term in record.mechanisms:
            if self.term(term, domain):
                return term.qualifier == "+"
        if record.redirect is not None:
            return self.term(record.redirect, domain)
        return record.all is not None and record.all.qualifier == "+"

    def term(self, term: spf.Term, domain: str) -> bool:
        """Evaluate one term. True when it matches every sender."""
        if self.lookups > CEILING:
            return False
        self.lookups += term.lookups
        if term.network is not None:
            self.used.add(_FAMILIES[0] if term.network.version == 4 else _FAMILIES[1])
            return False
        if "%" in term.value:
            self.used.update(_FAMILIES)
            self.unknown.append(f"{term.text} depends on the sender")
            return False
        target = term.value.lower().rstrip(".") or domain
        if term.name in ("include", "redirect"):
            return self.nested(target)
        if term.name == "exists":
            return self.exists(target)
        if term.name == "ptr":
            self.used.update(_FAMILIES)
        elif term.name == "mx":
            self.exchanges(target)
        else:
            self.addresses(target, counts=True)
        return False

    def nested(self, target: str) -> bool:
        values = self.look_up(target, "TXT")
        if values is None:
            return False
        found = spf.spf_records(values)
        if len(found) != 1:
            self.broken.append(f"{target} publishes {len(found) or 'no'} SPF record{'s' if len(found) > 1 else ''}")
            return False
        try:
            return self.record(spf.parse(found[0]), target)
        except spf.SpfError as error:
            self.broken.append(f"the record of {target} cannot be read: {error}")
            return False

    def exists(self, target: str) -> bool:
        """Without a macro it is the same for every sender."""
        values = self.look_up(target, "A")
        if values:
            self.used.update(_FAMILIES)
        elif values is not None:
            self.void(_FAMILIES)
        return bool(values)

    def exchanges(self, target: str) -> None:
        values = self.look_up(target, "MX")
        if values is None:
            return
        hosts = [h for h in (v.split()[-1].lower().rstrip(".") for v in values) if h]
        if not values:
            self.void(_FAMILIES)
        if len(hosts) > spf.MAX_NAMES:
            self.broken.append(f"{target} has {len(hosts)} MX, {spf.MAX_NAMES} are allowed")
        for host in hosts[: spf.MAX_NAMES]:
            self.addresses(host, counts=False)

    def addresses(self, name: str, counts: bool) -> None:
        for family in _FAMILIES:
            values = self.look_up(name, family)
            self.found += [(family, value) for value in values or ()]
            if values:
                self.used.add(family)
            elif values is not None and counts:
                self.void((family,))

    def void(self, families: Sequence[str]) -> None:
        for family in families:
            self.voids[family] += 1

    def look_up(self, name: str, rtype: str) -> Optional[Sequence[str]]:
        status, values = self.ask(name, rtype)
        if status == "error":
            self.unknown.append(f"{rtype} of {name} could not be looked up")
            return None
        return values
