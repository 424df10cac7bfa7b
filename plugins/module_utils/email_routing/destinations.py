# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Destinations of an account: each is verified once, by its owner, who clicks a link in a message. Pure.

A destination knows no owner and no mark, and deleting one silently disables every rule that uses it (documentation,
"Destination addresses"). So none is removed unless it is named, and none that a rule still needs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Iterable, List, Sequence, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import Problem
from ansible_collections.mailstead.stack.plugins.module_utils.email_routing.model import (
    MAX_DESTINATIONS,
    Destination,
    Rule,
)
from ansible_collections.mailstead.stack.plugins.module_utils.email_routing.rules import malformed


@dataclass(frozen=True)
class DestinationsDiff:
    """create: addresses to announce; a message with a link goes to each. delete: those to remove.

    pending: addresses whose owner has still to click, the new ones included. verified: the rest of the wanted ones.
    """

    create: Tuple[str, ...]
    delete: Tuple[Destination, ...]
    pending: Tuple[str, ...]
    verified: Tuple[str, ...]
    problems: Tuple[Problem, ...] = ()


def diff(
    wanted: Iterable[str], absent: Iterable[str], have: Sequence[Destination], rules: Sequence[Rule]
) -> DestinationsDiff:
    """What has to be written so that the wanted destinations exist and the absent ones do not.

    rules: those of all zones of the account, the disabled ones included: they keep their destination.
    """
    present = {d.address.lower(): d for d in have}
    problems: List[Problem] = []
    unique: Dict[str, str] = {}
    for address in wanted:
        why = malformed(address.strip())
        if why:
            what = f"{address!r} {why}"
            problems.append(Problem("MS-ER-001", f"destination {address}", what, "Write one complete address."))
        else:
            unique.setdefault(address.strip().lower(), address.strip())
    gone = {a.strip().lower() for a in absent}
    for address in sorted(gone & set(unique)):
        fix = "Take it out of one of the two lists."
        problems.append(Problem("MS-ER-010", f"destination {address}", "it is both wanted and to go", fix))
    delete = [present[a] for a in sorted(gone) if a in present]
    for destination in delete:
        users = sorted(r.address or "the catch-all" for r in rules if _uses(r, destination))
        if users:
            what = f"it is still used by {', '.join(users[:5])}{', …' if len(users) > 5 else ''}"
            fix = "Remove those rules first: without their destination they would be disabled silently."
            problems.append(Problem("MS-ER-010", f"destination {destination.address}", what, fix))
    create = [shown for key, shown in unique.items() if key not in present]
    after = len(have) + len(create) - len(delete)
    if create and after > MAX_DESTINATIONS:
        what = f"the account would have {after}, the service holds {MAX_DESTINATIONS}"
        fix = "Remove destinations that no rule uses any more (absent)."
        problems.append(Problem("MS-ER-008", "destinations", what, fix))
    verified = [present[a].address for a in unique if a in present and present[a].verified]
    pending = [shown for key, shown in unique.items() if key not in present or not present[key].verified]
    return DestinationsDiff(tuple(create), tuple(delete), tuple(pending), tuple(verified), tuple(problems))


def _uses(rule: Rule, destination: Destination) -> bool:
    return rule.action == "forward" and rule.target.lower() == destination.address.lower()
