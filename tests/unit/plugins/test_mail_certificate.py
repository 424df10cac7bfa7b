"""mail_certificate: when a certificate is obtained, that its key stays, and that the mail server has it in the end."""

from __future__ import annotations

import datetime
import hashlib
import json
import ssl
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.mailstead.stack.plugins.modules import mail_certificate
from ansible_collections.mailstead.stack.plugins.modules.mail_certificate import Lineage, deployed, why
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from tests.unit.plugins import certbot
from tests.unit.plugins.modules import Answer, run_module

NAMES = ["mail.example.com", "mta-sts.example.com"]
SERVER = "https://acme-v02.api.letsencrypt.org/directory"
NOW = datetime.datetime(2026, 11, 20, tzinfo=datetime.timezone.utc)


def days(number: float) -> datetime.timedelta:
    return datetime.timedelta(days=number)


def lineage(config: Path, *, names: list[str] | None = None, server: str = SERVER, age: float = 1) -> Lineage:
    """A certificate of 90 days that is so many days old at NOW."""
    start = NOW - days(age)
    certbot.write_lineage(config, "mailstead", names or NAMES, server, start, start + days(90))
    return Lineage(config, "mailstead")


def test_no_lineage_reads_as_nothing(tmp_path: Path) -> None:
    found = Lineage(tmp_path, "mailstead")
    assert found.certificate is None and found.names() == [] and found.server() == ""
    assert why(found, NAMES, SERVER, NOW) == "there is none"


def test_a_lineage_as_certbot_writes_it(tmp_path: Path) -> None:
    found = lineage(tmp_path)
    assert found.names() == sorted(NAMES) and found.server() == SERVER
    assert found.not_after() - found.not_before() == days(90) and found.not_after().tzinfo is not None
    certificate = x509.load_pem_x509_certificate((tmp_path / "live/mailstead/fullchain.pem").read_bytes())
    der = certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    assert found.spki() == hashlib.sha256(der).hexdigest()


@pytest.mark.parametrize(
    ("given", "wanted", "directory", "reason"),
    [
        ({}, NAMES, SERVER, ""),
        ({}, NAMES[::-1], SERVER, ""),
        ({"age": 59.9}, NAMES, SERVER, ""),
        ({"age": 60.1}, NAMES, SERVER, "it ends on 2026-12-19"),
        ({"age": 200}, NAMES, SERVER, "it ends on 2026-08-02"),
        ({"names": NAMES[:1]}, NAMES, SERVER, "it lacks mta-sts.example.com"),
        ({}, NAMES[:1], SERVER, "it names mta-sts.example.com, which are no longer wanted"),
        ({}, NAMES, "https://acme.example.org/dir", f"it is from {SERVER}"),
    ],
)
def test_why(tmp_path: Path, given: dict[str, Any], wanted: list[str], directory: str, reason: str) -> None:
    assert why(lineage(tmp_path, **given), wanted, directory, NOW) == reason


@pytest.mark.parametrize(
    ("found", "wanted", "reason"),
    [
        ("standalone", "standalone", ""),
        ("dns-cloudflare", "dns-cloudflare", ""),
        ("standalone", "dns-cloudflare", "it would be renewed by standalone"),
        ("dns-rfc2136", "dns-cloudflare", "it would be renewed by dns-rfc2136"),
    ],
)
def test_a_certificate_that_would_be_renewed_another_way_is_obtained_anew(
    tmp_path: Path, found: str, wanted: str, reason: str
) -> None:
    certbot.write_lineage(tmp_path, "mailstead", NAMES, SERVER, NOW, NOW + days(90), found)
    assert why(Lineage(tmp_path, "mailstead"), NAMES, SERVER, NOW, wanted) == reason


def test_deployed_means_both_files_and_the_same_certificate(tmp_path: Path) -> None:
    found, target = lineage(tmp_path / "le"), tmp_path / "tls"
    target.mkdir()
    assert not deployed(found, target)
    (target / "fullchain.pem").write_bytes(found.certificate_path.read_bytes())
    assert not deployed(found, target)
    (target / "privkey.pem").write_text("key")
    assert deployed(found, target)
    lineage(tmp_path / "le", age=2)
    assert not deployed(Lineage(tmp_path / "le", "mailstead"), target)


