# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What inbound mail proves about its sender: iprev, SPF, DKIM, DMARC, and the headers that say so.

SPF is judged by pyspf, DKIM by dkimpy, both with this server's resolver. DMARC finds its policy by walking up the tree
of the From domain. All of it blocks and runs in a worker thread.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from email import message_from_bytes
from email.utils import getaddresses
from typing import Any

import dkim
import spf

from .resolver import LookupFailedError, Resolver

log = logging.getLogger("standin.smtp")

_TREE_STEPS = 8


def install(resolver: Resolver) -> None:
    """Let pyspf ask this server's resolver instead of its own."""

    def lookup(name: str, kind: str, _strict: Any = True, timeout: float = 20) -> list[tuple[tuple[str, str], Any]]:
        convert: dict[str, Callable[[Any], Any]] = {
            "A": lambda record: record.address,
            "AAAA": lambda record: record.address,
            "MX": lambda record: (record.preference, record.exchange),
            "PTR": lambda record: record.target.to_text(True),
            "TXT": lambda record: record.strings,
        }
        if kind not in convert:
            return []
        try:
            return [((name, kind), convert[kind](record)) for record in resolver.query(name, kind)]
        except LookupFailedError as error:
            raise spf.TempError(f"DNS {error}") from error

    spf.DNSLookup = lookup


@dataclass(frozen=True)
class Iprev:
    """Reverse look-up of the client: result and the first name found."""

    result: str
    name: str | None = None


def check_iprev(resolver: Resolver, address: str) -> Iprev:
    """Whether a name of the address leads back to it (RFC 8601 §2.7.3)."""
    try:
        names = resolver.reverse(address)
        confirmed = any(address in resolver.addresses(name) for name in names[:2])
    except LookupFailedError:
        return Iprev("temperror")
    if not names:
        return Iprev("fail")
    return Iprev("pass" if confirmed else "fail", names[0])


def check_spf(address: str, sender: str, helo: str) -> str:
    """The SPF result (RFC 7208) of a sender; an empty sender is judged by the greeting."""
    result, _ = spf.check2(i=address, s=sender or f"postmaster@{helo}", h=helo, timeout=5, querytime=10)
    return str(result)


@dataclass(frozen=True)
class DkimResult:
    """One signature: result, domain, selector and the start of the signature."""

    result: str
    domain: str
    selector: str
    start: str


def check_dkim(resolver: Resolver, message: bytes) -> list[DkimResult]:
    """Every signature of a message, verified (RFC 6376, RFC 8463)."""

    def fetch(name: bytes | str, timeout: float = 5) -> bytes:
        text = name.decode() if isinstance(name, bytes) else name
        try:
            records = resolver.texts(text)
        except LookupFailedError as error:
            raise dkim.DnsTimeoutError(str(error)) from error
        return records[0].encode() if records else b""

    results = []
    verifier = dkim.DKIM(message, minkey=1024)
    count = sum(name.lower() == b"dkim-signature" for name, _ in verifier.headers)
    for index in range(count):
        header = [value for name, value in verifier.headers if name.lower() == b"dkim-signature"][index]
        tags = _tags(header.decode("ascii", "replace"))
        try:
            result = "pass" if verifier.verify(idx=index, dnsfunc=fetch) else "fail"
        except dkim.DnsTimeoutError:
            result = "temperror"
        except (dkim.DKIMException, ValueError) as error:
            log.debug("DKIM signature %s: %s", index, error)
            result = "permerror"
        results.append(DkimResult(result, tags.get("d", ""), tags.get("s", ""), tags.get("b", "")[:8]))
    return results


def _tags(value: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in value.split(";"))
    return {name.strip(): "".join(text.split()) for name, equals, text in pairs if equals}


@dataclass(frozen=True)
class Dmarc:
    """Result and policy for the domain of the From header."""

    result: str
    domain: str
    policy: str


def _policy_of(resolver: Resolver, domain: str) -> tuple[str, dict[str, str]] | None:
    """``(domain, tags)`` of the DMARC record that applies, found by walking up the tree."""
    labels = domain.split(".")
    for step in range(min(len(labels) - 1, _TREE_STEPS)):
        name = ".".join(labels[step:])
        for text in resolver.texts(f"_dmarc.{name}"):
            tags = _tags(text)
            if tags.get("v") == "DMARC1":
                return name, tags
    return None


