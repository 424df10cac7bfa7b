# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SMTP (RFC 5321) as the recorded server speaks it: same replies, same order of checks, decided by live expressions."""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from . import authentication, sieve
from .expression_functions import Constant, to_text
from .expressions import to_strings
from .listeners import Connection
from .message_intake import Intake, RefusedError
from .session_state import Envelope, ReplyError, State, check_parameters, parse_path

if TYPE_CHECKING:
    from .mail import Mail

log = logging.getLogger("standin.smtp")

LABEL = "(stand-in)"
_LONGEST_LINE = 4096
# What EHLO offers, in the server's order, with the expression that decides. MT-PRIORITY, FUTURERELEASE and DELIVERBY,
# which upstream offers to those who are logged in, are no part of the stand-in: it neither offers nor accepts them.
_CAPABILITIES = (
    ("VRFY", "vrfy"),
    ("EXPN", "expn"),
    ("SMTPUTF8", ""),
    ("SIZE {size}", ""),
    ("REQUIRETLS", "requireTls"),
    ("PIPELINING", "pipelining"),
    ("NO-SOLICITING", ""),
    ("ENHANCEDSTATUSCODES", ""),
    ("DSN", "dsn"),
    ("CHUNKING", "chunking"),
    ("BINARYMIME", ""),
)


class SessionClosedError(ConnectionError):
    """The session is over."""


