# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A service through which applications send: every check passes, breaks where it should, and none claims what nobody saw."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.checks.catalogue import BY_ID, CHECKS
from ansible_collections.mailstead.stack.plugins.module_utils.checks.finding import Finding, exit_code
from ansible_collections.mailstead.stack.plugins.module_utils.checks.judges.tunnel import moment
from ansible_collections.mailstead.stack.plugins.module_utils.checks.planning import probe_plan
from ansible_collections.mailstead.stack.plugins.module_utils.checks.view import (
    View,
    secret_references,
)
from ansible_collections.mailstead.stack.plugins.module_utils.plan.resolve import Facts

from tests.unit.checks.senders import (
    APP,
    BOX,
    CI,
    CLIENT,
    CONTROLLER,
    FIRST,
    FORGED,
    HOST,
    LAN,
    LOGIN_1,
    LOGIN_2,
    NAME,
    NONE,
    PASSWORD,
    SECOND,
    SERVER,
    STARTTLS,
    STRANGER,
    TLS,
    TUNNEL,
    WITNESS,
    WRONG,
    Break,
    Sender,
    down,
    plan,
    service_keys,
    told,
    tunnel_facts,
)
from tests.unit.checks.world import NOW, RUN, facts, verdicts
from tests.unit.examples import DOMAIN_A, HOSTS, plan_d

SERVICE_AUTH = {"name": "notify", "decision": "non_identity", "tokens": ["app1"]}


def reply(probe: str, label: str, code: int, vantage: str = HOST) -> Break:
    return lambda w: w.data(probe, vantage)["replies"].update({label: {"code": code, "text": f"{code} so"}})


def without(probe: str, *labels: str, **changes: Any) -> Break:
    """The session ended before these were answered."""

    def change(w: Sender) -> None:
        for label in labels:
            w.data(probe, HOST)["replies"].pop(label)
        w.data(probe, HOST).update(changes)

    return change


def tls(probe: str = TLS, vantage: str = HOST, **changes: Any) -> Break:
    return lambda w: w.data(probe, vantage).update(changes)


def token(expires_at: str, **changes: Any) -> Break:
    return lambda w: w.tunnel(tokens=[{"name": "app1", "expires_at": expires_at, **changes}])


def ingress(*rules: dict[str, Any]) -> Break:
    def change(w: Sender) -> None:
        now = w.facts.tunnels["notify"]["ingress"]
        w.tunnel(ingress=[*now[:1], *rules, *now[1:]])

    return change


def at_origin(access: Any) -> Break:
    def change(w: Sender) -> None:
        first, *rest = w.facts.tunnels["notify"]["ingress"]
        w.tunnel(ingress=[{**first, "originRequest": {"access": access}}, *rest])

    return change


def size(value: str, *probes: str) -> Break:
    def change(w: Sender) -> None:
        for probe in probes:
            w.data(probe, HOST)["ehlo"] = [value, "AUTH PLAIN"]

    return change


def service(**changes: Any) -> Break:
    """The judges see another plan than that the probes were made for."""

    def change(w: Sender) -> None:
        w.plan = plan(w.plan, **changes)

    return change


def bounces(**changes: Any) -> Break:
    def change(w: Sender) -> None:
        apps = tuple(dataclasses.replace(a, return_path="b@elsewhere.example") for a in w.service.applications)
        w.plan = plan(w.plan, applications=apps)
        answers = w.data("dns.resolver", CONTROLLER)["answers"]
        if changes:
            answers["elsewhere.example MX"] = {"rcode": "NOERROR", "values": ["10 mx.elsewhere.example"], **changes}

    return change


