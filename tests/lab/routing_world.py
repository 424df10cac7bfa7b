# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What people and servers do around a domain that is served by Email Routing in the running lab: send, read, click.

``python -m tests.lab.routing_world reset|expect-pending|click`` does for the scenario what only it needs.
"""

from __future__ import annotations

import contextlib
import email
import http.client
import imaplib
import json
import smtplib
import socket
import ssl
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.message import EmailMessage, Message
from email.utils import formatdate
from typing import Any, TypeVar

import dkim
import dns.message
import dns.query
import dns.rdatatype

from lab import engine, netns, paths, render, secrets, wiring
from lab.names import STRANGER_SELECTOR
from lab.topology import CONTROLLER, RESOLVER, host

T = TypeVar("T")

ZONE, MAILBOX = render.ROUTED_ZONE, render.MAILBOXES["gmail.com"]
STRANGER = "visitor@stranger.example.org"
#: Seconds that a message may take to be in the mailbox.
PATIENCE = 20.0


def trust() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(paths.PKI / "ca.crt"))


def inside(machine: str, function: Callable[[], T]) -> T:
    """Run a function with a machine's own network; files and everything else stay this machine's. The controller's is
    called so."""
    if machine == "controller":
        return netns.call(CONTROLLER.namespace, function)
    pid = engine.connect().containers.get(host(machine).container).attrs["State"]["Pid"]
    name = f"mailstead-test-{machine}"
    with contextlib.suppress(Exception):
        wiring.run(["ip", "netns", "del", name])
    wiring.run(["ip", "netns", "attach", name, str(pid)])
    try:
        return netns.call(name, function)
    finally:
        wiring.run(["ip", "netns", "del", name])


# -- the account -------------------------------------------------------------------------------------------------------


class _Connection(http.client.HTTPSConnection):
    """To the API's address, under its name."""

    def connect(self) -> None:
        plain = socket.create_connection((host("cloudflare").address4(), 443), 10)
        self.sock = trust().wrap_socket(plain, server_hostname="api.cloudflare.com")


def request(method: str, path: str, body: Any, headers: dict[str, str]) -> dict[str, Any]:
    """The answer's envelope. Fails unless the answer says success."""

    def ask() -> dict[str, Any]:
        connection = _Connection("api.cloudflare.com")
        try:
            data = None if body is None else json.dumps(body)
            connection.request(method, path, data, {"Content-Type": "application/json", **headers})
            answer: dict[str, Any] = json.load(connection.getresponse())
            return answer
        finally:
            connection.close()

    answer = inside("controller", ask)
    assert answer.get("success", not answer.get("errors")), f"{method} {path}: {answer}"
    return answer


def api(method: str, path: str, body: Any = None) -> dict[str, Any]:
    """As the user's own token."""
    token = secrets.load().cloudflare_routing_token
    return request(method, f"/client/v4/{path}", body, {"Authorization": f"Bearer {token}"})


def control(method: str, path: str, body: Any = None) -> Any:
    """What only the service or the owner of a mailbox can do."""
    token = secrets.load().twin_control_token
    return request(method, f"/__twin__/{path}", body, {"X-Twin-Control": token})["result"]


def zone() -> dict[str, Any]:
    found: dict[str, Any] = api("GET", f"zones?name={ZONE}")["result"][0]
    return found


def reset() -> None:
    """Bring the zone and the account back to where nobody has configured anything."""
    here = zone()
    routing, account = f"zones/{here['id']}/email/routing", f"accounts/{here['account']['id']}"
    state = control("GET", f"zones/{ZONE}/email")
    for rule in state["rules"]:
        if rule["matchers"][0]["type"] != "all":
            api("DELETE", f"{routing}/rules/{rule['id']}")
    api("PUT", f"{routing}/rules/catch_all", _rule([{"type": "all"}], "drop", "", enabled=False))
    if state["domains"]:
        api("DELETE", f"{routing}/dns")
    for found in control("GET", "email/destinations"):
        api("DELETE", f"{account}/email/routing/addresses/{found['id']}")
    for script in api("GET", f"{account}/workers/scripts")["result"]:
        api("DELETE", f"{account}/workers/scripts/{script['id']}")
    records = api("GET", f"zones/{here['id']}/dns_records?per_page=100")["result"]
    for record in records:
        api("DELETE", f"zones/{here['id']}/dns_records/{record['id']}")


