# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The wanted objects as a user writes them, read against the schema: every mistake at once, before anything is sent."""

from __future__ import annotations

import difflib
import ipaddress
import json
from dataclasses import dataclass
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import Problem
from ansible_collections.mailstead.stack.plugins.module_utils.stalwart import secretpaths
from ansible_collections.mailstead.stack.plugins.module_utils.stalwart.schema import MASK, REF, Schema

#: Their loss is a loss of mail: never purged as "not listed".
PRECIOUS = ("Account", "Domain")

_KEYS = ("type", "match", "properties", "state", "create", "secrets")


@dataclass(frozen=True)
class Desired:
    """One wanted object. match, properties: wire values, references still as text. secrets: JSON pointer → value."""

    index: int
    type: str
    singleton: bool
    match: Mapping[str, Any]
    properties: Mapping[str, Any]
    present: bool
    create: bool
    secrets: Mapping[str, str]
    label: str

    @property
    def body(self) -> Dict[str, Any]:
        """What the object is created with."""
        return {**self.match, **self.properties}


def label(type_: str, match: Mapping[str, Any]) -> str:
    """``Account domainId=example.com name=alice``: how messages name an object; of a reference its last value."""
    flat = sorted(_flat(match), key=lambda p: (p[0] == "@type", p[0]))
    parts = [f"{k}={v.rpartition('=')[2] if isinstance(v, str) and v.startswith(REF) else v}" for k, v in flat]
    return " ".join([type_, *parts])


def _flat(value: Mapping[str, Any], prefix: str = "") -> Iterator[Tuple[str, Any]]:
    for key, item in value.items():
        if isinstance(item, Mapping):
            if item and all(v is True for v in item.values()):
                yield prefix + key, "+".join(sorted(item))
            else:
                yield from _flat(item, f"{prefix}{key}.")
        elif not (prefix and key == "@type"):
            yield prefix + key, item


def read_objects(schema: Schema, raw: Sequence[Any], problems: List[Problem]) -> List[Desired]:
    """The list as :class:`Desired`; what is wrong with it goes to problems (codes MS-SRV-010 to 019, 028)."""
    wanted: List[Desired] = []
    seen: Dict[str, int] = {}
    for index, entry in enumerate(raw):
        place = f"objects[{index}]"
        if not isinstance(entry, Mapping):
            problems.append(Problem("MS-SRV-012", place, "is no mapping", "Write it as {type: …, properties: …}."))
            continue
        unknown = sorted(str(k) for k in entry if k not in _KEYS)
        if unknown:
            problems.append(Problem("MS-SRV-011", place, f"unknown key {unknown[0]}", f"Known: {', '.join(_KEYS)}."))
            continue
        one = _read_one(schema, index, place, entry, problems)
        if one is None:
            continue
        identity = one.type + json.dumps(one.match, sort_keys=True)
        if identity in seen:
            problems.append(
                Problem(
                    "MS-SRV-019",
                    f"{place} {one.label}",
                    f"is the same object as objects[{seen[identity]}]",
                    "Merge the two.",
                )
            )
            continue
        seen[identity] = index
        wanted.append(one)
    return wanted


def _read_one(
    schema: Schema, index: int, place: str, entry: Mapping[str, Any], problems: List[Problem]
) -> Optional[Desired]:
    type_ = str(entry.get("type", ""))
    if not schema.has_type(type_):
        close = difflib.get_close_matches(type_, schema.types(), 1)
        problems.append(
            Problem(
                "MS-SRV-010",
                f"{place}/type",
                f"the server has no object type {type_!r}",
                f"Did you mean {close[0]}?" if close else "See the server's schema for the types.",
            )
        )
        return None
    singleton = schema.is_singleton(type_)
    match = entry.get("match") or {}
    properties = entry.get("properties") or {}
    secrets = entry.get("secrets") or {}
    state = entry.get("state") or "present"
    before = len(problems)
    place = f"{place} {label(type_, match) if isinstance(match, Mapping) else type_}"
    if state not in ("present", "absent"):
        problems.append(Problem("MS-SRV-012", place, f"state {state!r}", "Use present or absent."))
    if singleton and (match or state != "present"):
        problems.append(
            Problem("MS-SRV-015", place, f"there is exactly one {type_}", "Leave out match and state absent.")
        )
    if not singleton and not match:
        problems.append(
            Problem("MS-SRV-015", place, "there is no match to recognise the object by", "Add match, such as its name.")
        )
    name = "x:" + type_
    wire_match = schema.object_wire(name, match, place, problems, partial=True)
    merged = properties
    if isinstance(properties, Mapping) and "@type" not in properties and "@type" in match:
        merged = {"@type": match["@type"], **properties}
    absent = state == "absent"
    wire_properties = schema.object_wire(name, merged, place, problems, partial=absent or not entry.get("create", True))
    if isinstance(wire_match, Mapping) and isinstance(wire_properties, Mapping):
        for key in set(wire_match) & set(wire_properties) - {"@type"}:
            if wire_match[key] != wire_properties[key]:
                problems.append(
                    Problem(
                        "MS-SRV-015",
                        f"{place}/{key}",
                        "match and properties give different values, so the object would not be found again",
                        "Remove one of the two.",
                    )
                )
        _check_writable(schema, name, place, wire_properties, problems)
        _check_relay(type_, place, {**wire_match, **wire_properties}, problems)
    _check_secrets(place, secrets, problems)
    if len(problems) == before and not absent:
        problems += secretpaths.check(schema, name, place, {**wire_match, **wire_properties}, secrets)
    if len(problems) > before:
        return None
    return Desired(
        index=index,
        type=type_,
        singleton=singleton,
        match=wire_match,
        properties=wire_properties,
        present=not absent,
        create=bool(entry.get("create", True)),
        secrets={str(k): str(v) for k, v in secrets.items()},
        label=label(type_, wire_match),
    )


