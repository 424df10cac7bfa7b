# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One message's way: judged, acted on by the rule, answered. What is asked and sent is behind interfaces."""

from __future__ import annotations

import email
import email.policy
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Protocol

from . import judgement, rewriting, trace
from .delivery import Answer
from .judgement import Client, Judgement
from .service import Account, Route, ServiceError
from .workers.session import Session, WorkerError

log = logging.getLogger("routing.exchange")

#: Documented: a message of more is refused.
SIZE_MAX = 25 * 1024 * 1024
#: More hops than any sane way has (RFC 5321 section 6.3 advises at least 100).
HOPS_MAX = 100

#: Seen for destinations and Workers that fail; the permanent one also for Workers that exceed their limits.
POSTMASTER = "https://developers.cloudflare.com/email-routing/postmaster"
TEMPORARY = Answer(421, f"4.3.0 Upstream error, please check {POSTMASTER} for possible reasons why.")
PERMANENT = Answer(521, f"5.3.0 Upstream error, please check {POSTMASTER} for possible reasons why.")
UNKNOWN = Answer(550, "5.1.1 Address does not exist.")

Judge = Callable[[Client, str, bytes], Judgement]
Deliver = Callable[[str, str, bytes], Answer]


class RunWorker(Protocol):
    """Runs the account's Worker of that name on a message; raises WorkerError."""

    def __call__(self, name: str, session: Session) -> None: ...


@dataclass(frozen=True)
class Mail:
    """A message with its envelope, CRLF line ends."""

    client: Client
    sender: str
    recipient: str
    content: bytes


@dataclass(frozen=True)
class Outcome:
    """What the sender is told, and what the statistics are. status: in the words of the activity log."""

    answer: Answer
    status: str
    detail: str = ""


class Exchange:
    """The pipeline. key: PEM for the signatures; secret: of SRS; clock: seconds since the epoch."""

    def __init__(
        self,
        account: Account,
        judge: Judge,
        deliver: Deliver,
        run_worker: RunWorker,
        secret: str,
        key: bytes = b"",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._account, self._judge, self._deliver, self._run_worker = account, judge, deliver, run_worker
        self._secret, self._key, self._clock = secret, key, clock

    def recipient(self, address: str) -> Answer | None:
        """Why a recipient is refused; None when mail for it is taken."""
        try:
            return None if self._account.route(address) else UNKNOWN
        except ServiceError as error:
            log.error("%s", error)
            return TEMPORARY

    def process(self, mail: Mail) -> Answer:
        """Take a message on its way and answer its sender, who is told of every failure: nothing is queued."""
        name = trace.ticket()
        try:
            route = self._account.route(mail.recipient)
            if route is None:
                return _named(UNKNOWN, name)
            verdict = self._judge(mail.client, mail.sender, mail.content)
            outcome = self._outcome(mail, route, verdict, name)
            self._account.report(route.zone, self._event(mail, route, verdict, outcome))
        except ServiceError as error:
            log.error("%s: %s", name, error)
            return _named(TEMPORARY, name)
        answer = f"{outcome.answer.code} {outcome.answer.text}"
        log.info("%s %s -> %s: %s (%s)", name, mail.sender, mail.recipient, outcome.status, answer)
        return _named(outcome.answer, name)

    def _outcome(self, mail: Mail, route: Route, verdict: Judgement, name: str) -> Outcome:
        refusal = judgement.refusal(verdict, to_worker=route.action == "worker")
        if refusal is not None:
            return Outcome(Answer(refusal.code, refusal.text), "rejected", refusal.text)
        if trace.header_count(mail.content, "received") > HOPS_MAX:
            return Outcome(Answer(554, "5.4.6 Too many hops"), "rejected", "too many hops")
        if route.action == "drop":
            return Outcome(Answer(250, "2.0.0 Ok"), "dropped")
        message = trace.arrived(mail.content, mail.client, mail.recipient, verdict, name, self._clock())
        if route.action == "worker":
            return self._worker(mail, route, verdict, message)
        return _forwarded(self._forward(mail, route.zone, route.target, message))

    def _forward(
        self, mail: Mail, zone: str, destination: str, message: bytes, extra: tuple[tuple[str, str], ...] = ()
    ) -> Answer:
        sender = rewriting.forward(mail.sender, zone, self._secret, self._clock())
        outgoing = trace.outgoing(message, zone, self._key, mail.recipient, destination, extra)
        return self._deliver(sender, destination, outgoing)

    def _worker(self, mail: Mail, route: Route, verdict: Judgement, message: bytes) -> Outcome:
        session = Session(
            sender=mail.sender,
            recipient=mail.recipient,
            message=message,
            judgement=verdict,
            verified=self._account.verified,
            forward=lambda to, extra: self._forward(mail, route.zone, to, message, extra),
            send=lambda sender, to, raw: self._deliver(sender, to, trace.signed(raw, route.zone, self._key)),
        )
        try:
            self._run_worker(route.target, session)
        except WorkerError as error:
            log.warning("Worker %s: %s", route.target, error)
            return Outcome(PERMANENT if error.permanent else TEMPORARY, "error", str(error))
        if session.rejection is not None:
            # Seen: setReject becomes a permanent answer with its reason.
            return Outcome(Answer(550, f"5.7.1 {session.rejection}"), "rejected", session.rejection)
        return Outcome(Answer(250, "2.0.0 Ok"), "handled" if session.acted else "dropped")

    def _event(self, mail: Mail, route: Route, verdict: Judgement, outcome: Outcome) -> dict[str, Any]:
        """A row of the dataset emailRoutingAdaptive."""
        headers = email.message_from_bytes(mail.content, policy=email.policy.compat32)
        return {
            "datetime": datetime.fromtimestamp(self._clock(), timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "status": outcome.status,
            "action": route.action,
            "ruleMatched": route.rule,
            "from": mail.sender,
            "to": mail.recipient,
            "subject": str(headers.get("Subject", "")),
            "messageId": str(headers.get("Message-ID", "")),
            "spf": verdict.spf,
            "dkim": verdict.dkim,
            "dmarc": verdict.dmarc,
            "errorDetail": outcome.detail,
        }


def _forwarded(answer: Answer) -> Outcome:
    """The destination's answer is the sender's (documentation: upstream errors are passed on in the session)."""
    if answer.accepted:
        return Outcome(Answer(250, "2.0.0 Ok"), "forwarded")
    return Outcome(answer, "deliveryFailed", f"{answer.code} {answer.text}")


def _named(answer: Answer, name: str) -> Answer:
    """Answers end in the message's name (seen)."""
    return Answer(answer.code, f"{answer.text} {name}")
