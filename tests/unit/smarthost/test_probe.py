# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Trying a smarthost: every obstacle with its code, nothing said before TLS is good, and never a message."""

from __future__ import annotations

import base64
import contextlib
import socket
import ssl
import threading
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.checks.probes.context import dial
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import Problem
from ansible_collections.mailstead.stack.plugins.module_utils.smarthost.codes import CODES
from ansible_collections.mailstead.stack.plugins.module_utils.smarthost.model import (
    LEVELS,
    Found,
    Smarthost,
    check,
    failing,
    tried,
)
from ansible_collections.mailstead.stack.plugins.module_utils.smarthost.probe import Attempt, introduced, try_all

from tests.unit.checks.servers import LOOPBACK, closed_port, tcp_server
from tests.unit.smarthost.server import HOST, PASSWORD, USER, Provider, authority, context

SENDER = "noreply@example.com"


class World:
    """An authority that is trusted, and servers with its certificates."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.issuer = authority(directory)

    def context(self, *names: str, days: int = 30) -> ssl.SSLContext:
        return context(self.directory, self.issuer, *(names or (HOST,)), days=days)

    def attempt(self, provider: Provider, seconds: float = 10.0, **more: Any) -> Found:
        with provider.serve() as port:
            return run(port, seconds, **more)


def run(port: int, seconds: float = 10.0, **more: Any) -> Found:
    given: dict[str, Any] = {"username": USER, "password": PASSWORD, "senders": (SENDER,), **more}
    wanted = Smarthost("1-provider", given.pop("host", HOST), port, **given)
    return Attempt(wanted, seconds, "app.example.com", resolver=lambda _n, _p: [LOOPBACK]).run()


def codes(found: Found) -> list[str]:
    return [p.code for p in found.problems]


@pytest.fixture(name="world")
def fixture_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """The authority is in the trust store, as SSL_CERT_FILE puts it there."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.crt"))
    return World(tmp_path)


@pytest.mark.parametrize("tls", ["implicit", "starttls"])
def test_everything_is_in_order(world: World, tls: str) -> None:
    provider = Provider(world.context(), implicit=tls == "implicit")
    found = world.attempt(provider, tls=tls, senders=(SENDER, "*@ci.example.com"), max_size=5242880)
    assert (codes(found), found.usable, found.authenticated) == ([], True, True)
    assert (found.address, found.mechanism, found.size) == (LOOPBACK, "PLAIN", 5242880)
    assert found.tls in ("TLSv1.2", "TLSv1.3")
    assert [(s.address, s.allowed) for s in found.senders] == [(SENDER, True), ("postmaster@ci.example.com", True)]
    commands = [line.split(" ")[0] for line in provider.lines]
    assert commands[-6:] == ["AUTH", "MAIL", "RSET", "MAIL", "RSET", "QUIT"]
    assert not {"RCPT", "DATA", "BDAT"} & set(commands), "nothing may be sent"
    assert provider.lines[0] == "EHLO app.example.com"
    if tls == "starttls":
        assert provider.lines[:2] == ["EHLO app.example.com", "STARTTLS"]
        assert provider.secure == provider.lines[2:], "all else goes over TLS"


def test_no_secret_is_in_what_is_told(world: World) -> None:
    for extensions in (("AUTH PLAIN",), ("AUTH LOGIN",)):
        found = world.attempt(Provider(world.context(), extensions=extensions))
        told = repr((found, found.data()))
        for secret in (PASSWORD, base64.b64encode(PASSWORD.encode()).decode()):
            assert secret not in told
        assert base64.b64encode(f"\0{USER}\0{PASSWORD}".encode()).decode() not in told


@pytest.mark.parametrize(
    ("extensions", "mechanism"),
    [(("AUTH LOGIN",), "LOGIN"), (("AUTH=LOGIN", "SIZE"), "LOGIN"), (("AUTH XOAUTH2 PLAIN",), "PLAIN")],
)
def test_the_login_is_the_one_that_is_offered(world: World, extensions: tuple[str, ...], mechanism: str) -> None:
    found = world.attempt(Provider(world.context(), extensions=extensions))
    assert (found.mechanism, found.authenticated, found.size, codes(found)) == (mechanism, True, 0, [])


