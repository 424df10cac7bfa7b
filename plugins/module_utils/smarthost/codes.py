# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Codes of what keeps mail from leaving through a smarthost; docs/errors.md is made from these."""

from __future__ import annotations

from typing import Dict

CODES: Dict[str, str] = {
    "MS-SMH-001": "A smarthost's name has no address, as seen from the host that is to send through it.",
    "MS-SMH-002": "A smarthost cannot be reached: the connection is refused, nobody answers, or it greets with a refusal. "
    "Networks that close port 465 or 587 often leave another port open; some providers listen on several.",
    "MS-SMH-003": "A smarthost's certificate is for another name. Nothing was said to it: it may be somebody else.",
    "MS-SMH-004": "A smarthost's certificate is not signed by an authority that the host trusts.",
    "MS-SMH-005": "A smarthost's certificate has expired or is not valid yet. Look at the host's clock as well.",
    "MS-SMH-006": "A smarthost does not speak TLS on this port in the way that is configured. Credentials are never sent "
    "without it.",
    "MS-SMH-007": "A smarthost offers no log-in, or none with a password.",
    "MS-SMH-008": "A smarthost refuses the user name and password.",
    "MS-SMH-009": "A smarthost refuses for the time being: a quota is used up, or it is asked too often. A warning: the "
    "queue tries again and takes the next smarthost meanwhile.",
    "MS-SMH-010": "A smarthost does not let this account send as one of the declared senders: their domain has to be set "
    "up with the provider first.",
    "MS-SMH-011": "A smarthost takes smaller messages than senders may hand in. Larger ones would be accepted and bounce.",
    "MS-SMH-012": "A smarthost broke the conversation off, went silent, or answered with something else than SMTP.",
    "MS-SMH-013": "What is to be tried makes no sense: an id listed twice, a user name without a password, or a log-in "
    "without TLS.",
    "MS-SMH-014": "The recipients that a provider does not write to any more cannot be read. A warning: mail leaves all the "
    "same, but what it takes for them is never delivered, and nobody says so.",
}
