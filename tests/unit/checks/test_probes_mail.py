# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Probes that send and fetch mail, files and pages, against servers on loopback; and the module around them."""

from __future__ import annotations

import json
import re
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.mailstead.stack.plugins.module_utils.checks.probes import (
    host,
    https,
    imap,
    keys,
    mail,
    runner,
)
from ansible_collections.mailstead.stack.plugins.module_utils.checks.probes.context import Clock, ProbeError
from ansible_collections.mailstead.stack.plugins.modules import mail_probe
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from tests.unit.checks.servers import (
    LOOPBACK,
    Dns,
    Smtp,
    closed_port,
    context,
    dns_server,
    make_certificate,
    tcp_server,
)

NAME = "mail.example.com"
PASSWORD = "s3cret-of-the-mailbox"
TOKEN = "msabcdef"
REPORT = (
    b"From: MAILER-DAEMON@example.com\r\nContent-Type: multipart/report; report-type=delivery-status\r\n\r\n"
    b"Final-Recipient: rfc822; x@y\r\nStatus: 5.7.1\r\nDiagnostic-Code: smtp; 550 5.7.1 cannot find your\r\n"
    b"    reverse hostname\r\n\r\nmsabcdef\r\n"
)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imap, "POLL", 0.02)


@pytest.fixture
def tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    server = make_certificate(tmp_path, NAME, "mta-sts.example.com")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.crt"))
    return server


class Imap:
    """Just enough IMAP for imaplib; messages: folder → raw messages. looks counts the searches."""

    def __init__(self, tls: ssl.SSLContext, **messages: list[bytes]) -> None:
        self.tls = tls
        self.folders: dict[str, list[bytes]] = {"INBOX": [], **messages}
        self.looks = 0
        self.arrives: dict[int, tuple[str, bytes]] = {}

    def __call__(self, raw: socket.socket) -> None:
        stream = self.tls.wrap_socket(raw, server_side=True).makefile("rwb", buffering=0)
        stream.write(b"* OK ready\r\n")
        selected = "INBOX"
        while line := stream.readline().decode().strip():
            tag, command, *rest = line.split(" ", 2)
            argument = rest[0] if rest else ""
            status = "OK"
            if command == "CAPABILITY":
                stream.write(b"* CAPABILITY IMAP4rev1\r\n")
            elif command == "LOGIN":
                status = "OK" if PASSWORD in argument else "NO"
            elif command == "LIST":
                for name in self.folders:
                    stream.write(f'* LIST (\\HasNoChildren) "/" "{name}"\r\n'.encode())
            elif command == "EXAMINE":
                selected = argument.strip('"')
                stream.write(f"* {len(self.folders[selected])} EXISTS\r\n".encode())
            elif command == "SEARCH":
                self._search(stream, selected, argument)
            elif command == "FETCH":
                number = int(argument.split(" ")[0])
                body = self.folders[selected][number - 1]
                stream.write(f"* {number} FETCH (BODY[] {{{len(body)}}}\r\n".encode() + body + b")\r\n")
            stream.write(f"{tag} {status} done\r\n".encode())
            if command == "LOGOUT":
                return

    def _search(self, stream: Any, selected: str, argument: str) -> None:
        self.looks += 1
        if self.looks in self.arrives:
            folder, message = self.arrives[self.looks]
            self.folders[folder].append(message)
        wanted = re.findall(r'TEXT "([^"]+)"', argument)[0].encode()
        hits = [str(n) for n, m in enumerate(self.folders[selected], start=1) if wanted in m]
        stream.write(f"* SEARCH {' '.join(hits)}\r\n".encode())


def account(port: int, secret: str = "ref") -> dict[str, Any]:
    return {"host": NAME, "addresses": [LOOPBACK], "port": port, "username": "rekord", "secret": secret}


def message(text: str = TOKEN) -> bytes:
    return f"Subject: x\r\n folded\r\nFrom: a@b\r\n\r\n{text}\r\n".encode()


