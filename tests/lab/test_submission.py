# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A domain whose mail Email Routing takes and that our own server sends for, added to the running lab.

Leaves the domain in the mail server: the lab that these tests run in is removed after them.
"""

from __future__ import annotations

import json
import re
import smtplib
import uuid
from pathlib import Path

import pytest

from lab import engine, netns, paths
from lab.topology import CONTROLLER, host
from tests.lab import playbooks
from tests.lab import routing_world as world
from tests.lab.routing_world import MAILBOX, ZONE
from tests.lab.test_mail import EDGE, NAME, USER, Submission

pytestmark = pytest.mark.lab

INVENTORIES = ("inventory/lab", "tests/lab/submission")
SENDER, CANARY = f"hi@{ZONE}", "canary@strict.example.org"


def play(playbook: str, *extra: str) -> str:
    """Run a playbook as the lab's controller, over both inventories; what it printed."""
    code, shown = playbooks.play(playbook, *extra, inventories=INVENTORIES)
    assert code == 0, shown[-6000:]
    return shown


@pytest.fixture(scope="module", autouse=True)
def served() -> None:
    """The domain from nothing to mail, over the click that only the mailbox's owner can make."""
    client = engine.connect()
    if client is None or not client.containers.list(filters={"name": host("routing").container}):
        pytest.skip("the lab runs without Email Routing's exchangers (python -m lab up --with routing)")
    world.reset()
    play("site.yml")
    world.click()
    play("playbooks/email_routing_service.yml")


def password(user: str) -> str:
    kept = paths.ROOT / "inventory" / "lab" / ".mailstead" / "secrets" / user
    return kept.read_text(encoding="utf-8").strip()


def submit(user: str, recipient: str) -> str:
    """Send one message through our own server; the token in its subject."""
    token = uuid.uuid4().hex

    def inside() -> None:
        with Submission(NAME, 465, timeout=30) as server:
            server.login(user, password(user))
            server.sendmail(user, [recipient], world.message(user, recipient, token))

    netns.call(CONTROLLER.namespace, inside)
    return token


def test_a_further_run_changes_nothing_and_every_check_passes(tmp_path: Path) -> None:
    shown = play("site.yml", "-e", f"verify_report_dir={tmp_path}")
    recap = re.findall(r"^(\S+)\s+: ok=\d+\s+changed=(\d+)", shown, re.MULTILINE)
    assert len(recap) == 4 and all(changed == "0" for _host, changed in recap), recap
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert report["subjects"] == ["example.com", ZONE] and report["exit_code"] == 0
    passed = {f["id"] for f in report["findings"] if f["verdict"] == "pass" and f["scope"] == ZONE}
    # Taken by the service, signed and sent by us, and refused at our own door.
    assert {"R1", "R2", "R3", "F1", "G6", "H1", "H7", "L13", "L14", "L16", "P1", "P2", "P3", "P4"} <= passed


def test_what_we_send_in_its_name_is_aligned() -> None:
    found = world.results(world.arrived(submit(SENDER, CANARY), CANARY))
    assert "spf=pass" in found and re.search(rf"dkim=pass[^|]*header\.d={re.escape(ZONE)}", found), found
    assert re.search(r"dmarc=pass \(p=reject [^)]*\) header\.from=" + re.escape(ZONE), found), found


@pytest.mark.parametrize("recipient", [SENDER, f"hi+tag@{ZONE}", f"anything@{ZONE}"])
def test_our_own_users_mail_to_it_goes_where_everybody_elses_goes(recipient: str) -> None:
    """Also to the address that logs in here: its mailbox on our server is not where its mail is read."""
    delivered = world.arrived(submit(USER, recipient))
    assert "by cloudflare-email.net (cloudflare)" in str(delivered.get_all("Received"))
    assert "dkim=pass" in world.results(delivered)


def test_what_comes_back_is_read_where_its_mail_is_read() -> None:
    token = submit(SENDER, f"nobody-{uuid.uuid4().hex}@strict.example.org")
    assert engine.wait_until(lambda: _bounced(token), world.PATIENCE, every=0.5), "no bounce arrived"


def _bounced(token: str) -> bool:
    """Whether a message that holds the token, but not as its subject, is in the mailbox."""
    return world.holding(token, MAILBOX) is not None


@pytest.mark.parametrize("local", ["hi", "hi+tag", "nobody", "postmaster"])
def test_a_strangers_mail_for_it_is_refused_here(local: str) -> None:
    def converse() -> tuple[int, bytes]:
        with smtplib.SMTP(timeout=30, local_hostname=world.VISITOR.helo) as client:
            client.connect(EDGE, 25)
            client.ehlo()
            assert client.mail(world.STRANGER)[0] == 250
            return client.rcpt(f"{local}@{ZONE}")

    code, text = world.inside(world.VISITOR.machine, converse)
    assert code == 550 and b"taken elsewhere" in text, text
