# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mail of a domain whose mailboxes are at Tencent Exmail, in the running lab after the scenario hosted has set it up.

At the end the domain is set up once more, from records that somebody has made by hand (docs/hosted.md).
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from lab import engine, faults, paths
from lab.names import EXMAIL_SPF
from lab.topology import EXMAIL_EXCHANGES
from tests.lab import hosted_world as here
from tests.lab import routing_world as world
from tests.lab.hosted_world import CANARY, CUSTOMER, FRIEND, MAILBOX, SELECTOR, ZONE
from tests.lab.routing_world import STRANGER, Answer

pytestmark = pytest.mark.lab

WEBMAIL = f"mail.{ZONE}"


@pytest.fixture(scope="module", autouse=True)
def served() -> None:
    if engine.connect() is None:
        pytest.fail("the lab does not run (python -m lab up)")
    assert sorted(world.exchangers(ZONE)) == sorted(EXMAIL_EXCHANGES)


def accepted(answer: Answer) -> str:
    assert answer.code == 250, answer
    return answer.token


def test_the_zone_holds_what_the_inventory_means_and_nothing_is_proxied() -> None:
    key = (paths.PKI / "hosted.dkim.txt").read_text(encoding="utf-8").strip()
    policy = "v=DMARC1; p=quarantine; np=reject; adkim=s; aspf=r; rua=mailto:dmarc@example.cn"
    found = here.records()
    assert {(r["name"], r["type"], r.get("priority"), _plain(r)) for r in found} == {
        (ZONE, "MX", 5, "mxbiz1.qq.com"),
        (ZONE, "MX", 10, "mxbiz2.qq.com"),
        (ZONE, "TXT", None, f"v=spf1 include:{EXMAIL_SPF} ~all"),
        (f"{SELECTOR}._domainkey.{ZONE}", "TXT", None, key),
        (f"_dmarc.{ZONE}", "TXT", None, policy),
        (f"_smtp._tls.{ZONE}", "TXT", None, "v=TLSRPTv1; rua=mailto:dmarc@example.cn"),
        (WEBMAIL, "CNAME", None, "exmail.qq.com"),
    }
    assert not any(r["proxied"] for r in found), found
    # Of the further sender at Cloudflare, which has let our DMARC policy stand.
    bounces = f"cf-bounce.{ZONE}"
    assert here.kept() == {(bounces, "MX"), (bounces, "TXT"), (f"cf-bounce._domainkey.{ZONE}", "TXT")}


def _plain(record: dict[str, Any]) -> str:
    """A text as receivers read it: the strings that it is divided into, put together."""
    return "".join(re.findall(r'"([^"]*)"', record["content"])) or str(record["content"])


def test_the_name_for_web_mail_is_seen_as_the_providers() -> None:
    """Behind Cloudflare's proxy the alias would be hidden, and the provider's certificate not match."""
    alias = faults.lookup(WEBMAIL, "CNAME")
    assert alias is not None and [r.to_text() for r in alias] == ["exmail.qq.com."]


def test_what_the_provider_sends_passes_everything_at_the_strict_receiver() -> None:
    found = world.results(world.arrived(accepted(here.send(CANARY)), CANARY))
    assert "spf=pass" in found, found
    assert re.search(rf"dkim=pass[^|]*header\.d={re.escape(ZONE)} header\.i=@{re.escape(ZONE)}", found), found
    assert re.search(r"dmarc=pass \(p=quarantine [^)]*\) header\.from=" + re.escape(ZONE), found), found


def test_it_reaches_those_who_ask_for_proof_and_those_who_do_not() -> None:
    for mailbox in (CUSTOMER, FRIEND):
        delivered = world.arrived(accepted(here.send(mailbox)), mailbox)
        assert delivered["From"] == MAILBOX


@pytest.mark.parametrize(
    ("envelope", "spf"), [(MAILBOX, "softfail"), (STRANGER, "pass")], ids=["in its name", "in its own name"]
)
def test_what_others_send_in_its_name_is_quarantined(envelope: str, spf: str) -> None:
    token = accepted(world.send(CANARY, envelope=envelope, author=MAILBOX))
    # The message after it shows that enough time has passed.
    world.arrived(accepted(here.send(CANARY)), CANARY)
    assert world.find(token, CANARY) is None
    header = here.quarantined(token)
    assert f"spf={spf}" in header, header
    assert re.search(r"dmarc=fail \(p=quarantine dis=quarantine\) header\.from=" + re.escape(ZONE), header), header


@pytest.mark.parametrize("recipient", [MAILBOX, f"postmaster@{ZONE}", f"dmarc@{ZONE}"])
def test_a_strangers_mail_is_in_the_providers_mailbox(recipient: str) -> None:
    delivered = world.arrived(accepted(world.send(recipient)), MAILBOX)
    assert delivered["From"] == STRANGER and "dmarc=pass" in world.results(delivered)


def test_without_proof_mail_reaches_the_lenient_and_nobody_else() -> None:
    """Mail among providers at home goes on, so nobody suspects the records; Gmail and Yahoo refuse."""
    with here.without_proof():
        # A key that nobody can look up is switched off at the provider as well.
        world.arrived(accepted(here.send(FRIEND, sign=False)), FRIEND)
        answer = here.send(CUSTOMER, sign=False)
        assert answer.code == 550 and re.search(r"5\.7\.26 .*unauthenticated", answer.text), answer
        found = world.results(world.arrived(accepted(here.send(CANARY, sign=False)), CANARY))
        assert f"spf=none smtp.mailfrom={ZONE}" in found and "dmarc=none" in found, found
        assert not re.search(r"(?:dkim|dmarc)=pass|spf=pass[^|]*smtp\.mailfrom", found), found
    world.arrived(accepted(here.send(CUSTOMER)), CUSTOMER)