def _check_writable(
    schema: Schema, name: str, place: str, properties: Mapping[str, Any], problems: List[Problem]
) -> None:
    fields = schema.fields(name, properties.get("@type"))
    for key in properties:
        if fields.get(key, {}).get("update") == "serverSet":
            problems.append(
                Problem("MS-SRV-013", f"{place}/{key}", "only the server sets this property", "Remove the property.")
            )


def _check_relay(type_: str, place: str, body: Mapping[str, Any], problems: List[Problem]) -> None:
    if type_ != "MtaRoute" or body.get("@type") != "Relay":
        return
    address = str(body.get("address", ""))
    try:
        loopback = ipaddress.ip_address(address).is_loopback
    except ValueError:
        loopback = address == "localhost" or address.endswith(".localhost")
    if loopback:
        problems.append(
            Problem(
                "MS-SRV-028",
                f"{place}/address",
                f"{address} is a loopback address: the server accepts the route and then refuses to use it",
                "Use the tunnel client's address on the container network.",
            )
        )


def _check_secrets(place: str, secrets: Any, problems: List[Problem]) -> None:
    if not isinstance(secrets, Mapping):
        problems.append(Problem("MS-SRV-012", f"{place}/secrets", "is no mapping", "Map JSON pointers to values."))
        return
    for pointer, value in secrets.items():
        where = f"{place} secrets[{pointer}]"
        if not str(pointer).startswith("/") or str(pointer).endswith("/"):
            problems.append(Problem("MS-SRV-012", where, "is no JSON pointer", "Write it like /credentials/0/secret."))
        elif not isinstance(value, str) or not value:
            problems.append(Problem("MS-SRV-012", where, "the secret is empty or no text", "Give the secret's value."))
        elif value == MASK:
            problems.append(
                Problem("MS-SRV-012", where, "the value is the server's mask, not a secret", "Give the secret's value.")
            )


# -- references ------------------------------------------------------------------------------------------------


def references(value: Any) -> Iterator[str]:
    """Every ``ref:…`` text within a wire value, keys of sets included."""
    if isinstance(value, str):
        if value.startswith(REF):
            yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from references(key)
            yield from references(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from references(item)


def replaced(value: Any, ids: Mapping[str, str]) -> Any:
    """The value with every known reference replaced by its id; unknown ones stay."""
    if isinstance(value, str):
        return ids.get(value, value) if value.startswith(REF) else value
    if isinstance(value, Mapping):
        return {replaced(k, ids): replaced(v, ids) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [replaced(v, ids) for v in value]
    return value


def parse_reference(text: str) -> Tuple[str, Dict[str, Any]]:
    """``ref:Type/key=value[,key=value]`` → (type, match). A dotted key reaches into an object; a value that is itself
    a reference takes the rest of the text. Raises ValueError.
    """
    type_, slash, rest = text[len(REF) :].partition("/")
    if not type_ or not slash or not rest:
        raise ValueError("it is not of the form ref:Type/key=value")
    match: Dict[str, Any] = {}
    while rest:
        key, equals, rest = rest.partition("=")
        if not key or not equals:
            raise ValueError("it is not of the form ref:Type/key=value")
        if rest.startswith(REF):
            value, rest = rest, ""
        else:
            value, _comma, rest = rest.partition(",")
        target = match
        *path, last = key.split(".")
        for step in path:
            target = target.setdefault(step, {})
        target[last] = value
    return type_, match
