# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting for a message in a mailbox: a condition with a deadline, never a fixed time."""

from __future__ import annotations

import imaplib
import re
import socket
import ssl
from email import policy
from email.parser import BytesParser
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.checks.probes.context import Context, ProbeError, classify

#: Where a filter may have put a message that was accepted.
FOLDERS = ("INBOX", "Junk", "Junk Mail", "Spam")
#: Seconds between two looks when the server has not spoken by itself.
POLL = 0.5


class Mailbox:
    """A logged-in IMAP session on implicit TLS."""

    def __init__(self, account: Dict[str, Any], ctx: Context) -> None:
        """account: host, port, username, secret, addresses (optional: dial these instead of looking the name up).

        Raises ProbeError tls, auth, refused, timeout, dns, closed.
        """
        self._ctx = ctx
        host = str(account["host"])
        password = ctx.secret(str(account["secret"]))
        failure: Optional[BaseException] = None
        for address in account.get("addresses") or (host,):
            try:
                self._imap = _Imap(host, int(account.get("port", 993)), str(address), ctx)
                break
            except ssl.SSLCertVerificationError as error:
                raise ProbeError("tls", f"{host}: {error.verify_message}") from error
            except (OSError, imaplib.IMAP4.error) as error:
                failure = error
        else:
            raise ProbeError(classify(failure or OSError()), f"{host}: {failure}")
        try:
            self._imap.login(str(account["username"]), password)
        except imaplib.IMAP4.abort as error:
            raise ProbeError("closed", f"{host} closed the session at the login") from error
        except imaplib.IMAP4.error as error:
            raise ProbeError("auth", f"{host} refuses the login of {account['username']}") from error
        self.folders = self._existing()

    def _existing(self) -> List[str]:
        _typ, rows = self._imap.list()
        names = []
        for row in rows or ():
            text = row.decode("utf-8", "replace") if isinstance(row, bytes) else ""
            match = re.search(r'\) (?:"[^"]*"|NIL) "?([^"]+)"?$', text)
            if match:
                names.append(match.group(1))
        known = {n.lower(): n for n in names}
        return [known[f.lower()] for f in FOLDERS if f.lower() in known] or ["INBOX"]

    def find(self, token: str) -> List[Tuple[str, bytes]]:
        """(folder, raw message) of every message that contains the token in its text or its headers."""
        found: List[Tuple[str, bytes]] = []
        for folder in self.folders:
            self._imap.sock.settimeout(self._ctx.left(20.0))
            typ, _rows = self._imap.select(f'"{folder}"', readonly=True)
            if typ != "OK":
                continue
            typ, rows = self._imap.search(None, "TEXT", f'"{token}"')
            numbers = (rows[0] or b"").split() if typ == "OK" else []
            for number in numbers:
                typ, parts = self._imap.fetch(number.decode("ascii"), "(BODY.PEEK[])")
                found += [(folder, p[1]) for p in parts or () if typ == "OK" and isinstance(p, tuple)]
        return found

    def close(self) -> None:
        try:
            self._imap.sock.settimeout(2.0)
            self._imap.logout()
        except (OSError, imaplib.IMAP4.error, ValueError):
            self._imap.shutdown()


class _Imap(imaplib.IMAP4_SSL):
    """Dials a given address but checks the certificate for the host name."""

    def __init__(self, host: str, port: int, address: str, ctx: Context) -> None:
        self._address, self._ctx = address, ctx
        super().__init__(host, port, ssl_context=ssl.create_default_context(), timeout=ctx.left(15.0))

    def _create_socket(self, timeout: Any = None) -> Any:
        if self._address == self.host:
            raw = socket.create_connection((self.host, self.port), timeout=self._ctx.left(15.0))
        else:
            raw = self._ctx.connect(self._address, self.port, 15.0)
        return self.ssl_context.wrap_socket(raw, server_hostname=self.host)


def wait_until(ctx: Context, seconds: float, condition: Callable[[], Any]) -> Any:
    """The first true result of condition, or its last one when the time is over. Looks every POLL seconds."""
    end = min(ctx.clock.monotonic() + seconds, ctx.deadline)
    while True:
        found = condition()
        if found or ctx.clock.monotonic() + POLL >= end:
            return found
        ctx.clock.wait(POLL)


def header_rows(raw: bytes) -> List[List[str]]:
    """Headers as [name, unfolded value], top first."""
    message = BytesParser(policy=policy.compat32).parsebytes(raw, headersonly=True)
    return [[n, re.sub(r"\r?\n[ \t]+", " ", str(v)).strip()] for n, v in message.items()]


def probe_mailbox(args: Dict[str, Any], ctx: Context) -> Dict[str, Any]:
    """Logs in and waits for messages.

    args: imap (see Mailbox), tokens {label: token}, wait_for (labels that must all be there), wait (seconds).
    data: folders, messages {label: {folder, headers, size}}, waited_ms.
    """
    tokens = {str(k): str(v) for k, v in dict(args["tokens"]).items()}
    needed = [str(w) for w in args.get("wait_for") or tokens]
    start = ctx.clock.monotonic()
    box = Mailbox(dict(args["imap"]), ctx)
    messages: Dict[str, Any] = {}
    try:

        def look() -> bool:
            for label, token in tokens.items():
                for folder, raw in box.find(token) if label not in messages else ():
                    messages[label] = {"folder": folder, "headers": header_rows(raw), "size": len(raw)}
            return all(label in messages for label in needed)

        wait_until(ctx, float(args.get("wait", 45.0)), look)
        # What was sent before the last message awaited has had its chance to arrive as well.
        if needed and all(label in messages for label in needed):
            look()
    except (OSError, imaplib.IMAP4.error) as error:
        raise ProbeError(classify(error), f"the IMAP session ended: {error}", {"messages": messages}) from error
    finally:
        box.close()
    return {
        "folders": box.folders,
        "messages": messages,
        "waited_ms": int((ctx.clock.monotonic() - start) * 1000),
    }


def diagnostics(raw: bytes) -> str:
    """The Diagnostic-Code lines of a delivery report (RFC 3464 §2.3.6), or its Status; empty for other messages."""
    text = raw.decode("utf-8", "replace")
    if "report-type=delivery-status" not in text.replace('"', "").lower() and "Final-Recipient:" not in text:
        return ""
    found: Sequence[str] = re.findall(r"^Diagnostic-Code:\s*(.+(?:\r?\n[ \t]+.+)*)", text, re.MULTILINE | re.IGNORECASE)
    if not found:
        found = re.findall(r"^Status:\s*(.+)$", text, re.MULTILINE | re.IGNORECASE) or ("no diagnostic code",)
    return " / ".join(re.sub(r"\s+", " ", f).strip() for f in found)
