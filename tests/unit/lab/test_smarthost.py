# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The providers' own code: what they answer in which mode, and what they tell of the messages they took."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab import names, paths, render, secrets
from lab.smarthost import config, journal, modes, policy, settings
from lab.smarthost.config import Provider
from lab.topology import host


@pytest.fixture(name="providers")
def fixture_providers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Provider, ...]:
    """As the lab renders them."""
    for name in ("PKI", "SSH"):
        monkeypatch.setattr(paths, name, tmp_path / name.lower())
    for name in ("SECRETS", "DNS_KEYS"):
        monkeypatch.setattr(paths, name, tmp_path / f"{name.lower()}.json")
    rendered = render.files(host("smarthost"), render.world(secrets.load()))
    (tmp_path / "config.json").write_bytes(rendered["/lab/config.json"].content)
    found = config.load(tmp_path / "config.json")
    for provider in found:
        assert {provider.cert, provider.key} <= set(rendered)
    return found


def test_every_provider_has_its_names_in_the_labs_dns(providers: tuple[Provider, ...]) -> None:
    records = {(r.name, r.type, r.data) for r in names.STATIC_RECORDS}
    pointers = dict(names.POINTERS)
    for p in providers:
        for name in (p.host, p.sender):
            assert {(name, "A", p.ipv4), (name, "AAAA", p.ipv6)} <= records
        # The strict receiver asks for both, and that they agree.
        assert (pointers[p.ipv4], pointers[p.ipv6]) == (p.sender, p.sender)
    zones = names.STATIC_ZONES
    assert all(any(names.covers(z, n) for z in zones) for p in providers for n in (p.host, p.sender))


@pytest.mark.parametrize(
    ("name", "published"), [("cloudflare", "_spf.mx.cloudflare.net"), ("smtp2go", names.SMTP2GO_RETURN)]
)
def test_spf_covers_where_a_provider_sends_from(providers: tuple[Provider, ...], name: str, published: str) -> None:
    (provider,) = (p for p in providers if p.name == name)
    (text,) = (r.data for r in names.STATIC_RECORDS if (r.name, r.type) == (published, "TXT"))
    assert {f"ip4:{provider.ipv4}", f"ip6:{provider.ipv6}"} <= set(text.split())


class Asked:
    """The policy with a clock of its own, domains that are set up, and a count."""

    def __init__(self, providers: tuple[Provider, ...], folder: Path) -> None:
        self.folder, self.accepted, self.waited = folder, 0, 0.0
        #: What happens while somebody waits.
        self.then: Callable[[], None] = lambda: None
        self.providers = {p.name: p for p in providers}
        self.policy = policy.Policy(
            providers, lambda _name: self.accepted, lambda domain, *_: domain == "example.com", folder, self.pause
        )

    def pause(self, seconds: float) -> None:
        self.waited += seconds
        self.then()

    def tell(self, name: str, mode: str, value: int = 0) -> None:
        modes.write(name, modes.Mode(mode, value, self.accepted), self.folder)

    def __call__(self, name: str, state: str = "MAIL", sender: str = "a@example.com", user: str = "u") -> str:
        address = self.providers[name].ipv6
        given = {"protocol_state": state, "server_address": address, "sender": sender, "sasl_username": user}
        return self.policy.answer(given).split(" ")[0]


@pytest.fixture(name="asked")
def fixture_asked(providers: tuple[Provider, ...], tmp_path: Path) -> Asked:
    return Asked(providers, tmp_path / "state")


def test_who_may_send(asked: Asked) -> None:
    assert asked("cloudflare") == asked("smtp2go") == asked("cloudflare", "RCPT") == policy.PASS
    assert asked("cloudflare", user="") == "530"
    assert asked("cloudflare", sender="a@ci.example.com") == "550"
    assert asked("cloudflare", sender="") == policy.PASS, "a bounce has no sender"


def test_modes_are_one_providers_own_and_pass(asked: Asked) -> None:
    for mode, answer in (("tempfail", "451"), ("reject-rcpt", "550")):
        asked.tell("smtp2go", mode)
        assert (asked("smtp2go"), asked("smtp2go", "RCPT"), asked("cloudflare", "RCPT")) == ("DUNNO", answer, "DUNNO")
    asked.tell("smtp2go", "ok")
    assert asked("smtp2go", "RCPT") == policy.PASS


def test_a_quota_counts_from_when_it_was_set(asked: Asked) -> None:
    asked.accepted = 7
    asked.tell("cloudflare", "quota", 2)
    seen = []
    for _ in range(4):
        seen.append(asked("cloudflare"))
        asked.accepted += seen[-1] == policy.PASS
    assert seen == ["DUNNO", "DUNNO", "452", "452"]


def test_slowness_ends_when_it_is_told_to(asked: Asked) -> None:
    asked.tell("cloudflare", "slow", 3)
    assert asked("cloudflare") == policy.PASS
    assert asked.waited == pytest.approx(3, abs=0.2)
    asked.waited, asked.then = 0.0, lambda: asked.tell("cloudflare", "ok")
    asked.tell("cloudflare", "slow", 3)
    asked("cloudflare")
    assert asked.waited == pytest.approx(policy.LOOK)


