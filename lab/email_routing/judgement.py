# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a message proves about its sender, and whether that is enough.

Neither SPF nor DKIM: refused since July 2025, except that a Worker still sees the message and only cannot forward it.
DMARC: what fails under the sender's ``p=reject`` is refused; that ``quarantine`` is passed on is a choice, the documentation
only says "according to the sender's DMARC policy".
"""

from __future__ import annotations

from dataclasses import dataclass

from lab.standin.server import authentication
from lab.standin.server.authentication import Evidence

from .lookup import Lookup

#: The name that results are given under (seen in Authentication-Results).
AUTHORITY = "mx.cloudflare.net"


@dataclass(frozen=True)
class Client:
    """Who is connected: its address, and the name it greets with."""

    address: str
    helo: str


@dataclass(frozen=True)
class Judgement:
    """Results in the words of RFC 8601. policy: of the author's domain. headers: those that say so, with line ends."""

    spf: str
    dkim: str
    dmarc: str
    policy: str
    headers: bytes

    @property
    def authenticated(self) -> bool:
        return self.spf == "pass" or self.dkim == "pass"

    @property
    def uncertain(self) -> bool:
        """Whether a look-up that failed may be all that is missing."""
        return not self.authenticated and "temperror" in (self.spf, self.dkim)


@dataclass(frozen=True)
class Refusal:
    code: int
    text: str


def judge(lookup: Lookup, client: Client, sender: str, message: bytes) -> Judgement:
    """Judge a message. Blocks while DNS answers."""
    authentication.install(lookup)
    evidence = Evidence(AUTHORITY, client.address, client.helo, sender)
    evidence.spf_helo = authentication.check_spf(client.address, "", client.helo)
    evidence.spf_from = authentication.check_spf(client.address, sender, client.helo)
    evidence.signatures = authentication.check_dkim(lookup, message)
    spf_domain = sender.rpartition("@")[2] if sender else client.helo
    evidence.dmarc = authentication.check_dmarc(lookup, message, evidence.spf_from, spf_domain, evidence.signatures)
    headers = evidence.authentication_results() + evidence.received_spf()
    return Judgement(
        spf=evidence.spf_from,
        dkim=best([s.result for s in evidence.signatures]),
        dmarc=evidence.dmarc.result,
        policy=evidence.dmarc.policy,
        headers=headers.encode(),
    )


def best(results: list[str]) -> str:
    """One word for several signatures: a good one is enough, one that could not be checked may have been good."""
    if not results:
        return "none"
    return next((word for word in ("pass", "temperror") if word in results), "fail")


def refusal(judgement: Judgement, to_worker: bool = False) -> Refusal | None:
    """Why the message is not taken, None when it is. The texts are chosen, the codes those of RFC 7372."""
    if judgement.dmarc == "fail" and judgement.policy == "reject":
        return Refusal(550, "5.7.1 Rejected by the sender's DMARC policy")
    if judgement.uncertain:
        return Refusal(451, "4.7.26 SPF and DKIM could not be checked now")
    if not judgement.authenticated and not to_worker:
        return Refusal(550, "5.7.26 Unauthenticated: neither SPF nor DKIM passes")
    return None
