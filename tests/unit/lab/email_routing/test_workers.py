# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Workers in workerd itself: every action comes out at the exchanger, every failure as one."""

from __future__ import annotations

import shutil
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import workerd
from lab.email_routing.delivery import Answer
from lab.email_routing.service import Script
from lab.email_routing.workers import layout
from lab.email_routing.workers.runner import Running, Workers
from lab.email_routing.workers.session import Headers, Session, WorkerError

from .world import MESSAGE, RECIPIENT, SENDER, judged

#: Does what the subject says, so that one process serves the tests.
CODE = """
import { EmailMessage } from "cloudflare:email";
import { greeting } from "./words.mjs";

const actions = {
  async forward(message, env) {
    await message.forward(env.TO, new Headers({ "X-Greeting": greeting }));
  },
  async fan(message, env) {
    const results = await Promise.allSettled(env.LIST.map((to) => message.forward(to)));
    if (results.every((r) => r.status === "rejected")) throw new Error("nobody");
  },
  reject(message) {
    message.setReject("size " + message.rawSize + " from " + message.from);
  },
  async caught(message) {
    try {
      await message.forward("other@gmail.com");
    } catch (error) {
      message.setReject(error.message);
    }
  },
  async reply(message) {
    const text = (await new Response(message.raw).text()).split("\\r\\n\\r\\n")[1];
    const raw =
      `From: ${message.to}\\r\\nTo: ${message.from}\\r\\nMessage-ID: <2@example.me>\\r\\n` +
      `In-Reply-To: ${message.headers.get("message-id")}\\r\\n\\r\\nYou wrote: ${text}`;
    await message.reply(new EmailMessage(message.to, message.from, raw));
  },
  async notify(message, env) {
    await env.NOTIFY.send(new EmailMessage(message.to, "me@gmail.com", "From: x@example.me\\r\\n\\r\\nNote\\r\\n"));
  },
  async elsewhere(message, env) {
    await env.NOTIFY.send(new EmailMessage(message.to, "you@gmail.com", "From: x@example.me\\r\\n\\r\\nNote\\r\\n"));
  },
  inspect(message, env) {
    message.setReject([Object.keys(env).sort().join(" "), message.canBeForwarded, message.headers.get("to")].join("|"));
  },
  async fetched() {
    await fetch("http://127.0.0.1:9/");
  },
  async slow() {
    await new Promise((resolve) => setTimeout(resolve, 60000));
  },
  late(message, env, context) {
    context.waitUntil(new Promise((done) => setTimeout(done, 50)).then(() => message.forward(env.TO)));
  },
};

export default {
  async email(message, env, ctx) {
    await actions[message.headers.get("subject")](message, env, ctx);
  },
};
"""
SCRIPT = Script(
    name="alert-handler",
    main_module="index.mjs",
    modules={"index.mjs": CODE, "words.mjs": 'export const greeting = "good \\"day\\"";\n'},
    bindings=(
        {"type": "plain_text", "name": "TO", "text": "you@gmail.com"},
        {"type": "json", "name": "LIST", "json": ["you@gmail.com", "other@gmail.com", "me@gmail.com"]},
        {"type": "secret_text", "name": "SECRET", "text": 'quote " and \\ and é'},
        {"type": "send_email", "name": "NOTIFY", "destination_address": "me@gmail.com"},
    ),
    compatibility_date="2026-11-01",
)


@pytest.fixture(scope="module")
def program() -> str:
    if not shutil.which("npm") and not workerd.present():
        pytest.skip("neither workerd nor npm to fetch it with")
    return str(workerd.ensure())


@pytest.fixture(scope="module")
def running(program: str) -> Iterator[Running]:
    made = Running(program, SCRIPT)
    yield made
    made.close()


class Wire:
    """What came out, and the session that goes in."""

    def __init__(self) -> None:
        self.forwarded: list[tuple[str, Headers]] = []
        self.sent: list[tuple[str, str, bytes]] = []

    def session(self, subject: str, spf: str = "pass", body: bytes = b"Hello.\r\n") -> Session:
        def forward(to: str, headers: Headers) -> Answer:
            self.forwarded.append((to, headers))
            return Answer(250, "Ok")

        def send(sender: str, to: str, raw: bytes) -> Answer:
            self.sent.append((sender, to, raw))
            return Answer(250, "Ok")

        head = MESSAGE.partition(b"\r\n\r\n")[0].replace(b"Subject: hello", f"Subject: {subject}".encode())
        good = {"you@gmail.com", "me@gmail.com"}
        message = head + b"\r\n\r\n" + body
        return Session(SENDER, RECIPIENT, message, judged(spf, "none"), good.__contains__, forward, send)


