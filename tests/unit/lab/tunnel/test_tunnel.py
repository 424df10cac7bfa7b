# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A client's way through edge and connector to a service, with the stand-in client and with the real one."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import functools
import os
import shutil
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lab.cloudflared.standin import frames, wire
from lab.cloudflared.standin.connector import Credentials
from lab.cloudflared.standin.ingress import parse
from tests.unit.lab.tunnel.worlds import (
    CREDENTIALS,
    HOSTNAME,
    ISSUER,
    LIMITS,
    TOKEN,
    Signer,
    World,
    ingress,
    until,
    world,
)

#: The real client as the lab has built it, or as LAB_CLOUDFLARED_BINARY names it.
BUILT = Path(__file__).resolve().parents[4] / "build" / "lab" / "cloudflared" / "cloudflared"
REAL = os.environ.get("LAB_CLOUDFLARED_BINARY") or (str(BUILT) if BUILT.is_file() else "")
MEGABYTE = bytes(range(256)) * 4096

Scenario = Callable[[Path], Awaitable[None]]


def played(scenario: Scenario) -> Callable[..., None]:
    """A test out of a coroutine; none takes longer than half a minute."""

    @functools.wraps(scenario)
    def test(tmp_path: Path) -> None:
        asyncio.run(asyncio.wait_for(scenario(tmp_path), 30))

    del test.__wrapped__
    return test


class Client:
    """The stand-in's side of a WebSocket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, data: bytes) -> None:
        for start in range(0, len(data), 32768):
            self.writer.write(frames.frame(frames.BINARY, data[start : start + 32768]))
            await self.writer.drain()

    async def receive(self, size: int) -> bytes:
        got = b""
        while len(got) < size:
            opcode, payload = await frames.read_frame(self.reader)
            if opcode == frames.CLOSE:
                break
            if opcode == frames.BINARY:
                got += payload
        return got


@contextlib.asynccontextmanager
async def client(lab: World, token: tuple[str, str] = TOKEN, hostname: str = HOSTNAME) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", lab.port, ssl=lab.trust, limit=wire.CHUNK)
    headers = {"Cf-Access-Client-Id": token[0], "Cf-Access-Client-Secret": token[1]} if any(token) else {}
    try:
        await frames.upgrade(reader, writer, hostname, headers)
        yield Client(reader, writer)
    finally:
        await wire.close(writer)


async def status(lab: World, token: tuple[str, str] = TOKEN, hostname: str = HOSTNAME) -> int:
    """What a client's upgrade is answered."""
    try:
        async with client(lab, token, hostname):
            return 101
    except frames.HandshakeError as error:
        return error.status


async def get(lab: World, headers: str = "", hostname: str = HOSTNAME, path: str = "/") -> tuple[int, bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", lab.port, ssl=lab.trust)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {hostname}\r\n{headers}\r\n".encode())
    answer = await reader.read()
    await wire.close(writer)
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


@played
async def test_bytes_flow_both_ways(tmp_path: Path) -> None:
    async with world(tmp_path) as lab, lab.connected(), client(lab) as one:
        await one.send(b"EHLO app1\r\n")
        assert await one.receive(11) == b"EHLO app1\r\n"
        assert lab.asked == [f"{ISSUER}/cdn-cgi/access/certs"]


@played
async def test_a_megabyte_flows_both_ways_at_once(tmp_path: Path) -> None:
    async with world(tmp_path) as lab, lab.connected(), client(lab) as one:
        _, got = await asyncio.gather(one.send(MEGABYTE), one.receive(len(MEGABYTE)))
        assert got == MEGABYTE
        assert bytes(lab.service.received[0]) == MEGABYTE


@played
async def test_what_was_sent_before_the_client_closed_arrives(tmp_path: Path) -> None:
    async with world(tmp_path) as lab, lab.connected():
        lab.service.greeting = b"220 ready\r\n"
        async with client(lab) as one:
            assert await one.receive(11) == b"220 ready\r\n"
            await asyncio.gather(one.send(MEGABYTE), one.receive(len(MEGABYTE)))
            await one.send(b"QUIT\r\n")
            one.writer.write(frames.frame(frames.CLOSE, b"\x03\xe8"))
        await until(lab.service.ended.is_set)
        assert bytes(lab.service.received[0]) == MEGABYTE + b"QUIT\r\n"