def test_verify_passes_and_counts_the_look_ups(tmp_path: Path) -> None:
    report = here.verify(tmp_path)
    found = {f["id"]: f for f in report["findings"] if f["scope"] == ZONE}
    assert report["exit_code"] == 0 and report["subjects"] == [ZONE]
    assert {k for k, f in found.items() if f["verdict"] not in ("pass", "warn", "na")} == set()
    # One look-up for the include, seven for what it is made of.
    assert found["F3"]["verdict"] == "warn" and "8" in found["F3"]["observed"], found["F3"]


def test_verify_names_the_causes(tmp_path: Path) -> None:
    with here.without_proof():
        report = here.verify(tmp_path)
    found = {f["id"]: f for f in report["findings"] if f["scope"].partition("/")[0] == ZONE}
    # All three missing is one omission, from which the rest follows.
    assert {k for k, f in found.items() if f["verdict"] == "fail"} == {"N3"}
    cause = found["N3"]
    assert all(word in cause["observed"] for word in ("SPF", "DKIM", "DMARC", "163.com", "Gmail")), cause
    assert cause["evidence"] and f"{SELECTOR}._domainkey.{ZONE}" in cause["fix"], cause
    for check in ("F1", "G1", "H1"):
        assert (found[check]["verdict"], found[check]["because"]) == ("unknown", [f"N3@{ZONE}"]), found[check]
    # Its mailboxes are reached all the same.
    assert found["N1"]["verdict"] == found["N10"]["verdict"] == "pass"


POLICIES = {"mx": "adopt", "spf": "adopt", "dmarc": "adopt", "other": "adopt"}
ADOPT = ("-e", json.dumps({"dns_foreign": {ZONE: POLICIES}}))


def made_by_hand() -> list[dict[str, Any]]:
    """What the provider's guide has people enter, with the orange cloud that Cloudflare proposes for a CNAME."""
    key = (paths.PKI / "hosted.dkim.txt").read_text(encoding="utf-8").strip()
    policy = "v=DMARC1; p=none; rua=mailto:mailauth-reports@qq.com"
    return [
        {"type": "MX", "name": ZONE, "content": "mxbiz1.qq.com", "priority": 5},
        {"type": "MX", "name": ZONE, "content": "mxbiz2.qq.com", "priority": 10},
        {"type": "TXT", "name": ZONE, "content": f"v=spf1 include:{EXMAIL_SPF} ~all"},
        {"type": "TXT", "name": f"{SELECTOR}._domainkey.{ZONE}", "content": key},
        {"type": "TXT", "name": f"_dmarc.{ZONE}", "content": policy},
        {"type": "CNAME", "name": WEBMAIL, "content": "exmail.qq.com", "proxied": True},
    ]


def changed(shown: str) -> int:
    found = re.search(r"^localhost\s.*\bchanged=(\d+)", shown, re.MULTILINE)
    assert found is not None, shown[-2000:]
    return int(found[1])


def test_a_domain_made_by_hand_comes_under_management_without_one_wrong_answer(tmp_path: Path) -> None:
    publish = ("playbooks/dns.yml", "-e", f"dns_history={tmp_path}")
    here.reset()
    for record in made_by_hand():
        here.add(**record)
    by_hand = {r["id"]: r["content"] for r in here.records()}

    # Without a word about them, what differs stops the run before anything is written.
    code, shown = here.play(*publish)
    assert code != 0 and f"_dmarc.{ZONE}" in shown and WEBMAIL in shown, shown[-3000:]
    assert {r["id"]: r["content"] for r in here.records()} == by_hand

    key, dmarc = f"{SELECTOR}._domainkey.{ZONE}", f"_dmarc.{ZONE}"
    still = ((ZONE, "MX"), (ZONE, "TXT"), (key, "TXT"))
    before = {one: _answer(*one) for one in (*still, (dmarc, "TXT"))}
    assert all(before.values())
    with here.watched(*still, (dmarc, "TXT")) as seen:
        code, shown = here.play(*publish, *ADOPT)
    assert code == 0 and changed(shown) == 1, shown[-3000:]
    for one in still:
        assert seen[one] == {before[one]}, one
    # Changed in place: at no moment without a policy, nor with two.
    after = _answer(dmarc, "TXT")
    assert seen[(dmarc, "TXT")] <= {before[(dmarc, "TXT")], after} and "p=quarantine" in after[0]

    # The same records, ours now; beside them what was missing. The name for web mail can be seen.
    found = here.records()
    assert set(by_hand) < {r["id"] for r in found}
    assert all(str(r["comment"]).startswith("mailstead:") and not r["proxied"] for r in found), found
    assert _answer(WEBMAIL, "CNAME") == ("exmail.qq.com.",)


def _answer(name: str, kind: str) -> tuple[str, ...]:
    found = faults.lookup(name, kind)
    return tuple(sorted(r.to_text() for r in found)) if found is not None else ()
