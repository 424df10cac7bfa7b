# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A service for applications, set up as the product does it, used and abused over SMTP.

Always on the stand-in; on the real server too where ``MAILSTEAD_CONTRACT_IMAGE`` names its image.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import hmac
import smtplib
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import dkim
import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.plan.model import SmarthostPlan, SubmissionPlan
from ansible_collections.mailstead.stack.plugins.module_utils.plan.server_parts import (
    ServerOptions,
    fill_secrets,
    secret_references,
)
from ansible_collections.mailstead.stack.plugins.module_utils.plan.submission_server import submission_objects

from tests.contract.replay import Material
from tests.contract.smarthosts import Authority, HookProgram, Smarthost
from tests.contract.submission_servers import IMAGE, SERVER_NAME, Container, Server, StandIn
from tests.unit.examples import plan_d

BILLING, CI, METERED = f"billing@{SERVER_NAME}", f"ci@{SERVER_NAME}", f"metered@{SERVER_NAME}"
PASSWORD = "Correct-Horse-7-Battery"
NOREPLY = "noreply@example.com"
NAMES = ("smart1.test", "smart2.test", "smart3.test")
RELAY = ("relay", "Smart-Secret-9-Of-The-Test")
HOOK_SECRET = "Hook-Secret-5-Of-The-Test"
AT_ONCE = 8  # deliveries of the stand-in
BODY = "To: x@remote.test\r\nSubject: {subject}\r\n\r\nbody\r\n"


@dataclasses.dataclass
class World:
    """A service with its surroundings."""

    server: Server
    plan: SubmissionPlan
    objects: list[dict[str, Any]]
    smarthosts: list[Smarthost]
    ports: list[int]
    contexts: dict[str, ssl.SSLContext]
    hook: HookProgram
    material: Material

    def up(self, number: int, certificate: str = "") -> None:
        """Start a smarthost, perhaps with another one's certificate."""
        host = self.smarthosts[number]
        host.stop()
        # The second speaks STARTTLS, the others TLS from the start.
        host.start(self.server.near, self.ports[number], self.contexts[certificate or host.name], number != 1)

    def fresh(self) -> None:
        """Nothing is waiting, every smarthost is up and takes everything, nobody has said anything yet."""
        for number, host in enumerate(self.smarthosts):
            host.refuses.clear()
            if host.controller is None:
                self.up(number)
        self.until(lambda: not self.server.objects("QueuedMessage"), 30)
        for host in self.smarthosts:
            host.taken.clear()
        self.hook.calls.clear()

    def until(self, done: Callable[[], Any], seconds: float = 20) -> None:
        """Wait for something that has to come."""
        deadline = time.monotonic() + seconds
        while not done():
            assert time.monotonic() < deadline, "in vain"
            time.sleep(0.1)

    def taken(self) -> list[tuple[str, str, tuple[str, ...]]]:
        """(smarthost, sender, recipients) of everything taken."""
        return [(host.name, one.sender, one.recipients) for host in self.smarthosts for one in host.taken]

    def send(self, login: str, sender: str, header: str, rcpt: str = "x@remote.test", subject: str = "t") -> str:
        """One session; ``250`` or ``COMMAND reply`` of the refusal."""
        session = self.server.smtp(login, PASSWORD)
        try:
            code, text = session.mail(sender)
            if code != 250:
                return f"MAIL {code} {text.decode()}"
            code, text = session.rcpt(rcpt)
            if code != 250:
                return f"RCPT {code} {text.decode()}"
            code, text = session.data(header + BODY.format(subject=subject))
            return "250" if code == 250 else f"DATA {code} {text.decode()}"
        finally:
            session.close()


def _free_port(address: str) -> int:
    with socket.socket() as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])


def _plan(ports: list[int], hook: str) -> SubmissionPlan:
    """Example D with smarthosts of the test, one application of each kind, and an impatient schedule."""
    senders = {
        "billing": [NOREPLY],
        "ci": {"addresses": ["*@ci.example.com"], "smarthosts": ["smtp2go"], "bounces": "ops@ci.example.com"},
        "metered": {"addresses": ["meter@example.com"], "limits": {"per_sender": "4/h", "max_size": "2KiB"}},
    }
    plan = plan_d(senders=senders, bounces=None).submissions[0]
    hosts = [
        SmarthostPlan(f"{n}-test", "test", "Test", name, port, "starttls" if n == 2 else "implicit", RELAY[0], "relay")
        for n, (name, port) in enumerate(zip(NAMES, ports), start=1)
    ]
    order = {"billing": (0, 1, 2), "ci": (2, 0), "metered": (0, 1, 2)}
    applications = tuple(
        dataclasses.replace(a, smarthosts=tuple(hosts[n].id for n in order[a.name])) for a in plan.applications
    )
    probe = dataclasses.replace(plan.probe, smarthosts=tuple(h.id for h in hosts)) if plan.probe else None
    return dataclasses.replace(
        plan, smarthosts=tuple(hosts), applications=applications, probe=probe, webhook=hook, webhook_secret="hook"
    )


