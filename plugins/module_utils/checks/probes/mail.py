# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Probes that really send: a canary through the submission port, a stranger's mail to the public port 25."""

from __future__ import annotations

import functools
import imaplib
import ssl
from datetime import datetime, timezone
from email.utils import format_datetime
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.checks import dkim_verify
from ansible_collections.mailstead.stack.plugins.module_utils.checks.probes import tls
from ansible_collections.mailstead.stack.plugins.module_utils.checks.probes.context import Context, ProbeError, classify
from ansible_collections.mailstead.stack.plugins.module_utils.checks.probes.dnsclient import client
from ansible_collections.mailstead.stack.plugins.module_utils.checks.probes.imap import (
    Mailbox,
    diagnostics,
    header_rows,
    wait_until,
)
from ansible_collections.mailstead.stack.plugins.module_utils.checks.probes.smtp import Conversation, Reply


def compose(sender: str, recipient: str, subject: str, token: str, now: float, host: str) -> bytes:
    """A small plain message; the token stands in subject, Message-ID and text."""
    date = format_datetime(datetime.fromtimestamp(now, timezone.utc))
    lines = [
        f"From: <{sender}>",
        f"To: <{recipient}>",
        f"Subject: {subject} {token}",
        f"Date: {date}",
        f"Message-ID: <{token}@{host}>",
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=utf-8",
        "Auto-Submitted: auto-generated",
        "",
        "This message proves that mail flows. It may be deleted.",
        f"Token: {token}",
        "",
    ]
    return "\r\n".join(lines).encode("utf-8")


def probe_canary(args: Dict[str, Any], ctx: Context) -> Dict[str, Any]:
    """Submits a message and waits until the witness has it, or until it comes back.

    args: submission {addresses, port, name, username, secret}, sender, recipient, token, witness {host, username,
    secret}, own {host, addresses, username, secret}, wait (seconds).
    data: submitted {code, text}, stage, arrived, bounced (diagnostic text), folder, headers, signatures (see
    dkim_verify), line_ends (bare CR or LF seen), size, waited_ms, witness_error, transcript.
    """
    token = str(args["token"])
    data: Dict[str, Any] = {"token": token, "arrived": False, "bounced": "", "submitted": {"code": 0, "text": ""}}
    start = ctx.clock.monotonic()
    try:
        witness = Mailbox(dict(args["witness"]), ctx)
    except ProbeError as error:
        # Without its witness a canary proves nothing: it is not even sent.
        raise ProbeError(error.klass, f"the witness cannot be read: {error}", data) from error
    try:
        _submit(args, ctx, data)
        if data["submitted"]["code"] == 250:
            _await(args, ctx, data, witness)
    finally:
        witness.close()
    data["waited_ms"] = int((ctx.clock.monotonic() - start) * 1000)
    return data


def _submit(args: Dict[str, Any], ctx: Context, data: Dict[str, Any]) -> None:
    where = dict(args["submission"])
    sender, recipient = str(args["sender"]), str(args["recipient"])
    talk: Optional[Conversation] = None
    for address in where["addresses"]:
        try:
            raw = ctx.connect(str(address), int(where.get("port", 465)))
            talk = Conversation(tls.handshake(raw, str(where["name"]), verify=True, named=True), ctx.left)
            break
        except (OSError, ProbeError) as error:
            if isinstance(error, ProbeError) and error.klass == "budget":
                raise
            data["stage"] = f"connect: {classify(error)}"
    if talk is None:
        return
    try:
        host = sender.rpartition("@")[2]
        content = compose(sender, recipient, "Canary", str(args["token"]), ctx.clock.now(), host)
        stages: List[Tuple[str, Callable[[], Reply]]] = [
            ("banner", talk.banner),
            ("ehlo", functools.partial(talk.command, f"EHLO {ctx.fqdn()}")),
            ("login", functools.partial(talk.login, str(where["username"]), ctx.secret(str(where["secret"])))),
            ("mail", functools.partial(talk.command, f"MAIL FROM:<{sender}>")),
            ("rcpt", functools.partial(talk.command, f"RCPT TO:<{recipient}>")),
            ("data", functools.partial(talk.message, content)),
        ]
        for stage, step in stages:
            data["stage"] = stage
            reply = step()
            data["submitted"] = {"code": reply.code, "text": reply.text}
            if not reply.ok:
                break
    except ProbeError as error:
        if error.klass in ("budget", "secret"):
            raise
        data["submitted"] = {"code": 0, "text": str(error)}
    finally:
        talk.close()
        data["transcript"] = [list(t) for t in talk.transcript]


