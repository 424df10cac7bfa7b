# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Creating and changing objects by the schema: JSON-pointer patches, immutable properties, types, limits.

The first thing wrong ends the patch, in the order of the properties given, with the path of the culprit: that is how
the recorded server does it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime

from . import names
from .schema import INVALID_ID, Json, JsonObject, Schema

ID_ALPHABET = "abcdefghijklmnopqrstuvwxyz792013"

Normaliser = Callable[[str], "str | None"]
_LOCAL: tuple[Normaliser, str] = (names.local_part, "Invalid email local part")
_HOST: tuple[Normaliser, str] = (names.host_name, "Invalid hostname or IP address")
_VERBATIM: tuple[Normaliser, str] = (str, "")
_UNTRIMMED = {"x:Expression", "x:ExpressionMatch"}
NORMALISERS: dict[tuple[str, str], tuple[Normaliser, str]] = {
    ("x:Domain", "name"): (names.domain_name, "Invalid domain name"),
    ("x:Domain", "catchAllAddress"): (names.email_address, "Invalid email address"),
    ("x:UserAccount", "name"): _LOCAL,
    ("x:GroupAccount", "name"): _LOCAL,
    ("x:EmailAlias", "name"): _LOCAL,
    ("x:MailingList", "name"): _LOCAL,
    ("x:SystemSettings", "defaultHostname"): _HOST,
    ("x:MailExchanger", "hostname"): _HOST,
    ("x:Service", "hostname"): _HOST,
    ("x:MtaConnectionStrategy", "ehloHostname"): _HOST,
    ("x:MtaConnectionIpHost", "ehloHostname"): _HOST,
}