CASES: list[tuple[str, str, Break]] = [
    ("S1", "fail", tls(connect="refused", error="refused")),
    ("S1", "fail", tls(greeting="")),
    ("S1", "unknown", lambda w: w.lose(TLS, "library", vantage=HOST)),
    ("S1", "na", tls(vantage=APP, connect="timeout")),
    ("S1", "unknown", tls(vantage=CONTROLLER, connect="timeout")),
    ("S2", "fail", tls(chain_ok=False, chain_error="self-signed certificate")),
    ("S2", "fail", tls(name_ok=False)),
    ("S2", "unknown", lambda w: w.lose(TLS, "library", vantage=HOST)),
    ("S3", "fail", tls(not_after=NOW - 1)),
    ("S3", "warn", tls(not_after=NOW + 4 * 86400)),
    ("S4", "fail", tls(legacy=True)),
    ("S4", "unknown", tls(legacy=None)),
    ("S5", "fail", reply(STARTTLS, "auth", 334)),
    ("S5", "fail", lambda w: w.data(STARTTLS).update(ehlo=["STARTTLS", "AUTH PLAIN"])),
    ("S5", "fail", lambda w: w.data(STARTTLS).update(ehlo=["SIZE 1"])),
    ("S5", "fail", lambda w: (reply(STARTTLS, "mail", 250)(w), reply(STARTTLS, "rcpt", 250)(w))),
    ("S5", "unknown", without(STARTTLS, "auth", ended="closed")),
    ("S5", "na", service(listeners=())),
    ("S6", "fail", lambda w: (reply(STRANGER, "mail", 250)(w), reply(STRANGER, "rcpt", 250)(w))),
    ("S6", "fail", reply(STRANGER, "rcpt", 250, APP)),
    ("S6", "pass", reply(STRANGER, "mail", 250)),
    ("S6", "unknown", lambda w: (reply(STRANGER, "mail", 451)(w), reply(STRANGER, "rcpt", 451)(w))),
    ("S6", "unknown", without(STRANGER, "mail", "rcpt", connect="refused")),
    ("S7", "fail", reply(FORGED, "envelope", 250)),
    ("S7", "fail", reply(FORGED, "envelope", 250, APP)),
    ("S7", "unknown", reply(FORGED, "envelope", 451)),
    ("S7", "unknown", without(FORGED, "auth", "envelope", ended="tls")),
    ("S7", "unknown", service(probe=None)),
    ("S8", "fail", reply(FORGED, "header", 250)),
    ("S8", "unknown", without(FORGED, "header")),
    ("S9", "fail", reply(FORGED, "neighbour", 250)),
    ("S9", "unknown", without(FORGED, "neighbour")),
    ("S9", "na", service(applications=())),
    ("S10", "fail", reply(PASSWORD, "auth", 235)),
    ("S10", "unknown", reply(PASSWORD, "auth", 454)),
    ("S10", "unknown", without(PASSWORD, "auth", ended="auth")),
    ("S10", "unknown", without(PASSWORD, "auth", ended="")),
    ("S10", "unknown", service(probe=None)),
    ("S11", "fail", lambda w: w.data(f"sender.port25/notify/{LAN}").update(connect="open", banner="220 exim")),
    ("S11", "fail", lambda w: w.data(f"sender.port25/notify/{SERVER}").update(connect="open", banner="")),
    ("S11", "pass", lambda w: w.data(f"sender.port25/notify/{LAN}").update(connect="timeout")),
    ("S11", "unknown", lambda w: w.data(f"sender.port25/notify/{LAN}").update(connect="no-route")),
    ("S11", "unknown", lambda w: w.lose(f"sender.port25/notify/{LAN}")),
    ("S12", "fail", reply(STRANGER, "domain", 250)),
    ("S12", "unknown", lambda w: w.lose(STRANGER, vantage=APP)),
    ("S13", "fail", reply(FORGED, "login-name", 250)),
    ("S13", "unknown", lambda w: w.lose(FORGED, "secret", "no value was given")),
    ("S14", "fail", size("SIZE 104857600", STRANGER)),
    ("S14", "fail", size("8BITMIME", STRANGER)),
    ("S14", "unknown", lambda w: w.data(STRANGER, HOST).update(ehlo=[], ended="timeout")),
    ("S15", "fail", lambda w: w.answered(NONE, 101, vantage=APP)),
    ("S15", "pass", lambda w: w.answered(NONE, 302, "https://mailstead.cloudflareaccess.com/cdn-cgi/access/login/x")),
    ("S15", "unknown", lambda w: w.answered(NONE, 302, "https://www.example.com/")),
    ("S15", "unknown", lambda w: w.answered(NONE, 404)),
    ("S15", "unknown", lambda w: w.lose(NONE)),
    ("S16", "fail", lambda w: w.answered(WRONG, 101, vantage=CONTROLLER)),
    ("S16", "unknown", lambda w: w.answered(WRONG, 530)),
    ("S17", "fail", tls(CLIENT, APP, connect="closed", error="EOF")),
    ("S17", "fail", tls(CLIENT, APP, connect="refused")),
    ("S17", "fail", tls(CLIENT, APP, name_ok=False)),
    ("S17", "unknown", lambda w: w.lose(CLIENT, "library")),
    ("S17", "unknown", service(clients=())),
    ("S18", "fail", lambda w: w.tunnel(status="down", connections=0)),
    ("S18", "fail", lambda w: w.tunnel(status="inactive", connections=None)),
    ("S18", "fail", lambda w: w.tunnel(status="missing", id="")),
    ("S18", "warn", lambda w: w.tunnel(status="degraded", connections=1)),
    ("S18", "unknown", lambda w: w.tunnel(status="odd")),
    ("S18", "unknown", lambda w: w.untold()),
    ("S19", "fail", lambda w: w.access(app=None)),
    ("S19", "fail", lambda w: w.access(app={"domain": "www.example.com"})),
    ("S19", "fail", lambda w: w.access({"name": "all", "decision": "bypass"}, SERVICE_AUTH)),
    ("S19", "fail", lambda w: w.access({"name": "any", "decision": "non_identity", "tokens": []}, SERVICE_AUTH)),
    ("S19", "fail", lambda w: w.access({**SERVICE_AUTH, "tokens": ["app1", "old"]})),
    ("S19", "fail", lambda w: w.access({"name": "nobody", "decision": "deny"})),
    ("S19", "pass", lambda w: w.access({"name": "rest", "decision": "deny"}, SERVICE_AUTH)),
    ("S19", "unknown", lambda w: w.tunnel(access=None)),
    ("S20", "fail", token("2026-11-20T00:00:00Z")),
    ("S20", "fail", lambda w: w.tunnel(tokens=[])),
    ("S20", "warn", token("2026-12-01T00:00:00.123456789Z")),
    ("S20", "pass", token("")),
    ("S20", "unknown", token("soon")),
    ("S20", "unknown", lambda w: w.untold()),
    ("S21", "fail", ingress({"hostname": "ssh.example.com", "service": "ssh://localhost:22"})),
    ("S21", "fail", lambda w: w.tunnel(ingress=[{"hostname": "", "service": "http_status:404"}])),
    ("S21", "fail", lambda w: w.tunnel(ingress=[])),
    ("S21", "fail", lambda w: w.tunnel(hostnames=[TUNNEL, "old.example.com"])),
    ("S21", "fail", lambda w: w.tunnel(hostnames=["old.example.com"], ingress=None)),
    ("S21", "fail", lambda w: w.tunnel(dns={"name": TUNNEL, "proxied": False})),
    ("S21", "fail", at_origin({"required": False})),
    ("S21", "fail", at_origin({"required": True, "audTag": ["aud-2"]})),
    ("S21", "unknown", lambda w: w.tunnel(ingress=None)),
    ("S21", "unknown", lambda w: w.untold()),
    ("S22", "warn", down(LOGIN_1)),
    ("S22", "warn", reply(LOGIN_2, "auth", 535)),
    ("S22", "warn", without(LOGIN_1, "auth", ended="closed")),
    ("S22", "warn", lambda w: w.data(LOGIN_1)["tls"].update(chain_ok=False, chain_error="expired")),
    ("S22", "warn", lambda w: w.data(LOGIN_1)["tls"].update(name_ok=False)),
    ("S22", "warn", lambda w: w.data(LOGIN_1).update(tls=None)),
    ("S22", "fail", down(LOGIN_1, LOGIN_2)),
    ("S22", "unknown", lambda w: w.lose(LOGIN_1, "dns", "no such name")),
    ("S23", "warn", size("SIZE 5242880", LOGIN_1)),
    ("S23", "warn", size("8BITMIME", LOGIN_1)),
    ("S23", "fail", size("SIZE 5242880", LOGIN_1, LOGIN_2)),
    ("S23", "unknown", lambda w: w.data(LOGIN_1).update(ehlo=[])),
    ("S24", "warn", lambda w: setattr(w, "facts", suppressing(w, suppressed=["gone@example.net"]))),
    ("S24", "warn", lambda w: setattr(w, "facts", suppressing(w, suppressed=[{"email": "gone@example.net", "reason": "bounced"}]))),
    ("S24", "unknown", lambda w: setattr(w, "facts", suppressing(w, error="403 from the API"))),
    ("S26", "fail", lambda w: submitted(w)["results"]["sent"].update(code=452, text="452 4.4.5 later", stage="mail")),
    ("S26", "fail", lambda w: w.data(BOX)["messages"].pop(APP)),
    ("S26", "warn", lambda w: w.data(BOX)["messages"][HOST].update(folder="Junk")),
    ("S26", "unknown", lambda w: w.lose(BOX, "auth", "refuses the login")),
    ("S26", "unknown", lambda w: w.lose(f"sender.message/notify/{APP}/{WITNESS}")),
    ("S26", "unknown", service(probe=None)),
    ("S26", "unknown", lambda w: setattr(w, "plan", dataclasses.replace(w.plan, canaries=()))),
    ("S27", "fail", lambda w: w.heard("dkim=fail header.d=example.com; dmarc=pass")),
    ("S27", "fail", lambda w: w.heard("dkim=pass header.d=smtp2go.com; dmarc=pass")),
    ("S27", "pass", lambda w: w.heard("dkim=pass header.i=@example.com; dmarc=pass")),
    ("S27", "unknown", lambda w: w.data(BOX)["messages"].pop(APP)),
    ("S28", "fail", lambda w: w.heard("dkim=pass header.d=example.com; dmarc=fail")),
    ("S28", "fail", lambda w: w.heard("dkim=pass header.d=example.com")),
    ("S29", "fail", service(webhook="http://hooks.example.com/x")),
    ("S29", "pass", service(webhook="https://hooks.example.com/x")),
    ("S29", "pass", bounces(values=["10 mx.elsewhere.example"])),
    ("S29", "fail", bounces(values=["0 ."])),
    ("S29", "fail", bounces(values=[])),
    ("S29", "unknown", bounces(rcode="SERVFAIL", values=[])),
    ("S29", "unknown", bounces()),
    ("S29", "unknown", lambda w: w.lose("dns.zone/example.com", "timeout")),
    ("S30", "fail", lambda w: w.publish(f"em123456.{CI}", "CNAME")),
    ("S30", "fail", lambda w: w.publish(f"s123456._domainkey.{CI}", "CNAME", "dkim.example.net")),
    ("S30", "unknown", lambda w: w.lose("dns.zone/example.com", "timeout")),
    ("E9", "fail", lambda w: w.publish(NAME, "CAA", '0 issue "letsencrypt.org; validationmethods=http-01"')),
    ("F3", "fail", lambda w: w.data(f"spf.cost/{CI}").update(lookups=11)),
    ("G1", "fail", lambda w: w.publish("notify-202611r._domainkey.example.com", "TXT")),
    ("G4", "fail", lambda w: w.publish("notify-202611r._domainkey.example.com", "TXT", "v=DKIM1; k=rsa; p=QUJD")),
    ("G10", "fail", lambda w: w.data("file.dkim/example.com/notify-202611r", HOST).update(mode="0644")),
    ("G6", "unknown", lambda w: setattr(w, "facts", dataclasses.replace(w.facts, dkim=()))),
    ("E12", "fail", lambda w: w.data("clock", APP).update(offset=90.0)),
]  # fmt: skip


