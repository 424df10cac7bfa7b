# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The check of the twin's answers finds mistakes; the tool that cuts the published description out does it right."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from lab.twins.cloudflare import Response
from tests.unit.lab.twins import shapes
from tests.unit.lab.twins.conftest import BASE, Api
from tools import api_schema


def mistakes(response: Response, method: str, path: str) -> list[str]:
    return list(shapes.documented().mistakes(method, path, response))


def test_every_path_of_the_twin_is_documented(api: Api) -> None:
    described = {operation_shape(operation) for operation in shapes.documented().operations}
    for pattern, handlers in api.twin._handlers.routes:
        path = re.sub(r"\((?:[^()]|\([^()]*\))*\)", "{}", pattern.pattern)
        if not path.endswith("/export"):  # a text, no JSON
            assert {f"{method} {path}" for method in handlers} <= described


def operation_shape(operation: str) -> str:
    method, path = operation.split(" ")
    return f"{method} {api_schema.shape(path)}"


def test_the_schemas_are_schemas() -> None:
    data = json.loads(shapes.DOCUMENTED.read_text(encoding="utf-8"))
    answers = [schema for found in data["answers"].values() for schema in found.values()]
    jsonschema.Draft202012Validator.check_schema({"allOf": answers, "$defs": data["$defs"]})
    used = set(api_schema.references([data["answers"], data["$defs"]]))
    assert used == set(data["$defs"])


@pytest.mark.parametrize(
    "spoil",
    [
        lambda r: r.update(surprise=1),
        lambda r: r.pop("modified_on"),
        lambda r: r.update(id="7"),
        lambda r: r.update(ttl=0),
        lambda r: r.update(content="mail.example.com"),
        lambda r: r.update(proxied=True, ttl=300),
        lambda r: r.update(tags=["no blanks"]),
        lambda r: r.update(type="SPF"),
        lambda r: r.update(type="MX", content="mail.example.com", proxiable=False),
        lambda r: r.update(type="TLSA", data={"usage": 3}, proxiable=False),
    ],
)
def test_a_spoilt_record_is_found(api: Api, spoil: Callable[[dict[str, Any]], None]) -> None:
    api.made("A", "a", "198.18.1.10")
    good = api.call("GET", api.records_path)
    assert mistakes(good, "GET", api.records_path) == []
    answer = json.loads(good.body)
    spoil(answer["result"][0])
    assert mistakes(dataclasses.replace(good, json=answer), "GET", api.records_path)


def test_a_spoilt_envelope_and_refusal_are_found(api: Api) -> None:
    path = f"{BASE}/zones"
    for response, names in ((api.call("GET", path), "errors"), (api.call("GET", path, query="page=0"), "messages")):
        changes: list[dict[str, Any]] = [{names: None}, {"success": 1}, {"more": []}]
        for change in changes:
            assert mistakes(dataclasses.replace(response, json={**response.json, **change}), "GET", path)
    assert mistakes(Response(302, {}, {}), "GET", path) == [
        f"GET /zones: status 302 is not described ({shapes.documented().name})"
    ]


def test_long_lists_are_checked_at_both_ends() -> None:
    answer = {"result": {"posts": list(range(100))}}
    assert shapes.thinned(answer)["result"]["posts"] == [*range(25), *range(75, 100)]
    assert shapes.thinned({"result": [1, 2]}) == {"result": [1, 2]}


# -- tools/api_schema.py ----------------------------------------------------------------------------------------------

DESCRIPTION: dict[str, Any] = {
    "openapi": "3.0.3",
    "info": {"title": "An API", "version": "1", "license": {"name": "BSD-3-Clause"}},
    "paths": {
        "/zones/{zone_identifier}": {
            "parameters": [],
            "get": {
                "responses": {
                    "200": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/one"}}}},
                    "4xx": {
                        "content": {
                            "application/json": {
                                "schema": {
                                    "allOf": [
                                        {"$ref": "#/components/schemas/one"},
                                        {"$ref": "#/components/schemas/common-failure"},
                                    ]
                                }
                            }
                        }
                    },
                    "204": {"description": "nothing"},
                }
            },
            "delete": {"responses": {"200": {"content": {"text/plain": {}}}}},
        },
        "/elsewhere": {"get": {"responses": {"200": {"content": {"application/json": {"schema": {}}}}}}},
    },
    "components": {
        "schemas": {
            "one": {
                "type": "object",
                "title": "One",
                "properties": {
                    "title": {"type": "string", "nullable": True, "example": "x", "x-secret": 1},
                    "count": {"type": "integer", "minimum": 0, "exclusiveMinimum": True},
                    "share": {"type": "number", "maximum": 1, "exclusiveMaximum": False},
                    "deep": {"type": "array", "items": {"$ref": "#/components/schemas/deep"}},
                },
                "required": ["title"],
            },
            "deep": {"enum": ["a"], "nullable": True},
            "common-failure": {"properties": {"success": {"enum": [False]}}},
            "unused": {"type": "string"},
        }
    },
}


def test_a_description_is_cut_to_what_is_used() -> None:
    trimmed = api_schema.trim(DESCRIPTION)
    assert list(trimmed["answers"]) == ["GET /zones/{zone_id}"]
    assert trimmed["answers"]["GET /zones/{zone_id}"] == {
        "200": {"$ref": "#/$defs/one"},
        "4xx": {"allOf": [{"$ref": "#/$defs/common-failure"}]},
    }
    assert set(trimmed["$defs"]) == {"one", "deep", "common-failure"}
    assert trimmed["license"] == {"name": "BSD-3-Clause"} and trimmed["source"] == "An API 1"
    assert "/zones" in trimmed["missing"] and "/zones/{zone_id}" not in trimmed["missing"]


@pytest.mark.parametrize(
    ("value", "good"),
    [
        ({"title": None, "count": 1, "share": 1, "deep": ["a", None]}, True),
        ({"title": "t"}, True),
        ({"title": 1}, False),
        ({"title": "t", "count": 0}, False),
        ({"title": "t", "share": 1.1}, False),
        ({"title": "t", "deep": ["b"]}, False),
        ({}, False),
    ],
)
def test_converted_schemas_mean_the_same(value: Any, good: bool) -> None:
    trimmed = api_schema.trim(DESCRIPTION)
    whole = {"$ref": "#/$defs/one", "$defs": trimmed["$defs"]}
    assert jsonschema.Draft202012Validator(whole).is_valid(value) is good


def test_references_elsewhere_are_not_followed() -> None:
    with pytest.raises(ValueError, match="no schema of this description"):
        api_schema.convert({"$ref": "common.yaml#/x"})


def test_the_tool_writes_what_the_check_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, target = tmp_path / "openapi.json", tmp_path / "out" / "trimmed.json"
    source.write_text(json.dumps(DESCRIPTION), encoding="utf-8")
    assert api_schema.main([str(source), str(target)]) == 0
    told = capsys.readouterr().out
    assert told.startswith("1 operations, 3 definitions") and "not described: /zones\n" in told
    found = shapes.Shapes(json.loads(target.read_text(encoding="utf-8")))
    path = f"{BASE}/zones/{'0' * 32}"
    assert list(found.mistakes("GET", path, Response(200, {}, {"title": None}))) == []
    assert list(found.mistakes("GET", path, Response(200, {}, {"title": 1})))
    assert list(found.mistakes("GET", path, Response(403, {}, {"success": True})))
    assert list(found.mistakes("GET", path, Response(500, {}, {}))) == []
    assert api_schema.main([]) == 2 and "usage" in capsys.readouterr().err
