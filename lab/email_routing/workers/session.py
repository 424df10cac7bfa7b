# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a Worker may do with one message, and what became of it: the service's side of ``ForwardableEmailMessage``.

Rules and limits: documentation of the email() handler and of replies. Words of errors are chosen.
"""

from __future__ import annotations

import email
import email.policy
import email.utils
from collections.abc import Callable
from dataclasses import dataclass, field
from email.message import Message

from ..delivery import Answer
from ..judgement import Judgement

#: More entries in References end a conversation of replies (documentation).
REFERENCES_MAX = 100

Headers = tuple[tuple[str, str], ...]


class ActionError(Exception):
    """The action is refused; the text becomes the message of the Worker's exception."""


class WorkerError(Exception):
    """The Worker did not come to an end of its own. permanent: trying again will not help."""

    def __init__(self, words: str, permanent: bool = False) -> None:
        super().__init__(words)
        self.permanent = permanent


@dataclass
class Session:
    """One run. forward: (destination, headers to add); send: (return path, recipient, message)."""

    sender: str
    recipient: str
    message: bytes
    judgement: Judgement
    verified: Callable[[str], bool]
    forward: Callable[[str, Headers], Answer]
    send: Callable[[str, str, bytes], Answer]
    rejection: str | None = None
    acted: list[str] = field(default_factory=list)

    def act_forward(self, destination: str, headers: Headers) -> None:
        """Raises ActionError: unauthenticated, not verified, other than X- headers, or what the destination says."""
        if not self.judgement.authenticated:
            raise ActionError("message is not authenticated by SPF or DKIM and cannot be forwarded")
        if not self.verified(destination):
            raise ActionError("destination address is not verified")
        wrong = [name for name, _ in headers if not name.lower().startswith("x-")]
        if wrong:
            raise ActionError(f"header {wrong[0]} cannot be added: only X- headers can")
        self._done("forward", self.forward(destination, headers))

    def act_reply(self, sender: str, recipient: str, raw: bytes) -> None:
        """Raises ActionError."""
        original, reply = _headers(self.message), _headers(raw)
        if "reply" in self.acted:
            raise ActionError("original email was replied to already")
        if self.judgement.dmarc != "pass" or _automatic(original):
            raise ActionError("original email is not replyable")
        if len(str(original.get("References", "")).split()) > REFERENCES_MAX:
            raise ActionError("too many references")
        if recipient.lower() != self.sender.lower():
            raise ActionError("a reply goes to the original sender")
        if _domain(sender) != _domain(self.recipient):
            raise ActionError("a reply comes from the domain that received the email")
        if email.utils.parseaddr(str(reply.get("From", "")))[1].lower() != sender.lower():
            raise ActionError("From: header does not match mail from")
        if str(reply.get("In-Reply-To", "")).strip() != str(original.get("Message-ID", "")).strip():
            raise ActionError("In-Reply-To does not match original Message-ID")
        self._done("reply", self.send(sender, recipient, _crlf(raw)))

    def act_send(self, sender: str, recipient: str, raw: bytes, allowed: tuple[str, ...]) -> None:
        """A send_email binding's ``send``; allowed: its destinations, none for any verified one. Raises ActionError."""
        if allowed and recipient.lower() not in {a.lower() for a in allowed}:
            raise ActionError(f"destination address {recipient} is not allowed by the binding")
        if not self.verified(recipient):
            raise ActionError("destination address is not a verified address")
        self._done("send", self.send(sender, recipient, _crlf(raw)))

    def _done(self, action: str, answer: Answer) -> None:
        if not answer.accepted:
            raise ActionError(f"{answer.code} {answer.text}")
        self.acted.append(action)


def _headers(raw: bytes) -> Message:
    return email.message_from_bytes(raw.partition(b"\r\n\r\n")[0] + b"\r\n\r\n", policy=email.policy.compat32)


def _automatic(headers: Message) -> bool:
    """Whether a machine sent it (RFC 3834)."""
    submitted = str(headers.get("Auto-Submitted", "no")).split(";")[0].strip().lower()
    return submitted != "no" or str(headers.get("X-Auto-Response-Suppress", "none")).strip().lower() != "none"


def _domain(address: str) -> str:
    return address.rpartition("@")[2].lower()


def _crlf(raw: bytes) -> bytes:
    return raw.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
