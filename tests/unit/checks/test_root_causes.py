# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One broken thing shows as exactly one failure; what follows from it is unknown, with the cause."""

from __future__ import annotations

import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.checks.finding import (
    Finding,
    exit_code,
    finding_from,
    root_causes,
    settle,
)

from tests.unit.checks.world import DOMAIN, HOST, STRANGER, V4, V6, Break, World, broken, failed

CANARY = f"mail.canary/{DOMAIN}/canary@strict.example.org"


def one(check: str, verdict: str, scope: str = "s", requires: tuple[str, ...] = (), matters: bool = True) -> Finding:
    return Finding(check, check, scope, verdict, requires=requires, matters=matters)


def bounced(w: World, text: str) -> None:
    w.data(CANARY).update(arrived=False, bounced=text, headers=[], signatures=[])


def no_ptr(w: World) -> None:
    """What the lab shows when the PTR goes: the strict receiver refuses, the report comes back."""
    for address in (V4, V6):
        w.data(f"dns.reverse/{address}").update(ptr=[], rcode="NXDOMAIN", forward={})
    bounced(w, "550 5.7.1 Client host rejected: cannot find your reverse hostname")


def wrong_spf(w: World) -> None:
    w.publish(DOMAIN, "TXT", "v=spf1 ip4:198.18.9.9 -all")
    for address in (V4, V6):
        w.data(f"spf/{DOMAIN}/{address}").update(result="fail", matched="-all", record="v=spf1 ip4:198.18.9.9 -all")
    bounced(w, "550 5.7.23 SPF fail - not authorized")


def no_spf(w: World) -> None:
    w.publish(DOMAIN, "TXT")
    for address in (V4, V6):
        w.data(f"spf/{DOMAIN}/{address}").update(result="none", record="", reason="publishes no SPF record")
    for row in w.data(CANARY)["headers"]:
        row[1] = row[1].replace("spf=pass", "spf=none")


def no_dkim_record(w: World) -> None:
    w.publish(f"202611r._domainkey.{DOMAIN}", "TXT")
    w.data(CANARY)["signatures"][0].update(result="fail", reason="0 key records")
    for row in w.data(CANARY)["headers"]:
        row[1] = row[1].replace(
            f"dkim=pass (key ok) header.d={DOMAIN} header.s=202611r",
            f"dkim=permerror header.d={DOMAIN} header.s=202611r",
        )


def other_dkim_key(w: World) -> None:
    import base64  # noqa: PLC0415

    w.publish(f"202611e._domainkey.{DOMAIN}", "TXT", f"v=DKIM1; k=ed25519; p={base64.b64encode(bytes(32)).decode()}")
    w.data(CANARY)["signatures"][1].update(result="fail", reason="the signature does not match")


def open_relay(w: World) -> None:
    for (probe, _vantage), seen in w.seen.items():
        if probe.startswith("smtp.relay/"):
            seen["data"]["replies"]["rcpt"] = {"code": 250, "text": "250 2.1.5 OK"}


def wide_trust(w: World) -> None:
    """The server believes PROXY headers from its whole network, so any neighbour may invent a client."""
    for version in ("v1", "v2"):
        w.data(f"proxy.forged/direct/{version}").update(outcome="accepted")


def no_trust(w: World) -> None:
    """The server takes the tunnel's PROXY header for SMTP: it greets, then nothing works on any port."""
    for (probe, _vantage), seen in w.seen.items():
        data = seen["data"]
        if probe.startswith(("smtp.session/", "smtp.relay/", "smtp.recipients/")):
            data.update(ehlo=[], ehlo_tls=[], ehlo_code=500, tls=None, replies={}, ended="closed", legacy=None)
        elif probe.startswith("tls/"):
            data.update(connect="tls", error="record layer failure")
        elif probe.startswith("https."):
            data.update(connect="open", tls_error="record layer failure", status=0, body="")
        elif probe.startswith("submission."):
            data.update(connect="tls", ended="tls", replies={})
        elif probe.startswith("mail.stranger/"):
            for row in data["results"].values():
                row.update(code=500, text="500 5.5.1 Invalid command.", stage="ehlo")
        elif probe.startswith("mail.canary/"):
            data.update(
                arrived=False, submitted={"code": 0, "text": ""}, stage="connect: tls", headers=[], signatures=[]
            )
    w.lose(f"mail.mailbox/{DOMAIN}", "tls", "record layer failure")


def tunnel_address(w: World) -> None:
    """The server trusts nobody and the tunnel sends no header: every client looks like the tunnel."""
    message = w.data(f"mail.mailbox/{DOMAIN}")["messages"]["genuine"]
    message["headers"] = [["Received", f"from x (unknown [172.29.25.10]) by {HOST} with ESMTPS id 3"]]


def no_inbound_25(w: World) -> None:
    for (probe, _vantage), seen in w.seen.items():
        data = seen["data"]
        if probe.startswith(("smtp.session/", "smtp.relay/", "smtp.recipients/")):
            data.update(
                connect="timeout", ended="timeout", banner="", ehlo=[], ehlo_tls=[], tls=None, replies={}, legacy=None
            )
        elif probe.startswith("proxy.forged/") and "direct" not in probe:
            data.update(outcome="timeout", replies=[])
        elif probe.startswith("mail.stranger/"):
            for row in data["results"].values():
                row.update(code=0, text="timeout", stage="connect", source="")
    w.data(f"mail.mailbox/{DOMAIN}")["messages"].clear()


