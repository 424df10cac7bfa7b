# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The exchanger as a sender meets it: over sockets, to a destination over sockets."""

from __future__ import annotations

import asyncio
import smtplib
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from lab.email_routing import smtp
from lab.email_routing.config import Config, Identity, Listener
from lab.email_routing.delivery import Answer, Delivery
from lab.email_routing.exchange import Exchange
from lab.email_routing.judgement import Client, Judgement
from lab.email_routing.service import Route
from lab.email_routing.workers.runner import Workers

from .world import MESSAGE, RECIPIENT, SENDER, Account, Mailbox, Table, judged, loop, mailbox


@dataclass
class Front:
    """A running exchanger. verdict: what it thinks of every message; clients, senders: whom it judged."""

    account: Account
    box: Mailbox
    verdict: Judgement
    clients: list[Client]
    port: int = 0
    senders: list[str] = field(default_factory=list)

    def judge(self, client: Client, sender: str, message: bytes) -> Judgement:
        self.clients.append(client)
        self.senders.append(sender)
        return self.verdict

    def connect(self) -> smtplib.SMTP:
        return smtplib.SMTP("127.0.0.1", self.port, "mail.stranger.example.org", timeout=10)


@pytest.fixture
def front() -> Iterator[Front]:
    account = Account({RECIPIENT: Route("example.me", "forward", "you@gmail.com", "rule-1")})
    table = Table({("gmail.com", "MX"): ["mx.gmail.example"]})
    table.address("mx.gmail.example", "127.0.0.1")
    with mailbox() as box, loop() as running:
        made = Front(account, box, judged(), [])
        delivery = Delivery(table, Identity("a-h.cloudflare-email.net"), box.port)
        exchange = Exchange(account, made.judge, delivery.deliver, Workers("", account.script), "secret")
        listeners = [Listener("route1.mx.cloudflare.net", ("127.0.0.1",))]
        opened = asyncio.run_coroutine_threadsafe(smtp.listen(exchange, listeners, 0), running).result(10)
        made.port = opened[0].sockets[0].getsockname()[1]
        yield made
        for server in opened:
            running.call_soon_threadsafe(server.close)


def test_mail_goes_from_the_sender_to_the_destination(front: Front) -> None:
    with front.connect() as client:
        refused = client.sendmail(SENDER, [RECIPIENT], MESSAGE)
    assert refused == {}
    ((sender, recipient, message),) = front.box.taken
    assert sender.startswith("SRS0=") and recipient == "you@gmail.com"
    assert message.endswith(b"\r\n\r\nHello.\r\n")
    assert front.clients == [Client("127.0.0.1", "mail.stranger.example.org")]


def test_a_bounce_comes_with_a_null_return_path_and_keeps_it(front: Front) -> None:
    """It is judged by the greeting, so its sender must be seen to be none."""
    with front.connect() as client:
        assert client.sendmail("", [RECIPIENT], MESSAGE) == {}
    ((sender, _recipient, _message),) = front.box.taken
    # As the destination's library writes it.
    assert sender == "<>" and front.senders == [""]


def test_it_says_who_it_is_and_that_it_is_a_stand_in(front: Front) -> None:
    with smtplib.SMTP() as client:
        code, banner = client.connect("127.0.0.1", front.port)
        assert code == 220 and banner.startswith(b"mx.cloudflare.net Cloudflare Email") and b"stand-in" in banner
        client.ehlo("mail.stranger.example.org")
        assert client.esmtp_features["size"] == str(25 * 1024 * 1024)
        assert "smtputf8" not in client.esmtp_features


def test_an_unknown_recipient_is_refused_before_the_data(front: Front) -> None:
    with front.connect() as client, pytest.raises(smtplib.SMTPRecipientsRefused) as caught:
        client.sendmail(SENDER, ["nobody@example.me"], MESSAGE)
    code, text = caught.value.recipients["nobody@example.me"]
    assert code == 550 and text.startswith(b"5.1.1 Address does not exist.")


def test_one_recipient_is_taken_at_a_time(front: Front) -> None:
    front.account.routes["b@example.me"] = Route("example.me", "drop", "", "rule-2")
    with front.connect() as client:
        refused = client.sendmail(SENDER, [RECIPIENT, "b@example.me"], MESSAGE)
    assert {to: code for to, (code, _) in refused.items()} == {"b@example.me": 452}
    assert len(front.box.taken) == 1


def test_the_destinations_refusal_reaches_the_sender_in_the_session(front: Front) -> None:
    front.box.data_answer = "550 5.7.1 rejected by DMARC policy"
    with front.connect() as client, pytest.raises(smtplib.SMTPDataError) as caught:
        client.sendmail(SENDER, [RECIPIENT], MESSAGE)
    assert caught.value.smtp_code == 550
    error = caught.value.smtp_error
    assert isinstance(error, bytes) and error.startswith(b"5.7.1 rejected by DMARC policy")


def test_a_message_that_is_too_large_is_refused(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smtp, "SIZE_MAX", 4096)
    with front.connect() as client, pytest.raises(smtplib.SMTPSenderRefused) as caught:
        client.sendmail(SENDER, [RECIPIENT], b"x" * 100, mail_options=["SIZE=4097"])
    assert caught.value.smtp_code == 552
    with front.connect() as client:
        client.ehlo()
        client.mail(SENDER)
        client.rcpt(RECIPIENT)
        code, _ = client.data(MESSAGE + b"0123456789abcdef\r\n" * 228)
    assert code == 552 and front.box.taken == []


def test_what_a_destination_says_cannot_break_the_answer() -> None:
    line = smtp._line(Answer(550, "5.1.1 \x07é" + "x" * 600))
    assert line.isascii() and line.isprintable() and line.startswith("550 5.1.1 xxx") and len(line) < 500


def test_the_configuration_is_read_from_json() -> None:
    data = {
        "listeners": [
            {"name": "route1.mx.cloudflare.net", "addresses": ["198.18.0.61"], "certificate": "c", "key": "k"}
        ],
        "identity": {"hostname": "a-h.cloudflare-email.net", "ipv4": "198.18.0.60"},
        "control": {"url": "https://api.cloudflare.com", "token": "t"},
        "secret": "s",
        "outbound": ["198.18.0.0/15"],
    }
    config = Config.from_data(data)
    assert config.listeners[0].addresses == ("198.18.0.61",)
    assert (config.identity.ipv6, config.outbound, config.port) == ("", ("198.18.0.0/15",), 25)
    with pytest.raises(TypeError):
        Config.from_data({**data, "identity": {"hostnme": "x"}})
