# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must never be published: checks of the wanted records alone, and of a zone as it would be afterwards.

Every check reports a Problem; those listed in codes.GUARDS are left out when ``allow`` names them. What happens then is
listed in codes.OVERRIDES.
"""

from __future__ import annotations

import dataclasses
import re
from collections import Counter, defaultdict
from typing import Dict, Iterable, List, Optional, Sequence, Set, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import Problem
from ansible_collections.mailstead.stack.plugins.module_utils.dns import rdata, spf
from ansible_collections.mailstead.stack.plugins.module_utils.dns.codes import GUARDS
from ansible_collections.mailstead.stack.plugins.module_utils.dns.policies import CRITICAL_KINDS, dkim_problem, kind_of
from ansible_collections.mailstead.stack.plugins.module_utils.dns.records import (
    PROVIDER_TYPES,
    Change,
    Have,
    Options,
    Want,
    ZoneDiff,
)
from ansible_collections.mailstead.stack.plugins.module_utils.dns.spf_relief import load_of, proposals, told
from ansible_collections.mailstead.stack.plugins.module_utils.plan.phases import PHASES

TXT_MAX = 2048  #: bytes of one TXT record
TXT_SUM_MAX = 8192  #: bytes of all TXT records of one name
TTL_RANGE = (30, 86400)  #: 30 on the provider's largest plan, 60 elsewhere; 1 stands for automatic
OWN_KEYS = ("dkim-r", "dkim-e")  #: roles of keys that are made here; all others are their senders'
THEIR_RSA_BITS = 1024  #: what receivers still verify (RFC 8301 §3.2); some providers make no longer ones
ADDRESS_LIKE = ("A", "AAAA", "CNAME")
#: The percentage of max_delete_percent is looked at from this many owned records on.
PERCENT_FROM = 10


def place(zone: str, rtype: str, name: str) -> str:
    return f"zone {zone}: {rtype} {name}"


class Collector:
    """Gathers problems and notes; a guard that is overridden by name reports no problem."""

    def __init__(self, zone: str, options: Options) -> None:
        self.zone = zone
        self.allow = options.allow
        self.senders = options.spf_senders
        self.problems: List[Problem] = []
        self.notes: List[str] = []

    def add(self, code: str, rtype: str, name: str, what: str, fix: str) -> None:
        self.problems.append(Problem(code, place(self.zone, rtype, name), what, fix))

    def guard(self, guard: str, rtype: str, name: str, what: str, fix: str) -> None:
        if guard not in self.allow:
            self.add(
                GUARDS[guard],
                rtype,
                name,
                what,
                f"{fix} To go on regardless: allow: [{guard}] (in the inventory: dns_allow).",
            )

    def leave_out(self, guard: str, rtype: str, name: str, what: str, fix: str) -> None:
        """A guard in front of what cannot be done anyway: overridden, it leaves the record out and notes why."""
        self.guard(guard, rtype, name, what, fix)
        if guard in self.allow:
            self.notes.append(f"{rtype} {name}: left out, {what}")


def check_wants(
    zone: str, wants: Iterable[Want], options: Options, collector: Optional[Collector] = None
) -> Tuple[List[Want], List[Problem]]:
    """The wanted records in canonical form, each once, and everything that is wrong with them.

    Records with problems are left out of the result, as are those of a later phase whose value is not known yet and those
    an overridden guard leaves out. collector: gets the problems and notes, too.
    """
    found = collector or Collector(zone, options)
    if not re.fullmatch(r"[^:\s]+", options.instance):
        what = f"the instance {options.instance!r} is empty, or holds a blank or a colon"
        found.add("MS-DNS-006", "*", zone, what, "Use letters, digits and hyphens.")
    out: Dict[Tuple[str, str, str], Want] = {}
    for raw in wants:
        want = _check_one(found, raw, options)
        if want is None:
            continue
        known = out.setdefault(want.key, want)
        if (known.ttl, known.phase, known.bare) != (want.ttl, want.phase, want.bare):
            what = f"{want.content!r} is wanted twice: {known.phase}, {known.ttl} s and {want.phase}, {want.ttl} s"
            found.add("MS-DNS-007", want.type, want.name, what, "Keep one of the two.")
    _check_together(found, list(out.values()))
    return list(out.values()), found.problems


def _check_one(found: Collector, raw: Want, options: Options) -> Optional[Want]:
    before = len(found.problems)
    if raw.phase not in PHASES:
        what = f"the phase {raw.phase!r} does not exist"
        found.add("MS-DNS-004", raw.type, raw.name, what, f"Use one of {', '.join(PHASES)}.")
        return None
    if raw.unresolved:
        if options.active(raw.phase):
            what = "its value is not known yet (no key or certificate has been read)"
            fix = "Run the step that makes the key or certificate first, or stop at an earlier through_phase."
            found.add("MS-DNS-005", raw.type, raw.name, what, fix)
        return None
    if raw.type in PROVIDER_TYPES:
        fix = "Take the record out."
        found.leave_out("ns_soa", raw.type, raw.name, "this type belongs to the DNS provider", fix)
        return None
    try:
        want = dataclasses.replace(raw, name=rdata.name(raw.name), content=rdata.canonical(raw.type, raw.content))
    except rdata.RdataError as error:
        fix = f"Correct the record's name or content. Names are written in full, like mail.{found.zone}."
        found.add("MS-DNS-001", raw.type, raw.name, str(error), fix)
        return None
    if want.type in ("CNAME", "DNAME") and want.content == want.name:
        found.add("MS-DNS-001", want.type, want.name, "it points to itself", "Point it to another name.")
    if not rdata.within(want.name, found.zone):
        fix = f"Names are written in full and end in .{found.zone} here; put others into the list of their own zone."
        what = f"the name is not in the zone {found.zone}"
        found.leave_out("outside_zone", want.type, want.name, what, fix)
        return None
    if want.bare is not None:
        # Somebody else's words, put back: their sense is not ours to judge.
        bare = dataclasses.replace(want.bare, name=want.name, type=want.type, content=want.content, id="")
        want = dataclasses.replace(want, bare=bare)
    else:
        _check_ours(found, want, options)
    return want if len(found.problems) == before else None


def _check_ours(found: Collector, want: Want, options: Options) -> None:
    if want.ttl != 1 and not TTL_RANGE[0] <= want.ttl <= TTL_RANGE[1]:
        what = f"a time to live of {want.ttl} s is out of range"
        found.add("MS-DNS-004", want.type, want.name, what, "Use 60 to 86400 seconds, or 1 for automatic.")
    pointed = rdata.target(want.type, want.content)
    if pointed and "." not in pointed:
        fix = f"Write it in full, like {pointed}.{found.zone}."
        found.add("MS-DNS-001", want.type, want.name, f"it points to {pointed!r}, which is no full name", fix)
    head = f"mailstead:{options.instance}:{want.role}"
    if not re.fullmatch(r"\S+", want.role):
        what = f"the role {want.role!r} is empty or holds a blank"
        found.add("MS-DNS-006", want.type, want.name, what, "Use letters, digits and hyphens.")
    elif len(head) > options.comment_limit:
        what = f"the ownership mark {head!r} is longer than {options.comment_limit} characters"
        found.add("MS-DNS-006", want.type, want.name, what, "Use a shorter name for the instance or the role.")
    if want.type == "TXT":
        _check_txt(found, want, options)


def _check_txt(found: Collector, want: Want, options: Options) -> None:
    if want.content.startswith('"') and kind_of(want.name, "TXT", rdata.txt_decode(want.content)):
        fix = "Leave them out: the text is quoted and divided where it is written."
        found.add("MS-DNS-001", "TXT", want.name, "the quotation marks would become a part of the text", fix)
        return
    size = len(rdata.to_bytes(want.content))
    if size > TXT_MAX:
        what = f"the text has {size} bytes, a record holds {TXT_MAX}"
        found.guard("txt_size", "TXT", want.name, what, "Shorten it (a DKIM key above 4096 bits does not fit).")
    kind = kind_of(want.name, want.type, want.content)
    if kind == "spf":
        check_spf(found, want.name, want.content)
    elif kind == "dkim":
        theirs = want.role.startswith("dkim-") and want.role not in OWN_KEYS
        least = min(THEIR_RSA_BITS, options.dkim_min_rsa_bits) if theirs else options.dkim_min_rsa_bits
        problem = dkim_problem(want.content, least)
        if problem:
            again = (
                "Copy the value from the provider's console again"
                if theirs
                else "Read the public key from the private one again"
            )
            fix = f"{again} and publish it whole."
            found.guard("dkim_key", "TXT", want.name, problem, fix)


def check_spf(found: Collector, name: str, text: str) -> None:
    """Syntax, +all and the record's own look-ups. What its includes cost is measured once it is to be written."""
    try:
        record = spf.parse(text)
    except spf.SpfError as error:
        found.add("MS-DNS-015", "TXT", name, f"the SPF record cannot be read: {error}", "Correct the record.")
        return
    check_spf_all(found, name, record)
    if record.lookups > spf.MAX_LOOKUPS:
        what = f"the record needs {record.lookups} DNS look-ups, not counting those inside its includes"
        ways = told(proposals([load_of(t.text, t.lookups, 0, found.senders) for t in record.mechanisms], name))
        found.guard("spf_lookups", "TXT", name, what, f"Until at most {spf.MAX_LOOKUPS} remain: {ways}.")


