# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a plan is made of: steps, in levels."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Callable, Mapping, Sequence, Tuple

Observed = Mapping[str, Sequence[Mapping[str, Any]]]
#: (label, pointer, object id, value) → whether this very value was written to this very object before
Remembered = Callable[[str, str, str, str], bool]


@dataclass(frozen=True)
class Step:
    """One create, update or destroy.

    id: the server's, "" for a create. body: what is sent, references to new objects still as text. needs: indexes
    (of Desired) that must exist before. before, after: the managed properties, without secrets. secrets: what is to
    be remembered once the step is done.
    """

    action: str
    type: str
    label: str
    index: int
    id: str
    body: Mapping[str, Any]
    needs: Tuple[int, ...]
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    secrets: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """The steps in levels: everything in a level depends on earlier levels only. ids: reference → id found.

    pending: reference → index of the Desired whose creation yields the id. actions: what must follow the changes.
    """

    levels: Tuple[Tuple[Step, ...], ...]
    ids: Mapping[str, str]
    pending: Mapping[str, int]
    actions: Tuple[str, ...]
    restart: bool

    @property
    def steps(self) -> Tuple[Step, ...]:
        return tuple(s for level in self.levels for s in level)
