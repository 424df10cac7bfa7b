# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Promises of the diff engine for any zone, wanted set, mode, policy and phase. Pure: a zone is a list of records."""

from __future__ import annotations

import base64
import dataclasses
from typing import Any

from ansible_collections.mailstead.stack.plugins.module_utils.dns import engine
from ansible_collections.mailstead.stack.plugins.module_utils.dns.codes import GUARDS
from ansible_collections.mailstead.stack.plugins.module_utils.dns.ledger import Group, group_of, policy_field
from ansible_collections.mailstead.stack.plugins.module_utils.dns.policies import SINGLE_KINDS
from ansible_collections.mailstead.stack.plugins.module_utils.dns.records import Change, Have, Options, Want, ZoneDiff
from ansible_collections.mailstead.stack.plugins.module_utils.plan.phases import PHASES, ForeignPolicy
from hypothesis import assume, given, settings
from hypothesis import strategies as st

ZONE = "example.com"
HOSTS = [f"{n}.{ZONE}" for n in ("mail", "mx2", "edge")]
DMARC, TLS, CONFIG, STS = (f"{n}.{ZONE}" for n in ("_dmarc", "_smtp._tls", "autoconfig", "_mta-sts"))
KEY = base64.b64encode(bytes(range(32))).decode()
FREE = ("last_mx", "delete_limit")


def want(name: str, rtype: str, content: str, phase: str, ttl: int = 3600, role: str = "") -> Want:
    return Want(name, rtype, content, ttl, phase, role or rtype.lower())


#: What may be wanted; a wanted set is a choice of these in which no two exclude each other.
POOL: list[Want] = [
    *(want(h, "A", f"198.18.1.{n}", "address", t) for h in HOSTS for n, t in ((1, 300), (2, 3600), (3, 3600))),
    *(want(h, "AAAA", f"2001:2::{n}", "address") for h in HOSTS for n in (1, 2)),
    *(want(CONFIG, t, v, "address") for t, v in (("A", "198.18.1.9"), ("AAAA", "2001:2::9"), ("CNAME", HOSTS[0]))),
    want(f"*.{ZONE}", "A", "198.18.1.8", "address"),
    *(want(ZONE, "TXT", f"v=spf1 {t} -all", "policy", role="spf") for t in ("mx", "ip4:198.18.1.1", "a mx")),
    *(
        want(DMARC, "TXT", f"v=DMARC1; p={p}; rua=mailto:{r}@{ZONE}", "policy")
        for p, r in (("none", "a"), ("reject", "b"))
    ),
    *(want(TLS, "TXT", f"v=TLSRPTv1; rua=mailto:{r}@{ZONE}", "policy") for r in ("a", "b")),
    *(want(f"s{n}._domainkey.{ZONE}", "TXT", f"v=DKIM1; k=ed25519; p={KEY}", "keys") for n in (1, 2)),
    *(want(HOSTS[0], "CAA", f'0 issue "{ca}.example"', "policy") for ca in ("one", "two")),
    *(want(f"_25._tcp.{HOSTS[0]}", "TLSA", f"3 1 1 {d * 32}", "certificate") for d in ("ab", "cd", "ef")),
    *(want(ZONE, "MX", f"{n} {h}", "delivery") for n in (10, 20) for h in HOSTS),
    *(want(f"_imaps._tcp.{ZONE}", "SRV", f"0 1 993 {h}", "delivery") for h in HOSTS),
    want(STS, "TXT", "v=STSv1; id=1", "delivery", 300),
    want(ZONE, "TXT", "verification=ours", "policy", role="verification"),
]

#: What may stand in a zone already, made by anybody: at our names, in our way, or elsewhere.
TEXTS = ["v=spf1 include:_spf.example.net ~all", "v=spf1 mx -all ip4:203.0.113.9", "site=abc", "verification=ours"]
FOUND: list[tuple[str, str, str]] = [
    *((w.name, w.type, w.content) for w in POOL),
    *((ZONE, "TXT", text) for text in TEXTS),
    *((DMARC, "TXT", f"v=DMARC1; p={p}; rua=mailto:x@example.net") for p in ("none", "quarantine")),
    (TLS, "TXT", "v=TLSRPTv1; rua=mailto:x@example.net"),
    *((ZONE, "MX", f"{n} mx.example.net") for n in (5, 10)),
    *((h, "A", "203.0.113.7") for h in HOSTS),
    (CONFIG, "CNAME", "auto.example.net"),
    (HOSTS[1], "CNAME", "other.example.net"),
    (HOSTS[0], "CAA", '0 issue "other.example"'),
    (f"www.{ZONE}", "A", "203.0.113.5"),
    (f"old.{ZONE}", "A", "203.0.113.6"),
    (f"lists.{ZONE}", "MX", "5 mx.example.net"),
    (ZONE, "NS", "ns1.example.net"),
    (f"sub.{ZONE}", "NS", "ns1.example.net"),
    (f"ns.sub.{ZONE}", "A", "203.0.113.8"),
]