def submitted(w: Sender) -> dict[str, Any]:
    return w.data(f"sender.message/notify/{APP}/{WITNESS}")


def suppressing(w: Sender, **row: Any) -> Facts:
    return dataclasses.replace(w.facts, smarthosts={"notify": {"1-cloudflare_email_sending": row}})


def broken(change: Break) -> tuple[Finding, ...]:
    world = Sender()
    change(world)
    return world.judge()


def of_area(findings: tuple[Finding, ...]) -> dict[str, str]:
    return {f.key: f.verdict for f in findings if f.id.startswith("S")}


def test_a_healthy_service_passes_every_check() -> None:
    findings = Sender().judge()
    odd = {f.key: f.observed for f in findings if f.verdict not in ("pass", "na") and f.matters}
    assert odd == {}
    passed = {f.id for f in findings if f.verdict == "pass"}
    # Both domains are routed: that SPF has the smarthosts is R6's matter.
    assert {c.id for c in CHECKS if c.area == "Internal senders"} - passed == {"S25"}
    assert passed >= {"R6", "G1", "G4", "G6", "G10", "H1", "F1"}
    assert exit_code(findings) == 0


def test_each_check_is_made_once() -> None:
    keys = [f.key for f in Sender().judge()]
    assert sorted(keys) == sorted(set(keys))


