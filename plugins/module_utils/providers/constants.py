# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the constants of profiles still agree with the DNS: exchangers that resolve, includes that cost what is written.

Providers change both without notice. Nothing is asked here but through a :data:`Fetch`.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Dict, List, Mapping, Sequence, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import Problem
from ansible_collections.mailstead.stack.plugins.module_utils.dns import spf
from ansible_collections.mailstead.stack.plugins.module_utils.dns.spf_cost import (
    Answer,
    Cost,
    Fetch,
    Part,
    Question,
    ZoneAnswers,
    measure,
)

#: Stands for the domain that the includes would be written for; nothing is asked about it (RFC 6761 §6.4).
NOBODY = "invalid"
FAMILIES = ("A", "AAAA")


@dataclass(frozen=True)
class Constants:
    """What a profile says that the DNS can contradict. hosts: exchangers and servers that mail programs use; those with a
    placeholder are made for each customer and not among them. verified_on: ISO date. cost_hint: look-ups of all includes."""

    id: str
    title: str
    verified_on: str
    hosts: Tuple[str, ...] = ()
    includes: Tuple[str, ...] = ()
    cost_hint: int = 0


@dataclass(frozen=True)
class Checked:
    """hosts: the addresses of each. cost: of all includes together. problems: what no longer agrees; unknown: what could not
    be asked, in words, and says nothing."""

    constants: Constants
    hosts: Tuple[Tuple[str, Tuple[str, ...]], ...]
    cost: Cost
    problems: Tuple[Problem, ...]
    unknown: Tuple[str, ...]

    def __str__(self) -> str:
        """One line for people."""
        said = f"{self.constants.title}: {len(self.hosts)} host{'' if len(self.hosts) == 1 else 's'}"
        if self.constants.includes:
            said += f"; SPF {self.cost.lookups} look-ups (written: {self.constants.cost_hint}), {self.cost.voids} void"
        state = "no longer agrees" if self.problems else "not all could be asked" if self.unknown else "agrees"
        return f"{said}; looked at on {self.constants.verified_on}: {state}"


class _Noted:
    """A Fetch that remembers which questions were not answered."""

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch
        self.failed: Dict[Question, None] = {}

    def __call__(self, questions: Sequence[Question]) -> Mapping[Question, Answer]:
        found = self._fetch(questions)
        self.failed.update({q: None for q in questions if found.get(q, ("error", ()))[0] == "error"})
        return found


def check(every: Sequence[Constants], fetch: Fetch, today: datetime.date, max_age: int) -> List[Checked]:
    """Compare profiles with the DNS, in their order. max_age: days after which facts have to be looked at again.

    The hosts of all of them are asked for in one go.
    """
    questions = [(host, family) for one in every for host in one.hosts for family in FAMILIES]
    answers = dict(fetch(tuple(dict.fromkeys(questions)))) if questions else {}
    return [_checked(one, answers, fetch, today, max_age) for one in every]


def _checked(
    one: Constants, answers: Mapping[Question, Answer], fetch: Fetch, today: datetime.date, max_age: int
) -> Checked:
    problems: List[Problem] = []
    unknown: List[str] = []
    hosts: List[Tuple[str, Tuple[str, ...]]] = []
    for host in one.hosts:
        found = [answers.get((host, family), ("error", ())) for family in FAMILIES]
        addresses = tuple(value for _status, values in found for value in values)
        hosts.append((host, addresses))
        if not addresses and any(status == "error" for status, _values in found):
            unknown.append(f"{host} could not be looked up")
        elif not addresses:
            fix = "Look into the provider's documentation for its hosts of today, and correct the profile."
            problems.append(Problem("MS-PRO-030", _place(one), f"the host {host} has no address any more", fix))
    noted = _Noted(fetch)
    cost = _cost(one, noted)
    unknown += [f"{rtype} of {name} could not be looked up" for name, rtype in noted.failed]
    problems += _cost_problems(one, cost)
    problems += _age(one, today, max_age)
    return Checked(one, tuple(hosts), cost, tuple(problems), tuple(unknown))


def _place(one: Constants) -> str:
    return f"profile {one.id}"


def _cost(one: Constants, fetch: Fetch) -> Cost:
    terms = tuple(spf.parse_term(f"include:{name}") for name in one.includes)
    return measure(spf.Spf(terms), NOBODY, ZoneAnswers(NOBODY, ()), fetch)


def _cost_problems(one: Constants, cost: Cost) -> List[Problem]:
    out: List[Problem] = []
    for what in cost.broken:
        fix = "Look into the provider's documentation for its include of today, and correct the profile."
        out.append(Problem("MS-PRO-032", _place(one), what, fix))
    detail = ", ".join(_told(part) for part in cost.parts)
    if cost.lookups > one.cost_hint:
        what = f"its includes need {cost.lookups} look-ups, the profile says {one.cost_hint}: {detail}"
        fix = (
            f"Write cost_hint: {cost.lookups}, and see whether domains with several senders stay at {spf.MAX_LOOKUPS}."
        )
        out.append(Problem("MS-PRO-031", _place(one), what, fix))
    if cost.voids > spf.MAX_VOID:
        what = f"{cost.voids} look-ups of its includes find nothing, {spf.MAX_VOID} are allowed: {detail}"
        fix = "Tell the provider; until it is mended, send from a name of its own below the domain."
        out.append(Problem("MS-PRO-033", _place(one), what, fix))
    return out


def _told(part: Part) -> str:
    return f"{part.term} {part.lookups}" + (f" ({part.voids} void)" if part.voids else "")


def _age(one: Constants, today: datetime.date, max_age: int) -> List[Problem]:
    try:
        days = (today - datetime.date.fromisoformat(one.verified_on)).days
    except ValueError:
        days = max_age + 1
    if days <= max_age:
        return []
    what = f"its facts were last looked at on {one.verified_on}, more than {max_age} days ago"
    fix = "Go through its sources, and write the day into verified_on."
    return [Problem("MS-PRO-034", _place(one), what, fix)]