def probe_submit(args: Dict[str, Any], ctx: Context) -> Dict[str, Any]:
    """Submits a message and does not wait for it: somebody else looks into the mailbox.

    args: submission, sender, recipient, token as for a canary, label. data: results {label: {code, text, stage}},
    transcript.
    """
    data: Dict[str, Any] = {"submitted": {"code": 0, "text": ""}, "stage": "connect", "transcript": []}
    _submit(args, ctx, data)
    row = {**data["submitted"], "stage": data["stage"]}
    return {"results": {str(args["label"]): row}, "transcript": data["transcript"]}


def _await(args: Dict[str, Any], ctx: Context, data: Dict[str, Any], witness: Mailbox) -> None:
    """Looks at the witness's mailbox and at our own, where a refusal comes back as a delivery report."""
    token = str(args["token"])
    own: Optional[Mailbox] = None
    try:
        own = Mailbox(dict(args["own"]), ctx)
    except ProbeError as error:
        if error.klass == "budget":
            raise
        data["own_error"] = str(error)

    def look() -> bool:
        for folder, raw in witness.find(token):
            data.update(arrived=True, folder=folder, headers=header_rows(raw), size=len(raw))
            data["signatures"] = _signatures(raw, ctx)
            data["line_ends"] = raw.replace(b"\r\n", b"").count(b"\n") + raw.replace(b"\r\n", b"").count(b"\r")
            return True
        for _folder, raw in own.find(token) if own else ():
            data["bounced"] = data["bounced"] or diagnostics(raw)
        return bool(data["bounced"])

    try:
        wait_until(ctx, float(args.get("wait", 45.0)), look)
    except (OSError, imaplib.IMAP4.error) as error:
        data["witness_error"] = f"{classify(error)}: {error}"
    finally:
        if own:
            own.close()


def _signatures(raw: bytes, ctx: Context) -> List[Dict[str, Any]]:
    dns = client(ctx)

    def keys(selector: str, domain: str) -> Sequence[str]:
        try:
            return dns.authoritative(f"{selector}._domainkey.{domain}", "TXT").values
        except ProbeError as error:
            raise dkim_verify.DkimError(f"the key could not be looked up: {error}") from error

    return dkim_verify.verify_all(raw, keys)


def probe_stranger(args: Dict[str, Any], ctx: Context) -> Dict[str, Any]:
    """Sends to the public port 25 as any mail server would, first what must be refused, then what must arrive.

    args: addresses, port, name, sender (own address; default probe@<host name>), recipient, messages [{label, token,
    header_from (default: the sender), envelope (default: the sender)}].
    data: ehlo, sender, results {label: {code, text, stage, source}}; source is the address we sent from.
    """
    ehlo = str(args.get("ehlo") or ctx.fqdn())
    sender = str(args.get("sender") or f"probe@{ehlo}")
    data: Dict[str, Any] = {"ehlo": ehlo, "sender": sender, "results": {}}
    for message in args["messages"]:
        row: Dict[str, Any] = {"code": 0, "text": "", "stage": "connect", "source": ""}
        data["results"][str(message["label"])] = row
        for address in args["addresses"]:
            row["address"] = str(address)
            if _send(args, dict(message), str(address), sender, ehlo, row, ctx):
                break
    return data


def _send(
    args: Dict[str, Any],
    message: Dict[str, Any],
    address: str,
    sender: str,
    ehlo: str,
    row: Dict[str, Any],
    ctx: Context,
) -> bool:
    """One message in one session; true when the server was reached, whatever it answered."""
    recipient = str(args["recipient"])
    envelope = str(message.get("envelope") or sender)
    content = compose(
        str(message.get("header_from") or sender),
        recipient,
        str(message.get("subject", "Probe")),
        str(message["token"]),
        ctx.clock.now(),
        ehlo,
    )
    try:
        sock = ctx.connect(address, int(args.get("port", 25)))
    except OSError as error:
        row.update(text=classify(error))
        return False
    row["source"] = str(sock.getsockname()[0])
    talk = Conversation(sock, ctx.left)
    try:
        row["stage"] = "banner"
        reply = talk.banner()
        row["stage"] = "ehlo"
        if reply.ok:
            reply = talk.command(f"EHLO {ehlo}")
        if reply.ok and any("STARTTLS" in line.upper() for line in reply.lines):
            talk.starttls(str(args["name"]), verify=False)
            reply = talk.command(f"EHLO {ehlo}")
        for stage, line in (("mail", f"MAIL FROM:<{envelope}>"), ("rcpt", f"RCPT TO:<{recipient}>")):
            if reply.ok:
                row["stage"] = stage
                reply = talk.command(line)
        if reply.ok:
            row["stage"] = "data"
            reply = talk.message(content)
        row.update(code=reply.code, text=reply.text)
    except (ssl.SSLError, OSError, ProbeError) as error:
        if isinstance(error, ProbeError) and error.klass == "budget":
            raise
        row.update(code=0, text=str(error) or classify(error))
    finally:
        talk.close()
    return True
