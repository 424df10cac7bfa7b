# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Statistics and the audit log: odd answers, limits, many zones."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare import analytics
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.analytics import Window
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.client import Client
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError
from ansible_collections.mailstead.stack.plugins.module_utils.common.http import Answer
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.cloudflare.support import TOKEN

TODAY = datetime.date(2026, 11, 21)
WINDOW = Window.last(3, TODAY)

Reply = Callable[[Mapping[str, str], Any], Any]


class Scripted:
    def __init__(self, reply: Reply) -> None:
        self.reply = reply

    def request(self, _method: str, path: str, query: Mapping[str, str], _headers: Any, body: bytes | None) -> Answer:
        if path.endswith("/tokens/verify"):
            status, found = 200, {"success": True, "result": {"status": "active"}}
        else:
            status, found = self.reply(query, json.loads(body) if body else None)
        return Answer(status, {"content-type": "application/json"}, json.dumps(found).encode())

    def close(self) -> None:
        return None


def client(reply: Reply) -> Client:
    return Client(TOKEN, lambda: Scripted(reply), pause=lambda _s: None)


def zone(tag: str, **more: Any) -> dict[str, Any]:
    return {"zoneTag": tag, "days": [], "rules": [], "authentication": [], **more}


def answer(*zones: Any, errors: Any = None) -> tuple[int, Any]:
    return 200, {"data": {"viewer": {"zones": list(zones)}}, "errors": errors}


def ask(*reply: Any) -> dict[str, analytics.Statistics]:
    return analytics.statistics(client(lambda _q, _b: reply), [("example.com", "z1")], WINDOW)


def test_a_window_has_whole_days_and_no_more_than_are_kept() -> None:
    assert WINDOW.dates == ["2026-11-19", "2026-11-20", "2026-11-21"]
    assert len(Window.last(99, TODAY).dates) == 31 and Window.last(1, TODAY).dates == ["2026-11-21"]


def test_ten_zones_are_asked_for_at_once() -> None:
    asked: list[list[str]] = []

    def reply(_query: Mapping[str, str], body: Any) -> Any:
        asked.append(body["variables"]["zones"])
        assert "from" not in body["variables"] and "emailRoutingAdaptive(" not in body["query"]
        return answer(*(zone(tag) for tag in reversed(body["variables"]["zones"])))

    found = analytics.statistics(client(reply), [(f"n{i}.example", f"z{i}") for i in range(23)], WINDOW)
    assert [len(tags) for tags in asked] == [10, 10, 3] and len(found) == 23
    assert all(s.zone == name and s.counts["delivered"] == 0 and len(s.days) == 3 for name, s in found.items())
    assert analytics.statistics(client(reply), [], WINDOW) == {}


def test_an_unknown_status_counts_as_a_failure() -> None:
    rows = [{"count": 2, "dimensions": {"date": "2026-11-20", "status": "vanished"}}]
    assert ask(*answer(zone("z1", days=rows)))["example.com"].counts["failed"] == 2


def test_rows_beyond_the_limit_are_noted() -> None:
    row = {"count": 1, "dimensions": {"ruleMatched": None, "status": "dropped"}}
    found = ask(*answer(zone("z1", rules=[row] * analytics.ROWS)))["example.com"]
    assert found.rules[0].total == analytics.ROWS and "[MS-CF-042] example.com: there are more rules" in found.notes[0]


@pytest.mark.parametrize(
    "raw",
    [
        zone("z1", days=None),
        zone("z1", days=[{"count": 1}]),
        zone("z1", days=[{"count": "many", "dimensions": {"date": "x", "status": "y"}}]),
        zone("z1", rules=[{"count": 1, "dimensions": {"status": "dropped"}}]),
        zone("z1", events=["x"]),
        zone("z1", events={"x": 1}),
        zone("z2"),
    ],
)
def test_answers_without_the_documented_shape(raw: Any) -> None:
    with pytest.raises(MailsteadError, match="MS-CF-004"):
        ask(*answer(raw))


