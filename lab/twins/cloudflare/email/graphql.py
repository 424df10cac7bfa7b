# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading GraphQL queries (October 2021 specification, §2): operations, fields with aliases and arguments, variables.

Fragments and directives are not read: nothing that asks the twin uses them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_TOKEN = re.compile(
    r"""[\s,\ufeff]+ | \#[^\n\r]* |
    (?P<punct>\.\.\.|[!$():=@\[\]{}|&]) |
    (?P<name>[_A-Za-z][_0-9A-Za-z]*) |
    (?P<number>-?(?:0|[1-9][0-9]*)(?P<fraction>(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)) |
    (?P<string>"(?:[^"\\\n\r]|\\.)*")""",
    re.VERBOSE,
)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}


class QueryError(ValueError):
    """The query cannot be read or run; the text is the message of the answer. code: the kind, for ``extensions``."""

    def __init__(self, message: str, code: str = "parse", path: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.code, self.path = code, path


@dataclass(frozen=True)
class Field:
    """A selected field. key: its name in the answer; selection: empty for scalars."""

    name: str
    key: str
    arguments: dict[str, Any]
    selection: tuple[Field, ...]


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str


class _Enum(str):
    """A value that is a bare word."""


def parse(query: str, variables: Mapping[str, Any]) -> tuple[Field, ...]:
    """The fields of the one operation, variables filled in. Raises QueryError."""
    return _Parser(_tokens(query), variables).document()


def _tokens(query: str) -> list[_Token]:
    out: list[_Token] = []
    position = 0
    while position < len(query):
        match = _TOKEN.match(query, position)
        if match is None:
            raise QueryError(f"syntax error near {query[position : position + 10]!r}")
        position = match.end()
        for kind in ("punct", "name", "number", "string"):
            if match[kind] is not None:
                out.append(_Token("float" if kind == "number" and match["fraction"] else kind, match[kind]))
    return out


class _Parser:
    """A recursive descent over the tokens."""

    def __init__(self, tokens: list[_Token], variables: Mapping[str, Any]) -> None:
        self._tokens, self._at = tokens, 0
        self._given, self._variables = variables, dict(variables)

    def document(self) -> tuple[Field, ...]:
        if self._peek("{"):
            fields = self._selection()
        else:
            if self._next("name").text != "query":
                raise QueryError("only queries are supported")
            if not self._peek("{") and not self._peek("("):
                self._next("name")
            if self._peek("("):
                self._definitions()
            fields = self._selection()
        if self._at != len(self._tokens):
            raise QueryError("one operation is supported, without fragments")
        return fields

    def _definitions(self) -> None:
        self._take("(")
        while not self._peek(")"):
            self._take("$")
            name = self._next("name").text
            self._take(":")
            required = self._type()
            if self._peek("="):
                self._take("=")
                self._variables.setdefault(name, self._value())
            if required and name not in self._variables:
                raise QueryError(f'variable "{name}" is required')
        self._take(")")

    def _type(self) -> bool:
        """Whether it must be given. Types are not checked any further: the documentation spells them in two ways."""
        if self._peek("["):
            self._take("[")
            self._type()
            self._take("]")
        else:
            self._next("name")
        if self._peek("!"):
            self._take("!")
            return True
        return False

    def _selection(self) -> tuple[Field, ...]:
        self._take("{")
        fields: list[Field] = []
        while not self._peek("}"):
            fields.append(self._field())
        self._take("}")
        if not fields:
            raise QueryError("a selection is empty")
        return tuple(fields)

    def _field(self) -> Field:
        key = name = self._next("name").text
        if self._peek(":"):
            self._take(":")
            name = self._next("name").text
        arguments = self._pairs("(", ")") if self._peek("(") else {}
        return Field(name, key, arguments, self._selection() if self._peek("{") else ())

    def _pairs(self, opening: str, closing: str) -> dict[str, Any]:
        self._take(opening)
        out: dict[str, Any] = {}
        while not self._peek(closing):
            name = self._next("name").text
            self._take(":")
            out[name] = self._value()
        self._take(closing)
        return out

    def _value(self) -> Any:
        if self._peek("{"):
            return self._pairs("{", "}")
        if self._peek("["):
            self._take("[")
            items: list[Any] = []
            while not self._peek("]"):
                items.append(self._value())
            self._take("]")
            return items
        if self._peek("$"):
            self._take("$")
            name = self._next("name").text
            if name not in self._variables:
                raise QueryError(f'unknown variable "{name}"')
            return self._variables[name]
        return self._scalar()

    def _scalar(self) -> Any:
        token = self._advance()
        if token.kind == "number":
            return int(token.text)
        if token.kind == "float":
            return float(token.text)
        if token.kind == "string":
            return re.sub(r"\\(u[0-9A-Fa-f]{4}|.)", _unescape, token.text[1:-1])
        if token.kind == "name":
            return {"true": True, "false": False, "null": None}.get(token.text, _Enum(token.text))
        raise QueryError(f"unexpected {token.text!r}")

    # -- tokens --------------------------------------------------------------------------------------------------------

    def _peek(self, text: str) -> bool:
        return self._at < len(self._tokens) and self._tokens[self._at] == _Token("punct", text)

    def _advance(self) -> _Token:
        if self._at >= len(self._tokens):
            raise QueryError("the query ends too early")
        self._at += 1
        return self._tokens[self._at - 1]

    def _next(self, kind: str) -> _Token:
        token = self._advance()
        if token.kind != kind:
            raise QueryError(f"unexpected {token.text!r}")
        return token

    def _take(self, text: str) -> None:
        token = self._advance()
        if token != _Token("punct", text):
            raise QueryError(f"{text!r} is expected, not {token.text!r}")


def _unescape(match: re.Match[str]) -> str:
    text = match[1]
    return chr(int(text[1:], 16)) if len(text) == 5 else _ESCAPES.get(text, text)
