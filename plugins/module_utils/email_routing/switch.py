# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Switching routing of a domain on and off: the next step from what is observed. Pure.

There is no plan that a cut-off run could lose: every step follows from the settings and the records alone, so the next run
goes on wherever one ended. On its way a domain is without an MX only between the request that removes the old provider's
and the one that enables the service, which follow each other at once.

on    copy the SPF record aside, remove what is leaving → enable → merge SPF again
off   (unlock) → own new records beside the service's, copy SPF aside → disable → SPF and whatever else is missing

Own records are new ones: an unlocked record that is edited stays the service's and vanishes with it (cloudflare-docs, pull
request 32101). MX preferences are the service's choice and never written.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from fnmatch import fnmatch
from typing import FrozenSet, Iterable, List, Mapping, Optional, Sequence, Tuple

from ansible_collections.mailstead.stack.plugins.module_utils.common.errors import MailsteadError
from ansible_collections.mailstead.stack.plugins.module_utils.dns import engine, rdata, spf
from ansible_collections.mailstead.stack.plugins.module_utils.dns.guards import check_wants
from ansible_collections.mailstead.stack.plugins.module_utils.dns.ledger import group_of
from ansible_collections.mailstead.stack.plugins.module_utils.dns.records import Change, Have, Options, Want
from ansible_collections.mailstead.stack.plugins.module_utils.email_routing import kept_spf
from ansible_collections.mailstead.stack.plugins.module_utils.email_routing.kept_spf import Sender
from ansible_collections.mailstead.stack.plugins.module_utils.email_routing.model import (
    MAX_DOMAINS,
    RequiredRecord,
    Settings,
)

STATES = ("enabled", "unlocked", "disabled")
GUARDS = {"no_mx": "switch off although the domain has no other MX"}
#: More steps than any way has.
MAX_STEPS = 12
#: Where Email Sending takes bounces for a domain.
_BOUNCES = "cf-bounce."


@dataclass(frozen=True)
class Observed:
    """A domain as it is. records: all of its zone; required: what the service needs for the domain."""

    zone: str
    domain: str
    settings: Settings
    required: Tuple[RequiredRecord, ...]
    records: Tuple[Have, ...]

    @property
    def apex(self) -> bool:
        return self.domain == self.zone

    @property
    def hosts(self) -> FrozenSet[str]:
        """The service's exchangers."""
        return frozenset(r.content for r in self.required if r.type == "MX")

    @property
    def mx(self) -> List[Have]:
        return [r for r in self.records if (r.type, r.name) == ("MX", self.domain)]

    @property
    def serving(self) -> List[Have]:
        """The service's MX that are there."""
        return [r for r in self.mx if host(r) in self.hosts]

    @property
    def others(self) -> List[Have]:
        return [r for r in self.mx if host(r) not in self.hosts]

    @property
    def on(self) -> bool:
        """Whether mail is routed: the settings tell it of the zone itself only."""
        complete = self.hosts <= {host(r) for r in self.mx}
        return complete and (self.settings.enabled or not self.apex)

    @property
    def linked(self) -> bool:
        """Whether there is something to switch off, left-overs included. The settings are the zone's: routing of a
        sub-domain alone enables it, too."""
        if not self.apex:
            return bool(self.serving)
        enabled = self.settings.enabled and bool(self.serving or not self.elsewhere)
        return enabled or any(r.read_only for r in self.serving)

    @property
    def elsewhere(self) -> FrozenSet[str]:
        """The other domains of the zone that the service routes. Email Sending has MX of the same hosts at a name of its
        own below each of its domains: those are not among them."""
        return frozenset(n for n in self._with_service_mx if n != self.domain and not n.startswith(_BOUNCES))

    @property
    def mail_domains(self) -> FrozenSet[str]:
        """The domains of the zone that count for the service's limit: routed ones and sending ones."""
        names = (n[len(_BOUNCES) :] if n.startswith(_BOUNCES) else n for n in self._with_service_mx)
        return frozenset((*names, self.domain))

    @property
    def _with_service_mx(self) -> FrozenSet[str]:
        return frozenset(r.name for r in self.records if r.type == "MX" and host(r) in self.hosts)

    @property
    def locked(self) -> bool:
        if self.apex and self.settings.status:
            return self.settings.locked
        return any(r.read_only for r in self.serving)

    @property
    def unsigned(self) -> bool:
        """Whether the service misses a text record that is not at the domain itself: its DKIM key."""
        names = {r.name for r in self.records if r.type == "TXT"}
        missed = [r for r in self.required if r.missing and r.type == "TXT" and r.name != self.domain]
        return any(r.name not in names for r in missed)

    @property
    def sender(self) -> Optional[Sender]:
        """The domain's SPF; None when the service needs none. Raises MailsteadError."""
        texts = [r.content for r in self.required if r.type == "TXT" and spf.is_spf(r.content)]
        return Sender.of(self.domain, texts[0], self.records) if texts else None


