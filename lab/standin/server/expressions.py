# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The server's expression language: ``{"match": {"0": {"if": …, "then": …}}, "else": …}``.

Parsing reports the same errors as the recordings where there are any ("Invalid variable or constant …"); evaluation is
short-circuiting and never guesses: a function that is not implemented raises :class:`ExpressionError`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .expression_functions import (
    FUNCTIONS,
    PLAIN_FUNCTIONS,
    Constant,
    ExpressionError,
    Value,
    compare,
    to_bool,
    to_text,
)
from .schema import parse_duration

Resolver = Callable[[str], Value]
Call = Callable[[str, list[Value]], Value]

_SESSION = frozenset({"listener", "remote_ip", "remote_port", "local_ip", "local_port", "protocol", "is_tls"})
_CONNECTION = _SESSION | {"asn", "country"}
_EHLO = _CONNECTION | {"helo_domain"}
_MAIL = _CONNECTION | {"sender", "sender_domain", "authenticated_as"}
_RCPT = _MAIL | {"recipients", "rcpt", "rcpt_domain", "priority", "helo_domain"}
_QUEUE_SENDER = frozenset(
    {"sender", "sender_domain", "priority", "retry_num", "notify_num", "expires_in", "last_status", "last_error"}
)
_QUEUE_RCPT = _QUEUE_SENDER | {
    "rcpt",
    "rcpt_domain",
    "recipients",
    "queue_name",
    "queue_age",
    "received_from_ip",
    "received_via_port",
    "source",
    "size",
}
_QUEUE_HOST = _QUEUE_RCPT | {"mx", "remote_ip", "local_ip"}
_HTTP = _SESSION | {"url", "path", "headers", "method"}
# Which variables an expression may use, by object type and property (``*``: every other property of the type).
CONTEXTS: dict[str, dict[str, frozenset[str]]] = {
    "DkimReportSettings": {"*": _RCPT},
    "DsnReportSettings": {"*": _QUEUE_SENDER},
    "Http": {"*": _HTTP},
    "MtaExtensions": {"*": _MAIL},
    "MtaHook": {"*": _RCPT},
    "MtaInboundSession": {"*": _CONNECTION},
    "MtaInboundThrottle": {"*": _RCPT},
    "MtaMilter": {"*": _RCPT},
    "MtaOutboundStrategy": {"route": _QUEUE_RCPT, "schedule": _QUEUE_RCPT, "*": _QUEUE_HOST},
    "MtaOutboundThrottle": {"*": _QUEUE_HOST},
    "MtaQueueQuota": {"*": _QUEUE_HOST},
    "MtaStageAuth": {"mustMatchSender": _MAIL, "*": _EHLO},
    "MtaStageConnect": {"*": _CONNECTION},
    "MtaStageData": {"*": _RCPT},
    "MtaStageEhlo": {"*": _CONNECTION},
    "MtaStageMail": {"*": _MAIL},
    "MtaStageRcpt": {"maxFailures": _MAIL, "waitOnFail": _MAIL, "maxRecipients": _MAIL, "*": _RCPT},
    "ReportSettings": {"*": frozenset({"rcpt_domain"})},
    "SenderAuth": {
        "spfEhloVerify": _CONNECTION,
        "spfFromVerify": _CONNECTION,
        "reverseIpVerify": _CONNECTION,
        "*": _RCPT,
    },
    "SieveSystemInterpreter": {"*": _RCPT},
    "SpfReportSettings": {"*": _MAIL},
    "TlsReportSettings": {"*": _QUEUE_HOST},
}


@dataclass(frozen=True)
class Token:
    """``kind``: value, variable, function, capture, op or punct; ``value`` the constant, the name or the sign."""

    kind: str
    value: Any


@dataclass(frozen=True)
class Language:
    """The names the schema knows: every variable and every constant of the language."""

    variables: frozenset[str]
    constants: frozenset[str]


