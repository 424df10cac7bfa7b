"""Mail that takes the less common ways through the running lab."""

from __future__ import annotations

import email
import imaplib
import secrets
import smtplib
import socket
import ssl
from collections.abc import Iterator
from email.message import EmailMessage, Message
from typing import Any

import pytest

from lab import engine, netns, paths
from lab.topology import CONTROLLER

pytestmark = pytest.mark.lab

EDGE, NAME, USER = "198.18.1.10", "mail.example.com", "rekord@example.com"


@pytest.fixture(scope="module")
def password() -> str:
    kept = paths.ROOT / "inventory" / "lab" / ".mailstead" / "secrets" / USER
    return kept.read_text(encoding="utf-8").strip()


def trust() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(paths.CA_BUNDLE))


class Submission(smtplib.SMTP_SSL):
    """To the edge's address, under the server's name."""

    def _get_socket(self, host: str, port: int, timeout: Any) -> ssl.SSLSocket:
        return trust().wrap_socket(socket.create_connection((EDGE, port), timeout), server_hostname=NAME)


class Mailbox(imaplib.IMAP4_SSL):
    def _create_socket(self, timeout: Any = None) -> ssl.SSLSocket:
        return trust().wrap_socket(socket.create_connection((EDGE, 993), timeout), server_hostname=NAME)


def submit(message: EmailMessage, password: str) -> None:
    def inside() -> None:
        with Submission(NAME, 465, timeout=30) as server:
            server.login(USER, password)
            server.send_message(message)

    netns.call(CONTROLLER.namespace, inside)


def find(token: str, password: str) -> Message | None:
    """The newest message in the mailbox that has the token anywhere in it."""

    def inside() -> Message | None:
        box = Mailbox(NAME, timeout=30)
        try:
            box.login(USER, password)
            box.select("INBOX", readonly=True)
            _status, numbers = box.search(None, "ALL")
            for number in reversed(numbers[0].split()):
                _status, parts = box.fetch(number, "(RFC822)")
                first = parts[0]
                if isinstance(first, tuple) and token.encode() in first[1]:
                    return email.message_from_bytes(first[1])
            return None
        finally:
            box.logout()

    return netns.call(CONTROLLER.namespace, inside)


@pytest.fixture(scope="module")
def bounce(password: str) -> Iterator[Message]:
    """What comes back for a message to somebody whom the receiver does not know."""
    token = f"nobody-{secrets.token_hex(6)}"
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = USER, f"{token}@strict.example.org", "to nobody"
    message.set_content("This will come back.\n")
    submit(message, password)
    found: list[Message] = []

    def arrived() -> bool:
        answer = find(token, password)
        if answer is not None:
            found.append(answer)
        return bool(found)

    assert engine.wait_until(arrived, 60, every=1.0), "no bounce arrived within a minute"
    yield found[0]


def test_a_bounce_of_the_edge_comes_home_through_the_public_mx(bounce: Message) -> None:
    """The edge's relay must neither loop nor keep mail to our own domains: they have no transport of their own there."""
    assert bounce.get_content_type() == "multipart/report"
    assert "relay-vps1.example.com" in str(bounce["From"])
    assert "550" in bounce.as_string()


def test_the_server_believes_the_bounce(bounce: Message) -> None:
    """A bounce has no sender and no signature: the relay's own name and SPF record must carry it."""
    results = " ".join(str(h) for h in bounce.get_all("Authentication-Results", []))
    assert "dmarc=pass" in results, results
