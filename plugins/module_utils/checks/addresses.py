# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Address ranges that judges need to know. Explicit lists: ``ipaddress.is_private`` counts test ranges as private."""

from __future__ import annotations

import ipaddress
import re
from typing import List, Optional, Union

Address = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]

#: Addresses that no public mail path may show: RFC 1918, shared (RFC 6598), loopback, link-local, unique local.
PRIVATE = tuple(
    ipaddress.ip_network(n)
    for n in (
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "::1/128",
        "fe80::/10",
        "fc00::/7",
    )
)

#: Where Cloudflare's proxy answers (published list of 2023-09, unchanged since): SMTP does not pass it.
CLOUDFLARE = tuple(
    ipaddress.ip_network(n)
    for n in (
        "173.245.48.0/20",
        "103.21.244.0/22",
        "103.22.200.0/22",
        "103.31.4.0/22",
        "141.101.64.0/18",
        "108.162.192.0/18",
        "190.93.240.0/20",
        "188.114.96.0/20",
        "197.234.240.0/22",
        "198.41.128.0/17",
        "162.158.0.0/15",
        "104.16.0.0/13",
        "104.24.0.0/14",
        "172.64.0.0/13",
        "131.0.72.0/22",
        "2400:cb00::/32",
        "2606:4700::/32",
        "2803:f800::/32",
        "2405:b500::/32",
        "2405:8100::/32",
        "2a06:98c0::/29",
        "2c0f:f248::/32",
    )
)

_V4 = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w.])")
_V6 = re.compile(r"(?<![\w:.])(?:IPv6:)?((?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4})(?![\w:.])")
_GENERIC = (
    re.compile(r"(?:\d+[-.x_]){3}\d+"),
    re.compile(r"(?:^|[-.])(?:dyn|dynamic|dhcp|dsl|adsl|vdsl|pool|ppp|pppoe|cpe|cable|dialup|res|client)(?:[-.\d]|$)"),
)
_EXEMPT = re.compile(r"(?:^|[-.])(?:static|fix|fixed)(?:[-.\d]|$)")


def parse(text: str) -> Optional[Address]:
    """The address in text (``IPv6:`` and brackets are taken off, IPv4-mapped becomes IPv4), or nothing."""
    cleaned = text.strip().strip("[]")
    if cleaned.lower().startswith("ipv6:"):
        cleaned = cleaned[5:]
    try:
        found = ipaddress.ip_address(cleaned.split("%", 1)[0])
    except ValueError:
        return None
    mapped = getattr(found, "ipv4_mapped", None)
    return mapped if mapped is not None else found


def same(left: str, right: str) -> bool:
    one, other = parse(left), parse(right)
    return one is not None and one == other


def is_private(text: str) -> bool:
    found = parse(text)
    return found is not None and any(found.version == n.version and found in n for n in PRIVATE)


def is_cloudflare(text: str) -> bool:
    found = parse(text)
    return found is not None and any(found.version == n.version and found in n for n in CLOUDFLARE)


def family(text: str) -> str:
    found = parse(text)
    return "ipv6" if found is not None and found.version == 6 else "ipv4"


def within(text: str) -> List[str]:
    """Every IP address that stands in a text, normalised, in order of appearance."""
    out: List[str] = []
    for pattern in (_V4, _V6):
        for match in pattern.finditer(text):
            found = parse(match.group(0))
            if found is not None and str(found) not in out:
                out.append(str(found))
    return out


def looks_generic(name: str) -> bool:
    """Whether a PTR name looks like a provider's default or a dial-up pool (after SpamAssassin's 20_dynrdns)."""
    lowered = name.lower()
    return not _EXEMPT.search(lowered) and any(p.search(lowered) for p in _GENERIC)
