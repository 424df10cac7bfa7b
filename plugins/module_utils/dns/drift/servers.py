# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""S: what the name servers answer against what the provider has, or, where that is not known, against the plan."""

from __future__ import annotations

from typing import Dict, FrozenSet, List, Optional, Sequence, Set

from ansible_collections.mailstead.stack.plugins.module_utils.checks.finding import FAIL, NA, PASS, UNKNOWN, WARN
from ansible_collections.mailstead.stack.plugins.module_utils.dns import rdata
from ansible_collections.mailstead.stack.plugins.module_utils.dns.drift.sheet import (
    Sheet,
    columns,
    shortened,
    three_views,
)
from ansible_collections.mailstead.stack.plugins.module_utils.dns.drift.views import (
    NO_ROUTE,
    REFUSED,
    Answer,
    Live,
    Question,
    ServerView,
    ZoneView,
    questions,
)
from ansible_collections.mailstead.stack.plugins.module_utils.dns.policies import kind_of

#: Texts of these kinds may have been merged with somebody else's: without the provider's view ours cannot be told.
MERGED_KINDS = ("spf", "dmarc")


def compare_servers(sheet: Sheet) -> None:
    """Findings S1 to S3 of a zone."""
    view = sheet.view
    for server in view.servers:
        _server(sheet, server)
    healthy = [s for s in view.servers if s.healthy]
    if not healthy:
        scopes = tuple(f"S2@{_scope(view, s)}" for s in view.servers if s.obstacle == REFUSED)
        text = "none of the zone's name servers could be asked" if view.servers else "it has no known name server"
        fix = "See what keeps the name servers from answering; from here UDP and TCP to port 53 are needed."
        sheet.add("S1", view.zone, UNKNOWN, text, fix=fix, requires=scopes)
        return
    _serials(sheet, healthy)
    for question in questions(view.wants, view.live, view.options):
        _record_set(sheet, healthy, question)


# -- the servers themselves ------------------------------------------------------------------------------------------


def _scope(view: ZoneView, server: ServerView) -> str:
    return "/".join(part for part in (view.zone, server.name, server.address) if part)


def _server(sheet: Sheet, server: ServerView) -> None:
    view, scope = sheet.view, _scope(sheet.view, server)
    twins = [s for s in view.servers if s.name == server.name and s is not server]
    if server.healthy:
        sheet.add("S2", scope, PASS, f"answers with authority, serial {server.serial}")
    elif server.obstacle == REFUSED:
        fix = "Take the server out of the delegation (at the registrar), or set the zone up there."
        expected = "an answer with authority (RFC 1034 §4.2.2)"
        sheet.add(
            "S2",
            scope,
            FAIL,
            server.error,
            expected=expected,
            evidence=columns([(server.label, server.error)]),
            fix=fix,
            alone=server.provider,
        )
    elif server.obstacle == NO_ROUTE and any(s.healthy for s in twins):
        sheet.add("S2", scope, NA, f"this host cannot reach it ({server.error}); another address of the server answers")
    else:
        # One silent address of a server that answers elsewhere does not decide: the way from here may be to blame.
        matters = not any(s.healthy for s in twins)
        fix = "Check that this host may send DNS (UDP and TCP 53) there; if others cannot reach it either, mend the server."
        sheet.add("S2", scope, UNKNOWN, server.error, fix=fix, matters=matters)


def _serials(sheet: Sheet, healthy: Sequence[ServerView]) -> None:
    serials: Dict[Optional[int], List[str]] = {}
    for server in healthy:
        serials.setdefault(server.serial, []).append(server.label)
    if len(serials) == 1:
        sheet.add("S3", sheet.view.zone, PASS, f"serial {healthy[0].serial} everywhere")
        return
    shown = "; ".join(
        f"{serial}: {', '.join(names)}" for serial, names in sorted(serials.items(), key=lambda i: i[0] or 0)
    )
    fix = "Wait for the transfer and compare again; when it stays so, look at the older server's transfers."
    evidence = columns([(s.label, f"serial {s.serial}") for s in healthy])
    sheet.add("S3", sheet.view.zone, WARN, shown, expected="one serial", evidence=evidence, fix=fix)


# -- what they serve -------------------------------------------------------------------------------------------------


