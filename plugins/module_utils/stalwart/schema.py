# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The server's own description of its objects (``GET /api/schema``), used to read friendly values and to compare.

The wire keeps lists as ``{"0": a, "1": b}``, sets as ``{"a": true}``, durations as milliseconds and sizes as bytes.
Users write lists, ``5m`` and ``1GiB``; :meth:`Schema.wire` turns the one into the other and collects every mistake,
:meth:`Schema.same` says whether the server already has the value.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
from typing import Any, Dict, List, Mapping, Optional, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError, Problem

#: What the server shows instead of a stored secret.
MASK = "****"
REF = "ref:"

_DURATION = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_SIZE = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_DURATION_RE = re.compile(r"(\d+)(ms|s|m|h|d|w)")
_SIZE_RE = re.compile(r"^(\d+)\s*([kmgt]?)(?:i?b)?$", re.IGNORECASE)
_SECRET_FORMATS = ("secret", "secretText")

#: Names the server stores in lower case: (fields, property).
_LOWER = frozenset(
    (
        ("x:Domain", "name"),
        ("x:UserAccount", "name"),
        ("x:GroupAccount", "name"),
        ("x:MailingList", "name"),
        ("x:EmailAlias", "name"),
        ("x:SystemSettings", "defaultHostname"),
        ("x:MailExchanger", "hostname"),
        ("x:Service", "hostname"),
    )
)

#: Left out of a comparison: the schema gives no default, so the server's value is as good as any.
_ANY = object()