def check_spf_all(found: Collector, name: str, record: spf.Spf) -> None:
    if record.all is not None and record.all.qualifier == "+":
        what = f"'{record}' lets the whole world send in the domain's name"
        found.guard("spf_all", "TXT", name, what, "End the record in -all or ~all.")


def _check_together(found: Collector, wants: Sequence[Want]) -> None:
    types: Dict[str, Counter[str]] = defaultdict(Counter)
    kinds: Dict[Tuple[str, str], List[Want]] = defaultdict(list)
    for want in wants:
        types[want.name][want.type] += 1
        kind = kind_of(want.name, want.type, want.content)
        if kind in CRITICAL_KINDS or kind == "dkim":
            kinds[(want.name, kind)].append(want)
    for name, counted in types.items():
        if cname_clash(found.zone, name, counted):
            what = f"a CNAME is wanted beside {_others(counted)}"
            found.guard("cname_conflict", "CNAME", name, what, "Want either the CNAME or the other records.")
    for (name, kind), group in kinds.items():
        if len(group) > 1:
            what = f"{len(group)} {kind} records are wanted: " + " and ".join(repr(w.content) for w in group)
            found.guard("duplicate_policy", "TXT", name, what, "Combine them into one record.")


def _others(counted: Counter[str]) -> str:
    return ", ".join(sorted(t for t in counted if t != "CNAME")) or "another CNAME"


