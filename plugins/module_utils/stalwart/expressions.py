# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names inside expressions. The server accepts ``route.else = 'nosuch'`` without a word and then has no route."""

from __future__ import annotations

import re
from typing import Any, Dict, Iterator, List, Mapping, Sequence, Set, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import Problem
from ansible_collections.mailstead.stack.plugins.module_utils.stalwart.desired import Desired
from ansible_collections.mailstead.stack.plugins.module_utils.stalwart.steps import Observed, Step

_STAGES = ("MtaStageConnect", "MtaStageEhlo", "MtaStageMail", "MtaStageRcpt", "MtaStageData")

#: (singleton, property with an expression) → the type whose names its results are
NAMES: Dict[Tuple[str, str], str] = {
    ("MtaOutboundStrategy", "route"): "MtaRoute",
    ("MtaOutboundStrategy", "tls"): "MtaTlsStrategy",
    ("MtaOutboundStrategy", "connection"): "MtaConnectionStrategy",
    ("MtaOutboundStrategy", "schedule"): "MtaDeliverySchedule",
    **{(stage, "script"): "SieveSystemScript" for stage in _STAGES},
}

_LITERAL = re.compile(r"""^\s*(['"])(.*)\1\s*$""", re.DOTALL)


def needed(types: Set[str]) -> Set[str]:
    """The further types to read so that names can be checked in both directions."""
    more: Set[str] = set()
    for (singleton, _key), named in NAMES.items():
        if singleton in types:
            more.add(named)
        if named in types:
            more.add(singleton)
    return more


def literals(expression: Any) -> Iterator[Tuple[str, str]]:
    """(place within the expression, name) of every result that is nothing but a name in quotes."""
    if not isinstance(expression, Mapping):
        return
    results = [("else", expression.get("else"))]
    match = expression.get("match") or {}
    results += [(f"match/{i}/then", m.get("then")) for i, m in match.items() if isinstance(m, Mapping)]
    for place, text in results:
        found = _LITERAL.match(text) if isinstance(text, str) else None
        if found and found.group(1) not in found.group(2):
            yield place, found.group(2)


def _names(observed: Observed, steps: Sequence[Step], type_: str) -> Set[str]:
    """The names there will be when all steps are done."""
    gone = {s.id for s in steps if s.action == "destroy" and s.type == type_}
    names = {str(o.get("name")) for o in observed.get(type_, ()) if o.get("id") not in gone}
    names |= {str(s.body.get("name")) for s in steps if s.action == "create" and s.type == type_}
    renamed = [s for s in steps if s.action == "update" and s.type == type_ and "name" in s.body]
    for step in renamed:
        names -= {str(step.before.get("name"))}
        names |= {str(step.body["name"])}
    return names


def check(observed: Observed, wanted: Sequence[Desired], steps: Sequence[Step]) -> List[Problem]:
    """Names that would lead nowhere: in expressions about to be written, or left behind by a removal (MS-SRV-018)."""
    problems: List[Problem] = []
    writes: Dict[Tuple[str, str], Any] = {
        (s.type, k): v for s in steps if s.action == "update" for k, v in s.body.items() if (s.type, k) in NAMES
    }
    for (singleton, key), named in NAMES.items():
        written = writes.get((singleton, key))
        if written is not None:
            known = _names(observed, steps, named)
            where = next((f"objects[{d.index}] {d.label}" for d in wanted if d.type == singleton), singleton)
            for place, name in literals(written):
                if name not in known:
                    problems.append(
                        Problem(
                            "MS-SRV-018",
                            f"{where}/{key}/{place}",
                            f"there is no {named} {name!r}; the server would accept the name and find nothing",
                            f"Known: {', '.join(sorted(known)) or 'none'}.",
                        )
                    )
            continue
        lost = {str(s.before.get("name")): s for s in steps if s.action == "destroy" and s.type == named}
        for object_ in observed.get(singleton, ()):
            for place, name in literals(object_.get(key)):
                if name in lost:
                    problems.append(
                        Problem(
                            "MS-SRV-018",
                            lost[name].label,
                            f"{singleton}/{key}/{place} still names it",
                            f"Change {singleton} in the same run, or keep the object.",
                        )
                    )
    return problems


def named_steps(steps: Sequence[Step]) -> Dict[int, Tuple[int, ...]]:
    """Index of a step whose expressions name new objects → indexes of those: they must exist first."""
    created = {(s.type, str(s.body.get("name"))): s.index for s in steps if s.action == "create"}
    found: Dict[int, Tuple[int, ...]] = {}
    for step in steps:
        needs = {
            created[(NAMES[(step.type, key)], name)]
            for key, value in step.body.items()
            if (step.type, key) in NAMES
            for _place, name in literals(value)
            if (NAMES[(step.type, key)], name) in created
        }
        if needs:
            found[step.index] = tuple(sorted(needs))
    return found
