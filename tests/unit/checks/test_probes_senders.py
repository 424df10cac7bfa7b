# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What probes of a service for applications do: ask a tunnel's name, log in over verified TLS alone, hand in a message."""

from __future__ import annotations

import base64
import json
import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.checks.probes import mail, smtp, upgrade
from ansible_collections.mailstead.stack.plugins.module_utils.checks.probes.context import ProbeError, dial
from ansible_collections.mailstead.stack.plugins.module_utils.checks.probes.runner import KINDS

from tests.unit.checks.servers import LOOPBACK, Smtp, closed_port, context, make_certificate, tcp_server

NAME, TUNNEL = "notify.example.com", "smtp.example.com"
PASSWORD = "pass-of-the-checks"
TOKEN = "ms0123s0p0c0x"


@pytest.fixture
def tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    server = make_certificate(tmp_path, NAME, TUNNEL)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.crt"))
    return server


class Edge:
    """Answers an upgrade with a fixed text and keeps what was asked."""

    def __init__(self, tls: ssl.SSLContext, answer: str, then: Callable[[ssl.SSLSocket], object] | None = None) -> None:
        self.tls, self.answer, self.then = tls, answer, then
        self.asked = ""
        self.rest = b"unset"
        self.ended = threading.Event()

    def __call__(self, raw: socket.socket) -> None:
        with self.tls.wrap_socket(raw, server_side=True) as sock:
            while "\r\n\r\n" not in self.asked:
                self.asked += sock.recv(4096).decode()
            sock.sendall(self.answer.encode())
            if self.then:
                self.then(sock)
            else:
                self.rest = sock.recv(100)
                self.ended.set()


def ask(port: int, **args: Any) -> dict[str, Any]:
    given = {"hostname": TUNNEL, "port": port, "addresses": [LOOPBACK], **args}
    return upgrade.probe_upgrade(given, context())


def test_an_upgrade_is_asked_for_as_the_client_does_and_nothing_follows(tls: ssl.SSLContext) -> None:
    edge = Edge(tls, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n")
    with tcp_server(edge) as port:
        data = ask(port, client_id="1.access", client_secret="2")
    assert (data["connect"], data["status"], data["line"]) == ("open", 101, "HTTP/1.1 101 Switching Protocols")
    lines = edge.asked.split("\r\n")
    assert lines[0] == "GET / HTTP/1.1" and f"Host: {TUNNEL}" in lines and "Upgrade: websocket" in lines
    assert "Cf-Access-Client-Id: 1.access" in lines and "Cf-Access-Client-Secret: 2" in lines
    key = next(line.split(": ")[1] for line in lines if line.startswith("Sec-WebSocket-Key"))
    assert len(base64.b64decode(key)) == 16
    assert edge.ended.wait(5) and edge.rest == b""


def test_without_a_token_no_header_of_one_is_sent(tls: ssl.SSLContext) -> None:
    answer = "HTTP/1.1 302 Found\r\nlocation: https://team.cloudflareaccess.com/cdn-cgi/access/login\r\n\r\n"
    edge = Edge(tls, answer)
    with tcp_server(edge) as port:
        data = ask(port)
    assert (data["status"], data["location"]) == (302, "https://team.cloudflareaccess.com/cdn-cgi/access/login")
    assert "Cf-Access" not in edge.asked


@pytest.mark.parametrize("answer", ["SSH-2.0-OpenSSH\r\n\r\n", "HTTP/1.1 what\r\n\r\n", "HTTP/1.1\r\n\r\n"])
def test_what_is_no_http_is_no_status(tls: ssl.SSLContext, answer: str) -> None:
    with tcp_server(Edge(tls, answer)) as port:
        data = ask(port)
    assert (data["status"], data["connect"], data["line"]) == (0, "open", answer.strip())


def test_an_answer_without_an_end_is_cut(tls: ssl.SSLContext) -> None:
    with tcp_server(Edge(tls, "HTTP/1.1 200 OK\r\n" + "X: y\r\n" * 4000)) as port:
        assert ask(port)["status"] == 200


def test_an_edge_that_says_nothing_or_cuts(tls: ssl.SSLContext) -> None:
    with tcp_server(Edge(tls, "", then=lambda sock: None)) as port:
        data = ask(port)
    assert (data["status"], data["connect"], data["line"]) == (0, "open", "")
    with tcp_server(Edge(tls, "", then=lambda sock: sock.recv(1))) as port:
        data = upgrade.probe_upgrade({"hostname": TUNNEL, "port": port, "addresses": [LOOPBACK]}, context(budget=0.4))
    assert (data["status"], data["connect"]) == (0, "timeout")


def test_what_is_not_the_names_own_certificate_is_not_asked(tls: ssl.SSLContext) -> None:
    edge = Edge(tls, "HTTP/1.1 403 Forbidden\r\n\r\n")
    with tcp_server(edge) as port:
        data = ask(port, hostname="other.example.org", client_id="1.access", client_secret="2")
    assert data["status"] == 0 and "other.example.org" in data["tls_error"] and edge.asked == ""
    with tcp_server(lambda raw: raw.sendall(b"220 no TLS here\r\n")) as port:
        data = ask(port)
    assert data["tls_error"] and data["status"] == 0


def test_a_name_that_leads_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*args: Any, **more: Any) -> Any:
        raise socket.gaierror(-2, "Name or service not known")

    assert ask(closed_port())["connect"] == "refused"
    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert upgrade.probe_upgrade({"hostname": TUNNEL}, context())["connect"] == "dns"