def test_the_policy_speaks_as_postfix_expects(asked: Asked) -> None:
    server = policy.serve(asked.policy, 0)
    try:
        with socket.create_connection(("127.0.0.1", server.socket.getsockname()[1]), timeout=5) as client:
            stream = client.makefile("rwb", buffering=0)
            for sender, answer in (("a@example.com", b"action=DUNNO\n"), ("a@other.example", b"action=550 5.7.1 ")):
                address = asked.providers["smtp2go"].ipv4
                given = {"protocol_state": "MAIL", "server_address": address, "sender": sender, "sasl_username": "u"}
                stream.write("".join(f"{k}={v}\n" for k, v in given.items()).encode() + b"\n")
                assert stream.readline().startswith(answer)
                assert stream.readline() == b"\n"
    finally:
        server.shutdown()
        server.server_close()


LOG = """\
postfix/cloudflare/smtpd[77]: connect from app.example.com[192.168.77.10]
postfix/cloudflare/smtpd[77]: 271ED14A172: client=app.example.com[192.168.77.10], sasl_method=PLAIN, sasl_username=api_token
postfix/cloudflare/cleanup[80]: 271ED14A172: message-id=<one@example.com>
postfix/qmgr[70]: 271ED14A172: from=<bounces+a@cf-bounce.example.com>, size=2128, nrcpt=1 (queue active)
postfix/smtp2go/smtpd[78]: 3B2ED14A172: client=app.example.com[192.168.77.10], sasl_method=PLAIN, sasl_username=notify
postfix/smtp2go/cleanup[81]: 3B2ED14A172: message-id=<one@example.com>
postfix/cloudflare/smtp[82]: 271ED14A172: to=<x@y.example>, relay=mx[1.2.3.4]:25, delay=1, status=deferred (451 later)
postfix/qmgr[70]: 271ED14A172: from=<bounces+a@cf-bounce.example.com>, size=2128, nrcpt=1 (queue active)
postfix/cloudflare/smtp[82]: 271ED14A172: to=<x@y.example>, relay=mx[1.2.3.4]:25, delay=1, status=sent (250 2.0.0 Ok)
postfix/bounce[83]: 271ED14A172: sender non-delivery notification: 9C2ED14A172
postfix/cleanup[80]: 9C2ED14A172: message-id=<notice@smarthost>
postfix/qmgr[70]: 9C2ED14A172: from=<>, size=100, nrcpt=1 (queue active)
postfix/qmgr[70]: 271ED14A172: removed
postfix/qmgr[70]: 271ED14A172: from=<>, size=1, nrcpt=1 (queue active)
"""


def test_the_journal_counts_what_was_accepted(tmp_path: Path) -> None:
    """A message whose sender hung up before the end was never in the queue; a notice of our own is nobody's message."""
    path = tmp_path / "journal"
    kept = journal.Journal(path)
    for line in LOG.splitlines():
        kept.line(line)
    found = journal.entries(path)
    assert [(e["event"], e["message_id"]) for e in found] == [
        (event, "<one@example.com>") for event in ("accepted", "deferred", "sent")
    ]
    assert {k: found[0][k] for k in ("provider", "username", "sender", "size", "recipients")} == {
        "provider": "cloudflare",
        "username": "api_token",
        "sender": "bounces+a@cf-bounce.example.com",
        "size": 2128,
        "recipients": 1,
    }
    assert found[1]["answer"] == "451 later"
    assert journal.accepted(found) == {"<one@example.com>": 1}
    assert journal.accepted(found, "smtp2go") == {}


def test_a_journal_that_is_being_written_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    assert journal.entries(path) == []
    path.write_text(json.dumps({"event": "accepted"}) + '\n{"event": "acc')
    assert journal.entries(path) == [{"event": "accepted"}]


def _master(providers: tuple[Provider, ...], **told: str) -> str:
    return settings.master_cf(providers, {name: modes.Mode(mode) for name, mode in told.items()})


def test_what_listens_and_with_which_certificate(providers: tuple[Provider, ...]) -> None:
    by_name: dict[str, Any] = {p.name: p for p in providers}
    text = _master(providers)
    assert {line.split(" ")[0] for line in text.splitlines() if " inet " in line and "198.18" in line} == {
        "198.18.0.80:465",
        *(f"198.18.0.81:{port}" for port in (465, 587, 2525)),
        *(f"198.18.0.82:{port}" for port in (465, 587)),
    }
    assert text.count(by_name["cloudflare"].cert) == 2
    down = _master(providers, cloudflare="down")
    assert "198.18.0.80:465" not in down and "198.18.0.81:465" in down
    foreign = _master(providers, smtp2go="badcert")
    assert by_name["smtp2go"].cert not in foreign and foreign.count(by_name["cloudflare"].cert) == 2 + 6


def test_who_may_log_in(providers: tuple[Provider, ...]) -> None:
    listed = [line.split(":")[0] for line in settings.users(providers).splitlines()]
    assert listed == ["cloudflare/api_token", "smtp2go/notify"]
    assert settings.denied(providers, {}) == ""
    assert settings.denied(providers, {"smtp2go": modes.Mode("auth"), "cloudflare": modes.Mode("down")}) == "smtp2go:\n"
