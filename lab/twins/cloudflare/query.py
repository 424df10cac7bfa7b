# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists: filters, order, pages. The filter grammars are those of the reference, §1.2 and §1.3."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from . import errors
from .records import Record

T = TypeVar("T")
Predicate = Callable[[Record], bool]


def number(query: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    """A paging parameter. Raises ApiError outside its range: the API does not clamp (its code is unverified)."""
    text = query.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or not low <= int(text) <= high:
        raise errors.invalid_query(f"{name} must be a number from {low} to {high}.")
    return int(text)


def paginate(
    items: Sequence[T], query: Mapping[str, str], default: int, low: int, high: int
) -> tuple[list[T], dict[str, int]]:
    """Cut a page. Gives its items and the ``result_info``; a page past the end is empty."""
    page = number(query, "page", 1, 1, 10**9)
    per_page = number(query, "per_page", default, low, high)
    chosen = list(items[(page - 1) * per_page : page * per_page])
    info = {
        "page": page,
        "per_page": per_page,
        "count": len(chosen),
        "total_count": len(items),
        "total_pages": -(-len(items) // per_page),
    }
    return chosen, info


# -- zones -----------------------------------------------------------------------------------------------------------

_OPERATORS: dict[str, Callable[[str, str], bool]] = {
    "equal": lambda value, text: value == text,
    "not_equal": lambda value, text: value != text,
    "starts_with": lambda value, text: value.startswith(text),
    "ends_with": lambda value, text: value.endswith(text),
    "contains": lambda value, text: text in value,
    "starts_with_case_sensitive": lambda value, text: value.startswith(text),
    "ends_with_case_sensitive": lambda value, text: value.endswith(text),
    "contains_case_sensitive": lambda value, text: text in value,
}

ZONE_PARAMETERS = frozenset(
    ["name", "account.id", "account.name", "status", "type", "page", "per_page", "order", "direction", "match"]
)


def name_matches(expression: str, name: str) -> bool:
    """``example.com`` or ``operator:text`` against a zone's name. Raises ApiError for an operator that is none."""
    operator, colon, text = expression.partition(":")
    if not colon:
        operator, text = "equal", expression
    if operator not in _OPERATORS:
        raise errors.invalid_query(f"name has no operator {operator}.")
    return _OPERATORS[operator](name, text if operator.endswith("_case_sensitive") else text.lower())


def combine(results: Iterable[bool], query: Mapping[str, str]) -> bool:
    """``match=all`` (default) or ``any``; no filter matches everything."""
    mode = query.get("match", "all")
    if mode not in ("all", "any"):
        raise errors.invalid_query("match must be all or any.")
    results = list(results)
    return not results or (any(results) if mode == "any" else all(results))


def check_parameters(query: Mapping[str, str], known: Iterable[str], strict: bool) -> None:
    """Refuse a misspelt parameter: the real API ignores it and would return everything."""
    unknown = sorted(set(query) - set(known))
    if unknown and strict:
        raise errors.invalid_query(f"Unknown parameter {unknown[0]}.")


def direction(query: Mapping[str, str]) -> bool:
    """True for descending."""
    given = query.get("direction", "asc")
    if given not in ("asc", "desc"):
        raise errors.invalid_query("direction must be asc or desc.")
    return given == "desc"


# -- records ---------------------------------------------------------------------------------------------------------

_TEXT: dict[str, Callable[[str, str], bool]] = {
    "exact": lambda value, text: value.lower() == text.lower(),
    "contains": lambda value, text: text.lower() in value.lower(),
    "startswith": lambda value, text: value.lower().startswith(text.lower()),
    "endswith": lambda value, text: value.lower().endswith(text.lower()),
}

_ORDERS: dict[str, Callable[[Record], Any]] = {
    "type": lambda r: r.type,
    "name": lambda r: r.name,
    "content": lambda r: r.value.content,
    "ttl": lambda r: r.ttl,
    "proxied": lambda r: r.proxied,
}

_PLAIN = ("page", "per_page", "type", "proxied", "match", "order", "direction", "search", "tag_match")
_SHADOW = ("include_shadow_metadata", "shadowing_name", "shadowed_by_name")

RECORD_PARAMETERS = frozenset(
    [
        *_PLAIN,
        *_SHADOW,
        "name",  # the plain forms are what older clients send
        "content",
        *(f"{field}.{operator}" for field in ("name", "content", "comment", "tag") for operator in _TEXT),
        *(f"{field}.{operator}" for field in ("comment", "tag") for operator in ("present", "absent")),
    ]
)


def select(records: Iterable[Record], query: Mapping[str, str]) -> list[Record]:
    """Filter and order. Raises ApiError for a bad value."""
    predicates = list(_predicates(query))
    chosen = [r for r in records if combine((p(r) for p in predicates), query)]
    if "search" in query:
        text = query["search"].lower()
        chosen = [
            r for r in chosen if any(text in v.lower() for v in (r.name, r.value.content, r.comment or "", *r.tags))
        ]
    order = query.get("order")
    if order is not None:
        if order not in _ORDERS:
            raise errors.invalid_query(f"order must be one of {', '.join(_ORDERS)}.")
        chosen.sort(key=_ORDERS[order], reverse=direction(query))
    elif direction(query):
        chosen.reverse()
    return chosen


def _predicates(query: Mapping[str, str]) -> Iterable[Predicate]:
    tags: list[Predicate] = []
    for key, text in query.items():
        field, _, operator = key.partition(".")
        if key == "type":
            yield _type(text)
        elif key == "proxied":
            yield _proxied(text)
        elif field in ("name", "content"):
            yield _text_field(field, operator or "exact", text)
        elif field == "comment":
            yield _comment(operator, text)
        elif field == "tag":
            tags.append(_tag(operator, text))
    if tags:
        any_tag = query.get("tag_match", "all") == "any"
        yield lambda r: any(t(r) for t in tags) if any_tag else all(t(r) for t in tags)


def _type(text: str) -> Predicate:
    return lambda r: r.type == text.upper()


def _proxied(text: str) -> Predicate:
    if text not in ("true", "false"):
        raise errors.invalid_query("proxied must be true or false.")
    return lambda r: r.proxied is (text == "true")


def _text_field(field: str, operator: str, text: str) -> Predicate:
    compare = _TEXT[operator]
    if field == "name":
        return lambda r: compare(r.name, text.rstrip("."))
    return lambda r: compare(r.value.content, text)


def _comment(operator: str, text: str) -> Predicate:
    if operator == "present":
        return lambda r: r.comment is not None
    if operator == "absent":
        return lambda r: r.comment is None
    compare = _TEXT[operator]
    return lambda r: r.comment is not None and compare(r.comment, text)


def _tag(operator: str, text: str) -> Predicate:
    """``tag.present=name`` and ``tag.absent=name``; the others take ``name:value``."""
    wanted_name, _, wanted_value = text.partition(":")

    def values(record: Record) -> list[str]:
        pairs = (tag.partition(":") for tag in record.tags)
        return [value for name, _, value in pairs if name.lower() == wanted_name.lower()]

    if operator == "present":
        return lambda r: bool(values(r))
    if operator == "absent":
        return lambda r: not values(r)
    compare = _TEXT[operator]
    return lambda r: any(compare(value, wanted_value) for value in values(r))