def _record_set(sheet: Sheet, healthy: Sequence[ServerView], question: Question) -> None:
    view, (name, rtype) = sheet.view, question
    scope = f"{name}/{rtype}"
    if view.live is not None and _altered(view.zone, view.live, question):
        sheet.add(
            "S1", scope, NA, "the provider answers with other data than it stores (proxied, or an alias at the apex)"
        )
        return
    answers = [(s, s.answers[question]) for s in healthy if question in s.answers]
    judged = [(server, answer) for server, answer in answers if not answer.silent]
    evidence = three_views(view, name, rtype)
    if not judged:
        text = "no name server answered this question"
        sheet.add("S1", scope, UNKNOWN, text, evidence=evidence, fix="Run again; see S2 for the servers themselves.")
        return
    wrong: Dict[str, List[str]] = {}
    alone = False
    for server, answer in judged:
        difference = _difference(view, server, answer, question)
        if difference:
            wrong.setdefault(difference, []).append(server.label)
            # Where the parent leads does not explain what the provider's own servers say.
            alone = alone or server.provider
    wanted = ", ".join(shortened(v) for v in sorted(expected(view, question))) or "no such record"
    if not wrong:
        sheet.add("S1", scope, PASS, f"{len(judged)} of {len(healthy)} servers: {wanted}", evidence=evidence)
        return
    verdict = WARN if view.live is None and _maybe_merged(view, [a for _s, a in judged], question) else FAIL
    fix = (
        "A change takes seconds to minutes to reach all servers: compare again. When it stays so, compare the zone at the "
        "provider with what the server has, and mend its transfer or take it out of the delegation."
    )
    text = "; ".join(f"{_named(labels, len(judged))} {difference}" for difference, labels in wrong.items())
    sheet.add("S1", scope, verdict, text, expected=wanted, evidence=evidence, fix=fix, alone=alone)


def _named(labels: Sequence[str], total: int) -> str:
    """Servers that say the same, as the subject of a sentence in the singular."""
    if 1 < len(labels) == total:
        return f"each of the {total} servers"
    return labels[0] if len(labels) == 1 else f"each of {', '.join(labels)}"


def expected(view: ZoneView, question: Question) -> FrozenSet[str]:
    """The values that every server has to show: those at the provider, whoever made them; else the planned ones."""
    if view.live is not None:
        return frozenset(r.content for r in view.live.records if (r.name, r.type) == question)
    return frozenset(w.content for w in view.wants if (w.name, w.type) == question)


def differs(view: ZoneView, server: ServerView) -> bool:
    """Whether asking a server again may show something else: it lacks or has what the others or the provider do not."""
    serials = {s.serial for s in view.servers if s.healthy}
    return server.healthy and (
        len(serials) > 1
        or any(
            _difference(view, server, answer, question)
            for question, answer in server.answers.items()
            if not answer.silent and not (view.live is not None and _altered(view.zone, view.live, question))
        )
    )


def _altered(zone: str, live: Live, question: Question) -> bool:
    name, rtype = question
    if any(r.proxied for r in live.records if r.name == name and r.type in (rtype, "CNAME")):
        return True
    return rtype == "CNAME" and name == zone


def _difference(view: ZoneView, server: ServerView, answer: Answer, question: Question) -> str:
    """What is wrong with one server's answer, nothing when it is right."""
    rtype = question[1]
    if answer.error:
        return f"answers {answer.error}"
    wanted = expected(view, question)
    missing = wanted - answer.values
    # Beside the planned values others may stand that only the provider's view would tell us of.
    extra = answer.values - wanted if view.live is not None else frozenset()
    if not missing and not extra:
        return ""

    def words(values: FrozenSet[str]) -> str:
        return ", ".join(shortened(rdata.presentation(rtype, v)) for v in sorted(values))

    if missing and extra:
        text = f"has {words(extra)} instead of {words(missing)}"
    else:
        text = f"lacks {words(missing)}" if missing else f"has {words(extra)}, which the provider has not"
    return text + _why(view, server)


def _why(view: ZoneView, server: ServerView) -> str:
    if not server.provider:
        return " (not one of the provider's name servers: another provider still answers)"
    serials: Set[int] = {s.serial for s in view.servers if s.serial is not None}
    if server.serial is not None and serials and server.serial < max(serials):
        return f" (an older copy of the zone: serial {server.serial}, others {max(serials)})"
    return ""


def _maybe_merged(view: ZoneView, answers: Sequence[Answer], question: Question) -> bool:
    """Whether every server shows a text of the kinds that are merged, where the planned one is not found."""
    name, rtype = question

    def kinds(values: FrozenSet[str]) -> Set[str]:
        return {kind_of(name, rtype, v) for v in values}

    wanted = expected(view, question)
    return all(
        {kind_of(name, rtype, v) for v in wanted - a.values} <= kinds(a.values) & set(MERGED_KINDS) for a in answers
    )
