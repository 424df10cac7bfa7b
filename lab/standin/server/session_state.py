# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The envelope of an SMTP session and how expressions see it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from . import authentication
from .expression_functions import Value
from .listeners import Connection

_PATH = re.compile(r"<(?:@[^:>]*:)?([^<>]*)>\s*(.*)", re.S)
_ADDRESS = re.compile(r"[^\s@<>\"]+@[^\s@<>\"]+")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)+)"(@[^\s@<>"]+)')


class ReplyError(ValueError):
    """A command that cannot be understood; the text is the reply."""


@dataclass
class Envelope:
    """One transaction: sender, recipients in order of arrival, how many were accepted, whose failure nobody hears of."""

    sender: str | None = None
    recipients: list[str] = field(default_factory=list)
    accepted: int = 0
    silent: set[str] = field(default_factory=set)

    @property
    def sender_domain(self) -> str:
        """The domain of the sender, lower case; empty for a bounce."""
        return (self.sender or "").rpartition("@")[2].lower()


@dataclass
class State:
    """What is known about a session."""

    connection: Connection
    hostname: str = "localhost"
    helo: str = ""
    authenticated_as: str = ""
    authenticated_addresses: list[str] = field(default_factory=list)
    envelope: Envelope = field(default_factory=Envelope)
    iprev: authentication.Iprev | None = None
    spf_helo: str | None = None
    spf_from: str | None = None
    auth_errors: int = 0
    rcpt_errors: int = 0
    messages: int = 0

    def reset(self) -> None:
        """Forget the transaction, keep the session."""
        self.envelope = Envelope()
        self.spf_from = None

    def variables(self) -> dict[str, Value]:
        """The session as the expression language sees it. The port is the listener's own."""
        c = self.connection
        last = self.envelope.recipients[-1].lower() if self.envelope.recipients else ""
        return {
            "listener": c.listener,
            "remote_ip": c.remote[0],
            "remote_port": c.remote[1],
            "local_ip": c.local[0],
            "local_port": c.local[1],
            "protocol": "smtp",
            "is_tls": int(c.tls),
            "helo_domain": self.helo,
            "sender": (self.envelope.sender or "").lower(),
            "sender_domain": self.envelope.sender_domain,
            "authenticated_as": self.authenticated_as,
            "rcpt": last,
            # Of a bare <postmaster> there is none.
            "rcpt_domain": last.rpartition("@")[2] if "@" in last else "",
            "recipients": [recipient.lower() for recipient in self.envelope.recipients],
            "priority": 0,
        }

    def environment(self) -> dict[str, str]:
        """The session as a system script sees it, below ``env``."""
        return {
            "env.authenticated_as": self.authenticated_as,
            "env.remote_ip": self.connection.remote[0],
            "env.helo_domain": self.helo,
        }


def parse_path(argument: str, keyword: str, what: str) -> tuple[str, list[str]]:
    """``FROM:<address> PARAMETERS`` → address and parameters. Raises ReplyError with the server's reply."""
    syntax = f"501 5.5.2 Syntax error, expected: {what}"
    head, colon, rest = argument.partition(":")
    if not colon or head.strip().upper() != keyword:
        raise ReplyError(syntax)
    rest = rest.strip()
    if not rest.startswith("<"):
        raise ReplyError(syntax)
    bad = "501 5.1.8 Bad sender's system address."
    if keyword == "TO":
        bad = "501 5.1.3 Bad destination mailbox address syntax."
    match = _PATH.fullmatch(rest)
    if match is None:
        raise ReplyError(bad)
    quoted = _QUOTED.fullmatch(match[1])
    if quoted is not None:
        # Quotation marks are notation, not part of the address (RFC 5321 §4.1.2).
        return re.sub(r"\\(.)", r"\1", quoted[1]) + quoted[2], match[2].split()
    # The one recipient that needs no domain (RFC 5321 §4.1.1.3).
    bare = keyword == "TO" and match[1].lower() == "postmaster"
    if match[1] and not bare and not _ADDRESS.fullmatch(match[1]):
        raise ReplyError(bad)
    return match[1], match[2].split()


_MAIL_PARAMETERS = {"SIZE", "BODY", "SMTPUTF8", "REQUIRETLS", "RET", "ENVID", "AUTH"}
_RCPT_PARAMETERS = {"NOTIFY", "ORCPT"}


def check_parameters(parameters: list[str], keyword: str, largest: int) -> None:
    """Refuse unknown parameters and a message that is announced as too big. Raises ReplyError."""
    known = _MAIL_PARAMETERS if keyword == "FROM" else _RCPT_PARAMETERS
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.upper() not in known:
            raise ReplyError(f'504 5.5.4 Unsupported parameter "{parameter}".')
        if name.upper() == "SIZE":
            if not value.isdigit():
                raise ReplyError(f'501 5.5.4 Invalid parameter "{name.upper()}".')
            if int(value) > largest:
                raise ReplyError("552 5.3.4 Message too big for system.")
        if name.upper() == "BODY" and value.upper() not in {"7BIT", "8BITMIME", "BINARYMIME"}:
            raise ReplyError(f'501 5.5.4 Invalid parameter "{name.upper()}".')
