# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading what servers wrote into a message: Authentication-Results, Received, tag lists."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.checks import addresses

Headers = Sequence[Sequence[str]]


@dataclass(frozen=True)
class AuthResult:
    """One ``method=result`` of an Authentication-Results field (RFC 8601 §2.2) with its properties."""

    authserv: str
    method: str
    result: str
    properties: Mapping[str, str]


def values(headers: Headers, name: str) -> List[str]:
    """All values of a header, unfolded, top of the message first."""
    return [re.sub(r"\r?\n[ \t]+", " ", v).strip() for n, v in headers if n.lower() == name.lower()]


def without_comments(text: str) -> str:
    """The text without parenthesised comments (RFC 5322 §3.2.2), which nest; quoted strings stay whole."""
    out: List[str] = []
    depth, quoted, skip = 0, False, False
    for char in text:
        if skip:
            skip = False
            if not depth:
                out.append(char)
            continue
        if char == "\\":
            skip = True
        elif char == '"' and not depth:
            quoted = not quoted
        elif char == "(" and not quoted:
            depth += 1
            continue
        elif char == ")" and not quoted and depth:
            depth -= 1
            continue
        if not depth:
            out.append(char)
    return "".join(out)


def auth_results(headers: Headers, exclude: Sequence[str] = ()) -> List[AuthResult]:
    """Every result in every Authentication-Results field, except those of the given authserv-ids."""
    out: List[AuthResult] = []
    skipped = {e.lower() for e in exclude}
    for value in values(headers, "Authentication-Results"):
        parts = [p.strip() for p in without_comments(value).split(";")]
        authserv = (parts[0].split() or [""])[0].lower()
        if authserv in skipped:
            continue
        for part in parts[1:]:
            words = part.split()
            if not words or "=" not in words[0]:
                continue
            method, _eq, result = words[0].partition("=")
            pairs = [w.partition("=") for w in words[1:] if "=" in w]
            properties = {k.lower(): v.strip('"') for k, _e, v in pairs}
            out.append(AuthResult(authserv, method.lower().split("/")[0], result.lower(), properties))
    return out


@dataclass(frozen=True)
class Hop:
    """One Received field: who said it was (HELO), the address seen, the host that wrote the line."""

    helo: str
    address: str
    by: str
    text: str


def hops(headers: Headers) -> List[Hop]:
    """Received fields, newest first."""
    out = []
    for value in values(headers, "Received"):
        source = re.match(r"from\s+(\S+)(.*?)(?=\bby\s)", value, re.IGNORECASE | re.DOTALL)
        by = re.search(r"\bby\s+(\S+)", value, re.IGNORECASE)
        helo = source.group(1).lower().rstrip(".") if source else ""
        found = ""
        if source:
            literals = re.findall(r"\[([^\]]+)\]", source.group(0))
            parsed = [a for a in (addresses.parse(text) for text in literals) if a is not None]
            found = str(parsed[-1]) if parsed else ""
        out.append(Hop(helo, found, by.group(1).lower().rstrip(".;") if by else "", value))
    return out


def hop_by(headers: Headers, names: Sequence[str]) -> Optional[Hop]:
    """The newest hop written by one of the named hosts that names the address it saw."""
    wanted = {n.lower() for n in names}
    return next((h for h in hops(headers) if h.by in wanted and h.address), None)


def tags(text: str) -> Dict[str, str]:
    """A tag=value list (RFC 6376 §3.2); white space around and inside values is taken off. First one wins."""
    out: Dict[str, str] = {}
    for part in text.split(";"):
        name, eq, value = part.partition("=")
        if eq and name.strip() not in out:
            out[name.strip()] = re.sub(r"\s+", "", value) if name.strip() in ("p", "b", "bh") else value.strip()
    return out


def tag_order(text: str) -> Tuple[str, ...]:
    return tuple(p.partition("=")[0].strip() for p in text.split(";") if p.strip())