@played
async def test_a_service_that_hangs_up_is_heard_out_first(tmp_path: Path) -> None:
    async with world(tmp_path) as lab, lab.connected():
        lab.service.greeting, lab.service.echo = b"421 " + MEGABYTE, False
        async with client(lab) as one:
            assert await one.receive(1 << 30) == b"421 " + MEGABYTE


@pytest.mark.parametrize(
    ("token", "expected"), [(("", ""), 401), (("app1.access", "old"), 403), (("nobody", "good"), 403)]
)
def test_nobody_passes_without_a_good_token(tmp_path: Path, token: tuple[str, str], expected: int) -> None:
    async def play() -> None:
        async with world(tmp_path) as lab, lab.connected() as connector:
            assert await status(lab, token) == expected
            assert connector.counts.requests == 0 and not lab.service.received

    asyncio.run(asyncio.wait_for(play(), 30))


@pytest.mark.parametrize(
    ("changes", "expected", "word"),
    [
        ({"aud": ["c" * 64]}, 403, "Invalid token in jwt"),
        ({"exp": 1}, 502, "token is expired"),
        ({"iss": "https://other.cloudflareaccess.com"}, 502, "different provider"),
        ({"aud": "a" * 64}, 101, ""),
    ],
)
def test_the_connector_judges_the_assertion_itself(
    tmp_path: Path, changes: dict[str, Any], expected: int, word: str
) -> None:
    async def play() -> None:
        async with world(tmp_path) as lab, lab.connected():
            lab.account.assertion = lab.signer.assertion(**changes)
            assert await status(lab) == expected
            assert word in lab.said.getvalue()

    asyncio.run(asyncio.wait_for(play(), 30))


@played
async def test_an_assertion_of_another_key_is_no_good(tmp_path: Path) -> None:
    async with world(tmp_path) as lab, lab.connected():
        lab.account.assertion = Signer().assertion()
        assert await status(lab) == 502
        assert "failed to verify signature" in lab.said.getvalue()


@played
async def test_a_new_key_of_the_team_is_asked_for(tmp_path: Path) -> None:
    async with world(tmp_path) as lab, lab.connected():
        assert await status(lab) == 101
        lab.signer = Signer("k2")
        lab.account.assertion = lab.signer.assertion()
        await until(lambda: len(lab.asked) == 1)
        await asyncio.sleep(1.05)
        assert await status(lab) == 101
        assert len(lab.asked) == 2


@played
async def test_a_name_without_access_is_refused_by_a_connector_that_requires_it(tmp_path: Path) -> None:
    async with world(tmp_path) as lab, lab.connected():
        lab.account.protected = False
        assert await status(lab, ("", "")) == 403
        assert "no access token in request" in lab.said.getvalue()
        await lab.change(ingress(lab.service.port, required=False))
        assert await status(lab, ("", "")) == 101


@played
async def test_a_new_configuration_is_in_force_without_a_new_connection(tmp_path: Path) -> None:
    async with world(tmp_path) as lab, lab.connected() as connector:
        assert await status(lab) == 101
        await lab.change({"ingress": [{"service": "http_status:404"}]})
        assert await status(lab) == 404
        assert connector.counts.version == 2
        # One that is no good leaves the last one in force.
        lab.account.config, lab.account.version = {"ingress": [{"hostname": "a.b", "service": "tcp://c:1"}]}, 3
        await until(lambda: "Failed to update ingress" in lab.said.getvalue())
        assert await status(lab) == 404


@played
async def test_local_rules_hold_whatever_the_edge_says(tmp_path: Path) -> None:
    async with world(tmp_path) as lab:
        rules = parse({"ingress": [{"service": "http_status:418"}]})
        async with lab.connected(lab.connector(rules=rules)):
            assert await status(lab) == 418


@played
async def test_a_service_that_is_not_there(tmp_path: Path) -> None:
    async with world(tmp_path) as lab, lab.connected():
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            await lab.change(ingress(unused.getsockname()[1]))
            assert await status(lab) == 502


