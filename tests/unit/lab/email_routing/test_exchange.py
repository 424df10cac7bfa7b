# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One message's way, by every action and every refusal."""

from __future__ import annotations

import email
from dataclasses import dataclass, field, replace

import pytest

from lab.email_routing import rewriting
from lab.email_routing.delivery import Answer
from lab.email_routing.exchange import HOPS_MAX, Exchange, Mail
from lab.email_routing.judgement import Client, Judgement
from lab.email_routing.service import Route
from lab.email_routing.workers.session import ActionError, Session, WorkerError

from .world import MESSAGE, PEM, RECIPIENT, SENDER, Account, judged

MAIL = Mail(Client("198.18.0.40", "mail.stranger.example.org"), SENDER, RECIPIENT, MESSAGE)
OK = Answer(250, "2.0.0 Ok: queued")


@dataclass
class World:
    """An exchange with everything around it in view. worker: what stands for the Worker's code."""

    account: Account = field(default_factory=Account)
    verdict: Judgement = field(default_factory=judged)
    answer: Answer = OK
    delivered: list[tuple[str, str, bytes]] = field(default_factory=list)
    ran: list[str] = field(default_factory=list)
    worker: object = None

    def judge(self, client: Client, sender: str, message: bytes) -> Judgement:
        return self.verdict

    def deliver(self, sender: str, recipient: str, message: bytes) -> Answer:
        if self.answer.accepted:
            self.delivered.append((sender, recipient, message))
        return self.answer

    def run(self, name: str, session: Session) -> None:
        self.ran.append(name)
        if callable(self.worker):
            self.worker(session)

    def process(self, mail: Mail = MAIL, key: bytes = b"") -> Answer:
        return self.exchange(key).process(mail)

    def exchange(self, key: bytes = b"") -> Exchange:
        return Exchange(self.account, self.judge, self.deliver, self.run, "secret", key, lambda: 1_795_000_000.0)

    @property
    def status(self) -> str:
        (zone, event), *others = self.account.events
        assert (zone, others) == ("example.me", [])
        return str(event["status"])


def world(action: str = "forward", target: str = "you@gmail.com") -> World:
    made = World()
    made.account.routes[RECIPIENT] = Route("example.me", action, target, "rule-1")
    made.account.destinations = {"you@gmail.com"}
    return made


def test_a_message_is_forwarded_under_a_return_path_of_the_zone() -> None:
    here = world()
    answer = here.process(key=PEM)
    assert answer.code == 250
    ((sender, recipient, message),) = here.delivered
    assert rewriting.reverse(sender, "secret") == SENDER and sender.endswith("@example.me")
    assert recipient == "you@gmail.com"
    headers = email.message_from_bytes(message)
    assert headers["From"] == "A stranger <visitor@stranger.example.org>"
    assert [str(h).split("d=")[1].split(";")[0] for h in headers.get_all("DKIM-Signature", [])] == [
        "example.me",
        "cloudflare-email.net",
    ]
    assert here.status == "forwarded"


def test_the_statistics_tell_what_happened() -> None:
    here = world()
    here.process()
    event = here.account.events[0][1]
    assert event == {
        "datetime": "2026-11-18T11:06:40Z",
        "status": "forwarded",
        "action": "forward",
        "ruleMatched": "rule-1",
        "from": SENDER,
        "to": RECIPIENT,
        "subject": "hello",
        "messageId": "<1@stranger.example.org>",
        "spf": "pass",
        "dkim": "pass",
        "dmarc": "pass",
        "errorDetail": "",
    }


@pytest.mark.parametrize("said", [Answer(550, "5.1.1 no such user"), Answer(452, "4.2.2 full")])
def test_the_destinations_refusal_is_the_senders_answer(said: Answer) -> None:
    here = world()
    here.answer = said
    answer = here.process()
    assert answer.code == said.code and answer.text.startswith(said.text)
    assert here.status == "deliveryFailed"
    assert here.account.events[0][1]["errorDetail"] == f"{said.code} {said.text}"


def test_dropped_mail_is_accepted_and_goes_nowhere() -> None:
    here = world("drop", "")
    assert here.process().code == 250
    assert here.delivered == [] and here.status == "dropped"


