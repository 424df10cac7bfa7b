# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Somebody else's records at names where we publish: merge, adopt, replace or fail, as the policy says.

merge    SPF: one record with every mechanism of both. DMARC: theirs with our report addresses added. MX, CAA, addresses
         and the like: both stand side by side. What cannot stand side by side is a problem.
adopt    a record that says what we want gets our mark; one that differs is brought in line and gets our mark; none is
         deleted.
replace  as adopt for those that differ, and the surplus is deleted.
fail     a problem that names the record.

Terms we put into a record of somebody else are noted in its mark as hashes, so that a later run can tell ours from theirs.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from typing import Dict, List, Sequence, Set, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.dns import spf, spf_merge
from ansible_collections.mailstead.stack.plugins.module_utils.dns.guards import ADDRESS_LIKE, check_spf_all
from ansible_collections.mailstead.stack.plugins.module_utils.dns.ledger import Group, Ledger, group_of, policy_field
from ansible_collections.mailstead.stack.plugins.module_utils.dns.policies import (
    SINGLE_KINDS,
    DmarcError,
    dmarc_merge,
    dmarc_without,
    kind_of,
    report_addresses,
    tags,
    uri_key,
)
from ansible_collections.mailstead.stack.plugins.module_utils.dns.records import (
    Have,
    Mark,
    Want,
    term_hash,
    without_ownership,
)

_CODES = {"spf": "MS-DNS-030", "mx": "MS-DNS-031", "dmarc": "MS-DNS-032", "caa": "MS-DNS-033", "other": "MS-DNS-034"}
_KEPT = "is read-only: kept by the provider for a product of its own (routing of mail, for example)"
_PLURAL = {"is": "are", "stands": "stand"}
_TURN_OFF = (
    "Turn that product off for the domain first; its records then go with it. To leave ours out instead: "
    "allow: [read_only] (in the inventory: dns_allow)."
)
_CHOOSE = "Combine them by hand, or set the zone's foreign policy (in the inventory: dns_foreign) to replace."


def stripped(record: Have, mark: Mark) -> str:
    """A merged record without the terms we had put into it."""
    kind = kind_of(record.name, record.type, record.content)
    hashes = set(mark.merged or ())
    if kind == "dmarc":
        ours = [u for u in report_addresses(record.content) if term_hash(uri_key(u)) in hashes]
        return dmarc_without(record.content, ours) if ours else record.content
    if kind != "spf" or not hashes:
        return record.content
    try:
        return spf_merge.without(record.content, list(hashes), term_hash)
    except spf.SpfError:
        return record.content


def _by_group(ledger: Ledger) -> Dict[Group, List[int]]:
    out: Dict[Group, List[int]] = defaultdict(list)
    for index, record in ledger.undecided():
        out[group_of(record)].append(index)
    return out


def _wants_by_group(wants: Sequence[Want]) -> Dict[Group, List[Want]]:
    out: Dict[Group, List[Want]] = defaultdict(list)
    for want in wants:
        out[group_of(want)].append(want)
    return out


# -- one record of two owners ----------------------------------------------------------------------------------------


def merge_policies(ledger: Ledger) -> None:
    """Merge SPF and DMARC records where somebody else has (or had) a record at our name. Comes before all matching.

    What was merged once stays merged until the policy says replace. Another record that appears beside it is merged only
    where the policy says so.
    """
    present = _by_group(ledger)
    for group, wants in sorted(_wants_by_group(ledger.active).items()):
        if group[2] not in ("spf", "dmarc") or len(wants) != 1 or wants[0].bare is not None:
            continue
        merged: List[int] = []
        foreign: List[int] = []
        plain: List[int] = []
        for index in present.get(group, []):
            mark = ledger.mark(ledger.have[index])
            (foreign if mark is None else plain if mark.merged is None else merged).append(index)
        policy = ledger.policy(group[0], group[2])
        if policy != "merge":
            foreign = []
        if foreign or (merged and policy != "replace"):
            _merge(ledger, wants[0], [*merged, *foreign], plain)


