# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Responses and the envelope around every result (reference, §1.1)."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from .errors import ApiError

#: On every answer: nobody may take the twin for the real thing.
LABEL = {"X-Mailstead-Lab": "cloudflare-twin"}


@dataclass(frozen=True)
class Response:
    """An answer: json for the API's own, text for exports and error pages."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    json: Any = None
    text: str | None = None

    @property
    def body(self) -> bytes:
        if self.text is not None:
            return self.text.encode("utf-8")
        return json.dumps(self.json, separators=(",", ":")).encode("utf-8")

    def with_headers(self, more: dict[str, str]) -> Response:
        """The same answer with more headers; those already there stay."""
        return Response(self.status, {**more, **self.headers}, self.json, self.text)


def envelope(
    result: Any,
    *,
    info: dict[str, int] | None = None,
    messages: list[dict[str, Any]] | None = None,
    error: ApiError | None = None,
    pointers: bool = False,
) -> Response:
    """Wrap a result or a refusal. pointers: give ``source.pointer`` of the refused part."""
    body: dict[str, Any] = {
        "result": result,
        "success": error is None,
        "errors": [item.to_json(pointers) for item in error.items] if error else [],
        "messages": messages or [],
    }
    if info is not None:
        body["result_info"] = info
    headers = {"Content-Type": "application/json", **(error.headers if error else {})}
    return Response(error.status if error else 200, headers, body)
