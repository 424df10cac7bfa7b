# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Applications that send through one service, in the running lab after the scenario internal_sender has built it.

The tests that break something put it right again; the last ones kill the server and cut the power of its machine.
"""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import json
import os
import re
import smtplib
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab import engine, paths
from lab.topology import SMARTHOSTS, host
from tests.lab import routing_world as world
from tests.lab import sender_world as here
from tests.lab.sender_world import BOUNCES, CANARY, LAN, TUNNEL_CONTAINER, TUNNEL_SYSTEMD, Session

pytestmark = pytest.mark.lab

WAYS = {"lan": LAN, "tunnel, systemd": TUNNEL_SYSTEMD, "tunnel, container": TUNNEL_CONTAINER}
UNIT = "mailstead-tunnel-client@notify.service"
#: The names from which each smarthost sends.
CLOUDFLARE, SMTP2GO = SMARTHOSTS["cloudflare"][1], SMARTHOSTS["smtp2go"][1]
#: Messages of the test that loses the server twice, sessions at a time, and seconds to hand them in.
MANY, SESSIONS, LIMIT = 1000, 4, 240
#: Seconds until all have arrived. Stalwart leaves what it was delivering when it was killed alone for ten minutes, and may not
#: look again for another five: LAB_PATIENT=1 waits for that, otherwise it is enough to see those few in its queue.
LOCKED = 1020 if os.environ.get("LAB_PATIENT") else 45


@pytest.fixture(scope="module", autouse=True)
def served() -> None:
    if engine.connect() is None:
        pytest.fail("the lab does not run (python -m lab up --with …, see molecule/internal_sender/create.yml)")
    assert (here.STATE / "secrets" / here.login("billing")).exists(), "the scenario has not been converged"


def accepted(answer: tuple[int, str, str]) -> str:
    code, text, token = answer
    assert code == 250, f"{code} {text}"
    return token


# -- what is wanted ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
@pytest.mark.parametrize(
    ("application", "author"), [("billing", "noreply@example.com"), ("ci", "build-17@ci.example.com")]
)
def test_what_an_application_sends_passes_at_the_strict_receiver(
    way: tuple[str, str, int], application: str, author: str
) -> None:
    domain = author.rpartition("@")[2]
    delivered = here.arrived(accepted(here.send(author, application=application, way=way)))
    found = world.results(delivered)
    assert re.search(rf"dkim=pass[^|]*header\.d={re.escape(domain)}\b", found), found
    assert re.search(r"dmarc=pass [^|]*header\.from=" + re.escape(domain), found), found
    # Nothing tells the world which machine of ours it came from.
    assert "192.168." not in str(delivered.get_all("Received")), delivered.get_all("Received")


def test_an_application_goes_out_through_the_smarthost_that_was_chosen_for_it() -> None:
    billing = here.arrived(accepted(here.send("noreply@example.com")))
    build = here.arrived(accepted(here.send("build@ci.example.com", application="ci")))
    assert CLOUDFLARE in _last_hop(billing) and SMTP2GO in _last_hop(build)


def _last_hop(delivered: object) -> str:
    return str(delivered.get_all("Received")[0])  # type: ignore[attr-defined]


# That other failures are of the same kind, tests/contract/test_submission.py tries on the server by itself.
@pytest.mark.parametrize("state", ["down", "badcert"])
def test_when_the_first_smarthost_fails_the_next_one_gets_it(state: str) -> None:
    with here.smarthost("cloudflare", state):
        token = accepted(here.send("noreply@example.com"))
        found: list[object] = []
        assert engine.wait_until(lambda: _keep(found, token), 90, every=1.0), f"{token} did not arrive"
    assert SMTP2GO in _last_hop(found[0])


def _keep(found: list[object], token: str) -> bool:
    delivered = world.find(token, CANARY)
    if delivered is not None:
        found.append(delivered)
    return bool(found)


def test_what_a_smarthost_refuses_for_good_comes_back_to_where_bounces_are_read() -> None:
    with here.smarthost("cloudflare", "reject-rcpt"):
        token = accepted(here.send("noreply@example.com"))
        assert engine.wait_until(lambda: world.holding(token, BOUNCES) is not None, 60, every=1.0), "no bounce"


# -- what is refused -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", [LAN, TUNNEL_SYSTEMD], ids=["lan", "tunnel"])
@pytest.mark.parametrize(
    ("author", "envelope"),
    [
        ("ceo@example.com", ""),
        ("build@ci.example.com", ""),
        ("noreply@example.net", ""),
        ("noreply+x@example.com", ""),
        ("ceo@example.com", "noreply@example.com"),
        ("noreply@example.com", "ceo@example.com"),
        ("Boss <ceo@example.com>, noreply@example.com", "noreply@example.com"),
    ],
)
def test_an_application_cannot_send_as_somebody_else(way: tuple[str, str, int], author: str, envelope: str) -> None:
    code, text, _token = here.send(author, way=way, envelope=envelope)
    assert code in (501, 550), f"{code} {text}"


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
def test_without_a_login_nothing_is_taken(way: tuple[str, str, int]) -> None:
    machine, address, port = way

    def converse() -> tuple[int, bytes]:
        with Session(address, port) as server:
            server.ehlo()
            return server.mail("noreply@example.com")

    code, text = world.inside(machine, converse)
    assert code in (503, 530), text


def test_no_password_is_asked_for_without_tls() -> None:
    machine, address, _port = LAN

    def converse() -> tuple[bool, bool, int]:
        with smtplib.SMTP(address, 587, timeout=30, local_hostname="application.example.org") as server:
            server.ehlo()
            offered = server.has_extn("auth"), server.has_extn("starttls")
            return (*offered, server.mail("noreply@example.com")[0])

    assert world.inside(machine, converse)[:2] == (False, True)
    assert world.inside(machine, converse)[2] in (503, 530)


def test_the_machine_takes_no_mail_from_strangers() -> None:
    assert not here.answers(host(here.MACHINE).address4(), 25)


def test_too_many_and_too_large_are_refused_and_nobody_else_is_held_up() -> None:
    answers = [here.send("slow@example.com", application="slow") for _ in range(5)]
    codes = [code for code, _text, _token in answers]
    assert codes.count(250) <= 3 and codes[-1] == 452, answers
    accepted(here.send("noreply@example.com"))
    code, text, _token = here.send("noreply@example.com", size=5 << 20)
    assert code == 552 or text.startswith("5.3.4"), f"{code} {text}"


# -- the way from outside ------------------------------------------------------------------------------------------------


def test_the_units_of_ours_are_confined() -> None:
    shown = here.on("app2", "systemd-analyze", "security", "--no-pager", UNIT)
    level = re.search(r"Overall exposure level for \S+: ([0-9.]+)", shown)
    assert level and float(level[1]) <= 3.0, shown[-300:]


def test_the_token_of_a_client_is_its_owners_alone_and_in_no_command_line() -> None:
    for machine in ("app1", "app2"):
        files = here.on(machine, "find", "/etc/mailstead", "-type", "f", "-perm", "/077", "-name", "*.env")
        assert files == "", files
        secret = here.tokens()[f"mailstead-{machine}"]["client_id"]
        assert secret not in here.on(machine, "ps", "axww", "-o", "args")


def test_every_check_has_passed() -> None:
    """The scenario's own runs end with all of them."""
    report = json.loads((paths.ROOT / "build" / "report" / "report.json").read_text(encoding="utf-8"))
    assert "notify" in report["subjects"] and report["exit_code"] == 0
    left = [f for f in report["findings"] if f["verdict"] in ("fail", "unknown")]
    assert not left, left
    # All but the one for domains whose mail our own server takes.
    assert {f"S{n}" for n in range(1, 31)} - {f["id"] for f in report["findings"]} == {"S25"}


