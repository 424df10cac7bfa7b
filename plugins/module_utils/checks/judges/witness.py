# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stranger's message to a domain that others take mail for, looked for in a witness's mailbox."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.checks.finding import Finding
from ansible_collections.mailstead.stack.plugins.module_utils.checks.judges.case import Case


@dataclass(frozen=True)
class Errand:
    """sent, box: probes that send and that look; label: of the message. refused, lost, junk: fixes, by what went wrong.

    recipient: whom it is sent to; address: whose mailbox is looked into.
    """

    sent: str
    box: str
    label: str
    recipient: str
    address: str
    refused: str
    lost: str
    junk: str


def arrival(
    case: Case, check: str, domain: str, errand: Errand, expected: str, needs: Tuple[str, ...], found_as: str = ""
) -> Finding:
    """Accepted by those who take the domain's mail, and found in the mailbox. found_as: label there, if it is another."""
    sent, box = case.seen(errand.sent), case.seen(errand.box)
    if sent is None or not sent.ok:
        return case.unknown(check, domain, case.why_not(sent, errand.sent), requires=needs)
    row = sent.data["results"][errand.label]
    evidence = [f"{sent.vantage} to {errand.recipient}: {row['stage']} → {row['text']}"]
    if int(row["code"]) != 250:
        observed = f"refused at {row['stage']}: {row['text'] or 'no reply'}"
        return case.fail(
            check, domain, observed, expected=expected, evidence=evidence, fix=errand.refused, requires=needs
        )
    if box is None or not box.ok:
        return case.unknown(check, domain, case.why_not(box, errand.box), evidence=evidence, requires=needs)
    message = box.data["messages"].get(found_as or errand.label)
    waited = box.data["waited_ms"] / 1000
    if message is None:
        observed = f"accepted, but not found at {errand.address} after {waited:.0f} s"
        return case.fail(check, domain, observed, expected=expected, evidence=evidence, fix=errand.lost, requires=needs)
    inbox = message["folder"].upper() == "INBOX"
    return case.finding(
        check,
        domain,
        "pass" if inbox else "warn",
        f"found in {message['folder']} of {errand.address} after {waited:.1f} s",
        expected=expected,
        evidence=evidence,
        fix=errand.junk,
        requires=needs,
    )
