# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Codes of mistakes in the inventory; docs/errors.md is made from these."""

from __future__ import annotations

from typing import Dict

CODES: Dict[str, str] = {
    "MS-INT-001": "An unknown key, most likely misspelt. The nearest known one is named; remove or correct it.",
    "MS-INT-002": "A required key is missing. Add it where the message says.",
    "MS-INT-003": "A value has the wrong form (not a duration, not a list, …). The message shows the wanted form.",
    "MS-INT-004": "A value is not one of the allowed words.",
    "MS-INT-005": "A domain or host name cannot be used. Unicode names are fine; spaces, empty or leading-hyphen labels are not.",
    "MS-INT-006": "An unknown inventory variable that begins with mail_: most likely misspelt.",
    "MS-INT-007": "A host is named that the inventory does not have, or that is in the wrong group.",
    "MS-INT-008": "A value is implied only when there is exactly one candidate (one home, one edge). Name it.",
    "MS-INT-009": "mail_intent names a version of the interface that this release does not read.",
    "MS-INT-010": "A word of the interface that this release does not build yet.",
    "MS-INT-020": "One address belongs to two accounts, or an alias is itself an account.",
    "MS-INT-021": "A domain is declared twice: its MX would have two owners.",
    "MS-INT-022": "Domains of one mail server disagree on MTA-STS: the server serves one policy.",
    "MS-INT-023": "The name of a mail host is in no declared zone, so that its address record cannot be kept.",
    "MS-INT-024": "A DKIM key set without RSA: large receivers do not verify Ed25519.",
    "MS-INT-025": "An address points to a domain that this server does not serve, or to an account that does not exist.",
    "MS-INT-026": "Two hosts claim the same mail name or public address.",
    "MS-INT-027": "mail_domains is empty: there is nothing to build.",
    "MS-INT-028": "A public address is needed, and this one is private, shared or reserved.",
    "MS-INT-029": "A secret is missing: the reference leads nowhere.",
    "MS-INT-030": "A secret stands in clear text in a file that is not vaulted.",
    "MS-INT-031": "A domain without a mailbox: nobody would read postmaster's mail (RFC 5321 §4.5.1).",
    "MS-INT-032": "A word of one provider is given to another. Leave it out, or correct the provider.",
    "MS-INT-033": "A zone is given to two DNS hosts, or a further DNS host is given none: the first one has the rest.",
    "MS-INT-034": "A DMARC policy stricter than a declared sender allows: receivers would act on your own mail. `auto` takes the "
    "strictest that all senders allow.",
    "MS-INT-035": "A destination lies in a domain whose mail Email Routing takes: mail would go in circles.",
    "MS-INT-036": "An address with a pattern. A routing service has literal addresses and one catch_all for the rest.",
    "MS-INT-037": "An address stands in the list of another domain. Put it into the list of its own.",
    "MS-INT-038": "More addresses or destinations than the service holds.",
    "MS-INT-039": "Email Routing serves only zones that are at Cloudflare.",
    "MS-INT-040": "An address is to be sent from and takes no mail: answers, bounces and a provider's confirmation would be lost.",
    "MS-INT-041": "Two senders exclude each other: one publishes a DMARC policy under which the other's mail is refused.",
    "MS-INT-042": "A provider is declared for a direction that it does not serve.",
    "MS-INT-043": "An input of a provider is missing, unknown or malformed.",
    "MS-INT-044": "Strict alignment with a sender that is aligned only relaxed: its mail would fail DMARC.",
    "MS-INT-045": "A catch-all for one domain of a zone that has others. Email Routing has one for each zone: give it with the "
    "zone's own domain.",
    "MS-INT-046": "Our own server is to send for a domain whose mail others take, and nobody may log in there to do so.",
    "MS-INT-047": "An MTA-STS policy for a domain whose mailboxes are at a provider: nobody would serve it.",
    "MS-INT-048": "Something of a service is there twice: its name, host, host name, a smarthost, a client or a token; or a "
    "name is taken by something else.",
    "MS-INT-049": "The host of a service is the home of mail domains. A host runs one mail server.",
    "MS-INT-050": "The address of a service on the LAN is public. Applications outside come through a tunnel.",
    "MS-INT-051": "An application is to send as an address outside the declared domains.",
    "MS-INT-052": "Bounces would reach nobody: their address is in no declared domain, or no mail is taken there.",
    "MS-INT-053": "Applications that the server cannot tell apart once a message is in its queue: there it knows the envelope "
    "sender alone.",
    "MS-INT-054": "A smarthost without the user name that its provider asks for, or with one that it does not know.",
    "MS-INT-055": "The host name of a tunnel is in no zone at Cloudflare, or is needed for something else.",
    "MS-INT-056": "The service tokens of a tunnel: none, or they would expire before they are renewed.",
    "MS-INT-057": "A client of a service that has no tunnel, or no service token for it.",
}
