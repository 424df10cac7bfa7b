# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A zone in memory with a history: applies of ours through the engine, edits of others, and going back."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from ansible_collections.mailstead.stack.plugins.module_utils.dns import engine
from ansible_collections.mailstead.stack.plugins.module_utils.dns.codes import GUARDS
from ansible_collections.mailstead.stack.plugins.module_utils.dns.history import Snapshot
from ansible_collections.mailstead.stack.plugins.module_utils.dns.reconcile import Goal
from ansible_collections.mailstead.stack.plugins.module_utils.dns.records import Change, Have, Options, Want, ZoneDiff
from ansible_collections.mailstead.stack.plugins.module_utils.dns.undo import FOREIGN, undo
from ansible_collections.mailstead.stack.plugins.module_utils.plan.phases import ForeignPolicy

from tests.unit.cloudflare.support import want

ZONE = "example.com"
#: What an undo in a small zone of tests would trip over, as an operator who means it would say.
ALLOW = tuple(GUARDS)


class RefusedError(Exception):
    """The engine found problems: nothing was written."""


class World:
    """records: the zone. history: what was saved. stable: ids outlive changes, as at Cloudflare; otherwise they are made
    from the data and nobody but us has comments, as in a zone kept by DNS update."""

    def __init__(self, *records: Have, stable: bool = True) -> None:
        self.stable = stable
        self.serial = 0
        self.records: list[Have] = []
        self.history: list[Snapshot] = []
        for record in records:
            self.add(record)

    # -- others ------------------------------------------------------------------------------------------------------

    def add(self, record: Have) -> Have:
        named = self._named(record, "")
        self.records.append(named)
        return named

    def change(self, old: Have, **fields: Any) -> Have:
        new = self._named(dataclasses.replace(old, **fields), old.id)
        self.records[self.records.index(old)] = new
        return new

    def remove(self, old: Have) -> None:
        self.records.remove(old)

    def at(self, rtype: str, name: str = ZONE) -> Have:
        (found,) = [r for r in self.records if (r.type, r.name) == (rtype, name)]
        return found

    # -- we ----------------------------------------------------------------------------------------------------------

    def apply(
        self, *wants: Want, foreign: ForeignPolicy | None = None, only: Callable[[Change], bool] = bool
    ) -> ZoneDiff:
        """One run of ours; only: which of its changes come to be (a run that was cut short)."""
        return self._run(wants, Options(foreign=foreign or ForeignPolicy(), allow=ALLOW, mode="owned"), only)

    def plan_undo(self, point: int) -> Goal:
        return undo(self.history[point], self.history[point + 1 :], self.records)

    def undo(self, point: int, only: Callable[[Change], bool] = bool) -> tuple[ZoneDiff, Goal]:
        back = self.plan_undo(point)
        options = Options(foreign=FOREIGN, allow=ALLOW, yields=back.yields)
        return self._run(back.wants, options, only), back

    def _run(self, wants: Sequence[Want], options: Options, only: Callable[[Change], bool]) -> ZoneDiff:
        diff = engine.diff(ZONE, wants, self.records, options)
        if diff.problems:
            raise RefusedError("\n".join(str(p) for p in diff.problems))
        if diff.changes:
            taken = f"20261121T{len(self.history):06d}Z"
            self.history.append(Snapshot(ZONE, "test", "mailstead", taken, tuple(self.records), diff.changes))
        for change in diff.changes:
            if only(change):
                self._write(change)
        return diff

    def _write(self, change: Change) -> None:
        if change.before is not None:
            index = next(i for i, r in enumerate(self.records) if r == change.before)
            if change.after is None:
                del self.records[index]
            else:
                self.records[index] = self._named(change.after, change.before.id)
        elif change.after is not None:
            self.records.append(self._named(change.after, ""))

    def _named(self, record: Have, known: str) -> Have:
        if not self.stable:
            ours = record.mark("mailstead") is not None
            comment = record.comment if ours else ""
            return dataclasses.replace(record, id=repr(record.key), comment=comment, tags=(), proxied=False)
        self.serial += 0 if known else 1
        return dataclasses.replace(record, id=known or f"r{self.serial}")

    # -- views -------------------------------------------------------------------------------------------------------

    def ours(self) -> list[Any]:
        """Our records without ids and users' words."""
        found = [(r, r.mark("mailstead")) for r in self.records]
        return sorted(((r.key, r.ttl, m.role, m.merged) for r, m in found if m is not None), key=repr)

    def others(self) -> list[Have]:
        """Others' records without ids."""
        found = [r for r in self.records if r.mark("mailstead") is None]
        return sorted((dataclasses.replace(r, id="") for r in found), key=repr)

    def view(self) -> tuple[list[Any], list[Have]]:
        return self.ours(), self.others()


def have(name: str, rtype: str, content: str, **more: Any) -> Have:
    return Have(name, rtype, content, more.pop("ttl", 300), **more)


__all__ = ["ALLOW", "ZONE", "RefusedError", "World", "have", "want"]