SECRETS = {"ref": PASSWORD, "wrong": "nonsense"}


def test_a_message_is_awaited_and_found_in_whatever_folder(tls: ssl.SSLContext) -> None:
    server = Imap(tls, **{"Junk Mail": []})
    server.arrives[6] = ("Junk Mail", message())
    with tcp_server(server) as port:
        args = {"imap": account(port), "tokens": {"genuine": TOKEN}, "wait": 5}
        data = imap.probe_mailbox(args, context(secrets=SECRETS))
    assert data["folders"] == ["INBOX", "Junk Mail"]
    found = data["messages"]["genuine"]
    assert (found["folder"], found["headers"][0]) == ("Junk Mail", ["Subject", "x folded"])
    assert server.looks >= 6


def test_a_message_that_never_comes_ends_the_wait(tls: ssl.SSLContext) -> None:
    with tcp_server(Imap(tls)) as port:
        args = {"imap": account(port), "tokens": {"genuine": TOKEN}, "wait": 0.2}
        data = imap.probe_mailbox(args, context(secrets=SECRETS))
    assert data["messages"] == {}
    assert data["waited_ms"] < 2000


def test_what_was_sent_before_is_looked_for_once_more(tls: ssl.SSLContext) -> None:
    server = Imap(tls, INBOX=[message("genuine-token")])
    server.arrives[3] = ("INBOX", message("forged-token"))
    tokens = {"genuine": "genuine-token", "forged": "forged-token"}
    with tcp_server(server) as port:
        args = {"imap": account(port), "tokens": tokens, "wait_for": ["genuine"], "wait": 5}
        data = imap.probe_mailbox(args, context(secrets=SECRETS))
    assert set(data["messages"]) == {"genuine", "forged"}


@pytest.mark.parametrize(("secret", "klass"), [("wrong", "auth"), ("missing", "secret")])
def test_logins_that_fail(tls: ssl.SSLContext, secret: str, klass: str) -> None:
    with tcp_server(Imap(tls)) as port, pytest.raises(ProbeError) as problem:
        imap.Mailbox(account(port, secret), context(secrets=SECRETS))
    assert problem.value.klass == klass
    assert "nonsense" not in str(problem.value)


def test_mailboxes_that_cannot_be_reached(tls: ssl.SSLContext) -> None:
    with pytest.raises(ProbeError) as problem:
        imap.Mailbox(account(closed_port()), context(secrets=SECRETS))
    assert problem.value.klass == "refused"
    with tcp_server(Imap(tls)) as port, pytest.raises(ProbeError) as untrusted:
        imap.Mailbox({**account(port), "host": "other.example.org"}, context(secrets=SECRETS))
    assert untrusted.value.klass == "tls"


def canary(ctx_port: int, smtp: int, witness: int, own: int) -> dict[str, Any]:
    args = {
        "submission": {"addresses": [LOOPBACK], "port": smtp, "name": NAME, "username": "rekord", "secret": "ref"},
        "sender": "rekord@example.com",
        "recipient": "canary@strict.example.org",
        "token": TOKEN,
        "witness": account(witness),
        "own": account(own),
        "wait": 3,
    }
    return mail.probe_canary(args, context(secrets=SECRETS, resolvers=(LOOPBACK,), dns_port=ctx_port))


def submission(tls: ssl.SSLContext, server: Smtp) -> Any:
    return lambda raw: server(tls.wrap_socket(raw, server_side=True))


def test_a_canary_is_submitted_and_found(tls: ssl.SSLContext) -> None:
    server, witness, own = Smtp({"AUTH": "235 ok", "DATA": "354 go"}), Imap(tls), Imap(tls)
    witness.arrives[3] = ("INBOX", message())
    with (
        dns_server(Dns({})) as dns_port,
        tcp_server(submission(tls, server)) as smtp,
        tcp_server(witness) as one,
        tcp_server(own) as other,
    ):
        data = canary(dns_port, smtp, one, other)
    assert (data["arrived"], data["bounced"], data["submitted"]["code"]) == (True, "", 250)
    assert data["headers"][0] == ["Subject", "x folded"]
    assert data["signatures"] == []
    assert TOKEN in server.messages[0]
    assert PASSWORD not in json.dumps(data)


