"""The tunnel's authority: what is reissued when, and that both ends of a real connection verify each other."""

from __future__ import annotations

import datetime
import socket
import ssl
import stat
import threading
from pathlib import Path

import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError
from ansible_collections.mailstead.stack.plugins.plugin_utils.pki import LEAF_DAYS, RENEW_SHARE, Authority, Leaf
from cryptography import x509

NOW = datetime.datetime.now(datetime.timezone.utc)
SERVER = Leaf("server-vps1", True, ("mail.example.com",), ("198.18.1.10", "127.0.0.1"))
CLIENT = Leaf("client-home", False, ("home",))


def later(days: float) -> datetime.datetime:
    return NOW + datetime.timedelta(days=days)


def made(directory: Path, *leaves: Leaf, now: datetime.datetime = NOW, dry: bool = False) -> list[str]:
    authority = Authority(directory, now, dry=dry)
    for leaf in leaves:
        authority.pair(leaf)
    return authority.made


def files(directory: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in directory.iterdir()} if directory.exists() else {}


def test_made_once_and_private(tmp_path: Path) -> None:
    directory = tmp_path / ".mailstead/tunnel"
    assert made(directory, SERVER, CLIENT) == ["ca", "server-vps1", "client-home"]
    for path in (directory, directory.parent):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert {stat.S_IMODE(p.stat().st_mode) for p in directory.iterdir()} == {0o600}
    before = files(directory)
    assert made(directory, SERVER, CLIENT) == [] and files(directory) == before


@pytest.mark.parametrize(
    ("leaf", "days", "again"),
    [
        (SERVER, LEAF_DAYS * (1 - RENEW_SHARE) - 2, False),
        (SERVER, LEAF_DAYS * (1 - RENEW_SHARE) + 2, True),
        (SERVER, LEAF_DAYS + 30, True),
        (Leaf("server-vps1", True, ("mx.example.com",), SERVER.addresses), 0, True),
        (Leaf("server-vps1", True, SERVER.names, ("198.18.1.11",)), 0, True),
        (Leaf("server-vps1", True, SERVER.names, (*SERVER.addresses, "2001:2::1")), 0, True),
    ],
)
def test_a_leaf_is_reissued_when_it_ages_or_its_names_change(
    tmp_path: Path, leaf: Leaf, days: float, again: bool
) -> None:
    made(tmp_path, SERVER)
    before = files(tmp_path)
    assert made(tmp_path, leaf, now=later(days), dry=True) == (["server-vps1"] if again else [])
    assert files(tmp_path) == before
    assert made(tmp_path, leaf, now=later(days)) == (["server-vps1"] if again else [])
    assert (files(tmp_path)["server-vps1.crt"] != before["server-vps1.crt"]) is again
    assert files(tmp_path)["ca.crt"] == before["ca.crt"]
    assert made(tmp_path, leaf, now=later(days)) == []


def test_a_lost_authority_reissues_everything(tmp_path: Path) -> None:
    made(tmp_path, SERVER, CLIENT)
    (tmp_path / "ca.key").unlink()
    assert made(tmp_path, SERVER, CLIENT) == ["ca", "server-vps1", "client-home"]


@pytest.mark.parametrize("lost", ["server-vps1.key", "server-vps1.crt"])
def test_half_a_pair_is_no_pair(tmp_path: Path, lost: str) -> None:
    made(tmp_path, SERVER)
    (tmp_path / lost).unlink()
    assert made(tmp_path, SERVER) == ["server-vps1"]


def test_a_key_of_another_certificate_is_no_pair(tmp_path: Path) -> None:
    made(tmp_path, SERVER, CLIENT)
    (tmp_path / "server-vps1.key").write_bytes((tmp_path / "client-home.key").read_bytes())
    assert made(tmp_path, SERVER) == ["server-vps1"]


def test_a_dry_run_on_nothing_predicts_and_writes_nothing(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "none", NOW, dry=True)
    assert authority.pair(SERVER) == ("", "") and authority.pair(CLIENT) == ("", "") and authority.certificate() == ""
    assert authority.made == ["ca", "server-vps1", "client-home"] and not (tmp_path / "none").exists()


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    made(tmp_path, SERVER)
    (tmp_path / "server-vps1.key").chmod(0o644)
    with pytest.raises(MailsteadError) as caught:
        made(tmp_path, SERVER)
    problem = caught.value.problems[0]
    assert problem.code == "MS-STATE-004" and "0644" in problem.what and problem.fix.startswith("Run: chmod 600")


def context(directory: Path, leaf: Leaf, ca: Path | None = None) -> ssl.SSLContext:
    """One end as frp sets it up, with the strict rules of RFC 5280 on top."""
    found = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if leaf.server else ssl.PROTOCOL_TLS_CLIENT)
    found.verify_mode = ssl.CERT_REQUIRED
    found.verify_flags |= ssl.VERIFY_X509_STRICT
    found.load_verify_locations(ca or directory / "ca.crt")
    found.load_cert_chain(directory / f"{leaf.name}.crt", directory / f"{leaf.name}.key")
    return found


def shake_hands(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> tuple[str, str]:
    """(what the server says, who the client is) over a real connection; raises what either end raised first."""
    here, there = socket.socketpair()
    seen: list[str] = []
    errors: list[OSError] = []

    def serve() -> None:
        with there:
            try:
                with server.wrap_socket(there, server_side=True) as stream:
                    certificate = x509.load_der_x509_certificate(stream.getpeercert(binary_form=True) or b"")
                    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
                    seen.extend(names.get_values_for_type(x509.DNSName))
                    stream.sendall(b"welcome")
            except OSError as error:
                errors.append(error)

    for end in (here, there):
        end.settimeout(5)
    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        with here, client.wrap_socket(here, server_hostname=name) as stream:
            # In TLS 1.3 the client learns of its refusal with the first read.
            said = stream.recv(100).decode()
    finally:
        thread.join(10)
    if errors:
        raise errors[0]
    return said, seen[0]


def test_both_ends_verify_each_other(tmp_path: Path) -> None:
    made(tmp_path, SERVER, CLIENT)
    server, client = context(tmp_path, SERVER), context(tmp_path, CLIENT)
    for name in ("mail.example.com", "198.18.1.10"):
        assert shake_hands(server, client, name) == ("welcome", "home")


def test_a_wrong_name_is_refused(tmp_path: Path) -> None:
    made(tmp_path, SERVER, CLIENT)
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        shake_hands(context(tmp_path, SERVER), context(tmp_path, CLIENT), "vps2.example.com")


def test_a_client_of_another_authority_is_refused(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    made(ours, SERVER, CLIENT)
    made(theirs, SERVER, CLIENT)
    stranger = context(theirs, CLIENT, ca=ours / "ca.crt")
    with pytest.raises(ssl.SSLError):
        shake_hands(context(ours, SERVER), stranger, "mail.example.com")


def test_a_client_certificate_cannot_serve(tmp_path: Path) -> None:
    made(tmp_path, SERVER, CLIENT)
    posing = Leaf("client-home", True, ("home",))
    with pytest.raises(ssl.SSLError):
        shake_hands(context(tmp_path, posing), context(tmp_path, CLIENT), "home")


def test_the_authority_signs_no_authorities(tmp_path: Path) -> None:
    made(tmp_path, SERVER)
    certificate = x509.load_pem_x509_certificate((tmp_path / "ca.crt").read_bytes())
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert constraints.ca and constraints.path_length == 0
