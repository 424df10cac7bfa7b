# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One delivery attempt: into a mailbox, to a relay, or to the exchangers of the recipient's domain. Blocking."""

from __future__ import annotations

import ipaddress
import logging
import os
import re
import smtplib
import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from . import keys
from .expression_functions import Value, to_text
from .resolver import LookupFailedError, Resolver
from .schema import JsonObject

if TYPE_CHECKING:
    from .registry import Registry

log = logging.getLogger("standin.delivery")

_COUNTER = count()


@dataclass(frozen=True)
class Attempt:
    """Recipients of one message that share route and domain."""

    queue_id: str
    sender: str
    recipients: list[str]
    message: bytes
    route: str
    variables: dict[str, Value]


@dataclass(frozen=True)
class Outcome:
    """``kind``: delivered, failed (for good) or deferred; ``error`` is what ``last_error`` says on the next try.

    ``host`` and ``command``: who answered what with ``reply``; without a command the reply is our own word. ``event``: what
    a WebHook is told besides the result.
    """

    kind: str
    reply: str
    error: str = ""
    host: str = ""
    command: str = ""
    event: str = ""

    @property
    def details(self) -> str:
        """The outcome as upstream words it."""
        if not self.command:
            return f"Connection error: {self.reply}" if self.error == "connection" else self.reply
        code, enhanced, text = parts(self.reply)
        return f"Unexpected response for {self.command}: Code: {code}, Enhanced code: {enhanced}, Message: {text}"


def parts(reply: str) -> tuple[int, str, str]:
    """``550 5.1.1 no such user`` as code, enhanced code and text."""
    match = re.match(r"(\d{3}) ?(?:([245]\.\d{1,3}\.\d{1,3}) ?)?(.*)", reply, re.S)
    return (int(match[1]), match[2] or "0.0.0", match[3]) if match else (0, "0.0.0", reply)


