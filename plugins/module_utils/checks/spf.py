# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""check_host() of RFC 7208 on an injected resolver: no network of its own, no cache, every term accounted for."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from typing import Callable, Dict, List, Sequence, Tuple
from urllib.parse import quote

from ansible_collections.mailstead.stack.plugins.module_utils.checks.addresses import Address
from ansible_collections.mailstead.stack.plugins.module_utils.dns.spf import (
    ASKING,
    MACRO,
    MAX_LOOKUPS,
    MAX_NAMES,
    MAX_VOID,
    SpfError,
    Term,
    parse,
    spf_records,
)

#: Name and type to (status, values); status: ``ok``, ``nxdomain``, ``nodata`` or ``error``. TXT values are joined.
Lookup = Callable[[str, str], Tuple[str, Sequence[str]]]

_RESULTS = {"+": "pass", "-": "fail", "~": "softfail", "?": "neutral"}


@dataclass
class SpfResult:
    """result: none, neutral, pass, fail, softfail, temperror or permerror (§2.6). terms and voids: as counted against
    the limits; trace: what was evaluated, in order; matched: the term that decided."""

    result: str
    reason: str = ""
    record: str = ""
    records: Tuple[str, ...] = ()
    matched: str = ""
    terms: int = 0
    voids: int = 0
    trace: List[str] = field(default_factory=list)


class _EndError(Exception):
    def __init__(self, result: str, reason: str) -> None:
        self.result = result
        super().__init__(reason)


def check_host(lookup: Lookup, address: Address, domain: str, sender: str, helo: str = "") -> SpfResult:
    """Evaluates the SPF policy of domain for mail from sender that comes from address."""
    run = _Run(lookup, address, sender, helo)
    out = SpfResult("none", trace=run.trace)
    try:
        out.record, out.records = run.record(domain)
        out.result, out.matched = run.policy(domain, out.record)
    except _EndError as stop:
        out.result, out.reason = stop.result, str(stop)
        out.records = run.first_records
        out.record = out.record or (out.records[0] if len(out.records) == 1 else "")
    out.terms, out.voids = run.terms, run.voids
    return out


