# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Statistics over GraphQL, the audit log, and what the lab does to the mail products over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from lab.twins.cloudflare import Response, Twin, TwinConfig
from lab.twins.cloudflare.config import SCOPES, Zone
from lab.twins.cloudflare.email import graphql
from lab.twins.cloudflare.records import Record
from tests.unit.lab.twins.conftest import BASE, TOKEN, codes
from tests.unit.lab.twins.mail import GMAIL, MailApi, literal, mail
from tests.unit.lab.twins.test_email_workers import upload

NOW = "2026-11-20T12:00:00.000000Z"
EVENTS: list[dict[str, Any]] = [
    {"datetime": "2026-11-19T10:02:03Z", "status": "delivered", "action": "forward", "ruleMatched": "r1", "count": 3},
    {
        "datetime": "2026-11-19T11:59:59Z",
        "status": "delivered",
        "action": "forward",
        "ruleMatched": "r2",
        "spf": "pass",
    },
    {"datetime": "2026-11-20T09:30:00Z", "status": "deliveryFailed", "action": "forward", "errorDetail": "550 no"},
    {"datetime": "2026-11-20T09:40:00Z", "status": "dropped", "action": "drop", "isSpam": 1, "subject": 'a "b"'},
]
BY_STATUS = """
query ByStatus($zoneTag: string!, $start: Date!, $end: Date!) {
  viewer { zones(filter: {zoneTag: $zoneTag}) {
    emailRoutingAdaptiveGroups(
      filter: {date_geq: $start, date_leq: $end} limit: 10000 orderBy: [date_DESC, status_ASC]
    ) { count dimensions { date status } }
  } }
}
"""
DAYS = {"start": "2026-11-18", "end": "2026-11-20"}


@pytest.fixture(name="api")
def fixture_api() -> MailApi:
    config = TwinConfig.from_data(
        {
            "zones": [{"name": "example.com"}, {"name": "example.org"}],
            "tokens": [{"token": TOKEN, "scopes": list(SCOPES)}, {"token": "o" * 40, "scopes": ["Zone:Read"]}],
            "control_token": "c" * 20,
        }
    )
    api = MailApi(Twin(config, clock=lambda: NOW))
    api.twin.email("example.com").statistics(EVENTS)
    return api


def ask(api: MailApi, query: str, **variables: Any) -> Response:
    body = {"query": query, "variables": {"zoneTag": api.zone_id, **variables}}
    return api.call("POST", f"{BASE}/graphql", body)


def rows(api: MailApi, query: str, **variables: Any) -> Any:
    answer = ask(api, query, **variables).json
    assert answer["errors"] is None, answer
    return answer["data"]["viewer"]["zones"][0]


def dataset(selection: str, arguments: str = "limit: 100", name: str = "emailRoutingAdaptiveGroups") -> str:
    return f"query Q($zoneTag: string!) {{viewer {{zones(filter: {{zoneTag: $zoneTag}}) {{{name}({arguments}) {{{selection}}}}}}}}}"


# -- GraphQL -----------------------------------------------------------------------------------------------------------


def test_counts_by_day_and_status(api: MailApi) -> None:
    found = rows(api, BY_STATUS, **DAYS)["emailRoutingAdaptiveGroups"]
    assert [(r["dimensions"]["date"], r["dimensions"]["status"], r["count"]) for r in found] == [
        ("2026-11-20", "deliveryFailed", 1),
        ("2026-11-20", "dropped", 1),
        ("2026-11-19", "delivered", 4),
    ]
    assert rows(api, BY_STATUS, start="2026-11-20", end="2026-11-20")["emailRoutingAdaptiveGroups"] == found[:2]


