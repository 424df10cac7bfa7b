# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A domain that allows relaying, and a script at the RCPT stage: the stand-in answers as the real server was seen to."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.test_dialogues import Unhurried, _with_session
from tests.contract.test_mail_side import Server

REFUSED = "550 5.7.1 Mail for this domain is taken elsewhere, see its MX."
TAKEN, RELAY = "250 2.1.5 OK", "550 5.1.2 Relay not allowed."
SCRIPT = f'require ["reject"];\nreject "{REFUSED}";\n'
#: Asked of the real server (0.16.18) in this order, as a stranger on port 25, without and with the script.
SEEN = [
    ("hi@example.me", TAKEN, REFUSED),
    ("hi+tag@example.me", TAKEN, REFUSED),
    ("nobody@example.me", TAKEN, REFUSED),
    ("a@remote.test", RELAY, RELAY),
    ("alice@example.com", TAKEN, TAKEN),
]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    found = Server(tmp_path)
    found.mail.close()
    found.mail = Unhurried(found.registry, found.authenticator, tmp_path / "mail")
    found.mail.resolver.query = lambda *_a: []  # type: ignore[method-assign]
    for name, throttle in found.store.all("MtaInboundThrottle").items():
        if throttle["key"] == {"remoteIp": True}:
            found.store.delete("MtaInboundThrottle", name)
    manual = {"@type": "Manual"}
    domain = {
        "name": "example.me",
        "dkimManagement": manual,
        "allowRelaying": True,
        "subAddressing": {"@type": "Disabled"},
    }
    made = found.set("Domain", create={"d": domain})["created"]["d"]["id"]
    found.set("Account", create={"a": {"@type": "User", "name": "hi", "domainId": made, "credentials": {}}})
    found.reload()
    yield found
    found.mail.close()


def guard(server: Server) -> None:
    server.set("SieveSystemScript", create={"s": {"name": "taken-elsewhere", "isActive": True, "contents": SCRIPT}})
    rule = {"if": "is_empty(authenticated_as) && (rcpt_domain == 'example.me')", "then": "'taken-elsewhere'"}
    server.set("MtaStageRcpt", update={"singleton": {"script": {"match": {"0": rule}, "else": "false"}}})
    server.reload()


def ask(server: Server, recipients: list[str]) -> list[str]:
    """The replies to RCPT of one session without a login."""
    replies: list[str] = []

    def note(sent: str | None, lines: list[str], _expected: object) -> None:
        if sent and sent.startswith("RCPT"):
            replies.append(lines[-1])

    lines = [None, "EHLO mail.stranger.example.org", "MAIL FROM:<a@stranger.example.org>"]
    steps = [(line, None) for line in (*lines, *(f"RCPT TO:<{r}>" for r in recipients), "QUIT")]
    asyncio.run(_with_session(server.mail, 25, False, steps, note))
    return replies


def test_a_domain_that_allows_relaying_takes_what_it_does_not_know_from_everybody(server: Server) -> None:
    assert ask(server, [r for r, _without, _with in SEEN]) == [without for _r, without, _with in SEEN]


def test_a_script_at_rcpt_refuses_and_the_session_goes_on(server: Server) -> None:
    guard(server)
    assert ask(server, [r for r, _without, _with in SEEN]) == [guarded for _r, _without, guarded in SEEN]