class _Run:
    def __init__(self, lookup: Lookup, address: Address, sender: str, helo: str) -> None:
        local, _at, host = sender.rpartition("@")
        self.lookup = lookup
        self.address = address
        self.local = local or "postmaster"
        self.sender_domain = host
        self.helo = helo
        self.terms = 0
        self.voids = 0
        self.trace: List[str] = []
        self.first_records: Tuple[str, ...] = ()
        self._depth = 0

    # -- records ---------------------------------------------------------------------------------------------------

    def record(self, domain: str) -> Tuple[str, Tuple[str, ...]]:
        """The one record of a domain; the initial look-up does not count against the limits."""
        if not _valid_domain(domain):
            raise _EndError("none", f"{domain!r} is no domain name")
        status, values = self.lookup(domain, "TXT")
        if status == "error":
            raise _EndError("temperror", f"TXT of {domain} could not be looked up")
        found = spf_records(values)
        if not self._depth:
            self.first_records = found
        if not found:
            raise _EndError("none", f"{domain} publishes no SPF record")
        if len(found) > 1:
            raise _EndError("permerror", f"{domain} publishes {len(found)} SPF records")
        return found[0], found

    def ask(self, name: str, rtype: str) -> Sequence[str]:
        """A look-up that counts as void when it has no answer."""
        status, values = self.lookup(name, rtype)
        if status == "error":
            raise _EndError("temperror", f"{rtype} of {name} could not be looked up")
        if not values:
            self.void()
        return values

    def void(self) -> None:
        self.voids += 1
        if self.voids > MAX_VOID:
            raise _EndError("permerror", f"more than {MAX_VOID} look-ups without an answer")

    def count(self, term: str) -> None:
        self.terms += 1
        if self.terms > MAX_LOOKUPS:
            raise _EndError("permerror", f"more than {MAX_LOOKUPS} terms with DNS look-ups (at {term})")

    # -- evaluation ------------------------------------------------------------------------------------------------

    def policy(self, domain: str, record: str) -> Tuple[str, str]:
        try:
            parsed = parse(record)
        except SpfError as error:
            raise _EndError("permerror", str(error)) from error
        for term in parsed.terms:
            if term.modifier:
                continue
            matched = self.matches(term, domain)
            self.trace.append(f"{domain}: {term.text} {'matches' if matched else 'does not match'}")
            if matched:
                return _RESULTS[term.qualifier], term.text
        if parsed.redirect is not None:
            return self.redirect(parsed.redirect, domain)
        return "neutral", ""

    def redirect(self, term: Term, domain: str) -> Tuple[str, str]:
        self.count(term.text)
        target = self.expand(term.value, domain)
        self._depth += 1
        try:
            record, _all = self.record(target)
        except _EndError as stop:
            raise _EndError("permerror" if stop.result == "none" else stop.result, str(stop)) from stop
        return self.policy(target, record)

    def matches(self, term: Term, domain: str) -> bool:
        if term.name in ASKING:
            self.count(term.text)
        if term.name == "all":
            return True
        if term.network is not None:
            return self.address.version == term.network.version and self.address in term.network
        target = self.expand(term.value, domain) if term.value else domain
        if term.name == "include":
            return self.include(target)
        if term.name == "exists":
            return bool(self.ask(target, "A"))
        if term.name == "ptr":
            return self.ptr(target)
        names = [target]
        if term.name == "mx":
            names = [_host(v.split()[-1]) for v in self.ask(target, "MX")]
            names = [n for n in names if n]
            if len(names) > MAX_NAMES:
                raise _EndError("permerror", f"more than {MAX_NAMES} MX names at {target}")
        return any(self.covers(name, term, counts=term.name == "a") for name in names)

    def covers(self, name: str, term: Term, counts: bool) -> bool:
        rtype = "A" if self.address.version == 4 else "AAAA"
        prefix = term.prefix4 if self.address.version == 4 else term.prefix6
        if counts:
            values = self.ask(name, rtype)
        else:
            status, values = self.lookup(name, rtype)
            if status == "error":
                raise _EndError("temperror", f"{rtype} of {name} could not be looked up")
        return any(self.address in ipaddress.ip_network(f"{v}/{prefix}", strict=False) for v in values)

    def include(self, target: str) -> bool:
        self._depth += 1
        try:
            record, _all = self.record(target)
            result, _matched = self.policy(target, record)
        except _EndError as stop:
            # §5.2: a missing record is the includer's permanent error.
            raise _EndError(
                "permerror" if stop.result == "none" else stop.result, f"include:{target}: {stop}"
            ) from stop
        finally:
            self._depth -= 1
        return result == "pass"

    def ptr(self, target: str) -> bool:
        return any(n == target.lower() or n.endswith("." + target.lower()) for n in self.validated())

    def validated(self) -> List[str]:
        """Names of the address whose forward look-up confirms it (§5.5); errors mean no name."""
        status, values = self.lookup(self.address.reverse_pointer, "PTR")
        if status == "error":
            return []
        if not values:
            self.void()
        rtype = "A" if self.address.version == 4 else "AAAA"
        out = []
        for value in list(values)[:MAX_NAMES]:
            _status, forward = self.lookup(_host(value), rtype)
            if any(ipaddress.ip_address(a) == self.address for a in forward):
                out.append(_host(value))
        return out

    # -- macros (§7) -----------------------------------------------------------------------------------------------

    def expand(self, text: str, domain: str) -> str:
        expanded = MACRO.sub(lambda m: self._macro(m, domain), text)
        if "%" in MACRO.sub("", text):
            raise _EndError("permerror", f"bad macro in {text!r}")
        labels = expanded.rstrip(".").split(".")
        while len(".".join(labels)) > 253 and len(labels) > 1:
            labels = labels[1:]
        return ".".join(labels)

    def _macro(self, match: re.Match[str], domain: str) -> str:
        literal = {"%%": "%", "%_": " ", "%-": "%20"}.get(match.group(0))
        if literal is not None:
            return literal
        letter, digits, reverse, delimiters = match.groups()
        value = self._letter(letter.lower(), domain)
        parts = re.split("[" + re.escape(delimiters or ".") + "]", value)
        if reverse:
            parts.reverse()
        if digits:
            if int(digits) == 0:
                raise _EndError("permerror", f"bad macro in {match.group(0)!r}")
            parts = parts[-int(digits) :]
        joined = ".".join(parts)
        return quote(joined, safe="-._~") if letter.isupper() else joined

    def _letter(self, letter: str, domain: str) -> str:
        if letter in "crt":
            raise _EndError("permerror", f"macro {letter} is allowed in explanations only")
        if letter == "i":
            if self.address.version == 4:
                return str(self.address)
            return ".".join(self.address.exploded.replace(":", ""))
        if letter == "p":
            return (self.validated() or ["unknown"])[0]
        values: Dict[str, str] = {
            "s": f"{self.local}@{self.sender_domain}",
            "l": self.local,
            "o": self.sender_domain,
            "d": domain,
            "v": "in-addr" if self.address.version == 4 else "ip6",
            "h": self.helo or self.sender_domain,
        }
        return values[letter]


def _host(text: str) -> str:
    return text.rstrip(".").lower()


def _valid_domain(domain: str) -> bool:
    labels = domain.rstrip(".").split(".")
    return len(labels) > 1 and len(domain) <= 254 and all(0 < len(label) <= 63 for label in labels)