def _merge(ledger: Ledger, want: Want, base: List[int], plain: List[int]) -> None:
    """base: the records of the other owner, those merged before first; plain: ours of the same kind."""
    kind = group_of(want)[2]
    record = ledger.have[base[0]]
    # Two records would cancel each other out: whatever else of this kind stands there is in the merged one now.
    surplus = [*base[1:], *plain]
    ledger.free -= {*base, *plain}
    try:
        text, hashes, why = _merged_text(kind, want.content, [_base_text(ledger, index) for index in base])
    except (spf.SpfError, DmarcError) as error:
        ledger.close(want)
        records = [ledger.have[i] for i in base]
        _problem(ledger, "MS-DNS-035", records, f"cannot be merged with ours: {error}", _CHOOSE)
        return
    desired = _shared(ledger, base[0], want, text, hashes)
    locked = [ledger.have[i] for i in [base[0], *surplus] if ledger.have[i].read_only]
    if locked and (surplus or desired != record):
        _locked(ledger, [want], locked)
    elif desired == record:
        ledger.satisfy(want, base[0])
    else:
        if kind == "spf":
            check_spf_all(ledger.found, want.name, spf.parse(text))
        ledger.update(base[0], desired, want, why)
    if want in ledger.active:
        for index in surplus:
            ledger.delete(index, f"its terms are in the merged {kind} record")


def _merged_text(kind: str, ours: str, theirs: Sequence[str]) -> Tuple[str, Tuple[str, ...], str]:
    """The merged record, the hashes of what we add to theirs, and what a person should know of it."""
    if kind == "spf":
        merged = spf_merge.merge(ours, theirs)
        return merged.text, tuple(term_hash(k) for k in merged.added), "merged with somebody else's record"
    text, added = dmarc_merge(ours, theirs)
    why = "merged with somebody else's record, whose policy stands"
    mine, other = (dict(tags(r)).get("p", "none").lower() for r in (ours, text))
    if mine != other:
        why += f" (p={other}, we would publish p={mine})"
    return text, tuple(term_hash(uri_key(a)) for a in added), why


def _shared(ledger: Ledger, index: int, want: Want, text: str, hashes: Tuple[str, ...]) -> Have:
    """A record of two owners. It carries no tag of ours: a tag cannot say which terms are whose."""
    record = ledger.have[index]
    mark = ledger.mark(record)
    if mark is None and text == record.content:
        return record
    comment = ledger.options.mark(want.role, hashes, record.comment if mark is None else mark.text)
    desired = dataclasses.replace(record, content=text, comment=comment)
    return record if desired == record else dataclasses.replace(desired, tags=without_ownership(record.tags))


def _base_text(ledger: Ledger, index: int) -> str:
    record = ledger.have[index]
    mark = ledger.mark(record)
    return record.content if mark is None else stripped(record, mark)


# -- all the others --------------------------------------------------------------------------------------------------


def decide(ledger: Ledger) -> Set[int]:
    """Apply the policy to the foreign records that compete with ours. Returns those that may be taken over or deleted."""
    available: Set[int] = set()
    present = _by_group(ledger)
    for group, wants in sorted(_wants_by_group(ledger.active).items()):
        rtype, _name, kind = group
        policy = ledger.policy(rtype, kind)
        if all(w.bare is not None for w in wants):
            # What is put back for somebody else stands beside other people's records as it did; the guards on the zone as
            # it would be say whether it may.
            policy = "beside"
        indexes = [i for i in present.get(group, []) if i in ledger.free]
        foreign = [i for i in indexes if not ledger.mine(ledger.have[i])]
        if policy == "replace" or any(w.bare is not None for w in wants):
            # Of a record merged before, too: replacing and putting back end the merge.
            available |= {i for i in indexes if (m := ledger.mark(ledger.have[i])) is not None and m.merged is not None}
        if (rtype == "TXT" and not kind) or not foreign:
            continue
        records = [ledger.have[i] for i in foreign]
        locked = [r for r in records if r.read_only]
        if locked and (rtype == "MX" or policy in ("adopt", "replace") or kind in SINGLE_KINDS):
            _locked(ledger, wants, locked, indexes)
        elif policy == "fail":
            _refuse(ledger, group, records)
        elif policy == "replace":
            available |= set(foreign)
        elif policy == "adopt":
            available |= _adopt(ledger, group, foreign)
        elif policy == "merge" and (kind in SINGLE_KINDS or rtype == "CNAME"):
            _problem(ledger, "MS-DNS-035", records, "cannot stand beside ours", _CHOOSE)
    _aliases(ledger, available)
    _look_ahead(ledger, present)
    return available