def test_a_mechanism_that_is_announced_and_not_known_is_left_for_the_other(world: World) -> None:
    provider = Provider(world.context(), replies={"AUTH PLAIN": "504 5.5.4 Unrecognized authentication type"})
    found = world.attempt(provider)
    assert (found.mechanism, found.authenticated) == ("LOGIN", True)


def test_a_name_without_an_address() -> None:
    def resolver(_name: str, _port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    found = Attempt(Smarthost("x", "nowhere.invalid", 465), 5.0, resolver=resolver).run()
    assert codes(found) == ["MS-SMH-001"]
    assert "Name or service not known" in found.problems[0].what
    assert codes(Attempt(Smarthost("x", "empty.invalid", 465), 5.0, resolver=lambda _n, _p: []).run()) == ["MS-SMH-001"]


def test_a_resolver_that_never_answers_is_left_behind() -> None:
    stuck = threading.Event()

    def resolver(_name: str, _port: int) -> list[str]:
        stuck.wait(30)
        return [LOOPBACK]

    try:
        found = Attempt(Smarthost("x", HOST, 465), 0.05, resolver=resolver).run()
    finally:
        stuck.set()
    assert codes(found) == ["MS-SMH-001"]
    assert "does not answer" in found.problems[0].what


def test_nobody_listens() -> None:
    found = run(closed_port())
    assert codes(found) == ["MS-SMH-002"]
    assert "127.0.0.1: refused" in found.problems[0].what


def test_the_second_address_is_taken_when_the_first_leads_nowhere(world: World) -> None:
    def dialer(address: str, port: int, timeout: float) -> socket.socket:
        if address == "2001:2::1":
            raise OSError(101, "Network is unreachable")
        return dial(address, port, timeout)

    with Provider(world.context()).serve() as port:
        wanted = Smarthost("x", HOST, port, username=USER, password=PASSWORD)
        found = Attempt(wanted, 5.0, resolver=lambda _n, _p: ["2001:2::1", LOOPBACK], dialer=dialer).run()
    assert (found.address, found.usable) == (LOOPBACK, True)


def test_a_greeting_that_refuses(world: World) -> None:
    found = world.attempt(Provider(world.context(), banner="554 5.7.1 your address is on a list"))
    assert codes(found) == ["MS-SMH-002"]
    assert "on a list" in found.problems[0].what


@pytest.mark.parametrize("tls", ["implicit", "starttls"])
def test_a_certificate_of_another_name(world: World, tls: str) -> None:
    provider = Provider(world.context("smtp.other.example"), implicit=tls == "implicit")
    found = world.attempt(provider, tls=tls)
    assert codes(found) == ["MS-SMH-003"]
    assert provider.secure == [], "nothing is said to a stranger"


@pytest.mark.parametrize(("names", "fits"), [(("*.provider.example",), True), (("*.example",), False)])
def test_a_wildcard_stands_for_one_label(world: World, names: tuple[str, ...], fits: bool) -> None:
    assert codes(world.attempt(Provider(world.context(*names)))) == ([] if fits else ["MS-SMH-003"])


def test_a_certificate_that_nobody_trusts(world: World, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    provider = Provider(context(tmp_path / "other", authority(tmp_path / "other"), HOST))
    found = world.attempt(provider)
    assert codes(found) == ["MS-SMH-004"]
    assert provider.secure == []


def test_a_certificate_that_has_expired(world: World) -> None:
    provider = Provider(world.context(days=-1))
    assert codes(world.attempt(provider)) == ["MS-SMH-005"]
    assert provider.secure == []


def test_starttls_that_is_not_offered(world: World) -> None:
    """Also when AUTH is: a device on the way that takes STARTTLS out must not get the password."""
    provider = Provider(world.context(), implicit=False, plain=("AUTH PLAIN LOGIN",))
    found = world.attempt(provider, tls="starttls")
    assert codes(found) == ["MS-SMH-006"]
    assert not [line for line in provider.lines if line.startswith("AUTH")]


def test_starttls_that_is_refused(world: World) -> None:
    provider = Provider(world.context(), implicit=False, replies={"STARTTLS": "454 4.7.0 TLS not available"})
    found = world.attempt(provider, tls="starttls")
    assert codes(found) == ["MS-SMH-006"]
    assert provider.secure == []


def test_tls_from_the_start_where_there_is_none(world: World) -> None:
    found = world.attempt(Provider(implicit=False), tls="implicit")
    assert codes(found) == ["MS-SMH-006"]


@pytest.mark.parametrize("extensions", [("SIZE 100",), ("AUTH XOAUTH2 CRAM-MD5",)])
def test_no_login_with_a_password(world: World, extensions: tuple[str, ...]) -> None:
    provider = Provider(world.context(), extensions=extensions)
    found = world.attempt(provider)
    assert codes(found) == ["MS-SMH-007"]
    assert not [line for line in provider.lines if line.startswith("AUTH")]


@pytest.mark.parametrize(
    "reply", ["535 5.7.8 Authentication failed", "534-5.7.9 Application-specific password required\r\n534 5.7.9 see"]
)
def test_credentials_that_are_refused(world: World, reply: str) -> None:
    provider = Provider(world.context(), replies={"AUTH": reply})
    found = world.attempt(provider, hint="an app password", place="mail_submission[0].smarthosts[1]")
    assert (codes(found), found.authenticated, found.senders) == (["MS-SMH-008"], False, [])
    (problem,) = found.problems
    assert "an app password" in problem.fix
    assert reply[:9] in problem.what
    assert problem.where == "mail_submission[0].smarthosts[1]"


def test_a_wrong_password(world: World) -> None:
    assert codes(world.attempt(Provider(world.context()), password="wrong")) == ["MS-SMH-008"]
    assert codes(world.attempt(Provider(world.context(), extensions=("AUTH LOGIN",)), password="no")) == ["MS-SMH-008"]


@pytest.mark.parametrize(
    "replies",
    [
        {"AUTH": "454 4.7.0 Temporary authentication failure"},
        {"MAIL": "452 4.3.1 Sending quota exceeded"},
        {"MAIL": "421 4.7.0 Too many messages"},
        {"MAIL": "550 5.4.5 Daily user sending limit exceeded"},
        {"EHLO": "421 4.3.2 Service not available"},
    ],
)
def test_a_refusal_for_the_time_being(world: World, replies: dict[str, str]) -> None:
    found = world.attempt(Provider(world.context(), replies=replies))
    assert codes(found) == ["MS-SMH-009"]
    assert next(iter(replies.values())) in found.problems[0].what
    assert failing(found.problems, "problems") == []


def test_a_sender_that_is_not_set_up(world: World) -> None:
    provider = Provider(world.context(), replies={"MAIL FROM:<a@strange.example>": "550 5.7.1 Sender denied"})
    found = world.attempt(provider, senders=("a@strange.example", SENDER), title="Provider Inc.")
    assert codes(found) == ["MS-SMH-010"]
    assert [(s.code, s.allowed) for s in found.senders] == [(550, False), (250, True)]
    assert "strange.example" in found.problems[0].fix
    assert "Provider Inc." in found.problems[0].fix


@pytest.mark.parametrize(("size", "max_size", "small"), [(1000, 1001, True), (1000, 1000, False), (0, 10**9, False)])
def test_messages_that_are_too_large_for_it(world: World, size: int, max_size: int, small: bool) -> None:
    found = world.attempt(Provider(world.context(), extensions=("AUTH PLAIN", f"SIZE {size}")), max_size=max_size)
    assert codes(found) == (["MS-SMH-011"] if small else [])
    assert found.authenticated and [s.allowed for s in found.senders] == [True], "that is found out all the same"


def test_a_server_that_goes_silent(world: World) -> None:
    quiet = threading.Event()
    with tcp_server(lambda _client: quiet.wait(10)) as port:
        found = run(port, 0.2, tls="starttls")
        quiet.set()
    assert codes(found) == ["MS-SMH-012"]
    assert "went silent" in found.problems[0].what


@pytest.mark.parametrize("command", ["EHLO", "AUTH", "MAIL", "RSET"])
def test_a_server_that_hangs_up(world: World, command: str) -> None:
    found = world.attempt(Provider(world.context(), replies={command: ""}))
    assert codes(found) == ["MS-SMH-012"]
    assert "closed the connection" in found.problems[0].what


def test_a_server_that_speaks_something_else(world: World) -> None:
    found = world.attempt(Provider(world.context(), banner="* OK IMAP4rev1 ready"))
    assert codes(found) == ["MS-SMH-012"]
    assert "IMAP4rev1" in found.problems[0].what


def test_a_greeting_before_the_handshake_is_not_believed(world: World) -> None:
    """What is sent ahead of TLS is anybody's (CVE-2011-0411): the replies after it are the server's own."""

    def handler(client: socket.socket) -> None:
        client.sendall(b"220 ready\r\n")
        client.recv(1000)
        client.sendall(b"250-mx\r\n250 STARTTLS\r\n")
        client.recv(1000)
        client.sendall(b"220 go\r\n250-mx\r\n250 AUTH PLAIN\r\n235 welcome\r\n")
        client.recv(1000)

    with tcp_server(handler) as port:
        found = run(port, 5.0, tls="starttls")
    assert not found.authenticated
    assert codes(found) in (["MS-SMH-006"], ["MS-SMH-012"])


def test_without_tls_nobody_logs_in() -> None:
    provider = Provider(implicit=False)
    with provider.serve() as port:
        found = run(port, tls="none", username="", password="")
    assert (codes(found), found.tls, found.mechanism) == ([], "", "")
    assert not [line for line in provider.lines if line.startswith("AUTH")]


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ((Smarthost("a", "h", 1), Smarthost("a", "i", 1)), "listed twice"),
        ((Smarthost("a", "h", 1, username="u"),), "no password"),
        ((Smarthost("a", "h", 1, password="p"),), "no user name"),
        ((Smarthost("a", "h", 1, "none", "u", "p"),), "in the clear"),
        ((Smarthost("a", "h", 1, senders=("x@y\r\nRCPT TO:<z@w>",)),), "is no address"),
        ((Smarthost("a", "h", 1, senders=("nobody",)),), "is no address"),
    ],
)
def test_wishes_that_make_no_sense(wanted: tuple[Smarthost, ...], words: str) -> None:
    (problem,) = check(wanted)
    assert problem.code == "MS-SMH-013"
    assert words in problem.what