@pytest.fixture
def wire() -> Wire:
    return Wire()


def test_it_forwards_with_a_header_and_imports_a_module_of_its_own(running: Running, wire: Wire) -> None:
    session = wire.session("forward")
    running.run(session)
    assert wire.forwarded == [("you@gmail.com", (("x-greeting", 'good "day"'),))]
    assert session.rejection is None and session.acted == ["forward"]


def test_it_fans_out_and_one_refused_destination_does_not_stop_the_others(running: Running, wire: Wire) -> None:
    running.run(wire.session("fan"))
    assert sorted(to for to, _ in wire.forwarded) == ["me@gmail.com", "you@gmail.com"]


def test_a_rejection_comes_out_in_its_words(running: Running, wire: Wire) -> None:
    session = wire.session("reject")
    running.run(session)
    assert session.rejection == f"size {len(session.message)} from {SENDER}"


def test_a_refused_action_is_an_exception_that_can_be_caught(running: Running, wire: Wire) -> None:
    session = wire.session("caught")
    running.run(session)
    assert session.rejection == "destination address is not verified"


def test_an_unauthenticated_message_cannot_be_forwarded(running: Running, wire: Wire) -> None:
    with pytest.raises(WorkerError, match="not authenticated by SPF or DKIM"):
        running.run(wire.session("forward", spf="none"))
    assert wire.forwarded == []


def test_it_reads_the_message_and_replies(running: Running, wire: Wire) -> None:
    running.run(wire.session("reply"))
    ((sender, to, raw),) = wire.sent
    assert (sender, to) == (RECIPIENT, SENDER)
    assert raw.endswith(b"You wrote: Hello.\r\n")


def test_a_binding_sends_to_its_own_destination_only(running: Running, wire: Wire) -> None:
    running.run(wire.session("notify"))
    assert [to for _, to, _ in wire.sent] == ["me@gmail.com"]
    with pytest.raises(WorkerError, match="not allowed by the binding"):
        running.run(wire.session("elsewhere"))


@pytest.mark.parametrize(("spf", "can"), [("pass", "true"), ("none", "false")])
def test_it_sees_its_own_bindings_and_nothing_of_the_harness(running: Running, wire: Wire, spf: str, can: str) -> None:
    session = wire.session("inspect", spf=spf)
    running.run(session)
    assert session.rejection == f"LIST NOTIFY SECRET TO|{can}|hi@example.me"


def test_without_networks_it_reaches_nobody(running: Running, wire: Wire) -> None:
    with pytest.raises(WorkerError, match="exception"):
        running.run(wire.session("fetched"))


def test_an_exception_is_a_failure(running: Running, wire: Wire) -> None:
    with pytest.raises(WorkerError, match="TypeError"):
        running.run(wire.session("no such action"))


def test_a_worker_that_takes_too_long_fails_for_good(running: Running, wire: Wire) -> None:
    with pytest.raises(WorkerError) as caught:
        running.run(wire.session("slow"), limit=0.3)
    assert caught.value.permanent


def test_what_it_does_after_its_end_is_not_done(running: Running, wire: Wire) -> None:
    running.run(wire.session("late"))
    threading.Event().wait(0.2)
    assert wire.forwarded == []
    # The process lives on.
    running.run(wire.session("forward"))
    assert len(wire.forwarded) == 1


def test_a_message_of_megabytes_goes_through(running: Running, wire: Wire) -> None:
    body = b"0123456789abcdef\r\n" * 200_000
    session = wire.session("reject", body=body)
    running.run(session)
    assert session.rejection == f"size {len(session.message)} from {SENDER}"


def test_a_changed_script_is_what_runs_next(program: str, wire: Wire) -> None:
    scripts = {"w": Script("w", "a.mjs", {"a.mjs": _rejecting("one")}, (), "2026-11-01")}
    workers = Workers(program, scripts.get)
    try:
        session = wire.session("x")
        workers("w", session)
        scripts["w"] = Script("w", "a.mjs", {"a.mjs": _rejecting("two")}, (), "2026-11-01")
        again = wire.session("x")
        workers("w", again)
    finally:
        workers.close()
    assert (session.rejection, again.rejection) == ("one", "two")


