# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The strict receiver's image by itself: every refusal and every acceptance it is in the lab for.

It runs in a container without any network; the addresses of all who take part are on that container's loopback
interface, and so is a name server. Needs root, Docker and the image (``python -m lab up`` makes it), or another one
named by MAILSTEAD_RECEIVER_IMAGE.
"""

from __future__ import annotations

import base64
import datetime
import email
import email.message
import email.utils
import imaplib
import itertools
import json
import os
import re
import smtplib
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import dkim
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from lab import netns
from tests.lab.dns_world import World

pytestmark = pytest.mark.lab

T = TypeVar("T")
NAMESPACE = "mailstead-receiver-test"
RESOLVER = "198.18.0.10"
HOSTNAME, DOMAIN, CANARY, PASSWORD = "mx.strict.example.org", "strict.example.org", "canary@strict.example.org", "pw-1x"
GOOD4, GOOD6 = "198.18.0.40", "2001:2:0:1::40"
GMAIL = "you@gmail.com"
BARE4 = "198.18.0.41"
HALF4, HALF6 = "198.18.0.42", "2001:2:0:1::42"
SENDER_HOST, SENDER = "mail.stranger.example.org", "stranger.example.org"
PROVIDERS = {
    "gmail.com": ("gmail-smtp-in.l.google.com", "31", "mx.google.com ESMTP"),
    "outlook.com": ("outlook-com.olc.protection.outlook.com", "32", "Microsoft ESMTP MAIL Service"),
    "yahoo.com": ("mta5.am0.yahoodns.net", "33", "yahoo.com ESMTP ready"),
    "qq.com": ("mx1.qq.com", "34", "qq.com MX QQ Mail Server"),
    "163.com": ("163mx01.mxmail.netease.com", "38", "163.com Anti-spam GT for Coremail System"),
    # A provider that serves a domain of somebody else's.
    "example.cn": ("mxbiz1.qq.com", "35", "qq.com MX QQ Mail Server"),
}
MAILBOXES = {"gmail.com": GMAIL, "163.com": "friend@163.com", "example.cn": "you@example.cn"}
TICKET = itertools.count(1)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _certificates(directory: Path, names: list[str]) -> None:
    """A throw-away authority and a certificate for each name."""
    now = datetime.datetime.now(datetime.timezone.utc)
    authority = ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "receiver test")])

    def certificate(name: str, key: ec.EllipticCurvePrivateKey, ca: bool) -> bytes:
        subject = issuer if ca else x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])
        made = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=2))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            .sign(authority, hashes.SHA256())
        )
        return made.public_bytes(serialization.Encoding.PEM)

    (directory / "ca.crt").write_bytes(certificate("ca.example.org", authority, True))
    for name in names:
        key = ec.generate_private_key(ec.SECP256R1())
        (directory / f"{name}.key").write_bytes(_pem(key))
        (directory / f"{name}.crt").write_bytes(certificate(name, key, False))


@dataclass
class Keys:
    """One DKIM key of either kind, for every domain that signs here."""

    rsa: rsa.RSAPrivateKey = field(default_factory=lambda: rsa.generate_private_key(65537, 2048))
    ed25519: ed25519.Ed25519PrivateKey = field(default_factory=ed25519.Ed25519PrivateKey.generate)

    def records(self) -> dict[str, str]:
        spki = self.rsa.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        raw = self.ed25519.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        return {
            "r": f"v=DKIM1; k=rsa; h=sha256; p={base64.b64encode(spki).decode()}",
            "e": f"v=DKIM1; k=ed25519; h=sha256; p={base64.b64encode(raw).decode()}",
        }

    def sign(self, message: bytes, domain: str, kinds: str) -> bytes:
        """The message with a signature for each letter of kinds (r, e), all over the unsigned message."""
        signatures = b""
        for kind in kinds:
            if kind == "r":
                key, algorithm = (
                    self.rsa.private_bytes(
                        serialization.Encoding.PEM,
                        serialization.PrivateFormat.TraditionalOpenSSL,
                        serialization.NoEncryption(),
                    ),
                    b"rsa-sha256",
                )
            else:
                seed = self.ed25519.private_bytes(
                    serialization.Encoding.Raw, serialization.PrivateFormat.Raw, serialization.NoEncryption()
                )
                key, algorithm = base64.b64encode(seed), b"ed25519-sha256"
            signatures += dkim.sign(
                message,
                kind.encode(),
                domain.encode(),
                key,
                canonicalize=(b"relaxed", b"relaxed"),
                signature_algorithm=algorithm,
                include_headers=[b"from", b"to", b"subject", b"date", b"message-id"],
            )
        return signatures + message


def _world(keys: Keys) -> World:
    world = World()
    world.add(DOMAIN, "MX", f"10 {HOSTNAME}.")
    world.address(HOSTNAME, "198.18.0.30", "2001:2:0:1::30")
    for domain, (exchange, _, _) in PROVIDERS.items():
        world.add(domain, "MX", f"10 {exchange}.")
    world.address(SENDER_HOST, GOOD4, GOOD6)
    for address in (GOOD4, GOOD6):
        world.pointer(address, SENDER_HOST)
    # A name for IPv4 alone: the accident of a machine that silently prefers IPv6.
    world.address("half.example.org", HALF4, HALF6)
    world.pointer(HALF4, "half.example.org")
    for domain, spf, policy in (
        (SENDER, "v=spf1 mx -all", "reject"),
        ("elsewhere.example.net", "v=spf1 ip4:198.18.9.9 -all", "none"),
        ("signed.example.com", "v=spf1 -all", "reject"),
        ("lax.example.com", "v=spf1 -all", "none"),
        ("suspect.example.com", "v=spf1 ~all", "quarantine"),
    ):
        world.add(domain, "MX", f"10 {SENDER_HOST}.")
        world.txt(domain, spf)
        world.txt(f"_dmarc.{domain}", f"v=DMARC1; p={policy}")
        for selector, text in keys.records().items():
            world.txt(f"{selector}._domainkey.{domain}", text)
    world.txt(SENDER_HOST, "v=spf1 a -all")
    return world


@dataclass(frozen=True)
class Receiver:
    container: str
    keys: Keys
    trust: ssl.SSLContext

    def inside(self, function: Callable[[], T]) -> T:
        return netns.call(NAMESPACE, function)


def _image() -> str:
    named = os.environ.get("MAILSTEAD_RECEIVER_IMAGE", "mailstead-lab/receiver:latest")
    if os.geteuid() or _try("docker", "image", "inspect", named).returncode:
        pytest.skip(f"needs root and the image {named}")
    return named


def _try(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, capture_output=True, text=True, check=False)


def _run(*argv: str) -> str:
    done = _try(*argv)
    assert done.returncode == 0, f"{' '.join(argv)}: {done.stderr}"
    return done.stdout.strip()


@pytest.fixture(scope="module")
def receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiver]:
    image = _image()
    lab = tmp_path_factory.mktemp("receiver")
    (lab / "pki").mkdir()
    _certificates(lab / "pki", [HOSTNAME, *(exchange for exchange, _, _ in PROVIDERS.values())])
    config = {
        "hostname": HOSTNAME,
        "ipv4": "198.18.0.30",
        "ipv6": "2001:2:0:1::30",
        "resolver": {"ipv4": RESOLVER, "ipv6": "::1", "port": 53},
        "certificates": {HOSTNAME: {"cert": f"/lab/pki/{HOSTNAME}.crt", "key": f"/lab/pki/{HOSTNAME}.key"}},
        "authority": "/lab/pki/ca.crt",
        "domain": DOMAIN,
        "canary": {"address": CANARY, "password": PASSWORD},
        "providers": [
            {
                "domain": domain,
                "exchange": exchange,
                "ipv4": f"198.18.0.{last}",
                "ipv6": f"2001:2:0:1::{last}",
                "cert": f"/lab/pki/{exchange}.crt",
                "key": f"/lab/pki/{exchange}.key",
                "mailbox": MAILBOXES.get(domain, ""),
                "manners": {"gmail.com": "authenticated", "163.com": "lenient"}.get(domain, ""),
                "aliases": ["postmaster@example.cn"] if domain == "example.cn" else [],
            }
            for domain, (exchange, last, _) in PROVIDERS.items()
        ],
    }
    (lab / "config.json").write_text(json.dumps(config))
    (lab / "resolv.conf").write_text(f"nameserver {RESOLVER}\noptions edns0\n")
    container = _run(
        "docker", "run", "-d", "--label", "org.mailstead.lab.test=1", "--network", "none",
        "--sysctl", "net.ipv4.ip_nonlocal_bind=1", "--sysctl", "net.ipv6.ip_nonlocal_bind=1",
        "--sysctl", "net.ipv6.conf.all.disable_ipv6=0", "--sysctl", "net.ipv4.ip_unprivileged_port_start=0",
        "-v", f"{lab}:/lab:ro", "-v", f"{lab}/resolv.conf:/etc/resolv.conf:ro", image,
    )  # fmt: skip
    try:
        pid = _run("docker", "inspect", "-f", "{{.State.Pid}}", container)
        _try("ip", "netns", "del", NAMESPACE)
        _run("ip", "netns", "attach", NAMESPACE, pid)
        lasts = ("10", "30", *(last for _, last, _ in PROVIDERS.values()), "40", "41", "42")
        for address in (f"{a}{n}" for n in lasts for a in ("198.18.0.", "2001:2:0:1::")):
            _run("ip", "-n", NAMESPACE, "addr", "add", f"{address}/{128 if ':' in address else 32}", "dev", "lo")
        keys = Keys()
        listener = netns.call(NAMESPACE, lambda: _world(keys).serve(RESOLVER))
        trust = ssl.create_default_context(cafile=str(lab / "pki" / "ca.crt"))
        pause = threading.Event()
        for _ in range(150):
            done = _try("docker", "exec", container, "lab-health")
            if done.returncode == 0:
                break
            pause.wait(0.2)
        else:
            log = _try("docker", "logs", container)
            pytest.fail(f"not healthy: {done.stdout}{done.stderr}\n{log.stdout[-4000:]}{log.stderr[-2000:]}")
        yield Receiver(container, keys, trust)
        listener.close()
    finally:
        log = _try("docker", "logs", container)
        (lab / "log").write_text(log.stdout + log.stderr)
        _try("ip", "netns", "del", NAMESPACE)
        _try("docker", "rm", "-f", container)


@dataclass(frozen=True)
class Answer:
    code: int
    text: str
    subject: str


def message(sender: str, subject: str) -> bytes:
    return (
        f"From: Somebody <{sender}>\r\nTo: {CANARY}\r\nSubject: {subject}\r\n"
        f"Date: {email.utils.formatdate()}\r\nMessage-ID: <{subject}@test.example.org>\r\n\r\nHello.\r\n"
    ).encode()


def send(
    receiver: Receiver,
    *,
    envelope: str = f"visitor@{SENDER}",
    author: str = "",
    source: str = GOOD4,
    helo: str = SENDER_HOST,
    recipient: str = CANARY,
    server: str = "30",
    sign: str = "",
    spoil: bool = False,
) -> Answer:
    """One message over STARTTLS. Returns the first refusal, or the answer to the data."""
    author = author or envelope
    subject = f"n{next(TICKET)}"
    data = message(author, subject)
    if sign:
        data = receiver.keys.sign(data, author.rsplit("@", 1)[1], sign)
    if spoil:
        data = data.replace(b"Hello.", b"Hello!")
    target = f"2001:2:0:1::{server}" if ":" in source else f"198.18.0.{server}"

    def converse() -> Answer:
        client = smtplib.SMTP(timeout=30, local_hostname=helo, source_address=(source, 0))
        client.connect(target, 25)
        try:
            client.ehlo()
            names = {"30": HOSTNAME, **{last: exchange for exchange, last, _ in PROVIDERS.values()}}
            client._host = names[server]  # type: ignore[attr-defined]
            client.starttls(context=receiver.trust)
            client.ehlo()
            for code, text in (client.mail(envelope), client.rcpt(recipient)):
                if code >= 300:
                    return Answer(code, text.decode(), subject)
            code, text = client.data(data)
            return Answer(code, text.decode(), subject)
        except smtplib.SMTPDataError as error:
            return Answer(
                error.smtp_code,
                str(error.smtp_error, "utf-8") if isinstance(error.smtp_error, bytes) else error.smtp_error,
                subject,
            )
        finally:
            client.close()

    return receiver.inside(converse)


def fetch(receiver: Receiver, subject: str, mailbox: str = CANARY) -> email.message.Message:
    """The one message with that subject, read as its owner would."""

    def read() -> email.message.Message:
        pause = threading.Event()
        with imaplib.IMAP4_SSL("198.18.0.30", ssl_context=_for_address(receiver.trust)) as client:
            client.login(mailbox, PASSWORD)
            for _ in range(50):
                client.select("INBOX")
                _, found = client.search(None, "SUBJECT", f'"{subject}"')
                if found[0]:
                    _, parts = client.fetch(found[0].split()[-1].decode(), "(RFC822)")
                    assert isinstance(parts[0], tuple)
                    return email.message_from_bytes(parts[0][1])
                pause.wait(0.1)
        raise AssertionError(f"{subject} did not arrive")

    return receiver.inside(read)


def _for_address(trust: ssl.SSLContext) -> ssl.SSLContext:
    """imaplib checks the name it connected to, which here is an address; the chain is checked all the same."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(cadata="".join(ssl.DER_cert_to_PEM_cert(c) for c in trust.get_ca_certs(True)))
    return context