def test_aliases_several_datasets_and_zones(api: MailApi) -> None:
    api.twin.email("example.org").statistics([{"status": "delivered", "sendingDomain": "example.org"}], sending=True)
    other = MailApi(api.twin, zone="example.org").zone_id
    query = """query Q($zones: [string!]!, $limit: Int = 5) {
      viewer { zones(filter: {zoneTag_in: $zones}) { id: zoneTag
        all: emailRoutingAdaptiveGroups(limit: $limit) { n: count }
        sent: emailSendingAdaptiveGroups(limit: $limit) { count dimensions { from: sendingDomain } }
      } } }"""
    found = ask(api, query, zones=[api.zone_id, other]).json["data"]["viewer"]["zones"]
    assert found[0] == {"id": api.zone_id, "all": [{"n": 6}], "sent": []}
    assert found[1]["all"] == [] and found[1]["sent"] == [{"count": 1, "dimensions": {"from": "example.org"}}]


@pytest.mark.parametrize(
    ("conditions", "count"),
    [
        ('status: "delivered"', 4),
        ('status_neq: "delivered"', 2),
        ('ruleMatched_in: ["r1", "r2"]', 4),
        ('status_notin: ["delivered", "dropped"]', 1),
        ("isSpam: 1", 1),
        ("isSpam_gt: 0", 1),
        ('status_like: "de%"', 5),
        ('status_notlike: "%ed"', 0),
        ('AND: [{status: "delivered"}, {spf: "pass"}]', 1),
        ('OR: [{status: "dropped"}, {ruleMatched: "r1"}]', 4),
        ('datetime_geq: "2026-11-19T11:00:00Z", datetime_lt: "2026-11-20T09:35:00Z"', 2),
        ('datetimeHour: "2026-11-20T09:00:00Z"', 2),
        ('date: "2026-11-19"', 4),
    ],
)
def test_filters(api: MailApi, conditions: str, count: int) -> None:
    found = rows(api, dataset("count", f"filter: {{{conditions}}}, limit: 10"))["emailRoutingAdaptiveGroups"]
    assert sum(r["count"] for r in found) == count


def test_times_are_cut_to_their_interval(api: MailApi) -> None:
    names = "datetime datetimeMinute datetimeFiveMinutes datetimeFifteenMinutes datetimeHour date"
    found = rows(api, dataset(f"dimensions {{ {names} }}", 'filter: {ruleMatched: "r2"} limit: 1'))
    times = found["emailRoutingAdaptiveGroups"][0]["dimensions"]
    assert [times[n][11:16] for n in names.split()[:-1]] == ["11:59", "11:59", "11:55", "11:45", "11:00"]
    assert times["date"] == "2026-11-19"


def test_single_events(api: MailApi) -> None:
    fields = "datetime status subject errorDetail isSpam"
    arguments = "limit: 2 orderBy: [datetime_DESC]"
    found = rows(api, dataset(fields, arguments, "emailRoutingAdaptive"))["emailRoutingAdaptive"]
    assert [r["status"] for r in found] == ["dropped", "deliveryFailed"]
    assert found[0]["subject"] == 'a "b"' and found[1]["errorDetail"] == "550 no"
    quoted = rows(api, dataset("status", r'filter: {subject: "a \"b\""} limit: 1', "emailRoutingAdaptive"))
    assert quoted["emailRoutingAdaptive"] == [{"status": "dropped"}]


def test_a_datasets_limits(api: MailApi) -> None:
    query = dataset("x", "a: 1").replace(
        "emailRoutingAdaptiveGroups(a: 1) {x}", "settings { emailRoutingAdaptive { enabled maxPageSize notOlderThan } }"
    )
    assert rows(api, query)["settings"]["emailRoutingAdaptive"] == {
        "enabled": True,
        "maxPageSize": 10000,
        "notOlderThan": 31 * 86400,
    }


