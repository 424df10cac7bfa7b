# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records that get lost in the twin, locked ones too: as somebody with more rights than the API gives would do it."""

from __future__ import annotations

import functools
from collections.abc import Callable

from lab.twins.cloudflare.records import Reader, Record
from lab.twins.cloudflare.rules import Working
from lab.twins.cloudflare.state import ZoneState


def lose(state: ZoneState, which: Callable[[Record], bool]) -> None:
    for record in list(state.snapshot().values()):
        if which(record):
            state.change_mail(functools.partial(_remove, record.id))


def _remove(record_id: str, working: Working, _reader: Reader) -> None:
    working.remove(working.records[record_id])
