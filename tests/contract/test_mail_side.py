# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stand-in's mail side against what was observed on the real server: signatures, PROXY rules, queue, certificates."""

from __future__ import annotations

import asyncio
import base64
import json
import mailbox
import socket
import ssl
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dkim
import pytest
from aiosmtpd.controller import Controller

from lab.standin.server.delivery import Delivery
from lab.standin.server.listeners import Connection, Listeners, read_proxy_header
from lab.standin.server.mail import Mail
from lab.standin.server.mail_queue import MailQueue
from lab.standin.server.resolver import LookupFailedError
from lab.standin.server.signing import sign_for
from lab.standin.server.throttle import Throttles
from lab.standin.server.web import Web
from lab.standin.server.web_server import Request
from tests.contract import replay, servers

MANUAL = {"@type": "Manual"}
MESSAGE = (
    b"From: Alice <alice@example.com>\r\nTo: x@remote.test\r\nSubject:  two\r\n  lines\r\n"
    b"Message-ID: <1@example.com>\r\nDate: Sat, 21 Nov 2026 12:00:00 +0000\r\n\r\nbody  with blanks \r\n\r\n\r\n"
)


class Server(servers.InProcess):
    """A configured server: domain, two users, both keys, Pyzor off."""

    def __init__(self, etc: Path) -> None:
        super().__init__(etc)
        self.material = replay.Material(etc)
        self.set("SpamPyzor", update={"singleton": {"enable": False}})
        self.set("Domain", create={"d": {"name": "example.com", "dkimManagement": MANUAL}})
        for name in ("alice", "bob"):
            credentials = {"0": {"@type": "Password", "secret": "Correct-Horse-7-Battery"}}
            self.set(
                "Account",
                create={"a": {"@type": "User", "name": name, "domainId": "b", "credentials": credentials}},
            )
        self.keys = {}
        for variant, selector in (("Dkim1RsaSha256", "r"), ("Dkim1Ed25519Sha256", "e")):
            key = {"@type": "Text", "secret": self.material.pem_for(variant)}
            body = {"@type": variant, "domainId": "b", "selector": selector, "privateKey": key}
            self.keys[selector] = self.set("DkimSignature", create={"k": body})["created"]["k"]["id"]
        self.reload()
        self.mail = Mail(self.registry, self.authenticator, etc / "mail")

        def unreachable(name: str, kind: str) -> list[Any]:
            raise LookupFailedError(f"{kind} {name}: no network")

        self.mail.resolver.query = unreachable  # type: ignore[method-assign]

    def set(self, kind: str, **arguments: Any) -> dict[str, Any]:
        request = {"using": replay.USING, "methodCalls": [[f"x:{kind}/set", arguments, "c0"]]}
        result: dict[str, Any] = self.call(request, self.admin)[1]["methodResponses"][0][1]
        assert not any(key.startswith("not") for key in result), result
        return result

    def reload(self) -> None:
        self.set("Action", create={"a": {"@type": "ReloadSettings"}})


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    result = Server(tmp_path)
    yield result
    result.mail.close()


# -- signatures -----------------------------------------------------------------------------------------------------
def _records(server: Server) -> Callable[..., bytes]:
    kinds = {"r": ("rsa", "Dkim1RsaSha256"), "e": ("ed25519", "Dkim1Ed25519Sha256")}
    texts = {
        f"{selector}._domainkey.example.com.": f"v=DKIM1; k={kind}; p={server.material.public_for(variant)}".encode()
        for selector, (kind, variant) in kinds.items()
    }
    return lambda name, timeout=5: texts[name.decode() if isinstance(name, bytes) else name]


def test_both_signatures_are_there_and_verify(server: Server) -> None:
    signed = sign_for(server.registry, "example.com", MESSAGE) + MESSAGE
    verifier = dkim.DKIM(signed)
    headers = [value for name, value in verifier.headers if name == b"DKIM-Signature"]
    assert [b"a=rsa-sha256" in headers[0], b"a=ed25519-sha256" in headers[1], len(headers)] == [True, True, 2]
    assert all(b"r=y;" in header and b"c=relaxed/relaxed" in header for header in headers)
    assert [verifier.verify(idx=index, dnsfunc=_records(server)) for index in (0, 1)] == [True, True]


