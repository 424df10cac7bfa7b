# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The diff of a domain's rules: who owns what, what waits for a click, and what must hold for any set of rules."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import pytest
from ansible_collections.mailstead.stack.plugins.module_utils.email_routing.codes import CODES
from ansible_collections.mailstead.stack.plugins.module_utils.email_routing.model import (
    MAX_RULES,
    Rule,
    RulesDiff,
    Waiting,
    Wanted,
)
from ansible_collections.mailstead.stack.plugins.module_utils.email_routing.rules import Context, diff, malformed
from hypothesis import given
from hypothesis import strategies as st

DOMAIN = "example.me"
MINE = "mailstead:main"
CONTEXT = Context(
    "main",
    (DOMAIN, f"lists.{DOMAIN}"),
    routed=frozenset({DOMAIN, "example.net"}),
    verified=frozenset({"you@gmail.example", "other@gmail.example"}),
    workers=frozenset({"alerts"}),
)
UNSET = Rule("", "drop", "", enabled=False, id="catch-all")


def rule(local: str, target: str = "you@gmail.example", **more: Any) -> Rule:
    values = {"action": "forward", "enabled": True, "name": MINE, "id": f"id-{local}", **more}
    return Rule(f"{local}@{DOMAIN}" if local else "", target=target, **values)


def want(local: str, target: str = "you@gmail.example", **more: Any) -> Wanted:
    return Wanted(f"{local}@{DOMAIN}" if local else "", more.pop("action", "forward"), target, **more)


def apply(have: Sequence[Rule], found: RulesDiff) -> list[Rule]:
    """The rules after the changes, as the service would list them."""
    out = {r.id: r for r in have}
    for change in found.changes:
        if change.before is None:
            assert change.after is not None
            new = f"new {change.after.address}"
            out[new] = dataclasses.replace(change.after, id=new)
        elif change.after is None:
            del out[change.before.id]
        else:
            out[change.before.id] = change.after
    return list(out.values())


def one(found: RulesDiff) -> tuple[str, str]:
    (change,) = found.changes
    assert not found.problems
    return change.action, change.reason


def code(found: RulesDiff) -> str:
    (problem,) = found.problems
    assert problem.code in CODES and problem.where and problem.fix
    return problem.code


def test_a_new_rule_carries_our_mark_and_the_users_words() -> None:
    found = diff([want("hi", text="shop")], [UNSET], CONTEXT)
    (change,) = found.changes
    assert change.after == Rule(f"hi@{DOMAIN}", "forward", "you@gmail.example", True, f"{MINE} shop")
    assert change.to_data()["action"] == "create" and change.to_data()["before"] is None


def test_what_is_there_already_needs_nothing() -> None:
    found = diff([want("hi"), want("", action="drop", target="")], [rule("hi"), UNSET], CONTEXT)
    # The catch-all that drops is told from the one nobody has configured.
    assert [c.rule.address for c in found.changes] == [""] and found.satisfied == 1


def test_a_rule_waits_until_its_destination_is_verified() -> None:
    wanted = [want("hi", "new@gmail.example")]
    found = diff(wanted, [UNSET], CONTEXT)
    assert found.waiting == (Waiting(f"hi@{DOMAIN}", "new@gmail.example"),)
    assert (found.changes, found.problems) == ((), ())
    clicked = dataclasses.replace(CONTEXT, verified=CONTEXT.verified | {"new@gmail.example"})
    assert one(diff(wanted, [UNSET], clicked)) == ("create", "wanted")
    # One that the service disabled, or an older release made so, is enabled then.
    disabled = rule("hi", "new@gmail.example", enabled=False)
    assert diff(wanted, [disabled], CONTEXT).changes == ()
    assert one(diff(wanted, [disabled], clicked)) == ("update", "enabled")


def test_what_is_there_stays_in_force_until_the_new_destination_is_verified() -> None:
    found = diff([want("hi", "new@gmail.example")], [rule("hi")], CONTEXT)
    assert found.changes == () and len(found.waiting) == 1
    assert found.notes == ("hi@example.me: stays at forward to you@gmail.example until new@gmail.example is verified",)
    catch_all = diff([want("", "new@gmail.example")], [rule("", id="catch-all")], CONTEXT)
    assert catch_all.changes == () and catch_all.notes[0].startswith("the catch-all: stays at")


def test_a_waiting_rule_does_not_hide_somebody_elses() -> None:
    theirs = rule("hi", "other@gmail.example", name="by hand")
    assert code(diff([want("hi", "new@gmail.example")], [theirs], CONTEXT)) == "MS-ER-004"
    same = rule("hi", "new@gmail.example", name="by hand", enabled=False)
    found = diff([want("hi", "new@gmail.example")], [same], CONTEXT)
    assert (found.changes, found.problems) == ((), ()) and len(found.waiting) == 1
    taken = diff([want("hi", "new@gmail.example")], [theirs], dataclasses.replace(CONTEXT, adopt=True))
    assert (taken.changes, taken.problems) == ((), ()) and len(taken.waiting) == 1


