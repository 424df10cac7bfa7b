# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reverse records: what is wanted, and the interface of those who can set them.

A provider reads the present names of some addresses and sets the wanted ones; it knows nothing of Ansible.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Dict, List, Protocol, Sequence, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError, Problem
from ansible_collections.mailstead.stack.plugins.module_utils.dns import rdata

TTL = 3600


@dataclass(frozen=True)
class PtrWanted:
    """One reverse record. address: canonical; name: canonical host name; host: inventory name, for messages."""

    address: str
    name: str
    host: str

    @property
    def reverse(self) -> str:
        """The owner name in in-addr.arpa or ip6.arpa."""
        return reverse_name(self.address)


@dataclass(frozen=True)
class PtrResult:
    """What became of it. status: ok (was right), changed, pending or manual.

    pending: the provider has accepted this very name earlier and is not done with it. before: the names found;
    instructions: what a person has to do; note: what else is worth knowing.
    """

    wanted: PtrWanted
    provider: str
    status: str
    before: Tuple[str, ...] = ()
    zone: str = ""
    instructions: str = ""
    note: str = ""


class PtrProvider(Protocol):
    """Sets reverse records. Raises MailsteadError.

    written: those whose change was accepted, also when apply raises for others.
    """

    written: List[PtrResult]

    def plan(self, wanted: Sequence[PtrWanted]) -> List[PtrResult]:
        """Read what is there; status changed stands for what apply would change."""

    def apply(self, planned: Sequence[PtrResult]) -> None:
        """Set those with status changed and wait until the provider is done with them and with the pending ones."""


def reverse_name(address: str) -> str:
    """The owner name of an address' reverse record (RFC 1035 §3.5, RFC 3596 §2.5)."""
    return ipaddress.ip_address(address).reverse_pointer


def read_wanted(address: str, name: str, host: str) -> PtrWanted:
    """A wanted record in canonical form. Raises MailsteadError."""
    where = f"reverse record {address or '(no address)'}"
    problems: List[Problem] = []
    parsed = ""
    try:
        # A scope (%eth0) means something on one host only.
        ip = ipaddress.ip_address(address.strip().replace("%", "%%"))
        parsed = str(ip)
        mapped = isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None
        if mapped or ip.is_loopback or ip.is_link_local or ip.is_multicast or ip.is_unspecified:
            fix = "Use the address the host sends mail from."
            problems.append(Problem("MS-PTR-001", where, f"{parsed} is no address that others could look up", fix))
    except ValueError:
        fix = "Write one IPv4 or IPv6 address, without a prefix length."
        problems.append(Problem("MS-PTR-001", where, f"{address!r} is not an IP address", fix))
    try:
        target = rdata.host(name)
        if "." not in target or target == ".":
            raise rdata.RdataError(f"{name!r} is not a fully qualified name")
    except rdata.RdataError as error:
        fix = "Give the host's mail name, such as mail.example.com."
        raise MailsteadError([*problems, Problem("MS-PTR-001", where, str(error), fix)]) from error
    if problems:
        raise MailsteadError(problems)
    return PtrWanted(parsed, target, host)


def zone_file(results: Sequence[PtrResult], after: bool) -> str:
    """The records that a run changes, as lines of a zone file; after: as they will be."""
    lines: List[str] = []
    for result in results:
        if result.status == "changed":
            names = (result.wanted.name,) if after else result.before
            lines += [f"{result.wanted.reverse}. IN PTR {n}. ; {result.wanted.address}" for n in names]
    return "".join(text + "\n" for text in sorted(lines))


def one_name_each(wanted: Sequence[PtrWanted]) -> None:
    """Raises MailsteadError when an address is to have two names: receivers follow one, and it may be the wrong one."""
    seen: Dict[str, str] = {}
    problems: List[Problem] = []
    for record in wanted:
        other = seen.setdefault(record.address, record.name)
        if other != record.name:
            what = f"it is to be named {other} and {record.name}"
            fix = "Give each address one name: the one its mail server says in HELO."
            problems.append(Problem("MS-PTR-001", f"reverse record {record.address}", what, fix))
    if problems:
        raise MailsteadError(problems)
