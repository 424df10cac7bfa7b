# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What people and servers do around a domain whose mailboxes are at Tencent Exmail, in the running lab.

``python -m tests.lab.hosted_world reset`` empties the zone, as a scenario wants to find it.
"""

from __future__ import annotations

import contextlib
import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lab import engine, faults, names, render, secrets
from lab.topology import EXMAIL_SENDER_LAST, POSTMARK_LAST, host
from tests.lab import playbooks
from tests.lab import routing_world as world
from tests.lab.routing_world import Answer, Sender, Signer

INVENTORY = "inventory/lab_hosted"
ZONE, MAILBOX = render.HOSTED_ZONE, render.HOSTED_MAILBOX
SELECTOR = names.HOSTED_SELECTOR
#: Somebody at a provider that takes what comes, and somebody at one that asks who it is.
FRIEND, CUSTOMER = render.MAILBOXES["163.com"], render.MAILBOXES["gmail.com"]
CANARY = render.CANARY

EXMAIL = Sender("receiver", f"198.18.0.{EXMAIL_SENDER_LAST}", names.EXMAIL_SENDER)
EXMAILS = Signer("hosted", SELECTOR, ZONE)
#: A service that sends for the domain in bulk: from its own address, with a key of its own, returning to a name below.
POSTMARK = Sender("receiver", f"198.18.0.{POSTMARK_LAST}", names.POSTMARK_SENDER)
POSTMARKS, RETURN_PATH = Signer("bulk", names.BULK_SELECTOR, ZONE), f"bounce@pm-bounces.{ZONE}"


def api(method: str, path: str, body: Any = None) -> dict[str, Any]:
    """As the user's own token for this zone."""
    token = secrets.load().cloudflare_hosted_token
    return world.request(method, f"/client/v4/{path}", body, {"Authorization": f"Bearer {token}"})


def zone_id() -> str:
    return str(api("GET", f"zones?name={ZONE}")["result"][0]["id"])


def records() -> list[dict[str, Any]]:
    """Every record of the zone but those that Cloudflare keeps itself, as the API shows it."""
    return [r for r in _everything() if not r["meta"].get("read_only")]


def kept() -> set[tuple[str, str]]:
    """Name and type of the records that Cloudflare keeps itself, for a product of its own."""
    return {(r["name"], r["type"]) for r in _everything() if r["meta"].get("read_only")}


def _everything() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api("GET", f"zones/{zone_id()}/dns_records?per_page=100")["result"]
    return found


def add(**record: Any) -> None:
    """A record made by hand in the dashboard."""
    api("POST", f"zones/{zone_id()}/dns_records", {"ttl": 300, **record})


def reset() -> None:
    """Empty the zone but for what goes with a product of Cloudflare's."""
    here = zone_id()
    for record in records():
        api("DELETE", f"zones/{here}/dns_records/{record['id']}")
    faults.flush(ZONE)


@contextlib.contextmanager
def watched(*sets: tuple[str, str]) -> Iterator[dict[tuple[str, str], set[tuple[str, ...]]]]:
    """Every answer that the zone's own server gives for these (name, type) while the block runs, each as sorted texts."""
    seen: dict[tuple[str, str], set[tuple[str, ...]]] = {one: set() for one in sets}
    over, failed = threading.Event(), []

    def look() -> None:
        try:
            while not over.wait(0.02):
                for one in sets:
                    found = faults.lookup(*one)
                    seen[one].add(tuple(sorted(r.to_text() for r in found)) if found is not None else ())
        except Exception as error:
            failed.append(error)

    thread = threading.Thread(target=look, name="watch")
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()
    assert not failed, failed


def send(recipient: str, *, sign: bool = True, author: str = MAILBOX) -> Answer:
    """One message out of a mailbox of the domain, as the provider sends it: from its address, with the domain's key."""
    return world.send(recipient, sender=EXMAIL, envelope=author, sign=sign, signer=EXMAILS)


def send_in_bulk(recipient: str, *, sign: bool = True) -> Answer:
    """One message in the name of the domain, as the service sends it."""
    return world.send(
        recipient, sender=POSTMARK, envelope=RETURN_PATH, author=f"shop@{ZONE}", sign=sign, signer=POSTMARKS
    )


@contextlib.contextmanager
def without_proof() -> Iterator[None]:
    """The domain as somebody left it who set the MX and nothing else: no SPF, no DKIM key, no DMARC."""
    with (
        faults.record(ZONE, "TXT"),
        faults.record(f"{SELECTOR}._domainkey.{ZONE}", "TXT"),
        faults.record(f"_dmarc.{ZONE}", "TXT"),
    ):
        yield


def on_receiver(*command: str) -> str:
    """What a program on the receiver prints."""
    container = engine.connect().containers.get(host("receiver").container)
    code, output = container.exec_run(list(command))
    assert code == 0, output.decode(errors="replace")
    return str(output.decode(errors="replace"))


def quarantined(token: str) -> str:
    """The header of the message with this token in the receiver's quarantine, which forgets it; "" when it is not there."""
    for line in on_receiver("postqueue", "-j").splitlines():
        entry = json.loads(line)
        if entry["queue_name"] != "hold":
            continue
        header = on_receiver("postcat", "-qh", entry["queue_id"])
        if token in header:
            on_receiver("postsuper", "-d", entry["queue_id"], "hold")
            return " ".join(header.split())
    return ""


def play(playbook: str, *extra: str, inventories: tuple[str, ...] = (INVENTORY,)) -> tuple[int, str]:
    return playbooks.play(playbook, *extra, inventories=inventories)


def verify(directory: Path, inventories: tuple[str, ...] = (INVENTORY,)) -> dict[str, Any]:
    return playbooks.verify(directory, inventories)


if __name__ == "__main__":
    {"reset": reset}[sys.argv[1]]()
