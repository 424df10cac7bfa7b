# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps the destinations of an account: announce what is missing, remove what is named, wait for clicks if asked to.

Requests: one per 50 verified and one per 50 pending destinations, the account's rules when some are to go, one a change.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Callable, List, Sequence, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.client import Client, UnclearError
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError
from ansible_collections.mailstead.stack.plugins.module_utils.email_routing import api, destinations
from ansible_collections.mailstead.stack.plugins.module_utils.email_routing.destinations import DestinationsDiff
from ansible_collections.mailstead.stack.plugins.module_utils.email_routing.model import Destination, Waiting

TRIES = 3
#: Seconds between two looks at who has clicked; the last one repeats.
PAUSES = (2.0, 5.0, 10.0, 20.0)


@dataclass
class Task:
    """The destinations of one account. have: as they were read, later as they are. created and deleted: in effect."""

    account: str
    wanted: Tuple[str, ...]
    absent: Tuple[str, ...]
    have: List[Destination]
    diff: DestinationsDiff
    created: List[str] = field(default_factory=list)
    deleted: List[str] = field(default_factory=list)

    @property
    def pending(self) -> List[str]:
        """The wanted destinations whose owner has still to click."""
        known = {d.address.lower(): d for d in self.have}
        return [a for a in dict.fromkeys(w.strip() for w in self.wanted) if not _verified(known.get(a.lower()))]


def _verified(destination: object) -> bool:
    return isinstance(destination, Destination) and bool(destination.verified)


def plan(client: Client, account: str, wanted: Sequence[str], absent: Sequence[str]) -> Task:
    """Read and judge. Raises MailsteadError."""
    have = api.list_destinations(client, account)
    here = {d.address.lower() for d in have}
    going = any(a.strip().lower() in here for a in absent)
    rules = api.list_rules(client, account, {})[0] if going else []
    found = destinations.diff(wanted, absent, have, rules)
    if found.problems:
        raise MailsteadError(found.problems)
    return Task(account, tuple(wanted), tuple(absent), have, found)


def apply(client: Client, task: Task) -> None:
    """Announce and remove. A request whose answer is lost is not repeated before the list was read again: each announcing
    sends a message to a person. Raises MailsteadError."""
    for address in task.diff.create:
        _until_clear(client, task, address, present=True)
        task.created.append(address)
    for destination in task.diff.delete:
        _until_clear(client, task, destination.address, present=False)
        task.deleted.append(destination.address)


def _until_clear(client: Client, task: Task, address: str, present: bool) -> None:
    for _try in range(TRIES):
        known = {d.address.lower(): d for d in task.have}
        found = known.get(address.lower())
        if (found is not None) == present:
            return
        try:
            if found is None:
                task.have.append(api.create_destination(client, task.account, address))
            else:
                api.delete_destination(client, task.account, found)
                task.have.remove(found)
            return
        except UnclearError:
            task.have = api.list_destinations(client, task.account)
    what = f"after {TRIES} tries it is not certain whether it is {'announced' if present else 'removed'}"
    raise MailsteadError.one("MS-ER-013", f"destination {address}", what, "Run again: the list is read first.")


def wait(
    client: Client,
    task: Task,
    seconds: float,
    pause: Callable[[float], object] = threading.Event().wait,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Look again until nobody is waited for, or for so long. Raises MailsteadError."""
    deadline = clock() + seconds
    number = 0
    while task.pending and clock() < deadline:
        pause(min(PAUSES[min(number, len(PAUSES) - 1)], max(0.0, deadline - clock())))
        number += 1
        task.have = api.list_destinations(client, task.account)


def instructions(addresses: Sequence[str], waiting: Sequence[Waiting] = ()) -> List[str]:
    """What the owners of destinations have to do, one text for each destination."""
    out: List[str] = []
    for address in addresses:
        rules = [w.address or "the catch-all" for w in waiting if w.destination.lower() == address.lower()]
        told = f"; {', '.join(rules)} will be forwarded there by the next run after that" if rules else ""
        out.append(
            f"{address}: open the message of Cloudflare in this mailbox (look into the spam folder, too) and click "
            f"'Verify email address'{told}"
        )
    return out