class Machine:
    """A host with the stand-in on PATH and a deploy hook that copies, as the role's does."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.live, self.target, self.log = root, root / "le", root / "tls", root / "log"
        program = root / "bin/certbot"
        program.parent.mkdir()
        program.write_text(f"#!{sys.executable}\n" + Path(certbot.__file__).read_text(encoding="utf-8"))
        self.hook = root / "bin/deploy"
        self.hook.write_text(
            f'#!/bin/sh\nset -e\necho run >>{root}/hooks\ncp "$RENEWED_LINEAGE"/privkey.pem {self.target}/\n'
            f'cp "$RENEWED_LINEAGE"/fullchain.pem {self.target}/\n'
        )
        for path in (program, self.hook):
            path.chmod(0o755)
        self.target.mkdir()
        monkeypatch.setenv("PATH", f"{root}/bin:/usr/bin:/bin")
        monkeypatch.setenv("FAKE_CERTBOT_LOG", str(self.log))
        self.monkeypatch = monkeypatch

    def run(self, names: list[str] | None = None, check: bool = False, **more: Any) -> Answer:
        args = {
            "names": names or NAMES,
            "directory": SERVER,
            "email": "postmaster@example.com",
            "http_address": "127.0.0.1",
            "deploy_hook": str(self.hook),
            "target": str(self.target),
            "live": str(self.live),
            **more,
        }
        given = {name: value for name, value in args.items() if value is not None}
        return run_module(mail_certificate.main, check=check, **given)

    def calls(self) -> list[list[str]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()] if self.log.exists() else []

    def hooks(self) -> int:
        path = self.root / "hooks"
        return len(path.read_text().splitlines()) if path.exists() else 0


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


def test_the_first_run_obtains_and_the_second_leaves_alone(machine: Machine) -> None:
    first = machine.run()
    assert first.changed and first.data["reason"] == "there is none" and machine.hooks() == 1
    # What the mail server reads is a pair that a TLS library takes.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(machine.target / "fullchain.pem", machine.target / "privkey.pem")
    second = machine.run()
    assert not second.changed and second.data["reason"] == "" and len(machine.calls()) == 1 and machine.hooks() == 1
    assert second.data["spki_sha256"] == first.data["spki_sha256"]
    assert second.data["not_after"] == first.data["not_after"]


def test_a_new_name_keeps_the_key_and_so_the_tlsa_record(machine: Machine) -> None:
    first = machine.run(NAMES[:1])
    second = machine.run(NAMES)
    assert second.changed and second.data["reason"] == "it lacks mta-sts.example.com"
    assert second.data["spki_sha256"] == first.data["spki_sha256"]
    assert second.data["diff"]["before"] == "mail.example.com\n"
    assert {"--renew-with-new-domains", "--force-renewal"} <= set(machine.calls()[1]) - set(machine.calls()[0])


def test_check_mode_predicts_and_contacts_nobody(machine: Machine) -> None:
    predicted = machine.run(check=True)
    assert predicted.changed and predicted.data["reason"] == "there is none" and "spki_sha256" not in predicted.data
    assert machine.calls() == [] and list(machine.target.iterdir()) == []
    machine.run()
    assert not machine.run(check=True).changed


def test_a_run_that_died_before_the_hook_is_mended(machine: Machine) -> None:
    machine.monkeypatch.setenv("FAKE_CERTBOT_NO_HOOK", "1")
    assert machine.run().changed and machine.hooks() == 1
    (machine.target / "privkey.pem").unlink()
    predicted = machine.run(check=True)
    assert predicted.changed and machine.hooks() == 1
    again = machine.run()
    assert again.changed and again.data["reason"] == "the mail server's copy is another one" and machine.hooks() == 2
    assert len(machine.calls()) == 1 and not machine.run().changed


def test_a_refusing_authority_is_one_message(machine: Machine) -> None:
    machine.monkeypatch.setenv("FAKE_CERTBOT_FAIL", "Challenge failed for domain mail.example.com")
    answer = machine.run()
    assert answer.failed and "[MS-TLS-001] mail.example.com" in answer.message and "Fix:" in answer.message
    assert "Challenge failed" in answer.message


def test_a_failing_hook_is_one_message(machine: Machine) -> None:
    machine.monkeypatch.setenv("FAKE_CERTBOT_NO_HOOK", "1")
    machine.target.rmdir()
    answer = machine.run()
    assert answer.failed and "[MS-TLS-002]" in answer.message and str(machine.target) in answer.message


def test_a_missing_certbot_is_one_message(machine: Machine) -> None:
    (machine.root / "bin/certbot").unlink()
    machine.monkeypatch.setenv("PATH", str(machine.root / "bin"))
    answer = machine.run()
    assert answer.failed and "[MS-TLS-003]" in answer.message and "Fix:" in answer.message


DNS: dict[str, Any] = {
    "challenge": "dns-01",
    "dns_plugin": "cloudflare",
    "dns_credentials": "/etc/x.ini",
    "http_address": None,
}


def test_dns_01_asks_the_plugin_and_nobody_on_port_80(machine: Machine) -> None:
    first = machine.run(dns_propagation=7, **DNS)
    assert first.changed and machine.hooks() == 1
    words = machine.calls()[0]
    assert not {"--standalone", "--http-01-address"} & set(words)
    at = words.index("--dns-cloudflare")
    assert words[at + 1 : at + 5] == [
        "--dns-cloudflare-credentials",
        "/etc/x.ini",
        "--dns-cloudflare-propagation-seconds",
        "7",
    ]
    assert not machine.run(**DNS).changed


def test_a_change_of_the_challenge_keeps_the_key(machine: Machine) -> None:
    first = machine.run()
    second = machine.run(**DNS)
    assert second.changed and second.data["reason"] == "it would be renewed by standalone"
    assert second.data["spki_sha256"] == first.data["spki_sha256"] and not machine.run(**DNS).changed


def test_what_the_challenge_needs_is_asked_for(machine: Machine) -> None:
    assert "http_address" in machine.run(http_address=None).message
    assert "dns_credentials" in machine.run(challenge="dns-01", dns_plugin="rfc2136").message
    assert machine.calls() == []


def test_a_refused_dns_challenge_says_what_to_look_at(machine: Machine) -> None:
    machine.monkeypatch.setenv("FAKE_CERTBOT_FAIL", "Error determining zone_id: 6003 Invalid request headers")
    answer = machine.run(**DNS)
    assert "[MS-TLS-001] mail.example.com" in answer.message and "write TXT records" in answer.message
    assert "port 80" not in answer.message
