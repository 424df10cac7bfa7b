# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Planned misbehaviour, rate limits and the request log."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from lab.twins.cloudflare import ConfigError, ConnectionDroppedError, Fault, Twin, TwinConfig
from tests.unit.lab.twins.conftest import BASE, Api, codes


def test_an_operation_of_the_next_batch_fails(api: Api) -> None:
    posts = [{"type": "A", "name": f"h{i}", "content": "198.18.1.1"} for i in range(5)]
    api.twin.faults.fail_operation(3, code=81053)
    response = api.batch(posts=posts)
    assert (response.status, codes(response)) == (400, [81053])
    assert api.list() == [] and api.twin.faults.pending == 0
    assert api.batch(posts=posts).status == 200


def test_a_fault_waits_for_a_batch_long_enough(api: Api) -> None:
    api.twin.faults.fail_operation(1)
    assert api.batch(posts=[{"type": "A", "name": "a", "content": "198.18.1.1"}]).status == 200
    assert api.twin.faults.pending == 1


def test_the_ambiguous_write_is_applied_but_not_answered(api: Api) -> None:
    api.twin.faults.drop_after_write()
    with pytest.raises(ConnectionDroppedError) as caught:
        api.create("A", "a", "198.18.1.1")
    assert caught.value.applied
    assert [r["name"] for r in api.list()] == ["a.example.com"]
    assert api.twin.log.entries[0].status == 0


def test_a_connection_dropped_before_the_write_changes_nothing(api: Api) -> None:
    api.twin.faults.drop_unread(method="POST")
    with pytest.raises(ConnectionDroppedError) as caught:
        api.create("A", "a", "198.18.1.1")
    assert not caught.value.applied
    assert api.list() == []


def test_429_with_retry_after_for_the_next_requests(api: Api) -> None:
    api.twin.faults.rate_limit(times=2, retry_after=7)
    for _ in range(2):
        response = api.call("GET", api.records_path)
        assert (response.status, codes(response), response.headers["Retry-After"]) == (429, [10100], "7")
    assert api.call("GET", api.records_path).status == 200


def test_reads_and_writes_fail_with_5xx(api: Api) -> None:
    api.twin.faults.fail_reads(status=503)
    assert api.create("A", "a", "198.18.1.1").status == 200  # writes pass
    assert api.call("GET", api.records_path).status == 503
    api.twin.faults.fail_writes(status=502, html=True)
    response = api.create("A", "b", "198.18.1.1")
    assert response.status == 502 and response.json is None and response.body.startswith(b"<html>")
    api.twin.faults.fail_writes(status=500, applied=True)
    assert api.create("A", "c", "198.18.1.1").status == 500
    assert [r["name"] for r in api.list()] == ["a.example.com", "c.example.com"]


def test_faults_can_skip_and_choose(api: Api) -> None:
    api.twin.faults.add(Fault("status", skip=1, status=500, method="GET", path="/dns_records"))
    assert [api.call("GET", p).status for p in (f"{BASE}/zones", api.records_path, api.records_path)] == [200, 200, 500]
    api.twin.faults.fail_reads(times=9)
    api.twin.faults.clear()
    assert api.call("GET", api.records_path).status == 200


def test_a_fault_of_no_kind_is_an_error() -> None:
    with pytest.raises(ConfigError):
        Fault("explode")


def test_delay_and_latency(make: Any) -> None:
    api = Api(make(latency_ms=30))
    api.twin.faults.delay(0.05)
    started = time.monotonic()
    api.call("GET", api.records_path)
    assert time.monotonic() - started >= 0.08
    assert api.twin.log.entries[0].seconds >= 0.08


def test_latency_does_not_make_requests_queue(make: Any) -> None:
    api = Api(make(latency_ms=200))
    threads = [threading.Thread(target=api.call, args=("GET", api.records_path)) for _ in range(8)]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert time.monotonic() - started < 0.2 * 8 / 2


def test_rate_limit_counts_down_blocks_and_opens_again(make: Any) -> None:
    now = [1000.0]
    config = make(rate_limit={"requests": 3, "window_seconds": 10.0, "block_seconds": 20.0}).config
    api = Api(Twin(config, monotonic=lambda: now[0]))
    seen = [api.call("GET", api.records_path).headers for _ in range(3)]
    assert [h["x-ratelimit-remaining"] for h in seen] == ["2", "1", "0"]
    assert {h["x-ratelimit-limit"] for h in seen} == {"3"} and seen[0]["x-ratelimit-reset"] == "10"
    response = api.call("GET", api.records_path)
    assert (response.status, response.headers["Retry-After"]) == (429, "20")
    now[0] += 15
    assert api.call("GET", api.records_path).headers["Retry-After"] == "5"
    now[0] += 5
    assert api.call("GET", api.records_path).status == 200


def test_all_tokens_share_the_limit(make: Any) -> None:
    other = "o" * 40
    twin = make(tokens=[{"token": "t" * 40}, {"token": other}], rate_limit={"requests": 1})
    assert Api(twin).call("GET", f"{BASE}/zones").status == 200
    assert Api(twin, other).call("GET", f"{BASE}/zones").status == 429