@pytest.mark.parametrize("change", [(b"Subject:  two", b"Subject: three"), (b"with blanks", b"with  b l anks")])
def test_a_changed_message_does_not_verify(server: Server, change: tuple[bytes, bytes]) -> None:
    signed = sign_for(server.registry, "example.com", MESSAGE) + MESSAGE.replace(*change)
    verifier = dkim.DKIM(signed)
    for index in (0, 1):
        try:
            assert not verifier.verify(idx=index, dnsfunc=_records(server))
        except dkim.ValidationError as error:
            assert "body hash mismatch" in str(error)


def test_stages_act_at_once_and_without_a_key_nothing_is_signed(server: Server) -> None:
    for stage, count in (("pending", 1), ("retiring", 1), ("retired", 1), ("active", 2)):
        server.set("DkimSignature", update={server.keys["r"]: {"stage": stage}})
        assert sign_for(server.registry, "example.com", MESSAGE).count(b"DKIM-Signature:") == count
    server.set("DkimSignature", destroy=list(server.keys.values()))
    assert sign_for(server.registry, "example.com", MESSAGE) == b""


# -- PROXY protocol -------------------------------------------------------------------------------------------------
def _header(source: str = "198.18.0.40", command: int = 0x21) -> bytes:
    ends = socket.inet_aton(source) + socket.inet_aton("172.29.25.20") + struct.pack("!HH", 4321, 25)
    return b"\r\n\r\n\0\r\nQUIT\n" + struct.pack("!BBH", command, 0x11, len(ends)) + ends


def _through_listener(server: Server, trusted: bool, sent: bytes, wait: float = 5.0) -> tuple[bytes, list[str]]:
    """What a client reads from an SMTP listener after sending something at once, and whom the server saw."""
    seen: list[str] = []

    async def handler(connection: Connection) -> None:
        seen.append(connection.remote[0])
        connection.writer.write(b"220 banner\r\n")
        line = await connection.reader.readline()
        connection.writer.write(b"500 5.5.1 Invalid command.\r\n" if line.strip() != b"NOOP" else b"250 OK\r\n")
        await connection.writer.drain()

    async def run() -> bytes:
        listeners = Listeners(server.registry, server.mail.certificates, {"smtp": handler})
        if trusted:
            ids = [i for i, x in server.store.all("NetworkListener").items() if x["name"] == "smtp"]
            server.set("NetworkListener", update={ids[0]: {"overrideProxyTrustedNetworks": {"127.0.0.1": True}}})
        listener = next(x for x in server.store.all("NetworkListener").values() if x["name"] == "smtp")
        networks = [servers.network(name) for name in listener["overrideProxyTrustedNetworks"]]
        port = listeners.serve(("127.0.0.1", 0), listener, networks)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        received = b""
        try:
            while chunk := await asyncio.wait_for(reader.read(1000), wait):
                received += chunk
        except (TimeoutError, ConnectionError):
            pass
        writer.close()
        await listeners.close()
        return received

    return asyncio.run(run()), seen


def test_trusted_source_with_a_header_is_the_client_it_names(server: Server) -> None:
    assert _through_listener(server, True, _header() + b"NOOP\r\n") == (b"220 banner\r\n250 OK\r\n", ["198.18.0.40"])
    line = b"PROXY TCP4 198.18.0.41 172.29.25.20 5 25\r\n"
    assert _through_listener(server, True, line + b"NOOP\r\n")[1] == ["198.18.0.41"]
    assert _through_listener(server, True, _header(command=0x20) + b"NOOP\r\n")[1] == ["127.0.0.1"]


def test_trusted_source_without_a_header_gets_no_banner(server: Server) -> None:
    assert _through_listener(server, True, b"", wait=0.5) == (b"", [])
    assert _through_listener(server, True, b"EHLO mx.example.net\r\n") == (b"", [])


@pytest.mark.parametrize("header", [_header(), b"PROXY TCP4 198.18.0.41 172.29.25.20 5 25\r\n"])
def test_a_header_from_anywhere_else_is_garbage(server: Server, header: bytes) -> None:
    received, seen = _through_listener(server, False, header)
    assert received == b"220 banner\r\n500 5.5.1 Invalid command.\r\n"
    assert seen == ["127.0.0.1"]