def test_a_canary_that_bounces_ends_the_wait_with_the_receivers_words(tls: ssl.SSLContext) -> None:
    server, own = Smtp({"AUTH": "235 ok", "DATA": "354 go"}), Imap(tls, INBOX=[REPORT])
    with (
        dns_server(Dns({})) as dns_port,
        tcp_server(submission(tls, server)) as smtp,
        tcp_server(Imap(tls)) as one,
        tcp_server(own) as other,
    ):
        data = canary(dns_port, smtp, one, other)
    assert data["arrived"] is False
    assert data["bounced"] == "smtp; 550 5.7.1 cannot find your reverse hostname"
    assert data["waited_ms"] < 2500


def test_a_canary_that_is_refused_names_the_stage(tls: ssl.SSLContext) -> None:
    server = Smtp({"AUTH": "535 no"})
    with (
        dns_server(Dns({})) as dns_port,
        tcp_server(submission(tls, server)) as smtp,
        tcp_server(Imap(tls)) as one,
    ):
        data = canary(dns_port, smtp, one, one)
    assert (data["stage"], data["submitted"]["code"], data["arrived"]) == ("login", 535, False)


def test_without_its_witness_a_canary_is_not_sent(tls: ssl.SSLContext) -> None:
    server = Smtp()
    with (
        dns_server(Dns({})) as dns_port,
        tcp_server(submission(tls, server)) as smtp,
        pytest.raises(ProbeError, match="the witness cannot be read"),
    ):
        canary(dns_port, smtp, closed_port(), closed_port())
    assert server.lines == []


def test_a_stranger_sends_what_must_be_refused_first(tls: ssl.SSLContext) -> None:
    server = Smtp({"EHLO": "250-x\r\n250 STARTTLS", "STARTTLS": "220 go", "DATA": "354 go"}, tls=tls)
    args = {
        "addresses": [LOOPBACK],
        "name": NAME,
        "recipient": "rekord@example.com",
        "messages": [
            {"label": "forged", "token": "one", "header_from": "rekord@example.com"},
            {"label": "genuine", "token": "two"},
        ],
    }
    with tcp_server(server) as port:
        data = mail.probe_stranger({**args, "port": port}, context())
    assert data["sender"] == "probe@probe.example.org"
    assert [r["code"] for r in data["results"].values()] == [250, 250]
    assert data["results"]["genuine"]["source"] == LOOPBACK
    assert "From: <rekord@example.com>" in server.messages[0] and "one" in server.messages[0]
    assert "From: <probe@probe.example.org>" in server.messages[1]
    assert "MAIL FROM:<probe@probe.example.org>" in server.lines


def test_a_stranger_in_front_of_a_closed_or_refusing_server() -> None:
    args = {
        "addresses": [LOOPBACK],
        "name": NAME,
        "recipient": "r@example.com",
        "messages": [{"label": "g", "token": "t"}],
    }
    row = mail.probe_stranger({**args, "port": closed_port()}, context())["results"]["g"]
    assert (row["code"], row["text"], row["stage"]) == (0, "refused", "connect")
    with tcp_server(Smtp({"RCPT": "550 5.1.2 no such user"})) as port:
        row = mail.probe_stranger({**args, "port": port}, context())["results"]["g"]
    assert (row["code"], row["stage"]) == (550, "rcpt")


# -- HTTPS -------------------------------------------------------------------------------------------------------------


def web(tls: ssl.SSLContext, answer: bytes) -> Any:
    def serve(raw: socket.socket) -> None:
        stream = tls.wrap_socket(raw, server_side=True)
        stream.recv(4096)
        stream.sendall(answer)

    return serve


