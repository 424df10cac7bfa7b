# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The providers that have to do with a domain, each with what fills its profile."""

from __future__ import annotations

from typing import Dict, List, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.intent import model
from ansible_collections.mailstead.stack.plugins.module_utils.providers.inputs import cleaned
from ansible_collections.mailstead.stack.plugins.module_utils.providers.mixing import Party
from ansible_collections.mailstead.stack.plugins.module_utils.providers.model import Profile


def values_of(domain: model.Domain, sender: model.Outbound, profile: Profile) -> Dict[str, str]:
    """What fills the placeholders of a profile; inputs as they were meant, not as they were pasted."""
    known = {"domain": domain.name, "dashes": domain.name.replace(".", "-")}
    account = {"account": sender.account} if sender.account else {}
    return {**known, **account, **cleaned(profile, dict(sender.inputs))}


def senders_of(intent: model.Intent, domain: model.Domain) -> Tuple[Party, ...]:
    """Those that send, our own server left out."""
    return tuple(_party(domain, sender, profile) for sender, profile in intent.sender_profiles(domain))


def taker_of(intent: model.Intent, domain: model.Domain) -> Tuple[Party, ...]:
    """Whoever takes the mail, unless that is our own server."""
    profile = intent.profile(domain.inbound.provider) if domain.inbound and domain.elsewhere else None
    if profile is None or domain.inbound is None:
        return ()
    return (_party(domain, model.Outbound(profile.id, inputs=domain.inbound.inputs), profile, takes_mail=True),)


def parties_of(intent: model.Intent, domain: model.Domain) -> Tuple[Party, ...]:
    """Everybody with a profile, each once."""
    taking = taker_of(intent, domain)
    found: List[Party] = list(taking)
    return tuple(found + [p for p in senders_of(intent, domain) if p.profile.id not in [t.profile.id for t in taking]])


def _party(domain: model.Domain, sender: model.Outbound, profile: Profile, takes_mail: bool = False) -> Party:
    return Party(
        profile=profile,
        values=tuple(sorted(values_of(domain, sender, profile).items())),
        place=domain.path,
        authorize=sender.spf_authorize,
        takes_mail=takes_mail,
    )