def test_header_is_read_to_its_last_byte_and_no_further() -> None:
    async def run() -> tuple[Any, bytes]:
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        ours.sendall(_header() + b"\x16\x03\x01 the client's hello")
        source = await read_proxy_header(theirs)
        rest = theirs.recv(100)
        ours.close()
        theirs.close()
        return source, rest

    assert asyncio.run(run()) == (("198.18.0.40", 4321), b"\x16\x03\x01 the client's hello")


# -- certificates ---------------------------------------------------------------------------------------------------
def _presented(server: Server) -> bytes:
    client, other = ssl.MemoryBIO(), ssl.MemoryBIO()
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname = False
    trusting.verify_mode = ssl.CERT_NONE
    ends = [
        trusting.wrap_bio(other, client, server_hostname="mail.example.com"),
        server.mail.certificates.front.wrap_bio(client, other, server_side=True),
    ]
    for _ in range(4):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    certificate = ends[0].getpeercert(binary_form=True)
    assert certificate is not None
    return certificate


def test_reload_takes_a_new_file_and_leaves_an_expired_one(server: Server) -> None:
    self_signed = _presented(server)
    files = {
        part: {"@type": "File", "filePath": str(server.etc / name)}
        for part, name in (("certificate", "tls.crt"), ("privateKey", "tls.key"))
    }
    server.set("Certificate", create={"c": files})
    reload = {"@type": "ReloadTlsCertificates"}
    assert server.mail.perform(reload) is None
    first = _presented(server)
    server.material.certificate(days=60)
    assert _presented(server) == first
    server.mail.perform(reload)
    second = _presented(server)
    server.material.certificate(days=-1)
    server.mail.perform(reload)
    assert len({self_signed, first, second}) == 3
    assert _presented(server) == second


# -- queue ----------------------------------------------------------------------------------------------------------
class Accepting:
    """Takes every message."""

    def __init__(self) -> None:
        self.senders: list[str] = []

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        self.senders.append(envelope.mail_from)
        return "250 2.0.0 taken"


class AnywhereDelivery(Delivery):
    """Delivery that may go to loopback, since a test has no other address."""

    @staticmethod
    def _allowed(host: str, address: str) -> str:
        return address


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _run_queue(queue: MailQueue, done: Callable[[], bool], seconds: float = 10.0) -> None:
    async def run() -> None:
        task = asyncio.create_task(queue.run())
        deadline = asyncio.get_running_loop().time() + seconds
        while not done() and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.02)
        task.cancel()

    asyncio.run(run())
    assert done()


def _route(server: Server, **branches: str) -> None:
    matches = [
        ("is_local_domain(rcpt_domain)", "'local'"),
        *((k.replace("_gt_0", " > 0"), v) for k, v in branches.items()),
    ]
    expression = {
        "match": {str(i): {"if": condition, "then": then} for i, (condition, then) in enumerate(matches)},
        "else": "'edge'",
    }
    server.set("MtaOutboundStrategy", update={"singleton": {"route": expression}})
    server.reload()


def test_second_relay_takes_over_on_the_first_retry_after_a_restart(server: Server) -> None:
    ports = [_free_port(), _free_port()]
    for name, port in zip(("edge", "second"), ports):
        server.set("MtaRoute", create={"r": {"@type": "Relay", "name": name, "address": "127.0.0.1", "port": port}})
    retry = {"@type": "Custom", "intervals": {"0": {"duration": 200}}}
    server.set("MtaDeliverySchedule", update={"b": {"retry": retry}})
    _route(server, retry_num_gt_0="'second'")
    delivery = AnywhereDelivery(server.registry, server.mail.resolver, server.etc / "mail")
    first = MailQueue(server.registry, delivery)
    first.add(first.new_id(), "alice@example.com", ["x@remote.test"], MESSAGE, "authenticated", "198.18.0.40", 465)
    _run_queue(first, lambda: _retries(first) == 1)
    handler = Accepting()
    controller = Controller(handler, hostname="127.0.0.1", port=ports[1])
    controller.start()
    try:
        # Another process would find the same: the queue is in the database only.
        again = MailQueue(server.registry, delivery)
        _run_queue(again, lambda: not again.objects())
    finally:
        controller.stop()
    assert handler.senders == ["alice@example.com"]


