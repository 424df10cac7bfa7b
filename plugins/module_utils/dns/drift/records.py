# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""R: the records as planned against those at the provider. What a run of the reconciler would do is what has drifted."""

from __future__ import annotations

from collections import defaultdict
from typing import Dict, List, Optional, Sequence, Set, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.checks.finding import FAIL, NA, PASS, UNKNOWN, WARN
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import Problem
from ansible_collections.mailstead.stack.plugins.module_utils.dns import engine, rdata
from ansible_collections.mailstead.stack.plugins.module_utils.dns.drift.sheet import (
    Sheet,
    columns,
    contrast,
    scope_of,
    settled_name,
    shortened,
    show,
    three_views,
    unknown_scope,
)
from ansible_collections.mailstead.stack.plugins.module_utils.dns.drift.views import Live, ZoneView
from ansible_collections.mailstead.stack.plugins.module_utils.dns.guards import ADDRESS_LIKE
from ansible_collections.mailstead.stack.plugins.module_utils.dns.records import Change, Have, Mark, Want, ZoneDiff

#: Problems that come from somebody else's records; all others are guards.
FOREIGN_CODES = {"MS-DNS-010", "MS-DNS-022", *(f"MS-DNS-03{n}" for n in range(6))}
#: Said once for a zone when nothing was found.
WHOLE = {
    "R3": "every record that carries our mark is planned",
    "R4": "nobody else's record stands where ours have to be",
    "R5": "every planned record that is there carries our mark",
    "R6": "no other record shares a name and type with ours",
    "R7": "no guard objects",
}
_MEANT = "If the change was meant, put it into the inventory first."


def planned_diff(view: ZoneView, live: Live) -> ZoneDiff:
    """What the reconciler would do. Nothing is deleted here, so the limit on deletions has nothing to guard."""
    options = view.options.for_zone(allow=(*view.options.allow, "delete_limit", "quota"))
    return engine.diff(view.zone, view.wants, live.records, options)


def compare_records(sheet: Sheet, diff: Optional[ZoneDiff], targets: Sequence[Problem] = ()) -> None:
    """Findings R1 to R7 of a zone. diff: from :func:`planned_diff`, None when the provider could not be read; targets:
    problems with hosts in other zones that the zone's records point to."""
    view = sheet.view
    _unknown_values(sheet)
    for problem in view.mistakes:
        _problem(sheet, problem, "R7")
    for problem in targets:
        _problem(sheet, problem, "R7", _hosts_in_the_way(view, problem))
    if diff is None or view.live is None:
        return
    for problem in diff.problems:
        if problem not in view.mistakes:
            _problem(sheet, problem, "R4" if problem.code in FOREIGN_CODES else "R7")
    for change in diff.changes:
        if not _explained(view, change):
            _changed(sheet, change)
    _unmarked(sheet, diff, view.live)
    _beside(sheet, diff)
    _in_place(sheet, diff)
    for check, words in WHOLE.items():
        if not sheet.has(check):
            sheet.add(check, view.zone, PASS, words)


# -- what is not known -----------------------------------------------------------------------------------------------


def _unknown_values(sheet: Sheet) -> None:
    for want in sheet.view.unknown:
        if want.type == "TLSA" and _unsigned(sheet.view):
            # Nobody told whether the zone validates, but the parent did: no TLSA is planned there (RFC 7672 §2.2).
            sheet.add(
                "R1", unknown_scope(want), NA, "the parent has no DS for the zone, so no TLSA record is planned in it"
            )
            continue
        there = [r for r in (sheet.view.live.records if sheet.view.live else ()) if stands_for(sheet.view, r, want)]
        sheet.add(
            "R1",
            unknown_scope(want),
            UNKNOWN,
            "its value comes from a host that did not tell it in this run",
            expected=want.reason,
            evidence=columns([("provider", f"{r.name} {show(r)}") for r in there]),
            fix="Make the host reachable (ansible -m ping), or run site.yml when the key or certificate was never made.",
        )


def _unsigned(view: ZoneView) -> bool:
    return view.delegation.cut == view.zone and not view.delegation.error and not view.delegation.ds


def stands_for(view: ZoneView, record: Have, want: Want) -> bool:
    """Whether a record of ours is the one whose planned value (for a key, also the selector in its name) is not known."""
    mark = record.mark(view.options.instance)
    if mark is None or record.type != want.type or mark.role != want.role:
        return False
    name = settled_name(want)
    return record.name == name or (name != want.name and record.name.endswith(f".{name}"))


def _explained(view: ZoneView, change: Change) -> bool:
    """Whether a record looks surplus only because its planned value is not known."""
    before = change.before
    return change.action == "delete" and before is not None and any(stands_for(view, before, w) for w in view.unknown)


# -- what differs ----------------------------------------------------------------------------------------------------


def _problem(sheet: Sheet, problem: Problem, check: str, causes: Tuple[str, ...] = ()) -> None:
    name, rtype = _place(sheet.view.zone, problem)
    scope = f"{name}/{rtype}" if rtype else name
    evidence = three_views(sheet.view, name, rtype) if rtype else ()
    text = f"{problem.what} [{problem.code}]"
    sheet.add(check, scope, FAIL, text, evidence=evidence, fix=problem.fix, requires=causes)