def no_outbound_25(w: World) -> None:
    for family in ("ipv4", "ipv6"):
        for row in w.data(f"egress25/{family}", "vps1")["operators"]:
            row.update(outcome="dropped", banner="", starttls=False, tls=None)
    w.data(CANARY).update(arrived=False, headers=[], signatures=[])


def expired(w: World) -> None:
    for (probe, _vantage), seen in w.seen.items():
        data = seen["data"]
        tls = data.get("tls") if probe.startswith("smtp.session/") else data if probe.startswith("tls/") else None
        if tls:
            tls.update(not_after=w.now - 60, chain_ok=False, chain_error="certificate has expired")
        if probe.startswith("https."):
            data.update(tls_error="certificate has expired", status=0, body="")
    w.data(CANARY).update(
        arrived=False, submitted={"code": 0, "text": ""}, stage="connect: tls", headers=[], signatures=[]
    )
    w.lose(f"mail.mailbox/{DOMAIN}", "tls", "certificate has expired")


SCENARIOS: list[tuple[Break, set[str]]] = [
    (no_ptr, {"A1"}),
    (wrong_spf, {"F10"}),
    (no_spf, {"F1"}),
    (no_dkim_record, {"G1"}),
    (other_dkim_key, {"G4"}),
    (open_relay, {"L1"}),
    (wide_trust, {"L15"}),
    (no_trust, {"C2"}),
    (tunnel_address, {"C2"}),
    (no_inbound_25, {"C1"}),
    (no_outbound_25, {"B1"}),
]


@pytest.mark.parametrize(("change", "expected"), SCENARIOS, ids=[c.__name__ for c, _e in SCENARIOS])
def test_exactly_the_matching_check_fails(change: Break, expected: set[str]) -> None:
    findings = broken(change)
    assert failed(findings) == expected
    assert exit_code(findings) == 1
    for finding in findings:
        if finding.verdict == "fail":
            assert finding.evidence and finding.fix and finding.observed


@pytest.mark.parametrize("change", [no_ptr, wrong_spf, no_outbound_25])
def test_the_canary_that_did_not_arrive_names_the_cause(change: Break) -> None:
    findings = broken(change)
    for check in ("P1", "P4", "G7", "A7"):
        for finding in (f for f in findings if f.id == check):
            assert finding.verdict == "unknown"
            assert {b.partition("@")[0] for b in finding.because} == failed(findings)


def test_an_expired_certificate_is_the_only_failure_besides_the_policy_it_serves() -> None:
    # The policy's own certificate is fetched from another name: it is judged by itself.
    assert failed(broken(expired)) == {"K3", "I2"}


def test_a_canary_lost_without_a_cause_fails_by_itself() -> None:
    findings = broken(lambda w: w.data(CANARY).update(arrived=False, headers=[], signatures=[]))
    assert failed(findings) == {"P1"}


def test_a_vantage_behind_nat_is_recognised() -> None:
    def change(w: World) -> None:
        w.data(f"mail.stranger/{DOMAIN}")["results"]["genuine"]["source"] = "192.168.1.20"

    assert failed(broken(change)) == set()
    assert STRANGER  # the address the server saw


def test_a_cause_at_another_scope_explains_nothing() -> None:
    findings = settle([one("A1", "fail", "198.18.1.11"), one("A2", "fail", "198.18.1.10", ("A1@198.18.1.10",))])
    assert failed(findings) == {"A1", "A2"}


def test_only_the_far_end_of_a_chain_is_a_cause() -> None:
    chain = [one("A1", "fail"), one("A2", "unknown", requires=("A1",)), one("A3", "fail", requires=("A2",))]
    chain.append(one("A4", "fail", requires=("A3",)))
    assert root_causes(chain[3], chain) == ("A1@s",)
    assert failed(settle(chain)) == {"A1"}


def test_requirements_in_a_circle_end() -> None:
    circle = [one("A1", "unknown", requires=("A2",)), one("A2", "unknown", requires=("A1",))]
    assert [f.verdict for f in settle(circle)] == ["unknown", "unknown"]


def test_what_was_proven_stays_passed() -> None:
    findings = settle([one("A1", "fail"), one("A2", "pass", requires=("A1",)), one("A3", "warn", requires=("A1",))])
    assert {f.id: f.verdict for f in findings} == {"A1": "fail", "A2": "pass", "A3": "unknown"}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], 3),
        ([one("A1", "pass"), one("A2", "warn"), one("A3", "na")], 0),
        ([one("A1", "unknown", matters=False)], 0),
        ([one("A1", "unknown")], 2),
        ([one("A1", "unknown"), one("A2", "fail")], 1),
    ],
)
def test_exit_codes(given: list[Finding], expected: int) -> None:
    assert exit_code(given) == expected


def test_findings_are_sorted_worst_first_and_survive_json() -> None:
    findings = settle([one("A10", "pass"), one("A2", "pass"), one("B1", "warn"), one("C1", "fail"), one("D1", "na")])
    assert [f.id for f in findings] == ["C1", "B1", "A2", "A10", "D1"]
    assert tuple(finding_from(f.to_data()) for f in findings) == findings
