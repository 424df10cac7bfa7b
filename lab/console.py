# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the harness says: one line a step, with the seconds since it began, and how long each step took."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

#: Seconds between two words about a step that has not ended.
REMIND = 20.0


class LabError(Exception):
    """Something a person has to mend; the text says what is wrong and what to do."""


class Console:
    """Lines from several threads, never torn."""

    def __init__(self) -> None:
        self._begin = time.monotonic()
        self._lock = threading.Lock()

    def say(self, text: str) -> None:
        """Print one line."""
        with self._lock:
            print(f"[lab {time.monotonic() - self._begin:6.1f} s] {text}", flush=True)

    @contextlib.contextmanager
    def watched(self, text: str) -> Iterator[None]:
        """Say now and then that the block still runs, so that a long step does not look like a hanging one."""
        begin, over = time.monotonic(), threading.Event()

        def remind() -> None:
            while not over.wait(REMIND):
                self.say(f"{text}: {time.monotonic() - begin:.0f} s so far")

        thread = threading.Thread(target=remind, name="reminder", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    @contextlib.contextmanager
    def step(self, text: str) -> Iterator[None]:
        """Say what begins, and how long it took when it has ended well."""
        self.say(f"{text} ...")
        begin = time.monotonic()
        with self.watched(text):
            yield
        self.say(f"{text}: {time.monotonic() - begin:.1f} s")


CONSOLE = Console()
