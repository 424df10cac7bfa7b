# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Statistics of mail: the four datasets of Email Service in the GraphQL Analytics API, over events that a test seeds.

Dimensions: documentation, "Metrics and analytics" of Email Service (2026-06). Limits and messages as seen: 10,000 rows, 31
days of retention ("4w3d"), 30 fields. The real service samples; the twin counts.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

from .graphql import Field, QueryError

ROWS_MAX, RETENTION, FIELDS_MAX = 10_000, timedelta(days=31), 30

#: Time dimensions and the seconds they are cut to.
TIMES = {
    "datetime": 0,
    "datetimeMinute": 60,
    "datetimeFiveMinutes": 300,
    "datetimeFifteenMinutes": 900,
    "datetimeHour": 3600,
}
_BOTH = ("status", "eventType", "arc", "dkim", "dmarc", "spf")
_FLAGS = ("isSpam", "isNDR", "isLastEvent")
_EVENT_ONLY = ("from", "to", "subject", "messageId", "sessionId", "errorDetail")
#: Dimensions of the aggregated datasets; events have those of one message as well.
DATASETS: dict[str, tuple[str, ...]] = {
    "emailRoutingAdaptive": (*TIMES, "date", *_BOTH, "action", "ruleMatched", *_FLAGS),
    "emailSendingAdaptive": (*TIMES, "date", *_BOTH, "sendingDomain", "envelopeTo", "errorCause", *_FLAGS),
}
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "": operator.eq,
    "geq": operator.ge,
    "leq": operator.le,
    "gt": operator.gt,
    "lt": operator.lt,
    "neq": operator.ne,
    "in": lambda value, given: value in given,
    "notin": lambda value, given: value not in given,
    "like": lambda value, given: bool(re.fullmatch(re.escape(given).replace("%", ".*"), value)),
    "notlike": lambda value, given: not re.fullmatch(re.escape(given).replace("%", ".*"), value),
}

Event = dict[str, Any]


def event(given: Mapping[str, Any], now: str, sending: bool) -> Event:
    """A row from what a test gives. Raises ValueError for a field that the dataset does not have. count: how many alike."""
    known = DATASETS["emailSendingAdaptive" if sending else "emailRoutingAdaptive"]
    unknown = set(given) - {*known, *_EVENT_ONLY, "count"}
    if unknown:
        raise ValueError(f"unknown field {sorted(unknown)[0]}")
    text = dict.fromkeys((*known, *_EVENT_ONLY), "")
    numbers = dict.fromkeys(_FLAGS, 0)
    defaults = {"status": "delivered", "eventType": "incoming", "isLastEvent": 1, "count": 1, "datetime": now}
    row: Event = {**text, **numbers, **defaults, **given}
    at = _time(row["datetime"])
    for name, seconds in TIMES.items():
        row[name] = _stamp(at if not seconds else at - timedelta(seconds=at.timestamp() % seconds))
    row["date"] = at.date().isoformat()
    return row


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(timezone.utc)


