# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The providers' image and the strict receiver's by themselves: what applications send through, and how it fails when told to.

Both run without any network, in one network namespace, with the settings that the lab would give them; the addresses of
all who take part are on its loopback interface, and so is a name server with the lab's names. The product's own try of a
smarthost is made here against a real server. Needs root, Docker and the two images (``python -m lab up --with smarthost``
makes them).
"""

from __future__ import annotations

import contextlib
import email.message
import imaplib
import itertools
import json
import os
import smtplib
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import dkim
import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.smarthost.model import Found, Smarthost
from ansible_collections.mailstead.stack.plugins.module_utils.smarthost.probe import Attempt

from lab import netns, paths, pki, render, secrets
from lab.smarthost import config
from lab.topology import RESOLVER, SMARTHOSTS, host
from tests.lab.dns_world import World

pytestmark = pytest.mark.lab

T = TypeVar("T")
NAMESPACE = "mailstead-smarthost-test"
MACHINES = ("receiver", "smarthost")
DOMAIN, SELECTOR, SENDER = "example.com", "own1", "noreply@example.com"
#: Nobody set this one up with a provider.
STRANGE = "noreply@ci.example.com"
TICKET = itertools.count(1)


def _try(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, capture_output=True, text=True, check=False)


def _run(*argv: str) -> str:
    done = _try(*argv)
    assert done.returncode == 0, f"{' '.join(argv)}: {done.stdout}{done.stderr}"
    return done.stdout.strip()


def _inside(function: Callable[[], T]) -> T:
    return netns.call(NAMESPACE, function)


@dataclass(frozen=True)
class Stage:
    """container: of the providers. trust: the lab's static authority. key: what the domain signs with (PEM)."""

    container: str
    providers: dict[str, config.Provider]
    trust: ssl.SSLContext
    key: bytes
    password: str

    def command(self, *argv: str) -> Any:
        return json.loads(_run("docker", "exec", self.container, "lab-smarthost", *argv))

    def wish(self, name: str, **more: Any) -> Smarthost:
        p = self.providers[name]
        port = p.ports[0]
        username, password = (p.username, p.password) if p.username else ("somebody", "wrong")
        return replace(Smarthost(name, p.host, port.number, port.tls, username, password, (SENDER,)), **more)

    def tried(self, *wanted: Smarthost, deadline: float = 20.0) -> list[Found]:
        """By the product. This machine's resolver knows none of these names, so it is told the addresses."""
        by_host = {p.host: p.addresses for p in self.providers.values()}

        def attempts() -> list[Found]:
            return [Attempt(w, deadline, "app.example.com", lambda name, _: by_host[name]).run() for w in wanted]

        return _inside(attempts)


def _names(facts: render.World, published: str) -> World:
    """The lab's names, and a domain that is set up with both providers."""
    sets: dict[tuple[str, str], list[str]] = {}
    for record in (r for zone in facts.zones for r in zone.records):
        sets.setdefault((record.name, record.type), []).append(record.data)
    world = World()
    for (name, kind), data in sets.items():
        if kind == "TXT":
            world.txt(name, data[0])
        else:
            world.add(name, kind, *data)
    world.add(DOMAIN, "MX", "10 mx.strict.example.org.")
    world.txt(DOMAIN, "v=spf1 -all")
    world.txt(f"_dmarc.{DOMAIN}", "v=DMARC1; p=reject")
    world.txt(f"{SELECTOR}._domainkey.{DOMAIN}", published)
    world.add(f"cf-bounce.{DOMAIN}", "MX", "10 route1.mx.cloudflare.net.")
    world.txt(f"cf-bounce.{DOMAIN}", "v=spf1 include:_spf.mx.cloudflare.net ~all")
    # This server answers an alias by what it leads to only where somebody says so.
    world.add(f"em123456.{DOMAIN}", "CNAME", "return.smtp2go.net.")
    world.add(f"em123456.{DOMAIN}", "MX", *sets["return.smtp2go.net", "MX"])
    world.txt(f"em123456.{DOMAIN}", sets["return.smtp2go.net", "TXT"][0])
    return world