def test_every_address_of_the_name_is_tried(tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [(0, 0, 0, "", ("192.0.2.1", 443)), (0, 0, 0, "", (LOOPBACK, 443)), (0, 0, 0, "", (LOOPBACK, 443))]
    tried = []
    with tcp_server(Edge(tls, "HTTP/1.1 403 Forbidden\r\n\r\n")) as port:

        def dialer(address: str, _port: int, timeout: float) -> socket.socket:
            tried.append(address)
            if address != LOOPBACK:
                raise ConnectionRefusedError(111, "refused")
            return dial(LOOPBACK, port, timeout)

        monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **more: entries)
        data = upgrade.probe_upgrade({"hostname": TUNNEL}, context(dialer=dialer))
    assert (data["status"], tried) == (403, ["192.0.2.1", LOOPBACK])


def test_a_budget_that_is_used_up_ends_it() -> None:
    with pytest.raises(ProbeError) as problem:
        upgrade.probe_upgrade({"hostname": TUNNEL, "addresses": [LOOPBACK]}, context(budget=-1))
    assert problem.value.klass == "budget"


# -- logins ------------------------------------------------------------------------------------------------------------


def implicit(tls: ssl.SSLContext, server: Smtp) -> Any:
    return lambda raw: server(tls.wrap_socket(raw, server_side=True))


def session(port: int, **args: Any) -> dict[str, Any]:
    given = {"address": LOOPBACK, "port": port, "name": NAME, "tls": "implicit", "steps": [], **args}
    return smtp.probe_smtp(given, context(secrets={"ref": PASSWORD}))


AUTH = {"username": "probe@notify.example.com", "secret": "ref", "strict": True}


def test_a_strict_login_is_made_over_verified_tls(tls: ssl.SSLContext) -> None:
    server = Smtp({"AUTH": "235 ok"})
    with tcp_server(implicit(tls, server)) as port:
        data = session(port, auth=AUTH)
    assert data["replies"]["auth"]["code"] == 235


@pytest.mark.parametrize("changes", [{"name": "other.example.org"}, {"verify": False}, {"tls": "starttls"}])
def test_a_strict_login_is_not_made_otherwise(tls: ssl.SSLContext, changes: dict[str, Any]) -> None:
    """Another name, a chain that nobody vouches for, no TLS at all: no password is sent."""
    server = Smtp({"AUTH": "235 ok"})
    with tcp_server(server if "tls" in changes else implicit(tls, server)) as port:
        data = session(port, auth=AUTH, **changes)
    assert data["ended"] == "tls" and "auth" not in data["replies"]
    assert not [line for line in server.lines if line.startswith("AUTH")]


