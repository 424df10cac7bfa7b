# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SPF records (RFC 7208) as lists of terms: the one grammar for publishing, merging, counting and evaluating."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Optional, Sequence, Tuple, Union

Network = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]

#: Terms that cause DNS look-ups, look-ups without an answer, hosts looked at per mx or ptr (RFC 7208 §4.6.4).
MAX_LOOKUPS, MAX_VOID, MAX_NAMES = 10, 2, 10
#: Terms that cost a look-up each.
ASKING = ("include", "a", "mx", "ptr", "exists", "redirect")
#: A macro of RFC 7208 §7.1; without letters the three escapes.
MACRO = re.compile(r"%(?:%|_|-|\{([slodiphcrtvSLODIPHCRTV])(\d*)(r?)([.\-+,/_=]*)\})")

_MODIFIER = re.compile(r"([A-Za-z][A-Za-z0-9_.-]*)=(.*)", re.DOTALL)
_MECHANISM = re.compile(r"([+?~-]?)([A-Za-z0-9]+)(.*)", re.DOTALL)
_PREFIXES = re.compile(r"(?:/(\d{1,3}))?(?://(\d{1,3}))?$")


class SpfError(ValueError):
    """Text that is no SPF record; says why."""


@dataclass(frozen=True)
class Term:
    """One mechanism or modifier.

    text: as written; key: in canonical spelling, for comparison. qualifier: empty for modifiers. value: the domain of
    a mechanism without its prefix lengths, the address of ip4 and ip6, the value of a modifier.
    """

    text: str
    key: str
    name: str
    qualifier: str = "+"
    value: str = ""
    prefix4: int = 32
    prefix6: int = 128
    network: Optional[Network] = None

    @property
    def lookups(self) -> int:
        """How many DNS look-ups the term itself costs."""
        return 1 if self.name in ASKING else 0

    @property
    def modifier(self) -> bool:
        return not self.qualifier


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
    def mechanisms(self) -> Tuple[Term, ...]:
        """Those that are ever looked at: an "all" ends it, what stands behind means nothing (RFC 7208 §5.1)."""
        return tuple(t for t in self._until_all() if not t.modifier and t.name != "all")

    @property
    def dead(self) -> Tuple[Term, ...]:
        """The mechanisms behind the first "all"."""
        return tuple(t for t in self.terms[len(self._until_all()) :] if not t.modifier and t is not self.all)

    def _until_all(self) -> Tuple[Term, ...]:
        return self.terms if self.all is None else self.terms[: self.terms.index(self.all)]

    @property
    def lookups(self) -> int:
        """Look-ups of the record itself; what an include needs in turn comes on top."""
        return sum(t.lookups for t in self.mechanisms) + (1 if self.redirect else 0)

    def keys(self) -> Tuple[str, ...]:
        return tuple(t.key for t in self.terms)

    def __str__(self) -> str:
        return " ".join(["v=spf1", *(t.text for t in self.terms)])


def is_spf(text: str) -> bool:
    """Whether a TXT claims to be SPF (RFC 7208 §4.5: "v=spf1" alone or followed by a space)."""
    return text.lower() == "v=spf1" or text.lower().startswith("v=spf1 ")


def spf_records(values: Sequence[str]) -> Tuple[str, ...]:
    """Those TXT values that are SPF records."""
    return tuple(v for v in values if is_spf(v))


def parse(text: str) -> Spf:
    """Read a record. Raises SpfError with the term that is wrong."""
    if not is_spf(text):
        raise SpfError(f"{text[:40]!r} does not begin with v=spf1")
    terms = tuple(parse_term(word) for word in text.split(" ")[1:] if word)
    for name in ("redirect", "exp"):
        if sum(1 for t in terms if t.name == name) > 1:
            raise SpfError(f"{name} stands there twice")
    return Spf(terms)


def parse_term(word: str) -> Term:
    """One term (§4.6.1, §5). Unknown modifiers are kept, unknown mechanisms are a mistake. Raises SpfError."""
    if not word.isascii():
        raise SpfError(f"{word!r} is not ASCII (write the A-labels)")
    modifier = _MODIFIER.fullmatch(word)
    if modifier:
        name, value = modifier.group(1).lower(), modifier.group(2)
        if name in ("redirect", "exp") and not value:
            raise SpfError(f"{word!r} names no domain")
        return Term(word, f"{name}={_folded(value)}", name, "", value)
    found = _MECHANISM.fullmatch(word)
    if not found:
        raise SpfError(f"unknown term {word!r}")
    qualifier, name, rest = found.group(1) or "+", found.group(2).lower(), found.group(3)
    head = ("" if qualifier == "+" else qualifier) + name
    if name == "all":
        if rest:
            raise SpfError(f"{word!r}: all takes no value")
        return Term(word, head, name, qualifier)
    if name in ("ip4", "ip6"):
        network = _network(name, rest, word)
        return Term(word, f"{head}:{_shortest(network)}", name, qualifier, rest[1:], network=network)
    if name not in ASKING or name == "redirect":
        raise SpfError(f"unknown mechanism {word!r}")
    return _with_domain(word, head, name, qualifier, rest)


def _with_domain(word: str, head: str, name: str, qualifier: str, rest: str) -> Term:
    prefix4, prefix6 = 32, 128
    if name in ("a", "mx"):
        lengths = _PREFIXES.search(rest)
        assert lengths is not None
        rest = rest[: lengths.start()]
        prefix4, prefix6 = int(lengths.group(1) or 32), int(lengths.group(2) or 128)
        if prefix4 > 32 or prefix6 > 128:
            raise SpfError(f"bad prefix length in {word!r}")
    if rest and not rest.startswith(":"):
        raise SpfError(f"unknown mechanism {word!r}")
    domain = rest[1:]
    if not domain and (rest or name in ("include", "exists")):
        raise SpfError(f"{word!r} names no domain")
    # A slash can only stand among a macro's delimiters.
    if "/" in MACRO.sub("", domain):
        raise SpfError(f"bad domain in {word!r}")
    key = head + (f":{_folded(domain)}" if domain else "")
    key += (f"/{prefix4}" if prefix4 != 32 else "") + (f"//{prefix6}" if prefix6 != 128 else "")
    return Term(word, key, name, qualifier, domain, prefix4, prefix6)


def _folded(domain: str) -> str:
    """One spelling of a domain. A macro's letter says by its case whether it is escaped, so case stays where one is."""
    return domain if "%" in domain else domain.lower().rstrip(".")


def _network(name: str, rest: str, word: str) -> Network:
    if not rest.startswith(":"):
        raise SpfError(f"{word!r} lacks its value")
    try:
        network = ipaddress.ip_network(rest[1:], strict=False)
    except ValueError:
        raise SpfError(f"{word!r}: {rest[1:]!r} is no address or prefix") from None
    if network.version != int(name[2]):
        raise SpfError(f"{word!r}: {rest[1:]!r} is of the other address family")
    return network


def _shortest(network: Network) -> str:
    return str(network.network_address) if network.prefixlen == network.max_prefixlen else str(network)