def _locked(ledger: Ledger, wants: Sequence[Want], records: Sequence[Have], place: Sequence[int] = ()) -> None:
    """Read-only records where ours have to go. Overridden, the place stays as it is and ours are left out."""
    if "read_only" not in ledger.options.allow:
        for want in wants:
            ledger.close(want)
        _problem(ledger, "MS-DNS-022", records, _KEPT, _TURN_OFF)
        return
    ledger.free -= set(place)
    for want in [w for w in wants if w in ledger.open]:
        ledger.leave_out(want, f"somebody else's record {records[0].content!r} {_KEPT}")


def _refuse(ledger: Ledger, group: Group, records: Sequence[Have]) -> None:
    field = policy_field(group[0], group[2])
    choices = "merge, adopt or replace" if field in ("spf", "dmarc", "caa") else "adopt or replace"
    fix = f"If it is obsolete remove it; otherwise set foreign.{field} of the zone (in the inventory: dns_foreign): {choices}."
    if field == "mx":
        fix = (
            "Mail would have two owners. Remove it when the old provider is done; or set foreign.mx of the zone "
            "(in the inventory: dns_foreign): replace (ours take its place) or merge (both stay)."
        )
    _problem(ledger, _CODES[field], records, "stands at our name", fix)


def _problem(ledger: Ledger, code: str, records: Sequence[Have], what: str, fix: str) -> None:
    values = [repr(r.content) for r in records]
    which = f"record {values[0]}"
    if len(values) > 1:
        which = f"records {', '.join(values[:-1])} and {values[-1]}"
        verb, _blank, rest = what.partition(" ")
        what = f"{_PLURAL.get(verb, verb)} {rest}"
    other = next((r.owner for r in records if r.owner not in ("", ledger.options.instance)), "")
    owner = f" (it belongs to the mailstead instance {other!r})" if other else ""
    first = records[0]
    ledger.found.add(code, first.type, first.name, f"somebody else's {which} {what}{owner}", fix)


def _adopt(ledger: Ledger, group: Group, foreign: List[int]) -> Set[int]:
    """As many as there are open wanted records are taken over; a surplus that would compete is a problem."""
    wanted = sum(1 for w in ledger.open if group_of(w) == group and w.bare is None)
    own = sum(1 for i, record in ledger.undecided() if group_of(record) == group and i not in foreign)
    room = max(0, wanted - own)
    surplus = foreign[room:]
    ledger.free -= set(surplus)
    if surplus:
        field = policy_field(group[0], group[2])
        fix = f"Remove it by hand, or set foreign.{field} of the zone (in the inventory: dns_foreign): replace."
        records = [ledger.have[i] for i in surplus]
        _problem(ledger, _CODES[field], records, "is more than we want, and adopt deletes nothing", fix)
    return set(foreign[:room])


def _aliases(ledger: Ledger, available: Set[int]) -> None:
    """A foreign CNAME where we publish data, or foreign data where we want a CNAME."""
    types: Dict[str, Set[str]] = defaultdict(set)
    for want in ledger.active:
        types[want.name].add(want.type)
    for index, record in list(ledger.undecided()):
        here = types.get(record.name)
        if not here or ledger.mine(record) or record.type in here or record.type == "NS":
            continue
        if record.type != "CNAME" and "CNAME" not in here:
            continue
        if record.name == ledger.zone and not (record.type in ADDRESS_LIKE and here & set(ADDRESS_LIKE)):
            continue
        if record.read_only:
            _locked(ledger, [w for w in ledger.active if w.name == record.name], [record])
            ledger.free.discard(index)
        elif ledger.policy("CNAME", "") == "replace":
            available.add(index)
        elif "cname_conflict" not in ledger.options.allow:
            ledger.free.discard(index)
            fix = "Remove it by hand, or set foreign.other of the zone (in the inventory: dns_foreign): replace."
            _problem(ledger, "MS-DNS-010", [record], "and ours cannot share a name (CNAME excludes other data)", fix)


def _look_ahead(ledger: Ledger, present: Dict[Group, List[int]]) -> None:
    """Say early what a later phase will stumble over."""
    for group, wants in sorted(_wants_by_group(ledger.later).items()):
        rtype, name, kind = group
        foreign = [ledger.have[i] for i in present.get(group, []) if not ledger.mine(ledger.have[i])]
        if not foreign or (rtype == "TXT" and not kind) or ledger.policy(rtype, kind) != "fail":
            continue
        values = ", ".join(r.content for r in foreign)
        ledger.notes.append(
            f"{rtype} {name}: somebody else's {values} will be in the way in phase {wants[0].phase} "
            f"(foreign.{policy_field(rtype, kind)} is fail)"
        )