def test_wishes_that_do() -> None:
    every = (Smarthost("a", "h", 1, "none"), Smarthost("b", "h", 1, "implicit", "u", "p", ("*@x.example", SENDER)))
    assert check(every) == []
    assert tried(("*@x.example", SENDER, "*@x.example")) == ("postmaster@x.example", SENDER)


def test_levels_of_failing() -> None:
    problems = [Problem(code, "x", "y", "z") for code in ("MS-SMH-002", "MS-SMH-008", "MS-SMH-009", "MS-SMH-012")]
    failed = {level: [p.code[-3:] for p in failing(problems, level)] for level in LEVELS}
    assert failed == {
        "never": [],
        "lasting": ["008"],
        "problems": ["002", "008", "012"],
        "warnings": ["002", "008", "009", "012"],
    }
    assert {p.code for p in problems} <= set(CODES)


def test_all_are_tried_at_once_and_told_in_order(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each waits for the others before it answers: one after another would never end."""
    together = threading.Barrier(3, timeout=8)
    provider = Provider(world.context())

    def meet(client: socket.socket) -> None:
        together.wait()
        provider(client)

    with contextlib.ExitStack() as stack:
        ports = [stack.enter_context(tcp_server(meet)) for _ in range(3)]
        wanted = [Smarthost(f"s{p}", "localhost", p, username=USER, password=PASSWORD) for p in ports]
        monkeypatch.setattr(provider, "tls", world.context("localhost"))
        found = try_all(wanted, 10.0)
    assert [f.smarthost.id for f in found] == [w.id for w in wanted]
    assert [codes(f) for f in found] == [[], [], []]
    assert try_all([], 1.0) == []


@pytest.mark.parametrize(
    ("name", "address", "said"),
    [
        ("mx.example.com", "192.0.2.7", "mx.example.com"),
        ("box", "192.0.2.7", "[192.0.2.7]"),
        ("localhost.localdomain", "2001:2::7", "[IPv6:2001:2::7]"),
    ],
)
def test_a_host_without_a_name_says_its_address(name: str, address: str, said: str) -> None:
    assert introduced(name, address) == said


def test_a_host_introduces_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getfqdn", lambda: "box")
    provider = Provider(implicit=False)
    with provider.serve() as port:
        Attempt(Smarthost("x", HOST, port, "none"), 5.0, resolver=lambda _n, _p: [LOOPBACK]).run()
    assert provider.lines[0] == "EHLO [127.0.0.1]"