def expect_pending() -> None:
    """Fail unless the mailbox is announced and waited for, and mail to its addresses is refused meanwhile."""
    found = {d["email"]: d["verified"] for d in control("GET", "email/destinations")}
    assert found == {MAILBOX: None}, found
    links = [m for m in control("GET", "email/outbox") if m["to"] == MAILBOX]
    assert links, "no message with a link was sent to the mailbox"
    answer = send(f"hi@{ZONE}")
    assert answer.code == 550, answer


def click() -> None:
    """Open the link, as the owner of the mailbox."""
    control("POST", "email/click", {"address": MAILBOX})


def _rule(matchers: list[dict[str, str]], action: str, target: str, enabled: bool) -> dict[str, Any]:
    what = {"type": action, **({"value": [target]} if target else {})}
    return {"matchers": matchers, "actions": [what], "enabled": enabled, "name": "test"}


@contextlib.contextmanager
def rule(address: str, action: str, target: str, enabled: bool = True) -> Iterator[None]:
    """One rule more, of somebody else's, while the block runs."""
    path = f"zones/{zone()['id']}/email/routing/rules"
    matcher = {"type": "literal", "field": "to", "value": address}
    made = api("POST", path, _rule([matcher], action, target, enabled))["result"]
    try:
        yield
    finally:
        api("DELETE", f"{path}/{made['id']}")


@contextlib.contextmanager
def without_catch_all() -> Iterator[None]:
    """The catch-all switched off while the block runs."""
    path = f"zones/{zone()['id']}/email/routing/rules/catch_all"
    before = api("GET", path)["result"]
    kept = {k: before[k] for k in ("matchers", "actions", "enabled", "name")}
    api("PUT", path, {**kept, "enabled": False})
    try:
        yield
    finally:
        api("PUT", path, kept)


# -- mail --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sender:
    """A server that sends: the machine, the address it sends from, and the name it greets with."""

    machine: str
    address: str
    helo: str


VISITOR = Sender("stranger", "198.18.0.40", "mail.stranger.example.org")
#: Where mail that is sent "as" another address at a large provider comes from; its machine is the lab's receiver.
GMAIL = Sender("receiver", "198.18.0.31", "gmail-smtp-in.l.google.com")


@dataclass(frozen=True)
class Signer:
    """A DKIM key of the lab's (build/lab/pki), and what it signs for."""

    key: str
    selector: str
    domain: str


VISITORS = Signer("stranger", STRANGER_SELECTOR, "stranger.example.org")


@dataclass(frozen=True)
class Answer:
    """The last answer of the server that was spoken to; token: what the message has in its subject."""

    code: int
    text: str
    token: str


def exchanger(domain: str) -> tuple[str, str]:
    """Name and IPv4 address of the first MX, asked of the lab's resolver from where this is called."""
    first = min(_ask(domain, "MX"), key=lambda r: int(r.preference))
    name = str(first.exchange)
    return name.rstrip("."), str(_ask(name, "A")[0].address)


def exchangers(domain: str) -> list[str]:
    """Names of the MX, asked as the controller."""
    return inside("controller", lambda: [str(r.exchange).rstrip(".") for r in _ask(domain, "MX")])


def _ask(name: str, kind: str) -> list[Any]:
    answer = dns.query.udp(dns.message.make_query(name, kind), RESOLVER, 5)
    return [r for rrset in answer.answer if rrset.rdtype == dns.rdatatype.from_text(kind) for r in rrset]


