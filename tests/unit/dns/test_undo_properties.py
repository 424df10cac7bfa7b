# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Random histories of applies and of others' edits: what going back keeps and what it restores."""

from __future__ import annotations

import dataclasses
from typing import Any

from ansible_collections.mailstead.stack.plugins.module_utils.dns.halves import KINDS
from ansible_collections.mailstead.stack.plugins.module_utils.dns.ledger import group_of
from ansible_collections.mailstead.stack.plugins.module_utils.dns.records import Have, Want
from ansible_collections.mailstead.stack.plugins.module_utils.plan.phases import ForeignPolicy
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from tests.unit.dns.undo_world import ZONE, RefusedError, World, have, want

NAMES = (ZONE, f"mail.{ZONE}", f"a.{ZONE}")
POLICIES = ("merge", "adopt", "replace", "fail")
ADDRESSES = tuple(f"192.0.2.{n}" for n in range(1, 6))
EXCHANGES = tuple(f"{n} mx{n}.example.net" for n in (5, 10, 20))
SPFS = tuple(
    f"v=spf1 {term} {end}" for term in ("ip4:192.0.2.1", "include:x.example", "mx") for end in ("~all", "-all")
)
DMARCS = tuple(f"v=DMARC1; p={p}; rua=mailto:{who}@example.com" for p in ("none", "reject") for who in ("u", "v", "w"))
TEXTS = ("site-verification=1", "site-verification=2")


@st.composite
def data(draw: st.DrawFn) -> tuple[str, str, str]:
    """(name, type, content), of types that can stand together."""
    kind = draw(st.sampled_from(["A", "MX", "SPF", "DMARC", "TEXT", "CNAME"]))
    if kind == "CNAME":
        return f"alias.{ZONE}", "CNAME", draw(st.sampled_from(EXCHANGES)).split()[1]
    if kind == "DMARC":
        return f"_dmarc.{ZONE}", "TXT", draw(st.sampled_from(DMARCS))
    values = {"A": ADDRESSES, "MX": EXCHANGES, "SPF": SPFS, "TEXT": TEXTS}[kind]
    rtype = kind if kind in ("A", "MX") else "TXT"
    return draw(st.sampled_from(NAMES)), rtype, draw(st.sampled_from(values))


def competing(record: Any) -> bool:
    """Whether a name can have but one record of this kind."""
    return bool(group_of(record)[2]) or record.type == "CNAME"


@st.composite
def wanted(draw: st.DrawFn) -> list[Want]:
    out: dict[Any, Want] = {}
    for name, rtype, content in draw(st.lists(data(), max_size=6)):
        record = want(name, rtype, content, "policy", rtype.lower(), ttl=draw(st.sampled_from([300, 3600])))
        out[group_of(record) if competing(record) else record.key] = record
    return list(out.values())


@st.composite
def theirs(draw: st.DrawFn) -> Have:
    name, rtype, content = draw(data())
    more = {"comment": draw(st.sampled_from(["", "by hand"])), "tags": draw(st.sampled_from([(), ("team:web",)]))}
    return have(name, rtype, content, ttl=draw(st.sampled_from([60, 7200])), **more)


policies = st.builds(ForeignPolicy, *[st.sampled_from(POLICIES)] * 5)


def fits(world: World, record: Have, but: Have | None = None) -> bool:
    """Whether others could make a record: no equal one, and nothing it excludes."""
    rest = [r for r in world.records if r is not but]
    if any(r.key == record.key for r in rest):
        return False
    return not competing(record) or not any(group_of(r) == group_of(record) for r in rest)


class History:
    """Draws what happens to a world."""

    def __init__(self, draw: Any, stable: bool) -> None:
        self.draw = draw
        self.world = World(stable=stable)
        for record in draw(st.lists(theirs(), max_size=5)):
            if fits(self.world, record):
                self.world.add(record)

    def apply(self) -> None:
        """A run of ours; one that the engine refuses changes nothing."""
        try:
            self.world.apply(*self.draw(wanted()), foreign=self.draw(policies))
        except RefusedError:
            return

    def edit(self) -> None:
        """Others add, change or remove a record that is not ours."""
        free = [r for r in self.world.records if r.mark("mailstead") is None]
        what = self.draw(st.sampled_from(["add", "change", "remove"]))
        record = self.draw(theirs())
        if what == "add" and fits(self.world, record):
            self.world.add(record)
        elif free and what != "add":
            old = self.draw(st.sampled_from(free))
            if what == "remove":
                self.world.remove(old)
                return
            content = self.draw(data())[2] if old.type in ("A", "MX") else old.content
            new = dataclasses.replace(old, content=content, comment=record.comment, ttl=record.ttl)
            if group_of(old)[:2] == group_of(new)[:2] and _valid(new) and fits(self.world, new, old):
                self.world.change(old, content=new.content, comment=new.comment, ttl=new.ttl)


