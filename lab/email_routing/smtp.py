# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The exchangers' SMTP front: one recipient a transaction, everything else as the pipeline says."""

from __future__ import annotations

import asyncio
import functools
import ssl
from collections.abc import Iterable
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope, Session

from .config import Listener
from .delivery import Answer
from .exchange import SIZE_MAX, Exchange, Mail
from .judgement import Client

#: Seen as the greeting, but for the label.
HOSTNAME, IDENT = "mx.cloudflare.net", "Cloudflare Email ESMTP Service ready (stand-in)"
#: Seconds without a word before a client is let go.
IDLE = 120


class Handler:
    """The hooks of aiosmtpd. Look-ups and deliveries block, so they run in threads."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    async def handle_MAIL(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 Ok"

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if envelope.rcpt_tos:
            # Chosen: each recipient's destination answers for itself, and there is one answer to the data.
            return "452 4.5.3 One recipient at a time"
        refused = await asyncio.to_thread(self._exchange.recipient, address)
        if refused is not None:
            return _line(refused)
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 Ok"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        client = Client(str(session.peer[0]), str(session.host_name or "unknown"))
        # The library hands over the null reverse-path as it was written.
        sender = "" if envelope.mail_from in (None, "<>") else str(envelope.mail_from)
        mail = Mail(client, sender, envelope.rcpt_tos[0], bytes(envelope.content or b""))
        return _line(await asyncio.to_thread(self._exchange.process, mail))


def _line(answer: Answer) -> str:
    # What destinations say may hold anything; a reply line may not (RFC 5321 section 4.5.3.1.5).
    text = "".join(c for c in answer.text if c.isascii() and c.isprintable())
    return f"{answer.code} {text[:480]}"


def protocol(exchange: Exchange, context: ssl.SSLContext | None) -> SMTP:
    """A session's server side."""
    return SMTP(
        Handler(exchange),
        data_size_limit=SIZE_MAX,
        hostname=HOSTNAME,
        ident=IDENT,
        tls_context=context,
        timeout=IDLE,
    )


def context_of(listener: Listener) -> ssl.SSLContext | None:
    if not listener.certificate:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(listener.certificate, listener.key)
    return context


async def listen(exchange: Exchange, listeners: Iterable[Listener], port: int) -> list[Any]:
    """Open every listener; returns the servers, which run until they are closed."""
    loop = asyncio.get_running_loop()
    servers = []
    for listener in listeners:
        context = context_of(listener)
        for address in listener.addresses:
            factory = functools.partial(protocol, exchange, context)
            servers.append(await loop.create_server(factory, address, port))
    return servers