def test_a_rule_that_is_declared_off_waits_for_nobody() -> None:
    off = want("hi", "new@gmail.example", enabled=False)
    assert diff([off], [], CONTEXT) == RulesDiff(())
    # What goes on elsewhere meanwhile is switched off where it stands.
    assert one(diff([off], [rule("hi")], CONTEXT)) == ("update", "disabled")
    assert diff([off], [rule("hi", "gone@gmail.example")], CONTEXT).changes == ()
    assert one(diff([want("hi", enabled=False)], [rule("hi")], CONTEXT)) == ("update", "disabled")


def test_a_priority_is_kept_unless_it_is_declared() -> None:
    there = rule("hi", priority=7)
    assert diff([want("hi")], [there], CONTEXT).changes == ()
    assert one(diff([want("hi", priority=3)], [there], CONTEXT)) == ("update", "another priority")
    assert diff([want("hi", priority=3)], [], CONTEXT).changes[0].rule.priority == 3


def test_rules_of_domains_that_are_not_declared_stay() -> None:
    have = [Rule(f"x@other.{DOMAIN}", "drop", "", True, MINE, id="1"), rule("", id="catch-all")]
    assert diff([], have, dataclasses.replace(CONTEXT, catch_all=False)).changes == ()


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (want("hi", "new@gmail.example", enabled=True), "MS-ER-007"),
        (want("hi", "me@example.net"), "MS-ER-006"),
        (want("hi", "no address"), "MS-ER-001"),
        (want("h*"), "MS-ER-001"),
        (want(".hi"), "MS-ER-001"),
        (want("hé"), "MS-ER-001"),
        (Wanted("hi", "forward", "you@gmail.example"), "MS-ER-001"),
        (Wanted("hi@example.org", "forward", "you@gmail.example"), "MS-ER-002"),
        (want("hi", "", action="forward"), "MS-ER-001"),
        (want("hi", "x", action="drop"), "MS-ER-001"),
        (want("hi", "x", action="bounce"), "MS-ER-001"),
        (want("hi", "nobody", action="worker"), "MS-ER-009"),
        (want("", "nobody", action="worker"), "MS-ER-009"),
    ],
)
def test_a_rule_that_cannot_work_is_a_problem_and_writes_nothing(wanted: Wanted, expected: str) -> None:
    found = diff([wanted], [], CONTEXT)
    assert code(found) == expected and found.changes == ()


def test_a_loop_may_be_allowed_by_name() -> None:
    assert one(diff([want("hi", "you@gmail.example")], [], dataclasses.replace(CONTEXT, allow=frozenset({"loop"}))))
    looping = diff([want("hi", "me@example.net")], [], dataclasses.replace(CONTEXT, allow=frozenset({"loop"})))
    assert not looping.problems


def test_workers_that_were_not_looked_up_are_believed() -> None:
    found = diff([want("hi", "some", action="worker")], [], dataclasses.replace(CONTEXT, workers=None))
    assert one(found) == ("create", "wanted") and str(found.changes[0].rule) == "Worker some"


def test_an_address_declared_twice_is_a_problem_whatever_its_case() -> None:
    assert code(diff([want("hi"), want("HI", "other@gmail.example")], [], CONTEXT)) == "MS-ER-003"


def test_our_surplus_goes_and_others_rules_stay() -> None:
    have = [rule("old"), rule("theirs", name="by hand"), rule("hi"), UNSET]
    found = diff([want("hi")], have, CONTEXT)
    assert one(found) == ("delete", "no longer wanted") and found.changes[0].rule.address == f"old@{DOMAIN}"


def test_a_second_rule_of_ours_for_one_address_goes() -> None:
    found = diff([want("hi")], [rule("hi"), rule("hi", id="second")], CONTEXT)
    assert one(found) == ("delete", "a second rule for the address") and found.changes[0].rule.id == "second"


def test_somebody_elses_rule_that_does_the_same_is_satisfied_and_unmarked() -> None:
    found = diff([want("hi")], [rule("hi", name="by hand")], CONTEXT)
    assert (found.changes, found.problems, found.satisfied) == ((), (), 1)
    assert one(diff([want("hi")], [rule("hi", name="by hand")], dataclasses.replace(CONTEXT, adopt=True))) == (
        "update",
        "adopted",
    )


def test_somebody_elses_rule_that_does_something_else_needs_a_decision() -> None:
    have = [rule("hi", "other@gmail.example", name="by hand")]
    assert code(diff([want("hi")], have, CONTEXT)) == "MS-ER-004"
    found = diff([want("hi")], have, dataclasses.replace(CONTEXT, adopt=True))
    assert one(found) == ("update", "adopted and changed") and found.changes[0].rule.id == "id-hi"


@pytest.mark.parametrize("adopt", [False, True])
@pytest.mark.parametrize(
    "have",
    [
        rule("hi", "alerts", action="worker", name="", source="wrangler"),
        rule("hi", "", action="several", name=MINE, opaque=True),
    ],
)
def test_rules_of_wrangler_and_rules_nobody_understands_are_never_touched(have: Rule, adopt: bool) -> None:
    context = dataclasses.replace(CONTEXT, adopt=adopt)
    assert code(diff([want("hi")], [have], context)) == "MS-ER-005"
    assert diff([], [have], context).changes == ()