def _valid(record: Have) -> bool:
    return record.content in {"A": ADDRESSES, "MX": EXCHANGES}.get(record.type, (record.content,))


def world_view(records: Any) -> tuple[list[Any], list[Have]]:
    shown = World()
    shown.records = list(records)
    return shown.view()


common = settings(
    max_examples=60,
    deadline=None,
    phases=(Phase.reuse, Phase.generate),
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
)


@common
@given(st.data(), st.booleans())
def test_without_others_edits_the_zone_is_exactly_as_it_was(data: st.DataObject, stable: bool) -> None:
    """Back to any point, forth again, and nothing left to do the second time."""
    history = History(data.draw, stable)
    world = history.world
    for _ in range(data.draw(st.integers(1, 4))):
        history.apply()
    assume(world.history)
    runs = len(world.history)
    states = [world_view(s.before) for s in world.history]
    end = world.view()
    for point in data.draw(st.lists(st.integers(0, runs - 1), min_size=1, max_size=3)):
        _diff, back = world.undo(point)
        assert world.view() == states[point]
        assert not back.notes
        assert not world.undo(point)[0].changes
    if len(world.history) > runs:
        world.undo(runs)
        assert world.view() == end


@common
@given(st.data(), st.booleans())
def test_others_edits_stay_and_ours_come_back(data: st.DataObject, stable: bool) -> None:
    history = History(data.draw, stable)
    world = history.world
    for _ in range(data.draw(st.integers(1, 4))):
        for _edit in range(data.draw(st.integers(0, 2))):
            history.edit()
        history.apply()
    for _edit in range(data.draw(st.integers(0, 3))):
        history.edit()
    assume(world.history)
    point = data.draw(st.integers(0, len(world.history) - 1))
    before = [r for r in world.records if r.mark("mailstead") is None]
    then = world_view(world.history[point].before)
    try:
        _diff, back = world.undo(point)
    except RefusedError as error:
        raise AssertionError(f"an undo must not stumble over what others did: {error}") from None
    after = {dataclasses.replace(r, id="") for r in world.records}
    ours = {o[0] for o in world.ours()}
    shared = {(r.type, r.name) for r in world.records if (m := r.mark("mailstead")) and m.merged is not None}
    for record in (r for r in before if r.id not in back.yields):
        # Others' records are as they were, but for a policy record that is shared with us now, and for what an earlier run
        # of ours had left behind in them.
        assert dataclasses.replace(record, id="") in after or (record.type, record.name) in shared, record
    left_out = " ".join(back.notes)
    for key, ttl, role, merged in then[0]:
        here = [o for o in world.ours() if o[0] == key]
        place = next(group_of(r) for r in world.history[point].before if r.key == key)
        if merged is not None or (place[2] in KINDS and any(group_of(r) == place for r in world.records)):
            continue
        there = any(r.key == key for r in world.records)
        assert here == [(key, ttl, role, None)] or (there and not here) or f"our {key[2]!r} is not put back" in left_out
    known = {o[0] for o in then[0]}
    assert all(key in known or (key[0], key[1]) in shared or key[0] == "TXT" for key in ours)
    assert not world.undo(point)[0].changes


@common
@given(st.data(), st.booleans())
def test_a_run_cut_short_anywhere_is_undone_all_the_same(data: st.DataObject, stable: bool) -> None:
    history = History(data.draw, stable)
    world = history.world
    history.apply()
    before = world.view()
    keep = data.draw(st.lists(st.booleans(), min_size=40, max_size=40))
    landed = iter(keep)
    runs = len(world.history)
    try:
        world.apply(*data.draw(wanted()), foreign=data.draw(policies), only=lambda _c: next(landed))
    except RefusedError:
        assume(False)
    assume(len(world.history) > runs)
    world.undo(runs, only=lambda _c: next(landed))
    world.undo(runs)
    assert world.view() == before