@dataclass(frozen=True)
class Goal:
    """What is wanted of a domain.

    state: of STATES; enabled means on, locked or not. leaving: patterns (``*.example.net``) of MX hosts that may go when it
    is switched on; our own may always. own: the domain's own records once it is off. keep: end at unlocked instead of off.
    also_off: other domains of the zone that are switched off in the same run, before the zone itself. subaddressing: None
    leaves it as it is.
    """

    state: str = "enabled"
    leaving: Tuple[str, ...] = ()
    own: Tuple[Want, ...] = ()
    keep: bool = False
    also_off: FrozenSet[str] = frozenset()
    subaddressing: Optional[bool] = None
    instance: str = "mailstead"
    allow: Tuple[str, ...] = ()


@dataclass(frozen=True)
class Step:
    """kind: ``write``, ``enable``, ``unlock``, ``disable`` or ``settings``. changes: to be written in one batch, for
    enable immediately before it. settings: the body of a change of settings."""

    kind: str
    reason: str
    changes: Tuple[Change, ...] = ()
    settings: Mapping[str, bool] = field(default_factory=dict)


def host(record: Have) -> str:
    """The exchanger of an MX."""
    return rdata.target("MX", record.content) or record.content.rpartition(" ")[2]


def next_step(observed: Observed, goal: Goal) -> Optional[Step]:
    """What to do next; None when the goal is reached. Raises MailsteadError when it must not be."""
    return _off(observed, goal) if goal.state == "disabled" else _on(observed, goal)


def way(observed: Observed, goal: Goal) -> Tuple[List[Step], Observed]:
    """All steps to the goal, and the domain as it will be. Raises MailsteadError."""
    steps: List[Step] = []
    now = observed
    while len(steps) < MAX_STEPS:
        step = next_step(now, goal)
        if step is None:
            return steps, now
        steps.append(step)
        now = predicted(now, step)
    raise unsettled(observed.domain, steps)


def unsettled(domain: str, steps: Sequence[Step], unclear: str = "") -> MailsteadError:
    """unclear: why the outcome of the last write is not known, if so."""
    told = ", ".join(s.kind for s in steps[-4:])
    why = unclear or "the records are still not as the service says"
    what = f"after {len(steps)} steps ({told}): {why}"
    return MailsteadError.one(
        "MS-ER-013", f"domain {domain}", what, "Run again; if it stays so, look at the dashboard."
    )


# -- on --------------------------------------------------------------------------------------------------------------


def _on(now: Observed, goal: Goal) -> Optional[Step]:
    going = _leaving(now, goal)
    sender = now.sender
    removals = [Change("delete", r, None, "its provider is leaving") for r in going]
    if not now.on or now.unsigned or (sender and not sender.present):
        _check_count(now)
        aside = _aside(now, sender)
        return Step("enable", "repairs it" if now.on else "routes mail", (*removals, *aside))
    # Where the service has let itself be enabled beside them.
    texts = kept_spf.merged_again(sender) if sender else []
    changes = (*removals, *texts)
    if changes:
        return _editing(now, changes, "one SPF record for all senders" if texts else "one owner of the MX")
    if goal.state == "unlocked" and now.locked:
        return Step("unlock", "its records may be edited")
    return _settings(now, goal)


def _check_count(now: Observed) -> None:
    count = len(now.mail_domains)
    if count > MAX_DOMAINS and not now.on:
        what = (
            f"the zone would have {count} mail domains, the service holds {MAX_DOMAINS} (routing and sending together)"
        )
        fix = "Switch off domains that are not used any more."
        raise MailsteadError.one("MS-ER-008", f"domain {now.domain}", what, fix)


def _aside(now: Observed, sender: Optional[Sender]) -> List[Change]:
    """What keeps the SPF record. Raises MailsteadError when no merged record would work."""
    if sender is None:
        return []
    text = kept_spf.joined([sender.service, *sender.texts])
    lookups = spf.parse(text).lookups
    if lookups > spf.MAX_LOOKUPS:
        what = f"merged with the service's the SPF record would need {lookups} look-ups, {spf.MAX_LOOKUPS} are allowed"
        fix = "Take out senders that are not used any more, or move some to a sub-domain."
        raise MailsteadError.one("MS-ER-019", f"TXT {now.domain}", what, fix)
    return kept_spf.put_aside(sender)