def message(author: str, recipient: str, subject: str) -> bytes:
    made = EmailMessage()
    made["From"], made["To"], made["Subject"] = author, recipient, subject
    made["Date"], made["Message-ID"] = formatdate(localtime=False), f"<{uuid.uuid4()}@test.example.org>"
    made.set_content("Hello from outside.\n")
    return made.as_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def send(
    recipient: str,
    *,
    sender: Sender = VISITOR,
    envelope: str = STRANGER,
    author: str = "",
    sign: bool = True,
    signer: Signer = VISITORS,
    words: str = "",
) -> Answer:
    """One message to the recipient's MX. sign: with the signer's key. words: of the subject, beside the token."""
    token = uuid.uuid4().hex
    data = message(author or envelope, recipient, f"{words} {token}".strip())
    if sign:
        key = (paths.PKI / f"{signer.key}.dkim.key").read_bytes()
        data = dkim.sign(data, signer.selector.encode(), signer.domain.encode(), key) + data

    def converse() -> Answer:
        client = smtplib.SMTP(timeout=60, local_hostname=sender.helo, source_address=(sender.address, 0))
        try:
            name, address = exchanger(recipient.rpartition("@")[2])
            client.connect(address, 25)
            client._host = name  # type: ignore[attr-defined]  # for SNI: smtplib knows only the address
            client.ehlo()
            if client.has_extn("starttls"):
                # Opportunistic, as between mail servers (RFC 7435).
                client.starttls(context=ssl._create_unverified_context())
                client.ehlo()
            for code, text in (client.mail(envelope), client.rcpt(recipient)):
                if code >= 300:
                    return Answer(code, text.decode(), token)
            code, text = client.data(data)
            return Answer(code, text.decode(), token)
        finally:
            client.close()

    return inside(sender.machine, converse)


class _Mailbox(imaplib.IMAP4_SSL):
    """To the receiver's address, under its name."""

    def _create_socket(self, timeout: float | None = None) -> ssl.SSLSocket:
        machine = host("receiver")
        plain = socket.create_connection((machine.address4(), 993), 10)
        return trust().wrap_socket(plain, server_hostname=machine.hostname)


def find(token: str, mailbox: str = MAILBOX) -> Message | None:
    """The message with the token in its subject, as the owner of the mailbox finds it; None when it is not there."""
    return _search("SUBJECT", token, mailbox)


def holding(token: str, mailbox: str = MAILBOX) -> Message | None:
    """A message that has the token anywhere, such as a bounce."""
    return _search("TEXT", token, mailbox)


def _search(where: str, token: str, mailbox: str) -> Message | None:
    def read() -> Message | None:
        box = _Mailbox(host("receiver").hostname)
        try:
            box.login(mailbox, secrets.load().canary_password)
            box.select("INBOX", readonly=True)
            _, found = box.search(None, where, f'"{token}"')
            if not found[0]:
                return None
            _, parts = box.fetch(found[0].split()[-1].decode(), "(RFC822)")
            assert isinstance(parts[0], tuple)
            return email.message_from_bytes(parts[0][1])
        finally:
            box.logout()

    return inside("controller", read)


def arrived(token: str, mailbox: str = MAILBOX) -> Message:
    """Wait for a message. Fails when it does not come."""
    found: list[Message] = []

    def look() -> bool:
        answer = find(token, mailbox)
        if answer is not None:
            found.append(answer)
        return bool(found)

    assert engine.wait_until(look, PATIENCE, every=0.2), f"{token} did not arrive at {mailbox}"
    return found[0]


def results(delivered: Message) -> str:
    """What the receiver itself found, in one line of single spaces."""
    own = [
        str(h) for h in delivered.get_all("Authentication-Results", []) if str(h).startswith("mx.strict.example.org")
    ]
    return " | ".join(" ".join(h.split()) for h in own)


if __name__ == "__main__":
    {"reset": reset, "expect-pending": expect_pending, "click": click}[sys.argv[1]]()
