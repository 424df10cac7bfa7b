# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The HTTPS front on loopback: TLS, keep-alive, labels, dropped connections, limits."""

from __future__ import annotations

import datetime
import http.client
import ipaddress
import json
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from lab.twins.cloudflare import Twin
from lab.twins.cloudflare.server import Running, parse_listen, tls_context
from tests.unit.lab.twins.conftest import BASE, TOKEN

BEARER = {"Authorization": f"Bearer {TOKEN}"}


def certificate(directory: Path) -> tuple[str, str]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "api.cloudflare.com")])
    now = datetime.datetime.now(datetime.timezone.utc)
    names = [x509.DNSName("api.cloudflare.com"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    )
    signed = builder.sign(key, hashes.SHA256())
    cert_path, key_path = directory / "twin.crt", directory / "twin.key"
    cert_path.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    key_path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return str(cert_path), str(key_path)


@pytest.fixture(name="files", scope="module")
def fixture_files(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    return certificate(tmp_path_factory.mktemp("pki"))


@pytest.fixture(name="running")
def fixture_running(twin: Twin, files: tuple[str, str]) -> Iterator[Running]:
    with Running(twin, ["127.0.0.1:0"], tls_context(*files)) as running:
        yield running


@pytest.fixture(name="client")
def fixture_client(running: Running, files: tuple[str, str]) -> Iterator[http.client.HTTPSConnection]:
    context = ssl.create_default_context(cafile=files[0])
    connection = http.client.HTTPSConnection("127.0.0.1", running.servers[0].port, timeout=10, context=context)
    yield connection
    connection.close()


def ask(
    client: http.client.HTTPConnection, method: str, path: str, body: Any = None
) -> tuple[http.client.HTTPResponse, Any]:
    client.request(method, path, None if body is None else json.dumps(body), BEARER)
    response = client.getresponse()
    return response, json.loads(response.read())


def test_requests_share_one_connection(client: http.client.HTTPSConnection, twin: Twin) -> None:
    response, found = ask(client, "GET", f"{BASE}/zones?name=example.com")
    assert response.status == 200 and response.version == 11
    assert response.headers["X-Mailstead-Lab"] == "cloudflare-twin"
    assert response.headers["Content-Type"] == "application/json"
    path = f"{BASE}/zones/{found['result'][0]['id']}/dns_records"
    posts = [{"type": "A", "name": f"h{i}", "content": "198.18.1.1"} for i in range(200)]
    assert ask(client, "POST", f"{path}/batch", {"posts": posts})[0].status == 200
    assert len(ask(client, "GET", f"{path}?per_page=5000")[1]["result"]) == 200
    assert ask(client, "PATCH", f"{path}/{'0' * 32}", {})[0].status == 404
    assert ask(client, "DELETE", f"{path}/{'0' * 32}")[0].status == 404
    assert ask(client, "PUT", f"{path}/{'0' * 32}", {})[0].status == 404
    assert twin.log.connections == 1 and twin.log.count() == 6


def test_dropping_after_the_write_ends_the_connection(client: http.client.HTTPSConnection, twin: Twin) -> None:
    path = f"{BASE}/zones/{twin.zone('example.com').zone.zone_id}/dns_records"
    twin.faults.drop_after_write()
    with pytest.raises((ConnectionError, http.client.RemoteDisconnected, ssl.SSLError)):
        ask(client, "POST", path, {"type": "A", "name": "a", "content": "198.18.1.1"})
    client.close()
    assert [r["name"] for r in ask(client, "GET", path)[1]["result"]] == ["a.example.com"]


def test_an_untrusting_client_and_a_silent_one_do_no_harm(running: Running, files: tuple[str, str]) -> None:
    port = running.servers[0].port
    with socket.create_connection(("127.0.0.1", port)):  # never speaks
        with pytest.raises(ssl.SSLCertVerificationError):
            stranger = http.client.HTTPSConnection("127.0.0.1", port, timeout=10)
            stranger.request("GET", "/")
        context = ssl.create_default_context(cafile=files[0])
        friend = http.client.HTTPSConnection("127.0.0.1", port, timeout=10, context=context)
        assert ask(friend, "GET", f"{BASE}/zones")[0].status == 200
        friend.close()


def test_odd_bodies(client: http.client.HTTPSConnection, twin: Twin) -> None:
    path = f"{BASE}/zones/{twin.zone('example.com').zone.zone_id}/dns_records"
    text = b'{"type": "A", "name": "a", "content": "198.18.1.1"}'
    client.request("POST", path, iter([text[:9], text[9:]]), BEARER, encode_chunked=True)
    response = client.getresponse()
    assert response.status == 200
    assert json.loads(response.read())["result"]["name"] == "a.example.com"
    client.request("POST", path, headers={**BEARER, "Content-Length": str(10**9)})
    response = client.getresponse()
    assert response.status == 413
    response.read()
    client.request("POST", path, b"not json", BEARER)
    assert client.getresponse().status == 400


def test_a_client_that_waits_for_100_gets_it(running: Running, twin: Twin, files: tuple[str, str]) -> None:
    context = ssl.create_default_context(cafile=files[0])
    raw = socket.create_connection(("127.0.0.1", running.servers[0].port), timeout=10)
    with context.wrap_socket(raw, server_hostname="127.0.0.1") as connection:
        path = f"{BASE}/zones/{twin.zone('example.com').zone.zone_id}/dns_records"
        body = b'{"type": "A", "name": "a", "content": "198.18.1.1"}'
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nExpect: 100-continue\r\n"
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode())
        assert connection.recv(1024).startswith(b"HTTP/1.1 100")
        connection.sendall(body)
        assert connection.recv(4096).startswith(b"HTTP/1.1 200")


def test_plain_http_on_ipv6(twin: Twin) -> None:
    with Running(twin, ["[::1]:0"]) as running:
        client = http.client.HTTPConnection("::1", running.servers[0].port, timeout=10)
        assert ask(client, "GET", "/__twin__/health")[0].status == 200
        client.close()


@pytest.mark.parametrize(("text", "parsed"), [("1.2.3.4:5", ("1.2.3.4", 5)), ("[::1]:443", ("::1", 443))])
def test_listen_addresses(text: str, parsed: tuple[str, int]) -> None:
    assert parse_listen(text) == parsed


@pytest.mark.parametrize("text", ["443", "host", "host:x"])
def test_bad_listen_addresses(text: str) -> None:
    with pytest.raises(ValueError, match="address:port"):
        parse_listen(text)