_WORD = re.compile(r"[A-Za-z0-9_.$]+")
_PRECEDENCE = {
    "||": 1,
    "&&": 2,
    "^": 3,
    "==": 4,
    "!=": 4,
    "<": 5,
    "<=": 5,
    ">": 5,
    ">=": 5,
    "+": 6,
    "-": 6,
    "*": 7,
    "/": 7,
}
_SYSTEM = frozenset({"domain", "hostname", "node_id", "node_hostname", "node_role"})


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


class _Lexer:
    def __init__(self, text: str, language: Language, allowed: frozenset[str]) -> None:
        self.text, self.pos, self.language, self.allowed = text, 0, language, allowed
        self.tokens: list[Token] = []

    def run(self) -> list[Token]:
        depth = 0
        while self.pos < len(self.text):
            char = self.text[self.pos]
            if char in " \r\n":
                self.pos += 1
            elif char in "'\"":
                self.pos += 1
                self.tokens.append(Token("value", self.string(char)))
            elif match := _WORD.match(self.text, self.pos):
                self.pos = match.end()
                self.tokens.append(self.word(match.group()))
            else:
                depth += {"(": 1, ")": -1}.get(char, 0)
                if depth < 0:
                    raise ExpressionError("Unmatched close parenthesis")
                self.tokens.append(self.operator(char))
        if depth > 0:
            raise ExpressionError("Unmatched open parenthesis")
        return self.tokens

    def string(self, stop: str) -> str:
        result: list[str] = []
        last = ""
        while self.pos < len(self.text):
            char = self.text[self.pos]
            self.pos += 1
            if last != "\\" and char == stop:
                return "".join(result)
            if last == "\\":
                result[-1:] = [{"n": "\n", "r": "\r", "t": "\t"}.get(char, char)]
                char = ""
            else:
                result.append(char)
            last = char
        raise ExpressionError("Unterminated string")

    def operator(self, char: str) -> Token:
        self.pos += 1
        following = self.text[self.pos : self.pos + 1]
        if char in "&|":
            self.pos += following == char
            return Token("op", char * 2)
        if char in "!=<>" and following == "=":
            self.pos += 1
            return Token("op", char + "=")
        if char == "=":
            return Token("op", "==")
        if char in "^+*/-<>!":
            return Token("op", char)
        if char in "(),[]":
            return Token("punct", char)
        raise ExpressionError(f"Invalid character '{char}'")

    def word(self, word: str) -> Token:
        if word in {"true", "false"}:
            return Token("value", int(word == "true"))
        if re.fullmatch(r"\d+", word):
            return Token("value", int(word))
        if re.fullmatch(r"\d*\.\d*", word):
            try:
                return Token("value", float(word))
            except ValueError:
                raise ExpressionError(f"Invalid float value {word}") from None
        if re.fullmatch(r"\$\d+", word):
            return Token("capture", int(word[1:]))
        if word in FUNCTIONS or word in {"matches", "system"}:
            return Token("function", word)
        if word in self.language.variables:
            if self.allowed and word not in self.allowed:
                raise ExpressionError(f"Variable {_quoted(word)} not allowed in this context")
            return Token("variable", word)
        if word in self.language.constants:
            return Token("value", Constant(word))
        duration = parse_duration(word)
        if duration is not None:
            return Token("value", duration)
        raise ExpressionError(f"Invalid variable or constant {_quoted(word)}")


@dataclass(frozen=True)
class Node:
    """One node of a parsed expression; ``args`` are nodes, except for literals and names."""

    op: str
    args: tuple[Any, ...]