class SmtpSession:
    """One connection on an SMTP listener."""

    def __init__(self, mail: Mail, connection: Connection) -> None:
        self.mail = mail
        self.registry = mail.registry
        self.connection = connection
        self.state = State(connection)
        self._commands: dict[str, Callable[[str], Awaitable[None]]] = {
            "EHLO": self.ehlo,
            "HELO": self.helo,
            "LHLO": self.lhlo,
            "STARTTLS": self.starttls,
            "AUTH": self.auth,
            "MAIL": self.mail_from,
            "RCPT": self.rcpt_to,
            "DATA": self.data,
            "BDAT": self.bdat,
            "RSET": self.rset,
            "NOOP": self.noop,
            "HELP": self.help,
            "VRFY": self.vrfy,
            "EXPN": self.expn,
            "QUIT": self.quit,
        }
        self._chunks = b""

    # -- plumbing ---------------------------------------------------------------------------------------------------
    async def run(self) -> None:
        """Serve the connection until it ends. Nothing is said to a client that is over its rate."""
        variables = self.state.variables()
        if not self.mail.throttles.allowed("connect", variables):
            log.info("smtp.rate-limit-exceeded: %s", self.connection.remote[0])
            return
        text = self.registry.evaluate("MtaStageConnect", "hostname", variables)
        self.state.hostname = to_text(text or "") or "localhost"
        greeting = self.registry.evaluate("MtaStageConnect", "smtpGreeting", variables)
        await self.reply(f"220 {to_text(greeting or '') or 'Stalwart ESMTP at your service.'} {LABEL}")
        timeout = self._milliseconds("MtaInboundSession", "timeout", 300_000) / 1000
        try:
            async with asyncio.timeout(self._milliseconds("MtaInboundSession", "maxDuration", 600_000) / 1000):
                while True:
                    await self._one_command(timeout)
        except SessionClosedError:
            return
        except TimeoutError:
            await self.reply(f"421 4.3.2 {self.state.hostname} Session open for too long.")

    async def _one_command(self, timeout: float) -> None:
        try:
            line = await asyncio.wait_for(self.read_line(), timeout)
        except TimeoutError:
            await self.reply(f"221 2.0.0 {self.state.hostname} Disconnecting inactive client.")
            raise SessionClosedError from None
        verb, _, argument = line.partition(" ")
        command = self._commands.get(verb.upper())
        if command is None or "\0" in line:
            await self.reply("500 5.5.1 Invalid command.")
            return
        try:
            await command(argument.strip())
        except ReplyError as problem:
            await self.reply(str(problem))

    async def read_line(self) -> str:
        """One line without its end. Raises SessionClosedError at the end of the connection."""
        try:
            raw = await self.connection.reader.readuntil(b"\n")
        except asyncio.IncompleteReadError:
            raise SessionClosedError from None
        except asyncio.LimitOverrunError:
            await self.reply("554 5.3.4 Line is too long.")
            raise SessionClosedError from None
        if len(raw) > _LONGEST_LINE:
            return "\0"
        return raw.rstrip(b"\r\n").decode("utf-8", "replace")

    async def reply(self, *lines: str) -> None:
        """Send a reply; all but the last line get a hyphen after the code."""
        texts = [line if i == len(lines) - 1 else f"{line[:3]}-{line[4:]}" for i, line in enumerate(lines)]
        self.connection.writer.write("".join(f"{text}\r\n" for text in texts).encode())
        await self.connection.writer.drain()

    def _truth(self, object_type: str, prop: str, default: bool = False) -> bool:
        return self.registry.truth(object_type, prop, self.state.variables(), default)

    def _milliseconds(self, object_type: str, prop: str, default: int) -> int:
        value = self.registry.evaluate(object_type, prop, self.state.variables())
        return int(value) if isinstance(value, (int, float)) else default

    def _verifies(self, prop: str) -> bool:
        value = self.registry.evaluate("SenderAuth", prop, self.state.variables())
        return isinstance(value, Constant) and value.name in {"relaxed", "strict"}

    def largest(self) -> int:
        """The largest message that is taken, in bytes."""
        return self._milliseconds("MtaStageData", "maxMessageSize", 25 << 20)

    # -- greeting ---------------------------------------------------------------------------------------------------
    async def _greet(self, domain: str) -> bool:
        if not domain:
            raise ReplyError("501 5.5.2 Syntax error, expected: EHLO domain")
        if domain == self.state.helo:
            return True
        labels = domain.split(".")
        if self._truth("MtaStageEhlo", "rejectNonFqdn") and (len(labels) < 2 or not all(labels)):
            await self.reply("550 5.5.0 Invalid EHLO domain.")
            return False
        self.state.helo = domain
        if self._verifies("spfEhloVerify"):
            self.state.spf_helo = await self.mail.in_thread(
                authentication.check_spf, self.connection.remote[0], f"postmaster@{domain}", domain
            )
        return True

    async def helo(self, domain: str) -> None:
        """HELO."""
        if await self._greet(domain):
            self.state.reset()
            await self.reply(f"250 {self.state.hostname} you had me at HELO")

    async def ehlo(self, domain: str) -> None:
        """EHLO with the capabilities of the moment."""
        if not await self._greet(domain):
            return
        self.state.reset()
        offers = ["STARTTLS"] if self.connection.starttls and not self.connection.tls else []
        offers += [
            text.format(size=self.largest())
            for text, switch in _CAPABILITIES
            if not switch or self._truth("MtaExtensions", switch)
        ]
        mechanisms = [] if self.state.authenticated_as else self.mechanisms()
        if mechanisms:
            offers.append(f"AUTH {' '.join(mechanisms)}")
        offers.append("8BITMIME")
        await self.reply(f"250 {self.state.hostname} you had me at EHLO", *(f"250 {offer}" for offer in offers))

    async def lhlo(self, _argument: str) -> None:
        """LHLO belongs to LMTP."""
        await self.reply("502 5.5.1 Invalid command: EHLO expected.")

    async def starttls(self, _argument: str) -> None:
        """STARTTLS; the session starts anew behind it."""
        if self.connection.tls:
            await self.reply("504 5.7.4 Already in TLS mode.")
        elif not self.connection.starttls:
            await self.reply("502 5.7.0 TLS not available.")
        else:
            await self.reply("220 2.0.0 Ready to start TLS.")
            await self.connection.secure(self.mail.certificates.front)

    # -- authentication ---------------------------------------------------------------------------------------------
    def mechanisms(self) -> list[str]:
        """What AUTH offers now. The token mechanisms are offered like upstream does; nobody holds a token here."""
        offered = to_strings(self.registry.evaluate("MtaStageAuth", "saslMechanisms", self.state.variables()))
        return [name.upper() for name in ("plain", "login", "xoauth2", "oauthbearer") if name in offered]

    async def auth(self, argument: str) -> None:
        """AUTH PLAIN and LOGIN (RFC 4954)."""
        mechanism, _, initial = argument.partition(" ")
        if not mechanism:
            raise ReplyError("501 5.5.2 Syntax error, expected: AUTH mechanism [initial-response]")
        offered = self.mechanisms()
        if not offered:
            await self.reply("503 5.5.1 AUTH not allowed.")
        elif self.state.authenticated_as:
            await self.reply("503 5.5.1 Already authenticated.")
        elif mechanism.upper() not in offered:
            await self.reply("554 5.7.8 Authentication mechanism not supported.")
        elif mechanism.upper() == "LOGIN":
            name = _decode(initial.strip()) if initial.strip() else await self._challenge("VXNlcm5hbWU6")
            password = await self._challenge("UGFzc3dvcmQ6") if name is not None else None
            await self._authenticate(None if name is None or password is None else (name, password))
        else:
            response = _decode(initial.strip()) if initial.strip() else await self._challenge("")
            parts = (response or "").split("\0")
            await self._authenticate((parts[1], parts[2]) if len(parts) == 3 else None)

    async def _challenge(self, text: str) -> str | None:
        await self.reply(f"334 {text}")
        return _decode(await self.read_line())

    async def _authenticate(self, credentials: tuple[str, str] | None) -> None:
        if credentials is None:
            await self._auth_error("500 5.5.6 Invalid challenge.")
            return
        remote = self.connection.remote[0]
        found = await self.mail.in_thread(self.registry.login, *credentials, remote)
        if found is None:
            log.info("auth.failed: %s from %s", credentials[0], remote)
            await self._auth_error("535 5.7.8 Authentication credentials invalid.")
            return
        token = self.mail.authenticator.for_account(*found)
        if not token.may("emailSend"):
            await self.reply("550 5.7.1 Your account is not authorized to use this service.")
            return
        self.state.authenticated_as = token.name
        self.state.authenticated_addresses = self.registry.directory.addresses_of(token.name)
        await self.reply("235 2.7.0 Authentication succeeded.")

    async def _auth_error(self, text: str) -> None:
        await self.mail.pause(self._milliseconds("MtaStageAuth", "waitOnFail", 5000) / 1000)
        self.state.auth_errors += 1
        await self.reply(text)
        if self.state.auth_errors >= self._milliseconds("MtaStageAuth", "maxFailures", 3):
            await self.reply("455 4.3.0 Too many authentication errors, disconnecting.")
            raise SessionClosedError

    # -- envelope ---------------------------------------------------------------------------------------------------
    async def mail_from(self, argument: str) -> None:
        """MAIL FROM: who may send as whom."""
        state = self.state
        address, parameters = parse_path(argument, "FROM", "MAIL FROM:<reverse-path> [parameters]")
        if not state.helo and self._truth("MtaStageEhlo", "require", True):
            raise ReplyError("503 5.5.1 Polite people say EHLO first.")
        if state.envelope.sender is not None:
            raise ReplyError("503 5.5.1 Multiple MAIL commands not allowed.")
        if self._truth("MtaStageAuth", "require") and not state.authenticated_as:
            raise ReplyError("503 5.5.1 You must authenticate first.")
        if state.iprev is None and self._verifies("reverseIpVerify"):
            state.iprev = await self.mail.in_thread(
                authentication.check_iprev, self.mail.resolver, self.connection.remote[0]
            )
        check_parameters(parameters, "FROM", self.largest())
        state.envelope = Envelope(sender=address)
        try:
            await self._check_sender()
        except ReplyError:
            state.reset()
            raise
        await self.reply("250 2.1.0 OK")

    async def _check_sender(self) -> None:
        state = self.state
        if not self._truth("MtaStageMail", "isSenderAllowed", True):
            raise ReplyError("550 5.7.1 Sender address not allowed.")
        self._rewrite_sender()
        if state.authenticated_as and self._truth("MtaStageAuth", "mustMatchSender", True):
            lower = (state.envelope.sender or "").lower()
            if lower != state.authenticated_as and lower not in state.authenticated_addresses:
                raise ReplyError("501 5.5.4 You are not allowed to send from this address.")
        if not self.mail.throttles.allowed("mail", state.variables()):
            raise ReplyError("452 4.4.5 Rate limit exceeded, try again later.")
        if self._verifies("spfFromVerify"):
            state.spf_from = await self.mail.in_thread(
                authentication.check_spf, self.connection.remote[0], state.envelope.sender or "", state.helo
            )

    def _rewrite_sender(self) -> None:
        """Put the address of the rewriting rule in the sender's place: whoever looks from here on sees that one."""
        envelope = self.state.envelope
        address = self.registry.evaluate("MtaStageMail", "rewrite", self.state.variables())
        if isinstance(address, str) and (not address or "@" in address):
            log.info("smtp.mail-from-rewritten: <%s> to <%s>", envelope.sender, address)
            envelope.sender = address

    async def rcpt_to(self, argument: str) -> None:
        """RCPT TO: what is ours, what may be relayed."""
        state = self.state
        address, parameters = parse_path(argument, "TO", "RCPT TO:<forward-path> [parameters]")
        envelope = state.envelope
        if envelope.sender is None:
            raise ReplyError("503 5.5.1 MAIL is required first.")
        most = self._milliseconds("MtaStageRcpt", "maxRecipients", 100)
        if min(len(envelope.recipients), envelope.accepted) >= most:
            raise ReplyError("455 4.5.3 Too many recipients.")
        if parameters and not self._truth("MtaExtensions", "dsn"):
            raise ReplyError("501 5.5.4 DSN extension has been disabled.")
        check_parameters(parameters, "TO", 0)
        silent = any(parameter.upper() == "NOTIFY=NEVER" for parameter in parameters)
        if address.lower() in [known.lower() for known in envelope.recipients]:
            envelope.accepted += 1
            await self.reply("250 2.1.5 OK")
            return
        envelope.recipients.append(address)
        self._recipient_script()
        targets = self._resolve(address)
        if isinstance(targets, str):
            envelope.recipients.pop()
            await self._rcpt_error(targets)
            return
        if not self.mail.throttles.allowed("rcpt", state.variables()):
            envelope.recipients.pop()
            raise ReplyError("452 4.4.5 Rate limit exceeded, try again later.")
        envelope.recipients.pop()
        known = {recipient.lower() for recipient in envelope.recipients}
        envelope.recipients += [target for target in targets if target.lower() not in known]
        if silent:
            envelope.silent.update(targets)
        envelope.accepted += 1
        await self.reply("250 2.1.5 OK")

    def _recipient_script(self) -> None:
        """Run the RCPT script, if an expression names one. What it refuses costs the client neither time nor a failure."""
        state = self.state
        name = self.registry.evaluate("MtaStageRcpt", "script", state.variables())
        script = self.mail.script(to_text(name)) if name else None
        if script is None:
            return
        recipients = [recipient.lower() for recipient in state.envelope.recipients]
        context = sieve.Context(None, 0, (state.envelope.sender or "").lower(), recipients, state.environment())
        outcome = sieve.run(script, context)
        if outcome.action == "reject":
            state.envelope.recipients.pop()
            raise ReplyError(sieve.refusal(outcome))

    def _resolve(self, address: str) -> list[str] | str:
        """Where mail for the last recipient goes, or the reply that refuses it."""
        found = self.registry.directory.resolve(
            address, lambda rule, local: self.registry.evaluate_rule(rule, {"rcpt": local})
        )
        if found.kind in {"rewrite", "expand"}:
            return list(found.addresses)
        if found.kind == "unknown-recipient":
            return "550 5.1.2 Mailbox does not exist."
        if found.kind == "unknown-domain" and not self._truth("MtaStageRcpt", "allowRelaying"):
            local = self.registry.directory.is_local_domain(address.rpartition("@")[2])
            return "550 5.1.2 Mailbox does not exist." if local else "550 5.1.2 Relay not allowed."
        return [address]

    async def _rcpt_error(self, text: str) -> None:
        await self.mail.pause(self._milliseconds("MtaStageRcpt", "waitOnFail", 5000) / 1000)
        self.state.rcpt_errors += 1
        if self.state.rcpt_errors >= self._milliseconds("MtaStageRcpt", "maxFailures", 5):
            await self.reply("451 4.3.0 Too many errors, disconnecting.")
            raise SessionClosedError
        await self.reply(text)

    # -- message ----------------------------------------------------------------------------------------------------
    def _ready_for_data(self) -> None:
        if self.state.envelope.sender is None:
            raise ReplyError("503 5.5.1 MAIL is required first.")
        if not self.state.envelope.recipients:
            raise ReplyError("503 5.5.1 RCPT is required first.")
        if self.state.messages >= self._milliseconds("MtaStageData", "maxMessages", 10):
            raise ReplyError("452 4.4.5 Maximum number of messages per session exceeded.")

    async def data(self, _argument: str) -> None:
        """DATA: lines up to a lone dot. Only CRLF ends a line here, so nothing can be smuggled in."""
        self._ready_for_data()
        await self.reply("354 Start mail input; end with <CRLF>.<CRLF>")
        largest, size = self.largest(), 0
        lines: list[bytes] = []
        while True:
            try:
                line = await self.connection.reader.readuntil(b"\r\n")
            except asyncio.IncompleteReadError:
                raise SessionClosedError from None
            except asyncio.LimitOverrunError as error:
                line = await self.connection.reader.readexactly(error.consumed)
            if line == b".\r\n" and (not lines or lines[-1].endswith(b"\r\n")):
                break
            size += len(line)
            if size <= largest:
                starts = not lines or lines[-1].endswith(b"\r\n")
                lines.append(line[1:] if starts and line.startswith(b"..") else line)
        if size > largest:
            # The transaction stays open (recorded): the client has to RSET.
            await self.reply("552 5.3.4 Message too big for system.")
            return
        await self._accept(b"".join(lines))

    async def bdat(self, argument: str) -> None:
        """BDAT (RFC 3030): chunks of a known size."""
        match = re.fullmatch(r"(\d+)( +LAST)?", argument, re.I)
        if match is None:
            raise ReplyError("501 5.5.2 Syntax error, expected: BDAT chunk-size [LAST]")
        chunk = await self.connection.reader.readexactly(min(int(match[1]), self.largest() + 1))
        self._ready_for_data()
        if len(self._chunks) + len(chunk) > self.largest():
            self._chunks = b""
            raise ReplyError("552 5.3.4 Message too big for system.")
        self._chunks += chunk
        if match[2] is None:
            await self.reply("250 2.6.0 Chunk accepted.")
            return
        message, self._chunks = self._chunks, b""
        await self._accept(message)

    async def _accept(self, message: bytes) -> None:
        try:
            queue_id = await Intake(self.mail, self.state).take(message)
            text = f"250 2.0.0 Message queued with id {queue_id}."
        except RefusedError as refusal:
            text = str(refusal)
        self.state.messages += 1
        self.state.reset()
        await self.reply(text)

    # -- the rest ---------------------------------------------------------------------------------------------------
    async def rset(self, _argument: str) -> None:
        """RSET."""
        self.state.reset()
        self._chunks = b""
        await self.reply("250 2.0.0 OK")

    async def noop(self, _argument: str) -> None:
        """NOOP."""
        await self.reply("250 2.0.0 OK")

    async def help(self, _argument: str) -> None:
        """HELP."""
        await self.reply("250 2.0.0 Help can be found at https://stalw.art")

    async def vrfy(self, argument: str) -> None:
        """VRFY, for those who are logged in."""
        if not self._truth("MtaExtensions", "vrfy"):
            await self.reply("252 2.5.1 VRFY is disabled.")
        elif self.registry.directory.is_local_address(argument.strip("<>")):
            await self.reply(f"250 {argument}")
        else:
            await self.reply("550 5.1.2 Address not found.")

    async def expn(self, argument: str) -> None:
        """EXPN, for those who are logged in."""
        if not self._truth("MtaExtensions", "expn"):
            await self.reply("252 2.5.1 EXPN is disabled.")
            return
        found = self.registry.directory.resolve(argument.strip("<>"), lambda _rule, local: local, catch_all=False)
        if found.kind == "expand" and found.addresses:
            await self.reply(*(f"250 {address}" for address in found.addresses))
        else:
            await self.reply("550 5.1.2 Mailing list not found.")

    async def quit(self, _argument: str) -> None:
        """QUIT."""
        await self.reply("221 2.0.0 Bye.")
        raise SessionClosedError


def _decode(text: str) -> str | None:
    try:
        return base64.b64decode(text, validate=True).decode() or None
    except (binascii.Error, UnicodeDecodeError):
        return None
