# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A profile for people: what it would publish for a domain, what it needs to know, what it allows. Pure."""

from __future__ import annotations

import textwrap
from typing import Dict, Iterable, List, Mapping, Sequence, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError
from ansible_collections.mailstead.stack.plugins.module_utils.intent.shapes import nearest
from ansible_collections.mailstead.stack.plugins.module_utils.providers.inputs import as_used, cleaned, problems
from ansible_collections.mailstead.stack.plugins.module_utils.providers.model import (
    PLACEHOLDER,
    Input,
    Profile,
    by_id,
    filled,
)

WIDTH = 118
MEBIBYTE = 1024**2
_ROLES = {"inbound": "takes mail", "outbound": "sends mail", "forwarder": "forwards mail"}
_ALIGNED = {
    "no": "not aligned",
    "relaxed": "aligned (relaxed: below the domain)",
    "strict": "aligned (strict: the domain itself)",
}
#: Values that are shown at the length they have.
_LONGEST = 90
#: Record of a domain as (type, complete name, value, remark).
_Row = Tuple[str, str, str, str]


def show_provider(profile: Profile, domain: str, given: Mapping[str, str], own: bool = False) -> str:
    """Everything that a profile says, for one domain. given: values of its inputs; own: it stands beside the inventory."""
    values = {"domain": domain, "dashes": domain.replace(".", "-"), **cleaned(profile, given)}
    roles = ", ".join(_ROLES[role] for role in profile.roles)
    whose = "Described beside your inventory. " if own else ""
    dated = f"{whose}Facts of {profile.verified_on}; providers change such facts without notice."
    lines = [f"{profile.title} ({profile.id}): {roles}", dated]
    wrong = problems(profile, given) if given else []
    if wrong:
        lines += ["", "Wrong in the inputs"]
        for name, what, fix in wrong:
            lines += _wrapped(f"{name}: {what}. Fix: {fix}")
    lines += _records(profile, domain, values)
    lines += _inputs(profile, values)
    lines += _dmarc(as_used(profile, given) if given else profile, values)
    lines += _submission(profile, values)
    lines += _limits(profile)
    lines += _by_hand(profile, domain, values)
    lines += ["", "In the inventory", "  mail_domains:", *(f"    {line}" for line in inventory(profile, domain, given))]
    return "\n".join([*lines, "", "Sources", *(f"  {source}" for source in profile.sources)])


def show_list(profiles: Iterable[Profile], own: Sequence[str] = (), replaced: Sequence[str] = ()) -> str:
    """One line for each profile. own: those beside the inventory; replaced: those of them that stand in for ours."""
    known = sorted(profiles, key=lambda p: p.id)
    width = max(len(p.id) for p in known)
    lines = [f"{'Provider':<{width}}  Takes  Sends  DMARC up to  Facts of    Name"]
    for one in known:
        takes, sends = ("yes" if does else "-" for does in (one.takes_mail, one.sends))
        policy = one.dmarc.max_policy if one.sends else "-"
        mine = (" (yours, in place of ours)" if one.id in replaced else " (yours)") if one.id in own else ""
        lines.append(f"{one.id:<{width}}  {takes:<5}  {sends:<5}  {policy:<11}  {one.verified_on}  {one.title}{mine}")
    return "\n".join([*lines, "", "More about one of them: -e show=<provider> -e domain=<your domain>"])


def find(profiles: Iterable[Profile], provider: str) -> Profile:
    """The profile with an id. Raises MailsteadError when there is none."""
    known = by_id(profiles)
    if provider not in known:
        fix = f"known are {', '.join(sorted(known))}.{nearest(provider, known)}"
        raise MailsteadError.one("MS-PRO-004", "show", f"there is no provider '{provider}'", fix)
    return known[provider]


def _wrapped(text: str, mark: str = "  ", deeper: int = 0) -> List[str]:
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=mark,
        subsequent_indent=" " * (len(mark) + deeper),
        break_long_words=False,
        break_on_hyphens=False,
    )


# -- records ---------------------------------------------------------------------------------------------------------


def rows(profile: Profile, domain: str, values: Mapping[str, str]) -> List[_Row]:
    """What would be published, with values as far as they are known."""

    def at(label: str) -> str:
        return f"{filled(label, values)}.{domain}" if label else domain

    out: List[_Row] = []
    for mx in profile.mx:
        preference = "<assigned>" if mx.preference is None else str(mx.preference)
        remark = "the provider assigns the preference to each zone" if mx.preference is None else ""
        out.append(("MX", domain, f"{preference} {filled(mx.host, values)}", remark))
    if profile.spf.scope == "apex":
        includes = " ".join(f"include:{filled(name, values)}" for name in profile.spf.include)
        out.append(("TXT", domain, f"v=spf1 {includes} {profile.spf.all}", _spf_remark(profile)))
    for key in profile.dkim:
        kind = "CNAME" if key.kind == "cname" else "TXT"
        value, remark = (filled(key.value, values), "") if key.value else ("<assigned>", "kept by the provider")
        out.append((kind, at(f"{key.selector}._domainkey"), value, remark))
    remarks = (
        (profile.return_path, "return path"),
        (profile.verification, "shows that the domain is yours"),
        (profile.client_names, "for mail programs"),
    )
    for templates, remark in remarks:
        out += [(one.type, at(one.name), filled(one.value, values), remark) for one in templates]
    if profile.webmail:
        out.append(
            ("CNAME", at("<name>"), filled(profile.webmail, values), "web mail, with `webmail: <name>`; never proxied")
        )
    return out


