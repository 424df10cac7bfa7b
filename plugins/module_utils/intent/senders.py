# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everybody who sends in a domain's name: what they need, and what they allow together."""

from __future__ import annotations

import dataclasses
import re
from typing import Iterator, Optional, Sequence, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.intent import model, parties, routing
from ansible_collections.mailstead.stack.plugins.module_utils.intent.names import complete
from ansible_collections.mailstead.stack.plugins.module_utils.intent.shapes import Reading
from ansible_collections.mailstead.stack.plugins.module_utils.intent.written import Written
from ansible_collections.mailstead.stack.plugins.module_utils.providers import inputs, mixing
from ansible_collections.mailstead.stack.plugins.module_utils.providers.model import (
    POLICIES,
    Profile,
    aligned_alternatives,
    ceiling,
    limiting,
)

_POLICY = re.compile(r"(?:^|;)\s*p\s*=\s*([a-z]+)", re.IGNORECASE)


def complete_addresses(sender: model.Outbound, domain: str) -> model.Outbound:
    return dataclasses.replace(sender, send_as=tuple(complete(a, domain).lower() for a in sender.send_as))


def with_inputs(
    inbound: model.Inbound,
    outbound: Optional[model.Outbound],
    also: Sequence[model.Outbound],
    path: str,
    raw: object,
    reading: Reading,
) -> Tuple[model.Inbound, Optional[model.Outbound], Tuple[model.Outbound, ...]]:
    """Both sides, knowing what was told of the same provider at either. path: of the domain; raw: the domain as written."""
    told = dict(inbound.inputs)
    mine = [s for s in (outbound, *also) if s and s.provider == inbound.provider]
    for name, value in [pair for sender in mine for pair in sender.inputs]:
        if told.setdefault(name, value) != value:
            what = f"{inbound.provider} is told two values of '{name}'"
            reading.note("MS-INT-043", path, raw, what, "a domain has one at each provider: keep the right one")
    known = tuple(told.items())

    def knowing(sender: model.Outbound) -> model.Outbound:
        return dataclasses.replace(sender, inputs=known) if sender.provider == inbound.provider else sender

    return (
        dataclasses.replace(inbound, inputs=known),
        knowing(outbound) if outbound else None,
        tuple(knowing(s) for s in also if s),
    )


def check(intent: model.Intent, written: Written, reading: Reading) -> None:
    """What is wrong with the senders of any domain, whoever takes its mail."""
    for domain in intent.domains:
        _own_server(domain, written, reading)
        _submission(intent, domain, written, reading)
        found = intent.sender_profiles(domain)
        for (sender, profile), place in zip(found, _places(domain, intent)):
            if sender.smarthost:
                # Judged where it is declared.
                continue
            _account(sender, domain.path + place, written, reading)
            _inputs(domain, sender.inputs, profile, place, written, reading)
        _takers_inputs(intent, domain, [p.id for _s, p in found], written, reading)
        profiles = [profile for _sender, profile in found]
        _set_up(intent, domain, found, written, reading)
        _policy(intent, domain, found, written, reading)
        _alignment(domain, profiles, written, reading)
        _exclusion(domain, profiles, written, reading)
        # Every domain gets a policy of ours.
        policy = (f"_dmarc.{domain.name}", "TXT", "v=DMARC1")
        for clash in mixing.clashes(domain.name, parties.parties_of(intent, domain), [policy]):
            reading.note(clash.code, clash.place, written.at(clash.place), clash.what, clash.fix)


def _places(domain: model.Domain, intent: model.Intent) -> Iterator[str]:
    """Where each of the senders that have a profile was written."""
    if domain.outbound and intent.profile(domain.outbound.provider):
        yield next((f".{key}" for key in ("outbound", "provider") if key in domain.given), ".inbound")
    for index, sender in enumerate(domain.also):
        if intent.profile(sender.provider):
            yield f".also_send_via[{index}]"


