# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The time of this part of the twin, which tests can move, and durations as the API writes them."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta, timezone

_PART = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


class Clock:
    """base: the twin's clock, RFC 3339; offset: seconds that are added to it."""

    def __init__(self, base: Callable[[], str]) -> None:
        self._base = base
        self.offset = 0.0

    def now(self) -> datetime:
        return read_time(self._base()) + timedelta(seconds=self.offset)

    def text(self) -> str:
        return write_time(self.now())


def read_time(text: str) -> datetime:
    """RFC 3339, in UTC where it does not say. Raises ValueError."""
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=timezone.utc)


def write_time(moment: datetime) -> str:
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def duration(text: object) -> timedelta | None:
    """``8760h`` or ``2h45m``; None for ``forever``. Raises ValueError for anything else."""
    if text == "forever":
        return None
    parts = list(_PART.finditer(text)) if isinstance(text, str) else []
    if not isinstance(text, str) or not parts or "".join(part[0] for part in parts) != text:
        raise ValueError(f"{text!r} is no duration")
    return timedelta(seconds=sum(float(part[1]) * _SECONDS[part[2]] for part in parts))