def test_a_rule_of_wrangler_that_does_what_is_wanted_is_satisfied_even_when_adopting() -> None:
    have = rule("hi", "alerts", action="worker", source="wrangler")
    found = diff([want("hi", "alerts", action="worker")], [have], dataclasses.replace(CONTEXT, adopt=True))
    assert (found.changes, found.satisfied) == ((), 1)


def test_a_catch_all_that_somebody_switched_off_is_nobodys() -> None:
    idle = dataclasses.replace(UNSET, name="by hand")
    assert one(diff([want("")], [idle], CONTEXT))[0] == "update" and diff([], [idle], CONTEXT).changes == ()
    # Another installation may have its reasons.
    other = dataclasses.replace(UNSET, name="mailstead:other")
    assert code(diff([want("")], [other], CONTEXT)) == "MS-ER-004"


def test_the_catch_all_is_configured_in_place_and_set_back_when_no_longer_wanted() -> None:
    found = diff([want("")], [UNSET], CONTEXT)
    assert one(found)[0] == "update" and found.changes[0].rule.id == "catch-all"
    (there,) = apply([UNSET], found)
    back = diff([], [there], CONTEXT)
    assert one(back) == ("update", "no longer wanted") and back.changes[0].after == UNSET
    # Somebody else's is not ours to set back.
    assert diff([], [rule("", name="by hand")], CONTEXT).changes == ()


def test_the_service_holds_so_many_rules() -> None:
    have = [rule(f"a{n}", name="by hand") for n in range(MAX_RULES)]
    assert code(diff([want("hi")], have, CONTEXT)) == "MS-ER-008"
    assert diff([want("")], [*have, UNSET], CONTEXT).problems == ()
    # Without room for another the old one goes first.
    swap = diff([want("hi")], [*have[1:], rule("old")], CONTEXT)
    assert [c.action for c in swap.changes] == ["delete", "create"] and not swap.problems
    # Too many already, but not more than before: mending must stay possible.
    assert diff([want("a0")], [*have, rule("more", name="by hand")], CONTEXT).problems == ()


def test_a_rename_of_the_tag_is_a_change() -> None:
    assert one(diff([want("hi", text="new")], [rule("hi", name=f"{MINE} old")], CONTEXT)) == ("update", "renamed")
    assert one(diff([want("hi")], [rule("hi", "other@gmail.example")], CONTEXT)) == (
        "update",
        "was forward to other@gmail.example",
    )


def test_the_mark_of_another_installation_is_not_ours() -> None:
    assert not rule("hi", name="mailstead:mainland").mine("main") and rule("hi", name=f"{MINE} x").mine("main")


def test_addresses_are_judged_by_their_form() -> None:
    assert malformed("a@b") == "is not a complete address" and malformed("a.b+c@example.me") == ""


LOCALS = ("hi", "shop", "old", "")
TARGETS = ("you@gmail.example", "other@gmail.example", "new@gmail.example")
WANTS = st.lists(
    st.builds(
        want,
        st.sampled_from(LOCALS),
        st.sampled_from(TARGETS),
        text=st.sampled_from(["", "tag"]),
        enabled=st.sampled_from([None, False]),
    ),
    unique_by=lambda w: w.address,
)
HAVES = st.lists(
    st.builds(
        rule,
        st.sampled_from(LOCALS[:-1]),
        st.sampled_from(TARGETS),
        name=st.sampled_from([MINE, f"{MINE} tag", "by hand", "mailstead:other"]),
        enabled=st.booleans(),
        source=st.sampled_from(["api", "wrangler"]),
        id=st.uuids().map(str),
    ),
    max_size=6,
)


@given(WANTS, HAVES, st.booleans())
def test_for_any_rules_a_second_run_changes_nothing_and_others_rules_survive(
    wanted: list[Wanted], have: list[Rule], adopt: bool
) -> None:
    context = dataclasses.replace(CONTEXT, adopt=adopt)
    present = [*have, UNSET]
    found = diff(wanted, present, context)
    if found.problems:
        return
    after = apply(present, found)
    again = diff(wanted, after, context)
    assert (again.changes, again.problems) == ((), ())
    addresses = {w.address for w in wanted}
    for other in have:
        if not other.mine("main") and (not adopt or other.address not in addresses or other.source == "wrangler"):
            assert other in after


@given(WANTS, HAVES)
def test_a_run_that_is_cut_short_is_finished_by_the_next(wanted: list[Wanted], have: list[Rule]) -> None:
    present = [*have, UNSET]
    found = diff(wanted, present, CONTEXT)
    if found.problems:
        return
    end = {(r.address, r.effect, r.enabled, r.name) for r in apply(present, found)}
    for cut in range(len(found.changes)):
        part = apply(present, dataclasses.replace(found, changes=found.changes[:cut]))
        rest = diff(wanted, part, CONTEXT)
        assert not rest.problems
        assert {(r.address, r.effect, r.enabled, r.name) for r in apply(part, rest)} == end
