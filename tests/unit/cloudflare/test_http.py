# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The HTTP transport on real sockets: keep-alive, TLS with a private authority, proxies, and words for what fails."""

from __future__ import annotations

import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.client import Client
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.provider import CloudflareProvider
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError
from ansible_collections.mailstead.stack.plugins.module_utils.common.http import (
    Answer,
    HttpTransport,
    TransportError,
    check_base_url,
    retry_after,
)
from ansible_collections.mailstead.stack.plugins.module_utils.dns.reconcile import ZoneTask, reconcile
from ansible_collections.mailstead.stack.plugins.module_utils.dns.records import Options

from lab.twins.cloudflare import Twin, TwinConfig
from lab.twins.cloudflare.server import Running, tls_context
from tests.unit.cloudflare.support import TOKEN, mail_set
from tests.unit.lab.twins.test_twin_server import certificate

ZONES = [f"zone{n}.example" for n in range(4)]


@pytest.fixture(name="twin")
def fixture_twin() -> Twin:
    return Twin(TwinConfig.from_data({"zones": [{"name": z} for z in ZONES], "tokens": [{"token": TOKEN}]}))


@pytest.fixture(autouse=True)
def fixture_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def run(base_url: str, zones: list[str]) -> list[Any]:
    client = Client(TOKEN, lambda: HttpTransport(base_url, 5.0))
    try:
        return reconcile(CloudflareProvider(client), [ZoneTask(z, tuple(mail_set(z))) for z in zones], Options())
    finally:
        client.close()


def test_one_zone_uses_one_connection(twin: Twin) -> None:
    with Running(twin, ["127.0.0.1:0"]) as server:
        run(server.urls[0] + "/client/v4", ZONES[:1])
        assert len(twin.log.entries) == 3
        assert twin.log.connections == 1


def test_many_zones_use_at_most_a_connection_per_worker(twin: Twin) -> None:
    with Running(twin, ["127.0.0.1:0"]) as server:
        run(server.urls[0] + "/client/v4", ZONES)
        assert len(twin.log.entries) == 1 + 2 * len(ZONES)
        assert twin.log.connections <= 1 + len(ZONES)


