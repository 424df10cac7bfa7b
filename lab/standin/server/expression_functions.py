# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Values and functions of the expression language: what they are called, how many arguments they take, what they do."""

from __future__ import annotations

import ipaddress
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Union

from dns.reversename import from_address


class ExpressionError(ValueError):
    """An expression that cannot be parsed or evaluated; the text is the server's."""


@dataclass(frozen=True)
class Constant:
    """A word of the language such as ``relaxed`` or ``plain``: unlike any text, even the same one."""

    name: str


Value = Union[str, int, float, Constant, list["Value"]]

# Name → number of arguments, as the server's arity table has it (0.16: is_local_domain takes one).
FUNCTIONS: dict[str, int] = {
    **dict.fromkeys(
        (
            "count", "dedup", "winnow", "is_email", "is_empty", "is_number", "is_ip_addr", "is_ipv4_addr",
            "is_ipv6_addr", "ip_reverse_name", "trim", "trim_end", "trim_start", "len", "to_lowercase", "to_uppercase",
            "is_uppercase", "is_lowercase", "has_digits", "count_spaces", "count_uppercase", "count_lowercase",
            "count_chars", "lines", "split_words", "is_local_domain", "is_local_address",
        ),
        1,
    ),
    **dict.fromkeys(
        (
            "sort", "is_intersect", "email_part", "is_ip_in_cidr", "contains", "contains_ignore_case",
            "eq_ignore_case", "starts_with", "ends_with", "strip_prefix", "strip_suffix", "split", "rsplit",
            "split_once", "rsplit_once", "hash", "key_get", "key_exists", "counter_get", "dns_query",
        ),
        2,
    ),
    **dict.fromkeys(("substring", "split_n", "if_then", "key_set", "counter_incr", "sql_query"), 3),
}  # fmt: skip


def to_bool(value: Value) -> bool:
    """Truth of a value: zero, the empty text and the empty list are false."""
    return True if isinstance(value, Constant) else bool(value)


def to_text(value: Value) -> str:
    """A value as text; a list becomes lines."""
    if isinstance(value, Constant):
        return value.name
    if isinstance(value, list):
        return "\r\n".join(to_text(item) for item in value)
    return str(value)


def _items(value: Value) -> list[Value]:
    if isinstance(value, list):
        return value
    return [value] if value != "" else []


def _number(text: str) -> int | float:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return 0


_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def compare(sign: str, first: Value, second: Value) -> bool:
    """Compare two values; a text compared with a number is read as a number, other kinds are never equal."""
    if isinstance(first, str) and isinstance(second, (int, float)):
        first = _number(first)
    elif isinstance(second, str) and isinstance(first, (int, float)):
        second = _number(second)
    numeric = isinstance(first, (int, float)) and isinstance(second, (int, float))
    if numeric or type(first) is type(second):
        if isinstance(first, Constant) and isinstance(second, Constant):
            first, second = first.name, second.name
        return _COMPARE[sign](first, second)
    return sign == "!="


def _ip(value: Value) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(to_text(value))
    except ValueError:
        return None


def _in_cidr(address: Value, network: Value) -> int:
    ip = _ip(address)
    try:
        return int(ip is not None and ip in ipaddress.ip_network(to_text(network), strict=False))
    except ValueError:
        return 0


def _email_part(address: Value, part: Value) -> Value:
    local, at, domain = to_text(address).rpartition("@")
    return {"local": local.strip(), "domain": domain.strip()}.get(to_text(part), "") if at else ""


def _is_email(value: Value) -> int:
    local, at, domain = to_text(value).rpartition("@")
    return int(bool(at and local and "." in domain and not domain.startswith(".") and " " not in to_text(value)))


def _contains(haystack: Value, needle: Value) -> int:
    return int(needle in haystack if isinstance(haystack, list) else to_text(needle) in to_text(haystack))


def _contains_ignore_case(haystack: Value, needle: Value) -> int:
    wanted = to_text(needle).lower()
    if isinstance(haystack, list):
        return int(any(to_text(item).lower() == wanted for item in haystack))
    return int(wanted in to_text(haystack).lower())


def _once(parts: tuple[str, str, str]) -> Value:
    return [parts[0], parts[2]] if parts[1] else ""


def _count_if(text: Value, test: Callable[[str], bool]) -> int:
    return sum(test(char) for char in to_text(text))