def _leaving(now: Observed, goal: Goal) -> List[Have]:
    """The other MX, all of which may go. Raises MailsteadError for one that may not."""
    staying = [r for r in now.others if not _may_go(r, goal)]
    where = f"domain {now.domain}"
    if staying:
        hosts = ", ".join(sorted(host(r) for r in staying))
        fix = (
            "When that provider is done, declare its hosts in leaving (patterns like *.mail.icloud.com): they go in the "
            "moment before routing is enabled. A domain has one owner of its MX; use a sub-domain to have both."
        )
        raise MailsteadError.one("MS-ER-011", where, f"mail goes to {hosts}", fix)
    kept = [r for r in now.others if r.read_only]
    if kept:
        what = f"the MX {host(kept[0])} is read-only: another product keeps it"
        raise MailsteadError.one("MS-ER-018", where, what, "Turn that product off for the domain first.")
    return now.others


def _may_go(record: Have, goal: Goal) -> bool:
    return record.mark(goal.instance) is not None or any(fnmatch(host(record), p.lower()) for p in goal.leaving)


def _editing(now: Observed, changes: Iterable[Change], reason: str) -> Step:
    """A step that writes, or the unlocking it needs first."""
    every = tuple(changes)
    touched = [c.before for c in every if c.before is not None]
    if now.locked and any(r.read_only or r.type == "MX" for r in [*touched, *(c.record for c in every)]):
        return Step("unlock", f"makes room for: {reason}")
    return Step("write", reason, every)


def _settings(now: Observed, goal: Goal) -> Optional[Step]:
    if goal.subaddressing is None or goal.subaddressing == now.settings.subaddressing:
        return None
    word = "on" if goal.subaddressing else "off"
    return Step("settings", f"sub-addressing {word}", settings={"support_subaddress": goal.subaddressing})


# -- off -------------------------------------------------------------------------------------------------------------


def _off(now: Observed, goal: Goal) -> Optional[Step]:
    if not now.linked:
        changes = _afterwards(now, goal)
        return Step("write", "the domain's own records", changes) if changes else None
    _check_elsewhere(now, goal)
    if not now.others and not any(_is_mx(w, now) for w in goal.own) and "no_mx" not in goal.allow:
        fix = (
            "Give the domain's new MX in records (the null MX '0 .' for a domain without mail), or set on_disable: keep. "
            "To go on regardless: allow: [no_mx]."
        )
        if not goal.keep:
            what = "without routing it would have no MX: nobody could send mail to it"
            raise MailsteadError.one("MS-ER-012", f"domain {now.domain}", what, fix)
    if goal.keep and now.locked:
        return Step("unlock", "its records stay and may be edited")
    sender = now.sender
    beside = _own(now, goal, [w for w in goal.own if not _is_spf(w)], _rest(now, sender))
    aside = [] if goal.keep or sender is None else kept_spf.put_aside(sender)
    if beside or aside:
        return _editing(now, (*beside, *aside), "the domain's own records, beside the service's")
    return None if goal.keep else Step("disable", "ends routing")


def _check_elsewhere(now: Observed, goal: Goal) -> None:
    """The zone itself cannot be named in the request, which then means all of its domains. Raises MailsteadError."""
    staying = sorted(now.elsewhere - goal.also_off)
    if now.apex and staying and not goal.keep:
        what = f"switching off the zone would also end routing of {', '.join(staying)}"
        fix = "List those domains as disabled, too; or set on_disable: keep for the zone itself."
        raise MailsteadError.one("MS-ER-021", f"domain {now.domain}", what, fix)


def _is_mx(want: Want, now: Observed) -> bool:
    return want.type == "MX" and want.name.lower().rstrip(".") == now.domain


def _is_spf(want: Want) -> bool:
    return want.type == "TXT" and spf.is_spf(want.content)


def _rest(now: Observed, sender: Optional[Sender]) -> List[Have]:
    """The records without those that are the service's to remove, and without the domain's SPF."""
    out = {r.id for r in now.serving} | {r.id for r in (sender.present if sender else ())}
    return [r for r in now.records if r.id not in out]


def _own(now: Observed, goal: Goal, wants: Sequence[Want], records: Sequence[Have]) -> Tuple[Change, ...]:
    """What the zone engine does for the wanted records. It sees what competes with them only: the rest is not declared
    here and must not count as no longer wanted. Raises MailsteadError."""
    options = Options(instance=goal.instance)
    checked, problems = check_wants(now.zone, wants, options)
    if problems:
        raise MailsteadError(problems)
    groups = {group_of(w) for w in checked}
    found = engine.diff(now.zone, checked, [r for r in records if group_of(r) in groups], options)
    if found.problems:
        raise MailsteadError(found.problems)
    return found.changes