def cname_clash(zone: str, name: str, counted: Counter[str]) -> bool:
    """Whether the types of one name exclude each other. At the apex a CNAME is flattened: it excludes addresses only."""
    if not counted["CNAME"]:
        return False
    if counted["CNAME"] > 1:
        return True
    others = set(counted) - {"CNAME"}
    return bool(others & {"A", "AAAA"} if name == zone else others)


def check_after(
    found: Collector,
    wants: Sequence[Want],
    changes: Sequence[Change],
    after: Sequence[Have],
    later: Sequence[Want] = (),
) -> None:
    """Guards on one zone as it would be, as far as names are concerned where something of ours is published.

    later: what the phases after this one will publish.
    """
    names = {w.name for w in wants}
    types: Dict[str, Counter[str]] = defaultdict(Counter)
    kinds: Counter[Tuple[str, str]] = Counter()
    sizes: Counter[str] = Counter()
    for have in after:
        types[have.name][have.type] += 1
        kinds[(have.name, kind_of(have.name, have.type, have.content))] += 1
        if have.type == "TXT":
            sizes[have.name] += len(rdata.to_bytes(have.content))
    cuts = [h.name for h in after if h.type == "NS" and h.name != found.zone]
    told = {p.where.rsplit(" ", 1)[-1] for p in found.problems}
    for name in sorted(names):
        # One word about a name is enough: what is wrong with its records has been said where it was found.
        if name in told:
            continue
        if cname_clash(found.zone, name, types[name]):
            what = f"a CNAME would stand beside {_others(types[name])}"
            found.guard("cname_conflict", "CNAME", name, what, "Remove one of them by hand or choose another name.")
        for kind in CRITICAL_KINDS:
            if kinds[(name, kind)] > 1:
                what = f"the name would have {kinds[(name, kind)]} {kind} records; receivers then use none"
                found.guard("duplicate_policy", "TXT", name, what, "Remove all but one by hand.")
        if sizes[name] > TXT_SUM_MAX:
            what = f"the TXT records of the name would have {sizes[name]} bytes, {TXT_SUM_MAX} are allowed"
            found.guard("txt_size", "TXT", name, what, "Remove TXT records that nobody needs any more.")
        for cut in cuts:
            if rdata.within(name, cut):
                what = f"{cut} is delegated to other name servers: nobody asks this zone for the name"
                found.guard("delegation", "NS", name, what, f"Publish in the zone {cut}, or remove the delegation.")
    _check_last_mx(found, changes, after)
    _check_wildcard_mx(found, changes, after, later)


