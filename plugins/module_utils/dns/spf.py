# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SPF records (RFC 7208) as lists of terms: read, compare, count look-ups, merge without losing a mechanism."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Callable, List, Optional, Sequence, Tuple

#: Look-ups an evaluation may need before receivers answer permerror (RFC 7208 §4.6.4).
MAX_LOOKUPS = 10

_MODIFIER = re.compile(r"([A-Za-z][A-Za-z0-9_.-]*)=(.*)", re.DOTALL)
_MECHANISM = re.compile(r"([+?~-]?)(all|include|a|mx|ptr|ip4|ip6|exists)((?::[^/\s]\S*)?(?:/\S+)?)", re.IGNORECASE)
#: From lax to strict; the merge of two "all" is the laxer one, so that nothing that passes today is refused.
_LAX = "+?~-"


class SpfError(ValueError):
    """Text that is no SPF record; says why."""


@dataclass(frozen=True)
class Term:
    """One term. text: as written; key: in canonical spelling, for comparison."""

    text: str
    key: str
    name: str
    qualifier: str = "+"
    value: str = ""

    @property
    def lookups(self) -> int:
        """How many DNS look-ups the term itself costs."""
        return 1 if self.name in ("include", "a", "mx", "ptr", "exists", "redirect") else 0

    @property
    def is_modifier(self) -> bool:
        return self.name in ("redirect", "exp") or self.qualifier == ""


@dataclass(frozen=True)
class Spf:
    terms: Tuple[Term, ...]

    @property
    def all(self) -> Optional[Term]:
        return next((t for t in self.terms if t.name == "all"), None)

    @property
    def redirect(self) -> Optional[Term]:
        """The redirect in force: none where there is an "all" (RFC 7208 §6.1)."""
        return None if self.all else next((t for t in self.terms if t.name == "redirect"), None)

    @property
    def lookups(self) -> int:
        """Look-ups of the record itself; what an include needs in turn comes on top."""
        return sum(t.lookups for t in self.terms if not (t.name == "redirect" and self.all))

    def keys(self) -> Tuple[str, ...]:
        return tuple(t.key for t in self.terms)

    def __str__(self) -> str:
        return " ".join(["v=spf1", *(t.text for t in self.terms)])


@dataclass(frozen=True)
class Merged:
    """text: the merged record; added: keys of our terms that the other record did not have."""

    text: str
    added: Tuple[str, ...]
    lookups: int


def is_spf(text: str) -> bool:
    """Whether a TXT claims to be SPF (RFC 7208 §4.5: "v=spf1" alone or followed by a space)."""
    return text.lower() == "v=spf1" or text.lower().startswith("v=spf1 ")


def parse(text: str) -> Spf:
    """Read a record. Raises SpfError with the term that is wrong."""
    if not is_spf(text):
        raise SpfError(f"{text[:40]!r} does not begin with v=spf1")
    terms = tuple(_term(word) for word in text.split(" ")[1:] if word)
    for name in ("all", "redirect", "exp"):
        if sum(1 for t in terms if t.name == name) > 1:
            raise SpfError(f"{name} stands there twice")
    return Spf(terms)


def _term(word: str) -> Term:
    modifier = _MODIFIER.fullmatch(word)
    if modifier:
        name, value = modifier.group(1).lower(), modifier.group(2)
        if name in ("redirect", "exp") and not value:
            raise SpfError(f"{word!r} names no domain")
        return Term(word, f"{name}={value.lower()}", name, "", value)
    found = _MECHANISM.fullmatch(word)
    if not found:
        raise SpfError(f"{word!r} is no mechanism or modifier of RFC 7208")
    qualifier, name, rest = found.group(1) or "+", found.group(2).lower(), found.group(3)
    needs_value = name in ("include", "ip4", "ip6", "exists")
    if needs_value and not rest.startswith(":"):
        raise SpfError(f"{word!r} lacks its value")
    if name == "all" and rest:
        raise SpfError(f"{word!r}: all takes no value")
    value = _address(name, rest[1:], word) if name in ("ip4", "ip6") else rest.lower()
    shown = "" if qualifier == "+" else qualifier
    joint = ":" if name in ("ip4", "ip6") else ""
    return Term(word, f"{shown}{name}{joint}{value}", name, qualifier, rest[1:] if rest.startswith(":") else rest)


