# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names and addresses as the server accepts and normalises them.

A domain needs a top-level label that exists or is reserved for private use (``x.test``, ``x.internal``, ``x.lan``);
``x.example`` and a trailing dot are refused, Unicode becomes Punycode, upper case lower case.
"""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from pathlib import Path

RESERVED_TLDS = frozenset(
    {"test", "localhost", "local", "internal", "lan", "home", "corp", "intranet", "private", "localdomain"}
)
_LOCAL_SIGNS = "!#$%&'*+-/=?^_`{|}~"
_TLD_FILE = Path(__file__).parent.parent / "data" / "tlds.txt"


@lru_cache(maxsize=1)
def _tlds() -> frozenset[str]:
    return frozenset(_TLD_FILE.read_text().split())


def domain_name(text: str) -> str | None:
    """The normalised domain, or ``None`` when the server would refuse it."""
    name = "".join(text.split()).lower()
    if "." not in name or name.endswith("."):
        return None
    if any(not (part and (part[-1].isalnum() or part[-1] in "-_")) for part in name.split(".")[:-1]):
        return None
    if not name.isascii():
        try:
            name = name.encode("idna").decode()
        except UnicodeError:
            return None
    # "bad domain" loses its blank above and has no dot left: the server refuses it the same way.
    tld = name.rpartition(".")[2]
    return name if tld in _tlds() or tld in RESERVED_TLDS else None


def host_name(text: str) -> str | None:
    """A host name or an address, normalised, or ``None``."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return domain_name(text)
    return text


def local_part(text: str) -> str | None:
    """The normalised local part of an address, or ``None``."""
    name = "".join(text.split()).lower()
    if not name or name.startswith(".") or name.endswith(".") or ".." in name:
        return None
    return name if all(char.isalnum() or char == "." or char in _LOCAL_SIGNS for char in name) else None


def email_address(text: str) -> str | None:
    """The normalised address, or ``None``."""
    local, at, domain = text.rpartition("@")
    left, right = local_part(local), domain_name(domain)
    return f"{left}@{right}" if at and left and right else None


def ip_network(text: str) -> str | None:
    """An address or network as the server writes it back: prefixes from /8, a full-length prefix is dropped."""
    address, slash, prefix = text.rpartition("/")
    if not slash:
        address, prefix = text, ""
    try:
        ip = ipaddress.ip_address(address.strip())
    except ValueError:
        return None
    if not slash:
        return str(ip)
    if not prefix.strip().isdigit() or not 8 <= int(prefix) <= ip.max_prefixlen:
        return None
    return str(ip) if int(prefix) == ip.max_prefixlen else f"{ip}/{int(prefix)}"


def socket_address(text: str) -> str | None:
    """``[::]:25`` or ``0.0.0.0:25`` normalised, or ``None``."""
    match = re.fullmatch(r"(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+)):(\d{1,5})", text.strip())
    if match is None or int(match[3]) > 65535:
        return None
    try:
        ip = ipaddress.ip_address(match[1] or match[2])
    except ValueError:
        return None
    return f"[{ip}]:{int(match[3])}" if ip.version == 6 else f"{ip}:{int(match[3])}"


def parse_socket_address(text: str) -> tuple[str, int]:
    """``[::]:25`` → ``("::", 25)``."""
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)
