# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A zone as the DNS has it, record sets with one time to live each, and the way to and from single records. No I/O.

Needs dnspython. What the server itself makes (SOA, the NS of the top, everything DNSSEC) is left out, and the entries of
:mod:`.registry` become the comments of the records they speak for.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cached_property
from typing import Dict, FrozenSet, Iterable, List, Mapping, Optional, Sequence, Tuple

import dns.exception
import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype
from ansible_collections.mailstead.stack.plugins.module_utils.dns import rdata
from ansible_collections.mailstead.stack.plugins.module_utils.dns.records import Change, Have, Mark
from ansible_collections.mailstead.stack.plugins.module_utils.rfc2136.axfr import RR
from ansible_collections.mailstead.stack.plugins.module_utils.rfc2136.registry import (
    Entry,
    digest,
    entry_of,
    owners,
    registry_name,
    shared_ttl,
    texts,
)

#: Made by the server: SOA, and what signing adds (RFC 4034, 5155, 7344, 8976; 65534 is BIND's note about signing).
SERVER_TYPES = frozenset(
    ("SOA", "RRSIG", "NSEC", "NSEC3", "NSEC3PARAM", "DNSKEY", "CDS", "CDNSKEY", "ZONEMD", "TYPE65534")
)
#: Seconds; nobody but us asks for it.
REGISTRY_TTL = 300

#: (absolute name, type) of a set.
Owner = Tuple[str, str]


class GoneError(Exception):
    """A record that was to be changed is not there."""


@dataclass(frozen=True)
class RRset:
    """ttl in seconds; items: the records' data."""

    ttl: int
    items: FrozenSet[dns.rdata.Rdata]


@dataclass(frozen=True)
class Located:
    """A record as the engine sees it, with its data as the DNS has it."""

    have: Have
    item: dns.rdata.Rdata

    @property
    def owner(self) -> Owner:
        return (self.have.name, self.have.type)


@dataclass(frozen=True)
class Contents:
    """What a zone holds. name_servers: of its top, sorted."""

    zone: str
    sets: Mapping[Owner, RRset]
    name_servers: Tuple[str, ...] = ()

    @cached_property
    def entries(self) -> Dict[dns.rdata.Rdata, Entry]:
        """The registry's entries by the record that holds them."""
        found = self.sets.get((registry_name(self.zone), "TXT"))
        pairs = ((i, Entry.read(texts(getattr(i, "strings", ())), self.zone)) for i in (found.items if found else ()))
        return {item: entry for item, entry in pairs if entry is not None}

    @cached_property
    def records(self) -> Dict[str, Located]:
        """The records without the registry's own, by id, with the marks of their owners."""
        bare = [
            Located(_have(owner, item, rrset.ttl), item)
            for owner, rrset in sorted(self.sets.items(), key=lambda pair: pair[0])
            for item in sorted(rrset.items)
            if item not in self.entries or owner[0] != registry_name(self.zone)
        ]
        digests = {r.have.id: digest(r.item.to_digestable()) for r in bare}
        claims = owners(self.entries.values(), [r.have for r in bare], digests)
        found = {r.have.id: r for r in bare}
        for record_id, entry in claims.items():
            have = found[record_id].have
            found[record_id] = Located(dataclasses.replace(have, comment=entry.comment), found[record_id].item)
        return _with_wanted_ttl(found, claims)


def _with_wanted_ttl(records: Dict[str, Located], claims: Mapping[str, Entry]) -> Dict[str, Located]:
    """Our records show the time to live they were given, as long as the set's follows from it: see :func:`shared_ttl`."""
    by_owner: Dict[Owner, List[str]] = {}
    for record_id, record in records.items():
        by_owner.setdefault(record.owner, []).append(record_id)
    out = dict(records)
    for ids in by_owner.values():
        present = records[ids[0]].have.ttl
        wanted = [claims[i].ttl for i in ids if i in claims]
        if wanted and shared_ttl(wanted, len(wanted) < len(ids), present) == present:
            for record_id in ids:
                if record_id in claims:
                    have = dataclasses.replace(records[record_id].have, ttl=claims[record_id].ttl)
                    out[record_id] = Located(have, records[record_id].item)
    return out


def read_contents(zone: str, records: Iterable[RR]) -> Contents:
    """The contents of a transferred zone, without the addresses of servers elsewhere that some send along."""
    found: Dict[Owner, List[dns.rdata.Rdata]] = {}
    ttls: Dict[Owner, int] = {}
    servers: List[str] = []
    for name, ttl, item in records:
        owner = (_text(name), dns.rdatatype.to_text(item.rdtype))
        if owner == (zone, "NS"):
            servers.append(_text(getattr(item, "target", name)))
        elif owner[1] not in SERVER_TYPES and rdata.within(owner[0], zone):
            found.setdefault(owner, []).append(item)
            ttls[owner] = ttl
    sets = {owner: RRset(ttls[owner], frozenset(items)) for owner, items in found.items()}
    return Contents(zone, sets, tuple(sorted(servers)))


def _text(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True).lower()


def _have(owner: Owner, item: dns.rdata.Rdata, ttl: int) -> Have:
    name, rtype = owner
    return Have(name, rtype, _content(rtype, item), ttl, id=_id(owner, item))