def _own_server(domain: model.Domain, written: Written, reading: Reading) -> None:
    """What our own server takes in it also sends, in this release; where it takes the mail is said once."""
    if domain.outbound is None or domain.inbound is None or not domain.outbound.provider:
        return
    place = f"{domain.path}.outbound"
    if domain.inbound.provider == model.OWN and domain.outbound.provider != model.OWN:
        fix = f"keep `provider: {model.OWN}` there and name {domain.outbound.provider} in also_send_via"
        what = f"mail into {model.OWN} and out of {domain.outbound.provider} alone is not built yet"
        reading.note("MS-INT-010", place, written.at(place), what, fix)
    if domain.outbound.host and not domain.elsewhere:
        what = f"'host' is for domains whose mail others take; {model.OWN} takes the mail of {domain.name}"
        reading.note("MS-INT-032", f"{place}.host", written.at(f"{place}.host"), what, "write it in inbound")


def place_of(domain: model.Domain, sender: model.Outbound) -> str:
    """Where a sender of a domain was written, below the domain."""
    return ".outbound" if sender is domain.outbound else f".also_send_via[{domain.also.index(sender)}]"


def _submission(intent: model.Intent, domain: model.Domain, written: Written, reading: Reading) -> None:
    """Our own server sends for a domain whose mail others take: with logins, and with addresses that are read."""
    own = domain.submission
    if own is None or domain.state != "present":
        return
    if not domain.accounts:
        place = domain.path + place_of(domain, own)
        what = f"nobody may log in to {model.OWN} to send as {domain.name}"
        fix = "add `accounts:` with the addresses to send as; each gets a password of its own"
        reading.note("MS-INT-046", place, written.at(place), what, fix)
    addresses = [
        (f"mail_domains[{other.position}].accounts[{number}]", address)
        for other in intent.domains
        for number, account in enumerate(other.accounts)
        for address in (account.address, *account.aliases)
    ]
    for place, address in addresses:
        if not domain.routed or address.rpartition("@")[2].lower() != domain.name:
            # Which mailboxes a provider has is not known here.
            continue
        if not routing.takes(domain, address.lower()):
            what = f"nobody gets the mail of {address}, so answers and bounces would be lost"
            fix = "add it to inbound.addresses with a destination that you read"
            reading.note("MS-INT-040", place, written.at(place), what, fix)


def _set_up(
    intent: model.Intent,
    domain: model.Domain,
    found: Sequence[Tuple[model.Outbound, Profile]],
    written: Written,
    reading: Reading,
) -> None:
    """Senders that are set up from here, over the API of the zone's host."""
    for sender, profile in ((s, p) for s, p in found if p.coexist.managed_by_api):
        place = sender.smarthost or domain.path
        at = written.at(place)
        if not domain.elsewhere:
            what = f"{profile.id} for a domain whose mail {model.OWN} takes is not built yet"
            reading.note("MS-INT-010", place, at, what, "leave it out in this release")
        elif intent.operator.dns and intent.dns_of(domain.zone).provider != routing.SERVED_BY:
            what = f"the zone {domain.zone} is not at {routing.SERVED_BY}, where {profile.id} is set up"
            reading.note(
                "MS-INT-039", place, at, what, f"move the zone to {routing.SERVED_BY}, or choose another sender"
            )


def _account(sender: model.Outbound, place: str, written: Written, reading: Reading) -> None:
    if sender.account and "@" not in sender.account:
        where = f"{place}.account"
        what = f"'{sender.account}' has no domain"
        reading.note("MS-INT-003", where, written.at(where), what, "write the complete address")


def _takers_inputs(
    intent: model.Intent, domain: model.Domain, senders: Sequence[str], written: Written, reading: Reading
) -> None:
    """What a provider has to be told that takes mail and does not send."""
    profile = intent.profile(domain.inbound.provider) if domain.inbound else None
    if domain.inbound and profile and profile.id not in senders:
        place = ".provider" if "provider" in domain.given else ".inbound"
        _inputs(domain, domain.inbound.inputs, profile, place, written, reading)