class Schema:
    """A parsed schema document. Raises :class:`MailsteadError` MS-SRV-007 when it is not one."""

    def __init__(self, document: Any) -> None:
        if not isinstance(document, dict) or not all(
            isinstance(document.get(k), dict) for k in ("objects", "schemas", "fields", "enums")
        ):
            raise MailsteadError.one(
                "MS-SRV-007",
                "/api/schema",
                "the document has no objects, schemas, fields and enums",
                "Check that url leads to a Stalwart server of version 0.16.18 or newer.",
            )
        self._objects: Dict[str, Any] = document["objects"]
        self._schemas: Dict[str, Any] = document["schemas"]
        self._fields: Dict[str, Any] = document["fields"]
        self._enums: Dict[str, frozenset[str]] = {
            k: frozenset(str(e.get("name")) for e in v) for k, v in document["enums"].items()
        }

    def has_type(self, type_: str) -> bool:
        """Whether objects of this type (without the ``x:``) can be read and written."""
        return self._objects.get("x:" + type_, {}).get("type") in ("object", "singleton")

    def types(self) -> List[str]:
        return sorted(k[2:] for k, v in self._objects.items() if k.startswith("x:") and v.get("type") != "view")

    def is_singleton(self, type_: str) -> bool:
        return bool(self._objects.get("x:" + type_, {}).get("type") == "singleton")

    def variants(self, name: str) -> Optional[Dict[str, Optional[str]]]:
        """Variant name → name of its fields (None: it has none); None when the schema has no variants."""
        entry = self._schemas.get(name, {})
        if entry.get("type") != "multiple":
            return None
        return {v["name"]: v.get("schemaName") for v in entry["variants"]}

    def fields(self, name: str, variant: Optional[str] = None) -> Mapping[str, Any]:
        """Property → ``{"type": …, "update": mutable|immutable|serverSet}`` of an object or of one of its variants."""
        found = self._fields.get(self._fields_name(name, variant) or "", {}).get("properties", {})
        return found if isinstance(found, Mapping) else {}

    def comparable(self, name: str, key: str, value: Any) -> Any:
        """A hashable form in which equal values of this property are equal, None when it is no plain value."""
        variants = self.variants(name)
        for variant in variants or [""]:
            kind = self.fields(name, variant).get(key, {}).get("type")
            if kind is not None:
                plain = kind["type"] in ("string", "number", "enum", "boolean", "objectId")
                return _normal(kind, value) if plain and isinstance(value, (str, int, float)) else None
        return None

    def _fields_name(self, name: str, variant: Optional[str]) -> Optional[str]:
        variants = self.variants(name)
        if variants is None:
            return str(self._schemas.get(name, {}).get("schemaName", name))
        return variants.get(variant or "")

    def _defaults(self, name: str, variant: Optional[str]) -> Dict[str, Any]:
        return self._fields.get(self._fields_name(name, variant) or "", {}).get("defaults") or {}

    # -- friendly values to wire values ------------------------------------------------------------------------

    def object_wire(self, name: str, value: Any, where: str, problems: List[Problem], partial: bool = False) -> Any:
        """The wire form of an object (``name`` with ``x:``). partial: a match or an update, @type may be missing."""
        if not isinstance(value, Mapping):
            problems.append(_wrong(where, value, "a mapping"))
            return value
        variants = self.variants(name)
        variant = value.get("@type")
        out: Dict[str, Any] = {}
        if variants is None:
            if variant is not None:
                problems.append(Problem("MS-SRV-011", where + "/@type", f"{name[2:]} has no variants", "Remove @type."))
            fields = self.fields(name)
        elif variant is None and partial:
            fields = {k: v for each in variants for k, v in self.fields(name, each).items()}
        elif not isinstance(variant, str) or variant not in variants:
            problems.append(
                Problem(
                    "MS-SRV-012",
                    where + "/@type",
                    f"{variant!r} is no variant of {name[2:]}",
                    f"Use one of: {', '.join(variants)}.",
                )
            )
            return dict(value)
        else:
            out["@type"] = variant
            fields = self.fields(name, str(variant))
        for key, item in value.items():
            if key == "@type":
                continue
            place = f"{where}/{key}"
            if key not in fields:
                problems.append(_unknown(place, str(key), name, fields))
                continue
            wire = self.wire(fields[key]["type"], item, place, problems, partial)
            owners = [self._fields_name(name, variant)] if variant or variants is None else list(variants.values())
            lower = isinstance(wire, str) and any((o, key) in _LOWER for o in owners)
            out[str(key)] = wire.lower() if lower and not wire.startswith(REF) else wire
        return out

    def wire(self, kind: Mapping[str, Any], value: Any, where: str, problems: List[Problem], partial: bool) -> Any:
        """The wire form of a property's value; what does not fit is added to problems."""
        if value is None:
            if kind.get("nullable"):
                return None
            problems.append(_wrong(where, value, "a value: it cannot be null"))
            return None
        what = kind["type"]
        if what == "object":
            return self.object_wire(kind["objectName"], value, where, problems, partial)
        if what == "objectList":
            return self._list_wire(kind, value, where, problems, partial)
        if what == "set":
            return self._set_wire(kind, value, where, problems)
        if what == "map":
            if not isinstance(value, Mapping):
                problems.append(_wrong(where, value, "a mapping"))
                return value
            return {
                str(self.wire(kind["keyClass"], str(k), f"{where}/{k}", problems, partial)): self.wire(
                    kind["valueClass"], v, f"{where}/{k}", problems, partial
                )
                for k, v in value.items()
            }
        return self._scalar_wire(kind, value, where, problems)

    def _list_wire(
        self, kind: Mapping[str, Any], value: Any, where: str, problems: List[Problem], partial: bool
    ) -> Any:
        if isinstance(value, Mapping):
            items = [value[k] for k in sorted(value, key=_index)]
        elif isinstance(value, (list, tuple)):
            items = list(value)
        else:
            problems.append(_wrong(where, value, "a list"))
            return value
        return {
            str(i): self.object_wire(kind["objectName"], v, f"{where}/{i}", problems, partial)
            for i, v in enumerate(items)
        }

    def _set_wire(self, kind: Mapping[str, Any], value: Any, where: str, problems: List[Problem]) -> Any:
        if isinstance(value, Mapping):
            items = [k for k, v in value.items() if v]
        elif isinstance(value, (list, tuple)):
            items = list(value)
        else:
            problems.append(_wrong(where, value, "a list"))
            return value
        return {str(self.wire(kind["class"], v, f"{where}/{v}", problems, False)): True for v in items}

    def _scalar_wire(self, kind: Mapping[str, Any], value: Any, where: str, problems: List[Problem]) -> Any:
        what, form = kind["type"], kind.get("format")
        if what == "boolean":
            if not isinstance(value, bool):
                problems.append(_wrong(where, value, "true or false"))
            return value
        if what == "number":
            number = _number(form, value)
            if number is None:
                problems.append(_wrong(where, value, _NUMBER_WORDS.get(str(form), "a number")))
                return value
            low, high = kind.get("min"), kind.get("max")
            if (low is not None and number < low) or (high is not None and number > high):
                limits = f"{'' if low is None else low} … {'' if high is None else high}"
                problems.append(_wrong(where, value, f"a number within {limits}"))
            return number
        if not isinstance(value, str):
            problems.append(_wrong(where, value, "text"))
            return value
        # The server trims; so does everything that is compared with it.
        value = str(value).strip()
        if what == "enum":
            known = self._enums.get(kind["enumName"], frozenset())
            if value not in known:
                names = ", ".join(sorted(known)) if len(known) <= 20 else f"the names of {kind['enumName']}"
                problems.append(_wrong(where, value, f"one of: {names}"))
        elif form in _SECRET_FORMATS:
            problems.append(
                Problem(
                    "MS-SRV-014",
                    where,
                    "a secret stands among the properties, where logs and diffs would show it",
                    f"Move it to secrets: {{'{where.rpartition(' ')[2]}': …}}.",
                )
            )
        elif form == "ipNetwork" and not value.startswith(REF):
            try:
                ipaddress.ip_interface(value)
            except ValueError:
                problems.append(_wrong(where, value, "an IP address or network"))
        return value

    # -- comparison --------------------------------------------------------------------------------------------

    def object_same(self, name: str, want: Mapping[str, Any], have: Any) -> bool:
        """Whether the server's object has everything we want; what we do not mention must be the schema's default."""
        if not isinstance(have, Mapping):
            return False
        variant = want.get("@type")
        if variant is not None and have.get("@type") != variant:
            return False
        for key, field in self.fields(name, variant).items():
            if field["update"] == "serverSet":
                continue
            expected = want[key] if key in want else self._default(name, variant, key, field["type"])
            if expected is not _ANY and not self.same(field["type"], expected, have.get(key)):
                return False
        return True

    def matches(self, name: str, want: Mapping[str, Any], have: Mapping[str, Any]) -> bool:
        """Whether the server's object has at least the values of a match; nested mappings likewise."""
        fields = self.fields(name, have.get("@type"))
        for key, value in want.items():
            if key == "@type":
                if have.get("@type") != value:
                    return False
            elif key not in fields:
                return False
            elif isinstance(value, Mapping) and fields[key]["type"]["type"] == "object":
                inner = have.get(key)
                if not isinstance(inner, Mapping) or not self.matches(fields[key]["type"]["objectName"], value, inner):
                    return False
            elif not self.same(fields[key]["type"], value, have.get(key)):
                return False
        return True

    def same(self, kind: Mapping[str, Any], want: Any, have: Any) -> bool:
        """Whether two wire values mean the same: null is absent, order of sets is nothing, masks match anything."""
        what = kind["type"]
        if what in ("set", "map", "objectList"):
            want, have = want or {}, have or {}
            if not isinstance(want, Mapping) or not isinstance(have, Mapping):
                return False
            if what == "set":
                return self._members(kind["class"], want) == self._members(kind["class"], have)
            if what == "map":
                return set(want) == set(have) and all(self.same(kind["valueClass"], want[k], have[k]) for k in want)
            left = [want[k] for k in sorted(want, key=_index)]
            right = [have[k] for k in sorted(have, key=_index)]
            return len(left) == len(right) and all(
                self.object_same(kind["objectName"], a, b) for a, b in zip(left, right)
            )
        if want is None or have is None:
            return want is None and have is None
        if what == "object":
            return self.object_same(kind["objectName"], want, have)
        if kind.get("format") in _SECRET_FORMATS:
            return True
        return bool(_normal(kind, want) == _normal(kind, have))

    @staticmethod
    def _members(kind: Mapping[str, Any], value: Mapping[str, Any]) -> frozenset[Any]:
        return frozenset(_normal(kind, k) for k, v in value.items() if v)

    def _default(self, name: str, variant: Optional[str], key: str, kind: Mapping[str, Any]) -> Any:
        """The value a property gets when it is left out of a nested object."""
        defaults = self._defaults(name, variant)
        if key in defaults:
            ignored: List[Problem] = []
            return self.wire(kind, _plain_default(defaults[key]), key, ignored, True)
        what = kind["type"]
        if kind.get("nullable"):
            return None
        if what in ("set", "map", "objectList"):
            return {}
        if what == "boolean":
            return False
        if what == "object":
            variants = self.variants(kind["objectName"])
            return {"@type": next(iter(variants))} if variants else {}
        return _ANY