def _retries(queue: MailQueue) -> int:
    return max((r["retryCount"] for m in queue.objects().values() for r in m["recipients"].values()), default=-1)


def _inbox(server: Server) -> mailbox.Maildir:
    return mailbox.Maildir(server.mail.delivery.maildir("alice@example.com"))


def test_loopback_relay_is_refused_for_good_and_the_sender_is_told(server: Server) -> None:
    server.set("MtaRoute", create={"r": {"@type": "Relay", "name": "edge", "address": "127.0.0.1", "port": 2525}})
    _route(server)
    queue = server.mail.queue
    queue.add(queue.new_id(), "alice@example.com", ["x@remote.test"], MESSAGE, "authenticated", "198.18.0.40", 465)
    _run_queue(queue, lambda: not queue.objects() and len(_inbox(server)) == 1)
    notice = next(iter(_inbox(server)))
    assert "host resolves loopback address" in notice.as_string()
    assert str(notice["From"]).startswith("Mail Delivery Subsystem <MAILER-DAEMON@")


def test_unknown_route_is_left_unused(server: Server) -> None:
    server.mail.resolver.exchangers = lambda name: []  # type: ignore[method-assign]
    queue = server.mail.queue
    _route(server)  # 'edge' does not exist here
    queue.add(queue.new_id(), "", ["x@remote.test"], MESSAGE, "authenticated", "198.18.0.40", 465)
    _run_queue(queue, lambda: not queue.objects())


def test_paused_queue_keeps_its_mail(server: Server) -> None:
    queue = server.mail.queue
    assert server.mail.perform({"@type": "PauseMtaQueue"}) is None
    queue.add(queue.new_id(), "bob@example.com", ["alice@example.com"], MESSAGE, "authenticated", "198.18.0.40", 465)

    async def look() -> None:
        task = asyncio.create_task(queue.run())
        await asyncio.sleep(0.2)
        task.cancel()

    asyncio.run(look())
    assert len(queue.objects()) == 1
    server.mail.perform({"@type": "ResumeMtaQueue"})
    _run_queue(queue, lambda: not queue.objects() and len(_inbox(server)) == 1)
    assert server.mail.used_bytes("alice@example.com") > len(MESSAGE) // 2


# -- throttles and web ----------------------------------------------------------------------------------------------
def test_a_throttle_reads_the_end_of_its_expression_alone(server: Server) -> None:
    """Seen on the real server: a branch that should have exempted a client did not."""
    found = server.store.all("MtaInboundThrottle")
    (by_recipient,) = [i for i, t in found.items() if t["key"] == {"senderDomain": True, "rcpt": True}]
    client = {"remote_ip": "198.18.0.40", "sender_domain": "stranger.example.org", "rcpt": "alice@example.com"}
    branch = {"match": {"0": {"if": "remote_ip == '198.18.0.40'", "then": "false"}}, "else": "true"}
    end = {"match": {}, "else": "remote_ip != '198.18.0.40' && remote_ip != '198.18.1.10'"}
    for expression, last in ((branch, False), (end, True)):
        server.set("MtaInboundThrottle", update={by_recipient: {"match": expression}})
        server.reload()
        throttles = Throttles(server.registry, lambda: 1000.0)
        assert [throttles.allowed("rcpt", client) for _ in range(26)] == [True] * 25 + [last]
    other = {**client, "remote_ip": "203.0.113.9"}
    assert [throttles.allowed("rcpt", other) for _ in range(26)] == [True] * 25 + [False]


def test_default_throttles_count_connections_and_messages(server: Server) -> None:
    now = [1000.0]
    throttles = Throttles(server.registry, lambda: now[0])
    one, other = {"remote_ip": "198.18.0.40"}, {"remote_ip": "198.18.0.41"}
    assert [throttles.allowed("connect", one) for _ in range(6)] == [True] * 5 + [False]
    assert throttles.allowed("connect", other)
    now[0] += 1
    assert throttles.allowed("connect", one)
    mail = {"sender_domain": "example.com", "rcpt": "canary@strict.example.org"}
    assert [throttles.allowed("rcpt", mail) for _ in range(26)] == [True] * 25 + [False]