@played
async def test_without_a_connector_there_is_an_error_of_its_own(tmp_path: Path) -> None:
    async with world(tmp_path) as lab:
        assert await status(lab, ("", "")) == 401
        assert await status(lab) == 530
        async with lab.connected():
            assert await status(lab) == 101
        await until(lambda: not lab.account.connections)
        assert await status(lab) == 530


@played
async def test_a_wrong_secret_is_refused_and_said(tmp_path: Path) -> None:
    async with world(tmp_path) as lab:
        wrong = Credentials(CREDENTIALS.account, CREDENTIALS.tunnel, base64.b64encode(b"x" * 32).decode())
        connector = lab.connector(wrong)
        task = asyncio.create_task(connector.run())
        await until(lambda: "Unauthorized: Invalid tunnel secret" in lab.said.getvalue())
        assert not connector.counts.active and not lab.account.connections
        connector.leave()
        await task


@played
async def test_a_deleted_tunnel_is_cut_off(tmp_path: Path) -> None:
    async with world(tmp_path) as lab, lab.connected() as connector:
        lab.account.exists = False
        await until(lambda: "Lost connection with the edge" in lab.said.getvalue())
        lab.account.exists = True
        await until(lambda: len(connector.counts.active) == 2)


@played
async def test_the_connector_comes_back_to_an_edge_that_was_gone(tmp_path: Path) -> None:
    async with world(tmp_path) as lab:
        connector = lab.connector()
        task = asyncio.create_task(connector.run())
        await until(lambda: len(connector.counts.active) == 2)
        # What a crash does: every connection ends, and soon nothing listens any more.
        lab.account.connections.clear()
        await until(lambda: "Lost connection" in lab.said.getvalue())
    said = lab.said.getvalue
    await until(lambda: "Unable to establish connection" in said() and "Retrying connection in up to 0.2s" in said())
    async with world(tmp_path, ports=(lab.port, lab.connector_port), signer=lab.signer) as again:
        await until(lambda: len(connector.counts.active) == 2, 15)
        await again.change(ingress(again.service.port))
        assert await status(again) == 101
        connector.leave()
        await asyncio.wait_for(task, 10)


@played
async def test_a_leaving_connector_lets_streams_end(tmp_path: Path) -> None:
    async with world(tmp_path) as lab:
        connector = lab.connector()
        task = asyncio.create_task(connector.run())
        await until(lambda: len(connector.counts.active) == 2)
        async with client(lab) as one:
            await one.send(b"one")
            assert await one.receive(3) == b"one"
            connector.leave()
            await asyncio.sleep(0.2)
            await one.send(b"two")
            assert await one.receive(3) == b"two"
            assert not task.done()
        await asyncio.wait_for(task, 10)


@played
async def test_a_browser_gets_no_service(tmp_path: Path) -> None:
    async with world(tmp_path) as lab, lab.connected():
        good = f"Cf-Access-Client-Id: {TOKEN[0]}\r\nCf-Access-Client-Secret: {TOKEN[1]}\r\n"
        assert (await get(lab))[0] == 401
        assert (await get(lab, good))[0] == 404
        assert await get(lab, hostname="other.example.com") == (530, b"error code: 1001")
        assert await get(lab, hostname="t.cloudflareaccess.com", path="/cdn-cgi/access/certs") == (200, b'{"keys": []}')
        assert (await get(lab, hostname="t.cloudflareaccess.com"))[0] == 404
        assert (await get(lab, headers="bad header\r\n"))[0] == 400


@played
async def test_pings_are_answered_and_the_silent_are_dropped(tmp_path: Path) -> None:
    async with world(tmp_path) as lab, lab.connected():
        async with client(lab) as one:
            one.writer.write(frames.frame(frames.PING, b"hello"))
            while (found := await frames.read_frame(one.reader))[0] != frames.PONG:
                pass
            assert found == (frames.PONG, b"hello")
        async with client(lab) as silent:
            began = time.monotonic()
            assert (await frames.read_frame(silent.reader))[0] == frames.PING
            while (await frames.read_frame(silent.reader))[0] != frames.CLOSE:
                pass
            assert 0.7 < time.monotonic() - began < 5
        async with client(lab) as answering:
            for _ in range(6):
                opcode, payload = await frames.read_frame(answering.reader)
                assert opcode == frames.PING
                answering.writer.write(frames.frame(frames.PONG, payload))
            await answering.send(b"still here")
            assert await answering.receive(10) == b"still here"


