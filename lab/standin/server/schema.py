# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The object schema as the server publishes it (``GET /api/schema``): types, defaults, masking, references.

Objects are plain JSON values in the form the API reads and writes: lists are ``{"0": …}``, sets ``{"member": true}``,
durations integers in milliseconds, absent optional values ``None``, variants carry ``@type``.
"""

from __future__ import annotations

import copy
import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Json = Any
JsonObject = dict[str, Any]

INVALID_ID = "p333333333333"  # what the server shows for a reference that was never set
MASK = "****"
EPOCH = "1970-01-01T00:00:00Z"
# The address of the schema is a digest of the upstream file; the recorded copy was compressed anew, so it is a constant.
SCHEMA_HASH = "25gnm1_xB9bPk-puX9VTFMP1W5V-1muUWuK964-_uEw"
# Types whose default is not the first variant (seen in the recordings).
DEFAULT_VARIANT = {"x:Asn": "Resource"}
_DURATION_UNITS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1, "": 1}
# Read back only when set, unlike every other optional property (seen in the recordings).
OMITTED_WHEN_NULL = {("x:PasswordCredential", "otpAuth")}


def parse_duration(text: str) -> int | None:
    """``5m`` → milliseconds; ``None`` when it is no duration. Units: d, h, m, s, ms; none means milliseconds."""
    compact = "".join(text.split()).lower()
    digits = compact.rstrip("dhms")
    unit = _DURATION_UNITS.get(compact[len(digits) :])
    return int(digits) * unit if digits.isascii() and digits.isdigit() and unit is not None else None


@dataclass(frozen=True)
class Reference:
    """One reference held by an object: the type it points to (without ``x:``) and the id."""

    target: str
    id: str


class Schema:
    """The published schema, loaded once. ``raw`` is the gzip file as served under :data:`SCHEMA_HASH`."""

    def __init__(self, file: Path) -> None:
        self.raw = file.read_bytes()
        data = json.loads(gzip.decompress(self.raw))
        self.objects: dict[str, JsonObject] = data["objects"]
        self.schemas: dict[str, JsonObject] = data["schemas"]
        self.fields: dict[str, JsonObject] = data["fields"]
        self.enums: dict[str, list[str]] = {
            name: [v if isinstance(v, str) else v["name"] for v in values] for name, values in data["enums"].items()
        }
        self.property_names: frozenset[str] = frozenset(
            name for group in self.fields.values() for name in group.get("properties", {})
        )

    # -- kinds ------------------------------------------------------------------------------------------------------
    def is_object(self, name: str) -> bool:
        """Whether ``x:<name>`` is a type of the management API."""
        return f"x:{name}" in self.objects

    def is_singleton(self, name: str) -> bool:
        """Whether the type has exactly one object, with id ``singleton``."""
        return bool(self.objects[f"x:{name}"]["type"] == "singleton")

    def permission_prefix(self, name: str) -> str:
        """``sysDomain`` for ``Domain``: permissions are this plus Get, Query, Create, Update, Destroy."""
        return str(self.objects[f"x:{name}"]["permissionPrefix"])

    def variants(self, schema_name: str) -> dict[str, str | None] | None:
        """Variant name → schema of its properties (``None``: has none), or ``None`` for a type without variants."""
        schema = self.schemas.get(schema_name)
        if schema is None or schema["type"] == "single":
            return None
        return {v["name"]: v.get("schemaName") for v in schema["variants"]}

    def fields_of(self, schema_name: str, obj: JsonObject | None = None) -> tuple[str | None, JsonObject]:
        """The property table that applies to ``obj``: ``(schema of the properties, properties by name)``."""
        variants = self.variants(schema_name)
        if variants is not None:
            name = variants.get(str((obj or {}).get("@type")))
            if name is None:
                return None, {}
            schema_name = name
        schema = self.schemas.get(schema_name)
        if schema is not None and schema["type"] == "single":
            schema_name = schema["schemaName"]
        return schema_name, self.fields.get(schema_name, {}).get("properties", {})

    # -- defaults ---------------------------------------------------------------------------------------------------
    def default(self, schema_name: str, variant: str | None = None) -> JsonObject:
        """A new object of a type: every property at its default, the first variant unless one is named."""
        variants = self.variants(schema_name)
        obj: JsonObject = {}
        if variants is not None:
            obj["@type"] = variant or DEFAULT_VARIANT.get(schema_name) or next(iter(variants))
        name, properties = self.fields_of(schema_name, obj)
        defaults = (self.fields.get(name, {}).get("defaults") or {}) if name else {}
        for prop, spec in properties.items():
            kind = spec["type"]
            if prop in defaults:
                obj[prop] = self._given_default(kind, defaults[prop])
            elif not ((name, prop) in OMITTED_WHEN_NULL or self._is_computed(spec)):
                obj[prop] = self._zero(kind)
        return obj

    @staticmethod
    def _is_computed(spec: JsonObject) -> bool:
        return bool(spec["update"] == "serverSet")

    def _zero(self, kind: JsonObject) -> Json:
        if kind.get("nullable"):
            return None
        name = kind["type"]
        if name in {"set", "map", "objectList"}:
            return {}
        if name == "object":
            return self.default(kind["objectName"])
        if name == "enum":
            return self.enums[kind["enumName"]][0]
        simple: dict[str, Json] = {
            "boolean": False,
            "number": 0.0 if kind.get("format") == "float" else 0,
            "objectId": INVALID_ID,
            "utcDateTime": EPOCH,
            "string": "",
            "blobId": "",
        }
        return simple[name]

    def _given_default(self, kind: JsonObject, value: Json) -> Json:
        name = kind["type"]
        if name == "object" and isinstance(value, dict):
            return self.complete(kind["objectName"], value)
        if name == "objectList" and isinstance(value, dict):
            return {key: self.complete(kind["objectName"], item) for key, item in value.items()}
        if name == "map" and isinstance(value, dict) and kind["valueClass"]["type"] == "object":
            return {key: self.complete(kind["valueClass"]["objectName"], item) for key, item in value.items()}
        if name == "number" and isinstance(value, str):
            return parse_duration(value)
        if name == "number" and kind.get("format") == "float":
            return float(value)
        return copy.deepcopy(value)

    def complete(self, schema_name: str, value: JsonObject) -> JsonObject:
        """A default as the schema writes it, filled up. Expressions are written ``{default}`` or with a match list."""
        if schema_name == "x:Expression":
            if "default" in value:
                return {"match": {}, "else": value["default"]}
            matches = value.get("match", {})
            if isinstance(matches, list):
                matches = {str(i): dict(m) for i, m in enumerate(matches)}
            return {"match": matches, "else": value.get("else", "")}
        result = self.default(schema_name, value.get("@type"))
        _, properties = self.fields_of(schema_name, result)
        for key, item in value.items():
            if key in properties:
                result[key] = self._given_default(properties[key]["type"], item)
        return result

    # -- reading back -----------------------------------------------------------------------------------------------
    def masked(self, schema_name: str, obj: JsonObject) -> JsonObject:
        """A copy of ``obj`` with every secret replaced by ``****``; secrets that were never set stay as they are."""
        _, properties = self.fields_of(schema_name, obj)
        result: JsonObject = {}
        for key, value in obj.items():
            spec = properties.get(key)
            result[key] = value if spec is None else self._masked_value(spec["type"], value)
        return result

    def _masked_value(self, kind: JsonObject, value: Json) -> Json:
        if value is None:
            return None
        name = kind["type"]
        if name == "string" and kind.get("format") in {"secret", "secretText"}:
            return MASK if value else value
        if name == "object":
            return self.masked(kind["objectName"], value)
        if name == "objectList":
            return {key: self.masked(kind["objectName"], item) for key, item in value.items()}
        if name == "map" and kind["valueClass"]["type"] == "object":
            return {key: self.masked(kind["valueClass"]["objectName"], item) for key, item in value.items()}
        return value

    # -- walking ----------------------------------------------------------------------------------------------------
    def references(self, schema_name: str, obj: JsonObject) -> Iterator[Reference]:
        """Every set reference in ``obj``, at any depth."""
        _, properties = self.fields_of(schema_name, obj)
        for key, value in obj.items():
            spec = properties.get(key)
            if spec is not None and value is not None:
                yield from self._value_references(spec["type"], value)

    def _value_references(self, kind: JsonObject, value: Json) -> Iterator[Reference]:
        name = kind["type"]
        if name == "objectId" and kind["objectName"].startswith("x:") and value != INVALID_ID:
            yield Reference(kind["objectName"][2:].split("/")[0], value)
        elif name == "object":
            yield from self.references(kind["objectName"], value)
        elif name == "objectList":
            for item in value.values():
                yield from self.references(kind["objectName"], item)
        elif name == "set" and kind["class"]["type"] == "objectId":
            for item in value:
                yield from self._value_references(kind["class"], item)
        elif name == "map" and kind["valueClass"]["type"] == "object":
            for item in value.values():
                yield from self.references(kind["valueClass"]["objectName"], item)

    def expressions(self, schema_name: str, obj: JsonObject) -> Iterator[tuple[str, JsonObject]]:
        """``(property, expression)`` for every expression directly in ``obj``."""
        _, properties = self.fields_of(schema_name, obj)
        for key, spec in properties.items():
            kind = spec["type"]
            if kind["type"] == "object" and kind["objectName"] == "x:Expression" and isinstance(obj.get(key), dict):
                yield key, obj[key]