@pytest.mark.parametrize(
    ("check", "verdict", "change"), CASES, ids=[f"{c}-{v}-{n}" for n, (c, v, _b) in enumerate(CASES)]
)
def test_a_check_notices_what_it_is_for(check: str, verdict: str, change: Break) -> None:
    findings = broken(change)
    assert verdict in verdicts(findings, check), [
        f"{f.key} {f.verdict} {f.observed}" for f in findings if f.id == check
    ]
    for finding in findings:
        if finding.verdict in ("fail", "warn"):
            assert finding.fix and finding.observed, finding.key
        needs = {r.partition("@")[0] for r in finding.requires}
        assert needs <= set(BY_ID[finding.id].needs), f"{finding.key} requires more than docs/checks.md says"


def test_every_check_gives_its_worst_verdict_and_none_a_worse_one() -> None:
    area = [c for c in CHECKS if c.area == "Internal senders"]
    shown = {(c, v) for c, v, _b in CASES}
    assert [c.id for c in area if (c.id, c.severity) not in shown] == ["S25"]
    assert [c.id for c in area if (c.id, "unknown") not in shown] == ["S3", "S25", "S28"]
    assert {c for c, v in shown if v == "fail"} & {c.id for c in area if c.severity == "warn"} == set()


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (tls(connect="refused"), {f"S1@notify/{HOST}"}),
        (down(LOGIN_1, LOGIN_2), {f"S22@{FIRST}", f"S22@{SECOND}"}),
        (lambda w: w.tunnel(status="down"), {"S18@notify"}),
        (token("2026-11-20T00:00:00Z"), {"S20@notify/app1"}),
        (lambda w: w.tunnel(tokens=[], access={"app": None, "policies": []}), {"S19@notify"}),
    ],
    ids=["server", "smarthosts", "tunnel", "token", "access"],
)
def test_one_broken_thing_shows_as_itself(change: Break, cause: set[str]) -> None:
    """Everything that follows is broken with it, and is reported as unknown because of it."""
    world = Sender()
    change(world)
    if cause == {f"S1@notify/{HOST}"}:
        for probe in (STRANGER, FORGED, PASSWORD, STARTTLS):
            world.data(probe, HOST).update(connect="refused", ended="refused", replies={}, ehlo=[])
        world.data(f"sender.message/notify/{HOST}/{WITNESS}")["results"]["sent"].update(
            code=0, stage="connect: refused"
        )
    elif cause & {f"S22@{FIRST}", "S18@notify", "S20@notify/app1"}:
        world.data(CLIENT, APP).update(connect="closed")
        world.data(BOX)["messages"].clear()
    else:
        world.answered(NONE, 101)
    failed = {f.key for f in world.judge() if f.verdict == "fail"}
    # What came directly was not lost for want of a tunnel: only where the smarthosts are the cause it is all lost.
    own = {f"S17@notify/{APP}"} if cause & {f"S22@{FIRST}"} else set()
    lost = {f"S26@notify/lan/{WITNESS}"} if cause & {"S18@notify", "S20@notify/app1"} else set()
    assert failed == cause | own | lost


