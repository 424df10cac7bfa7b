# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gate before a policy's id: what counts as served, how long is waited, and what is said about the rest."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError
from ansible_collections.mailstead.stack.plugins.module_utils.dns import gate as gate_dns
from ansible_collections.mailstead.stack.plugins.module_utils.mta_sts import announced as dns_part
from ansible_collections.mailstead.stack.plugins.module_utils.mta_sts import gate
from ansible_collections.mailstead.stack.plugins.module_utils.mta_sts.codes import CODES
from ansible_collections.mailstead.stack.plugins.module_utils.mta_sts.gate import Expected, fetch, look, wait_served
from ansible_collections.mailstead.stack.plugins.module_utils.mta_sts.policy import Policy, differences
from ansible_collections.mailstead.stack.plugins.module_utils.plan.build import sts_policy
from ansible_collections.mailstead.stack.plugins.modules import mta_sts_policy_info

from tests.unit.checks.servers import FakeClock, make_certificate, to_port
from tests.unit.plugins.modules import run_module

WANTED = Policy("enforce", ("mail.example.com",), 604800)
BODY = sts_policy(WANTED.mode, WANTED.mx, WANTED.max_age)
EXPECTED = Expected("example.com", ("127.0.0.1",), WANTED)
GOOD = {"connect": "open", "tls_error": "", "status": 200, "body": BODY}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (BODY, []),
        (BODY.replace("\r\n", "\n"), []),
        (BODY.replace("mail.example.com", "MAIL.Example.com."), []),
        ("<html>", ["it is no MTA-STS policy"]),
        (BODY.replace("enforce", "testing"), ["mode is testing, not enforce"]),
        (BODY.replace("604800", "60"), ["max_age is 60, not 604800"]),
        (BODY.replace("mx: mail.example.com\r\n", ""), ["mx is missing, not mail.example.com"]),
        (BODY + "mx: mx2.example.com\r\n", ["mx is mail.example.com, mx2.example.com, not mail.example.com"]),
        ("version: STSv1\nmx: mail.example.com\nmax_age: 604800\n", ["mode is missing, not enforce"]),
    ],
)
def test_a_policy_is_compared_by_what_it_says(body: str, said: list[str]) -> None:
    assert differences(body, WANTED) == said


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({"connect": "refused"}, "MS-STS-001", "no connection to 127.0.0.1: refused"),
        ({"connect": ""}, "MS-STS-001", "no address"),
        ({"tls_error": "certificate has expired"}, "MS-STS-001", "certificate has expired"),
        ({"status": 404}, "MS-STS-001", "HTTP status 404"),
        ({"body": BODY.replace("enforce", "none")}, "MS-STS-002", "mode is none"),
    ],
)
def test_what_is_in_the_way_is_named(change: dict[str, Any], code: str, words: str) -> None:
    served = look(EXPECTED, {**GOOD, **change})
    assert (served.code, words in served.trouble) == (code, True)


def test_it_waits_until_the_last_one_is_served() -> None:
    clock, calls = FakeClock(), []
    other = Expected("example.net", ("127.0.0.1",), WANTED)

    def late(expected: Expected) -> Mapping[str, object]:
        calls.append(expected.domain)
        ready = expected is EXPECTED or calls.count("example.net") == 3
        return GOOD if ready else {**GOOD, "status": 503}

    served = wait_served([EXPECTED, other], 60, late, clock=clock)
    assert [s.domain for s in served] == ["example.com", "example.net"]
    # What was good once is not fetched again.
    assert calls.count("example.com") == 1 and clock.waits == [gate.PAUSE] * 2


def test_nothing_to_wait_for_asks_nobody() -> None:
    assert wait_served([], 60, lambda _expected: pytest.fail("nobody is to be asked"), clock=FakeClock()) == []


def test_the_deadline_ends_the_wait_with_every_missing_policy() -> None:
    clock = FakeClock()
    other = Expected("example.net", ("127.0.0.1",), WANTED)
    with pytest.raises(MailsteadError) as caught:
        wait_served([EXPECTED, other], 5, lambda _expected: {"connect": "timeout"}, clock=clock)
    assert [p.where for p in caught.value.problems] == [
        "MTA-STS policy of example.com",
        "MTA-STS policy of example.net",
    ]
    assert {p.code for p in caught.value.problems} <= set(CODES) and sum(clock.waits) == pytest.approx(5)