def results(delivered: email.message.Message) -> str:
    """All results of the receiver itself, in one line of single spaces."""
    own = [h for h in delivered.get_all("Authentication-Results", []) if h.split(";")[0].strip() == HOSTNAME]
    return " | ".join(" ".join(h.split()) for h in own)


@pytest.mark.parametrize(
    ("case", "code", "text"),
    [
        ({"source": BARE4}, 550, "5.7.1.*cannot find your reverse hostname"),
        ({"source": "2001:2:0:1::41"}, 550, "5.7.1.*cannot find your reverse hostname"),
        ({"source": HALF6, "helo": "half.example.org"}, 550, "5.7.1.*cannot find your reverse hostname"),
        ({"helo": "nowhere.example.org"}, 550, "5.7.1.*Helo command rejected: Host not found"),
        ({"helo": "localhost"}, 504, "5.5.2.*Helo command rejected: need fully-qualified hostname"),
        ({"envelope": "a@nowhere.example.org"}, 550, "5.1.[28].*Domain not found"),
        ({"envelope": "a@elsewhere.example.net"}, 550, "5.7.23.*SPF"),
        ({"author": "a@signed.example.com"}, 550, "5.7.1.*rejected by DMARC policy"),
        ({"author": "a@signed.example.com", "sign": "r", "spoil": True}, 550, "5.7.1.*rejected by DMARC policy"),
        ({"author": "a@signed.example.com", "sign": "e", "spoil": True}, 550, "5.7.1.*rejected by DMARC policy"),
        ({"recipient": "someone@elsewhere.example.net"}, 554, "5.7.1.*Relay access denied"),
        ({"recipient": f"nobody@{DOMAIN}"}, 550, "5.1.1.*User unknown"),
    ],
    ids=[
        "no-ptr-v4", "no-ptr-v6", "ptr-only-v4", "helo-unresolvable", "helo-not-fqdn", "sender-domain-unknown",
        "spf-fail", "dmarc-unaligned", "dmarc-broken-rsa", "dmarc-broken-ed25519", "relay", "unknown-mailbox",
    ],
)  # fmt: skip
def test_refused(receiver: Receiver, case: dict[str, str], code: int, text: str) -> None:
    answer = send(receiver, **case)  # type: ignore[arg-type]
    assert answer.code == code, answer
    assert re.search(text, answer.text, re.S), answer


