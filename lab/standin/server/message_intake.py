# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the end of DATA to the queue: what the message proves, which headers it gets, whether a script refuses it."""

from __future__ import annotations

import logging
import re
from datetime import datetime, timezone
from email.message import Message
from email.utils import format_datetime, make_msgid
from typing import TYPE_CHECKING

from . import authentication, sieve, signing
from .expression_functions import Constant, to_text
from .session_state import State

if TYPE_CHECKING:
    from .mail import Mail

log = logging.getLogger("standin.smtp")


class RefusedError(ValueError):
    """A message that is not taken; the text is the reply."""


def _now() -> str:
    return format_datetime(datetime.now(timezone.utc))


def _headers(message: bytes) -> Message:
    """The headers for a script. Python's parser is not asked: it takes a first line ``From : …`` for an mbox separator."""
    parsed = Message()
    for name, value in signing.split_message(message)[0]:
        parsed[name.decode("utf-8", "replace").strip()] = value.decode("utf-8", "replace").rstrip("\r\n")
    return parsed


class Intake:
    """Takes one message of a session."""

    def __init__(self, mail: Mail, state: State) -> None:
        self.mail = mail
        self.registry = mail.registry
        self.state = state
        self.variables = state.variables()

    async def take(self, message: bytes) -> str:
        """Check, sign and queue a message; returns its id. Raises RefusedError."""
        # Lines end in CRLF from here on, whatever a chunk brought.
        message = re.sub(rb"\r?\n", b"\r\n", message)
        headers = signing.split_message(message)[0]
        names = [name.lower().strip() for name, _ in headers]
        if not {b"from", b"to", b"subject", b"date", b"message-id", b"received", b"cc"} & set(names):
            raise RefusedError("550 5.7.7 Failed to parse message.")
        if names.count(b"received") > self._number("maxReceivedHeaders", 50):
            raise RefusedError("450 4.4.6 Too many Received headers. Possible loop detected.")
        evidence = await self._evidence(message)
        queue_id = self.mail.queue.new_id()
        added = self._trace(evidence, queue_id)
        added += self._run_script(message)
        envelope = self.state.envelope
        if self._truth("addReturnPathHeader"):
            added += f"Return-Path: <{envelope.sender}>\r\n"
        if b"date" not in names and self._truth("addDateHeader"):
            added += f"Date: {_now()}\r\n"
        if b"message-id" not in names and self._truth("addMessageIdHeader"):
            added += f"Message-ID: {make_msgid(domain=self.state.hostname)}\r\n"
        whole = added.encode() + message
        whole = await self.mail.in_thread(self._signed, whole)
        await self.mail.in_thread(
            self.mail.queue.add,
            queue_id,
            envelope.sender or "",
            list(envelope.recipients),
            whole,
            "authenticated" if self.state.authenticated_as else "unauthenticated",
            self.state.connection.remote[0],
            self.state.connection.local[1],
            envelope.silent,
        )
        return queue_id

    def _truth(self, prop: str) -> bool:
        return self.registry.truth("MtaStageData", prop, self.variables)

    def _number(self, prop: str, default: int) -> int:
        value = self.registry.evaluate("MtaStageData", prop, self.variables)
        return int(value) if isinstance(value, (int, float)) else default

    def _strategy(self, prop: str) -> str:
        value = self.registry.evaluate("SenderAuth", prop, self.variables)
        return value.name if isinstance(value, Constant) else "disable"

    async def _evidence(self, message: bytes) -> authentication.Evidence:
        state, resolver = self.state, self.mail.resolver
        evidence = authentication.Evidence(
            state.hostname,
            state.connection.remote[0],
            state.helo,
            state.envelope.sender or "",
            state.iprev,
            state.spf_helo,
            state.spf_from,
        )
        if state.authenticated_as:
            return evidence
        if self._strategy("dkimVerify") != "disable":
            evidence.signatures = await self.mail.in_thread(authentication.check_dkim, resolver, message)
        mode = self._strategy("dmarcVerify")
        if mode != "disable":
            domain = state.envelope.sender_domain or state.helo
            evidence.dmarc = await self.mail.in_thread(
                authentication.check_dmarc, resolver, message, state.spf_from or "none", domain, evidence.signatures
            )
            refused = evidence.dmarc.policy == "reject" and evidence.dmarc.result == "fail"
            if mode == "strict" and refused:
                raise RefusedError("550 5.7.1 Email rejected per DMARC policy.")
        return evidence

    def _trace(self, evidence: authentication.Evidence, queue_id: str) -> str:
        text = self._received(queue_id) if self._truth("addReceivedHeader") else ""
        if self._truth("addAuthResultsHeader"):
            text += evidence.authentication_results()
        if self._truth("addReceivedSpfHeader"):
            text += evidence.received_spf()
        return text

    def _received(self, queue_id: str) -> str:
        state, connection = self.state, self.state.connection
        name = (state.iprev.name if state.iprev else None) or "unknown"
        secured = ""
        cipher = connection.writer.get_extra_info("cipher")
        if connection.tls and cipher:
            # Upstream's TLS library writes the suites of TLS 1.3 with their version.
            secured = f"(using {cipher[1]} with cipher {cipher[0].replace('TLS_', 'TLS13_')})\r\n\t"
        kind = "ESMTP" + ("S" if connection.tls else "") + ("A" if state.authenticated_as else "")
        return (
            f"Received: from {state.helo} ({name} [{connection.remote[0]}])\r\n\t{secured}"
            f"by {state.hostname} (Stalwart SMTP) with {kind} id {queue_id.upper()};\r\n\t"
            f"{_now()}\r\n"
        )

    def _run_script(self, message: bytes) -> str:
        """Run the DATA script, if an expression names one; returns headers it adds. Raises RefusedError."""
        name = self.registry.evaluate("MtaStageData", "script", self.variables)
        script = self.mail.script(to_text(name)) if name else None
        if script is None:
            return ""
        context = sieve.Context(
            _headers(message),
            len(message),
            (self.state.envelope.sender or "").lower(),
            [recipient.lower() for recipient in self.state.envelope.recipients],
            self.state.environment(),
        )
        outcome = sieve.run(script, context)
        if outcome.action == "reject":
            raise RefusedError(sieve.refusal(outcome))
        if outcome.action == "discard":
            raise RefusedError("250 2.0.0 Message queued for delivery.")
        return "".join(f"{header}: {value}\r\n" for header, value in outcome.headers)

    def _signed(self, message: bytes) -> bytes:
        domain = self.registry.evaluate("SenderAuth", "dkimSignDomain", self.variables)
        if not isinstance(domain, str) or not domain:
            return message
        return signing.sign_for(self.registry, domain, message) + message