def _stamp(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


#: A row with what it is sorted by and what of it is shown.
Row = tuple[Mapping[str, Any], dict[str, Any]]


def answer(dataset: str, field: Field, rows: Iterable[Event], now: str) -> list[dict[str, Any]]:
    """The rows of one selected dataset. Raises QueryError."""
    base = dataset.removesuffix("Groups")
    grouped = base != dataset
    known = DATASETS[base] if grouped else (*DATASETS[base], *_EVENT_ONLY)
    unknown = set(field.arguments) - {"filter", "limit", "orderBy"}
    if unknown:
        raise QueryError(f'unknown arg "{sorted(unknown)[0]}"')
    conditions = field.arguments.get("filter", {})
    _check_window(conditions, now)
    chosen = [row for row in rows if _passes(row, conditions, known)]
    found: list[Row]
    found = _groups(field, chosen, known) if grouped else [(row, _selected(field, row, known)) for row in chosen]
    _order(found, field.arguments.get("orderBy", []), (*known, "count") if grouped else known)
    return [shown for _, shown in found[: _limit(field)]]


def _limit(field: Field) -> int:
    limit = field.arguments.get("limit", 100)
    if isinstance(limit, bool) or not isinstance(limit, int) or not 0 < limit <= ROWS_MAX:
        raise QueryError(f"limit must be positive number and not greater than {ROWS_MAX}", "quota")
    return limit


def _order(rows: list[Row], words: Any, known: tuple[str, ...]) -> None:
    """Sort in place, the first word counting most."""
    for word in reversed(words if isinstance(words, list) else [words]):
        name, _, way = str(word).rpartition("_")
        if way not in ("ASC", "DESC") or name not in known:
            raise QueryError(f'error parsing args: unknown order "{word}"')
        _sort(rows, name, descending=way == "DESC")


def _sort(rows: list[Row], name: str, descending: bool) -> None:
    # A dimension that is not selected has no value in a group.
    rows.sort(key=lambda row: (name in row[0], row[0].get(name, 0)), reverse=descending)


def _check_window(conditions: Any, now: str) -> None:
    if not isinstance(conditions, Mapping):
        raise QueryError("filter is an object")
    times = [
        (name, str(value))
        for name, value in conditions.items()
        if name.partition("_")[0] in ("date", *TIMES) and name.partition("_")[2] in ("", "geq", "gt")
    ]
    for _name, value in times:
        try:
            started = _time(value if "T" in value else f"{value}T00:00:00Z")
        except ValueError:
            raise QueryError(f"error parsing args: {value!r} is no time") from None
        # To the second, whatever the unit (seen): today's date minus 31 days is too old for all but an instant.
        if started < _time(now) - RETENTION:
            raise QueryError("cannot request data older than 4w3d", "quota")


def _passes(row: Event, conditions: Mapping[str, Any], known: tuple[str, ...]) -> bool:
    for key, given in conditions.items():
        if key in ("AND", "OR"):
            parts = [_passes(row, part, known) for part in given]
            if not (all(parts) if key == "AND" else any(parts)):
                return False
            continue
        name, _, word = key.partition("_")
        if name not in known or word not in _COMPARE:
            raise QueryError(f'error parsing args: unknown field "{key}"')
        # A dataset's date compares with times by its day.
        value = given[: len(row[name])] if isinstance(given, str) and name in ("date", *TIMES) else given
        if not _COMPARE[word](row[name], value):
            return False
    return True


def _groups(field: Field, rows: list[Event], known: tuple[str, ...]) -> list[Row]:
    chosen = [sub.name for top in field.selection if top.name == "dimensions" for sub in top.selection]
    for name in chosen:
        _check_known(name, known)
    if len(chosen) > FIELDS_MAX:
        raise QueryError(f"number of fields can't be more than {FIELDS_MAX}", "quota")
    sums: dict[tuple[Any, ...], int] = {}
    for row in rows:
        key = tuple(row[name] for name in chosen)
        sums[key] = sums.get(key, 0) + int(row["count"])
    out: list[Row] = []
    for key, count in sums.items():
        dimensions = dict(zip(chosen, key, strict=True))
        out.append(({**dimensions, "count": count}, _group(field, dimensions, count)))
    return out


def _group(field: Field, dimensions: Mapping[str, Any], count: int) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for top in field.selection:
        if top.name == "count":
            out[top.key] = count
        elif top.name == "dimensions":
            out[top.key] = {sub.key: dimensions[sub.name] for sub in top.selection}
        elif top.name == "avg":
            out[top.key] = {sub.key: 1.0 for sub in top.selection}  # sampleInterval: nothing is sampled
        else:
            raise QueryError(f'unknown field "{top.name}"')
    return out


def _selected(field: Field, row: Event, known: tuple[str, ...]) -> dict[str, Any]:
    for sub in field.selection:
        _check_known(sub.name, known)
    return {sub.key: row[sub.name] for sub in field.selection}


def _check_known(name: str, known: tuple[str, ...]) -> None:
    if name not in known:
        raise QueryError(f'unknown field "{name}"')
