# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the parent of a zone publishes about its DNSSEC: the DS records, asked from the parent's own servers.

The only part of the DNSSEC module that needs dnspython. Caches are asked as well: a DS that was removed a moment ago still
counts wherever it is remembered.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Callable, List, Optional, Sequence, Set, Tuple, Union

import dns.exception
import dns.name
import dns.resolver
from ansible_collections.mailstead.stack.plugins.module_utils.cloudflare.dnssec import ParentUnknownError
from ansible_collections.mailstead.stack.plugins.module_utils.dns.gate import (
    Ask,
    Resolve,
    Seen,
    SilentError,
    ask_server,
    system_addresses,
)

DEADLINE = 10.0  #: seconds for one zone
#: Addresses of the parent's servers that are asked; a top-level domain can have two dozen.
ADDRESSES = 8

#: The parent zone of a name, the names of its servers, and the DS that the resolver knows. Raises ParentUnknownError.
Delegation = Callable[[str, float], Tuple[str, Sequence[str], Sequence[str]]]


def parent_ds(
    zone: str,
    deadline: float = DEADLINE,
    delegation: Optional[Delegation] = None,
    ask: Optional[Ask] = None,
    resolve: Optional[Resolve] = None,
) -> Tuple[str, ...]:
    """The DS records of a zone, sorted; empty when its parent publishes none.

    deadline: seconds. Raises ParentUnknownError when nobody who is responsible answers.
    """
    end = time.monotonic() + deadline
    parent, servers, cached = (delegation or system_delegation)(zone, deadline)
    found: Set[str] = set(cached)
    addresses, silent = _addresses(servers, resolve or system_addresses)
    if addresses:
        with ThreadPoolExecutor(max_workers=len(addresses)) as pool:
            answers = list(pool.map(lambda address: _ask(address, zone, end, ask or ask_server), addresses))
        heard = [answer for answer in answers if isinstance(answer, Seen) and not answer.error]
        silent += [
            str(answer) if isinstance(answer, SilentError) else answer.error
            for answer in answers
            if answer not in heard
        ]
        for answer in heard:
            found |= answer.values
        if heard:
            return tuple(sorted(found))
    if found:
        return tuple(sorted(found))
    why = "; ".join(dict.fromkeys(silent)) or "it has no name servers"
    raise ParentUnknownError(f"no server of {parent} answers ({why})")


def _addresses(servers: Sequence[str], resolve: Resolve) -> Tuple[List[str], List[str]]:
    """Some addresses of every server in turn, so that one dead server does not take all places."""
    known: List[List[str]] = []
    failures: List[str] = []
    for name in servers:
        try:
            known.append(list(resolve(name)))
        except OSError as error:
            failures.append(f"{name}: {error.strerror or error}")
    longest = max((len(found) for found in known), default=0)
    mixed = [found[i] for i in range(longest) for found in known if i < len(found)]
    return mixed[:ADDRESSES], failures


def _ask(address: str, zone: str, end: float, ask: Ask) -> Union[Seen, SilentError]:
    if time.monotonic() >= end:
        return SilentError("no time left", final=False)
    try:
        return ask(address, (zone, "DS"))
    except SilentError as error:
        return error


def system_delegation(zone: str, deadline: float) -> Tuple[str, Sequence[str], Sequence[str]]:
    """As this system's resolver sees it. Raises ParentUnknownError."""
    name = dns.name.from_text(zone)
    try:
        resolver = dns.resolver.Resolver()
        # Three questions, and time has to be left for the parent's servers.
        resolver.lifetime = deadline / 4
        parent = dns.resolver.zone_for_name(name.parent(), resolver=resolver)
        answer = resolver.resolve(parent, "NS")
    except (dns.exception.DNSException, OSError) as error:
        raise ParentUnknownError(f"the resolver does not know the parent zone of {zone} ({_words(error)})") from error
    servers = sorted(item.target.to_text(omit_final_dot=True).lower() for item in answer)
    return parent.to_text(omit_final_dot=True) or ".", servers, _cached(resolver, name)


def _cached(resolver: dns.resolver.Resolver, name: dns.name.Name) -> Sequence[str]:
    try:
        answer = resolver.resolve(name, "DS")
    except (dns.exception.DNSException, OSError):
        return ()
    return [f"{item.key_tag} {int(item.algorithm)} {int(item.digest_type)} {item.digest.hex()}" for item in answer]


def _words(error: Union[dns.exception.DNSException, OSError]) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
