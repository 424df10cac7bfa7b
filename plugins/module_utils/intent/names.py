# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Domain names and mail addresses as users write them, read into the forms that go on the wire."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Any

from ansible_collections.mailstead.stack.plugins.module_utils.intent.shapes import Reading, Shape

LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
# RFC 5322 dot-atom without the characters that need quoting somewhere on the way (SMTP, DNS reports, IMAP).
LOCAL_PART = re.compile(r"[a-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[a-z0-9!#$%&'*+/=?^_`{|}~-]+)*", re.IGNORECASE)


def to_ascii(name: str) -> str:
    """A host or domain name in lower case A-labels without a trailing dot (RFC 5891, UTS 46).

    Raises ValueError with the reason in words.
    """
    text = name.strip().rstrip(".").lower()
    if not text:
        raise ValueError("it is empty")
    if not text.isascii():
        try:
            import idna  # noqa: PLC0415 - on the controller only, where requests brings it
        except ImportError:
            text = text.encode("idna").decode("ascii")
        else:
            try:
                text = idna.encode(text, uts46=True).decode("ascii")
            except idna.IDNAError as error:
                raise ValueError(str(error)) from error
    if len(text) > 253:
        raise ValueError("it is longer than 253 characters")
    labels = text.split(".")
    for label in labels:
        if not LABEL.fullmatch(label):
            raise ValueError(f"'{label}' is no valid label")
    if len(labels) < 2:
        raise ValueError("it has no dot")
    if labels[-1].isdigit():
        raise ValueError("it looks like an address, not a name")
    return text


def is_within(name: str, zone: str) -> bool:
    """Whether name is zone or below it."""
    return name == zone or name.endswith("." + zone)


@dataclass
class DomainName(Shape):
    """A domain or host name, read to A-labels."""

    fallback: str = ""

    def read(self, raw: Any, path: str, reading: Reading) -> str:
        if not isinstance(raw, str):
            return str(self._wrong(raw, path, reading, "a domain name"))
        try:
            return to_ascii(raw)
        except (ValueError, UnicodeError) as error:
            reading.note(
                "MS-INT-005", path, raw, f"'{raw}' is no domain name: {error}", "write a name such as example.com"
            )
            return self.fallback

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "format": "idn-hostname"}


@dataclass
class MailAddress(Shape):
    """``local`` or ``local@domain``; completed with the domain later (:func:`complete`)."""

    fallback: str = ""

    def read(self, raw: Any, path: str, reading: Reading) -> str:
        text = str(raw) if isinstance(raw, str) else ""
        text = text[len("mailto:") :] if text.startswith("mailto:") else text
        local, at, domain = text.rpartition("@") if "@" in text else (text, "", "")
        if not LOCAL_PART.fullmatch(local):
            return str(self._wrong(raw, path, reading, "a mail address (or its part before the @)"))
        if not at:
            return local
        try:
            return f"{local}@{to_ascii(domain)}"
        except (ValueError, UnicodeError) as error:
            reading.note(
                "MS-INT-005",
                path,
                raw,
                f"'{domain}' is no domain name: {error}",
                "write an address such as me@example.com",
            )
            return self.fallback

    def schema(self) -> dict[str, Any]:
        return {"type": "string"}


@dataclass
class RoutedAddress(MailAddress):
    """An address for which a routing service has a rule: literal, nothing else."""

    def read(self, raw: Any, path: str, reading: Reading) -> str:
        text = str(raw)
        if "*" in text:
            what = f"'{text}' is a pattern, and the service has literal addresses only"
            fix = "write the addresses out, or let catch_all take the rest"
            reading.note("MS-INT-036", path, raw, what, fix)
            return self.fallback
        # YAML reads an address such as 2026 as a number.
        return super().read(raw if isinstance(raw, str) else text, path, reading).lower()


@dataclass
class PlainAddress(MailAddress):
    """An address that becomes part of expressions and scripts of the mail server. Read in lower case, as it compares them."""

    def read(self, raw: Any, path: str, reading: Reading) -> str:
        address = super().read(raw, path, reading).lower()
        if set("'`${}") & set(address):
            return str(self._wrong(raw, path, reading, "an address without quotes, dollar signs and braces"))
        return address


@dataclass
class SenderPattern(PlainAddress):
    """An address that may be sent as: a complete one, or ``*@domain`` for every address of exactly that domain."""

    def read(self, raw: Any, path: str, reading: Reading) -> str:
        local, at, _domain = (str(raw) if isinstance(raw, str) else "").rpartition("@")
        if not at or ("*" in local and local != "*"):
            return str(self._wrong(raw, path, reading, "a complete address, or *@ and a domain"))
        return super().read(raw, path, reading)


@dataclass
class IPAddress(Shape):
    version: int = 4
    fallback: str = ""

    def read(self, raw: Any, path: str, reading: Reading) -> str:
        try:
            parsed = ipaddress.ip_address(str(raw))
        except ValueError:
            return str(self._wrong(raw, path, reading, f"an IPv{self.version} address"))
        if parsed.version != self.version:
            return str(self._wrong(raw, path, reading, f"an IPv{self.version} address"))
        return str(parsed)

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "format": f"ipv{self.version}"}


def complete(address: str, domain: str) -> str:
    """An address without a domain means this domain; the domain part is lower case, the local part stays as written."""
    return address if "@" in address else f"{address}@{domain}"