def found_record(
    place: tuple[str, str, str], comment: str, tags: tuple[str, ...], ttl: int, proxied: bool, locked: bool
) -> Have:
    name, rtype, content = place
    able = rtype in ("A", "AAAA", "CNAME")
    return Have(name, rtype, content, ttl, "", comment, tags, proxied and able, locked)


HAVES = st.builds(
    found_record,
    st.sampled_from(FOUND),
    st.sampled_from(
        ["", "", "by hand", "mailstead:mailstead:old", "mailstead:mailstead:old words", "mailstead:berlin:a"]
    ),
    st.sampled_from([(), (), ("team:web",), ("mailstead:mailstead",), ("team:web", "mailstead:mailstead")]),
    st.sampled_from([300, 3600]),
    st.sampled_from([False] * 5 + [True]),
    st.sampled_from([False] * 9 + [True]),
)


def zone_of(records: list[Have]) -> list[Have]:
    """A zone a server could hold: no record twice, an alias alone at its name (but at the apex, where it is flattened)."""
    out: dict[tuple[str, str, str], Have] = {}
    for record in records:
        alone = record.type == "CNAME" or any(o.type == "CNAME" and o.name == record.name for o in out.values())
        if not alone or all(o.name != record.name for o in out.values()):
            out.setdefault(record.key, record)
    return [dataclasses.replace(r, id=f"id{n}") for n, r in enumerate(out.values())]


def consistent(chosen: list[Want]) -> list[Want]:
    out: list[Want] = []
    for record in chosen:
        alone = record.type == "CNAME" or any(o.type == "CNAME" and o.name == record.name for o in out)
        rival = any(group_of(o) == group_of(record) for o in out) and group_of(record)[2] in SINGLE_KINDS
        if not rival and not (alone and any(o.name == record.name for o in out)):
            out.append(record)
    return out


ZONES = st.one_of(st.lists(HAVES, max_size=4), st.lists(HAVES, min_size=6, max_size=20)).map(zone_of)
WANTS = st.one_of(
    st.lists(st.sampled_from(POOL), unique=True, max_size=3),
    st.lists(st.sampled_from(POOL), unique=True, min_size=6, max_size=20),
).map(consistent)
POLICY = st.sampled_from(["merge", "adopt", "replace", "fail"])
POLICIES = st.builds(ForeignPolicy, spf=POLICY, mx=POLICY, dmarc=POLICY, caa=POLICY, other=POLICY)
#: Policies under which most zones can be reconciled at all.
WILLING = st.builds(
    ForeignPolicy,
    spf=st.sampled_from(["merge", "replace"]),
    mx=st.sampled_from(["merge", "replace"]),
    dmarc=st.sampled_from(["merge", "replace"]),
    caa=st.sampled_from(["merge", "replace"]),
    other=st.just("replace"),
)
MODES = st.sampled_from(["create_only", "owned", "owned", "names", "zone"])
OPTIONS = st.builds(
    lambda mode, foreign, phase, tags, allow: Options(
        mode=mode, foreign=foreign, through_phase=phase, tags=tags, allow=allow, confirmed=True
    ),
    MODES,
    st.one_of(POLICIES, WILLING),
    st.sampled_from([*PHASES, PHASES[-1], PHASES[-1]]),
    st.booleans(),
    st.sampled_from([FREE, (*FREE, "proxied_host", "read_only", "other_instance"), tuple(GUARDS)]),
)


def diff(wants: list[Want], zone: list[Have], options: Options) -> ZoneDiff:
    return engine.diff(ZONE, wants, zone, options)


def applied(found: ZoneDiff) -> list[Have]:
    """The zone after the changes, new records with ids."""
    return [r if r.id else dataclasses.replace(r, id=f"new{n}") for n, r in enumerate(found.after)]


def replay(zone: list[Have], changes: tuple[Change, ...]) -> list[Have]:
    """The zone after the changes, from the changes alone."""
    out = {r.id: r for r in zone}
    for number, change in enumerate(changes):
        if change.before is not None:
            assert out.pop(change.before.id) == change.before
        if change.after is not None:
            out[change.after.id or f"made{number}"] = change.after
    return list(out.values())


def facts(records: Any) -> list[str]:
    return sorted(repr(dataclasses.replace(r, id="")) for r in records)


def mine(record: Have) -> bool:
    return record.mark("mailstead") is not None


def groups(wants: Any) -> set[Group]:
    return {group_of(w) for w in wants}


def possible(wants: list[Want], zone: list[Have], options: Options) -> ZoneDiff:
    found = diff(wants, zone, options)
    assume(not found.problems)
    return found


