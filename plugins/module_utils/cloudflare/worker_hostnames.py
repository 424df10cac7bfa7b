# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hostnames at which a Worker answers over HTTPS ("Custom Domains"): Cloudflare keeps their records and certificates.

Endpoints: reference of the API, Workers › Domains. What belongs to a Worker of ours is ours, so nothing is marked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.client import (
    Client,
    RefusalError,
    UnclearError,
)
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.workers import WRITE_TRIES, explain
from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError, Problem


@dataclass(frozen=True)
class Attached:
    """A hostname that leads to a Worker."""

    id: str
    hostname: str
    worker: str


@dataclass(frozen=True)
class Change:
    """before: None for a hostname that leads nowhere yet; worker: empty where it is to lead nowhere any more."""

    hostname: str
    worker: str
    before: Optional[Attached] = None

    def __str__(self) -> str:
        if not self.worker:
            return f"detach {self.hostname}"
        return f"attach {self.hostname}" + (f", which led to {self.before.worker}" if self.before else "")


# -- pure ------------------------------------------------------------------------------------------------------------


def diff(
    wanted: Mapping[str, Sequence[str]], have: Sequence[Attached], adopt: bool = False
) -> Tuple[Dict[str, List[Change]], List[Problem]]:
    """Changes by Worker. wanted: the hostnames of each Worker that has to say in it; those of others are not touched.

    A hostname that leads to a Worker that is not listed here is a problem unless adopt says to take it over.
    """
    present = {a.hostname: a for a in have}
    owners: Dict[str, str] = {}
    problems: List[Problem] = []
    changes: Dict[str, List[Change]] = {worker: [] for worker in wanted}
    for worker, names in wanted.items():
        for name in dict.fromkeys(names):
            if name in owners:
                what = f"it is to lead to {owners[name]} and to {worker}"
                problems.append(Problem("MS-CW-002", f"hostname {name}", what, "List it with one of them."))
                continue
            owners[name] = worker
            found = present.get(name)
            if found is None:
                changes[worker].append(Change(name, worker))
            elif found.worker not in (worker, *wanted) and not adopt:
                fix = "Detach it from that Worker first, or set adopt: true to take it over."
                problems.append(Problem("MS-CW-008", f"hostname {name}", f"it leads to the Worker {found.worker}", fix))
            elif found.worker != worker:
                changes[worker].append(Change(name, worker, found))
    for name, found in present.items():
        if found.worker in wanted and name not in owners:
            changes[found.worker].append(Change(name, "", found))
    return changes, problems


def shown(have: Sequence[Attached], changes: Iterable[Change], workers: Iterable[str]) -> Tuple[str, str]:
    """Before and after, for a difference: the hostnames of these Workers and those they take over."""
    all_changes = list(changes)
    concerned = {c.hostname for c in all_changes} | {a.hostname for a in have if a.worker in set(workers)}
    before = {a.hostname: a.worker for a in have if a.hostname in concerned}
    after = {**before, **{c.hostname: c.worker for c in all_changes}}
    texts = ["".join(f"{n}: {w}\n" for n, w in sorted(found.items()) if w) for found in (before, after)]
    return texts[0], texts[1]


# -- with the API ----------------------------------------------------------------------------------------------------


def list_attached(client: Client, account: str) -> List[Attached]:
    """All hostnames of an account's Workers, in one request. Raises MailsteadError."""
    path = f"/accounts/{account}/workers/domains"
    try:
        result = client.read(path).result
    except RefusalError as refusal:
        raise MailsteadError([explain(client, refusal, "the hostnames of Workers")]) from refusal
    if not isinstance(result, list):
        raise client.malformed(f"GET {path}", "a list of hostnames is missing")
    return [_attached(client, path, raw) for raw in result]


def _attached(client: Client, path: str, raw: Any) -> Attached:
    fields = [raw.get(name) if isinstance(raw, dict) else None for name in ("id", "hostname", "service")]
    if not all(isinstance(value, str) for value in fields):
        raise client.malformed(f"GET {path}", "a hostname lacks its id or its Worker")
    return Attached(str(fields[0]), str(fields[1]).lower(), str(fields[2]))


def apply(client: Client, account: str, changes: Iterable[Change]) -> Tuple[int, List[Problem]]:
    """Make the changes; returns how many were made, and what went wrong with the others."""
    made = 0
    problems: List[Problem] = []
    for change in changes:
        try:
            _write(client, account, change)
            made += 1
        except MailsteadError as error:
            problems += error.problems
    return made, problems


def _write(client: Client, account: str, change: Change) -> None:
    """Raises MailsteadError. A write whose outcome is not known is followed by a look, and made again when it was lost."""
    path, where, last = f"/accounts/{account}/workers/domains", f"hostname {change.hostname}", ""
    for _attempt in range(WRITE_TRIES):
        try:
            if change.worker:
                client.write(path, {"hostname": change.hostname, "service": change.worker}, method="PUT")
            elif change.before is not None:
                client.remove(f"{path}/{change.before.id}")
            return
        except RefusalError as refusal:
            raise MailsteadError([explain(client, refusal, where)]) from refusal
        except UnclearError as unclear:
            last = client.clean(str(unclear))
            leads = {a.hostname: a.worker for a in list_attached(client, account)}
            if leads.get(change.hostname, "") == change.worker:
                return
    what = f"whether it was changed is not known: {last}"
    raise MailsteadError.one("MS-CW-005", where, what, "Run again: what is attached is read first.")
