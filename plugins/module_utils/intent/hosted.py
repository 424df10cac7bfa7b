# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Domains whose mailboxes are at a provider: what is wrong with the words about them."""

from __future__ import annotations

from ansible_collections.mailstead.stack.plugins.module_utils.intent import model
from ansible_collections.mailstead.stack.plugins.module_utils.intent.shapes import Reading
from ansible_collections.mailstead.stack.plugins.module_utils.intent.written import Written


def check(intent: model.Intent, written: Written, reading: Reading) -> None:
    for domain in intent.domains:
        _webmail(intent, domain, written, reading)
        _inputs(intent, domain, written, reading)
        if domain.hosted:
            _mta_sts(intent, domain, written, reading)


def _webmail(intent: model.Intent, domain: model.Domain, written: Written, reading: Reading) -> None:
    profile = intent.profile(domain.inbound.provider) if domain.inbound and domain.elsewhere else None
    if domain.webmail and (profile is None or not profile.webmail):
        place = f"{domain.path}.webmail"
        who = domain.inbound.provider if domain.inbound else "nobody"
        what = f"{who} is not known to have web mail under a name of your own"
        reading.note("MS-INT-032", place, written.at(place), what, "leave it out")


def _inputs(intent: model.Intent, domain: model.Domain, written: Written, reading: Reading) -> None:
    """At the domain they are meant for whoever takes the mail; a sender's own stand with the sender."""
    profile = intent.profile(domain.inbound.provider) if domain.inbound else None
    if "inputs" in domain.given and (profile is None or not profile.inputs):
        place = f"{domain.path}.inputs"
        who = domain.inbound.provider if domain.inbound else "nobody"
        reading.note("MS-INT-032", place, written.at(place), f"{who} takes no inputs", "write them where the sender is")


def _mta_sts(intent: model.Intent, domain: model.Domain, written: Written, reading: Reading) -> None:
    """A policy has to be served under the domain's own name, and only a Worker beside Email Routing is built for that."""
    if domain.mta_sts != "off":
        place = f"{domain.path}.mta_sts"
        what = f"nobody serves an MTA-STS policy for {domain.name}: its mail is taken by a provider"
        fix = "leave it out, or write `off`"
        reading.note("MS-INT-047", place, written.at(place), what, fix)
