# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Domains whose mail a routing service takes: what follows from the words, and what is wrong with them."""

from __future__ import annotations

import dataclasses
import re
from typing import Dict, List, Optional, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.intent import model
from ansible_collections.mailstead.stack.plugins.module_utils.intent.names import complete, is_within
from ansible_collections.mailstead.stack.plugins.module_utils.intent.shapes import Reading
from ansible_collections.mailstead.stack.plugins.module_utils.intent.words import MAILBOX_WORDS, SUBMISSION_WORDS
from ansible_collections.mailstead.stack.plugins.module_utils.intent.written import Written
from ansible_collections.mailstead.stack.plugins.module_utils.providers.model import Profile, filled

#: The API with which the service's zones are kept; it routes mail of those only.
SERVED_BY = "cloudflare"
_PATTERN = re.compile(r"[.*?]")
_PLACEHOLDER = re.compile(r"\{[a-z_0-9]+\}")


def complete_addresses(inbound: model.Inbound, domain: str) -> model.Inbound:
    """Addresses without a domain mean this one."""
    return dataclasses.replace(inbound, addresses=tuple((complete(a, domain), t) for a, t in inbound.addresses))


def imply(domain: model.Domain, operator: str) -> model.Domain:
    """Reports go to postmaster where somebody reads its mail, else to the operator."""
    postmaster = f"postmaster@{domain.name}"
    if domain.dmarc.rua != (postmaster,) or takes(domain, postmaster):
        return domain
    tls_rpt = (operator,) if domain.tls_rpt == (postmaster,) else domain.tls_rpt
    return dataclasses.replace(domain, dmarc=dataclasses.replace(domain.dmarc, rua=(operator,)), tls_rpt=tls_rpt)


def takes(domain: model.Domain, address: str) -> bool:
    """Whether mail to an address of the domain reaches somebody."""
    target = _target(domain, address)
    return target is not None and target.action != "drop" and target.enabled is not False


def _target(domain: model.Domain, address: str) -> Optional[model.Target]:
    assert domain.inbound is not None
    rules = dict(domain.inbound.addresses)
    if address in rules:
        return rules[address]
    local, _at, name = address.rpartition("@")
    base = f"{local.split('+', 1)[0]}@{name}"
    if domain.inbound.subaddressing and base in rules:
        return rules[base]
    return domain.inbound.catch_all


def check(intent: model.Intent, written: Written, reading: Reading) -> None:
    for domain in intent.domains:
        if domain.elsewhere:
            _words(intent, domain, written, reading)
    routed = [d for d in intent.domains if d.routed]
    for domain in routed:
        _zone(intent, domain, written, reading)
        _addresses(domain, written, reading)
        _catch_all(domain, written, reading)
        _loops(domain, [d.name for d in routed], written, reading)
        _send_as(domain, written, reading)
        _leaving(intent, domain, written, reading)
    _limits(intent, routed, written, reading)


def _words(intent: model.Intent, domain: model.Domain, written: Written, reading: Reading) -> None:
    """Mailboxes and keys are a mail server's; the rest of MTA-STS and reports is everybody's."""
    assert domain.inbound is not None
    elsewhere = ("catch_all", "subaddressing") if domain.routed else ()
    sent = SUBMISSION_WORDS if domain.submission else ()
    if any(domain.name in s.domains for s in intent.services if s.present):
        # A service signs with keys of its own.
        sent = (*sent, "dkim")
    for word in (w for w in MAILBOX_WORDS if w not in sent):
        if word in domain.given:
            place = f"{domain.path}.{word}"
            fix = "write it in inbound" if word in elsewhere else f"leave it out, or let {model.OWN} take the mail"
            what = f"'{word}' is a word of {model.OWN}, and {domain.inbound.provider} takes the mail of {domain.name}"
            reading.note("MS-INT-032", place, written.at(place), what, fix)


def _zone(intent: model.Intent, domain: model.Domain, written: Written, reading: Reading) -> None:
    host = intent.dns_of(domain.zone).provider if intent.operator.dns else ""
    if host and host != SERVED_BY:
        what = f"the zone {domain.zone} is at {host}, and {model.ROUTING} serves zones at {SERVED_BY} only"
        fix = f"move the zone to {SERVED_BY}, or choose another provider"
        reading.note("MS-INT-039", f"{domain.path}.inbound", written.at(f"{domain.path}.inbound"), what, fix)


def _addresses(domain: model.Domain, written: Written, reading: Reading) -> None:
    assert domain.inbound is not None
    seen: Dict[str, str] = {}
    place = f"{domain.path}.inbound.addresses"
    for address, _target_of in domain.inbound.addresses:
        raw = _written_rule(domain, address, written)
        if address.rpartition("@")[2] != domain.name:
            what = f"{address} is no address of {domain.name}"
            reading.note("MS-INT-037", f"{place}.{address}", raw, what, "put it into the list of its own domain")
        if address in seen:
            what = f"{address} stands twice"
            fix = "keep one; a Worker can send one message to several destinations"
            reading.note("MS-INT-020", f"{place}.{address}", raw, what, fix)
        seen[address] = address


