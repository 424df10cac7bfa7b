# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What applications, their machines and the smarthosts do around an internal sender, in the running lab.

``python -m tests.lab.sender_world prepare`` brings zone and account to where the scenario wants to find them.
"""

from __future__ import annotations

import base64
import contextlib
import email
import http.client
import io
import json
import smtplib
import socket
import ssl
import sys
import tarfile
import uuid
from collections.abc import Iterator
from email.message import EmailMessage, Message
from email.utils import formatdate
from pathlib import Path
from typing import Any

from lab import engine, hosts, paths, render, secrets
from lab.topology import host
from tests.lab import playbooks
from tests.lab import routing_world as world

ZONE, SERVICE, NAME, TUNNEL = "example.com", "notify", "notify.example.com", "smtp.example.com"
#: The lab's machine that the inventory calls lan-box.
MACHINE = "home"
SERVER, SIDECAR = "mailstead-stalwart", "mailstead-tunnel-client-notify"
CANARY, BOUNCES = render.CANARY, render.MAILBOXES["gmail.com"]
STATE = paths.ROOT / "inventory" / "lab_sender" / ".mailstead"


def login(application: str) -> str:
    return f"{application}@{NAME}"


def password(application: str) -> str:
    return (STATE / "secrets" / login(application)).read_text(encoding="utf-8").strip()


# -- the account at Cloudflare -------------------------------------------------------------------------------------------


def api(method: str, path: str, body: Any = None) -> dict[str, Any]:
    """As the user's own token for this zone."""
    token = secrets.load().cloudflare_sender_token
    return world.request(method, f"/client/v4/{path}", body, {"Authorization": f"Bearer {token}"})


def zone() -> dict[str, Any]:
    found: dict[str, Any] = api("GET", f"zones?name={ZONE}")["result"][0]
    return found


def account() -> str:
    return f"accounts/{zone()['account']['id']}"


def tokens() -> dict[str, dict[str, Any]]:
    """The account's service tokens by name, with what the API does not tell: which version of the secret is in force."""
    return {t["name"]: t for t in world.control("GET", "zero_trust/tokens")}


def move_clock(seconds: int) -> None:
    """Let tunnels and Access believe that time has passed."""
    world.control("PATCH", "zero_trust", {"clock_offset": seconds})


def prepare() -> None:
    """Bring the zone and the account back to where nobody has configured anything; the owner of the mailbox has agreed."""
    here = zone()
    world.control("DELETE", "zero_trust")
    # What a run before this one has kept of an account that has forgotten everything: it would take it for revoked.
    for kept in (STATE / "secrets").glob("access-*"):
        kept.unlink()
    for record in api("GET", f"zones/{here['id']}/dns_records?per_page=100")["result"]:
        if not record["meta"].get("read_only"):
            api("DELETE", f"zones/{here['id']}/dns_records/{record['id']}")
    if BOUNCES not in {d["email"] for d in world.control("GET", "email/destinations")}:
        world.control("POST", "email/destinations", {"address": BOUNCES, "verified": True})


# -- the machines --------------------------------------------------------------------------------------------------------


def on(machine: str, *command: str, check: bool = True) -> str:
    """What a program inside a machine prints."""
    container = engine.connect().containers.get(host(machine).container)
    code, output = container.exec_run(list(command))
    text = str(output.decode(errors="replace"))
    assert code == 0 or not check, f"{machine}: {' '.join(command)}: {code}\n{text}"
    return text


def write(machine: str, place: str, text: str) -> None:
    """A file inside a machine, for everybody to read."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        entry = tarfile.TarInfo(Path(place).name)
        entry.size, entry.mode = len(text.encode()), 0o644
        archive.addfile(entry, io.BytesIO(text.encode()))
    container = engine.connect().containers.get(host(machine).container)
    assert container.put_archive(str(Path(place).parent), packed.getvalue())


def kill_server() -> None:
    """End the mail server as a crash does; its engine starts it again."""
    pid = on(MACHINE, "docker", "inspect", "--format", "{{.State.Pid}}", SERVER).strip()
    on(MACHINE, "kill", "-KILL", pid)


def cut_power() -> None:
    """Stop the whole machine at once, and start it again."""
    client = engine.connect()
    container = client.containers.get(host(MACHINE).container)
    container.kill()
    container.reload()
    hosts.start(host(MACHINE), container)


def answers(address: str, port: int) -> bool:
    """Whether a port at home can be reached from the controller."""

    def attempt() -> bool:
        with contextlib.suppress(OSError), socket.create_connection((address, port), 2):
            return True
        return False

    return world.inside("controller", attempt)


@contextlib.contextmanager
def smarthost(name: str, state: str) -> Iterator[None]:
    """A smarthost in a scripted state (lab/images/smarthost), and working again after that."""
    on("smarthost", "lab-smarthost", name, state)
    try:
        yield
    finally:
        on("smarthost", "lab-smarthost", name, "ok")


def handed_over_twice(run: str) -> set[str]:
    """Subjects that a smarthost has acknowledged more than once, of those that begin with a run's id."""
    counts: dict[str, int] = json.loads(on("smarthost", "lab-smarthost", "accepted"))
    subjects = {identifier.strip("<>").partition("@")[0]: count for identifier, count in counts.items()}
    return {subject for subject, count in subjects.items() if subject.startswith(run) and count > 1}


