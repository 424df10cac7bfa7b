# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A request sent before anybody has asked for it, so that its time can be used for something else."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Mapping, Optional

from ansible_collections.mailstead.stack.plugins.module_utils.common.http import Answer, Transport


class Ahead:
    """A Transport that sends one GET at once and has its answer ready when exactly that is asked first.

    As every transport it belongs to one thread; the early request is over before the connection is used again.
    """

    def __init__(self, transport: Transport, path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> None:
        self._transport = transport
        self._request = ("GET", path, dict(query))
        pool = ThreadPoolExecutor(max_workers=1)
        self._early: Optional[Future[Answer]] = pool.submit(transport.request, "GET", path, query, headers, None)
        pool.shutdown(wait=False)

    def request(
        self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], body: Optional[bytes]
    ) -> Answer:
        early, self._early = self._early, None
        if early is not None:
            if (method, path, dict(query)) == self._request:
                return early.result()
            early.exception()  # its outcome is nobody's concern, but the connection is free only after it
        return self._transport.request(method, path, query, headers, body)

    def close(self) -> None:
        if self._early is not None:
            self._early.exception()
        self._transport.close()
