# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SMTP dialogues recorded from the real server, held against the stand-in's sessions without sockets of the outside.

Not compared: the queue's ids, and the banner's label, which is there on purpose.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.standin.server.authentication import Iprev
from lab.standin.server.listeners import Connection
from lab.standin.server.mail import Mail
from lab.standin.server.message_intake import Intake
from lab.standin.server.resolver import LookupFailedError
from lab.standin.server.session_state import State
from lab.standin.server.smtp_session import LABEL
from lab.standin.server.throttle import Throttles
from tests.contract import replay, servers

DIALOGUES = json.loads((replay.RECORDED / "dialogues" / "smtp.json").read_text())
OF_APPLICATIONS = json.loads((replay.RECORDED / "dialogues" / "submission.json").read_text())


class ToldSecure(Connection):
    """A connection whose TLS is only said to be there: the dialogue is what is tested."""

    async def secure(self, context: ssl.SSLContext) -> None:
        self.tls = True


class Unhurried(Mail):
    """Mail that does not make a client wait after a mistake."""

    async def pause(self, seconds: float) -> None:
        return


def _mail(etc: Path, files: tuple[str, ...], keep: Callable[[dict[str, Any]], bool]) -> Mail:
    """The mail side over the state that recordings leave behind, of the throttles with those to keep only."""
    server = servers.InProcess(etc)
    replay.run_all(server, lambda _entry, _problems: None, files)
    for object_id, throttle in server.store.all("MtaInboundThrottle").items():
        if not keep(throttle):
            server.store.delete("MtaInboundThrottle", object_id)
    change = {"update": {"b": {"credentials/0/secret": "Correct-Horse-7-Battery"}}}
    server.call(
        {"using": replay.USING, "methodCalls": [["x:Account/set", change, "c0"]]},
        server.admin,
    )
    assert server.registry.reload() is None
    result = Unhurried(server.registry, server.authenticator, etc / "mail")

    def unreachable(name: str, kind: str) -> list[Any]:
        raise LookupFailedError(f"{kind} {name}: no network")

    result.resolver.query = unreachable  # type: ignore[method-assign]
    return result


@pytest.fixture(scope="module")
def mail(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mail]:
    """The state in which the dialogues of a mail server of people were recorded."""
    etc = tmp_path_factory.mktemp("etc")
    result = _mail(etc, replay.BEFORE_SUBMISSION, lambda t: t["key"] == {"senderDomain": True, "rcpt": True})
    yield result
    result.close()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mail]:
    """The state in which the dialogues of applications were recorded."""
    result = _mail(tmp_path_factory.mktemp("etc"), replay.ORDER, lambda t: t["description"] == "messages of ci")
    # An hour's rate must not begin anew in the middle of a dialogue.
    result.throttles = Throttles(result.registry, lambda: 1_795_000_000.0)
    yield result
    result.close()


async def _lines(reader: asyncio.StreamReader) -> list[str]:
    lines: list[str] = []
    while True:
        try:
            raw = await asyncio.wait_for(reader.readline(), 10)
        except ConnectionError:
            raw = b""
        if not raw:
            return [*lines, "<closed>"]
        line = re.sub(r"queued with id [0-9a-f]+\.", "queued with id <id>.", raw.decode().rstrip("\r\n"))
        lines.append(line.removesuffix(f" {LABEL}"))
        if line[3:4] != "-":
            return lines


async def _with_session(
    mail: Mail,
    port: int,
    tls: bool,
    steps: list[tuple[str | None, Any]],
    check: Callable[[str | None, list[str], Any], None],
) -> None:
    ours, theirs = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=theirs)
    connection = ToldSecure(reader, writer, "test", ("127.0.0.1", port), ("127.0.0.1", 40000), tls, not tls)
    client_reader, client_writer = await asyncio.open_connection(sock=ours)

    async def serve() -> None:
        await mail.serve_smtp(connection)
        writer.close()

    session = asyncio.create_task(serve())
    for sent, expected in steps:
        if sent is not None:
            client_writer.write(sent.encode("latin-1") + b"\r\n")
        check(sent, await _lines(client_reader), expected)
    client_writer.close()
    await asyncio.wait_for(session, 10)


@pytest.mark.parametrize("dialogue", DIALOGUES, ids=lambda d: d["name"])
def test_dialogue_as_recorded(dialogue: dict[str, Any], mail: Mail) -> None:
    assert _differences(dialogue, mail) == []


@pytest.mark.parametrize("dialogue", OF_APPLICATIONS, ids=lambda d: d["name"])
def test_dialogue_of_an_application_as_recorded(dialogue: dict[str, Any], service: Mail) -> None:
    assert _differences(dialogue, service) == []


def _differences(dialogue: dict[str, Any], mail: Mail) -> list[tuple[str | None, list[str], list[str]]]:
    """Every step that was answered in another way: what was sent, the recorded and the given answer."""
    differences: list[tuple[str | None, list[str], list[str]]] = []

    def check(sent: str | None, got: list[str], expected: list[str]) -> None:
        if got != [line for line in expected if not _only_upstream(line)]:
            differences.append((sent, expected, got))

    asyncio.run(_with_session(mail, dialogue["port"], dialogue["tls"], dialogue["steps"], check))
    return differences


def _only_upstream(line: str) -> bool:
    """Extensions for those who are logged in that the stand-in neither offers nor accepts."""
    return line[4:].split(" ", maxsplit=1)[0] in {"MT-PRIORITY", "FUTURERELEASE", "DELIVERBY"}


def test_banner_says_what_it_is(mail: Mail) -> None:
    greetings: list[list[str]] = []

    async def run() -> None:
        ours, theirs = socket.socketpair()
        reader, writer = await asyncio.open_connection(sock=theirs)
        connection = ToldSecure(reader, writer, "test", ("127.0.0.1", 25), ("127.0.0.1", 40000), False, True)
        client_reader, client_writer = await asyncio.open_connection(sock=ours)
        task = asyncio.create_task(mail.serve_smtp(connection))
        greetings.append([(await client_reader.readline()).decode()])
        client_writer.write(b"QUIT\r\n")
        await task
        writer.close()
        client_writer.close()

    asyncio.run(run())
    assert greetings == [["220 mail.example.com Stalwart ESMTP at your service (stand-in)\r\n"]]


def test_received_header_names_the_client_of_the_proxy_header(mail: Mail, tmp_path: Path) -> None:
    class Quiet:
        def get_extra_info(self, _name: str) -> None:
            return None

    connection = Connection(
        asyncio.StreamReader.__new__(asyncio.StreamReader),
        Quiet(),  # type: ignore[arg-type]
        "smtp",
        ("172.29.25.20", 25),
        ("198.18.0.40", 5),
        False,
        True,
    )
    state = State(connection, "mail.example.com", "mail.stranger.example.org")
    state.iprev = Iprev("pass", "mail.stranger.example.org")
    header = Intake(mail, state)._received("4be5")
    assert header.startswith(
        "Received: from mail.stranger.example.org (mail.stranger.example.org [198.18.0.40])\r\n"
        "\tby mail.example.com (Stalwart SMTP) with ESMTP id 4BE5;\r\n"
    )