@pytest.mark.parametrize(
    ("query", "message", "code"),
    [
        (dataset("count dimensions { colour }"), 'unknown field "colour"', "parse"),
        (dataset("count subject"), 'unknown field "subject"', "parse"),
        (dataset("colour", name="emailRoutingAdaptive"), 'unknown field "colour"', "parse"),
        (dataset("count", name="httpRequestsAdaptiveGroups"), 'unknown field "httpRequestsAdaptiveGroups"', "parse"),
        (dataset("count", "limit: 10001"), "limit must be positive number and not greater than 10000", "quota"),
        (dataset("count", 'filter: {date_geq: "2026-10-01"} limit: 1'), "cannot request data older than 4w3d", "quota"),
        (dataset("count", 'filter: {date_geq: "2026-10-20"} limit: 1'), "cannot request data older than 4w3d", "quota"),
        (dataset("count", 'filter: {date_geq: "soon"} limit: 1'), "error parsing args: 'soon' is no time", "parse"),
        (dataset("count", "filter: {colour: 1} limit: 1"), 'error parsing args: unknown field "colour"', "parse"),
        (dataset("count", "orderBy: [colour_ASC]"), 'error parsing args: unknown order "colour_ASC"', "parse"),
        (dataset("count", "filter: 1"), "filter is an object", "parse"),
        (dataset("sum { bytes }"), 'unknown field "sum"', "parse"),
        (dataset("count dimensions { " + "status " * 31 + "}"), "number of fields can't be more than 30", "quota"),
        (
            dataset("count").replace("emailRoutingAdaptiveGroups(limit: 100) {count}", "settings { x { colour } }"),
            'unknown field "colour"',
            "parse",
        ),
        (dataset("count", "first: 1"), 'unknown arg "first"', "parse"),
        ("query { viewer { accounts { id } } }", 'unknown field "accounts"', "parse"),
        ("query { cost }", 'unknown field "cost"', "parse"),
        ("mutation { x }", "only queries are supported", "parse"),
        ("query Q($day: Date!) { viewer { zones { x } } }", 'variable "day" is required', "parse"),
        ("query { viewer { zones(filter: {zoneTag: $no}) { x } } }", 'unknown variable "no"', "parse"),
        ("query { viewer ", "the query ends too early", "parse"),
        ("query { viewer ~ }", "syntax error near '~ }'", "parse"),
        ("query { viewer {} }", "a selection is empty", "parse"),
        ("query { a } query { b }", "one operation is supported, without fragments", "parse"),
        ("query { viewer { zones(filter: ]) { x } } }", "unexpected ']'", "parse"),
        ("query { viewer(a) { x } }", "':' is expected, not ')'", "parse"),
        (None, "a query is expected", "parse"),
    ],
)
def test_queries_that_fail(api: MailApi, query: Any, message: str, code: str) -> None:
    answer = ask(api, query)
    assert (answer.status, answer.json["data"]) == (200, None)
    (wrong,) = answer.json["errors"]
    assert (wrong["message"], wrong["extensions"]["code"]) == (message, code)


def test_other_peoples_zones(api: MailApi) -> None:
    other = MailApi(api.twin, "o" * 40)
    for asking, zone in ((other, api.zone_id), (api, "0" * 32)):
        answer = asking.call("POST", f"{BASE}/graphql", {"query": BY_STATUS, "variables": {"zoneTag": zone, **DAYS}})
        (wrong,) = answer.json["errors"]
        assert (wrong["message"], wrong["extensions"]["code"], wrong["path"]) == (
            "not authorized for that zone",
            "authz",
            ["viewer", "zones"],
        )


def test_statistics_have_a_limit_of_their_own() -> None:
    limits = {"graphql_rate_limit": {"requests": 2}, "rate_limit": {"requests": 3}}
    config = {"zones": [{"name": "example.com"}], "tokens": [{"token": TOKEN, "scopes": list(SCOPES)}], **limits}
    api = MailApi(Twin(TwinConfig.from_data(config)))
    assert [ask(api, BY_STATUS, **DAYS).status for _ in range(3)] == [200, 200, 429]
    assert [api.routing("GET").status for _ in range(4)] == [200, 200, 200, 429]