def fetch(port: int, name: str = "mta-sts.example.com") -> dict[str, Any]:
    args = {"url": f"https://{name}/.well-known/mta-sts.txt", "addresses": [LOOPBACK], "port": port}
    return https.probe_https(args, context())


def test_a_page_is_fetched_as_a_sender_would(tls: ssl.SSLContext) -> None:
    body = b"version: STSv1\r\n"
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 16\r\n\r\n" + body
    with tcp_server(web(tls, answer)) as port:
        data = fetch(port)
    assert (data["status"], data["type"], data["body"], data["tls_error"]) == (200, "text/plain", body.decode(), "")


def test_redirects_are_not_followed_and_large_bodies_are_cut(tls: ssl.SSLContext) -> None:
    with tcp_server(web(tls, b"HTTP/1.1 301 Moved\r\nLocation: https://x/\r\nContent-Length: 0\r\n\r\n")) as port:
        assert fetch(port)["status"] == 301
    with tcp_server(web(tls, b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 70000)) as port:
        data = fetch(port)
    assert (data["truncated"], len(data["body"])) == (True, 65536)


def test_pages_that_cannot_be_had(tls: ssl.SSLContext) -> None:
    with tcp_server(web(tls, b"")) as port:
        assert fetch(port, "other.example.org")["tls_error"]
        assert fetch(port)["connect"].startswith(("protocol", "closed"))
    assert fetch(closed_port())["connect"] == "refused"


# -- the host ----------------------------------------------------------------------------------------------------------


def pem(key: Any) -> bytes:
    result: bytes = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return result


def test_only_the_public_half_of_a_key_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    content = pem(rsa.generate_private_key(65537, 2048))
    path.write_bytes(content)
    path.chmod(0o600)
    data = host.probe_dkim_file({"path": str(path)}, context())
    assert (data["mode"], data["kind"], data["bits"], len(data["public"])) == ("0600", "rsa", 2048, 392)
    assert not set(content.decode().split("\n")[1:-2]) & set(json.dumps(data).split('"'))
    path.write_bytes(pem(ed25519.Ed25519PrivateKey.generate()))
    assert len(host.probe_dkim_file({"path": str(path)}, context())["public"]) == 44


def test_key_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ProbeError, match="No such file"):
        host.probe_dkim_file({"path": str(tmp_path / "none")}, context())
    path = tmp_path / "key.pem"
    path.write_text("no key")
    with pytest.raises(ProbeError, match="holds no unencrypted private key"):
        host.probe_dkim_file({"path": str(path)}, context())


def test_a_missing_library_is_said_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "HAVE_CRYPTOGRAPHY", False)
    path = tmp_path / "key.pem"
    path.write_text("x")
    seen = runner.run([{"id": "k", "kind": "dkim_file", "path": str(path)}], context())[0]
    assert (seen.ok, seen.error, seen.message) == (False, "library", "python3-cryptography is missing on this host")


def test_peers_of_the_tunnel_are_read_from_the_kernels_tables(tmp_path: Path) -> None:
    v4, v6 = tmp_path / "tcp", tmp_path / "tcp6"
    v4.write_text(
        "  sl  local_address rem_address   st\n"
        "   0: 0A0112C6:1B58 070212C6:D431 01 0\n"
        "   1: 00000000:1B58 00000000:0000 0A 0\n"
        "   2: 0A0112C6:0016 090909C6:D431 01 0\n"
    )
    v6.write_text(
        "  sl  local_address rem_address st\n"
        "   0: 02000120020000000000000010000000:1B58 02000120030000000000000007000000:D431 01 0\n"
        "   1: 0000000000000000FFFF00000A0112C6:1B58 0000000000000000FFFF0000080212C6:D431 01 0\n"
    )
    data = host.probe_tunnel_peers({"port": 7000, "tables": [str(v4), str(v6)]}, context())
    assert data["peers"] == ["198.18.2.7", "198.18.2.8", "2001:2:0:3::7"]