def _start(machine: str, facts: render.World, directory: Path, *more: str) -> str:
    described = host(machine)
    for name, file in render.files(described, facts).items():
        if name.startswith("/lab/"):
            target = directory / machine / name.removeprefix("/lab/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.content)
    lab = directory / machine
    return _run(
        "docker", "run", "-d", "--label", "org.mailstead.lab.test=1", *more,
        "-v", f"{lab}/config.json:/lab/config.json:ro", "-v", f"{lab}/pki:/lab/pki:ro",
        "-v", f"{directory}/resolv.conf:/etc/resolv.conf:ro",
        *(w for b in described.binds for w in ("-v", f"{paths.ROOT / b.source}:{b.target}:ro")),
        f"mailstead-lab/{described.image}:latest", *described.command,
    )  # fmt: skip


def _await(containers: dict[str, str]) -> None:
    pause = threading.Event()
    for machine, container in containers.items():
        for _ in range(150):
            done = _try("docker", "exec", container, "lab-health")
            if done.returncode == 0:
                break
            pause.wait(0.2)
        else:
            log = _try("docker", "logs", container)
            pytest.fail(f"{machine}: {done.stdout}{done.stderr}\n{log.stdout[-3000:]}{log.stderr[-3000:]}")


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    if os.geteuid() or any(
        _try("docker", "image", "inspect", f"mailstead-lab/{m}:latest").returncode for m in MACHINES
    ):
        pytest.skip("needs root and the images receiver and smarthost")
    directory = tmp_path_factory.mktemp("smarthost")
    patch = pytest.MonkeyPatch()
    for name in ("PKI", "SSH"):
        patch.setattr(paths, name, directory / name.lower())
    for name in ("SECRETS", "DNS_KEYS"):
        patch.setattr(paths, name, directory / f"{name.lower()}.json")
    (directory / "resolv.conf").write_text(f"nameserver {RESOLVER}\n")
    containers: dict[str, str] = {}
    try:
        kept = secrets.load()
        facts = render.world(kept)
        key, published = pki.dkim_key("application")
        containers["receiver"] = _start(
            "receiver", facts, directory, "--network", "none",
            "--sysctl", "net.ipv4.ip_nonlocal_bind=1", "--sysctl", "net.ipv6.ip_nonlocal_bind=1",
            "--sysctl", "net.ipv6.conf.all.disable_ipv6=0", "--sysctl", "net.ipv4.ip_unprivileged_port_start=0",
        )  # fmt: skip
        _run(
            "ip",
            "netns",
            "attach",
            NAMESPACE,
            _run("docker", "inspect", "-f", "{{.State.Pid}}", containers["receiver"]),
        )
        lasts = (10, *(int(a.rsplit(".", 1)[1]) for m in MACHINES for a in _addresses(m)))
        for address in (f"{a}{n}" for n in lasts for a in ("198.18.0.", "2001:2:0:1::")):
            _run("ip", "-n", NAMESPACE, "addr", "add", f"{address}/{128 if ':' in address else 32}", "dev", "lo")
        listener = _inside(lambda: _names(facts, published).serve(RESOLVER))
        containers["smarthost"] = _start(
            "smarthost", facts, directory, "--network", f"container:{containers['receiver']}"
        )
        _await(containers)
        patch.setenv("SSL_CERT_FILE", str(paths.PKI / "ca.crt"))
        providers = {p.name: p for p in config.load(directory / "smarthost/config.json")}
        trust = ssl.create_default_context(cafile=str(paths.PKI / "ca.crt"))
        yield Stage(containers["smarthost"], providers, trust, key, kept.canary_password)
        listener.close()
    finally:
        patch.undo()
        for machine, container in reversed(containers.items()):
            log = _try("docker", "logs", container)
            (directory / f"{machine}.log").write_text(log.stdout + log.stderr)
            _try("docker", "rm", "-f", container)
        _try("ip", "netns", "del", NAMESPACE)


def _addresses(machine: str) -> list[str]:
    link = host(machine).links[0]
    return [link.ipv4, *(a for a in link.extra if ":" not in a)]


@pytest.fixture(autouse=True)
def fixture_reset(stage: Stage) -> Iterator[None]:
    yield
    _run("docker", "exec", stage.container, "lab-smarthost", "reset")


@dataclass(frozen=True)
class Sent:
    code: int
    text: str
    message_id: str


def send(stage: Stage, name: str, sender: str = SENDER, recipient: str = render.CANARY, port: int = 465) -> Sent:
    """A message signed by the domain, handed in as an application's mail server does."""
    provider = stage.providers[name]
    ident = f"m{next(TICKET)}@{DOMAIN}"
    data = (
        f"From: Billing <{sender}>\r\nTo: {recipient}\r\nSubject: {ident}\r\nMessage-ID: <{ident}>\r\n"
        "Date: Sat, 21 Nov 2026 12:00:00 +0000\r\n\r\nGrüße, " + "x" * 1200 + "\r\n.\r\n"
    ).encode()
    signed = (
        dkim.sign(data, SELECTOR.encode(), DOMAIN.encode(), stage.key, include_headers=[b"from", b"subject"]) + data
    )

    def converse() -> Sent:
        client: smtplib.SMTP
        if port == 465:
            client = smtplib.SMTP_SSL(timeout=30, context=stage.trust, local_hostname="app.example.com")
        else:
            client = smtplib.SMTP(timeout=30, local_hostname="app.example.com")
        with contextlib.closing(client):
            client._host = provider.host  # type: ignore[attr-defined]
            client.connect(provider.ipv4, port)
            if port != 465:
                client.starttls(context=stage.trust)
            client.ehlo()
            client.login(provider.username, provider.password)
            for code, text in (client.mail(sender), client.rcpt(recipient)):
                if code >= 300:
                    return Sent(code, text.decode(), f"<{ident}>")
            code, text = client.data(signed)
            return Sent(code, text.decode(), f"<{ident}>")

    return _inside(converse)


def arrived(stage: Stage, sent: Sent) -> email.message.Message:
    """The message in the strict receiver's mailbox."""

    def look() -> bytes | None:
        with imaplib.IMAP4_SSL("198.18.0.30", ssl_context=_lenient()) as client:
            client.login(render.CANARY, stage.password)
            client.select("INBOX", readonly=True)
            _, found = client.search(None, "HEADER", "Message-ID", sent.message_id)
            if not found[0]:
                return None
            _, parts = client.fetch(found[0].split()[0], "(RFC822)")
            assert isinstance(parts[0], tuple)
            return parts[0][1]

    pause = threading.Event()
    for _ in range(100):
        raw = _inside(look)
        if raw:
            assert dkim.verify(raw, dnsfunc=lambda name, timeout=5: _key_text(stage)), (
                "the signature was broken on the way"
            )
            return email.message_from_bytes(raw)
        pause.wait(0.2)
    pytest.fail(f"{sent.message_id} did not arrive: {_run('docker', 'exec', stage.container, 'lab-smarthost', 'log')}")


def _lenient() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _key_text(stage: Stage) -> bytes:
    return pki.dkim_key("application")[1].encode()


@pytest.mark.parametrize(
    ("name", "port", "returned"),
    [
        ("cloudflare", 465, "bounces+noreply@cf-bounce.example.com"),
        ("smtp2go", 465, "bounces+noreply@em123456.example.com"),
        ("smtp2go", 587, "bounces+noreply@em123456.example.com"),
        ("smtp2go", 2525, "bounces+noreply@em123456.example.com"),
    ],
)
def test_what_is_handed_in_passes_at_the_strict_receiver(stage: Stage, name: str, port: int, returned: str) -> None:
    sent = send(stage, name, port=port)
    assert sent.code == 250, sent
    message = arrived(stage, sent)
    results = " ".join(message.get_all("Authentication-Results", []))
    assert "dkim=pass" in results
    assert "dmarc=pass" in results
    assert "spf=pass" in results.lower()
    assert message["Return-Path"] == f"<{returned}>"
    assert SMARTHOSTS[name][1] in message.get_all("Received", [])[0]
    assert stage.command("accepted", name)[sent.message_id] == 1
    assert stage.command("accepted", "gmail") == {}


def test_the_product_finds_what_the_providers_are(stage: Stage) -> None:
    cloudflare, smtp2go, gmail = stage.tried(
        stage.wish("cloudflare", max_size=10485760), stage.wish("smtp2go"), stage.wish("gmail", hint="an app password")
    )
    assert (cloudflare.authenticated, cloudflare.mechanism, cloudflare.size) == (True, "PLAIN", 5242880)
    assert [p.code for p in cloudflare.problems] == ["MS-SMH-011"]
    assert [(s.address, s.allowed) for s in cloudflare.senders] == [(SENDER, True)]
    assert (smtp2go.usable, smtp2go.size) == (True, 52428800)
    assert [p.code for p in gmail.problems] == ["MS-SMH-008"]
    assert "an app password" in gmail.problems[0].fix
    # A customer of one is nobody at the other.
    other = stage.providers["smtp2go"]
    (foreign,) = stage.tried(stage.wish("cloudflare", username=other.username, password=other.password))
    assert [p.code for p in foreign.problems] == ["MS-SMH-008"]
    assert all(stage.command("accepted", name) == {} for name in stage.providers), "a try must not send"


def test_a_domain_that_was_not_set_up_is_refused_at_the_sender(stage: Stage) -> None:
    for name in ("cloudflare", "smtp2go"):
        (found,) = stage.tried(stage.wish(name, senders=(SENDER, STRANGE)))
        assert [p.code for p in found.problems] == ["MS-SMH-010"]
        assert [s.code for s in found.senders] == [250, 550]


@pytest.mark.parametrize(
    ("mode", "code"),
    [("down", "MS-SMH-002"), ("auth", "MS-SMH-008"), ("badcert", "MS-SMH-003"), ("quota", "MS-SMH-009")],
)
@pytest.mark.parametrize("name", ["cloudflare", "smtp2go"])
def test_each_failure_is_met_at_once_and_gone_at_once(stage: Stage, name: str, mode: str, code: str) -> None:
    assert stage.command(name, mode)[name]["mode"] == mode
    for p in stage.providers[name].ports:
        (found,) = stage.tried(stage.wish(name, port=p.number, tls=p.tls))
        assert [p.code for p in found.problems] == [code], found.problems
    assert _try("docker", "exec", stage.container, "lab-health").returncode == 0
    other = "smtp2go" if name == "cloudflare" else "cloudflare"
    assert stage.tried(stage.wish(other))[0].usable, "the other one has nothing to do with it"
    stage.command(name, "ok")
    assert stage.tried(stage.wish(name))[0].usable


def test_refusals_of_recipients(stage: Stage) -> None:
    stage.command("smtp2go", "tempfail")
    assert send(stage, "smtp2go").code == 451
    stage.command("smtp2go", "reject-rcpt")
    assert send(stage, "smtp2go").code == 550
    stage.command("smtp2go", "ok")
    assert send(stage, "smtp2go").code == 250


def test_a_quota_lets_some_through(stage: Stage) -> None:
    send(stage, "cloudflare")
    stage.command("cloudflare", "quota", "2")
    assert [send(stage, "cloudflare").code for _ in range(3)] == [250, 250, 452]
    assert stage.command("status")["cloudflare"]["accepted"] == 3


def test_a_slow_provider_answers_late_and_is_quick_when_told(stage: Stage) -> None:
    stage.command("cloudflare", "slow", "600")
    (late,) = stage.tried(stage.wish("cloudflare"), deadline=2.0)
    assert [p.code for p in late.problems] == ["MS-SMH-012"]
    stage.command("cloudflare", "ok")
    assert stage.tried(stage.wish("cloudflare"))[0].usable


def test_a_recipient_refused_later_is_told_in_the_journal_only(stage: Stage) -> None:
    sent = send(stage, "cloudflare", recipient="nobody@strict.example.org")
    assert sent.code == 250
    pause = threading.Event()
    for _ in range(100):
        lines = _run("docker", "exec", stage.container, "lab-smarthost", "log", "cloudflare").splitlines()
        events = [e for e in map(json.loads, lines) if e["message_id"] == sent.message_id]
        if len(events) > 1:
            break
        pause.wait(0.1)
    assert [e["event"] for e in events] == ["accepted", "bounced"]
    assert "5.1.1" in events[1]["answer"]
    # The bounce went to the provider itself, so the queue is empty again.
    for _ in range(50):
        if "empty" in _run("docker", "exec", stage.container, "postqueue", "-p"):
            break
        pause.wait(0.1)
    else:
        pytest.fail("a bounce is stuck")