class PatchError(ValueError):
    """An ``invalidPatch``: ``path`` is what the server lists under ``properties``."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(message)
        self.path = path
        self.message = message


def parse_id(text: Json) -> int | None:
    """An id of the API as a number, or ``None`` when it is none."""
    if not isinstance(text, str) or not text or any(char not in ID_ALPHABET for char in text):
        return None
    number = 0
    for char in text:
        number = number << 5 | ID_ALPHABET.index(char)
    return number if number < 1 << 64 else None


def format_id(number: int) -> str:
    """The shortest id for a number."""
    digits = ""
    while True:
        digits = ID_ALPHABET[number & 31] + digits
        number >>= 5
        if not number:
            return digits


def _join(path: str, key: str) -> str:
    return f"{path}/{key}" if path else key


class Patcher:
    """Applies values to objects of one schema. ``create`` allows immutable properties to be set."""

    def __init__(self, schema: Schema, create: bool) -> None:
        self.schema = schema
        self.create = create

    # -- objects ----------------------------------------------------------------------------------------------------
    def replace(self, schema_name: str, value: Json, path: str = "") -> JsonObject:
        """A new object from a complete description; what is not mentioned gets its default."""
        if not isinstance(value, dict):
            raise PatchError(path, "Invalid value type for object")
        variant = None
        variants = self.schema.variants(schema_name)
        if variants is not None:
            variant = value.get("@type")
            if variant not in variants:
                raise PatchError(path, "Missing or invalid '@type' property in object")
        return self.merge(schema_name, self.schema.default(schema_name, variant), value, path)

    def merge(self, schema_name: str, obj: JsonObject, value: JsonObject, path: str = "") -> JsonObject:
        """``obj`` with the properties in ``value`` set, whole values only."""
        for key, item in value.items():
            if key == "@type":
                continue
            if key not in self.schema.property_names:
                raise PatchError(path, "Invalid key for object")
            self._set_property(schema_name, obj, [key], item, _join(path, key))
        return obj

    def update(self, schema_name: str, obj: JsonObject, value: JsonObject) -> JsonObject:
        """``obj`` changed by an update: keys are properties or JSON pointers; another ``@type`` starts afresh."""
        wanted = value.get("@type")
        if isinstance(wanted, str) and "@type" in obj and wanted != obj["@type"]:
            return Patcher(self.schema, create=True).replace(schema_name, value)
        for key, item in value.items():
            if key == "@type":
                continue
            parts = [part.replace("~1", "/").replace("~0", "~") for part in key.lstrip("/").split("/")]
            self._set_property(schema_name, obj, parts, item, key)
        return obj

    def _set_property(self, schema_name: str, obj: JsonObject, parts: list[str], value: Json, path: str) -> None:
        name, properties = self.schema.fields_of(schema_name, obj)
        prop, rest = parts[0], parts[1:]
        spec = properties.get(prop)
        if name is None or spec is None:
            raise PatchError(path, "Invalid property")
        if spec["update"] == "serverSet":
            raise PatchError(path, "Cannot modify server set property")
        if spec["update"] == "immutable" and not self.create:
            raise PatchError(path, "Cannot modify read-only property")
        normaliser = _VERBATIM if name in _UNTRIMMED else NORMALISERS.get((name, prop))
        obj[prop] = self._value(spec["type"], obj.get(prop), rest, value, path, normaliser)

    # -- values -----------------------------------------------------------------------------------------------------
    def _value(
        self,
        kind: JsonObject,
        old: Json,
        rest: list[str],
        value: Json,
        path: str,
        normaliser: tuple[Normaliser, str] | None = None,
    ) -> Json:
        name = kind["type"]
        if value is None and kind.get("nullable") and not rest:
            return None
        if name == "object":
            return self._object(kind["objectName"], old, rest, value, path)
        if name == "objectList":
            return self._list(kind, old or {}, rest, value, path)
        if name == "set":
            return self._set(kind["class"], old or {}, rest, value, path)
        if name == "map":
            return self._map(kind, old or {}, rest, value, path)
        result = self._scalar(kind, old, value, path, normaliser)
        if rest:
            raise PatchError(path, "Invalid JSON Pointer path")
        return result

    def _object(self, schema_name: str, old: Json, rest: list[str], value: Json, path: str) -> JsonObject:
        if not rest:
            return self.replace(schema_name, value, path)
        obj: JsonObject = dict(old) if isinstance(old, dict) else self.schema.default(schema_name)
        self._set_property(schema_name, obj, rest, value, path)
        return obj

    def _list(self, kind: JsonObject, old: JsonObject, rest: list[str], value: Json, path: str) -> JsonObject:
        def item(previous: Json, tail: list[str], new: Json) -> JsonObject:
            return self._object(kind["objectName"], previous, tail, new, path)

        if not rest:
            if not isinstance(value, dict):
                raise PatchError(path, "Invalid value for object property")
            if not all(key.isdigit() for key in value):
                raise PatchError(path, "Invalid key for object property")
            return {key: item(None, [], value[key]) for key in sorted(value, key=int)}
        if not rest[0].isdigit() or (value is None and len(rest) == 1 and rest[0] not in old):
            raise PatchError(path, "Invalid value for object property")
        result = dict(old)
        if value is None and len(rest) == 1:
            del result[rest[0]]
        else:
            result[rest[0]] = item(result.get(rest[0]), rest[1:], value)
        return {key: result[key] for key in sorted(result, key=int)}

    def _member(self, kind: JsonObject, text: str) -> str | None:
        if kind["type"] == "enum":
            return text if text in self.schema.enums[kind["enumName"]] else None
        if kind["type"] == "objectId":
            return text if parse_id(text) is not None else None
        if kind["type"] == "number":
            return str(int(text)) if text.isdigit() else None
        shape = kind.get("format")
        if shape == "ipNetwork":
            return names.ip_network(text)
        if shape == "socketAddress":
            return names.socket_address(text)
        return text.strip() or None

    def _set(self, kind: JsonObject, old: JsonObject, rest: list[str], value: Json, path: str) -> JsonObject:
        if not rest:
            if not isinstance(value, dict):
                raise PatchError(path, "Invalid value for object property")
            result: JsonObject = {}
            for key, member in value.items():
                name = self._member(kind, key)
                if name is None or not isinstance(member, bool):
                    raise PatchError(path, "Invalid key for object property")
                if member:
                    result[name] = True
            return result
        name = self._member(kind, rest[0])
        if name is None or len(rest) > 1 or not (value is None or isinstance(value, bool)):
            raise PatchError(path, "Invalid value for object property")
        result = {key: True for key in old if key != name}
        return {**result, name: True} if value else result

    def _map(self, kind: JsonObject, old: JsonObject, rest: list[str], value: Json, path: str) -> JsonObject:
        if not rest:
            if not isinstance(value, dict):
                raise PatchError(path, "Invalid value for object property")
            result: JsonObject = {}
            for key, item in value.items():
                name = self._member(kind["keyClass"], key)
                if name is None:
                    raise PatchError(path, "Invalid key for object property")
                result[name] = self._value(kind["valueClass"], None, [], item, path)
            return result
        name = self._member(kind["keyClass"], rest[0])
        if name is None:
            raise PatchError(path, "Invalid value for object property")
        result = dict(old)
        if value is None and len(rest) == 1:
            result.pop(name, None)
        else:
            result[name] = self._value(kind["valueClass"], result.get(name), rest[1:], value, path)
        return result

    def _scalar(
        self, kind: JsonObject, old: Json, value: Json, path: str, normaliser: tuple[Normaliser, str] | None
    ) -> Json:
        name = kind["type"]
        if name == "boolean":
            if not isinstance(value, bool):
                raise PatchError(path, "Invalid value for boolean property (expected true or false)")
            return value
        if name == "number":
            return self._number(kind, value, path)
        if name == "enum":
            if not isinstance(value, str) or value not in self.schema.enums[kind["enumName"]]:
                # The server names the value it has instead of the type.
                had = str(old or self.schema.enums[kind["enumName"]][0])
                raise PatchError(path, f"Invalid value {_debug(value)} for enum type {had[:1].upper()}{had[1:]}.")
            return value
        if name == "objectId":
            if not isinstance(value, str):
                raise PatchError(path, "Invalid path for Id, expected a string value")
            if parse_id(value) is None:
                raise PatchError(path, "Failed to parse Id from string")
            return value
        if name == "utcDateTime":
            return self._date(value, path)
        return self._string(kind, value, path, normaliser)

    @staticmethod
    def _number(kind: JsonObject, value: Json, path: str) -> Json:
        shape = kind.get("format")
        numeric = isinstance(value, (int, float)) and not isinstance(value, bool)
        if shape == "duration":
            if not numeric:
                raise PatchError(path, "Invalid path for Duration")
            if not isinstance(value, int) or value < 0:
                raise PatchError(path, "Invalid duration value")
            return value
        if shape == "float":
            if not numeric or not math.isfinite(value):
                raise PatchError(path, "Invalid value for float property (expected finite number)")
            return float(value)
        if not numeric or not isinstance(value, int) or (shape != "integer" and value < 0):
            expected = "signed integer property (expected integer)"
            if shape != "integer":
                expected = "unsigned integer property (expected non-negative integer)"
            raise PatchError(path, f"Invalid value for {expected}")
        return value

    @staticmethod
    def _date(value: Json, path: str) -> str:
        if not isinstance(value, str):
            raise PatchError(path, "Invalid path for UTCDateTime, expected a string value")
        try:
            moment = datetime.fromisoformat(value.replace("Z", "+00:00"))
        except ValueError:
            raise PatchError(path, "Failed to parse UTCDateTime from string") from None
        return moment.strftime("%Y-%m-%dT%H:%M:%SZ")

    @staticmethod
    def _string(kind: JsonObject, value: Json, path: str, normaliser: tuple[Normaliser, str] | None) -> str:
        if not isinstance(value, str) or not value:
            raise PatchError(path, "Invalid value for property.")
        if normaliser is not None:
            result = normaliser[0](value)
            if result is None:
                raise PatchError(path, normaliser[1])
            return result
        if kind.get("format") in {"secret", "secretText"}:
            return value
        if kind.get("format") in {"ipNetwork", "ipAddress"}:
            address = names.ip_network(value)
            if address is None or ("/" in address and kind["format"] == "ipAddress"):
                shown = "IpAddr" if kind["format"] == "ipAddress" else "IpAddrOrMask"
                raise PatchError(path, f"Failed to parse {shown} from string")
            return address
        if not value.strip():
            raise PatchError(path, "String cannot be empty")
        return value.strip()


def _debug(value: Json) -> str:
    """A value the way the server prints it inside a message."""
    if isinstance(value, str):
        return f'Str("{value}")'
    if isinstance(value, bool):
        return f"Bool({str(value).lower()})"
    return "Null" if value is None else f"Number({value})" if isinstance(value, (int, float)) else "Object"


def validate(schema: Schema, schema_name: str, obj: JsonObject) -> list[JsonObject]:
    """What is missing or out of bounds in a complete object: the server's ``validationErrors``."""
    errors: list[JsonObject] = []
    _, properties = schema.fields_of(schema_name, obj)
    for prop, spec in properties.items():
        if spec["update"] == "serverSet" or prop not in obj:
            continue
        errors += _validate_value(schema, prop, spec["type"], obj[prop])
    return errors