def _objects(plan: SubmissionPlan, server: Server) -> list[dict[str, Any]]:
    options = ServerOptions(
        certificate=f"{server.inside}/{SERVER_NAME}.crt",
        certificate_key=f"{server.inside}/{SERVER_NAME}.key",
        dkim_directory=server.inside,
        allowed_ips=(server.near,),
    )
    facts = [
        {"domain": domain, "algorithm": algorithm, "selector": f"notify-{letter}", "service": plan.name,
         "container_path": f"{server.inside}/dkim_{letter}.pem"}
        for domain in plan.domains
        for algorithm, letter in (("rsa-2048", "r"), ("ed25519", "e"))
    ]  # fmt: skip
    objects = submission_objects(plan, facts, options)
    values = dict.fromkeys(secret_references(objects), PASSWORD)
    for one in objects:
        if one["type"] == "MtaDeliverySchedule":
            one["properties"]["retry"]["intervals"] = [{"duration": f"{n}s"} for n in (1, 1, 2)]
        if one["type"] == "MtaStageAuth":
            one["properties"]["waitOnFail"] = {"match": [], "else": "1s"}
        if one["type"] == "WebHook":
            one["properties"]["throttle"] = "1s"
    return list(fill_secrets(objects, {**values, "relay": RELAY[1], "hook": HOOK_SECRET}))


KINDS = [pytest.param(StandIn, id="stand-in"), *([pytest.param(Container, id="real")] if IMAGE else [])]


@pytest.fixture(scope="module", params=KINDS)
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    etc = tmp_path_factory.mktemp("service") / "etc"
    etc.mkdir()
    material, authority = Material(etc), Authority(etc)
    authority.issue(SERVER_NAME)
    (etc / "dkim_e.pem").write_text(material.pem_for("Dkim1Ed25519Sha256"))
    (etc / "dkim_r.pem").write_text(material.pem_for("Dkim1RsaSha256"))
    contexts = {name: authority.context(name) for name in (*NAMES, "wrong.test")}
    server: Server = request.param(etc)
    try:
        hook = HookProgram(server.near)
        ports = [_free_port(server.near) for _ in NAMES]
        server.start()
        plan = _plan(ports, hook.url)
        smarthosts = [Smarthost(name, RELAY) for name in NAMES]
        result = World(server, plan, _objects(plan, server), smarthosts, ports, contexts, hook, material)
        applied, restart = server.apply(result.objects)
        assert applied
        assert restart
        # Listeners change at a start only.
        server.kill()
        server.start()
        yield result
        for host in smarthosts:
            host.stop()
        hook.close()
    finally:
        server.close()


@pytest.fixture(autouse=True)
def fresh(world: World) -> None:
    world.fresh()


# -- management -----------------------------------------------------------------------------------------------------
def test_second_run_changes_nothing(world: World) -> None:
    assert world.server.apply(world.objects) == ([], False)


def test_own_throttles_stay_switched_off_and_ours_stay(world: World) -> None:
    throttles = {t["description"]: t["enable"] for t in world.server.objects("MtaInboundThrottle")}
    assert throttles["Sender IP throttle"] is False
    assert throttles["Sender address to recipient throttle"] is False
    assert throttles["mailstead: messages of metered"] is True


# -- who gets in ----------------------------------------------------------------------------------------------------
def test_no_login_before_tls_and_no_mail_before_a_login(world: World) -> None:
    plain = base64.b64encode(f"\0{BILLING}\0{PASSWORD}".encode()).decode()
    session = world.server.smtp(listener="submission")
    assert "starttls" in session.esmtp_features
    assert "auth" not in session.esmtp_features
    assert session.docmd(f"AUTH PLAIN {plain}") == (503, b"5.5.1 AUTH not allowed.")
    assert session.docmd(f"MAIL FROM:<{NOREPLY}>") == (503, b"5.5.1 You must authenticate first.")
    session.close()
    session = world.server.smtp()
    assert session.esmtp_features["auth"].split() == ["PLAIN", "LOGIN"]
    assert session.docmd(f"MAIL FROM:<{NOREPLY}>") == (503, b"5.5.1 You must authenticate first.")
    session.close()