def test_what_senders_know_already_is_told_and_not_waited_for() -> None:
    clock, asked = FakeClock(), []

    def announced(expected: Expected) -> bool:
        asked.append(expected.domain)
        return True

    good = Expected("example.net", ("127.0.0.1",), WANTED)
    down, up = wait_served(
        [EXPECTED, good], 60, lambda e: GOOD if e is good else {"connect": "timeout"}, announced, clock
    )
    assert "no connection" in down.trouble and not up.trouble
    # Whether it is announced matters only for the one that is not served.
    assert (asked, clock.waits) == (["example.com"], [])


def test_the_id_is_asked_of_the_zones_own_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: dict[str, object] = {"192.0.2.1": gate_dns.SilentError("no answer", final=False)}
    answers["192.0.2.2"] = gate_dns.Seen(frozenset({"v=STSv1; id=abc"}))
    names = {"ns1.example": ["192.0.2.1"], "ns2.example": ["192.0.2.2"]}

    def ask(address: str, question: tuple[str, str]) -> gate_dns.Seen:
        assert question == ("_mta-sts.example.com", "TXT")
        found = answers[address]
        if isinstance(found, Exception):
            raise found
        assert isinstance(found, gate_dns.Seen)
        return found

    def addresses(name: str) -> list[str]:
        if name not in names:
            raise OSError("no such name")
        return names[name]

    monkeypatch.setattr(dns_part, "name_servers", lambda _zone: ("gone.example", *names))
    monkeypatch.setattr(dns_part, "system_addresses", addresses)
    monkeypatch.setattr(dns_part, "ask_server", ask)
    known = dataclasses.replace(EXPECTED, zone="example.com", id="abc")
    assert dns_part.announced(known)
    assert not dns_part.announced(dataclasses.replace(known, id="new"))
    names.clear()
    assert not dns_part.announced(known)


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/.well-known/mta-sts.txt" else 404)
        self.send_header("Content-Type", "text/plain")
        self.end_headers()
        self.wfile.write(BODY.encode())

    def log_message(self, format: str, *args: object) -> None:
        """A test's output is for failures."""


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Expected]:
    """A policy host on loopback that the system trusts."""
    tls = make_certificate(tmp_path, "mta-sts.example.com")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = tls.wrap_socket(server.socket, server_side=True)
    Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.crt"))
    monkeypatch.setattr(gate, "dial", to_port(server.server_port))
    yield EXPECTED
    server.shutdown()
    server.server_close()


def test_the_module_reads_a_real_policy_host(served: Expected, monkeypatch: pytest.MonkeyPatch) -> None:
    assert fetch(served)["status"] == 200
    entry = {"domain": "Example.com.", "addresses": ["127.0.0.1"], "mode": "enforce", "max_age": 604800}
    answer = run_module(mta_sts_policy_info.main, policies=[{**entry, "mx": ["mail.example.com"]}], deadline=0)
    assert answer.data["policies"] == [{"domain": "example.com", "body": BODY, "trouble": ""}] and not answer.changed
    wrong = [{**entry, "mx": ["mx2.example.com"]}]
    failed = run_module(mta_sts_policy_info.main, policies=wrong, deadline=0)
    assert failed.failed and [p["code"] for p in failed.data["problems"]] == ["MS-STS-002"]
    # What senders know already holds nothing up.
    monkeypatch.setattr(mta_sts_policy_info, "announced", lambda _policy: True)
    told = run_module(mta_sts_policy_info.main, policies=[{**wrong[0], "zone": "example.com", "id": "abc"}], deadline=0)
    assert not told.failed and "MS-STS-002" in told.raw
    # A dry run on a bare host finds nothing served: that is said, and no failure.
    dry = run_module(mta_sts_policy_info.main, check=True, policies=wrong)
    assert not dry.failed and [p["code"] for p in dry.data["problems"]] == ["MS-STS-002"]
