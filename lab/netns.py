# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Doing things inside the controller's network namespace without leaving this process."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

T = TypeVar("T")

CLONE_NEWNET = 0x40000000
_LIBC = ctypes.CDLL(None, use_errno=True)


class _Outcome(Generic[T]):
    value: T | None = None
    error: BaseException | None = None


def call(namespace: str, function: Callable[[], T]) -> T:
    """Run a function in a thread of its own that has entered a named network namespace; returns or raises what it does.

    Only the thread changes its network; file system and everything else stay. Raises OSError when there is no such
    namespace.
    """
    outcome: _Outcome[T] = _Outcome()

    def inside() -> None:
        try:
            descriptor = os.open(Path("/run/netns") / namespace, os.O_RDONLY | os.O_CLOEXEC)
            try:
                if _LIBC.setns(descriptor, CLONE_NEWNET):
                    number = ctypes.get_errno()
                    raise OSError(number, os.strerror(number), namespace)
            finally:
                os.close(descriptor)
            outcome.value = function()
        except BaseException as error:
            outcome.error = error

    thread = threading.Thread(target=inside, name=f"netns-{namespace}")
    thread.start()
    thread.join()
    if outcome.error is not None:
        raise outcome.error
    return outcome.value  # type: ignore[return-value]