#: Runs on the service's machine: the envelope ids of what waits in the mail server's queue.
_QUEUE = """
import json, urllib.request
key = open("/etc/mailstead/stalwart/api-key").read().strip()
def call(method, arguments):
    body = {"using": ["urn:ietf:params:jmap:core", "urn:stalwart:jmap"], "methodCalls": [[method, arguments, "0"]]}
    headers = {"Authorization": "Bearer " + key, "Content-Type": "application/json"}
    request = urllib.request.Request("http://127.0.0.1:8080/jmap", json.dumps(body).encode(), headers)
    return json.load(urllib.request.urlopen(request, timeout=10))["methodResponses"][0][1]
ids = call("x:QueuedMessage/query", {})["ids"]
print(json.dumps([m["envId"] for m in call("x:QueuedMessage/get", {"ids": ids})["list"]]))
"""


def queued() -> set[str]:
    """The envelope ids of messages in the mail server's queue."""
    return {found for found in json.loads(on(MACHINE, "python3", "-c", _QUEUE)) if found}


# -- applications --------------------------------------------------------------------------------------------------------


class Session(smtplib.SMTP_SSL):
    """To an address, under the service's name; TLS from the start."""

    def __init__(self, address: str, port: int = 465, timeout: float = 30) -> None:
        self._address = address
        super().__init__(NAME, port, timeout=timeout, local_hostname="application.example.org")

    def _get_socket(self, host: str, port: int, timeout: Any) -> ssl.SSLSocket:
        context = ssl.create_default_context(cafile=str(paths.CA_BUNDLE))
        plain = socket.create_connection((self._address, port), timeout)
        return context.wrap_socket(plain, server_hostname=NAME)


#: From where an application reaches the service: its machine, the address and the port.
LAN, TUNNEL_SYSTEMD, TUNNEL_CONTAINER = (
    ("app2", host(MACHINE).address4(), 465),
    ("app2", "127.0.0.1", 2525),
    ("app1", "127.0.0.1", 2525),
)


def upgrade(credentials: tuple[str, str] | None) -> int:
    """The status of the tunnel's public name for the request that its client sends, from wherever this is called."""
    headers = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
    headers["Sec-WebSocket-Key"] = base64.b64encode(uuid.uuid4().bytes).decode()
    if credentials:
        headers |= {"Cf-Access-Client-Id": credentials[0], "Cf-Access-Client-Secret": credentials[1]}
    connection = http.client.HTTPSConnection(TUNNEL, timeout=10, context=world.trust())
    connection.sock = world.trust().wrap_socket(
        socket.create_connection((host("tunnel-edge").address4(), 443), 10), server_hostname=TUNNEL
    )
    try:
        connection.request("GET", "/", headers=headers)
        return connection.getresponse().status
    finally:
        connection.close()


def message(author: str, recipient: str, token: str, size: int = 0) -> EmailMessage:
    made = EmailMessage()
    made["From"], made["To"], made["Subject"] = author, recipient, token
    made["Date"], made["Message-ID"] = formatdate(localtime=False), f"<{token}@application.example.org>"
    made.set_content("Your build has ended.\n" + "x" * 70 + "\n" * (size > 0) + ("y" * 70 + "\n") * (size // 71))
    return made


def send(
    author: str,
    recipient: str = CANARY,
    *,
    application: str = "billing",
    way: tuple[str, str, int] = LAN,
    envelope: str = "",
    size: int = 0,
) -> tuple[int, str, str]:
    """One message of an application: the server's last code and text, and the token in the message's subject."""
    token = uuid.uuid4().hex
    machine, address, port = way
    secret = password(application)

    def converse() -> tuple[int, str]:
        with Session(address, port) as server:
            try:
                server.login(login(application), secret)
                server.send_message(message(author, recipient, token, size), envelope or author, [recipient])
            except smtplib.SMTPResponseException as error:
                return error.smtp_code, _text(error.smtp_error)
            except smtplib.SMTPRecipientsRefused as error:
                code, text = next(iter(error.recipients.values()))
                return code, _text(text)
            return 250, ""

    code, text = world.inside(machine, converse)
    return code, text, token


def _text(raw: bytes | str) -> str:
    return raw.decode(errors="replace") if isinstance(raw, bytes) else raw


def arrived(token: str, mailbox: str = CANARY) -> Message:
    return world.arrived(token, mailbox)


def delivered(prefix: str, mailbox: str = CANARY) -> list[str]:
    """The subjects in a mailbox that begin with a prefix, each as often as it is there."""

    def read() -> list[str]:
        box = world._Mailbox(host("receiver").hostname)
        try:
            box.login(mailbox, secrets.load().canary_password)
            box.select("INBOX", readonly=True)
            _, found = box.search(None, "SUBJECT", f'"{prefix}"')
            numbers = found[0].split()
            if not numbers:
                return []
            _, parts = box.fetch(b",".join(numbers).decode(), "(BODY[HEADER.FIELDS (SUBJECT)])")
            return [
                str(email.message_from_bytes(part[1])["Subject"]).strip() for part in parts if isinstance(part, tuple)
            ]
        finally:
            box.logout()

    return world.inside("controller", read)


# -- playbooks -----------------------------------------------------------------------------------------------------------

INVENTORY = "inventory/lab_sender"


def play(playbook: str, *extra: str, more: tuple[str, ...] = ()) -> tuple[int, str]:
    return playbooks.play(playbook, *extra, inventories=(INVENTORY, *more))


def verify(directory: Path) -> dict[str, Any]:
    return playbooks.verify(directory, (INVENTORY,))


if __name__ == "__main__":
    {"prepare": prepare}[sys.argv[1]]()
