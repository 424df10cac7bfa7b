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
    """What the service does; lab/twins/README.md says where each report is from."""

    #: A forward to a destination nobody has verified: ``refuse`` (the description, 2054) or ``disable`` (the rule is stored,
    #: as older documentation says).
    unverified: str = "refuse"
    #: A second rule for one address: ``refuse`` (seen, 2014) or ``newest`` works (documentation).
    duplicates: str = "refuse"
    #: The user's SPF record on enabling: ``replace`` it, put ours ``beside`` it, or ``keep`` it alone.
    spf: str = "replace"
    #: Somebody else's MX on enabling: ``refuse`` (2008, as Email Sending's "fix" does) or put ours ``beside`` it.
    foreign_mx: str = "refuse"
    #: Which of the two described answers ``GET …/email/routing/dns`` gives: ``list`` or ``report``.
    dns_shape: str = "list"
    #: A body that names the zone itself: ``refuse`` (seen, 2007) or ``accept``.
    apex_name: str = "refuse"
    #: An existing ``_dmarc`` on onboarding for sending: ``keep`` (seen) or ``replace``.
    sending_dmarc: str = "keep"
    #: Tokens may list the rules of all zones at once, although their permission is given for zones.
    account_rules: bool = True
    #: The catch-all is among the listed rules (seen).
    catch_all_listed: bool = True
    #: API tokens reach ``…/email/routing/dns`` (one project reports 403 there, and none at ``/enable``).
    dns_for_tokens: bool = True
    #: The account has Workers Paid, which sending needs.
    sending_entitled: bool = True
    #: Addresses verified from the start.
    destinations: tuple[str, ...] = ()
    #: Base64 for the ``p=`` tag of Email Routing's DKIM records instead of a key made up.
    dkim_public_key: str = ""

    def mistakes(self) -> list[str]:
        """What is wrong with the words chosen, one line each."""
        return [
            f"{name}: {getattr(self, name)!r} is none of {', '.join(words)}"
            for name, words in CHOICES.items()
            if getattr(self, name) not in words
        ]


DEFAULTS = EmailOptions()
