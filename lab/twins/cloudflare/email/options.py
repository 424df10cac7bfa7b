# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where nobody knows for certain what the service does, or where reports disagree: one switch each."""

from __future__ import annotations

from dataclasses import dataclass

#: What each switch takes; the first is the default.
CHOICES: dict[str, tuple[str, ...]] = {
    "unverified": ("refuse", "disable"),
    "duplicates": ("refuse", "newest"),
    "spf": ("replace", "beside", "keep"),
    "foreign_mx": ("refuse", "beside"),
    "dns_shape": ("list", "report"),
    "apex_name": ("refuse", "accept"),
    "sending_dmarc": ("keep", "replace"),
}


@dataclass(frozen=True)
class EmailOptions:
    """unverified: a forward to a destination nobody has verified is refused (description, error 2054) or stored disabled
    (older documentation). duplicates: a second rule for one address is refused (seen, 2014) or the newest works
    (documentation). spf: on enabling, an SPF record of the user's is replaced (terraform-provider-cloudflare #6444), gets
    ours beside it, or stays alone (seen: ``misconfigured/locked`` for good). foreign_mx: on enabling, somebody else's MX is
    refused (2008, as Email Sending's "fix" does) or ours come beside it. dns_shape: of the two documented answers of
    ``GET …/email/routing/dns``. catch_all_listed: the catch-all is among the listed rules (seen). apex_name: a body that
    names the zone itself is refused (seen, 2007) or taken. dns_for_tokens: API tokens reach ``…/email/routing/dns`` (one
    project reports 403). sending_dmarc: onboarding leaves an existing ``_dmarc`` alone (seen) or replaces it.

    sending_entitled: the account has Workers Paid. destinations: addresses verified from the start. dkim_public_key: base64
    for the ``p=`` tag of Email Routing's DKIM records instead of one made up.
    """

    unverified: str = "refuse"
    duplicates: str = "refuse"
    spf: str = "replace"
    foreign_mx: str = "refuse"
    dns_shape: str = "list"
    apex_name: str = "refuse"
    sending_dmarc: str = "keep"
    catch_all_listed: bool = True
    dns_for_tokens: bool = True
    sending_entitled: bool = True
    destinations: tuple[str, ...] = ()
    dkim_public_key: str = ""

    def mistakes(self) -> list[str]:
        """What is wrong with the words chosen, one line each."""
        return [
            f"{name}: {getattr(self, name)!r} is none of {', '.join(words)}"
            for name, words in CHOICES.items()
            if getattr(self, name) not in words
        ]


DEFAULTS = EmailOptions()
