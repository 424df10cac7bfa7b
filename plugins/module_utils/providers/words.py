# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The words of a profile's file, with the same shapes as the inventory's; the JSON Schema of profiles comes from here."""

from __future__ import annotations

import dataclasses
import re
from typing import Any, Dict, List, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import Problem
from ansible_collections.mailstead.stack.plugins.module_utils.intent.shapes import (
    Flag,
    Key,
    Many,
    Mapped,
    Named,
    Number,
    Reading,
    Text,
)
from ansible_collections.mailstead.stack.plugins.module_utils.providers import model

_PART = r"(?:[A-Za-z0-9_-]|\{[a-z][a-z0-9_]*\})+"
#: In full, with placeholders for parts of it or for all.
HOST = Text(pattern=rf"\{{[a-z][a-z0-9_]*\}}|{_PART}(?:\.{_PART})+", wanted="a host name")
LINES = Many(Text())

INPUT = Mapped(
    name="an input",
    build=model.Input,
    fallback=model.Input("", ""),
    keys={
        "name": Key(Text(pattern=r"[a-z][a-z0-9_]*", wanted="a word"), required=True),
        "where": Key(Text(), required=True, doc="where the user finds the value"),
        "pattern": Key(Text(), default="", doc="regular expression of the whole value"),
        "required": Key(Flag(), default=False),
        "kind": Key(Text(choices=model.KINDS), default="", doc="what is understood of the value beside its pattern"),
        "choices": Key(LINES, default=(), doc="all values there are"),
        "default": Key(Text(), default="", doc="taken when none is given; may hold {domain} and {dashes}"),
        "unless": Key(Text(), default="", doc="another input; where that is given, this one is not required"),
    },
)
MX = Mapped(
    name="an exchanger",
    build=model.Mx,
    fallback=model.Mx(""),
    keys={
        "host": Key(HOST, required=True),
        "preference": Key(Number(high=65535), default=None, doc="absent: assigned to each zone by the provider"),
    },
)
SPF = Mapped(
    name="spf",
    build=model.Spf,
    fallback=model.Spf(),
    keys={
        "scope": Key(Text(choices=("apex", "return_path", "none"), fallback="none"), required=True),
        "include": Key(Many(HOST), default=()),
        "all": Key(Text(choices=("~all", "-all"), fallback="~all"), default="~all"),
        "cost_hint": Key(Number(high=10), default=0, doc="DNS look-ups, as measured once"),
        "optional": Key(Flag(), default=False, doc="nothing needs the includes; spf_authorize asks for them"),
    },
)
DKIM = Mapped(
    name="dkim",
    build=model.Dkim,
    fallback=model.Dkim("managed", ""),
    keys={
        "kind": Key(Text(choices=("txt", "cname", "managed"), fallback="managed"), required=True),
        "selector": Key(Text(), required=True),
        "value": Key(Text(), default=""),
    },
)
RECORD = Mapped(
    name="a record",
    build=model.RecordTemplate,
    fallback=model.RecordTemplate("", "TXT", ""),
    keys={
        "name": Key(Text(), default="", doc="relative to the domain"),
        "type": Key(Text(choices=("TXT", "CNAME", "MX", "SRV"), fallback="TXT"), required=True),
        "value": Key(Text(), required=True),
    },
)
DMARC = Mapped(
    name="dmarc",
    build=model.DmarcCeiling,
    fallback=model.DmarcCeiling(),
    keys={
        "max_policy": Key(Text(choices=model.POLICIES, fallback="none"), required=True),
        "reason": Key(Text(), required=True),
        "aligned_spf": Key(Text(choices=model.ALIGNMENTS, fallback="no"), default="no"),
        "aligned_dkim": Key(Text(choices=model.ALIGNMENTS, fallback="no"), default="no"),
        "owns_record": Key(Text(), default="", doc="the DMARC record that the provider publishes itself"),
        "cname": Key(HOST, default="", doc="what _dmarc is an alias of, where the provider keeps the record"),
    },
)
PORT = Mapped(
    name="a port",
    build=model.Port,
    fallback=model.Port(0, "implicit"),
    keys={
        "port": Key(Number(low=1, high=65535), required=True),
        "tls": Key(Text(choices=("implicit", "starttls"), fallback="implicit"), required=True),
    },
)
SUBMISSION = Mapped(
    name="submission",
    build=model.Submission,
    keys={
        "host": Key(HOST, required=True),
        "ports": Key(Many(PORT), required=True, doc="the best one first"),
        "username": Key(Text(), default=""),
        "password": Key(Text(), default=""),
        "login": Key(
            Text(pattern=r"[A-Za-z0-9._@-]+|\{secret\}", wanted="a user name, or {secret}"),
            default="",
            doc="the user name, where it is the same for every customer; {secret} where it is the password too",
        ),
    },
)
MTA_STS = Mapped(
    name="mta_sts",
    build=model.MtaSts,
    keys={
        "cname": Key(HOST, required=True),
        "mx": Key(Many(Text()), required=True),
        "max_age": Key(Number(low=86400, high=31557600), required=True),
        "mode": Key(Text(choices=("testing", "enforce"), fallback="enforce"), default="enforce"),
    },
)
TAKES = Mapped(
    name="the words of a direction",
    build=model.Takes,
    fallback=model.Takes(),
    keys={"required": Key(LINES, default=()), "optional": Key(LINES, default=())},
)
BY_HAND = Mapped(
    name="by_hand",
    build=model.ByHand,
    fallback=model.ByHand(),
    keys={"once": Key(LINES, default=()), "each_address": Key(LINES, default=())},
)
COEXIST = Mapped(
    name="coexist",
    build=model.Coexist,
    fallback=model.Coexist(),
    keys={"managed_by_api": Key(Flag(), default=False), "locks_dns": Key(Flag(), default=False)},
)