@played
async def test_a_slow_service_holds_the_client_up_instead_of_filling_memory(tmp_path: Path) -> None:
    stopped = asyncio.Event()

    async def sleepy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await stopped.wait()
        writer.close()

    async with world(tmp_path, replace(LIMITS, ping=20, idle=60)) as lab, lab.connected():
        server = await asyncio.start_server(sleepy, "127.0.0.1", 0, limit=4096)
        await lab.change(ingress(server.sockets[0].getsockname()[1]))
        async with client(lab) as one:
            sent = 0

            async def flood() -> None:
                nonlocal sent
                while True:
                    await one.send(MEGABYTE[:262144])
                    sent += 262144

            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(flood(), 3)
            # The kernels' buffers of four hops take some megabytes; a leak would have taken hundreds by now.
            assert 0 < sent < 64 << 20
            stopped.set()
        server.close()


@played
async def test_too_many_clients_are_told_so(tmp_path: Path) -> None:
    async with world(tmp_path, replace(LIMITS, clients=1)) as lab, lab.connected(), client(lab):
        assert await status(lab) == 503


async def _run_client(program: list[str], lab: World, token: tuple[str, str]) -> tuple[Any, int]:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = int(found.getsockname()[1])
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(BUILT.parents[3]),
        "SSL_CERT_FILE": str(lab.pem),
        "HOME": str(lab.pem.parent),
        "TUNNEL_SERVICE_TOKEN_ID": token[0],
        "TUNNEL_SERVICE_TOKEN_SECRET": token[1],
    }
    words = ["access", "tcp", "--hostname", HOSTNAME, "--url", f"127.0.0.1:{port}", "--connect-to"]
    process = await asyncio.create_subprocess_exec(
        *program, *words, f"127.0.0.1:{lab.port}", env=environment, stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr
    said = b""
    while b"Start Websocket listener" not in said:
        line = await process.stderr.readline()
        assert line, said
        said += line

    async def listening() -> None:
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
                continue
            writer.close()
            return

    await listening()
    return process, port


CLIENTS = [
    pytest.param(["python3", "-m", "lab.cloudflared.standin"], id="stand-in"),
    pytest.param([REAL], id="real", marks=pytest.mark.skipif(not REAL, reason="cloudflared is not built here")),
]


@pytest.mark.parametrize("program", CLIENTS)
def test_the_client_program_carries_a_megabyte_and_is_refused_without_a_token(
    tmp_path: Path, program: list[str]
) -> None:
    async def play() -> None:
        async with world(tmp_path) as lab, lab.connected():
            process, port = await _run_client([shutil.which(program[0]) or program[0], *program[1:]], lab, TOKEN)
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(MEGABYTE)
                assert await reader.readexactly(len(MEGABYTE)) == MEGABYTE
                # Half-closed: the client program ends both directions then, and the service has got everything.
                writer.write(b"QUIT\r\n")
                await writer.drain()
                assert await reader.readexactly(6) == b"QUIT\r\n"
                writer.write_eof()
                assert await reader.read() == b""
                await until(lambda: any(bytes(r) == MEGABYTE + b"QUIT\r\n" for r in lab.service.received))
                await until(lab.service.ended.is_set)
                await wire.close(writer)
            finally:
                process.terminate()
                await process.communicate()
            lab.service.received.clear()
            process, port = await _run_client(
                [shutil.which(program[0]) or program[0], *program[1:]], lab, ("app1.access", "revoked")
            )
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                assert await reader.read() == b""
                await wire.close(writer)
            finally:
                process.terminate()
                _, said = await process.communicate()
            assert b"websocket: bad handshake" in said
            assert not lab.service.received

    asyncio.run(asyncio.wait_for(play(), 30))
