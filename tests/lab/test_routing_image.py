# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The exchanger's image and the strict receiver's by themselves: from a stranger's message to a large provider's mailbox.

Both run without any network, in one network namespace, with the settings that the lab would give them; the addresses of
all who take part are on its loopback interface, and so are the API twin and a name server with the lab's names. Needs
root, Docker and the two images (``python -m lab up --with routing`` makes them).
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest

from lab import netns, paths, render, secrets, workerd
from lab.topology import RESOLVER, host
from lab.twins.cloudflare import Twin, TwinConfig
from lab.twins.cloudflare.server import Running, tls_context
from tests.lab import routing_world as world
from tests.lab.dns_world import World
from tests.lab.routing_world import GMAIL, MAILBOX, ZONE, Answer

pytestmark = pytest.mark.lab

T = TypeVar("T")
NAMESPACE = "mailstead-routing-test"
CANARY = render.CANARY
MACHINES = ("receiver", "routing")
WORKER = """
export default {
  async email(message, env) {
    if (message.headers.get("subject").startsWith("spam")) return message.setReject("no, thank you");
    await message.forward(env.TO);
  },
};
"""


def _try(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, capture_output=True, text=True, check=False)


def _run(*argv: str) -> str:
    done = _try(*argv)
    assert done.returncode == 0, f"{' '.join(argv)}: {done.stderr}"
    return done.stdout.strip()


@dataclass(frozen=True)
class Stage:
    """What is on it: the account, and the names that can be changed."""

    twin: Twin
    names: World


def _names(facts: render.World, twin: Twin) -> World:
    """The lab's names, and those that the twin would publish for the routed zone."""
    sets: dict[tuple[str, str], list[str]] = {}
    for record in (r for zone in facts.zones for r in zone.records):
        sets.setdefault((record.name, record.type), []).append(record.data)
    world_ = World()
    for (name, kind), data in sets.items():
        if kind == "TXT":
            world_.txt(name, data[0])
        else:
            world_.add(name, kind, *data)
    found: dict[tuple[str, str], list[str]] = {}
    for body in _records(twin):
        text = f"{body['priority']} {body['content']}." if body["type"] == "MX" else body["content"]
        found.setdefault((body["name"], body["type"]), []).append(text)
    for (name, kind), data in found.items():
        world_.add(name, kind, *data)
    world_.txt(f"_dmarc.{ZONE}", "v=DMARC1; p=none")
    return world_


def _records(twin: Twin) -> list[dict[str, Any]]:
    token = secrets.load().cloudflare_routing_token
    path = f"/client/v4/zones/{twin.zone(ZONE).zone.zone_id}/dns_records"
    answer = twin.handle("GET", path, "per_page=100", {"Authorization": f"Bearer {token}"})
    found: list[dict[str, Any]] = answer.json["result"]
    return found


def _twin(facts: render.World) -> Twin:
    data = render.settings(host("cloudflare"), facts)
    for elsewhere in ("ddns", "tls_cert", "tls_key"):
        del data[elsewhere]
    twin = Twin(TwinConfig.from_data(data))
    here = twin.email(ZONE)
    here.enable()
    twin.add_destination(MAILBOX, verified=True)
    here.add_rule(f"hi@{ZONE}", "forward", MAILBOX)
    here.add_rule(f"gone@{ZONE}", "forward", "nobody@gmail.com")
    twin.add_destination("nobody@gmail.com", verified=True)
    here.add_rule(f"old@{ZONE}", "drop", "")
    here.add_rule(f"off@{ZONE}", "forward", MAILBOX, enabled=False)
    here.add_rule(f"alerts@{ZONE}", "worker", "alert-handler")
    here.add_rule(f"dead@{ZONE}", "worker", "no-such-worker")
    _upload(twin)
    return twin


def _upload(twin: Twin) -> None:
    metadata = {
        "main_module": "index.js",
        "compatibility_date": "2026-11-01",
        "bindings": [{"type": "plain_text", "name": "TO", "text": MAILBOX}],
    }
    parts = [
        ('name="metadata"', "application/json", json.dumps(metadata)),
        ('name="index.js"; filename="index.js"', "application/javascript+module", WORKER),
    ]
    body = "".join(
        f"--b\r\nContent-Disposition: form-data; {d}\r\nContent-Type: {k}\r\n\r\n{t}\r\n" for d, k, t in parts
    )
    token = secrets.load().cloudflare_routing_token
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "multipart/form-data; boundary=b"}
    path = f"/client/v4/accounts/{twin.config.account.id}/workers/scripts/alert-handler"
    answer = twin.handle("PUT", path, "", headers, f"{body}--b--\r\n".encode())
    assert answer.status == 200, answer.json