def test_a_script_that_does_not_start_is_a_failure(program: str, wire: Wire) -> None:
    workers = Workers(program, lambda name: Script(name, "a.mjs", {"a.mjs": "this is not {"}, (), "2026-11-01"))
    try:
        with pytest.raises(WorkerError, match=r"^w"):
            workers("w", wire.session("x"))
    finally:
        workers.close()


def test_a_worker_that_is_not_there_and_a_lab_without_workerd_are_failures(wire: Wire) -> None:
    with pytest.raises(WorkerError, match="there is no Worker w"):
        Workers("", lambda name: None)("w", wire.session("x"))
    with pytest.raises(WorkerError, match="without workerd"):
        Workers("", lambda name: SCRIPT)("w", wire.session("x"))


def _rejecting(word: str) -> str:
    return f'export default class {{ email(message) {{ message.setReject("{word}"); }} }}\n'


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"main_module": "other.mjs"}, "no module"),
        ({"modules": {"index.mjs": "", 'a", esModule = "': ""}}, "does not take the name"),
        ({"compatibility_date": "soon"}, "does not take the name"),
        ({"bindings": ({"type": "kv_namespace", "name": "KV", "namespace_id": "1"},)}, "the lab has no kv_namespace"),
        ({"bindings": ({"type": "plain_text", "name": "A B", "text": ""},)}, "does not take the name"),
    ],
)
def test_what_the_lab_cannot_give_is_said(change: dict[str, object], words: str) -> None:
    fields: dict[str, object] = {"name": "w", "main_module": "index.mjs", "modules": {"index.mjs": ""}, "bindings": ()}
    fields |= {"compatibility_date": "2026-11-01", **change}
    with pytest.raises(layout.LayoutError, match=words):
        layout.files(Script(**fields), Path("/nowhere"))  # type: ignore[arg-type]


def test_what_a_user_wrote_is_quoted_nowhere() -> None:
    made = layout.files(SCRIPT, Path("/d"), ("198.18.0.0/15",), "-----BEGIN CERTIFICATE-----")
    config = made[layout.CONFIG]
    assert not any(text in config for text in ("you@gmail.com", "quote", "good"))
    assert 'allow = ["198.18.0.0/15"]' in config and 'trustedCertificates = [embed "authority.pem"]' in config
    assert made["authority.pem"] == "-----BEGIN CERTIFICATE-----" and "BEGIN" not in config


def test_secrets_of_a_script_are_the_owners_alone(running: Running) -> None:
    modes = {stat.S_IMODE(f.stat().st_mode) for f in running._directory.iterdir() if f.is_file()}
    assert modes == {0o600} and stat.S_IMODE(running._directory.stat().st_mode) == 0o700


TEMPLATES = Path(__file__).parents[4] / "templates" / "worker"


def template(name: str, config: dict[str, object]) -> Script:
    """One of the product's own Workers, as it is uploaded: with the modules it imports."""
    modules = {f.name: f.read_text(encoding="utf-8") for f in TEMPLATES.glob("*.js")}
    bindings = ({"type": "json", "name": "CONFIG", "json": config},)
    return Script(name, f"{name}.js", modules, bindings, "2026-11-01")


@pytest.mark.parametrize(
    ("subject", "forwarded", "rejection"),
    [("hello", ["you@gmail.com"], None), ("the lottery", [], "no lottery, please"), ("a digest", [], None)],
)
def test_the_products_own_filter_runs_here(
    program: str, wire: Wire, subject: str, forwarded: list[str], rejection: str | None
) -> None:
    rules = [
        {"header": {"Subject": "*lottery*"}, "action": "reject", "reason": "no lottery, please"},
        {"header": {"Subject": "*digest*"}, "action": "drop"},
    ]
    script = template("filter", {"forward": ["you@gmail.com"], "rules": rules})
    workers = Workers(program, lambda name: script)
    session = wire.session(subject)
    try:
        workers("filter", session)
    finally:
        workers.close()
    assert [to for to, _ in wire.forwarded] == forwarded
    assert session.rejection == rejection


def test_the_products_own_fan_out_keeps_a_message_that_one_destination_refuses(program: str, wire: Wire) -> None:
    script = template("fan_out", {"forward": ["you@gmail.com", "other@gmail.com"]})
    workers = Workers(program, lambda name: script)
    session = wire.session("hello")
    try:
        workers("fan_out", session)
    finally:
        workers.close()
    assert [to for to, _ in wire.forwarded] == ["you@gmail.com"]
    assert session.rejection is None