def test_an_untrusted_chain_costs_no_password(tmp_path: Path) -> None:
    server = Smtp({"AUTH": "235 ok"})
    with tcp_server(implicit(make_certificate(tmp_path, NAME), server)) as port:
        data = session(port, auth=AUTH)
    assert data["tls"]["chain_error"] and "auth" not in data["replies"]
    assert not [line for line in server.lines if line.startswith("AUTH")]


def sent(server: Smtp) -> str:
    (line,) = [line for line in server.lines if line.startswith("AUTH PLAIN ")]
    return base64.b64decode(line.split(" ")[2]).decode()


def test_a_made_up_password_needs_no_secret(tls: ssl.SSLContext) -> None:
    server = Smtp({"AUTH": "535 no"})
    with tcp_server(implicit(tls, server)) as port:
        data = session(port, auth={"username": "probe", "made_up": "not-it", "strict": True})
    assert (data["replies"]["auth"]["code"], data["ended"]) == (535, "auth")
    assert sent(server) == "\0probe\0not-it"


def test_a_user_name_that_is_the_password_stays_out_of_what_is_reported(tls: ssl.SSLContext) -> None:
    server = Smtp({"AUTH": "235 ok"})
    with tcp_server(implicit(tls, server)) as port:
        data = session(port, auth={**AUTH, "username": "{secret}"})
    assert sent(server) == f"\0{PASSWORD}\0{PASSWORD}"
    assert PASSWORD not in json.dumps(data) and "AUTH PLAIN <{secret}>" in json.dumps(data)


# -- messages ----------------------------------------------------------------------------------------------------------


def submit(port: int, **where: Any) -> dict[str, Any]:
    submission = {
        "addresses": [LOOPBACK],
        "port": port,
        "name": NAME,
        "username": "probe@notify.example.com",
        "secret": "ref",
        **where,
    }
    args = {
        "submission": submission,
        "label": "sent",
        "sender": "probe@example.com",
        "recipient": "canary@strict.example.org",
        "token": TOKEN,
    }
    return KINDS["submit"](args, context(secrets={"ref": PASSWORD}))


def test_a_message_is_handed_in_and_not_waited_for(tls: ssl.SSLContext) -> None:
    server = Smtp({"AUTH": "235 ok", "DATA": "354 go"})
    with tcp_server(implicit(tls, server)) as port:
        data = submit(port)
    assert data["results"] == {"sent": {"code": 250, "text": "250 queued", "stage": "data"}}
    assert TOKEN in server.messages[0] and "From: <probe@example.com>" in server.messages[0]
    assert PASSWORD not in json.dumps(data)


def test_a_message_that_is_refused_names_the_stage(tls: ssl.SSLContext) -> None:
    with tcp_server(implicit(tls, Smtp({"AUTH": "235 ok", "MAIL": "452 4.4.5 later"}))) as port:
        data = submit(port)
    assert data["results"]["sent"] == {"code": 452, "text": "452 4.4.5 later", "stage": "mail"}
    assert submit(closed_port())["results"]["sent"] == {"code": 0, "text": "", "stage": "connect: refused"}


def test_a_message_is_not_handed_to_who_has_another_name(tls: ssl.SSLContext) -> None:
    """Not a canary's either: its login would have gone to whoever has any valid certificate."""
    server = Smtp({"AUTH": "235 ok", "DATA": "354 go"})
    with tcp_server(implicit(tls, server)) as port:
        data = submit(port, name="other.example.org")
    assert data["results"]["sent"] == {"code": 0, "text": "", "stage": "connect: tls"}
    assert not [line for line in server.lines if line.startswith("AUTH")]


def test_a_missing_secret_is_said_by_name(tls: ssl.SSLContext) -> None:
    with tcp_server(implicit(tls, Smtp())) as port, pytest.raises(ProbeError) as problem:
        submit(port, secret="nothing")
    assert problem.value.klass == "secret" and "nothing" in str(problem.value)
    assert mail.probe_submit in KINDS.values()
