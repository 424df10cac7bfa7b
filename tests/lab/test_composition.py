# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A domain with three senders, added to the running lab: a hosted provider, our own server, and a service for bulk mail.

Leaves the domain in the mail server: the lab that these tests run in is removed after them.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from lab import engine, faults
from lab.names import BULK_SELECTOR
from lab.topology import EXMAIL_EXCHANGES, host
from tests.lab import hosted_world as here
from tests.lab import routing_world as world
from tests.lab.hosted_world import CANARY, MAILBOX, SELECTOR, ZONE
from tests.lab.test_mail import USER
from tests.lab.test_submission import submit

pytestmark = pytest.mark.lab

INVENTORIES = ("inventory/lab", "tests/lab/composition")
APP = f"app@{ZONE}"


def play(playbook: str, *extra: str) -> str:
    """Run a playbook over both inventories; what it printed."""
    code, shown = here.play(playbook, *extra, inventories=INVENTORIES)
    assert code == 0, shown[-6000:]
    return shown


@pytest.fixture(scope="module", autouse=True)
def served() -> None:
    """The domain from nothing to mail."""
    client = engine.connect()
    if client is None or not client.containers.list(filters={"name": host("home").container}):
        pytest.fail("the lab does not run (python -m lab up)")
    play("site.yml")


def test_a_further_run_changes_nothing_and_every_check_passes(tmp_path: Path) -> None:
    shown = play("site.yml", "-e", f"verify_report_dir={tmp_path}")
    recap = re.findall(r"^(\S+)\s+: ok=\d+\s+changed=(\d+)", shown, re.MULTILINE)
    assert len(recap) == 4 and all(changed == "0" for _host, changed in recap), recap
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert report["subjects"] == [ZONE, "example.com"] and report["exit_code"] == 0
    mine = [f for f in report["findings"] if f["scope"].partition("/")[0].endswith(ZONE)]
    passed = {f["id"] for f in mine if f["verdict"] == "pass"}
    # Taken by the provider, signed and sent by us, refused at our own door.
    assert {"F1", "F4", "F10", "G1", "G6", "H1", "H7", "L13", "L14", "L16", "N1", "N4", "N5", "N7", "N10"} <= passed, (
        mine
    )
    assert {"P1", "P2", "P3"} <= passed, mine
    # The provider's include alone costs eight look-ups of ten; nobody beside it costs one.
    (cost,) = [f for f in mine if (f["id"], f["scope"]) == ("F3", ZONE)]
    assert (cost["verdict"], cost["observed"]) == ("warn", "8 of 10 look-ups"), cost


def test_one_spf_record_names_every_sender_and_each_signs_with_a_key_of_its_own() -> None:
    texts = faults.lookup(ZONE, "TXT")
    assert texts is not None
    spf = [t for t in (r.to_text().strip('"') for r in texts) if t.startswith("v=spf1")]
    edge = host("vps1").address4()
    assert spf == [f"v=spf1 ip4:{edge} include:spf.mail.qq.com ~all"]
    selectors = {r["name"].partition("._domainkey.")[0] for r in here.records() if "._domainkey." in r["name"]}
    own = {s for s in selectors if re.fullmatch(r"\d{6}[re]", s)}
    assert len(own) == 2 and selectors == own | {SELECTOR, BULK_SELECTOR}


def aligned(token: str) -> str:
    """What the strict receiver found, after it let the message pass by SPF, DKIM and DMARC."""
    found = world.results(world.arrived(token, CANARY))
    assert "spf=pass" in found and re.search(rf"dkim=pass[^|]*header\.d={re.escape(ZONE)}", found), found
    assert re.search(r"dmarc=pass \(p=quarantine [^)]*\) header\.from=" + re.escape(ZONE), found), found
    return found


def test_what_our_own_server_sends_in_its_name_is_aligned() -> None:
    aligned(submit(APP, CANARY))


def test_what_the_provider_sends_in_its_name_is_aligned() -> None:
    answer = here.send(CANARY)
    assert answer.code == 250, answer
    assert f"smtp.mailfrom={ZONE}" in aligned(answer.token)


def test_what_the_service_sends_in_its_name_is_aligned_with_and_without_its_key() -> None:
    """Its return path is below the domain, which is enough for SPF under relaxed alignment."""
    answer = here.send_in_bulk(CANARY)
    assert answer.code == 250, answer
    assert f"smtp.mailfrom=pm-bounces.{ZONE}" in aligned(answer.token)
    answer = here.send_in_bulk(CANARY, sign=False)
    assert answer.code == 250, answer
    found = world.results(world.arrived(answer.token, CANARY))
    assert "dkim=none" in found and "dmarc=pass" in found, found


@pytest.mark.parametrize("user", [USER, APP])
def test_our_own_users_mail_to_it_reaches_the_providers_mailbox(user: str) -> None:
    assert sorted(world.exchangers(ZONE)) == sorted(EXMAIL_EXCHANGES)
    delivered = world.arrived(submit(user, MAILBOX), MAILBOX)
    assert "dmarc=pass" in world.results(delivered)
