# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Sender Rewriting Scheme: the return path becomes an address of the forwarding domain, so that SPF passes behind it.

``SRS0=hash=day=domain=local@forwarder``, as seen on forwarded mail of 2025 and 2026 (Return-Path at a large provider); the
scheme is that of Shevek, "The Sender Rewriting Scheme" (2004). The hash keeps others from making such addresses up.
"""

from __future__ import annotations

import base64
import hashlib
import hmac

_DAY = 86400
_DIGITS = "abcdefghijklmnopqrstuvwxyz234567"


def day(now: float) -> str:
    """The day as two base-32 digits; it comes round after 1,024 days."""
    number = int(now // _DAY) % 1024
    return _DIGITS[number >> 5] + _DIGITS[number & 31]


def _digest(secret: str, when: str, domain: str, local: str) -> str:
    # Addresses come back in any case.
    text = f"{when}\0{domain}\0{local}".lower().encode()
    return base64.urlsafe_b64encode(hmac.new(secret.encode(), text, hashlib.sha256).digest())[:4].decode()


def forward(sender: str, forwarder: str, secret: str, now: float) -> str:
    """The return path behind us; the null return path of a bounce stays null (RFC 5321 section 4.5.5)."""
    if not sender:
        return ""
    local, _, domain = sender.rpartition("@")
    when = day(now)
    return f"SRS0={_digest(secret, when, domain, local)}={when}={domain}={local}@{forwarder}"


def reverse(address: str, secret: str) -> str:
    """The sender that a return path of ours stands for; empty for everything else, forgeries included."""
    parts = address.rpartition("@")[0].split("=", 4)
    if len(parts) != 5 or parts[0].upper() != "SRS0":
        return ""
    _, digest, when, domain, local = parts
    good = hmac.compare_digest(digest.encode(), _digest(secret, when, domain, local).encode())
    return f"{local}@{domain}" if good else ""
