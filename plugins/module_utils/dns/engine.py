# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The diff of one zone: wanted records against those that are there. Pure: no I/O, no provider.

Records are matched by type, name and canonical data. What is left over of a wanted and an owned record of one name and
type becomes an in-place update (no gap, the provider's other fields survive); only differing counts become creations and
deletions. Records without our mark are somebody else's: :mod:`.foreign` decides about those at our names, the others
are touched in mode zone only (:mod:`.zone_mode`).

Deletions wait for the last phase: an old address must not go before the MX that points to it has. Excepted are those
without which a wanted record cannot be published (CNAME against other data, a second SPF record).

Cases in short. Equal twins (one text spelt in two ways): one is ours, another's stays unless two of its kind cancel each
other out; our own surplus goes. Our mark and another's on one record: the first in the comment counts. Comment edited: our
tag, where there is one, still counts. Our record proxied by hand: set back. Instance renamed: the old one's records are
somebody else's, taken over by policy adopt.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Dict, Iterable, List, Sequence, Set, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.dns import rdata
from ansible_collections.mailstead.stack.plugins.module_utils.dns.foreign import decide, merge_policies, stripped
from ansible_collections.mailstead.stack.plugins.module_utils.dns.guards import (
    ADDRESS_LIKE,
    Collector,
    check_after,
    check_deletes,
    check_wants,
)
from ansible_collections.mailstead.stack.plugins.module_utils.dns.ledger import Ledger, group_of, ttl_of
from ansible_collections.mailstead.stack.plugins.module_utils.dns.policies import SINGLE_KINDS
from ansible_collections.mailstead.stack.plugins.module_utils.dns.records import Change, Have, Options, Want, ZoneDiff
from ansible_collections.mailstead.stack.plugins.module_utils.dns.spf_guard import check_costs
from ansible_collections.mailstead.stack.plugins.module_utils.dns.zone_mode import purgeable
from ansible_collections.mailstead.stack.plugins.module_utils.plan.phases import PHASES


def diff(zone: str, wants: Iterable[Want], have: Sequence[Have], options: Options) -> ZoneDiff:
    """What has to change in a zone.

    zone: canonical name. wants: the full set, records of later phases included. have: all records of the zone. The
    changes are in the order of phases; with problems in the result nothing may be written.
    """
    found = Collector(zone, options)
    checked, _problems = check_wants(zone, wants, options, found)
    ledger = Ledger(checked, have, options, found)
    writes = options.mode != "create_only"
    if writes:
        merge_policies(ledger)
    _match_equal(ledger)
    _say_whose(ledger)
    _reserve_later(ledger)
    available: Set[int] = set()
    if writes:
        available = decide(ledger)
        if options.mode == "zone":
            available |= purgeable(ledger)
        _pair(ledger, available)
    else:
        _leave_existing(ledger)
    for want in list(ledger.open):
        ledger.create(want)
    if writes:
        _remove(ledger, available)
    after = ledger.after()
    check_after(found, ledger.active, ledger.changes, after, ledger.later)
    owned = sum(1 for i, record in enumerate(have) if ledger.mine(record) or i in available)
    check_deletes(found, ledger.changes, owned, options)
    check_costs(ledger, after)
    return ZoneDiff(
        zone=zone,
        changes=tuple(sorted(ledger.changes, key=_order)),
        before=ledger.have,
        after=after,
        satisfied=ledger.satisfied,
        foreign_satisfied=ledger.foreign_satisfied,
        held=ledger.held,
        notes=tuple(ledger.notes),
        problems=tuple(found.problems),
        active=tuple(ledger.active),
    )


def published(diff: ZoneDiff, roles: Sequence[str] = ()) -> List[Have]:
    """The records that stand for the wanted ones once the changes are in effect; roles: only these (all if empty).

    What the provider answers differently from what it stores (proxied, or a CNAME flattened at the apex) is left out.
    """
    out: Dict[Tuple[str, str, str], Have] = {}
    for want in diff.active:
        if roles and want.role not in roles:
            continue
        exact = [r for r in diff.after if r.key == want.key]
        shared = [r for r in diff.after if group_of(want)[2] in ("spf", "dmarc") and group_of(r) == group_of(want)]
        for record in exact or shared:
            if not record.proxied and not (record.type == "CNAME" and record.name == diff.zone):
                out[record.key] = record
    return list(out.values())


def _match_equal(ledger: Ledger) -> None:
    by_key: Dict[Tuple[str, str, str], List[int]] = defaultdict(list)
    for index, record in ledger.undecided():
        by_key[record.key].append(index)
    for want in [*ledger.open, *ledger.later]:
        candidates = by_key.get(want.key, [])
        if not candidates:
            continue
        # Ours before another's, so that ours does not become a surplus; what is put back for another the other way round.
        best = min(
            candidates,
            key=lambda i: (
                ledger.mine(ledger.have[i]) != (want.bare is None),
                ledger.have[i].proxied,
                ledger.have[i].id,
            ),
        )
        ledger.free -= {best, *_twins(ledger, want, candidates)}
        if ledger.options.active(want.phase):
            _equal(ledger, want, best)


def _twins(ledger: Ledger, want: Want, candidates: Sequence[int]) -> List[int]:
    """Another's equal twins: one record in the DNS and so no conflict, unless two spellings of a policy stand there."""
    if group_of(want)[2] in SINGLE_KINDS and ledger.policy(*group_of(want)[::2]) == "replace":
        return []
    return [i for i in candidates if not ledger.mine(ledger.have[i])]


def _equal(ledger: Ledger, want: Want, index: int) -> None:
    have = ledger.have[index]
    desired, why = have, ""
    if ledger.mine(have):
        desired = ledger.shaped(index, want)
    elif want.bare is not None or have.read_only:
        pass
    elif ledger.policy(*group_of(want)[::2]) == "adopt":
        desired, why = ledger.shaped(index, want), "adopted: it says what we want"
    elif ledger.options.takes_over and (have.proxied, have.ttl) != (False, ttl_of(want)):
        desired, why = ledger.shaped(index, want), f"taken over (mode {ledger.options.mode})"
    if desired.proxied and not ledger.mine(have) and want.bare is None and want.type in ADDRESS_LIKE:
        what = "somebody else's record says the same but is proxied: mail, PTR and TLSA need the host itself"
        fix = "Set it to 'DNS only' at the provider, or set foreign.other of the zone (in the inventory: dns_foreign): adopt."
        ledger.found.guard("proxied_host", want.type, want.name, what, fix)
    if desired == have or ledger.options.mode == "create_only":
        ledger.satisfy(want, index)
    else:
        ledger.update(index, desired, want, why)


def _say_whose(ledger: Ledger) -> None:
    """Wanted records that another instance keeps are satisfied, but only as long as that one wants them: the usual sign
    of an instance that was renamed."""
    for owner, count in sorted(ledger.kept_by.items()):
        if owner not in ("", ledger.options.instance):
            ledger.notes.append(
                f"{count} of the wanted records are kept by the mailstead instance {owner!r}; policy adopt would take them over"
            )


def _reserve_later(ledger: Ledger) -> None:
    """Owned records that a later phase will change in place stay as they are until then."""
    keys = {r.key for r in ledger.have}
    missing = {(w.type, w.name) for w in ledger.later if w.key not in keys}
    ledger.held += sum(1 for w in ledger.later if w.key not in keys)
    taken = {group_of(w) for w in ledger.active}
    for index, record in list(ledger.undecided()):
        if (record.type, record.name) in missing and ledger.mine(record) and group_of(record) not in taken:
            ledger.free.discard(index)


def _leave_existing(ledger: Ledger) -> None:
    """Mode create_only: whatever stands at a wanted place stays, and is said."""
    places = {group_of(h) for h in ledger.have if group_of(h)[2] or h.type != "TXT"}
    types: Dict[str, Set[str]] = defaultdict(set)
    for record in ledger.have:
        types[record.name].add(record.type)
    for want in list(ledger.open):
        there = types[want.name]
        if want.name == ledger.zone and want.type not in ADDRESS_LIKE:
            blocked = False
        else:
            blocked = bool(there) if want.type == "CNAME" else "CNAME" in there
        if blocked or group_of(want) in places:
            ledger.notes.append(f"{want.type} {want.name}: something else stands there and stays (mode create_only)")
            ledger.close(want)


def _pair(ledger: Ledger, available: Set[int]) -> None:
    """Turn what is left over on both sides of one name and type into in-place updates, the likest first.

    available: the foreign records that may be taken over.
    """
    by_place: Dict[Tuple[str, str], List[int]] = defaultdict(list)
    for index, record in ledger.undecided():
        mark = ledger.mark(record)
        if index in available or (mark is not None and mark.merged is None):
            by_place[(record.type, record.name)].append(index)
    scored = []
    for number, want in enumerate(ledger.open):
        for index in by_place.get((want.type, want.name), []):
            record = ledger.have[index]
            if want.bare is not None and not ledger.mine(record):
                continue
            if group_of(record) == group_of(want):
                scored.append((_unlikeness(ledger, want, record), number, index))
            elif ledger.mine(record) and ledger.options.last:
                # Another kind of text of ours (an old verification record): only when surplus may go anyway.
                scored.append(((9, 9, 9, ""), number, index))
    wants, done = list(ledger.open), set()
    for _score, number, index in sorted(scored):
        if number in done or index not in ledger.free:
            continue
        done.add(number)
        ledger.update(index, ledger.shaped(index, wants[number]), wants[number], _taking(ledger, ledger.have[index]))


def _taking(ledger: Ledger, record: Have) -> str:
    """The reason for changing or deleting somebody else's record; nothing for ours."""
    if ledger.mine(record):
        return ""
    whose = f"the mailstead instance {record.owner}'s" if record.owner else "somebody else's"
    by = f"mode {ledger.options.mode}" if ledger.options.takes_over else "foreign policy"
    return f"replaces {whose} record ({by})"


def _unlikeness(ledger: Ledger, want: Want, record: Have) -> Tuple[int, int, int, str]:
    mark = ledger.mark(record)
    target = rdata.target(want.type, want.content)
    return (
        0 if target and target == rdata.target(record.type, record.content) else 1,
        0 if mark and mark.role == want.role else 1,
        0 if mark else 1,
        record.content,
    )


def _remove(ledger: Ledger, available: Set[int]) -> None:
    for index, record in list(ledger.undecided()):
        mark = ledger.mark(record)
        if mark is None and index not in available:
            continue
        blocking = _blocks(ledger, record)
        if not (blocking or ledger.options.last):
            ledger.held += 1
        elif mark is None:
            wanted = any(group_of(w) == group_of(record) for w in ledger.active)
            ledger.delete(index, blocking or (_taking(ledger, record) if wanted else "not wanted (mode zone)"))
        elif mark.merged is not None and not blocking and ledger.options.mode != "zone":
            desired = ledger.given_back(index, stripped(record, mark))
            ledger.update(index, desired, None, "no longer wanted: our part is taken out again")
        else:
            ledger.delete(index, blocking or "no longer wanted")


def _blocks(ledger: Ledger, record: Have) -> str:
    """Why a surplus record must go in this phase: it keeps a wanted one from being published."""
    kind = group_of(record)[2]
    for want in ledger.active:
        if want.name != record.name:
            continue
        if kind in SINGLE_KINDS and group_of(want)[2] == kind:
            return f"a second {kind} record"
        if want.type != record.type and "CNAME" in (want.type, record.type):
            other = record.type if want.type == "CNAME" else want.type
            if ledger.zone != want.name or other in ADDRESS_LIKE:
                return f"makes room for the {want.type}"
    return ""


def _order(change: Change) -> Tuple[int, str, str, str]:
    phase = PHASES.index(change.phase) if change.phase else len(PHASES)
    return (phase, change.record.name, change.record.type, change.record.content)