@pytest.mark.parametrize("source", [GOOD4, GOOD6])
def test_all_right_is_delivered(receiver: Receiver, source: str) -> None:
    answer = send(receiver, source=source, sign="re")
    assert answer.code == 250, answer
    delivered = fetch(receiver, answer.subject)
    found = results(delivered)
    assert "spf=pass" in found
    assert found.count("dkim=pass") == 2
    assert "a=rsa-sha256" in found
    assert "a=ed25519-sha256" in found
    assert f"dmarc=pass (p=reject dis=none) header.from={SENDER}" in found
    assert f"[{source if ':' not in source else 'IPv6:' + source}]" in (delivered["Received"] or "")
    assert delivered["Return-Path"] == f"<visitor@{SENDER}>"


@pytest.mark.parametrize(("sign", "algorithm"), [("r", "rsa-sha256"), ("e", "ed25519-sha256")])
def test_one_aligned_signature_is_enough(receiver: Receiver, sign: str, algorithm: str) -> None:
    """SPF passes for another domain and does not align, so DMARC stands on the signature alone."""
    answer = send(receiver, author="a@signed.example.com", sign=sign)
    assert answer.code == 250, answer
    found = results(fetch(receiver, answer.subject))
    assert f"a={algorithm}" in found
    assert found.count("dkim=pass") == 1
    assert "dmarc=pass" in found
    assert "header.from=signed.example.com" in found