def _afterwards(now: Observed, goal: Goal) -> Tuple[Change, ...]:
    """Once it is off: the own records, and SPF with everything that the service's record or the copy held besides."""
    sender = now.sender
    if sender is None or not (sender.copy or sender.shared):
        return _own(now, goal, goal.own, now.records)
    real = sender.present[0] if sender.present else None
    texts = [sender.alone(text) for text in sender.texts]
    base = real or kept_spf.restored(sender.copy, now.domain, "") if sender.copy else real
    assert base is not None
    base = dataclasses.replace(base, id=base.id or "kept aside", content=kept_spf.joined(texts))
    surplus = tuple(
        Change("delete", r, None, "its terms are in the merged SPF record") for r in sender.present if r != real
    )
    changes = _own(now, goal, goal.own, [*_rest(now, sender), base])
    mine = [c for c in changes if c.before is not None and c.before.id == base.id]
    after = mine[0].after if mine else base
    others = tuple(c for c in changes if c not in mine)
    return (*others, *_settled(real, after), *surplus, *kept_spf.removed(sender))


def _settled(real: Optional[Have], after: Optional[Have]) -> Tuple[Change, ...]:
    """From the SPF record that is there to what is to be there."""
    if real is None and after is not None:
        return (Change("create", None, dataclasses.replace(after, id=""), "as it was before, without the service"),)
    if real is None or real == after:
        return ()
    action = "delete" if after is None else "update"
    return (Change(action, real, after, "without the service"),)


# -- what a step does ------------------------------------------------------------------------------------------------


def predicted(now: Observed, step: Step) -> Observed:
    """The domain after a step, as far as the service is known to behave; the last word has the next reading."""
    records = applied(now.records, step.changes)
    settings = now.settings
    if step.kind == "enable":
        records = _enabled(now, records)
        settings = dataclasses.replace(settings, enabled=True, status="ready") if now.apex else settings
    elif step.kind == "unlock":
        records = [dataclasses.replace(r, read_only=False) if _service(now, r) else r for r in records]
        settings = dataclasses.replace(settings, status="unlocked") if now.apex else settings
    elif step.kind == "disable":
        records = [r for r in records if not _service(now, r)]
        settings = dataclasses.replace(settings, enabled=False, status="unconfigured") if now.apex else settings
    elif step.kind == "settings":
        settings = dataclasses.replace(settings, subaddressing=step.settings["support_subaddress"])
    return dataclasses.replace(now, records=tuple(records), settings=settings)


def applied(records: Sequence[Have], changes: Sequence[Change]) -> List[Have]:
    """The records after changes; new ones get provisional ids."""
    fate = {c.before.id: c.after for c in changes if c.before is not None}
    out = [fate.get(r.id, r) for r in records]
    for number, change in enumerate(changes):
        if change.before is None and change.after is not None:
            out.append(dataclasses.replace(change.after, id=f"new {len(records)}.{number}"))
    return [r for r in out if r is not None]


def _service(now: Observed, record: Have) -> bool:
    """Whether a record is the service's, or has its SPF in it."""
    if record.type == "MX":
        return record.name == now.domain and host(record) in now.hosts
    if record.type != "TXT":
        return False
    if record.name == now.domain and spf.is_spf(record.content):
        sender = now.sender
        return sender is not None and sender.serves(record.content)
    return record.name in {r.name for r in now.required if r.type == "TXT" and r.name != now.domain}


def _enabled(now: Observed, records: Sequence[Have]) -> List[Have]:
    """As #6444 tells it: the SPF record is replaced."""
    out = [r for r in records if not (r.type == "TXT" and r.name == now.domain and spf.is_spf(r.content))]
    out = [dataclasses.replace(r, read_only=True) if _service(now, r) else r for r in out]
    present = {(r.type, r.name, host(r) if r.type == "MX" else "") for r in out}
    for number, need in enumerate(now.required):
        name = (need.type, need.name, need.content if need.type == "MX" else "")
        if name not in present or (need.type == "TXT" and need.name == now.domain):
            content = f"{need.priority or 0} {need.content}" if need.type == "MX" else need.content
            ttl = 300 if need.ttl == 1 else need.ttl
            out.append(Have(need.name, need.type, content, ttl, id=f"service {number}", read_only=True))
    return out


def difference(before: Sequence[Have], after: Sequence[Have]) -> Tuple[Change, ...]:
    """What differs between two readings of a zone, by the records' ids."""
    old, new = {r.id: r for r in before}, {r.id: r for r in after}
    gone = [Change("delete", r, None, "goes") for i, r in old.items() if i not in new]
    fresh = [Change("create", None, r, "comes") for i, r in new.items() if i not in old]
    kept = [
        Change("update", old[i], r, "changes") for i, r in new.items() if i in old and _visible(old[i]) != _visible(r)
    ]
    return (*gone, *fresh, *kept)


def _visible(record: Have) -> Have:
    return dataclasses.replace(record, read_only=False)
