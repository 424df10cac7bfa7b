# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the exchanger adds to a message: the way it came, what was found about it, and two signatures.

Names and forms as seen on forwarded mail: ``by cloudflare-email.net (cloudflare) id …``, ``X-Forwarded-To/For``,
``X-CF-SpamH-Score``, signatures of ``cloudflare-email.net`` and of the recipient's zone under the selector ``cf2024-1``.
"""

from __future__ import annotations

import secrets
import string
from collections.abc import Iterable
from email.utils import formatdate

import dkim

from .judgement import Client, Judgement

DOMAIN, SELECTOR = "cloudflare-email.net", "cf2024-1"
#: Signed where they are present; each in the number that there are, so that another one cannot be added.
SIGNED = ("from", "to", "cc", "reply-to", "subject", "date", "message-id", "in-reply-to", "references")


def ticket() -> str:
    """Twelve letters and digits that name a message in answers and in its trace."""
    return "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(12))


def received(client: Client, recipient: str, name: str, now: float) -> bytes:
    """The Received header (RFC 5321 section 4.4), with its line end."""
    return (
        f"Received: from {client.helo} ({client.address})\r\n"
        f"        by {DOMAIN} (cloudflare) id {name}\r\n"
        f"        for <{recipient}>; {formatdate(now)}\r\n"
    ).encode()


def arrived(message: bytes, client: Client, recipient: str, judgement: Judgement, name: str, now: float) -> bytes:
    """The message as a Worker sees it: with trace and results, without signatures."""
    return received(client, recipient, name, now) + b"X-CF-SpamH-Score: 0\r\n" + judgement.headers + message


def outgoing(
    message: bytes, zone: str, key: bytes, recipient: str, destination: str, extra: Iterable[tuple[str, str]] = ()
) -> bytes:
    """The message as the destination gets it. message: from :func:`arrived`; key: PEM, empty for no signatures; extra:
    headers that a Worker adds."""
    added = [("X-Forwarded-To", destination), ("X-Forwarded-For", f"{recipient} {destination}"), *extra]
    return signed(b"".join(f"{n}: {v}\r\n".encode() for n, v in added) + message, zone, key)


def signed(message: bytes, zone: str, key: bytes) -> bytes:
    """The message under both signatures (RFC 6376), the zone's above; unchanged without a key."""
    if not key:
        return message
    for domain in (DOMAIN, zone):
        header = dkim.sign(
            message,
            SELECTOR.encode(),
            domain.encode(),
            key,
            canonicalize=(b"relaxed", b"relaxed"),
            include_headers=[name.encode() for name in SIGNED],
        )
        message = header + message
    return message


def header_count(message: bytes, name: str) -> int:
    """How often a header occurs."""
    head = message.partition(b"\r\n\r\n")[0]
    start = f"{name}:".lower().encode()
    return sum(line.lower().startswith(start) for line in head.split(b"\r\n"))