def _id(owner: Owner, item: dns.rdata.Rdata) -> str:
    return f"{owner[1]} {owner[0]} {digest(item.to_digestable())}"


def _content(rtype: str, item: dns.rdata.Rdata) -> str:
    return texts(getattr(item, "strings", ())) if rtype == "TXT" else rdata.told(rtype, item.to_text())


def make_item(rtype: str, content: str) -> dns.rdata.Rdata:
    """The data of a record in canonical form. Raises RdataError."""
    try:
        return dns.rdata.from_text(
            dns.rdataclass.IN, rtype, rdata.presentation(rtype, content), origin=dns.name.root, relativize=False
        )
    except (dns.exception.DNSException, ValueError) as error:
        raise rdata.RdataError(f"{content!r} is no data of type {rtype}: {error}") from error


def apply(contents: Contents, batch: Sequence[Change]) -> Contents:
    """The zone after the changes. Raises GoneError when a record to change is not there, RdataError."""
    present = contents.records
    gone = {c.before.id for c in batch if c.before is not None}
    missing = sorted(i for i in gone if i not in present)
    if missing:
        raise GoneError(f"{missing[0].rsplit(' ', 1)[0]} is not what it was when the zone was read")
    new = [located for located in locate(contents, batch) if located is not None]
    kept = {i: r for i, r in present.items() if i not in gone}
    touched = {r.owner for r in (*new, *(present[i] for i in gone))}
    sets = dict(contents.sets)
    for owner in touched:
        rrset = _combine([r for r in kept.values() if r.owner == owner], new, owner, contents.sets.get(owner))
        if rrset is None:
            sets.pop(owner, None)
        else:
            sets[owner] = rrset
    _note_owners(contents, sets, batch, kept, new)
    return Contents(contents.zone, sets, contents.name_servers)


def locate(contents: Contents, batch: Sequence[Change]) -> List[Optional[Located]]:
    """What each change leaves behind, with its id; None for deletions. Raises RdataError."""
    return [_located(c, contents.records) for c in batch]


def _located(change: Change, present: Mapping[str, Located]) -> Optional[Located]:
    after, before = change.after, change.before
    if after is None:
        return None
    # Data that stays is sent as the DNS has it, however it was divided.
    same = before if before is not None and before.content == after.content else None
    item = present[same.id].item if same else make_item(after.type, after.content)
    return Located(dataclasses.replace(after, id=_id((after.name, after.type), item)), item)


def _combine(kept: Sequence[Located], new: Sequence[Located], owner: Owner, before: Optional[RRset]) -> Optional[RRset]:
    added = [r for r in new if r.owner == owner]
    items = frozenset(r.item for r in (*kept, *added))
    if not items:
        return None
    ours = [r.have.ttl for r in kept if Mark.read(r.have.comment)] + [r.have.ttl for r in added]
    others = any(Mark.read(r.have.comment) is None for r in kept)
    return RRset(shared_ttl(ours, others, before.ttl if before else None), items)


def _note_owners(
    contents: Contents,
    sets: Dict[Owner, RRset],
    batch: Iterable[Change],
    kept: Mapping[str, Located],
    new: Sequence[Located],
) -> None:
    """Bring the registry in line: entries of records that go or change leave, as do our stale ones; others' stay."""
    marks = (Mark.read(r.comment) for c in batch for r in (c.before, c.after) if r is not None)
    instances = {m.instance for m in marks if m is not None}
    digests = {i: digest(r.item.to_digestable()) for i, r in contents.records.items()}
    claims = owners(contents.entries.values(), [r.have for r in contents.records.values()], digests)
    lost = {claims[i] for i in claims if i not in kept}
    alive = {claims[i] for i in claims if i in kept}
    entries = {
        e for e in contents.entries.values() if e in alive or (e not in lost and e.mark.instance not in instances)
    }
    noted = (entry_of(r.have, r.item.to_digestable()) for r in new)
    entries |= {e for e in noted if e is not None}
    owner = (registry_name(contents.zone), "TXT")
    before = sets.get(owner)
    items = {i for i in (before.items if before else ()) if i not in contents.entries}
    items |= {make_item("TXT", e.write(contents.zone)) for e in entries}
    if items:
        sets[owner] = RRset(before.ttl if before else REGISTRY_TTL, frozenset(items))
    else:
        sets.pop(owner, None)


def impossible(contents: Contents, names: Iterable[str]) -> List[Tuple[str, str]]:
    """Names at which the DNS cannot hold what is wanted, each with the reason (RFC 1034 §3.6.2)."""
    out: List[Tuple[str, str]] = []
    for name in sorted(set(names)):
        alias = contents.sets.get((name, "CNAME"))
        if alias is None:
            continue
        others = sorted(t for n, t in contents.sets if n == name and t != "CNAME")
        if name == contents.zone:
            out.append((name, "a CNAME cannot stand at the top of a zone, beside its SOA and NS"))
        elif others or len(alias.items) > 1:
            out.append((name, f"a CNAME cannot stand beside {', '.join(others) or 'another CNAME'}"))
    return out
