# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The DNS answers an SPF record's cost depends on, from this host's resolver. Needs dnspython.

Nothing fails here: what cannot be asked, or not in time, is left unknown, and :mod:`.spf_cost` says so.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Callable, Dict, List, Mapping, Optional, Sequence

import dns.exception
import dns.resolver
from ansible_collections.mailstead.stack.plugins.module_utils.dns import rdata
from ansible_collections.mailstead.stack.plugins.module_utils.dns.spf_cost import Answer, Question

#: Seconds for all questions of a run together, and for one of them.
DEADLINE, ASK_TIMEOUT = 10.0, 4.0
WORKERS = 8

_UNKNOWN: Answer = ("error", ())


class LiveAnswers:
    """A Fetch over a recursive resolver: questions of one call in parallel, every answer kept, one deadline for all calls.

    The clock starts with the first question. Safe for several threads. resolver: the system's when not given.
    """

    def __init__(
        self,
        deadline: float = DEADLINE,
        resolver: Optional[dns.resolver.Resolver] = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._deadline, self._clock = deadline, clock
        self._resolver = resolver
        self._end: Optional[float] = None
        self._known: Dict[Question, Answer] = {}
        self._lock = threading.Lock()

    def __call__(self, questions: Sequence[Question]) -> Mapping[Question, Answer]:
        with self._lock:
            if self._end is None:
                self._end = self._clock() + self._deadline
            resolver = self._resolver = self._resolver or _system_resolver()
            new = [q for q in dict.fromkeys(questions) if q not in self._known]
        if new and resolver is not None:
            found = self._ask_all(resolver, new)
            with self._lock:
                self._known.update({q: a for q, a in found.items() if a[0] != "error"})
        else:
            found = {}
        return {q: self._known.get(q, found.get(q, _UNKNOWN)) for q in questions}

    def _ask_all(self, resolver: dns.resolver.Resolver, questions: List[Question]) -> Dict[Question, Answer]:
        with ThreadPoolExecutor(max_workers=min(WORKERS, len(questions))) as pool:
            return dict(zip(questions, pool.map(lambda q: self._ask(resolver, q), questions)))

    def _ask(self, resolver: dns.resolver.Resolver, question: Question) -> Answer:
        assert self._end is not None
        left = self._end - self._clock()
        if left <= 0:
            return _UNKNOWN
        name, rtype = question
        try:
            found = resolver.resolve(
                name + ".", rtype, lifetime=min(left, ASK_TIMEOUT), raise_on_no_answer=False, search=False
            )
        except dns.resolver.NXDOMAIN:
            return "nxdomain", ()
        except (dns.exception.DNSException, OSError, UnicodeError):
            return _UNKNOWN
        values = tuple(_value(rtype, item) for item in found.rrset or ())
        return ("ok" if values else "nodata"), values


def _system_resolver() -> Optional[dns.resolver.Resolver]:
    try:
        return dns.resolver.Resolver()
    except (dns.exception.DNSException, OSError):
        return None


def _value(rtype: str, item: object) -> str:
    if rtype == "TXT":
        strings: Sequence[bytes] = getattr(item, "strings", ())
        return rdata.from_bytes(b"".join(strings))
    return str(item).lower()