def test_policy_none_is_delivered_with_the_failure_noted(receiver: Receiver) -> None:
    answer = send(receiver, author="a@lax.example.com", sign="r", spoil=True)
    assert answer.code == 250, answer
    found = results(fetch(receiver, answer.subject))
    assert "dkim=fail" in found
    assert "dmarc=fail" in found


def test_mailbox_is_shut_to_the_wrong_password(receiver: Receiver) -> None:
    def attempt() -> None:
        with imaplib.IMAP4_SSL("198.18.0.30", ssl_context=_for_address(receiver.trust)) as client:
            client.login(CANARY, PASSWORD + "x")

    with pytest.raises(imaplib.IMAP4.error, match=r"(?i)authentication failed"):
        receiver.inside(attempt)


@pytest.mark.parametrize("domain", sorted(PROVIDERS))
@pytest.mark.parametrize("prefix", ["198.18.0.", "2001:2:0:1::"])
def test_provider_greets_under_its_own_name_and_takes_nothing(receiver: Receiver, domain: str, prefix: str) -> None:
    exchange, last, banner = PROVIDERS[domain]

    def knock() -> tuple[str, str, int]:
        client = smtplib.SMTP(timeout=30, local_hostname="probe.example.org", source_address=(f"{prefix}41", 0))
        code, greeting = client.connect(f"{prefix}{last}", 25)
        assert code == 220
        _, said = client.ehlo()
        client._host = exchange  # type: ignore[attr-defined]
        client.starttls(context=receiver.trust)  # checks the certificate's name
        client.ehlo()
        client.mail("probe@stranger.example.org")
        refused, _ = client.rcpt(f"someone@{domain}")
        client.quit()
        return greeting.decode(), said.decode().splitlines()[0], refused

    greeting, name, refused = receiver.inside(knock)
    assert banner in greeting
    assert name == greeting.split()[0]
    # Where there is a mailbox, the reason is the machine's missing reverse name, or that nobody is called so.
    assert refused == (550 if domain in MAILBOXES else 554)


