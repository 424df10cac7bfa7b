# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a message proves about its sender, and what is made of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import spf

from lab.email_routing import judgement
from lab.email_routing.judgement import Client, best

from .world import DKIM_RECORD, MESSAGE, SENDER, Table, judged, signed

CLIENT = Client("198.18.0.40", "mail.stranger.example.org")
ELSEWHERE = Client("198.18.9.9", "mail.stranger.example.org")


@pytest.fixture(autouse=True)
def resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Judging tells pyspf whom to ask; afterwards it asks whom it asked before."""
    monkeypatch.setattr(spf, "DNSLookup", spf.DNSLookup)
    yield


@pytest.fixture
def table() -> Table:
    made = Table()
    made.text("stranger.example.org", "v=spf1 ip4:198.18.0.40 -all")
    made.text("s._domainkey.stranger.example.org", DKIM_RECORD)
    made.text("_dmarc.stranger.example.org", "v=DMARC1; p=reject")
    return made


def test_an_honest_message_passes_everything(table: Table) -> None:
    found = judgement.judge(table, CLIENT, SENDER, signed(MESSAGE))
    assert (found.spf, found.dkim, found.dmarc, found.policy) == ("pass", "pass", "pass", "reject")
    headers = found.headers.decode()
    assert headers.startswith("Authentication-Results: mx.cloudflare.net;")
    assert "dkim=pass header.d=stranger.example.org" in headers
    assert "Received-SPF: pass (mx.cloudflare.net:" in headers and headers.endswith("\r\n")
    assert judgement.refusal(found) is None


def test_from_the_wrong_address_the_signature_is_enough(table: Table) -> None:
    found = judgement.judge(table, ELSEWHERE, SENDER, signed(MESSAGE))
    assert (found.spf, found.dkim, found.dmarc) == ("fail", "pass", "pass")
    assert judgement.refusal(found) is None


def test_without_a_signature_the_address_is_enough(table: Table) -> None:
    found = judgement.judge(table, CLIENT, SENDER, MESSAGE)
    assert (found.spf, found.dkim, found.dmarc) == ("pass", "none", "pass")
    assert judgement.refusal(found) is None


def test_a_spoilt_signature_from_the_wrong_address_is_refused(table: Table) -> None:
    found = judgement.judge(table, ELSEWHERE, SENDER, signed(MESSAGE).replace(b"Hello.", b"Goodbye."))
    assert (found.spf, found.dkim, found.dmarc) == ("fail", "fail", "fail")
    refused = judgement.refusal(found)
    assert refused is not None and refused.code == 550 and "DMARC" in refused.text


def test_somebody_elses_name_under_reject_is_refused_though_spf_passes(table: Table) -> None:
    table.text("elsewhere.example.net", "v=spf1 ip4:198.18.9.9 -all")
    found = judgement.judge(table, ELSEWHERE, "x@elsewhere.example.net", MESSAGE)
    assert (found.spf, found.dmarc, found.policy) == ("pass", "fail", "reject")
    assert judgement.refusal(found) is not None


def test_a_bounce_is_judged_by_its_greeting(table: Table) -> None:
    table.text("mail.stranger.example.org", "v=spf1 ip4:198.18.0.40 -all")
    assert judgement.judge(table, CLIENT, "", MESSAGE).spf == "pass"
    assert judgement.judge(table, ELSEWHERE, "", MESSAGE).spf == "fail"


def test_dns_that_does_not_answer_is_no_reason_for_ever(table: Table) -> None:
    table.broken = {"stranger.example.org", "s._domainkey.stranger.example.org", "_dmarc.stranger.example.org"}
    found = judgement.judge(table, CLIENT, SENDER, signed(MESSAGE))
    refused = judgement.refusal(found)
    assert (found.spf, found.dmarc) == ("temperror", "temperror")
    assert refused is not None and refused.code == 451


@pytest.mark.parametrize(
    ("spf_result", "dkim_result", "dmarc", "policy", "code", "worker_code"),
    [
        ("pass", "none", "none", "none", 0, 0),
        ("none", "pass", "none", "none", 0, 0),
        ("none", "none", "none", "none", 550, 0),
        ("softfail", "fail", "fail", "none", 550, 0),
        ("pass", "pass", "fail", "quarantine", 0, 0),
        ("pass", "pass", "fail", "reject", 550, 550),
        ("temperror", "none", "none", "none", 451, 451),
        ("pass", "temperror", "none", "none", 0, 0),
    ],
)
def test_enough_is_one_of_two_and_no_reject(
    spf_result: str, dkim_result: str, dmarc: str, policy: str, code: int, worker_code: int
) -> None:
    found = judged(spf_result, dkim_result, dmarc, policy)
    refused, by_worker = judgement.refusal(found), judgement.refusal(found, to_worker=True)
    assert (refused.code if refused else 0) == code
    assert (by_worker.code if by_worker else 0) == worker_code


def test_one_good_signature_of_several_is_enough() -> None:
    assert best(["permerror", "fail", "pass"]) == "pass"
    assert best(["fail", "temperror"]) == "temperror"
    assert best([]) == "none"
