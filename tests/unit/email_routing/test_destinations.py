# Copyright (c) mailstead contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The diff of an account's destinations."""

from __future__ import annotations

from ansible_collections.mailstead.stack.plugins.module_utils.email_routing.destinations import diff
from ansible_collections.mailstead.stack.plugins.module_utils.email_routing.model import (
    MAX_DESTINATIONS,
    Destination,
    Rule,
)
from hypothesis import given
from hypothesis import strategies as st

CLICKED = Destination("You@gmail.example", "1", "2026-11-01T00:00:00Z")
ANNOUNCED = Destination("new@gmail.example", "2")
RULE = Rule("hi@example.me", "forward", "you@gmail.example", enabled=False)


def test_what_is_missing_is_announced_once_and_what_is_there_is_told_by_its_state() -> None:
    found = diff(["you@gmail.example", "new@gmail.example", "a@b.example", "A@B.example"], [], [CLICKED, ANNOUNCED], [])
    assert found.create == ("a@b.example",)
    assert found.pending == ("new@gmail.example", "a@b.example") and found.verified == ("You@gmail.example",)
    assert found.problems == () and found.delete == ()


def test_a_destination_goes_only_when_named_and_unused() -> None:
    assert diff([], [], [CLICKED], []).delete == ()
    assert diff([], ["YOU@gmail.example", "never@was.example"], [CLICKED], []).delete == (CLICKED,)
    used = diff([], ["you@gmail.example"], [CLICKED], [RULE, Rule("", "forward", CLICKED.address, enabled=True)])
    (problem,) = used.problems
    assert problem.code == "MS-ER-010" and "hi@example.me, the catch-all" in problem.what


def test_what_cannot_be_is_named() -> None:
    found = diff(["nobody", "you@gmail.example"], ["you@gmail.example"], [CLICKED], [])
    assert [p.code for p in found.problems] == ["MS-ER-001", "MS-ER-010"]
    full = [Destination(f"a{n}@b.example", str(n)) for n in range(MAX_DESTINATIONS)]
    assert [p.code for p in diff(["one@more.example"], [], full, []).problems] == ["MS-ER-008"]
    assert diff(["one@more.example"], ["a1@b.example"], full, []).problems == ()


ADDRESSES = st.sampled_from([f"{n}@b.example" for n in "abcd"])


@given(st.lists(ADDRESSES), st.lists(ADDRESSES, unique=True))
def test_a_second_run_announces_nothing(wanted: list[str], have: list[str]) -> None:
    present = [Destination(a, a) for a in have]
    found = diff(wanted, [], present, [])
    after = [*present, *(Destination(a, a) for a in found.create)]
    again = diff(wanted, [], after, [])
    assert again.create == () and again.pending == found.pending
