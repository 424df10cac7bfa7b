# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user copied out of a provider's console: understood in any of the forms consoles show, and judged."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import re
from typing import Callable, Dict, List, Mapping, Set, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.dns import rdata
from ansible_collections.mailstead.stack.plugins.module_utils.dns.policies import dkim_problem, tags
from ansible_collections.mailstead.stack.plugins.module_utils.intent.shapes import nearest
from ansible_collections.mailstead.stack.plugins.module_utils.providers.model import (
    PLACEHOLDER,
    POLICIES,
    Input,
    Profile,
)

#: Receivers need not verify with shorter RSA keys (RFC 8301 §3.2). That 1024 bits are few is a check's to say.
MIN_RSA_BITS = 1024
ED25519_BYTES = 32

_INVISIBLE = re.compile("[\u200b\u200c\u200d\u2060\ufeff]")
_CURLY = {ord(c): '"' for c in "\u201c\u201d\u201e\u201f\u00ab\u00bb"}
_QUOTED = re.compile(r'"([^"]*)"')
_PEM = re.compile(r"-----(?:BEGIN|END)[A-Z0-9 ]*-----")
#: ``name 3600 IN TXT`` before the data, with or without the name, the time to live and the class.
_RECORD = re.compile(r"^\s*(?:\S+\s+)?(?:\d+\s+)?(?:IN\s+)?(?:\d+\s+)?TXT\s+", re.IGNORECASE)
_VERSION = re.compile(r"\bv\s*=\s*DKIM1\b", re.IGNORECASE)
_BASE64 = re.compile(r"[A-Za-z0-9+/]{40,}={0,2}")
#: The tag of a key.
_KEY_TAG = re.compile(r"(?:^|[;\s])p\s*=", re.IGNORECASE)
_DOMAINKEY = re.compile(r"\._domainkey(\..*)?$", re.IGNORECASE | re.DOTALL)


def cleaned(profile: Profile, given: Mapping[str, str]) -> Dict[str, str]:
    """The values of the profile's inputs, without what was copied around them; defaults stand for what is not given.

    Names that the profile does not know are left out. Cleaning what is clean changes nothing.
    """
    out: Dict[str, str] = {}
    for one in profile.inputs:
        value = _clean(profile, one, str(given.get(one.name, "")))
        if value or one.default:
            out[one.name] = value or one.default
    return out


def problems(profile: Profile, given: Mapping[str, str]) -> List[Tuple[str, str, str]]:
    """What is wrong with the values: (name of the input, what, fix), in the order of the profile, unknown names first."""
    known = [i.name for i in profile.inputs]
    found: List[Tuple[str, str, str]] = []
    for name in given:
        if name not in known:
            fix = f"known are {', '.join(known) or 'none'}.{nearest(name, known)}"
            found.append((name, f"{profile.id} has no input '{name}'", fix))
    written = {name for name, value in given.items() if str(value).strip()}
    for one in profile.inputs:
        if one.name in written:
            value = _clean(profile, one, str(given[one.name]))
            what = _wrong(one, value)
            if what:
                found.append((one.name, what, _fix(one)))
        elif one.required and one.unless not in written:
            other = f" (or '{one.unless}')" if one.unless else ""
            fix = f"add `inputs: {{{one.name}: …}}`; it is at: {one.where}"
            found.append((one.name, f"{profile.id} needs the input '{one.name}'{other}", fix))
    return found


def as_used(profile: Profile, given: Mapping[str, str]) -> Profile:
    """The profile as far as its inputs go: without any key to publish its mail is not signed with the domain's name.

    Some providers show a key only after the first records are visible; until then DMARC must not rest on it.
    """
    values = cleaned(profile, given)
    wanted = [key for key in profile.dkim if key.kind != "managed"]
    needed = [_inputs_in(profile, f"{key.selector} {key.value}") for key in wanted]
    if not wanted or not profile.sends or any(names <= set(values) for names in needed):
        return profile
    lowest = POLICIES.index("none" if profile.dmarc.aligned_spf == "no" else "quarantine")
    policy = POLICIES[min(lowest, POLICIES.index(profile.dmarc.max_policy))]
    missing = ", ".join(one.name for one in profile.inputs if one.name in needed[0] - set(values))
    reason = f"its key is not known yet (inputs: {missing}), so its mail is not signed for the domain"
    if profile.dmarc.aligned_spf != "no":
        reason += ", and SPF alone does not survive forwarding"
    dmarc = dataclasses.replace(profile.dmarc, max_policy=policy, aligned_dkim="no", reason=reason)
    return dataclasses.replace(profile, dmarc=dmarc)


def as_relayed(profile: Profile) -> Profile:
    """The profile of a smarthost whose mail we have signed with the domain's own key before it gets there.

    Where the provider leaves sender and content alone, that signature is aligned whatever else is set up there.
    """
    if profile.dmarc.max_policy == POLICIES[0]:
        return profile
    return dataclasses.replace(profile, dmarc=dataclasses.replace(profile.dmarc, aligned_dkim="strict"))


