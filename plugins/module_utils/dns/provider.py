# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host of DNS zones has to offer. The engine and :mod:`.reconcile` know nothing else of it.

A provider is used from several threads at once, each with a zone of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, List, Mapping, Optional, Protocol, Sequence, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import Problem
from ansible_collections.mailstead.stack.plugins.module_utils.dns.records import Change, Have


@dataclass(frozen=True)
class Limits:
    """What a zone takes. batch: most operations of one atomic write; records: likely quota, 0 when none is known;
    comment: characters of a comment, which carries the ownership mark; tags: whether records can carry tags."""

    batch: int
    records: int = 0
    comment: int = 100
    tags: bool = False


@dataclass(frozen=True)
class Zone:
    """A zone as far as the provider knows it.

    id: what the provider addresses it by. name: canonical. status: the provider's word, empty when not known.
    name_servers: host names, empty when not known. notes: what a person should know about its state.
    """

    id: str
    name: str
    limits: Limits
    status: str = ""
    name_servers: Tuple[str, ...] = ()
    notes: Tuple[str, ...] = ()


@dataclass(frozen=True)
class Written:
    """An accepted batch. records: what is stored now, one entry per change in the batch's order and with its id, None
    for a deletion; None as a whole when the answer does not tell. notes: what differs from what was sent."""

    records: Optional[Tuple[Optional[Have], ...]] = None
    notes: Tuple[str, ...] = ()


class RefusedError(Exception):
    """The provider said no and applied nothing of the batch.

    stale: the zone is not as it was when it was read (somebody else, or our own lost request, was quicker), so reading
    again may settle it. problem: what to tell a person when it does not.
    """

    def __init__(self, problem: Problem, stale: bool = False) -> None:
        self.problem, self.stale = problem, stale
        super().__init__(str(problem))


class UnclearError(Exception):
    """The outcome of a write is not known: the zone has to be read again before anything else is written."""


class ZoneProvider(Protocol):
    """A host of zones, in the name of one login. All but ``requests`` may raise MailsteadError."""

    @property
    def requests(self) -> Mapping[str, int]:
        """Requests made so far, by zone name; those for no single zone under the empty string."""
        ...

    def find(self, wanted: Sequence[Tuple[str, str]]) -> Tuple[Dict[str, Zone], List[Problem]]:
        """The zones for (name, id or empty) by name, and a problem for each that cannot be had.

        A zone with an id may be given back unread: :meth:`identify` completes it.
        """
        ...

    def identify(self, zone: Zone) -> Zone:
        """A zone given by id, completed as far as the login may. MailsteadError when the id is another zone's."""
        ...

    def read(self, zone: Zone) -> List[Have]:
        """All records of the zone, each with an id that :meth:`write` knows it by."""
        ...

    def quota(self, zone: Zone) -> Optional[int]:
        """How many records the zone may hold; None when unlimited or not told."""
        ...

    def split(self, changes: Sequence[Change], zone: Zone) -> List[List[Change]]:
        """The changes as batches that fit one write each (see :func:`.batches.batches`)."""
        ...

    def write(self, zone: Zone, batch: Sequence[Change]) -> Written:
        """Apply all of a batch or nothing. Raises RefusedError, UnclearError."""
        ...
