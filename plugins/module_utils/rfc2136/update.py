# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The UPDATE message that takes a zone from one content to another, all or nothing (RFC 2136 §3). No I/O.

Every set that changes is required to be as it was read (§2.4.2, §2.4.3), so that a change by somebody else in the
meantime is refused by the server instead of overwritten. A server ignores a CNAME added beside other data, and other data
beside a CNAME, without a word (§3.4.2.2): what would make it do so is required to be absent as well, and all deletions
come before all additions. A name that gets a CNAME is deleted as a whole, because Knot counts the RRSIG and NSEC of the
old data as data.
"""

from __future__ import annotations

from typing import List, Optional, Sequence, Set

import dns.exception
import dns.name
import dns.rdataset
import dns.update
from ansible_collections.mailstead.stack.plugins.module_utils.dns.records import Change
from ansible_collections.mailstead.stack.plugins.module_utils.rfc2136.sets import Contents, Owner, RRset, apply

#: Bytes of a message: 65,535 over TCP (RFC 1035 §4.2.2) without what TSIG takes.
MESSAGE_MAX = 65000
#: Bytes of a set in canonical form: what a signature covers is built in a buffer of that size (Knot; RFC 4034 §3.1.8.1).
SET_MAX = 65000
#: Types that may appear at a name between reading and writing; required absent where a CNAME goes.
_DATA = ("A", "AAAA", "CAA", "CNAME", "HTTPS", "MX", "NS", "PTR", "SRV", "TLSA", "TXT")


def changed_sets(before: Contents, after: Contents) -> List[Owner]:
    """The sets that differ, sorted."""
    return sorted(o for o in {*before.sets, *after.sets} if before.sets.get(o) != after.sets.get(o))


def build(before: Contents, after: Contents) -> dns.update.UpdateMessage:
    """The message, not yet signed."""
    message = dns.update.UpdateMessage(dns.name.from_text(before.zone))
    changed = changed_sets(before, after)
    for owner in changed:
        _require(message, owner, before.sets.get(owner))
    aliased = {name for name, rtype in changed if rtype == "CNAME" and (name, rtype) in after.sets}
    for owner in _absent(before, after, changed, aliased):
        message.absent(_name(owner), owner[1])
    for name in sorted(aliased):
        message.delete(dns.name.from_text(name))
    for owner in changed:
        if owner[0] not in aliased:
            _delete(message, owner, before.sets.get(owner), after.sets.get(owner))
    for owner in changed:
        _add(message, owner, None if owner[0] in aliased else before.sets.get(owner), after.sets.get(owner))
    return message


def _delete(message: dns.update.UpdateMessage, owner: Owner, old: Optional[RRset], new: Optional[RRset]) -> None:
    """Single records where the set goes on with its time to live, else all of it."""
    if old is None:
        return
    if new is None or new.ttl != old.ttl:
        message.delete(_name(owner), owner[1])
        return
    for item in sorted(old.items - new.items):
        message.delete(_name(owner), item)


def _add(message: dns.update.UpdateMessage, owner: Owner, old: Optional[RRset], new: Optional[RRset]) -> None:
    if new is None:
        return
    items = new.items - old.items if old is not None and old.ttl == new.ttl else new.items
    if items:
        message.add(_name(owner), dns.rdataset.from_rdata_list(new.ttl, sorted(items)))


def _name(owner: Owner) -> dns.name.Name:
    return dns.name.from_text(owner[0])


def _require(message: dns.update.UpdateMessage, owner: Owner, rrset: Optional[RRset]) -> None:
    if rrset is None:
        message.absent(_name(owner), owner[1])
    else:
        # A time to live other than 0 is a format error here (§2.4.2).
        message.present(_name(owner), dns.rdataset.from_rdata_list(0, sorted(rrset.items)))


def _absent(before: Contents, after: Contents, changed: Sequence[Owner], aliased: Set[str]) -> List[Owner]:
    """Sets that nobody changes and that must not have come into being."""
    found = {(name, rtype) for name in aliased for rtype in _DATA}
    found |= {(name, "CNAME") for name, rtype in changed if (name, rtype) in after.sets}
    return sorted(o for o in found if o not in before.sets and o not in changed)


def oversized(before: Contents, after: Contents) -> List[Owner]:
    """Changed sets that are too large to be signed, or to be sent."""
    out: List[Owner] = []
    for owner in changed_sets(before, after):
        rrset = after.sets.get(owner)
        head = len(_name(owner).to_wire() or b"") + 10
        if rrset is not None and sum(head + len(item.to_wire() or b"") for item in rrset.items) > SET_MAX:
            out.append(owner)
    return out


def fits(message: dns.update.UpdateMessage) -> bool:
    try:
        message.to_wire(max_size=MESSAGE_MAX)
    except dns.exception.TooBig:
        return False
    return True


def all_fit(contents: Contents, batches: Sequence[Sequence[Change]]) -> bool:
    """Whether each of some batches fits one message, when they are written one after the other."""
    present = contents
    for batch in batches:
        after = apply(present, batch)
        if not fits(build(present, after)):
            return False
        present = after
    return True
