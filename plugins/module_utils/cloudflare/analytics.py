# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What became of the mail: statistics and events of Email Routing over GraphQL, and the account's audit log.

Datasets ``emailRoutingAdaptiveGroups`` and ``emailRoutingAdaptive`` (documentation, "Metrics and analytics"; changelog of
Email Routing for the events). Kept for 31 days; ten zones and 10,000 rows a question. The service may sample them, so
figures of busy zones are estimates. What counts is events: a message may have several.
"""

from __future__ import annotations

import datetime
from collections import Counter
from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterable, List, Mapping, Sequence, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.client import Client, RefusalError
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.zones import explain_refusal
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError, Problem

#: Limits of the service (documentation; the rows as seen).
KEPT_DAYS, ZONES_AT_ONCE, ROWS = 31, 10, 10_000
AUDIT_PER_PAGE, AUDIT_PAGES = 1000, 10
#: What a status of the service means for the message. A status that is not here is a failure: it is no known success.
OUTCOMES: Mapping[str, str] = {
    "delivered": "delivered",
    "forwarded": "delivered",
    "handled": "handled",
    "dropped": "dropped",
    "rejected": "rejected",
}
#: The outcomes in the order in which they are shown; handled is by a Worker.
SHOWN = ("delivered", "handled", "dropped", "rejected", "failed")
EVENT_FIELDS = (
    "datetime",
    "from",
    "to",
    "subject",
    "status",
    "action",
    "eventType",
    "ruleMatched",
    "spf",
    "dkim",
    "dmarc",
    "messageId",
    "errorDetail",
)

Counts = Mapping[str, int]


@dataclass(frozen=True)
class Window:
    """Whole days in UTC, the last one so far. since and until: dates."""

    since: datetime.date
    until: datetime.date

    @classmethod
    def last(cls, days: int, today: datetime.date) -> Window:
        return cls(today - datetime.timedelta(days=min(days, KEPT_DAYS) - 1), today)

    @property
    def dates(self) -> List[str]:
        count = (self.until - self.since).days + 1
        return [(self.since + datetime.timedelta(days=n)).isoformat() for n in range(count)]


@dataclass(frozen=True)
class Row:
    """Events that are alike. key: the day; the rule; or the results of SPF, DKIM and DMARC."""

    key: Tuple[str, ...]
    counts: Counts

    @property
    def total(self) -> int:
        return sum(self.counts.values())


@dataclass(frozen=True)
class Statistics:
    """A zone's mail in a window. days: every one, also without mail; rules and authentication: the most frequent first.

    events: single ones, newest first, with EVENT_FIELDS. notes: what should be known of the figures.
    """

    zone: str
    window: Window
    days: Tuple[Row, ...]
    rules: Tuple[Row, ...]
    authentication: Tuple[Row, ...]
    events: Tuple[Mapping[str, Any], ...] = ()
    notes: Tuple[str, ...] = ()

    @property
    def counts(self) -> Dict[str, int]:
        return _filled(sum((Counter(row.counts) for row in self.days), Counter()))

    def to_data(self, names: Mapping[str, str]) -> Dict[str, Any]:
        """For reports. names: of rules by id; an id without one is a rule that is gone."""

        def rows(found: Iterable[Row], label: Callable[[Row], Dict[str, str]]) -> List[Dict[str, Any]]:
            return [{**label(row), "total": row.total, "counts": dict(row.counts)} for row in found]

        def rule(row: Row) -> Dict[str, str]:
            known = row.key[0]
            return {"id": known, "name": names.get(known, "a rule that is gone" if known else "no rule")}

        def results(row: Row) -> Dict[str, str]:
            return {name: value or "none" for name, value in zip(("spf", "dkim", "dmarc"), row.key)}

        return {
            "zone": self.zone,
            "since": self.window.since.isoformat(),
            "until": self.window.until.isoformat(),
            "counts": self.counts,
            "total": sum(self.counts.values()),
            "days": rows(self.days, lambda row: {"date": row.key[0]}),
            "rules": rows(self.rules, rule),
            "authentication": rows(self.authentication, results),
            "events": [dict(event) for event in self.events],
            "notes": list(self.notes),
        }


# -- pure ------------------------------------------------------------------------------------------------------------


def question(zone_ids: Sequence[str], window: Window, events: int) -> Dict[str, Any]:
    """The query and its variables: three ways to group, and single events where they are wanted (their number)."""
    groups = {
        "days": "date status",
        "rules": "ruleMatched status",
        "authentication": "spf dkim dmarc status",
    }
    grouped = "".join(
        f"{name}: emailRoutingAdaptiveGroups(filter: {{date_geq: $since, date_leq: $until}}, limit: {ROWS}) "
        f"{{ count dimensions {{ {fields} }} }} "
        for name, fields in groups.items()
    )
    single = (
        f"events: emailRoutingAdaptive(filter: {{datetime_geq: $from, datetime_leq: $to}}, limit: {events}, "
        f"orderBy: [datetime_DESC]) {{ {' '.join(EVENT_FIELDS)} }} "
    )
    declared = "$zones: [string!]!, $since: Date!, $until: Date!" + (", $from: Time!, $to: Time!" if events else "")
    inner = f"zoneTag {grouped}{single if events else ''}"
    since, until = window.since.isoformat(), window.until.isoformat()
    times = {"from": f"{since}T00:00:00Z", "to": f"{until}T23:59:59Z"} if events else {}
    return {
        "query": f"query Mail({declared}) {{ viewer {{ zones(filter: {{zoneTag_in: $zones}}) {{ {inner}}} }} }}",
        "variables": {"zones": list(zone_ids), "since": since, "until": until, **times},
    }


def read_zone(raw: Mapping[str, Any], zone: str, window: Window) -> Statistics:
    """A zone of the answer. Raises ValueError with what is wrong."""
    days = _grouped(raw, "days", ("date",))
    for date in window.dates:
        days.setdefault((date,), Counter())
    notes = [
        f"[MS-CF-042] {zone}: there are more {name} than one question brings ({ROWS}); what is shown is not all"
        for name in ("days", "rules", "authentication")
        if len(raw[name]) >= ROWS
    ]
    events = raw.get("events") or []
    if not isinstance(events, list) or not all(isinstance(event, dict) for event in events):
        raise ValueError("events are no objects")
    return Statistics(
        zone=zone,
        window=window,
        days=tuple(_row(key, days[key]) for key in sorted(days)),
        rules=_most_first(_grouped(raw, "rules", ("ruleMatched",))),
        authentication=_most_first(_grouped(raw, "authentication", ("spf", "dkim", "dmarc"))),
        events=tuple({name: event.get(name) for name in EVENT_FIELDS} for event in events),
        notes=tuple(notes),
    )


def _grouped(raw: Mapping[str, Any], name: str, fields: Sequence[str]) -> Dict[Tuple[str, ...], Counter[str]]:
    rows = raw.get(name)
    if not isinstance(rows, list):
        raise ValueError(f"{name} are missing")
    out: Dict[Tuple[str, ...], Counter[str]] = {}
    for row in rows:
        try:
            dimensions, count = row["dimensions"], int(row["count"])
            key = tuple(str(dimensions[f] or "") for f in fields)
            outcome = OUTCOMES.get(str(dimensions["status"]), "failed")
        except (TypeError, KeyError, ValueError):
            raise ValueError(f"{name}: a row has no count or lacks a dimension") from None
        out.setdefault(key, Counter())[outcome] += count
    return out


def _row(key: Tuple[str, ...], counts: Counter[str]) -> Row:
    return Row(key, _filled(counts))


def _filled(counts: Counter[str]) -> Dict[str, int]:
    return {name: counts.get(name, 0) for name in SHOWN}


def _most_first(found: Mapping[Tuple[str, ...], Counter[str]]) -> Tuple[Row, ...]:
    return tuple(sorted((_row(k, c) for k, c in found.items()), key=lambda row: (-row.total, row.key)))


@dataclass(frozen=True)
class Change:
    """An entry of the audit log that is about mail. actor: who, as far as told."""

    time: str
    action: str
    result: str
    actor: str
    zone: str
    resource: str
    request: str


def read_change(raw: Any) -> Change:
    """An entry as the API tells it; what it does not tell is empty."""
    parts = {name: part for name, part in raw.items() if isinstance(part, dict)} if isinstance(raw, dict) else {}

    def told(part: str, *names: str) -> str:
        return next((str(parts[part][n]) for n in names if parts.get(part, {}).get(n)), "")

    return Change(
        time=told("action", "time"),
        action=told("action", "description", "type"),
        result=told("action", "result"),
        actor=told("actor", "email", "token_name", "token_id", "id"),
        zone=told("zone", "name"),
        resource=" ".join(p for p in (told("resource", "type"), told("resource", "id")) if p),
        request=" ".join(p for p in (told("raw", "method"), told("raw", "uri")) if p),
    )


def about_mail(change: Change) -> bool:
    """Whether an entry is about Email Service or Workers; how products are called in the log is not documented."""
    return any(word in f"{change.resource} {change.request}".lower() for word in ("email", "workers/scripts"))


# -- with the API ----------------------------------------------------------------------------------------------------


def statistics(
    client: Client, zones: Sequence[Tuple[str, str]], window: Window, events: int = 0
) -> Dict[str, Statistics]:
    """Statistics by name of zone, for (name, id) pairs: one request for ten zones. Raises MailsteadError."""
    out: Dict[str, Statistics] = {}
    for start in range(0, len(zones), ZONES_AT_ONCE):
        some = {zone_id: name for name, zone_id in zones[start : start + ZONES_AT_ONCE]}
        for zone_id, raw in _ask(client, question(list(some), window, events), some).items():
            try:
                out[some[zone_id]] = read_zone(raw, some[zone_id], window)
            except ValueError as error:
                raise client.malformed("POST /graphql", str(error)) from error
    return out


def _ask(client: Client, asked: Mapping[str, Any], some: Mapping[str, str]) -> Dict[str, Mapping[str, Any]]:
    """The part of each zone in the answer, by id. Raises MailsteadError."""
    where = f"statistics of {', '.join(some.values())}"
    fix = "Edit the token in the dashboard: add Zone › Analytics › Read for these zones."
    try:
        answer = client.ask("/graphql", asked, "statistics")
    except RefusalError as refusal:
        problem = explain_refusal(client, refusal, where)
        if problem.code == "MS-CF-001":
            problem = Problem("MS-CF-040", where, problem.what, fix)
        raise MailsteadError([problem]) from refusal
    answer = answer if isinstance(answer, dict) else {}
    if answer.get("errors"):
        words = "; ".join(client.clean(str(e.get("message") if isinstance(e, dict) else e)) for e in answer["errors"])
        if "authorized" not in words and "authz" not in words:
            fix = "Ask for fewer days: statistics are kept for 31. If the words name a field, report them."
        raise MailsteadError.one("MS-CF-040", where, f"Cloudflare refused: {words}", fix)
    try:
        found = {str(zone["zoneTag"]): zone for zone in answer["data"]["viewer"]["zones"]}
    except (TypeError, KeyError):
        raise client.malformed("POST /graphql", "the zones are missing") from None
    missing = [name for zone_id, name in some.items() if zone_id not in found]
    if missing:
        raise client.malformed("POST /graphql", f"zones are missing: {', '.join(missing)}")
    return {zone_id: found[zone_id] for zone_id in some}


def audit_log(client: Client, account: str, window: Window) -> Tuple[List[Change], List[str]]:
    """What was changed about mail, newest first, and what should be known of it. Raises MailsteadError."""
    path, where = f"/accounts/{account}/logs/audit", "the audit log"
    until = window.until + datetime.timedelta(days=1)
    query: Dict[str, Any] = {
        "since": f"{window.since}T00:00:00Z",
        "before": f"{until}T00:00:00Z",
        "limit": AUDIT_PER_PAGE,
    }
    out: List[Change] = []
    for _page in range(AUDIT_PAGES):
        try:
            page = client.read(path, query, "audit")
        except RefusalError as refusal:
            problem = explain_refusal(client, refusal, where)
            if problem.code == "MS-CF-001":
                fix = "Edit the token in the dashboard: add Account › Account Settings › Read."
                problem = Problem("MS-CF-041", where, problem.what, fix)
            raise MailsteadError([problem]) from refusal
        rows = page.result if isinstance(page.result, list) else []
        out += [change for change in map(read_change, rows) if about_mail(change)]
        cursor = _cursor(page.info)
        if not cursor or cursor == query.get("cursor"):
            return out, []
        query["cursor"] = cursor
    note = f"[MS-CF-042] the audit log has more than {AUDIT_PER_PAGE * AUDIT_PAGES} entries in this time; what is shown is not all"
    return out, [note]


def _cursor(info: Mapping[str, Any]) -> str:
    # Described in two ways.
    cursors = info.get("cursors")
    return str((cursors.get("after") if isinstance(cursors, dict) else info.get("cursor")) or "")