def check_dmarc(
    resolver: Resolver, message: bytes, spf_result: str, spf_domain: str, signed: list[DkimResult]
) -> Dmarc:
    """DMARC for the From header: pass when SPF or a signature is aligned with it."""
    header = message_from_bytes(message).get_all("From", [])
    addresses = [address for _, address in getaddresses([str(value) for value in header]) if "@" in address]
    domain = addresses[0].rpartition("@")[2].lower() if addresses else ""
    try:
        found = _policy_of(resolver, domain) if domain else None
        if found is None:
            return Dmarc("none", domain, "none")
        organisation, tags = found
        policy = tags.get("p", "none")
        if organisation != domain:
            policy = tags.get("sp", policy)

        def aligned(other: str, strict: bool) -> bool:
            if strict or other == domain:
                return other == domain
            owner = _policy_of(resolver, other)
            return owner is not None and owner[0] == organisation

        by_spf = spf_result == "pass" and aligned(spf_domain.lower(), tags.get("aspf") == "s")
        by_dkim = any(s.result == "pass" and aligned(s.domain.lower(), tags.get("adkim") == "s") for s in signed)
    except LookupFailedError:
        return Dmarc("temperror", domain, "none")
    return Dmarc("pass" if by_spf or by_dkim else "fail", domain, policy)


_SPF_WORDS = {
    "pass": "pass ({host}: domain of {sender} designates {ip} as permitted sender)",
    "fail": "fail ({host}: domain of {sender} does not designate {ip} as permitted sender)",
    "softfail": "softfail ({host}: domain of {sender} reports soft fail for {ip})",
    "neutral": "neutral ({host}: domain of {sender} reports neutral for {ip})",
    "temperror": "temperror ({host}: temporary dns error validating {sender})",
    "permerror": "permerror ({host}: unable to verify SPF record for {sender})",
    "none": "none ({host}: no SPF records found for {sender})",
}


def spf_words(result: str, host: str, sender: str, address: str) -> str:
    """An SPF result with the comment the server writes."""
    return _SPF_WORDS[result].format(host=host, sender=sender, ip=address)


@dataclass
class Evidence:
    """Everything found about one message."""

    host: str
    address: str
    helo: str
    sender: str
    iprev: Iprev | None = None
    spf_helo: str | None = None
    spf_from: str | None = None
    signatures: list[DkimResult] = field(default_factory=list)
    dmarc: Dmarc | None = None

    def authentication_results(self) -> str:
        """The Authentication-Results header (RFC 8601), with its line end."""
        parts = []
        for s in self.signatures:
            parts.append(f"dkim={s.result} header.d={s.domain} header.s={s.selector} header.b={s.start}")
        if self.spf_helo is not None:
            words = spf_words(self.spf_helo, self.host, f"postmaster@{self.helo}", self.address)
            parts.append(f"spf={words} smtp.helo={self.helo}")
        if self.spf_from is not None:
            sender = self.sender or f"postmaster@{self.helo}"
            words = spf_words(self.spf_from, self.host, sender, self.address)
            parts.append(f"spf={words} smtp.mailfrom={self.sender or '<>'}")
        if self.iprev is not None:
            parts.append(f"iprev={self.iprev.result} policy.iprev={self.address}")
        if self.dmarc is not None:
            parts.append(f"dmarc={self.dmarc.result} header.from={self.dmarc.domain} policy.dmarc={self.dmarc.policy}")
        return "".join(
            [f"Authentication-Results: {self.host}", *(f";\r\n\t{part}" for part in parts or ["none"]), "\r\n"]
        )

    def received_spf(self) -> str:
        """The Received-SPF header (RFC 7208 §9.1), with its line end; empty when SPF was not checked."""
        if self.spf_from is None:
            return ""
        sender = self.sender or f"postmaster@{self.helo}"
        words = spf_words(self.spf_from, self.host, sender, self.address)
        return (
            f"Received-SPF: {words}\r\n\treceiver={self.host}; client-ip={self.address}; "
            f'envelope-from="{sender}"; helo={self.helo};\r\n'
        )
