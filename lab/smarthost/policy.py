# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Postfix asks about every sender and recipient (its policy delegation protocol), answered as the mode has it."""

from __future__ import annotations

import socketserver
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import dns.exception
import dns.resolver

from lab.smarthost import journal, modes
from lab.smarthost.config import POLICY_PORT, STATE, Provider

PASS = "DUNNO"
#: Seconds between two looks at whether a slow provider was told otherwise meanwhile.
LOOK = 0.1

#: Domain, label, (type, beginning of the value) → whether the record is there.
Proof = Callable[[str, str, tuple[str, str]], bool]


def published(domain: str, label: str, proof: tuple[str, str]) -> bool:
    """Whether a domain has the record that shows that it was set up."""
    kind, beginning = proof
    try:
        answer = dns.resolver.resolve(f"{label}.{domain}.", kind)
    except (dns.exception.DNSException, OSError):
        return False
    return any(record.to_text().strip('"').rstrip(".").startswith(beginning) for record in answer)


class Policy:
    """The answers, by the address that was connected to. count: messages that a provider has accepted so far."""

    def __init__(
        self,
        providers: tuple[Provider, ...],
        count: Callable[[str], int],
        proof: Proof = published,
        folder: Path = STATE,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._by_address = {address: p for p in providers for address in p.addresses}
        self._count, self._proof, self._folder, self._pause = count, proof, folder, pause

    def answer(self, asked: Mapping[str, str]) -> str:
        provider = self._by_address[asked["server_address"].strip("[]").removeprefix("IPv6:")]
        mode = modes.read(provider.name, self._folder)
        if asked["protocol_state"] == "MAIL":
            return self._sender(provider, mode, asked)
        return {
            "tempfail": "451 4.3.0 Local error, try again later",
            "reject-rcpt": "550 5.1.1 No such user here",
        }.get(mode.mode, PASS)

    def _sender(self, provider: Provider, mode: modes.Mode, asked: Mapping[str, str]) -> str:
        if not asked.get("sasl_username"):
            return "530 5.7.0 Authentication required"
        if mode.mode == "slow":
            self._wait(provider, mode)
        if mode.mode == "quota" and self._count(provider.name) - mode.since >= mode.value:
            return "452 4.3.1 Sending quota exceeded, try again later"
        domain = asked.get("sender", "").rpartition("@")[2].lower()
        if domain and provider.label and not self._proof(domain, provider.label, provider.proof):
            return "550 5.7.1 Sender denied: the domain is not set up for sending"
        return PASS

    def _wait(self, provider: Provider, told: modes.Mode) -> None:
        waited = 0.0
        while waited < told.value and modes.read(provider.name, self._folder) == told:
            self._pause(LOOK)
            waited += LOOK


class _Handler(socketserver.StreamRequestHandler):
    policy: Policy

    def handle(self) -> None:
        asked: dict[str, str] = {}
        for raw in self.rfile:
            line = raw.decode("utf-8", "replace").rstrip("\r\n")
            if line:
                name, _, value = line.partition("=")
                asked[name] = value
                continue
            self.wfile.write(f"action={self.policy.answer(asked)}\n\n".encode())
            asked = {}


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


def serve(policy: Policy, port: int = POLICY_PORT) -> socketserver.TCPServer:
    """Answers from now on, in threads of its own."""
    handler = type("Handler", (_Handler,), {"policy": policy})
    server = _Server(("127.0.0.1", port), handler)
    threading.Thread(target=server.serve_forever, name="policy", daemon=True).start()
    return server


def counting(path: Path) -> Callable[[str], int]:
    """Messages that were accepted, by provider."""
    return lambda name: sum(journal.accepted(journal.entries(path), name).values())