def _plain_default(value: Any) -> Any:
    """The schema writes an expression without conditions as ``{"default": text}``; the wire calls it ``else``."""
    if isinstance(value, dict) and set(value) == {"default"}:
        return {"else": value["default"], "match": {}}
    return value


def _index(key: Any) -> Tuple[int, str]:
    return (int(key), "") if str(key).isdigit() else (1 << 31, str(key))


_NUMBER_WORDS = {
    "duration": "a duration such as 30s, 5m, 1d (a bare number is milliseconds)",
    "size": "a size such as 25MB, 1GiB (a bare number is bytes)",
    "unsignedInteger": "a whole number of 0 or more",
    "integer": "a whole number",
}


def _number(form: Optional[str], value: Any) -> Any:
    if isinstance(value, bool):
        return None
    if isinstance(value, str) and form == "duration":
        parts = _DURATION_RE.findall(value)
        if not parts or "".join(n + u for n, u in parts) != value:
            return None
        return sum(int(n) * _DURATION[u] for n, u in parts)
    if isinstance(value, str) and form == "size":
        found = _SIZE_RE.match(value.strip())
        return int(found.group(1)) * _SIZE[found.group(2).lower()] if found else None
    if isinstance(value, float):
        if form == "float":
            return float(value)
        return int(value) if value.is_integer() and (form == "integer" or value >= 0) else None
    if isinstance(value, int):
        return int(value) if value >= 0 or form in ("integer", "float") else None
    return None


def _normal(kind: Mapping[str, Any], value: Any) -> Any:
    form = kind.get("format")
    if not isinstance(value, str):
        return value
    if form == "ipNetwork":
        # The server shows a host route without its prefix length.
        try:
            parsed = ipaddress.ip_interface(value)
        except ValueError:
            return value
        return (str(parsed.ip), parsed.network.prefixlen)
    if form == "ipAddress":
        try:
            return str(ipaddress.ip_address(value))
        except ValueError:
            return value
    if form == "emailAddress":
        return value.lower()
    return value


def _wrong(where: str, value: Any, expected: str) -> Problem:
    shown = "null" if value is None else repr(value)
    if len(shown) > 60:
        shown = shown[:57] + "…"
    return Problem("MS-SRV-012", where, f"{shown} does not fit", f"Give {expected}.")


def _unknown(where: str, key: str, name: str, fields: Mapping[str, Any]) -> Problem:
    close = difflib.get_close_matches(key, list(fields), 1)
    hint = f"Did you mean {close[0]}?" if close else f"Known: {', '.join(sorted(fields)) or 'none'}."
    return Problem("MS-SRV-011", where, f"{name[2:]} has no property {key}", hint)