def _catch_all(domain: model.Domain, written: Written, reading: Reading) -> None:
    assert domain.inbound is not None
    if domain.inbound.catch_all and domain.name != domain.zone:
        place = f"{domain.path}.inbound.catch_all"
        what = f"{domain.name} is a part of the zone {domain.zone}, which has one catch-all for all of its domains"
        reading.note("MS-INT-045", place, written.at(place), what, f"give it with {domain.zone}, or list the addresses")


def _written_rule(domain: model.Domain, address: str, written: Written) -> object:
    """A rule as written, with or without the domain."""
    place = f"{domain.path}.inbound.addresses"
    whole = written.at(place)
    for name in (address, address.rpartition("@")[0]):
        found = written.at(place, name)
        if found is not whole:
            return found
    return whole


def _loops(domain: model.Domain, routed: List[str], written: Written, reading: Reading) -> None:
    assert domain.inbound is not None
    places = [(f"addresses.{a}", t, _written_rule(domain, a, written)) for a, t in domain.inbound.addresses]
    if domain.inbound.catch_all:
        raw = written.at(f"{domain.path}.inbound.catch_all")
        places.append(("catch_all", domain.inbound.catch_all, raw))
    for key, target, raw in places:
        at = target.target.rpartition("@")[2].lower()
        if target.action == "forward" and at in routed:
            what = f"the destination {target.target} is itself in a routed domain: mail would go in circles"
            fix = "name a mailbox outside the routed domains"
            reading.note("MS-INT-035", f"{domain.path}.inbound.{key}", raw, what, fix)


def _send_as(domain: model.Domain, written: Written, reading: Reading) -> None:
    for sender in domain.senders:
        for address in sender.send_as:
            place = f"{domain.path}.outbound.send_as"
            raw = written.at(place)
            if not is_within(address.rpartition("@")[2], domain.name):
                what = f"{address} is no address of {domain.name}"
                reading.note("MS-INT-037", place, raw, what, "put it where its own domain is declared")
            elif not takes(domain, address):
                what = f"nobody gets the mail of {address}, so the confirmation would be lost"
                fix = "add it to inbound.addresses with a destination that you read"
                reading.note("MS-INT-040", place, raw, what, fix)


def _leaving(intent: model.Intent, domain: model.Domain, written: Written, reading: Reading) -> None:
    assert domain.inbound is not None
    for word in domain.inbound.leaving:
        profile = intent.profile(word)
        if _PATTERN.search(word) or (profile is not None and profile.mx):
            continue
        known = ", ".join(p.id for p in intent.profiles if p.mx and p.id != model.ROUTING)
        place = f"{domain.path}.inbound.leaving"
        fix = f"write the old exchangers' names, with * where they vary, or one of {known}"
        reading.note("MS-INT-004", place, written.at(place), f"'{word}' is no host pattern and no provider", fix)


def leaving_patterns(intent: model.Intent, domain: model.Domain) -> Tuple[str, ...]:
    """The host patterns that ``leaving`` stands for; a provider's name means its exchangers."""
    assert domain.inbound is not None
    out: List[str] = []
    for word in domain.inbound.leaving:
        profile = intent.profile(word)
        out += exchanger_patterns(domain, profile) if profile else [word.rstrip(".").lower()]
    return tuple(dict.fromkeys(out))


def exchanger_patterns(domain: model.Domain, profile: Profile) -> List[str]:
    """The exchangers of a provider, as host patterns: what only the user knows may be anything, but not the whole name."""
    known = {"domain": domain.name, "dashes": domain.name.replace(".", "-")}
    known.update({i.name: i.default for i in profile.inputs if i.default})
    found = [_PLACEHOLDER.sub("*", filled(m.host, known)) for m in profile.mx]
    return [pattern.lower() for pattern in found if pattern.strip("*.")]


def _limits(intent: model.Intent, routed: List[model.Domain], written: Written, reading: Reading) -> None:
    profile = intent.profile(model.ROUTING)
    if profile is None:
        return
    rules, destinations = profile.limit("rules"), profile.limit("destinations")
    for domain in routed:
        assert domain.inbound is not None
        count = len(domain.inbound.addresses)
        if rules and count > rules:
            place = f"{domain.path}.inbound.addresses"
            fix = "let the catch_all, or a Worker behind it, take those that go to the same place"
            what = f"{domain.name} has {count} addresses, the service holds {rules}"
            reading.note("MS-INT-038", place, written.at(place), what, fix)
    found = {d for domain in routed for d in destinations_of(domain)}
    if destinations and len(found) > destinations:
        what = f"all domains together have {len(found)} destinations, an account holds {destinations}"
        reading.note("MS-INT-038", "mail_domains", None, what, "let a Worker forward to several of them")


def destinations_of(domain: model.Domain) -> Tuple[str, ...]:
    """Every address to which mail is forwarded, each once."""
    assert domain.inbound is not None
    targets = [t for _a, t in domain.inbound.addresses] + [t for t in (domain.inbound.catch_all,) if t]
    found = {t.target.lower(): t.target for t in targets if t.action == "forward"}
    return tuple(sorted(found.values(), key=str.lower))