def _validate_value(schema: Schema, prop: str, kind: JsonObject, value: Json) -> list[JsonObject]:
    name = kind["type"]
    if value is None:
        return []
    if name == "object":
        # An expression left empty means its default; everything else inside has to be complete.
        return [] if kind["objectName"] == "x:Expression" else validate(schema, kind["objectName"], value)
    if name in {"objectList", "set", "map"}:
        if len(value) < kind.get("minItems", 0):
            return [{"type": "MinLength", "property": prop, "required": kind["minItems"]}]
        inner = kind["objectName"] if name == "objectList" else kind.get("valueClass", {}).get("objectName")
        if inner is None:
            return []
        return [error for item in value.values() for error in validate(schema, inner, item)]
    if value in {"", INVALID_ID}:
        return [{"type": "Required", "property": prop}]
    if name == "number":
        if "min" in kind and value < kind["min"]:
            below = {"type": "MinValue", "property": prop, "required": int(kind["min"])}
            no_time = {"type": "Invalid", "property": prop, "value": str(value)}
            return [no_time, below] if kind.get("format") == "duration" and value == 0 else [below]
        if "max" in kind and value > kind["max"]:
            return [{"type": "MaxValue", "property": prop, "required": int(kind["max"])}]
    if name == "string":
        if len(value) > kind.get("maxLength", math.inf):
            return [{"type": "MaxLength", "property": prop, "required": kind["maxLength"]}]
        if len(value) < kind.get("minLength", 0):
            return [{"type": "MinLength", "property": prop, "required": kind["minLength"]}]
    return []
