# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reverse records through the account that an address is rented with: the same course of action for every vendor.

One look at the account tells the present names of all wanted addresses; only those that differ are written. What a vendor
has to offer for that is the protocol Account.
"""

from __future__ import annotations

import ipaddress
import threading
import time
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Mapping, Optional, Protocol, Sequence, Set

from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError, Problem
from ansible_collections.mailstead.stack.plugins.module_utils.ptr.client import Client, RefusedError, UnclearError
from ansible_collections.mailstead.stack.plugins.module_utils.ptr.model import PtrResult, PtrWanted

#: How often a change of unknown outcome is looked at and tried again.
UNCLEAR_TRIES = 3
#: Seconds between two looks at changes that a vendor is still busy with; the last one repeats.
PAUSES = (0.5, 1.0, 2.0, 5.0)
#: Seconds that a vendor may take to carry out what it accepted. Most are done at once, AWS takes minutes.
DONE_WITHIN = 300.0


@dataclass(frozen=True)
class Holding:
    """An address as an account holds it.

    label: what the account calls the object that it belongs to; name: its present reverse name, canonical, empty for none;
    key: what the vendor needs to write it; barred: why it cannot be written; pending: a name accepted earlier and not yet
    in effect, whose progress ticket stands for.
    """

    address: str
    label: str
    name: str
    key: Any = None
    barred: str = ""
    pending: str = ""
    ticket: Any = None


@dataclass(frozen=True)
class Progress:
    """Of an accepted change. failure: the vendor's words when it could not be carried out."""

    done: bool
    failure: str = ""


class Account(Protocol):
    """A vendor's account, as one credential sees it.

    provider: the word of the interface; client: for its words and its requests; note: what to know once a record is set.
    """

    provider: str
    note: str
    client: Client

    def find(self, addresses: Sequence[str]) -> Dict[str, Holding]:
        """Those of the addresses (canonical) that the account has. Raises RefusedError or MailsteadError."""

    def seen(self) -> List[str]:
        """All that the last find came across, in words."""

    def set(self, holding: Holding, name: str) -> Any:
        """Name an address. A ticket for a change that takes its time, None for one that is done.

        Raises RefusedError, UnclearError or MailsteadError.
        """

    def progress(self, tickets: Mapping[str, Any]) -> Dict[str, Progress]:
        """How the changes behind the tickets, by address, are getting on. Raises RefusedError or MailsteadError."""


