# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The SMTP and TLS probes against servers on loopback."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.checks.probes import smtp, tls
from ansible_collections.mailstead.stack.plugins.module_utils.checks.probes.context import (
    Clock,
    Pacer,
    ProbeError,
    classify,
)

from tests.unit.checks.servers import LOOPBACK, FakeClock, Smtp, closed_port, context, make_certificate, tcp_server

NAME = "mail.example.com"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, Path]:
    directory = tmp_path_factory.mktemp("tls")
    return make_certificate(directory, NAME, "*.example.com"), directory / "ca.crt"


@pytest.fixture
def trusted(pair: tuple[ssl.SSLContext, Path], monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """The server's certificate is in the trust store, as SSL_CERT_FILE puts it there."""
    monkeypatch.setenv("SSL_CERT_FILE", str(pair[1]))
    return pair[0]


def session(port: int, **args: Any) -> dict[str, Any]:
    given: dict[str, Any] = {"address": LOOPBACK, "port": port, "name": NAME, "tls": "none", "steps": [], **args}
    return smtp.probe_smtp(given, context(secrets={"ref": "geheim-passwort"}))


def test_a_session_reads_banner_extensions_and_certificate(trusted: ssl.SSLContext) -> None:
    server = Smtp(
        {"EHLO": f"250-{NAME}\r\n250-SIZE 1000\r\n250 STARTTLS", "STARTTLS": "220 go", "VRFY": "252 no"}, tls=trusted
    )
    with tcp_server(server) as port:
        data = session(port, tls="starttls", steps=[{"label": "vrfy", "send": "VRFY x"}], legacy=True)
    assert (data["connect"], data["banner"], data["ended"]) == ("open", f"220 {NAME} ESMTP", "")
    assert data["ehlo"] == ["SIZE 1000", "STARTTLS"]
    assert data["tls"]["chain_ok"] and data["tls"]["name_ok"]
    assert len(data["tls"]["spki_sha256"]) == 64
    assert data["tls"]["not_after"] - data["tls"]["not_before"] == pytest.approx(91 * 86400, abs=5)
    assert data["replies"] == {"vrfy": {"code": 252, "text": "252 no"}}
    assert data["legacy"] is False
    assert server.lines[-1].startswith("STARTTLS") or "QUIT" in server.lines


def test_an_untrusted_certificate_is_read_all_the_same(pair: tuple[ssl.SSLContext, Path]) -> None:
    server = Smtp({"EHLO": f"250-{NAME}\r\n250 STARTTLS", "STARTTLS": "220 go"}, tls=pair[0])
    with tcp_server(server) as port:
        data = session(port, tls="starttls")
    assert data["tls"]["chain_ok"] is False
    assert "self" in data["tls"]["chain_error"]
    assert data["tls"]["name_ok"] is True


def test_a_refused_port_and_a_silent_one_are_told_apart() -> None:
    assert session(closed_port())["connect"] == "refused"

    def silent(client: Any) -> None:
        client.recv(1)

    with tcp_server(silent) as port:
        data = session(port, banner_timeout=0.2)
    assert (data["connect"], data["banner"], data["ended"]) == ("open", "", "timeout")


def test_a_cut_before_the_banner_is_tried_once_more() -> None:
    calls = []
    healthy = Smtp()

    def cut_first(client: Any) -> None:
        calls.append(1)
        if len(calls) > 1:
            healthy(client)

    with tcp_server(cut_first) as port:
        given = {"address": LOOPBACK, "port": port, "name": NAME, "tls": "none", "steps": []}
        ctx = context()
        ctx.clock = type("Quick", (Clock,), {"wait": lambda self, seconds: None})()
        data = smtp.probe_smtp(given, ctx)
    assert len(calls) == 2
    assert data["ended"] == ""


def test_no_password_stands_in_what_is_reported(trusted: ssl.SSLContext) -> None:
    server = Smtp({"AUTH": "235 ok", "MAIL FROM:<OTHER": "501 5.5.4 not yours"})

    def implicit(client: Any) -> None:
        server(trusted.wrap_socket(client, server_side=True))

    with tcp_server(implicit) as port:
        data = session(
            port,
            tls="implicit",
            auth={"username": "rekord@example.com", "secret": "ref"},
            steps=[{"label": "envelope", "send": "MAIL FROM:<other@example.com>"}],
        )
    assert data["replies"]["auth"]["code"] == 235
    assert data["replies"]["envelope"]["code"] == 501
    assert any(line.startswith("AUTH PLAIN ") for line in server.lines)
    assert "geheim" not in repr(data) and "AHJla29yZ" not in repr(data)


def test_a_message_is_not_sent_when_its_recipient_was_refused() -> None:
    server = Smtp({"RCPT": "550 no", "DATA": "354 go"})
    steps = [
        {"label": "mail", "send": "MAIL FROM:<{me}>"},
        {"label": "rcpt", "send": "RCPT TO:<x@example.com>"},
        {"label": "header", "message": "From: x\r\n\r\n.dot", "after": ["mail", "rcpt"]},
    ]
    with tcp_server(server) as port:
        data = session(port, steps=steps)
    assert "header" not in data["replies"]
    assert "DATA" not in server.lines
    assert "MAIL FROM:<probe@probe.example.org>" in server.lines


def test_dots_are_stuffed() -> None:
    server = Smtp({"DATA": "354 go"})
    with tcp_server(server) as port:
        data = session(port, steps=[{"label": "m", "message": "A: b\n\n.dot\n..", "after": []}])
    assert data["replies"]["m"]["code"] == 250
    assert server.messages == ["A: b\r\n\r\n..dot\r\n...\r\n"]


def test_a_challenge_is_cancelled() -> None:
    server = Smtp({"AUTH": "334 ", "*": "501 cancelled"})
    with tcp_server(server) as port:
        data = session(port, before_tls=[{"label": "auth-plain", "send": "AUTH PLAIN"}])
    assert data["replies"]["auth-plain"]["code"] == 334
    assert "*" in server.lines


@pytest.mark.parametrize(("reply", "outcome"), [("250 fine", "accepted"), ("500 5.5.1 Invalid command.", "rejected")])
@pytest.mark.parametrize("version", [1, 2])
def test_a_forged_proxy_header(reply: str, outcome: str, version: int) -> None:
    received = []

    def server(client: Any) -> None:
        client.sendall(b"220 hello\r\n")
        while chunk := client.recv(500):
            received.append(chunk)
            if b"EHLO" in chunk:
                client.sendall(reply.encode() + b"\r\n")
            elif b"QUIT" in chunk and b"\x21" not in chunk:
                return

    with tcp_server(server) as port:
        args = {"address": LOOPBACK, "port": port, "version": version, "claim": "203.0.113.77"}
        data = smtp.probe_forged_proxy(args, context())
    assert data["outcome"] == outcome
    start = b"".join(received)
    assert start.startswith(
        b"PROXY TCP4 203.0.113.77 " if version == 1 else b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xcb\x00\x71\x4d"
    )


def test_a_forged_proxy_header_that_is_answered_with_silence_or_a_cut() -> None:
    with tcp_server(lambda client: client.recv(1)) as port:
        args = {"address": LOOPBACK, "port": port, "version": 1, "timeout": 2}
        assert smtp.probe_forged_proxy(args, context())["outcome"] == "closed"
    args = {"address": LOOPBACK, "port": closed_port(), "version": 1}
    assert smtp.probe_forged_proxy(args, context())["outcome"] == "refused"


def test_tls_of_a_client_port(trusted: ssl.SSLContext) -> None:
    def imap(client: Any) -> None:
        trusted.wrap_socket(client, server_side=True).sendall(b"* OK ready\r\n")

    with tcp_server(imap) as port:
        args = {"address": LOOPBACK, "port": port, "name": NAME, "greeting": True, "legacy": True}
        data = tls.probe_tls(args, context())
    assert (data["connect"], data["greeting"], data["chain_ok"], data["name_ok"]) == ("open", "* OK ready", True, True)
    assert data["legacy"] is False
    assert data["version"] in ("TLSv1.2", "TLSv1.3")


def test_a_port_without_tls_and_a_closed_one() -> None:
    with tcp_server(Smtp()) as port:
        assert tls.probe_tls({"address": LOOPBACK, "port": port, "name": NAME}, context())["connect"] == "tls"
    assert tls.probe_tls({"address": LOOPBACK, "port": closed_port(), "name": NAME}, context())["connect"] == "refused"


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        ("mail.example.com", "MAIL.example.com.", True),
        ("*.example.com", "mail.example.com", True),
        ("*.example.com", "a.b.example.com", False),
        ("*.example.com", "example.com", False),
        ("mail.example.org", "mail.example.com", False),
    ],
)
def test_names_match_by_label(pattern: str, name: str, matches: bool) -> None:
    assert tls.name_matches(pattern, name) is matches


@pytest.mark.parametrize(
    ("error", "klass"),
    [
        (TimeoutError(), "timeout"),
        (ConnectionRefusedError(111, "x"), "refused"),
        (OSError(101, "x"), "no-route"),
        (OSError(113, "x"), "unreachable"),
        (OSError(13, "x"), "prohibited"),
        (ConnectionResetError(104, "x"), "closed"),
        (ssl.SSLError(1, "x"), "tls"),
        (ProbeError("auth", "x"), "auth"),
    ],
)
def test_errors_have_classes(error: BaseException, klass: str) -> None:
    assert classify(error) == klass


def test_connections_to_one_service_are_paced_and_others_are_not() -> None:
    clock = FakeClock()
    pacer = Pacer(clock, 0.3)
    for key in ("a", "a", "b", "a"):
        pacer.take(key)
    assert sum(clock.waits) == pytest.approx(0.6)


def test_a_budget_that_is_used_up_ends_the_probe() -> None:
    with pytest.raises(ProbeError) as problem:
        context(budget=-1.0).left(5)
    assert problem.value.klass == "budget"