@settings(max_examples=300, deadline=None)
@given(WANTS, ZONES, OPTIONS)
def test_after_the_changes_nothing_is_left_to_change(wants: list[Want], zone: list[Have], options: Options) -> None:
    found = possible(wants, zone, options)
    assert facts(replay(zone, found.changes)) == facts(found.after)
    again = diff(wants, applied(found), options)
    assert (again.changes, again.problems) == ((), ())


#: What people do to records behind our back: (which, how).
EDITS = st.lists(
    st.tuples(
        st.integers(0, 30), st.sampled_from(["comment", "words", "tags", "ttl", "proxied", "value", "gone", "twin"])
    ),
    max_size=4,
)


def edited(zone: list[Have], edits: list[tuple[int, str]]) -> list[Have]:
    out = list(zone)
    for which, how in edits:
        if not out:
            break
        index = which % len(out)
        record = out[index]
        if how == "gone":
            del out[index]
        elif how == "twin" and record.type == "TXT":
            out.append(dataclasses.replace(record, id=f"twin{len(out)}-{record.id}", comment="", tags=()))
        elif how == "value":
            others = [c for n, t, c in FOUND if (n, t) == (record.name, record.type)]
            out[index] = dataclasses.replace(record, content=others[which % len(others)] if others else record.content)
        else:
            out[index] = dataclasses.replace(record, **edit(record, how))
    return out


def edit(record: Have, how: str) -> dict[str, Any]:
    changes: dict[str, dict[str, Any]] = {
        "comment": {"comment": "by a person"},
        "words": {"comment": (record.comment + " and words").strip()},
        "tags": {"tags": ()},
        "ttl": {"ttl": 120},
        "proxied": {"proxied": record.type in ("A", "AAAA", "CNAME")},
    }
    return changes.get(how, {})


@settings(max_examples=300, deadline=None)
@given(WANTS, WANTS, ZONES, EDITS, OPTIONS)
def test_neither_is_after_another_set_was_published_and_people_had_edited_it(
    first: list[Want], second: list[Want], zone: list[Have], edits: list[tuple[int, str]], options: Options
) -> None:
    zone = applied(possible(first, zone, dataclasses.replace(options, through_phase=PHASES[-1])))
    zone = edited(zone, edits)
    found = possible(second, zone, options)
    assert facts(replay(zone, found.changes)) == facts(found.after)
    again = diff(second, applied(found), options)
    assert (again.changes, again.problems) == ((), ())


@settings(max_examples=300, deadline=None)
@given(WANTS, ZONES, OPTIONS)
def test_somebody_elses_records_change_only_where_policy_or_mode_says_so(
    wants: list[Want], zone: list[Have], options: Options
) -> None:
    found = possible(wants, zone, options)
    active = [w for w in wants if options.active(w.phase)]
    names = {w.name for w in active}
    for change in found.changes:
        before = change.before
        if before is None or mine(before):
            continue
        assert not before.read_only and options.mode != "create_only"
        if options.mode == "zone":
            continue
        group = group_of(before)
        policy = "replace" if options.mode == "names" else getattr(options.foreign, policy_field(group[0], group[2]))
        alias = before.type == "CNAME" or any(w.type == "CNAME" and w.name == before.name for w in active)
        assert before.name in names and (group in groups(active) or alias)
        assert policy != "fail"
        if policy == "merge":
            assert group[2] in ("spf", "dmarc")
        if change.action == "delete":
            assert policy in ("replace", "merge")


@settings(max_examples=300, deadline=None)
@given(WANTS, ZONES, OPTIONS)
def test_what_is_published_is_what_is_wanted(wants: list[Want], zone: list[Have], options: Options) -> None:
    found = possible(wants, zone, options)
    keys, places = {r.key for r in found.after}, groups(found.after)
    for one in found.active:
        shared = one.key not in keys and group_of(one)[2] in ("spf", "dmarc") and group_of(one) in places
        assert options.mode == "create_only" or one.key in keys or shared
    left_out = [w for w in wants if options.active(w.phase) and w not in found.active]
    assert all(any(n.startswith(f"{w.type} {w.name}: left out") for n in found.notes) for w in left_out)
    wanted = {w.key for w in wants}
    if options.last and options.mode != "create_only":
        for record in found.after:
            shared = group_of(record)[2] in ("spf", "dmarc") and group_of(record) in groups(wants)
            kept = any(w.name == record.name for w in left_out)
            assert not mine(record) or record.key in wanted or shared or kept