class AccountPtr:
    """The provider of reverse records (model.PtrProvider) for any account. deadline: seconds for accepted changes."""

    def __init__(
        self,
        account: Account,
        deadline: float = DONE_WITHIN,
        pause: Optional[Callable[[float], object]] = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._account, self._deadline = account, deadline
        self._pause = pause or threading.Event().wait
        self._clock = clock
        self._holdings: Dict[str, Holding] = {}
        self.written: List[PtrResult] = []

    def plan(self, wanted: Sequence[PtrWanted]) -> List[PtrResult]:
        self._holdings = self._find(sorted({w.address for w in wanted}))
        problems = [p for p in map(self._obstacle, wanted) if p]
        if problems:
            raise MailsteadError(problems)
        return [self._compare(w) for w in wanted]

    def apply(self, planned: Sequence[PtrResult]) -> None:
        """One failure does not keep the other records from being set."""
        problems: List[Problem] = []
        tickets = {r.wanted.address: self._holdings[r.wanted.address].ticket for r in planned if r.status == "pending"}
        tried: Set[str] = set()
        for result in planned:
            if result.status != "changed" or result.wanted.address in tried:
                continue
            tried.add(result.wanted.address)
            try:
                ticket = self._write(result.wanted)
            except MailsteadError as error:
                problems += error.problems
                continue
            self.written.append(result)
            if ticket is not None:
                tickets[result.wanted.address] = ticket
        names = {r.wanted.address: r.wanted.name for r in planned}
        problems += self._settle(tickets, names)
        if problems:
            raise MailsteadError(problems)

    # -- reading ------------------------------------------------------------------------------------------------------

    def _find(self, addresses: Sequence[str]) -> Dict[str, Holding]:
        try:
            return self._account.find(addresses)
        except RefusedError as error:
            api = self._account.client.api
            raise MailsteadError([api.problem(error.refusal, f"{api.title}, {error.request}")]) from error

    def _obstacle(self, wanted: PtrWanted) -> Optional[Problem]:
        holding, api = self._holdings.get(wanted.address), self._account.client.api
        where = _where(wanted)
        if holding is None:
            seen = self._account.seen()
            shown = ", ".join(seen[:20]) + (f" and {len(seen) - 20} more" if len(seen) > 20 else "")
            what = f"{api.title} has no such address in this account; it shows {shown or 'none at all'}"
            fix = "Correct the address, or give the credential of the account (project, region) that it is rented with."
            return Problem("MS-PTR-012", where, what, fix)
        if holding.barred and holding.name != wanted.name:
            fix = "Do what it says, or leave the address out of the mail host until then."
            return Problem("MS-PTR-021", where, f"{holding.label}: {holding.barred}", fix)
        return None

    def _compare(self, wanted: PtrWanted) -> PtrResult:
        holding, provider = self._holdings[wanted.address], self._account.provider
        before = (holding.name,) if holding.name else ()
        if holding.pending:
            status = "pending" if holding.pending == wanted.name else "changed"
        else:
            status = "ok" if holding.name == wanted.name else "changed"
        return PtrResult(wanted, provider, status, before, note="" if status == "ok" else self._account.note)

    # -- writing ------------------------------------------------------------------------------------------------------

    def _write(self, wanted: PtrWanted) -> Any:
        """The ticket of a change, None when it is done. Raises MailsteadError."""
        holding, api = self._holdings[wanted.address], self._account.client.api
        last = ""
        for _try in range(UNCLEAR_TRIES):
            try:
                return self._account.set(holding, wanted.name)
            except RefusedError as error:
                raise MailsteadError([api.problem(error.refusal, _where(wanted))]) from error
            except UnclearError as error:
                last = str(error)
            holding = self._find([wanted.address]).get(wanted.address, holding)
            if holding.pending == wanted.name:
                return holding.ticket
            if holding.name == wanted.name and not holding.pending:
                return None
        fix = "Run again: the state is read first."
        raise MailsteadError.one("MS-PTR-020", _where(wanted), f"{api.title}: {last}, {UNCLEAR_TRIES} times", fix)

    def _settle(self, tickets: Dict[str, Any], names: Mapping[str, str]) -> List[Problem]:
        """Wait until the accepted changes are carried out; what went wrong with them."""
        problems: List[Problem] = []
        title, end = self._account.client.api.title, self._clock() + self._deadline
        for attempt in range(1_000_000):
            if not tickets:
                break
            try:
                found = self._account.progress(tickets)
            except RefusedError as error:
                api = self._account.client.api
                return [*problems, api.problem(error.refusal, f"{title}, {error.request}")]
            except MailsteadError as error:
                return [*problems, *error.problems]
            for address, progress in found.items():
                if progress.failure:
                    what = f"{title} accepted {names[address]} and then failed: {progress.failure}"
                    fix = f"Check that the address record of {names[address]} leads to {address}, and run again."
                    problems.append(Problem("MS-PTR-015", f"reverse record {address}", what, fix))
            tickets = {a: t for a, t in tickets.items() if not found[a].done}
            if not tickets or self._clock() >= end:
                break
            self._pause(PAUSES[min(attempt, len(PAUSES) - 1)])
        for address in sorted(tickets):
            what = f"{title} accepted {names[address]} and is not done with it after {self._deadline:.0f} s"
            fix = "Run again later: nothing is written twice. Until then it is as before."
            problems.append(Problem("MS-PTR-015", f"reverse record {address}", what, fix))
        return problems


def bare(name: Any) -> str:
    """A host name from a vendor's answer as it is compared: lower case, no trailing dot; empty for none."""
    return name.strip().rstrip(".").lower() if isinstance(name, str) else ""


def address(text: Any) -> str:
    """An address from a vendor's answer in canonical form; empty for what is none."""
    try:
        return str(ipaddress.ip_address(text.strip())) if isinstance(text, str) else ""
    except ValueError:
        return ""


def holds(network: Any, wanted: str, bits: Any = None) -> bool:
    """Whether a network from a vendor's answer (``a/64``, or an address and its bits) contains an address."""
    if not isinstance(network, str) or not network:
        return False
    try:
        found = ipaddress.ip_network(network if bits is None else f"{network}/{bits}", strict=False)
    except ValueError:
        return False
    return ipaddress.ip_address(wanted) in found


def mappings(value: Any) -> List[Dict[str, Any]]:
    """The mappings of a list in a vendor's answer; what is none of either is left out."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _where(wanted: PtrWanted) -> str:
    return f"reverse record {wanted.address}" + (f" of {wanted.host}" if wanted.host else "")