def _hosts_in_the_way(view: ZoneView, problem: Problem) -> Tuple[str, ...]:
    """What explains a bad target: somebody else's record that took the place of the host's addresses."""
    place = _place(view.zone, problem)
    hosts = {rdata.target(w.type, w.content) for w in view.wants if (w.name, w.type) == place}
    return tuple(f"R4@{host}/{rtype}" for host in sorted(hosts) for rtype in ADDRESS_LIKE)


def _place(zone: str, problem: Problem) -> Tuple[str, str]:
    """(name, type) from where a problem is, see guards.place; a problem of the whole zone has no type."""
    rtype, _blank, name = problem.where.partition(": ")[2].partition(" ")
    return (name, rtype) if name and rtype != "*" else (zone, "")


def _changed(sheet: Sheet, change: Change) -> None:
    record, before, after = change.record, change.before, change.after
    evidence = three_views(sheet.view, record.name, record.type)
    if before is None:
        fix = "Run playbooks/dns.yml: it publishes the record."
        sheet.add("R1", scope_of(record), FAIL, "it is not there", expected=show(record), evidence=evidence, fix=fix)
        return
    mine = before.mark(sheet.view.options.instance) is not None
    if after is None or not change.phase:
        check, fix = ("R3", "removes it") if mine else ("R4", "replaces it, as the zone's foreign policy says")
        whose = "" if mine else "somebody else's "
        text = f"{whose}{shortened(show(before))}: {change.reason}"
        sheet.add(
            check, scope_of(before), FAIL, text, evidence=evidence, fix=f"Run playbooks/dns.yml: it {fix}. {_MEANT}"
        )
    elif change.fields() == ("comment",):
        _remarked(sheet, before, after, evidence)
    else:
        check, fix = ("R2", "puts it back") if mine else ("R4", "takes it over, as the zone's foreign policy says")
        seen, wanted = contrast(show(before), show(after))
        seen = seen if mine else f"somebody else's {seen}"
        fix = f"Run playbooks/dns.yml: it {fix}. {_MEANT}"
        sheet.add(check, scope_of(after), FAIL, seen, expected=wanted, evidence=evidence, fix=fix)


def _remarked(sheet: Sheet, before: Have, after: Have, evidence: Tuple[str, ...]) -> None:
    seen = f"its comment is {before.comment!r}" if before.comment else "it has no comment"
    fix = "Run playbooks/dns.yml: it writes the mark again. Until then somebody may take the record for another's."
    sheet.add("R5", scope_of(after), WARN, seen, expected=f"comment {after.comment!r}", evidence=evidence, fix=fix)


def _unmarked(sheet: Sheet, diff: ZoneDiff, live: Live) -> None:
    """Records that say what we want without our mark: made by hand, or the mark was removed."""
    instance = sheet.view.options.instance
    touched = {c.before.key for c in diff.changes if c.before is not None}
    for want in diff.active:
        same = [r for r in live.records if r.key == want.key]
        if not same or want.key in touched or any(r.mark(instance) for r in same):
            continue
        other = Mark.read(same[0].comment)
        seen = f"it belongs to the instance {other.instance!r}" if other else "it carries no mark"
        sheet.add(
            "R5",
            scope_of(want),
            WARN,
            f"{seen}; it says what is planned, but is not kept in line",
            expected=f"comment {sheet.view.options.mark(want.role)!r}",
            evidence=three_views(sheet.view, want.name, want.type),
            fix="Write the mark into its comment, or let foreign policy adopt take it over; if it is meant to be kept by "
            "hand, leave it.",
        )


def _beside(sheet: Sheet, diff: ZoneDiff) -> None:
    """Somebody else's records of a name and type of ours that may stand (policy merge): seen, not objected to."""
    planned: Dict[Tuple[str, str], Set[str]] = defaultdict(set)
    for want in diff.active:
        planned[(want.name, want.type)].add(want.content)
    for record in diff.after:
        values = planned.get((record.name, record.type))
        if values is None or record.type == "TXT" or record.content in values:
            continue
        if record.mark(sheet.view.options.instance) or sheet.about(record.name, ("R4",)):
            continue
        sheet.add(
            "R6",
            scope_of(record),
            WARN,
            f"somebody else's {shortened(show(record))}",
            expected=", ".join(sorted(values)) + " alone",
            evidence=three_views(sheet.view, record.name, record.type),
            fix="If nobody needs it, remove it by hand; the zone's foreign policy lets it stand.",
        )


def _in_place(sheet: Sheet, diff: ZoneDiff) -> None:
    """R1 and R2 of what is as planned; what is missing behind somebody else's record has that as its cause."""
    groups: Dict[str, List[Want]] = defaultdict(list)
    for want in diff.active:
        groups[scope_of(want)].append(want)
    for scope, wants in sorted(groups.items()):
        name = wants[0].name
        if f"R1@{scope}" in sheet.about(name, ("R1",)):
            sheet.add("R1", scope, FAIL, requires=sheet.about(name, ("R4", "R7")))
            continue
        found = {key.partition("@")[2] for key in sheet.about(name, ("R2", "R4", "R7"))}
        if not any(scope == known or scope.startswith(known + "/") for known in found):
            _pass(sheet, scope, wants)


def _pass(sheet: Sheet, scope: str, wants: Sequence[Want]) -> None:
    evidence = three_views(sheet.view, wants[0].name, wants[0].type)
    shown = ", ".join(shortened(w.content) for w in wants)
    sheet.add("R1", scope, PASS, shown, evidence=evidence)
    sheet.add("R2", scope, PASS, shown, evidence=evidence)
