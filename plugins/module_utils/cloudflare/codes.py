# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Codes of the Cloudflare API."""

from __future__ import annotations

from typing import Dict

CODES: Dict[str, str] = {
    "MS-CF-001": "Cloudflare refused: the token lacks a permission or does not cover the zone. Zone Read and DNS Write are needed.",
    "MS-CF-002": "The token is missing, malformed, expired, disabled or unknown. Make a new one and put it where the message says.",
    "MS-CF-003": "A domain that is no zone of the token. The message lists the zones the token sees.",
    "MS-CF-004": "Cloudflare's answer has not the documented shape (a proxy or a portal in between?).",
    "MS-CF-005": "Cloudflare cannot be reached: name resolution, network, TLS.",
    "MS-CF-006": "The rate limit holds for longer than the run is ready to wait.",
    "MS-CF-007": "Cloudflare refused a change. The batch is one transaction: nothing of it was applied.",
    "MS-CF-009": "Cloudflare refused an MX: Email Routing manages them. Turn Email Routing off for the zone first.",
    "MS-CF-011": "Cloudflare keeps answering with a server error. Nothing more was written; run again later.",
    "MS-CF-012": "Two zones of the token have the same name. Give the id.",
    "MS-CF-013": "The base URL cannot be used.",
    # DNSSEC
    "MS-CF-020": "DNSSEC was to be turned off, but the parent zone still publishes a DS: without signatures the domain goes dark.",
    "MS-CF-021": "DNSSEC was to be turned off, but whether the parent zone still publishes a DS cannot be found out.",
    "MS-CF-022": "Cloudflare reports an error of DNSSEC: the DS at the registrar does not fit the zone's key.",
    "MS-CF-023": "DNSSEC is still pending after the time to wait: the DS is not in the parent zone yet.",
    "MS-CF-024": "The outcome of a change of DNSSEC stays unclear after several tries. Run again: the state is read first.",
    # The token
    "MS-CF-025": "The token lacks a permission that is needed. The message names it as the dashboard does, and where to add it.",
    "MS-CF-026": "A zone that is needed is none of those the token sees.",
    "MS-CF-027": "A permission cannot be tried: an account or a zone to try it on is not known.",
    # Workers
    "MS-CW-001": "A Worker of a wanted name is there and is not ours. Take another name, or adopt it.",
    "MS-CW-002": "A wanted Worker is malformed: its name, its modules, or its bindings.",
    "MS-CW-003": "A Worker that is to go still gets mail from rules of Email Routing: that mail would be lost to its senders.",
    "MS-CW-004": "Cloudflare refused a Worker. Its words name the binding, or the line of the code.",
    "MS-CW-005": "Whether a Worker was written stays unclear after several tries. Run again: what is deployed is read first.",
    "MS-CW-006": "The token lacks the permission Workers Scripts of the account.",
    "MS-CW-007": "The code of a Worker cannot be read on the controller.",
    "MS-CW-008": "A hostname that is to lead to a Worker leads to another one. Detach it there, or adopt it.",
    # Email Sending
    "MS-ES-001": "Onboarding a domain for Email Sending would leave two DMARC policies, or another than the wanted one.",
    "MS-ES-002": "Removing a domain from Email Sending takes its DMARC policy with it.",
    "MS-ES-003": "A domain of Email Sending is malformed, listed twice, or lies in another zone.",
    "MS-ES-004": "Cloudflare refused a change of Email Sending.",
    "MS-ES-005": "Whether a change of Email Sending was made stays unclear after several tries. Run again: the state is read first.",
    "MS-ES-006": "The token lacks the permission Email Sending, or the account the plan for it (Workers Paid).",
    "MS-ES-007": "A zone would have more mail domains than the service holds.",
    # Statistics
    "MS-CF-040": "The statistics of Email Routing cannot be read: permission, retention or the question itself.",
    "MS-CF-041": "The audit log cannot be read: the token lacks the permission Account Settings.",
    "MS-CF-042": "The statistics have more rows than one question brings; what is shown is not all.",
}