def _inputs_in(profile: Profile, text: str) -> Set[str]:
    return {one.name for one in profile.inputs} & set(PLACEHOLDER.findall(text))


def _fix(one: Input) -> str:
    if one.choices:
        return f"use one of {', '.join(one.choices)}"
    return f"copy it again, whole; it is at: {one.where}"


def _wrong(one: Input, value: str) -> str:
    """What is wrong with a cleaned value, or nothing."""
    shown = value if len(value) <= 40 else f"{value[:40]}…"
    if one.choices and value not in one.choices:
        return f"'{shown}' is none of the values of {one.name}"
    if one.kind == "dkim":
        return _wrong_key(value)
    if one.kind == "host":
        try:
            labels = rdata.host(value).split(".")
        except rdata.RdataError as error:
            return str(error)
        if len(labels) < 2:
            return f"'{shown}' is no full host name"
    if one.kind == "token" and len(value.split()) != 1:
        return f"'{shown}' has a blank in it"
    if one.pattern and not re.fullmatch(one.pattern, value):
        return f"'{shown}' is no {one.name}"
    return ""


def _wrong_key(record: str) -> str:
    what = dkim_problem(record, MIN_RSA_BITS)
    names = [name for name, _value in tags(record)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        return f"it has {twice[0]}= more than once, which makes it no record (RFC 6376 §3.2): was it pasted twice?"
    key = dict(tags(record)).get("p")
    if key is None:
        return "it is no DKIM record: it has no p= tag"
    if what is None:
        return "" if key else "the key is empty, which revokes it"
    if not _decoded(key):
        what += f": it has {len(key)} characters, a key of 1024 bits has 216 and one of 2048 bits 392"
    return what


def _decoded(key: str) -> bytes:
    try:
        return base64.b64decode(key, validate=True)
    except (binascii.Error, ValueError):
        return b""


# -- what was copied -------------------------------------------------------------------------------------------------


def _clean(profile: Profile, one: Input, value: str) -> str:
    """Until nothing changes any more: a value may be wrapped twice."""
    clean: Callable[[str], str] = _dkim if one.kind == "dkim" else lambda text: _plain(profile, one, text)
    again = clean(value)
    while again != value:
        value, again = again, clean(again)
    return value


def _plain(profile: Profile, one: Input, value: str) -> str:
    value = _INVISIBLE.sub("", value).translate(_CURLY).strip().strip("\"'").strip()
    if one.kind == "host":
        # The name is the last word of a line such as `autodiscover 3600 IN CNAME host.example.net.`
        return value.split()[-1].strip("\"'").rstrip(".").lower() if value else ""
    for prefix, suffix in _around(profile, one.name):
        if len(value) > len(prefix + suffix) and value.startswith(prefix) and value.endswith(suffix):
            value = value[len(prefix) : len(value) - len(suffix)]
    if any(one.name in PLACEHOLDER.findall(key.selector) for key in profile.dkim):
        value = _DOMAINKEY.sub("", value)
    return value


def _around(profile: Profile, name: str) -> List[Tuple[str, str]]:
    """The fixed texts before and after an input in the values that prove ownership: consoles show the whole value."""
    out = []
    for record in profile.verification:
        prefix, found, suffix = record.value.partition("{" + name + "}")
        if found and not PLACEHOLDER.search(prefix + suffix):
            out.append((prefix, suffix))
    return out


def _dkim(value: str) -> str:
    """A DKIM record (RFC 6376 §3.6.1) out of a master-file line, quoted and divided strings, its tags or a bare key."""
    text = _INVISIBLE.sub("", value).translate(_CURLY)
    text = _content(_PEM.sub("", text).replace("\\", ""))
    bare = "".join(text.split())
    if _BASE64.fullmatch(bare):
        kind = "ed25519" if len(_decoded(bare)) == ED25519_BYTES else "rsa"
        return f"v=DKIM1; k={kind}; p={bare}"
    found = [(key, "".join(v.split()) if key == "p" else " ".join(v.split())) for key, v in tags(text)]
    if "p" not in dict(found):
        return " ".join(text.split())
    if "v" not in dict(found):
        found = [("v", "DKIM1"), *([] if "k" in dict(found) else [("k", "rsa")]), *found]
    return "; ".join(f"{key}={v}" for key, v in found)


def _content(text: str) -> str:
    """The data of a TXT record without the record around it. Strings side by side are one (RFC 1035 §3.3.14)."""
    joined = "".join(_QUOTED.findall(text))
    quoted = _KEY_TAG.search(joined) or _BASE64.fullmatch("".join(joined.split()))
    text = joined if quoted else text.replace('"', " ").replace("'", " ")
    version = _VERSION.search(text)
    text = text[version.start() :] if version else _RECORD.sub("", text)
    return text.replace("(", " ").replace(")", " ").strip()
