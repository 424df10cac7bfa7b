"""What nobody may do on the running system, tried on it."""

from __future__ import annotations

import json
import socket
import ssl

import pytest

from lab import netns
from lab.topology import CONTROLLER
from tests.lab.test_breaks import on

pytestmark = pytest.mark.lab

EDGE = "198.18.1.10"
PUBLIC = {22, 25, 80, 443, 465, 993, 7000}


def listening(machine: str) -> set[tuple[str, int]]:
    """(address, port) of every TCP listener of a machine."""
    found = set()
    for line in on(machine, "ss", "-H", "-l", "-t", "-n").splitlines():
        address, _, port = line.split()[3].rpartition(":")
        found.add((address.strip("[]").split("%")[0], int(port)))
    return found


def test_the_edge_listens_on_the_planned_ports_only() -> None:
    everywhere = {port for address, port in listening("vps1") if not address.startswith(("127.", "::1"))}
    assert everywhere == PUBLIC


def test_the_home_offers_nothing_but_ssh_to_its_network() -> None:
    outside = {(a, p) for a, p in listening("home") if not a.startswith(("127.", "::1", "172.29.25.1"))}
    assert {p for _a, p in outside} == {22}


def test_the_tunnel_takes_nobody_without_its_certificate() -> None:
    def inside() -> bytes:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with socket.create_connection((EDGE, 7000), 10) as raw:
            # frp's own first byte of a TLS connection.
            raw.sendall(b"\x17")
            with context.wrap_socket(raw) as tls:
                return tls.recv(1)

    with pytest.raises((ssl.SSLError, ConnectionError)):
        netns.call(CONTROLLER.namespace, inside)


def test_nobody_but_the_tunnel_client_reaches_the_relay() -> None:
    script = (
        "import socket,sys\ntry: socket.create_connection(('127.0.0.1',2525),5)\nexcept OSError as e: print(e.errno)"
    )
    for user in ("nobody", "mailstead-frps", "root"):
        output = on("vps1", "setpriv", f"--reuid={user}", "--clear-groups", "python3", "-c", script)
        assert output.strip() == "111", (user, output)
    allowed = on("vps1", "setpriv", "--reuid=mailstead-relay", "--clear-groups", "python3", "-c", script)
    assert allowed.strip() == ""


def test_the_containers_are_hardened() -> None:
    server, tunnel = json.loads(on("home", "docker", "inspect", "mailstead-stalwart", "mailstead-frpc"))
    for container in (server, tunnel):
        host = container["HostConfig"]
        assert host["ReadonlyRootfs"] and host["CapDrop"] == ["ALL"]
        assert "no-new-privileges" in " ".join(host["SecurityOpt"])
        assert host["Memory"] > 0 and host["PidsLimit"] > 0
        assert not host["Privileged"]
    assert [c.removeprefix("CAP_") for c in server["HostConfig"]["CapAdd"]] == ["NET_BIND_SERVICE"]
    assert not tunnel["HostConfig"]["CapAdd"]
    assert list(server["HostConfig"]["PortBindings"]) == ["8080/tcp"]
    assert server["HostConfig"]["PortBindings"]["8080/tcp"][0]["HostIp"] == "127.0.0.1"
    assert not [e for e in server["Config"]["Env"] if e.startswith("STALWART_RECOVERY_ADMIN")]


def test_secrets_are_their_owners_alone() -> None:
    secret = r"\( -name '*.key' -o -name '*.pem' -o -name token -o -name api-key -o -name admin-password -o -name frpc.json \)"
    for machine in ("home", "vps1"):
        found = on(machine, "sh", "-c", f"find /etc/mailstead -type f {secret} -perm /007")
        assert found == ""
        assert on(machine, "sh", "-c", f"find /etc/mailstead -type f {secret}") != ""


def test_no_secret_is_in_the_journal_or_in_a_command_line() -> None:
    token = on("vps1", "cat", "/etc/mailstead/frps/token").strip()
    key = on("home", "cat", "/etc/mailstead/stalwart/api-key").strip()
    for machine in ("home", "vps1"):
        everything = on(
            machine, "sh", "-c", "journalctl --no-pager; cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '"
        )
        assert token not in everything and key not in everything
