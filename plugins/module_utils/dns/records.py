# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records as the diff engine sees them: what is wanted, what is there, what changes. No provider is known here."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from dataclasses import dataclass, field
from typing import Any, Dict, FrozenSet, List, Mapping, Optional, Sequence, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import Problem
from ansible_collections.mailstead.stack.plugins.module_utils.dns.spf_cost import Fetch
from ansible_collections.mailstead.stack.plugins.module_utils.dns.spf_relief import Known
from ansible_collections.mailstead.stack.plugins.module_utils.plan.phases import PHASES, ForeignPolicy

#: Time to live that a provider's "automatic" stands for, in seconds.
AUTO_TTL = 300

#: What ownership looks like in a record comment: ``mailstead:<instance>:<role>[ merged=<hash>,…][ the user's own words]``.
_MARK = re.compile(r"mailstead:([^:\s]+):(\S*)(?: merged=([0-9a-f,]*)(?=\s|$))?(?: ?(.*))?", re.DOTALL)
#: A mark anywhere in a comment that somebody has edited.
_STRAY_MARK = re.compile(r"mailstead:[^:\s]+:\S*(?: merged=[0-9a-f,]*(?=\s|$))?")
_TAG = "mailstead:"
#: Types that belong to whoever runs the name servers.
PROVIDER_TYPES = ("NS", "SOA")
#: Most tags of one record, the least of what providers allow.
TAGS_MAX = 20


