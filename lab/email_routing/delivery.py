# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Delivery to the destination's exchanger while the sender waits."""

from __future__ import annotations

import contextlib
import logging
import smtplib
import ssl
from dataclasses import dataclass

from .config import Identity
from .lookup import Lookup, LookupFailedError

log = logging.getLogger("routing.delivery")

#: Seconds for a connection and for each answer; a sender waits ten minutes for the end of its data (RFC 5321 4.5.3.2).
TIMEOUT = 30


@dataclass(frozen=True)
class Answer:
    """An SMTP reply. text: with the enhanced status code when there was one, on one line."""

    code: int
    text: str

    @property
    def accepted(self) -> bool:
        return 200 <= self.code < 300

    @property
    def temporary(self) -> bool:
        return 400 <= self.code < 500


UNREACHABLE = Answer(421, "4.4.1 no exchanger of the destination answers")
NOWHERE = Answer(550, "5.1.2 the destination's domain takes no mail")


def answer_of(code: int, text: bytes | str) -> Answer:
    words = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return Answer(code, " ".join(words.split()))


class Delivery:
    """Hands messages to other people's exchangers, over IPv6 where there is one, then IPv4 (documentation)."""

    def __init__(self, lookup: Lookup, identity: Identity, port: int = 25) -> None:
        self._lookup, self._identity, self._port = lookup, identity, port

    def deliver(self, sender: str, recipient: str, message: bytes) -> Answer:
        """The destination's last answer. Never raises for what a network or a server does."""
        domain = recipient.rpartition("@")[2]
        try:
            hosts = self._lookup.exchangers(domain)
            targets = [(host, address) for host in hosts for address in self._addresses(host)]
        except LookupFailedError as error:
            log.warning("%s: %s", domain, error)
            return UNREACHABLE
        if not targets:
            return NOWHERE
        for host, address in targets:
            try:
                return self._session(host, address, sender, recipient, message)
            except smtplib.SMTPResponseException as error:
                return answer_of(error.smtp_code, error.smtp_error)
            except OSError as error:
                log.info("%s [%s]: %s", host, address, error)
        return UNREACHABLE

    def _addresses(self, host: str) -> list[str]:
        found = self._lookup.addresses(host)
        return sorted(found, key=lambda address: ":" not in address)

    def _session(self, host: str, address: str, sender: str, recipient: str, message: bytes) -> Answer:
        source = self._identity.ipv6 if ":" in address else self._identity.ipv4
        client = smtplib.SMTP(
            timeout=TIMEOUT, local_hostname=self._identity.hostname, source_address=(source, 0) if source else None
        )
        try:
            code, text = client.connect(address, self._port)
            if code != 220:
                return answer_of(code, text)
            client.ehlo()
            if client.has_extn("starttls"):
                self._encrypt(client, host)
            for code, text in (client.mail(sender), client.rcpt(recipient)):
                if code >= 300:
                    return answer_of(code, text)
            answer = answer_of(*client.data(message))
            # The answer stands, however the connection ends.
            with contextlib.suppress(OSError):
                client.quit()
            return answer
        finally:
            client.close()

    @staticmethod
    def _encrypt(client: smtplib.SMTP, host: str) -> None:
        """Opportunistic, as between mail servers (RFC 7435): what the certificate says does not stop the mail."""
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        # smtplib asks for the certificate of the name it connected to, which was an address.
        client._host = host  # type: ignore[attr-defined]
        client.starttls(context=context)
        client.ehlo()