def test_a_provider_with_a_mailbox_delivers_what_is_all_right(receiver: Receiver) -> None:
    answer = send(receiver, recipient=GMAIL, server="31", sign="r")
    assert answer.code == 250, answer
    found = results(fetch(receiver, answer.subject, GMAIL))
    assert "spf=pass" in found and "dkim=pass" in found and "dmarc=pass" in found


@pytest.mark.parametrize(
    ("case", "code", "text"),
    [
        ({"recipient": "someone@gmail.com"}, 550, "5.1.1.*User unknown"),
        ({"recipient": GMAIL, "envelope": "a@elsewhere.example.net"}, 550, "5.7.23.*SPF"),
        ({"recipient": GMAIL, "author": "a@signed.example.com"}, 550, "5.7.1.*rejected by DMARC policy"),
    ],
    ids=["unknown-mailbox", "spf-fail", "dmarc-unaligned"],
)
def test_a_provider_with_a_mailbox_is_as_strict_as_the_receiver(
    receiver: Receiver, case: dict[str, str], code: int, text: str
) -> None:
    answer = send(receiver, server="31", **case)  # type: ignore[arg-type]
    assert answer.code == code, answer
    assert re.search(text, answer.text, re.S), answer


@pytest.mark.parametrize("recipient", ["you@example.cn", "postmaster@example.cn"])
def test_a_provider_takes_mail_for_another_domain_and_its_other_names(receiver: Receiver, recipient: str) -> None:
    answer = send(receiver, recipient=recipient, server="35", sign="r")
    assert answer.code == 250, answer
    assert "dmarc=pass" in results(fetch(receiver, answer.subject, "you@example.cn"))


UNPROVEN: dict[str, Any] = {"envelope": "a@suspect.example.com", "author": "a@bare.example.com"}


def test_what_proves_nothing_is_refused_by_one_and_taken_by_the_other(receiver: Receiver) -> None:
    """SPF softfail and no signature; the author's domain has no DMARC record, so that nobody's policy says anything."""
    answer = send(receiver, server="31", recipient=GMAIL, **UNPROVEN)
    assert answer.code == 550 and re.search("5.7.26.*unauthenticated", answer.text, re.S), answer
    answer = send(receiver, server="38", recipient="friend@163.com", **UNPROVEN)
    assert answer.code == 250, answer
    assert results(fetch(receiver, answer.subject, "friend@163.com")) == ""


@pytest.mark.parametrize("case", [{"sign": "r"}, {"envelope": f"a@{SENDER}"}], ids=["dkim", "spf"])
def test_one_proof_is_enough_for_those_who_ask_for_one(receiver: Receiver, case: dict[str, str]) -> None:
    answer = send(receiver, server="31", recipient=GMAIL, **{**UNPROVEN, "author": "a@lax.example.com", **case})
    assert answer.code == 250, answer
    fetch(receiver, answer.subject, GMAIL)


def test_what_the_senders_policy_quarantines_is_on_hold(receiver: Receiver) -> None:
    answer = send(receiver, envelope="a@suspect.example.com")
    assert answer.code == 250, answer
    queue = [json.loads(line) for line in _run("docker", "exec", receiver.container, "postqueue", "-j").splitlines()]
    (held,) = [entry for entry in queue if entry["queue_name"] == "hold"]
    assert held["sender"] == "a@suspect.example.com" and held["recipients"][0]["address"] == CANARY