@dataclass(frozen=True)
class Mark:
    """Ownership as written in a comment.

    merged: None for a record that is wholly ours; otherwise the hashes of the terms we put into somebody else's record
    (see :func:`term_hash`), so that exactly those can be taken out again.
    """

    instance: str
    role: str
    merged: Optional[Tuple[str, ...]] = None
    text: str = ""

    @classmethod
    def read(cls, comment: str) -> Optional[Mark]:
        match = _MARK.fullmatch(comment.strip())
        if match is None:
            return None
        merged = match.group(3)
        hashes = None if merged is None else tuple(h for h in merged.split(",") if h)
        return cls(match.group(1), match.group(2), hashes, (match.group(4) or "").strip())

    def write(self, limit: int) -> str:
        """The comment, at most limit characters: the mark itself is never cut, the words after it may be.

        Hashes that do not fit are left out: their terms then count as the other owner's and stay, the safe side.
        """
        head = f"mailstead:{self.instance}:{self.role}"
        if self.merged is not None:
            room = max(0, (limit - len(head) - len(" merged=") + 1) // (HASH_LENGTH + 1))
            head = f"{head} merged={','.join(self.merged[:room])}"
        if not self.text:
            return head
        room = limit - len(head) - 1
        if len(self.text) <= room:
            return f"{head} {self.text}"
        return f"{head} {self.text[: room - 1]}…" if room > 8 else head


HASH_LENGTH = 5


def words_of(comment: str) -> str:
    """What a person wrote into a comment: all but the marks."""
    return " ".join(_STRAY_MARK.sub(" ", comment).split())


def tag_of(instance: str) -> str:
    """The tag that says beside the mark whose a record is."""
    return _TAG + instance


def without_ownership(tags: Sequence[str]) -> Tuple[str, ...]:
    return tuple(t for t in tags if not t.startswith(_TAG))


def term_hash(term: str) -> str:
    """A short name for a term we merged into somebody else's record (20 bits: a record has about ten terms)."""
    return hashlib.sha256(term.encode("utf-8", "surrogateescape")).hexdigest()[:HASH_LENGTH]


@dataclass(frozen=True)
class Want:
    """A wanted record in canonical form (see :mod:`.rdata`). unresolved: its value is not known yet.

    bare: instead of being ours, the record is to stand there exactly like this one: its own comment, tags, time to live
    and proxy setting, no mark. That is how somebody else's record is put back; from then on nobody here claims it.
    """

    name: str
    type: str
    content: str
    ttl: int
    phase: str
    role: str
    reason: str = ""
    unresolved: bool = False
    bare: Optional[Have] = None

    @property
    def key(self) -> Tuple[str, str, str]:
        return (self.type, self.name, self.content)


@dataclass(frozen=True)
class Have:
    """A record that is there, or (in a change) that will be.

    content: canonical. ttl: seconds; ``automatic`` read as 300. id: the provider's, empty for one that does not exist
    yet. read_only: the provider refuses to change it.
    """

    name: str
    type: str
    content: str
    ttl: int
    id: str = ""
    comment: str = ""
    tags: Tuple[str, ...] = ()
    proxied: bool = False
    read_only: bool = False

    @property
    def key(self) -> Tuple[str, str, str]:
        return (self.type, self.name, self.content)

    def mark(self, instance: str) -> Optional[Mark]:
        """Our mark, if the record carries it.

        The comment decides. Where a person has edited the mark away our tag still says that the record is ours. Records
        shared with another owner carry no tag, so that a lost mark gives them back instead of claiming their terms. On what
        the provider keeps a mark means nothing.
        """
        if self.read_only or self.type in PROVIDER_TYPES:
            return None
        found = Mark.read(self.comment)
        if found is None and tag_of(instance) in self.tags:
            return Mark(instance, "", None, words_of(self.comment))
        return found if found is not None and found.instance == instance else None

    @property
    def owner(self) -> str:
        """The mailstead instance that marked the record, ours or another; nothing for everybody else's."""
        found = Mark.read(self.comment)
        if found is not None:
            return found.instance
        return next((t[len(_TAG) :] for t in self.tags if t.startswith(_TAG)), "")


@dataclass(frozen=True)
class Change:
    """One operation. action: create (no before), update or delete (no after); phase and role of the wanted record."""

    action: str
    before: Optional[Have]
    after: Optional[Have]
    reason: str
    phase: str = ""
    role: str = ""

    @property
    def record(self) -> Have:
        found = self.after or self.before
        assert found is not None
        return found

    def fields(self) -> Tuple[str, ...]:
        """The fields an update changes, out of content, ttl, proxied, comment, tags (whose order means nothing)."""
        if self.before is None or self.after is None:
            return ()
        before, after = self.before, self.after
        found = [f for f in ("content", "ttl", "proxied", "comment") if getattr(before, f) != getattr(after, f)]
        if set(before.tags) != set(after.tags):
            found.append("tags")
        return tuple(found)

    def to_data(self) -> Dict[str, Any]:
        """JSON types for the module's result."""
        record = self.record
        return {
            "action": self.action,
            "name": record.name,
            "type": record.type,
            "before": None if self.before is None else self.before.content,
            "after": None if self.after is None else self.after.content,
            "ttl": record.ttl,
            "fields": list(self.fields()),
            "role": self.role,
            "phase": self.phase,
            "reason": self.reason,
        }


@dataclass(frozen=True)
class Options:
    """How to reconcile; the same for all zones of a run, but for the foreign policy and what depends on the zone's plan.

    mode: create_only, owned, names (whatever stands at a wanted record's name and type is ours) or zone (everything in the
    zone is; refused unless confirmed). allow: names of guards (codes.GUARDS) that are overridden. max_delete: records of
    one zone that a run may delete; max_delete_percent: of our records in it, looked at from ten on. tags: new and changed
    records get a tag beside the mark, where records can have tags. spf_fetch: asks the DNS what an SPF record about to be
    published needs; without it only what the zone itself answers is counted. spf_senders: who asks for which term, for the
    advice about a record that needs too much. yields: ids of records that count as ours
    although they bear no mark, because an undo put them there that is itself undone (see :mod:`.undo`).
    """

    instance: str = "mailstead"
    mode: str = "owned"
    foreign: ForeignPolicy = field(default_factory=ForeignPolicy)
    through_phase: str = PHASES[-1]
    allow: Tuple[str, ...] = ()
    max_delete: int = 20
    max_delete_percent: int = 30
    dkim_min_rsa_bits: int = 2048
    comment_limit: int = 100
    confirmed: bool = False
    tags: bool = False
    spf_fetch: Optional[Fetch] = field(default=None, compare=False)
    spf_senders: Tuple[Known, ...] = ()
    yields: FrozenSet[str] = frozenset()

    @property
    def takes_over(self) -> bool:
        """Whether somebody else's records at our names are ours by the mode, whatever the foreign policy says."""
        return self.mode in ("names", "zone")

    def tagged(self, tags: Sequence[str] = ()) -> Tuple[str, ...]:
        """The tags of a record that becomes or stays ours. A full list is left alone: the comment says it, too."""
        if not self.tags:
            return tuple(tags)
        kept = without_ownership(tags)
        return (*kept, tag_of(self.instance)) if len(kept) < TAGS_MAX else kept

    def active(self, phase: str) -> bool:
        return PHASES.index(phase) <= PHASES.index(self.through_phase)

    @property
    def last(self) -> bool:
        return self.through_phase == PHASES[-1]

    def mark(self, role: str, merged: Optional[Tuple[str, ...]] = None, text: str = "") -> str:
        return Mark(self.instance, role, merged, text).write(self.comment_limit)

    def for_zone(self, **changes: Any) -> Options:
        return dataclasses.replace(self, **changes)


@dataclass(frozen=True)
class ZoneDiff:
    """What a zone needs. after: the records as they will be (ids of new ones empty). active: the wanted records of the
    phases that are published, in canonical form.

    satisfied: wanted records that need nothing; foreign_satisfied of them are somebody else's. held: changes that
    wait for a later phase. notes: what a person should know. problems: why nothing may be written.
    """

    zone: str
    changes: Tuple[Change, ...]
    before: Tuple[Have, ...]
    after: Tuple[Have, ...]
    satisfied: int
    foreign_satisfied: int
    held: int
    notes: Tuple[str, ...]
    problems: Tuple[Problem, ...]
    active: Tuple[Want, ...] = ()


def wants_from_data(rows: List[Mapping[str, Any]]) -> List[Want]:
    """Wanted records from the plan's JSON form (not yet canonical: see :func:`.guards.check_wants`)."""
    return [
        Want(
            name=str(row["name"]),
            type=str(row["type"]).upper(),
            content=str(row["content"]),
            ttl=int(row["ttl"]),
            phase=str(row["phase"]),
            role=str(row["role"]),
            reason=str(row.get("reason") or ""),
            unresolved=bool(row.get("deferred")),
        )
        for row in rows
    ]
