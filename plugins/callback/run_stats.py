# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps the figures of a run as data, so that 'a second run changes nothing' is read from numbers and not from text."""

from __future__ import annotations

DOCUMENTATION = r"""
name: run_stats
type: notification
short_description: Write the figures of a run to a JSON file
version_added: 0.1.0
author: The mailstead maintainers
description:
  - Appends one JSON object per run to a file, with the statistics of every host, the number of tasks and the slowest
    of them.
requirements:
  - enable it in C(callbacks_enabled)
options:
  path:
    description: The file; nothing is written when it is empty.
    type: path
    default: ""
    env:
      - name: MAILSTEAD_RUN_STATS
    ini:
      - section: mailstead
        key: run_stats
"""

import json
import time
from pathlib import Path
from typing import Any

from ansible import context
from ansible.plugins.callback import CallbackBase

SLOWEST = 15


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "mailstead.stack.run_stats"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self._started = time.time()
        self._clock = time.monotonic()
        self._task: tuple[str, float] | None = None
        self._times: list[tuple[float, str]] = []
        self._playbook = ""

    def v2_playbook_on_start(self, playbook: Any) -> None:
        self._playbook = Path(str(playbook._file_name)).name

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        self._end_task()
        self._task = (str(task.get_name()), time.monotonic())

    def v2_playbook_on_handler_task_start(self, task: Any) -> None:
        self.v2_playbook_on_task_start(task, False)

    def _end_task(self) -> None:
        if self._task is not None:
            name, began = self._task
            self._times.append((round(time.monotonic() - began, 3), name))
            self._task = None

    def v2_playbook_on_stats(self, stats: Any) -> None:
        self._end_task()
        path = self.get_option("path")
        if not path:
            return
        hosts = {str(h): {k: int(v) for k, v in stats.summarize(h).items()} for h in sorted(stats.processed)}
        run = {
            "playbook": self._playbook,
            "check": bool(context.CLIARGS.get("check", False)),
            "started": round(self._started, 3),
            "seconds": round(time.monotonic() - self._clock, 2),
            "hosts": hosts,
            "tasks": len(self._times),
            "slowest": sorted(self._times, reverse=True)[:SLOWEST],
        }
        target = Path(str(path))
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(run) + "\n")