PROFILE = Mapped(
    name="a provider's profile",
    build=model.Profile,
    keys={
        "id": Key(Text(pattern=r"[a-z][a-z0-9_]*", wanted="a word such as some_provider"), required=True),
        "title": Key(Text(), required=True),
        "roles": Key(Many(Text(choices=model.ROLES, fallback="outbound")), required=True),
        "verified_on": Key(Text(pattern=r"\d{4}-\d{2}-\d{2}", wanted="a date such as 2026-11-20"), required=True),
        "sources": Key(LINES, required=True, doc="where the facts were found"),
        "inbound": Key(TAKES, default=model.Takes(), doc="words of the inventory below `inbound`"),
        "outbound": Key(TAKES, default=model.Takes(), doc="words of the inventory below `outbound`"),
        "inputs": Key(Many(INPUT), default=()),
        "mx": Key(Many(MX), default=()),
        "spf": Key(SPF, default=model.Spf()),
        "dkim": Key(Many(DKIM), default=()),
        "return_path": Key(Many(RECORD), default=(), doc="names of the envelope sender"),
        "verification": Key(Many(RECORD), default=(), doc="by which the provider knows the domain's owner"),
        "client_names": Key(Many(RECORD), default=(), doc="CNAME and SRV for mail programs; never proxied"),
        "webmail": Key(HOST, default="", doc="where a name of the user's own for the web mail leads"),
        "dmarc": Key(DMARC, default=model.DmarcCeiling()),
        "submission": Key(SUBMISSION, default=None),
        "mta_sts": Key(MTA_STS, default=None),
        "by_hand": Key(BY_HAND, default=model.ByHand()),
        "limits": Key(Named(Number()), default=()),
        "coexist": Key(COEXIST, default=model.Coexist()),
    },
)

#: What is known of every domain, without an input.
KNOWN_VALUES = ("domain", "dashes", "account")
#: Fills templates to see what becomes of them.
SAMPLE = {"domain": "example.org", "dashes": "example-org"}


