# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A smarthost as it is to be tried, and what was found. Pure: nothing is asked here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, Iterable, List, Sequence, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import Problem

#: What goes away by itself, or is mended without us: mail leaves through the next smarthost meanwhile.
PASSING: Tuple[str, ...] = ("MS-SMH-002", "MS-SMH-012")
#: What is told and hinders nothing.
WARNINGS: Tuple[str, ...] = ("MS-SMH-009", "MS-SMH-014")
#: What a run may fail for, the mildest first: each includes those before it.
LEVELS: Tuple[str, ...] = ("never", "lasting", "problems", "warnings")
#: The local part that is tried for a pattern: every domain has it (RFC 5321 §4.5.1), and nothing is sent in its name.
ANYBODY = "postmaster"


@dataclass(frozen=True)
class Smarthost:
    """A server that is to take mail. tls: implicit, starttls, or none (our own tunnel). username: empty without a log-in.

    senders: addresses that have to be allowed as envelope senders, or patterns such as ``*@ci.example.com``. max_size: bytes
    that it has to take. title: how the provider is called; hint: what its password is, in its profile's words; place: where
    a user wrote it down.
    """

    id: str
    host: str
    port: int
    tls: str = "implicit"
    username: str = ""
    password: str = field(default="", repr=False)
    senders: Tuple[str, ...] = ()
    max_size: int = 0
    title: str = ""
    hint: str = ""
    place: str = ""

    @property
    def where(self) -> str:
        return self.place or f"smarthost {self.id}"

    @property
    def target(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def called(self) -> str:
        return self.title or self.host


@dataclass(frozen=True)
class Sender:
    """What the smarthost said to an envelope sender. code: of the reply."""

    address: str
    code: int
    text: str

    @property
    def allowed(self) -> bool:
        return 200 <= self.code < 300


@dataclass
class Found:
    """What came out. address: that was connected to; tls: version; mechanism: that the log-in used; size: the largest message
    that is announced, 0 for none; transcript: what was said and answered, without secrets."""

    smarthost: Smarthost
    address: str = ""
    tls: str = ""
    mechanism: str = ""
    authenticated: bool = False
    size: int = 0
    senders: List[Sender] = field(default_factory=list)
    problems: List[Problem] = field(default_factory=list)
    transcript: List[Tuple[str, str]] = field(default_factory=list)

    @property
    def usable(self) -> bool:
        """Whether mail can leave this way now."""
        return not self.problems

    def data(self) -> Dict[str, Any]:
        """As the module returns it."""
        return {
            "id": self.smarthost.id,
            "host": self.smarthost.host,
            "port": self.smarthost.port,
            "address": self.address,
            "tls": self.tls,
            "mechanism": self.mechanism,
            "authenticated": self.authenticated,
            "size": self.size,
            "senders": [{"address": s.address, "allowed": s.allowed, "answer": s.text} for s in self.senders],
            "usable": self.usable,
            "codes": [p.code for p in self.problems],
            "transcript": [list(said) for said in self.transcript],
        }


def tried(senders: Iterable[str]) -> Tuple[str, ...]:
    """The addresses that stand for senders and patterns, each once, in order."""
    concrete = (f"{ANYBODY}@{s.rsplit('@', 1)[1]}" if s.startswith("*@") else s for s in senders)
    return tuple(dict.fromkeys(concrete))


def check(wanted: Sequence[Smarthost]) -> List[Problem]:
    """What is wrong with the wishes before anybody is asked."""
    problems: List[Problem] = []
    ids = [w.id for w in wanted]
    for twice in sorted({i for i in ids if ids.count(i) > 1}):
        problems.append(
            Problem("MS-SMH-013", f"smarthost {twice}", "it is listed twice", "Give each an id of its own.")
        )
    for want in wanted:
        if bool(want.username) != bool(want.password):
            there, missing = ("user name", "password") if want.username else ("password", "user name")
            what = f"there is a {there} for {want.target} and no {missing}"
            problems.append(Problem("MS-SMH-013", want.where, what, "Give both, or neither."))
        if want.username and want.tls == "none":
            what = f"the log-in at {want.target} would go over the network in the clear"
            problems.append(Problem("MS-SMH-013", want.where, what, "Use tls: implicit or starttls."))
        for sender in want.senders:
            if any(c in sender for c in "\r\n<> ") or sender.count("@") < 1 or not all(sender.rsplit("@", 1)):
                problems.append(Problem("MS-SMH-013", want.where, f"{sender!r} is no address", "Correct it."))
    return problems


def failing(problems: Iterable[Problem], level: str) -> List[Problem]:
    """Those that a run fails for."""
    spared = {"never": None, "lasting": PASSING + WARNINGS, "problems": WARNINGS, "warnings": ()}[level]
    return [] if spared is None else [p for p in problems if p.code not in spared]