def test_values_of_every_kind() -> None:
    query = (
        'query($l: [Int!]!) { f(a: 1, b: -2.5e1, c: "x\\n\\u00e9", d: true, e: null, f: [1, $l], g: {h: E}) }  # end'
    )
    (field,) = graphql.parse(query, {"l": [2]})
    assert field.arguments == {"a": 1, "b": -25.0, "c": "x\né", "d": True, "e": None, "f": [1, [2]], "g": {"h": "E"}}


def test_seeds_are_checked(api: MailApi) -> None:
    with pytest.raises(ValueError, match="unknown field colour"):
        api.twin.email("example.com").statistics([{"colour": "red"}])
    with pytest.raises(ValueError, match="unknown field sendingDomain"):
        api.twin.email("example.com").statistics([{"sendingDomain": "x"}])


# -- audit log ---------------------------------------------------------------------------------------------------------

SPAN = "since=2000-01-01&before=2100-01-01"


def test_every_change_is_recorded() -> None:
    api = mail()
    api.routing("POST", "/dns")
    rule = api.ok("POST", "{z}/email/routing/rules", literal("a@example.com"))
    api.ok("DELETE", f"{{z}}/email/routing/rules/{rule['id']}")
    api.ok("POST", "{a}/email/routing/addresses", {"email": "new@gmail.example"})
    upload(api)
    api.ok("GET", "{z}/email/routing/rules")
    api.at("POST", "{z}/email/routing/rules", {})
    entries = api.ok("GET", "{a}/logs/audit", query=SPAN)
    assert [(e["action"]["type"], e["resource"]["type"]) for e in reversed(entries)] == [
        ("update", "email_routing_enable"),
        ("create", "email_routing_rule"),
        ("delete", "email_routing_rule"),
        ("create", "email_routing_address"),
        ("create", "script"),
    ]
    assert entries[-1]["zone"] == {"id": api.zone_id, "name": "example.com"} and "zone" not in entries[0]
    assert entries[0]["actor"]["token_id"] == api.twin.config.tokens[0].id
    assert len(api.ok("GET", "{a}/logs/audit", query=f"{SPAN}&zone_name=example.com")) == 3
    assert len(api.ok("GET", "{a}/logs/audit", query=f"{SPAN}&action_type=delete&zone_id={api.zone_id}")) == 1
    assert api.ok("GET", "{a}/logs/audit", query=f"{SPAN}&direction=asc") == entries[::-1]
    assert api.ok("GET", "{a}/logs/audit", query="since=2100-01-01&before=2100-01-02") == []
    old = api.ok("GET", "{a}/audit_logs", query="zone.name=example.com")
    assert [e["resource"]["id"] for e in old] == [rule["id"], rule["id"], api.zone_id]


def test_the_log_comes_by_cursor() -> None:
    api = mail()
    for n in range(5):
        api.ok("POST", "{a}/email/routing/addresses", {"email": f"d{n}@gmail.example"})
    found, query = [], f"{SPAN}&limit=2"
    while query:
        answer = api.at("GET", "{a}/logs/audit", query=query).json
        found += answer["result"]
        after = answer["result_info"]["cursors"].get("after")
        query = f"{SPAN}&limit=2&cursor={after}" if after else ""
    assert len({e["id"] for e in found}) == 5
    assert codes(api.at("GET", "{a}/logs/audit", query="since=2026-01-01")) == [9208]
    assert api.at("GET", "{a}/logs/audit", query=f"{SPAN}&limit=1001").status == 400
    assert api.at("GET", "{a}/logs/audit", query=f"{SPAN}&colour=red").status == 400


# -- over HTTP ---------------------------------------------------------------------------------------------------------


def control(api: MailApi, method: str, path: str, body: Any = None, token: str = "c" * 20) -> Response:
    return api.twin.handle(method, f"/__twin__/{path}", "", {"X-Twin-Control": token}, body)


