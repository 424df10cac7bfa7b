# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Failures a person can act on: a code, the place, what is wrong and the fix. The codes are listed in docs/errors.md."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterable, Tuple


@dataclass(frozen=True)
class Problem:
    """One mistake. code: ``MS-<AREA>-<NNN>``; where: variable path, file, host or record; fix: what to do about it."""

    code: str
    where: str
    what: str
    fix: str

    def __str__(self) -> str:
        return f"[{self.code}] {self.where}: {self.what}\n    Fix: {self.fix}"


class MailsteadError(Exception):
    """Carries every problem that was found, so that a user mends them all in one go."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: Tuple[Problem, ...] = tuple(problems)
        super().__init__("\n".join(str(p) for p in self.problems))

    @classmethod
    def one(cls, code: str, where: str, what: str, fix: str) -> MailsteadError:
        return cls([Problem(code, where, what, fix)])
