# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The preflight's play over the zones, run by ansible-playbook against the API twin under the API's own name."""

from __future__ import annotations

import copy
import select
import socket
import socketserver
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.twins.cloudflare import Twin, TwinConfig
from lab.twins.cloudflare.server import Running, tls_context
from tests.unit.lab.twins.test_twin_server import certificate
from tests.unit.plugins.playbook import HOSTS_YML, OPERATOR_YML, ansible_playbook, output, write_inventory

TOKEN, READER = "t" * 40, "r" * 40
PLAY = ("--limit", "localhost")


class Tunnel(socketserver.BaseRequestHandler):
    """A proxy that leads every CONNECT to the twin (RFC 9110 §9.3.6)."""

    def handle(self) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self.request.recv(4096)
        assert head.startswith(b"CONNECT api.cloudflare.com:443 ")
        with socket.create_connection(("127.0.0.1", self.server.twin_port)) as twin:  # type: ignore[attr-defined]
            self.request.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            ways = {self.request: twin, twin: self.request}
            while True:
                for source in select.select(list(ways), [], [])[0]:
                    data = source.recv(65536)
                    if not data:
                        return
                    ways[source].sendall(data)


@pytest.fixture(name="api")
def fixture_api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Twin]:
    tokens = [{"token": TOKEN}, {"token": READER, "scopes": ["Zone:Read"]}]
    twin = Twin(TwinConfig.from_data({"zones": [{"name": "example.com"}], "tokens": tokens}))
    files = certificate(tmp_path)
    with (
        Running(twin, ["127.0.0.1:0"], tls_context(*files)) as running,
        socketserver.ThreadingTCPServer(("127.0.0.1", 0), Tunnel) as proxy,
    ):
        proxy.daemon_threads = True
        proxy.twin_port = running.servers[0].port  # type: ignore[attr-defined]
        threading.Thread(target=proxy.serve_forever, args=(0.05,), daemon=True).start()
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy.server_address[1]}")
        monkeypatch.setenv("SSL_CERT_FILE", files[0])
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        yield twin
        proxy.shutdown()


def preflight(root: Path, token: str, dns: Any = None, *more: str) -> tuple[int, str]:
    operator = copy.deepcopy(OPERATOR_YML)
    if dns is not None:
        operator["mail_operator"]["dns"] = dns
    vault = {"vault_cloudflare": token, "vault_key": "c2VjcmV0"}
    # Limited to the controller, which has to be in the inventory for that: the hosts of the plan do not exist.
    hosts: dict[str, Any] = copy.deepcopy(HOSTS_YML)
    hosts["all"]["hosts"] = {"localhost": {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}}
    inventory = write_inventory(root, operator=operator, vault=vault, hosts=hosts)
    done = ansible_playbook(inventory, "playbooks/preflight.yml", *PLAY, *more)
    shown = output(done)
    assert token not in shown
    return done.returncode, shown


def test_a_good_token_costs_two_requests_and_one_per_zone(api: Twin, tmp_path: Path) -> None:
    code, shown = preflight(tmp_path, TOKEN)
    assert code == 0, shown
    paths = [(entry.method, entry.path.rsplit("/", 1)[1]) for entry in api.log.entries]
    assert sorted(paths[:3]) == [("GET", "usage"), ("GET", "verify"), ("GET", "zones")]
    assert paths[3:] == [("GET", "zones"), ("GET", "dns_records")]


def test_a_missing_permission_is_told_by_its_name(api: Twin, tmp_path: Path) -> None:
    code, shown = preflight(tmp_path, READER)
    assert code != 0 and "MS-CF-025" in shown and "add the permission Zone - DNS - Edit" in shown
    assert api.log.count("GET", "/dns_records") == api.log.count("GET", "/usage") == 1


def test_what_is_to_become_of_an_old_providers_records_is_said_in_the_inventory(api: Twin, tmp_path: Path) -> None:
    api.zone("example.com").create({"type": "A", "name": "mail.example.com", "content": "192.0.2.9", "ttl": 300})
    code, shown = preflight(tmp_path, TOKEN)
    assert code != 0 and "MS-DNS-034" in shown and "dns_foreign" in shown
    code, shown = preflight(tmp_path, TOKEN, None, "-e", '{"dns_foreign": {"example.com": {"other": "replace"}}}')
    assert code == 0, shown


def test_without_a_zone_at_cloudflare_nothing_is_asked_there(api: Twin, tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
        key = {"key_name": "mailstead", "secret": "{{ vault_key }}"}
        dns = {"provider": "rfc2136", "server": "127.0.0.1", "port": port, **key}
        code, shown = preflight(tmp_path, TOKEN, dns)
    # The name server is asked instead, and nobody serves there.
    assert code != 0 and "MS-DNS-" in shown and f"port {port}" in shown
    assert api.log.entries == []
