# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines as cloudflared's console logger writes them: time, level, text, then fields."""

from __future__ import annotations

import datetime
import json
import sys
from typing import Any, TextIO


class Log:
    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr

    def info(self, text: str, **fields: Any) -> None:
        self._line("INF", text, fields)

    def warn(self, text: str, **fields: Any) -> None:
        self._line("WRN", text, fields)

    def error(self, text: str, **fields: Any) -> None:
        self._line("ERR", text, fields)

    def _line(self, level: str, text: str, fields: dict[str, Any]) -> None:
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        more = "".join(f" {key}={_quoted(value)}" for key, value in sorted(fields.items()))
        print(f"{now} {level} {text}{more}", file=self._stream, flush=True)


def _quoted(value: Any) -> str:
    text = str(value)
    return json.dumps(text) if " " in text or '"' in text else text