class StoppedError(Exception):
    """An attempt that ended before any recipient was offered."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.reply)
        self.outcome = outcome


@dataclass(frozen=True)
class Target:
    """A host to connect to; ``name`` is what TLS expects and what expressions call ``mx``."""

    name: str
    address: str
    port: int
    implicit_tls: bool = False
    any_certificate: bool = False
    login: tuple[str, str] | None = None


class Delivery:
    """Carries out attempts by the live routes, TLS strategies and connection strategies."""

    def __init__(self, registry: Registry, resolver: Resolver, mail_root: Path) -> None:
        self.registry = registry
        self.resolver = resolver
        self.mail_root = mail_root

    def deliver(self, attempt: Attempt) -> dict[str, Outcome]:
        """The outcome for every recipient of an attempt."""
        route = self.registry.live_named("MtaRoute", attempt.route)
        if route is None:
            # An expression may name a route that does not exist; the server then uses its default and only warns.
            log.warning("smtp.id-not-found: route '%s' is unknown, using MX delivery", attempt.route)
            route = {"@type": "Mx", "maxMxHosts": 2, "maxMultihomed": 2}
        if route["@type"] == "Local":
            outcomes = {recipient: self._local(attempt, recipient) for recipient in attempt.recipients}
        else:
            outcomes = self._remote(attempt, route)
        for recipient, outcome in outcomes.items():
            log.info("delivery.%s: %s to=<%s> %s", outcome.kind, attempt.queue_id, recipient, outcome.reply)
        return outcomes

    # -- local ------------------------------------------------------------------------------------------------------
    def maildir(self, address: str) -> Path:
        """The mailbox of an account's primary address."""
        local, _, domain = address.lower().rpartition("@")
        # Both halves were normalised when the account was made; a slash is the one sign that must not get here.
        return self.mail_root / domain / local.replace("/", "_") / "Maildir"

    def mailbox_size(self, address: str) -> int:
        """Bytes of all messages of an account."""
        root = self.maildir(address)
        found = (path for folder in ("cur", "new") for path in root.rglob(f"{folder}/*"))
        return sum(path.stat().st_size for path in found) if root.is_dir() else 0

    def _local(self, attempt: Attempt, recipient: str) -> Outcome:
        account = self.registry.directory.account_of(recipient)
        if account is None:
            return Outcome("failed", "550 5.5.0 Mailbox not found")
        extra = (
            f"Delivered-To: {recipient}\r\n"
            if self.registry.live_setting("MtaStageData")["addDeliveredToHeader"]
            else ""
        )
        root = self.maildir(account)
        for folder in ("tmp", "new", "cur"):
            (root / folder).mkdir(parents=True, exist_ok=True, mode=0o700)
        name = f"{time.time():.6f}.P{os.getpid()}Q{next(_COUNTER)}.standin"
        draft = root / "tmp" / name
        with draft.open("xb") as file:
            file.write((extra.encode() + attempt.message).replace(b"\r\n", b"\n"))
            file.flush()
            os.fsync(file.fileno())
        draft.rename(root / "new" / name)
        return Outcome("delivered", "250 2.1.5 delivered to mailbox")

    # -- remote -----------------------------------------------------------------------------------------------------
    def _remote(self, attempt: Attempt, route: JsonObject) -> dict[str, Outcome]:
        last = Outcome("deferred", "no host to deliver to", "dns")
        try:
            for target in self._targets(attempt, route):
                try:
                    return self._session(attempt, target)
                except StoppedError as stop:
                    last = stop.outcome
                    if last.kind == "failed":
                        break
        except StoppedError as stop:
            last = stop.outcome
        return dict.fromkeys(attempt.recipients, last)

    def _targets(self, attempt: Attempt, route: JsonObject) -> Iterator[Target]:
        try:
            if route["@type"] == "Relay":
                yield from self._relay(route)
                return
            domain = attempt.recipients[0].rpartition("@")[2]
            hosts = self.resolver.exchangers(domain)
            if not hosts:
                raise StoppedError(Outcome("failed", f"550 5.1.10 {domain} does not accept mail (null MX)"))
            found = False
            for host in hosts[: route["maxMxHosts"]]:
                for address in self.resolver.addresses(host)[: route["maxMultihomed"]]:
                    found = True
                    yield Target(host, self._allowed(host, address), 25)
            if not found:
                raise StoppedError(Outcome("failed", f"550 5.1.2 no host found for {domain}"))
        except LookupFailedError as error:
            raise StoppedError(Outcome("deferred", str(error), "dns")) from error

    def _relay(self, route: JsonObject) -> Iterator[Target]:
        name = route["address"]
        try:
            addresses = [str(ipaddress.ip_address(name))]
        except ValueError:
            addresses = self.resolver.addresses(name)
        if not addresses:
            raise StoppedError(Outcome("failed", f"host {name} not found"))
        login = None
        if route["authUsername"]:
            secret = route["authSecret"]
            login = (route["authUsername"], keys.read_text(secret) if secret["@type"] != "None" else "")
        for address in addresses:
            yield Target(
                name,
                self._allowed(name, address),
                route["port"],
                route["implicitTls"],
                route["allowInvalidCerts"],
                login,
            )

    @staticmethod
    def _allowed(host: str, address: str) -> str:
        """The address, unless it is this machine: such a route is refused for good, like upstream does."""
        ip = ipaddress.ip_address(address)
        if ip.is_loopback or ip.is_unspecified:
            raise StoppedError(Outcome("failed", f"{host}: host resolves loopback address [{address}]"))
        return address

    def _strategies(self, attempt: Attempt, target: Target) -> tuple[JsonObject, JsonObject]:
        """``(TLS strategy, connection strategy)`` for a host."""
        variables = {**attempt.variables, "mx": target.name, "remote_ip": target.address, "local_ip": ""}
        chosen = []
        for prop, kind in (("tls", "MtaTlsStrategy"), ("connection", "MtaConnectionStrategy")):
            name = to_text(self.registry.evaluate("MtaOutboundStrategy", prop, variables) or "")
            strategy = self.registry.live_named(kind, name)
            if strategy is None:
                log.warning("smtp.id-not-found: %s '%s' is unknown, using the defaults", kind, name)
                strategy = self.registry.schema.default(f"x:{kind}")
            chosen.append(strategy)
        return chosen[0], chosen[1]

    def _session(self, attempt: Attempt, target: Target) -> dict[str, Outcome]:
        tls, connection = self._strategies(attempt, target)
        verify = not (tls["allowInvalidCerts"] or target.any_certificate)
        context = keys.trust() if verify else ssl._create_unverified_context()
        timeout = min(connection["connectTimeout"], 60_000) / 1000
        host = connection["ehloHostname"] or self.registry.hostname
        try:
            with _Client(host, timeout, target, context) as client:
                self._secure(client, target, tls, context)
                self._log_in(client, target)
                return self._transaction(client, attempt, target.name)
        except ssl.SSLError as error:
            reason = getattr(error, "verify_message", "") or error.reason or str(error)
            raise StoppedError(Outcome("deferred", f"Handshake failed: {reason}", "tls", target.name)) from error
        except smtplib.SMTPResponseException as error:
            text = _text(error.smtp_code, error.smtp_error)
            command = "DATA" if isinstance(error, smtplib.SMTPDataError) else "EHLO"
            kind = _kind(error.smtp_code)
            raise StoppedError(Outcome(kind, text, "unexpected-reply", target.name, command)) from error
        except (OSError, smtplib.SMTPException) as error:
            reply = f"{target.name} [{target.address}]: {error}"
            # smtplib's errors are errors of the system too.
            event = "" if isinstance(error, smtplib.SMTPException) else "delivery.connect-error"
            raise StoppedError(Outcome("deferred", reply, "connection", target.name, event=event)) from error

    @staticmethod
    def _secure(client: _Client, target: Target, tls: JsonObject, context: ssl.SSLContext) -> None:
        client.ehlo()
        if target.implicit_tls or tls["startTls"] == "disable":
            return
        if client.has_extn("starttls"):
            client.starttls(context=context)
            client.ehlo()
        elif tls["startTls"] == "require":
            # For good (upstream): whoever takes the offer away costs the message, not its secrecy.
            raise StoppedError(Outcome("failed", "STARTTLS not advertised by host.", "tls", target.name))

    @staticmethod
    def _log_in(client: _Client, target: Target) -> None:
        """AUTH, where the route has a user name. Refused credentials are a passing trouble: the next host may be tried."""
        if target.login is None:
            return
        # Upstream knows these two; smtplib would prefer what else a host offers.
        offered = client.esmtp_features.get("auth", "").upper().split()
        client.esmtp_features["auth"] = " ".join(name for name in ("PLAIN", "LOGIN") if name in offered)
        try:
            client.login(*target.login)
        except smtplib.SMTPAuthenticationError as error:
            code, enhanced, text = parts(_text(error.smtp_code, error.smtp_error))
            reply = f"Authentication failed: Code: {code}, Enhanced code: {enhanced}, Message: {text}"
            outcome = Outcome("deferred", reply, "connection", target.name, event="delivery.auth-failed")
            raise StoppedError(outcome) from error
        except smtplib.SMTPException as error:
            if isinstance(error, smtplib.SMTPServerDisconnected):
                raise
            reply = "Unsupported authentication mechanism"
            raise StoppedError(Outcome("failed", reply, "connection", target.name)) from error

    @staticmethod
    def _transaction(client: _Client, attempt: Attempt, host: str) -> dict[str, Outcome]:
        options = [f"SIZE={len(attempt.message)}"] if client.has_extn("size") else []
        if client.has_extn("8bitmime") and not attempt.message.isascii():
            options.append("BODY=8BITMIME")
        code, text = client.mail(attempt.sender, options)
        if code != 250:
            command = " ".join((f"MAIL FROM:<{attempt.sender}>", *options))
            outcome = Outcome(_kind(code), _text(code, text), "unexpected-reply", host, command)
            return dict.fromkeys(attempt.recipients, outcome)
        outcomes: dict[str, Outcome] = {}
        for recipient in attempt.recipients:
            code, text = client.rcpt(recipient)
            if code not in {250, 251}:
                command = f"RCPT TO:<{recipient}>"
                outcomes[recipient] = Outcome(_kind(code), _text(code, text), "unexpected-reply", host, command)
        if len(outcomes) < len(attempt.recipients):
            code, text = client.data(attempt.message)
            kind = "delivered" if code == 250 else _kind(code)
            result = Outcome(kind, _text(code, text), "" if code == 250 else "unexpected-reply", host, "DATA")
            for recipient in attempt.recipients:
                outcomes.setdefault(recipient, result)
        return outcomes


def _kind(code: int) -> str:
    return "failed" if 500 <= code < 600 else "deferred"


def _text(code: int, text: bytes | str) -> str:
    plain = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return f"{code} {' '.join(plain.split())}"


class _Client(smtplib.SMTP):
    """smtplib, connecting to a chosen address while TLS expects the host's name."""

    def __init__(self, host: str, timeout: float, target: Target, context: ssl.SSLContext) -> None:
        super().__init__(local_hostname=host, timeout=timeout)
        self._target, self._implicit = target, context if target.implicit_tls else None
        self._host = target.name
        code, text = self.connect(target.address, target.port)
        if code != 220:
            self.close()
            raise smtplib.SMTPResponseException(code, text)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        sock = socket.create_connection((host, port), timeout)
        if self._implicit is not None:
            return self._implicit.wrap_socket(sock, server_hostname=self._target.name)
        return sock