def test_login_over_both_ways_of_tls_by_whole_and_bare_name(world: World) -> None:
    for listener in ("submissions", "submission"):
        for name in (BILLING, "billing", "Billing@Notify.Example.COM"):
            session = world.server.smtp(name, PASSWORD, listener)
            assert session.mail(NOREPLY)[0] == 250
            session.close()


@pytest.mark.parametrize("name", ["billing@example.com", f"nobody@{SERVER_NAME}", BILLING])
def test_wrong_login(name: str, world: World) -> None:
    with pytest.raises(smtplib.SMTPAuthenticationError) as caught:
        world.server.smtp(name, "wrong" if name == BILLING else PASSWORD)
    assert caught.value.smtp_code == 535


# -- as whom --------------------------------------------------------------------------------------------------------
NOT_YOURS = "MAIL 550 5.7.1 Sender address not allowed."


@pytest.mark.parametrize(
    ("login", "sender", "reply"),
    [
        (BILLING, NOREPLY, "250"),
        (BILLING, "NoReply@Example.COM", "250"),
        (BILLING, "noreply+x@example.com", NOT_YOURS),
        (BILLING, "other@example.com", NOT_YOURS),
        (BILLING, "build@ci.example.com", NOT_YOURS),
        (BILLING, "meter@example.com", NOT_YOURS),
        (BILLING, BILLING, NOT_YOURS),
        (BILLING, "a@foreign.test", NOT_YOURS),
        (BILLING, "", NOT_YOURS),
        (CI, "build@ci.example.com", "250"),
        (CI, "Anything.Else@CI.example.com", "250"),
        (CI, "build@sub.ci.example.com", NOT_YOURS),
        (CI, "build@xci.example.com", NOT_YOURS),
        (CI, '"a@b"@ci.example.com', NOT_YOURS),
        (CI, NOREPLY, NOT_YOURS),
        (CI, "", NOT_YOURS),
    ],
)
def test_envelope_sender(login: str, sender: str, reply: str, world: World) -> None:
    address = sender if sender else NOREPLY
    assert world.send(login, sender, f"From: {address}\r\n") == reply


ONE_FIELD = "DATA 550 5.7.1 Exactly one From header field is required."
ONE_ADDRESS = "DATA 550 5.7.1 Exactly one address in From is required."
NOT_FROM = "DATA 550 5.7.1 This application may not send as the address in From."
ONE_SENDER = "DATA 550 5.7.1 At most one address in Sender is allowed."
NOT_SENDER = "DATA 550 5.7.1 This application may not send as the address in Sender."