def _address(name: str, value: str, word: str) -> str:
    try:
        net = ipaddress.ip_network(value, strict=False)
    except ValueError:
        raise SpfError(f"{word!r}: {value!r} is no address or prefix") from None
    if net.version != (4 if name == "ip4" else 6):
        raise SpfError(f"{word!r}: {value!r} is of the other address family")
    return str(net.network_address) if net.prefixlen == net.max_prefixlen else str(net)


def merge(ours: str, theirs: Sequence[str]) -> Merged:
    """One record that authorises whatever either of the records does.

    Our missing mechanisms come first (cheap and never behind a "-" of theirs), then theirs in their order and spelling,
    then the laxest "all". A record of theirs that needs nothing more is returned unchanged. A "redirect" stays when
    it is the only record's; beside an "all" of another record it becomes an include, as it would have no effect there.
    Raises SpfError.
    """
    mine, others = parse(ours), [parse(t) for t in theirs]
    known = {t.key for spf in others for t in spf.terms}
    added = [
        t for t in mine.terms if t.key not in known and t.name not in ("all", "redirect", "exp") and not t.is_modifier
    ]
    if len(others) == 1 and not added and _covers(mine, others[0]):
        return Merged(theirs[0], (), others[0].lookups)
    redirects = {t.key: t for spf in [mine, *others] for t in [spf.redirect] if t is not None}
    keep_redirect = len(others) == 1 and others[0].redirect is not None and len(redirects) == 1
    middle: List[Term] = []
    seen = {t.key for t in added}
    for spf in others:
        for term in spf.terms:
            kept = term
            if term.name == "redirect":
                if keep_redirect or term is not spf.redirect:
                    continue
                kept = _include(term)
            second_exp = term.name == "exp" and any(t.name == "exp" for t in middle)
            if term.name == "all" or kept.key in seen or second_exp:
                continue
            seen.add(kept.key)
            middle.append(kept)
    if mine.redirect is not None and not keep_redirect:
        include = _include(mine.redirect)
        if include.key not in seen:
            added.append(include)
    terms = [*added, *(t for t in middle if not t.is_modifier), *_all_of(mine, others, keep_redirect)]
    terms += [t for t in middle if t.is_modifier]
    if keep_redirect:
        terms += redirects.values()
    merged = Spf(tuple(terms))
    return Merged(str(merged), tuple(t.key for t in added), merged.lookups)


def _covers(mine: Spf, theirs: Spf) -> bool:
    """Whether nothing of ours is missing, given that all mechanisms of ours are there."""
    if mine.redirect is None:
        return True
    wanted = {mine.redirect.key, _include(mine.redirect).key}
    return bool(wanted & set(theirs.keys()))


def _include(redirect: Term) -> Term:
    text = f"include:{redirect.value}"
    return Term(text, text.lower(), "include", "+", redirect.value)


def _all_of(mine: Spf, others: Sequence[Spf], keep_redirect: bool) -> List[Term]:
    if keep_redirect:
        return []
    alls = [spf.all for spf in others if spf.all is not None]
    # A record of theirs without "all" and without "redirect" ends in neutral (RFC 7208 §4.7).
    if any(spf.all is None and spf.redirect is None for spf in others):
        alls.append(_term("?all"))
    if any(spf.redirect is not None for spf in others) and not alls:
        alls = [mine.all or _term("~all")]
    if mine.all is not None:
        alls.append(mine.all)
    return sorted(alls, key=lambda t: _LAX.index(t.qualifier))[:1]


def without(text: str, hashes: Sequence[str], hash_of: Callable[[str], str]) -> str:
    """The record without the terms whose keys hash to one of hashes. Raises SpfError."""
    spf = parse(text)
    return str(Spf(tuple(t for t in spf.terms if hash_of(t.key) not in set(hashes))))
