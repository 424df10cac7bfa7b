# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shapes: how a value of the inventory must look, checked to the end so that every mistake is found in one pass.

A shape reads a raw value into a plain Python one, or notes a problem and returns its fallback; it can also say itself
as JSON Schema. Values that come from Ansible are tagged subclasses of str, int, … and are converted to plain ones.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import Problem

DURATION_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
SIZE_UNITS = {"": 1, "B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3, "TiB": 1024**4}


def nearest(word: str, known: Iterable[str]) -> str:
    """`` Did you mean 'x'?`` or nothing."""
    match = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" Did you mean '{match[0]}'?" if match else ""


@dataclass
class Reading:
    """One pass over the inventory. origin: value → ``file:line`` (or nothing) of a raw value."""

    problems: List[Problem] = field(default_factory=list)
    origin: Callable[[Any], str] = lambda value: ""

    def note(self, code: str, path: str, raw: Any, what: str, fix: str) -> None:
        place = self.origin(raw)
        self.problems.append(Problem(code, f"{path} ({place})" if place else path, what, fix))


class Shape:
    """Base of all shapes; fallback is what a wrong value is read as, so that reading can go on."""

    fallback: Any = None

    def read(self, raw: Any, path: str, reading: Reading) -> Any:
        raise TypeError(f"{type(self).__name__} cannot be read")  # pragma: no cover - every subclass reads

    def schema(self) -> Dict[str, Any]:
        return {}

    def _wrong(self, raw: Any, path: str, reading: Reading, wanted: str) -> Any:
        shown = repr(raw) if isinstance(raw, (str, int, float, bool)) else type(raw).__name__
        reading.note("MS-INT-003", path, raw, f"{shown} is not {wanted}", f"write {wanted}")
        return self.fallback


@dataclass
class Text(Shape):
    """A string; choices, or a pattern with its name in words, restrict it. YAML's ``off``/``on`` count as words."""

    choices: Sequence[str] = ()
    pattern: str = ""
    wanted: str = "a string"
    fallback: str = ""

    def read(self, raw: Any, path: str, reading: Reading) -> str:
        if isinstance(raw, bool) and self.choices:
            raw = "on" if raw else "off"
        if not isinstance(raw, str):
            return str(self._wrong(raw, path, reading, self._words()))
        if self.choices and raw not in self.choices:
            reading.note(
                "MS-INT-004",
                path,
                raw,
                f"'{raw}' is not one of {', '.join(self.choices)}",
                f"use one of the listed values.{nearest(raw, self.choices)}",
            )
            return self.fallback
        if self.pattern and not re.fullmatch(self.pattern, raw):
            return str(self._wrong(raw, path, reading, self.wanted))
        return str(raw)

    def _words(self) -> str:
        return "one of " + ", ".join(self.choices) if self.choices else self.wanted

    def schema(self) -> Dict[str, Any]:
        out: Dict[str, Any] = {"type": "string"}
        if self.choices:
            # What YAML 1.1 makes of the bare words off and on.
            words = [value for word, value in (("off", False), ("on", True)) if word in self.choices]
            out = {"enum": [*self.choices, *words]}
        if self.pattern:
            out["pattern"] = f"^(?:{self.pattern})$"
        return out


@dataclass
class Flag(Shape):
    fallback: bool = False

    def read(self, raw: Any, path: str, reading: Reading) -> bool:
        return bool(raw) if isinstance(raw, bool) else bool(self._wrong(raw, path, reading, "true or false"))

    def schema(self) -> Dict[str, Any]:
        return {"type": "boolean"}


@dataclass
class Number(Shape):
    low: int = 0
    high: int = 2**31
    fallback: int = 0

    def read(self, raw: Any, path: str, reading: Reading) -> int:
        if isinstance(raw, bool) or not isinstance(raw, int) or not self.low <= raw <= self.high:
            return int(self._wrong(raw, path, reading, f"a whole number from {self.low} to {self.high}"))
        return int(raw)

    def schema(self) -> Dict[str, Any]:
        return {"type": "integer", "minimum": self.low, "maximum": self.high}


@dataclass
class Duration(Shape):
    """``180d`` → seconds."""

    fallback: int = 0

    def read(self, raw: Any, path: str, reading: Reading) -> int:
        match = re.fullmatch(r"(\d+)([smhdw])", raw) if isinstance(raw, str) else None
        if not match:
            return int(self._wrong(raw, path, reading, "a duration such as 12h, 180d or 2w"))
        return int(match.group(1)) * DURATION_UNITS[match.group(2)]

    def schema(self) -> Dict[str, Any]:
        return {"type": "string", "pattern": "^[0-9]+[smhdw]$"}


@dataclass
class Size(Shape):
    """``10MiB`` → bytes."""

    fallback: int = 0

    def read(self, raw: Any, path: str, reading: Reading) -> int:
        match = re.fullmatch(r"(\d+)(B|KiB|MiB|GiB|TiB)?", str(raw)) if not isinstance(raw, bool) else None
        if not match:
            return int(self._wrong(raw, path, reading, "a size such as 10MiB or 2GiB"))
        return int(match.group(1)) * SIZE_UNITS[match.group(2) or ""]

    def schema(self) -> Dict[str, Any]:
        return {"type": ["string", "integer"], "pattern": "^[0-9]+(B|KiB|MiB|GiB|TiB)?$"}


@dataclass
class Forever(Duration):
    """A duration, or a word for none, which reads as 0."""

    word: str = "forever"

    def __init__(self, word: str = "forever") -> None:
        super().__init__()
        self.word = word

    def read(self, raw: Any, path: str, reading: Reading) -> int:
        return 0 if raw == self.word else super().read(raw, path, reading)

    def schema(self) -> Dict[str, Any]:
        return {"anyOf": [super().schema(), {"const": self.word}]}


@dataclass
class Many(Shape):
    """A list; with ``or_one`` a single item stands for a list of one."""

    item: Shape
    or_one: bool = False
    fallback: Tuple[Any, ...] = ()

    def read(self, raw: Any, path: str, reading: Reading) -> Tuple[Any, ...]:
        if isinstance(raw, (list, tuple)):
            return tuple(self.item.read(v, f"{path}[{i}]", reading) for i, v in enumerate(raw))
        if self.or_one and raw is not None:
            return (self.item.read(raw, path, reading),)
        return tuple(self._wrong(raw, path, reading, "a list"))

    def schema(self) -> Dict[str, Any]:
        many = {"type": "array", "items": self.item.schema()}
        return {"anyOf": [self.item.schema(), many]} if self.or_one else many


@dataclass
class Named(Shape):
    """A mapping from names of the user's choice to values of one shape, read into pairs in the order written."""

    item: Shape
    name: Optional[Shape] = None
    fallback: Tuple[Tuple[str, Any], ...] = ()

    def read(self, raw: Any, path: str, reading: Reading) -> Tuple[Tuple[str, Any], ...]:
        if not isinstance(raw, Mapping):
            return tuple(self._wrong(raw, path, reading, "a mapping"))
        out = []
        for key, value in raw.items():
            where = f"{path}.{key}"
            name = self.name.read(key, where, reading) if self.name else str(key)
            out.append((name, self.item.read(value, where, reading)))
        return tuple(out)

    def schema(self) -> Dict[str, Any]:
        return {"type": "object", "additionalProperties": self.item.schema()}


@dataclass
class Anything(Shape):
    """Read by somebody else, or only known as a word."""

    def read(self, raw: Any, path: str, reading: Reading) -> Any:
        return raw


@dataclass
class Key:
    """One key of a mapping. since: words of the interface that this release does not build yet say so."""

    shape: Shape
    required: bool = False
    default: Any = None
    unsupported: str = ""
    doc: str = ""


@dataclass
class Mapped(Shape):
    """A mapping with known keys, read into whatever ``build`` makes of them."""

    keys: Mapping[str, Key]
    build: Callable[..., Any]
    name: str = "mapping"
    shorthand: Optional[str] = None
    fallback: Any = None

    def read(self, raw: Any, path: str, reading: Reading) -> Any:
        if self.shorthand and not isinstance(raw, Mapping) and raw is not None:
            raw = {self.shorthand: raw}
        if not isinstance(raw, Mapping):
            return self._wrong(raw, path, reading, f"a mapping with the keys {', '.join(self.keys)}")
        for key in raw:
            if key not in self.keys:
                reading.note(
                    "MS-INT-001",
                    f"{path}.{key}",
                    key,
                    f"'{key}' is not a word of {self.name}",
                    f"known are {', '.join(self.keys)}.{nearest(str(key), self.keys)}",
                )
        values: Dict[str, Any] = {}
        for key, spec in self.keys.items():
            if key in raw and raw[key] is not None:
                if spec.unsupported:
                    reading.note("MS-INT-010", f"{path}.{key}", raw[key], f"'{key}' is not built yet", spec.unsupported)
                    continue
                values[key] = spec.shape.read(raw[key], f"{path}.{key}", reading)
            else:
                if spec.required:
                    reading.note("MS-INT-002", path, raw, f"'{key}' is missing", f"add `{key}:` to {self.name}")
                values[key] = spec.shape.fallback if spec.required else spec.default
        return self.build(**{k: v for k, v in values.items() if not self.keys[k].unsupported})

    def schema(self) -> Dict[str, Any]:
        properties = {}
        for key, spec in self.keys.items():
            entry = spec.shape.schema()
            said = f"not built yet: {spec.unsupported}" if spec.unsupported else spec.doc
            if said:
                entry = {**entry, "description": said}
            properties[key] = entry
        out: Dict[str, Any] = {"type": "object", "additionalProperties": False, "properties": properties}
        required = [k for k, s in self.keys.items() if s.required]
        if required:
            out["required"] = required
        if self.shorthand:
            return {"anyOf": [self.keys[self.shorthand].shape.schema(), out]}
        return out


@dataclass
class ByProvider(Mapped):
    """A mapping whose words depend on its ``provider``. words: for each, those it needs, then those with a default."""

    words: Mapping[str, Tuple[Tuple[str, ...], Tuple[str, ...]]] = field(default_factory=dict)
    #: What to do instead, for a provider and a word it does not take.
    hints: Mapping[Tuple[str, str], str] = field(default_factory=dict)

    def read(self, raw: Any, path: str, reading: Any) -> Any:
        given: Mapping[str, Any] = raw if isinstance(raw, Mapping) else {}
        foreign = self._foreign(given)
        for word, (what, fix) in foreign.items():
            reading.note("MS-INT-032", f"{path}.{word}", given[word], what, fix)
        # What a word of another provider holds is not looked at: it goes anyway.
        value = super().read({k: v for k, v in raw.items() if k not in foreign} if foreign else raw, path, reading)
        if value is self.fallback or value.provider not in self.words:
            return value
        for word in self.words[value.provider][0]:
            if given.get(word) is None:
                what = f"'{word}' is missing for provider {value.provider}"
                reading.note("MS-INT-002", path, raw, what, f"add `{word}:` to {self.name}")
        return value

    def _foreign(self, given: Mapping[str, Any]) -> Dict[str, Tuple[str, str]]:
        """The words that other providers take and this one does not: (what is wrong, what to do)."""
        provider = given.get("provider", self.keys["provider"].default)
        if not isinstance(provider, str) or provider not in self.words:
            return {}
        own = [word for words in self.words[provider] for word in words]
        takes = ", ".join(own) or "no further words"
        found = {}
        for word in (w for w in given if w not in own):
            others = [p for p, words in self.words.items() if word in (*words[0], *words[1])]
            if others:
                fix = f"leave it out, or write `provider: {others[0]}`; {provider} takes {takes}"
                what = f"'{word}' is a word of provider {' and '.join(others)}"
                found[word] = (what, self.hints.get((provider, word), fix))
        return found
