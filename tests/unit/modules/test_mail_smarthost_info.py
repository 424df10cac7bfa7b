# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module mail_smarthost_info as Ansible runs it, against servers on loopback and the API twin on a socket."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.mailstead.stack.plugins.modules import mail_smarthost_info

from lab.twins.cloudflare import Twin, TwinConfig
from lab.twins.cloudflare.server import Running
from tests.unit.checks.servers import closed_port
from tests.unit.modules.documentation import assert_documented
from tests.unit.plugins.modules import Answer, run_module
from tests.unit.smarthost.server import PASSWORD, USER, Provider, authority, context

HOST = "localhost"
API_TOKEN = "a-token-that-sends-0123456789abcdefghijkl"
BLIND_TOKEN = "a-token-that-is-blind-0123456789abcdefghij"


@pytest.fixture(name="tls")
def fixture_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.crt"))
    return context(tmp_path, authority(tmp_path), HOST)


def entry(port: int, **more: Any) -> dict[str, Any]:
    given = {"id": "1-provider", "host": HOST, "port": port, "username": USER, "password": PASSWORD}
    return {**given, "senders": ["Noreply@Example.com"], "helo": None, **more}


def info(*smarthosts: dict[str, Any], **more: Any) -> Answer:
    listed = [{k: v for k, v in s.items() if v is not None} for s in smarthosts]
    return run_module(mail_smarthost_info.main, smarthosts=listed, deadline=10, **more)


def test_a_smarthost_that_works(tls: ssl.SSLContext) -> None:
    with Provider(tls).serve() as port:
        answer = info(entry(port), check=True)
    assert (answer.failed, answer.changed, answer.data["problems"]) == (False, False, [])
    (row,) = answer.data["smarthosts"]
    assert (row["id"], row["usable"], row["authenticated"], row["size"]) == ("1-provider", True, True, 5242880)
    assert [s["address"] for s in row["senders"]] == ["noreply@example.com"]
    assert "suppressed" not in row
    assert PASSWORD not in answer.raw


def test_all_mistakes_at_once_and_the_good_one_too(tls: ssl.SSLContext) -> None:
    with Provider(tls).serve() as port:
        answer = info(
            entry(port, id="good"),
            entry(port, id="wrong", password="not-it-at-all", place="mail_submission[0].smarthosts[1]"),
            entry(closed_port(), id="closed"),
        )
    assert answer.failed
    assert [(p["code"], p["where"]) for p in answer.data["problems"]] == [
        ("MS-SMH-008", "mail_submission[0].smarthosts[1]"),
        ("MS-SMH-002", "smarthost closed"),
    ]
    assert "[MS-SMH-008] mail_submission[0].smarthosts[1]" in answer.message and "Fix:" in answer.message
    assert [row["usable"] for row in answer.data["smarthosts"]] == [True, False, False]
    assert PASSWORD not in answer.raw and "not-it-at-all" not in answer.raw


def test_what_a_run_fails_for(tls: ssl.SSLContext) -> None:
    closed = entry(closed_port())
    assert info(closed).failed
    passing = info(closed, fail_on="lasting")
    assert not passing.failed and passing.data["problems"][0]["code"] == "MS-SMH-002"
    assert "MS-SMH-002" in str(passing.data["warnings"])
    with Provider(tls, replies={"MAIL": "452 4.3.1 the quota of this test"}).serve() as port:
        full = entry(port)
        # Warnings of one process add up, so the one that must not warn comes first.
        silent, warned, refused = info(full, fail_on="never"), info(full), info(full, fail_on="warnings")
    assert (warned.failed, refused.failed, silent.failed) == (False, True, False)
    assert "the quota of this test" in str(warned.data["warnings"])
    assert "the quota of this test" not in str(silent.data.get("warnings"))
    assert silent.data["problems"][0]["code"] == "MS-SMH-009"


def test_wishes_that_make_no_sense_ask_nobody() -> None:
    answer = info(entry(1, tls="none", place="here"), fail_on="never")
    assert answer.failed
    assert [(p["code"], p["where"]) for p in answer.data["problems"]] == [("MS-SMH-013", "here")]
    assert answer.data["smarthosts"] == []


def test_whom_a_provider_does_not_write_to(tls: ssl.SSLContext) -> None:
    tokens = [
        {"token": API_TOKEN, "scopes": ["Zone:Read", "Email Sending:Edit"]},
        {"token": BLIND_TOKEN, "scopes": ["Zone:Read"]},
    ]
    twin = Twin(TwinConfig.from_data({"zones": [{"name": "example.com"}], "tokens": tokens}))
    twin.suppress("gone@example.net", "hard_bounce")
    provider = Provider(tls, replies={"AUTH": "235 2.7.0 Ok"})
    with Running(twin, ["127.0.0.1:0"]) as server, provider.serve() as port:
        url = server.urls[0] + "/client/v4"
        answers = [
            info(entry(port, password=API_TOKEN, suppressions={"base_url": url})),
            info(entry(port, suppressions={"base_url": url, "api_token": API_TOKEN})),
            info(entry(port, password=BLIND_TOKEN, suppressions={"base_url": url})),
            info(entry(port, password=API_TOKEN, suppressions={"base_url": url, "account_id": "0" * 32})),
        ]
    for told in answers[:2]:
        (row,) = told.data["smarthosts"]
        assert [(r["email"], r["reason"]) for r in row["suppressed"]] == [("gone@example.net", "hard_bounce")]
        assert (row["suppressions_error"], told.data["problems"]) == ("", [])
    for blind in answers[2:]:
        (row,) = blind.data["smarthosts"]
        assert (blind.failed, row["usable"], row["suppressed"]) == (False, True, []), "mail leaves all the same"
        assert "cannot be read" in row["suppressions_error"]
        assert [p["code"] for p in blind.data["problems"]] == ["MS-SMH-014"]
    assert not any(token in answer.raw for answer in answers for token in (API_TOKEN, BLIND_TOKEN))


def test_its_documentation_is_its_arguments() -> None:
    assert_documented(mail_smarthost_info)