def read_profile(data: Any, place: str) -> Tuple[model.Profile, List[Problem]]:
    """A profile out of a file's content. place: the file, for messages. The profile is of use only without problems."""
    reading = Reading()
    profile: model.Profile = PROFILE.read(data, place, reading)
    if profile is None or reading.problems:
        return model.Profile("", "", (), "", ()), reading.problems
    for where, what, fix in _contradictions(profile):
        reading.note("MS-PRO-002", f"{place}: {where}", None, what, fix)
    return _with_step(profile), reading.problems


def _with_step(profile: model.Profile) -> model.Profile:
    """Where nothing else is to be done for an address, mail programs still have to be told where mail is handed in."""
    if not profile.sends or profile.submission is None or profile.by_hand.each_address:
        return profile
    by_hand = dataclasses.replace(profile.by_hand, each_address=(profile.submission.step,))
    return dataclasses.replace(profile, by_hand=by_hand)


#: (part of the profile, what is wrong, fix)
_Found = List[Tuple[str, str, str]]


def _contradictions(profile: model.Profile) -> _Found:
    return [
        *_placeholders(profile),
        *_inputs(profile),
        *_directions(profile),
        *_keys(profile),
        *_names(profile),
        *_spf(profile),
    ]


def _templates(profile: model.Profile) -> List[Tuple[str, str]]:
    """(part of the profile, text) of everything that is filled in for a domain before it is published."""
    out = [("mx", m.host) for m in profile.mx] + [("spf", name) for name in profile.spf.include]
    out += [("dkim", text) for d in profile.dkim for text in (d.selector, d.value)]
    for part in ("return_path", "verification", "client_names"):
        out += [(part, text) for r in getattr(profile, part) for text in (r.name, r.value)]
    out += [("webmail", profile.webmail), ("dmarc.cname", profile.dmarc.cname)]
    return out + ([("submission", profile.submission.host)] if profile.submission else [])


def _placeholders(profile: model.Profile) -> _Found:
    found: _Found = []
    inputs = {i.name for i in profile.inputs}
    used = {i.unless for i in profile.inputs}
    for where, text in _templates(profile):
        for name in model.PLACEHOLDER.findall(text):
            used.add(name)
            if name not in inputs and name not in KNOWN_VALUES:
                found.append((where, f"'{{{name}}}' has no input", f"add an input '{name}', or correct the name"))
    for name in sorted(inputs - used):
        found.append(
            ("inputs", f"'{name}' is asked for and nothing uses it", f"write {{{name}}} somewhere, or drop it")
        )
    return found


def _inputs(profile: model.Profile) -> _Found:
    found: _Found = []
    names = [i.name for i in profile.inputs]
    for name in sorted({n for n in names if names.count(n) > 1 or n in KNOWN_VALUES}):
        found.append(("inputs", f"'{name}' is there twice", "let every input have a name of its own"))
    for one in profile.inputs:
        try:
            pattern = re.compile(one.pattern)
        except re.error as error:
            what = f"the pattern {one.pattern!r} is none: {error}"
            found.append(("inputs", what, "correct the regular expression"))
            continue
        default = [model.filled(one.default, SAMPLE)] if one.default else []
        for value in (*one.choices, *default) if one.pattern else ():
            if not pattern.fullmatch(value):
                found.append(
                    ("inputs", f"'{value}' does not match the pattern of {one.name}", "correct one of the two")
                )
        if one.choices and one.default and one.default not in one.choices:
            what = f"the default of {one.name} is none of its choices"
            found.append(("inputs", what, f"use one of {', '.join(one.choices)}"))
        if one.default and one.required:
            found.append(("inputs", f"{one.name} is required and has a default", "drop one of the two"))
        if one.unless and (one.unless not in names or one.unless == one.name):
            found.append(
                ("inputs", f"{one.name} is not needed with '{one.unless}', which is no other input", "correct it")
            )
    return found