def test_a_plan_without_services_is_asked_and_judged_as_ever() -> None:
    of = dataclasses.replace(plan(), submissions=())
    world = Sender.__new__(Sender)
    world.plan = of
    view = View(of, Facts(routing=told(of)))
    probes = probe_plan(view, RUN)
    assert set(probes) == {CONTROLLER}
    assert not [p["id"] for p in probes[CONTROLLER] if p["id"].split(".")[0] in ("sender", "tunnel", "smarthost")]


def test_a_service_that_goes_is_not_checked() -> None:
    of = plan(state="absent")
    view = View(of, Facts(routing=told(of)))
    assert set(probe_plan(view, RUN)) == {CONTROLLER} and view.submissions == ()
    assert secret_references(of) == tuple(c.secret for c in of.canaries)


def test_without_a_tunnel_nothing_is_asked_of_one() -> None:
    findings = Sender(plan(tunnel=None, clients=())).judge()
    assert {f.verdict for f in findings if f.id in ("S15", "S16", "S17", "S18", "S19", "S20", "S21")} == {"na"}
    assert exit_code(findings) == 0


def test_a_tunnel_that_a_file_describes_is_believed() -> None:
    tunnel = plan().submissions[0].tunnel
    assert tunnel is not None
    world = Sender(plan(tunnel=dataclasses.replace(tunnel, management="local")))
    world.tunnel(ingress=None)
    (finding,) = [f for f in world.judge() if f.id == "S21"]
    assert (finding.verdict, finding.matters) == ("unknown", False) and HOST in finding.observed