@settings(max_examples=200, deadline=None)
@given(WANTS, ZONES, OPTIONS)
def test_mode_zone_leaves_what_is_wanted_and_what_is_not_its_own(
    wants: list[Want], zone: list[Have], options: Options
) -> None:
    whole = dataclasses.replace(options, mode="zone", through_phase=PHASES[-1])
    found = possible(wants, zone, whole)
    wanted = {w.key for w in wants}
    cuts = [r.name for r in zone if r.type == "NS" and r.name != ZONE]
    # Where the provider keeps a record, its override leaves everything as it is.
    kept = {r.name for r in zone if r.read_only}
    for record in found.after:
        delegated = any(record.name == c or record.name.endswith("." + c) for c in cuts)
        assert record.key in wanted or record.name in kept or delegated or record.type == "NS"
    refused = diff(wants, zone, dataclasses.replace(whole, confirmed=False))
    assert "MS-DNS-024" in [p.code for p in refused.problems]


@settings(max_examples=300, deadline=None)
@given(WANTS, ZONES, OPTIONS)
def test_nothing_is_deleted_early_but_what_bars_the_way(wants: list[Want], zone: list[Have], options: Options) -> None:
    found = possible(wants, zone, options)
    active = [w for w in wants if options.active(w.phase)]
    for change in found.changes:
        if change.action == "create":
            assert change.after is not None and change.after.key in {w.key for w in active}
        if change.action != "delete" or options.last:
            continue
        record = change.record
        kind = group_of(record)[2]
        here = [w for w in active if w.name == record.name]
        double = kind in SINGLE_KINDS and group_of(record) in groups(here)
        alias = any("CNAME" in (w.type, record.type) and w.type != record.type for w in here)
        assert double or alias, record


@settings(max_examples=300, deadline=None)
@given(WANTS, ZONES, OPTIONS)
def test_a_name_with_an_mx_that_is_to_have_one_keeps_one_throughout(
    wants: list[Want], zone: list[Have], options: Options
) -> None:
    found = possible(wants, zone, options)
    names = {w.name for w in wants if w.type == "MX"}
    for name in names & {r.name for r in zone if r.type == "MX"}:
        before = {r.id for r in zone if (r.type, r.name) == ("MX", name)}
        after = {r.id for r in found.after if (r.type, r.name) == ("MX", name)}
        # The same record stays, in place: not even between two operations of one batch is there none.
        assert before & after


@settings(max_examples=200, deadline=None)
@given(WANTS, ZONES, OPTIONS)
def test_what_we_write_carries_our_mark_and_keeps_other_peoples_tags(
    wants: list[Want], zone: list[Have], options: Options
) -> None:
    for change in possible(wants, zone, options).changes:
        before, after = change.before, change.after
        if after is None:
            continue
        mark = after.mark("mailstead")
        others = {t for t in (before.tags if before else ()) if not t.startswith("mailstead:")}
        assert others <= set(after.tags)
        if change.phase:
            assert mark is not None and mark.role == change.role
            whole = mark.merged is None
            assert ("mailstead:mailstead" in after.tags) == whole or not options.tags
            assert not proxied_again(change, options)
        else:
            assert mark is None or change.action == "delete"


def proxied_again(change: Change, options: Options) -> bool:
    assert change.after is not None
    return change.after.proxied and "proxied_host" not in options.allow


@settings(max_examples=300, deadline=None)
@given(WANTS, ZONES, st.sampled_from(["adopt", "replace"]), st.booleans())
def test_what_we_took_over_can_be_put_back_exactly(
    wants: list[Want], zone: list[Have], policy: str, tags: bool
) -> None:
    """The way an undo goes: others' records as bare wants, nothing of ours."""
    theirs = [dataclasses.replace(r, comment="", tags=()) if mine(r) else r for r in zone if not r.read_only]
    foreign = ForeignPolicy(*[policy] * 5)
    options = Options(foreign=foreign, allow=tuple(GUARDS), tags=tags)
    forth = possible(wants, theirs, options)
    touched = [c.before for c in forth.changes if c.before is not None]
    bare = [Want(r.name, r.type, r.content, r.ttl, PHASES[-1], "restored", bare=r) for r in touched]
    back = diff(bare, applied(forth), options)
    assert not back.problems
    assert facts(back.after) == facts(theirs)
    again = diff(bare, applied(back), options)
    assert (again.changes, again.problems) == ((), ())


@settings(max_examples=150, deadline=None)
@given(WANTS, ZONES, st.sampled_from(["owned", "names", "zone"]), WILLING)
def test_phase_by_phase_ends_where_one_run_ends(
    wants: list[Want], zone: list[Have], mode: str, foreign: ForeignPolicy
) -> None:
    options = Options(mode=mode, foreign=foreign, confirmed=True, allow=tuple(GUARDS))
    whole = possible(wants, zone, options)
    stepwise = zone
    for phase in PHASES:
        stepwise = applied(possible(wants, stepwise, dataclasses.replace(options, through_phase=phase)))
    assert sorted((r.key, r.ttl, r.proxied) for r in stepwise) == sorted((r.key, r.ttl, r.proxied) for r in whole.after)
