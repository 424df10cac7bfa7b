# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Delivery status notifications (RFC 3464) for recipients that failed for good."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from email.message import Message
from email.mime.base import MIMEBase
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from email.policy import SMTP
from email.utils import format_datetime, formataddr, make_msgid
from typing import TYPE_CHECKING

from . import signing
from .expression_functions import Value, to_text
from .schema import JsonObject

if TYPE_CHECKING:
    from .registry import Registry


def _status(reply: str) -> str:
    match = re.search(r"\b([245]\.\d{1,3}\.\d{1,3})\b", reply)
    return match[1] if match else "5.0.0"


def _status_part(host: str, failed: dict[str, JsonObject]) -> Message:
    part = MIMEBase("message", "delivery-status")
    about = Message()
    about["Reporting-MTA"] = f"dns; {host}"
    groups: list[Message | str] = [about]
    for address, recipient in failed.items():
        group = Message()
        group["Final-Recipient"] = f"rfc822; {address}"
        group["Action"] = "failed"
        group["Status"] = _status(recipient["reply"])
        group["Diagnostic-Code"] = f"smtp; {' '.join(recipient['reply'].split())}"
        groups.append(group)
    part.set_payload(groups)
    return part


def report(registry: Registry, entry: JsonObject, failed: dict[str, JsonObject], message: bytes) -> bytes:
    """The notification to the sender of a message, signed if the settings name a domain."""
    host = registry.hostname
    variables: dict[str, Value] = {"sender": entry["sender"], "sender_domain": entry["sender"].rpartition("@")[2]}

    def setting(prop: str, default: str) -> str:
        return to_text(registry.evaluate("DsnReportSettings", prop, variables) or "") or default

    notice = MIMEMultipart("report", report_type="delivery-status")
    notice["From"] = formataddr(
        (setting("fromName", "Mail Delivery Subsystem"), setting("fromAddress", f"MAILER-DAEMON@{host}"))
    )
    notice["To"] = entry["sender"]
    notice["Subject"] = "Failed to deliver message"
    notice["Date"] = format_datetime(datetime.now(timezone.utc))
    notice["Message-ID"] = make_msgid(domain=host)
    notice["Auto-Submitted"] = "auto-generated"
    lines = [f"<{address}>: {recipient['reply']}" for address, recipient in failed.items()]
    text = "Your message could not be delivered to the following recipients:\n\n" + "\n".join(lines) + "\n"
    notice.attach(MIMEText(text, "plain", "us-ascii" if text.isascii() else "utf-8"))
    notice.attach(_status_part(host, failed))
    original = MIMEBase("text", "rfc822-headers")
    original.set_payload(message.partition(b"\r\n\r\n")[0].decode("ascii", "replace") + "\n")
    notice.attach(original)
    raw = notice.as_bytes(policy=SMTP)
    domain = setting("dkimSignDomain", "")
    return signing.sign_for(registry, domain, raw) + raw if domain not in {"", "0"} else raw