def _files(machine: str, facts: render.World, directory: Path) -> Path:
    """The machine's /lab."""
    for name, file in render.files(host(machine), facts).items():
        if name.startswith("/lab/"):
            target = directory / machine / name.removeprefix("/lab/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.content)
    return directory / machine


def _start(machine: str, lab: Path, *more: str) -> str:
    described = host(machine)
    image = f"mailstead-lab/{described.image}:latest"
    return _run(
        "docker", "run", "-d", "--label", "org.mailstead.lab.test=1", *more,
        "-v", f"{lab}/config.json:/lab/config.json:ro", "-v", f"{lab}/pki:/lab/pki:ro",
        "-v", f"{lab.parent}/resolv.conf:/etc/resolv.conf:ro",
        *(w for b in described.binds for w in ("-v", f"{paths.ROOT / b.source}:{b.target}:ro")),
        image, *described.command,
    )  # fmt: skip


def _await(containers: dict[str, str]) -> None:
    pause = threading.Event()
    for machine, container in containers.items():
        for _ in range(150):
            done = _try("docker", "exec", container, "lab-health")
            if done.returncode == 0:
                break
            pause.wait(0.2)
        else:
            log = _try("docker", "logs", container)
            pytest.fail(f"{machine}: {done.stdout}{done.stderr}\n{log.stdout[-3000:]}{log.stderr[-3000:]}")


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    if os.geteuid() or any(
        _try("docker", "image", "inspect", f"mailstead-lab/{m}:latest").returncode for m in MACHINES
    ):
        pytest.skip("needs root and the images receiver and routing")
    workerd.ensure()
    directory = tmp_path_factory.mktemp("routing")
    patch = pytest.MonkeyPatch()
    for name in ("PKI", "SSH"):
        patch.setattr(paths, name, directory / name.lower())
    for name in ("SECRETS", "DNS_KEYS"):
        patch.setattr(paths, name, directory / f"{name.lower()}.json")
    patch.setattr(world, "inside", lambda machine, function: _inside(function))
    (directory / "resolv.conf").write_text(f"nameserver {RESOLVER}\n")
    containers: dict[str, str] = {}
    try:
        facts = render.world(secrets.load())
        containers["receiver"] = _start(
            "receiver", _files("receiver", facts, directory), "--network", "none",
            "--sysctl", "net.ipv4.ip_nonlocal_bind=1", "--sysctl", "net.ipv6.ip_nonlocal_bind=1",
            "--sysctl", "net.ipv6.conf.all.disable_ipv6=0", "--sysctl", "net.ipv4.ip_unprivileged_port_start=0",
        )  # fmt: skip
        _addresses(_run("docker", "inspect", "-f", "{{.State.Pid}}", containers["receiver"]))
        twin = _twin(facts)
        names = _names(facts, twin)
        listener = _inside(lambda: names.serve(RESOLVER))
        context = tls_context(str(paths.PKI / "cloudflare.crt"), str(paths.PKI / "cloudflare.key"))
        with _inside(lambda: Running(twin, [f"{host('cloudflare').address4()}:443"], context)):
            shared = f"container:{containers['receiver']}"
            containers["routing"] = _start("routing", _files("routing", facts, directory), "--network", shared)
            _await(containers)
            yield Stage(twin, names)
        listener.close()
    finally:
        patch.undo()
        for machine, container in reversed(containers.items()):
            log = _try("docker", "logs", container)
            (directory / f"{machine}.log").write_text(log.stdout + log.stderr)
            _try("docker", "rm", "-f", container)
        _try("ip", "netns", "del", NAMESPACE)


def _inside(function: Callable[[], T]) -> T:
    return netns.call(NAMESPACE, function)


def _addresses(pid: str) -> None:
    _try("ip", "netns", "del", NAMESPACE)
    _run("ip", "netns", "attach", NAMESPACE, pid)
    machines = [host(m) for m in ("resolver", "cloudflare", "receiver", "stranger", "routing")]
    for address in (a for m in machines for link in m.links for a in (link.ipv4, link.ipv6, *link.extra)):
        _run("ip", "-n", NAMESPACE, "addr", "add", f"{address}/{128 if ':' in address else 32}", "dev", "lo")


def accepted(answer: Answer) -> str:
    assert answer.code == 250, answer
    return answer.token


def refused(answer: Answer, code: int, words: str) -> None:
    assert answer.code == code and re.search(words, answer.text), answer


def test_a_strangers_message_is_in_the_mailbox_and_every_check_passes(stage: Stage) -> None:
    delivered = world.arrived(accepted(world.send(f"hi@{ZONE}")))
    assert re.fullmatch(rf"<SRS0=\S{{4}}=\w\w=stranger\.example\.org=visitor@{ZONE}>", str(delivered["Return-Path"]))
    found = world.results(delivered)
    assert "spf=pass" in found and "dmarc=pass" in found
    for domain in ("stranger.example.org", ZONE, "cloudflare-email.net"):
        assert re.search(rf"dkim=pass[^|]*header\.d={re.escape(domain)}", found), found


def test_dropped_mail_is_taken_and_gone(stage: Stage) -> None:
    gone = accepted(world.send(f"old@{ZONE}"))
    world.arrived(accepted(world.send(f"hi@{ZONE}")))
    assert world.find(gone) is None


@pytest.mark.parametrize("address", ["off", "nobody", "hi+tag"])
def test_without_an_enabled_rule_there_is_no_such_address(stage: Stage, address: str) -> None:
    refused(world.send(f"{address}@{ZONE}"), 550, r"5\.1\.1 Address does not exist")


def test_a_worker_forwards_and_rejects(stage: Stage) -> None:
    world.arrived(accepted(world.send(f"alerts@{ZONE}", words="disk full")))
    refused(world.send(f"alerts@{ZONE}", words="spam"), 550, "5.7.1 no, thank you")


def test_a_worker_that_is_gone_is_a_failure_for_now(stage: Stage) -> None:
    refused(world.send(f"dead@{ZONE}"), 421, "Upstream error")


def test_the_destinations_refusal_reaches_the_sender(stage: Stage) -> None:
    refused(world.send(f"gone@{ZONE}"), 550, "5.1.1.*User unknown")


def test_mail_that_proves_nothing_is_refused(stage: Stage) -> None:
    refused(world.send(f"hi@{ZONE}", envelope="a@outlook.com", sign=False), 550, "neither SPF nor DKIM")
    refused(world.send(f"alerts@{ZONE}", envelope="a@outlook.com", sign=False), 421, "Upstream error")


def test_a_senders_strict_policy_is_enforced(stage: Stage) -> None:
    refused(world.send(f"hi@{ZONE}", author="ceo@strict.example.org"), 550, "DMARC")


def test_spf_alone_does_not_carry_a_strict_sender_beyond_the_service(stage: Stage) -> None:
    stage.names.txt("_dmarc.stranger.example.org", "v=DMARC1; p=reject")
    try:
        refused(world.send(f"hi@{ZONE}", sign=False), 550, r"5\.7\.1 rejected by DMARC policy")
        world.arrived(accepted(world.send(f"hi@{ZONE}")))
    finally:
        stage.names.txt("_dmarc.stranger.example.org", "v=DMARC1; p=none")


def test_sending_as_the_address_through_a_personal_gmail_is_judged_by_the_domains_policy(stage: Stage) -> None:
    def send() -> Answer:
        return world.send(CANARY, sender=GMAIL, envelope=MAILBOX, author=f"hi@{ZONE}", sign=False)

    found = world.results(world.arrived(accepted(send()), CANARY))
    assert "spf=pass" in found
    assert re.search(r"dmarc=fail \(p=none [^)]*\) header\.from=" + re.escape(ZONE), found), found
    stage.names.txt(f"_dmarc.{ZONE}", "v=DMARC1; p=reject")
    try:
        refused(send(), 550, r"5\.7\.1 rejected by DMARC policy")
    finally:
        stage.names.txt(f"_dmarc.{ZONE}", "v=DMARC1; p=none")


def test_what_happened_is_counted(stage: Stage) -> None:
    accepted(world.send(f"hi@{ZONE}"))
    accepted(world.send(f"old@{ZONE}"))
    with stage.twin.zone(ZONE).lock:
        seen = {(e["action"], e["status"]) for e in stage.twin.zone(ZONE).mail.events}
    assert {("forward", "forwarded"), ("drop", "dropped")} <= seen