def test_a_private_authority_is_trusted_through_the_environment(
    twin: Twin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cert, key = certificate(tmp_path)
    with Running(twin, ["127.0.0.1:0"], tls_context(cert, key)) as server:
        url = server.urls[0] + "/client/v4"
        monkeypatch.delenv("SSL_CERT_FILE", raising=False)
        with pytest.raises(TransportError, match="certificate is not trusted") as caught:
            HttpTransport(url).request("GET", "/zones", {}, {}, None)
        assert not caught.value.sent
        monkeypatch.setenv("SSL_CERT_FILE", cert)
        run(url, ZONES[:1])
        assert len(twin.zone(ZONES[0]).snapshot()) == len(mail_set())


def test_a_proxy_is_used_by_connect_and_never_sees_the_token(
    twin: Twin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cert, key = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", cert)
    seen = bytearray()
    with (
        Running(twin, ["127.0.0.1:0"], tls_context(cert, key)) as server,
        socket.create_server(("127.0.0.1", 0)) as proxy,
    ):
        target = ("127.0.0.1", server.servers[0].port)
        threading.Thread(target=tunnel, args=(proxy, target, seen), daemon=True).start()
        monkeypatch.setenv("https_proxy", f"http://user:p%40ss@127.0.0.1:{proxy.getsockname()[1]}")
        run("https://api.cloudflare.com/client/v4", ZONES[:1])
    head = bytes(seen).split(b"\r\n\r\n")[0]
    assert head.startswith(b"CONNECT api.cloudflare.com:443")
    assert b"Proxy-Authorization: Basic dXNlcjpwQHNz" in head
    assert TOKEN.encode() not in seen


def tunnel(proxy: socket.socket, target: tuple[str, int], seen: bytearray) -> None:
    """Accept one CONNECT and carry the bytes both ways, keeping those of the client."""
    client, _address = proxy.accept()
    head = b""
    while b"\r\n\r\n" not in head:
        head += client.recv(4096)
    seen += head
    client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    upstream = socket.create_connection(target)

    def carry(source: socket.socket, sink: socket.socket, keep: bool) -> None:
        while data := source.recv(65536):
            if keep:
                seen.extend(data)
            sink.sendall(data)
        sink.close()

    threading.Thread(target=carry, args=(upstream, client, False), daemon=True).start()
    carry(client, upstream, True)


def test_a_proxy_that_will_not_do_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as spare:
        port = spare.getsockname()[1]
    for proxy, words in (
        (
            f"http://user:s3cret@127.0.0.1:{port}",
            rf"api\.example\.com through the proxy 127\.0\.0\.1:{port}: .*refused",
        ),
        ("http://user:s3cret@proxy.example:port", "no http://host:port"),
        ("socks5://user:s3cret@127.0.0.1:1080", "no http://host:port"),
    ):
        monkeypatch.setenv("https_proxy", proxy)
        with pytest.raises(TransportError, match=words) as caught:
            HttpTransport("https://api.example.com").request("GET", "/zones", {}, {}, None)
        assert not caught.value.sent and "s3cret" not in str(caught.value)


def test_a_closed_port_and_a_missing_name_are_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as spare:
        port = spare.getsockname()[1]
    with pytest.raises(TransportError, match="refused") as caught:
        HttpTransport(f"http://127.0.0.1:{port}").request("GET", "/zones", {}, {}, None)
    assert not caught.value.sent
    with pytest.raises(TransportError, match="cannot be resolved"):
        HttpTransport("https://no-such-host.invalid").request("GET", "/zones", {}, {}, None)


def test_silence_and_nonsense_may_have_reached_the_server() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        transport = HttpTransport(f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=0.3)
        with pytest.raises(TransportError, match="no answer in time") as caught:
            transport.request("POST", "/x", {}, {}, b"{}")
        assert caught.value.sent
        first, _address = listener.accept()
        first.close()

        def answer() -> None:
            peer, _address = listener.accept()
            peer.recv(65536)
            peer.sendall(b"SMTP ready\r\n\r\n")
            peer.close()

        threading.Thread(target=answer, daemon=True).start()
        with pytest.raises(TransportError) as caught:
            transport.request("POST", "/x", {}, {}, b"{}")
        assert caught.value.sent


def test_a_connection_that_the_server_ended_while_it_lay_idle_is_made_anew() -> None:
    """Between two stages minutes pass. A write on the dead connection would be one whose outcome nobody knows."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        transport = HttpTransport(f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=5)
        ended = threading.Event()

        def serve() -> None:
            for _connection in range(2):
                peer, _address = listener.accept()
                peer.recv(65536)
                peer.sendall(answer)
                peer.close()
                ended.set()

        threading.Thread(target=serve, daemon=True).start()
        assert transport.request("GET", "/x", {}, {}, None).body == b"ok"
        assert ended.wait(5)
        assert transport.request("POST", "/x", {}, {}, b"{}").body == b"ok"
        transport.close()


@pytest.mark.parametrize(
    "url",
    [
        "http://api.cloudflare.com/client/v4",
        "http://198.18.0.20/",
        "ftp://x",
        "api.cloudflare.com",
        "https://",
        "https://u:p@x/",
        "https://x/?a=b",
        "https://x:port",
        "https://x:0",
        "https://[::1",
    ],
)
def test_the_token_does_not_travel_in_clear_text(url: str) -> None:
    with pytest.raises(MailsteadError) as caught:
        check_base_url(url)
    assert caught.value.problems[0].code == "MS-CF-013"


def test_plain_http_is_for_this_machine() -> None:
    for url in ("http://127.0.0.1:8080/client/v4/", "http://[::1]:1", "http://localhost:9", "https://api.example/v4"):
        assert check_base_url(url) == url.rstrip("/")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("5", 5.0), ("0", 1.0), ("Fri, 01 Jan 2021 00:00:00 GMT", 1.0), ("", None), ("soon", None), ("\u00b2", None)],
)
def test_retry_after_in_all_its_forms(value: str, seconds: float | None) -> None:
    assert retry_after(Answer(429, {"retry-after": value})) == seconds
    assert retry_after(Answer(429)) is None


def test_a_date_to_retry_after_is_read_by_the_servers_clock() -> None:
    """Ours may be wrong by years."""
    headers = {"date": "Fri, 01 Jan 2021 00:00:00 GMT", "retry-after": "Fri, 01 Jan 2021 00:01:30 GMT"}
    assert retry_after(Answer(429, headers)) == 90