def _check_last_mx(found: Collector, changes: Sequence[Change], after: Sequence[Have]) -> None:
    served = {h.name for h in after if h.type == "MX"}
    for name in sorted({c.record.name for c in changes if c.action == "delete" and c.record.type == "MX"} - served):
        what = "its last MX would go: mail for the name would no longer be deliverable"
        found.guard("last_mx", "MX", name, what, "Want another MX for the name, or the null MX '0 .'.")


def _check_wildcard_mx(
    found: Collector, changes: Sequence[Change], after: Sequence[Have], later: Sequence[Want]
) -> None:
    """A wildcard stands for names that do not exist; any record at or below one makes it exist (RFC 4592 §2.2).

    Names for services and policies (``_dmarc``) get no mail; one with an address has its mail there (RFC 5321 §5.1).
    """
    wild = {h.name[2:]: h.content for h in after if h.type == "MX" and h.name.startswith("*.") and h.content != "0 ."}
    if not wild:
        return
    there = [h.name for h in after if h.id] + [c.before.name for c in changes if c.before is not None]
    before = {node for name in there for node in _nodes(name, found.zone)}
    new = {node for c in changes if c.action == "create" for node in _nodes(c.record.name, found.zone)} - before
    served = {h.name for h in after if h.type in ("MX", *ADDRESS_LIKE)} | {w.name for w in later if w.type == "MX"}
    for name in sorted(new - served):
        encloser = next((n for n in _nodes(name, found.zone)[1:] if n in before), found.zone)
        if encloser in wild and not any(label.startswith(("_", "*")) for label in name.split(".")):
            what = f"it begins to exist, so that *.{encloser} MX {wild[encloser]} stands for it no longer: its mail would be lost"
            fix = f"Publish an MX for {name} with it (where a service routes its mail: switch that on first)."
            found.guard("wildcard_mx", "MX", name, what, fix)


def _nodes(name: str, zone: str) -> List[str]:
    """A name and those between it and the zone, which exist by it; the zone last (RFC 8020)."""
    out = []
    while name != zone and "." in name:
        out.append(name)
        name = _parent(name)
    return [*out, zone]