@pytest.mark.parametrize(
    ("header", "reply"),
    [
        (f"From: {NOREPLY}\r\n", "250"),
        ("From: Billing <NoReply@Example.COM>\r\n", "250"),
        (f"From: =?utf-8?q?B=C3=BCro?= <{NOREPLY}>\r\n", "250"),
        (f'From: "a@foreign.test" <{NOREPLY}>\r\n', "250"),
        (f"From: {NOREPLY} (a@foreign.test)\r\n", "250"),
        (f"From:\r\n {NOREPLY}\r\n", "250"),
        (f"From: {NOREPLY}\r\nSender: {NOREPLY}\r\n", "250"),
        ("From: a@foreign.test\r\n", NOT_FROM),
        ("From: other@example.com\r\n", NOT_FROM),
        ("From: build@ci.example.com\r\n", NOT_FROM),
        ("From: noreply+x@example.com\r\n", NOT_FROM),
        ("From: noreply\r\n", NOT_FROM),
        (f'From: "{NOREPLY}" <a@foreign.test>\r\n', NOT_FROM),
        ("From: =?utf-8?q?noreply=40example=2Ecom?= <a@foreign.test>\r\n", NOT_FROM),
        (f"From: a@foreign.test ({NOREPLY})\r\n", NOT_FROM),
        (f"From: <@foreign.test:{NOREPLY}>\r\n", NOT_FROM),
        (f"From: {NOREPLY}\r\nFrom: {NOREPLY}\r\n", ONE_FIELD),
        (f"From: {NOREPLY}\r\nfrom: a@foreign.test\r\n", ONE_FIELD),
        (f"From : a@foreign.test\r\nFrom: {NOREPLY}\r\n", ONE_FIELD),
        ("", ONE_FIELD),
        (f"From: {NOREPLY}, a@foreign.test\r\n", ONE_ADDRESS),
        (f"From: a@foreign.test, {NOREPLY}\r\n", ONE_ADDRESS),
        (f"From: {NOREPLY}, {NOREPLY}\r\n", ONE_ADDRESS),
        (f"From: G: {NOREPLY}, a@foreign.test;\r\n", ONE_ADDRESS),
        ("From: G:;\r\n", ONE_ADDRESS),
        ("From: \r\n", ONE_ADDRESS),
        (f"From: {NOREPLY}\r\nSender: a@foreign.test\r\n", NOT_SENDER),
        (f"From: {NOREPLY}\r\nSender: {NOREPLY}\r\nSender: a@foreign.test\r\n", ONE_SENDER),
        (f"From: {NOREPLY}\r\nSender: a@foreign.test\r\nSender: {NOREPLY}\r\n", ONE_SENDER),
        (f"From: {NOREPLY}\r\nSender: {NOREPLY}, a@foreign.test\r\n", ONE_SENDER),
    ],
)
def test_header_from(header: str, reply: str, world: World) -> None:
    assert world.send(BILLING, NOREPLY, header) == reply


def test_header_from_of_a_whole_domain_may_differ_from_the_envelope_within_it(world: World) -> None:
    sender = "build@ci.example.com"
    assert world.send(CI, sender, "From: Other <other@CI.example.com>\r\n") == "250"
    for address in ("a@foreign.test", "a@sub.ci.example.com", "a@foreign.test@ci.example.com", "ops@example.com"):
        assert world.send(CI, sender, f"From: <{address}>\r\n").startswith("DATA 550 5.7.1 ")


def test_nothing_goes_to_the_logins(world: World) -> None:
    for recipient in (f"billing@{SERVER_NAME}", f"nobody@{SERVER_NAME}", "postmaster"):
        reply = world.send(BILLING, NOREPLY, "", recipient)
        assert reply.startswith("RCPT 550 5."), recipient


def test_own_domains_are_elsewhere(world: World) -> None:
    for rcpt in ("someone@example.com", "someone@ci.example.com"):
        assert world.send(BILLING, NOREPLY, f"From: {NOREPLY}\r\n", rcpt) == "250"
    world.until(lambda: len(world.taken()) == 2)
    assert {rcpt for _, _, (rcpt,) in world.taken()} == {"someone@example.com", "someone@ci.example.com"}


# -- how much -------------------------------------------------------------------------------------------------------
def test_rate_and_size_are_an_application_s_own(world: World) -> None:
    session = world.server.smtp(METERED, PASSWORD)
    session.ehlo()
    assert session.esmtp_features["size"] == "2048"
    sender = "meter@example.com"
    assert session.docmd("MAIL FROM:<other@example.com>")[0] == 550  # is not counted
    assert session.docmd(f"MAIL FROM:<{sender}> SIZE=2049") == (552, b"5.3.4 Message too big for system.")
    replies = []
    for _ in range(5):
        replies.append(session.docmd(f"MAIL FROM:<{sender}>"))
        session.rset()
    session.close()
    # What was announced as too large may have been counted: the real server looks at its throttles last.
    limited = (452, b"4.4.5 Rate limit exceeded, try again later.")
    assert replies[-1] == limited
    assert [code for code, _ in replies[:3]] == [250] * 3
    session = world.server.smtp(METERED, PASSWORD)
    assert session.docmd(f"MAIL FROM:<{sender}>") == limited
    session.close()
    assert world.send(BILLING, NOREPLY, f"From: {NOREPLY}\r\n") == "250"


def test_a_long_session_is_not_cut(world: World) -> None:
    session = world.server.smtp(BILLING, PASSWORD)
    for number in range(15):
        session.sendmail(NOREPLY, ["x@remote.test"], f"From: {NOREPLY}\r\nSubject: {number}\r\n\r\nbody\r\n")
    session.quit()
    world.until(lambda: len(world.taken()) == 15)