def _inputs(
    domain: model.Domain,
    given: Sequence[Tuple[str, str]],
    profile: Profile,
    place: str,
    written: Written,
    reading: Reading,
) -> None:
    """place: of the provider, below the domain; a value may stand there, with the inbound side, or at the domain."""
    for name, what, fix in inputs.problems(profile, dict(given)):
        if name not in dict(given):
            reading.note("MS-INT-043", domain.path + place, written.at(domain.path + place), what, fix)
            continue
        holders = [f"{place}.inputs", ".inbound.inputs", ".inputs"]
        holder = next(h for h in holders if f"{h}.{name}"[1:] in domain.given or h == holders[-1])
        where = f"{domain.path}{holder}"
        reading.note("MS-INT-043", f"{where}.{name}", written.at(where, name), what, fix)


def _policy(
    intent: model.Intent,
    domain: model.Domain,
    found: Sequence[Tuple[model.Outbound, Profile]],
    written: Written,
    reading: Reading,
) -> None:
    profiles = [profile for _sender, profile in found]
    allowed = ceiling(profiles)
    wanted = domain.dmarc.policy
    if wanted == "auto" or POLICIES.index(wanted) <= POLICIES.index(allowed):
        return
    limits = limiting(profiles)
    who = " and ".join(p.id for p in limits)
    # The domain's own senders may all allow it: then it is the smarthost's matter.
    theirs = [s.smarthost for s, p in found if p in limits]
    place = f"{domain.path}.dmarc.policy" if not all(theirs) else theirs[0]
    others = ", ".join((*aligned_alternatives(intent.profiles), model.OWN))
    fix = f"write `policy: {allowed}` or `auto`; for {wanted} send through an aligned provider instead ({others})"
    whose = f", which {domain.name} asks for," if all(theirs) else ""
    what = f"{wanted}{whose} is stricter than {who} allows ({allowed}): {limits[0].dmarc.reason}"
    reading.note("MS-INT-034", place, written.at(place), what, fix)


def _alignment(domain: model.Domain, profiles: Sequence[Profile], written: Written, reading: Reading) -> None:
    strict = {"aligned_dkim": domain.dmarc.adkim == "s", "aligned_spf": domain.dmarc.aspf == "s"}
    for profile in profiles:
        ways = {way: getattr(profile.dmarc, way) for way in strict}
        passes = any(ways[way] == "strict" or (ways[way] == "relaxed" and not strict[way]) for way in strict)
        if profile.dmarc.max_policy != POLICIES[0] and not passes:
            place = f"{domain.path}.dmarc"
            what = f"{profile.id} is aligned only relaxed, and the record asks for strict alignment"
            key = "adkim" if ways["aligned_dkim"] == "relaxed" else "aspf"
            reading.note("MS-INT-044", place, written.at(place), what, f"write `{key}: r`")


def _exclusion(domain: model.Domain, profiles: Sequence[Profile], written: Written, reading: Reading) -> None:
    allowed = ceiling(profiles)
    for owner in profiles:
        policy = policy_of(owner.dmarc.owns_record)
        if policy and POLICIES.index(policy) > POLICIES.index(allowed):
            who = " and ".join(p.id for p in limiting(profiles))
            place = domain.path
            what = f"{owner.id} publishes p={policy}, under which mail sent through {who} is refused"
            fix = f"send all mail through {owner.id} (it can also serve as the send-as server), or leave it out"
            reading.note("MS-INT-041", place, written.at(place), what, fix)


def policy_of(record: str) -> str:
    """The policy in a DMARC record's text, or nothing."""
    found = _POLICY.search(record)
    return found.group(1).lower() if found and found.group(1).lower() in POLICIES else ""


def names(senders: Sequence[Tuple[model.Outbound, Profile]]) -> str:
    return ", ".join(profile.id for _sender, profile in senders)
