# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The words of a profile's file, with the same shapes as the inventory's; the JSON Schema of profiles comes from here."""

from __future__ import annotations

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

HOST = Text(pattern=r"[A-Za-z0-9_{}-]+(\.[A-Za-z0-9_{}-]+)+", wanted="a host name")
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
        "id": Key(Text(pattern=r"[a-z][a-z0-9_]*", wanted="a word such as gmail_personal"), required=True),
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
        "records": Key(Many(RECORD), default=(), doc="return paths, verification and names for mail programs"),
        "dmarc": Key(DMARC, default=model.DmarcCeiling()),
        "submission": Key(SUBMISSION, default=None),
        "mta_sts": Key(MTA_STS, default=None),
        "by_hand": Key(BY_HAND, default=model.ByHand()),
        "limits": Key(Named(Number()), default=()),
        "coexist": Key(COEXIST, default=model.Coexist()),
    },
)

_PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")
#: What is known of every domain, without an input.
KNOWN_VALUES = ("domain", "dashes")


def read_profile(data: Any, place: str) -> Tuple[model.Profile, List[Problem]]:
    """A profile out of a file's content. place: the file, for messages. The profile is of use only without problems."""
    reading = Reading()
    profile: model.Profile = PROFILE.read(data, place, reading)
    if profile is None or reading.problems:
        return model.Profile("", "", (), "", ()), reading.problems
    for where, what, fix in _contradictions(profile):
        reading.note("MS-PRO-002", f"{place}: {where}", None, what, fix)
    return profile, reading.problems


def _contradictions(profile: model.Profile) -> List[Tuple[str, str, str]]:
    found: List[Tuple[str, str, str]] = []
    inputs = {i.name for i in profile.inputs}
    templates = [("records", r.value) for r in profile.records] + [("records", r.name) for r in profile.records]
    templates += [("dkim", text) for d in profile.dkim for text in (d.value, d.selector)]
    for where, text in templates:
        for name in _PLACEHOLDER.findall(text):
            if name not in inputs and name not in KNOWN_VALUES:
                found.append((where, f"'{{{name}}}' has no input", f"add an input '{name}', or correct the name"))
    for record in profile.dkim:
        if (record.kind == "managed") == bool(record.value):
            what = f"a {record.kind} key {'has' if record.value else 'lacks'} a value"
            found.append(("dkim", what, "txt and cname need a value, managed has none"))
    for role, takes in (("inbound", profile.inbound), ("outbound", profile.outbound)):
        if role not in profile.roles and takes != model.Takes():
            found.append((role, f"words for {role} without that role", f"add the role {role}, or drop the words"))
    if profile.takes_mail and not profile.mx:
        found.append(("mx", "it takes mail and has no exchanger", "list its exchangers"))
    for text in (i.pattern for i in profile.inputs):
        try:
            re.compile(text)
        except re.error as error:
            found.append(("inputs", f"the pattern {text!r} is none: {error}", "correct the regular expression"))
    return found


def json_schema() -> Dict[str, Any]:
    """The JSON Schema (2020-12) of a profile's file, kept in templates/providers/schema.json."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "mailstead provider profile",
        **PROFILE.schema(),
    }
