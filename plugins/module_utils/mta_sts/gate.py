# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gate before a policy's id is published: wait until the policy itself can be fetched (RFC 8461 §3.1)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.checks.probes.context import (
    Clock,
    Context,
    ProbeError,
    classify,
    dial,
)
from ansible_collections.mailstead.stack.plugins.module_utils.checks.probes.https import probe_https
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError, Problem
from ansible_collections.mailstead.stack.plugins.module_utils.mta_sts.policy import Policy, differences

#: Seconds one fetch may take, and between two of them.
FETCH, PAUSE = 10.0, 2.0


@dataclass(frozen=True)
class Expected:
    """A domain, the addresses of its policy host (tried in order), and the policy to be found there.

    zone and id: where the policy's id is published, and which; empty when it is always a first announcement.
    """

    domain: str
    addresses: Tuple[str, ...]
    policy: Policy
    zone: str = ""
    id: str = ""

    @property
    def url(self) -> str:
        return f"https://mta-sts.{self.domain}/.well-known/mta-sts.txt"


@dataclass(frozen=True)
class Served:
    """body: what was served; trouble: why it cannot stand for the policy yet, with the code of that."""

    domain: str
    body: str = ""
    trouble: str = ""
    code: str = ""


#: Fetches one policy: the data of the probe ``https``.
Fetch = Callable[[Expected], Mapping[str, object]]
#: Whether a policy's id is published already: then senders know the policy, and waiting would hold up other records.
Announced = Callable[[Expected], bool]


def fetch(expected: Expected) -> Mapping[str, object]:
    """One fetch as a sending server makes it: no redirect, certificate valid for the name."""
    clock = Clock()
    context = Context("controller", clock.monotonic() + FETCH, clock, dial)
    try:
        return probe_https({"url": expected.url, "addresses": list(expected.addresses)}, context)
    except (OSError, ProbeError) as error:
        return {"connect": classify(error)}


def look(expected: Expected, data: Mapping[str, object]) -> Served:
    """Judge what was fetched."""
    body = str(data.get("body", ""))
    trouble = ""
    if data.get("connect") != "open":
        trouble = f"no connection to {' or '.join(expected.addresses)}: {data.get('connect') or 'no address'}"
    elif data.get("tls_error"):
        trouble = f"its certificate is not accepted: {data['tls_error']}"
    elif data.get("status") != 200:
        trouble = f"the answer is HTTP status {data.get('status')}"
    if trouble:
        return Served(expected.domain, body, trouble, "MS-STS-001")
    found = differences(body, expected.policy)
    return Served(expected.domain, body, "; ".join(found), "MS-STS-002" if found else "")


def wait_served(
    policies: Sequence[Expected],
    deadline: float,
    fetch: Fetch = fetch,
    announced: Optional[Announced] = None,
    clock: Optional[Clock] = None,
) -> List[Served]:
    """Fetch every policy until each is the wanted one. deadline: seconds from now; 0 looks once.

    One that is announced already is not waited for; its trouble stands in the result. Raises MailsteadError that says for
    each of the others what stands in its way.
    """
    clock = clock or Clock()
    end = clock.monotonic() + deadline
    found: Dict[str, Served] = {}
    missing = list(policies)
    first = True
    while True:
        if missing:
            with ThreadPoolExecutor(max_workers=min(8, len(missing))) as pool:
                found.update((s.domain, s) for s in pool.map(lambda p: look(p, fetch(p)), missing))
        missing = [p for p in missing if found[p.domain].trouble]
        if first and announced:
            missing = [p for p in missing if not announced(p)]
        first = False
        left = end - clock.monotonic()
        if not missing:
            return [found[p.domain] for p in policies]
        if left <= 0:
            raise MailsteadError([problem_of(p, found[p.domain], deadline) for p in missing])
        clock.wait(min(PAUSE, left))


def problem_of(expected: Expected, served: Served, waited: float) -> Problem:
    """What is wrong with a policy, for a person. waited: seconds."""
    what = f"{expected.url} after {waited:.0f} s: {served.trouble}"
    fix = "Look at the mail server's log and at the way to port 443 (edge, tunnel); then run again."
    if served.code == "MS-STS-002":
        fix = "Run playbooks/server.yml: it gives the server the policy of the plan. Then run again."
    return Problem(served.code, f"MTA-STS policy of {expected.domain}", what, fix)