def test_a_token_that_lives_shortly_is_not_soon_to_end_all_its_life() -> None:
    tunnel = plan().submissions[0].tunnel
    assert tunnel is not None
    world = Sender(plan(tunnel=dataclasses.replace(tunnel, duration=30 * 86400)))
    token("2026-12-10T00:00:00Z")(world)
    assert verdicts(world.judge(), "S20") == {"pass"}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1970-01-02T00:00:00Z", 86400), ("1970-01-01T00:00:01.5+00:00", 1.5), ("1970", None), ("", None)],
)
def test_times_are_read_as_apis_write_them(text: str, seconds: float | None) -> None:
    assert moment(text) == seconds


def test_without_an_address_on_the_lan_its_own_host_looks_alone() -> None:
    world = Sender(plan(lan_address=""))
    assert [f.scope for f in world.judge() if f.id == "S1"] == [f"notify/{HOST}"]
    assert world.data(TLS, HOST)["address"] == SERVER
    assert verdicts(world.judge(), "S11") == {"pass"}


def test_an_edge_of_ours_is_a_smarthost_without_a_login() -> None:
    edge = dataclasses.replace(
        plan().submissions[0].smarthosts[1], provider="edge", host="172.29.25.10", port=2525, tls="none", username=""
    )
    world = Sender(plan(smarthosts=(edge,)))
    assert "auth" not in next(p for p in world.probes[HOST] if p["kind"] == "smtp" and p["id"] == LOGIN_2)["args"]
    world.data(LOGIN_2).update(tls=None)
    assert verdicts(world.judge(), "S22") == {"pass"}
    world.data(LOGIN_2).update(ehlo=[], ended="timeout")
    assert verdicts(world.judge(), "S22") == {"fail"}


def test_a_domain_with_mailboxes_at_home_must_authorise_the_smarthosts() -> None:
    """The same domain is sent for from its home and by the service: each key and each record is judged once."""
    mailgun = {"provider": "mailgun", "username": "postmaster@example.com", "secret": "{{ vault_mailgun }}"}
    of = plan(plan_d([DOMAIN_A], {**HOSTS, "lan-box": {"groups": ["mail_home"]}, "app1": {"groups": ["mail_client"]}},
                     senders={"billing": ["noreply@example.com"]}, smarthosts=[mailgun]))  # fmt: skip
    known = dataclasses.replace(facts(), dkim=(*facts().dkim, *service_keys(of)), tunnels={"notify": tunnel_facts(of)})
    world = Sender(of, known)
    findings = world.judge()
    assert verdicts(findings, "S25", "notify/example.com") == {"pass"}
    keys = [f.key for f in findings]
    assert sorted(keys) == sorted(set(keys))
    scopes = {f.scope for f in findings if f.id == "G4"}
    assert scopes == {
        "example.com/202611r",
        "example.com/202611e",
        "example.com/notify-202611r",
        "example.com/notify-202611e",
    }
    spf = world.records("example.com", "TXT")
    assert any("include:" in r for r in spf)
    world.publish("example.com", "TXT", "v=spf1 ip4:198.18.1.10 -all")
    assert verdicts(world.judge(), "S25") == {"fail"}
    world.publish("example.com", "TXT", "v=spf1 include:")
    assert verdicts(world.judge(), "S25") == {"unknown"}