def _dedup(value: Value) -> Value:
    result: list[Value] = []
    for item in _items(value):
        if item not in result:
            result.append(item)
    return result


def _reverse_name(value: Value) -> Value:
    if _ip(value) is None:
        return ""
    name = from_address(to_text(value)).to_text(omit_final_dot=True)
    return name.removesuffix(".in-addr.arpa").removesuffix(".ip6.arpa")


def _cased(text: Value, upper: bool) -> int:
    letters = [char for char in to_text(text) if char.isalpha()]
    return int(all(char.isupper() if upper else char.islower() for char in letters))


PLAIN_FUNCTIONS: dict[str, Callable[[list[Value]], Value]] = {
    "count": lambda v: len(_items(v[0])),
    "sort": lambda v: sorted(_items(v[0]), key=to_text, reverse=not to_bool(v[1])),
    "dedup": lambda v: _dedup(v[0]),
    "winnow": lambda v: [item for item in v[0] if item != ""] if isinstance(v[0], list) else v[0],
    "is_intersect": lambda v: int(any(item in _items(v[1]) for item in _items(v[0]))),
    "is_email": lambda v: _is_email(v[0]),
    "email_part": lambda v: _email_part(v[0], v[1]),
    "is_empty": lambda v: int(v[0] == "" or v[0] == []),
    "is_number": lambda v: int(isinstance(v[0], (int, float))),
    "is_ip_addr": lambda v: int(_ip(v[0]) is not None),
    "is_ipv4_addr": lambda v: int(isinstance(_ip(v[0]), ipaddress.IPv4Address)),
    "is_ipv6_addr": lambda v: int(isinstance(_ip(v[0]), ipaddress.IPv6Address)),
    "is_ip_in_cidr": lambda v: _in_cidr(v[0], v[1]),
    "ip_reverse_name": lambda v: _reverse_name(v[0]),
    "trim": lambda v: to_text(v[0]).strip(),
    "trim_end": lambda v: to_text(v[0]).rstrip(),
    "trim_start": lambda v: to_text(v[0]).lstrip(),
    "len": lambda v: len(v[0]) if isinstance(v[0], list) else len(to_text(v[0])),
    "to_lowercase": lambda v: to_text(v[0]).lower(),
    "to_uppercase": lambda v: to_text(v[0]).upper(),
    "is_uppercase": lambda v: _cased(v[0], True),
    "is_lowercase": lambda v: _cased(v[0], False),
    "has_digits": lambda v: int(_count_if(v[0], str.isdigit) > 0),
    "count_spaces": lambda v: _count_if(v[0], str.isspace),
    "count_uppercase": lambda v: _count_if(v[0], str.isupper),
    "count_lowercase": lambda v: _count_if(v[0], str.islower),
    "count_chars": lambda v: len(to_text(v[0])),
    "contains": lambda v: _contains(v[0], v[1]),
    "contains_ignore_case": lambda v: _contains_ignore_case(v[0], v[1]),
    "eq_ignore_case": lambda v: int(to_text(v[0]).lower() == to_text(v[1]).lower()),
    "starts_with": lambda v: int(to_text(v[0]).startswith(to_text(v[1]))),
    "ends_with": lambda v: int(to_text(v[0]).endswith(to_text(v[1]))),
    "lines": lambda v: list(to_text(v[0]).splitlines()),
    "substring": lambda v: to_text(v[0])[int(_number(to_text(v[1]))) :][: int(_number(to_text(v[2])))],
    "strip_prefix": lambda v: to_text(v[0])[len(to_text(v[1])) :] if to_text(v[0]).startswith(to_text(v[1])) else "",
    "strip_suffix": lambda v: (
        to_text(v[0]).removesuffix(to_text(v[1])) if to_text(v[0]).endswith(to_text(v[1])) else ""
    ),
    "split": lambda v: list(to_text(v[0]).split(to_text(v[1]))),
    "rsplit": lambda v: list(reversed(to_text(v[0]).split(to_text(v[1])))),
    "split_once": lambda v: _once(to_text(v[0]).partition(to_text(v[1]))),
    "rsplit_once": lambda v: _once(to_text(v[0]).rpartition(to_text(v[1]))),
    "split_n": lambda v: list(to_text(v[0]).split(to_text(v[1]), max(int(_number(to_text(v[2]))) - 1, 0))),
    "split_words": lambda v: list(to_text(v[0]).split()),
    "if_then": lambda v: v[1] if to_bool(v[0]) else v[2],
}