def test_the_lab_clicks_and_asks_where_mail_goes(api: MailApi) -> None:
    api.ok("POST", "{a}/email/routing/addresses", {"email": GMAIL})
    (message,) = control(api, "GET", "email/outbox").json["result"]
    assert message["to"] == GMAIL
    assert control(api, "POST", "email/click", {"address": GMAIL}).status == 200
    assert control(api, "POST", "email/click", {"address": "nobody@x.example"}).status == 400
    api.routing("POST", "/dns")
    rule = api.ok("POST", "{z}/email/routing/rules", literal("hi@example.com"))
    found = control(api, "GET", "email/effective/hi@example.com").json["result"]
    assert found == {"zone": "example.com", "rule": rule["id"], "problem": "", "action": "forward", "target": GMAIL}
    assert control(api, "GET", "email/effective/hi@example.net").json["result"]["problem"] == "not-served"
    upload(api)
    script = control(api, "GET", "email/workers/filter").json["result"]
    assert script["main_module"] == "index.mjs" and list(script["modules"]) == ["index.mjs"]
    assert control(api, "GET", "email/workers/absent").status == 404


def test_the_lab_changes_options_and_seeds(api: MailApi) -> None:
    assert control(api, "GET", "email").json["result"]["spf"] == "replace"
    assert control(api, "PATCH", "email", {"spf": "keep"}).json["result"]["spf"] == "keep"
    assert control(api, "PATCH", "email", {"spf": "merge"}).status == 400
    assert control(api, "PATCH", "email", {"colour": "red"}).status == 400
    made = control(api, "POST", "email/destinations", {"address": "d@gmail.example", "verified": False}).json["result"]
    assert made["verified"] is None and "d@gmail.example" in api.twin.destinations
    zone = "zones/example.com/email"
    rule = {"address": "old@example.com", "action": "worker", "target": "w", "source": "wrangler", "name": "theirs"}
    assert control(api, "POST", f"{zone}/rules", rule).json["result"]["source"] == "wrangler"
    assert control(api, "POST", f"{zone}/rules", {"colour": "red"}).status == 400
    assert control(api, "POST", f"{zone}/statistics", {"events": [{"status": "rejected"}]}).status == 200
    assert control(api, "POST", f"{zone}/statistics", {"events": [{"colour": 1}]}).status == 400
    assert api.twin.zone("example.com").mail.events[-1]["status"] == "rejected"
    control(api, "PATCH", zone, {"status": "misconfigured"})
    seen = control(api, "GET", zone).json["result"]
    assert seen["settings"]["status"] == "misconfigured" and seen["rules"][0]["name"] == "theirs"
    assert seen["domains"] == {} and seen["sending"] == [] and seen["deprecated"] == []


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "email/x"), ("DELETE", "email"), ("GET", "zones/example.com/email/x"), ("GET", "zones/no.example/email")],
)
def test_calls_that_are_not_there(api: MailApi, method: str, path: str) -> None:
    assert control(api, method, path).status == 404
    assert control(api, "GET", "email/outbox", token="x").status == 404


# -- DNS ---------------------------------------------------------------------------------------------------------------


def test_the_records_reach_dns() -> None:
    seen: list[set[str]] = []

    class Publisher:
        def publish(self, _zone: Zone, _before: Mapping[str, Record], after: Mapping[str, Record]) -> None:
            seen.append({f"{r.type} {r.value.content}" for r in after.values() if r.type == "MX"})

        def key_of(self, _zone: Zone) -> None:
            return None

    config = TwinConfig.from_data(
        {"zones": [{"name": "example.com"}], "tokens": [{"token": TOKEN, "scopes": list(SCOPES)}]}
    )
    api = MailApi(Twin(config, publisher=Publisher()))
    api.routing("POST", "/dns")
    api.ok("POST", "{z}/email/sending/subdomains", {"name": "example.com"})
    api.routing("DELETE", "/dns")
    hosts = {f"MX route{n}.mx.cloudflare.net" for n in (1, 2, 3)}
    assert seen == [hosts, hosts, hosts] and len(api.of("MX")) == 0