def _directions(profile: model.Profile) -> _Found:
    found: _Found = []
    for role, takes in (("inbound", profile.inbound), ("outbound", profile.outbound)):
        if role not in profile.roles and takes != model.Takes():
            found.append((role, f"words for {role} without that role", f"add the role {role}, or drop the words"))
        elif role in profile.roles and profile.inputs and "inputs" not in (*takes.required, *takes.optional):
            found.append((role, "there are inputs, and nowhere to write them", f"add the word inputs to {role}"))
    if profile.takes_mail and not profile.mx:
        found.append(("mx", "it takes mail and has no exchanger", "list its exchangers"))
    for part in ("mx", "webmail"):
        if getattr(profile, part) and not profile.takes_mail:
            found.append((part, f"{part} without the role inbound", f"add the role inbound, or drop {part}"))
    if profile.sends and not profile.dmarc.reason:
        found.append(
            ("dmarc", "it sends and does not say what DMARC allows", "add max_policy, the alignments and the reason")
        )
    aligned = {profile.dmarc.aligned_spf, profile.dmarc.aligned_dkim} - {"no"}
    if profile.sends and profile.dmarc.max_policy != model.POLICIES[0] and not aligned:
        what = f"it allows {profile.dmarc.max_policy}, and nothing of its mail is aligned"
        found.append(("dmarc", what, "let max_policy be none, or say what is aligned"))
    if profile.dmarc.cname and profile.dmarc.owns_record:
        found.append(("dmarc", "a record of the provider's own, and an alias in the same place", "keep one of the two"))
    return found


def _keys(profile: model.Profile) -> _Found:
    found: _Found = []
    for record in profile.dkim:
        if (record.kind == "managed") == bool(record.value):
            what = f"a {record.kind} key {'has' if record.value else 'lacks'} a value"
            found.append(("dkim", what, "txt and cname need a value, managed has none"))
    selectors = [d.selector for d in profile.dkim]
    for selector in sorted({s for s in selectors if selectors.count(s) > 1}):
        found.append(("dkim", f"the selector '{selector}' is there twice", "one name holds one key"))
    return found


def _names(profile: model.Profile) -> _Found:
    found: _Found = []
    allowed = {
        "return_path": ("CNAME", "MX", "TXT"),
        "verification": ("CNAME", "TXT"),
        "client_names": ("CNAME", "SRV"),
    }
    for part, types in allowed.items():
        for record in getattr(profile, part):
            if record.type not in types:
                found.append((part, f"{record.type} is no type of these records", f"use one of {', '.join(types)}"))
            elif not record.name and record.type != "TXT":
                what = f"a {record.type} at the domain itself would take the place of its own records"
                found.append((part, what, "give the record a name below the domain"))
    for record in profile.return_path:
        if not record.name and record.type == "TXT":
            found.append(
                ("return_path", "a policy at the domain itself", "name its includes in spf, with the scope apex")
            )
    return found


def _spf(profile: model.Profile) -> _Found:
    """Includes at the domain are merged with those of others; those of a return path stand in its own record."""
    spf = profile.spf
    if (spf.scope == "apex") != bool(spf.include) and spf.scope != "return_path":
        what = (
            f"the scope is {spf.scope}, and there {'are' if spf.include else 'is no'} include{'s' * bool(spf.include)}"
        )
        return [("spf", what, "let the scope be none without includes, apex or return_path with them")]
    texts = [r.value.split() for r in profile.return_path if r.type == "TXT"]
    if spf.scope == "return_path" and not profile.coexist.managed_by_api:
        missing = [name for name in spf.include if not any(f"include:{name}" in words for words in texts)]
        if missing:
            fix = "write the whole SPF record of the return path into return_path"
            return [("spf", f"no record of the return path includes {', '.join(missing)}", fix)]
    return []


def json_schema() -> Dict[str, Any]:
    """The JSON Schema (2020-12) of a profile's file, kept in templates/providers/schema.json."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "mailstead provider profile",
        **PROFILE.schema(),
    }