def test_a_rotated_token_works_at_once_and_the_old_one_until_the_overlap_ends() -> None:
    before, old = here.tokens()[TOKEN], _client_file()
    code, shown = here.play("playbooks/rotate_service_tokens.yml")
    assert code == 0, shown[-4000:]
    after = here.tokens()[TOKEN]
    assert after["client_id"] == before["client_id"] and _client_file() != old
    assert after["client_secret_version"] == before["client_secret_version"] + 1, after
    for way in (TUNNEL_SYSTEMD, TUNNEL_CONTAINER):
        accepted(here.send("noreply@example.com", way=way))
    # A client that was switched off all the while still has the old one.
    assert _answer(_credentials(old)) == 101
    here.move_clock(8 * 86400)
    try:
        assert _answer(_credentials(old)) == 403
        assert _answer(_credentials(_client_file())) == 101
    finally:
        here.move_clock(0)


TOKEN = "mailstead-app2"


def _client_file() -> str:
    return here.on("app2", "cat", "/etc/mailstead/tunnel-client/systemd/notify.env")


def _credentials(file: str) -> tuple[str, str]:
    """Id and secret out of the file of a client."""
    values = dict(line.split("=", 1) for line in file.splitlines() if "=" in line)
    return values["TUNNEL_SERVICE_TOKEN_ID"].strip('"'), values["TUNNEL_SERVICE_TOKEN_SECRET"].strip('"')