@pytest.mark.parametrize("body", [[], {"data": None, "errors": None}, {"data": {"viewer": {"zones": None}}}])
def test_answers_without_zones(body: Any) -> None:
    with pytest.raises(MailsteadError, match="MS-CF-004"):
        ask(200, body)


def test_refusals_are_told_in_the_services_words() -> None:
    with pytest.raises(MailsteadError, match=r"MS-CF-040.*cannot request data older than 4w3d; odd[\s\S]*fewer days"):
        ask(*answer(errors=[{"message": "cannot request data older than 4w3d"}, "odd"]))
    with pytest.raises(MailsteadError, match=r"MS-CF-040[\s\S]*Zone › Analytics › Read"):
        ask(*answer(errors=[{"message": "not authorized for that zone"}]))
    refused = {"success": False, "errors": [{"code": 10000, "message": "Authentication error"}]}
    with pytest.raises(MailsteadError, match=r"MS-CF-040[\s\S]*Zone › Analytics › Read"):
        ask(403, refused)
    with pytest.raises(MailsteadError, match="MS-CF-007"):
        ask(400, {"success": False, "errors": [{"code": 1234, "message": "no"}]})


def log(*pages: dict[str, Any]) -> tuple[list[analytics.Change], list[str]]:
    left = list(pages)
    reply: Reply = lambda _q, _b: (200, {"success": True, **(left.pop(0) if len(left) > 1 else left[0])})  # noqa: E731
    return analytics.audit_log(client(reply), "a", WINDOW)


MAIL = {"action": {"type": "create"}, "raw": {"uri": "/zones/z/email/routing/rules"}}


def test_the_log_is_read_to_its_end_in_both_of_its_forms() -> None:
    other = {"resource": {"type": "dns_record"}, "raw": {"uri": "/zones/z/dns_records"}}
    found, notes = log(
        {"result": [MAIL, other], "result_info": {"cursor": "x"}},
        {"result": [MAIL, "odd"], "result_info": {"cursors": {"after": "y"}}},
        {"result": None, "result_info": {"cursors": {"after": ""}}},
    )
    assert [(c.action, c.request) for c in found] == [("create", "/zones/z/email/routing/rules")] * 2 and notes == []
    # A cursor that leads back to its own page ends it.
    assert len(log({"result": [MAIL], "result_info": {"cursor": "x"}})[0]) == 2


def test_a_log_without_end_is_cut_and_that_is_noted() -> None:
    pages = [{"result": [MAIL], "result_info": {"cursor": str(n)}} for n in range(analytics.AUDIT_PAGES + 5)]
    found, notes = log(*pages)
    assert len(found) == analytics.AUDIT_PAGES and "[MS-CF-042]" in notes[0]


def test_a_log_that_may_not_be_read() -> None:
    refused = (403, {"success": False, "errors": [{"code": 10000, "message": "Authentication error"}]})
    with pytest.raises(MailsteadError, match=r"MS-CF-041[\s\S]*Account › Account Settings › Read"):
        analytics.audit_log(client(lambda _q, _b: refused), "a", WINDOW)
    with pytest.raises(MailsteadError, match="MS-CF-007"):
        analytics.audit_log(
            client(lambda _q, _b: (400, {"success": False, "errors": [{"code": 1, "message": "no"}]})), "a", WINDOW
        )


STATUSES = st.sampled_from([*analytics.OUTCOMES, "deliveryFailed", "odd"])
ROWS = st.lists(
    st.tuples(st.sampled_from([*WINDOW.dates]), STATUSES, st.integers(0, 1000)),
    max_size=20,
)


@given(ROWS)
def test_no_event_is_lost_or_counted_twice(rows: list[tuple[str, str, int]]) -> None:
    days = [{"count": count, "dimensions": {"date": date, "status": status}} for date, status, count in rows]
    found = analytics.read_zone(zone("z1", days=days), "example.com", WINDOW)
    total = sum(count for _, _, count in rows)
    assert sum(found.counts.values()) == sum(row.total for row in found.days) == total
    assert [row.key[0] for row in found.days] == WINDOW.dates
    assert found.to_data({})["total"] == total