def test_own_addresses(tmp_path: Path) -> None:
    table = tmp_path / "if_inet6"
    table.write_text(
        "20010002000000770000000000000010 02 40 00 80     eth0\n00000000000000000000000000000001 01 80 10 80       lo\n"
    )
    data = host.probe_addresses({"targets": [LOOPBACK], "if_inet6": str(table)}, context())
    assert data["addresses"] == [LOOPBACK, "2001:2:0:77::10"]


def test_the_clock_is_compared_with_the_controllers() -> None:
    clock = Clock()
    data = host.probe_clock({}, context(reference=clock.now() - 100))
    assert data["offset"] == pytest.approx(100, abs=2)
    assert host.probe_clock({}, context())["offset"] is None


# -- runner and module -------------------------------------------------------------------------------------------------


def test_probes_run_at_once_and_come_back_sorted() -> None:
    import threading  # noqa: PLC0415

    barrier = threading.Barrier(3, timeout=5)

    def meet(_args: Any, _ctx: Any) -> dict[str, Any]:
        barrier.wait()
        return {"met": True}

    kinds = {**runner.KINDS, "clock": meet}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner, "KINDS", kinds)
        seen = runner.run([{"id": i, "kind": "clock"} for i in ("c", "a", "b")], context())
    assert [o.probe for o in seen] == ["a", "b", "c"]
    assert all(o.ok and o.data == {"met": True} for o in seen)


def test_a_defect_or_a_hang_of_one_probe_leaves_the_others_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    import threading  # noqa: PLC0415

    release = threading.Event()

    def hang(_args: Any, _ctx: Any) -> dict[str, Any]:
        release.wait(5)
        return {}

    def defect(_args: Any, _ctx: Any) -> dict[str, Any]:
        raise KeyError("x")

    monkeypatch.setattr(runner, "GRACE", 0.0)
    monkeypatch.setattr(runner, "KINDS", {"hang": hang, "defect": defect, "clock": host.probe_clock})
    probes = [{"id": k, "kind": k} for k in ("hang", "defect", "clock")]
    seen = {o.probe: o for o in runner.run(probes, context(budget=0.3))}
    release.set()
    assert (seen["hang"].error, seen["defect"].error, seen["clock"].ok) == ("budget", "internal", True)


def module(capsys: pytest.CaptureFixture[str], **args: Any) -> dict[str, Any]:
    with patch_module_args({"vantage": "here", **args}), pytest.raises(SystemExit):
        mail_probe.main()
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


@pytest.mark.parametrize("check_mode", [False, True])
def test_the_module_reports_and_never_changes(capsys: pytest.CaptureFixture[str], check_mode: bool) -> None:
    path = "/nonexistent/key.pem"
    probes = [{"id": "k", "kind": "dkim_file", "args": {"path": path}}, {"id": "c", "kind": "clock"}]
    out = module(capsys, probes=probes, reference=1.5, _ansible_check_mode=check_mode)
    assert out["changed"] is False
    assert [(o["probe"], o["ok"], o["error"]) for o in out["observations"]] == [("c", True, ""), ("k", False, "file")]
    assert out["observations"][0]["data"]["reference"] == 1.5


def test_the_module_refuses_a_kind_it_does_not_know(capsys: pytest.CaptureFixture[str]) -> None:
    out = module(capsys, probes=[{"id": "x", "kind": "guess"}])
    assert out["failed"] and "unknown kind 'guess'" in out["msg"]


def test_the_module_masks_its_secrets(capsys: pytest.CaptureFixture[str], tls: ssl.SSLContext) -> None:
    leaking = Smtp({"AUTH": f"535 {PASSWORD} is wrong"})
    with tcp_server(submission(tls, leaking)) as port:
        args = {
            "address": LOOPBACK,
            "port": port,
            "name": NAME,
            "tls": "implicit",
            "auth": {"username": "r", "secret": "ref"},
            "steps": [],
        }
        probes = [{"id": "s", "kind": "smtp", "args": args}]
        out = module(capsys, probes=probes, secrets={"ref": PASSWORD})
    assert PASSWORD not in json.dumps(out)