def _answer(credentials: tuple[str, str] | None) -> int:
    """The status by which the tunnel's public name answers a WebSocket upgrade from outside."""
    return world.inside("stranger", lambda: here.upgrade(credentials))


def test_access_that_somebody_took_away_opens_nothing_and_is_put_back(tmp_path: Path) -> None:
    apps = here.api("GET", f"{here.account()}/access/apps")["result"]
    here.api("DELETE", f"{here.account()}/access/apps/{apps[0]['id']}")
    # The connector asks for Access's signature by itself.
    assert _answer(None) != 101
    report = here.verify(tmp_path)
    assert report["exit_code"] == 1
    assert "S19" in {f["id"] for f in report["findings"] if f["verdict"] == "fail"}
    code, shown = here.play("playbooks/submission.yml")
    assert code == 0, shown[-4000:]
    assert _answer(None) in (401, 403)
    # The application is another one, with another audience: connector and clients follow.
    accepted(here.send("noreply@example.com", way=TUNNEL_SYSTEMD))


def test_an_expired_token_is_found_before_anything_is_changed() -> None:
    place = f"{here.account()}/access/service_tokens/{here.tokens()[TOKEN]['id']}"
    # Made to last for a day, a month ago.
    here.move_clock(-30 * 86400)
    here.api("PUT", place, {"name": TOKEN, "duration": "24h"})
    here.move_clock(0)
    try:
        status, shown = here.play("site.yml")
    finally:
        here.api("PUT", place, {"name": TOKEN, "duration": "8760h"})
        here.api("POST", f"{place}/refresh")
    assert status != 0 and re.search(r"MS-TUN-\d+.*app2", shown), shown[-4000:]
    assert set(_changed(shown).values()) == {"0"}, shown[-2000:]


def _changed(shown: str) -> dict[str, str]:
    """How many tasks changed something, by host."""
    found = dict(re.findall(r"^(\S+)\s+: ok=\d+\s+changed=(\d+)", shown, re.MULTILINE))
    assert found, shown[-2000:]
    return found


# -- mistakes ------------------------------------------------------------------------------------------------------------


def _wrong_password(wanted: dict[str, Any]) -> None:
    wanted["mail_submission"][0]["smarthosts"][1]["secret"] = "{{ vault_cf_send }}"


def _foreign_pattern(wanted: dict[str, Any]) -> None:
    wanted["mail_submission"][0]["senders"]["billing"] = ["noreply@example.net"]


def _unknown_client(wanted: dict[str, Any]) -> None:
    wanted["mail_submission"][0]["clients"].append("app3")


def _gmail_under_reject(wanted: dict[str, Any]) -> None:
    wanted["mail_domains"][0]["dmarc"] = "reject"
    gmail = {"provider": "gmail_personal", "username": "you@gmail.com", "secret": "{{ vault_cf_send }}"}
    wanted["mail_submission"][0]["smarthosts"].append(gmail)


@pytest.mark.parametrize(
    ("mistake", "code", "place"),
    [
        (_wrong_password, "MS-SMH-", "smarthosts[1]"),
        (_foreign_pattern, "MS-INT-", "senders.billing"),
        (_unknown_client, "MS-INT-", "clients"),
        (_gmail_under_reject, "MS-INT-034", "mail_submission[0].smarthosts[2]"),
    ],
)
def test_a_mistake_is_found_before_anything_is_changed(
    mistake: Callable[[dict[str, Any]], None], code: str, place: str, tmp_path: Path
) -> None:
    wanted = yaml.safe_load((paths.ROOT / here.INVENTORY / "group_vars/all/domains.yml").read_text(encoding="utf-8"))
    mistake(wanted)
    told = tmp_path / "mistake.yml"
    told.write_text(yaml.safe_dump(wanted), encoding="utf-8")
    status, shown = here.play("site.yml", "-e", f"@{told}")
    assert status != 0 and code in shown and place in shown, shown[-4000:]
    assert set(_changed(shown).values()) == {"0"}, shown[-2000:]


# -- what the page for the applications' owners says ---------------------------------------------------------------------

PAGE = paths.ROOT / "docs" / "sending-applications.md"