class _Parser:
    def __init__(self, tokens: list[Token]) -> None:
        self.tokens, self.pos = tokens, 0

    def peek(self) -> Token | None:
        return self.tokens[self.pos] if self.pos < len(self.tokens) else None

    def take(self) -> Token:
        token = self.peek()
        if token is None:
            raise ExpressionError("Invalid expression")
        self.pos += 1
        return token

    def expect(self, sign: str) -> None:
        if self.take() != Token("punct", sign):
            raise ExpressionError("Mismatched parentheses")

    def whole(self) -> Node:
        node = self.binary(1)
        if self.peek() is not None:
            raise ExpressionError("Invalid expression")
        return node

    def binary(self, least: int) -> Node:
        left = self.unary()
        while (token := self.peek()) and token.kind == "op" and _PRECEDENCE.get(token.value, 0) >= least:
            self.pos += 1
            left = Node("binary", (token.value, left, self.binary(_PRECEDENCE[token.value] + 1)))
        return left

    def unary(self) -> Node:
        if self.peek() is None:
            # The server accepts an operator without its operand; evaluating it fails.
            return Node("missing", ())
        token = self.take()
        if token.kind == "op" and token.value in "!-":
            return Node("unary", (token.value, self.unary()))
        node = self.atom(token)
        while self.peek() == Token("punct", "[") and token.kind in {"variable", "function"}:
            self.pos += 1
            node = Node("index", (node, self.binary(1)))
            self.expect("]")
        return node

    def atom(self, token: Token) -> Node:
        if token.kind in {"value", "variable", "capture"}:
            return Node(token.kind, (token.value,))
        if token.kind == "function":
            self.expect("(")
            return self.function(token.value, self.arguments(")"))
        if token == Token("punct", "("):
            node = self.binary(1)
            self.expect(")")
            return node
        if token == Token("punct", "["):
            return Node("list", tuple(self.arguments("]")))
        raise ExpressionError("Invalid expression")

    def arguments(self, close: str) -> list[Node]:
        result: list[Node] = []
        while self.peek() != Token("punct", close):
            result.append(self.binary(1))
            if self.peek() == Token("punct", ","):
                self.pos += 1
        self.pos += 1
        return result

    @staticmethod
    def function(name: str, args: list[Node]) -> Node:
        if name == "matches":
            if len(args) != 2 or args[0].op != "value":
                raise ExpressionError('Expression function "matches" expected 2 arguments')
            try:
                return Node("matches", (re.compile(str(args[0].args[0])), args[1]))
            except re.error as error:
                raise ExpressionError(f"Invalid regular expression {_quoted(str(args[0].args[0]))}: {error}") from None
        if name == "system":
            if len(args) != 1 or args[0].op != "value":
                raise ExpressionError("Expression function expected 1 argument")
            if args[0].args[0] not in _SYSTEM:
                raise ExpressionError(f"Invalid system variable name {_quoted(str(args[0].args[0]))}")
        elif len(args) != FUNCTIONS[name]:
            raise ExpressionError(
                f"Expression function {_quoted(name)} expected {FUNCTIONS[name]} arguments, got {len(args)}"
            )
        return Node("call", (name, tuple(args)))


def words(text: str) -> list[str]:
    """Every word of an expression outside its texts."""
    return _WORD.findall(re.sub(r"'[^']*'|\"[^\"]*\"", " ", text))


def parse(text: str, language: Language, allowed: frozenset[str] = frozenset()) -> Node:
    """Parse one expression. Raises :class:`ExpressionError` with the server's wording."""
    return _Parser(_Lexer(text, language, allowed).run()).whole()


def check(expression: dict[str, Any], language: Language, allowed: frozenset[str]) -> str | None:
    """What is wrong with an if block, in the server's words, or ``None``."""
    matches = list(expression["match"].values())
    if not expression["else"]:
        return "Missing 'else' block in 'if' expression" if matches else None
    if any(not m["if"] or not m["then"] for m in matches):
        return "All 'if' and 'then' blocks must be non-empty"
    parts = [("'else' expression", expression["else"])]
    for number, match in enumerate(matches):
        parts += [(f"'{side}' expression in condition #{number + 1}", match[side]) for side in ("if", "then")]
    for where, text in parts:
        try:
            parse(text, language, allowed)
        except ExpressionError as error:
            return f"Error parsing {where}: {error}"
    return None