# -- what leaves ----------------------------------------------------------------------------------------------------
def _verified(world: World, content: bytes) -> set[tuple[str, str]]:
    """(domain, algorithm) of every signature; each must verify."""
    texts = {
        f"notify-{letter}": f"v=DKIM1; k={kind}; p={world.material.public_for(variant)}".encode()
        for letter, kind, variant in (("r", "rsa", "Dkim1RsaSha256"), ("e", "ed25519", "Dkim1Ed25519Sha256"))
    }

    def record(name: bytes | str, timeout: int = 5) -> bytes:
        text = name.decode() if isinstance(name, bytes) else name
        return texts[text.partition(".")[0]]

    verifier = dkim.DKIM(content)
    found = set()
    for index in range(2):
        assert verifier.verify(idx=index, dnsfunc=record)
        found.add((verifier.domain.decode(), verifier.signature_fields[b"a"].decode()))
    return found


def test_signed_in_the_name_of_from_under_the_return_path(world: World) -> None:
    assert world.send(BILLING, NOREPLY, f"From: {NOREPLY}\r\n") == "250"
    assert world.send(CI, "build@ci.example.com", "From: build@ci.example.com\r\n") == "250"
    world.until(lambda: len(world.taken()) == 2)
    assert world.taken() == [
        (NAMES[0], NOREPLY, ("x@remote.test",)),
        (NAMES[2], "ops@ci.example.com", ("x@remote.test",)),
    ]
    for number, domain in ((0, "example.com"), (2, "ci.example.com")):
        content = world.smarthosts[number].taken[0].content
        assert _verified(world, content) == {(domain, "rsa-sha256"), (domain, "ed25519-sha256")}
        names = [line.partition(b":")[0].lower() for line in content.partition(b"\r\n\r\n")[0].split(b"\r\n")]
        # They were missing; and nobody learns from where an application sends.
        assert {b"date", b"message-id"} <= set(names)
        assert b"received" not in names


REFUSALS: list[tuple[str, str]] = [
    ("AUTH", "535"),
    ("MAIL", "421 4.3.2 closing"),
    ("RCPT", "450 4.2.1 later"),
    ("DATA", "451 4.3.0 quota exceeded"),
]


@pytest.mark.parametrize(("command", "reply"), REFUSALS)
def test_second_smarthost_when_the_first_cannot(command: str, reply: str, world: World) -> None:
    world.smarthosts[0].refuses[command] = reply
    assert world.send(BILLING, NOREPLY, f"From: {NOREPLY}\r\n") == "250"
    world.until(world.taken)
    assert world.taken() == [(NAMES[1], NOREPLY, ("x@remote.test",))]


def test_third_smarthost_when_one_is_down_and_one_is_not_who_it_says(world: World) -> None:
    world.smarthosts[0].stop()
    world.up(1, "wrong.test")
    assert world.send(BILLING, NOREPLY, f"From: {NOREPLY}\r\n") == "250"
    world.until(world.taken)
    assert world.taken() == [(NAMES[2], NOREPLY, ("x@remote.test",))]
    world.up(1)


def test_round_again_when_all_were_down(world: World) -> None:
    for host in world.smarthosts:
        host.stop()
    assert world.send(BILLING, NOREPLY, f"From: {NOREPLY}\r\n") == "250"

    def tried() -> int:
        recipients = (r for m in world.server.objects("QueuedMessage") for r in m["recipients"].values())
        return max((r["retryCount"] for r in recipients), default=0)

    world.until(lambda: tried() >= 3)
    for number in range(3):
        world.up(number)
    world.until(world.taken)
    assert [(sender, rcpt) for _, sender, rcpt in world.taken()] == [(NOREPLY, ("x@remote.test",))]


def test_own_order_of_an_application(world: World) -> None:
    world.smarthosts[2].stop()
    assert world.send(CI, "build@ci.example.com", "From: build@ci.example.com\r\n") == "250"
    world.until(world.taken)
    assert world.taken() == [(NAMES[0], "ops@ci.example.com", ("x@remote.test",))]


