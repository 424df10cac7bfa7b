# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documented shapes of the API's answers, against which every answer of the twin is checked in its tests.

``schema/documented.json`` is written by hand and strict: a field that is not documented is a mistake. Where
``build/api-schema/cloudflare.json`` exists (tools/api_schema.py makes it from Cloudflare's published description), answers
are checked against that too.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema

from lab.twins.cloudflare import Response
from tools import api_schema

DOCUMENTED = Path(__file__).parent / "schema" / "documented.json"
BASE = "/client/v4"
#: Records that are checked from each end of a long list.
ENDS = 25


#: The known paths, those without a parameter at the end first: "…/dns_records/usage" is no record.
PATTERNS = [
    (re.compile(re.sub(r"\{[^}]*\}", "[^/]+", path)), path)
    for path in sorted(api_schema.PATHS, key=lambda path: path.endswith("}"))
]


def operation_of(method: str, path: str) -> str:
    """``GET /zones/{zone_id}`` for a request; empty for a path that nobody described."""
    below = path.removeprefix(BASE)
    return next((f"{method.upper()} {known}" for pattern, known in PATTERNS if pattern.fullmatch(below)), "")


class Shapes:
    """Schemas by operation, in the form that tools/api_schema.py writes."""

    def __init__(self, data: dict[str, Any]) -> None:
        self.name = str(data["source"])
        self.operations = data["answers"]
        self._definitions = data["$defs"]

    @functools.cache  # noqa: B019 (two objects live as long as the tests)
    def validator(self, operation: str, status: int) -> jsonschema.Draft202012Validator | None:
        """None for a status that is not described."""
        answers = {key.upper(): schema for key, schema in self.operations[operation].items()}
        schema = answers.get(str(status), answers.get(f"{status // 100}XX"))
        if schema is None:
            return None
        whole = {"allOf": [schema], "$defs": self._definitions}
        return jsonschema.Draft202012Validator(whole, format_checker=jsonschema.FormatChecker(["ipv4", "ipv6"]))

    def mistakes(self, method: str, path: str, response: Response) -> Iterator[str]:
        """What is wrong with an answer, one line each."""
        operation = operation_of(method, path)
        if operation not in self.operations or response.text is not None:
            return
        validator = self.validator(operation, response.status)
        if validator is None:
            # The published description leaves many refusals out; the documented shapes know them all.
            if self is documented():
                yield f"{operation}: status {response.status} is not described ({self.name})"
            return
        for error in validator.iter_errors(thinned(response.json)):
            if self is not documented() and _undescribed_type(error.instance):
                continue
            yield f"{operation} {response.status}: {error.json_path}: {error.message[:300]} ({self.name})"


@functools.cache
def documented() -> Shapes:
    return Shapes(json.loads(DOCUMENTED.read_text(encoding="utf-8")))


@functools.cache
def published() -> Shapes | None:
    """Cloudflare's own description, where it was put in place."""
    if not api_schema.TARGET.exists():
        return None
    data = json.loads(api_schema.TARGET.read_text(encoding="utf-8"))
    for name, definition in data["$defs"].items():
        # Live answers hold null where there is no comment.
        if name.endswith("_comment"):
            data["$defs"][name] = {"anyOf": [definition, {"type": "null"}]}
    return Shapes(data)


def thinned(answer: Any) -> Any:
    """An answer with the middle of long lists left out: thousands of records of one kind are checked by their ends."""
    if isinstance(answer, dict):
        return {name: thinned(value) for name, value in answer.items()}
    if isinstance(answer, list) and len(answer) > 2 * ENDS:
        return answer[:ENDS] + answer[-ENDS:]
    return answer


def _undescribed_type(instance: Any) -> bool:
    """OPENPGPKEY is in the documentation's list of types; the published description came to it later."""
    return isinstance(instance, dict) and instance.get("type") == "OPENPGPKEY"
