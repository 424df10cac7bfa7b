# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is compared: a zone as planned, as its provider has it, and as each of its name servers answers. Pure data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import FrozenSet, Mapping, Optional, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import Problem
from ansible_collections.mailstead.stack.plugins.module_utils.dns.records import Have, Options, Want

#: (owner name, type), both canonical.
Question = Tuple[str, str]

#: Why a server could not be judged: no route for its address family, no answer in time, an answer that is none.
NO_ROUTE, SILENT, REFUSED = "no-route", "silent", "refused"


@dataclass(frozen=True)
class Answer:
    """What one server said to one question. values: canonical; error: why there are none, empty when it answered;
    silent: no answer came, which proves nothing."""

    values: FrozenSet[str] = frozenset()
    error: str = ""
    silent: bool = False


@dataclass(frozen=True)
class ServerView:
    """One address of one name server; an empty address for a server whose name leads nowhere.

    delegated: the parent names it; provider: it is one of the provider's. obstacle: NO_ROUTE, SILENT, REFUSED or empty,
    with the words in error; then nothing else was asked. serial: of its SOA; ns: the zone's NS records as it has them.
    """

    name: str
    address: str
    delegated: bool = True
    provider: bool = True
    obstacle: str = ""
    error: str = ""
    serial: Optional[int] = None
    ns: FrozenSet[str] = frozenset()
    keys: FrozenSet[str] = frozenset()
    answers: Mapping[Question, Answer] = field(default_factory=dict)

    @property
    def healthy(self) -> bool:
        return not self.obstacle

    @property
    def label(self) -> str:
        return f"{self.name} [{self.address}]" if self.address else self.name


@dataclass(frozen=True)
class Delegation:
    """What the parent's servers say of the zone. parent: the parent zone; ns: host names; ds: canonical DS data.

    cut: the nearest delegated name, the zone's own when it is delegated at all. error: why the parent could not be asked.
    """

    cut: str
    parent: str = ""
    ns: FrozenSet[str] = frozenset()
    ds: FrozenSet[str] = frozenset()
    error: str = ""


@dataclass(frozen=True)
class Live:
    """The zone at its provider. records: all of them. status: the provider's word. name_servers: those it assigned."""

    records: Tuple[Have, ...]
    status: str = ""
    name_servers: Tuple[str, ...] = ()
    notes: Tuple[str, ...] = ()


@dataclass(frozen=True)
class ZoneView:
    """Everything known of a zone.

    wants: canonical, values known; unknown: wanted records whose values nobody could tell; mistakes: what is wrong with the
    wanted records themselves. live: None when the provider could not be read, for the reasons in problems; absent: because
    it has no such zone. options: as the zone is reconciled with.
    """

    zone: str
    provider: str
    wants: Tuple[Want, ...]
    unknown: Tuple[Want, ...] = ()
    mistakes: Tuple[Problem, ...] = ()
    live: Optional[Live] = None
    absent: bool = False
    problems: Tuple[Problem, ...] = ()
    delegation: Delegation = Delegation("")
    servers: Tuple[ServerView, ...] = ()
    options: Options = field(default_factory=Options)


def questions(wants: Tuple[Want, ...], live: Optional[Live], options: Options) -> Tuple[Question, ...]:
    """Every record set in which we have a share: what is wanted, and what carries our mark."""
    found = {(w.name, w.type) for w in wants}
    if live is not None:
        found |= {(r.name, r.type) for r in live.records if r.mark(options.instance) is not None}
    return tuple(sorted(found))
