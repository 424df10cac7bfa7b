# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sieve (RFC 5228) with variables, envelope, reject, relational's :count (RFC 5231) and editheader's addheader: what
system scripts are made of.

Anything outside that subset does not compile, so a script either means here what it means upstream or is refused.
"""

from __future__ import annotations

import contextlib
import operator
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.message import Message
from email.utils import getaddresses
from typing import Any

EXTENSIONS = frozenset(
    {"variables", "envelope", "reject", "ereject", "editheader", "environment", "fileinto", "relational"}
)
_TESTS = {"address", "envelope", "header", "exists", "size", "string", "true", "false", "not", "anyof", "allof"}
_COMMANDS = {"require", "if", "elsif", "else", "stop", "keep", "discard", "reject", "ereject", "set", "addheader"}
_MATCH_TYPES = {":is", ":contains", ":matches"}
_ADDRESS_PARTS = {":all", ":localpart", ":domain"}
#: Tags that are followed by a string of their own; both are kept as one, ``:count=ne``.
_TAGS_WITH_VALUE = {":comparator", ":count"}
_RELATIONS: dict[str, Callable[[int, int], bool]] = {
    "gt": operator.gt,
    "ge": operator.ge,
    "lt": operator.lt,
    "le": operator.le,
    "eq": operator.eq,
    "ne": operator.ne,
}
_TOKEN = re.compile(
    r"""\s+|\#[^\n]*|/\*.*?\*/|
    (?P<string>"(?:[^"\\]|\\.)*")|(?P<multi>text:[ \t]*(?:\#[^\n]*)?\r?\n.*?\r?\n\.\r?\n)|
    (?P<number>\d+[KMGkmg]?)|(?P<tag>:[A-Za-z_]\w*)|(?P<word>[A-Za-z_]\w*)|(?P<sign>[\[\](){};,])""",
    re.S | re.X,
)


_ROUTED = re.compile(r"<\s*(@[^<>]*)>")


class CompileError(ValueError):
    """A script the server refuses; the text names line and column."""


@dataclass(frozen=True)
class Token:
    """One token; ``kind`` is string, number, tag, word or sign."""

    kind: str
    value: str
    line: int
    column: int

    @property
    def where(self) -> str:
        """The position as the server writes it."""
        return f"line {self.line}, column {self.column}"


@dataclass(frozen=True)
class Call:
    """A command or a test: name, tags, positional arguments, nested tests, block."""

    name: str
    tags: tuple[str, ...] = ()
    args: tuple[Any, ...] = ()
    tests: tuple[Call, ...] = ()
    block: tuple[Call, ...] = ()


def _tokens(text: str) -> list[Token]:
    result, position = [], 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        line = text.count("\n", 0, position) + 1
        column = position - (text.rfind("\n", 0, position) + 1) + 1
        if match is None:
            raise CompileError(f"Unexpected character '{text[position]}' at line {line}, column {column}.")
        position = match.end()
        kind = match.lastgroup
        if kind is None:
            continue
        value = match.group(kind)
        if kind == "string":
            value = re.sub(r"\\(.)", r"\1", value[1:-1], flags=re.S)
        elif kind == "multi":
            body = value.split("\n", 1)[1]
            value, kind = re.sub(r"^\.\.", ".", body[: body.rindex(".")], flags=re.M), "string"
        result.append(Token(kind, value, line, column))
    return result


class _Compiler:
    def __init__(self, tokens: list[Token]) -> None:
        self.tokens, self.pos = tokens, 0

    def before(self) -> str:
        """Where the server says a mistake is: at the token before it."""
        return self.tokens[self.pos - 1].where if self.pos > 0 else "line 0, column 0"

    def take(self) -> Token:
        if self.pos >= len(self.tokens):
            raise CompileError(f"Unexpected end of file at {self.before()}.")
        self.pos += 1
        return self.tokens[self.pos - 1]

    def peek(self) -> Token | None:
        return self.tokens[self.pos] if self.pos < len(self.tokens) else None

    def sign(self, wanted: str) -> None:
        token = self.take()
        if token.kind != "sign" or token.value != wanted:
            raise CompileError(f'Expected token "{wanted}" but found "{token.value}" at {token.where}.')

    def script(self) -> tuple[Call, ...]:
        return tuple(self.commands(inside=False))

    def commands(self, inside: bool) -> Iterator[Call]:
        previous = ""
        while (token := self.peek()) is not None:
            if inside and token.value == "}":
                return
            call = self.command(previous)
            previous = call.name
            yield call
        if inside:
            self.take()

    def command(self, previous: str) -> Call:
        where = self.before()
        token = self.take()
        name = token.value.lower()
        if token.kind != "word" or name not in _COMMANDS:
            raise CompileError(f'Expected token "command" but found "{token.value}" at {where}.')
        if name in {"elsif", "else"} and previous not in {"if", "elsif"}:
            raise CompileError(f"Unexpected '{name}' at {token.where}.")
        if name in {"if", "elsif", "else"}:
            tests = () if name == "else" else (self.test(),)
            self.sign("{")
            block = tuple(self.commands(inside=True))
            self.sign("}")
            return Call(name, tests=tests, block=block)
        # System scripts need no "require", and the last command no semicolon (recorded).
        tags, args = self.arguments()
        if self.peek() is not None:
            self.sign(";")
        counts = {"require": 1, "reject": 1, "ereject": 1, "set": 2, "addheader": 2}
        if len(args) != counts.get(name, 0):
            raise CompileError(f"Wrong number of arguments for '{name}' at {token.where}.")
        if name == "require":
            for extension in _as_list(args[0]):
                if extension not in EXTENSIONS and not extension.startswith("comparator-"):
                    raise CompileError(f"Unsupported capability '{extension}' at {token.where}.")
        return Call(name, tuple(tags), tuple(args))

    def test(self) -> Call:
        token = self.take()
        name = token.value.lower()
        if token.kind != "word":
            raise CompileError(f"Expected a test but found '{token.value}' at {token.where}.")
        if name not in _TESTS:
            # The server reads on before it complains: a script cut short is an end of file ("if if if", recorded).
            while self.take().value not in {"{", ";"}:
                continue
            raise CompileError(f"Unsupported or unexpected test '{token.value}' at {token.where}.")
        if name == "not":
            return Call("not", tests=(self.test(),))
        if name in {"anyof", "allof"}:
            self.sign("(")
            tests = [self.test()]
            while (following := self.take()).value == ",":
                tests.append(self.test())
            if following.value != ")":
                raise CompileError(f"Expected token ')' but found '{following.value}' at {following.where}.")
            return Call(name, tests=tuple(tests))
        tags, args = self.arguments()
        self.check_test(token, name, tags, args)
        return Call(name, tuple(tags), tuple(args))

    @staticmethod
    def check_test(token: Token, name: str, tags: list[str], args: list[Any]) -> None:
        allowed = {":over", ":under"} if name == "size" else _MATCH_TYPES | _ADDRESS_PARTS | _TAGS_WITH_VALUE
        for tag in tags:
            word, _, value = tag.partition("=")
            if word not in allowed or (word == ":count" and value not in _RELATIONS):
                raise CompileError(f"Unsupported tag '{word}' at {token.where}.")
        counts = {"exists": 1, "size": 1, "true": 0, "false": 0}
        if len(args) != counts.get(name, 2):
            raise CompileError(f"Wrong number of arguments for '{name}' at {token.where}.")

    def arguments(self) -> tuple[list[str], list[Any]]:
        tags: list[str] = []
        args: list[Any] = []
        while (token := self.peek()) is not None:
            if token.kind == "tag" and token.value.lower() in _TAGS_WITH_VALUE:
                self.pos += 1
                value = self.take()
                if value.kind != "string":
                    raise CompileError(f"Expected a string but found '{value.value}' at {value.where}.")
                tags.append(f"{token.value.lower()}={value.value.lower()}")
                continue
            if token.kind == "tag":
                tags.append(token.value.lower())
            elif token.kind == "string":
                args.append(token.value)
            elif token.kind == "number":
                scale = {"k": 10, "m": 20, "g": 30}.get(token.value[-1].lower(), 0)
                args.append(int(token.value.rstrip("KMGkmg")) << scale)
            elif token.value == "[":
                self.pos += 1
                args.append(self.string_list())
                continue
            else:
                break
            self.pos += 1
        return tags, args

    def string_list(self) -> list[str]:
        items = []
        while True:
            token = self.take()
            if token.kind != "string":
                raise CompileError(f"Expected a string but found '{token.value}' at {token.where}.")
            items.append(token.value)
            following = self.take()
            if following.value == "]":
                return items
            if following.value != ",":
                raise CompileError(f"Expected token ',' but found '{following.value}' at {following.where}.")


def compile_script(text: str) -> tuple[Call, ...]:
    """Compile a script. Raises :class:`CompileError` with line and column."""
    return _Compiler(_tokens(text)).script()


def _as_list(value: Any) -> list[str]:
    return list(value) if isinstance(value, list) else [str(value)]


@dataclass
class Outcome:
    """What a script decided: ``action`` is keep, discard or reject, with the reply; headers to add."""

    action: str = "keep"
    reply: str = ""
    headers: list[tuple[str, str]] = field(default_factory=list)


def refusal(outcome: Outcome) -> str:
    """The SMTP reply of a script that rejects: its own where it begins with a code."""
    coded = re.match(r"\d{3} ", outcome.reply) is not None
    return (outcome.reply if coded else f"503 5.5.3 {outcome.reply}").strip()


class _StopError(Exception):
    pass


@dataclass
class Context:
    """What a script can see: the message (if there is one yet), the envelope, ``${env.…}`` and other variables."""

    message: Message | None
    size: int
    envelope_from: str
    envelope_to: list[str]
    variables: dict[str, str]


class _Run:
    def __init__(self, context: Context) -> None:
        self.context = context
        self.variables = {
            **{name.lower(): value for name, value in context.variables.items()},
            "envelope.from": context.envelope_from,
            "envelope.to": context.envelope_to[-1] if context.envelope_to else "",
        }
        self.outcome = Outcome()

    def expand(self, text: str) -> str:
        return re.sub(r"\$\{([A-Za-z_][\w.]*|\d+)\}", lambda match: self.variables.get(match[1].lower(), ""), text)

    def block(self, commands: tuple[Call, ...]) -> None:
        taken = False
        for call in commands:
            if call.name in {"if", "elsif", "else"}:
                if call.name == "if":
                    taken = False
                if not taken and (call.name == "else" or self.test(call.tests[0])):
                    taken = True
                    self.block(call.block)
            else:
                self.command(call)

    def command(self, call: Call) -> None:
        if call.name == "stop":
            raise _StopError
        if call.name in {"keep", "discard"}:
            self.outcome.action = call.name
        elif call.name in {"reject", "ereject"}:
            self.outcome.action, self.outcome.reply = "reject", self.expand(call.args[0])
        elif call.name == "set":
            value = self.expand(call.args[1])
            for tag, change in ((":lower", str.lower), (":upper", str.upper), (":length", lambda v: str(len(v)))):
                value = change(value) if tag in call.tags else value
            self.variables[self.expand(call.args[0]).lower()] = value
        elif call.name == "addheader":
            self.outcome.headers.append((self.expand(call.args[0]), self.expand(call.args[1])))

    def test(self, call: Call) -> bool:
        if call.name in {"true", "false"}:
            return call.name == "true"
        if call.name == "not":
            return not self.test(call.tests[0])
        if call.name == "anyof":
            return any(self.test(test) for test in call.tests)
        if call.name == "allof":
            return all(self.test(test) for test in call.tests)
        if call.name == "size":
            limit = int(call.args[0])
            return self.context.size > limit if ":over" in call.tags else self.context.size < limit
        if call.name == "exists":
            return all(self.values("header", name) for name in _as_list(call.args[0]))
        args = call.args
        sources = [value for name in _as_list(args[0]) for value in self.values(call.name, self.expand(name))]
        if call.name in {"address", "envelope"}:
            sources = [_address_part(value, call.tags) for value in sources]
        wanted = [self.expand(key) for key in _as_list(args[1])]
        relation = next((t.partition("=")[2] for t in call.tags if t.startswith(":count=")), "")
        if relation:
            return any(key.isdigit() and _RELATIONS[relation](len(sources), int(key)) for key in wanted)
        return any(self.matches(call.tags, value, key) for value in sources for key in wanted)

    def values(self, kind: str, name: str) -> list[str]:
        if kind == "string":
            return [name]
        if kind == "envelope":
            return {"from": [self.context.envelope_from], "to": self.context.envelope_to}.get(name.lower(), [])
        if self.context.message is None:
            return []
        found = [str(value).strip() for value in self.context.message.get_all(name, [])]
        if kind == "address":
            return _addresses(found)
        return found

    def matches(self, tags: tuple[str, ...], value: str, key: str) -> bool:
        left, right = value.lower(), key.lower()
        if ":contains" in tags:
            return right in left
        if ":matches" not in tags:
            return left == right
        pattern = "".join({"*": "(.*)", "?": "(.)"}.get(part, re.escape(part)) for part in re.split(r"([*?])", key))
        found = re.fullmatch(pattern, value, re.S | re.I)
        if found is not None:
            self.variables.update({str(i): group for i, group in enumerate([found.group(0), *found.groups()])})
        return found is not None


def _addresses(values: list[str]) -> list[str]:
    """Every address of a header. One with a source route stays as it is written, so that it equals none (recorded)."""
    routed = [route.strip() for value in values for route in _ROUTED.findall(value)]
    plain = [_ROUTED.sub("", value) for value in values]
    return [*routed, *(address for _, address in getaddresses(plain) if address)]


def _address_part(address: str, tags: tuple[str, ...]) -> str:
    # An @ of the local part is quoted; where it is not, what follows is no domain (recorded).
    local, _, domain = address.rpartition("@") if address.startswith('"') else address.partition("@")
    return local if ":localpart" in tags else domain if ":domain" in tags else address


def run(script: tuple[Call, ...], context: Context) -> Outcome:
    """Run a compiled script to its end."""
    execution = _Run(context)
    with contextlib.suppress(_StopError):
        execution.block(script)
    return execution.outcome