def test_what_is_refused_for_good_comes_back_and_the_program_is_told(world: World) -> None:
    assert world.send(CI, "build@ci.example.com", "From: build@ci.example.com\r\n", "hard@remote.test") == "250"
    world.until(world.taken)
    ((_, sender, recipients),) = world.taken()
    assert (sender, recipients) == ("", ("ops@ci.example.com",))
    report = next(one for host in world.smarthosts for one in host.taken).content
    assert b"hard@remote.test" in report
    assert b"5.1.1" in report
    assert b"mailer-daemon@ci.example.com" in report
    assert _verified(world, report) == {("ci.example.com", "rsa-sha256"), ("ci.example.com", "ed25519-sha256")}
    world.until(world.hook.events)
    headers, body = world.hook.calls[0]
    digest = hmac.new(HOOK_SECRET.encode(), body, hashlib.sha256).digest()
    assert headers["x-signature"] == base64.b64encode(digest).decode()
    assert headers["content-type"] == "application/json"
    (event,) = world.hook.events()
    assert event["type"] == "delivery.dsn-perm-fail"
    assert event["data"]["to"] == "hard@remote.test"
    assert event["data"]["from"] == "ops@ci.example.com"
    assert event["data"]["details"] == (
        "Unexpected response for RCPT TO:<hard@remote.test>: Code: 550, Enhanced code: 5.1.1, Message: no such user"
    )


def test_a_program_that_was_down_is_told_afterwards(world: World) -> None:
    world.hook.status = 503
    assert world.send(BILLING, NOREPLY, f"From: {NOREPLY}\r\n", "hard@remote.test") == "250"
    world.until(world.taken)
    time.sleep(2)
    world.hook.status = 200
    # The real server says it with the next event.
    assert world.send(BILLING, NOREPLY, f"From: {NOREPLY}\r\n", "hard@remote.test") == "250"
    world.until(lambda: len(world.hook.events()) == 2)


def test_a_report_that_is_refused_too_is_told(world: World) -> None:
    for host in world.smarthosts:
        host.refuses["DATA"] = "554 5.7.1 no"
    assert world.send(BILLING, NOREPLY, f"From: {NOREPLY}\r\n") == "250"
    world.until(lambda: "delivery.double-bounce" in {event["type"] for event in world.hook.events()})
    assert world.taken() == []


# -- what stays -----------------------------------------------------------------------------------------------------
def test_nothing_acknowledged_is_lost_when_the_server_is_killed(world: World) -> None:
    """200 messages over four connections; the server is killed twice and comes back."""
    if world.server.real:
        # It locks what it was delivering for ten minutes. That is too long to wait here, so nothing is delivered.
        for host in world.smarthosts:
            host.stop()
        _stretch(world, 3600)
    acknowledged: list[str] = []

    def application(first: int) -> None:
        session: smtplib.SMTP | None = None
        for number in range(first, first + 50):
            while True:
                try:
                    session = session or world.server.smtp(BILLING, PASSWORD)
                    text = f"From: {NOREPLY}\r\nMessage-ID: <{number}@app.test>\r\n\r\nbody\r\n"
                    session.sendmail(NOREPLY, ["x@remote.test"], text)
                except (OSError, smtplib.SMTPException, ValueError):
                    session = None
                    time.sleep(0.2)
                else:
                    acknowledged.append(str(number))
                    break

    threads = [threading.Thread(target=application, args=(first,)) for first in range(0, 200, 50)]
    for thread in threads:
        thread.start()
    for count in (40, 120):
        world.until(lambda least=count: len(acknowledged) >= least, 60)  # type: ignore[misc]
        world.server.kill()
        world.server.start()
    for thread in threads:
        thread.join(60)
    assert sorted(acknowledged, key=int) == [str(n) for n in range(200)]
    if world.server.real:
        # On disk, but cut off before the acknowledgement: sent again, by SMTP's own rule. One for each connection cut.
        assert 200 <= len(world.server.objects("QueuedMessage")) <= 200 + 2 * len(threads)
        return
    world.until(lambda: not world.server.objects("QueuedMessage"), 60)
    got = Counter(_message_id(one.content) for host in world.smarthosts for one in host.taken)
    assert set(got) == {f"<{n}@app.test>" for n in range(200)}
    # Besides those, what a smarthost had taken when nobody was there to note it.
    assert sum(got.values()) <= 200 + 2 * len(threads) + 2 * AT_ONCE


def _message_id(content: bytes) -> str:
    lines = content.decode().split("\r\n")
    return next(line.partition(": ")[2] for line in lines if line.lower().startswith("message-id:"))


def _stretch(world: World, seconds: int) -> None:
    """Let the tries lie so far apart."""
    (schedule,) = (o for o in world.objects if o["type"] == "MtaDeliverySchedule")
    schedule["properties"]["retry"]["intervals"] = [{"duration": f"{seconds}s"}]
    world.server.apply(world.objects)
