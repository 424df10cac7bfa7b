# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gathers the findings of one zone, one for each thing, and puts values and views into words."""

from __future__ import annotations

import dataclasses
from typing import Dict, Iterable, List, Sequence, Tuple, Union

from ansible_collections.mailstead.stack.plugins.module_utils.checks.finding import ORDER, Finding
from ansible_collections.mailstead.stack.plugins.module_utils.dns import rdata
from ansible_collections.mailstead.stack.plugins.module_utils.dns.drift.catalogue import finding
from ansible_collections.mailstead.stack.plugins.module_utils.dns.drift.views import ZoneView
from ansible_collections.mailstead.stack.plugins.module_utils.dns.policies import kind_of
from ansible_collections.mailstead.stack.plugins.module_utils.dns.records import Have, Want

#: Values longer than this are shown around the first difference only.
LONG = 100
NOTHING = "nothing"
_BEFORE = 24


class Sheet:
    """Findings by id and scope. What is said twice about one thing becomes one finding with both texts."""

    def __init__(self, view: ZoneView) -> None:
        self.view = view
        self._found: Dict[Tuple[str, str], Finding] = {}

    def add(self, id: str, scope: str, verdict: str, observed: str = "", **more: object) -> None:
        new = finding(id, self.view.zone, scope, verdict, observed, **more)
        old = self._found.get((id, scope))
        self._found[(id, scope)] = new if old is None else _joined(old, new)

    def about(self, name: str, ids: Iterable[str]) -> Tuple[str, ...]:
        """Keys of what was found under these ids about a name's records."""
        wanted = set(ids)
        return tuple(
            sorted(f.key for f in self._found.values() if f.id in wanted and f.scope.partition("/")[0] == name)
        )

    def has(self, id: str) -> bool:
        return any(known == id for known, _scope in self._found)

    def findings(self) -> List[Finding]:
        return list(self._found.values())


def _joined(old: Finding, new: Finding) -> Finding:
    def both(a: str, b: str) -> str:
        return a if b in a.split("; ") else "; ".join(t for t in (a, b) if t)

    return dataclasses.replace(
        old,
        verdict=min(old.verdict, new.verdict, key=ORDER.index),
        observed=both(old.observed, new.observed),
        expected=both(old.expected, new.expected),
        fix=old.fix if new.fix in old.fix else " ".join(t for t in (old.fix, new.fix) if t),
        evidence=tuple(dict.fromkeys((*old.evidence, *new.evidence))),
        requires=tuple(dict.fromkeys((*old.requires, *new.requires))),
    )


# -- words -----------------------------------------------------------------------------------------------------------


def scope_of(record: Union[Want, Have]) -> str:
    """``<name>/<type>``, for texts with their kind as well: several kinds share a name without touching each other."""
    kind = kind_of(record.name, record.type, record.content)
    return "/".join(part for part in (record.name, record.type, kind) if part)


def unknown_scope(want: Want) -> str:
    """The scope of a record whose value is not known: the name of a key's record has a selector as unknown as the key."""
    return f"{settled_name(want)}/{want.type}/{want.role}"


def settled_name(want: Want) -> str:
    """The name of a planned record as far as it is known."""
    return want.name.partition(".")[2] if want.name.startswith("<") else want.name


def show(record: Union[Want, Have]) -> str:
    """A record's data, time to live and proxy setting."""
    proxied = ", proxied" if isinstance(record, Have) and record.proxied else ""
    return f"{record.content} (TTL {record.ttl}{proxied})"


def contrast(seen: str, wanted: str) -> Tuple[str, str]:
    """Two values, long ones cut down to where they begin to differ."""
    if max(len(seen), len(wanted)) <= LONG:
        return seen, wanted
    at = next((i for i, (a, b) in enumerate(zip(seen, wanted)) if a != b), min(len(seen), len(wanted)))
    start = max(0, at - _BEFORE)

    def part(text: str) -> str:
        end = start + LONG
        return ("…" if start else "") + text[start:end] + ("…" if len(text) > end else "")

    return part(seen), part(wanted)


def shortened(text: str) -> str:
    return text if len(text) <= LONG else f"{text[:LONG]}…"


def three_views(view: ZoneView, name: str, rtype: str) -> Tuple[str, ...]:
    """A record set as planned, at the provider and at every server, one line for each value."""
    rows = [("planned", _data(w)) for w in view.wants if (w.name, w.type) == (name, rtype)] or [("planned", NOTHING)]
    if view.live is not None:
        here = [r for r in view.live.records if (r.name, r.type) == (name, rtype)]
        rows += [("provider", f"{_data(r)}{_remark(r)}") for r in here] or [("provider", NOTHING)]
    for server in view.servers:
        answer = server.answers.get((name, rtype))
        if answer is not None:
            rows.append((server.label, answer.error or presented(rtype, answer.values) or NOTHING))
    return columns(rows)


def columns(rows: Sequence[Tuple[str, str]]) -> Tuple[str, ...]:
    """Lines of a name and what it says, the latter below each other."""
    width = max((len(name) for name, _text in rows), default=0)
    return tuple(f"{name:<{width}}  {text}" for name, text in rows)


def presented(rtype: str, values: Iterable[str]) -> str:
    """Values of a record set as in a zone file, in one line."""
    return ", ".join(rdata.presentation(rtype, v) for v in sorted(values))


def _data(record: Union[Want, Have]) -> str:
    return f"{record.ttl} {rdata.presentation(record.type, record.content)}"


def _remark(record: Have) -> str:
    remarks = [r for r in ("proxied" if record.proxied else "", record.comment) if r]
    return f" ; {' | '.join(remarks)}" if remarks else ""
