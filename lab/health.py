# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a machine counts as healthy: the topology's checks, polled until they hold or the time is over."""

from __future__ import annotations

import concurrent.futures
import contextlib
import socket
import time
from typing import Any

import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rcode

from lab import netns
from lab.console import CONSOLE, LabError
from lab.engine import wait_until
from lab.topology import CONTROLLER, Check, CommandCheck, DnsCheck, Host, TcpCheck

#: Seconds that a machine has to become healthy, and that one attempt of a check may take.
DEADLINE = 90.0
ATTEMPT = 3.0


def holds(client: Any, machine: Host, check: Check) -> str:
    """Try one check. Returns what is wrong, "" when nothing is."""
    try:
        if isinstance(check, CommandCheck):
            result = client.containers.get(machine.container).exec_run(list(check.argv))
            if result.exit_code == 0:
                return ""
            said = result.output.decode(errors="replace").strip().splitlines()
            return f"{' '.join(check.argv)}: status {result.exit_code}{': ' + said[-1] if said else ''}"
        if isinstance(check, TcpCheck):
            return netns.call(CONTROLLER.namespace, lambda: _connect(check))
        return netns.call(CONTROLLER.namespace, lambda: _ask(check))
    except Exception as error:
        return f"{check}: {error}"


def _connect(check: TcpCheck) -> str:
    try:
        with contextlib.closing(socket.create_connection((check.address, check.port), ATTEMPT)):
            return ""
    except OSError as error:
        return f"tcp {check.address}:{check.port}: {error}"


def _ask(check: DnsCheck) -> str:
    what = f"dns {check.name} {check.type} at {check.server}"
    query = dns.message.make_query(check.name, check.type, want_dnssec=True)
    try:
        answer, _ = dns.query.udp_with_fallback(query, check.server, timeout=ATTEMPT)
    except (OSError, dns.exception.DNSException) as error:
        return f"{what}: {error}"
    if answer.rcode() != dns.rcode.NOERROR or not answer.answer:
        return f"{what}: {dns.rcode.to_text(answer.rcode())}, {len(answer.answer)} record sets"
    if check.authentic and not answer.flags & dns.flags.AD:
        return f"{what}: not authenticated"
    return ""


def problems(client: Any, machine: Host) -> list[str]:
    """What is wrong with a machine now; stops at the first, since later checks build on earlier ones."""
    for check in machine.health:
        wrong = holds(client, machine, check)
        if wrong:
            return [wrong]
    return []


def await_all(client: Any, machines: tuple[Host, ...], announce: bool = True, deadline: float = DEADLINE) -> None:
    """Wait until every machine is healthy. announce: say when each one is.

    Raises LabError that names each one that is not, with its last words.
    """
    begin = time.monotonic()
    last: dict[str, list[str]] = {}

    def healthy(machine: Host) -> bool:
        last[machine.name] = problems(client, machine)
        return not last[machine.name] or _ended(client, machine)

    def follow(machine: Host) -> None:
        wait_until(lambda: healthy(machine), deadline, every=0.2)
        if announce and not last[machine.name]:
            CONSOLE.say(f"{machine.name}: healthy after {time.monotonic() - begin:.1f} s")

    with concurrent.futures.ThreadPoolExecutor(len(machines) or 1) as workers:
        list(workers.map(follow, machines))
    unwell = [m for m in machines if last[m.name]]
    if unwell:
        raise LabError("\n".join(_report(client, m, last[m.name]) for m in unwell))


def _ended(client: Any, machine: Host) -> bool:
    return bool(client.containers.get(machine.container).status != "running")


def _report(client: Any, machine: Host, wrong: list[str]) -> str:
    container = client.containers.get(machine.container)
    lines = container.logs(tail=20).decode(errors="replace").strip().splitlines()
    if machine.systemd and container.status == "running":
        listing = "systemctl --failed --no-legend --plain; journalctl -n 15 --no-pager -p warning"
        lines += container.exec_run(["sh", "-c", listing]).output.decode(errors="replace").strip().splitlines()
    said = "\n    ".join(lines[-20:]) or "(nothing)"
    return f"{machine.name} is not healthy ({container.status}): {'; '.join(wrong)}\n  its last words:\n    {said}"