def test_throttle_takes_effect_after_a_reload_only(server: Server) -> None:
    rate = {"count": 1, "period": 60000}
    match = {"match": {}, "else": "!is_empty(authenticated_as)"}
    body = {"description": "per account", "key": {"authenticatedAs": True}, "match": match, "rate": rate}
    server.set("MtaInboundThrottle", create={"t": body})
    who = {"authenticated_as": "alice@example.com"}
    assert [server.mail.throttles.allowed("mail", who) for _ in range(2)] == [True, True]
    server.reload()
    assert [server.mail.throttles.allowed("mail", who) for _ in range(2)] == [True, False]
    assert [server.mail.throttles.allowed("mail", {"authenticated_as": ""}) for _ in range(2)] == [True, True]


def _ask(
    server: Server, method: str, path: str, body: Any = None, ip: str = "127.0.0.1", **headers: str
) -> tuple[int, Any]:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    response = Web(server.mail, server.jmap).answer(Request(method, path, {}, names, raw, ip))
    return response.status, response


def _basic(name: str, secret: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{secret}".encode()).decode()


def test_web_answers(server: Server) -> None:
    server.set("MtaSts", update={"singleton": {"mode": "enforce", "mxHosts": {"mail.example.com": True}}})
    assert b"mode: testing" in _ask(server, "GET", "/.well-known/mta-sts.txt")[1].body
    server.reload()
    policy = _ask(server, "GET", "/.well-known/mta-sts.txt")[1]
    assert policy.body == b"version: STSv1\r\nmode: enforce\r\nmax_age: 604800\r\nmx: mail.example.com\r\n"
    assert policy.content_type == "text/plain"
    admin = _basic(server.admin.name, server.admin.secret)
    assert [_ask(server, "GET", path)[0] for path in ("/healthz/live", "/healthz/ready", "/nothing")] == [200, 200, 404]
    assert _ask(server, "POST", "/jmap", {})[0] == 401
    assert _ask(server, "POST", "/jmap", {}, authorization=admin)[0] == 400
    assert _ask(server, "POST", "/jmap", b"{", authorization=admin, content_type="application/json")[0] == 400
    call = ["Core/echo", {}, "c0"]
    full = {"using": replay.USING, "methodCalls": [call] * 17}
    status, refused = _ask(server, "POST", "/jmap", full, authorization=admin, content_type="application/json")
    assert (status, json.loads(refused.body)["limit"]) == (400, "maxCallsInRequest")
    assert json.loads(_ask(server, "GET", "/jmap/session")[1].body)["accounts"] == {}
    for secret, expected in (("Correct-Horse-7-Battery", 200), ("wrong", 401)):
        account = _ask(server, "GET", "/api/account", authorization=_basic("alice@example.com", secret))
        assert account[0] == expected


def test_schema_is_found_behind_a_redirect(server: Server) -> None:
    admin = _basic(server.admin.name, server.admin.secret)
    status, redirect = _ask(server, "GET", "/api/schema", authorization=admin)
    where = dict(redirect.headers)["location"]
    assert (status, where) == (302, "/api/schema/25gnm1_xB9bPk-puX9VTFMP1W5V-1muUWuK964-_uEw")
    schema = _ask(server, "GET", where, authorization=admin)[1]
    assert dict(schema.headers)["content-encoding"] == "gzip"
    assert schema.body == (replay.RECORDED / "schema.json.gz").read_bytes()


def test_api_key_works_from_its_networks_only(server: Server) -> None:
    server.set("Account", update={"b": {"roles": {"@type": "Admin"}}})
    create = {"create": {"k": {"description": "x", "allowedIps": {"172.29.25.1": True}}}}
    request = {"using": replay.USING, "methodCalls": [["x:ApiKey/set", create, "c0"]]}
    who = replay.Who("alice@example.com", "Correct-Horse-7-Battery")
    key = server.call(request, who)[1]["methodResponses"][0][1]["created"]["k"]["secret"]
    for ip, expected in (("172.29.25.1", 200), ("172.29.25.10", 401), ("127.0.0.1", 401)):
        assert _ask(server, "GET", "/api/account", ip=ip, authorization=f"Bearer {key}")[0] == expected
    assert _ask(server, "GET", "/api/account", ip="172.29.25.1", authorization=f"Bearer {key}x")[0] == 401