def test_the_log_counts_requests_and_never_holds_a_token(api: Api) -> None:
    api.call("GET", f"{BASE}/zones", query="name=example.com")
    api.list()
    api.batch(posts=[{"type": "A", "name": "a", "content": "198.18.1.1"}])
    log = api.twin.log
    assert (log.count(), log.count("GET"), log.count("POST", "/batch"), log.count(path="/dns_records")) == (3, 2, 1, 2)
    entry = log.entries[2]
    assert (entry.operations, entry.status, len(entry.token)) == (1, 200, 32)
    assert entry.bytes_in > 0 and entry.bytes_out > 0
    assert api.token not in str([e.to_json() for e in log.entries])
    assert log.entries[0].query == {"name": "example.com"}
    log.reset()
    assert log.count() == 0


def test_parallel_writers_lose_nothing(api: Api) -> None:
    def write(worker: int) -> None:
        for i in range(10):
            api.made("A", f"w{worker}-{i}", "198.18.1.1")

    threads = [threading.Thread(target=write, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({r["id"] for r in api.list()}) == 80


# -- control endpoints -----------------------------------------------------------------------------------------------


def test_health_is_open_and_the_rest_needs_the_control_token(make: Any) -> None:
    api = Api(make(control_token="c" * 20))
    assert api.twin.handle("GET", "/__twin__/health").json["result"]["zones"] == ["example.com", "paid.example.org"]
    for headers in ({}, {"X-Twin-Control": "wrong"}):
        assert api.twin.handle("GET", "/__twin__/log", None, headers).status == 404
    closed = Api(make())
    assert closed.twin.handle("GET", "/__twin__/log", None, {"X-Twin-Control": ""}).status == 404


def test_faults_and_zones_can_be_scripted_over_http(make: Any) -> None:
    api = Api(make(control_token="c" * 20))

    def control(method: str, path: str, body: bytes = b"") -> Any:
        return api.twin.handle(method, f"/__twin__/{path}", None, {"X-Twin-Control": "c" * 20}, body)

    assert control("POST", "faults", b'{"kind": "status", "status": 503, "method": "GET"}').status == 200
    assert control("GET", "faults").json["result"] == {"pending": 1}
    assert api.call("GET", api.records_path).status == 503
    assert [e["status"] for e in control("GET", "log").json["result"]["requests"]] == [503]
    assert control("DELETE", "log").status == control("DELETE", "faults").status == 200
    assert control("PATCH", "zones/example.com", b'{"plan": "pro"}').status == 200
    assert api.create("A", "a", "198.18.1.1", tags=["a:b"]).status == 200
    record = api.list()[0]
    assert control("PATCH", f"zones/example.com/records/{record['id']}/meta", b'{"read_only": true}').status == 200
    assert api.one("DELETE", record).status == 400
    api.call("PATCH", f"{BASE}/zones/{api.zone_id}/dnssec", {"status": "active"})
    assert control("POST", "zones/example.com/dnssec/activate").status == 200
    assert api.call("GET", f"{BASE}/zones/{api.zone_id}/dnssec").json["result"]["status"] == "active"
    for method, path, body in (
        ("POST", "faults", b'{"kind": "x"}'),
        ("POST", "faults", b'{"nonsense": 1}'),
        ("POST", "faults", b"{"),
        ("PATCH", "zones/example.com", b'{"name": "x"}'),
        ("PATCH", "zones/nowhere.net", b'{"plan": "pro"}'),
        ("GET", "nothing", b""),
    ):
        assert control(method, path, body).status in (400, 404)


def test_a_script_of_faults_comes_with_the_configuration(make: Any) -> None:
    script = [
        {"kind": "status", "method": "GET", "status": 503, "skip": 1},
        {"kind": "status", "method": "GET", "status": 429, "retry_after": 7, "skip": 1},
    ]
    twin = make(faults=script)
    api, path = Api(twin), f"{BASE}/zones"
    answers = [api.call("GET", path) for _ in range(4)]
    assert [a.status for a in answers] == [200, 503, 429, 200]
    assert answers[2].headers["Retry-After"] == "7" and twin.faults.pending == 0
    # The configuration still says what was planned: another twin gets all of it.
    assert Twin(twin.config).faults.pending == 2


def test_a_scripts_mistakes_are_the_configurations() -> None:
    for fault in ({"kind": "explode"}, {"kind": "delay", "second": 1}, {"kind": "status", "status": "503"}):
        with pytest.raises(ConfigError):
            TwinConfig.from_data({"faults": [fault]})


def test_dnssec_states_over_the_control_endpoint(make: Any) -> None:
    api = Api(make(control_token="c" * 20))

    def put(body: bytes) -> int:
        path, headers = "/__twin__/zones/example.com/dnssec", {"X-Twin-Control": "c" * 20}
        return api.twin.handle("PATCH", path, None, headers, body).status

    assert put(b'{"status": "error"}') == 200 and api.twin.zone("example.com").dnssec.status == "error"
    assert [put(b) for b in (b'{"status": "odd"}', b"[]", b'{"status": "active", "x": 1}')] == [400, 400, 400]


def test_a_script_of_faults_over_the_control_endpoint(make: Any) -> None:
    api = Api(make(control_token="c" * 20))

    def post(body: bytes) -> int:
        return api.twin.handle("POST", "/__twin__/faults", None, {"X-Twin-Control": "c" * 20}, body).status

    assert post(b'[{"kind": "delay", "seconds": 0}, {"kind": "drop_after", "method": "POST"}]') == 200
    assert api.twin.faults.pending == 2
    # One mistake, and none of the script is planned.
    assert post(b'[{"kind": "delay", "seconds": 0}, {"kind": "explode"}]') == 400
    assert api.twin.faults.pending == 2