def test_an_unknown_recipient_is_refused_at_once_and_at_the_end() -> None:
    here = World()
    refused = here.exchange().recipient(RECIPIENT)
    assert refused is not None and (refused.code, refused.text) == (550, "5.1.1 Address does not exist.")
    assert here.process().code == 550
    assert here.account.events == []


def test_an_unauthenticated_message_is_not_forwarded() -> None:
    here = world()
    here.verdict = judged("none", "none", "none")
    assert here.process().code == 550
    assert here.delivered == [] and here.status == "rejected"


def test_a_message_that_goes_in_circles_is_ended() -> None:
    here = world()
    answer = here.process(replace(MAIL, content=b"Received: x\r\n" * (HOPS_MAX + 1) + MESSAGE))
    assert answer.code == 554 and here.delivered == []


def test_a_bounce_keeps_its_null_return_path() -> None:
    here = world()
    here.process(replace(MAIL, sender=""))
    assert here.delivered[0][0] == ""


def test_an_account_that_cannot_be_asked_makes_the_sender_try_later() -> None:
    here = world()
    here.account.down = True
    refused = here.exchange().recipient(RECIPIENT)
    assert refused is not None and refused.temporary
    assert here.process().temporary and here.delivered == []


def test_a_worker_sees_the_trace_and_forwards_with_a_header_of_its_own() -> None:
    here = world("worker", "alert-handler")

    def worker(session: Session) -> None:
        assert session.message.startswith(b"Received: from mail.stranger.example.org (198.18.0.40)\r\n")
        session.act_forward("you@gmail.com", (("X-Alert", "yes"),))

    here.worker = worker
    assert here.process().code == 250
    assert here.ran == ["alert-handler"] and here.status == "handled"
    assert email.message_from_bytes(here.delivered[0][2])["X-Alert"] == "yes"


def test_a_worker_that_does_nothing_drops_the_message() -> None:
    here = world("worker", "alert-handler")
    assert here.process().code == 250
    assert here.status == "dropped"


def test_a_workers_rejection_is_final_and_in_its_words() -> None:
    here = world("worker", "alert-handler")

    def worker(session: Session) -> None:
        session.rejection = "not wanted"

    here.worker = worker
    answer = here.process()
    assert answer.code == 550 and answer.text.startswith("5.7.1 not wanted")
    assert here.status == "rejected"


@pytest.mark.parametrize(("permanent", "code"), [(False, 421), (True, 521)])
def test_a_worker_that_fails_is_tried_again_unless_it_exceeded_its_limits(permanent: bool, code: int) -> None:
    here = world("worker", "alert-handler")

    def worker(session: Session) -> None:
        raise WorkerError("it broke", permanent)

    here.worker = worker
    assert here.process().code == code
    assert here.status == "error" and here.account.events[0][1]["errorDetail"] == "it broke"


def test_unauthenticated_mail_reaches_a_worker_that_cannot_forward_it() -> None:
    here = world("worker", "alert-handler")
    here.verdict = judged("none", "none", "none")
    seen = []

    def worker(session: Session) -> None:
        with pytest.raises(ActionError, match="not authenticated"):
            session.act_forward("you@gmail.com", ())
        seen.append(session.sender)

    here.worker = worker
    assert here.process().code == 250
    assert seen == [SENDER] and here.delivered == []


def test_a_reply_is_signed_for_the_zone_and_goes_to_the_sender() -> None:
    here = world("worker", "alert-handler")
    reply = (
        b"From: hi@example.me\nTo: visitor@stranger.example.org\nIn-Reply-To: <1@stranger.example.org>\n"
        b"Message-ID: <2@example.me>\nSubject: Re: hello\n\nThank you.\n"
    )
    here.worker = lambda session: session.act_reply("hi@example.me", SENDER, reply)
    assert here.process(key=PEM).code == 250
    ((sender, recipient, message),) = here.delivered
    assert (sender, recipient) == ("hi@example.me", SENDER)
    assert b"d=example.me" in message and message.endswith(b"\r\n\r\nThank you.\r\n")