def _spf_remark(profile: Profile) -> str:
    if profile.spf.optional:
        return "only with `spf_authorize: true`; aligns nothing"
    cost = f"{profile.spf.cost_hint} of the 10 look-ups" if profile.spf.cost_hint else "look-ups not measured"
    return f"{cost}; merged with other senders"


def _records(profile: Profile, domain: str, values: Mapping[str, str]) -> List[str]:
    found = rows(profile, domain, values)
    if not found:
        return ["", f"Publishes nothing for {domain}"]
    lines = ["", f"What it would publish for {domain}"]
    width = max(len(name) for _kind, name, _value, _remark in found)
    missing = sorted({n for row in found for n in PLACEHOLDER.findall(row[1] + row[2])})
    for kind, name, value, remark in found:
        shown = value if len(value) <= _LONGEST else f"{value[: _LONGEST - 1]}…"
        lines.append(f"  {kind:<5}  {name:<{width}}  {shown}" + (f"  # {remark}" if remark else ""))
    lines.append("  The plan adds records of its own: DMARC, TLS-RPT.")
    if missing:
        lines += _wrapped(
            f"What stands in braces is an input; without it the record is left out: {', '.join(missing)}."
        )
    return lines


# -- the rest --------------------------------------------------------------------------------------------------------


def _inputs(profile: Profile, values: Mapping[str, str]) -> List[str]:
    words = [word for word in (*profile.inbound.required, *profile.outbound.required) if word != "inputs"]
    if not profile.inputs:
        return ["", f"Needs to know {', '.join(words)}" if words else "Needs to know nothing but the domain"]
    lines = ["", "What it needs to know"]
    for one in profile.inputs:
        lines += _wrapped(f"{one.name} ({input_words(one, values)}): {one.where}", deeper=4)
    return lines


def input_words(one: Input, values: Mapping[str, str]) -> str:
    """Whether a value is needed, and which are possible."""
    need = "needed" if one.required else "if you have it"
    if one.required and one.unless:
        need = f"needed, or {one.unless}"
    if one.default:
        need = f"{filled(one.default, values)} if not given"
    return need + (f"; one of {', '.join(one.choices)}" if one.choices else "")


def _dmarc(profile: Profile, values: Mapping[str, str]) -> List[str]:
    if not profile.sends:
        return []
    dmarc = profile.dmarc
    lines = ["", f"DMARC: p={dmarc.max_policy} at most, with this sender", *_wrapped(f"{dmarc.reason}.")]
    lines.append(f"  SPF {_ALIGNED[dmarc.aligned_spf]}; DKIM {_ALIGNED[dmarc.aligned_dkim]}")
    if dmarc.owns_record:
        lines.append(f"  It publishes a record itself: {dmarc.owns_record}")
    if dmarc.cname:
        what = f"It asks for an alias in place of a policy, _dmarc to {filled(dmarc.cname, values)}. "
        lines += _wrapped(what + "The plan publishes a policy of its own: one name holds one of the two.")
    return lines


def _submission(profile: Profile, values: Mapping[str, str]) -> List[str]:
    place = profile.submission
    if place is None:
        return []
    ports = ", ".join(port.words for port in place.ports)
    lines = ["", "Mail programs and servers hand in mail at", *_wrapped(f"{filled(place.host, values)}, {ports}")]
    lines += _wrapped(f"user name: {place.username}") if place.username else []
    return lines + (_wrapped(f"password: {place.password}") if place.password else [])


def limit_words(name: str, value: int) -> str:
    """A limit as people say it."""
    if name.endswith("_bytes"):
        return f"{name[: -len('_bytes')]} size: {value / MEBIBYTE:g} MiB"
    return f"{name.replace('_per_', ' per ').replace('_', ' ')}: {value:,}"


def _limits(profile: Profile) -> List[str]:
    if not profile.limits:
        return []
    return ["", "Limits", *(f"  {limit_words(name, value)}" for name, value in profile.limits)]


def _by_hand(profile: Profile, domain: str, values: Mapping[str, str]) -> List[str]:
    told = profile.submission.step if profile.submission else ""
    steps = [step for step in (*profile.by_hand.once, *profile.by_hand.each_address) if step != told]
    if not steps:
        return []
    known: Dict[str, str] = {"address": f"you@{domain}", "account": "<your account>", **values}
    lines = ["", "By hand, at the provider"]
    for number, step in enumerate(steps, start=1):
        lines += _wrapped(filled(step, known), f"  {number}. ")
    return lines


def inventory(profile: Profile, domain: str, given: Mapping[str, str]) -> List[str]:
    """The lines of mail_domains with which the provider is used."""
    shown = {i.name: given.get(i.name, "…") for i in profile.inputs if i.required or i.name in given}
    fields = [
        f"    {name}: {value if len(value) <= _LONGEST else value[: _LONGEST - 1] + '…'}"
        for name, value in shown.items()
    ]
    if profile.takes_mail:
        word = "provider" if profile.sends else "inbound"
        lines = [f"- name: {domain}", f"  {word}: {profile.id}"]
        return [*lines, *(["  inputs:", *fields] if fields else [])]
    more = ["    account: you@example.net"] if "account" in profile.outbound.required else []
    deeper = ["    inputs:", *(f"  {field}" for field in fields)] if fields else []
    return [f"- name: {domain}", "  outbound:", f"    provider: {profile.id}", *more, *deeper]