def check_deletes(found: Collector, changes: Sequence[Change], owned: int, options: Options) -> None:
    """Guard delete_limit. owned: records of the zone that are ours or taken over.

    A deletion beside a new record at the same name is a replacement and does not count, but in mode zone all do.
    """
    renewed = {c.record.name for c in changes if c.action == "create"} if options.mode != "zone" else set()
    gone = [c for c in changes if c.action == "delete" and c.record.name not in renewed]
    percent = 100 * len(gone) / owned if owned >= PERCENT_FROM else 0
    if len(gone) > options.max_delete or percent > options.max_delete_percent:
        names = ", ".join(f"{c.record.type} {c.record.name}" for c in gone[:5]) + (", …" if len(gone) > 5 else "")
        what = (
            f"{len(gone)} of our {owned} records would be deleted ({names}); the limits are {options.max_delete} records "
            f"and {options.max_delete_percent} %"
        )
        fix = "Look at the diff (--check --diff). If it is meant: raise max_delete and max_delete_percent."
        found.guard("delete_limit", "*", found.zone, what, fix)


def check_targets(diffs: Sequence[ZoneDiff], options: Options) -> List[Problem]:
    """Guards across zones: hosts that mail records point to must be neither proxied nor aliases."""
    hosts = _Hosts(diffs)
    problems: List[Problem] = []
    for diff in diffs:
        found = Collector(diff.zone, options)
        for want in diff.active:
            target = _mail_target(want)
            if target:
                _check_target(found, want, target, hosts.answering(target))
        problems += found.problems
    return problems


def _check_target(found: Collector, want: Want, target: str, answers: Sequence[Have]) -> None:
    """answers: the records of the host that a wanted record points to."""
    by = "".join({f", by {have.name}" for have in answers if have.name != target})
    proxied = next((h for h in answers if h.proxied and h.type in ADDRESS_LIKE), None)
    if proxied is not None:
        what = f"{target} ({proxied.type} {proxied.content}{by}) is proxied: a mail connection would end at the proxy"
        fix = f"Set {target} to 'DNS only' at the provider."
        if by:
            fix = f"Give {target} a record of its own that is 'DNS only'."
        found.guard("proxied_host", want.type, want.name, what, fix)
    alias = next((h for h in answers if h.type == "CNAME"), None)
    if alias is not None and want.type in ("MX", "SRV"):
        what = f"{target} is a CNAME (to {alias.content}{by}); an exchange must have addresses of its own"
        found.guard("mx_alias", want.type, want.name, what, f"Point to {alias.content} instead.")


class _Hosts:
    """What several zones will answer, wildcards included."""

    def __init__(self, diffs: Sequence[ZoneDiff]) -> None:
        self._zones = {d.zone for d in diffs}
        self._records: Dict[str, List[Have]] = defaultdict(list)
        self._nodes: Set[str] = set(self._zones)
        for diff in diffs:
            for have in diff.after:
                self._records[have.name].append(have)
                node = have.name
                while node and node not in self._nodes:
                    self._nodes.add(node)
                    node = _parent(node)

    def answering(self, name: str) -> Sequence[Have]:
        """The records of a name, or those of the wildcard that stands for it (RFC 4592 §3.3.1)."""
        if name in self._nodes or not any(rdata.within(name, zone) for zone in self._zones):
            return self._records.get(name, ())
        node = _parent(name)
        while node not in self._nodes:
            node = _parent(node)
        return self._records.get(f"*.{node}", ())


def _parent(name: str) -> str:
    return name.partition(".")[2]


def _mail_target(want: Want) -> str:
    """The host behind a mail record; web services (SRV to port 443) may sit behind a proxy."""
    if want.type == "TLSA" and want.name.startswith("_"):
        return want.name.split(".", 2)[-1]
    if want.type == "SRV" and want.content.split(" ")[2] == "443":
        return ""
    return rdata.target(want.type, want.content) if want.type in ("MX", "SRV") else ""