def _snippet(name: str, subject: str) -> str:
    """A program of the page, to the canary instead of a customer."""
    found = re.search(
        rf"<!-- snippet: {name} -->\n```\w*\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    assert found, f"the page has no snippet {name}"
    return found[1].replace("customer@example.org", CANARY).replace("Your invoice 17", subject)


def _run(machine: str, *command: str) -> str:
    secret = here.password("billing")
    container = engine.connect().containers.get(host(machine).container)
    code, output = container.exec_run(list(command), environment={"SMTP_PASSWORD": secret})
    assert code == 0, output.decode(errors="replace")
    return str(output.decode(errors="replace"))


@pytest.mark.parametrize(
    ("name", "machine", "program"),
    [
        ("python", here.MACHINE, "python3"),
        ("curl", here.MACHINE, "bash"),
        ("msmtp", here.MACHINE, "bash"),
        ("python-outside", "app2", "python3"),
    ],
)
def test_the_programs_of_the_page_send(name: str, machine: str, program: str) -> None:
    token = uuid.uuid4().hex
    for package in {"curl", "msmtp"} & {name}:
        here.on(machine, "apt-get", "install", "--yes", "--no-install-recommends", package)
    if name == "msmtp":
        here.write(machine, "/etc/msmtprc", _snippet("msmtprc", token))
    _run(machine, program, "-c", _snippet(name, token))
    assert "dkim=pass" in world.results(here.arrived(token))


def test_an_application_in_a_container_sends_through_the_container_beside_it() -> None:
    token = uuid.uuid4().hex
    command = _snippet("container", token).split("your-application")[0].split()
    secret = here.password("billing")
    # Any image with Python in it is the application.
    image = here.on("app1", "docker", "inspect", "--format", "{{.Config.Image}}", here.SIDECAR).strip()
    program = ["--entrypoint", "python3", image, "-c", _snippet("python-outside", token)]
    container = engine.connect().containers.get(host("app1").container)
    code, output = container.exec_run([*command, *program], environment={"SMTP_PASSWORD": secret})
    assert code == 0, output.decode(errors="replace")
    assert "dkim=pass" in world.results(here.arrived(token))


# -- what must not be lost -----------------------------------------------------------------------------------------------


class Client:
    """An application that hands in a list of messages, and each again until it was acknowledged, as RFC 5321 §4.5.4.1 asks."""

    def __init__(self, todo: collections.deque[str]) -> None:
        self._todo = todo
        self._server: Session | None = None
        self._password = here.password("bulk")
        self.taken: list[str] = []
        self.repeated: list[str] = []

    def work(self, until: float) -> None:
        """Until nothing is left to do; until: time.monotonic() at which it gives up."""
        with contextlib.suppress(IndexError):
            while True:
                self._hand_in(self._todo.popleft(), until)

    def _hand_in(self, subject: str, until: float) -> None:
        while time.monotonic() < until:
            try:
                # By the envelope's id it is found again in the server's queue (RFC 3461 §4.4).
                options = [f"ENVID={subject}"]
                self._session().send_message(here.message("news@example.com", CANARY, subject), mail_options=options)
            except (OSError, smtplib.SMTPException):
                self._server = None
                self.repeated.append(subject)
                time.sleep(0.5)
            else:
                self.taken.append(subject)
                return

    def _session(self) -> Session:
        if self._server is None:
            self._server = Session(LAN[1], LAN[2], timeout=10)
            self._server.login(here.login("bulk"), self._password)
        return self._server


def test_nothing_that_was_taken_is_lost_when_the_server_is_killed_and_its_machine_loses_power() -> None:
    run = uuid.uuid4().hex[:12]
    todo = collections.deque(f"{run}-{number}" for number in range(MANY))
    clients = [Client(todo) for _ in range(SESSIONS)]
    until = time.monotonic() + LIMIT

    def hand_in() -> None:
        # Threads have the network of the one that starts them.
        with concurrent.futures.ThreadPoolExecutor(SESSIONS) as pool:
            for job in [pool.submit(client.work, until) for client in clients]:
                job.result()

    with concurrent.futures.ThreadPoolExecutor(1) as background:
        handing_in = background.submit(world.inside, LAN[0], hand_in)
        assert engine.wait_until(lambda: len(todo) < MANY * 0.7, LIMIT, every=0.05)
        here.kill_server()
        assert engine.wait_until(lambda: len(todo) < MANY * 0.3, LIMIT, every=0.05)
        here.cut_power()
        handing_in.result()

    taken = [subject for client in clients for subject in client.taken]
    repeated = {subject for client in clients for subject in client.repeated}
    assert len(taken) == len(set(taken)) == MANY and repeated
    found: list[str] = []

    def all_there() -> bool:
        found[:] = here.delivered(run)
        return set(found) >= set(taken)

    engine.wait_until(all_there, LOCKED, every=2.0)
    lost = set(taken) - set(found) - here.queued()
    assert not lost, sorted(lost)
    # Twice comes only what one side could not know to have been taken: because its acknowledgement was lost with the
    # server, either the application's or the smarthost's (RFC 5321 §6.1).
    twice = {subject for subject, count in collections.Counter(found).items() if count > 1} - repeated
    assert twice <= here.handed_over_twice(run), twice