def allowed_variables(object_type: str, prop: str) -> frozenset[str]:
    """The variables an expression may use there; empty means any."""
    context = CONTEXTS.get(object_type, {})
    return context.get(prop, context.get("*", frozenset()))


class IfBlock:
    """A compiled expression of the registry."""

    def __init__(self, expression: dict[str, Any], language: Language) -> None:
        self.matches = [(parse(m["if"], language), parse(m["then"], language)) for m in expression["match"].values()]
        self.otherwise = parse(expression["else"], language) if expression["else"] else None

    def evaluate(self, resolve: Resolver, call: Call) -> Value | None:
        """The value of the first branch whose condition holds; ``None`` for an empty block."""
        for condition, result in self.matches:
            captures: list[str] = []
            if to_bool(evaluate(condition, resolve, call, captures)):
                return evaluate(result, resolve, call, captures)
        return None if self.otherwise is None else evaluate(self.otherwise, resolve, call, [])


def evaluate(node: Node, resolve: Resolver, call: Call, captures: list[str]) -> Value:
    """Evaluate a parsed expression. ``resolve`` gives variables, ``call`` the functions that need the server."""

    def sub(child: Node) -> Value:
        return evaluate(child, resolve, call, captures)

    args = node.args
    if node.op == "value":
        return args[0]  # type: ignore[no-any-return]
    if node.op == "missing":
        raise ExpressionError("Missing operand")
    if node.op == "variable":
        return resolve(args[0])
    if node.op == "capture":
        return captures[args[0]] if args[0] < len(captures) else ""
    if node.op == "list":
        return [sub(item) for item in args]
    if node.op == "unary":
        return int(not to_bool(sub(args[1]))) if args[0] == "!" else _arithmetic("-", 0, sub(args[1]))
    if node.op == "index":
        items, index = sub(args[0]), sub(args[1])
        inside = isinstance(items, list) and isinstance(index, int) and 0 <= index < len(items)
        return items[index] if inside else ""  # type: ignore[index]
    if node.op == "matches":
        found = args[0].search(to_text(sub(args[1])))
        if found is None:
            return 0
        captures[:] = [found.group(0), *(group or "" for group in found.groups())]
        return 1
    if node.op == "call":
        name, children = args
        values = [sub(child) for child in children]
        return PLAIN_FUNCTIONS[name](values) if name in PLAIN_FUNCTIONS else call(name, values)
    return _binary(args[0], args[1], args[2], sub)


def _binary(sign: str, left: Node, right: Node, sub: Callable[[Node], Value]) -> Value:
    first = sub(left)
    if sign == "&&":
        return int(to_bool(first) and to_bool(sub(right)))
    if sign == "||":
        return int(to_bool(first) or to_bool(sub(right)))
    second = sub(right)
    if sign == "^":
        return int(to_bool(first) != to_bool(second))
    if sign in {"==", "!=", "<", "<=", ">", ">="}:
        return int(compare(sign, first, second))
    return _arithmetic(sign, first, second)


def _arithmetic(sign: str, first: Value, second: Value) -> Value:
    if sign == "+" and (isinstance(first, str) or isinstance(second, str)):
        return to_text(first) + to_text(second)
    numbers: list[int | float] = []
    for value in (first, second):
        if isinstance(value, (int, float)):
            numbers.append(value)
        else:
            try:
                numbers.append(int(to_text(value)))
            except ValueError:
                numbers.append(0)
    a, b = numbers
    results: dict[str, Callable[[], int | float]] = {
        "+": lambda: a + b,
        "-": lambda: a - b,
        "*": lambda: a * b,
        "/": lambda: a / b if b else 0.0,
    }
    return results[sign]()


def to_strings(value: Value | None) -> Sequence[str]:
    """A value as a list of names: a list of constants, one text, or nothing."""
    if value is None or value == 0:
        return []
    return [to_text(v) for v in value] if isinstance(value, list) else [to_text(value)]
